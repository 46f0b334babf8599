"""The example, Voorbeeldstad: made buurten and surveys, read and estimated for documentation and first steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from buurtsae.engines.base import fit
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.runs.steps import check, example


def folder() -> Path:
    """Return the folder with the files of the example."""
    return example().parents[1] / "data" / "voorbeeldstad"


@cache
def voorbeeldstad() -> Estimates:
    """Return estimates of the example by the fast engine, with few draws: quick, not for publication."""
    inputs = check(example())
    few = {"draws": 400, "hyperparameters": 100}
    fitted = fit(inputs.model, inputs.direct, "laplace", seed=1, progress=False, **few)
    return estimate(fitted, fictitious=True)
