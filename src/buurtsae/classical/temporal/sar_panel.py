r"""Likelihood of areas over years whose lasting effects follow a simultaneous autoregression.

    y = X beta + Z u + w + e,   u = rho1 W u + v (of areas),   w_dt = rho2 w_d,t-1 + eps_dt,   Z repeats u in every year

Given u areas are independent: V_d = tau2 rho2^lag + D_d, tau2 = sigma2_2 / (1 - rho2^2) the variance of w. With
W_d = V_d^{-1} over what is seen, Z'W Z = Lambda is diagonal, and u is seen as in `spatial.sar` by the weighted means
Lambda^{-1} Z'W y, Lambda^{-1} Z'W X of an area over years, A = Q + Lambda:

    V^{-1} = W - W Z A^{-1} Z'W,   log |V| = log |A| - log |Q| + sum_d log |V_d|,
    t = V^{-1} (y - X beta) = W (y - X beta - Z u_hat),   V^{-1} X = W (X - Z F),

scores of sigma2_1 and rho1 as there, those of tau2 and rho2 tr(G S_k), S_k = dV_d / dtheta_k, with G = sum_d [t_d t_d'
- (V^{-1})_dd (+ (V^{-1} X)_d S (V^{-1} X)_d' by REML)] / 2. No array is of areas by areas.

References
----------
Marhuenda, Y., Molina, I. and Morales, D. (2013). Small area estimation with spatio-temporal Fay-Herriot models.
CSDA 58.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from buurtsae.classical.climb import Stretched, climb
from buurtsae.classical.core import Shaped, loglike
from buurtsae.classical.multivariate.likelihood import Blocks, start, weights
from buurtsae.classical.spatial.sar import RHOS, TINY, Neighbours, Sar
from buurtsae.classical.temporal.structures import stationary
from buurtsae.sparse import Floats, one_thread

EDGE = 0.999  # the most that rho1 and rho2 may be, in size
SHARES = (0.2, 0.5, 0.8)  # of the variance that is of u, tried at the start


@dataclass(frozen=True, repr=False)
class SarPanel(Sar):
    """The model at given components; of an area x, y and weight are its weighted means over years, and Lambda.

    Attributes
    ----------
    data : Blocks
    sigma : ndarray, shape (T, T)
        Covariance of w over years.
    slopes : ndarray, shape (K, T, T)
        Its derivatives to tau2, and to rho2 unless years are independent.
    w : ndarray, shape (m, T, T)
    logdet : float
        Sum of log |V_d|.
    """

    data: Blocks
    sigma: Floats
    slopes: Floats
    w: Floats
    logdet: float

    @classmethod
    def of(cls, near: Neighbours, data: Blocks, lag: Floats, at: Floats) -> SarPanel:
        """Return the model at (sigma2_1, rho1, tau2), years being independent, or (sigma2_1, rho1, tau2, rho2)."""
        sigma, slopes = stationary(at[2], at[3] if len(at) > 3 else 0.0, lag)
        w, logdet = weights(data, sigma)
        weight, (y, x) = w.sum(axis=(1, 2)), _means(w, data)
        return cls(near, float(at[0]), float(at[1]), weight, y, x, data, sigma, slopes[: len(at) - 2], w, logdet)

    def seeing(self, data: Blocks) -> SarPanel:
        """Return the model at the same components, of other direct estimates in the same places."""
        return replace(self, y=_means(self.w, data)[0], data=data)

    @cached_property
    def sums(self) -> tuple[Floats, Floats]:
        """X'W X and X'W y within areas: less what their means say."""
        wz, x = self.w @ self.data.z, self.weight[:, None] * self.x
        xwx, xwy = np.einsum("dtp,dtq->pq", self.data.z, wz), np.einsum("dtp,dt->p", wz, self.data.y)
        return xwx - x.T @ self.x, xwy - x.T @ self.y

    @cached_property
    def information_beta(self) -> Floats:
        """X' V^{-1} X."""
        return self.sums[0] + self.x.T @ (self.weight[:, None] * (self.x - self.f))

    @cached_property
    def beta(self) -> Floats:
        """Generalised least squares."""
        return self.cov_beta @ (self.sums[1] + self.x.T @ self.v_inverse(self.y))

    @cached_property
    def left(self) -> Floats:
        """Residuals y - X beta where seen, shape (m, T)."""
        return np.where(self.data.seen, self.data.y - self.data.z @ self.beta, 0.0)

    @cached_property
    def t(self) -> Floats:
        """V^{-1} (y - X beta), shape (m, T)."""
        return (self.w @ (self.left - self.effect[:, None])[:, :, None])[:, :, 0]

    @cached_property
    def vx(self) -> Floats:
        """V^{-1} X, shape (m, T, p)."""
        return self.w @ (self.data.z - self.f[:, None])

    @cached_property
    def own(self) -> Floats:
        """Blocks of V^{-1}, shape (m, T, T)."""
        ones = self.w.sum(axis=2)
        return self.w - self.inverse_a[-len(self.y) :, None, None] * ones[:, :, None] * ones[:, None, :]

    def loglike(self, restricted: bool = False) -> float:
        """Return the log-likelihood at beta, or the restricted one; see `core`."""
        (m, p), root = self.x.shape, np.abs(self.data.root.diagonal())
        logdet_v = self.logdet + self.of_a.logdet - self.of_c.logdet + m * np.log(self.sigma2)
        logdet_xvx = np.linalg.slogdet(self.information_beta)[1] + 2 * np.log(root).sum()
        ypy = float((self.left * self.t).sum())
        return float(loglike(int(self.data.seen.sum()), p, logdet_v, logdet_xvx, ypy, restricted))

    def score(self, restricted: bool) -> Floats:
        """Return the derivatives by sigma2_1, rho1, tau2 and rho2."""
        g = self.t.T @ self.t - self.own.sum(axis=0)
        if restricted:
            g = g + (self.vx @ self.cov_beta @ self.vx.transpose(0, 2, 1)).sum(axis=0)
        return np.r_[super().score(restricted), 0.5 * np.einsum("ab,kab->k", g, self.slopes)]

    def v_inverse_of(self, q: Floats) -> Floats:
        """Return V^{-1} q, of q (m, T, k)."""
        wq = self.w @ q
        return wq - self.w.sum(axis=2)[:, :, None] * self.of_a.solve(wq.sum(axis=1))[:, None]

    def moved(self, q: Floats) -> list[Floats]:
        """Return V_k q for every component, V_k = dV / dtheta_k in all years, of q (m, T, k)."""
        total = self.sigma2 * self.of_c.solve(q.sum(axis=1))  # G Z'q
        return [self._moved_u(k, total) for k in (0, 1)] + [part @ q for part in self.slopes]

    def moved_by(self, parts: Floats) -> Floats:
        """Return sum_k V_k q_k, of q (K, m, T, k)."""
        of_u = sum(self._moved_u(k, self.sigma2 * self.of_c.solve(parts[k].sum(axis=1))) for k in (0, 1))
        return np.asarray(of_u + sum(slope @ part for slope, part in zip(self.slopes, parts[2:], strict=True)))

    def _moved_u(self, k: int, total: Floats) -> Floats:
        """Z G B_k G Z'q, of G Z'q (m, k)."""
        effect = self.sigma2 * self.of_c.solve(self.near.matrix(self.b[k]) @ total)
        return np.broadcast_to(effect[:, None], (*self.data.y.shape, total.shape[1]))

    def average_information(self) -> Floats:
        """Return the average of observed and expected information, shape (K, K)."""
        q = np.concatenate(self.moved(self.t[:, :, None]), axis=2)
        fitted = np.einsum("dtk,dtp->kp", q, self.vx)
        return 0.5 * (np.einsum("dtk,dtl->kl", q, self.v_inverse_of(q)) - fitted @ self.cov_beta @ fitted.T)


