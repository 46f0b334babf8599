r"""Diagnostics of a Fay-Herriot fit: residuals, influence, normality, and whether there are area effects at all.

Residuals r = y - X beta have variances sigma2_v + D - h, h_i = x_i' (X' V^{-1} X)^{-1} x_i; with leverage
l_i = h_i / V_i Cook's distance at fixed sigma2_v is r_i^2 l_i / [p V_i (1 - l_i)^2]. Of sigma2_v = 0 the likelihood
ratio is a 50:50 mixture of 0 and chi2(1); the score y'P0 P0 y is a quadratic form in normal errors of known variance,
drawn exactly.

References
----------
Self, S.G. and Liang, K.Y. (1987). JASA 82. Cook, R.D. (1977). Technometrics 19. Datta, G., Hall, P. and Mandal, A.
(2011). Model selection by testing for the presence of small-area effects. JASA 106.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2, normaltest, shapiro

from buurtsae.classical.area.components import RESTRICTED, Gls, estimate, gls
from buurtsae.classical.core import Shaped, TestResult, one_of
from buurtsae.sparse import Floats

SHAPIRO_MOST = 5000  # its p-values are known up to here


@dataclass(frozen=True, repr=False)
class Diagnostics(Shaped):
    """Residuals and influence per sampled area.

    Attributes
    ----------
    table : DataFrame
        `residual` y - x'beta, `standardised` by its standard deviation, `leverage`, `cooks_distance`.
    normality : TestResult
        Of the standardised residuals: Shapiro-Wilk, from 5,000 areas on D'Agostino-Pearson.
    """

    table: pd.DataFrame
    normality: TestResult


def diagnose(fit: Gls, codes: pd.Index) -> Diagnostics:
    """Return the diagnostics of sampled areas."""
    w, leverage = fit.weight, fit.leverage
    residual = fit.py / w
    standardised = fit.py / np.sqrt(w * (1 - leverage))
    cook = standardised**2 * leverage / (1 - leverage) / len(fit.beta)
    table = pd.DataFrame(
        {"residual": residual, "standardised": standardised, "leverage": leverage, "cooks_distance": cook}, index=codes
    )
    name, test = ("Shapiro-Wilk", shapiro) if len(w) <= SHAPIRO_MOST else ("D'Agostino-Pearson", normaltest)
    outcome = test(standardised)
    return Diagnostics(table, TestResult(name, float(outcome.statistic), float(outcome.pvalue)))


def area_effect(
    fit: Gls,
    y: Floats,
    x: Floats,
    d: Floats,
    method: str,
    kind: Literal["lr", "score"] = "lr",
    draws: int = 999,
    seed: int | None = None,
) -> TestResult:
    """Test that sigma2_v is zero.

    Parameters
    ----------
    fit : Gls
        At the estimate of sigma2_v.
    y, x, d : ndarray
        Of the sampled areas.
    method : str
        By which sigma2_v was estimated: restricted likelihoods are compared if it restricts.
    kind : {"lr", "score"}
        Likelihood ratio, or score with a p-value from draws under the hypothesis.
    draws, seed : int
        For the score.

    Raises
    ------
    ModelError
        If the kind is unknown.
    """
    one_of(kind, ("lr", "score"), "test")
    null = gls(0.0, y, x, d)
    if kind == "lr":
        restricted = method in RESTRICTED
        if method not in ("reml", "ml"):  # of moments and adjusted likelihoods the maximum is elsewhere
            fit = gls(estimate(y, x, d, "reml" if restricted else "ml").sigma2_v, y, x, d)
        ratio = float(max(2 * (fit.loglike(restricted) - null.loglike(restricted)), 0.0))
        return TestResult("likelihood ratio", ratio, 0.5 * float(chi2.sf(ratio, 1)) if ratio > 0 else 1.0)
    q = np.linalg.qr(x / np.sqrt(d)[:, None])[0]
    rng, statistic, exceeded = np.random.default_rng(seed), float(null.py @ null.py), 0
    for _ in range(draws):  # P0 e = D^{-1/2} (I - QQ') z
        z = rng.normal(size=len(y))
        z -= q @ (q.T @ z)
        exceeded += float(z @ (z / d)) >= statistic
    return TestResult("score", statistic, (1 + exceeded) / (1 + draws))
