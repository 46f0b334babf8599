"""Tables on disk, and their description."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq
import pytest
from frictionless import Package, system
from made_estimates import honeycomb, table

from buurtsae.errors import DataError
from buurtsae.publication.datapackage import datapackage
from buurtsae.publication.tables import write_tables
from buurtsae.schemas import CONTRACT_VERSION, ESTIMATES, check_estimates, published
from buurtsae.survey.concept import Concept


@pytest.fixture(scope="module")
def areas() -> gpd.GeoDataFrame:
    return honeycomb()


@pytest.fixture(scope="module")
def made(areas: gpd.GeoDataFrame) -> pd.DataFrame:
    return published(table(areas))


@pytest.fixture(scope="module")
def folder(areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables")
    write_tables(made, areas, out)
    return out


def test_parquet_and_csv_give_back_the_table(folder: Path, made: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "estimates.parquet"), made)
    text = dict.fromkeys(
        [c.name for c in ESTIMATES if c.dtype == "float64"], str
    )  # pandas 2 reads the last bit wrongly
    csv = pd.read_csv(
        folder / "estimates.csv", dtype=text, keep_default_na=False, na_values=[""], encoding="utf-8"
    ).astype(dict.fromkeys(text, float))
    pd.testing.assert_frame_equal(check_estimates(csv), made, check_exact=True)


def test_csv_has_commas_points_and_the_same_line_ends_everywhere(folder: Path) -> None:
    content = (folder / "estimates.csv").read_bytes()
    assert content.startswith(",".join(c.name for c in ESTIMATES).encode() + b"\n")
    assert b"\r" not in content


def test_parquet_describes_its_columns(folder: Path) -> None:
    schema = pq.read_schema(folder / "estimates.parquet")
    assert schema.metadata[b"contract_version"] == CONTRACT_VERSION.encode()
    about = {c.name: schema.field(c.name).metadata for c in ESTIMATES}
    assert about["estimate"][b"unit"] == b"score 0-10"
    assert all(about[c.name][b"title"].decode() == c.nl for c in ESTIMATES)


def test_geoparquet_has_the_rows_of_the_buurten_with_their_own_polygon(
    folder: Path, made: pd.DataFrame, areas: gpd.GeoDataFrame
) -> None:
    back = gpd.read_parquet(folder / "estimates.geoparquet")
    key = ["area_code", "measure", "year"]
    rows = made[made["level"] == "buurt"].sort_values(key, ignore_index=True)
    assert back.crs.to_epsg() == 28992
    pd.testing.assert_frame_equal(pd.DataFrame(back.drop(columns="geometry")), rows)
    assert back.geometry.geom_equals(areas.geometry.loc[back["area_code"]].reset_index(drop=True)).all()


def test_a_buurt_without_polygon_or_another_coordinate_system_is_refused(
    areas: gpd.GeoDataFrame, made: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no geometry"):
        write_tables(made, areas.drop(index=areas.index[0]), tmp_path)
    with pytest.raises(DataError, match="RD New"):
        write_tables(made, areas.to_crs(4326), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_data_package_describes_the_files_as_they_are(folder: Path, made: pd.DataFrame, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "copy"))
    nodes = Concept.load().nodes
    descriptor = datapackage(
        folder,
        title="Buurtverbondenheid Streek",
        created="2024-01-01T12:00:00+01:00",
        run_id="20240101-abc",
        measures={m: nodes[m].nl for m in Concept.load().measures},
    )
    fields = descriptor["resources"][0]["schema"]["fields"]
    assert [f["name"] for f in fields] == list(made)
    with system.use_context(trusted=True):
        package = Package.from_descriptor(descriptor, basepath=str(folder))
        package.remove_resource("estimates-parquet")  # frictionless needs another reader for it; read above
        report = package.validate()
        assert report.valid, report.flatten(["rowNumber", "fieldName", "message"])
        lines = (folder / "estimates.csv").read_text(encoding="utf-8").split("\n")
        (folder / "estimates.csv").write_text("\n".join([*lines[:3], lines[2]]) + "\n", encoding="utf-8", newline="\n")
        errors = {kind for (kind,) in package.validate().flatten(["type"])}
    assert errors == {"primary-key", "hash-count", "byte-count"}  # a key twice, in a file of another size
