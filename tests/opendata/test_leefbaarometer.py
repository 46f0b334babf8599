"""Leefbaarometer: its zip, what scores are made of, buurten without one, codes of another division."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from replay import Answer, Replay
from routes_maps import MEAN, install_leefbaarometer, scores, zipped

from buurtsae.errors import DataError
from buurtsae.opendata import leefbaarometer
from buurtsae.opendata.http import Fetcher

FILE = "Leefbaarometer-scores buurten 2024.csv"
CODES = ["BU03630101", "BU0363AD03", "BU99010001", "BU99010002"]


@pytest.mark.parametrize(("sep", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), (";", "cp1252")])
def test_scores_of_one_measurement(replay: Replay, fetcher: Fetcher, sep: str, encoding: str) -> None:
    table = scores(CODES)
    install_leefbaarometer(replay, scores(CODES, 2022), table, sep=sep, encoding=encoding)
    loaded = leefbaarometer.load(fetcher, 2024)
    assert loaded.frame["buurtcode"].tolist() == CODES
    for column in leefbaarometer.SCORES:
        assert loaded.frame[column].to_numpy() == pytest.approx(table[column].to_numpy(), abs=1e-12)
    assert loaded.columns["column"].tolist() == list(leefbaarometer.SCORES)
    assert loaded.columns.set_index("column").loc["soc", "title"] == "Sociale samenhang"
    assert leefbaarometer.MODELLED in loaded.notes
    assert loaded.reasons.empty


def test_a_gemeente_with_its_buurten_without_a_score(replay: Replay, fetcher: Fetcher) -> None:
    install_leefbaarometer(replay, scores(CODES))
    buurten = ["BU99010001", "BU99010003", "BU99010002"]
    loaded = leefbaarometer.load(fetcher, 2024, ("GM9901",), buurten=buurten, division=2024)
    assert loaded.frame["buurtcode"].tolist() == sorted(buurten)
    missing = loaded.frame[loaded.frame["lbm"].isna()]
    assert missing["buurtcode"].tolist() == ["BU99010003"]
    assert set(loaded.reasons["code"]) == {"BU99010003"}
    assert set(loaded.reasons["column"]) == set(leefbaarometer.SCORES)
    assert loaded.columns.set_index("column").loc["lbm", "filled"] == pytest.approx(2 / 3)
    assert any("1 of 3 buurten have no score" in note for note in loaded.notes)


def test_codes_of_another_division_are_said(replay: Replay, fetcher: Fetcher) -> None:
    install_leefbaarometer(replay, scores(CODES, 2020))
    loaded = leefbaarometer.load(fetcher, 2020, buurten=["BU99010009"], division=2020)
    assert any("buurtcodes of 2024, and the areas are of 2020" in note for note in loaded.notes)
    assert loaded.frame["buurtcode"].tolist() == CODES  # nothing is joined by codes that may be of other ground
    assert loaded.reasons.empty


def test_scores_that_do_not_add_up(replay: Replay, fetcher: Fetcher) -> None:
    table = scores(CODES)
    table.loc[1, "soc"] += 0.001
    install_leefbaarometer(replay, table)
    with pytest.raises(DataError, match="answers strangely") as told:
        leefbaarometer.load(fetcher, 2024)
    assert "afw is not fys + onv + soc + vrz + won in 1 of 4 rows (BU0363AD03: 0.001 off)" in told.value.got


def test_another_mean_in_one_row(replay: Replay, fetcher: Fetcher) -> None:
    table = scores(CODES)
    table.loc[2, "lbm"] += 0.001
    install_leefbaarometer(replay, table)
    with pytest.raises(DataError) as told:
        leefbaarometer.load(fetcher, 2024)
    assert "lbm - afw is not the same in each row in 1 of 4 rows (BU99010001" in told.value.got


def test_rounded_scores_pass_and_shifted_ones_do_not(replay: Replay, fetcher: Fetcher) -> None:
    install_leefbaarometer(replay, rounded := scores(CODES).round(4))
    assert len(leefbaarometer.load(fetcher, 2024).frame) == 4
    rounded["fys"] += 0.0006  # six roundings of 0.00005 and 0.0001 explain 0.0004
    install_leefbaarometer(replay, rounded)
    fresh = replace(fetcher, refresh=True)
    with pytest.raises(DataError, match="answers strangely"):
        leefbaarometer.load(fresh, 2024)


def table_without(column: str) -> str:
    return scores(CODES).drop(columns=column).to_csv(index=False)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "a zip that cannot be read"),
        ({"wijken.csv": "a"}, "0 such files among wijken.csv"),
        ({FILE: table_without("soc")}, "columns jaar, bu_code"),
        ({FILE: "jaar,bu_code,lbm,afw,fys,onv,soc,vrz,won\n"}, "no rows of 2024"),
        ({FILE: "jaar", f"map/{FILE}": "jaar"}, "2 such files"),
        ({FILE: scores(["BU99010001"] * 2).to_csv(index=False)}, "come twice: BU99010001"),
        ({FILE: scores(CODES).to_csv(index=False).replace("4.", "a.")}, "in Leefbaarometer-scores buurten 2024.csv"),
    ],
    ids=["cut", "absent", "columns", "year", "two", "twice", "text"],
)
def test_what_is_no_file_of_scores(replay: Replay, fetcher: Fetcher, files: dict[str, str], said: str) -> None:
    body = zipped(files) if files else b"PK\x03\x04 cut short"
    replay.add("leefbaarometer", ".*", lambda asked: Answer(body, "application/zip"))
    with pytest.raises(DataError, match="answers strangely") as told:
        leefbaarometer.load(fetcher, 2024)
    assert said in told.value.got
    assert len(str(told.value).splitlines()) == 3


def test_years_and_gemeenten_that_are_not_there(replay: Replay, fetcher: Fetcher) -> None:
    install_leefbaarometer(replay, scores(CODES))
    with pytest.raises(DataError, match="there is no table of leefbaarometer of 2023"):
        leefbaarometer.load(fetcher, 2023)
    with pytest.raises(DataError, match="no such gemeenten in 2024") as told:
        leefbaarometer.load(fetcher, 2024, ("GM9901", "GM0457"))
    assert told.value.got == "GM0457 without a row"
    assert "division of 2024" in told.value.hint


@pytest.mark.national
def test_real_scores_of_rotterdam(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    table = pd.read_csv(shared / "data" / "nl" / "leefbaarometer_rotterdam_2024_buurt.csv")
    install_leefbaarometer(replay, table)
    kwb = pd.read_csv(shared / "data" / "nl" / "kwb_2024_buurt.csv", usecols=["buurtcode", "gemeentecode"])
    buurten = kwb["buurtcode"][kwb["gemeentecode"] == "GM0599"].tolist()
    loaded = leefbaarometer.load(fetcher, 2024, ("GM0599",), buurten=buurten, division=2024)
    assert int(loaded.frame["lbm"].notna().sum()) == 87
    assert loaded.reasons["code"].nunique() == len(buurten) - 87 == 4  # README of the shared data
    assert (loaded.frame["lbm"] - loaded.frame["afw"]).mean() == pytest.approx(MEAN, abs=1e-4)
