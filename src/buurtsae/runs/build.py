"""From the parts of a run file to the model: its terms, on the graph of the areas."""

from __future__ import annotations

from functools import partial

from buurtsae.areas.areas import Areas
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import TERMS
from buurtsae.runs.runfile import RunSpec
from buurtsae.scale import Scale


def model_of(spec: RunSpec, areas: Areas, scale: Scale) -> AreaModel:
    """Return the model that a run file asks for, on the graph of its areas and the scale of its concept."""
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
        Gaussian(scale),
        part.estimand,
        part.smooth,
    )
