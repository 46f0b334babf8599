r"""Disclosure control: what is hidden cannot be computed back from what is published.

An area above buurt is the mean of its buurten weighted by residents, whose numbers are public. So a published area G
gives away, per measure, the sum over its hidden buurten,

    sum_{a in G, hidden} N_a x_a = N_G x_G - sum_{a in G, published} N_a x_a,      0 <= x_a <= 10,

and differences of such sums where areas are nested or overlap. What anyone can know of x_a is the interval between the
least and the largest x_a that meet all of it: two linear programs. Where it is narrower than `protection` more is
hidden: the smallest buurt in the same area that makes it wide enough, with the areas that hold one of the two only, or
the area itself where it has no other buurten. All measures of an area are hidden together, so that the weights of the
concept give nothing away: a sub-dimension has equations of its own only, and a mean of them is known no better than
they are. Draws meet the same equations: the same rows are hidden in them.

References
----------
Hundepool, A. et al. (2012). Statistical Disclosure Control, ch. 4. Fischetti, M. and Salazar, J. (2000). Models and
algorithms for optimizing cell suppression in tabular data with linear constraints. JASA 95.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, shown
from buurtsae.estimates.labels import Rules
from buurtsae.sparse import Floats, Ints

TOP = 10.0
HIGH = ("gemeente", "ggdregio", "provincie", "land")
EXACT = 1e-6  # slack of the equations of an attack, in points: rounding in sums over the whole country
HIDDEN = "niet_publiceren"
PROTECTING = "anders is een ander gebied terug te rekenen"


@dataclass(frozen=True)
class Hidden:
    """What is not published.

    Attributes
    ----------
    primary : tuple of (level, area_code)
        By the rules.
    secondary : tuple of (level, area_code)
        To protect the others.
    audit : DataFrame
        Per hidden buurt `area_code`, `primary`, and the narrowest interval over measures that can be computed for it:
        `measure`, `low`, `high`, `width`.
    """

    primary: tuple[tuple[str, str], ...]
    secondary: tuple[tuple[str, str], ...]
    audit: pd.DataFrame


def suppress(
    areas: Areas, scores: Mapping[str, pd.DataFrame], primary: set[tuple[str, str]], protection: float = 2.0
) -> Hidden:
    """Return what has to be hidden so that areas that are hidden by rule stay hidden.

    Parameters
    ----------
    areas : Areas
    scores : mapping of level to DataFrame
        Figures, areas x sub-dimensions, of all areas with residents at every level, those of level `buurt` included.
    primary : set of (level, area_code)
        Hidden by rule. Of an area above buurt all buurten must be hidden too, or its figure can be computed.
    protection : float
        Least width, in points, of what can be computed for a buurt in `primary`.

    Returns
    -------
    Hidden

    Raises
    ------
    DataError
        If buurten cannot be protected although everything below the whole is hidden.
    """
    problem = _Problem.of(areas, scores)
    hidden = np.isin(problem.codes, [code for level, code in primary if level == "buurt"])
    ruled, closed = hidden.copy(), np.array([key in primary for key in problem.parents])
    while True:
        width = problem.widths(hidden, closed)[0].min(axis=1)
        exposed = np.flatnonzero(ruled[hidden] & (width < protection))
        if not len(exposed):
            break
        done: set[int] = set()  # one step per area at a time: it may protect several
        for a in np.flatnonzero(hidden)[exposed]:
            problem.widen(int(a), hidden, closed, protection, done)
    low, high = problem.widths(hidden, closed)[1:]
    worst = (high - low).argmin(axis=1)
    pick = (np.arange(len(worst)), worst)
    audit = pd.DataFrame(
        {
            "area_code": problem.codes[hidden],
            "primary": ruled[hidden],
            "measure": np.array(problem.measures, dtype=object)[worst],
            "low": low[pick],
            "high": high[pick],
        }
    )
    all_hidden = [("buurt", str(c)) for c in problem.codes[hidden]]
    all_hidden += [key for key, shut in zip(problem.parents, closed, strict=True) if shut]
    secondary = tuple(key for key in all_hidden if key not in primary)
    return Hidden(tuple(sorted(primary)), secondary, audit.assign(width=audit["high"] - audit["low"]))


@dataclass(frozen=True)
class _Problem:
    """Buurten with residents, and all areas above them as rows of members."""

    codes: NDArray[np.str_]
    residents: Floats
    scores: Floats  # (n, D)
    measures: tuple[str, ...]
    parents: list[tuple[str, str]]
    member: sp.csr_array  # (areas above, n)
    high: NDArray[np.bool_]  # areas from gemeente up: hidden only where nothing else is left
    fixed: NDArray[np.bool_]  # areas that are never hidden: the whole

    @classmethod
    def of(cls, areas: Areas, scores: Mapping[str, pd.DataFrame]) -> _Problem:
        live = areas.inhabited
        codes = areas.codes[live].to_numpy(dtype=str)
        parents: list[tuple[str, str]] = []
        rows = []
        for level in areas.levels[1:]:
            labels, weights = areas.aggregation(level)
            parents += [(level, label) for label in labels]
            rows.append(weights[:, live] > 0)
        table = scores["buurt"].reindex(codes)
        high, fixed = (np.array([level in of for level, _ in parents]) for of in (HIGH, ("land",)))
        member = sp.csr_array(sp.vstack(rows).astype(float))
        score, residents = table.to_numpy(dtype=float), areas.population[live]
        return cls(codes, residents, score, tuple(table.columns), parents, member, high, fixed)

    def widths(self, hidden: NDArray[np.bool_], closed: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        """Return width, lowest and highest value that can be computed, of hidden buurten, shape (hidden, D)."""
        at = np.flatnonzero(hidden)
        rows = reduced(self.member[~closed][:, at])
        low, high = np.empty((len(at), self.scores.shape[1])), np.empty((len(at), self.scores.shape[1]))
        number, label = connected_components(rows.T @ rows, directed=False)
        own, cell = sp.csr_array(rows), np.argsort(label, kind="stable")
        row_label = label[own.indices[own.indptr[:-1]]] if own.shape[0] else np.zeros(0, dtype=np.int64)
        for k, cells in enumerate(np.split(cell, np.cumsum(np.bincount(label, minlength=number))[:-1])):
            block = own[np.flatnonzero(row_label == k)][:, cells].toarray() * self.residents[at[cells]]
            for d in range(self.scores.shape[1]):
                low[cells, d], high[cells, d] = attack(block, block @ self.scores[at[cells], d])
        return high - low, low, high

    def widen(
        self, a: int, hidden: NDArray[np.bool_], closed: NDArray[np.bool_], protection: float, done: set[int]
    ) -> None:
        """Hide one more buurt, or area, to protect buurt a: in the area that gives away most about it."""
        above = np.flatnonzero(self._holding(a) & ~closed)
        size = np.asarray(self.member[above] @ self.residents).ravel()
        beside = self.residents * hidden
        beside[a] = 0.0
        others = np.asarray(self.member[above] @ beside).ravel()
        # least hidden beside it, then the smallest area, from wijk up
        worst = int(above[np.lexsort((above, size, np.minimum(others, self.residents[a])))[0]])
        if worst in done:
            return
        done.add(worst)
        inside = (self.member[[worst]].toarray().ravel() > 0) & ~hidden
        if not self.high[worst]:  # a partner elsewhere would take the figure of its gemeente with it
            shared = self.high & self._holding(a)
            inside &= np.asarray(self.member[shared].sum(axis=0)).ravel() == shared.sum()
        free = np.flatnonzero(inside)
        n = self.residents[free]
        # of those that can make the interval wide enough the smallest; without any the largest
        order = np.lexsort((free, np.where(n * TOP >= self.residents[a] * protection, n, TOP * n.sum() - n)))
        if len(free):
            b = int(free[order[0]])
            hidden[b] = True
            closed |= self._holding(b) & ~self._holding(a) & ~self.fixed  # what holds b alone would give it away
        elif self.fixed[worst]:
            raise DataError(
                "areas cannot be protected",
                shown([self.codes[a]]),
                f"an interval of {protection:g} points for what is hidden",
                "lower `protection`, or publish fewer levels",
            )
        else:
            closed[worst] = True

    def _holding(self, a: int) -> NDArray[np.bool_]:
        return np.asarray(self.member[:, [a]].toarray().ravel() > 0)


def reduced(member: sp.csr_array) -> sp.csr_array:
    """Return equations that say the same, as sets (rows) of unknowns, less those that lie within them.

    A gemeente less its wijken, the whole less its gemeenten: nearly all of them vanish, and what is left falls apart
    into small systems.
    """
    member = sp.csr_array(member)
    sets = [frozenset(member.indices[i:j].tolist()) for i, j in pairwise(member.indptr) if j > i]
    kept: list[frozenset[int]] = []
    of: dict[int, list[int]] = {}  # the kept sets of each unknown, from small to large
    for one in sorted(set(sets), key=lambda s: (len(s), sorted(s))):
        left = one
        for cell in sorted(one):
            for q in reversed(of.get(cell, [])):
                if cell in left and kept[q] <= left:
                    left = left - kept[q]
        if left:
            for cell in left:
                of.setdefault(cell, []).append(len(kept))
            kept.append(left)
    counts = [len(s) for s in kept]
    columns = [cell for s in kept for cell in sorted(s)]
    shape = (len(kept), member.shape[1])
    return sp.csr_array((np.ones(len(columns)), columns, np.cumsum([0, *counts])), shape=shape)


def attack(equations: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Return the least and the largest value of each unknown, shape (n,).

    Parameters
    ----------
    equations : ndarray, shape (rows, n)
        Not negative.
    total : ndarray, shape (rows,)
        equations @ x = total, with x between 0 and 10.
    """
    from scipy.optimize import linprog

    n = equations.shape[1]
    if len(equations) == 1:  # the others at their ends
        weight = equations[0]
        rest = TOP * (weight.sum() - weight)
        return np.clip((total - rest) / weight, 0, TOP), np.clip(total / weight, 0, TOP)
    scale = equations.sum(axis=1)
    a, b = equations / scale[:, None], total / scale
    out = np.empty((2, n))
    for i in range(n):
        for k, sign in enumerate((1.0, -1.0)):
            found = linprog(
                sign * np.eye(n)[i],
                A_ub=np.vstack([a, -a]),
                b_ub=np.concatenate([b, -b]) + EXACT,
                bounds=(0.0, TOP),
                method="highs",
            )
            if found.status != 0:
                raise ArithmeticError(f"what can be computed back was not found: {found.message}")
            out[k, i] = sign * found.fun
    return out[0], out[1]


