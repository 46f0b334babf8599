"""Ranks, positions in words and triple-goal estimates, against definitions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from buurtsae.estimates.labels import in_words
from buurtsae.estimates.position import above, between_buurten, ranks, triple_goal


def test_ranks_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).normal(size=(50, 7))
    np.testing.assert_array_equal(ranks(values), stats.rankdata(-values, axis=1))


def test_positions_count_draws() -> None:
    values = np.array([[1.0, 3.0, 2.0, 5.0], [2.0, 1.0, 1.5, 5.0], [3.0, 1.0, 2.0, 4.0], [3.0, 2.5, 2.0, 4.0]])
    parent = np.array([0, 0, 0, 1])
    every = np.ones(4, dtype=bool)
    found = above(values, parent, np.tile([2.0, 4.5], (4, 1)), every, every[:2])
    assert found["p_above_parent"].tolist() == [0.625, 0.5, 0.375, 0.5]  # a tie counts half
    assert found["rank_lower"].tolist() == [1, 1, 2, 1]
    assert found["rank_upper"].tolist() == [3, 3, 3, 1]


def test_positions_are_among_what_is_published() -> None:
    values = np.array([[1.0, 3.0, 2.0, 5.0], [2.0, 1.0, 3.0, 5.0]])
    shown, parents = np.array([True, False, True, True]), np.array([False, True])
    found = above(values, np.array([0, 0, 0, 1]), np.tile([2.0, 4.5], (2, 1)), shown, parents)
    np.testing.assert_array_equal(found["rank_upper"], [2, np.nan, 1, 1])  # the second is no number two or one
    np.testing.assert_array_equal(found["p_above_parent"], [np.nan, np.nan, np.nan, 1])


def test_equal_draws_are_ranked_by_chance_and_not_by_code() -> None:
    """Four areas with the same score in 4,000 draws: each is first in a quarter, give or take 0.7% (one sd); five sds.

    Of two at an end of the scale in one draw in ten, neither gains.
    """
    rank = ranks(np.full((4000, 4), 10.0))
    np.testing.assert_array_equal(np.sort(rank, axis=1), np.tile([1, 2, 3, 4], (4000, 1)))
    for place in (1, 2, 3, 4):
        np.testing.assert_allclose((rank == place).mean(axis=0), 0.25, atol=0.035)
    every = np.ones(4, dtype=bool)
    found = above(np.full((4000, 4), 10.0), np.zeros(4, dtype=int), np.full((4000, 1), 10.0), every, every[:1])
    assert found["p_above_parent"].tolist() == [0.5] * 4
    assert (found["rank_lower"].tolist(), found["rank_upper"].tolist()) == ([1] * 4, [4] * 4)
    some = np.column_stack([np.full(4000, 10.0), np.where(np.arange(4000) % 10, 9.0, 10.0), np.full(4000, 1.0)])
    first = (ranks(some) == 1).mean(axis=0)
    np.testing.assert_allclose(first, [0.95, 0.05, 0.0], atol=0.02)  # half of a tenth, sd 0.3%
    np.testing.assert_array_equal(ranks(some), ranks(some))  # the same draws have the same ranks


def test_a_few_residents_do_not_make_the_differences_between_buurten() -> None:
    """Two of a hundred buurten that differ wildly and hold a thousandth of the residents.

    Their variance is 100, that of the others 0.25. A mean of 800 chi^2 has a standard error of 5%: four of these.
    """
    rng = np.random.default_rng(2)
    values = rng.normal(6, 0.5, size=(400, 100))
    values[:, :2] = rng.normal(6, 10, size=(400, 2))
    residents = np.r_[1.0, 1.0, np.full(98, 20.0)]
    every = np.ones(100, dtype=bool)
    alike = between_buurten(values, every, np.ones(100))
    assert alike == pytest.approx(0.98 * 0.25 + 0.02 * 100, rel=0.2)
    assert between_buurten(values, every, residents) == pytest.approx(0.25 + 100 / 981, rel=0.2)
    assert between_buurten(values, every & (np.arange(100) > 1), residents) == pytest.approx(0.25, rel=0.05)
    assert between_buurten(values, np.arange(100) == 5, residents) == 0.0


def test_nothing_is_nearly_certain_of_what_was_not_seen() -> None:
    p = [1.0, 0.9, 0.5, 0.1, 0.0, np.nan]
    capped = ["waarschijnlijk hoger"] * 2 + ["niet te onderscheiden"] + ["waarschijnlijk lager"] * 2 + [None]
    assert in_words(p, True).tolist() == capped
    assert in_words(p, [False, True, True, True, False, True]).tolist() == ["vrijwel zeker hoger", *capped[1:4],
                                                                           "vrijwel zeker lager", None]  # fmt: skip


def test_probabilities_in_words() -> None:
    p = [1.0, 0.975, 0.97, 0.8, 0.5, 0.2, 0.1999, 0.025, 0.02, 0.0, np.nan]
    high, low = ["vrijwel zeker hoger"] * 2, ["vrijwel zeker lager"] * 2
    middle = ["waarschijnlijk hoger"] * 2 + ["niet te onderscheiden"] * 2 + ["waarschijnlijk lager"] * 2
    assert in_words(p).tolist() == [*high, *middle, *low, None]


def test_triple_goal_estimates_have_the_spread_of_the_scores() -> None:
    """Normal scores with variance 1 and sampling variance 1.5: posterior means have variance 1 / 2.5."""
    rng, k, n = np.random.default_rng(3), 2000, 400
    truth = rng.normal(size=k)
    y = truth + rng.normal(size=k) * np.sqrt(1.5)
    mean, variance = y / 2.5, 1.5 / 2.5
    values = mean + rng.normal(size=(n, k)) * np.sqrt(variance)
    found = triple_goal(values)
    # G is the mean of the posteriors: variance Var(mean) + 0.6, exactly; draws of 2,000 areas: sd of a variance 3%
    assert found.var() == pytest.approx(mean.var() + variance, rel=0.02)
    assert found.var() == pytest.approx(truth.var(), rel=0.1)  # two sds of each of both: sqrt(2 / 2000) = 3%
    assert mean.var() < 0.5
    # with equal variances the order is that of the posterior means, known from 400 draws with error sqrt(0.6 / 400):
    # correlation 1 / sqrt(1 + 0.0015 / 0.4) = 0.998
    assert stats.spearmanr(found, mean)[0] > 0.997
    # and the histogram is that of the truth: Kolmogorov-Smirnov does not tell them apart, but does posterior means
    assert stats.ks_2samp(found, truth).pvalue > 0.01
    assert stats.ks_2samp(mean, truth).pvalue < 1e-6


def test_areas_that_are_alike_get_the_same_triple_goal_estimate() -> None:
    values = np.repeat(np.random.default_rng(4).normal(5, 1, size=(1000, 1)), 3, axis=1)
    found = triple_goal(np.column_stack([values[:, 0], values[:, 0] + 2]))
    assert found[1] - found[0] > 1.5
    np.testing.assert_allclose(triple_goal(np.tile([[4.0, 6.0]], (10, 1))), [4.0, 6.0])
