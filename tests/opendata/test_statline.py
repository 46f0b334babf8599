"""CBS StatLine, OData v4: figures by the code of their measure, reasons kept, rows checked against what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from replay import BROKEN, Answer, Asked, Replay, as_json
from routes_statline import KWB, Cube4, install, kwb, measure

from buurtsae.errors import DataError
from buurtsae.opendata import gebieden, kerncijfers, nabijheid
from buurtsae.opendata.http import Fetcher

AREAS = {
    "NL00": "Nederland", "GM0363": "Amsterdam", "WK0363AD": "Noord", "BU0363AD01": "Kop", "BU0363AD03": "Oever",
    "GM0003": "Appingedam", "WK000300": "Centrum", "BU00030000": "Kern", "BU00030009": "Buiten",
}  # fmt: skip
MEASURES = [
    measure("GM000C", "Gemeentenaam", "naam", "String"),
    measure("T001036", "Aantal inwoners"),
    measure("80200", "65 jaar of ouder"),
    measure("M9", "Koopwoningen", "%"),
    measure("A1", "Nederland", group="H"),
    measure("A2", "Nederland", group="G"),
    measure("P1", "Meest voorkomende postcode", "", "String"),
]
GROUPS = [{"Id": "H", "Title": "Naar herkomst"}, {"Id": "G", "Title": "Naar geboorteland"}]
FIGURES = {  # rows are those of AREAS; None is not returned, a word is a reason
    "GM000C": ["", "A", "A", "A", "A", "B", "B", "B", "B"],
    "T001036": [900, 600, 600, 400, 205, 300, 295, 10, 290],
    "80200": [90, 60, 60, 40, None, 30, 30, 15, 20],
    "M9": [50, 40, 40, "Confidential", 0, 60, 60, "Impossible", "Vreemd"],
    "A1": [1, 2, 3, 4, 5, 6, 7, 8, 9],
    "A2": [None] * 9,
    "P1": [None, None, None, "1021", "1022  ", None, None, "9901", None],
}


@pytest.fixture
def table(replay: Replay) -> Cube4:
    """Kerncijfers of 2024 of two made gemeenten, in pages of ten rows."""
    figures = pd.DataFrame(FIGURES, index=list(AREAS), dtype=object)
    return Cube4("85984NED", figures, list(MEASURES), dict(AREAS), GROUPS, page=10).install(replay)


def test_figures_are_found_by_code_and_reasons_are_kept(table: Cube4, fetcher: Fetcher) -> None:
    loaded = kerncijfers.load(fetcher, 2024)
    frame = loaded.frame.set_index("buurtcode")
    assert list(frame.index) == ["BU00030000", "BU00030009", "BU0363AD01", "BU0363AD03"]
    assert list(frame.columns) == [
        "buurtnaam", "wijkcode", "gemeentecode", "gemeentenaam", "inwoners", "inwoners_65plus", "pct_koopwoningen",
        "a1", "a2", "p1", "pct_65plus",
    ]  # fmt: skip
    assert frame.loc["BU0363AD03", ["buurtnaam", "wijkcode", "gemeentenaam"]].tolist() == [
        "Oever", "WK0363AD", "Amsterdam",
    ]  # fmt: skip
    assert frame["inwoners"].tolist() == [10, 290, 400, 205]
    assert frame.loc["BU0363AD03", "pct_koopwoningen"] == 0  # a figure that is 0 is no missing one
    assert np.isnan(frame.loc["BU0363AD03", "inwoners_65plus"])
    assert frame["p1"].fillna("none").tolist() == ["9901", "none", "1021", "1022"]
    assert loaded.reasons.to_numpy().tolist() == [
        ["BU00030000", "pct_koopwoningen", "impossible"],
        ["BU00030009", "pct_koopwoningen", "Vreemd"],
        ["BU0363AD01", "pct_koopwoningen", "secret"],
    ]
    assert any("1 figures are missing for the reason 'Vreemd'" in note for note in loaded.notes)
    assert {part.edition for part in loaded.retrieved} == {table.modified}
    table.rows = [{**row, "Value": 7.0} if row["ValueAttribute"] == "Vreemd" else row for row in table.observations()]
    again = kerncijfers.load(replace(fetcher, refresh=True), 2024)
    assert again.frame["pct_koopwoningen"].isna().sum() == 3  # a value with an unknown mark may not be one
    assert any("1 of them have a value, which is not used" in note for note in again.notes)


def test_columns_say_what_they_are_and_how_full(table: Cube4, fetcher: Fetcher) -> None:
    columns = kerncijfers.load(fetcher, 2024).columns.set_index("column")
    assert columns["code"].to_dict() == {
        "inwoners": "T001036", "inwoners_65plus": "80200", "pct_koopwoningen": "M9", "a1": "A1", "a2": "A2", "p1": "P1",
        "pct_65plus": "",
    }  # fmt: skip
    assert columns["filled"].to_dict() == {
        "inwoners": 1.0, "inwoners_65plus": 0.75, "pct_koopwoningen": 0.25, "a1": 1.0, "a2": 0.0, "p1": 0.75,
        "pct_65plus": 0.75,
    }  # fmt: skip
    assert columns.loc["a1", "about"] == "Naar herkomst. Over nederland"  # two columns have this title
    assert columns.loc["pct_koopwoningen", "unit"] == "%"


def test_a_percentage_is_derived_where_the_table_has_numbers(table: Cube4, fetcher: Fetcher) -> None:
    loaded = kerncijfers.load(fetcher, 2024)
    # 15 of 10 residents (both rounded to fives), 20 of 290, 40 of 400, unknown
    np.testing.assert_allclose(loaded.frame["pct_65plus"], [100, 100 * 20 / 290, 10, np.nan])
    assert "afgeleid" in loaded.columns.set_index("column").loc["pct_65plus", "about"]
    assert any("exceeds inwoners in 1 areas" in note for note in loaded.notes)


def test_a_half_filled_year_is_said_and_no_other_is_taken(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    notes = [str(note) for note in kerncijfers.load(fetcher, 2024).notes]
    assert any("1 of 7 columns have no figure" in note and "no other year takes their place" in note for note in notes)
    assert any("1 of 7 columns have a figure for fewer than half" in n and "Koopwoningen (25%)" in n for n in notes)
    assert replay.count("NED") == replay.count("85984NED")
    with pytest.raises(DataError, match="there is no table of kerncijfers of 2031"):
        kerncijfers.load(fetcher, 2031)


@pytest.mark.parametrize(
    ("level", "codes", "residents"),
    [
        ("buurt", ["BU0363AD01", "BU0363AD03"], [400, 205]),
        ("wijk", ["WK0363AD"], [600]),
        ("gemeente", ["GM0363"], [600]),
    ],
)
def test_a_gemeente_at_three_levels_from_the_same_replies(
    table: Cube4, fetcher: Fetcher, replay: Replay, level: str, codes: list[str], residents: list[float]
) -> None:
    kerncijfers.load(fetcher, 2024, ["GM0363"])
    asked = replay.count()
    frame = kerncijfers.load(fetcher, 2024, ["GM0363"], level).frame
    assert frame.iloc[:, 0].tolist() == codes
    assert frame["inwoners"].tolist() == residents
    assert replay.count() == asked
    first = next(one for one in replay.asked if one.path.endswith("Observations"))
    assert first.query["$filter"] == " or ".join(f"startswith(WijkenEnBuurten,'{k}0363')" for k in ("BU", "WK", "GM"))


def test_a_second_run_needs_no_network_and_gives_equal_bytes(
    table: Cube4, fetcher: Fetcher, replay: Replay, tmp_path: Path
) -> None:
    for run, one in enumerate((fetcher, replace(fetcher, offline=True))):
        kerncijfers.load(one, 2024, ["GM0003"]).frame.to_parquet(tmp_path / f"{run}.parquet")
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()
    asked = replay.count()
    table.modified, table.figures = "2026-01-01", table.figures.replace(600, 601)
    again = kerncijfers.load(replace(fetcher, refresh=True), 2024, ["GM0363"], "gemeente")
    assert again.frame["inwoners"].tolist() == [601]
    assert replay.count() > asked


def test_a_service_that_ignores_the_filter_is_caught(table: Cube4, fetcher: Fetcher) -> None:
    table.filters = False
    with pytest.raises(DataError, match="answers strangely") as told:
        kerncijfers.load(fetcher, 2024, ["GM0363"])
    assert "rows of other areas" in told.value.got
    assert "startswith(WijkenEnBuurten,'BU0363')" in told.value.expected
    assert "it seems to be ignored" in told.value.expected


def test_no_rows_of_a_known_area_are_an_error(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    replay.add("cbs", "85984NED/Observations", lambda asked: as_json({"value": []}))
    for gemeenten in (["GM0363"], None):
        with pytest.raises(DataError, match="answers strangely") as told:
            kerncijfers.load(fetcher, 2024, gemeenten)
        assert told.value.got == "no rows"


def test_an_unknown_gemeente_gets_near_ones(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    with pytest.raises(DataError, match="has no buurten of some gemeenten") as told:
        kerncijfers.load(fetcher, 2024, ["GM0363", "GM0013"])
    assert told.value.got == "GM0013"
    assert "GM0003 Appingedam" in told.value.expected
    assert not replay.count("Observations")


def _rows(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Cube4], None]:
    def spoil(table: Cube4) -> None:
        table.rows = table.observations()
        change(table.rows)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (_rows(lambda rows: rows.append(dict(rows[20]))), "1 figures twice"),
        (_rows(lambda rows: rows[12].update(Measure="X")), "codes of Measure that its own list lacks: X"),
        (_rows(lambda rows: rows[12].update(WijkenEnBuurten="BU99990000")), "that its own list lacks: BU99990000"),
        (_rows(lambda rows: rows[3].pop("ValueAttribute")), "rows without ValueAttribute"),
        (lambda table: table.measures.append(dict(table.measures[1])), "MeasureCodes twice: T001036"),
        (lambda table: table.areas.update({"BU00030000  ": "Kern"}), "WijkenEnBuurten twice: BU00030000"),
        (lambda table: setattr(table, "kind", "Dimension"), "WijkenEnBuurten (Dimension)"),
        (lambda table: table.others.update(Leeftijd=("Dimension", {"1": "jong", "2": "oud"})), "None"),
    ],
)
def test_what_is_wrong_with_a_table(table: Cube4, fetcher: Fetcher, spoil: Callable[[Cube4], None], got: str) -> None:
    spoil(table)
    with pytest.raises(DataError) as told:
        kerncijfers.load(fetcher, 2024)
    assert got in told.value.got
    assert len(str(told.value).splitlines()) == 3


def test_500_then_success_and_500_for_ever(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    replay.fail("Observations", BROKEN, BROKEN)
    assert len(kerncijfers.load(fetcher, 2024).frame) == 4
    replay.fail("skip=10", *[BROKEN] * 4)
    with pytest.raises(DataError, match="the service refuses") as told:
        kerncijfers.load(replace(fetcher, refresh=True), 2024)
    assert "HTTP 500 at" in told.value.got


def test_a_dimension_with_another_name_and_codes_that_are_padded(replay: Replay, fetcher: Fetcher) -> None:
    """The table of 2013 calls it RegioS."""
    figures = pd.DataFrame({"T001036": [5, 6]}, index=["GM0003", "BU00030000"], dtype=object)
    table = Cube4("82339NED", figures, MEASURES[1:2], {"GM0003    ": "A", "BU00030000": "B"}, geo="RegioS")
    table.kind = "GeoDimension"
    table.install(replay)
    table.rows = [{**row, "RegioS": f"{row['RegioS']:10}"} for row in table.observations()]
    assert kerncijfers.load(fetcher, 2013).frame["inwoners"].tolist() == [6]
    assert kerncijfers.load(fetcher, 2013, ["GM0003"], "gemeente").frame["gemeentenaam"].tolist() == ["A"]


def test_the_change_of_division_has_one_name_and_a_dot_is_missing(replay: Replay, fetcher: Fetcher) -> None:
    """Its title was another until 2021; of gemeenten it is a dot."""
    for year, table, title in (
        (2021, "85039NED", "Indelingswijziging wijken en buurten"),
        (2024, "85984NED", "Indelingswijziging gemeente, wijk en buurt"),
    ):
        figures = pd.DataFrame({"X": [".", "1"]}, index=["GM0003", "BU00030000"], dtype=object)
        areas = {"GM0003": "A", "BU00030000": "B"}
        Cube4(table, figures, [measure("X", title, "", "String")], areas).install(replay)
        assert kerncijfers.load(fetcher, year).frame["indelingswijziging"].tolist() == ["1"]
        assert kerncijfers.load(fetcher, year, None, "gemeente").frame["indelingswijziging"].isna().all()


def test_a_dimension_of_time_takes_the_year(replay: Replay, fetcher: Fetcher) -> None:
    figures = pd.DataFrame({"9006": [1.0, 2.0]}, index=["GM0003", "BU00030000"], dtype=object)
    table = Cube4("86134NED", figures, [KWB["afstand_huisarts_km"]], {"GM0003": "A", "BU00030000": "B"})
    old, new = (
        [{**row, "Perioden": f"{year}JJ00", "Value": row["Value"] + year} for row in table.observations()]
        for year in (2023, 2024)
    )
    table.rows = old + new
    periods = {"2023JJ00": "2023", "2024JJ00": "2024"}
    table.others["Perioden"] = ("TimeDimension", periods)
    table.install(replay)
    assert nabijheid.load(fetcher, 2024).frame["afstand_huisarts_km"].tolist() == [2026]  # 2.0 + 2024
    assert nabijheid.load(fetcher, 2024, ["GM0003"]).frame["afstand_huisarts_km"].tolist() == [2026]
    del periods["2024JJ00"]
    with pytest.raises(DataError, match="has no 2024JJ00") as told:
        nabijheid.load(replace(fetcher, refresh=True), 2024)
    assert "2023JJ00" in told.value.expected


def test_a_page_that_is_no_table(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    def strange(asked: Asked) -> Answer:
        return as_json(["not", "rows"])

    replay.add("cbs", "85984NED/MeasureCodes", strange)
    with pytest.raises(DataError) as told:
        kerncijfers.load(fetcher, 2024)
    assert told.value.got == "['not', 'rows']"


@pytest.mark.national
def test_real_kerncijfers_come_back_as_they_are(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    data = shared / "data" / "nl"
    install(replay, data)
    figures, _ = kwb(data)
    gemeenten = ["GM0363", "GM0093", "GM1992"]  # letters in codes, islands, a merger
    loaded = kerncijfers.load(fetcher, 2024, gemeenten)
    frame = loaded.frame.set_index("buurtcode")
    assert frame.index.tolist() == [c for c in figures.index if c[:2] == "BU" and f"GM{c[2:6]}" in gemeenten]
    for own, real in (("inwoners", "inwoners"), ("gem_woz_x1000eur",) * 2, ("pct_koopwoningen",) * 2):
        np.testing.assert_array_equal(frame[own], figures.loc[frame.index, real].astype(float))
    near = nabijheid.load(fetcher, 2024, gemeenten).frame.set_index("buurtcode")
    np.testing.assert_array_equal(near["afstand_school_km"], figures.loc[near.index, "afstand_school_km"].astype(float))
    assert not {name for name in loaded.columns["column"] if name.startswith("c_")}  # each has a name of the codebook


@pytest.mark.national
def test_gebieden_say_provincie_and_ggd(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    data = shared / "data" / "nl"
    install(replay, data)
    frame = gebieden.load(fetcher, 2024).frame.set_index("gemeentecode")
    real = pd.read_csv(data / "gemeente_ggd_provincie_2024.csv", index_col="gemeentecode").sort_index()
    assert list(frame.columns) == ["gemeentenaam", "provinciecode", "provincienaam", "ggdregiocode", "ggdregio"]
    for own, column in (("gemeentenaam", "naam"), ("provinciecode",) * 2, ("provincienaam",) * 2, ("ggdregio",) * 2):
        assert frame[own].to_dict() == real[column].to_dict()
    some = gebieden.load(fetcher, 2024, ["GM0093"])
    assert some.frame["provincienaam"].tolist() == ["Fryslân"]
    assert some.columns["column"].tolist() == ["provinciecode", "provincienaam", "ggdregiocode", "ggdregio"]
    replay.add("cbs", "85755NED/MeasureGroups", lambda asked: as_json({"value": []}))
    with pytest.raises(DataError, match="has no code of one group provincie"):
        gebieden.load(replace(fetcher, refresh=True), 2024)


@pytest.mark.national
def test_real_measures_have_names_of_the_codebook(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    """MeasureCodes and areas as CBS gives them, with figures that are made."""
    home = shared / "data" / "nl" / "examples"
    raw = pd.read_csv(home / "odata_v4_bulk_2025_MeasureCodes_excerpt.csv", sep=";", dtype=str)
    areas = pd.read_csv(home / "odata_v4_bulk_85618NED_WijkenEnBuurtenCodes_excerpt.csv", sep=";", dtype=str)
    kinds = pd.read_csv(home / "odata_v4_bulk_85618NED_Dimensions.csv", sep=";", dtype=str)
    measures = raw.astype(object).where(raw.notna(), None).to_dict("records")
    names = [one["Identifier"] for one in measures if one["DataType"] != "String"]
    titles = dict(zip(areas["Identifier"], areas["Title"], strict=True))
    figures = pd.DataFrame(5.0, index=list(titles), columns=names)
    table = Cube4("85618NED", figures, measures, titles, geo=kinds["Identifier"][0], kind=kinds["Kind"][0])
    table.install(replay)
    loaded = kerncijfers.load(fetcher, 2023, ["GM1680"])
    assert list(loaded.frame.columns) == [
        "buurtcode", "buurtnaam", "wijkcode", "gemeentecode", "gemeentenaam", "inwoners", "mannen", "vrouwen",
        "inwoners_0_14", "inwoners_15_24", "inwoners_25_44", "inwoners_45_64", "inwoners_65plus", "huishoudens",
        "eenpersoonshuishoudens", "huishoudens_zonder_kinderen", "huishoudens_met_kinderen", "gem_huishoudensgrootte",
        "bevolkingsdichtheid", "pct_0_14", "pct_65plus", "pct_eenpersoonshuishoudens", "pct_huishoudens_met_kinderen",
    ]  # fmt: skip
    assert loaded.frame["gemeentenaam"].unique().tolist() == ["Aa en Hunze"]
    about = loaded.columns.set_index("column")["about"]
    assert about["inwoners_0_14"] == "Aantal inwoners dat op 1 januari 0 tot 15 jaar oud is"
