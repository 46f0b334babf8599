"""Disclosure control: what is hidden cannot be computed back, attacked on the whole published table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from attacker import computed, in_a_row, residents_of
from scipy.optimize import linprog

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError
from buurtsae.estimates.disclosure.attack import ends, reduced
from buurtsae.estimates.disclosure.release import unanimous
from buurtsae.estimates.disclosure.suppression import Cells, Hidden, suppress, widths
from buurtsae.survey.concept import Concept

PARTS = Concept.load().subdimensions
PROTECTION = 2.0
DRAWS = 20


def draws_of(areas: Areas, seed: int = 1, spread: float = 0.4) -> np.ndarray:
    """Draws of the sub-dimensions of made buurten, about means anywhere on 4-8; some reach the ends of the scale."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(4, 8, (len(areas.codes), len(PARTS)))
    return np.clip(mean + rng.normal(scale=spread, size=(DRAWS, *mean.shape)), 0, 10)


def cells_of(areas: Areas, seed: int = 1, spread: float = 0.4) -> Cells:
    return Cells.of_areas(areas, draws_of(areas, seed, spread), PARTS)


def primary_of(areas: Areas, least: int = 10) -> set[tuple[str, str]]:
    """Every area with fewer residents than `least`."""
    found = set()
    for level in areas.levels:
        n = pd.Series(areas.population, index=areas.codes).groupby(areas.parents(level).to_numpy()).sum()
        found |= {(level, str(c)) for c, k in n.items() if 0 < k < least}
    return found


def attacked(
    areas: Areas, hidden: set[tuple[str, str]], seed: int = 1, spread: float = 0.4
) -> dict[tuple[str, str], float]:
    return computed(residents_of(areas), "buurt", draws_of(areas, seed, spread), hidden)


def suppressed(areas: Areas, least: int = 10, seed: int = 1, spread: float = 0.4) -> Hidden:
    return suppress(cells_of(areas, seed, spread), primary_of(areas, least), PROTECTION)


def test_without_protection_a_hidden_buurt_is_computed_back() -> None:
    areas = in_a_row({"BU00010001": 5, "BU00010002": 800, "BU00010101": 900, "BU00010102": 700})
    assert attacked(areas, {("buurt", "BU00010001")})["buurt", "BU00010001"] < 1e-3


def test_one_hidden_buurt_takes_others_of_its_wijk_until_all_are_protected() -> None:
    residents = {"BU00010001": 5, "BU00010002": 800, "BU00010003": 60, "BU00010004": 90, "BU00010101": 900}
    areas = in_a_row(residents)
    found = suppressed(areas)
    assert found.ruled == {("buurt", "BU00010001")}
    # of 60, with scores of the other 5 anywhere on 0-10, 5 x 10 / 60 of a point would be left: so that of 90 goes too
    assert found.protecting == {("buurt", "BU00010003"), ("buurt", "BU00010004")}
    wide = attacked(areas, set(found.keys))
    assert wide["buurt", "BU00010001"] == pytest.approx(10, abs=1e-4)
    audit = found.audit.set_index(["level", "area_code"])["width"]
    for key, width in wide.items():
        assert audit[key] == pytest.approx(width, abs=1e-6)
        assert width > PROTECTION


def test_a_partner_must_be_large_enough() -> None:
    residents = {"BU00010001": 9, "BU00010002": 1, "BU00010003": 30, "BU00010101": 900, "BU00010102": 700}
    found = suppress(cells_of(in_a_row(residents)), {("buurt", "BU00010001")}, PROTECTION)
    # one resident leaves 10 / 9 of a point of room for nine; thirty leave all
    assert found.protecting == {("buurt", "BU00010003")}


def test_a_wijk_of_one_buurt_goes_with_it_and_so_do_those_of_its_partners() -> None:
    areas = in_a_row({"BU00010001": 5, "BU00010101": 900, "BU00010102": 700, "BU00010201": 800, "BU00010202": 300})
    found = suppressed(areas)
    assert found.ruled == {("buurt", "BU00010001"), ("wijk", "WK000100")}  # five residents too
    partners = {("buurt", "BU00010202"), ("wijk", "WK000102")}  # 300 residents, and what would tell them
    assert found.protecting == partners | {("buurt", "BU00010102"), ("wijk", "WK000101")}  # 5 of 300 are no protection
    assert min(attacked(areas, set(found.keys)).values()) > PROTECTION


def test_a_large_wijk_with_one_hidden_buurt_by_rule() -> None:
    areas = in_a_row({"BU00010001": 500, "BU00010101": 900, "BU00010102": 700})
    found = suppress(cells_of(areas), {("buurt", "BU00010001")}, PROTECTION)
    assert found.protecting == {("wijk", "WK000100"), ("wijk", "WK000101"), ("buurt", "BU00010102")}
    assert attacked(areas, set(found.keys))["buurt", "BU00010001"] > PROTECTION


