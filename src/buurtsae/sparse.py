r"""Sparse symmetric positive definite algebra on blocks: factor, solve, log-determinant, sampling, selected inverse.

Q has n nodes of w variables: w x w blocks on the diagonal and for every pair of neighbours. A fill-reducing order P
(minimum degree) and the structure of the factor are found once per pattern; P Q P' = L L' follows per matrix. The
blocks of Q^{-1} on the pattern of Q come from L by Takahashi's recursion, all covariances that a model with local
terms needs. Cost and memory grow with the fill of L, not with n^2. The loops are in `multifrontal`.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 2.4 and 12.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from buurtsae.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")


class lazy(Generic[T]):
    """A property that is computed once per instance: `functools.cached_property` without its lock.

    Up to Python 3.11 that one is locked for all instances while it computes: threads would wait for each other.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        value: T = self.compute(instance)
        instance.__dict__[self.name] = value  # found there from now on: this class has no __set__
        return value


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: on small fronts and few columns its threads only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@dataclass(frozen=True)
class Symbolic:
    """The order of elimination and the structure of the factor of all matrices with one pattern; see `analyse`.

    Attributes
    ----------
    n, width : int
        Number of nodes, and of variables per node.
    position : ndarray of int, shape (n,)
        Place of each node in the order of elimination.
    layout : dict
        What the loops of `multifrontal` need.
    """

    n: int
    width: int
    position: Ints
    layout: dict[str, Any]

    @lazy
    def node(self) -> Ints:
        """The node at each place in the order of elimination."""
        return np.asarray(np.argsort(self.position))

    @property
    def size(self) -> int:
        """How many numbers a factor keeps."""
        return int(self.layout["size"])

    def factor(self, blocks: Floats) -> Factor:
        """Factor the matrix with these blocks, shape (entries, w, w), in the order of the entries of `analyse`.

        Raises
        ------
        NotPositiveDefiniteError
            If a pivot is not positive, with the node where.
        """
        from buurtsae import multifrontal

        names = "turned entry begin r c first at place child children offset store"
        kept, stack = np.empty(self.size), np.empty(self.layout["height"])
        arrays = (self.layout[name] for name in names.split())
        logdet, failed = multifrontal.factorise(
            (0,) * self.width, np.ascontiguousarray(blocks, dtype=float), *arrays, stack, kept
        )
        if failed >= 0 or not np.isfinite(logdet):
            first = self.layout["first"]
            raise NotPositiveDefiniteError(np.flatnonzero(self.position == first[max(failed, 0)])[0])
        return Factor(self, kept, logdet)


class NotPositiveDefiniteError(ModelError):
    """A precision matrix with a pivot that is not positive."""

    def __init__(self, node: int) -> None:
        super().__init__(
            "a precision matrix is not positive definite",
            f"a pivot that is zero, negative or no number, near node {node}",
            "positive pivots only",
            "look for a component without constraint, or a covariance that is not positive definite",
        )
        self.node = int(node)


