"""Disclosure control: what is hidden cannot be computed back, attacked on the whole published table."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog
from shapely import box

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError
from buurtsae.estimates.disclosure import Hidden, attack, reduced, suppress, unanimous
from buurtsae.survey.concept import Concept

CONCEPT = Concept.load()
PARTS = CONCEPT.subdimensions
PROTECTION = 2.0


def made(residents: dict[str, int], **groupings: list[str | None]) -> Areas:
    """Buurten in a row, with their residents."""
    codes = sorted(residents)
    index = pd.Index(codes, name="area_code")
    frame = gpd.GeoDataFrame(
        {"name": codes, "wijk": ["WK" + c[2:8] for c in codes], "gemeente": ["GM" + c[2:6] for c in codes]}
        | {"population": [residents[c] for c in codes]}
        | groupings,
        index=index,
        geometry=box(np.arange(len(codes)), 0, np.arange(len(codes)) + 1.0, 1),
        crs="EPSG:28992",
    )
    return Areas(frame, 2024, groupings=tuple(groupings))


def table_of(areas: Areas, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Scores of the sub-dimensions at every level: resident-weighted means of made buurten."""
    rng = np.random.default_rng(seed)
    buurten = rng.uniform(4, 8, (len(areas.codes), len(PARTS)))
    out = {}
    for level in areas.levels:
        labels, weights = areas.aggregation(level)
        out[level] = pd.DataFrame(weights @ buurten, index=labels, columns=PARTS)
    return out


def primary_of(areas: Areas, least: int = 10) -> set[tuple[str, str]]:
    """Every area with fewer residents than `least`."""
    found = set()
    for level in areas.levels:
        n = pd.Series(areas.population, index=areas.codes).groupby(areas.parents(level).to_numpy()).sum()
        found |= {(level, str(c)) for c, k in n.items() if 0 < k < least}
    return found


def attacked(areas: Areas, scores: dict[str, pd.DataFrame], hidden: set[tuple[str, str]]) -> dict[str, float]:
    """Width of what can be computed of the hidden buurten by linear programs on the whole table, all seven measures.

    Unknown are all figures of hidden rows; given are all others, residents, and the weights of the concept.
    """
    matrix = CONCEPT.matrix_of(PARTS)
    cells: dict[tuple[str, str, str], int] = {}
    value = []
    for level in areas.levels:
        wide = scores[level] @ matrix.T.to_numpy()
        for code, row in zip(wide.index, wide.to_numpy(), strict=True):
            for measure, x in zip(matrix.index, row, strict=True):
                cells[level, code, measure] = len(value)
                value.append(x)
    rows, columns, entries, n = [], [], [], 0
    for level in areas.levels[1:]:
        labels, weights = areas.aggregation(level)
        for i, code in enumerate(labels):
            line = weights[[i]].tocoo()
            for measure in matrix.index:
                rows += [n] * (line.nnz + 1)
                columns += [cells[level, code, measure]]
                columns += [cells["buurt", areas.codes[j], measure] for j in line.coords[1]]
                entries += [-1.0, *line.data]
                n += 1
    for level in areas.levels:
        for code in scores[level].index:
            for measure in matrix.index[len(PARTS) :]:
                rows += [n] * (len(PARTS) + 1)
                columns += [cells[level, code, m] for m in (measure, *PARTS)]
                entries += [-1.0, *matrix.loc[measure]]
                n += 1
    system = sp.csr_array((entries, (rows, columns)), shape=(n, len(value)))
    unknown = np.array([cells[key] for key in cells if key[:2] in hidden])
    known = np.array(value)
    known[unknown] = 0.0
    left = system[:, unknown]
    right = -(system @ known)
    used = np.diff(sp.csr_array(left).indptr) > 0
    # in residents instead of shares, so that the solver's tolerance is one of scores, not of shares of the whole
    scale = 1 / abs(left[used]).max(axis=1).toarray().ravel()
    left, right = sp.diags_array(scale) @ left[used], scale * right[used]
    place = {u: i for i, u in enumerate(unknown)}
    found = {}
    for level, code in hidden:
        if level != "buurt":
            continue
        widths = []
        for measure in matrix.index:
            objective = np.zeros(len(unknown))
            objective[place[cells["buurt", code, measure]]] = 1.0
            ends = [
                sign * linprog(sign * objective, A_eq=left, b_eq=right, bounds=(-1e-7, 10 + 1e-7), method="highs").fun
                for sign in (1.0, -1.0)
            ]
            widths.append(ends[1] - ends[0])
        found[code] = min(widths)
    return found


