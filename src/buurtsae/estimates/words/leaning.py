r"""What an estimate leans on: the buurt's characteristics, what lies around it, and its own respondents.

With m_a the posterior mean of a buurt, m_a^- the same without its own data (`crossvalidation`), x_a'b what its
covariates make expect, those of themes too, and r the mean of x'b over residents, in points of the score,

    m_a = r + (x_a'b - r) + (m_a^- - x_a'b) + (m_a - m_a^-) [+ what benchmarking added],

characteristics, surroundings (neighbours, wijk and gemeente, other sources) and own respondents, exactly additive, for
every measure of the concept by its weights. The last part gives away what the respondents answered: it is published
where the direct estimate is, and counted with the surroundings elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence.counts import own_part
from buurtsae.estimates.evidence.crossvalidation import own_effect
from buurtsae.estimates.evidence.themes import effects, themes
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.estimates.summary import Estimates

PARTS = ("reference", "characteristics", "surroundings", "own")


def leaning(est: Estimates) -> pd.DataFrame:
    """Split the published estimates of the buurten into what they lean on.

    Parameters
    ----------
    est : Estimates

    Returns
    -------
    DataFrame
        Indexed by `area_code` and `measure`: `reference`, `characteristics`, `surroundings`, `own` (missing where too
        few respondents answered: `surroundings` then has both) and, after benchmarking, `shift`. They add up to the
        published estimate but for rounding.

    Raises
    ------
    ModelError
        Of figures of a model of persons: what they lean on is not known.
    """
    weights = est.concept.matrix_of(est.fit.draws.subdimensions)
    parts = {name: (value @ weights.to_numpy().T) for name, value in _subdimensions(est.fit).items()}
    index = pd.MultiIndex.from_product([est.areas.codes, weights.index], names=["area_code", "measure"])
    table = pd.DataFrame({name: value.ravel() for name, value in parts.items()}, index=index)
    rows = est.published
    shown = rows[(rows["level"] == est.areas.base) & rows["estimate"].notna()].set_index(["area_code", "measure"])
    table = table.loc[shown.index]
    model = est.model_table
    model = model[model["level"] == est.areas.base].set_index(["area_code", "measure"])["estimate"].loc[shown.index]
    table["surroundings"] = model - table.sum(axis=1)  # what brings an estimate to the scale is in here
    if est.benchmarked is not None:
        table["shift"] = shown["estimate"] - model
    hidden = ~est.release.shown_direct(est.areas.base, table.index.get_level_values("area_code"))
    table.loc[hidden, "surroundings"] += table.loc[hidden, "own"]
    table.loc[hidden, "own"] = np.nan
    table = table[[*PARTS, *(["shift"] if "shift" in table else [])]]
    for measure in weights.index:
        rows = table.index.get_level_values("measure") == measure
        table.loc[rows] = table.loc[rows].round(est.concept.scale_of(measure).digits + 1)
    return table


def _subdimensions(fit: Fit) -> dict[str, Floats]:
    """Reference, characteristics and own part, each of shape (N, D)."""
    counted = fit.design.size is not None
    own = own_part(fit) if counted else own_effect(fit)
    beta = fit.draws.hyper["beta"][1]
    expected = fit.design.x @ beta.reshape(-1, *beta.shape[2:]).mean(axis=0)
    expected = sum((effect for effect, _ in effects(fit, list(themes(fit).values()))), expected)
    if counted:  # on the scale of what is counted, not of its link
        outcomes = outcomes_of(fit.model.outcome, fit.draws.subdimensions)
        expected = np.column_stack([one.mean(expected[:, d]) for d, one in enumerate(outcomes)])
    reference = np.average(expected, axis=0, weights=fit.areas.population)
    return {
        "reference": np.tile(reference, (len(expected), 1)),
        "characteristics": expected - reference,
        "own": own,
    }
