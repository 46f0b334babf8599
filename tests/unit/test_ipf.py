"""Iterative proportional fitting and controlled rounding: margins, odds ratios, zeros, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from buurtsae.errors import DataError
from buurtsae.sparse import Floats
from buurtsae.survey import ipf

SHAPE = 5, 2, 3  # areas, rows, columns


def margins(rows: Floats, columns: Floats) -> list[ipf.Margin]:
    area, i, j = (grid.ravel() for grid in np.indices((len(rows), rows.shape[1], columns.shape[1])))
    sizes = rows.shape[1], columns.shape[1]
    return [
        ipf.Margin(name, area * size + at, total.ravel(), np.arange(total.size) // size)
        for name, at, size, total in zip("ij", (i, j), sizes, (rows, columns), strict=True)
    ]


def test_margins_are_met_and_odds_ratios_kept() -> None:
    rng = np.random.default_rng(1)
    seed, target = rng.gamma(2.0, size=(2, *SHAPE))
    found = ipf.fitted(seed.ravel(), margins(target.sum(2), target.sum(1)), list("abcde")).reshape(seed.shape)
    np.testing.assert_allclose(found.sum(2), target.sum(2), rtol=1e-8)
    np.testing.assert_allclose(found.sum(1), target.sum(1), rtol=1e-8)

    def odds(table: Floats) -> Floats:
        return table[:, 0, :-1] * table[:, 1, 1:] / (table[:, 1, :-1] * table[:, 0, 1:])

    np.testing.assert_allclose(odds(found), odds(seed), rtol=1e-9)  # each step multiplies rows or columns


def test_by_hand() -> None:
    """Margins 6, 4 and 5, 5, odds ratio 4: a (a - 1) = 4 (6 - a) (5 - a), so that 3 a^2 - 43 a + 120 = 0."""
    a = (43 - np.sqrt(43**2 - 4 * 3 * 120)) / 6
    found = ipf.fitted(np.array([4.0, 1, 1, 1]), margins(np.array([[6.0, 4]]), np.array([[5.0, 5]])), ["x"])
    np.testing.assert_allclose(found, [a, 6 - a, 5 - a, a - 1], rtol=1e-8)


def test_structural_zeros_stay() -> None:
    found = ipf.fitted(np.array([1.0, 1, 0, 1]), margins(np.array([[6.0, 4]]), np.array([[5.0, 5]])), ["x"])
    np.testing.assert_allclose(found, [5, 1, 0, 4], rtol=1e-7)


def test_zeros_that_make_a_margin_impossible_are_named() -> None:
    with pytest.raises(DataError, match="margin j has residents where the seed allows none") as caught:
        ipf.fitted(np.array([1.0, 0, 1, 0]), margins(np.array([[6.0, 4]]), np.array([[5.0, 5]])), ["x"])
    assert "5 in x" in caught.value.got
    seed = np.array([1.0, 1, 0, 1] * 2)  # the second row has to have 4, its only cell at most 3
    both = margins(np.array([[6.0, 4], [6, 4]]), np.array([[5.0, 5], [7, 3]]))
    with pytest.raises(DataError, match="1 areas have margins that cannot be met") as caught:
        ipf.fitted(seed, both, ["x", "y"])
    assert caught.value.got.startswith("y;")


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_rounding_keeps_totals_and_margins_to_within_one(share: float) -> None:
    """With and without structural zeros, of small and large counts."""
    rng = np.random.default_rng(2)
    sizes, n = (4, 2, 3), 300
    area, *levels = (grid.ravel() for grid in np.indices((n, *sizes)))
    count = rng.gamma(0.5, 4.0, len(area)) * (rng.uniform(size=len(area)) >= share * (area % 2))
    found, failed = ipf.whole(count, area, np.column_stack(levels), sizes, n, rng)
    done = ~np.isin(area, failed)
    assert len(failed) < n / 20
    assert not np.isin(failed, np.arange(0, n, 2)).any()  # without zeros it always succeeds
    assert (found >= 0).all()
    assert (found[count == 0] == 0).all()
    for at in (np.zeros_like(area), *levels):
        group = area * 10 + at
        error = np.bincount(group[done], (found - count)[done])
        assert abs(error).max() < 1
    again, _ = ipf.whole(found.astype(float), area, np.column_stack(levels), sizes, n, rng)
    np.testing.assert_array_equal(again, found)


def test_rounding_is_nearly_without_bias() -> None:
    """2,000 roundings of one area of a hundred equal cells of 0.3: means have a standard error of 0.01."""
    sizes, count = (10, 10), np.full(100, 0.3)
    n = 2000
    area, *levels = (grid.ravel() for grid in np.indices((n, *sizes)))
    found, _ = ipf.whole(np.tile(count, n), area, np.column_stack(levels), sizes, n, np.random.default_rng(3))
    mean = found.reshape(n, -1).mean(axis=0)
    np.testing.assert_allclose(mean, count, atol=5 * 0.0103)


def test_margins_are_made_consistent() -> None:
    values = np.array([
        [10, 30, 60], [np.nan, 30, 60], [np.nan, np.nan, 40], [-5, 30, 70], [80, 50, 30], [np.nan] * 3, [0, 0, 0],
    ], dtype=float)  # fmt: skip
    total = np.array([100.0, 100, 100, 100, 80, 50, 0])
    found, told = ipf.consistent(values, total, np.zeros(7, dtype=int))
    np.testing.assert_allclose(found.sum(axis=1), total)
    np.testing.assert_allclose(found[:2], [[10, 30, 60], [10, 30, 60]])
    pooled = np.array([10 + 10 + 0 + 80, 30 + 30 + 30 + 50, 60 + 60 + 70 + 30])  # of areas that miss one level or none
    np.testing.assert_allclose(found[2, :2], 60 * pooled[:2] / pooled[:2].sum())
    np.testing.assert_allclose(found[3], [0, 30, 70])
    np.testing.assert_allclose(found[4], [40, 25, 15])
    np.testing.assert_allclose(found[5], 50 * pooled / pooled.sum())
    assert told == {"filled": 2, "scaled": 1}


def test_levels_that_no_area_tells_need_shares() -> None:
    values, total, parent = np.full((2, 2), np.nan), np.array([10.0, 20]), np.zeros(2, dtype=int)
    with pytest.raises(DataError, match="no area says how the levels"):
        ipf.consistent(values, total, parent)
    found, _ = ipf.consistent(values, total, parent, np.array([1.0, 3]))
    np.testing.assert_allclose(found, [[2.5, 7.5], [5, 15]])
