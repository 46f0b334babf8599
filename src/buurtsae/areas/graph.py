"""The neighbour graph of areas: who is whose neighbour, components, islands and bridges.

Neighbours are pairs of codes, the cells of an adjacency, or polygons that meet (libpysal: queen or rook contiguity).
Areas that touch nothing, and groups of areas cut off by water, are kept apart unless the user bridges named pairs (a
ferry, a dike): the policy is chosen and audited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.codes import clean
from buurtsae.areas.icar import IcarStructure, icar_structure
from buurtsae.areas.plausible import GRAPH
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.sparse import Ints

if TYPE_CHECKING:
    import geopandas as gpd
    from libpysal.graph import Graph as Contiguity
    from libpysal.weights import W
    from numpy.typing import ArrayLike

Pair = tuple[str, str]
CONTIGUITY = ("queen", "rook")
FIT = "give both for the same areas"


def _text(codes: pd.Series) -> pd.Series:
    """Codes as text, as areas have them."""
    return clean(codes.infer_objects()).astype(object).fillna("")


def _labels(codes: Iterable[object]) -> pd.Index:
    """The codes as text, sorted; each occurs once."""
    labels = pd.Index(sorted(_text(pd.Series(list(codes), dtype=object))), dtype=object)
    if len(twice := labels[labels.duplicated()].unique()):
        raise DataError("areas of a graph occur more than once", shown(twice), "each once", "remove the duplicates")
    return labels


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
        Where the edges come from: `queen`, `rook`, `adjacency` or `table`.

    Examples
    --------
    >>> Graph.from_pairs(["a", "b", "c"], [("a", "b")])
    Graph of 3 areas: 1 pairs (table), components of [2] areas, 1 without neighbours, 0 bridges
    """

    codes: tuple[str, ...]
    edges: Ints
    bridges: tuple[Pair, ...] = ()
    rule: str = field(default="table")

    @classmethod
    def from_pairs(
        cls,
        codes: Iterable[object],
        pairs: Iterable[Sequence[object]] | pd.DataFrame,
        bridges: Sequence[Pair] = (),
        rule: str = "table",
    ) -> Graph:
        """Build a graph from pairs of codes, in any order and direction.

        Parameters
        ----------
        codes : iterable
            Of all areas, those without neighbours included: text, or whole numbers, as of `Areas.from_frame`.
        pairs : iterable of pairs, or DataFrame of two columns
            The edges.
        bridges : sequence of pairs of codes
            Further edges, made by hand.
        rule : str
            Where the edges come from.

        Raises
        ------
        ProblemsError or DataError
            If a pair or bridge names an unknown area, or an area as its own neighbour, or codes occur twice.

        Examples
        --------
        >>> Graph.from_pairs([37001, 37003, 37005], [(37001, 37003)]).degree.to_dict()
        {'37001': 1, '37003': 1, '37005': 0}
        """
        labels, problems = _labels(codes), Problems()
        positions = {}
        for name, some in (("a neighbour pair", pairs), ("a bridge", bridges)):
            rows = some.to_numpy() if isinstance(some, pd.DataFrame) else list(some)
            table = pd.DataFrame(rows, columns=["a", "b"], dtype=object).apply(_text)
            position = np.column_stack([labels.get_indexer(table["a"]), labels.get_indexer(table["b"])])
            if unknown := sorted({str(code) for code in table.to_numpy()[position < 0]}):
                problems.add(f"{name} names unknown areas", shown(unknown), "codes of the areas", "check the year")
            if len(loops := table["a"][(position[:, 0] == position[:, 1]) & (position[:, 0] >= 0)]):
                problems.add(f"{name} joins an area to itself", shown(loops), "two different areas", "remove it")
            positions[name] = position
        problems.raise_if_any()
        edges = np.sort(np.vstack(list(positions.values())), axis=1).astype(np.int64)
        return cls(tuple(labels), np.unique(edges, axis=0), tuple(bridges), rule)

    @classmethod
    def from_adjacency(cls, codes: Iterable[object], matrix: ArrayLike | sp.sparray | pd.DataFrame) -> Graph:
        """Build a graph from an adjacency matrix: areas are neighbours where a cell is not zero.

        Parameters
        ----------
        codes : iterable, length n
            Of the areas.
        matrix : sparse, array or DataFrame, shape (n, n)
            Symmetric in what is zero: weights are not used. Rows and columns are in the order of the codes; those of a
            DataFrame have codes themselves, and are joined by these.

        Raises
        ------
        ProblemsError or DataError
            By name: areas that are not in both, an area as its own neighbour, neighbours in one direction only.

        Examples
        --------
        >>> Graph.from_adjacency(["a", "b", "c"], [[0, 1, 0], [1, 0, 0], [0, 0, 0]]).degree.to_dict()
        {'a': 1, 'b': 1, 'c': 0}
        """
        listed = _text(pd.Series(list(codes), dtype=object))
        _labels(listed)
        if isinstance(matrix, pd.DataFrame):
            matrix = matrix.set_axis(_text(matrix.index.to_series()), axis=0)
            matrix = matrix.set_axis(_text(matrix.columns.to_series()), axis=1)
            for axis, there in (("rows", matrix.index), ("columns", matrix.columns)):
                if len(there) != len(listed) or (other := set(there) ^ set(listed)):
                    what = f"{axis} of the adjacency are of other areas"
                    codes = shown(sorted(other)) if len(there) == len(listed) else f"{len(there)} {axis}"
                    raise DataError(what, codes, f"the {len(listed)} areas", FIT)
            matrix = matrix.loc[listed, listed].to_numpy()
        cells = sp.csr_array(matrix)
        if cells.shape != (len(listed),) * 2:
            raise DataError("the adjacency has another size", str(cells.shape), f"{(len(listed),) * 2}", FIT)
        cells.eliminate_zeros()
        problems, name, there = Problems(), listed.to_numpy(), (cells != 0).astype(int)
        row, column = ((there - there.T) > 0).nonzero()
        if len(row):
            pairs = shown(f"{one} to {other}" for one, other in zip(name[row], name[column], strict=True))
            problems.add("neighbours are so in one direction only", pairs, "a symmetric adjacency", "make it symmetric")
        if (loops := cells.diagonal() != 0).any():
            problems.add("areas are their own neighbours", shown(name[loops]), "zeros on the diagonal", "remove these")
        problems.raise_if_any()
        return cls.from_pairs(listed, zip(*(name[place] for place in cells.nonzero()), strict=True), rule="adjacency")

    @classmethod
    def from_libpysal(cls, graph: Contiguity | W) -> Graph:
        """Build a graph from a `Graph` or `W` of libpysal, whose ids are the codes of the areas.

        Where the ids are positions, use ``Graph.from_adjacency(codes, graph.sparse)``. Weights are not used.

        Raises
        ------
        ProblemsError or DataError
            As `from_adjacency`: such as nearest neighbours, which may be so in one direction only.
        """
        ids = graph.unique_ids if hasattr(graph, "unique_ids") else graph.id_order
        return cls.from_adjacency(ids, graph.sparse)

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

        Raises
        ------
        ProblemsError or DataError
            If the rule is unknown, or as `from_pairs`.
        """
        from libpysal.graph import Graph as Contiguity

        if rule not in CONTIGUITY:
            raise DataError("the neighbour rule is unknown", repr(rule), "queen or rook", "correct [graph] rule")
        adjacency = Contiguity.build_contiguity(frame.geometry, rook=rule == "rook").adjacency
        focal, neighbour = (adjacency.index.get_level_values(end) for end in ("focal", "neighbor"))
        pairs = [pair for pair in zip(focal, neighbour, strict=True) if pair[0] < pair[1]]
        return cls.from_pairs(frame.index, pairs, bridges, rule)

    @cached_property
    def icar(self) -> IcarStructure:
        """The scaled intrinsic CAR structure, in the order of `codes`."""
        return icar_structure(len(self.codes), self.edges)

    @cached_property
    def adjacency(self) -> sp.csr_array:
        """A, 1 for neighbours, in the order of `codes`, shape (N, N)."""
        first, second = self.edges.T
        ones, size = np.ones(2 * len(self.edges)), len(self.codes)
        return sp.csr_array((ones, (np.r_[first, second], np.r_[second, first])), shape=(size, size))

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
        """What is strange about the borders that it was made from."""
        return Problems().sift(check(self.degree) for check in GRAPH if self.rule in CONTIGUITY)

    def audit(self) -> dict[str, object]:
        """Return what an analyst must know: components, islands, areas with one neighbour, bridges."""
        size = np.sort(self.icar.size)[::-1]
        return {
            "rule": self.rule,
            "areas": len(self.codes),
            "pairs": len(self.edges),
            "components": [int(areas) for areas in size if areas > 1],
            "islands": list(self.degree.index[self.degree == 0]),
            "one_neighbour": list(self.degree.index[self.degree == 1]),
            "mean_neighbours": round(float(self.degree.mean()), 2),
            "bridges": [list(pair) for pair in self.bridges],
            "policy": "bridged by hand" if self.bridges else "components kept apart",
        }

    def __repr__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> Note:
        """The audit in a line, in English and in Dutch."""
        facts = self.audit()
        sizes = str(facts["components"]).split(", ")
        return Note(
            "Graph of {n} areas: {pairs} pairs ({rule}), components of {sizes} areas, {islands} without neighbours, "
            "{bridges} bridges",
            "een graaf van {n} gebieden: {pairs} paren buren ({rule}), samenhangende delen van {sizes} gebieden, "
            "{islands} zonder buren, {bridges} bruggen",
            n=facts["areas"], pairs=facts["pairs"], rule=self.rule, bridges=len(self.bridges),
            sizes=", ".join(sizes[:5] + ["...]"] * (len(sizes) > 5)), islands=int((self.degree == 0).sum()),
        )  # fmt: skip
