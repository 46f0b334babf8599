r"""Loops over cells, compiled by numba: the cavity of an area, and the law of the sum of its answers.

At the mode the predictors q of the cells of an area have mean q and covariance C a posteriori, and the area's own
answers add l'(q)'x - x'W x / 2 to the log-density. All others leave, with A = I - C W,

    S = A^{-1} C,    m = q - S l',    and of the area's own predictor e, k = Cov(q, e),    e - l'A^{-1} k,
    Var(e) + k'W A^{-1} k.

The sum of the answers has a mean that moves with q along g, g_c its derivative by q_c: with q = m + S g t / sqrt(g'S g)
+ r the part t ~ N(0, 1) is integrated over by quadrature; r, which does not move the mean, is in each cell the variance
that a cluster has (`engines.poststratify`). Given t persons answer independently: their sum is counted person by person
from the nearer end (`law`), or, where that takes too long and the sum varies much, by the normal law with its skewness,

    P(sum <= y) ~ Phi(x) + s (1 - x^2) phi(x) / 6,    x = (y + 1/2 - mean) / sd.

References
----------
Vehtari, A. et al. (2016). Bayesian leave-one-out cross-validation approximations for Gaussian latent variable models.
JMLR 17. Volkova, A. (1996). A refinement of the central limit theorem for sums of independent random indicators.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from buurtsae.multifrontal import jit

LONG, WIDE = 4e4, 25.0  # steps of counting, and variance of a sum, above both of which it is taken as normal
MOST = 1e7  # steps above which it is in any case


@jit
def cavities(area: Any, index: Any, q: Any, first: Any, w: Any, g: Any, of_area: Any, mixed: Any, own: Any) -> Any:
    """Return m, loading on t and variance of r per cell, and mean less e and variance of e per area.

    Cells ascend by area; q, l', w and g are theirs; Var(e) (N,), Cov(e, f) (N, L) and Cov(f) (L, L).
    """
    cells, n = len(area), len(of_area)
    m, load, rest = np.empty(cells), np.zeros(cells), np.zeros(cells)
    moved, variance = np.zeros(n), of_area.copy()
    start = 0
    while start < cells:
        a, end = area[start], start
        while end < cells and area[end] == a:
            end += 1
        size = end - start
        c, k = np.empty((size, size)), np.empty(size)
        for i in range(size):
            total = of_area[a]
            for t in range(index.shape[1]):
                total += mixed[a, index[start + i, t]]
            k[i] = total
            for j in range(i + 1):
                s = of_area[a]
                for t in range(index.shape[1]):
                    s += mixed[a, index[start + i, t]] + mixed[a, index[start + j, t]]
                    for u in range(index.shape[1]):
                        s += own[index[start + i, t], index[start + j, u]]
                c[i, j] = s
                c[j, i] = s
        left = np.eye(size)
        both = np.empty((size, size + 1))
        for i in range(size):
            both[i, size] = k[i]
            for j in range(size):
                left[i, j] -= c[i, j] * w[start + j]
                both[i, j] = c[i, j]
        out = np.linalg.solve(left, both)
        along, tau = np.zeros(size), 0.0
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += out[i, j] * first[start + j]
                along[i] += out[i, j] * g[start + j]
            m[start + i] = q[start + i] - total
            tau += along[i] * g[start + i]
            moved[a] -= out[i, size] * first[start + i]
            variance[a] += out[i, size] * w[start + i] * k[i]
        for i in range(size):
            if tau > 0.0:
                load[start + i] = along[i] / math.sqrt(tau)
            rest[start + i] = max(out[i, i] - load[start + i] ** 2, 0.0)
        start = end
    return m, load, rest, moved, variance


@jit
def chances(eta: Any, scale: Any, cuts: Any, out: Any) -> None:
    """Put the probabilities of the categories between cuts in out, (K,)."""
    above = 1.0
    for k in range(len(cuts)):
        here = 1.0 / (1.0 + math.exp(-(eta - cuts[k]) * scale))
        out[k] = above - here
        above = here
    out[len(cuts)] = above


@jit
def law(sizes: Any, p: Any, points: Any, y: int, dist: Any) -> Any:
    """Return P(sum < y) and P(sum <= y) of points of persons, `sizes` of each row of chances p (m, K).

    Points are whole, from 0; `dist` has room for y + 1. It is counted from the end that y is nearer to.
    """
    most, top = 0, 0
    for k in range(len(points)):
        most = max(most, points[k])
    for i in range(len(sizes)):
        top += int(sizes[i]) * most
    turned = top - y < y
    to = top - y if turned else y
    for s in range(to + 1):
        dist[s] = 0.0
    dist[0] = 1.0
    for i in range(len(sizes)):
        for _ in range(int(sizes[i])):
            for s in range(to, -1, -1):
                total = 0.0
                for k in range(len(points)):
                    step = most - points[k] if turned else points[k]
                    if step <= s:
                        total += p[i, k] * dist[s - step]
                dist[s] = total
    upto = 0.0
    for s in range(to + 1):
        upto += dist[s]
    below = upto - dist[to]
    if turned:
        return 1.0 - upto, 1.0 - below
    return below, upto


@jit
def sums(
    area: Any, size: Any, y: Any, m: Any, load: Any, rest: Any, cuts: Any, points: Any, nodes: Any, c2: float, n: int
) -> Any:
    """Return per area, mean over nodes (t, weight): below, upto, mean, variance and P(0) of the sum of points.

    And mean and variance of it at each node, (N, nodes). Of sizes that are not whole below and upto are NaN.
    """
    below, upto, zero = np.zeros(n), np.zeros(n), np.zeros(n)
    means, spreads = np.zeros((n, len(nodes))), np.zeros((n, len(nodes)))
    kinds, most = len(points), 0
    for k in range(kinds):
        most = max(most, points[k])
    start = 0
    while start < len(area):
        a, end, persons, whole = area[start], start, 0.0, True
        while end < len(area) and area[end] == a:
            persons += size[end]
            whole = whole and size[end] == math.floor(size[end])
            end += 1
        at = round(y[a])
        near = min(at, round(persons) * most - at)
        steps = persons * (near + 1.0) * kinds
        p, dist = np.empty((end - start, kinds)), np.empty(max(near, 0) + 1)
        for j in range(len(nodes)):
            none, mean, variance, third = 1.0, 0.0, 0.0, 0.0
            for i in range(start, end):
                scale = 1.0 / math.sqrt(1.0 + c2 * rest[i])
                chances(m[i] + load[i] * nodes[j, 0], scale, cuts, p[i - start])
                one, two, three, nothing = 0.0, 0.0, 0.0, 0.0
                for k in range(kinds):
                    one += p[i - start, k] * points[k]
                    if points[k] == 0:
                        nothing += p[i - start, k]
                for k in range(kinds):
                    off = points[k] - one
                    two += p[i - start, k] * off**2
                    three += p[i - start, k] * off**3
                mean += size[i] * one
                variance += size[i] * two
                third += size[i] * three
                none *= nothing ** size[i]
            means[a, j], spreads[a, j] = mean, variance
            zero[a] += nodes[j, 1] * none
            if whole:
                if steps <= LONG or (variance < WIDE and steps <= MOST):
                    low, high = law(size[start:end], p, points, at, dist)
                else:
                    sd = math.sqrt(variance)
                    skew = third / sd**3
                    low, high = normal((at - 0.5 - mean) / sd, skew), normal((at + 0.5 - mean) / sd, skew)
                below[a] += nodes[j, 1] * low
                upto[a] += nodes[j, 1] * high
        if not whole:
            below[a], upto[a] = np.nan, np.nan
        start = end
    return below, upto, zero, means, spreads


@jit
def normal(x: float, skew: float) -> float:
    """Return the normal law at x with a correction for skewness."""
    density = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    found = 0.5 * math.erfc(-x / math.sqrt(2.0)) + skew * (1.0 - x * x) * density / 6.0
    return min(max(found, 0.0), 1.0)
