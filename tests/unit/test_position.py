"""Ranks, positions in words and triple-goal estimates, against definitions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from buurtsae.estimates.labels import in_words
from buurtsae.estimates.position import above, ranks, triple_goal


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
