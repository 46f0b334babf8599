r"""Iterative proportional fitting of many areas at once, and controlled rounding.

Cells i with a seed s_i >= 0 and margins m, each with the group g_m(i) of every cell and the totals T_m of its groups:

    c := s;   for each m in turn   c_i := c_i T_m[g_m(i)] / sum_{j in g_m(i)} c_j      until every margin is met.

The limit has the margins, the zeros and the odds ratios of the seed (conditional ones, where margins do not fix them):
it is the table nearest to the seed in Kullback-Leibler divergence. Groups of one area hold cells of that area, so areas
are fitted apart; those that are done are left out of further rounds.

References
----------
Deming, W. E. and Stephan, F. F. (1940). Annals of Mathematical Statistics 11. Csiszar, I. (1975). Annals of
Probability 3. Cox, L. H. (1987). A constructive procedure for unbiased controlled rounding. JASA 82.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from buurtsae.errors import DataError, Problems, shown
from buurtsae.sparse import Floats, Ints

TOLERANCE, ROUNDS = 1e-8, 500  # relative misfit of a margin; rounds over all margins
TRIES = 50  # of rounding an area with structural zeros
DECIMALS = 9  # sums of counts that differ less are equal


@dataclass(frozen=True)
class Margin:
    """What sums of cells have to be.

    Attributes
    ----------
    name : str
        For messages.
    group : ndarray, shape (M,)
        Group of each cell.
    total : ndarray, shape (groups,)
        Sum of each group, 0 or more; that of the groups of an area is the same for all margins.
    area : ndarray, shape (groups,)
        Area of each group.
    """

    name: str
    group: Ints
    total: Floats
    area: Ints

    def sums(self, count: Floats) -> Floats:
        """Return the sum of each group, shape (groups,)."""
        return np.bincount(self.group, weights=count, minlength=len(self.total)).astype(float)

    def misfit(self, count: Floats) -> Floats:
        """Return how far each sum is from its total, relative to that, shape (groups,)."""
        return abs(self.sums(count) - self.total) / np.where(self.total > 0, self.total, 1.0)


def fitted(
    seed: Floats,
    margins: Sequence[Margin],
    names: Sequence[str],
    tolerance: float = TOLERANCE,
    most: int = ROUNDS,
    strict: bool = True,
) -> Floats:
    """Return the cells nearest to the seed that meet all margins.

    Parameters
    ----------
    seed : ndarray, shape (M,)
        0 where nobody can be.
    margins : sequence of Margin
    names : sequence of str
        Of the areas, for messages.
    tolerance, most : float, int
        Relative misfit of each margin at the end, and the number of rounds in which it is reached.
    strict : bool
        Whether areas that do not get there are an error; otherwise they stay as they are after `most` rounds.

    Returns
    -------
    ndarray, shape (M,)

    Raises
    ------
    DataError or ProblemsError
        Margins of areas that no table with the seed's zeros can have.
    """
    problems, count = Problems(), seed.astype(float)
    for margin in margins:
        if len(lost := np.flatnonzero((margin.total > 0) & (margin.sums(count) == 0))):
            what = f"margin {margin.name} has residents where the seed allows none"
            where = shown(names[k] for k in dict.fromkeys(margin.area[lost]))
            hint = "correct the margin, or give the seed a small number there"
            problems.add(what, f"{margin.total[lost].sum():g} in {where}", "0 where the seed has 0", hint)
    problems.raise_if_any()
    cells, live = np.arange(len(count)), list(margins)
    for _ in range(most):
        part = count[cells]
        for margin in live:
            now = margin.sums(part)
            part = part * np.divide(margin.total, now, out=np.zeros_like(now), where=now > 0)[margin.group]
        count[cells] = part
        left = np.unique(np.concatenate([m.area[m.misfit(part) > tolerance] for m in live] or [np.empty(0, int)]))
        if not len(left):
            return count
        cells, live = _of_areas(cells, live, left)
    if not strict:
        return count
    what = f"{len(left)} areas have margins that cannot be met together"
    worst = max(live, key=lambda margin: float(margin.misfit(count[cells]).max()))
    got = (
        f"{shown(names[k] for k in left)}; margin {worst.name} is off by {100 * worst.misfit(count[cells]).max():.2g}%"
    )
    hint = "the seed's zeros contradict these margins: give it small numbers there, or correct the margins"
    raise DataError(what, got, f"all met after {most} rounds", hint)


def _of_areas(cells: Ints, margins: Sequence[Margin], areas: Ints) -> tuple[Ints, list[Margin]]:
    """The cells and margins of some areas, groups numbered anew."""
    kept = np.isin(margins[0].area[margins[0].group], areas)
    out = []
    for margin in margins:
        groups = np.flatnonzero(np.isin(margin.area, areas))
        place = np.full(len(margin.total), -1)
        place[groups] = np.arange(len(groups))
        out.append(Margin(margin.name, place[margin.group[kept]], margin.total[groups], margin.area[groups]))
    return cells[kept], out


def whole(
    count: Floats, area: Ints, level: Ints, sizes: Sequence[int], n_areas: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Round cells at random to whole numbers that keep every area's total and one-way margins to within 1.

    First the margins: of each characteristic the running sums of an area, with one random start, are cut to whole
    numbers, which all give the same total. Cells are cut down; who is missing then gets, one by one, a cell with
    probability in proportion to what was cut off, among those whose levels all have somebody missing, or else among
    the others with residents. Without structural zeros that never ends before all have a place; with them it is tried
    anew.

    Parameters
    ----------
    count : ndarray, shape (M,)
    area, level : ndarray, shapes (M,) and (M, C)
        Each cell once.
    sizes : sequence of int
        Number of levels per characteristic.
    n_areas : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (M,)
    ndarray
        Areas of which the zeros allow no such rounding that was found; margins differ more there.
    """
    place = np.ravel_multi_index(tuple(level.T), tuple(sizes)) if level.shape[1] else np.zeros(len(area), int)
    table = np.zeros((n_areas, int(np.prod(sizes))))
    table[area, place] = count
    result, todo = np.zeros(table.shape, dtype=np.int64), np.arange(n_areas)
    levels = np.unravel_index(np.arange(table.shape[1]), tuple(sizes)) if len(sizes) else ()
    for _ in range(TRIES):
        result[todo], failed = _rounded(table[todo], levels, sizes, rng)
        todo = todo[failed]
        if not len(todo):
            break
    return result[area, place], todo


