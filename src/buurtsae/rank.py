"""Linear relations between the columns of a model matrix.

A column is a linear combination of those before it where the rest of its projection on them is below 1e-8 of its
length (Gram-Schmidt on R of X = QR, which has the same linear relations as X).
"""

from __future__ import annotations

import numpy as np

from buurtsae.sparse import Floats, Ints


def dependent_columns(x: Floats) -> list[Ints]:
    """Return the columns of each linear relation: a column that those before it explain, after those that it needs.

    Parameters
    ----------
    x : ndarray, shape (n, p)

    Returns
    -------
    list of ndarray of int
    """
    if not x.size:
        return []
    r = np.linalg.qr(x, mode="r")
    scale = np.linalg.norm(r, axis=0)
    r = r / np.where(scale > 0, scale, 1.0)
    basis, relations = np.zeros((len(r), 0)), list[Ints]()
    kept: list[int] = []
    for j in range(r.shape[1]):
        rest = r[:, j] - basis @ (basis.T @ r[:, j])
        rest -= basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size > 1e-8:
            basis = np.column_stack([basis, rest / size])
            kept.append(j)
            continue
        weights = np.linalg.lstsq(r[:, kept], r[:, j], rcond=None)[0]
        relations.append(np.array([*(k for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6), j]))
    return relations
