r"""The variance between areas, sigma2_v, of a Fay-Herriot model: V = diag(sigma2_v + D_i), O(m) per evaluation.

With P = V^{-1} - V^{-1} X (X' V^{-1} X)^{-1} X' V^{-1} the profile and restricted log-likelihoods have the scores
[y'PPy - tr(V^{-1})] / 2 and [y'PPy - tr(P)] / 2 and the expected information tr(V^{-2}) / 2 and tr(P^2) / 2; Fisher
scoring, or Newton's method where the likelihood is concave, climbs with halved steps from the best of a few starting
values to the maximum over sigma2_v >= 0: scoring alone goes to and fro where both informations differ much. Moments
solve y'Py = m - p. Adjusted likelihoods are multiplied by sigma2_v, or by arctan(sum gamma_i)^{1/m}: never zero.

References
----------
Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, section 6.1. Fay, R.E. and Herriot, R.A. (1979). JASA 74.
Li, H. and Lahiri, P. (2010). J. Multivariate Analysis 101. Yoshimori, M. and Lahiri, P. (2014). Ibid. 124.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy.linalg as la

from buurtsae.classical.core import Shaped, loglike, one_of
from buurtsae.sparse import Floats

Method = Literal["reml", "ml", "fh", "ampl", "amrl", "ampl_yl", "amrl_yl"]
METHODS: tuple[str, ...] = get_args(Method)
RESTRICTED = ("reml", "amrl", "amrl_yl")
STARTS = (0.0, 0.01, 0.1, 1.0, 10.0)  # times the median sampling variance
HALVINGS = 40


@dataclass(frozen=True, repr=False)
class Gls(Shaped):
    """Generalised least squares given the variances; see `gls`.

    Attributes
    ----------
    weight : ndarray, shape (m,)
        1 / (sigma2_v + D_i).
    beta : ndarray, shape (p,)
    cov_beta : ndarray, shape (p, p)
        (X' V^{-1} X)^{-1}.
    leverage : ndarray, shape (m,)
        x_i' (X' V^{-1} X)^{-1} x_i / (sigma2_v + D_i); they sum to p.
    py : ndarray, shape (m,)
        P y.
    ypy, ypppy, logdet_v, logdet_xvx, trace_p, trace_pp : float
        y'Py, y'PPPy, log |V|, log |X' V^{-1} X|, tr(P) and tr(P^2).
    """

    weight: Floats
    beta: Floats
    cov_beta: Floats
    leverage: Floats
    py: Floats
    ypy: float
    ypppy: float
    logdet_v: float
    logdet_xvx: float
    trace_p: float
    trace_pp: float

    def loglike(self, restricted: bool = False) -> float:
        """Return the log-likelihood at beta, or the restricted one; see `core`."""
        m, p = len(self.weight), len(self.beta)
        return float(loglike(m, p, self.logdet_v, self.logdet_xvx, self.ypy, restricted))


def gls(sigma2_v: float, y: Floats, x: Floats, d: Floats) -> Gls:
    """Regress y (m,) on x (m, p) with variances sigma2_v + d, by a QR decomposition of the weighted x."""
    weight = 1 / (sigma2_v + d)
    root = np.sqrt(weight)
    q, r = la.qr(root[:, None] * x, mode="economic", check_finite=False)
    projected = q.T @ (root * y)
    inverse = la.solve_triangular(r, np.eye(len(r)))
    py = root * (root * y - q @ projected)
    leverage = (q**2).sum(axis=1)
    inner = q.T @ (weight[:, None] * q)
    return Gls(
        weight=weight,
        beta=inverse @ projected,
        cov_beta=inverse @ inverse.T,
        leverage=leverage,
        py=py,
        ypy=float(py @ (py / weight)),
        ypppy=float(weight @ py**2 - ((q.T @ (root * py)) ** 2).sum()),
        logdet_v=-float(np.log(weight).sum()),
        logdet_xvx=2 * float(np.log(np.abs(r.diagonal())).sum()),
        trace_p=float(weight @ (1 - leverage)),
        trace_pp=float(weight**2 @ (1 - 2 * leverage) + (inner**2).sum()),
    )


@dataclass(frozen=True, repr=False)
class Component(Shaped):
    """An estimate of sigma2_v.

    Attributes
    ----------
    sigma2_v : float
    converged : bool
    trace : tuple of (float, float)
        sigma2_v and what is maximised (moments: y'Py - (m - p), to become 0) after every iteration.
    """

    sigma2_v: float
    converged: bool
    trace: tuple[tuple[float, float], ...]


def estimate(
    y: Floats, x: Floats, d: Floats, method: Method = "reml", tol: float = 1e-10, maxiter: int = 100
) -> Component:
    """Estimate sigma2_v from direct estimates y (m,), covariates x (m, p) and sampling variances d (m,).

    Parameters
    ----------
    method : {"reml", "ml", "fh", "ampl", "amrl", "ampl_yl", "amrl_yl"}
    tol : float
        It has converged when an iteration changes sigma2_v by less than this share of it.
    maxiter : int

    Raises
    ------
    ModelError
        If the method is unknown.
    """
    one_of(method, METHODS, "method of estimation")
    if method == "fh":
        return _moments(y, x, d, tol, maxiter)
    scale = float(np.median(d))
    least = 0.0 if method in ("reml", "ml") else 1e-6 * scale
    starts = {s: gls(s, y, x, d) for s in (max(scale * k, least) for k in STARTS)}
    at = max(starts, key=lambda s: _criterion(starts[s], s, d, method))
    fit = starts[at]
    value = _criterion(fit, at, d, method)
    trace = [(at, value)]
    for _ in range(maxiter):
        score, information = _derivatives(fit, at, d, method)
        new = at + score / information
        if new <= 0:  # an adjusted likelihood is zero at zero
            new = 0.0 if method in ("reml", "ml") else at / 10
        for _ in range(HALVINGS):
            fit = gls(new, y, x, d)
            reached = _criterion(fit, new, d, method)
            if reached >= value - 1e-12 * (1 + abs(value)):  # rounding of a sum of m terms
                break
            new = (new + at) / 2
        change, at, value = abs(new - at), new, reached
        trace.append((at, value))
        if change <= tol * max(at, 1e-8 * scale * (method in ("reml", "ml"))):
            return Component(at, True, tuple(trace))
    return Component(at, False, tuple(trace))


def _moments(y: Floats, x: Floats, d: Floats, tol: float, maxiter: int) -> Component:
    """Newton's method on y'Py = m - p: convex and decreasing in sigma2_v, so from 0 it never overshoots."""
    at, aim, trace = 0.0, len(y) - x.shape[1], []
    for _ in range(maxiter):
        fit = gls(at, y, x, d)
        excess = fit.ypy - aim
        trace.append((at, excess))
        if at == 0 and excess <= 0:
            return Component(0.0, True, tuple(trace))
        step = excess / float(fit.py @ fit.py)
        at = max(at + step, 0.0)
        if abs(step) <= tol * at:
            return Component(at, True, tuple(trace))
    return Component(at, False, tuple(trace))


def _criterion(fit: Gls, sigma2_v: float, d: Floats, method: str) -> float:
    """What is maximised: the (restricted) log-likelihood and the logarithm of the adjustment."""
    value = fit.loglike(method in RESTRICTED)
    if method in ("ampl", "amrl"):
        return value + float(np.log(sigma2_v))
    if method.endswith("_yl"):
        return value + float(np.log(np.arctan(sigma2_v * fit.weight.sum())) / len(d))
    return value


def _derivatives(fit: Gls, sigma2_v: float, d: Floats, method: str) -> tuple[float, float]:
    """Score, and information: observed where positive, else expected, of the likelihood; of the adjustment observed."""
    restricted, w = method in RESTRICTED, fit.weight
    score = 0.5 * (float(fit.py @ fit.py) - (fit.trace_p if restricted else float(w.sum())))
    expected, more = 0.5 * (fit.trace_pp if restricted else float(w @ w)), 0.0
    if method in ("ampl", "amrl"):
        score, more = score + 1 / sigma2_v, 1 / sigma2_v**2
    elif method.endswith("_yl"):
        t, first, second = sigma2_v * w.sum(), float(d @ w**2), -2 * float(d @ w**3)
        angle, slope = float(np.arctan(t)), 1 / (1 + t**2)
        g = slope * first / angle  # derivative of log arctan(t)
        h = (slope * second - 2 * t * slope**2 * first**2) / angle - g**2
        score, more = score + g / len(d), -h / len(d)
    observed = fit.ypppy - expected + more
    return score, observed if observed > 0 else expected + more
