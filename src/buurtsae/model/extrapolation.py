r"""Areas outside what respondents tell about: a covariate beyond all areas with respondents.

    x_a < min x_s  or  x_a > max x_s  over areas s with respondents,

of a category, one that none of them has; of a theme, whose many covariates each have extremes, mean_p x_ap^2 beyond
that of all of them. Nothing is known there but by the form of the model: a linear effect goes on, with an uncertainty
that grows with the distance, and a smooth one becomes as uncertain as its prior.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from buurtsae.formula import variables
from buurtsae.model.matrix import Linear, Theme
from buurtsae.notes import Note


def extrapolated(
    part: Linear, themes: Mapping[str, Theme], live: NDArray[np.bool_], sampled: NDArray[np.bool_]
) -> dict[str, tuple[str, ...]]:
    """Return, per covariate of the formula or theme, the areas with residents that lie outside.

    Parameters
    ----------
    part : Linear
    themes : mapping of name to (names, ndarray of shape (N, P))
    live, sampled : ndarray of bool, shape (N,)
        Areas with residents, and those with respondents.
    """
    if not sampled.any():
        return {}
    far = {}
    for name in variables(part.formula):
        x = part.table[name].to_numpy()
        beyond = (x < x[sampled].min()) | (x > x[sampled].max())
        far[name] = ~np.isin(x, x[sampled]) if name in part.categories else beyond
    for name, (_, x) in themes.items():
        size = (x**2).mean(axis=1)
        far[name] = size > size[sampled].max()
    return {name: tuple(part.table.index[rows & live]) for name, rows in far.items() if (rows & live).any()}


def outside(found: Mapping[str, tuple[str, ...]]) -> list[Note]:
    """Return a note per covariate or theme, of what `extrapolated` found."""
    return [
        Note(
            "{n} areas lie outside the range of {name} in areas with respondents, where the model goes on by its form: "
            "{codes}",
            "{n} gebieden liggen buiten het bereik van {name} in gebieden met respondenten, waar het model alleen op "
            "zijn vorm doorgaat: {codes}",
            n=len(codes), name=name, codes=codes,
        )
        for name, codes in found.items()
    ]  # fmt: skip
