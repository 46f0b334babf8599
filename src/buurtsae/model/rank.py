"""Linear relations between the columns of a model matrix."""

from __future__ import annotations

import numpy as np

from buurtsae.sparse import Floats, Ints


def dependent_columns(x: Floats) -> list[Ints]:
    """Columns of each linear relation: a column that those before it explain, with those that it needs.

    Parameters
    ----------
    x : ndarray, shape (n, p)

    Returns
    -------
    list of ndarray of int
    """
    if not x.shape[1]:
        return []
    scale = np.maximum(np.linalg.norm(x, axis=0), 1e-300)
    basis, found = np.zeros((len(x), 0)), []
    kept: list[int] = []
    for j in range(x.shape[1]):
        column = x[:, j] / scale[j]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > 1e-8:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
            kept.append(j)
            continue
        weights = np.linalg.lstsq(x[:, kept] / scale[kept], column, rcond=None)[0]
        found.append(np.array([*(k for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6), j]))
    return found