def protect(table: pd.DataFrame, areas: Areas, protection: float) -> pd.DataFrame:
    """Return a table of estimates in which rows that would give away hidden ones are hidden too, with the reason.

    Parameters
    ----------
    table : DataFrame
        Of the contract, with labels by rule. An area has one label `niet_publiceren` for all measures, or none.
    areas : Areas
    protection : float
        As of `suppress`; 0 leaves the table as it is.
    """
    ruled = table.loc[table["label"] == HIDDEN, ["level", "area_code"]].drop_duplicates()
    if ruled.empty or protection == 0:
        return table
    scores = {
        level: rows.pivot(index="area_code", columns="measure", values="estimate")
        for level, rows in table.groupby("level", sort=False)
    }
    found = suppress(areas, scores, set(ruled.itertuples(index=False, name=None)), protection)
    more = pd.MultiIndex.from_frame(table[["level", "area_code"]]).isin(list(found.secondary))
    return table.assign(label=table["label"].mask(more, HIDDEN), reason=table["reason"].mask(more, PROTECTING))


def too_few(fit: Fit, rules: Rules) -> pd.MultiIndex:
    """Return (level, area_code) whose direct estimates are not published: few respondents, or nearly all alike.

    All measures of an area together: one is a mean of others.
    """
    found: list[tuple[str, str]] = []
    for level in fit.areas.levels:
        totals = fit.direct.totals(level)
        n = totals[totals["direct"].notna()].groupby("area_code")["n_respondents"].min()
        found += [(level, str(code)) for code in n.index[n < rules.min_direct]]
        labels = fit.areas.at(level)
        for scores in fit.direct.scores:
            area = fit.direct.domain(level, scores.level, scores.frame["area"])
            share = unanimous(scores.frame, fit.direct.subdimensions, area, len(labels))
            found += [(level, str(code)) for code in labels[(share > rules.max_share).any(axis=1)]]
    return pd.MultiIndex.from_tuples(found, names=["level", "area_code"]).unique()


def unanimous(frame: pd.DataFrame, subdimensions: tuple[str, ...], area: Ints, n: int) -> Floats:
    """Return the largest share of respondents with one and the same score, shape (n, D); 0 without respondents.

    Parameters
    ----------
    frame : DataFrame
        A row per respondent, a column per sub-dimension.
    subdimensions : tuple of str
    area : ndarray of int
        Position of each respondent's area; -1 to leave out.
    n : int
        Number of areas.
    """
    out = np.zeros((n, len(subdimensions)))
    for d, name in enumerate(subdimensions):
        seen = frame[name].notna().to_numpy() & (area >= 0)
        counts = pd.DataFrame({"area": area[seen], "score": frame[name].to_numpy()[seen].round(9)}).value_counts()
        most, all_of = counts.groupby("area").max(), counts.groupby("area").sum()
        out[most.index, d] = most / all_of
    return out