def _means(w: Floats, data: Blocks) -> tuple[Floats, Floats]:
    """Weighted means over years of y (m,) and x (m, p), zero where nothing is seen."""
    weight = w.sum(axis=(1, 2))[:, None]
    share = np.divide(w.sum(axis=1), weight, out=np.zeros(data.y.shape), where=weight > 0)
    return (share * data.y).sum(axis=1), (share[:, None] @ data.z)[:, 0]


@dataclass(frozen=True)
class Free:
    """The model as a function of log omega, artanh rho1, log tau2, artanh rho2, sigma2_1 = omega (1 - rho1^2)^2.

    Omega bounds the variance of any combination of u, which may be large at the edge of rho1 where sigma2_1 is not.

    Attributes
    ----------
    panel : SarPanel
    components : ndarray, shape (K,)
        sigma2_1, rho1, tau2, and rho2 unless years are independent.
    rates : ndarray, shape (K, K)
        Derivatives of the components (columns) to the free parameters.
    """

    panel: SarPanel
    components: Floats
    rates: Floats

    @classmethod
    def of(cls, near: Neighbours, data: Blocks, lag: Floats, free: Floats) -> Free:
        """Return the model at free parameters (K,)."""
        variance = np.arange(len(free)) % 2 == 0
        at = np.where(variance, np.exp(np.where(variance, free, 0.0)), np.tanh(free))
        at[0] *= (1 - at[1] ** 2) ** 2
        rates = np.diag(np.where(variance, at, 1 - at**2))
        rates[1, 0] = -4 * at[1] * at[0]
        return cls(SarPanel.of(near, data, lag, at), at, rates)

    def loglike(self, restricted: bool) -> float:
        """Return the log-likelihood."""
        return self.panel.loglike(restricted)

    def score(self, restricted: bool) -> Floats:
        """Return its derivatives."""
        return self.rates @ self.panel.score(restricted)

    def average_information(self) -> Floats:
        """Return the average information."""
        return self.rates @ self.panel.average_information() @ self.rates.T


