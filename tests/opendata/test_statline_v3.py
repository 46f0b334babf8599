"""Third parties on StatLine, OData v3: padded keys, filters by a beginning only, pages, figures missing by a dot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from replay import Asked, Replay
from routes_statline import MARGES, Cube4, Feed3, install, measure

from buurtsae.errors import DataError
from buurtsae.opendata import gezondheid, misdrijven
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.statline_v3 import read, topic_of

AREAS = {"GM0363": "Amsterdam", "BU0363AD01": "Kop", "BU0363AD03": "Oever", "GM0003": "Appingedam",
         "BU00030000": "Kern", "BU00030009": "Buiten"}  # fmt: skip
PERIODS = {"2020JJ00": "2020", "2024JJ00": "2024"}


def health(value: Callable[[str, str, str, str], object]) -> Feed3:
    """A made table of health: what `value` says of an age, a margin, an area and a period."""
    ages = {"20300": "18+", "203001": "18+, other", "80200": "65+"}
    rows = [
        {"Leeftijd": age, "Marges": marge, "WijkenEnBuurten": area, "Perioden": period,
         "GoedErvarenGezondheid_4": value(age, marge, area, period), "Roker_11": None}
        for age in ages for marge in MARGES for area in AREAS for period in PERIODS
    ]  # fmt: skip
    return Feed3("50150NED", {
        "Leeftijd": ("Dimension", 6, ages), "Marges": ("Dimension", 8, MARGES),
        "WijkenEnBuurten": ("GeoDetail", 12, AREAS), "Perioden": ("TimeDimension", 8, PERIODS),
    }, {"GoedErvarenGezondheid_4": ("Goed ervaren gezondheid", "%"), "Roker_11": ("Roker", "%")}, rows)  # fmt: skip


def plain_value(age: str, marge: str, area: str, period: str) -> object:
    """Adults in 2024: 70, with bounds 65 and 75, one place missing; anything else is far from it."""
    if (age, period) != ("20300", "2024JJ00"):
        return 1
    return "       ." if area == "BU0363AD03" else {"MW00000": 70, "MOG0095": 65, "MBG0095": 75}[marge]


@pytest.fixture
def table(replay: Replay) -> Feed3:
    """Health of two made gemeenten, in pages of two rows."""
    made = health(plain_value).install(replay)
    made.page = 2
    return made


@pytest.mark.national
def test_a_real_reply_is_read(shared: Path) -> None:
    """83765NED of Rotterdam: 1 gemeente, 22 wijken, 92 buurten; 24 rows have dots (README of the data)."""
    path = shared / "data" / "nl" / "examples" / "odata_v3_untyped_83765NED_rotterdam.json"
    rows = list(json.loads(path.read_text(encoding="utf-8-sig"))["value"].values())
    with pytest.raises(ValueError, match="different keys: k_65JaarOfOuder_12, k_65JaarrOfOude_12"):
        read(rows, ["WijkenEnBuurten"])  # one key is misspelt in the file
    rows = [{key.replace("JaarrOfOude", "JaarOfOuder"): value for key, value in row.items()} for row in rows]
    found = read(rows, ["WijkenEnBuurten"])
    codes = found["WijkenEnBuurten"]
    assert codes.str.fullmatch(r"GM\d{4}|WK\d{6}|BU\d{8}").all()  # padded to ten by the service
    assert codes.str[:2].value_counts().to_dict() == {"BU": 92, "WK": 22, "GM": 1}
    assert int(found.isna().any(axis=1).sum()) == 24
    first = found.iloc[0]
    assert [first["k_0Tot15Jaar_8"], first["GemiddeldInkomenPerInwoner_66"]] == [103435, 23.7]  # "  103435", "    23.7"
    assert topic_of("GemiddeldInkomenPerInwoner_66") == "GemiddeldInkomenPerInwoner"


def test_rows_of_an_age_and_year_with_their_bounds(table: Feed3, fetcher: Fetcher) -> None:
    loaded = gezondheid.load(fetcher, 2024)
    frame = loaded.frame.set_index("buurtcode")
    assert list(frame.index) == ["BU00030000", "BU00030009", "BU0363AD01", "BU0363AD03"]
    for column, value in (("", 70), ("_lower", 65), ("_upper", 75)):
        np.testing.assert_array_equal(frame[f"pct_goed_ervaren_gezondheid{column}"], [value] * 3 + [np.nan])
    assert list(frame.columns[4:]) == [
        "pct_goed_ervaren_gezondheid", "roker", "pct_goed_ervaren_gezondheid_lower",
        "pct_goed_ervaren_gezondheid_upper",
    ]  # fmt: skip
    assert any("their bounds are given" in note for note in loaded.notes)
    assert any("1 of 4 columns have no figure" in note and "Roker" in note for note in loaded.notes)
    assert loaded.columns["code"].tolist()[:2] == ["GoedErvarenGezondheid", "Roker"]
    assert not any("division of 2024" in note for note in loaded.notes)
    assert any("division of 2024" in note for note in gezondheid.load(fetcher, 2020).notes)
    assert loaded.retrieved[0].edition == table.modified
    assert "RIVM" in loaded.retrieved[0].credit


def test_bounds_that_are_not_filled_are_no_columns(replay: Replay, fetcher: Fetcher) -> None:
    health(lambda age, marge, area, period: 70 if marge == "MW00000" else None).install(replay)
    loaded = gezondheid.load(fetcher, 2024, ["GM0003"])
    assert list(loaded.frame.columns[5:]) == ["pct_goed_ervaren_gezondheid", "roker"]
    assert any("their bounds are not given" in note for note in loaded.notes)


def test_padded_keys_are_asked_by_their_beginning(table: Feed3, fetcher: Fetcher, replay: Replay) -> None:
    """Equality with another width finds nothing, with HTTP 200."""
    wrong = Asked("derden", "50150NED/TypedDataSet", {"$filter": "WijkenEnBuurten eq 'BU00030000'"}, "")
    assert json.loads(table.answer(wrong).body)["value"] == []
    assert len(gezondheid.load(fetcher, 2024, ["GM0003"]).frame) == 2
    filters = [one.query["$filter"] for one in replay.asked if "$filter" in one.query]
    assert filters
    for text in filters:
        assert "startswith(WijkenEnBuurten,'BU0003')" in text
        assert not {" eq ", " ge ", " lt "} & set(text.split("'"))
        assert " eq " not in text


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("count", [4999, 5000, 5001, 10_000])
def test_all_pages_come_with_links_and_without(replay: Replay, fetcher: Fetcher, links: bool, count: int) -> None:
    codes = [f"BU0003{k:04d}" for k in range(count)]
    made = health(lambda *args: 1)
    made.links, made.dimensions["WijkenEnBuurten"] = links, ("GeoDetail", 10, dict.fromkeys(codes, "x"))
    fixed = {"Leeftijd": "20300", "Marges": "MW00000", "Perioden": "2024JJ00", "Roker_11": 2}
    made.rows = [{**fixed, "WijkenEnBuurten": code, "GoedErvarenGezondheid_4": k} for k, code in enumerate(codes)]
    made.install(replay)
    frame = gezondheid.load(fetcher, 2024).frame
    np.testing.assert_array_equal(frame["pct_goed_ervaren_gezondheid"], np.arange(count))


def test_a_service_that_ignores_skip_is_caught(replay: Replay, fetcher: Fetcher) -> None:
    made = health(plain_value).install(replay)

    def again(asked: Asked) -> Any:
        return made.answer(replace(asked, query={k: v for k, v in asked.query.items() if k != "$skip"}))

    made.rows, made.links = made.rows * 100, False
    made.rows = [
        {**row, "WijkenEnBuurten": "BU00030000", "Leeftijd": "20300", "Perioden": "2024JJ00"} for row in made.rows
    ]
    replay.add("derden", "50150NED/TypedDataSet", again)
    with pytest.raises(DataError, match="answers strangely") as told:
        gezondheid.load(fetcher, 2024)
    assert "rows that came before" in told.value.got


def test_a_service_that_ignores_the_filter_is_caught(table: Feed3, fetcher: Fetcher) -> None:
    table.filters = False
    with pytest.raises(DataError, match="answers strangely") as told:
        gezondheid.load(fetcher, 2024, ["GM0003"])
    assert "other rows, such as" in told.value.got
    assert "it seems to be ignored" in told.value.expected


def test_no_rows_of_a_known_area_are_an_error(table: Feed3, fetcher: Fetcher) -> None:
    table.rows = [row for row in table.rows if "0003" not in row["WijkenEnBuurten"]]
    with pytest.raises(DataError, match="answers strangely") as told:
        gezondheid.load(fetcher, 2024, ["GM0363", "GM0003"])
    assert "no rows for startswith(WijkenEnBuurten,'BU0003')" in told.value.got


def test_what_the_table_does_not_have(table: Feed3, fetcher: Fetcher) -> None:
    with pytest.raises(DataError, match="there is no table of gezondheid of 2021"):
        gezondheid.load(fetcher, 2021)
    with pytest.raises(DataError, match="has no Perioden 2022JJ00") as told:
        gezondheid.load(fetcher, 2022)
    assert told.value.expected == "2024JJ00, 2020JJ00"
    with pytest.raises(DataError, match="has no Leeftijd 53115"):
        gezondheid.load(fetcher, 2024, age="53115")
    with pytest.raises(DataError, match="has no buurten of some gemeenten") as told:
        gezondheid.load(fetcher, 2024, ["GM0364"])
    assert "GM0363 Amsterdam" in told.value.expected


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"GoedErvarenGezondheid_4": "geheim"}, "geheim"),
        ({"Marges": "MX00000"}, "MX00000"),
        ({"WijkenEnBuurten": "BU00990000"}, "areas that its own list lacks: BU00990000"),
    ],
)
def test_rows_that_are_strange(replay: Replay, fetcher: Fetcher, change: dict[str, object], got: str) -> None:
    made = health(plain_value)
    made.rows = [{**row, **change} for row in made.rows]
    made.install(replay)
    with pytest.raises(DataError, match="answers strangely") as told:
        gezondheid.load(fetcher, 2024)
    assert got in told.value.got


def test_a_dot_is_missing_and_words_are_refused() -> None:
    found = read([{"ID": 1, "A": " 5", "B_1": value} for value in ("     .", "", None, "  -0.5", 3)], ["A"])
    np.testing.assert_array_equal(found["B_1"], [np.nan, np.nan, np.nan, -0.5, 3])
    assert found["A"].tolist() == ["5"] * 5


CRIMES = {"GM0363": 100, "BU0363AD01": 60, "BU0363AD03": 40, "GM0003": 50, "BU00030000": 2, "BU00030001": 44}


@pytest.fixture
def crimes(replay: Replay) -> Feed3:
    """Crimes of two made gemeenten, in one of which the police have another division than kerncijfers."""
    rows = [
        {
            "SoortMisdrijf": kind,
            "WijkenEnBuurten": area,
            "Perioden": "2024JJ00",
            "GeregistreerdeMisdrijven_1": factor * n,
        }
        for kind, factor in (("0.0.0", 1), ("1.1.1", 0))
        for area, n in {**CRIMES, "BU00000000": 7}.items()
    ]
    figures = pd.DataFrame({"T001036": [10.0] * len(AREAS)}, index=list(AREAS), dtype=object)
    Cube4("85984NED", figures, [measure("T001036", "Aantal inwoners")], AREAS).install(replay)
    return Feed3("47018NED", {
        "SoortMisdrijf": ("Dimension", 6, {"0.0.0": "Totaal", "1.1.1": "Woninginbraak"}),
        "WijkenEnBuurten": ("GeoDetail", 10, dict.fromkeys([*CRIMES, "BU00000000"], "x")),
        "Perioden": ("TimeDimension", 8, {"2024JJ00": "2024"}),
    }, {"GeregistreerdeMisdrijven_1": ("Geregistreerde misdrijven", "aantal")}, rows).install(replay)  # fmt: skip


def test_a_gemeente_that_the_police_divide_otherwise_is_missing(crimes: Feed3, fetcher: Fetcher) -> None:
    loaded = misdrijven.load(fetcher, 2024)
    frame = loaded.frame.set_index("buurtcode")["misdrijven"]
    np.testing.assert_array_equal(frame[["BU0363AD01", "BU0363AD03"]], [60, 40])
    assert frame[["BU00030000", "BU00030009"]].isna().all()  # 2 of the 50 of the gemeente are found: no safe place
    assert loaded.reasons.set_index("code")["reason"].to_dict() == {
        "BU00030000": misdrijven.OTHER, "BU00030009": misdrijven.OTHER,
    }  # fmt: skip
    notes = " ".join(loaded.notes)
    assert "7 crimes have no known place" in notes
    assert "BU00030001" in notes
    assert "with 44 crimes" in notes
    assert "Appingedam (4%)" in notes
    assert loaded.columns[["column", "code", "filled"]].to_numpy().tolist() == [["misdrijven", "0.0.0", 0.5]]


def test_a_buurt_that_the_police_lack_is_missing(crimes: Feed3, fetcher: Fetcher) -> None:
    crimes.rows = [row for row in crimes.rows if row["WijkenEnBuurten"] != "BU0363AD03"]
    crimes.rows = [{**row, "GeregistreerdeMisdrijven_1": 62} if row["WijkenEnBuurten"] == "GM0363" else row
                   for row in crimes.rows]  # fmt: skip
    loaded = misdrijven.load(fetcher, 2024, ["GM0363"])
    assert loaded.reasons.to_numpy().tolist() == [["BU0363AD03", "misdrijven", misdrijven.ABSENT]]
    assert any("1 of 2 buurten are not in the table of the police" in note for note in loaded.notes)


def test_crimes_per_thousand_residents_and_of_a_kind(crimes: Feed3, fetcher: Fetcher) -> None:
    people = pd.Series({"BU0363AD01": 500, "BU0363AD03": 0})
    frame = misdrijven.load(fetcher, 2024, ["GM0363"], residents=people).frame
    np.testing.assert_array_equal(frame["misdrijven_per_1000"], [120, np.nan])  # 60 of 500; nobody lives in the other
    assert misdrijven.load(fetcher, 2024, ["GM0363"], kind="1.1.1").frame["misdrijven"].tolist() == [0, 0]
    assert misdrijven.load(fetcher, 2024, None, "gemeente").frame["misdrijven"].tolist() == [50, 100]
    with pytest.raises(DataError, match=r"has no SoortMisdrijf 9\.9\.9"):
        misdrijven.load(fetcher, 2024, kind="9.9.9")


def test_a_gemeente_that_the_police_do_not_have(crimes: Feed3, fetcher: Fetcher) -> None:
    kind, width, areas = crimes.dimensions["WijkenEnBuurten"]
    kept = {code: title for code, title in areas.items() if "0003" not in code}
    crimes.dimensions["WijkenEnBuurten"] = (kind, width, kept)
    loaded = misdrijven.load(fetcher, 2024, ["GM0003", "GM0363"])
    np.testing.assert_array_equal(loaded.frame["misdrijven"], [np.nan, np.nan, 60, 40])
    assert any("Appingedam (0%)" in note for note in loaded.notes)


@pytest.mark.national
def test_real_tables_of_third_parties(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    """Amsterdam, and Voorst (GM0285), where the police have other buurten."""
    data = shared / "data" / "nl"
    install(replay, data)
    real = pd.read_csv(data / "rivm_gezondheid_buurt.csv", index_col="buurtcode")
    frame = gezondheid.load(fetcher, 2022, ["GM0285"]).frame.set_index("buurtcode")
    np.testing.assert_array_equal(
        frame["pct_goed_ervaren_gezondheid"], real.loc[frame.index, "pct_goed_ervaren_gezondheid_2022"]
    )
    loaded = misdrijven.load(fetcher, 2024, ["GM0363", "GM0285"])
    real = pd.read_csv(data / "misdrijven_2021_2025_buurt.csv", index_col="buurtcode")
    frame = loaded.frame.set_index("buurtcode")
    assert frame.loc[frame["gemeentecode"] == "GM0285", "misdrijven"].isna().all()
    city = frame[frame["gemeentecode"] == "GM0363"]
    np.testing.assert_array_equal(city["misdrijven"], real.loc[city.index, "misdrijven_2024"])


@pytest.mark.national
@pytest.mark.parametrize("year", [2021, 2022, 2023, 2024, 2025])
def test_which_gemeenten_the_police_divide_otherwise(shared: Path, year: int) -> None:
    """Best, Voorst, Zoetermeer and Heeze-Leende, far below the limit; all others far above it."""
    data, column = shared / "data" / "nl", f"misdrijven_{year}"
    number = pd.read_csv(data / "misdrijven_2021_2025_buurt.csv", index_col="buurtcode")[column]
    total = pd.read_csv(data / "misdrijven_gezondheid_gemeente.csv", index_col="gemeentecode")[column]
    share = misdrijven.share_found(number, total)
    assert len(share) == 342
    assert set(share.index[~(share >= misdrijven.LEAST)]) == {"GM0753", "GM0285", "GM0637", "GM1658"}
    assert share.fillna(0).nsmallest(5).between(0.165, 0.9).sum() == 0
