r"""Parametric bootstrap of a Fay-Herriot fit: theta* = X beta + v*, y* = theta* + e*, refitted; see `core`."""

from __future__ import annotations

import numpy as np

from buurtsae.classical.area import mse as analytic
from buurtsae.classical.area.components import Method, estimate, gls
from buurtsae.classical.core import Prediction, Resampling
from buurtsae.sparse import Floats


def drawn(mean: Floats, sigma2_v: float, d: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return theta* and y* (m,) about means (m,), with sampling variances d (m,), NaN where there is no sample."""
    theta = mean + np.sqrt(sigma2_v) * rng.normal(size=len(mean))
    return theta, theta + np.sqrt(d) * rng.normal(size=len(mean))


def predicted(
    y: Floats, x: Floats, d: Floats, sampled: np.ndarray, sigma2_v: float, method: Method, converged: bool = True
) -> Prediction:
    """Return EBLUP and g1 + g2 of all areas of a Fay-Herriot model with this sigma2_v."""
    fit = gls(sigma2_v, y[sampled], x[sampled], d[sampled])
    eblup, leading = x @ fit.beta, analytic.synthetic(x, sigma2_v, 0.0, fit.cov_beta)
    eblup[sampled] += sigma2_v * fit.py
    terms = analytic.terms(fit, sigma2_v, d[sampled], method)
    leading[sampled] = terms.g1 + terms.g2
    return Prediction(eblup, leading, converged)


def refitted(y: Floats, x: Floats, d: Floats, sampled: np.ndarray, method: Method) -> tuple[Prediction, float]:
    """Return what the model says once sigma2_v is estimated anew, and sigma2_v."""
    component = estimate(y[sampled], x[sampled], d[sampled], method)
    return predicted(y, x, d, sampled, component.sigma2_v, method, component.converged), component.sigma2_v


def resampling(beta: Floats, sigma2_v: float, x: Floats, d: Floats, sampled: np.ndarray, method: Method) -> Resampling:
    """Return what `core.bootstrap` needs of a Fay-Herriot fit: x (m, p), d (m,), which areas are sampled (m,)."""
    mean, noise = x @ beta, np.where(sampled, d, np.nan)
    return (
        lambda rng: drawn(mean, sigma2_v, noise, rng),
        lambda y: refitted(y, x, d, sampled, method)[0],
        lambda y: predicted(y, x, d, sampled, sigma2_v, method),
        predicted(mean, x, d, sampled, sigma2_v, method).leading,
    )