@dataclass(frozen=True, repr=False)
class PanelMaximum(Shaped):
    """Where the likelihood is highest.

    Attributes
    ----------
    panel : SarPanel
    components : ndarray, shape (K,)
        sigma2_1, rho1, tau2, and rho2 unless years are independent.
    zero : ndarray of bool, shape (K,)
        Variances that are zero, and autocorrelations that make no difference then.
    converged : bool
    trace : tuple of (omega, rho1, tau2, rho2 or not, log-likelihood)
    """

    panel: SarPanel
    components: Floats
    zero: NDArray[np.bool_]
    converged: bool
    trace: tuple[tuple[float, ...], ...]


@one_thread()
def maximise(
    near: Neighbours,
    data: Blocks,
    lag: Floats,
    ar1: bool,
    restricted: bool,
    tol: float = 1e-10,
    maxiter: int = 100,
    signed: bool = True,
) -> PanelMaximum:
    """Climb from the best components at each of a few rho1, and on from the highest; see `Free` and `climb`.

    Variances below `TINY` of the sampling variances stay there: they are zero. Unless its sign can be told (`signed`),
    rho2 is not negative.
    """
    typical, variances = start(data)
    least, total, n = np.log(TINY * typical**2), float(variances.mean()), 3 + ar1
    edge = np.arctanh(EDGE)
    box = Stretched(
        np.array([least, -edge, least, -edge if signed else 0.0])[:n],
        np.array([np.inf, edge] * 2)[:n],
        (0, 0, 2, 2)[:n],
    )

    def build(free: Floats) -> Free:
        return Free.of(near, data, lag, free)

    def best(rho: float) -> Floats:
        over = (0.5, 0.0)[: 1 + signed] if ar1 else (0.0,)
        tried = [
            np.array([np.log(share * total), np.arctanh(rho), np.log((1 - share) * total), np.arctanh(other)])[:n]
            for share in SHARES
            for other in over
        ]
        return max(tried, key=lambda free: build(free).loglike(restricted))

    if np.abs(build(best(0.0)).panel.left).max() <= 1e-12 * np.abs(data.y).max():  # nothing is left over
        top = np.where(np.isfinite(box.upper), 0.0, box.lower)
    else:
        tops = [climb(build, best(rho), box, restricted, 1e-3, maxiter) for rho in RHOS]
        top = max(tops, key=lambda found: found.point.loglike(restricted)).at
    found = climb(build, top, box, restricted, tol, maxiter)
    zero = ((found.at <= box.lower) & box.variance)[list(box.of)]
    trace = tuple(tuple(np.where(box.variance, np.exp(t[:-1]), np.tanh(t[:-1])).tolist()) + t[-1:] for t in found.trace)
    return PanelMaximum(found.point.panel, found.point.components, zero, found.converged, trace)
