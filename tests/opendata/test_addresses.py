"""Addresses of two years: codes as numbers and with letters, mergers, what a run takes of them, other files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from replay import Answer, Replay
from routes_maps import install_addresses, made_addresses, zipped

import buurtsae as bs
from buurtsae.errors import DataError
from buurtsae.opendata import addresses
from buurtsae.opendata.http import Fetcher
from buurtsae.tables import read_table

OLD, NEW = "2020-cbs-pc6huisnr20200801-buurt.zip", "2023-cbs-pc6huisnr20230801_buurt_20250225.zip"


@pytest.fixture
def two_years(replay: Replay) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Amsterdam got letters; Weesp (GM0457) came to it; a buurt was split; one address went, one is new.

    Of Groningen the codes have leading zeros, and nothing changed.
    """
    old = made_addresses(["BU03630001", "BU04570101", "BU03630002", "BU00140003"])
    new = old.copy()
    new["code"] = new["code"].map({
        "BU03630001": "BU0363AD03", "BU04570101": "BU0363WA01", "BU03630002": "BU0363AD04", "BU00140003": "BU00140003",
    })  # fmt: skip
    new.loc[(old["code"] == "BU03630002") & (old["Huisnummer"] > 15), "code"] = "BU0363AD05"
    new = new.drop(index=0)
    new.loc[len(old)] = ["1099ZZ", 7, "BU0363AD03"]
    install_addresses(replay, OLD, old, 2020, "20200801", names={"3630001": "Burgwallen", "140003": "Binnenstad"})
    install_addresses(replay, NEW, new, 2023, "20230801", names={"0363AD03": "Café", "140003": "Binnenstad-Zuid"})
    return old, new


def test_two_years_of_the_country(fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    loaded = addresses.load(fetcher, (2020, 2023))
    frame = loaded.frame.astype({"old": object, "new": object, "postcode6": object})
    assert len(frame) == 81
    both = two_years[0].merge(two_years[1], on=["PC6", "Huisnummer"], how="outer")
    wanted = both.sort_values(["PC6", "Huisnummer"], ignore_index=True)
    assert frame["postcode6"].tolist() == wanted["PC6"].tolist()
    assert frame["huisnummer"].tolist() == wanted["Huisnummer"].tolist()
    for column, code in (("old", "code_x"), ("new", "code_y")):
        assert frame[column].fillna("").tolist() == wanted[code].fillna("").tolist()
    said = " ".join(loaded.notes)
    assert "addresses of 2020 are as on 2020-08-01" in said
    assert "BU00140003: Binnenstad -> Binnenstad-Zuid" in said


def test_a_run_takes_the_table(fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path) -> None:
    addresses.load(fetcher, (2020, 2023)).frame.to_parquet(path := tmp_path / "adressen_2020_2023.parquet")
    table = read_table(path, text=["old", "new", "postcode6"])  # as runs/editions.py reads it
    walk = bs.Crosswalk.from_addresses(table, "old", "new", years=(2020, 2023))
    changes = walk.changes().set_index("old")
    assert changes.loc["BU03630001", "change"] == "recoded"
    assert changes.loc["BU04570101", "new"] == "BU0363WA01"
    assert changes.loc["BU03630002", ["change", "how"]].tolist() == ["redrawn", "split"]
    assert changes.loc["BU00140003", "change"] == "same"
    assert walk.unmatched.sum() == walk.fresh.sum() == 1
    assert walk.shares.toarray()[list(walk.old).index("BU03630002")].max() == 0.75  # 15 of 20


def test_a_gemeente_has_the_whole_of_its_old_buurten(
    replay: Replay, fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    new = two_years[1]
    new = new.assign(
        code=new["code"].mask((new.index >= 20) & (new.index < 25), "BU00140009")
    )  # 5 of Weesp to Groningen
    install_addresses(replay, NEW, new, 2023, "20230801")
    frame = addresses.load(fetcher, (2020, 2023), ("GM0363",)).frame
    assert set(frame["old"].dropna()) == {"BU03630001", "BU04570101", "BU03630002"}
    assert set(frame["new"].dropna()) == {"BU0363AD03", "BU0363WA01", "BU0363AD04", "BU0363AD05", "BU00140009"}
    assert (frame["old"] == "BU04570101").sum() == 20  # those that went elsewhere too
    assert len(frame) == 61  # with the address that went, and the one that is new


def test_addresses_that_come_twice(
    replay: Replay, fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    old = two_years[0]
    more = pd.concat([old, old.iloc[[0, 1]], old.iloc[[2]].assign(code="BU00140003")])
    install_addresses(replay, OLD, more, 2020, "20200801")
    loaded = addresses.load(fetcher, (2020, 2023))
    assert any("3 rows repeat an address, and 1 addresses lie in two buurten" in note for note in loaded.notes)
    assert loaded.frame["old"].isna().sum() == 2  # the new one, and that which lies in two


def test_many_blocks_are_one(
    fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = addresses.load(fetcher, (2020, 2023)).frame
    monkeypatch.setattr(addresses, "BLOCK", 200)  # codes get other numbers in each
    assert addresses.load(fetcher, (2020, 2023)).frame.equals(whole)


def bad(**changed: object) -> pd.DataFrame:
    return made_addresses(["BU03630001"]).assign(**changed)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (bad(PC6="11AB"), "20 rows such as '11AB' 1"),
        (bad(PC6=None), "20 rows such as None 1"),
        (bad(Huisnummer="12a"), "in pc6hnr20230801_gwb.csv"),
        (bad(Huisnummer=100_000), "20 rows such as '1000AB' 100000"),
        (bad(code=""), "20 of 20 rows without a code"),
        (bad(code="BU363AD0300"), "codes that are none"),
    ],
)
def test_what_is_no_address(replay: Replay, fetcher: Fetcher, table: pd.DataFrame, said: str) -> None:
    install_addresses(replay, OLD, made_addresses(["BU03630001"]), 2020, "20200801")
    install_addresses(replay, NEW, table, 2023, "20230801")
    with pytest.raises(DataError, match="answers strangely") as told:
        addresses.load(fetcher, (2020, 2023))
    assert said in told.value.got


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"leesmij.txt": "niets"}, "0 such files among leesmij.txt"),
        ({"pc6hnr20230801_gwb.csv": "PC6;Huisnummer;Buurt2022\n"}, "codes of 2022"),
        ({"pc6hnr20230801_gwb.csv": "PC6;Huisnummer\n"}, "columns PC6, Huisnummer"),
        ({"pc6hnr20230801_gwb.csv": "PC6;Huisnummer;Buurt2023\n"}, "0 of 0 rows"),
        ({}, "a zip that cannot be read"),
    ],
    ids=["absent", "year", "columns", "empty", "cut"],  # a zip holds the moment at which it was made
)
def test_what_is_no_table_of_addresses(replay: Replay, fetcher: Fetcher, files: dict[str, str], said: str) -> None:
    install_addresses(replay, OLD, made_addresses(["BU03630001"]), 2020, "20200801")
    body = zipped(files) if files else b"PK\x03\x04"
    replay.add("adressen", NEW, lambda asked: Answer(body, "application/zip"))
    with pytest.raises(DataError, match="answers strangely") as told:
        addresses.load(fetcher, (2020, 2023))
    assert said in told.value.got


