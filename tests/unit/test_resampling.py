"""From weighted values to draws: how often each, and deviations that balance."""

from __future__ import annotations

import numpy as np
import pytest

from buurtsae.engines.resampling import balanced, cube, systematic

WEIGHTS = np.random.default_rng(3).dirichlet(np.ones(301))


@pytest.mark.parametrize("u", [0.0, 0.3, 0.999999])
def test_systematic_resampling_is_within_one_of_the_weights(u: float) -> None:
    count = systematic(WEIGHTS, 1000, u)
    assert count.sum() == 1000
    assert np.abs(count - 1000 * WEIGHTS).max() < 1


@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_the_cube_method_is_within_one_of_the_weights(n: int) -> None:
    x = np.random.default_rng(1).standard_normal((301, 5))
    count = cube(WEIGHTS, x, n, np.random.default_rng(2))
    assert count.sum() == n
    assert np.abs(count - n * WEIGHTS).max() < 1


def test_the_cube_method_draws_each_value_as_often_as_its_weight_says() -> None:
    weights, x = np.arange(1.0, 8.0) / 28, np.random.default_rng(1).standard_normal((7, 2))
    sets = 4000
    counts = np.array([cube(weights, x, 3, np.random.default_rng(seed)) for seed in range(sets)])
    # a count is one of two neighbouring numbers: its sd is at most 1/2
    np.testing.assert_allclose(counts.mean(axis=0), 3 * weights, atol=5 * 0.5 / np.sqrt(sets))


def test_the_cube_method_keeps_sums() -> None:
    x = np.random.default_rng(1).standard_normal((301, 6))
    x[:, 5] = x[:, 0] - x[:, 1]  # collinear columns are no obstacle
    error, n = [], 200
    for seed in range(100):
        rng = np.random.default_rng(seed)
        error.append([count @ x - n * WEIGHTS @ x for count in (cube(WEIGHTS, x, n, rng), rng.multinomial(n, WEIGHTS))])
    cubed, plain = np.array(error).std(axis=0)
    # what is left is the choice for the last values, fewer than there are columns, against 200 by chance
    assert (cubed < np.sqrt(7 / n) * plain).all()
    assert cubed[0] < 0.5 * np.sqrt(7 / n) * plain[0]  # the first columns are balanced for longest


def test_equal_weights_that_make_whole_numbers_leave_no_choice() -> None:
    count = cube(np.ones(8), np.arange(8.0)[:, None], 16, np.random.default_rng(1))
    np.testing.assert_array_equal(count, 2)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_balanced_draws_average_to_their_mean_and_are_each_distributed_as_before(n: int) -> None:
    rng, sets = np.random.default_rng(4), 40_000
    mean, root = np.array([1.0, -2.0]), np.array([[1.0, 0.0], [0.6, 0.8]])
    found = np.array([balanced(mean, rng.standard_normal((n - 1, 2)) @ root.T) for _ in range(sets)])
    np.testing.assert_allclose(found.mean(axis=1), np.tile(mean, (sets, 1)), atol=1e-12)
    for k in range(n):
        np.testing.assert_allclose(found[:, k].mean(axis=0), mean, atol=5 / np.sqrt(sets))
        np.testing.assert_allclose(np.cov(found[:, k].T), root @ root.T, atol=5 * np.sqrt(2 / sets))
