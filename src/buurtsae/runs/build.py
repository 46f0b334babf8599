"""From the parts of a run file to the model: terms, priors and links."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buurtsae.areas.areas import Areas
from buurtsae.model.covariates import Covariate
from buurtsae.model.links import PARTICIPATORY, SURVEY, Link
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.model.terms.base import Term
from buurtsae.runs.runfile import LinkPart, RunSpec


def model_of(spec: RunSpec, areas: Areas) -> AreaModel:
    """Return the model that a run file asks for, on the graph of its areas."""
    part, terms = spec.model, list[Term]()
    for t in part.terms:
        priors: dict[str, Any] = {}
        if t.sd is not None:
            priors["sd"] = PC(*t.sd)
        if t.mixing is not None:
            priors["mixing"] = Beta(*t.mixing)
        if t.correlation is not None:
            priors["correlation"] = LKJ(t.correlation)
        priors |= {name: getattr(t, name) for name in ("spread", "shared") if getattr(t, name) is not None}
        if t.type == "bym2":
            graph = areas.graph(spec.graph.rule, spec.graph.bridges)
            terms.append(BYM2(graph, **priors))
        elif t.level is not None:
            terms.append(IID(t.level, **priors))
    variances = spec.variances
    return AreaModel(
        part.formula,
        tuple(terms),
        Normal(*part.intercept),
        Normal(*part.coefficient),
        _link(SURVEY, part.link),
        _link(PARTICIPATORY, part.participatory),
        PC(*variances.spread) if variances.method == "joint" else None,
        tuple(Covariate(**c.model_dump()) for c in spec.covariates),
        part.missing,
    )


def _link(default: Link, part: LinkPart) -> Link:
    """The default link with the priors that the run file gives."""
    kinds = {"offset": Normal, "slope": LogNormal, "extra": PC}
    given = {name: kind(*value) for name, kind in kinds.items() if (value := getattr(part, name)) is not None}
    return replace(default, **given)  # type: ignore[arg-type]
