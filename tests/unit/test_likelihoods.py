r"""Likelihoods of counts and their Laplace approximation: derivatives by differences, the integral by quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import integrate, stats

from buurtsae.areas.icar import icar_structure
from buurtsae.engines.likelihoods import Binomial, Likelihood, Ordinal, Poisson, approximate
from buurtsae.latent.conditional import Loadings
from buurtsae.latent.field import Field, field
from buurtsae.latent.structure import Structure

N, D = 12, 2
RNG = np.random.default_rng(1)
TRIALS = RNG.integers(1, 30, (N, D)).astype(float)
TRIALS[3] = 0  # nothing was observed
LIKELIHOODS = {
    "binomial": Binomial(RNG.binomial(TRIALS.astype(int), 0.3).astype(float), TRIALS),
    "effective": Binomial(0.37 * TRIALS, TRIALS / 1.7),
    "poisson": Poisson(np.where(TRIALS > 0, RNG.poisson(3.0, (N, D)), 0).astype(float), TRIALS / 10),
    "ordinal": Ordinal(RNG.multinomial(6, [0.2, 0.5, 0.3], (N, D)).astype(float), np.array([[-1.0, 1.0], [-0.5, 0.7]])),
}


@pytest.fixture(params=LIKELIHOODS)
def likelihood(request: pytest.FixtureRequest) -> Likelihood:
    return LIKELIHOODS[request.param]


def latent() -> Field:
    """A path of twelve areas with an intercept and one covariate."""
    icar = icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)]))
    structure = Structure((sp.csr_array(icar.precision),), icar.means)
    x = np.column_stack([np.full(N, 2.0), np.linspace(-1, 1, N)])
    return field([(structure, sp.eye_array(N, format="csr"))], x, np.full(N, -0.3), D)


LOADINGS = Loadings(np.array([[[0.6, 0.0], [0.3, 0.4]]]), np.array([[[0.3, 0.0], [-0.1, 0.5]]]))


def test_derivatives_are_those_of_differences(likelihood: Likelihood) -> None:
    e, step = np.random.default_rng(2).normal(0, 1, (N, D)), 1e-5
    _, *found = likelihood.derivatives(e)
    value = np.array([[likelihood.derivatives(e + s * step * at)[0] for s in (1, -1)] for at in units()])
    np.testing.assert_allclose(found[0].ravel(), (value[:, 0] - value[:, 1]) / (2 * step), atol=1e-6)
    for k in (0, 1):  # l'' = -w, l''' = -third: each is minus the derivative of the one before, up to its sign
        up, down = (likelihood.derivatives(e + s * step)[1 + k] for s in (1, -1))
        sign = -1 if k == 0 else 1
        np.testing.assert_allclose(found[k + 1], sign * (up - down) / (2 * step), atol=1e-6)


def units() -> list[np.ndarray]:
    return [unit.reshape(N, D) for unit in np.eye(N * D)]


def test_values_are_those_of_scipy() -> None:
    e = np.random.default_rng(3).normal(0, 1, (N, D))
    binomial, poisson = LIKELIHOODS["binomial"], LIKELIHOODS["poisson"]
    assert isinstance(binomial, Binomial)
    assert isinstance(poisson, Poisson)
    exact = stats.binom(binomial.n.astype(int), 1 / (1 + np.exp(-e))).logpmf(binomial.y).sum()
    assert binomial.derivatives(e)[0] == pytest.approx(exact, rel=1e-10)
    seen = poisson.exposure > 0
    exact = stats.poisson((poisson.exposure * np.exp(e))[seen]).logpmf(poisson.y[seen]).sum()
    assert poisson.derivatives(e)[0] == pytest.approx(exact, rel=1e-10)


def test_newton_ends_at_the_mode(likelihood: Likelihood) -> None:
    latent_field = latent()
    found = approximate(latent_field, likelihood, LOADINGS)
    at = found.given.mean
    _, first, _, _ = likelihood.derivatives(at)
    # at the mode e - m0 = K l'(e), with K the prior covariance of e
    icar = np.linalg.pinv(icar_structure(N, np.column_stack([np.arange(N - 1), np.arange(1, N)])).precision.toarray())
    c, v = LOADINGS.terms[0], LOADINGS.loose[0]
    k = np.kron(icar, c @ c.T) + np.kron(np.eye(N), v @ v.T) + np.kron(latent_field.x @ latent_field.x.T, np.eye(D))
    np.testing.assert_allclose(at.ravel() + 0.3, k @ first.ravel(), atol=1e-7)


def test_the_gradient_goes_through_the_mode(likelihood: Likelihood) -> None:
    latent_field, step = latent(), 1e-5
    gradient = approximate(latent_field, likelihood, LOADINGS).gradient()

    def value(loadings: Loadings) -> float:
        return approximate(latent_field, likelihood, loadings).log_likelihood

    for name, shape in (("terms", (1, D, D)), ("loose", (1, D, D))):
        for k in range(D * D):
            at = (step * np.eye(D * D)[k]).reshape(shape)
            up, down = (replace(LOADINGS, **{name: getattr(LOADINGS, name) + s * at}) for s in (1, -1))
            assert getattr(gradient, name).ravel()[k] == pytest.approx((value(up) - value(down)) / (2 * step), abs=2e-6)


@pytest.mark.parametrize("n", [3, 30, 300])
def test_the_integral_against_quadrature(n: int) -> None:
    # one area, logit(p) ~ N(0.4, 0.8^2)
    sigma, y = 0.8, round(0.3 * n)
    one = field([], np.zeros((1, 0)), np.array([0.4]), 1)
    likelihood = Binomial(np.array([[float(y)]]), np.array([[float(n)]]))
    found = approximate(one, likelihood, Loadings(np.zeros((0, 1, 1)), np.array([[[sigma]]])))

    def density(e: float) -> float:
        return float(stats.binom(n, 1 / (1 + np.exp(-e))).pmf(y) * stats.norm(0.4, sigma).pdf(e))

    exact, _ = integrate.quad(density, -4, 4, epsabs=1e-14, points=[float(found.given.mean[0, 0])])
    # the next term of Laplace's expansion, from derivatives h_k of -log density (Tierney and Kadane 1986); what is then
    # left is of order 1 / n^2, and an eighth of the term is room for n = 3
    p = 1 / (1 + np.exp(-float(found.given.mean[0, 0])))
    w = n * p * (1 - p)
    h2, h3, h4 = w + sigma**-2, w * (1 - 2 * p), w * (1 - 6 * p * (1 - p))
    term = 5 * h3**2 / (24 * h2**3) - h4 / (8 * h2**2)
    assert np.log(exact) - found.log_likelihood == pytest.approx(term, abs=max(abs(term) / 8, 1e-9))


def test_counts_that_push_far_from_the_prior() -> None:
    # all successes among many: Newton's first steps overshoot
    one = field([], np.zeros((1, 0)), np.array([-6.0]), 1)
    found = approximate(
        one, Binomial(np.array([[900.0]]), np.array([[900.0]])), Loadings(np.zeros((0, 1, 1)), np.eye(1)[None])
    )
    e = float(found.given.mean[0, 0])
    assert e + 6 == pytest.approx(900 / (1 + np.exp(e)), rel=1e-6)  # e - m0 = sigma^2 l'(e)
