r"""What can be computed of hidden figures from published ones: linear equations, attacked draw by draw.

An area G above others is a weighted mean of the cells that it holds (buurten by residents, or respondents by weights),
and weights are taken to be known. So per measure and draw a published G gives away the sum over its hidden cells,

    sum_{a in G, hidden} w_a x_a = T_G,      0 <= x_a <= b,

with b the width of the scale, from whose lower end x counts (or down from the upper one, where that is the only end),
and what anyone can know of a hidden area S, t_S = sum_{a in S} w_a x_a / w_S, is the interval between the least and
the largest value that meet all equations. Draws are published too, and the posterior mean of t_S lies between the
means over draws of the ends: with one equation these are exact,

    max(0, T - b (w_G - w_S)) / w_S  and  min(b w_S, T) / w_S.

With several, two linear programs give the ends x^-, x^+ at the mean of the draws; a step from each draw x^r along x^+ -
xbar and along x^- - xbar that stays within 0-b meets its equations, so t_S is at least as wide as these steps reach:
what is found is never wider than what an attacker finds. On a scale without any end nothing is known of t_S unless it
follows from the equations.

References
----------
Hundepool, A. et al. (2012). Statistical Disclosure Control, ch. 4.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from buurtsae.sparse import Floats

SLACK = 1e-9  # of equations on a scale of 10: what linear programs may leave
STILL = 1e-12  # a step that is no step


def ends(equations: Floats, target: Floats, values: Floats, top: float) -> tuple[Floats, Floats]:
    """Return the ends, per draw, of what the equations leave open of a weighted sum of unknowns, shape (R,) each.

    Equations (rows, n) are weights, not negative, of published sums, none of them empty; the target (n,) the same
    weights in the sum that is attacked, 0 of others; values (R, n) the draws of the unknowns, between 0 and `top`,
    which may be infinite: one for a figure without draws.
    """
    most = top * (size := target.sum())
    if not len(equations):
        return np.zeros(len(values)), np.full(len(values), most)
    if len(equations) == 1:
        total, beside = values @ equations[0], equations[0][target == 0].sum()
        return np.maximum(0.0, total - (top * beside if beside else 0.0)), np.minimum(most, total)
    mean, unit = values.mean(axis=0), target / size
    low, high = (values @ unit + _reach(values, end - mean, unit, top) for end in _extremes(equations, unit, mean, top))
    return low * size, high * size


def follows(equations: Floats, target: Floats) -> bool:
    """Return whether a weighted sum of unknowns follows from the equations, whatever the unknowns are."""
    if not len(equations):
        return False
    share = np.linalg.lstsq(equations.T, target, rcond=None)[0]
    return bool(np.abs(share @ equations - target).max() < SLACK * target.max())


def _extremes(equations: Floats, target: Floats, mean: Floats, top: float) -> tuple[Floats, Floats]:
    """The unknowns at which the target is least and largest, while the sums stay what they are at `mean`."""
    from scipy.optimize import linprog

    scaled = equations / equations.sum(axis=1, keepdims=True)
    points = []
    for sign in (1.0, -1.0):
        result = linprog(sign * target, A_eq=scaled, b_eq=scaled @ mean, bounds=(0.0, top), method="highs")
        if result.status != 0:
            raise ArithmeticError(f"what can be computed back was not found: {result.message}")
        points.append(np.asarray(result.x))
    return points[0], points[1]


def _reach(values: Floats, step: Floats, target: Floats, top: float) -> Floats:
    """How far the target moves, per draw, when all unknowns go as far along a step as their ends allow."""
    if abs(gain := step @ target) < SLACK * min(top, 10.0) / 10:
        return np.zeros(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(step > STILL, (top - values) / step, np.where(step < -STILL, -values / step, np.inf))
    return np.asarray(gain * np.maximum(room.min(axis=1), 0.0))


def reduced(member: sp.csr_array) -> sp.csr_array:
    """Return equations that say the same, as sets (rows) of unknowns, less those that lie within them.

    A gemeente less its wijken, the whole less its gemeenten: nearly all of them vanish, and what is left falls apart
    into small systems.
    """
    member = sp.csr_array(member, copy=True)
    member.eliminate_zeros()  # a stored zero is no member: `kron` leaves some
    sets = [frozenset(member.indices[start:stop].tolist()) for start, stop in pairwise(member.indptr) if stop > start]
    kept: list[frozenset[int]] = []
    of: dict[int, list[int]] = {}  # the kept sets of each unknown, from small to large
    for one in sorted(set(sets), key=lambda members: (len(members), sorted(members))):
        left = one
        for cell in sorted(one):
            for number in reversed(of.get(cell, [])):
                if cell in left and kept[number] <= left:
                    left = left - kept[number]
        if left:
            for cell in left:
                of.setdefault(cell, []).append(len(kept))
            kept.append(left)
    columns = [cell for members in kept for cell in sorted(members)]
    starts = np.cumsum([0, *map(len, kept)])
    return sp.csr_array((np.ones(len(columns)), columns, starts), shape=(len(kept), member.shape[1]))
