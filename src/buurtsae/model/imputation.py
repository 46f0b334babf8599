r"""Covariates that are missing: a prediction from what else is known of the area, and how far it may be off.

A missing x_a is predicted by ridge regression on the area's other covariates that are known where it is missing (the
twenty that go with it most) and the mean of x among its neighbours, plus the sum of what that leaves in the rest of its
gemeente over their number + k. Residuals of areas that are left out, r_a / (1 - h_a), choose penalty and k, and give
s_a^2, their mean square: by the residents where smaller areas lie further from their prediction, s_a^2 proportional to
N_a^b with b < 0 by two standard errors. (The mean of the rest of a gemeente is no covariate: it knows x_a, by what it
lacks.)

    x_a = prediction_a + s_a e_a,  e_a ~ N(0, 1)

enters the model as the prediction, and s_a e_a through the coefficients as an effect of the area (`Design.known`).

References
----------
Carroll, R. et al. (2006). Measurement Error in Nonlinear Models, ch. 4: regression calibration. Hastie, T. et al.
(2009). The Elements of Statistical Learning, sections 3.4 and 7.10.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.sparse import Floats, Ints

MOST = 20  # other covariates in one regression
PENALTIES = 10.0 ** np.arange(-2, 6)
MORE = 10.0 ** np.arange(0, 7)  # k
SCORING = 20  # steps
FEW = 10  # known values below which nothing but their spread is learnt


def impute(
    table: pd.DataFrame, missing: pd.DataFrame, areas: Areas, graph: Graph | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill in what is missing of standardised covariates.

    Parameters
    ----------
    table : DataFrame, shape (N, P)
        Of mean 0 and variance 1; any number where it is missing.
    missing : DataFrame of bool, shape (N, P)
        In areas with residents.
    areas : Areas
    graph : Graph, optional
        Neighbours.

    Returns
    -------
    table, errors : DataFrame, shape (N, P)
        Filled in, and s_a, 0 where nothing was missing.
    """
    filled, errors = table.copy(), table * 0.0
    plain, gaps, live = table.where(~missing, 0.0).to_numpy(), missing.to_numpy(), areas.inhabited
    parent = pd.factorize(areas.parents(areas.parent(areas.base)))[0]
    for c in np.flatnonzero(gaps.any(axis=0)):
        known, others, patterns = live & ~gaps[:, c], np.delete(np.arange(plain.shape[1]), c), gaps.copy()
        patterns[:, c] = False
        around = _around(plain[:, c], known, areas, graph)
        for pattern in np.unique(patterns[gaps[:, c]], axis=0):
            wanted = gaps[:, c] & (patterns == pattern).all(axis=1)
            z = np.hstack([plain[:, others[~pattern[others]]], around])
            mean, sd = _predicted(z, plain[:, c], known, parent, areas.population)
            filled.iloc[wanted, c], errors.iloc[wanted, c] = mean[wanted], sd[wanted]
    return filled, errors


def _around(x: Floats, known: NDArray[np.bool_], areas: Areas, graph: Graph | None) -> Floats:
    """Means of x over neighbours where it is known, 0 where it is of none, shape (N, 1); (N, 0) without a graph."""
    if graph is None or list(graph.codes) != list(areas.codes):  # a term refuses another, with the reason
        return np.zeros((len(x), 0))
    number = np.asarray(graph.adjacency @ known.astype(float))
    return np.asarray(graph.adjacency @ np.where(known, x, 0.0) / np.maximum(number, 1.0))[:, None]


def _predicted(
    z: Floats, x: Floats, known: NDArray[np.bool_], parent: Ints, residents: Floats
) -> tuple[Floats, Floats]:
    """Predictions of x from z, and their standard deviations, shape (N,) each."""
    m, y = int(known.sum()), x[known]
    if m < FEW:
        return np.full(len(x), y.mean() if m else 0.0), np.ones(len(x))
    centre = z[known].mean(axis=0)
    go_with = np.abs((z[known] - centre).T @ y)
    z, centre = (part[..., np.argsort(-go_with, kind="stable")[:MOST]] for part in (z, centre))
    u, s, vt = np.linalg.svd(z[known] - centre, full_matrices=False)
    shrink = s**2 / (s**2 + PENALTIES[:, None])
    projected = u.T @ (y - y.mean())
    left = (y - y.mean() - (shrink * projected) @ u.T) / (1 - 1 / m - shrink @ (u**2).T)
    best = int((left**2).sum(axis=1).argmin())
    slope = vt.T @ (shrink[best] / np.maximum(s, 1e-12) * projected)
    mean, rest = y.mean() + (z - centre) @ slope, left[best]
    group = parent[known] + 1  # 0: areas in none, together
    total, number = np.bincount(group, rest, parent.max() + 2), np.bincount(group, minlength=parent.max() + 2)
    shared = [rest - (total[group] - rest) / (number[group] - 1 + k) for k in MORE]
    best = int(np.square(shared).sum(axis=1).argmin())
    mean = mean + (total / (number + MORE[best]))[parent + 1]
    return mean, _spread(shared[best], residents[known], residents)


def _spread(left: Floats, known: Floats, residents: Floats) -> Floats:
    """The standard deviation by residents, from those of left-out residuals, by scoring of a normal likelihood."""
    size = np.log(np.maximum(known, 1.0))
    centred, power, level = size - size.mean(), 0.0, float(np.mean(left**2))
    information = max(float(centred @ centred) / 2, 1e-12)
    for _ in range(SCORING):
        ratio = left**2 / np.exp(power * centred)
        level = float(ratio.mean())
        power += float(np.clip(centred @ (ratio / level - 1) / 2 / information, -0.5, 0.5))
    if power > -2 / np.sqrt(information):
        power, level = 0.0, float(np.mean(left**2))
    return np.sqrt(level * np.exp(power * (np.log(np.maximum(residents, 1.0)) - size.mean())))
