"""What many runs of one process share: areas, their graph, the structure of factors; and what they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from buurtsae.errors import DataError
from buurtsae.runs.reading import areas_of, forget_areas
from buurtsae.runs.runfile import RunFile
from buurtsae.runs.steps import identity
from buurtsae.sparse import analyse


@pytest.fixture
def run(tmp_path: Path, root: Path) -> RunFile:
    """A copy of the example."""
    for name in ("models", "data/voorbeeldstad"):
        shutil.copytree(root / name, tmp_path / name)
    return RunFile.load(tmp_path / "models" / "voorbeeldstad.toml")


def test_areas_are_read_once_as_long_as_keys_and_content_are_the_same(run: RunFile, root: Path) -> None:
    areas = areas_of(run)
    assert areas_of(RunFile.load(run.path)) is areas
    assert areas_of(RunFile.load(root / "models" / "voorbeeldstad.toml")) is areas  # a copy of it has the same
    table = run.locate(run.spec.areas.tables[0].file)
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("BU99010001", "BU99010001 ", 1), encoding="utf-8")  # CBS pads its codes
    other = areas_of(run)
    assert other is not areas
    assert other.frame.drop(columns="geometry").equals(areas.frame.drop(columns="geometry"))
    forget_areas()
    assert areas_of(run) is not other


def test_a_change_in_the_table_of_a_shapefile_is_seen(run: RunFile) -> None:
    """Its figures are in another file: in the key of the run, and in that of the areas."""
    shape = run.path.parent / "buurten.shp"
    frame = gpd.read_file(run.locate(run.spec.areas.file))[["buurtcode", "buurtnaam", "geometry"]]
    frame.to_file(shape)
    text = run.path.read_text(encoding="utf-8").replace("../data/voorbeeldstad/buurten.gpkg", shape.name)
    run.path.write_text(text, encoding="utf-8")
    shaped = RunFile.load(run.path)
    areas, key, before = areas_of(shaped), identity(shaped).run_id, shape.read_bytes()
    assert {".shp", ".dbf", ".shx", ".prj"} <= {file.suffix for file in shaped.files}
    frame.assign(buurtnaam="Elders").to_file(shape)
    assert shape.read_bytes() == before
    assert set(areas_of(shaped).frame["name"]) == {"Elders"} != set(areas.frame["name"])
    assert identity(shaped).run_id != key


def test_a_graph_is_made_once_per_rule_and_bridges(run: RunFile) -> None:
    areas = areas_of(run)
    assert areas.graph() is areas.graph("queen", ())
    assert areas.graph("rook") is not areas.graph("queen")
    bridge = (str(areas.codes[0]), str(areas.codes[-1]))
    assert len(areas.graph("queen", [bridge]).edges) == len(areas.graph().edges) + 1
    for _ in range(2):  # what is refused is refused again
        with pytest.raises(DataError, match="the neighbour rule is unknown"):
            areas.graph("bishop")


def test_one_pattern_has_one_structure() -> None:
    i, j = np.array([0, 1, 0, 1, 2]), np.array([1, 2, 0, 1, 2])
    first = analyse(3, i, j)
    assert analyse(3, i.copy(), j.copy()) is first
    assert analyse(3, i, j, width=2) is not first
    assert analyse(3, i[1:], j[1:]) is not first
    blocks = np.array([-1.0, -1.0, 2.0, 3.0, 2.0])[:, None, None]
    dense = np.array([[2.0, -1, 0], [-1, 3, -1], [0, -1, 2]])
    np.testing.assert_allclose(first.factor(blocks).logdet, np.linalg.slogdet(dense)[1], rtol=1e-14)
