"""Small-area estimates of buurtverbondenheid: MODEL x DATA x ENGINE -> draws.

Names are imported when first used (PEP 562): `import buurtsae` loads neither pymc nor statsmodels nor matplotlib.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Areas": "areas.areas",
    "Graph": "areas.graph",
    "Concept": "survey.concept",
    "Codebook": "survey.codebook",
    "Survey": "survey.survey",
    "Scores": "survey.scales",
    "scale_scores": "survey.scales",
    "Reliability": "survey.reliability",
    "reliability": "survey.reliability",
    "Calibration": "survey.population_totals",
    "ReplicatePlan": "survey.replicates",
    "DirectEstimates": "survey.direct",
    "direct": "survey.direct",
    "AreaModel": "model.spec",
    "BYM2": "model.terms",
    "IID": "model.terms",
    "Link": "model.links",
    "Covariate": "model.covariates",
    "PC": "model.priors",
    "Beta": "model.priors",
    "Normal": "model.priors",
    "LogNormal": "model.priors",
    "LKJ": "model.priors",
    "Fit": "engines.base",
    "fit": "engines.base",
    "Draws": "draws",
    "Estimates": "estimates.summary",
    "Rules": "estimates.labels",
    "estimate": "estimates.summary",
    "contributions": "estimates.contribution",
    "FayHerriot": "classical.area.fay_herriot",
    "SpatialFayHerriot": "classical.spatial.spatial_fay_herriot",
    "MultivariateFayHerriot": "classical.multivariate.multivariate_fay_herriot",
    "NestedError": "classical.unit.nested_error",
    "LogFayHerriot": "classical.area.transformed",
    "ArcsineFayHerriot": "classical.area.arcsine",
    "RobustFayHerriot": "classical.area.robust",
    "MeasurementErrorFayHerriot": "classical.area.measurement_error",
    "side_by_side": "estimates.sidebyside",
    "compare": "estimates.compare",
    "left_out": "estimates.crossvalidation",
    "contrast": "estimates.contrasts",
    "ranking": "estimates.contrasts",
    "sensitivity": "estimates.sensitivity",
    "Benchmarks": "estimates.targets",
    "benchmark": "estimates.benchmark",
    "plan": "estimates.planning",
    "curves": "estimates.curves",
    "without_field": "estimates.curves",
    "publish": "publish.output",
    "RunFile": "runfile",
    "run": "pipeline",
    "BuurtsaeError": "errors",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'buurtsae' has no attribute {name!r}")
    value = getattr(import_module(f"buurtsae.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps public names: importing the subpackage `publish` would put it in the place of the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
