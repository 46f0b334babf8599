"""Diagnostics of a nested error model: normality, and tests of no area effect.

With T the squares left by the covariates and W those left by covariates and dummies of the areas together (rank q),
F = ((T - W) / (q - p)) / (W / (n - q)) has an exact F distribution if s2v = 0. The likelihood ratio against s2v = 0, on
the edge of what is possible, is compared with half a chi2(0) and half a chi2(1): conservative in small samples.

References
----------
Self, S.G. and Liang, K.-Y. (1987). JASA 82. Wald, A. (1947). Annals of Mathematical Statistics 18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.stats as st

from buurtsae.classical.core import TestResult, one_of
from buurtsae.classical.unit.likelihood import deviance, gls

if TYPE_CHECKING:
    from buurtsae.classical.unit.results import NestedErrorResults


def normality(results: NestedErrorResults) -> pd.DataFrame:
    """Return Jarque-Bera tests of the units' residuals and of the areas' effects; NaN where s2v is zero."""
    rows = {}
    for name, values in (("units", results.residuals), ("areas", results.standardised_effects.dropna().to_numpy())):
        test: Any = st.jarque_bera(values) if len(values) > 2 else None
        rows[name] = {"statistic": test.statistic, "pvalue": test.pvalue} if test else {}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["statistic", "pvalue"]).astype(float)


def area_effect(results: NestedErrorResults, kind: str) -> TestResult:
    """Return the F test, or the likelihood ratio test, of s2v = 0."""
    one_of(kind, ("lr", "f"), "test")
    sample, y = results.model.sample, results.model.answers
    if kind == "lr":
        ratios = np.array([0.0, results.maximum.ratio])
        ratio = float(np.maximum(deviance(sample, y, ratios, results.method == "reml") @ [1, -1], 0))
        return TestResult("likelihood ratio", ratio, float(st.chi2.sf(ratio, 1)) / 2 if ratio > 0 else 1.0)
    values, axes = np.linalg.eigh(sample.within)
    kept = values > 1e-10
    within = y.within_yy - float((((axes.T @ y.within_zy)[kept]) ** 2 / values[kept]).sum())
    pooled = gls(sample, y, 0.0).squares
    rank = len(sample.n) + int(kept.sum())
    more, rest = rank - sample.p, results.nobs - rank
    f = (pooled - within) / more / (within / rest) if more > 0 and rest > 0 else np.nan
    return TestResult("F", f, float(st.f.sf(f, more, rest)))
