"""Amsterdam got other codes in 2022, with letters: buurten of 2020 and 2024 by their names, on real figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.errors import BuurtsaeError


@pytest.fixture(scope="module")
def editions(shared: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Name and residents of the buurten of both years, by code."""
    found = []
    for year in (2020, 2024):
        table = pd.read_csv(shared / "data" / "nl" / f"amsterdam_kwb_{year}_extra.csv", sep=";")
        buurten = table[table["Area_Code"].str.startswith("BU") & (table["Municipality_Name"] == "Amsterdam")]
        named = buurten.set_index("Area_Code")[["District_Type", "Population_Total"]]
        found.append(named.set_axis(["name", "residents"], axis=1).astype({"residents": float}))
    return found[0], found[1]


@pytest.fixture(scope="module")
def walk(editions: tuple[pd.DataFrame, pd.DataFrame]) -> bs.Crosswalk:
    """Of the buurten whose name occurs once in both years."""
    old, new = (table.reset_index(names="code").drop_duplicates("name", keep=False) for table in editions)
    pairs = old.merge(new, on="name", suffixes=("_old", "_new"))
    table = pd.DataFrame({"old": pairs["code_old"], "new": pairs["code_new"], "share": 1.0})
    names = tuple(table["name"].to_dict() for table in editions)
    known = {"old_codes": editions[0].index, "new_codes": editions[1].index}
    return bs.Crosswalk.from_table(table, years=(2020, 2024), names=names, **known)  # type: ignore[arg-type]


def test_codes_with_letters_are_the_same_ground(
    walk: bs.Crosswalk, editions: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    before = walk.changes().iloc[: len(walk.old)]
    kept = before[before["new"].notna()]
    # the scheme is another: numbers became letters, and no code of 2020 exists in 2024
    assert kept["old"].str.fullmatch(r"BU0363\d{4}").all()
    assert kept["new"].str.fullmatch(r"BU0363[A-Z]{2}\d{2}").all()
    assert set(kept["change"]) == {"recoded"}
    once = [set(table["name"].drop_duplicates(keep=False)) for table in editions]
    assert len(kept) == len(once[0] & once[1]) > 200  # half of the 479 were named or drawn anew
    assert walk.reused == []


def test_residents_go_along(walk: bs.Crosswalk, editions: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    old, new = editions
    residents = old["residents"].reindex(walk.old).fillna(0.0)
    there = np.asarray(walk.pairs.sum(axis=1)).ravel() > 0
    with_codes = walk.convert_counts(residents)
    assert with_codes.sum() == pytest.approx(residents[there].sum(), rel=1e-12)  # nobody is lost or made
    both = pd.DataFrame({"then": with_codes, "now": new["residents"]}).dropna()
    both = both[(both["then"] > 500) & (both["now"] > 500)]
    # the same buurten four years later: by code not one of them would be found
    assert np.corrcoef(np.log(both["then"]), np.log(both["now"]))[0, 1] > 0.95
    assert not set(old.index) & set(new.index)


def test_a_survey_of_2020_in_the_model_of_2024(walk: bs.Crosswalk, editions: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    old, new = editions
    areas = bs.Areas.from_frame(new.reset_index(names="code"), code="code", year=2024, population="residents")
    walk = bs.Crosswalk(walk.old, walk.new, walk.pairs, (2020, 2024), level="area", unit="share")
    seen = walk.old[np.asarray(walk.pairs.sum(axis=1)).ravel() > 0]
    table = pd.DataFrame({"code": seen, "y": np.arange(len(seen)) / len(seen), "v": 0.1})
    of_2020 = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", year=2020)
    with pytest.raises(BuurtsaeError, match="no such edition"):
        bs.on_edition(of_2020, areas, "area_2020")
    moved = bs.on_edition(of_2020, areas.with_edition(walk), "area_2020")
    assert moved.sources[0].codes.isin(new.index).all()  # the same ground: each is a buurt of 2024, by its new code
    by_name = old["name"].loc[seen].reset_index(drop=True)
    lived = new["residents"].fillna(0) > 0
    there = by_name[by_name.isin(new["name"][lived])]
    assert sorted(new["name"].loc[moved.sources[0].codes]) == sorted(there)
