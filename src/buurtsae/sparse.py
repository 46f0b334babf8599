r"""Sparse symmetric positive definite algebra: factor, solve, log-determinant, selected inverse.

A symmetric permutation P and SuperLU without pivoting give P Q P' = L D L' with L unit lower triangular.
The entries of S = Q^{-1} on the pattern of L follow from the last column backwards (Takahashi et al. 1973):

    S_ij = delta_ij / D_j - sum_{k > j, L_kj != 0} L_kj S_ik,        i >= j.

Cost and memory grow with the fill of L, not with n^2.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 2.4 and 12.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from buurtsae.errors import ModelError

Floats = NDArray[np.float64]


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
        lower = sp.csc_array(self.lu.L)
        lower.sort_indices()
        variances = _takahashi(lower.indptr, lower.indices, lower.data, self.lu.U.diagonal())
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


def _takahashi(indptr: NDArray[np.int32], indices: NDArray[np.int32], data: Floats, d: Floats) -> Floats:
    """Compile the recursion at first use: numba costs a second to import."""
    global _compiled
    if _compiled is None:
        import numba

        _compiled = numba.njit(_takahashi_loop)
    result: Floats = _compiled(indptr, indices, data, d)
    return result


_compiled = None


def _takahashi_loop(indptr: NDArray[np.int32], indices: NDArray[np.int32], data: Floats, d: Floats) -> Floats:
    """Diagonal of S in permuted order. Rows of each column of L are sorted, the unit diagonal first.

    The pattern of L is closed under the recursion: for i, k below the diagonal of column j, (i, k) is in it.
    """
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
