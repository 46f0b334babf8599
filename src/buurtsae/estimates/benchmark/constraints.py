r"""Draws x of scores that meet linear constraints C x = t: the numbers behind `buurtsae.estimates.benchmark.benchmark`.

Nearest: min (x - eta)' W^{-1} (x - eta) with C x = t and l <= x <= u, the ends of the scale, has x(mu) = clip(eta + W
C'mu, l, u), with mu the root of g(mu) = C x(mu) - t, the gradient of a convex dual. Without bounds mu = (C W C')^{-1}
(t - C eta). As 0 <= dg/dmu <= C W C', steps with that one factor converge for all draws together; what is left gets
semismooth Newton with dg/dmu = C W F C', F the scores between the bounds. Spread: x = clip(eta + d mu_k), d = 1 or eta,
where no score is in two constraints: Newton on a concave (convex) increasing g clips and spreads the rest until met.
Linked: min sum_a D(x_a, x0_a) / w_a, D the Bregman divergence of the inverse link h (Kullback-Leibler's of shares
and of counts), has x(mu) = h(eta + W C'mu): between the ends by itself, with dg/dmu = C W h' C'.
Tilted: w_s ~ exp(gamma'f_s), gamma = argmin log sum_s exp(gamma'(f_s - t)): sum_s w_s f_s = t.

References
----------
Qi, L. and Sun, D. (2006). SIAM J. Matrix Anal. 28. Robertson, J., Tallman, E. and Whiteman, C. (2005). JMCB 37.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats, Ints

MET = 1e-11  # tenths of the scale: constraints count as met, in double precision
TINY = 1e-300
DEPENDENT = 1e-11  # squared share that earlier constraints leave of one: 1e-9 for a wijk of 10 residents in the country


def components(matrix: sp.csr_array, least: int = 1) -> list[Ints]:
    """Return rows by groups that share no scores with other groups, joined until they have `least` rows or more."""
    from scipy.sparse.csgraph import connected_components

    pattern = sp.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    number, label = connected_components(pattern @ pattern.T, directed=False)
    group = (np.cumsum(np.r_[0, np.bincount(label, minlength=number)[:-1]]) // least)[label]
    return [np.flatnonzero(group == joined) for joined in np.unique(group)]


def independent(matrix: sp.csr_array) -> tuple[Ints, Floats]:
    """Return the rows on which the others depend, earlier ones first, and B (K, r): matrix = B @ matrix[rows].

    A Cholesky factorisation of the Gram matrix, row by row, that leaves out rows of which nothing is left.
    """
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    gram = sp.csr_array(sp.diags_array(1 / norm) @ (matrix @ matrix.T) @ sp.diags_array(1 / norm))
    bases, parts = [], []
    for rows in components(matrix):
        block = gram[rows][:, rows].toarray()
        root, kept = np.zeros_like(block), list[int]()
        for k in range(len(block)):
            rank = len(kept)
            line = la.solve_triangular(root[:rank, :rank], block[kept, k], lower=True, check_finite=False)
            if (left := block[k, k] - line @ line) > DEPENDENT:
                root[rank, :rank], root[rank, rank] = line, np.sqrt(left)
                kept.append(k)
        rank = len(kept)
        bases.append(rows[kept])
        parts.append((rows, la.cho_solve((root[:rank, :rank], True), block[kept]).T))
    every = np.sort(np.concatenate(bases))
    weights = np.zeros((len(norm), len(every)))
    for basis, (rows, part) in zip(bases, parts, strict=True):
        weights[np.ix_(rows, np.searchsorted(every, basis))] = part
    return every, weights * norm[:, None] / norm[every]


def reconcile(target: Floats, covariance: Floats, kept: Ints, weights: Floats) -> Floats:
    """Return targets (S, K) made consistent by generalised least squares: exact ones do not change.

    Independent normal errors are so conditioned on being consistent, t - S N'(N S N')^+ N t with N t = 0 where
    consistent (`kept` and `weights` as from `independent`).
    """
    null = np.delete(np.eye(len(weights)) - weights @ np.eye(len(weights))[kept], kept, axis=0)
    gain = covariance @ null.T @ np.linalg.pinv(null @ covariance @ null.T, rcond=1e-10, hermitian=True)
    return target - target @ null.T @ gain.T


def gain(cross: Floats, gram: Floats, error: Floats | float = 0.0) -> Floats:
    """Return V C'(C V C' + error)^{-1}, shape (P, K), of cross = V C' and gram = C V C'."""
    return la.cho_solve(la.cho_factor(gram + error), cross.T).T


@dataclass(frozen=True)
class Nearest:
    """The nearest scores that meet independent constraints, for any number of draws.

    Attributes
    ----------
    matrix : csr_array, shape (K, P)
        Independent rows; a column of zeros is a score that does not move.
    weight : ndarray, shape (P,)
        The diagonal of W, positive: scores with a large weight move most.
    scale : Scale
        Whose ends no score leaves.
    """

    matrix: sp.csr_array
    weight: Floats
    scale: Scale = SCORE

    @cached_property
    def _weighted(self) -> sp.csr_array:
        return sp.csr_array(self.matrix @ sp.diags_array(self.weight))

    @cached_property
    def _gram(self) -> Floats:
        return (self._weighted @ self.matrix.T).toarray()

    @cached_property
    def _factor(self) -> Any:
        return la.cho_factor(self._gram)

    def __call__(self, eta: Floats, target: Floats, steps: int = 10) -> Floats:
        """Return scores (S, P) that meet targets (S, K), as near as can be to `eta` (S, P).

        Draws whose targets cannot be met between the ends come back with their constraints unmet.
        """
        nearest = eta.copy()
        left, start, goal = np.arange(len(eta)), np.ascontiguousarray(eta.T), np.ascontiguousarray(target.T)
        low, high, met = self.scale.lower, self.scale.upper, MET * self.scale.point
        x, mu = np.clip(start, low, high), np.zeros_like(goal)
        for _ in range(steps):
            gap = goal - self.matrix @ x
            unmet = np.abs(gap).max(axis=0, initial=0.0) > met
            nearest[left[~unmet]] = x[:, ~unmet].T
            if not unmet.all():
                left, start, goal, mu, gap = left[unmet], start[:, unmet], goal[:, unmet], mu[:, unmet], gap[:, unmet]
            if not len(left):
                return nearest
            mu = mu + la.cho_solve(self._factor, gap)
            x = self._weighted.T @ mu
            x += start
            np.clip(x, low, high, out=x)
        for k, draw in enumerate(left):
            nearest[draw] = self._newton(eta[draw], target[draw], mu[:, k])
        return nearest

    def _newton(self, eta: Floats, target: Floats, mu: Floats, steps: int = 100) -> Floats:
        """Maximise the dual from mu; with a little of C W C' added while far away, where all scores may be bound."""
        z, x, gap, dual = self._at(eta, target, mu)
        for _ in range(steps):
            size = np.abs(gap).max()
            if size <= MET * self.scale.point:
                break
            free = ((z > self.scale.lower) & (z < self.scale.upper)).astype(float)
            slope = (self._weighted @ sp.diags_array(free) @ self.matrix.T).toarray()
            step = la.cho_solve(la.cho_factor(slope + 1e-3 * min(1.0, size) * self._gram), gap)
            for h in 0.5 ** np.arange(40):
                z, x, new, value = self._at(eta, target, mu + h * step)
                # close to the root the dual is flat in double precision, but the gap still tells
                if np.abs(new).max() < 0.9 * size or value > dual + 1e-4 * h * gap @ step:
                    break
            mu, gap, dual = mu + h * step, new, value
        return x

    def _at(self, eta: Floats, target: Floats, mu: Floats) -> tuple[Floats, Floats, Floats, float]:
        z = eta + self._weighted.T @ mu
        x = np.clip(z, self.scale.lower, self.scale.upper)
        gap = target - self.matrix @ x
        return z, x, gap, float(0.5 * ((x - eta) ** 2 / self.weight).sum() + mu @ gap)