def test_a_hidden_wijk_is_not_what_its_gemeente_less_the_others_is() -> None:
    """Ten buurten of four residents: each could be anything, and the ten together would be known to every digit."""
    small = {f"BU000100{k:02}": 4 for k in range(10)}
    rest = {"BU00010101": 900, "BU00010102": 700, "BU00010201": 1500, "BU00010202": 300, "BU00020101": 2000}
    areas = in_a_row(small | rest)
    naive = attacked(areas, primary_of(areas, 100))
    assert naive["wijk", "WK000100"] < 1e-6
    assert naive["buurt", "BU00010000"] > 9
    found = suppressed(areas, 100)
    wide = attacked(areas, set(found.keys))
    assert wide["wijk", "WK000100"] > PROTECTION
    assert min(wide.values()) > PROTECTION
    assert not {level for level, _ in found.keys} & {"gemeente", "land"}


def test_a_hidden_gemeente_is_protected_by_another() -> None:
    areas = in_a_row({"BU00010001": 40, "BU00020001": 900, "BU00020101": 400, "BU00030001": 2000, "BU00030002": 800})
    naive = attacked(areas, primary_of(areas, 100))
    assert naive["gemeente", "GM0001"] < 1e-6
    found = suppressed(areas, 100)
    assert attacked(areas, set(found.keys))["gemeente", "GM0001"] > PROTECTION


def test_a_hidden_grouping_is_protected() -> None:
    codes = [f"BU000100{k:02}" for k in range(1, 7)]
    areas = in_a_row(dict(zip(codes, [30, 40, 800, 700, 900, 500], strict=True)), aanpak=["ja", "ja", *["nee"] * 4])
    naive = attacked(areas, primary_of(areas, 100))
    assert naive["aanpak", "ja"] < 1e-6  # the land less those who say no
    found = suppressed(areas, 100)
    assert attacked(areas, set(found.keys))["aanpak", "ja"] > PROTECTION


def test_draws_narrow_what_means_leave() -> None:
    """Where draws reach an end of the scale the bounds of a mean are means of bounds: the promise is of these."""
    areas = in_a_row({"BU00010001": 9, "BU00010002": 2, "BU00010003": 3, "BU00010004": 700, "BU00010101": 900})
    hidden = {("buurt", c) for c in ("BU00010001", "BU00010002")}
    draws = np.clip(9.4 + np.random.default_rng(3).normal(scale=1.5, size=(DRAWS, 5, 1)), 0, 10)
    weights = residents_of(areas)
    of_mean = computed(weights, "buurt", draws.mean(axis=0, keepdims=True), hidden)["buurt", "BU00010001"]
    of_draws = computed(weights, "buurt", draws, hidden)["buurt", "BU00010001"]
    assert of_draws < of_mean - 0.1
    cells = Cells.of_areas(areas, draws, PARTS[:1])
    gone = np.isin(cells.codes, ["BU00010001", "BU00010002"])
    shut = np.zeros(len(cells.above), dtype=bool)
    assert widths(cells, gone, shut, [np.array([0])])[0, 0] == pytest.approx(of_draws, abs=1e-6)
    between = (of_draws + of_mean) / 2  # a protection that the mean meets and the draws do not
    found = suppress(cells, {("buurt", "BU00010001")}, between, hidden)
    assert found.keys > hidden
    assert computed(weights, "buurt", draws, set(found.keys))["buurt", "BU00010001"] > between


def test_groupings_that_overlap_do_not_give_a_buurt_away() -> None:
    codes = [f"BU000100{k:02}" for k in range(1, 6)]
    residents = dict(zip(codes, [5, 60, 800, 700, 900], strict=True))
    # the difference of the two groupings is the hidden buurt
    areas = in_a_row(residents, een=["ja", "ja", "ja", None, None], twee=[None, "ja", "ja", None, None])
    naive = attacked(areas, {("buurt", codes[0]), ("buurt", codes[1])})
    assert naive["buurt", codes[0]] < 1e-3
    assert attacked(areas, set(suppressed(areas).keys))["buurt", codes[0]] > PROTECTION


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
    return in_a_row(dict(zip(codes, residents.tolist(), strict=True)), stadsdeel=stadsdeel, aanpak=aanpak)


@pytest.mark.parametrize("least", [10, 150])
@pytest.mark.parametrize("seed", range(4))
def test_no_hidden_area_of_a_random_region_is_computed_back(seed: int, least: int) -> None:
    areas = random_areas(seed)
    ruled = primary_of(areas, least)
    assert len(ruled) > 3
    assert min(attacked(areas, ruled, seed, 1.5).values()) < PROTECTION  # so that the test can fail
    found = suppressed(areas, least, seed, 1.5)
    wide = attacked(areas, set(found.keys), seed, 1.5)
    assert set(wide) >= ruled
    audit = found.audit.set_index(["level", "area_code"])["width"]
    assert set(audit.index) == set(wide)
    for key, width in wide.items():
        assert audit[key] < width + 1e-6  # what the package says is left, is
        assert width > PROTECTION - 1e-6
    # with one equation the audit is exact, and most hidden areas have one
    assert np.mean([abs(audit[key] - width) < 1e-6 for key, width in wide.items()]) > 0.5
    assert not {level for level, _ in found.protecting} & {"land", "gemeente"}
    buurten = [sum(level == "buurt" for level, _ in keys) for keys in (found.protecting, found.ruled)]
    assert buurten[0] <= 2.5 * buurten[1]  # one to protect it, one to protect that, and some for groupings


