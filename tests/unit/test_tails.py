r"""Unstructured effects with heavy tails in the fast engine, against integrals by quadrature.

Of areas without a field, y_a ~ N(mu + sigma t_a, V_a) with t_a Student's t, log p(y) = log int N(mu; m, s^2) prod_a
int N(y_a; mu + v, V_a) t(v) dv dmu: two integrals by dense grids.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import buurtsae as bs
from buurtsae.engines.laplace import supports
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.tails import Tailed, mixing
from buurtsae.model.design import Design, design
from buurtsae.model.priors import Normal
from buurtsae.survey.source_estimates import SourceEstimates

N, NU, SIGMA = 40, 4.0, 0.7


def made(seed: int = 1, *, measures: int = 1, tails: bool = True) -> Design:
    """Areas without neighbours, the first of them far away from the others."""
    rng = np.random.default_rng(seed)
    codes = [f"a{k:02}" for k in range(N)]
    frame = pd.DataFrame({"code": codes})
    names = [f"m{d}" for d in range(measures)]
    variance = rng.uniform(0.05, 0.6, N)
    for d, name in enumerate(names):
        frame[name] = 5 + SIGMA * rng.standard_t(NU, N) + rng.normal(0, np.sqrt(variance))
        frame.loc[0, name] = 9.0 + d
    areas = bs.Areas.from_frame(frame[["code"]], "code")
    five = np.full((N, measures), 5)
    source = SourceEstimates(
        "made", 2024, areas.codes, frame[names].to_numpy(),
        variance[:, None, None] * np.eye(measures), five, five.astype(float), level=areas.base,
    )  # fmt: skip
    graph = bs.Graph.from_pairs(areas.codes, [])
    model = bs.AreaModel("1", [bs.BYM2(graph, tails=tails)], Normal(5, 2))
    return design(model, bs.DirectEstimates(tuple(names), (source,), areas))


def some_xi(marginal: Marginal, tail: float) -> np.ndarray:
    """A value without a field (phi = 0), of moderate sigma, and of so heavy tails."""
    xi = np.zeros(marginal.size)
    for k, name in enumerate(marginal.scores.names):
        if name.startswith("BYM2.phi"):
            xi[k] = -12.0
        if name.startswith("BYM2.tail"):
            xi[k] = tail
    return xi


def by_quadrature(arrays: Design, xi: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return log p(y) at xi, and posterior means and standard deviations of the scores, by dense grids."""
    hyper = Tailed.of(arrays).scores.hyper(xi)
    sigma = float((hyper.values["BYM2.sigma"] * np.sqrt(1 - hyper.values["BYM2.phi"])).item())
    t = stats.t(1 / float(hyper.values["BYM2.tail"].item()), scale=sigma)
    y, v = arrays.y[0, :, 0], arrays.covariance[0, :, 0, 0]
    level, deviation = np.linspace(2, 8, 1201), np.sinh(np.linspace(-8, 8, 4001)) / 100
    step = np.gradient(deviation)
    eta = level[:, None] + deviation
    of_level = np.empty((len(level), N))
    first, second = np.empty_like(of_level), np.empty_like(of_level)
    prior = t.pdf(deviation) * step
    for a in range(N):
        weight = stats.norm.pdf(y[a], eta, np.sqrt(v[a])) * prior
        total = weight.sum(axis=1)
        of_level[:, a], first[:, a] = np.log(total), (weight * eta).sum(axis=1) / total
        second[:, a] = (weight * eta**2).sum(axis=1) / total
    joint = of_level.sum(axis=1) + stats.norm.logpdf(level, 5, 2) + np.log(level[1] - level[0])
    share = np.exp(joint - logsumexp(joint))
    mean = share @ first
    return float(logsumexp(joint)), mean, np.sqrt(share @ second - mean**2)


@pytest.mark.slow
@pytest.mark.parametrize("tail", [0.5, 2.5])
def test_the_likelihood_and_the_draws_against_quadrature(tail: float) -> None:
    arrays = made()
    marginal = Tailed.of(arrays)
    xi = some_xi(marginal, tail)
    exact, mean, sd = by_quadrature(arrays, xi)
    posterior = marginal.posterior(xi)
    # Laplace's approximation over one mean of 40 areas: its error is of order 1 / 40 of a unit
    assert posterior.log_density + 0.5 * float(xi @ xi) == pytest.approx(exact, abs=0.02)
    draws, _ = posterior.given.draw(np.random.default_rng(1), 20_000)
    # four standard errors of a mean of 20,000, beside a hundredth for the mean's own approximation
    np.testing.assert_allclose(draws[:, :, 0].mean(axis=0), mean, atol=4 * sd.max() / np.sqrt(20_000) + 0.01 * sd.max())
    np.testing.assert_allclose(draws[:, :, 0].std(axis=0), sd, rtol=0.05)


def test_tails_leave_an_outlier_where_it_was_seen() -> None:
    heavy, normal = made(), made(tails=False)
    at = Tailed.of(heavy)
    draws, _ = at.posterior(some_xi(at, 1.5)).given.draw(np.random.default_rng(1), 2000)
    plain = Marginal.of(normal)
    shrunk = plain.at(some_xi(plain, 0.0)).mean[0, 0]
    assert shrunk < draws[:, 0, 0].mean() - 0.1 < heavy.y[0, 0, 0]


def test_next_to_no_tails_is_the_normal_model() -> None:
    at, plain = Tailed.of(made(measures=2)), Marginal.of(made(measures=2, tails=False))
    xi = some_xi(at, -9.0)
    exact = plain.conditional(at.scores.hyper(xi))
    # nu is 1e4 at most: the density of an area z standard deviations away differs by z^4 / (4 nu), 0.02 of the outlier
    assert at.posterior(xi).log_density + 0.5 * float(xi @ xi) == pytest.approx(exact.log_likelihood, abs=0.05)
    draws, _ = at.posterior(xi).given.draw(np.random.default_rng(1), 8000)
    np.testing.assert_allclose(draws.mean(axis=0), exact.mean, atol=5 * exact.sd.max() / np.sqrt(8000))
    np.testing.assert_allclose(draws.std(axis=0), exact.sd, rtol=0.05)


def test_the_gradient_is_that_of_differences() -> None:
    # at a fixed mode: what the mode does to the curvature is left out, a few hundredths beside slopes of tens
    at = Tailed.of(made(measures=2))
    xi, step = some_xi(at, 0.5) + np.random.default_rng(2).normal(0, 0.3, at.size), 1e-4
    _, gradient = at.with_gradient(xi)
    numeric = [(at.log_posterior(xi + e) - at.log_posterior(xi - e)) / (2 * step) for e in step * np.eye(at.size)]
    np.testing.assert_allclose(gradient, numeric, atol=0.1)


def test_the_quadrature_has_the_moments_of_the_mixing_distribution() -> None:
    for freedom in (6.0, 30.0):
        w, log_weight = mixing(1 / freedom)
        mix = stats.invgamma(freedom / 2, scale=freedom / 2)
        assert np.exp(log_weight) @ w == pytest.approx(mix.mean(), rel=1e-3)
        assert np.exp(log_weight) @ (1 / w) == pytest.approx(1.0, rel=1e-6)


def test_what_cannot_have_tails_is_said() -> None:
    assert supports(made()) == []
    twice = made()
    assert supports(type(twice)(**{**vars(twice), "effects": twice.effects * 2})) == ["heavy tails of two terms"]
