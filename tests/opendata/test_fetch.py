"""Open data to files: what lies there, where it comes from, and that nothing is half-written."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import routes_maps
import world
from replay import BROKEN, HTML, Replay
from routes_statline import Cube4, measure

import buurtsae as bs
from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.opendata import live
from buurtsae.opendata.fetching import Fetched, to_files
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.jobs import Job
from buurtsae.opendata.region import Asked
from buurtsae.retrieved import read_record

WHAT = ("borders", "kerncijfers")


@pytest.fixture
def job(replay: Replay, fetcher: Fetcher) -> Job:
    """One gemeente of the example."""
    world.made(replay)
    return Job(fetcher, Asked(("GM9901",)), 2024)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_written_is_what_areas_take(job: Job, tmp_path: Path) -> None:
    made = to_files(WHAT, job, tmp_path / "data")
    areas = bs.Areas.read(made.files["borders"], 2024, tables=[(made.files["kerncijfers"], "buurtcode")])
    known = pd.read_csv(world.EXAMPLE / "kerncijfers.csv").set_index("buurtcode")
    assert set(areas.frame["gemeente"]) == {"GM9901"}
    assert set(areas.codes) == set(known.index[known.index.str.startswith("BU9901")])
    for column in ("stedelijkheid", "pct_koopwoningen"):
        pd.testing.assert_series_equal(
            areas.frame[column], known[column][areas.codes], check_names=False, check_dtype=False
        )
    assert areas.names["gemeente"]["GM9901"] == made.region.names["GM9901"]
    assert gpd.read_parquet(made.files["borders"]).crs.to_epsg() == 28992
    assert set(content(tmp_path / "data")) >= {
        "buurten_2024.parquet", "buurten_2024.provenance.json", "kerncijfers_2024.parquet",
        "kerncijfers_2024.columns.csv", "kerncijfers_2024.provenance.json",
    }  # fmt: skip
    columns = pd.read_csv(tmp_path / "data" / "kerncijfers_2024.columns.csv").set_index("column")
    assert columns.loc["inwoners", "code"] == "T001036"


def test_where_it_comes_from(job: Job, tmp_path: Path) -> None:
    made = to_files(WHAT, job, tmp_path)
    record = read_record(made.files["kerncijfers"])
    assert record is not None
    (table,) = record.retrieved
    assert (table.source, table.table, table.licence, table.attribution) == ("CBS", "85984NED", "CC BY 4.0", "CBS")
    assert table.edition.startswith("2025-11-20")  # what the replay says of its table
    assert table.url.startswith(f"{job.fetcher.registry.content.service['cbs'].url}/85984NED/")
    assert made.credit == "CBS, Kadaster (CC BY 4.0); CBS (CC BY 4.0)"
    assert "85984NED" in made.text


def test_a_second_time_without_network_the_bytes_are_the_same(job: Job, replay: Replay, tmp_path: Path) -> None:
    to_files(WHAT, job, tmp_path / "a")
    asked = replay.count()
    again = replace(job, fetcher=replace(job.fetcher, offline=True))
    to_files(WHAT, again, tmp_path / "b")
    to_files(WHAT, again, tmp_path / "a")  # in the place of the first
    assert replay.count() == asked
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_later_table_leaves_the_earlier_ones(job: Job, tmp_path: Path) -> None:
    to_files(["borders"], job, tmp_path)
    before = content(tmp_path)
    to_files(["kerncijfers"], job, tmp_path)
    assert content(tmp_path).items() >= before.items()


def test_what_the_user_changed_stays(job: Job, tmp_path: Path) -> None:
    made = to_files(WHAT, job, tmp_path)
    file = made.files["kerncijfers"]
    file.write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(DataError, match="holds what no run wrote there"):
        to_files(WHAT, job, tmp_path)
    assert content(tmp_path) == before
    record = read_record(file)
    assert record is not None
    assert record.changed


def test_what_the_user_removed_comes_back(job: Job, tmp_path: Path) -> None:
    to_files(WHAT, job, tmp_path)
    before = content(tmp_path)
    (tmp_path / "kerncijfers_2024.columns.csv").unlink()
    (tmp_path / "buurten_2024.parquet").unlink()
    to_files(WHAT, job, tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("answers", [[BROKEN] * 4, [HTML]])
def test_a_service_that_fails_leaves_nothing(job: Job, replay: Replay, tmp_path: Path, answers: list[object]) -> None:
    replay.fail("85984NED/Observations", *answers)  # type: ignore[arg-type]
    with pytest.raises(DataError) as told:
        to_files(WHAT, job, tmp_path / "data")
    assert len(str(told.value).splitlines()) == 3
    assert not (tmp_path / "data").exists()
    assert to_files(WHAT, job, tmp_path / "data").files["borders"].is_file()  # borders were kept, the rest comes


def test_a_full_disk_leaves_what_was_there(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_files(WHAT, job, tmp_path)
    before = content(tmp_path)

    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("buurtsae.opendata.fetching.write_record", full)
    with pytest.raises(BuurtsaeError, match="cannot be written") as told:
        to_files(WHAT, job, tmp_path)
    assert "the disk is full" in told.value.hint
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("what", "change", "said"),
    [
        ([], {}, "nothing is asked for"),
        (["borders", "kerncijfer"], {}, "there is no such open data"),
        (["kerncijfers"], {"year": 2012}, "there is no table of kerncijfers of 2012"),
        (["borders"], {"year": 2019}, "there is no table of borders of 2019"),
        (["voorzieningen"], {}, "voorzieningen are counted in a file of OpenStreetMap"),
        (["borders"], {"level": "wijk"}, "borders has no --level"),
        (["borders"], {"osm": Path("x.osm.pbf")}, "--osm is for voorzieningen only"),
        (["adressen"], {"year": 2023, "before": 2015}, "there is no table of adressen of 2015"),
        (["adressen"], {"year": 2023, "before": 2025}, "adressen lead from an earlier year to --year"),
        (["borders"], {"before": 2020}, "--before is for adressen only"),
        (["borders"], {"year": 2023, "asked": Asked(ggd="GGD Voorbeeld")}, "is not known of 2023"),
        (["borders"], {"asked": Asked(("Voorbeeldstd",))}, "there is no gemeente of that name in 2024"),
    ],
)
def test_what_cannot_be_asked(job: Job, tmp_path: Path, what: list[str], change: dict[str, object], said: str) -> None:
    with pytest.raises(BuurtsaeError, match=said) as told:
        to_files(what, replace(job, **change), tmp_path / "data")  # type: ignore[arg-type]
    assert len(str(told.value).splitlines()) == 3
    assert not (tmp_path / "data").exists()


def test_a_year_before_there_were_maps(job: Job, replay: Replay, tmp_path: Path) -> None:
    """Kerncijfers are from 2013, maps from 2021 (open-data.md, 1.3 and 2): names are those of the figures."""
    figures = pd.DataFrame({"T001036": [7, 5]}, index=["GM9901", "BU99010001"], dtype=object)
    Cube4("84583NED", figures, [measure("T001036", "x")], {"GM9901": "Oudstad", "BU99010001": "B"}).install(replay)
    made = to_files(["kerncijfers"], replace(job, year=2019, asked=Asked(("oudstad",))), tmp_path)
    assert pd.read_parquet(made.files["kerncijfers"])["inwoners"].tolist() == [5]
    assert made.region.name == "Oudstad"


def test_scores_of_a_year_before_maps_have_the_codes_of_their_division(
    job: Job, replay: Replay, tmp_path: Path
) -> None:
    """All scores have the codes of 2024, whatever their year: the gemeente is one of 2024."""
    routes_maps.install_leefbaarometer(replay, routes_maps.scores(["BU99010001", "BU99020001"], 2018))
    made = to_files(["leefbaarometer"], replace(job, year=2018), tmp_path)
    assert pd.read_parquet(made.files["leefbaarometer"])["buurtcode"].tolist() == ["BU99010001"]
    assert made.region.name == "Voorbeeldstad"
    assert any("have the buurtcodes of 2024" in note for note in made.notes)


def test_what_cannot_be_both(job: Job) -> None:
    with pytest.raises(DataError, match="without a network nothing can be asked again"):
        replace(job.fetcher, offline=True, refresh=True)


def test_trying_services(job: Job, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--live` does, here on the replay: a service that is out of order is named with its address and status."""
    monkeypatch.setattr("buurtsae.opendata.live.SMALL", "Voorbeeldstad")
    monkeypatch.setattr(live, "Fetcher", partial(Fetcher, delays=()))
    registry = job.fetcher.registry
    replay.fail("85984NED/Observations", BROKEN)
    borders, figures = live.tried(["borders", "kerncijfers"], registry, 2024)
    assert (borders.ok, borders.message) == (True, "56 rows of Voorbeeldstad, 2024")
    assert not figures.ok
    assert f"HTTP 500 at {replay.base}/cbs/85984NED/Observations" in figures.text
    assert "try again later" in figures.text
    for name in ("foo", "voorzieningen"):
        with pytest.raises(DataError, match="no such service to try"):
            next(live.tried(["borders", name], registry, 2024))


