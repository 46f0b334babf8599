r"""Constraints of parts of a field that share no entry of its precision: they share columns.

Rows of P and the constraints A fall apart by connected part of the pattern of P, so that columns L^{-1} P A' of one
part are 0 in the rows of all others. Constraint number m of every part is kept in column m of one matrix H; of a part
with rows r and constraints c

    A P^{-1} A' = H_r' H_r on (c, c), and 0 between parts,      A y = H_r' y_r on c,

so that a country of ten years and six parts has 10 columns of constraints and not 60. Parts are runs of rows in the
order of elimination, which is that of trees, one after another; those without a constraint need no place here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class Part:
    """A part that has constraints, or all of a field.

    Attributes
    ----------
    run : slice
        Its rows, in the order of elimination.
    rows : slice or ndarray of int
        The same rows, in the order of nodes.
    of : ndarray of int
        Its constraints, a row for each and each variable.
    columns : slice
        Where these are in H.
    """

    run: slice
    rows: slice | Ints
    of: Ints
    columns: slice


@dataclass(frozen=True)
class Parts:
    """Columns of constraints of a field.

    Attributes
    ----------
    each : tuple of Part
    rows : int
        Constraints times variables per node.
    width : int
        Columns of H.
    """

    each: tuple[Part, ...]
    rows: int
    width: int

    @classmethod
    def one(cls, constraints: int, nodes: int, d: int) -> Parts:
        """Return all as one part: a column for each constraint and variable."""
        every, k = slice(0, nodes * d), constraints * d
        return cls((Part(every, every, np.arange(k), slice(0, k)),), k, k)

    @classmethod
    def of(cls, constraints: sp.csr_array, position: Ints, pattern: tuple[Ints, Ints], d: int) -> Parts:
        """Return the parts of a field, of its constraints (k, nodes), order of elimination and entries (i, j)."""
        n, each, width = len(position), [], 0
        joined = sp.coo_array((np.ones(len(pattern[0])), pattern), shape=(n, n))
        label = connected_components(joined, directed=False)[1]
        part_of = label[[constraints.indices[start] for start in constraints.indptr[:-1]]]
        for part in np.unique(part_of):
            nodes, its = np.flatnonzero(label == part), np.flatnonzero(part_of == part)
            if len(nodes) == n:
                return cls.one(constraints.shape[0], n, d)
            first = int(position[nodes].min())
            run = slice(first * d, (first + len(nodes)) * d)
            columns = slice(0, len(its) * d)
            each.append(Part(run, _rows(nodes, d), _rows(its, d), columns))
            width = max(width, columns.stop)
        return cls(tuple(each), constraints.shape[0] * d, width)

    def __iter__(self) -> Iterator[Part]:
        return iter(self.each)

    def packed(self, columns: Floats) -> Floats:
        """Return A' (nodes * D, k D) with columns shared, (nodes * D, width)."""
        shared = np.zeros((len(columns), self.width))
        for part in self:
            shared[part.rows, part.columns] = columns[part.rows][:, part.of]
        return shared

    def gram(self, half: Floats) -> Floats:
        """Return X'X of X = [L^{-1} P A', others], of half = [H, others]."""
        k, others = self.rows, half[:, self.width :]
        total = np.zeros((k + others.shape[1],) * 2)
        total[k:, k:] = others.T @ others
        for part in self:
            own, width = half[part.run], part.columns.stop
            both = own[:, :width].T @ own
            total[np.ix_(part.of, part.of)] = both[:, :width]
            total[part.of, k:] = both[:, self.width :]
            total[k:, part.of] = both[:, self.width :].T
        return total

    def against(self, half: Floats, x: Floats) -> Floats:
        """Return (L^{-1} P A')' x, (k D, n), of half = [H, others] and x, both in the order of elimination."""
        out = np.empty((self.rows, x.shape[1]))
        for part in self:
            out[part.of] = half[part.run, part.columns].T @ x[part.run]
        return out

    def subtract(self, half: Floats, y: Floats, x: Floats) -> None:
        """Take L^{-1} P A' y, of y (k D, n), from x (nodes * D, n), in the order of elimination."""
        for part in self:
            x[part.run] -= half[part.run, part.columns] @ y[part.of]

    def corrected(self, full: Floats, inverse: Floats) -> Floats:
        """Return U_A = P^{-1} A' inverse', columns shared, of P^{-1} [A', others] in the order of nodes."""
        u = np.zeros((len(full), self.width))
        for part in self:
            u[part.rows, part.columns] = full[part.rows, part.columns] @ inverse[part.of][:, part.of].T
        return u

    def spread(self, u: Floats, y: Floats) -> Floats:
        """Return U_A y in the order of nodes, of U_A with columns shared and y (k D, n)."""
        out = np.zeros((len(u), y.shape[1]))
        for part in self:
            out[part.rows] = u[part.rows, part.columns] @ y[part.of]
        return out


def _rows(numbers: Ints, d: int) -> Ints:
    return np.asarray((numbers[:, None] * d + np.arange(d)).ravel())
