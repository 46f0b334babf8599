"""Tables on disk, their description, and all files or none."""

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
from buurtsae.publish import staging
from buurtsae.publish.datapackage import datapackage
from buurtsae.publish.staging import staged
from buurtsae.publish.tables import write_tables
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


def _tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_files_move_into_place_with_the_manifest_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = staging.os.replace

    def recorded(source: Path, target: Path) -> None:
        moved.append(Path(target).name)
        replace(source, target)

    to = tmp_path / "out" / "streek"
    with staged(to) as new:
        (new / "dashboard").mkdir()
        for name in ("manifest.json", "zuid.csv", "dashboard/index.html"):
            (new / name).write_text(name)
        monkeypatch.setattr(staging.os, "replace", recorded)
        assert not to.exists()
    assert moved[-1] == "manifest.json"
    assert _tree(to) == {n: n for n in ("manifest.json", "zuid.csv", "dashboard/index.html")}
    assert [p.name for p in to.parent.iterdir()] == ["streek"]
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("existed", [True, False])
def test_an_exception_leaves_the_folder_as_it_was(tmp_path: Path, error: type[BaseException], existed: bool) -> None:
    to = tmp_path / "out"
    if existed:
        to.mkdir()
        (to / "manifest.json").write_text("old")

    def half_done() -> None:
        with staged(to) as new:
            (new / "manifest.json").write_text("new")
            raise error

    with pytest.raises(error):
        half_done()
    assert _tree(tmp_path) == ({"out/manifest.json": "old"} if existed else {})
    assert to.exists() == existed


@pytest.mark.parametrize(
    ("failure", "expected"), [(PermissionError, DataError), (KeyboardInterrupt, KeyboardInterrupt)]
)
@pytest.mark.parametrize("at", range(1, 8))  # every one: 3 old files away, 4 new ones in place
def test_a_failure_halfway_the_move_puts_everything_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    failure: type[BaseException],
    expected: type[BaseException],
) -> None:
    to = tmp_path / "out"
    to.mkdir()
    old = {"manifest.json": "old", "a.csv": "old", "b.csv": "old", "kept.txt": "mine"}
    for name, text in old.items():
        (to / name).write_text(text)
    count, replace = 0, staging.os.replace

    def failing(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise failure("in use")
        replace(source, target)

    def publish() -> None:
        with staged(to) as new:
            (new / "d").mkdir()
            for name in ("a.csv", "b.csv", "d/new.html", "manifest.json"):
                (new / name).write_text("new")
            monkeypatch.setattr(staging.os, "replace", failing)

    with pytest.raises(expected):
        publish()
    assert _tree(to) == old
    assert not (to / "d").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"), staged(tmp_path / "out"):
        pass
