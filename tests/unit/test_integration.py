"""Importance sampling of hyperparameters: its parts, and a target that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from buurtsae.draws import psis
from buurtsae.engines.integration import Proposal, Share, curvature, integrate, split_normal, wider
from buurtsae.engines.search import Progress, mode
from buurtsae.errors import ModelError


def test_split_normals_have_the_moments_asked_for() -> None:
    mean, variance, skewness = np.array([0.3, -1.0, 0.0]), np.array([1.0, 2.0, 0.5]), np.array([0.5, -0.7, 0.0])
    proposal = Proposal(np.zeros(3), np.eye(3), *split_normal(mean, variance, skewness), np.ones(3))
    share = proposal.defensive
    v = np.tile(((np.arange(200_000) + 0.5) / 200_000)[:, None], 3)  # quantiles: their averages are moments
    z = proposal.xi(share + (1 - share) * v)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=1e-4)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=1e-3)
    np.testing.assert_allclose(stats.skew(z), skewness, atol=2e-3)


def test_proposals_have_the_density_that_they_are_weighted_by() -> None:
    mode, axes = np.array([1.0, -0.5]), np.array([[0.4, 0.3], [-0.2, 0.8]])
    moments = np.array([0.2, 0.0]), np.array([1.0, 0.8]), np.array([0.6, -0.3])
    proposal = Proposal(mode, axes, *split_normal(*moments), np.array([0.2, 1.0]))
    u = (np.arange(100_000) + 0.5) / 100_000
    grid = np.linspace(-30, 30, 60_001)
    for k in range(2):
        # along one axis, the other coordinate integrated out on a grid of its own
        lines = [mode + np.outer(grid, axes[:, i]) for i in (k, 1 - k)]
        at_mode = proposal.log_density(mode[None])
        one, rest = (
            np.exp(proposal.log_density(line) - shift) for line, shift in zip(lines, (0, at_mode), strict=True)
        )
        density = one * np.trapezoid(rest, grid) * abs(np.linalg.det(axes))
        assert np.trapezoid(density, grid) == pytest.approx(1, rel=1e-6)
        both = np.full((len(u), 2), 0.5)
        both[:, k] = u
        z = np.sort(proposal.z(proposal.xi(both))[:, k])
        cumulative = np.interp(z, grid, np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * 1e-3)]))
        np.testing.assert_allclose(cumulative, u, atol=1e-4)


def test_a_part_of_each_proposal_is_the_prior_along_its_axis() -> None:
    mode, axes = np.array([1.0, -0.5]), np.array([[0.4, 0.3], [-0.2, 0.8]])
    proposal = Proposal(mode, axes, np.zeros(2), np.ones(2), np.ones(2), np.ones(2))
    mean, sd = proposal.prior
    for k in range(2):
        t = np.linspace(-5, 5, 11)
        line = -0.5 * ((mode + np.outer(t, axes[:, k])) ** 2).sum(axis=1)  # log N(0, I) on the line, up to a constant
        normal = -0.5 * ((t - mean[k]) / sd[k]) ** 2
        np.testing.assert_allclose(line - line[0], normal - normal[0], atol=1e-12)


def test_proposals_are_learnt_from_weighted_values() -> None:
    rng, n = np.random.default_rng(2), 200_000
    start = Proposal(np.array([0.1, 0.2]), np.array([[1.0, 0.3], [0.0, 0.8]]), *np.array([[0.0, 1, 1, 1]] * 2).T)
    mean, covariance = np.array([0.5, -0.5]), np.array([[0.8, 0.4], [0.4, 0.7]])
    xi = rng.normal(0, 2, (n, 2))
    log_p = stats.multivariate_normal(mean, covariance).logpdf(xi)
    weights = np.exp(log_p) / stats.multivariate_normal([0, 0], 4 * np.eye(2)).pdf(xi)
    weights /= weights.sum()
    learnt = start.learnt(xi, log_p, weights)
    # some 30,000 effective values: means within 0.006 of an sd, a skewness within 0.014
    np.testing.assert_allclose(learnt.at, mean, atol=0.03)
    np.testing.assert_allclose(learnt.axes @ learnt.axes.T, covariance, rtol=0.05)
    # a little wider than what was learnt; a normal target has equal sides, and leaves little doubt that it is one
    np.testing.assert_allclose(learnt.left, wider(learnt.doubt), rtol=0.05)
    np.testing.assert_allclose(learnt.right, wider(learnt.doubt), rtol=0.05)
    assert learnt.doubt.max() < 0.1
    few = start.learnt(xi[:50], log_p[:50], np.full(50, 0.02))
    assert (few.doubt > np.sqrt(6 / 50) / 0.7).all()  # the standard error of a skewness


def test_the_curvature_of_a_density_that_is_not_quite_normal() -> None:
    rng, p = np.random.default_rng(3), 6
    root = rng.standard_normal((p, p)) / 3
    h = np.eye(p) + root @ root.T
    for n, far in ((40, 0.7), (4000, 0.02)):  # few values are held to the identity, many are not
        z = rng.standard_normal((n, p))
        log_p = 7 + z @ np.arange(p) - 0.5 * np.einsum("ni,ij,nj->n", z, h, z)
        weights = rng.dirichlet(np.ones(n))
        found = curvature(z, log_p, weights)
        assert np.linalg.norm(found - h) < far * np.linalg.norm(h - np.eye(p))
        # what is not quadratic has an error of its sd over the root of the number of values, 21 squares and products;
        # the norm of so many varies by some 15%
        rough = curvature(z, log_p + 0.7 * rng.standard_normal(n), weights)
        assert np.linalg.norm(rough - found) < 2 * 0.7 * np.sqrt(21 / (n + 21)) * np.sqrt(2)
    hollow = curvature(z, 3 * (z**2).sum(axis=1), weights)
    assert np.linalg.eigvalsh(hollow).min() > 0.1  # a proposal needs a positive definite one


def test_many_curvatures_from_few_values_are_better_than_none() -> None:
    rng, p, n = np.random.default_rng(3), 30, 500  # 465 curvatures
    root = rng.standard_normal((p, p)) / 15
    h = np.eye(p) + root @ root.T
    z = rng.standard_normal((n, p))
    log_p = -0.5 * np.einsum("ni,ij,nj->n", z, h, z) + 0.7 * rng.standard_normal(n)
    found = curvature(z, log_p, np.full(n, 1 / n))
    # errors of least squares would be 0.7 sqrt(2 * 465 / (500 - 465)) = 3.6, of the mode's axes about 1
    assert np.linalg.norm(found - h) < np.linalg.norm(np.eye(p) - h)


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
    vanishing: tuple[tuple[int, np.ndarray], ...] = ()

    def log_posterior(self, xi: np.ndarray) -> float:
        return float((self.shape * xi - np.exp(xi) - 0.5 * xi**2).sum())

    def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
        return self.log_posterior(xi), self.shape - np.exp(xi) - xi


@dataclass(frozen=True)
class Boundary:
    """The likelihood ends between 1 and 2 and is flat below: the left tail is that of the prior."""

    size: int = 2
    exact_gradient: bool = True
    vanishing: tuple[tuple[int, np.ndarray], ...] = ()

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


@dataclass(frozen=True)
class Funnel:
    """y_j ~ N(s t_j, 1), s exponential and t_j ~ N(0, 1) a priori: without s the t_j say nothing, with it they do."""

    y: np.ndarray
    vanishing: tuple[tuple[int, np.ndarray], ...]
    exact_gradient: bool = True

    @property
    def size(self) -> int:
        return 1 + len(self.y)

    def log_posterior(self, xi: np.ndarray) -> float:
        return self.with_gradient(xi)[0]

    def with_gradient(self, xi: np.ndarray) -> tuple[float, np.ndarray]:
        tail = stats.norm.logcdf(-xi[0])
        s, slope = -tail, np.exp(stats.norm.logpdf(xi[0]) - tail)
        off = self.y - s * xi[1:]
        gradient = np.concatenate([[slope * (off @ xi[1:])], s * off]) - xi
        return float(-0.5 * (off @ off + xi @ xi)), gradient


@pytest.mark.slow
def test_a_term_that_may_have_vanished() -> None:
    y = np.array([1.6, -1.3, 2.2, -1.9, 1.5, 0.9, -2.1, 1.8])
    grid = np.linspace(-8, 6, 14_001)  # t_j integrated out: y_j ~ N(0, 1 + s^2)
    variance = 1 + stats.norm.logcdf(-grid)[:, None] ** 2
    density = np.exp(-0.5 * (np.log(variance) + y**2 / variance).sum(axis=1) - 0.5 * grid**2)
    density /= density.sum()
    gone = density[grid < -1.6].sum()
    exact = density @ grid
    known, unknown = (
        [integrate(Funnel(y, terms), seed, 1000, map, Progress(False)) for seed in range(8)]
        for terms in (((0, np.arange(1, 9)),), ())
    )
    assert max(f.khat for f in known) < 0.7
    found, without = (np.mean([f.weights @ (f.xi[:, 0] < -1.6) for f in fits]) for fits in (known, unknown))
    # half a per cent, some 150 of the values of each of 8 fits are proposed there: an error of 3% and that of weights
    assert found == pytest.approx(gone, rel=0.1)
    assert without < 0.85 * gone  # what no one looks for is not found
    sd = np.sqrt(density @ (grid - exact) ** 2)
    mean = np.mean([f.weights @ f.xi[:, 0] for f in known])
    assert mean == pytest.approx(exact, abs=5 * sd / np.sqrt(8000))


def test_a_term_that_is_there_needs_no_values_without_it() -> None:
    one = np.ones(3)
    proposal = Proposal(np.array([0.5, 1.0, -1.0]), np.diag([0.3, 0.5, 0.8]), 0 * one, one, one, one)
    assert not list(proposal.vanished(0, np.array([1])))  # 0.5 - 3 x 0.3
    (gone,) = proposal.vanished(2, np.array([1]))  # -1 - 3 x 0.8
    np.testing.assert_array_equal(gone.at, [0.5, 0.0, -2.0])
    np.testing.assert_allclose(gone.axes, np.diag([0.3, 1.0, 0.7]))


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


def test_all_stages_are_one_net(monkeypatch: pytest.MonkeyPatch) -> None:
    uniform, xi = [], Proposal.xi
    monkeypatch.setattr(Proposal, "xi", lambda self, u: [uniform.append(u), xi(self, u)][1])
    integrate(Skewed(3.0, 20), 1, 500, map, Progress(False))
    assert len(uniform) > 3  # several stages
    for n in (128, 256, 512):  # complete when there are so many: one value to each n-th of each axis
        place = np.floor(np.vstack(uniform)[:n] * n).astype(int)
        np.testing.assert_array_equal(np.sort(place, axis=0), np.tile(np.arange(n)[:, None], 20))


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
    assert 0.2 < share[:64].sum() * len(share) / 64 < 5  # at the start Laplace's approximation at the mode tells
    late = np.arange(len(share)) >= len(share) // 2
    # the last half is weighed by nearly the same mixture: what is foretold is right but for the number that comes
    assert stats.spearmanr(share[late], found.weights[late]).statistic > 0.95
    assert 0.7 < share[late].sum() / found.weights[late].sum() < 1.5
