"""The measures of a fit: those of a concept, on the scale of the outcome that was modelled."""

from __future__ import annotations

from dataclasses import replace

from buurtsae.engines.base import Fit
from buurtsae.errors import ModelError, shown
from buurtsae.survey.concept import Concept


def measured(fit: Fit, concept: Concept | None = None) -> Concept:
    """Return the concept whose measures a fit estimates; by default `Concept.of` these, on the scale of the outcome.

    Raises
    ------
    ModelError
        If the measures of the concept have other ends than the outcome of the model, or the fit is of several years.
    """
    one_year(fit)
    scale = fit.model.outcome.scale
    if concept is None:
        return replace(Concept.of(fit.direct.subdimensions), scale=scale)
    if (concept.scale.lower, concept.scale.upper) != (scale.lower, scale.upper):
        what = "the concept is on another scale than the outcome of the model"
        ranges = f"measures {concept.scale.range}, an outcome {scale.range}"
        raise ModelError(what, ranges, "the same ends", "give AreaModel an `outcome` on the scale of the concept")
    return concept


def one_year(fit: Fit) -> None:
    """Refuse a fit of several years."""
    if years := fit.design.years:
        hint = f"take one: fit.of_year({years[-1]})"
        raise ModelError("the fit is of several years", shown(years), "one year", hint)
