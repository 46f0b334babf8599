"""Diagnostics of a nested error model: normality, tests of no area effect, the summary.

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

from buurtsae.classical.unit.likelihood import deviance, gls

if TYPE_CHECKING:
    from buurtsae.classical.unit.results import NestedErrorResults


def normality(results: NestedErrorResults) -> pd.DataFrame:
    """Return Jarque-Bera tests of the units' residuals and of the areas' effects; NaN where s2v is zero."""
    rows = {}
    for name, values in (("units", results.residuals), ("areas", results.standardised_effects.dropna().to_numpy())):
        found: Any = st.jarque_bera(values) if len(values) > 2 else None
        rows[name] = {"statistic": found.statistic, "pvalue": found.pvalue} if found else {}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["statistic", "pvalue"]).astype(float)


def no_area_effect(results: NestedErrorResults) -> pd.DataFrame:
    """Return the F test and the likelihood ratio test of s2v = 0: statistic and pvalue of each."""
    sample, y = results.model.sample, results.model.response
    values, axes = np.linalg.eigh(sample.within)
    kept = values > 1e-10
    within = y.within_yy - float((((axes.T @ y.within_zy)[kept]) ** 2 / values[kept]).sum())
    pooled = gls(sample, y, 0.0).squares
    rank = len(sample.n) + int(kept.sum())
    more, rest = rank - sample.p, results.nobs - rank
    f = (pooled - within) / more / (within / rest) if more > 0 and rest > 0 else np.nan
    at = np.array([0.0, results.maximum.ratio])
    ratio = float(np.maximum(deviance(sample, y, at, results.method == "reml") @ [1, -1], 0))
    return pd.DataFrame(
        {
            "statistic": [f, ratio],
            "pvalue": [st.f.sf(f, more, rest), st.chi2.sf(ratio, 1) / 2 if ratio > 0 else 1.0],
        },
        index=["F", "likelihood ratio"],
    )


def summary(results: NestedErrorResults) -> str:
    """Return the fit in text."""
    r, sizes = results, results.model.sample.n
    table = pd.DataFrame({"coef": r.params, "std err": r.bse, "z": r.tvalues, "P>|z|": r.pvalues})
    table = table.join(r.conf_int().set_axis(["[0.025", "0.975]"], axis=1))
    tests = no_area_effect(r)["pvalue"]
    notes = {
        "the ratio of the variances was given": r.fixed,
        "the estimate of sigma2_v is zero: EBLUPs are synthetic": r.at_boundary,
        "the search for the maximum did not converge": not r.converged,
    }
    weights = f"gamma {r.gamma.min():.3f} to {r.gamma.max():.3f}"
    return "\n".join(
        [
            "Nested error model (Battese-Harter-Fuller)",
            f"method {r.method.upper()}   units {r.nobs}   areas {len(sizes)}   "
            f"units per area {sizes.min()} to {sizes.max()}",
            f"sigma2_v {r.sigma2_v:.6g}   sigma2_e {r.sigma2_e:.6g}   {weights}",
            f"log-likelihood {r.llf:.4f}   AIC {r.aic:.2f}   BIC {r.bic:.2f}",
            f"no area effect: p = {tests['F']:.4g} (F), {tests['likelihood ratio']:.4g} (likelihood ratio)",
            "",
            table.to_string(float_format=lambda v: f"{v:.4f}"),
            *(f"note: {note}" for note, holds in notes.items() if holds),
        ]
    )
