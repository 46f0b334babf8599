"""The neighbour graph of buurten: contiguity, components, islands and bridges.

Neighbours come from libpysal (queen or rook contiguity). Areas that touch nothing, and groups of areas cut off
by water, are kept apart unless the user bridges named pairs (a ferry, a dike): the policy is chosen and audited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.icar import IcarStructure, icar_structure
from buurtsae.areas.plausible import GRAPH
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.sparse import Ints

if TYPE_CHECKING:
    import geopandas as gpd

Pair = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """An undirected graph on area codes.

    Attributes
    ----------
    codes : tuple of str
        The areas, in sorted order.
    edges : ndarray of int, shape (n_edges, 2)
        Positions in `codes`; each pair once, first < second, sorted.
    bridges : tuple of pairs of codes
        Pairs that were joined by hand, included in `edges`.
    rule : str
        Where the edges come from: `queen`, `rook` or `table`.
    """

    codes: tuple[str, ...]
    edges: Ints
    bridges: tuple[Pair, ...] = ()
    rule: str = field(default="table")

    @classmethod
    def from_pairs(
        cls, codes: Iterable[str], pairs: Iterable[Pair], bridges: Sequence[Pair] = (), rule: str = "table"
    ) -> Graph:
        """Build a graph from pairs of codes, in any order and direction.

        Raises
        ------
        ProblemsError or DataError
            If a pair or bridge names an unknown area, or an area as its own neighbour.
        """
        labels = pd.Index(sorted(codes))
        problems = Problems()
        found = {}
        for name, some in (("a neighbour pair", list(pairs)), ("a bridge", list(bridges))):
            table = pd.DataFrame(some, columns=["a", "b"], dtype=object)
            position = np.column_stack([labels.get_indexer(table["a"]), labels.get_indexer(table["b"])])
            unknown = sorted({str(c) for c in table.to_numpy()[position < 0]})
            if unknown:
                problems.add(f"{name} names unknown areas", shown(unknown), "codes of the areas file", "check the year")
            loops = table["a"][(position[:, 0] == position[:, 1]) & (position[:, 0] >= 0)]
            if len(loops):
                problems.add(f"{name} joins an area to itself", shown(loops), "two different areas", "remove it")
            found[name] = position
        problems.raise_if_any()
        edges = np.sort(np.vstack(list(found.values())), axis=1).astype(np.int64)
        return cls(tuple(labels), np.unique(edges, axis=0), tuple(bridges), rule)

    @classmethod
    def from_geometry(cls, frame: gpd.GeoDataFrame, rule: str = "queen", bridges: Sequence[Pair] = ()) -> Graph:
        """Build the contiguity graph of polygons indexed by code.

        Parameters
        ----------
        frame : GeoDataFrame, indexed by area code
        rule : {"queen", "rook"}
            Sharing a point, or sharing a line, makes neighbours.
        bridges : sequence of pairs of codes
            Extra pairs, for areas that water keeps apart.
        """
        from libpysal.graph import Graph as Contiguity

        if rule not in ("queen", "rook"):
            raise DataError("the neighbour rule is unknown", repr(rule), "queen or rook", "correct [graph] rule")
        adjacency = Contiguity.build_contiguity(frame.geometry, rook=rule == "rook").adjacency
        focal, neighbour = (adjacency.index.get_level_values(k) for k in ("focal", "neighbor"))
        return cls.from_pairs(
            frame.index, [p for p in zip(focal, neighbour, strict=True) if p[0] < p[1]], bridges, rule
        )

    @cached_property
    def icar(self) -> IcarStructure:
        """The scaled intrinsic CAR structure, in the order of `codes`."""
        return icar_structure(len(self.codes), self.edges)

    @cached_property
    def adjacency(self) -> sp.csr_array:
        """A, 1 for neighbours, in the order of `codes`, shape (N, N)."""
        i, j = self.edges.T
        ones, n = np.ones(2 * len(self.edges)), len(self.codes)
        return sp.csr_array((ones, (np.r_[i, j], np.r_[j, i])), shape=(n, n))

    @property
    def laplacian(self) -> sp.csr_array:
        """D - A, with D the numbers of neighbours."""
        return sp.csr_array(sp.diags_array(np.asarray(self.adjacency.sum(axis=1))) - self.adjacency)

    @cached_property
    def degree(self) -> pd.Series:
        """Number of neighbours per area."""
        return pd.Series(np.bincount(self.edges.ravel(), minlength=len(self.codes)), index=list(self.codes))

    @property
    def notes(self) -> list[Note]:
        """What is strange about it."""
        return Problems().sift(check(self.degree) for check in GRAPH)

    def audit(self) -> dict[str, object]:
        """Return what an analyst must know: components, islands, areas with one neighbour, bridges."""
        size = np.sort(self.icar.size)[::-1]
        return {
            "rule": self.rule,
            "areas": len(self.codes),
            "pairs": len(self.edges),
            "components": [int(s) for s in size if s > 1],
            "islands": list(self.degree.index[self.degree == 0]),
            "one_neighbour": list(self.degree.index[self.degree == 1]),
            "mean_neighbours": round(float(self.degree.mean()), 2),
            "bridges": [list(b) for b in self.bridges],
            "policy": "bridged by hand" if self.bridges else "components kept apart",
        }

    def __repr__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> Note:
        """The audit in a line, in English and in Dutch."""
        a = self.audit()
        return Note(
            "Graph of {n} areas: {pairs} pairs ({rule}), components of {sizes} areas, {islands} without neighbours, "
            "{bridges} bridges",
            "een graaf van {n} gebieden: {pairs} paren buren ({rule}), samenhangende delen van {sizes} gebieden, "
            "{islands} zonder buren, {bridges} bruggen",
            n=a["areas"],
            pairs=a["pairs"],
            rule=self.rule,
            sizes=str(a["components"]),
            islands=len(self.degree.index[self.degree == 0]),
            bridges=len(self.bridges),
        )
