"""Importance sampling of hyperparameters: its parts, and a target that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from buurtsae.draws import psis
from buurtsae.engines.integration import Progress, Proposal, Share, integrate, mode, split_normal, wider
from buurtsae.errors import ModelError


def test_split_normals_have_the_moments_asked_for() -> None:
    mean, variance, skewness = np.array([0.3, -1.0, 0.0]), np.array([1.0, 2.0, 0.5]), np.array([0.5, -0.7, 0.0])
    proposal = Proposal(np.zeros(3), np.eye(3), *split_normal(mean, variance, skewness))
    share = proposal.defensive
    v = np.tile(((np.arange(200_000) + 0.5) / 200_000)[:, None], 3)  # quantiles: their averages are moments
    z = proposal.at(share + (1 - share) * v)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=1e-4)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=1e-3)
    np.testing.assert_allclose(stats.skew(z), skewness, atol=2e-3)


def test_proposals_have_the_density_that_they_are_weighted_by() -> None:
    mode, axes = np.array([1.0, -0.5]), np.array([[0.4, 0.3], [-0.2, 0.8]])
    proposal = Proposal(mode, axes, *split_normal(np.array([0.2, 0.0]), np.array([1.0, 0.8]), np.array([0.6, -0.3])))
    u = (np.arange(100_000) + 0.5) / 100_000
    grid = np.linspace(-30, 30, 60_001)
    for k in range(2):
        # along one axis, the other coordinate integrated out on a grid of its own
        other = np.zeros((len(grid), 2))
        other[:, k] = grid
        at_zero = proposal.log_density(np.zeros((1, 2)))
        one = np.exp(proposal.log_density(other))
        across = np.zeros((len(grid), 2))
        across[:, 1 - k] = grid
        rest = np.trapezoid(np.exp(proposal.log_density(across) - at_zero), grid)
        density = one * rest
        assert np.trapezoid(density, grid) == pytest.approx(1, rel=1e-6)
        both = np.full((len(u), 2), 0.5)
        both[:, k] = u
        z = np.sort(proposal.at(both)[:, k])
        cumulative = np.interp(z, grid, np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * 1e-3)]))
        np.testing.assert_allclose(cumulative, u, atol=1e-4)


def test_a_part_of_each_proposal_is_the_prior_along_its_axis() -> None:
    mode, axes = np.array([1.0, -0.5]), np.array([[0.4, 0.3], [-0.2, 0.8]])
    proposal = Proposal(mode, axes, np.zeros(2), np.ones(2), np.ones(2))
    mean, sd = proposal.prior
    for k in range(2):
        t = np.linspace(-5, 5, 11)
        line = -0.5 * ((mode + np.outer(t, axes[:, k])) ** 2).sum(axis=1)  # log N(0, I) on the line, up to a constant
        normal = -0.5 * ((t - mean[k]) / sd[k]) ** 2
        np.testing.assert_allclose(line - line[0], normal - normal[0], atol=1e-12)


def test_proposals_are_learnt_from_weighted_values() -> None:
    rng = np.random.default_rng(2)
    start = Proposal(np.zeros(2), np.eye(2), np.zeros(2), np.ones(2), np.ones(2))
    z = rng.normal(0, 2, (50_000, 2))
    target = stats.multivariate_normal([0.5, -0.5], np.diag([1.5, 0.7]))
    weights, _ = psis(target.logpdf(z) - stats.multivariate_normal([0, 0], 4 * np.eye(2)).logpdf(z))
    learnt = start.learnt(z, weights)
    np.testing.assert_allclose(learnt.centre, [0.5, -0.5], atol=0.05)
    # a little wider than what was learnt; normal targets have equal sides, up to the error of a third moment
    np.testing.assert_allclose(learnt.left, wider(2) * np.sqrt([1.5, 0.7]), rtol=0.05)
    np.testing.assert_allclose(learnt.right, wider(2) * np.sqrt([1.5, 0.7]), rtol=0.05)


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


@dataclass(frozen=True)
class Boundary:
    """The likelihood ends between 1 and 2 and is flat below: the left tail is that of the prior."""

    size: int = 2
    exact_gradient: bool = True

    def log_posterior(self, xi: np.ndarray) -> float:
        return float((4 * stats.norm.logcdf(4 * (1.5 - xi)) + xi - 0.5 * xi**2).sum())

    def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
        hazard = np.exp(stats.norm.logpdf(4 * (1.5 - xi)) - stats.norm.logcdf(4 * (1.5 - xi)))
        return self.log_posterior(xi), -16 * hazard + 1 - xi


def test_flat_towards_a_boundary() -> None:
    grid = np.linspace(-10, 4, 14_001)
    density = np.exp(4 * stats.norm.logcdf(4 * (1.5 - grid)) + grid - 0.5 * grid**2)
    density /= density.sum()
    tail = grid[np.searchsorted(np.cumsum(density), 0.005)]
    found = [integrate(Boundary(), seed, 1000, map, Progress(False)) for seed in range(10)]
    assert max(f.khat for f in found) < 0.7
    # the lowest half per cent, ten fits of 1,000 effective values and two coordinates: 100 values, sd 10%
    share = np.mean([f.weights @ (f.xi < tail) for f in found])
    assert share == pytest.approx(0.005, rel=0.4)


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


def test_shares_that_are_foretold_are_those_that_come() -> None:
    """A normal target: what `look` is told before a value is weighed, against its weight in the end."""
    target, told = Skewed(3.0, 4), dict[int, float]()

    def look(k: int, xi: np.ndarray, share: Share) -> float:
        log_p = target.log_posterior(xi)
        told[k] = share(log_p)
        return log_p

    found = integrate(target, 1, 1000, map, Progress(False), look)
    plain = integrate(target, 1, 1000, map, Progress(False))
    np.testing.assert_array_equal(found.weights, plain.weights)
    share = np.array([told[k] for k in range(len(found.weights))])
    assert (share[:64] == 0).all()  # at the start nothing is known
    late = np.arange(len(share)) >= len(share) // 2
    # the last half is weighed by nearly the same mixture: what is foretold is right but for the number that comes
    assert stats.spearmanr(share[late], found.weights[late]).statistic > 0.95
    assert 0.7 < share[late].sum() / found.weights[late].sum() < 1.5
