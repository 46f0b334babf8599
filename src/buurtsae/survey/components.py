r"""Components of the variance of scores within areas: between sampled clusters, and between the persons in one.

Level 0 are areas, levels 1 .. K the clusters in these by stage, the last level persons. With y the mean of its area
plus independent effects of the levels above 0, covariances B_k, the squares about the weighted means of level g sum to

    E Q_g = sum_{k > g} A_gk B_k,    A_gk = sum_{cells j of level k} W_j (1 - W_j / W_g(j)),

W_j the weight in cell j, g(j) the cell of level g around it. Solved from persons upward this is, with equal weights,
nested analysis of variance. A mean then has the covariance V_a = sum_k B_k o sum_{j in a} P_j P_j', P_j = W_j / W_a;
with rho_k the share of B_k in their sum, the intraclass correlation, it is as good as n_effective independent answers:
    1 / n_effective = sum_i p_i^2 + sum_k rho_k (sum_{j in a} P_j^2 - sum_i p_i^2).

References
----------
Searle, S., Casella, G. and McCulloch, C. (1992). Variance Components, ch. 5. Kish, L. (1965). Survey Sampling, ch. 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from buurtsae.errors import DataError
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import group_sum, hajek

ENOUGH = 100  # degrees of freedom: a variance is then known to 15%


def planned(frame: pd.DataFrame, domain: Ints) -> Ints:
    """Return the cells about whose means scores vary: areas, split by the strata that lie in one area.

    How many respondents such a stratum gets is fixed, and differences between strata are no sampling error; of a
    stratum that reaches over areas it is chance. Areas are not split where that leaves too little to tell a variance.
    """
    alone = pd.Series(domain).groupby(frame["stratum"].to_numpy()).transform("nunique") == 1
    split = pd.Series(domain).groupby([domain, np.where(alone, frame["stratum"], "")]).ngroup().to_numpy()
    return split if len(split) - len(np.unique(split)) >= ENOUGH else np.unique(domain, return_inverse=True)[1]


def clusters(frame: pd.DataFrame, domain: Ints, names: Sequence[str]) -> list[Ints]:
    """Return the sampled cluster of each respondent, by stage, numbered within areas: what lies outside is another."""
    by = [domain, frame["stratum"].to_numpy()]
    columns = [frame[name].to_numpy() for name in names]
    return [frame.groupby([*by, *columns[:stage]]).ngroup().to_numpy() for stage in range(1, len(names) + 1)]


def components(y: Floats, w: Floats, levels: Sequence[Ints]) -> Floats:
    """Return B_1 .. B_K of clusters and, last, of persons, shape (K + 1, D, D), each positive semidefinite.

    Each pair of scores is estimated from the respondents with both; a sub-dimension that nobody answered has 0. A
    negative variance is taken as 0, and persons have what clusters leave of the squares within areas. A stage of single
    persons has 0. Raises DataError if no area has two respondents, so that nothing can be told.

    Parameters
    ----------
    y : ndarray, shape (n, D)
        Scores, NaN where missing.
    w : ndarray, shape (n,)
        Weights.
    levels : sequence of K + 1 ndarray of int, shape (n,)
        Cells of levels 0 .. K; numbers from 0, each level within the one before.
    """
    n_dims, last = y.shape[1], len(levels)
    square, a = np.zeros((last, n_dims, n_dims)), np.zeros((last, last + 1, n_dims, n_dims))
    for d in range(n_dims):
        for e in range(d + 1):
            both = np.isfinite(y[:, d]) & np.isfinite(y[:, e])
            found = _squares(y[both][:, [d, e]], w[both], [level[both] for level in levels])
            for whole, part in zip((square, a), found, strict=True):
                whole[..., d, e] = whole[..., e, d] = part
    if (np.isfinite(y).any(axis=0) & (np.diag(a[0, last]) <= 0)).any():
        what = "the variance within areas cannot be estimated"
        hint = "give `sd`, the standard deviation of scores within an area, or start with direct estimates"
        raise DataError(what, "no area with two respondents", "some areas with several", hint)
    b, told = np.zeros((last + 1, n_dims, n_dims)), np.zeros((n_dims, n_dims), dtype=bool)
    for g in reversed(range(last)):  # the finest level that has two persons in a cell tells of persons
        rest = square[g] - (a[g] * b).sum(axis=0)
        b[last] = np.where(told, b[last], _ratio(rest, a[g, last]))
        b[g + 1] = np.where(told, _ratio(rest, a[g, g + 1]), b[g + 1])
        told |= a[g, last] > 0
    for k in range(1, last):
        b[k] = shrunk(b[k])
    b[last] = 0.0
    b[last] = shrunk(_ratio(square[0] - (a[0] * b).sum(axis=0), a[0, last]))
    return b[1:]


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _squares(y: Floats, w: Floats, levels: Sequence[Ints]) -> tuple[Floats, Floats]:
    """Q_g of a pair of scores, shape (K + 1,), and A_gk, shape (K + 1, K + 2)."""
    last = len(levels)
    square, a = np.zeros(last), np.zeros((last, last + 1))
    share = []  # of a person in a cell of each level
    for g, level in enumerate(levels):
        _, p, residual = hajek(y, w, level, int(level.max(initial=-1)) + 1)
        square[g] = (w * residual[:, 0] * residual[:, 1]).sum()
        share.append(p[:, 0])
        a[g, last] = (w * (1 - p[:, 0])).sum()
    for g in range(last):
        for k in range(g + 1, last):
            a[g, k] = (w * (1 - share[g] / share[k])).sum()
    return square, a


def shrunk(s: Floats, lowest: float = 0.01) -> Floats:
    """Shrink covariances until no eigenvalue of the correlation matrix is below `lowest`; variances below 0 are 0.

    Pairwise deletion may leave S indefinite, and two scales that agree exactly leave it singular.
    """
    positive = np.diag(s) > 0
    s = np.where(positive[:, None] & positive, s, 0.0)
    sd = np.sqrt(np.diag(s))
    scale = np.where(sd > 0, sd, 1.0)
    correlation = s / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    smallest = np.linalg.eigvalsh(correlation)[0]
    kept = min(1.0, (1 - lowest) / (1 - smallest)) if smallest < lowest else 1.0
    return np.asarray(np.where(np.eye(len(s), dtype=bool), s, kept * s))


def gram(share: Floats, domain: Ints, n_domains: int, cell: Ints | None = None) -> Floats:
    """Return sum_j P_j P_j' per area, shape (n_domains, D, D), from the shares w_id / W_ad; over cells, or persons."""
    if cell is not None:
        first = np.unique(cell, return_index=True)[1]
        share, domain = group_sum(share, cell, len(first)), domain[first]
    return group_sum(share[:, :, None] * share[:, None, :], domain, n_domains)


def n_effective(weight: Floats, domain: Ints, n_domains: int, cells: Sequence[Ints], icc: Floats) -> Floats:
    """Return how many independent answers the respondents are worth, shape (n_domains, D); 0 without answers.

    Parameters
    ----------
    weight : ndarray, shape (n, D)
        0 where there is no answer.
    domain : ndarray of int, shape (n,)
        -1 outside.
    cells : sequence of K ndarray of int, shape (n,)
        Clusters in the areas, see `clusters`.
    icc : ndarray, shape (K, D)
        rho_k.
    """
    total, square = (group_sum(values, domain, n_domains) for values in (weight, weight**2))
    top = square.copy()
    for cell, rho in zip(cells, icc, strict=True):
        first = np.unique(cell, return_index=True)[1]
        held = group_sum(weight, cell, len(first))
        top += rho * (group_sum(held**2, domain[first], n_domains) - square)
    return np.divide(total**2, top, out=np.zeros_like(total), where=square > 0)
