"""From the parts of a run file to the model: its terms, on the graph of the areas."""

from __future__ import annotations

from buurtsae.areas.areas import Areas
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID, Term
from buurtsae.runs.runfile import RunSpec, TermPart


def model_of(spec: RunSpec, areas: Areas) -> AreaModel:
    """Return the model that a run file asks for, on the graph of its areas."""
    part = spec.model
    return AreaModel(
        part.formula,
        tuple(_term(t, spec, areas) for t in part.terms),
        part.intercept,
        part.coefficient,
        part.link,
        part.participatory,
        spec.variances.spread if spec.variances.method == "joint" else None,
        spec.covariates,
        part.missing,
    )


def _term(part: TermPart, spec: RunSpec, areas: Areas) -> Term:
    keys = {name: value for name, value in part if name != "type" and value is not None}
    return IID(**keys) if part.type == "iid" else BYM2(areas.graph(spec.graph.rule, spec.graph.bridges), **keys)
