r"""From weighted values to draws that lose little of what the weights say.

Value k with weight w_k is drawn floor(n w_k) or ceil(n w_k) times, n w_k on average. By the cube method the fractions
s_k = n w_k - floor(n w_k) walk to 0 or 1 in steps along v with

    sum_k v_k x_k = 0,        s + l v or s - l' v with probabilities l' / (l + l') and l / (l + l'),

l and l' as far as all stay within [0, 1]: each expectation stays as it is, and so does every sum s_k x_k. Steps need
one more value between 0 and 1 than there are columns of x; when values run out, the last columns go first.

References
----------
Deville, J.-C. and Tille, Y. (2004). Efficient balanced sampling: the cube method. Biometrika 91.
Chauvet, G. and Tille, Y. (2006). A fast algorithm for balanced sampling. Computational Statistics 21.
"""

from __future__ import annotations

import numpy as np

from buurtsae.sparse import Floats, Ints

AT_ONCE = 40  # draws up to which a matrix of contrasts is cheaper than sums
CLOSE = 1e-9  # a fraction as near to 0 or 1 as this is there


def systematic(weights: Floats, n: int, u: float) -> Ints:
    """Return how often each value is drawn: n in all, each within 1 of n times its weight."""
    ends = np.floor(n * np.cumsum(weights) / weights.sum() + u).astype(np.int64)
    ends[-1] = n  # u < 1: the last end is n, but for rounding
    return np.diff(ends, prepend=0)


def cube(weights: Floats, x: Floats, n: int, rng: np.random.Generator) -> Ints:
    """Return how often each value is drawn: n in all, each within 1 of n times its weight, with sums of x as weighted.

    Parameters
    ----------
    weights : ndarray, shape (K,)
    x : ndarray, shape (K, q)
        What is balanced, the most important columns first.
    n : int
    rng : Generator
    """
    expected = n * weights / weights.sum()
    s = expected - np.floor(expected)
    count, x = np.floor(expected).astype(np.int64), np.column_stack([np.ones(len(x)), x])
    waiting = rng.permutation(np.flatnonzero((s > CLOSE) & (s < 1 - CLOSE)))
    active, waiting = np.split(waiting, [x.shape[1] + 1])
    while len(active) > 1:
        v = np.linalg.qr(x[active, : len(active) - 1], mode="complete")[0][:, -1]
        now = s[active]
        ahead, back = _room(now, v), _room(now, -v)
        now = now + v * (ahead if rng.uniform() * (ahead + back) < back else -back)
        s[active] = now
        between = (now > CLOSE) & (now < 1 - CLOSE)
        more, waiting = np.split(waiting, [len(active) - int(between.sum())])
        active = np.concatenate([active[between], more])
    return count + np.rint(s).astype(np.int64)


def _room(s: Floats, v: Floats) -> float:
    """How far s can go along v within [0, 1]."""
    edge = np.where(v > 0, 1 - s, s)
    return float(np.divide(edge, np.abs(v), out=np.full(len(s), np.inf), where=v != 0).min())


def balanced(mean: Floats, deviations: Floats) -> Floats:
    """Return n Gaussian draws whose average is their mean exactly, from n - 1 independent deviations; n is 2 or more.

    By Helmert's contrasts, which sum to zero; each draw has the covariance of a deviation. Two draws are antithetic.
    """
    n = 1 + len(deviations)
    contrasts = _contrasts(np.eye(n - 1)) if n <= AT_ONCE else None
    if contrasts is not None:  # one product in the place of sums that go over all numbers again and again
        return np.asarray(mean + (contrasts @ deviations.reshape(n - 1, -1)).reshape(n, *mean.shape))
    return np.asarray(mean + _contrasts(deviations))


def _contrasts(deviations: Floats) -> Floats:
    """Helmert's contrasts of n - 1 deviations, n in all, with their variance."""
    n = 1 + len(deviations)
    k = np.arange(1, n).reshape(-1, *[1] * (deviations.ndim - 1))
    each = deviations / np.sqrt(k * (k + 1))  # 1 of it to draws up to k, -k of it to the next
    mean_free = np.zeros((n, *deviations.shape[1:]))
    mean_free[:-1] = np.cumsum(each[::-1], axis=0)[::-1]
    mean_free[1:] -= k * each
    return np.sqrt(n / (n - 1)) * mean_free
