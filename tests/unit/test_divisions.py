"""Crosswalks between editions: what changed, reused codes, conversions, the error of shares, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import Point, Polygon, box

from buurtsae.areas.divisions import Crosswalk
from buurtsae.errors import BuurtsaeError, DataError, ProblemsError

# addresses by old and new buurt: each line is a number of them
PARTS = [
    ("BU03440001", "BU03440001", 100),  # same
    ("BU03440002", "BU03440012", 80),  # recoded; its code is reused by 0009
    ("BU03440003", "BU03440003", 45),  # split in 3/4 with the old code and 1/4
    ("BU03440003", "BU03440013", 15),
    ("BU03440004", "BU03440004", 30),  # merged with 0005
    ("BU03440005", "BU03440004", 10),
    ("BU03440006", "BU03440006", 90),  # a border moved: 10 addresses to 0007
    ("BU03440006", "BU03440007", 10),
    ("BU03440007", "BU03440007", 50),
    ("BU03440008", None, 20),  # demolished
    ("BU03440009", "BU03440002", 70),  # recoded to a code that was of other ground
    ("BU03440001", None, 5),
    (None, "BU03440014", 25),  # built
]
YEARS = (2020, 2024)
NAMES = {"BU03440001": "Oud"}, {"BU03440001": "Nieuw"}


def addresses(parts: list[tuple[str | None, str | None, int]] = PARTS) -> pd.DataFrame:
    rows = [(old, new) for old, new, n in parts for _ in range(n)]
    table = pd.DataFrame(rows, columns=["b2020", "b2024"])
    return table.assign(postcode6="3511AB", huisnummer=range(1, len(table) + 1))


def walked(**more: Any) -> Crosswalk:
    return Crosswalk.from_addresses(addresses(), "b2020", "b2024", years=YEARS, **more)


def test_every_area_gets_its_class() -> None:
    table = walked().changes().set_index("old")
    rows = table.to_dict("index")
    kinds = {
        code[-2:]: (row["change"], row["how"], row["new"] and row["new"][-2:]) for code, row in rows.items() if code
    }
    assert kinds == {
        "01": ("same", None, "01"),
        "02": ("recoded", None, "12"),
        "03": ("redrawn", "split", "03"),
        "04": ("redrawn", "merged", "04"),
        "05": ("redrawn", "merged", "04"),
        "06": ("redrawn", "border", "06"),
        "07": ("redrawn", "merged", "07"),  # all of it is in 0007, which has more
        "08": ("gone", None, None),
        "09": ("recoded", None, "02"),
    }
    assert table[table["change"] == "new"]["new"].tolist() == ["BU03440014"]
    assert table.loc["BU03440003", ["share", "origin", "parts"]].tolist() == [0.75, 1.0, 2]
    assert table.loc[["BU03440001", "BU03440008"], "unmatched"].tolist() == [5, 20]


def test_a_reused_code_is_caught_and_named() -> None:
    walk = walked()
    assert walk.reused == ["BU03440002"]  # not 0003, 0004, 0006: most of the ground is the same
    note = next(note for note in walk.notes if "belong to other ground" in note)
    assert note.startswith("1 codes of 2020")
    assert "BU03440002" in note
    assert "BU03440002" in note.nl


def test_names_tell_who_was_renamed() -> None:
    assert walked(names=NAMES).changes()["change"].tolist()[0] == "renamed"
    assert walked(names=(NAMES[0], NAMES[0])).changes()["change"].tolist()[0] == "same"


def test_areas_without_addresses_are_empty_not_gone() -> None:
    codes = [code for old, new, _ in PARTS for code in (old, new) if code] + ["BU03449999"]
    walk = walked(old_codes=codes, new_codes=codes)
    table = walk.changes()
    assert table[table["old"] == "BU03449999"]["change"].tolist() == ["empty"]
    assert "BU03449999" not in set(table["new"][table["change"] == "new"])


def test_the_audit_counts_everything() -> None:
    audit = walked().audit()
    expected = {"same": 1, "recoded": 2, "redrawn": 5, "gone": 1, "new": 1, "split": 1, "merged": 3, "border": 1}
    assert {name: audit[name] for name in expected} == expected
    # of 550 addresses 500 are in both editions, 25 in the old one only, 25 in the new one only
    assert (audit["total"], audit["unmatched"], audit["fresh"]) == (500.0, 25.0, 25.0)


@pytest.mark.parametrize("same", [0.8, 0.99])
def test_the_threshold_of_the_same_ground(same: float) -> None:
    # 0006 keeps 90 of 100 addresses, and 0006 of 2024 has nothing else
    change = walked(same=same).changes().set_index("old").loc["BU03440006", "change"]
    assert change == ("same" if same == 0.8 else "redrawn")


def test_counts_keep_their_sum_and_means_are_weighted_by_addresses() -> None:
    walk = walked()
    x = pd.Series(np.arange(1.0, 10.0) * 100, index=walk.old)
    new = walk.convert_counts(x)
    assert new.sum() == pytest.approx(x.drop("BU03440008").sum(), rel=1e-14)  # nothing is left of 0008
    assert new["BU03440003"] == pytest.approx(225)
    assert new["BU03440007"] == pytest.approx(700 + 60)
    means = walk.convert_means(x)
    assert means["BU03440004"] == pytest.approx((400 * 30 + 500 * 10) / 40)
    assert means["BU03440013"] == pytest.approx(300)
    assert np.isnan(means["BU03440014"])
    table = walk.convert(pd.DataFrame({"residents": x, "share": x}), counts=["residents"])
    np.testing.assert_array_equal(table["residents"], new)
    np.testing.assert_array_equal(table["share"], means)


def test_a_mean_of_which_a_part_is_missing_is_missing() -> None:
    walk = walked()
    x = pd.Series(1.0, index=walk.old)
    x["BU03440005"] = np.nan
    means = walk.convert_means(x)
    assert np.isnan(means["BU03440004"])
    assert means["BU03440003"] == 1.0


def test_a_part_below_the_threshold_may_be_missing() -> None:
    parts = [("a", "a", 995), ("b", "a", 5), ("b", "b", 95)]
    walk = Crosswalk.from_addresses(addresses(parts), "b2020", "b2024", years=YEARS, level="area")  # type: ignore[arg-type]
    assert walk.convert_means(pd.Series({"a": 2.0, "b": np.nan}))["a"] == 2.0


def test_figures_of_other_areas_are_refused() -> None:
    walk = walked()
    with pytest.raises(DataError) as found:
        walk.convert_counts(pd.Series(1.0, index=[*walk.old[1:], "BU09999999"]))
    assert found.value.got == "1 absent (BU03440001), 1 unknown (BU09999999)"


def test_draws_of_shares_are_dirichlet() -> None:
    walk, n = walked(), 20_000
    t = walk.shares
    drawn = walk.draws(np.random.default_rng(1), n)
    sums = np.add.reduceat(drawn, np.unique(t.indptr[:-1][np.diff(t.indptr) > 0]), axis=1)
    np.testing.assert_allclose(sums, 1.0, rtol=1e-12)
    at = t.indptr[walk.old.get_loc("BU03440003")]
    # Beta(45, 15): mean 3/4, variance 3/16 / 61; errors of n draws are sd / sqrt(n) and var sqrt(2 / n): four of these
    assert drawn[:, at].mean() == pytest.approx(0.75, abs=4 * np.sqrt(3 / 16 / 61 / n))
    assert drawn[:, at].var() == pytest.approx(3 / 16 / 61, rel=4 * np.sqrt(2 / n))
    whole = t.indptr[walk.old.get_loc("BU03440001")]
    assert (drawn[:, whole] == 1).all()
    matrix = walk.drawn(drawn[0])
    np.testing.assert_array_equal(matrix.data, drawn[0])


def test_exact_shares_are_not_drawn() -> None:
    table = pd.DataFrame({"old": ["a", "a"], "new": ["a", "b"], "share": [0.3, 0.7]})
    walk = Crosswalk.from_table(table, years=YEARS)
    np.testing.assert_array_equal(walk.draws(np.random.default_rng(1), 3), [[0.3, 0.7]] * 3)
    uncertain = Crosswalk.from_table(table, years=YEARS, concentration=9)
    # Beta(3, 7) has variance 0.21 / 10 with 9 + 1
    assert uncertain.draws(np.random.default_rng(1), 20_000)[:, 0].var() == pytest.approx(0.021, rel=0.04)


def test_back_and_forth() -> None:
    walk = walked()
    back = walk.reversed()
    assert back.years == (2024, 2020)
    np.testing.assert_array_equal(back.shares.toarray(), walk.origins.toarray().T)
    again = back.reversed()
    np.testing.assert_array_equal(again.pairs.toarray(), walk.pairs.toarray())
    np.testing.assert_array_equal(again.unmatched, walk.unmatched)


def test_weights_are_residents_by_origin() -> None:
    walk = walked()
    residents = pd.Series(100.0, index=walk.new)
    weights = walk.weights(residents).toarray()[walk.old.get_loc("BU03440006")]
    # all 100 of 0006, and 10 of 60 addresses of the 100 of 0007
    expected = np.array([100, 100 * 10 / 60]) / (100 + 100 * 10 / 60)
    np.testing.assert_allclose(weights[weights > 0], expected, rtol=1e-14)


def test_codes_of_cbs_may_be_numbers() -> None:
    table = pd.DataFrame({"pc": ["1011AB", "1011 ab", "1012XX"], "nr": [1, 2, 3],
                          "old": [3630001, 3630001, 3630002], "new": ["3630001", "0363AD03", "3630002"]})  # fmt: skip
    walk = Crosswalk.from_addresses(table, "old", "new", years=YEARS, postcode="pc", number="nr")
    assert walk.old.tolist() == ["BU03630001", "BU03630002"]
    assert walk.new.tolist() == ["BU03630001", "BU03630002", "BU0363AD03"]
    wijk = Crosswalk.from_addresses(
        table.assign(old=36300), "old", "new", years=YEARS, postcode="pc", number="nr", level="wijk", new_codes=None
    )
    assert wijk.old.tolist() == ["WK036300"]


def test_an_address_counts_once() -> None:
    table = addresses()
    twice = pd.concat([table, table.iloc[:7]])
    walk = Crosswalk.from_addresses(twice, "b2020", "b2024", years=YEARS)
    np.testing.assert_array_equal(walk.pairs.toarray(), walked().pairs.toarray())
    assert walk.remarks == ("7 rows repeat an address: each counts once",)


def test_two_tables_meet_in_one() -> None:
    # rows of each edition below each other, as well as side by side
    table = addresses()
    apart = pd.concat([table.drop(columns="b2024"), table.drop(columns="b2020")])
    walk = Crosswalk.from_addresses(apart, "b2020", "b2024", years=YEARS)
    np.testing.assert_array_equal(walk.pairs.toarray(), walked().pairs.toarray())


def squares(**shapes: Any) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(index=list(shapes), geometry=list(shapes.values()), crs="EPSG:28992")


OLD = squares(a=box(0, 0, 400, 100), b=box(400, 0, 800, 100), sea=box(800, 0, 900, 100))
NEW = squares(a=box(0, 0, 300, 100), c=box(300, 0, 800, 100), d=box(800, 0, 850, 100))


def test_polygons_share_their_area() -> None:
    walk = Crosswalk.from_polygons(OLD, NEW, years=YEARS)
    np.testing.assert_allclose(walk.pairs.toarray(), [[30_000, 10_000, 0], [0, 40_000, 0], [0, 0, 5_000]])
    np.testing.assert_allclose(walk.outside, [0, 0, 0.5])
    assert walk.audit()["outside"] == ["sea"]
    # counts lose what is outside; of the rest the sum is kept
    assert walk.convert_counts(pd.Series({"a": 4.0, "b": 2.0, "sea": 6.0})).tolist() == [3.0, 3.0, 3.0]
    assert walk.concentration.tolist() == [50] * 3  # type: ignore[union-attr]


def test_points_of_residents_count_instead_of_metres() -> None:
    points = gpd.GeoDataFrame(
        {"n": [9.0, 1.0, 5.0, 7.0, 100.0]},
        geometry=[Point(x, 50) for x in (350, 100, 500, 820, 5000)],
        crs="EPSG:28992",
    )
    walk = Crosswalk.from_polygons(OLD, NEW, years=YEARS, points=points, weight="n")
    np.testing.assert_array_equal(walk.pairs.toarray(), [[1, 9, 0], [0, 5, 0], [0, 0, 7]])
    assert (walk.unit, walk.outside.tolist()) == ("points", [0, 0, 0])
    plain = Crosswalk.from_polygons(OLD, NEW, years=YEARS, points=points)
    np.testing.assert_array_equal(plain.pairs.toarray()[0], [1, 1, 0])


def test_slivers_of_both_are_left_out_and_said() -> None:
    new = squares(a=box(0, 0, 401, 100), b=box(401, 0, 800, 100), sea=box(800, 0, 900, 100))
    walk = Crosswalk.from_polygons(OLD, new, years=YEARS, least=0.01)
    assert walk.pairs.nnz == 3
    assert "1 overlaps below 1.0% of both areas left out, 0.11% of the ground" in walk.remarks
    # a small new area in a large old one is no sliver, for it would have no ground at all
    hole = squares(a=box(0, 0, 399, 100), x=box(399, 0, 400, 100), b=box(400, 0, 800, 100))
    assert Crosswalk.from_polygons(OLD, hole, years=YEARS, least=0.01).pairs.nnz == 3


def test_invalid_polygons_are_repaired() -> None:
    bow = squares(a=Polygon([(0, 0), (400, 100), (400, 0), (0, 100)]))
    walk = Crosswalk.from_polygons(bow, NEW, years=YEARS)
    assert walk.remarks == ("1 invalid polygons repaired",)
    assert walk.pairs.sum() == pytest.approx(20_000)


TABLE = pd.DataFrame({"old": ["a", "b", "b"], "new": ["a", "b", "c"], "share": [1, 0.25, 0.75]})


def of_table(table: pd.DataFrame = TABLE, **more: Any) -> Crosswalk:
    return Crosswalk.from_table(table, **{"years": YEARS, **more})


def polygons(old: Any = OLD, new: Any = NEW, **more: Any) -> Crosswalk:
    return Crosswalk.from_polygons(old, new, years=YEARS, **more)


def of_addresses(table: pd.DataFrame, **more: Any) -> Crosswalk:
    return Crosswalk.from_addresses(table, "b2020", "b2024", years=YEARS, **more)


TWO = addresses().assign(huisnummer=lambda t: t["huisnummer"].mask(t["huisnummer"] == 200, 1))
BAD: dict[str, tuple[Any, str, str]] = {
    "not 1": (
        lambda: of_table(TABLE.assign(share=[1, 0.25, 0.5])),
        "shares of old areas do not sum to 1", "1 of 2 (b: 0.75)",
    ),
    "negative": (
        lambda: of_table(TABLE.assign(share=[1, -0.25, 1.25])), "shares are negative", "1 of 3 rows (b)",
    ),
    "missing": (
        lambda: of_table(TABLE.assign(share=[1, None, 1])), "shares are missing", "1 of 3 rows",
    ),
    "no numbers": (
        lambda: of_table(TABLE.assign(share=["een", 0.25, 0.75])), "share is no number", "",
    ),
    "a pair twice": (
        lambda: of_table(TABLE.assign(new=["a", "c", "c"])),
        "pairs of areas occur more than once", "1 pairs (b to c)",
    ),
    "unknown old": (
        lambda: of_table(old_codes=["a"]), "codes are unknown in the old edition", "1 (b)",
    ),
    "unknown new": (
        lambda: of_table(new_codes=["a", "b"]), "codes are unknown in the new edition", "1 (c)",
    ),
    "no code": (
        lambda: of_table(TABLE.assign(new=["a", None, "c"])), "new has no code", "1 of 3 rows",
    ),
    "no size": (
        lambda: of_table(size={"a": 5}), "old areas have no size", "1 (b)",
    ),
    "no columns": (
        lambda: of_table(TABLE.drop(columns="share")), "a crosswalk lacks columns", "share",
    ),
    "itself": (
        lambda: of_table(years=(2024, 2024)), "an edition is compared with itself", "2024 and 2024",
    ),
    "a threshold of a half": (
        lambda: of_table(same=0.5), "`same` is impossible", "0.5",
    ),
    "a concentration of nothing": (
        lambda: of_table(concentration=0), "a concentration is impossible", "0.0, 0.0",
    ),
    "coordinate systems": (
        lambda: polygons(new=NEW.to_crs("EPSG:4326")),
        "polygons are in different coordinate systems", "old EPSG:28992; new EPSG:4326",
    ),
    "degrees": (
        lambda: polygons(OLD.to_crs("EPSG:4326"), NEW.to_crs("EPSG:4326")), "polygons are in degrees", "EPSG:4326",
    ),
    "polygons twice": (
        lambda: polygons(old=pd.concat([OLD, OLD.iloc[:1]])), "old areas occur more than once", "1 (a)",
    ),
    "points": (
        lambda: polygons(new=squares(a=Point(1, 1), c=box(0, 0, 9, 9))), "new areas are no polygons", "1 of 2 (a)",
    ),
    "no geometry": (
        lambda: polygons(new=pd.DataFrame(index=["a"])), "the new edition has no polygons", "DataFrame",
    ),
    "apart": (
        lambda: polygons(new=NEW.assign(geometry=NEW.translate(10_000, 0))),
        "no old area has ground in a new one", "3 old, 3 new",
    ),
    "two codes": (
        lambda: of_addresses(TWO), "addresses have two codes in b2020", "1 (3511AB 1)",
    ),
    "half an address": (
        lambda: of_addresses(addresses().assign(postcode6=None)), "addresses are incomplete", "550 of 550 rows",
    ),
    "no address in both": (
        lambda: of_addresses(addresses([("a", None, 3), (None, "b", 3)]), level="area"),
        "no address is in both editions", "6 addresses",
    ),
    "unknown code of an address": (
        lambda: of_addresses(addresses(), new_codes=["BU03440001"]), "codes are unknown in the new edition", "8 (BU03",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_three_lines(case: str) -> None:
    make, what, got = BAD[case]
    with pytest.raises(BuurtsaeError) as found:
        make()
    problems = found.value.problems if isinstance(found.value, ProblemsError) else (found.value,)
    first = next((problem for problem in problems if problem.what == what), None)
    assert first is not None, [problem.what for problem in problems]
    assert got in first.got
    assert all(len(str(problem).splitlines()) == 3 for problem in problems)


def test_several_problems_are_told_at_once() -> None:
    with pytest.raises(ProblemsError) as found:
        of_table(TABLE.assign(share=[1, 0.25, 0.5]), old_codes=["a"], new_codes=["a"], size={"a": 1})
    assert found.value.count == 4


def test_shares_with_rounding_are_scaled() -> None:
    third = pd.DataFrame({"old": "a", "new": list("abc"), "share": 0.333})
    np.testing.assert_allclose(of_table(third).shares.toarray(), [[1 / 3] * 3], rtol=1e-14)


def test_wijken_of_2016_and_2022(shared: Path) -> None:
    """Real maps: which codes were reused, and that no two wijken are taken for one."""
    nl = shared / "data" / "nl"
    old = gpd.read_parquet(nl / "wijk_2016.parquet")
    old = old.assign(geometry=old.geometry.make_valid()).dissolve("wijkcode")  # WK191104 is there twice
    old = old[~old.geometry.is_empty]
    assert len(old) == 2979  # two have no polygon
    new = gpd.read_parquet(nl / "wijk_2022.parquet").set_index("wijkcode")
    # generalised maps: below 95% both ways the difference is of other sizes than that of drawing
    walk = Crosswalk.from_polygons(
        old[["geometry"]], new[["geometry"]], years=(2016, 2022), level="wijk", least=0.02, same=0.95,
    )  # fmt: skip
    table = walk.changes()
    before = table.iloc[: len(old)]
    assert before["old"].is_unique
    matched = before[before["change"].isin(["same", "recoded", "renamed"])]
    assert matched["new"].is_unique
    # Zuidhorn, Grootegast, Leek and Marum became Westerkwartier in 2019: every wijk has another code
    recoded = before[before["old"].str[2:6].isin(["0056", "0015", "0022", "0025"])]
    assert set(recoded["change"]) <= {"recoded", "redrawn"}
    assert set(recoded["new"].str[2:6]) <= {"1969"}
    # whose code is that of mostly other ground: by the areas themselves
    both = old.index.intersection(new.index)
    one, other = (gpd.GeoSeries(frame.geometry.make_valid()).loc[both] for frame in (old, new))
    common, before, after = (of.area.to_numpy() for of in (one.intersection(other, align=False), one, other))
    assert walk.reused == list(both[(common < 0.5 * before) & (common < 0.5 * after)])
    assert {"WK003402", "WK008020", "WK071501"} <= set(walk.reused)  # Almere, Leeuwarden, Terneuzen: divided anew
    inside = np.asarray(walk.pairs.sum(axis=1))
    assert (inside <= old.geometry.area.loc[walk.old].to_numpy() * (1 + 1e-6)).all()


def test_overlap_of_buurten_of_2024_with_wijken_of_2022(shared: Path) -> None:
    """The crosswalk that is given: overlaps below 2% of a buurt dropped, the others scaled to 1."""
    nl = shared / "data" / "nl"
    buurten = gpd.read_parquet(nl / "buurt_2024.parquet").set_index("buurtcode")
    wijken = gpd.read_parquet(nl / "wijk_2022.parquet").set_index("wijkcode")
    walk = Crosswalk.from_polygons(buurten[["geometry"]], wijken[["geometry"]], years=(2024, 2022))
    found = walk.table().assign(ha=walk.pairs.data / 1e4)
    given = pd.read_csv(nl / "crosswalk_buurt2024_wijk2022.csv")
    both = found.merge(given, left_on=["old", "new"], right_on=["buurtcode", "wijkcode_2022"], how="outer")
    # areas are given in hundredths of a hectare: all 15,997 are found, within the rounding
    assert both["old"].notna().all()
    told = both["opp_ha"].notna()
    np.testing.assert_allclose(both["ha"][told], both["opp_ha"][told], atol=0.005 + 1e-6)
    # made of such areas, below 2% of the buurt dropped and scaled to 1, shares are those that are given, in all
    ha, size = both["ha"].round(2), both["old"].map(buurten.geometry.area / 1e4)
    kept = ha / size >= 0.02
    share = (ha / ha.where(kept).groupby(both["old"]).transform("sum")).where(kept, 0.0)
    np.testing.assert_allclose(share, both["aandeel"].fillna(0), atol=1e-3)
    # and without that rounding in all but the smallest buurten, away from the 2%
    large = (size > 20) & ((both["share"] - 0.02).abs() > 0.001)
    exact = both["share"].where(both["share"] >= 0.02)
    exact = (exact / exact.groupby(both["old"]).transform("sum")).fillna(0)
    steady = large.groupby(both["old"]).transform("all")
    np.testing.assert_allclose(exact[steady], both["aandeel"].fillna(0)[steady], atol=1e-3)
    assert steady.mean() > 0.5
