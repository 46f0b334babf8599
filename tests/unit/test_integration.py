"""Importance sampling of hyperparameters: its parts, and a target that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from buurtsae.draws import psis
from buurtsae.engines.integration import WIDE, Progress, Proposal, integrate, mode, split_normal
from buurtsae.errors import ModelError


def test_split_normals_have_the_moments_asked_for() -> None:
    mean, variance, skewness = np.array([0.3, -1.0, 0.0]), np.array([1.0, 2.0, 0.5]), np.array([0.5, -0.7, 0.0])
    proposal = Proposal(np.zeros(3), np.eye(3), *split_normal(mean, variance, skewness))
    u = np.tile(((np.arange(200_000) + 0.5) / 200_000)[:, None], 3)  # quantiles: their averages are moments
    z = proposal.at(u)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=1e-4)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=1e-3)
    np.testing.assert_allclose(stats.skew(z), skewness, atol=2e-3)
    # and the density that they are weighted by: integrates to a constant of (2 pi)^(3/2) 2^-3
    grid = np.linspace(-12, 12, 24_001)
    for k in range(3):
        one = Proposal(np.zeros(1), np.eye(1), *(getattr(proposal, n)[[k]] for n in ("centre", "left", "right")))
        total = np.trapezoid(np.exp(one.log_density(grid[:, None])), grid)
        assert total == pytest.approx(np.sqrt(2 * np.pi) / 2, rel=1e-6)


def test_proposals_are_learnt_from_weighted_values() -> None:
    rng = np.random.default_rng(2)
    start = Proposal(np.zeros(2), np.eye(2), np.zeros(2), np.ones(2), np.ones(2))
    z = rng.normal(0, 2, (50_000, 2))
    target = stats.multivariate_normal([0.5, -0.5], np.diag([1.5, 0.7]))
    weights, _ = psis(target.logpdf(z) - stats.multivariate_normal([0, 0], 4 * np.eye(2)).logpdf(z))
    learnt = start.learnt(z, weights)
    np.testing.assert_allclose(learnt.centre, [0.5, -0.5], atol=0.05)
    # a little wider than what was learnt; normal targets have equal sides, up to the error of a third moment
    np.testing.assert_allclose(learnt.left, WIDE * np.sqrt([1.5, 0.7]), rtol=0.05)
    np.testing.assert_allclose(learnt.right, WIDE * np.sqrt([1.5, 0.7]), rtol=0.05)


def test_smoothed_weights_say_when_they_cannot_be_relied_on() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(size=4000)
    # weights of a wider normal have a Pareto tail of shape 1 - 1 / s^2 (Vehtari et al. 2024): 0.36 and 0.89
    for sd, low, high in ((1.25, 0.1, 0.6), (3.0, 0.7, 1.2)):
        weights, khat = psis(stats.norm(0, sd).logpdf(z) - stats.norm.logpdf(z))
        assert weights.sum() == pytest.approx(1)
        assert low < khat < high


@dataclass(frozen=True)
class Skewed:
    """Independent and alike: a normal prior, as all hyperparameters have, and a log-gamma likelihood."""

    shape: float
    size: int
    exact_gradient: bool = True

    def log_posterior(self, xi: np.ndarray) -> float:
        return float((self.shape * xi - np.exp(xi) - 0.5 * xi**2).sum())

    def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
        return self.log_posterior(xi), self.shape - np.exp(xi) - xi


@pytest.mark.parametrize("size", [1, 3, 20])
def test_moments_of_a_skewed_target(size: int) -> None:
    target, silent = Skewed(3.0, size), Progress(False)
    grid = np.linspace(-8, 8, 16_001)
    density = np.exp(3 * grid - np.exp(grid) - 0.5 * grid**2)
    density /= density.sum()
    exact = density @ grid
    exact_variance = density @ (grid - exact) ** 2
    np.testing.assert_allclose(mode(target, silent), grid[density.argmax()], atol=1e-2)
    found = integrate(target, 1, 1000, map, silent)
    assert found.effective >= 1000
    assert found.khat < 0.7
    mean = found.weights @ found.xi
    variance = found.weights @ (found.xi - mean) ** 2
    # standard errors with 1,000 effective values; that of a variance is sqrt(2 / n) for normal tails
    np.testing.assert_allclose(mean, exact, atol=4 * np.sqrt(exact_variance / 1000))
    np.testing.assert_allclose(variance, exact_variance, rtol=4 * np.sqrt(2 / 1000))


def test_a_target_without_a_mode() -> None:
    class Endless(Skewed):
        def log_posterior(self, xi: np.ndarray) -> float:
            return float(xi.sum())

        def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
            return self.log_posterior(xi), np.ones(self.size)

    with pytest.raises(ModelError, match="the mode of the hyperparameters was not found"):
        mode(Endless(1.0, 2), Progress(False))
