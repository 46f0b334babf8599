r"""Laplace's approximation of counts: the mode, the gradient through it, and the integral by quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import integrate, stats

from buurtsae.areas.icar import icar_structure
from buurtsae.engines.counts import Counted
from buurtsae.engines.mode import Mode, mode
from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Loadings
from buurtsae.latent.field import Field, field
from buurtsae.latent.structure import Structure
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Derivatives, Differentiable
from buurtsae.model.outcome.ordinal import Ordinal
from buurtsae.model.outcome.poisson import Poisson

N, D = 12, 2
RNG = np.random.default_rng(1)
TRIALS = RNG.integers(1, 30, (N, D)).astype(float)
TRIALS[3] = 0  # nothing was observed
SUCCESSES, EVENTS = RNG.binomial(TRIALS.astype(int), 0.3), RNG.poisson(3.0, (N, D)) * (TRIALS > 0)
ANSWERS = RNG.multinomial(6, [0.2, 0.5, 0.3], (N, D)).astype(float)
OFFSET = np.full(N, -0.3)


def counted(outcome: Differentiable, y: np.ndarray, size: np.ndarray, offset: np.ndarray = OFFSET) -> Counted:
    return Counted(outcome, y.astype(float), size, offset)


LIKELIHOODS = {
    "binomial": counted(Binomial(), SUCCESSES, TRIALS),
    "effective": counted(Binomial(effective=True), 0.37 * TRIALS, TRIALS / 1.7),
    "poisson": counted(Poisson(), EVENTS, TRIALS / 10),
    "ordinal": counted(Ordinal(np.array([[-1.0, 1.0], [-0.5, 0.7]])), ANSWERS, np.full((N, D), 6.0)),
}


@pytest.fixture(params=LIKELIHOODS)
def likelihood(request: pytest.FixtureRequest) -> Counted:
    return LIKELIHOODS[request.param]


def latent() -> Field:
    """A path of twelve areas with an intercept and one covariate."""
    icar = icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)]))
    structure = Structure((sp.csr_array(icar.precision),), icar.means)
    x = np.column_stack([np.full(N, 2.0), np.linspace(-1, 1, N)])
    return field([(structure, sp.eye_array(N, format="csr"))], x, OFFSET, D)


LOADINGS = Loadings(np.array([[[0.6, 0.0], [0.3, 0.4]]]), np.array([[[0.3, 0.0], [-0.1, 0.5]]]))


def test_newton_ends_at_the_mode(likelihood: Counted) -> None:
    latent_field = latent()
    at = mode(latent_field, likelihood, LOADINGS).conditional.mean
    _, first, *_ = likelihood.outcome.derivatives(at, likelihood.y, likelihood.size)
    # at the mode e - m0 = K l'(e), with K the prior covariance of e
    icar = np.linalg.pinv(icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)])).precision.toarray())
    c, v = LOADINGS.terms[0], LOADINGS.loose[0]
    k = np.kron(icar, c @ c.T) + np.kron(np.eye(N), v @ v.T) + np.kron(latent_field.x @ latent_field.x.T, np.eye(D))
    np.testing.assert_allclose(at.ravel() + 0.3, k @ first.ravel(), atol=1e-7)


def test_the_gradient_goes_through_the_mode(likelihood: Counted) -> None:
    latent_field, step = latent(), 1e-5
    gradient = mode(latent_field, likelihood, LOADINGS).gradient

    def value(loadings: Loadings) -> float:
        return mode(latent_field, likelihood, loadings).log_likelihood

    for name, shape in (("terms", (1, D, D)), ("loose", (1, D, D))):
        for k in range(D * D):
            at = (step * np.eye(D * D)[k]).reshape(shape)
            up, down = (replace(LOADINGS, **{name: getattr(LOADINGS, name) + s * at}) for s in (1, -1))
            assert getattr(gradient, name).ravel()[k] == pytest.approx((value(up) - value(down)) / (2 * step), abs=2e-6)


def test_the_gradient_by_strengths_goes_through_the_mode(likelihood: Counted) -> None:
    icar = icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)]))
    structure = Structure.proper(icar.precision, sp.eye_array(N, format="csr"))  # phi Q + (1 - phi) I
    latent_field = field([(structure, sp.eye_array(N, format="csr"))], np.full((N, 1), 2.0), OFFSET, D)
    loadings, step = replace(LOADINGS, strengths=(np.array([[0.7, 0.4], [0.3, 0.6]]),)), 1e-5
    gradient = mode(latent_field, likelihood, loadings).gradient.strengths[0]
    for k in range(2 * D):
        at = (step * np.eye(2 * D)[k]).reshape(2, D)
        up, down = (replace(loadings, strengths=(loadings.strengths[0] + s * at,)) for s in (1, -1))
        higher, lower = (mode(latent_field, likelihood, x).log_likelihood for x in (up, down))
        assert gradient.ravel()[k] == pytest.approx((higher - lower) / (2 * step), abs=2e-6)


def one_area(outcome: Differentiable, y: float, size: float, m0: float, sigma: float) -> Mode:
    """The approximation of a single area with eta ~ N(m0, sigma^2)."""
    one = field([], np.zeros((1, 0)), np.array([m0]), 1)
    likelihood = counted(outcome, np.array([[y]]), np.array([[size]]), np.array([m0]))
    return mode(one, likelihood, Loadings(np.zeros((0, 1, 1)), np.array([[[sigma]]])))


@pytest.mark.parametrize("n", [3, 30, 300])
def test_the_integral_against_quadrature(n: int) -> None:
    # one area, logit(p) ~ N(0.4, 0.8^2)
    sigma, y = 0.8, round(0.3 * n)
    at = one_area(Binomial(), y, n, 0.4, sigma)
    peak = float(at.conditional.mean[0, 0])

    def density(e: float) -> float:
        return float(stats.binom(n, 1 / (1 + np.exp(-e))).pmf(y) * stats.norm(0.4, sigma).pdf(e))

    exact, _ = integrate.quad(density, -4, 4, epsabs=1e-14, points=[peak])
    # the next term of Laplace's expansion, from derivatives h_k of -log density (Tierney and Kadane 1986); what is then
    # left is of order 1 / n^2, and an eighth of the term is room for n = 3
    p = 1 / (1 + np.exp(-peak))
    w = n * p * (1 - p)
    h2, h3, h4 = w + sigma**-2, w * (1 - 2 * p), w * (1 - 6 * p * (1 - p))
    term = 5 * h3**2 / (24 * h2**3) - h4 / (8 * h2**2)
    assert np.log(exact) - at.log_likelihood == pytest.approx(term, abs=max(abs(term) / 8, 1e-9))
    most = w / h2 / 4  # a quarter of the effective parameters
    assert at.refined - at.log_likelihood == pytest.approx(most * np.tanh(term / most), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 4.0, 8.0, 28.0, 470.0])
@pytest.mark.parametrize(("y", "n"), [(1, 1), (3, 3), (20, 20), (2, 3), (9, 10)])
def test_the_next_order_is_held_where_its_series_is_not_valid(y: int, n: int, sigma: float) -> None:
    """Never further from quadrature than the series, and within 0.4 where that is 1,000 off: answers all alike."""
    at = one_area(Binomial(), y, n, 0.4, sigma)
    variance, w = float(at.conditional.scores.covariance.item()), float(at.expansion.second.item())
    third, fourth = (float(part.item()) for part in (at.expansion.third, at.expansion.fourth))
    series = at.log_likelihood + 5 * third**2 * variance**3 / 24 + fourth * variance**2 / 8
    eta, constant = 0.4 + sigma * np.linspace(-9, 9, 400_001), stats.binom(n, 0.5).logpmf(y) + n * np.log(2)
    density = constant + y * eta - n * np.logaddexp(0, eta) + stats.norm(0.4, sigma).logpdf(eta)
    exact = np.log(np.trapezoid(np.exp(density), eta))  # 22,000 values per standard deviation: 1e-8
    assert abs(at.refined - exact) <= abs(series - exact) + 1e-7
    assert abs(at.refined - exact) < 0.4
    assert w * variance < 1


@pytest.mark.parametrize("sigma", [1e3, 1e6, 1e9, 1e15])
def test_a_mode_far_out_is_where_it_must_be(sigma: float) -> None:
    """All said yes: l' = n q balances eta / sigma^2, and both are far below the rounding of 1."""
    at = one_area(Binomial(), 5, 5, 0.0, sigma)
    eta = float(at.conditional.mean.item())
    assert 5 / (1 + np.exp(eta)) == pytest.approx(eta / sigma**2, rel=1e-6)  # steps end at 1e-8 of eta, about 30