def test_all_that_cannot_be_asked_at_once(job: Job, tmp_path: Path) -> None:
    with pytest.raises(BuurtsaeError) as told:
        to_files(["voorzieningen", "cijfers", "nabijheid"], replace(job, year=2019), tmp_path)
    assert told.value.count == 3  # type: ignore[attr-defined]


def test_a_provincie_and_the_country(job: Job, tmp_path: Path) -> None:
    def codes(asked: Asked) -> tuple[set[str], Fetched]:
        made = to_files(["borders"], replace(job, asked=asked), tmp_path)
        return set(gpd.read_parquet(made.files["borders"])["gemeentecode"]), made

    assert codes(Asked(provincie="voorbeeldprovincie"))[0] == {"GM9901", "GM9902", "GM9903"}
    assert codes(Asked(ggd="GGD Voorbeeld"))[1].region.name == "GGD Voorbeeld"
    assert codes(Asked(land=True))[1].region.name == "Nederland"


def test_the_verb(job: Job, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from buurtsae.cli import app

    monkeypatch.setenv("BUURTSAE_SOURCES", str(replay.sources(tmp_path)))
    monkeypatch.setenv("BUURTSAE_CACHE", str(tmp_path / "kept"))
    out = tmp_path / "data"
    run = CliRunner().invoke(app, ["fetch", *WHAT, "--gemeente", "GM9902", "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "buurten_2024.parquet" in run.stdout
    assert "MB" in run.stderr or "kB" in run.stderr
    told = CliRunner().invoke(app, ["fetch", *WHAT, "--gemeente", "GM9902", "--out", str(out), "--offline", "--json"])
    answer = json.loads(told.stdout)
    assert answer["retrieved"]["kerncijfers"][0]["table"] == "85984NED"
    assert Path(answer["files"]["borders"]).is_file()
    bad = CliRunner().invoke(app, ["fetch", "borders", "--gemeente", "x", "--land"])
    assert isinstance(bad.exception, DataError)
