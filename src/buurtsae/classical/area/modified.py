r"""Modified least squares: regression on covariates that are measured with errors of known covariances C_i.

With w_i = 1 / (sigma2_v + beta' C_i beta + D_i), G = sum w x x' and N = sum w C, alternately to convergence

    (G - N) beta = sum w x y,   sigma2_v = max(0, sum [(y - x' beta)^2 - D - beta' C beta] / (m - p)).

N t = lambda G t: lambda is the share of noise in x't. Where 1 - lambda <= 1 / m there is nothing but noise, and beta
is kept at zero in that direction, as Ybarra and Lohr do. Leaving out area l, at fixed w,

    delta_l = -(G - N - w_l [x_l x_l' - C_l])^{-1} w_l (x_l r_l + C_l beta),   r = y - x'beta,

and the moment of sigma2_v follows exactly from sums without l, not cut at zero: O(m p^3) for all areas. The derivative
of the equation of beta by w has expectation zero, so what w would change is of lower order (in the bias of sigma2_v:
by terms in C^2). J = (m - 1) / m sum (delta_l, delta sigma2_l)(.)' and B = (m - 1) / m sum delta sigma2_l estimate the
covariance of (beta, sigma2_v) and the bias of sigma2_v. With A = sigma2_v + beta'C beta, gamma = A / (A + D) and q =
(2 C beta, 1) the jackknife of Jiang, Lahiri and Wan, expanded to second order in the parameters, becomes

    mse = g1 + g2 + 2 g3 - b (1 - gamma)^2,   g1 = gamma D,   g2 = (1 - gamma)^2 x' J x,
    g3 = (1 - gamma)^2 w q' J q,   b = B + tr(C J),

with the square of a residual in g3 at its expectation, and without the bias of beta: what it adds to A is subtracted by
its covariance with the error of x. An area without a sample has A - b + x' J x.

References
----------
Ybarra, L.M.R. and Lohr, S.L. (2008). Small area estimation when auxiliary information is measured with error.
Biometrika 95. Jiang, J., Lahiri, P. and Wan, S.-M. (2002). A unified jackknife theory for empirical best prediction
with M-estimation. Annals of Statistics 30.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from buurtsae.classical.area.mse import AreaTerms
from buurtsae.classical.core import Shaped, quadratic
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class Modified(Shaped):
    """Estimates; see `estimate`.

    Attributes
    ----------
    beta : ndarray, shape (p,)
    moment : float
        What sigma2_v is before it is cut at zero.
    weight : ndarray, shape (m,)
    kept, lost : ndarray, shapes (p, q) and (p, p - q)
        Directions t in which there is more than noise, and in which there is not.
    converged : bool
    trace : tuple of (float, float)
        sigma2_v, and the largest relative change of a weight, per iteration.
    """

    beta: Floats
    moment: float
    weight: Floats
    kept: Floats
    lost: Floats
    converged: bool
    trace: tuple[tuple[float, float], ...]

    @property
    def sigma2_v(self) -> float:
        """Variance of the area effects."""
        return max(self.moment, 0.0)


def noise(beta: Floats, c: Floats) -> Floats:
    """Return beta' C_i beta (m,)."""
    return (c @ beta) @ beta


def regress(y: Floats, x: Floats, c: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return beta (p,) for given weights, and the directions that are kept and lost."""
    g, n = x.T @ (weight[:, None] * x), np.tensordot(weight, c, 1)
    scale = np.sqrt(g.diagonal())
    share, t = la.eigh(n / np.outer(scale, scale), g / np.outer(scale, scale))
    t, real = t / scale[:, None], 1 - share > 1 / len(y)
    kept = t[:, real]
    return kept @ ((kept.T @ (x.T @ (weight * y))) / (1 - share[real])), kept, t[:, ~real]


def estimate(y: Floats, x: Floats, c: Floats, d: Floats, tol: float = 1e-10, maxiter: int = 100) -> Modified:
    """Fit direct estimates y (m,) to covariates x (m, p) with errors c (m, p, p), sampling variances d (m,)."""
    weight, trace, (m, p) = np.ones(len(y)), [], x.shape
    for _ in range(maxiter):
        beta, kept, lost = regress(y, x, c, weight)
        moment = float(((y - x @ beta) ** 2 - d - noise(beta, c)).sum() / (m - p))
        new = 1 / (max(moment, 0.0) + noise(beta, c) + d)
        change = float(np.abs(new / weight - 1).max())
        weight = new
        trace.append((max(moment, 0.0), change))
        if change <= tol:
            break
    return Modified(beta, moment, weight, kept, lost, change <= tol, tuple(trace))


@dataclass(frozen=True, repr=False)
class Jackknife(Shaped):
    """Covariance (p + 1, p + 1) of beta and sigma2_v, and the bias of sigma2_v."""

    cov: Floats
    bias: float


def jackknife(fit: Modified, y: Floats, x: Floats, c: Floats, d: Floats) -> Jackknife:
    """Leave out every area in turn."""
    (m, p), w, t, beta = x.shape, fit.weight, fit.kept, fit.beta
    r, xt = y - x @ beta, x @ t
    each = w[:, None, None] * (xt[:, :, None] * xt[:, None, :] - t.T @ c @ t)
    score = w[:, None] * (xt * r[:, None] + c @ beta @ t)
    delta = -np.linalg.solve(each.sum(axis=0) - each, score[:, :, None])[:, :, 0] @ t.T
    left = beta + delta
    squares = r @ r - 2 * delta @ (x.T @ r) + ((delta @ (x.T @ x)) * delta).sum(axis=1)
    squares -= (r - (x * delta).sum(axis=1)) ** 2
    of_x = ((left @ c.sum(axis=0)) * left).sum(axis=1) - np.einsum("ip,ipq,iq->i", left, c, left)
    moment = (squares - (d.sum() - d) - of_x) / (m - 1 - p)
    change = np.column_stack([delta, moment - fit.moment])
    return Jackknife((m - 1) / m * change.T @ change, (m - 1) / m * float(change[:, -1].sum()))


def terms(fit: Modified, jack: Jackknife, x: Floats, c: Floats, d: Floats) -> AreaTerms:
    """Return the terms of the MSE of sampled areas."""
    w, a = fit.weight, fit.sigma2_v + noise(fit.beta, c)
    q = np.column_stack([2 * c @ fit.beta, np.ones(len(d))])
    shrunk = (d * w) ** 2
    return AreaTerms.of(
        g1=a * d * w,
        g2=shrunk * quadratic(x, jack.cov[:-1, :-1]),
        g3=shrunk * w * quadratic(q, jack.cov),
        shrunk=shrunk,
        bias=jack.bias + np.tensordot(c, jack.cov[:-1, :-1], 2),
    )


def unsampled(fit: Modified, jack: Jackknife, x: Floats, c: Floats) -> Floats:
    """Return the MSE of x'beta of areas without a sample, x (k, p) with errors c (k, p, p)."""
    cov = jack.cov[:-1, :-1]
    a = fit.sigma2_v + noise(fit.beta, c) - jack.bias - np.tensordot(c, cov, 2)
    return np.maximum(a, 0.0) + quadratic(x, cov)
