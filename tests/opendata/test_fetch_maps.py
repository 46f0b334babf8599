"""Borders and what belongs to them, from the services to areas and crosswalks of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import routes_maps
from replay import Replay

import buurtsae as bs
from buurtsae.opendata.fetching import to_files
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.jobs import Job
from buurtsae.opendata.region import Asked
from buurtsae.retrieved import read_record
from buurtsae.runs.editions import crosswalk
from buurtsae.runs.years_part import EditionPart


@pytest.fixture
def example(replay: Replay) -> None:
    """The services of maps with the example of 2024, and its borders of 2023."""
    buurten = routes_maps.example()
    for year in (2023, 2024):
        routes_maps.install(replay, routes_maps.Map.of(buurten, year))
    routes_maps.install_others(replay, buurten, scored=50)


@pytest.mark.usefixtures("example")
def test_areas_with_scores_and_monuments(fetcher: Fetcher, tmp_path: Path) -> None:
    what = ["borders", "leefbaarometer", "monumenten"]
    made = to_files(what, Job(fetcher, Asked(("Voorbeeldstad",)), 2024), tmp_path / "data")
    tables = [(made.files[each], "buurtcode") for each in what[1:]]
    areas = bs.Areas.read(made.files["borders"], 2024, tables=tables)
    assert len(areas.codes) == 56
    assert {"soc", "rijksmonumenten_per_km2", "afstand_rijksmonument_km"} <= set(areas.covariates)
    assert areas.frame["soc"].isna().sum() == 6  # 50 are scored
    assert areas.frame["rijksmonumenten"].sum() == 59
    missing = (tmp_path / "data" / "leefbaarometer_2024.missing.csv").read_text()
    assert missing.count("no score is published") == 6 * 7  # each of seven figures
    assert made.credit == (
        "CBS, Kadaster (CC BY 4.0); "
        "Leefbaarometer, ministerie van BZK (open data van het ministerie van BZK; derden noemen CC0); "
        "Rijksdienst voor het Cultureel Erfgoed (open data, publiek domein)"
    )
    record = read_record(made.files["monumenten"])
    assert record is not None
    assert {part.source for part in record.retrieved} == {"Rijksdienst voor het Cultureel Erfgoed", "CBS en Kadaster"}


@pytest.mark.usefixtures("example")
def test_a_crosswalk_of_a_run(fetcher: Fetcher, tmp_path: Path) -> None:
    job = Job(fetcher, Asked(("GM9901",)), 2023, before=2020)
    made = to_files(["borders", "adressen"], job, tmp_path)
    assert made.files["adressen"].name == "adressen_2020_2023.parquet"
    areas = bs.Areas.read(made.files["borders"], 2023)
    part = EditionPart(year=2020, file="adressen_2020_2023.parquet", kind="addresses")
    walk = crosswalk(part, made.files["adressen"], areas)
    first, second = areas.codes[:2]
    assert walk.changes().set_index("old").loc[first, ["change", "how"]].tolist() == ["redrawn", "border"]
    assert walk.table().query("old == @first").set_index("new")["share"].to_dict() == {first: 0.5, second: 0.5}
    assert "buurt_2020" in areas.with_edition(walk).editions
