r"""Huber's equations of a Fay-Herriot model, V = sigma2_v + D, z = (y - x'beta) / sqrt(V), psi(z) = min(max(z, -k), k):

    sum x psi(z) / sqrt(V) = 0,   sum [psi(z)^2 - K] / V = 0,   K = E psi(Z)^2 of a standard normal Z.

Given sigma2_v the first minimises a convex function, to which reweighted least squares fall; along it the second is
an equation in sigma2_v alone, bracketed and solved by Brent's method. Of several roots the one is kept with the largest
-sum [K log V + chi(z)] / 2, chi' = 2 psi^2 / z, whose derivative by sigma2_v it is: for k = inf the log-likelihood.
The effect solves psi((r - v) / sqrt(D)) / sqrt(D) = psi(v / s) / s, r = y - x'beta, s^2 = sigma2_v. Both sides are

    g = r / V, cut at +-k / max(s, sqrt(D)):   v = sigma2_v g if sigma2_v <= D,  v = r - D g if sigma2_v > D,

so that the more variable of effect and sampling error takes what is gross. Under the model, with t = k sqrt(V) / max(s,
sqrt(D)), P = P(|Z| < k), kappa = E[Z^2; |Z| < k], leverages l and w = 1 / V,

    cov(beta) = K / P^2 (X' V^{-1} X)^{-1},   var(sigma2_v) = Var psi(Z)^2 / (kappa^2 sum w^2),
    g1 = gamma D + min(gamma, 1 - gamma)^2 V E[(|Z| - t)_+^2],
    bias(sigma2_v) = -(2 P - K) / P^2 sum w l / sum w^2 + drift sum w^3 / (sum w^2)^2,

the last by expansion of the equations to order 1/m; g2 and g3 are mean squared slopes of the predictor in beta and
sigma2_v times these variances. The MSE is that of `mse` for maximum likelihood if k = inf.

References
----------
Fellner, W.H. (1986). Robust estimation of variance components. Technometrics 28. Sinha, S.K. and Rao, J.N.K. (2009).
Robust small area estimation. Canadian J. Statistics 37. Warnholz, S. (2016). Small area estimation using robust
extensions to area level models. Dissertation, Freie Universitaet Berlin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.linalg as la
from scipy.optimize import brentq
from scipy.stats import norm

from buurtsae.classical.area.components import STARTS, Gls
from buurtsae.classical.area.mse import AreaTerms
from buurtsae.classical.core import Shaped
from buurtsae.sparse import Floats

REWEIGHTINGS = 500
FALLEN = 1e-11  # of the standardised residuals, at which reweighting stops
FAR = 100.0  # standard deviations beyond which a normal has nothing


@dataclass(frozen=True)
class Moments:
    """Of a standard normal Z and psi(Z): P(|Z| < k), E psi^2, Var psi^2, E[Z^2; |Z| < k], and the drift above."""

    inside: float
    square: float
    spread: float
    slope: float
    drift: float

    @classmethod
    def of(cls, k: float) -> Moments:
        """Return those of k, which may be infinite."""
        k = min(k, FAR)
        inside, density, tail = 2 * norm.cdf(k) - 1, norm.pdf(k), 2 * norm.sf(k)
        slope = inside - 2 * k * density
        fourth = 3 * slope - 2 * k**3 * density  # E[Z^4; |Z| < k]
        square = slope + k**2 * tail
        spread = fourth + k**4 * tail - square**2
        drift = (5 * slope + fourth) * spread / (4 * slope**3) - (spread + fourth - square * slope) / slope**2
        return cls(*map(float, (inside, square, spread, slope, drift)))


@dataclass(frozen=True, repr=False)
class Solution(Shaped):
    """What solves the equations.

    Attributes
    ----------
    sigma2_v : float
    beta : ndarray, shape (p,)
    converged : bool
    trace : tuple of (float, float)
        sigma2_v and the left side of its equation, at every evaluation.
    """

    sigma2_v: float
    beta: Floats
    converged: bool
    trace: tuple[tuple[float, float], ...]


def share(z: Floats, k: float) -> Floats:
    """Return the weights psi(z) / z, at most 1."""
    return np.divide(np.clip(z, -k, k), z, out=np.ones_like(z), where=z != 0)


def regress(y: Floats, x: Floats, weight: Floats, k: float, beta: Floats) -> tuple[Floats, bool]:
    """Solve the equation of beta, from a first guess, for weights 1 / V (m,); also return whether it is solved."""
    root = np.sqrt(weight)
    for _ in range(REWEIGHTINGS):
        r = y - x @ beta
        both = np.sqrt(weight * share(root * r, k))
        step = la.lstsq(both[:, None] * x, both * r, check_finite=False, lapack_driver="gelsy")[0]
        beta = beta + step
        if np.abs(root * (x @ step)).max() <= FALLEN * (1 + np.abs(root * (x @ beta)).max()):
            return beta, True
    return beta, False


def estimate(y: Floats, x: Floats, d: Floats, k: float, tol: float = 1e-10, maxiter: int = 100) -> Solution:
    """Solve both equations for direct estimates y (m,), covariates x (m, p) and sampling variances d (m,)."""
    beta, reached = np.zeros(x.shape[1]), True
    square, trace = Moments.of(k).square, []

    def equation(sigma2_v: float) -> float:
        nonlocal beta, reached
        weight = 1 / (sigma2_v + d)
        beta, reached = regress(y, x, weight, k, beta)
        value = float(weight @ (np.clip(np.sqrt(weight) * (y - x @ beta), -k, k) ** 2 - square))
        trace.append((sigma2_v, value))
        return value

    def criterion(sigma2_v: float) -> float:
        weight = 1 / (sigma2_v + d)
        z = np.abs(np.sqrt(weight) * (y - x @ regress(y, x, weight, k, beta)[0]))
        chi = np.minimum(z, k) ** 2
        chi[z > k] += 2 * k**2 * np.log(z[z > k] / k)
        return float(square * np.log(weight).sum() - chi.sum()) / 2

    scale = float(np.median(d))
    values = {scale * s: equation(scale * s) for s in STARTS}
    while values[last := max(values)] > 0:  # it ends: as sigma2_v grows, psi^2 vanishes
        values[10 * last] = equation(10 * last)
    roots, solved = [0.0] if values[0.0] <= 0 else [], True
    for low, high in pairwise(values):
        if values[low] > 0 >= values[high]:
            root, search = brentq(
                equation, low, high, xtol=tol * tol * scale, rtol=max(tol, 1e-15), maxiter=maxiter,
                full_output=True, disp=False,
            )  # fmt: skip
            roots.append(float(root))
            solved &= search.converged
    at = max(roots, key=criterion) if len(roots) > 1 else roots[0]
    equation(at)
    return Solution(at, beta, solved and reached, tuple(trace))


def effects(r: Floats, d: Floats, sigma2_v: float, k: float) -> Floats:
    """Solve the equation of the effects for residuals r = y - x'beta (m,) and sampling variances d (m,)."""
    most = k / np.sqrt(np.maximum(sigma2_v, d))
    g = np.clip(r / (sigma2_v + d), -most, most)
    return np.where(sigma2_v <= d, sigma2_v * g, r - d * g)


