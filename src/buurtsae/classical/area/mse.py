r"""Mean squared error of the EBLUP of a Fay-Herriot model, right to o(1/m), for areas with and without a sample.

With gamma = sigma2_v / (sigma2_v + D) and h = x' (X' V^{-1} X)^{-1} x, for a sampled area

    mse = g1 + g2 + 2 g3 - b (1 - gamma)^2,   g1 = gamma D,   g2 = (1 - gamma)^2 h,
    g3 = (1 - gamma)^2 var / (sigma2_v + D),

var and b the asymptotic variance and bias of the estimator of sigma2_v. For an area without: sigma2_v - b + h.

References
----------
Prasad, N.G.N. and Rao, J.N.K. (1990). JASA 85. Datta, G.S. and Lahiri, P. (2000). Statistica Sinica 10. Datta, G.S.,
Rao, J.N.K. and Smith, D.D. (2005). Biometrika 92. Li and Lahiri (2010), Yoshimori and Lahiri (2014): see `components`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from buurtsae.classical.area.components import Gls, Method
from buurtsae.classical.core import MseTerms, quadratic
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class AreaTerms(MseTerms):
    """What the analytic MSE of sampled areas is made of, and the bias of the estimator of sigma2_v.

    Attributes
    ----------
    bias : float, or ndarray, shape (m,)
    """

    bias: float | Floats

    @classmethod
    def of(cls, g1: Floats, g2: Floats, g3: Floats, shrunk: Floats, bias: float | Floats) -> Self:
        """Return them; `shrunk` (m,) is (1 - gamma)^2, the derivative of g1 by sigma2_v.

        The bias of g1 is left in where the MSE would be negative without it.
        """
        correction = -bias * shrunk
        return cls(g1, g2, g3, np.where(g1 + g2 + 2 * g3 + correction > 0, correction, 0.0), bias)


def terms(fit: Gls, sigma2_v: float, d: Floats, method: Method) -> AreaTerms:
    """Return the terms of the MSE of the EBLUP of sampled areas with sampling variances d, shape (m,)."""
    w = fit.weight
    shrunk = (d * w) ** 2
    return AreaTerms.of(
        g1=sigma2_v * d * w,
        g2=shrunk * fit.leverage / w,
        g3=shrunk * w * variance(w, method),
        shrunk=shrunk,
        bias=bias(fit, sigma2_v, method),
    )


def variance(w: Floats, method: Method) -> float:
    """Return the asymptotic variance of the estimator of sigma2_v, w = 1 / (sigma2_v + D)."""
    return float(2 * len(w) / w.sum() ** 2) if method == "fh" else float(2 / (w @ w))


def bias(fit: Gls, sigma2_v: float, method: Method) -> float:
    """Return the asymptotic bias of the estimator of sigma2_v: of order 1/m, and 0 for REML."""
    w = fit.weight
    m, squares = len(w), float(w @ w)
    if method == "fh":
        total = float(w.sum())
        return 2 * (m * squares - total**2) / total**3
    profile = -float(w @ fit.leverage) / squares  # -tr[(X'V^{-1}X)^{-1} X'V^{-2}X] / tr(V^{-2})
    if method in ("ml", "ampl_yl"):
        return profile
    if method in ("ampl", "amrl"):
        return 2 / (sigma2_v * squares) + (profile if method == "ampl" else 0.0)
    return 0.0


def synthetic(x: Floats, sigma2_v: float, bias: float | Floats, cov_beta: Floats) -> Floats:
    """Return the MSE of the synthetic predictor x'beta of areas without a sample, x of shape (k, p)."""
    return np.maximum(sigma2_v - bias, 0.0) + quadratic(x, cov_beta)
