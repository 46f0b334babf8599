"""The measures of a fit: those of a concept, on the scale of the outcome that was modelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from buurtsae.engines.base import Fit
from buurtsae.errors import ModelError, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.per_measure import outcome_of
from buurtsae.scale import Scale
from buurtsae.survey.concept import Concept, Measure


def measured(fit: Fit, concept: Concept | None = None) -> Concept:
    """Return the concept whose measures a fit estimates; by default `Concept.of` these, on the scale of the outcome.

    Raises
    ------
    ModelError
        If the measures of the concept have other ends than the outcome of the model, or the fit is of several years.
    """
    one_year(fit)
    scales = scales_of(fit.model.outcome, fit.direct.subdimensions)
    if concept is None:
        concept = Concept.of(fit.direct.subdimensions)
        if len(set(scales.values())) == 1:
            return replace(concept, scale=next(iter(scales.values())))
        known = {} if len(concept.nodes) > len(scales) else concept.nodes  # means of unlike measures are none
        return replace(concept, nodes=known or {m: Measure(m, m, m, m) for m in scales}).on(scales)
    measures = {name: concept.scale_of(name) for name in concept.subdimensions if name in scales}
    if wrong := [m for m, scale in measures.items() if not scale.same_ends(scales[m])]:
        what = "the concept is on another scale than the outcome of the model"
        of = f" of {shown(wrong)}" if len(wrong) < len(scales) else ""
        ranges = f"measures{of} {measures[wrong[0]].range}, an outcome {scales[wrong[0]].range}"
        raise ModelError(what, ranges, "the same ends", "give AreaModel an `outcome` on the scale of the concept")
    return concept


def scales_of(outcome: Outcome, measures: Iterable[str]) -> dict[str, Scale]:
    """Return the scale of each measure under an outcome, which may have one per measure."""
    each = getattr(outcome, "outcomes", {})
    return {measure: each[measure].scale if measure in each else outcome.scale for measure in measures}


def shares_of(outcome: Outcome, concept: Concept, measures: Iterable[str]) -> set[str]:
    """Return which measures are shares under an outcome: means of several shares are."""
    return {
        measure
        for measure in measures
        if all(isinstance(outcome_of(outcome, leaf), Binomial) for leaf in concept.leaves(measure))
    }


def one_year(fit: Fit) -> None:
    """Refuse a fit of several years."""
    if years := fit.design.years:
        hint = f"take one: fit.of_year({years[-1]})"
        raise ModelError("the fit is of several years", shown(years), "one year", hint)