def _rounded(
    table: Floats, levels: tuple[Ints, ...], sizes: Sequence[int], rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """One attempt for the areas of a table (areas, cells), and which areas have somebody left without a cell."""
    n, start = len(table), rng.uniform(size=(len(table), 1))
    down = np.floor(table + 10.0**-DECIMALS).astype(np.int64)
    rest, missing = np.maximum(table - down, 0.0), []
    for at, size in zip(levels, sizes, strict=True):
        member = (at[:, None] == np.arange(size)).astype(float)
        running = np.round(np.cumsum(table @ member, axis=1), DECIMALS)
        margin = np.diff(np.floor(running + start), axis=1, prepend=0.0).astype(np.int64)
        missing.append(np.maximum(margin - down @ member.astype(np.int64), 0))
    left = (np.floor(np.round(table.sum(axis=1), DECIMALS) + start[:, 0]).astype(np.int64) - down.sum(axis=1)).clip(0)
    dead = np.zeros(n, dtype=bool)
    for _ in range(int(left.max(initial=0))):
        row = np.flatnonzero(left > 0)
        open_ = np.ones((len(row), table.shape[1]), dtype=bool)
        for at, gap in zip(levels, missing, strict=True):
            open_ &= gap[row][:, at] > 0
        first, second = rest[row] * open_, table[row] * open_
        weight = np.where(first.sum(axis=1, keepdims=True) > 0, first, second)
        stuck = weight.sum(axis=1) == 0
        weight[stuck] = table[row][stuck]
        dead[row[stuck]] = True
        running = np.cumsum(weight, axis=1)
        chosen = (running <= rng.uniform(size=(len(row), 1)) * running[:, -1:]).sum(axis=1).clip(max=table.shape[1] - 1)
        down[row, chosen] += 1
        rest[row, chosen] = 0.0
        left[row] -= 1
        for at, gap in zip(levels, missing, strict=True):
            gap[row, at[chosen]] -= 1
    return down, np.flatnonzero(dead)


def consistent(
    values: Floats, total: Floats, parent: Ints, shares: Floats | None = None
) -> tuple[Floats, Mapping[str, int]]:
    """Return margins that are 0 or more and add to the totals.

    What is missing or negative shares what the known cells leave of the total, by the shares of the parent: pooled over
    its areas of which all is known, else over those of all, else the given ones. Then all is scaled to the total.

    Parameters
    ----------
    values : ndarray, shape (areas, levels)
        Residents per level; NaN where unknown.
    total, parent : ndarray, shape (areas,)
    shares : ndarray, shape (levels,), optional

    Returns
    -------
    ndarray, shape (areas, levels)
    mapping of str to int
        How many areas had cells `filled`, and how many were `scaled` by more than 1%.

    Raises
    ------
    DataError
        If no area says how the levels divide, nor `shares`.
    """
    known = np.where(np.isfinite(values) & (values >= 0), values, 0.0)
    unknown = ~(np.isfinite(values) & (values >= 0)) & (total > 0)[:, None]
    alone = unknown.sum(axis=1) == 1  # one unknown level is what the others leave
    remaining = np.maximum(total - known.sum(axis=1), 0.0)
    known = known + np.where(alone[:, None] & unknown, remaining[:, None], 0.0)
    complete = (unknown.sum(axis=1) <= 1) & (known.sum(axis=1) > 0)
    pooled = np.zeros((int(parent.max(initial=0)) + 1, values.shape[1]))
    np.add.at(pooled, parent[complete], known[complete])
    everywhere = pooled.sum(axis=0) if complete.any() else shares
    lacking = (total > 0) & ~complete
    if everywhere is None:
        if lacking.any():
            what, hint = "no area says how the levels of a margin divide", "complete the table, or give shares"
            raise DataError(what, f"{int(lacking.sum())} areas with missing levels", "one without", hint)
        everywhere = np.ones(values.shape[1])
    pooled = np.where(pooled.sum(axis=1, keepdims=True) > 0, pooled, everywhere)
    share = np.where(unknown, pooled[parent], 0.0)
    share = np.where((share.sum(axis=1) == 0)[:, None], np.where(unknown, everywhere, 0.0), share)
    weight = np.divide(
        share, share.sum(axis=1, keepdims=True), out=np.zeros_like(share), where=share.sum(axis=1, keepdims=True) > 0
    )
    filled = np.where(alone[:, None], known, known + weight * remaining[:, None])
    nothing = (filled.sum(axis=1) == 0) & (total > 0)
    filled[nothing] = pooled[parent[nothing]]
    factor = np.divide(total, filled.sum(axis=1), out=np.zeros(len(total)), where=filled.sum(axis=1) > 0)
    several = unknown.sum(axis=1) > 1
    told = {
        "filled": int((several | nothing).sum()),
        "scaled": int(((abs(factor - 1) > 0.01) & ~nothing & (total > 0)).sum()),
    }
    return filled * factor[:, None], told