def test_what_only_protects_takes_no_gemeente_along() -> None:
    # the wijk of 40 takes the other one, which is then the gemeente but for 40 people: that is no secret
    areas = in_a_row({"BU00010001": 40, "BU00010101": 5000, "BU00020001": 900, "BU00020002": 800})
    found = suppressed(areas, 100)
    assert found.protecting == {("buurt", "BU00010101"), ("wijk", "WK000101")}
    wide = attacked(areas, set(found.keys))
    assert wide["wijk", "WK000100"] > PROTECTION > wide["wijk", "WK000101"]
    audit = found.audit.set_index(["level", "area_code"])["width"]
    assert audit["wijk", "WK000101"] == pytest.approx(40 * 10 / 5000)


def test_the_order_of_draws_does_not_matter() -> None:
    areas = random_areas(7)
    cells = cells_of(areas, 7)
    shuffled = replace(cells, draws=cells.draws[::-1])
    one, other = (suppress(c, primary_of(areas), PROTECTION).keys for c in (cells, shuffled))
    assert one == other


def test_nothing_to_hide_and_nothing_that_could_protect() -> None:
    areas = in_a_row({"BU00010001": 500, "BU00010002": 800})
    found = suppress(cells_of(areas), set(), PROTECTION)
    assert (found.keys, len(found.audit)) == (frozenset(), 0)
    alone = in_a_row({"BU00010001": 5})
    with pytest.raises(DataError, match="cannot be protected"):
        suppress(cells_of(alone), {("buurt", "BU00010001")}, PROTECTION)  # while the whole is published
    assert not suppressed(alone).protecting  # nothing at all is published
    assert not suppress(cells_of(alone), {("buurt", "BU00010001")}, 0.0).protecting


def test_equations_are_reduced_to_what_they_say() -> None:
    wijk, other, gemeente, group = [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 1]
    found = reduced(sp.csr_array(np.array([gemeente, wijk, group, other, gemeente], dtype=float)))
    rows = {tuple(r) for r in found.toarray().astype(int).tolist()}
    assert rows == {tuple(wijk), tuple(other), (0, 0, 0, 1, 0), (0, 1, 0, 0, 1)}
    rank = np.linalg.matrix_rank
    both = np.vstack([found.toarray(), [gemeente, wijk, group, other]])
    assert rank(both) == rank(found.toarray()) == 4


def test_ends_in_closed_form_and_by_linear_programs() -> None:
    score = np.array([[6.0, 7.0]])
    low, high = ends(np.array([[5.0, 60.0]]), np.array([0.0, 60.0]), score, 10.0)
    np.testing.assert_allclose((low, high), [[400], [450]])  # 450 in all, of which the other 5 have 0 to 50
    three = np.array([[6.0, 7.0, 3.0]])
    twice = np.array([[5.0, 60.0, 0.0], [5.0, 60.0, 20.0]])
    for target, (least, most) in {(5.0, 0, 0): (0, 50), (0, 60.0, 0): (400, 450), (0, 0, 20.0): (60, 60)}.items():
        low, high = ends(twice, np.array(target), three, 10.0)
        np.testing.assert_allclose((low, high), [[least], [most]], atol=1e-6)
    low, high = ends(np.zeros((0, 2)), np.array([5.0, 0.0]), score, 10.0)
    np.testing.assert_allclose((low, high), [[0], [50]])  # nothing is known


def test_ends_of_several_draws_are_never_wider_than_linear_programs_find() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        equations = np.where(rng.random((3, 6)) < 0.6, rng.integers(1, 900, 6), 0).astype(float)
        equations = equations[equations.any(axis=1)]
        target = np.where(np.arange(6) < rng.integers(1, 4), equations.max(axis=0), 0.0)
        if len(equations) < 2 or not target.any():
            continue
        draws = np.clip(rng.uniform(2, 9, 6) + rng.normal(size=(15, 6)), 0, 10)
        low, high = ends(equations, target, draws, 10.0)
        for r, x in enumerate(draws):
            free = {"A_eq": equations, "b_eq": equations @ x, "bounds": (0, 10)}
            exact = [sign * linprog(sign * target, **free).fun for sign in (1, -1)]
            assert exact[0] - 1e-5 <= low[r] <= target @ x + 1e-9
            assert target @ x - 1e-9 <= high[r] <= exact[1] + 1e-5


def test_respondents_who_all_say_the_same() -> None:
    frame = pd.DataFrame({"participatie": [5.0, 5.0, 5.0, 7.5, np.nan, 2.5], "plaatsidentiteit": [1.0] * 6})
    found = unanimous(frame, ("participatie", "plaatsidentiteit"), np.array([0, 0, 1, 1, 1, -1]), 3)
    np.testing.assert_allclose(found, [[1, 1], [0.5, 1], [0, 0]])
