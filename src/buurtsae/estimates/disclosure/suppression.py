r"""Disclosure control: what is hidden cannot be computed back from what is published.

What an attacker knows, and how wide the interval is that is left of a hidden figure, is the matter of `attack`. Where
that is narrower than `protection`, at any level, more is hidden, until it is not: the smallest buurt beside it, inside
the published area that gives away most about it, that makes the interval wide enough, with the areas that hold that
one only; or the published area itself, where it holds nothing else. What is hidden to protect others is protected in
the same way, but no gemeente, or area above, is hidden for its sake: it is no secret by itself.

All measures of an area are hidden together, so that the weights of the concept give nothing away: a sub-dimension has
equations of its own only, and a mean of them is known no better than they are.

References
----------
Hundepool, A. et al. (2012). Statistical Disclosure Control, ch. 4. Fischetti, M. and Salazar, J. (2000). Models and
algorithms for optimizing cell suppression in tabular data with linear constraints. JASA 95.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS, CodeSystem
from buurtsae.errors import DataError, shown
from buurtsae.estimates.disclosure.attack import ends, follows, reduced
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import arrays
from buurtsae.survey.variance import group_sum

BESIDE = 4.0  # times the weight of a secret: what must be hidden with it where standard errors are published
Key = tuple[str, str]  # level, area_code
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Hidden:
    """What is not published.

    Attributes
    ----------
    ruled : frozenset of (level, area_code)
        By the rules.
    protecting : frozenset of (level, area_code)
        To protect these.
    audit : DataFrame
        Per hidden area `level`, `area_code`, `ruled`, and the narrowest interval over measures that can be computed for
        it, in points on average over draws: `measure`, `width`.
    """

    ruled: frozenset[Key]
    protecting: frozenset[Key]
    audit: pd.DataFrame

    def __repr__(self) -> str:
        return f"Hidden: {len(self.ruled)} areas by the rules, {len(self.protecting)} to protect these"

    @property
    def keys(self) -> frozenset[Key]:
        """All that is hidden."""
        return self.ruled | self.protecting


@dataclass(frozen=True)
class Cells:
    """The smallest areas that figures are of, and those above, whose figures are weighted means of theirs.

    Attributes
    ----------
    level : str
    codes : ndarray of str, shape (n,)
    weights : ndarray, shape (n, D)
        Residents, or summed weights of respondents; 0 where there is no figure.
    draws : ndarray, shape (R, N, D)
        Joint draws of scores, or one figure, of all areas of the level: what is published are their weighted means.
    place : ndarray of int, shape (n,)
        Where the cells are among these.
    measures : tuple of str
        D of them.
    above : tuple of (level, area_code)
    member : sparse, shape (g, n)
        1 where an area above holds a cell.
    whole : bool
        Whether the area above all others is always published; otherwise it may be hidden like any other.
    public : frozenset of (level, area_code)
        Areas whose figures are known whatever is hidden, as of benchmarks that are met exactly.
    system : CodeSystem
        Of the areas, with their levels.
    scales : tuple of Scale
        Of each measure: between whose ends hidden figures are known to lie. Widths are in tenths of these.
    """

    level: str
    codes: NDArray[np.str_]
    weights: Floats
    draws: Floats
    place: Ints
    measures: tuple[str, ...]
    above: tuple[Key, ...]
    member: sp.csr_array
    whole: bool = True
    public: frozenset[Key] = frozenset()
    system: CodeSystem = CBS
    scales: tuple[Scale, ...] = ()
    _known: dict[object, float] = field(default_factory=dict, repr=False, compare=False)  # blocks attacked before

    @classmethod
    def of_areas(
        cls,
        areas: Areas,
        draws: Floats,
        measures: tuple[str, ...],
        public: Iterable[Key] = (),
        scales: tuple[Scale, ...] = (),
    ) -> Cells:
        """Return the inhabited buurten, weighted by residents, of draws (R, N, D) of all buurten."""
        live, above, rows = areas.inhabited, list[Key](), []
        for level in areas.levels[1:]:
            labels, weights = areas.aggregation(level)
            whole = areas.complete(level, labels)  # others are not published
            above += [(level, label) for label, kept in zip(labels, whole, strict=True) if kept]
            rows.append(weights[whole][:, live] > 0)
        member = sp.csr_array(sp.vstack(rows).astype(float))
        residents = np.repeat(areas.population[live, None].astype(float), len(measures), axis=1)
        codes, place = areas.codes[live].to_numpy(dtype=str), np.flatnonzero(live)
        parts = areas.base, codes, residents, draws, place, measures, tuple(above), member
        return cls(*parts, public=frozenset(public), system=areas.system, scales=scales)

    @classmethod
    def of_direct(cls, direct: DirectEstimates, s: int, scales: Mapping[str, Scale] | None = None) -> Cells:
        """Return the direct estimates that rest on the respondents of source s, a reference, weighted as they are."""
        scores, areas = direct.scores[s], direct.areas
        names = [name for name, source in zip(direct.subdimensions, direct.reference, strict=True) if source == s]
        y, w = arrays(scores, names)
        labels = areas.inhabited_at(scores.level)
        area = labels.get_indexer(scores.frame["area_code"])
        answered = np.isfinite(y) * w[:, None]
        weights = group_sum(answered, area, len(labels))
        total = group_sum(np.nan_to_num(y) * answered, area, len(labels))
        mean = np.divide(total, weights, out=np.zeros_like(total), where=weights > 0)
        above, rows = list[Key](), [sp.csr_array((0, len(labels)))]
        for level in areas.levels:
            codes, group = areas.at(level), direct.domain(level, scores.level, labels)
            if level != scores.level and (group >= 0).any():
                some = np.flatnonzero(group >= 0)
                shape = (len(codes), len(labels))
                whole = areas.complete(level, codes)
                rows.append(sp.csr_array((np.ones(len(some)), (group[some], some)), shape=shape)[whole])
                above += [(level, str(code)) for code in codes[whole]]
        member, places = sp.csr_array(sp.vstack(rows)), np.arange(len(labels))
        parts = labels.to_numpy(dtype=str), weights, mean[None], places, tuple(names), tuple(above), member
        known = tuple((scales or {}).get(name, SCORE) for name in names)
        return cls(scores.level, *parts, whole=False, system=areas.system, scales=known)

    @cached_property
    def high(self) -> Mask:
        """Areas from gemeente (the level of comparison) up, shape (g,): hidden only where nothing else is left."""
        return np.array([level in self.system.upper for level, _ in self.above], dtype=bool)

    @cached_property
    def fixed(self) -> Mask:
        """Areas that are never hidden, shape (g,)."""
        top = self.system.whole if self.whole else None
        return np.array([key[0] == top or key in self.public for key in self.above], dtype=bool)

    @cached_property
    def _held(self) -> dict[Key, Ints]:
        one = {(self.level, str(code)): np.array([a]) for a, code in enumerate(self.codes)}
        return one | {key: self.in_area(g).nonzero()[0] for g, key in enumerate(self.above)}

    def holds(self, key: Key) -> Ints:
        """Return the cells that an area holds; none where it is unknown."""
        return self._held.get(key, np.zeros(0, dtype=np.int64))

    def in_area(self, g: int) -> Mask:
        """Return which cells an area above holds, shape (n,)."""
        return np.asarray(self.member[[g]].toarray().ravel() > 0)

    def holding(self, a: int) -> Mask:
        """Return which areas above hold a cell, shape (g,)."""
        return np.asarray(self.member[:, [a]].toarray().ravel() > 0)

    def width(self, part: Ints, block: Ints, sums: Mask, d: int) -> float:
        """Return how wide the interval is of the weighted sum over some cells of a block, on average over draws."""
        key = (d, part.tobytes(), block.tobytes(), sums.tobytes())
        if key not in self._known:
            weight = self.weights[block, d]
            some = weight > 0
            equations = (sums * weight)[:, some]
            target = np.where(np.isin(block, part), weight, 0.0)[some]
            self._known[key] = self._width(equations[equations.any(axis=1)], target, block[some], d)
        return self._known[key]

    def _width(self, equations: Floats, target: Floats, cells: Ints, d: int) -> float:
        """How wide it is for whoever takes hidden scores, and their posterior means, to lie between the ends.

        Draws beyond an end count as that end, so that the unknowns meet their own equations. Means are published of
        draws as they are: near an end they tell more than the draws, and are attacked beside them.
        """
        scale = self.scales[d] if self.scales else SCORE
        low, high = scale.lower, scale.upper
        if np.isinf(low) and np.isinf(high):
            return 0.0 if follows(equations, target) else np.inf
        drawn = self.draws[:, self.place[cells], d]
        drawn = scale.shown(np.vstack([drawn, drawn.mean(axis=0)]))
        least, most = ends(equations, target, high - drawn if np.isinf(low) else drawn - low, scale.width)
        apart = (most - least) / scale.point
        return float(min(apart[:-1].mean(), apart[-1]))


def suppress(cells: Cells, ruled: Iterable[Key], protection: float, hidden: Iterable[Key] = ()) -> Hidden:
    """Return what has to be hidden so that areas that are hidden by rule, `ruled`, stay hidden.

    Of a ruled area above the cells all cells must be hidden too, or its figure can be computed. Protection is the least
    width, in tenths of the scale, of what can be computed of these; 0 hides no more. `hidden` are hidden otherwise.

    Raises
    ------
    DataError
        If an area cannot be protected although everything below the whole is hidden.
    """
    ruled = frozenset(ruled)
    start = ruled | frozenset(hidden)
    unknown = start - cells.public
    gone = pd.Index(cells.codes).isin([code for level, code in unknown if level == cells.level])
    shut = np.array([key in unknown for key in cells.above], dtype=bool)
    left: set[Key] = set()  # hidden to protect others, and not to be protected without hiding a gemeente
    while protection > 0:
        targets = {key: held for key, held in _secrets(cells, gone, shut).items() if key not in left}
        width = widths(cells, gone, shut, list(targets.values())).min(axis=1)
        exposed = [key for key, narrowest in zip(targets, width, strict=True) if narrowest < protection]
        if not exposed:
            break
        done: set[int] = set()  # one step per area at a time: it may protect several
        for key in exposed:
            if not _widen(cells, targets[key], gone, shut, protection, done, secret=key in ruled):
                left.add(key)
    targets = _secrets(cells, gone, shut)
    width = widths(cells, gone, shut, list(targets.values()))
    points = np.array([scale.point for scale in cells.scales or [SCORE] * len(cells.measures)])
    audit = pd.DataFrame(list(targets), columns=["level", "area_code"]).assign(
        ruled=[key in ruled for key in targets],
        measure=np.array(cells.measures, dtype=object)[width.argmin(axis=1)],
        width=np.min(width, axis=1) * points[width.argmin(axis=1)],
    )
    return Hidden(ruled, (start | _hidden(cells, gone, shut)) - ruled, audit)


def thin(cells: Cells, hidden: Iterable[Key], secret: Iterable[Key]) -> frozenset[Key]:
    """Return the areas above in which secret cells weigh much among the hidden ones.

    The standard error of such an area, and a sum of squares over its respondents, would tell how far the answers in a
    secret cell can lie from those beside it: by no more than s sqrt(W / w), with s the standard deviation of answers, w
    the weight of the cell and W that of all hidden ones. From W = 4 w on that leaves two of these on each side.
    """
    size, codes = cells.weights.mean(axis=1), [(cells.level, str(code)) for code in cells.codes]
    gone, secrets = (size * np.array([code in keys for code in codes]) for keys in (set(hidden), set(secret)))
    most = np.asarray((cells.member @ sp.diags_array(secrets)).max(axis=1).toarray()).ravel()
    weak = cells.member @ gone < BESIDE * most
    return frozenset(key for key, low in zip(cells.above, weak, strict=True) if low)


def _hidden(cells: Cells, gone: Mask, shut: Mask) -> set[Key]:
    below = {(cells.level, str(code)) for code in cells.codes[gone]}
    return below | {key for key, closed in zip(cells.above, shut, strict=True) if closed}


def _secrets(cells: Cells, gone: Mask, shut: Mask) -> dict[Key, Ints]:
    """Hidden areas with their cells; not those whose cells are open: their figures are means of published ones."""
    areas = {key: cells.holds(key) for key in sorted(_hidden(cells, gone, shut))}
    return {key: held for key, held in areas.items() if gone[held].all() and cells.weights[held].any()}


def widths(cells: Cells, gone: Mask, shut: Mask, targets: Sequence[Ints]) -> Floats:
    """Return how wide the interval is that can be computed of hidden areas, shape (T, D); inf where there is no figure.

    `gone` are the hidden cells, `shut` the hidden areas above, `targets` the cells of each area that is attacked.
    """
    block, equations = _blocks(cells, gone, shut)
    width = np.full((len(targets), len(cells.measures)), np.inf)
    for row, held in enumerate(targets):
        total = cells.weights[held].sum(axis=0)
        apart = np.zeros_like(total)
        for dim in np.flatnonzero(total > 0):
            for number in np.unique(block[held]):
                tied, sums = equations[int(number)]
                apart[dim] += cells.width(held[block[held] == number], tied, sums, int(dim)) / total[dim]
        width[row, total > 0] = apart[total > 0]
    return width


def _blocks(cells: Cells, gone: Mask, shut: Mask) -> tuple[Ints, list[tuple[Ints, NDArray[np.bool_]]]]:
    """The block of each hidden cell, -1 of others, and per block its cells and the published sums, as sets of these."""
    at = np.flatnonzero(gone)
    rows = reduced(cells.member[~shut][:, at])
    number, label = connected_components(rows.T @ rows, directed=False)
    of_row = label[rows.indices[rows.indptr[:-1]]]
    block = np.full(len(gone), -1)
    block[at] = label
    parts = [np.flatnonzero(label == k) for k in range(number)]
    return block, [(at[p], rows[np.flatnonzero(of_row == k)][:, p].toarray() > 0) for k, p in enumerate(parts)]


def _widen(cells: Cells, held: Ints, gone: Mask, shut: Mask, protection: float, done: set[int], secret: bool) -> bool:
    """Hide one more cell, or area, to protect an area of these cells: in the area that gives away most about it.

    Return False where only an area from gemeente up could be hidden, and these cells are no secret by themselves.
    """
    size, members = cells.weights.mean(axis=1), np.zeros(len(gone), dtype=bool)
    members[held] = True
    touching = np.asarray(cells.member @ members.astype(float)) > 0
    above = np.flatnonzero(touching & ~shut)
    total, inside, beside = (cells.member[above] @ (size * part) for part in (1.0, members, gone & ~members))
    # least hidden beside it, then the smallest area, from wijk up
    worst = int(above[np.lexsort((above, total, np.minimum(beside / inside, 1.0)))[0]])
    if worst in done:
        return True
    apart = ~touching & ~cells.fixed & ~shut  # areas that would give a partner away that they hold, and it the secret
    partner = _partner(cells, worst, members, gone, touching & cells.high, apart, protection, secret)
    if partner is not None:
        gone[partner] = True
        shut |= cells.holding(partner) & apart
    elif cells.high[worst] and not secret:
        return False
    elif cells.fixed[worst]:
        expected = f"an interval of {protection:g} tenths of the scale for what is hidden"
        hint = "lower `protection`, or publish fewer levels"
        raise DataError("areas cannot be protected", shown(cells.codes[held]), expected, hint)
    else:
        shut[worst] = True
    done.add(worst)
    return True


def _partner(
    cells: Cells, area: int, members: Mask, gone: Mask, around: Mask, apart: Mask, protection: float, secret: bool
) -> int | None:
    """The smallest cell of an area that makes the interval of its own cells wide enough, without any the largest.

    Open ones first; hidden ones that other areas give away are freed by hiding these.
    """
    within, size = cells.in_area(area), cells.weights.mean(axis=1)
    given_away = np.asarray(cells.member.T @ apart.astype(float)) > 0
    free = within & ~members & (size > 0) & (~gone | given_away)
    if not cells.high[area]:  # a partner elsewhere would take the figure of its gemeente with it
        free &= np.asarray(cells.member[around].sum(axis=0)).ravel() == around.sum()
    if not secret:
        free &= np.asarray(cells.member.T @ (apart & cells.high).astype(float)) == 0
    choice = np.flatnonzero(free)
    bounded = not cells.scales or any(scale.bounded for scale in cells.scales)
    least = size[members & within].sum() * protection / (10 if bounded else np.inf)
    n = size[choice]
    order = np.lexsort((choice, np.where(n >= least, n, 10 * n.sum() - n), gone[choice]))
    return int(choice[order[0]]) if len(choice) else None
