r"""From the scale of a transformed Fay-Herriot model back: predictors of exp(theta) and sin^2(theta), and their MSE.

Given the parameters theta_i | y ~ N(theta_hat, g1), g1 = sigma2_v (1 - gamma), and g1 = sigma2_v without a sample
(gamma = 0). The best predictor of exp(theta) is exp(theta_hat + g1 / 2); with nu = x'beta, s = (1 - gamma)^2,
w = 1 / (sigma2_v + D), h = x' (X' V^{-1} X)^{-1} x and k = exp(-g1) its MSE is, right to o(1/m),

    M = exp(2 nu + 2 sigma2_v) (1 - k),   and   s exp(2 nu + sigma2_v (1 + gamma)) [h + var ((1 + 3 gamma)^2 / 4 + w)],

var and b the asymptotic variance and bias of the estimator of sigma2_v; what M is expected to gain by estimated
parameters, 2 h M + M' b + M'' var / 2, is subtracted. A proportion is p = sin^2(theta), theta cut off at 0 and pi/2,

    E p = [Phi(b) - Phi(a)] / 2 - Re{exp(2 i mu - 2 s^2) [Phi(b - 2 i s) - Phi(a - 2 i s)]} / 2 + Phi(-b)

for theta ~ N(mu, s^2), a = -mu / s, b = (pi / 2 - mu) / s; (1 - cos(2 mu) exp(-2 s^2)) / 2 if none is cut off.

References
----------
Slud, E. and Maiti, T. (2006). Mean-squared error estimation in transformed Fay-Herriot models. JRSS B 68. Hadam, S.,
Wuerz, N. and Kreutzmann, A.-K. (2020). Estimating regional unemployment with mobile network data. FU Berlin.
Gonzalez-Manteiga, W. et al. (2008): see `core`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from buurtsae.classical.area.bootstrap import drawn, refitted
from buurtsae.classical.area.components import Method
from buurtsae.classical.core import Prediction, replicates
from buurtsae.sparse import Floats, one_thread


def crude(theta: Floats, mse: Floats) -> tuple[Floats, Floats]:
    """Return exp(theta_hat + mse / 2) and its MSE by the delta method, from theta_hat and its MSE, shape (m,)."""
    estimate = np.exp(theta + mse / 2)
    return estimate, estimate**2 * mse


def slud_maiti(
    theta: Floats, nu: Floats, sigma2_v: float, w: Floats, h: Floats, var: float, bias: float
) -> tuple[Floats, Floats]:
    """Return the best predictor of exp(theta) with estimated parameters, and its MSE.

    Parameters
    ----------
    theta, nu : ndarray, shape (m,)
        EBLUP and synthetic part x'beta on the scale of the model.
    sigma2_v : float
    w : ndarray, shape (m,)
        1 / (sigma2_v + D); 0 for areas without a sample.
    h : ndarray, shape (m,)
        Variance of nu.
    var, bias : float
        Of the estimator of sigma2_v.

    Returns
    -------
    estimate, mse : ndarray, shape (m,)
        Where the bias of M would make the MSE negative it is not subtracted.
    """
    gamma = sigma2_v * w
    s, g1 = (1 - gamma) ** 2, sigma2_v * (1 - gamma)
    k, square = np.exp(-g1), np.exp(2 * nu + 2 * sigma2_v)
    leading = square * (1 - k)
    estimated = s * np.exp(2 * nu + sigma2_v * (1 + gamma)) * (h + var * ((1 + 3 * gamma) ** 2 / 4 + w))
    slope = square * (2 - (2 - s) * k)
    curvature = square * (4 - (4 - 4 * s + s**2 + 2 * s * w) * k)
    mse = leading + estimated - (2 * h * leading + slope * bias + curvature * var / 2)
    return np.exp(theta + g1 / 2), np.where(mse >= 0, mse, leading + estimated)


def sine_squared(theta: Floats) -> Floats:
    """Return the proportion sin^2(theta): 0 below 0, 1 above pi/2."""
    return np.sin(np.clip(theta, 0, np.pi / 2)) ** 2


def expected_sine_squared(mu: Floats, variance: Floats) -> Floats:
    """Return the expectation of `sine_squared` of normal theta with these means and variances, shape (m,)."""
    s = np.sqrt(np.maximum(variance, 1e-24))  # far below what a sample can tell, and no division by zero
    a, b = -mu / s, (np.pi / 2 - mu) / s
    inside = _phi(b) - _phi(a)
    wave = np.exp(2j * mu - 2 * s**2) * (_phi(b - 2j * s) - _phi(a - 2j * s))
    return np.clip((inside.real - wave.real) / 2 + _phi(-b).real, 0, 1)


def _phi(z: Floats | NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Normal distribution function, also of complex numbers."""
    return (1 + erf(np.asarray(z, dtype=complex) / np.sqrt(2))) / 2


@one_thread()
def sine_bootstrap(
    beta: Floats,
    sigma2_v: float,
    x: Floats,
    d: Floats,
    sampled: NDArray[np.bool_],
    method: Method,
    corrected: bool,
    replications: int,
    seed: int | None,
) -> Floats:
    """Draw data from the fitted model, refit, and return the errors p_hat* - p* of all areas.

    Parameters
    ----------
    beta, sigma2_v : ndarray, shape (p,), and float
        Of the fit.
    x, d : ndarray, shape (m, p) and (m,)
        Covariates, and sampling variances where there is a sample.
    sampled : ndarray of bool, shape (m,)
    method : str
    corrected : bool
        The estimate is the expectation of p, not sin^2(theta_hat).
    replications : int
    seed : int, optional

    Returns
    -------
    ndarray, shape (r, m)
        Of the r refits that converged.

    Raises
    ------
    ModelError
        As `core.replicates`.
    """
    mean, noise = x @ beta, np.where(sampled, d, np.nan)

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
        theta, y = drawn(mean, sigma2_v, noise, rng)
        return sine_squared(theta), y

    def refit(y: Floats) -> Prediction:
        linear, sigma2 = refitted(y, x, d, sampled, method)
        gamma = np.where(sampled, sigma2 / (sigma2 + np.where(sampled, d, 1)), 0)
        return replace(linear, eblup=proportion(linear.eblup, sigma2 * (1 - gamma), corrected))

    return np.array([p.eblup - truth for truth, _, p in replicates(draw, refit, replications, seed)])


def proportion(theta: Floats, g1: Floats, corrected: bool) -> Floats:
    """Return the expectation of p given theta ~ N(theta_hat, g1), or sin^2(theta_hat)."""
    return expected_sine_squared(theta, g1) if corrected else sine_squared(theta)
