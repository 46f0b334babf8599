r"""Where an area stands among others: ranks from draws, and estimates whose spread is that of the scores.

Posterior means are shrunk: their variance over areas is below that of the scores, and a map of them shows too little.
The triple-goal estimate (Shen and Louis, 1998) of area k among K is

    G^{-1}( (2 r_k - 1) / (2 K) ),      G(t) = 1/K sum_k P(eta_k <= t | y),

with r_k the order of the posterior expected ranks: good ranks, and a histogram that is the best estimate of that of
the scores, at the price of some error per area. For maps and distributions; figures of one area are posterior means.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.sparse import Floats, Ints

MOST = 4_000_000  # values that G and expected ranks are computed from: more change no second decimal


def ranks(values: Floats) -> Ints:
    """Return the rank per draw, 1 the highest, of values (S, K); ties, as of scores at an end, in a random order."""
    order = np.argsort(-values, axis=1)
    tied = np.flatnonzero((np.diff(np.take_along_axis(values, order, axis=1), axis=1) == 0).any(axis=1))
    chance = np.random.default_rng(1).random((len(tied), values.shape[1]))
    order[tied] = np.lexsort((chance, -values[tied]), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(1, values.shape[1] + 1)[None], axis=1)
    return rank


def above(
    values: Floats, parent: Ints, parent_values: Floats, shown: NDArray[np.bool_], parent_shown: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return the probability of being above the parent's mean, and the 95% interval of the rank within the parent.

    Of values (S, K), with `parent` (K,) the column in `parent_values` (S, P); ties with it count half. Ranks are among
    those that are `shown`, missing for others; there is no probability of being above a parent that is hidden.
    """
    higher, lower, upper = np.full((3, values.shape[1]), np.nan)
    for area in np.unique(parent):
        inside = np.flatnonzero(parent == area)
        of, reference = values[:, inside], parent_values[:, [area]]
        if parent_shown[area]:
            higher[inside] = (of > reference).mean(axis=0) + 0.5 * (of == reference).mean(axis=0)
        if len(members := inside[shown[inside]]):
            rank = ranks(of[:, shown[inside]])
            lower[members], upper[members] = np.quantile(rank, [0.025, 0.975], axis=0, method="inverted_cdf")
    return {"p_above_parent": higher, "rank_lower": lower, "rank_upper": upper}


def triple_goal(values: Floats) -> Floats:
    """Return triple-goal estimates (K,) of draws (S, K).

    References
    ----------
    Shen, W. and Louis, T. (1998). Triple-goal estimates in two-stage hierarchical models. JRSS B 60.
    """
    n, k = values.shape
    few = values[np.linspace(0, n - 1, max(1, min(n, MOST // k))).round().astype(int)]
    expected = ranks(few).mean(axis=0)  # 1 is the highest
    # equal expected ranks, as of areas about which nothing is known, share the mean of their places
    place = k + 1 - pd.Series(expected).rank(method="average").to_numpy()
    return np.asarray(np.quantile(few, (2 * place - 1) / (2 * k)))


def between_buurten(values: Floats, shown: NDArray[np.bool_], residents: Floats) -> float:
    """Return the posterior mean of the variance over the buurten that are shown, from draws (S, K); 0 below two.

    Weighted by residents (K,): where small buurten differ most, a few of them would make all others look reliable.
    """
    if shown.sum() < 2:
        return 0.0
    deviation, weights = values[:, shown], residents[shown] / residents[shown].sum()
    deviation -= (deviation @ weights)[:, None]
    return float((np.square(deviation, out=deviation) @ weights).mean())


def reliability(variance: Floats, between: ArrayLike) -> Floats:
    """Return 1 - variance / between, not below 0, and 0 where buurten do not differ."""
    ratio = np.divide(variance, between, out=np.ones_like(variance), where=np.asarray(between) > 0)
    return np.maximum(1 - ratio, 0.0)
