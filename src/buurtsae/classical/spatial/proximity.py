"""Proximities of areas for a simultaneous autoregression: checked, aligned by code, rows summing to one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike

from buurtsae.areas.graph import Graph
from buurtsae.errors import DataError, ModelError, Problems, shown


def read_proximity(proximity: Graph | sp.sparray | pd.DataFrame | ArrayLike, area_codes: pd.Index) -> sp.csr_array:
    """Return row-standardised proximities of the areas, shape (m, m).

    Parameters
    ----------
    proximity : Graph, sparse array, DataFrame or array_like
        A graph and a table are joined by code, a matrix is in the order of the areas. Entries are 0 or more; those of
        the diagonal are 0.
    area_codes : Index, length m

    Raises
    ------
    ModelError or ProblemsError
        If the size is wrong, codes differ, entries are negative, infinite or on the diagonal, or an area has no
        neighbours.
    """
    m = len(area_codes)
    w: Any
    if isinstance(proximity, Graph):
        codes = pd.Index(list(proximity.codes))
        i, j = proximity.edges.T
        w = sp.csr_array((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(len(codes), len(codes)))
    elif isinstance(proximity, pd.DataFrame) and set(proximity.index) == set(proximity.columns):
        codes, w = proximity.index, sp.csr_array(proximity[list(proximity.index)].to_numpy(dtype=float))
    else:
        codes, w = area_codes, sp.csr_array(proximity if sp.issparse(proximity) else np.asarray(proximity, dtype=float))
    if w.shape != (len(codes), len(codes)) or len(codes) != m:
        raise ModelError(
            "the proximities have the wrong size", " x ".join(map(str, w.shape)), f"{m} x {m}", "one row per area"
        )
    if len(absent := area_codes.difference(codes)):
        raise DataError(
            "areas have no proximities", shown(absent), "the codes of the model", "use areas of the same year"
        )
    at = codes.get_indexer(area_codes)
    w = w[at][:, at].tocsr()
    problems = Problems()
    whole = np.repeat(np.arange(m), np.diff(w.indptr))
    for what, wrong, hint in (
        ("proximities are negative or no numbers", ~(w.data >= 0) | np.isinf(w.data), "correct these rows"),
        ("areas are near to themselves", (whole == w.indices) & (w.data != 0), "make the diagonal zero"),
    ):
        if wrong.any():
            problems.add(what, shown(area_codes[np.unique(whole[wrong])]), "0 or more, 0 to itself", hint, ModelError)
    total = np.asarray(w.sum(axis=1)).ravel()
    if not problems.found and (alone := total == 0).any():
        problems.add(
            f"{int(alone.sum())} areas have no neighbours",
            shown(area_codes[alone]),
            "a positive proximity in each row",
            "bridge islands to an area by hand, or give these areas a model of their own (FayHerriot)",
            ModelError,
        )
    problems.raise_if_any()
    standard = sp.csr_array(sp.diags_array(1 / total) @ w)
    standard.eliminate_zeros()
    return standard
