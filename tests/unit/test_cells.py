"""Cells: given or made of margins, in any order, by domain, uncertain, whole; and tables that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_cells import LEVELS, letters, made_cells, table

from buurtsae.areas.areas import Areas
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.survey.bins import MOST_BINS
from buurtsae.survey.cells import Cells
from buurtsae.survey.joint_error import joint_error
from buurtsae.survey.margins import Margin, joint

AREAS = letters()
MARGINS = (
    Margin("leeftijd", {"18-44": "jong", "45-64": None, "65+": "oud"}),
    Margin("woning", {"koop": "pct_koop", "huur": None}, per_cent=True),
)


def kerncijfers(areas: Areas = AREAS) -> pd.DataFrame:
    n, k = areas.population, np.arange(len(areas.codes))
    columns = {"jong": n * (0.3 + 0.01 * k), "oud": n * 0.2, "pct_koop": 40.0 + k}
    return pd.DataFrame({"buurtcode": areas.codes, **columns})


def seed(names: tuple[str, ...] = ("leeftijd", "woning")) -> pd.DataFrame:
    return table(AREAS, 5, names).groupby(list(names), sort=False)["aantal"].sum().reset_index()


def test_cells_are_sorted_by_area_whatever_the_order_of_rows() -> None:
    frame = table(AREAS)
    cells = Cells.from_frame(frame, AREAS, characteristics=LEVELS)
    shuffled = Cells.from_frame(frame.sample(frac=1, random_state=1), AREAS, characteristics=LEVELS)
    for name in ("area", "level", "count"):
        np.testing.assert_array_equal(getattr(cells, name), getattr(shuffled, name))
    assert (np.diff(cells.area) >= 0).all()
    assert cells.level.shape == (len(frame), 3)
    assert dict(cells.characteristics) == LEVELS
    np.testing.assert_allclose(cells.residents(), AREAS.population)
    assert cells.notes == ()
    pd.testing.assert_frame_equal(Cells.from_frame(cells.frame, AREAS, area="area_code").frame, cells.frame)


def test_domains() -> None:
    cells, frame = made_cells(), table(AREAS)
    domain = {"leeftijd": ["65+"], "woning": ["koop", "huur"]}
    expected = frame[frame["leeftijd"] == "65+"].groupby("buurtcode")["aantal"].sum()
    np.testing.assert_allclose(cells.residents(domain), expected)
    part = cells.select(domain)
    assert len(part.count) == 4 * len(AREAS.codes)
    np.testing.assert_allclose(part.residents(), expected)
    assert part.characteristics == cells.characteristics
    with pytest.raises(BuurtsaeError) as caught:
        cells.residents({"leeftijd": ["66+"], "inkomen": ["hoog"]})
    assert "66+" in str(caught.value)
    assert "inkomen" in str(caught.value)


def test_rows_of_one_cell_are_added_and_files_read(written: Callable[..., Path]) -> None:
    frame = table(AREAS)
    halves = pd.concat([frame.assign(aantal=frame["aantal"] / 2)] * 2)
    cells = Cells.read(written(halves, "cellen.csv"), AREAS, characteristics=LEVELS)
    np.testing.assert_allclose(cells.count, Cells.from_frame(frame, AREAS, characteristics=LEVELS).count)


def test_numbers_fall_into_bins_of_equally_many_residents() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"buurtcode": rng.choice(AREAS.codes, 2000), "inkomen": rng.gamma(3, 10, 2000), "aantal": 2})
    cells = Cells.from_frame(frame, AREAS, bins={"inkomen": 20})
    persons = np.bincount(cells.level[:, 0], cells.count)
    assert len(persons) == len(cells.characteristics["inkomen"]) == 20
    assert abs(persons - 200).max() <= 2 * 2  # a row of two persons either side
    assert cells.count.sum() == 4000
    given = Cells.from_frame(frame, AREAS, bins={"inkomen": [0, 20, 500]})
    assert given.characteristics["inkomen"] == ("0 to 20", "20 to 500")
    with pytest.raises(BuurtsaeError, match="cannot be divided so"):
        Cells.from_frame(frame, AREAS, bins={"inkomen": MOST_BINS + 1})
    with pytest.raises(BuurtsaeError, match="no known level of inkomen"):
        Cells.from_frame(frame, AREAS, bins={"inkomen": [0, 1]})


def test_areas_without_cells_and_other_totals_are_noted() -> None:
    frame = table(AREAS)
    notes = Cells.from_frame(frame[frame["buurtcode"] != "c"], AREAS).notes
    assert notes[0].startswith("1 areas with residents have no cells")
    assert "apart" in notes[1]  # 1 of 12
    assert all(note.nl != note for note in notes)


BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, Any], str]] = {
    "columns": (lambda f: f.drop(columns="aantal"), {}, "cells lack columns"),
    "negative": (lambda f: f.assign(aantal=f["aantal"].where(f.index > 2, -1.0)), {}, "3 cells, in a"),
    "empty": (lambda f: f.assign(aantal=f["aantal"].where(f.index > 1)), {}, "2 cells, in a"),
    "nobody": (lambda f: f.assign(aantal=0), {}, "nobody lives in the cells"),
    "no rows": (lambda f: f.head(0), {}, "there are no cells"),
    "text": (lambda f: f.assign(aantal="veel"), {}, "is no number"),
    "areas": (lambda f: f.assign(buurtcode="zz"), {}, "144 cells are of unknown areas"),
    "missing": (lambda f: f.assign(woning=f["woning"].where(f.index > 3)), {}, "4 cells: missing"),
    "unnamed": (lambda f: f, {"characteristics": {"woning": ["koop"]}}, "72 cells: huur"),
}


@pytest.mark.parametrize("name", BAD)
def test_tables_that_cannot_be_used(name: str) -> None:
    spoil, options, text = BAD[name]
    with pytest.raises(BuurtsaeError) as caught:
        Cells.from_frame(spoil(table(AREAS)), AREAS, **options)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) % 3 == 0


def levels_of(values: list[Any]) -> pd.DataFrame:
    """One area, a characteristic with these values."""
    return pd.DataFrame({"buurtcode": "a", "woning": pd.Series(values, dtype=object), "aantal": 100.0})


def of_many(count: int, levels: int = 300) -> pd.DataFrame:
    """As many characteristics of so many levels, a row of each level."""
    names = [f"k{k}" for k in range(count)]
    return pd.DataFrame({"buurtcode": "a", **{name: np.arange(levels) for name in names}, "aantal": 1.0})


def of_bins(bins: Any) -> Cells:
    frame = pd.DataFrame({"buurtcode": list(AREAS.codes) * 5, "inkomen": np.arange(60), "aantal": 50})
    return Cells.from_frame(frame, AREAS, bins={"inkomen": bins})


def of_margins(margins: Any = MARGINS, start: Any = None, **given: Any) -> Cells:
    given = {"frame": kerncijfers(), "areas": AREAS} | given
    return Cells.from_margins(margins=margins, seed=seed() if start is None else start, **given)


def twice(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return pd.concat([frame, frame[[name]]], axis=1)


RNG = np.random.default_rng(1)
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "levels but for spaces": (
        lambda: Cells.from_frame(table(AREAS), AREAS, characteristics={"leeftijd": ["18-44", "45-64", "65+", " 65+"]}),
        "levels of leeftijd occur twice",
    ),
    "categories but for spaces": (
        lambda: Cells.from_frame(levels_of(["x", "x "]).astype({"woning": "category"}), AREAS),
        "levels of woning occur twice",
    ),
    "cells but for spaces": (lambda: Cells.from_frame(levels_of(["x", "x "]), AREAS), "levels of woning occur twice"),
    "a number and its text": (lambda: Cells.from_frame(levels_of([1, "1"]), AREAS), "levels of woning occur twice"),
    "whole categories, one missing": (
        lambda: Cells.from_frame(levels_of([1, 2, None]).astype({"woning": pd.CategoricalDtype([1, 2])}), AREAS),
        "1 cells: missing",
    ),
    "blank": (lambda: Cells.from_frame(levels_of(["x", " ", None]), AREAS), "2 cells: missing"),
    "levels as text": (
        lambda: Cells.from_frame(table(AREAS), AREAS, characteristics={"leeftijd": "65+"}),
        "levels of leeftijd are no list",
    ),
    "levels as number": (
        lambda: Cells.from_frame(table(AREAS), AREAS, characteristics={"leeftijd": 5}),
        "levels of leeftijd are no list",
    ),
    "more combinations than numbers": (lambda: Cells.from_frame(of_many(9), AREAS), "too many combinations of levels"),
    "more combinations than can be rounded": (
        lambda: Cells.from_frame(of_many(4), AREAS).whole(RNG),
        "too many combinations of levels",
    ),
    "more combinations of margins": (
        lambda: of_margins([Margin(f"k{k}", {str(q): f"c{q}" for q in range(300)}) for k in range(9)]),
        "too many combinations of levels",
    ),
    "more combinations of tables": (
        lambda: joint([of_many(9).drop(columns="buurtcode")]),
        "too many combinations of levels",
    ),
    "a margin twice": (lambda: of_margins([*MARGINS, MARGINS[0]]), "margins are given twice"),
    "no margins": (lambda: of_margins([]), "there are no margins"),
    "margins of another kind": (lambda: of_margins([MARGINS[0], "woning"]), "there are no margins, or some are none"),
    "a margin alone": (lambda: of_margins(MARGINS[0]), "`margins` is of another kind"),
    "bins of a part": (lambda: of_bins(2.5), "inkomen cannot be divided so"),
    "bins as text": (lambda: of_bins("abc"), "inkomen cannot be divided so"),
    "edges as text": (lambda: of_bins(["a", "b"]), "inkomen cannot be divided so"),
    "edges in two ways": (lambda: of_bins([[0, 1], [1, 2]]), "inkomen cannot be divided so"),
    "no bins": (lambda: of_bins(0), "0 classes"),
    "bins below none": (lambda: of_bins(-1), "-1 classes"),
    "a thousand million bins": (lambda: of_bins(10**9), "1000000000 classes"),
    "bins of nothing": (lambda: of_bins(None), "inkomen cannot be divided so"),
    "a truth value": (lambda: of_bins(True), "inkomen cannot be divided so"),
    "bins without a name": (lambda: Cells.from_frame(table(AREAS), AREAS, bins=5), "`bins` is of another kind"),
    "a seed of text": (lambda: of_margins(start=seed().assign(aantal="veel")), "aantal of the seed is no number"),
    "a seed without end": (lambda: of_margins(start=seed().assign(aantal=np.inf)), "aantal of the seed is no number"),
    "a seed with a column twice": (lambda: of_margins(start=twice(seed(), "woning")), "the seed has columns twice"),
    "a seed that is none": (lambda: of_margins(start=5), "`seed` is of another kind"),
    "a level of it": (lambda: of_margins(by=None), "`by` is of another kind"),
    "tables of nothing": (lambda: joint([]), "there are no tables"),
    "tables of numbers": (lambda: joint([5, None]), "table 2 is no table"),
    "a table alone": (lambda: joint(seed()), "`tables` is of another kind"),
    "a table of text": (lambda: joint([seed().assign(aantal="veel")]), "table 1 has counts that are no numbers"),
    "a table with a column twice": (lambda: joint([twice(seed(), "woning")]), "table 1 has columns twice"),
    "a table of counts": (lambda: joint([seed()[["aantal"]]]), "table 1 has no characteristics"),
    "a table with gaps": (lambda: joint([seed().replace("koop", None)]), "or lacks levels"),
    "a part of text": (lambda: Margin("a", {"65+": "x", "0-64": None}, part={"65+": "x"}), "65+: 'x'"),
    "parts of nobody": (lambda: Margin("a", {"x": "x", "y": None}, part={"x": 0, "y": 0}), "impossible parts"),
    "parts of another kind": (lambda: Margin("a", {"x": "x", "y": None}, part=5), "`part` is of another kind"),
    "columns of another kind": (lambda: Margin("a", ["x", "y"]), "`columns` is of another kind"),
    "columns of numbers": (lambda: Margin("a", {"x": 5, "y": None}), "names that are no text"),
    "rounding below none": (lambda: made_cells().tables(RNG, 2, "rounding", rounding=-3), "`rounding` of tables"),
    "rounding of nothing": (lambda: made_cells().tables(RNG, 2, "rounding", rounding=None), "`rounding` is of another"),
    "secret": (lambda: made_cells().tables(RNG, 2, "rounding", secret=np.nan), "`secret` of tables is impossible"),
    "tables below none": (lambda: made_cells().tables(RNG, -1), "`n` of tables is impossible"),
    "no seed": (lambda: made_cells().tables(5, 2), "`rng` is of another kind"),
    "whole of no seed": (lambda: made_cells().whole(None), "`rng` is of another kind"),
    "levels of a domain": (lambda: made_cells().inside({"leeftijd": 5}), "levels of leeftijd are no list"),
    "a domain of text": (lambda: made_cells().residents("x"), "`domain` is of another kind"),
    "a frame": (lambda: Cells.from_frame(None, AREAS), "`frame` is of another kind"),
    "areas": (lambda: Cells.from_frame(table(AREAS), 5), "`areas` is of another kind"),
    "a name": (lambda: Cells.from_frame(table(AREAS), AREAS, area=["a"]), "`area` is of another kind"),
    "a path": (lambda: Cells.read(None, AREAS), "`path` is of another kind"),
    "a frame of margins": (lambda: of_margins(frame=5), "`frame` is of another kind"),
    "no chance": (lambda: joint_error(made_cells(), made_cells(), np.ones(3)), "there is no chance per cell"),
    "chance of text": (
        lambda: joint_error(made_cells(), made_cells(), np.full(144, "x")),
        "there is no chance per cell",
    ),
    "cells to compare": (lambda: joint_error(None, made_cells(), np.ones(144)), "`made` is of another kind"),
    "areas of margins": (lambda: of_margins(areas=None), "`areas` is of another kind"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_in_three_lines(name: str) -> None:
    make, text = WRONG[name]
    with pytest.raises(BuurtsaeError) as caught:
        make()
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) % 3 == 0


def test_several_arguments_of_another_kind_are_told_at_once() -> None:
    with pytest.raises(BuurtsaeError) as caught:
        Cells.from_frame(None, 5, bins=3)  # type: ignore[arg-type]
    for text in ("`frame`", "`areas`", "`bins`"):
        assert text in str(caught.value)
    with pytest.raises(BuurtsaeError) as caught:
        made_cells().tables(RNG, 0, rounding=-1, secret=np.inf)
    for text in ("`n` of", "`rounding` of", "`secret` of"):
        assert text in str(caught.value)


def test_levels_of_several_types_are_in_the_order_of_their_text() -> None:
    assert Cells.from_frame(levels_of(["a", 10, 2]), AREAS).characteristics["woning"] == ("10", "2", "a")
    assert Cells.from_frame(levels_of([10, 2]), AREAS).characteristics["woning"] == ("2", "10")


def test_how_many_bins_may_be_a_number_of_numpy() -> None:
    assert of_bins(np.int64(2)).characteristics == of_bins(2).characteristics
    assert len(of_bins(1).characteristics["inkomen"]) == 1


def test_all_problems_are_told_at_once() -> None:
    frame = table(AREAS)
    spoilt = frame.assign(
        aantal=frame["aantal"].where(frame.index != 0, -2), woning=frame["woning"].mask(frame.index == 1)
    )
    spoilt.loc[5, "buurtcode"] = "elders"
    with pytest.raises(BuurtsaeError) as caught:
        Cells.from_frame(spoilt, AREAS)
    for text in ("negative", "no known level of woning", "unknown areas"):
        assert text in str(caught.value)


def test_cells_of_margins_meet_them_and_keep_the_seed() -> None:
    frame = kerncijfers()
    cells = Cells.from_margins(frame, AREAS, MARGINS, seed())
    np.testing.assert_allclose(cells.residents(), AREAS.population)
    np.testing.assert_allclose(cells.residents({"leeftijd": ["65+"]}), frame["oud"], rtol=1e-7)
    np.testing.assert_allclose(cells.residents({"leeftijd": ["18-44"]}), frame["jong"], rtol=1e-7)
    koop = frame["pct_koop"] / 100 * AREAS.population
    np.testing.assert_allclose(cells.residents({"woning": ["koop"]}), koop, rtol=1e-7)
    made, start = cells.count.reshape(-1, 3, 2), seed()["aantal"].to_numpy().reshape(3, 2)

    def odds(t: np.ndarray) -> np.ndarray:
        return t[..., 0, 0] * t[..., 2, 1] / (t[..., 0, 1] * t[..., 2, 0])

    np.testing.assert_allclose(odds(made), odds(start), rtol=1e-9)
    assert cells.notes == ()


def test_children_do_not_belong_and_others_in_part() -> None:
    age = Margin("leeftijd", {"0-17": "kind", "18-64": None, "65+": "oud"}, part={"0-17": 0, "18-64": 0.9})
    frame = kerncijfers().assign(kind=AREAS.population * 0.25)
    cells = Cells.from_margins(frame, AREAS, [MARGINS[1], age], _adults())
    n = AREAS.population
    np.testing.assert_allclose(cells.residents({"leeftijd": ["65+"]}), 0.2 * n)
    np.testing.assert_allclose(cells.residents(), n * (0.55 * 0.9 + 0.2))
    np.testing.assert_allclose(cells.residents({"woning": ["koop"]}) / cells.residents(), frame["pct_koop"] / 100)


def _adults() -> pd.DataFrame:
    old = seed()
    return old.assign(leeftijd=old["leeftijd"].replace({"18-44": "18-64", "45-64": "18-64"}))


def test_defects_of_margins_are_repaired_and_noted() -> None:
    frame = kerncijfers()
    frame.loc[0, ["jong", "oud"]] = np.nan  # both: by the gemeente
    frame.loc[1, "pct_koop"] = np.nan
    frame.loc[2, ["jong", "oud"]] = [400, 200]  # above the residents
    frame = frame.drop(index=11)  # an area that the table lacks
    cells = Cells.from_margins(frame, AREAS, MARGINS, seed())
    np.testing.assert_allclose(cells.residents(), AREAS.population)
    said = " ".join(cells.notes)
    for text in ("leeftijd: cells of 2 areas", "woning: cells of 2 areas", "more than 1%", "absent (l)"):
        assert text in said
    np.testing.assert_allclose(cells.residents({"leeftijd": ["18-44"]})[2], 320 * 400 / 600)


def test_margins_that_cannot_be_used() -> None:
    frame = kerncijfers()
    with pytest.raises(BuurtsaeError, match="2 shares lie outside 0-100"):
        Cells.from_margins(frame.assign(pct_koop=frame["pct_koop"] + 51), AREAS, MARGINS, seed())
    nobody = seed().query("leeftijd != '65+'")
    with pytest.raises(BuurtsaeError, match="margin leeftijd has residents where the seed allows none"):
        Cells.from_margins(frame, AREAS, MARGINS, nobody)
    with pytest.raises(BuurtsaeError, match="no such columns"):
        Cells.from_margins(frame.drop(columns="oud"), AREAS, MARGINS, seed())
    with pytest.raises(BuurtsaeError, match="seed has levels of leeftijd"):
        Cells.from_margins(frame, AREAS, MARGINS, seed().replace("65+", "65 en ouder"))
    with pytest.raises(BuurtsaeError, match="says nothing of some gemeente"):
        Cells.from_margins(frame, AREAS, MARGINS, seed().assign(gemeente="G0"))
    with pytest.raises(BuurtsaeError, match="is no margin"):
        Margin("woning", {"koop": None, "huur": None})


def test_each_gemeente_has_its_own_seed() -> None:
    parts = [seed().assign(gemeente=f"G{k}") for k in range(3)]
    parts[1]["aantal"] = np.where(parts[1].index == 0, 1e5, 1.0)
    cells = Cells.from_margins(kerncijfers(), AREAS, MARGINS, pd.concat(parts))
    apart = Cells.from_margins(kerncijfers(), AREAS, MARGINS, seed())
    differs = abs(cells.count - apart.count).reshape(12, -1).max(axis=1) > 1e-6
    assert differs.tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_a_joint_table_has_the_tables_that_it_is_made_of() -> None:
    known = seed(("leeftijd", "geslacht", "woning"))
    pairs = [("leeftijd", "geslacht"), ("leeftijd", "woning"), ("geslacht", "woning")]
    tables = [known.groupby(list(p), sort=False)["aantal"].sum().reset_index() for p in pairs]
    made = joint([tables[0], tables[1].assign(aantal=tables[1]["aantal"] / 3), tables[2]])
    for pair, two in zip(pairs, tables, strict=True):
        found = made.groupby(list(pair), sort=False)["aantal"].sum()
        np.testing.assert_allclose(found, two.set_index(list(pair))["aantal"].reindex(found.index), rtol=1e-7)
    less = tables[0].query("not (leeftijd == '65+' and geslacht == 'man')")
    assert len(joint([less, tables[1]]).query("leeftijd == '65+' and geslacht == 'man'")) == 0
    with pytest.raises(BuurtsaeError, match="table 2 has no counts"):
        joint([tables[0], tables[1].rename(columns={"aantal": "n"})])


def test_whole_cells_have_the_totals_and_margins() -> None:
    cells = made_cells()
    whole = cells.whole(np.random.default_rng(1))
    np.testing.assert_array_equal(whole.count, np.round(whole.count))
    np.testing.assert_allclose(whole.residents(), AREAS.population)  # these are whole already
    for name, levels in LEVELS.items():
        for level in levels:
            assert abs(whole.residents({name: [level]}) - cells.residents({name: [level]})).max() < 1


def test_uncertain_tables_have_the_mean_and_spread_of_their_noise() -> None:
    """Multinomial: totals kept, mean c, variance c (1 - c / N); 400 tables, so 5% in the mean of the variance ratio."""
    cells = made_cells()
    drawn = np.array([table.count for table in cells.tables(np.random.default_rng(1), 400)])
    totals = np.array([np.bincount(cells.area, row) for row in drawn])
    np.testing.assert_allclose(totals, np.tile(AREAS.population, (400, 1)))
    variance = cells.count * (1 - cells.count / AREAS.population[cells.area])
    z = (drawn.mean(axis=0) - cells.count) / np.sqrt(variance / 400)
    assert abs(z).max() < 4.5  # of 144
    assert np.mean(drawn.var(axis=0) / variance) == pytest.approx(1, abs=0.05)


def test_rounding_moves_margins_by_no_more_than_it_can() -> None:
    """Within 2.5 each, then brought to one total, which differs by 2.5 too: of three levels by 2.5 x (1 + 1 + 1)."""
    cells = Cells.from_margins(kerncijfers(), AREAS, MARGINS, seed())
    drawn = np.array([table.count for table in cells.tables(np.random.default_rng(1), 50)])
    code = cells.area * 3 + cells.level[:, 0]
    moved = np.array([np.bincount(code, row) for row in drawn]) - np.bincount(code, cells.count)
    assert 1 < abs(moved).max() < 7.5
    assert moved.std() > 0.5
    np.testing.assert_array_equal(cells.tables(np.random.default_rng(1), 1, rounding=0.0)[0].count, cells.count)
    with pytest.raises(ModelError, match="no such noise"):
        cells.tables(np.random.default_rng(1), 1, "normal")  # type: ignore[arg-type]


def test_secret_margins_are_anything_below_the_threshold() -> None:
    frame = kerncijfers().assign(oud=4.0)
    cells = Cells.from_margins(frame, AREAS, MARGINS, seed())
    code = cells.area * 3 + cells.level[:, 0]
    tables = cells.tables(np.random.default_rng(1), 200, secret=10.0)
    sums = np.array([np.bincount(code, table.count) for table in tables])
    old = sums[:, 2::3]
    assert old.min() < 2
    assert 8 < old.max() < 10.5
    assert old.mean() == pytest.approx(5.0, abs=0.3)  # 2,400 uniform values: a standard error of 0.06


def test_error_of_a_made_joint() -> None:
    known = made_cells()
    chance = np.full(len(known.count), 0.3)
    same = joint_error(known, known, chance)
    assert (same[["misplaced", "shift"]].abs() < 1e-9).all(axis=None)
    count = known.count.reshape(12, -1).copy()
    moved = count[:, 0] / 2
    count[:, 0] -= moved
    count[:, 1] += moved
    made = Cells(AREAS, known.characteristics, known.area, known.level, count.ravel())
    chance[1::12] = 0.7
    error = joint_error(made, known, chance)
    np.testing.assert_allclose(error["misplaced"], 100 * moved / AREAS.population)
    np.testing.assert_allclose(error["shift"], 100 * 0.4 * moved / AREAS.population)


def test_real_kerncijfers(shared: Path) -> None:
    """KWB 2024 with its defects: empty is nothing or secret, more of an age than there are residents."""
    frame = pd.read_csv(shared / "data" / "nl" / "kwb_2024_buurt.csv")
    levels = {"gemeente": "gemeentecode"}
    areas = Areas.from_frame(frame, code="buurtcode", levels=levels, population="inwoners")
    margins = [
        Margin("leeftijd", {"0-14": "inwoners_0_14", "15-64": None, "65+": "inwoners_65plus"}, part={"0-14": 0.0}),
        Margin("woning", {"koop": "pct_koopwoningen", "huur": None}, per_cent=True),
    ]
    start = pd.DataFrame({"leeftijd": ["15-64", "65+"] * 2, "woning": ["koop"] * 2 + ["huur"] * 2})
    cells = Cells.from_margins(frame, areas, margins, start.assign(aantal=[45, 14, 32, 9]))
    known = frame.dropna(subset=["inwoners_0_14", "inwoners_65plus"]).set_index("buurtcode")
    known = known[known["inwoners_0_14"] + known["inwoners_65plus"] < known["inwoners"]]
    old = pd.Series(cells.residents({"leeftijd": ["65+"]}), index=areas.codes)
    np.testing.assert_allclose(old[known.index], known["inwoners_65plus"], rtol=1e-6)
    assert (cells.residents() <= areas.population + 1e-6).all()
    whole = cells.whole(np.random.default_rng(1))
    assert abs(whole.residents({"woning": ["koop"]}) - cells.residents({"woning": ["koop"]})).max() < 1