@dataclass(frozen=True)
class Linked:
    """The nearest figures that meet independent constraints, by the divergence of their link, for any number of draws.

    Attributes
    ----------
    matrix : csr_array, shape (K, P)
        Independent rows.
    weight : ndarray, shape (P,)
        The diagonal of W, positive: predictors with a large weight move most.
    mean, slope : callable
        h of eta (S, P), and h' where h is x (S, P).
    met : float
        Gaps that count as met.
    """

    matrix: sp.csr_array
    weight: Floats
    mean: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    met: float

    def __call__(self, eta: Floats, target: Floats, steps: int = 100) -> Floats:
        """Return predictors (S, P) whose figures meet targets (S, K), as near as can be to `eta` (S, P).

        Draws whose targets cannot be met come back with their constraints unmet.
        """
        weighted = sp.csr_array(self.matrix @ sp.diags_array(self.weight))
        alone = bool((np.asarray((self.matrix != 0).sum(axis=0)) <= 1).all())  # constraints that share no figures
        square = sp.csr_array(weighted.multiply(self.matrix))
        moved, mu, x = eta.copy(), np.zeros_like(target), self.mean(eta)
        gap = target - (self.matrix @ x.T).T
        left = np.flatnonzero((np.abs(gap) > self.met).any(axis=1))
        for _ in range(steps):
            if not len(left):
                break
            slope = self.slope(x[left])
            if alone:
                step = gap[left] / np.maximum((square @ slope.T).T, TINY)
            else:
                step = np.array([self._step(weighted, *of_draw) for of_draw in zip(slope, gap[left], strict=True)])
            h, before = np.ones((len(left), step.shape[1] if alone else 1)), _size(gap[left], alone)
            for _ in range(40):
                z = eta[left] + (weighted.T @ (mu[left] + h * step).T).T
                there = self.mean(z)
                rest = target[left] - (self.matrix @ there.T).T
                worse = (_size(rest, alone) > before * (1 - 1e-4 * h)) & (_size(rest / self.met, alone) > 1)
                if not worse.any():
                    break
                h = np.where(worse, h / 2, h)
            mu[left] += h * step
            moved[left], x[left], gap[left] = z, there, rest
            left = left[(np.abs(rest) > self.met).any(axis=1)]
        return moved

    def _step(self, weighted: sp.csr_array, slope: Floats, gap: Floats) -> Floats:
        gram = (weighted @ sp.diags_array(slope) @ self.matrix.T).toarray()
        gram[np.diag_indices_from(gram)] += TINY + 1e-14 * gram.diagonal()
        return np.asarray(la.solve(gram, gap, assume_a="pos"))


