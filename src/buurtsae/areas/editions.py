r"""Areas of another edition as a level of these areas: what is observed there is a weighted mean of them.

An old area with the ground of one of these is that area, under its code. Another has a label of its own, its code with
the year, and is sum_j T_ij theta_j over the inhabited areas j that it lies in. It lies in an area of a level above if
`same` of it does, and `same` of what that area holds is of old areas that lie in it: of others nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.division_shares import scaled
from buurtsae.areas.divisions import Crosswalk
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.areas.areas import Areas

MOST = 0.5  # of an old area, at most, may lie where there are no inhabited areas: beyond it, it says nothing of these


@dataclass(frozen=True, repr=False)
class Edition:
    """Areas of another edition on those of a run.

    Attributes
    ----------
    walk : Crosswalk
    labels : Index
        Of the old areas that can be observed, sorted.
    old : Index
        Their codes.
    shares : sparse, shape (n, N)
        T, of areas with the same ground one 1.
    size : ndarray, shape (n, N)
        C, sparse: what each shares with each area.
    residents : ndarray, shape (n,)
        Residents of the areas, by their origins.
    error : ndarray, shape (n,)
        (1 - sum_j T_ij^2) / (concentration + 1): the variance of sum_j T_ij theta_j that is due to the error of the
        shares, of theta of variance 1.
    notes : tuple of Note
    """

    walk: Crosswalk
    labels: pd.Index
    old: pd.Index
    shares: sp.csr_array
    size: sp.csr_array
    residents: Floats
    error: Floats
    notes: tuple[Note, ...] = field(default=())

    @property
    def level(self) -> str:
        """The name of the level: `buurt_2020`."""
        return level_of(self.walk)

    def label(self, code: pd.Series) -> pd.Series:
        """Return the labels of old codes; missing of those that cannot be observed."""
        return code.map(pd.Series(self.labels, index=self.old, dtype=object))

    def parents(self, group: pd.Series) -> pd.Series:
        """Return the group that each old area lies in, by label, of the group of each area; None of none."""
        codes, names = pd.factorize(group, sort=True)
        known = np.flatnonzero(codes >= 0)
        member = sp.csr_array((np.ones(len(known)), (known, codes[known])), shape=(len(codes), len(names)))
        inside, least = (self.shares @ member).tocoo(), self.walk.same - 1e-9
        at = np.full(len(self.labels), -1)
        whole = inside.data >= least
        at[inside.row[whole]] = inside.col[whole]
        size = (self.size @ member).tocoo()
        total = np.bincount(size.col, size.data, len(names))
        own = np.bincount(size.col, size.data * (at[size.row] == size.col), len(names))
        told = own >= least * total
        kept = (at >= 0) & told[at]
        parent = np.array([*names, None], dtype=object)[np.where(kept, at, len(names))]
        return pd.Series(parent, index=self.labels, dtype=object)


def level_of(walk: Crosswalk) -> str:
    """Return the name of the level of the old areas."""
    return f"{walk.level}_{walk.years[0]}"


def edition(areas: Areas, walk: Crosswalk) -> Edition:
    """Return the old areas of a crosswalk on areas of its new edition.

    Raises
    ------
    DataError or ProblemsError
        A crosswalk to another year, a level that there is already, areas that it does not know.
    """
    problems, level = Problems(), level_of(walk)
    if areas.year and walk.years[1] != areas.year:
        hint = "take the crosswalk to that year, or reverse it"
        problems.add("a crosswalk leads to another edition", str(walk.years[1]), f"areas of {areas.year}", hint)
    if level in (*areas.levels, *areas.editions):
        problems.add(
            "the areas have such a level already", cut(repr(level)), "another", "give one crosswalk per edition"
        )
    place = walk.new.get_indexer(areas.codes)
    if (unknown := areas.inhabited & (place < 0)).any():
        got = f"{int(unknown.sum())} of {int(areas.inhabited.sum())} ({shown(areas.codes[unknown])})"
        hint = "is it of these areas? give all codes as `new_codes`"
        problems.add(
            "areas are unknown to the crosswalk", got, f"areas of {walk.years[1]} ({shown(walk.new, 2)})", hint
        )
    problems.raise_if_any()
    here = np.flatnonzero(areas.inhabited)
    column = sp.csr_array((np.ones(len(here)), (place[here], here)), shape=(len(walk.new), len(areas.codes)))
    size, notes = sp.csr_array(walk.pairs @ column), list[Note]()
    part = np.asarray((walk.shares @ column).sum(axis=1)) * (1 - walk.outside)
    kept = np.flatnonzero(part >= MOST)
    if not len(kept):
        hint = "is it of these areas?"
        raise DataError("no old area lies in these areas", f"{len(walk.old)} areas of {walk.years[0]}", "some", hint)
    partly = kept[part[kept] < walk.same - 1e-9]
    notes += [
        Note(
            "{n} areas of {year} lie in part where there are no inhabited areas of the run, and stand for the rest "
            "({codes})",
            "{n} gebieden van {year} liggen deels waar de run geen bewoonde gebieden heeft, en tellen voor de rest "
            "({codes})",
            n=len(partly), year=walk.years[0], codes=list(walk.old[partly]),
        )
    ] * bool(len(partly))  # fmt: skip
    ground = walk.changes().iloc[: len(walk.old)]
    ground = ground.assign(at=areas.codes.get_indexer(ground["new"].fillna("")))
    one = ground["change"].isin(["same", "renamed", "recoded"]).to_numpy()
    one = one & (ground["at"] >= 0).to_numpy() & areas.inhabited[ground["at"]]
    own = np.flatnonzero(one[kept])
    shares, at = scaled(size[kept], 0), ground["at"].to_numpy()[kept]
    rest = sp.diags_array((~one[kept]).astype(float))
    unit = sp.csr_array((np.ones(len(own)), (own, at[own])), shape=shares.shape)
    shares = sp.csr_array(rest @ shares + unit)
    shares.eliminate_zeros()
    old = walk.old[kept]
    labels = np.where(one[kept], areas.codes.to_numpy()[at], old.to_numpy() + f" ({walk.years[0]})")
    concentration = np.full(len(kept), np.inf) if walk.concentration is None else walk.concentration[kept]
    error = (1 - np.asarray((shares**2).sum(axis=1))) / (concentration + 1)
    residents = sp.csr_array(walk.origins @ column)[kept] @ areas.population
    order = np.argsort(labels.astype(str))
    return Edition(walk, pd.Index(labels[order], dtype=object), old[order], sp.csr_array(shares[order]),
                   sp.csr_array(size[kept][order]), residents[order], error[order], tuple(notes))  # fmt: skip
