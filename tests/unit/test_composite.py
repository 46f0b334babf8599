"""Direct, synthetic and composite estimates, by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from buurtsae.classical.composite import direct, optimal, post_stratified_synthetic, sample_size_dependent
from buurtsae.errors import BuurtsaeError, DataError

Y = np.array([1.0, 3.0, 4.0, 8.0, 5.0])
AREA = np.array([0, 0, 1, 1, 2])
SIZES = np.array([10.0, 8.0, 6.0, 5.0])


def test_simple_random_samples_by_hand() -> None:
    found = direct(Y, AREA, SIZES)
    np.testing.assert_allclose(found.mean, [2, 6, 5, np.nan])
    np.testing.assert_allclose(found.variance, [0.8 * 2 / 2, 0.75 * 8 / 2, np.nan, np.nan])
    assert found.n.tolist() == [2, 2, 1, 0]
    np.testing.assert_allclose(direct(Y, AREA, SIZES, replacement=True).variance[:2], [1, 4])


def test_weights_by_hand() -> None:
    w = np.array([4.0, 6.0, 2.0, 4.0, 5.0])
    found = direct(Y, AREA, SIZES, w)
    np.testing.assert_allclose(found.mean[:3], [22 / 10, 40 / 8, 25 / 6])
    np.testing.assert_allclose(found.variance[:3], [(12 * 1 + 30 * 9) / 100, (2 * 16 + 12 * 64) / 64, 20 * 25 / 36])
    drawn = direct(Y, AREA, SIZES, w, replacement=True)  # two estimates of each mean: 0.8 and 3.6, 2 and 8
    np.testing.assert_allclose(drawn.variance[:2], [(1.4**2 + 1.4**2) / 2, (3**2 + 3**2) / 2])


def test_units_outside_every_area_do_not_count() -> None:
    more = direct(np.append(Y, 99.0), np.append(AREA, -1), SIZES)
    np.testing.assert_allclose(more.mean, direct(Y, AREA, SIZES).mean)
    np.testing.assert_allclose(more.variance, direct(Y, AREA, SIZES).variance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
def test_variances_are_right_on_average(weighted: bool, replacement: bool) -> None:
    rng, n, size = np.random.default_rng(4), 20, 100
    population = rng.gamma(4, 1, size)
    found = []
    for _ in range(4000):
        chosen = rng.integers(size, size=n) if replacement else rng.choice(size, n, replace=False)
        if weighted and not replacement:  # Poisson sampling, for which the variance of the weights is exact
            chosen = np.flatnonzero(rng.random(size) < n / size)
        w = np.full(len(chosen), size / n) if weighted else None
        one = direct(population[chosen], np.zeros(len(chosen), dtype=int), np.array([float(size)]), w, replacement)
        found.append((one.mean[0], one.variance[0]))
    mean, variance = np.array(found).T
    # 4,000 samples: the variance of means is known to sqrt(2 / 4000) = 2.2%, four of these
    np.testing.assert_allclose(variance.mean(), mean.var(), rtol=0.09)
    np.testing.assert_allclose(mean.mean(), population.mean(), atol=4 * mean.std() / np.sqrt(4000))


def test_post_strata_by_hand() -> None:
    counts = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    stratum = np.array([0, 0, 1, 1, 1])
    w = np.array([1.0, 3.0, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(post_stratified_synthetic(Y, stratum, counts, w), [(3 * 2.5 + 5.5) / 4, 5.5, np.nan])
    np.testing.assert_allclose(post_stratified_synthetic(Y, stratum, counts)[1], 17 / 3)


def test_an_area_with_enough_sample_keeps_its_direct_estimate() -> None:
    mean, synthetic = np.array([2.0, 6.0, np.nan]), np.array([3.0, 3.0, 4.0])
    found = sample_size_dependent(mean, synthetic, np.array([12.0, 4.0, 0.0]), np.array([10.0, 8.0, 6.0]))
    np.testing.assert_allclose(found.gamma, [1, 0.5, 0])
    np.testing.assert_allclose(found.mean, [2, 4.5, 4])
    sooner = sample_size_dependent(mean, synthetic, np.array([12.0, 4.0, 0.0]), np.array([10.0, 8.0, 6.0]), delta=0.5)
    np.testing.assert_allclose(sooner.gamma, [1, 1, 0])


@pytest.mark.parametrize("common", [False, True])
def test_optimal_weights_have_the_least_error_and_say_how_large_it_is(common: bool) -> None:
    rng, t = np.random.default_rng(6), 20_000
    truth = rng.normal(0, 1, t)
    variance = rng.uniform(0.2, 3, t)
    mean = truth + rng.normal(0, np.sqrt(variance))
    synthetic = truth + rng.normal(0, 0.8, t)
    mean[:10] = np.nan
    found = optimal(mean, synthetic, variance, common)
    error = (found.mean - truth) ** 2
    # 20,000 squared errors: known to 1%, and B = 0.64 to sqrt(2) (0.64 + 1.6) / sqrt(20000) = 2.2%: four of these
    np.testing.assert_allclose(found.mse.mean(), error.mean(), rtol=0.09)
    assert error[10:].mean() < min(((mean - truth)[10:] ** 2).mean(), ((synthetic - truth)[10:] ** 2).mean())
    np.testing.assert_allclose(found.mean[:10], synthetic[:10])
    expected = 0.64 / (0.64 + (variance.mean() if common else variance[10:]))
    np.testing.assert_allclose(found.gamma[10:], expected, rtol=0.09)
    assert (np.unique(found.gamma[10:]).size == 1) == common


def test_synthetic_estimates_without_visible_error_get_all_weight() -> None:
    found = optimal(np.array([1.0, 2.0]), np.array([1.5, 1.5]), np.array([4.0, 4.0]))
    np.testing.assert_allclose(found.gamma, 0)
    np.testing.assert_allclose(found.mean, 1.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: direct(np.append(Y[1:], np.nan), AREA, SIZES), "y is missing in 1 units"),
        (lambda: direct(Y, AREA, SIZES, np.array([1.0, 0.5, np.nan, 2, 2])), "2 weights are impossible"),
        (lambda: direct(Y, AREA, np.array([1.0, 8, 6, 5])), "population is smaller than the sample"),
        (lambda: post_stratified_synthetic(Y, AREA, np.ones((2, 4))), "post-strata with population have no units"),
        (lambda: sample_size_dependent(Y, Y, Y, Y, delta=0), "delta 0"),
        (lambda: optimal(Y * np.nan, Y, Y), "no area with both estimates"),
        (lambda: optimal(Y, Y, -Y), "negative variances"),
    ],
)
def test_what_is_refused(make, says: str) -> None:
    with pytest.raises(BuurtsaeError) as caught:
        make()
    assert isinstance(caught.value, DataError)
    assert says in str(caught.value)
