"""Small-area estimates: MODEL x DATA x ENGINE -> draws.

Names are imported when first used (PEP 562): `import buurtsae` loads neither pymc nor statsmodels nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.6.0"

_HOME = {
    "Areas": "areas.areas",
    "Graph": "areas.graph",
    "Crosswalk": "areas.divisions",
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
    "on_edition": "survey.editions",
    "joined": "survey.editions",
    "AreaCounts": "survey.counts",
    "Cells": "survey.cells",
    "Margin": "survey.margins",
    "Answers": "survey.answers",
    "weight_classes": "survey.weight_classes",
    "AreaModel": "model.spec",
    "Trend": "model.trend",
    "UnitModel": "model.persons.spec",
    "Factor": "model.persons.terms",
    "Ordered": "model.persons.ordered",
    "Fixed": "model.persons.terms",
    "Smooth": "model.persons.ordered",
    "Linear": "model.persons.ordered",
    "Cluster": "model.persons.terms",
    "Ladder": "model.persons.answer",
    "Number": "model.persons.answer",
    "Binomial": "model.outcome.binomial",
    "PerMeasure": "model.outcome.per_measure",
    "Poisson": "model.outcome.poisson",
    "BYM2": "model.terms",
    "OverTime": "model.terms",
    "IID": "model.terms",
    "ICAR": "model.terms",
    "Leroux": "model.terms",
    "SAR": "model.terms",
    "Ridge": "model.terms",
    "Horseshoe": "model.terms",
    "Spline": "model.terms",
    "RW1": "model.terms",
    "AR1": "model.terms",
    "Gaussian": "model.outcome.gaussian",
    "Scale": "scale",
    "Link": "model.links",
    "Break": "model.breaks",
    "Covariate": "model.covariates",
    "CovariateCatalogue": "model.covariate_catalogue",
    "covariate_catalogue": "model.covariate_catalogue",
    "PC": "model.priors",
    "Beta": "model.priors",
    "Normal": "model.priors",
    "LogNormal": "model.priors",
    "LKJ": "model.parameters",
    "InverseGamma": "model.priors",
    "HalfCauchy": "model.priors",
    "Uniform": "model.priors",
    "fit_persons": "engines.persons_fit",
    "UnitFit": "engines.unit",
    "UnitFits": "engines.units",
    "fit_units": "engines.units",
    "Fit": "engines.base",
    "fit": "engines.base",
    "Draws": "draws",
    "Estimates": "estimates.summary",
    "Rules": "estimates.labels",
    "estimate": "estimates.summary",
    "contributions": "estimates.evidence.contribution",
    "FayHerriot": "classical.area.fay_herriot",
    "SpatialFayHerriot": "classical.spatial.spatial_fay_herriot",
    "MultivariateFayHerriot": "classical.multivariate.multivariate_fay_herriot",
    "RaoYu": "classical.temporal.rao_yu",
    "SpatioTemporalFayHerriot": "classical.temporal.spatio_temporal",
    "NestedError": "classical.unit.nested_error",
    "LogFayHerriot": "classical.area.transformed",
    "ArcsineFayHerriot": "classical.area.arcsine",
    "RobustFayHerriot": "classical.area.robust",
    "MeasurementErrorFayHerriot": "classical.area.measurement_error",
    "side_by_side": "estimates.evidence.sidebyside",
    "compare": "estimates.evidence.compare",
    "left_out": "estimates.evidence.crossvalidation",
    "contrast": "estimates.contrasts",
    "changes": "estimates.changes",
    "trend": "estimates.trends",
    "without_breaks": "estimates.trends",
    "Waves": "estimates.waves",
    "estimate_waves": "estimates.waves",
    "ranking": "estimates.contrasts",
    "indicator": "estimates.indicator",
    "share_below": "estimates.indicator",
    "ratio": "estimates.indicator",
    "difference": "estimates.indicator",
    "inequality": "estimates.indicator",
    "composed": "estimates.compositions",
    "across": "estimates.disclosure.domains",
    "between": "estimates.between",
    "by_edition": "estimates.editions",
    "estimate_groups": "estimates.groups",
    "Groups": "estimates.groups",
    "sensitivity": "estimates.sensitivity",
    "NonResponse": "estimates.nonresponse",
    "nonresponse": "estimates.nonresponse",
    "Benchmarks": "estimates.benchmark.targets",
    "benchmark": "estimates.benchmark.benchmark",
    "plan": "estimates.planning.plan",
    "curves": "estimates.words.curves",
    "without_field": "estimates.words.curves",
    "publish": "publication.output",
    "RunFile": "runs.runfile",
    "run": "runs.steps",
    "run_all": "batch.many",
    "BuurtsaeError": "errors",
}
__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "opendata":
        return import_module("buurtsae.opendata")
    if name not in _HOME:
        raise AttributeError(f"module 'buurtsae' has no attribute {name!r}")
    value = getattr(import_module(f"buurtsae.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