def everything(found: Hidden) -> set[tuple[str, str]]:
    return {*found.primary, *found.secondary}


def test_without_protection_a_hidden_buurt_is_computed_back() -> None:
    areas = made({"BU00010001": 5, "BU00010002": 800, "BU00010101": 900, "BU00010102": 700})
    assert attacked(areas, table_of(areas), {("buurt", "BU00010001")})["BU00010001"] < 1e-3


def test_one_hidden_buurt_takes_the_smallest_other_one_of_its_wijk() -> None:
    areas = made({"BU00010001": 5, "BU00010002": 800, "BU00010003": 60, "BU00010101": 900, "BU00010102": 700})
    found = suppress(areas, table_of(areas), primary_of(areas), PROTECTION)
    assert found.primary == (("buurt", "BU00010001"),)
    assert found.secondary == (("buurt", "BU00010003"),)
    widths = attacked(areas, table_of(areas), everything(found))
    assert widths["BU00010001"] == pytest.approx(10, abs=1e-4)  # 60 residents anywhere on 0-10 leave 5 free
    audit = found.audit.set_index("area_code")
    assert audit.loc["BU00010001", "width"] == pytest.approx(10)
    # of 60, with scores of the other 5 anywhere on 0-10: 5 x 10 / 60 of a point
    assert audit.loc["BU00010003", "width"] == pytest.approx(50 / 60, abs=1e-6)


def test_a_partner_must_be_large_enough() -> None:
    residents = {"BU00010001": 9, "BU00010002": 1, "BU00010003": 30, "BU00010101": 900, "BU00010102": 700}
    areas = made(residents)
    found = suppress(areas, table_of(areas), {("buurt", "BU00010001")}, PROTECTION)
    # one resident leaves 10 / 9 of a point of room for nine; thirty leave all
    assert found.secondary == (("buurt", "BU00010003"),)


def test_a_wijk_of_one_buurt_goes_with_it_and_so_does_that_of_its_partner() -> None:
    areas = made({"BU00010001": 5, "BU00010101": 900, "BU00010102": 700, "BU00010201": 800, "BU00010202": 300})
    found = suppress(areas, table_of(areas), primary_of(areas), PROTECTION)
    assert ("wijk", "WK000100") in found.primary  # five residents too
    assert set(found.secondary) == {("buurt", "BU00010202"), ("wijk", "WK000102")}
    widths = attacked(areas, table_of(areas), everything(found))
    assert widths["BU00010001"] > PROTECTION


def test_a_large_wijk_with_one_hidden_buurt_by_rule() -> None:
    areas = made({"BU00010001": 500, "BU00010101": 900, "BU00010102": 700})
    found = suppress(areas, table_of(areas), {("buurt", "BU00010001")}, PROTECTION)
    assert {("wijk", "WK000100"), ("wijk", "WK000101"), ("buurt", "BU00010102")} == set(found.secondary)
    assert attacked(areas, table_of(areas), everything(found))["BU00010001"] > PROTECTION


def test_groupings_that_overlap_do_not_give_a_buurt_away() -> None:
    codes = [f"BU000100{k:02}" for k in range(1, 6)]
    residents = dict(zip(codes, [5, 60, 800, 700, 900], strict=True))
    # the difference of the two groupings is the hidden buurt
    areas = made(residents, een=["ja", "ja", "ja", None, None], twee=[None, "ja", "ja", None, None])
    scores = table_of(areas)
    naive = attacked(areas, scores, {("buurt", codes[0]), ("buurt", codes[1])})
    assert naive[codes[0]] < 1e-3
    found = suppress(areas, scores, primary_of(areas), PROTECTION)
    assert attacked(areas, scores, everything(found))[codes[0]] > PROTECTION


