"""From the parts of a run file to the model: its terms, on the graph of the areas."""

from __future__ import annotations

from functools import partial

from buurtsae.areas.areas import Areas
from buurtsae.errors import ModelError, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import TERMS
from buurtsae.runs.runfile import RunSpec
from buurtsae.survey.concept import Concept


def model_of(spec: RunSpec, areas: Areas, concept: Concept) -> AreaModel:
    """Return the model that a run file asks for, on the graph of its areas and with the outcomes of its concept."""
    part = spec.model
    graph = partial(areas.graph, spec.graph.rule, spec.graph.bridges)
    return AreaModel(
        part.formula,
        tuple(TERMS[term.type].made({k: v for k, v in term if k != "type"}, graph) for term in part.terms),
        part.intercept,
        part.coefficient,
        part.link,
        part.participatory,
        spec.variances.spread if spec.variances.method == "joint" else None,
        spec.covariates,
        part.missing,
        outcome_of(concept),
        part.estimand,
        part.smooth,
    )


def outcome_of(concept: Concept) -> Outcome:
    """Return the outcome of a concept's measures: one for all where these are scores on one scale.

    Raises
    ------
    ModelError
        If answers of a measure are ordinal: figures of areas have no place for these.
    """
    measures = concept.subdimensions
    if ordinal := [measure for measure in measures if concept.outcome_of(measure) == "ordinal"]:
        hint = "give them the outcome share or score, or model persons"
        raise ModelError("ordered answers are modelled per person", shown(ordinal), "score, share or count", hint)
    if concept.alike and concept.outcome_of(measures[0]) == "score":
        return Gaussian(concept.scale_of(measures[0]))
    return PerMeasure({measure: _outcome(concept, measure) for measure in measures})


def _outcome(concept: Concept, measure: str) -> Outcome:
    scale = concept.scale_of(measure)
    match concept.outcome_of(measure):
        case "share":
            return Binomial(effective=True, scale=scale)
        case "count":
            return Poisson(effective=True)
        case _:
            return Gaussian(scale)
