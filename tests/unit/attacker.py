"""An attacker: linear programs on everything that is published at once, all draws together, by no code of the package.

Unknown are the scores of hidden buurten, per draw; given are those of all others, of every area above that is
published, and residents. A measure above the sub-dimensions adds nothing: in a published area it is a mean of published
ones. The mean over draws of what is hidden lies between the least and the largest mean that meets all equations.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.optimize import linprog
from shapely import box

from buurtsae.areas.areas import Areas

Key = tuple[str, str]


def in_a_row(residents: dict[str, int], **groupings: list[str | None]) -> Areas:
    """Buurten in a row, with their residents."""
    codes = sorted(residents)
    index = pd.Index(codes, name="area_code")
    frame = gpd.GeoDataFrame(
        {"name": codes, "wijk": ["WK" + c[2:8] for c in codes], "gemeente": ["GM" + c[2:6] for c in codes]}
        | {"population": [residents[c] for c in codes]}
        | groupings,
        index=index,
        geometry=box(np.arange(len(codes)), 0, np.arange(len(codes)) + 1.0, 1),
        crs="EPSG:28992",
    )
    return Areas(frame, 2024, groupings=tuple(groupings))


def residents_of(areas: Areas) -> dict[Key, np.ndarray]:
    """Residents of each buurt, by position, in every area of every level; 0 outside it."""
    people = areas.population.astype(float)
    found = {}
    for level in areas.levels:
        code = areas.parents(level).to_numpy()
        for one in sorted(set(code[areas.inhabited & pd.notna(code)])):
            found[level, str(one)] = np.where(code == one, people, 0.0)
    return found


def computed(weights: dict[Key, np.ndarray], cells: str, draws: np.ndarray, hidden: set[Key]) -> dict[Key, float]:
    """Return how wide the interval is of every hidden area of which nothing is open, the narrowest over measures.

    Parameters
    ----------
    weights : dict of (level, area_code) to ndarray, shape (n,) or (n, D)
        Of the cells in each area.
    cells : str
        The level of the cells, whose weights are in their order.
    draws : ndarray, shape (R, n, D)
    hidden : set of (level, area_code)
    """
    own = [key for key in weights if key[0] == cells]
    n, size = draws.shape[1], draws.shape[2]
    weights = {key: np.broadcast_to(np.reshape(w, (n, -1)), (n, size)) for key, w in weights.items()}
    gone = np.zeros(n, dtype=bool)
    for key in own:
        gone |= (weights[key] > 0).any(axis=1) & (key in hidden)
    secrets = [k for k in hidden if k in weights and (weights[k] > 0).any() and not (weights[k][~gone] > 0).any()]
    found = dict.fromkeys(secrets, np.inf)
    for d in range(size):
        rows = [w[gone, d] for key, w in weights.items() if key not in hidden and (w[gone, d] > 0).any()]
        system = sp.csr_array(np.array([r / r.sum() for r in rows]).reshape(len(rows), int(gone.sum())))
        x = draws[:, gone, d]
        for key in secrets:
            w = weights[key][gone, d]
            if not w.any():
                continue
            ends = [
                sign
                * linprog(
                    sign * np.tile(w / w.sum(), len(x)) / len(x),
                    A_eq=sp.block_diag([system] * len(x)) if rows else None,
                    b_eq=(x @ system.T).ravel() if rows else None,
                    bounds=(-1e-9, 10 + 1e-9),
                    method="highs",
                ).fun
                for sign in (1.0, -1.0)
            ]
            found[key] = min(found[key], ends[1] - ends[0])
    return found
