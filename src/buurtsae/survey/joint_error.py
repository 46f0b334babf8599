r"""How far cells that were made from margins are from known ones: in residents, and in what is predicted from them.

    misplaced_a = 1/2 sum_c |m_c - k_c| / N_a,      shift_a = sum_c p_c m_c / sum_c m_c - sum_c p_c k_c / sum_c k_c

over the cells c of area a, m made and k known: the share of residents that has the wrong characteristics, and by how
much the share of an area is off if persons of cell c say yes with probability p_c.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, check_kinds
from buurtsae.sparse import Floats
from buurtsae.survey.cells import Cells
from buurtsae.survey.levels import HELD, check_combinations


def joint_error(made: Cells, known: Cells, chance: Floats) -> pd.DataFrame:
    """Compare made cells with known ones.

    Parameters
    ----------
    made, known : Cells
        Of the same areas and characteristics.
    chance : ndarray, shape (M of known,)
        Probability of yes in each cell of `known`; of cells that it lacks, nothing is said, and nobody counted.

    Returns
    -------
    DataFrame, indexed by `area_code`, areas with known residents only
        `residents`, `misplaced` and `shift`, both in per cent.

    Raises
    ------
    DataError
        If areas or characteristics differ, `chance` is no number per cell, or there are more combinations than can be
        held.
    """
    check_kinds(made=(made, Cells), known=(known, Cells), chance=(chance, np.ndarray))
    if chance.shape != known.count.shape or not np.issubdtype(chance.dtype, np.number) or not np.isfinite(chance).all():
        got, expected = f"{chance.dtype} of shape {chance.shape}", f"finite numbers of shape {known.count.shape}"
        raise DataError("there is no chance per cell", got, expected, "give that of each cell of `known`")
    check_combinations(len(known.areas.codes), known.characteristics, HELD)
    if not made.areas.codes.equals(known.areas.codes) or dict(made.characteristics) != dict(known.characteristics):
        got, expected = repr(made), repr(known)
        raise DataError("cells cannot be compared", got, expected, "give the same areas and levels")
    sizes = (len(known.areas.codes), *map(len, known.characteristics.values()))
    tables = np.zeros((3, sizes[0], int(np.prod(sizes[1:]))))
    for table, cells, values in (
        (tables[0], made, made.count), (tables[1], known, known.count), (tables[2], known, chance),
    ):  # fmt: skip
        place = np.ravel_multi_index(tuple(cells.level.T), sizes[1:])
        table[cells.area, place] = values
    m, k, p = tables
    here = (m.sum(axis=1) > 0) & (k.sum(axis=1) > 0)
    m, k, p = m[here], k[here], p[here]
    residents = k.sum(axis=1)
    m = m * (residents / m.sum(axis=1))[:, None]
    misplaced = 100 * abs(m - k).sum(axis=1) / 2 / residents
    shift = 100 * ((m - k) * p).sum(axis=1) / residents
    index = pd.Index(known.areas.codes[here], name="area_code")
    return pd.DataFrame({"residents": residents, "misplaced": misplaced, "shift": shift}, index=index)
