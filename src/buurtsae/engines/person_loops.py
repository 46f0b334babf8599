r"""Loops over cells of persons, compiled by numba; never an array of cells x levels, nor of cells x draws.

A cell has an area a and, of each of its terms, one of L levels. With q = e_a + sum of f over its levels, first
derivatives l' and weights w of the cells, `accumulated` sums both over areas and over levels, and w over pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from buurtsae.multifrontal import jit

BLOCK = 64  # draws that are worked on at the same time: a row of each level stays in the fastest memory

# expit(x) = 1/2 + tanh(x / 2) / 2, tanh by the rational function of Eigen's, to 1e-7: plain sums and products
_ODD = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
        -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)  # fmt: skip
_EVEN = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
_END = 7.90531110763549805


@jit
def predictors(area: Any, index: Any, e: Any, f: Any) -> Any:
    """Return q of each cell, (M,), of e (N,) and f (L,)."""
    q = np.empty(len(area))
    for c in range(len(area)):
        total = e[area[c]]
        for t in range(index.shape[1]):
            total += f[index[c, t]]
        q[c] = total
    return q


@jit
def accumulated(area: Any, index: Any, first: Any, weight: Any, n: int, levels: int) -> Any:
    """Return sums of l' and w per area (N,), of w per area and level (N, L), l' per level, and w per pair (L, L)."""
    of_area, weights, cross = np.zeros(n), np.zeros(n), np.zeros((n, levels))
    of_level, own = np.zeros(levels), np.zeros((levels, levels))
    terms = index.shape[1]
    for c in range(len(area)):
        a, w, d = area[c], weight[c], first[c]
        of_area[a] += d
        weights[a] += w
        row = cross[a]
        for t in range(terms):
            i = index[c, t]
            row[i] += w
            of_level[i] += d
            pair = own[i]
            for u in range(t + 1):
                pair[index[c, u]] += w
    for i in range(levels):
        for j in range(i):
            own[j, i] = own[i, j]
    return of_area, weights, cross, of_level, own


@jit
def summed(area: Any, index: Any, values: Any, n: int, levels: int) -> Any:
    """Return sums of values of the cells per area (N,) and per level (L,)."""
    of_area, of_level = np.zeros(n), np.zeros(levels)
    for c in range(len(area)):
        of_area[area[c]] += values[c]
        for t in range(index.shape[1]):
            of_level[index[c, t]] += values[c]
    return of_area, of_level


@jit
def variances(area: Any, index: Any, of_area: Any, mixed: Any, own: Any) -> Any:
    """Return Var(q) of each cell, from Var(e) (N,), Cov(e, f) (N, L) and Cov(f) (L, L)."""
    out = np.empty(len(area))
    for c in range(len(area)):
        a = area[c]
        total = of_area[a]
        for t in range(index.shape[1]):
            i = index[c, t]
            total += 2.0 * mixed[a, i] + own[i, i]
            for u in range(t):
                total += 2.0 * own[i, index[c, u]]
        out[c] = total
    return out


@jit
def cubes(area: Any, index: Any, third: Any, of_area: Any, mixed: Any, own: Any) -> Any:
    """Return sums over j of l'''_i l'''_j Cov(q_i, q_j)^3, (M,), j the cells of the same area as i; areas ascend."""
    total, start, m = np.zeros(len(area)), 0, len(area)
    while start < m:
        a, end = area[start], start
        while end < m and area[end] == a:
            end += 1
        for i in range(start, end):
            for j in range(start, i + 1):
                s = of_area[a]
                for t in range(index.shape[1]):
                    s += mixed[a, index[i, t]] + mixed[a, index[j, t]]
                    for u in range(index.shape[1]):
                        s += own[index[i, t], index[j, u]]
                both = third[i] * third[j] * s**3
                total[i] += both
                if j < i:
                    total[j] += both
        start = end
    return total


@jit
def logistic(x: Any, out: Any) -> None:
    """Put expit(x) in out, both (BLOCK,) of 32 bits, to 1e-7."""
    half, end = np.float32(0.5), np.float32(_END)
    for k in range(len(x)):
        v = min(max(half * x[k], -end), end)
        s = v * v
        top = np.float32(_ODD[6])
        top = top * s + np.float32(_ODD[5])
        top = top * s + np.float32(_ODD[4])
        top = top * s + np.float32(_ODD[3])
        top = top * s + np.float32(_ODD[2])
        top = top * s + np.float32(_ODD[1])
        top = top * s + np.float32(_ODD[0])
        low = np.float32(_EVEN[3])
        low = low * s + np.float32(_EVEN[2])
        low = low * s + np.float32(_EVEN[1])
        low = low * s + np.float32(_EVEN[0])
        out[k] = half + half * (v * top / low)


@jit
def sums_of_residents(
    kind: int, area: Any, index: Any, count: Any, e: Any, f: Any, scale: Any, cuts: Any, rises: Any, total: Any
) -> None:
    """Add to total (N, BLOCK) the sums over cells of residents times h(eta), of a block of draws.

    e is (N, BLOCK), f (L, BLOCK), and scale (BLOCK,) what eta is times, all of 32 bits. Of kind 0 h is eta; otherwise
    sum_k rises[k] expit(eta - cuts[k]), cuts (K, BLOCK), rises (K,).
    """
    eta, moved, p = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for c in range(len(area)):
        base, n = e[area[c]], np.float32(count[c])
        for k in range(BLOCK):
            eta[k] = base[k]
        for t in range(index.shape[1]):
            row = f[index[c, t]]
            for k in range(BLOCK):
                eta[k] += row[k]
        out = total[area[c]]
        if kind == 0:
            for k in range(BLOCK):
                out[k] += n * eta[k]
        else:
            for q in range(len(rises)):
                by = n * np.float32(rises[q])
                for k in range(BLOCK):
                    moved[k] = (eta[k] - cuts[q, k]) * scale[k]
                logistic(moved, p)
                for k in range(BLOCK):
                    out[k] += by * p[k]
