r"""Hyperparameters by adaptive importance sampling from a skewed approximation.

The target log p(xi | y) is known up to a constant, with its gradient; xi ~ N(0, I) a priori: its scale is known.

1. The mode and the Hessian (`search`); axes A from its eigenvectors.
2. xi = a + A z with z_i independent, in stages that go on with one scrambled Sobol' net in place of random numbers: as
   proposals soon hardly change, all values together lie evenly. Mean a and axes A, symmetric roots in the axes of step
   1, are learnt from all before: A by regression of log p on squares and products, which every value informs and not
   only the few that have weight. Each z_i is split normal, with learnt widths and skewness, or, with a small
   probability, normal as the prior is along its axis: a likelihood that is flat towards a boundary leaves the tail of
   the prior (Owen and Zhou, 2000). Axes that are nearly normal need little of that, skewed ones more. Where a term may
   have vanished, what belongs to it is as a priori, which no such proposal foresees: a part of the values is proposed
   there.
   Weights p(xi | y) / q(xi) with q the mixture of all stages (the balance heuristic), smoothed (PSIS), until enough
   values are effective.

References
----------
Cornuet, J.-M. et al. (2012). Adaptive multiple importance sampling. Scandinavian J. Statistics 39. Vehtari, A. et al.
(2024). Pareto smoothed importance sampling. JMLR 25. Owen, A. and Zhou, Y. (2000). Safe and effective importance
sampling. JASA 95. Owen, A. (2023). Practical Quasi-Monte Carlo Integration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from buurtsae.draws import psis
from buurtsae.engines.search import WIDE, Map, Peak, Progress, Small, Target, peak, roots
from buurtsae.sparse import Floats, Ints

WIDER = 0.05, 0.1  # how much wider proposals are than what was learnt, and how much more where an axis is skewed
FEW = 6.0  # axes that may each be as much wider
SKEWED = 0.7  # the skewness of an axis that is as far from normal as proposals follow
DEFENSIVE = 0.5  # expected number of the z_i that are drawn as the prior is, where data say little
CURVED = 0.15, 20.0  # bounds of the curvature, 1 at the mode
KNOWN = 0.15, 0.1  # widths, of the prior's, below which that is less, and what is left of it at the least
VANISHED = -2.0, 0.7  # centre and width, in prior standard deviations, of the sd of a term that has vanished
PART = 16  # one value is proposed there, per such term, to so many others
STAGES = 12
LAST, MORE = 8, 0.95  # the last values come by so many, somewhat less than expected: they are better than the first
SMALL = 1e-12  # a net may hold 0 itself


@dataclass(frozen=True)
class Share:
    """The share of all weight that a value may expect, from what was weighed before; at the start, from the mode.

    Attributes
    ----------
    level : float
        log p at which it would be all.
    coming : float
        The values that there are over those that there will be, about.
    """

    level: float
    coming: float

    def __call__(self, log_p: float) -> float:
        """Return the share at log p(xi | y)."""
        return float(np.exp(min(log_p - self.level, 0.0))) * self.coming


Look = Callable[[int, Floats, Share], float]


@dataclass(frozen=True)
class Proposal:
    """xi = at + A z, z_i split normal about centre_i with widths left_i and right_i.

    Attributes
    ----------
    at : ndarray, shape (p,)
    axes : ndarray, shape (p, p)
    centre, left, right : ndarray, shape (p,)
    doubt : ndarray, shape (p,)
        From 0, an axis known to be normal, to 1.
    """

    at: Floats
    axes: Floats
    centre: Floats
    left: Floats
    right: Floats
    doubt: Floats

    @cached_property
    def defensive(self) -> Floats:
        """Probability that each z_i is drawn as the prior is along its axis: small where data know it far better."""
        whole, least = KNOWN
        known = np.clip((self.left + self.right) / 2 / self.prior[1] / whole, least, 1.0)
        return np.asarray(DEFENSIVE / max(len(self.at), 2) * known * np.maximum(self.doubt, 0.5))

    @cached_property
    def prior(self) -> tuple[Floats, Floats]:
        """Mean and sd of z_i if xi ~ N(0, I) on the line through `at` along axis i."""
        sd = 1 / np.linalg.norm(self.axes, axis=0)
        return -(self.axes.T @ self.at) * sd**2, np.maximum(sd, 1.0)

    def xi(self, u: Floats) -> Floats:
        """Return xi at uniform u, shape (n, p)."""
        share, (mean, sd), both = self.defensive, self.prior, self.left + self.right
        v = np.clip((u - share) / (1 - share), SMALL, 1 - SMALL)
        low, high = ndtri(v * both / (2 * self.left)), -ndtri((1 - v) * both / (2 * self.right))
        learnt = self.centre + np.where(v * both < self.left, self.left * low, self.right * high)
        z = np.where(u < share, mean + sd * ndtri(np.clip(u / share, SMALL, 1 - SMALL)), learnt)
        return self.at + z @ self.axes.T

    def z(self, xi: Floats) -> Floats:
        """Return z of xi, shape (n, p)."""
        return np.asarray(np.linalg.solve(self.axes, (xi - self.at).T).T)

    def log_density(self, xi: Floats) -> Floats:
        """Return the log-density of xi, shape (n,)."""
        z, share, (mean, sd) = self.z(xi), self.defensive, self.prior
        q = (z - self.centre) / np.where(z < self.centre, self.left, self.right)
        learnt = np.log1p(-share) - 0.5 * q**2 - np.log((self.left + self.right) / 2)
        wide = np.log(share) - 0.5 * ((z - mean) / sd) ** 2 - np.log(sd)
        each = np.logaddexp(learnt, wide) - 0.5 * np.log(2 * np.pi)
        return each.sum(axis=1) - float(np.linalg.slogdet(self.axes)[1])

    def learnt(self, xi: Floats, log_p: Floats, weights: Floats) -> Proposal:
        """Return the proposal with axes by regression of log p, and mean, widths and skewness of weighted values."""
        z, effective = self.z(xi), 1 / float((weights**2).sum())
        mean, root = weights @ z, _root(np.asarray(np.linalg.inv(curvature(z, log_p, weights))))
        y = np.linalg.solve(root, (z - mean).T).T
        variance = np.clip(weights @ y**2, 0.5, 2.0)
        skewness = (weights @ y**3) / variance**1.5
        doubt = np.minimum((np.abs(skewness) + np.sqrt(6 / effective)) / SKEWED, 1.0)  # with one standard error
        skewness = np.clip(skewness * effective / (effective + 100), -SKEWED, SKEWED)  # few values say little
        widths = split_normal(0 * mean, wider(doubt) ** 2 * variance, skewness)
        return Proposal(self.at + self.axes @ mean, self.axes @ root, *widths, doubt)

    def vanished(self, sd: int, silent: Ints) -> Iterator[Proposal]:
        """Yield the proposal with a term gone, if it may be: what is silent then as a priori, the others as here."""
        spread = self.axes * (self.left + self.right) / 2
        covariance, (centre, width) = spread @ spread.T, VANISHED
        if self.at[sd] - 3 * np.sqrt(covariance[sd, sd]) > centre + width:
            return
        rest = np.setdiff1d(np.arange(len(self.at)), [sd, *silent])
        at, axes, one = self.at.copy(), np.eye(len(self.at)), np.ones(len(self.at))
        at[sd], at[silent], axes[sd, sd] = centre, 0.0, width
        axes[np.ix_(rest, rest)] = np.linalg.cholesky(covariance[np.ix_(rest, rest)])
        yield Proposal(at, axes, 0 * one, one, one, 0 * one)


def curvature(z: Floats, log_p: Floats, weights: Floats) -> Floats:
    """Return H of log p ~ constant + g'z - z'Hz / 2, positive definite, by ridge regression towards the identity.

    It is held to the identity as by one value for each of the p (p + 1) / 2 curvatures: many are known less well.
    Values count by the root of their weights: between those of the target and those of the proposals.
    """
    p = z.shape[1]
    row, column = np.triu_indices(p)
    x = np.column_stack([np.ones(len(z)), z, -z[:, row] * z[:, column] * np.where(row == column, 0.5, 1.0)])
    counts = np.sqrt(weights) / np.sqrt(weights).mean()
    ridge = np.repeat([1e-3, len(row)], [1 + p, len(row)])  # constant and slope are free, unless values are too few
    departure = log_p - log_p.max() + 0.5 * (z**2).sum(axis=1)
    solution = np.linalg.solve((x.T * counts) @ x + np.diag(ridge), x.T @ (counts * departure))[1 + p :]
    h = np.eye(p)
    h[row, column] += solution
    values, vectors = np.linalg.eigh(h, UPLO="U")
    return np.asarray((vectors * np.clip(values, *CURVED)) @ vectors.T)


def wider(doubt: Floats) -> Floats:
    """How much wider proposals are: more on axes that are not normal, less where there are many: it multiplies."""
    (least, more), p = WIDER, len(doubt)
    return 1 + np.maximum(0.25 / np.sqrt(p), min(1.0, (FEW / p) ** 0.25) * (least + more * doubt))


def _root(covariance: Floats) -> Floats:
    """A root whose axes stay as near as can be to those that it is stated in: of correlations, the symmetric one."""
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    return np.asarray(sd[:, None] * ((vectors * np.sqrt(np.maximum(values, 0.05))) @ vectors.T))


def split_normal(mean: Floats, variance: Floats, skewness: Floats) -> tuple[Floats, Floats, Floats]:
    """Return centre, left and right width of split normals with these moments.

    With delta = right - left and c = sqrt(2 / pi): mean = centre + c delta, variance = (1 - c^2) delta^2 + left right,
    third moment = c delta (variance + (2 c^2 - 2 + c^2) delta^2) (John, S., 1982).
    """
    c = np.sqrt(2 / np.pi)
    x = skewness / c
    for _ in range(30):  # x (1 + (3 c^2 - 2) x^2) = skewness / c, x = delta / sd: a contraction
        x = skewness / c / (1 + (3 * c**2 - 2) * x**2)
    delta = x * np.sqrt(variance)
    product = variance - (1 - c**2) * delta**2
    left = 0.5 * (np.sqrt(delta**2 + 4 * product) - delta)
    return mean - c * delta, left, left + delta


@dataclass(frozen=True)
class Integration:
    """Weighted values of the hyperparameters.

    Attributes
    ----------
    xi : ndarray, shape (n, p)
    weights : ndarray, shape (n,)
        Smoothed, summing to 1.
    khat : float
    """

    xi: Floats
    weights: Floats
    khat: float

    @property
    def effective(self) -> float:
        """Effective number of values."""
        return float(1 / (self.weights**2).sum())


def integrate(
    target: Target,
    seed: int,
    enough: int,
    each: Map,
    bar: Progress,
    look: Look | None = None,
    small: Small | None = None,
) -> Integration:
    """Return weighted values of the hyperparameters from their posterior, `enough` of them effective if possible.

    Parameters
    ----------
    target : Target
    seed, enough : int
    each : callable
        `map`, or one that works on several values at the same time.
    bar : Progress
    look : callable, optional
        Returns log p(xi | y) in the place of the target, of value k at xi; it is told what share of all weight that
        value may expect at any log p, from what was weighed before: what is costly at a value may be kept.
    small : Small, optional
        A problem like it with fewer data, where the search begins.
    """
    from scipy.stats.qmc import Sobol

    p = target.size
    if p == 0:
        return Integration(np.zeros((1, 0)), np.ones(1), 0.0)
    most = max(32, 2 ** int(np.ceil(np.log2(enough / 2))))  # fewer have no tail to judge weights by
    top = peak(target, small, each, bar)
    latest = first = _gaussian(top)
    used: list[tuple[int, Proposal]] = []
    nets = [Sobol(p, rng=np.random.default_rng([seed, 1, part])) for part in range(1 + len(target.vanishing))]
    xi, log_p, total, goal = np.empty((0, p)), np.empty(0), top.level, 2.0 * enough
    for stage in range(STAGES):
        # early proposals are the worst: few values; powers of 2, in all too, as long as they grow
        n = max(min(64, most), most // max(8 >> max(stage, 1), 1))
        if stage > 1:  # the last ones no more than are needed
            n = min(n, LAST * int(np.ceil(max(MORE * goal - len(xi), 1.0) / LAST)))
        gone = [(max(n // PART, 4), q) for term in target.vanishing for q in latest.vanished(*term)]
        for part, (count, q) in enumerate([(n, latest), *gone]):
            xi = np.vstack([xi, q.xi(nets[part].random(count))])
            used.append((count, q))
        n += sum(count for count, _ in gone)
        of_each = [np.log(count) + q.log_density(xi) for count, q in used]
        mixture = np.logaddexp.reduce(of_each, axis=0)
        shares = [Share(m + total, min(len(xi) / goal, 1.0)) for m in mixture[-n:]]
        places = zip(range(len(xi) - n, len(xi)), xi[-n:], shares, strict=True)
        work = each(lambda place: look(*place) if look else target.log_posterior(place[1]), places)
        log_p = np.append(log_p, np.fromiter(bar.track(work, "hyperparameters", n), float, n))
        total = float(np.logaddexp.reduce(log_p - mixture))  # the integral of p: weights over it sum to 1
        weighed = Integration(xi, *psis(log_p - mixture))
        if weighed.effective >= enough and stage > 0:
            break
        goal = enough * len(xi) / weighed.effective  # values there will be, if more are as good as these
        latest = first.learnt(xi, log_p, weighed.weights)
    return weighed


def _gaussian(top: Peak) -> Proposal:
    """The Gaussian proposal at a mode."""
    p = len(top.at)
    width = wider(np.full(p, 0.5))
    return Proposal(top.at, roots(top.curvature, WIDE), np.zeros(p), width, width, np.ones(p))