@dataclass(frozen=True)
class Factor:
    """A factorisation P Q P' = L L'.

    Attributes
    ----------
    symbolic : Symbolic
    kept : ndarray
        The numbers of the factor.
    logdet : float
        log |Q|.
    """

    symbolic: Symbolic
    kept: Floats
    logdet: float

    @property
    def _pattern(self) -> tuple[Any, ...]:
        layout = self.symbolic.layout
        return layout["store"], layout["first"], layout["at"], layout["row"], self.symbolic.width

    def half(self, b: Floats) -> Floats:
        """Return L^{-1} P b for a vector or right-hand sides (n w, k): inner products of these are b' Q^{-1} b."""
        w = self.symbolic.width
        rows = (self.symbolic.node[:, None] * w + np.arange(w)).ravel()
        x = np.ascontiguousarray((b if b.ndim == 2 else b[:, None])[rows], dtype=float)
        return self.halve(x).reshape(b.shape)

    def halve(self, x: Floats) -> Floats:
        """Return L^{-1} x of right-hand sides (n w, k) in the order of elimination, in the place of these."""
        from buurtsae import multifrontal

        multifrontal.solve_forward(self.kept, *self._pattern, x)
        return x

    def back(self, x: Floats, columns: int | None = None) -> Floats:
        """Return P' L^{-T} x of the first columns: of standard normal x, a draw with covariance Q^{-1}."""
        from buurtsae import multifrontal

        right = np.ascontiguousarray(x if x.ndim == 2 else x[:, None], dtype=float)
        out = np.empty((len(right), right.shape[1] if columns is None else columns))
        multifrontal.solve_backward(self.kept, *self._pattern, self.symbolic.node, right, out)
        return out if x.ndim == 2 else out[:, 0]

    def solve(self, b: Floats) -> Floats:
        """Return Q^{-1} b for a vector or a matrix of right-hand sides."""
        return self.back(self.half(b))

    def selected_inverse(self) -> Floats:
        """Return the blocks of Q^{-1} at the entries of Q, shape (entries, w, w), in their order."""
        from buurtsae import multifrontal

        layout, w = self.symbolic.layout, self.symbolic.width
        blocks, stack = np.empty((len(layout["entry"]), w, w)), np.empty(layout["height"])
        names = "turned entry begin r c first at place child children offset"
        arrays = (layout[name] for name in names.split())
        multifrontal.selected_inverse(self.kept, layout["store"], *arrays, w, stack, blocks)
        return blocks


def analyse(n: int, i: Ints, j: Ints, width: int = 1) -> Symbolic:
    """Find an order of elimination and the structure of the factor.

    Parameters
    ----------
    n : int
        Number of nodes.
    i, j : ndarray of int, shape (entries,)
        The entries: every pair of neighbours once, in either order, and every node with itself.
    width : int
        Number of variables per node.
    """
    return _analysed(n, np.asarray(i, dtype=np.int64).tobytes(), np.asarray(j, dtype=np.int64).tobytes(), width)


@lru_cache(maxsize=8)
def _analysed(n: int, of_i: bytes, of_j: bytes, width: int) -> Symbolic:
    """As `analyse`: many models of one graph, one after another, have one pattern."""
    from buurtsae import multifrontal

    i, j = np.frombuffer(of_i, dtype=np.int64), np.frombuffer(of_j, dtype=np.int64)
    position = np.argsort(_minimum_degree(n, i, j))
    while True:  # once for the tree, once more in its postorder
        rows, columns = position[i], position[j]
        indptr, indices = _symmetric(n, rows, columns)
        parent = multifrontal.elimination_tree(indptr, indices)
        order = multifrontal.postorder(parent)
        if np.array_equal(order, np.arange(n)):
            break
        position = np.argsort(order)[position]
    start, below = multifrontal.column_structure(indptr, indices, parent)
    first, count = multifrontal.supernodes(parent, start, width)
    first = first[: count + 1]
    above, at, row, find = _rows_of_supernodes(first, start, below)
    place = find(np.repeat(above, np.diff(at)), row)
    turned = rows < columns
    later, sooner = np.maximum(rows, columns), np.minimum(rows, columns)
    of = np.searchsorted(first, sooner, side="right") - 1
    r, c = find(of, later), sooner - first[of]
    offset, height = _stack(np.diff(at) * width, above)
    n_super = len(first) - 1
    begin = np.searchsorted(entry := np.sort(of), np.arange(n_super + 1))
    entry = np.argsort(of, kind="stable")
    root = above < 0
    children = np.argsort(np.where(root, n_super, above), kind="stable")[: n_super - int(root.sum())]
    child = np.searchsorted(above[children], np.arange(n_super + 1))
    pivot, rest = np.diff(first) * width, np.diff(at) * width
    store = np.concatenate([[0], np.cumsum(pivot * pivot + pivot * rest)])
    layout = {
        "turned": turned, "entry": entry, "begin": begin, "r": r, "c": c, "first": first, "at": at, "row": row,
        "place": place, "child": child, "children": children, "offset": offset, "height": int(height),
        "store": store[:-1], "size": int(store[-1]),
    }  # fmt: skip
    return Symbolic(n, width, position, layout)


