r"""What an estimate leans on: the buurt's characteristics, what lies around it, and its own respondents.

With m_a the posterior mean of a buurt, m_a^- the same without its own data (`crossvalidation`), x_a'b what its
covariates make expect, those of themes too, and r the mean of x'b over residents, in points of the score,

    m_a = r + (x_a'b - r) + (m_a^- - x_a'b) + (m_a - m_a^-) [+ what benchmarking added],

characteristics, surroundings (neighbours, wijk and gemeente, other sources) and own respondents, exactly additive, for
every measure of the concept by its weights. The last part gives away what the respondents answered: it is published
where the direct estimate is, and counted with the surroundings elsewhere.

Of models of persons r and x_a'b are figures of residents who are as those of all areas together, and who lives in an
area is a part of its own: the figure of its residents at x_a'b less that. The own part is at the mode of the
hyperparameters: of the area's predictor with its own answers, and without them (`evidence.persons`). Themes of
covariates are counted with the surroundings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.estimates.evidence.counts import own_part
from buurtsae.estimates.evidence.crossvalidation import own_effect
from buurtsae.estimates.evidence.persons import Added, predicted
from buurtsae.estimates.evidence.themes import effects, themes
from buurtsae.estimates.own_persons import Column, respondents
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.estimates.summary import Estimates

PARTS = ("reference", "characteristics", "composition", "surroundings", "own")  # composition: of persons only
NODES = np.polynomial.hermite_e.hermegauss(20)


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
        published estimate but for rounding. Of models of persons there is also `composition`.
    """
    weights, of = est.concept.matrix_of(est.fit.draws.subdimensions), est.fit
    parts = {
        name: (value @ weights.to_numpy().T)
        for name, value in (_persons(of) if of.persons else _subdimensions(of)).items()
    }
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
    table = table[[part for part in (*PARTS, "shift") if part in table]]
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


def _persons(fit: Fit) -> dict[str, Floats]:
    """Reference, characteristics, composition and own part of figures of persons, each of shape (N, D)."""
    found = [_of_column(fit, d) for d in range(len(fit.persons))]
    return {name: np.column_stack([part[name] for part in found]) for name in found[0]}


def _of_column(fit: Fit, d: int) -> dict[str, Floats]:
    column, figure = Column.of_fit(fit, d), fit.persons[d]
    unit = figure.fit
    beta = unit.raw.hyper["beta"][1]
    expected = unit.design.x @ beta.reshape(-1, beta.shape[2]).mean(axis=0)
    alike = column.of_all(expected)
    here = np.nan_to_num(column.figures(expected[None])[0] - alike)
    reference = float(np.average(alike, weights=fit.areas.population))
    at, asked = unit.at_mode.found, respondents(figure) > 0
    without = predicted(at, Added.of_figure(figure), {}).e
    mean = at.conditional.mean[:, 0], at.covariances[0]
    own = _mean(column, *mean) - _mean(column, *without)
    return {
        "reference": np.full(len(alike), reference),
        "characteristics": alike - reference,
        "composition": here,
        "own": np.where(asked, np.nan_to_num(own), 0.0),
    }


def _mean(column: Column, mean: Floats, variance: Floats) -> Floats:
    """Posterior means of figures, of predictors of areas that are normal."""
    e = mean + np.sqrt(np.maximum(variance, 0.0)) * NODES[0][:, None]
    return np.asarray(NODES[1] @ column.figures(e) / NODES[1].sum())