def test_a_zip_that_is_damaged(replay: Replay, fetcher: Fetcher) -> None:
    table = made_addresses(["BU03630001"], each=2000)
    install_addresses(replay, OLD, table, 2020, "20200801")
    body = bytearray(replay.answer(f"/adressen/{OLD}", "").body)
    body[300:340] = bytes(40)
    replay.add("adressen", OLD, lambda asked: Answer(bytes(body), "application/zip"))
    with pytest.raises(DataError, match="answers strangely") as told:
        addresses.load(fetcher, (2020, 2023))
    assert "a zip that cannot be read" in told.value.got


def test_years_and_gemeenten_that_are_not_there(fetcher: Fetcher, two_years: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    with pytest.raises(DataError, match="no table of adressen of 2024"):
        addresses.load(fetcher, (2020, 2024))
    with pytest.raises(DataError, match="from one year to another"):
        addresses.load(fetcher, (2020, 2020))
    with pytest.raises(DataError, match="no addresses in 2023") as told:
        addresses.load(fetcher, (2020, 2023), ("GM0457",))
    assert told.value.got == "GM0457"


def test_editions_without_an_address_in_common(replay: Replay, fetcher: Fetcher) -> None:
    install_addresses(replay, OLD, made_addresses(["BU03630001"]), 2020, "20200801")
    install_addresses(replay, NEW, made_addresses(["BU03630001"], start=1), 2023, "20230801")
    with pytest.raises(DataError, match="no address of 2020 is one of 2023") as told:
        addresses.load(fetcher, (2020, 2023))
    assert told.value.got == "20 and 20 addresses"


def test_a_slip_in_a_name_does_not_matter(replay: Replay, fetcher: Fetcher) -> None:
    table = made_addresses(["BU03630001"])
    install_addresses(replay, OLD, table, 2020, "20190801")  # the file says another day than its columns
    install_addresses(replay, NEW, table, 2023, "", name="map/PC6hnr_gwb-vs2.CSV")
    loaded = addresses.load(fetcher, (2020, 2023))
    assert len(loaded.frame) == 20
    assert [note for note in loaded.notes if "as on" in note] == ["addresses of 2020 are as on 2019-08-01"]