def random_areas(seed: int) -> Areas:
    """60 buurten in 3 gemeenten, some with a handful of residents, wijken of one to six buurten, two groupings."""
    rng = np.random.default_rng(seed)
    codes: list[str] = []
    while len(codes) < 60:
        g, w = 1 + len(codes) // 20, rng.integers(0, 99)
        codes += [f"BU{g:04}{w:02}{k:02}" for k in range(rng.integers(1, 7))]
    codes = sorted(set(codes))
    residents = np.where(
        rng.random(len(codes)) < 0.15, rng.integers(1, 10, len(codes)), rng.integers(20, 3000, len(codes))
    )
    stadsdeel = [str(k) if k < 4 else None for k in rng.integers(0, 5, len(codes))]
    aanpak = ["ja" if k else None for k in rng.integers(0, 2, len(codes))]
    return made(dict(zip(codes, residents.tolist(), strict=True)), stadsdeel=stadsdeel, aanpak=aanpak)


@pytest.mark.parametrize("seed", range(4))
def test_no_hidden_buurt_of_a_random_region_is_computed_back(seed: int) -> None:
    areas = random_areas(seed)
    scores, primary = table_of(areas, seed), primary_of(areas)
    ruled = {code for level, code in primary if level == "buurt"}
    assert len(ruled) > 3
    naive = attacked(areas, scores, primary)
    assert min(naive[c] for c in ruled) < PROTECTION  # so that the test can fail
    found = suppress(areas, scores, primary, PROTECTION)
    widths = attacked(areas, scores, everything(found))
    assert min(widths[c] for c in ruled) > PROTECTION - 1e-3
    audit = found.audit.set_index("area_code")
    # the audit, by blocks of one sub-dimension, says what the attack on the whole finds
    np.testing.assert_allclose([widths[c] for c in audit.index], audit["width"], atol=0.01)
    buurten = [key for key in found.secondary if key[0] == "buurt"]
    assert len(buurten) <= 2 * len(ruled)
    assert not {level for level, _ in found.secondary} & {"land", "gemeente"}


def test_the_order_of_the_areas_does_not_matter() -> None:
    areas = random_areas(7)
    scores = table_of(areas, 7)
    shuffled = {level: t.sample(frac=1, random_state=1) for level, t in scores.items()}
    assert (
        suppress(areas, scores, primary_of(areas)).secondary == suppress(areas, shuffled, primary_of(areas)).secondary
    )


def test_nothing_to_hide_and_nothing_that_could_protect() -> None:
    areas = made({"BU00010001": 500, "BU00010002": 800})
    found = suppress(areas, table_of(areas), set())
    assert (found.primary, found.secondary, len(found.audit)) == ((), (), 0)
    alone = made({"BU00010001": 5})
    with pytest.raises(DataError, match="cannot be protected"):
        suppress(alone, table_of(alone), {("buurt", "BU00010001")})  # while the whole is published
    assert suppress(alone, table_of(alone), primary_of(alone)).secondary == ()  # nothing at all is published


def test_equations_are_reduced_to_what_they_say() -> None:
    wijk, other, gemeente, group = [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 1]
    found = reduced(sp.csr_array(np.array([gemeente, wijk, group, other, gemeente], dtype=float)))
    rows = {tuple(r) for r in found.toarray().astype(int).tolist()}
    assert rows == {tuple(wijk), tuple(other), (0, 0, 0, 1, 0), (0, 1, 0, 0, 1)}
    rank = np.linalg.matrix_rank
    both = np.vstack([found.toarray(), [gemeente, wijk, group, other]])
    assert rank(both) == rank(found.toarray()) == 4


def test_an_attack_in_closed_form_and_by_linear_programs() -> None:
    low, high = attack(np.array([[5.0, 60.0]]), np.array([5 * 6.0 + 60 * 7.0]))
    np.testing.assert_allclose(low, [0, 400 / 60])
    np.testing.assert_allclose(high, [10, 450 / 60])
    twice = np.array([[5.0, 60.0, 0.0], [5.0, 60.0, 20.0]])
    low, high = attack(twice, twice @ [6.0, 7.0, 3.0])
    np.testing.assert_allclose(low, [0, 400 / 60, 3], atol=1e-4)
    np.testing.assert_allclose(high, [10, 450 / 60, 3], atol=1e-4)


def test_respondents_who_all_say_the_same() -> None:
    frame = pd.DataFrame({"participatie": [5.0, 5.0, 5.0, 7.5, np.nan, 2.5], "plaatsidentiteit": [1.0] * 6})
    found = unanimous(frame, ("participatie", "plaatsidentiteit"), np.array([0, 0, 1, 1, 1, -1]), 3)
    np.testing.assert_allclose(found, [[1, 1], [0.5, 1], [0, 0]])
