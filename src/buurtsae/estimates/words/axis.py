"""One covariate of a formula on its own scale: values, the rows of the model matrix there, and how many buurten it has.

The formula's own model matrix is made at new values: what is transformed and standardised stays so, also inside
functions of the formula. A covariate is categorical where the formula makes it so, as ``C(x)`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.formula import interacting, matrix
from buurtsae.model.covariates import TRANSFORMS, Provenance
from buurtsae.model.matrix import TERMS, linear
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Axis:
    """Values of a covariate, and contrasts between them.

    Attributes
    ----------
    covariate : Provenance
    categorical : bool
    reference : float
        Mean over residents, or the commonest category.
    support : DataFrame, G rows
        `value`, and `buurten_below`, `residents_below`: shares with at most this value; of categories `buurten` and
        `residents`, shares with this value.
    rows : ndarray, shape (G, P)
        Of the model matrix, less that at the reference.
    low, high : ndarray, shape (H,)
        From where to where the contrasts run: the 10% and 90% points over buurten, or from the commonest category.
    contrasts : ndarray, shape (H, P)
    held : tuple of str
        Covariates that it interacts with.
    buurten : int
        Inhabited buurten with a value.
    """

    covariate: Provenance
    categorical: bool
    reference: float
    support: pd.DataFrame
    rows: Floats
    low: Floats
    high: Floats
    contrasts: Floats
    held: tuple[str, ...]
    buurten: int

    @classmethod
    def of(cls, fit: Fit, covariate: str, grid: int) -> Axis:
        """Return the axis of a covariate of the formula, with so many values where it is numeric."""
        part = linear(fit.model, fit.areas)
        prepared, grouped = part.table, part.categories
        spec = matrix(part.formula, prepared, TERMS).model_spec
        areas, live = fit.areas, fit.areas.inhabited
        known = areas.frame.loc[live, covariate].astype(float).dropna()
        residents = pd.Series(areas.population, index=areas.codes)[known.index]
        provenance = next(entry for entry in part.covariates if entry.name == covariate)

        def at(values: Floats) -> Floats:
            """Rows of the model matrix where the covariate has these values."""
            if covariate in grouped:
                place = [known.index[known == value][0] for value in values]
                column = prepared.loc[place, covariate].to_numpy()
            else:
                column = (TRANSFORMS[provenance.transform][0](values) - provenance.mean) / provenance.sd
            rest = {name: _held(prepared.loc[live, name], areas.population[live], name in grouped) for name in prepared}
            return np.asarray(matrix(spec, pd.DataFrame(rest | {covariate: column}), TERMS), dtype=float)

        if covariate in grouped:
            buurten, people = known.value_counts().sort_index(), residents.groupby(known).sum()
            reference, values = float(buurten.idxmax()), buurten.index.to_numpy()
            high = values[values != reference]
            low = np.full(len(high), reference)
            shares = {"buurten": buurten / len(known), "residents": people / residents.sum()}
        else:
            reference = float(np.average(known, weights=residents))
            values = np.linspace(known.min(), known.max(), grid)
            low, high = (np.array([point]) for point in known.quantile([0.1, 0.9]))
            if low[0] == high[0]:  # nearly all buurten have one value
                low, high = values[:1], values[-1:]
            below = known.to_numpy() <= values[:, None]
            shares = {"buurten_below": below.mean(axis=1), "residents_below": below @ residents / residents.sum()}
        support = pd.DataFrame({"value": values} | {name: np.asarray(share) for name, share in shares.items()})
        rows, contrasts = at(values) - at(np.array([reference])), at(high) - at(low)
        held = interacting(part.formula, covariate)
        return cls(provenance, covariate in grouped, reference, support, rows, low, high, contrasts, held, len(known))


def _held(values: pd.Series, population: Floats, categorical: bool) -> float:
    """The commonest category, or the mean over residents."""
    return float(values.mode().iloc[0] if categorical else np.average(values, weights=population))