@pytest.mark.parametrize("size", [0.5, 5.0, 50.0])
def test_the_corrected_mean_against_quadrature(size: float) -> None:
    # one area, y = size events at an exposure of size, log rate ~ N(0.5, 0.7^2)
    sigma, y = 0.7, round(size)
    at = one_area(Poisson(), y, size, 0.5, sigma)

    def density(e: float, power: int) -> float:
        return float(e**power * stats.poisson(size * np.exp(e)).pmf(y) * stats.norm(0.5, sigma).pdf(e))

    total, first = (integrate.quad(density, -5, 4, (k,), epsabs=1e-14, points=[0.0])[0] for k in (0, 1))
    mean, peak = first / total, float(at.conditional.mean[0, 0])
    # the mode is off by the third derivative to first order; what is left is a quarter of that at the most, with no
    # more than half an event expected
    assert peak - mean > 0.005 / size
    assert abs(float(at.corrected.mean[0, 0]) - mean) < (peak - mean) / 4
    assert at.corrected.sd == pytest.approx(at.conditional.sd, rel=1e-12)


def test_the_correction_reaches_areas_that_were_not_observed() -> None:
    # the shift is Cov(eta) t: by the exact covariance matrix of the approximation, row by row
    latent_field, likelihood = latent(), LIKELIHOODS["poisson"]
    at = mode(latent_field, likelihood, LOADINGS)
    icar = np.linalg.pinv(icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)])).precision.toarray())
    c, v = LOADINGS.terms[0], LOADINGS.loose[0]
    k = np.kron(icar, c @ c.T) + np.kron(np.eye(N), v @ v.T) + np.kron(latent_field.x @ latent_field.x.T, np.eye(D))
    _, _, second, third, _ = likelihood.outcome.derivatives(at.conditional.mean, likelihood.y, likelihood.size)
    covariance = np.linalg.inv(np.linalg.inv(k) + np.diag(-second.ravel()))
    shift = covariance @ (0.5 * np.diag(covariance) * third.ravel())
    np.testing.assert_allclose((at.corrected.mean - at.conditional.mean).ravel(), shift, atol=1e-8)
    assert (shift.reshape(N, D)[3] < -0.01).all()  # there nothing was observed


def test_counts_that_push_far_from_the_prior() -> None:
    # all successes among many: Newton's first steps overshoot
    e = float(one_area(Binomial(), 900.0, 900.0, -6.0, 1.0).conditional.mean[0, 0])
    assert e + 6 == pytest.approx(900 / (1 + np.exp(e)), rel=1e-6)  # e - m0 = sigma^2 l'(e)
    # a million events where one in a thousand was thought of, by a prior that hardly holds: 1e9 units in the first step
    e = float(one_area(Poisson(), 1e6, 1.0, -7.0, 100.0).conditional.mean[0, 0])
    assert (e + 7) / 1e4 == pytest.approx(1e6 - np.exp(e), rel=1e-5)


def test_no_mode_is_an_error_in_three_lines() -> None:
    class Steep:
        """A log-likelihood that rises for ever."""

        def derivatives(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> Derivatives:
            none = np.zeros_like(eta)
            return float((eta**2).sum()), 2 * eta + 1, none, none, none

    with pytest.raises(ModelError, match="the mode of the scores was not found"):
        one_area(Steep(), 1.0, 1.0, 0.0, 2.0)
