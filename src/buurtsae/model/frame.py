"""The frame of a model: whose scores there are, in which years and of which measures; labels for what `Design` has."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from buurtsae.areas.areas import Areas


@dataclass(frozen=True)
class Frame:
    """What a term is laid on: N areas, and columns = years x measures.

    Attributes
    ----------
    areas : Areas
    covariates : DataFrame, shape (N, number of covariates)
        Of the formula, transformed and standardised over inhabited areas.
    measures : tuple of str
        D of them.
    years : tuple of int
        T of them; empty where there is one period, whatever its year.
    waves : tuple of int
        Those that have data; empty where all have.
    """

    areas: Areas
    covariates: pd.DataFrame
    measures: tuple[str, ...]
    years: tuple[int, ...] = ()
    waves: tuple[int, ...] = ()
