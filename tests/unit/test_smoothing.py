"""Variances of tiny samples: pooled covariances, variance functions, and variances within buurten."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from buurtsae.errors import DataError
from buurtsae.survey.components import components, gram, n_effective, shrunk
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.smoothing import MIN_AREAS, MIN_FREEDOM, gvf, rescaled, variance_function, varied, within_variance
from buurtsae.survey.variance import covariance, hajek


def sample(rng: np.random.Generator, n: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores around random area means with covariance s, weights unrelated to them, and areas."""
    domain = np.repeat(np.arange(len(n)), n)
    y = rng.normal(size=(len(n), len(s)))[domain] + rng.normal(size=(len(domain), len(s))) @ np.linalg.cholesky(s).T
    return y, rng.lognormal(0, 0.5, len(domain)), domain


def effective(w: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Effective numbers of respondents, without clusters."""
    return n_effective(w[:, None], domain, int(domain.max()) + 1, [], np.zeros((0, 1)))


def test_the_pooled_covariance_is_unbiased_with_weights_and_missing_scores() -> None:
    rng, s = np.random.default_rng(1), np.array([[2.0, 0.9], [0.9, 1.5]])
    found = []
    for _ in range(200):
        y, w, domain = sample(rng, rng.integers(1, 6, 60), s)
        y[rng.uniform(size=y.shape) < 0.2] = np.nan
        found.append(components(y, w, [domain])[0])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (error < 0.03).all()
    assert (abs(np.mean(found, axis=0) - s) < 4 * error).all()


def test_within_variances_by_hand() -> None:
    # scores 4 and 8 with shares 1/4 and 3/4: mean 7, sum p r^2 = 9/4 + 3/4 = 3, 1 - sum p^2 = 3/8; n_eff = 8/5
    y, w, domain = np.array([[4.0], [8.0], [5.0]]), np.array([1.0, 3.0, 2.0]), np.array([0, 0, 1])
    mean, share, residual = hajek(y, w, domain, 2)
    variance, freedom = within_variance(share, residual, domain, effective(w, domain))
    assert mean[:, 0].tolist() == [7, 5]
    assert variance[:, 0] == pytest.approx([8, 0])
    assert freedom[:, 0] == pytest.approx([0.6, 0])  # one respondent says nothing about a variance
    assert gram(share, domain, 2)[:, 0, 0] == pytest.approx([5 / 8, 1])


def test_within_variances_are_unbiased() -> None:
    rng, found = np.random.default_rng(2), []
    for _ in range(300):
        y, w, domain = sample(rng, np.full(40, 4), np.array([[2.0]]))
        _, share, residual = hajek(y, w, domain, 40)
        found.append(within_variance(share, residual, domain, effective(w, domain))[0].mean())
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.02
    assert np.mean(found) == pytest.approx(2.0, abs=4 * error)


def bias_of_logs(n: np.ndarray) -> np.ndarray:
    """Mean of log chi^2_f / f, f = n - 1."""
    return np.asarray(digamma((n - 1) / 2) - np.log((n - 1) / 2))


def test_a_variance_function_finds_the_line() -> None:
    n = np.linspace(6, 60, 40)
    smoothed, (b0, b1, s) = gvf(3.0 * n**-1.1 * np.exp(bias_of_logs(n)), n)
    assert (b0, b1, s) == (pytest.approx(np.log(3)), pytest.approx(-1.1), 0)
    np.testing.assert_allclose(smoothed, 3.0 * n**-1.1, rtol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_the_back_transformation_is_unbiased(spread: float) -> None:
    """Variances S_a / n of means, S_a lognormal with mean 2, estimated as chi^2_f / f: the smoothed ones are right on
    average, where exponentials of mean logarithms are too low by the error of estimation and by exp(-spread^2 / 2).
    """
    rng, ratio, found = np.random.default_rng(3), [], []
    n = rng.integers(6, 26, 300).astype(float)
    for _ in range(100):
        s = 2 * np.exp(rng.normal(-(spread**2) / 2, spread, len(n)))
        smoothed, line = gvf(s / n * rng.chisquare(n - 1) / (n - 1), n)
        ratio.append((smoothed * n / 2.0).mean())
        found.append(line[2] ** 2)
    assert np.mean(ratio) == pytest.approx(1, abs=4 * np.std(ratio) / 10)  # 100 replications
    assert np.std(ratio) < 0.1
    # s^2 is cut off at 0, so that it is a little too high where there is no spread
    assert np.mean(found) == pytest.approx(spread**2, abs=0.02)


def test_variances_smoothed_by_a_function_are_right_for_one_respondent_too() -> None:
    """Linearised variances of 400 areas of 1 to 30 normal scores with variance 2, 30 times. A line fitted to them as
    they are, (n - 1) / n too low, or without the mean of log chi^2, is 20% and more off at n = 1.
    """
    rng, one, all_ = np.random.default_rng(4), [], []
    for _ in range(30):
        n = np.clip(rng.lognormal(1.8, 0.9, 400).round().astype(int), 1, 30)
        domain = np.repeat(np.arange(400), n)
        y = rng.normal(scale=np.sqrt(2.0), size=(len(domain), 1))
        _, share, residual = hajek(y, np.ones(len(y)), domain, 400)
        linearised = covariance(share * residual, domain, 400, SampleDesign.of(np.zeros(len(y), dtype=np.int64)))
        smoothed = rescaled(gram(share, domain, 400), linearised, n[:, None].astype(float))[:, 0, 0]
        one.append(smoothed[n == 1].mean())
        all_.append((smoothed * n).mean())
    # the line is uncertain at its end: five standard errors of the mean, which is a tenth of what is to be seen
    error = np.std(one) / np.sqrt(len(one))
    assert error < 0.05
    assert np.mean(one) == pytest.approx(2.0, abs=5 * error)
    assert np.mean(all_) == pytest.approx(2.0, rel=0.05)


def test_zero_variances_never_reach_the_model() -> None:
    n = np.r_[np.ones(5), np.full(5, 2.0), np.linspace(6, 30, 30), 0]
    line = np.linspace(6, 30, 30)
    v = np.r_[np.zeros(8), np.full(2, 0.5), 2.0 / line * np.exp(bias_of_logs(line)), np.nan]
    smoothed, _ = gvf(v, n)
    assert (smoothed[:-1] > 0).all()
    assert smoothed[-1] == 0  # nobody answered: no estimate
    assert smoothed[0] == pytest.approx(2.0, rel=1e-6)  # one respondent: the line at n = 1


def test_too_few_areas_for_a_line_are_pooled() -> None:
    n, v = np.array([2.0, 3.0, 8.0]), np.array([1.0, 0.0, 0.3])
    smoothed, (b0, b1, s) = gvf(v, n)
    # S = sum (n - 1) n v / sum (n - 1) over areas with a positive variance: (1 * 2 * 1 + 7 * 8 * 0.3) / 8
    assert np.exp(b0) == pytest.approx((2 + 16.8) / 8)
    assert b1 == -1
    assert np.isnan(s)
    np.testing.assert_allclose(smoothed, (2 + 16.8) / 8 / n)


def test_areas_with_little_freedom_do_not_bend_the_line() -> None:
    n = np.r_[np.linspace(MIN_FREEDOM + 1, 40, 30), np.full(50, 2.0)]
    v = np.r_[2.0 / n[:30] * np.exp(bias_of_logs(n[:30])), np.full(50, 1e-6)]  # two respondents who almost agree
    assert gvf(v, n)[1][:2] == pytest.approx([np.log(2), -1])


@pytest.mark.parametrize("n", [np.ones(4), np.array([2.0, 2.0, 2.0, 0.0])])
def test_nothing_to_learn_from_is_refused(n: np.ndarray) -> None:
    with pytest.raises(DataError, match="a variance function cannot be fitted"):
        gvf(np.zeros(4), n)


def test_shrinking_leaves_variances_and_makes_the_rest_definite() -> None:
    s = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]])  # the first two agree exactly
    found = shrunk(s)
    np.testing.assert_array_equal(np.diag(found), np.diag(s))
    sd = np.sqrt(np.diag(s))
    assert np.linalg.eigvalsh(found / np.outer(sd, sd))[0] == pytest.approx(0.01)


def areas_with_variances(rng: np.random.Generator, slope: float, n: int = 400) -> tuple[np.ndarray, ...]:
    """Variances exp(slope z_1) chi^2_f / f of 1 to 3 degrees of freedom, and three covariates."""
    z, freedom = rng.normal(size=(n, 3)), rng.integers(1, 4, n).astype(float)
    return 2.0 * np.exp(slope * z[:, 0]) * rng.chisquare(freedom) / freedom, freedom, z


def test_a_variance_function_follows_covariates_at_two_to_four_respondents() -> None:
    rng, found = np.random.default_rng(6), []
    for _ in range(60):
        within, freedom, z = areas_with_variances(rng, 0.5)
        found.append(np.polyfit(z[:, 0], np.log(variance_function(within, freedom, z)), 1)[0])
    error = np.std(found) / np.sqrt(60)
    assert error < 0.015
    # var b = 2 / sum f = 2 / 800, F about (0.25 / (2 / 800)) / 3 = 33: shrunk by a thirtieth
    assert np.mean(found) == pytest.approx(0.5 * (1 - 1 / 33), abs=4 * error)


def test_a_variance_function_of_equal_variances_is_mostly_flat() -> None:
    rng, square = np.random.default_rng(7), []
    for _ in range(100):
        square.append((np.log(variance_function(*areas_with_variances(rng, 0.0))) ** 2).mean())
    # F is below 1 in some six of ten; without shrinking the mean square would be P var b = 3 x 2 / 800
    assert np.mean(np.array(square) == 0) > 0.4
    assert np.mean(square) < 0.5 * 3 * 2 / 800


def test_a_variance_function_needs_areas_and_covariates_that_differ() -> None:
    within, freedom, z = areas_with_variances(np.random.default_rng(8), 1.0)
    assert np.ptp(variance_function(within, freedom, z)) > 1
    few = slice(3 * MIN_AREAS - 1)
    assert (variance_function(within[few], freedom[few], z[few]) == 1).all()
    assert (variance_function(within, freedom, np.ones_like(z)) == 1).all()
    assert (variance_function(within, freedom, z[:, :0]) == 1).all()
    assert (variance_function(within, np.zeros_like(freedom), z) == 1).all()  # no two respondents anywhere


def test_variances_that_follow_covariates_keep_their_mean_and_the_correlations() -> None:
    within, freedom, z = areas_with_variances(np.random.default_rng(9), 0.5)
    pooled = np.array([[2.0, 0.8], [0.8, 1.0]]) / (freedom + 1)[:, None, None]
    both, weight = np.column_stack([within, np.ones(400)]), np.column_stack([freedom, freedom])
    found = varied(pooled, both, weight, weight, z)
    unit = found * (freedom + 1)[:, None, None]
    assert np.average(unit[:, 0, 0], weights=freedom) == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(unit[:, 1, 1], 1.0)  # the second has no spread to follow
    correlation = found[:, 0, 1] / np.sqrt(found[:, 0, 0] * found[:, 1, 1])
    np.testing.assert_allclose(correlation, 0.8 / np.sqrt(2), rtol=1e-12)