def _size(gap: Floats, alone: bool) -> Floats:
    """How far constraints are from being met: each by itself, or all of a draw."""
    return np.abs(gap) if alone else np.abs(gap).max(axis=1, keepdims=True)


def spread(eta: Floats, matrix: sp.csr_array, target: Floats, *, ratio: bool, scale: Scale = SCORE) -> Floats:
    """Add one amount to all scores (S, P) of a constraint, or multiply them by one factor, and clip, until it is met.

    The matrix (K, P) has at most one entry per column. Targets (S, K) that cannot be met come back unmet: by a ratio,
    where scores are 0. No score leaves the ends of the scale.
    """
    lower, upper, met = scale.lower, scale.upper, MET * scale.point
    x = eta = np.clip(eta, lower, upper)
    direction = eta if ratio else np.ones_like(eta)
    z, mu = eta, np.zeros_like(target)
    member = sp.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape).T
    for _ in range(eta.shape[1] + 1):  # each step but the last binds at least one score
        gap = target - (matrix @ x.T).T
        if np.abs(gap).max(initial=0.0) <= met:
            break
        up = (member @ gap.T).T > 0
        free = np.where(up, z < upper, z > lower)
        slope = (matrix @ (direction * free).T).T
        mu += np.divide(gap, slope, out=np.zeros_like(gap), where=(slope > 0) & (np.abs(gap) > met))
        z = eta + direction * (member @ mu.T).T
        if np.array_equal(new := np.clip(z, lower, upper), x):
            break
        x = new
    return x


def tilt(values: Floats, target: Floats, steps: int = 100) -> Floats | None:
    """Return weights (S,) nearest to equal ones in Kullback-Leibler's sense with sum_s w_s values_s = target.

    None where the target is outside the convex hull of the values (S, K): no such weights exist.
    """
    f = (values - target) / values.std(axis=0)
    gamma, (w, objective) = np.zeros(f.shape[1]), _weights(f, np.zeros(f.shape[1]))
    for _ in range(steps):
        gradient = w @ f
        if np.abs(gradient).max() <= 1e-12:
            return w
        hessian = (f * w[:, None]).T @ f - np.outer(gradient, gradient)
        step = -np.linalg.lstsq(hessian, gradient, rcond=1e-12)[0]
        for h in 0.5 ** np.arange(40):
            new, value = _weights(f, gamma + h * step)
            # close to the root the objective is flat in double precision, but the gradient still tells
            if value < objective + 1e-4 * h * gradient @ step or np.abs(new @ f).max() < 0.9 * np.abs(gradient).max():
                break
        else:
            return None
        gamma, w, objective = gamma + h * step, new, value
    return None


def _weights(f: Floats, gamma: Floats) -> tuple[Floats, float]:
    e = f @ gamma
    w = np.exp(e - e.max())
    return w / w.sum(), float(np.log(w.sum()) + e.max())
