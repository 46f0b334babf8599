r"""Sparse symmetric positive definite algebra: factor, solve, log-determinant, selected inverse.

A symmetric permutation P and SuperLU without pivoting give P Q P' = L D L' with L unit lower triangular.
The entries of S = Q^{-1} on the pattern of L follow from the last column backwards (Takahashi et al. 1973):

    S_ij = delta_ij / D_j - sum_{k > j, L_kj != 0} L_kj S_ik,        i >= j,

which needs a pattern that has (i, k) wherever it has (i, j) and (k, j). SuperLU drops entries of L that cancel to
zero, so the pattern is closed first (Davis 2005). Cost and memory grow with the fill of L, not with n^2.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 2.4 and 12.1.
Davis, T. A. (2005). Algorithm 849: a concise sparse Cholesky factorization package. ACM TOMS 31.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from buurtsae.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Factor:
    """A factorisation of a sparse symmetric positive definite matrix.

    Attributes
    ----------
    lu : scipy.sparse.linalg.SuperLU
        The factors, in symmetric mode without pivoting.
    """

    lu: spla.SuperLU

    def solve(self, b: Floats) -> Floats:
        """Return Q^{-1} b for a vector or a matrix of right-hand sides."""
        return np.asarray(self.lu.solve(np.ascontiguousarray(b)))

    @cached_property
    def logdet(self) -> float:
        """Return log |Q|."""
        return float(np.log(self.lu.U.diagonal()).sum())

    def marginal_variances(self) -> Floats:
        """Return the diagonal of Q^{-1} by Takahashi recursion, in the order of Q."""
        close, takahashi = _compiled()
        lower = sp.csr_array(self.lu.L)
        lower.sort_indices()
        indptr, indices, data = close(lower.indptr, lower.indices, lower.data)
        variances: Floats = takahashi(indptr, indices, data, self.lu.U.diagonal())
        return variances[np.asarray(self.lu.perm_c)]


def factor(q: sp.sparray | sp.spmatrix) -> Factor:
    """Factor a sparse symmetric positive definite matrix.

    Raises
    ------
    ModelError
        If a pivot is not positive: the matrix is not positive definite.
    """
    options = {"SymmetricMode": True, "Equil": False}
    try:
        lu = spla.splu(sp.csc_matrix(q), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        positive = bool((lu.U.diagonal() > 0).all()) and bool((lu.perm_r == lu.perm_c).all())
    except RuntimeError:  # SuperLU reports an exactly zero pivot this way
        positive = False
    if not positive:
        raise ModelError(
            "a precision matrix is not positive definite",
            "a pivot that is zero or negative",
            "positive pivots only",
            "look for a component without constraint, or a covariance that is not positive definite",
        )
    return Factor(lu)


@cache
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile the loops at first use: numba costs a second to import."""
    import numba

    return numba.njit(_close), numba.njit(_takahashi)


def _close(indptr: Ints, indices: Ints, data: Floats) -> tuple[Ints, Ints, Floats]:
    """Columns of unit lower triangular L, given by rows, with zeros where its pattern is not closed.

    Row i of the closed pattern is what is met on the way up the elimination tree from the entries of row i.
    """
    n = len(indptr) - 1
    parent, start = np.full(n, -1), np.zeros(n + 1, dtype=np.int64)
    rows, values = np.empty(0, dtype=np.int64), np.empty(0)
    for counting in (True, False):
        if not counting:
            start[1:] = np.cumsum(start[1:])
            rows, values = np.empty(start[n], dtype=np.int64), np.zeros(start[n])
        last, mark = start[:n].copy(), np.full(n, -1)
        at = np.empty(n, dtype=np.int64)
        for i in range(n):
            for p in range(indptr[i], indptr[i + 1]):
                k = indices[p]
                while mark[k] != i:
                    if counting:
                        start[k + 1] += 1
                    else:
                        rows[last[k]], at[k] = i, last[k]
                        last[k] += 1
                    mark[k] = i
                    if k == i:
                        break
                    if parent[k] < 0:
                        parent[k] = i
                    k = parent[k]
                if not counting:
                    values[at[indices[p]]] = data[p]
    return start, rows, values


def _takahashi(indptr: Ints, indices: Ints, data: Floats, d: Floats) -> Floats:
    """Diagonal of S in permuted order. Rows of each column of L are sorted, the unit diagonal first."""
    n = len(d)
    s = np.zeros(len(data))
    where = np.full(n, -1, dtype=np.int64)
    for j in range(n - 1, -1, -1):
        start, end = indptr[j], indptr[j + 1]
        for p in range(start + 1, end):
            where[indices[p]] = p
        # off-diagonal entries: S_ij = - sum_k S_ik L_kj over the rows k of column j
        for p in range(start + 1, end):
            k = indices[p]
            l_kj = data[p]
            for r in range(indptr[k], indptr[k + 1]):
                i = indices[r]  # i >= k: S_ik is stored in column k
                t = where[i]
                if t >= 0:
                    s[t] -= s[r] * l_kj
                    if i != k:
                        s[p] -= s[r] * data[t]
        total = 1.0 / d[j]
        for p in range(start + 1, end):
            total -= data[p] * s[p]
            where[indices[p]] = -1
        s[start] = total
    out = np.empty(n)
    for j in range(n):
        out[j] = s[indptr[j]]
    return out
