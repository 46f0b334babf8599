"""The example, Voorbeeldstad: made buurten and surveys, read and estimated for documentation and first steps."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from buurtsae.engines.base import fit
from buurtsae.errors import DataError
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.runs.steps import check


def example(*, years: bool = False) -> Path:
    """Return the run file of the example, or of its three waves: inside the installed package, or in the checkout."""
    name = "voorbeeldstad_jaren.toml" if years else "voorbeeldstad.toml"
    inside = Path(str(resources.files("buurtsae"))) / "example" / "models" / name
    checkout = Path(__file__).parents[3] / "models" / name
    for path in (inside, checkout):
        if path.is_file():
            return path
    raise DataError("the example is not installed", f"no file {inside}", name, "install the package again")


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
