r"""Parametric bootstrap of the MSE of an EBLUP: refit data drawn from the fitted model, whose truth is known.

With theta* = X beta + v*, y* = theta* + e*, per replication the EBLUP of y* and its BLUP with the variances of the
drawing; the naive estimate averages (EBLUP* - theta*)^2, the bias-corrected one is

    2 (g1 + g2) - mean(g1* + g2*) + mean[(EBLUP* - BLUP*)^2].

References
----------
Gonzalez-Manteiga, W., Lombardia, M.J., Molina, I., Morales, D. and Santamaria, L. (2008). Bootstrap mean squared error
of a small-area EBLUP. J. Statistical Computation and Simulation 78. Molina, I., Salvati, N. and Pratesi, M. (2009).
Bootstrap for estimating the MSE of the spatial EBLUP. Computational Statistics 24.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from buurtsae.classical.area import mse as analytic
from buurtsae.classical.area.components import Method, estimate, gls
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats, one_thread


@dataclass(frozen=True)
class Prediction:
    """What a model says of every area, given its variance components.

    Attributes
    ----------
    eblup, leading : ndarray, shape (m,)
        The predictor, and g1 + g2.
    converged : bool
    """

    eblup: Floats
    leading: Floats
    converged: bool = True


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap estimates of the MSE.

    Attributes
    ----------
    naive, corrected : ndarray, shape (m,)
    replications, failed : int
        Those used, and those left out because the fit did not converge.
    """

    naive: Floats
    corrected: Floats
    replications: int
    failed: int


@one_thread()
def bootstrap(
    draw: Callable[[np.random.Generator], tuple[Floats, Floats]],
    refit: Callable[[Floats], Prediction],
    known: Callable[[Floats], Prediction],
    leading: Floats,
    replications: int,
    seed: int | None,
) -> Bootstrap:
    """Draw and refit.

    Parameters
    ----------
    draw : callable
        Returns theta* (m,) and y* (m,), NaN where an area has no sample.
    refit, known : callable
        Predictions from y*: with all parameters estimated again, and with the variance components of the drawing.
    leading : ndarray, shape (m,)
        g1 + g2 of the fit.
    replications : int
    seed : int, optional

    Raises
    ------
    ModelError
        If less than half of the refits converge.
    """
    if replications < 2:
        raise ModelError("a bootstrap needs replications", str(replications), "2 or more", "ask for at least 200")
    rng = np.random.default_rng(seed)
    sums, used = np.zeros((3, len(leading))), 0
    for _ in range(replications):
        theta, y = draw(rng)
        found = refit(y)
        if not found.converged:
            continue
        used += 1
        sums += [(found.eblup - theta) ** 2, (found.eblup - known(y).eblup) ** 2, found.leading]
    if used < replications / 2:
        raise ModelError(
            "the bootstrap cannot be trusted",
            f"{replications - used} of {replications} refits without convergence",
            "at most half",
            "raise maxiter, or use the analytic MSE",
        )
    naive, spread, level = sums / used
    return Bootstrap(naive, 2 * leading - level + spread, used, replications - used)


def predicted(
    y: Floats, x: Floats, d: Floats, sampled: np.ndarray, sigma2_v: float, method: Method, converged: bool = True
) -> Prediction:
    """Return EBLUP and g1 + g2 of all areas of a Fay-Herriot model with this sigma2_v."""
    fit = gls(sigma2_v, y[sampled], x[sampled], d[sampled])
    eblup = x @ fit.beta
    leading = sigma2_v + np.einsum("kp,pq,kq->k", x, fit.cov_beta, x, optimize=True)
    eblup[sampled] += sigma2_v * fit.py
    found = analytic.parts(fit, sigma2_v, d[sampled], method)
    leading[sampled] = found.g1 + found.g2
    return Prediction(eblup, leading, converged)


def fay_herriot(
    beta: Floats,
    sigma2_v: float,
    x: Floats,
    d: Floats,
    sampled: np.ndarray,
    method: Method,
    replications: int,
    seed: int | None,
) -> Bootstrap:
    """Bootstrap the MSE of a Fay-Herriot fit: x (m, p), d (m,), which areas are sampled (m,)."""
    own = np.where(sampled, d, np.nan)

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
        theta = x @ beta + np.sqrt(sigma2_v) * rng.normal(size=len(x))
        return theta, theta + np.sqrt(own) * rng.normal(size=len(x))

    def refit(y: Floats) -> Prediction:
        found = estimate(y[sampled], x[sampled], d[sampled], method)
        return predicted(y, x, d, sampled, found.sigma2_v, method, found.converged)

    def known(y: Floats) -> Prediction:
        return predicted(y, x, d, sampled, sigma2_v, method)

    leading = predicted(x @ beta, x, d, sampled, sigma2_v, method).leading
    return bootstrap(draw, refit, known, leading, replications, seed)
