"""Marks of boundary change and the maps of two years: unchanged, recoded, redrawn, and codes that were used again."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import Polygon, box

from buurtsae.errors import DataError
from buurtsae.opendata.changes import Changes, changes

YEARS = (2023, 2024)
OLD = {  # a row of buurten of 100 by 100 metres
    "BU00010001": ("Kern", 0),
    "BU00010002": ("Dorp", 1),
    "BU00010003": ("Haven", 2),
    "BU00010004": ("Oost", 3),
    "BU00010005": ("West", 4),
    "BU00010006": ("Verspreide huizen", 5),
    "BU00010007": ("Veld", 6),
    "BU00010008": ("Bos", 7),
}


def square(place: float, width: float = 1.0) -> Polygon:
    return box(100 * place, 0, 100 * (place + width), 100)


def borders(rows: list[tuple[str, str, Polygon, int | None]]) -> gpd.GeoDataFrame:
    frame = pd.DataFrame(rows, columns=["buurtcode", "buurtnaam", "geometry", "indelingswijziging"])
    return gpd.GeoDataFrame(frame, geometry="geometry", crs="EPSG:28992").astype({"indelingswijziging": "Int64"})


@pytest.fixture
def old() -> gpd.GeoDataFrame:
    """The year before."""
    return borders([(code, name, square(place), 1) for code, (name, place) in OLD.items()])


@pytest.fixture
def found(old: gpd.GeoDataFrame) -> Changes:
    """Each kind of change."""
    new = borders([
        ("BU00010001", "Kern", square(0, 0.9), 1),  # the water line moved
        ("BU00010002", "Dorpskern", square(1), 1),
        ("BU00010013", "Haven", square(2), 2),
        ("BU00010004", "Oost", square(3, 0.7), 3),  # a strip went to the next
        ("BU00010005", "West", square(3.7, 1.3), 3),
        ("BU00010003", "Verspreide huizen", square(5), 2),  # the code of Haven, used again
        ("BU00010006", "Verspreide huizen", square(6), 1),  # code and name of the year before, and other ground
        ("BU00010008", "Bos", square(7), None),
        ("BU00010009", "Zandplaat", square(9), 3),
    ])  # fmt: skip
    return changes(old, new, YEARS)


def test_what_became_of_each(found: Changes) -> None:
    table = found.table.set_index("new")
    said = {code: (row.old, row.change, bool(row.doubt)) for code, row in table.iterrows()}
    assert said == {
        "BU00010001": ("BU00010001", "same", False),
        "BU00010002": ("BU00010002", "renamed", False),
        "BU00010013": ("BU00010003", "recoded", False),
        "BU00010004": (None, "redrawn", False),
        "BU00010005": (None, "redrawn", False),
        "BU00010003": ("BU00010006", "recoded", False),
        "BU00010006": ("BU00010007", "recoded", True),
        "BU00010008": ("BU00010008", "same", False),
        "BU00010009": (None, "new", False),
    }
    assert table.loc["BU00010001", "overlap"] == pytest.approx(0.9)
    assert table.loc["BU00010004", "overlap"] == pytest.approx(0.7)


def test_codes_that_were_used_again_are_said(found: Changes) -> None:
    assert found.walk.reused == ["BU00010003", "BU00010006"]
    said = " ".join(found.notes)
    assert "2 codes of 2023 belong to other ground in 2024" in said
    assert "1 buurten of 2024 are marked otherwise" in said
    assert "BU00010006: 1, recoded" in said
    assert "1 buurten of 2024 have no mark" in said


def test_the_crosswalk_is_exact_where_the_border_is(found: Changes) -> None:
    shares = found.walk.table().set_index(["old", "new"])["share"]
    assert shares["BU00010001", "BU00010001"] == 1  # not the 0.9 of two drawings
    assert shares["BU00010004"].to_dict() == pytest.approx({"BU00010004": 0.7, "BU00010005": 0.3})
    residents = pd.Series(100.0, index=found.walk.old)
    assert found.walk.convert_counts(residents).to_dict() == pytest.approx({
        "BU00010001": 100, "BU00010002": 100, "BU00010013": 100, "BU00010004": 70, "BU00010005": 130,
        "BU00010003": 100, "BU00010006": 100, "BU00010008": 100, "BU00010009": 0,
    })  # fmt: skip
    changed = found.walk.changes().set_index("old")
    assert changed.loc["BU00010001", "change"] == "same"
    assert changed.loc["BU00010001", "outside"] == 0


@pytest.mark.parametrize(
    ("mark", "name", "place", "said"),
    [
        (1, "Kern", 0.6, ("redrawn", True)),  # less than half is the same
        (1, "Anders", 0.1, ("redrawn", True)),  # CBS says unchanged, but neither name nor map does
        (2, "Kern", 0.1, ("same", True)),  # the same code, name and ground are not recoded
        (3, "Kern", 0.0, ("redrawn", False)),  # a border that moved by less than the maps show
        (None, "Kern", 0.1, ("redrawn", False)),
        (1, "Kern", 20.0, ("new", True)),
    ],
)
def test_marks_and_maps(
    old: gpd.GeoDataFrame, mark: int | None, name: str, place: float, said: tuple[str, bool]
) -> None:
    rows = [("BU00010001", name, square(place), mark), ("BU00010008", "Bos", square(7), 1)]
    row = changes(old, borders(rows), YEARS).table.set_index("new").loc["BU00010001"]
    assert (row["change"], bool(row["doubt"])) == said


def test_what_is_no_pair_of_years(old: gpd.GeoDataFrame) -> None:
    with pytest.raises(DataError, match="against the year before"):
        changes(old, old, (2022, 2024))
    with pytest.raises(DataError, match="no marks of changes"):
        changes(old, old.drop(columns="indelingswijziging"), YEARS)
    with pytest.raises(DataError, match="unknown marks") as told:
        changes(old, old.assign(indelingswijziging=4), YEARS)
    assert told.value.got == "4"
    with pytest.raises(DataError, match="old areas occur more than once"):
        changes(pd.concat([old, old.iloc[:1]]), old, YEARS)