def _rows_of_supernodes(first: Ints, start: Ints, below: Ints) -> tuple[Ints, Ints, Ints, Callable[[Ints, Ints], Ints]]:
    """Parent of each supernode, its rows (at, row), and a function of where nodes are in fronts of supernodes."""
    n_super, n, last = len(first) - 1, first[-1], first[1:] - 1
    size = start[last + 1] - start[last]
    at = np.r_[0, np.cumsum(size)]
    of = np.repeat(np.arange(n_super, dtype=np.int64), size)
    row = below[start[last][of] + np.arange(at[-1]) - at[of]]
    parent = np.full(n_super, -1, dtype=np.int64)
    parent[size > 0] = np.searchsorted(first, row[at[:-1][size > 0]], side="right") - 1
    key = of * n + row  # ascends

    def find(s: Ints, i: Ints) -> Ints:
        pivots = first[s + 1] - first[s]
        return np.where(i < first[s + 1], i - first[s], pivots + np.searchsorted(key, s * n + i) - at[s])

    return parent, at, row, find


def _stack(size: Ints, parent: Ints) -> tuple[Ints, int]:
    """Offset of each supernode's update matrix, of so many variables, on a stack, and the height of the stack."""
    top, height, offset, base = 0, 0, list[int](), dict[int, int]()
    for s, (rows, above) in enumerate(zip(size.tolist(), parent.tolist(), strict=True)):
        top = base.pop(s, top)  # children are on top of the stack: they go
        base.setdefault(above, top)
        offset.append(top)
        top += rows * rows
        height = max(height, top)
    return np.array(offset, dtype=np.int64), height


def _minimum_degree(n: int, i: Ints, j: Ints) -> Ints:
    """Nodes in the order of elimination, by SuperLU's multiple minimum degree."""
    if n < 2:
        return np.arange(n)
    off = i != j
    a = sp.coo_array((np.ones(2 * off.sum()), (np.r_[i[off], j[off]], np.r_[j[off], i[off]])), shape=(n, n)).tocsc()
    dominant = sp.csc_matrix(sp.diags_array(np.asarray(a.sum(axis=0)).ravel() + 1.0) - a)
    options = {"SymmetricMode": True, "Equil": False}
    lu = spla.splu(dominant, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    return np.argsort(np.asarray(lu.perm_c)).astype(np.int64)


def _symmetric(n: int, i: Ints, j: Ints) -> tuple[Ints, Ints]:
    """Pattern of the whole symmetric matrix by rows."""
    a = sp.coo_array((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr()
    a.sort_indices()
    return a.indptr.astype(np.int64), a.indices.astype(np.int64)


@dataclass(frozen=True)
class ScalarFactor(Factor):
    """The factor of an ordinary sparse matrix."""

    def marginal_variances(self) -> Floats:
        """Return the diagonal of Q^{-1}."""
        return self.selected_inverse()[-self.symbolic.n :, 0, 0]


def factor(q: sp.sparray | sp.spmatrix) -> ScalarFactor:
    """Factor a sparse symmetric positive definite matrix; only its lower triangle is read.

    Raises
    ------
    NotPositiveDefiniteError
    """
    n = q.shape[0]
    below = sp.tril(sp.csr_array(q), -1).tocoo()
    i, j = np.r_[below.row, np.arange(n)], np.r_[below.col, np.arange(n)]
    scalar = analyse(n, i, j).factor(np.r_[below.data, q.diagonal()][:, None, None])
    return ScalarFactor(scalar.symbolic, scalar.kept, scalar.logdet)
