r"""Shares of old areas in new ones as numbers: scaled, drawn, and what they make of counts and means.

T has rows that sum to 1 and R columns that do; counts are T'x, means R'x, and a row of T known from n addresses has
draws of Dirichlet(n T_i1, n T_i2, ...): gamma variables over their sum.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from buurtsae.sparse import Floats


def scaled(pairs: sp.csr_array, axis: int) -> sp.csr_array:
    """Return a matrix whose rows (0) or columns (1) sum to 1, those that are empty aside, entries in the same order."""
    total = np.asarray(pairs.sum(axis=1 - axis)).ravel()
    row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    at = row if axis == 0 else pairs.indices
    share = pairs.data / np.where(total > 0, total, 1.0)[at]  # explicit zeros may be all that there is
    return with_entries(pairs, share)


def with_entries(matrix: sp.csr_array, entries: Floats) -> sp.csr_array:
    """Return a matrix of the same pattern with other entries."""
    return sp.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)


def drawn(shares: sp.csr_array, concentration: Floats | None, rng: np.random.Generator, n: int) -> Floats:
    """Return n draws of the entries of T, shape (n, entries); without a concentration of rows, (n_old,), T itself."""
    if concentration is None:
        return np.tile(shares.data, (n, 1))
    length = np.diff(shares.indptr)
    some = length > 0
    gamma = rng.gamma(np.repeat(concentration, length) * shares.data, size=(n, shares.nnz))
    total = np.add.reduceat(gamma, shares.indptr[:-1][some], axis=1)
    return np.asarray(gamma / np.repeat(total, length[some], axis=1))


def counts(shares: sp.csr_array, outside: Floats, x: Floats) -> Floats:
    """Return T'x, less what lies outside the new map, of x (n_old,) or (n_old, k)."""
    return np.asarray(shares.T @ ((1 - outside) * x.T).T)


def means(origins: sp.csr_array, x: Floats, same: float) -> Floats:
    """Return R'x of x (n_old,) or (n_old, k); NaN where less than `same` of an area is known."""
    known = np.isfinite(x)
    weight, total = origins.T @ known.astype(float), origins.T @ np.where(known, x, 0.0)
    lacking = weight < same - 1e-9
    return np.asarray(np.where(lacking, np.nan, total / np.where(lacking, 1.0, weight)))