def terms(fit: Gls, sigma2_v: float, d: Floats, k: float) -> AreaTerms:
    """Return the terms of the MSE of sampled areas, given least squares at sigma2_v.

    g3 is the mean of what the error of sigma2_v adds to the MSE and of what the curvature of g1 hides of it: in the
    ordinary model the same. Products of order 1/m with what huberising changes are left out: the bootstrap has them.
    """
    w, z, low = fit.weight, Moments.of(k), sigma2_v <= d
    squares, more, shrunk = float(w @ w), np.maximum(sigma2_v, d), (d * w) ** 2
    t = np.minimum(k / np.sqrt(more * w), FAR)
    density, tail = norm.pdf(t), 2 * norm.sf(t)
    variance = z.spread / (z.slope**2 * squares)
    steep = t**2 * w * np.where(low, 1.0, (d / more) ** 2 / 4)  # (dv / dsigma2_v)^2 of an effect that is cut
    cost = (1 + t**2) * tail - 2 * t * density  # E[(|Z| - t)_+^2]
    profile = -(2 * z.inside - z.square) / z.inside**2 * float(w @ fit.leverage) / squares
    return AreaTerms.of(
        g1=sigma2_v * w * d + np.minimum((sigma2_v * w) ** 2, shrunk) / w * cost,
        g2=(shrunk * (1 - tail) + low * tail) * fit.leverage / w * z.square / z.inside**2,
        g3=variance * (shrunk * w * (2 - tail - 2 * t * density) + steep * tail) / 2,
        shrunk=shrunk,
        bias=profile + z.drift * float(w @ w**2) / squares**2,
    )
