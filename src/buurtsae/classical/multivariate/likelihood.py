r"""Likelihood, EBLUP and MSE of the multivariate Fay-Herriot model, block by block.

y_d = X_d b + u_d + e_d, u_d ~ N(0, Sigma), e_d ~ N(0, V_d), d = 1..m, D measures. W_d is (Sigma + V_d)^{-1} over the
measures that are seen and 0 elsewhere, A = sum X_d'W_d X_d, K_d = W_d X_d A^{-1} X_d'W_d, S_k = dSigma / dtheta_k:

    dl/dtheta_k = tr(G S_k),  G = 1/2 sum (t_d t_d' - W_d [+ K_d]),  t_d = W_d (y_d - X_d b),
    I_kl = 1/2 sum tr(W_d S_k W_d S_l) [- sum tr(K_d S_k W_d S_l) + 1/2 tr(A^{-1} B_k A^{-1} B_l)],
    g1 = Sigma - Sigma W Sigma,  g2 = C X A^{-1} X'C',  g3 = sum_kl I^{kl} C S_k W S_l C',  C = I - Sigma W,

B_k = sum X_d'W_d S_k W_d X_d, brackets for REML. Sums over areas of D^4 products: O(m (D^4 + D^2 P^2)).

References
----------
Gonzalez-Manteiga, W. et al. (2008). Analytic and bootstrap approximations of prediction errors under a multivariate
Fay-Herriot model. CSDA 52. Benavent, R. and Morales, D. (2016). CSDA 94.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
from numpy.typing import NDArray

from buurtsae.classical.core import MseTerms, Shaped, loglike
from buurtsae.classical.multivariate.covariances import Structure
from buurtsae.sparse import Floats

SMALL = 1e-8  # score, in standard deviations of the sampling errors, below which the search ends


@dataclass(frozen=True, repr=False)
class Blocks(Shaped):
    """The data, with covariates z = R^{-T} x that are orthonormal over what is seen.

    Attributes
    ----------
    y : ndarray, shape (m, D)
        0 where not seen.
    seen : ndarray of bool, shape (m, D)
    sampling : ndarray, shape (m, D, D)
        V_d; the unit matrix over what is not seen, and 0 between the two.
    z : ndarray, shape (m, D, P)
    root : ndarray, shape (P, P)
        R.
    """

    y: Floats
    seen: NDArray[np.bool_]
    sampling: Floats
    z: Floats
    root: Floats

    @classmethod
    def of(cls, y: Floats, sampling: Floats, x: Floats) -> Blocks:
        """Return them from y (m, D) with NaN where not seen, V_d (m, D, D) and x (m, D, P)."""
        seen = np.isfinite(y)
        both = seen[:, :, None] & seen[:, None, :]
        v = np.where(both, sampling, np.eye(y.shape[1]) * ~seen[:, :, None])
        root = np.asarray(np.linalg.qr(x[seen], mode="r"))
        z = la.solve_triangular(root, x.reshape(-1, x.shape[2]).T, trans="T").T.reshape(x.shape)
        return cls(np.where(seen, y, 0.0), seen, v, z, root)

    @property
    def both(self) -> NDArray[np.bool_]:
        """Pairs of measures that are both seen, shape (m, D, D)."""
        return self.seen[:, :, None] & self.seen[:, None, :]


@dataclass(frozen=True, repr=False)
class At(Shaped):
    """The model at one Sigma.

    Attributes
    ----------
    sigma : ndarray, shape (D, D)
    w : ndarray, shape (m, D, D)
    wz : ndarray, shape (m, D, P)
    inverse : ndarray, shape (P, P)
        A^{-1}, in z.
    delta : ndarray, shape (P,)
        Coefficients of z.
    t : ndarray, shape (m, D)
    restricted : bool
    llf : float
    """

    sigma: Floats
    w: Floats
    wz: Floats
    inverse: Floats
    delta: Floats
    t: Floats
    restricted: bool
    llf: float

    @property
    def lean(self) -> Floats:
        """K_d, shape (m, D, D)."""
        return self.wz @ self.inverse @ self.wz.transpose(0, 2, 1)


def weights(data: Blocks, sigma: Floats) -> tuple[Floats, float]:
    """Return W_d, shape (m, D, D), and the sum of log |Sigma + V_d| over what is seen."""
    whole = np.where(data.both, sigma, 0.0) + data.sampling
    return np.where(data.both, np.linalg.inv(whole), 0.0), float(np.linalg.slogdet(whole)[1].sum())


def at(data: Blocks, sigma: Floats, restricted: bool) -> At:
    """Return GLS and the log-likelihood at Sigma; see `core`."""
    (m, width), p = data.y.shape, data.z.shape[2]
    w, logdet_v = weights(data, sigma)
    wz = w @ data.z
    flat = wz.reshape(m * width, p)
    a = data.z.reshape(m * width, p).T @ flat
    inverse = np.asarray(np.linalg.inv((a + a.T) / 2), dtype=float)
    delta = inverse @ (flat.T @ data.y.ravel())
    rest = data.y - np.where(data.seen, data.z @ delta, 0.0)
    t = (w @ rest[:, :, None])[:, :, 0]
    logdet_xvx = np.linalg.slogdet(a)[1] + 2 * np.log(np.abs(data.root.diagonal())).sum()
    llf = float(loglike(int(data.seen.sum()), p, logdet_v, logdet_xvx, float((rest * t).sum()), restricted))
    return At(sigma, w, wz, inverse, delta, t, restricted, llf)


def gradient(here: At) -> Floats:
    """Return G, shape (D, D): the derivative of the log-likelihood to theta_k is the sum of G * S_k."""
    g = here.t.T @ here.t - here.w.sum(axis=0)
    return (g + here.lean.sum(axis=0) if here.restricted else g) / 2


def information(here: At, slopes: Floats) -> Floats:
    """Return the Fisher information of the parameters with slopes S_k (K, D, D), shape (K, K)."""
    m, width, p = here.wz.shape
    flat = here.w.reshape(m, width**2)

    def pairs(left: Floats) -> Floats:
        """Sum of tr(left_d S_k W_d S_l)."""
        sums = (left.reshape(m, width**2).T @ flat).reshape(width, width, width, width)
        return np.einsum("abcd,kbc,lda->kl", sums, slopes, slopes, optimize=True)

    expected = pairs(here.w) / 2
    if here.restricted:
        mixed = pairs(here.lean)
        long = here.wz.reshape(m, width * p)
        u = (long.T @ long).reshape(width, p, width, p)
        b = np.einsum("kab,aibj->kij", slopes, u, optimize=True)
        ab = here.inverse @ b
        expected += np.einsum("kij,lji->kl", ab, ab) / 2 - (mixed + mixed.T) / 2
    return expected


def observed(here: At, slopes: Floats) -> Floats:
    """Return minus the second derivatives of the log-likelihood to parameters in which Sigma is linear, shape (K, K).

    These are y'P S_k P S_l P y less the information, with P = V^{-1} - V^{-1}X A^{-1}X'V^{-1}.
    """
    moved = here.t @ slopes  # S_k t_d, shape (K, m, D)
    fitted = np.einsum("kda,dap->kp", moved, here.wz, optimize=True)
    whole = np.einsum("kda,dab,ldb->kl", moved, here.w, moved, optimize=True)
    return whole - fitted @ here.inverse @ fitted.T - information(here, slopes)


@dataclass(frozen=True, repr=False)
class Maximum(Shaped):
    """Where the likelihood is highest.

    Attributes
    ----------
    free : ndarray, shape (K,)
        Free parameters of Sigma.
    here : At
    converged : bool
    trace : ndarray, shape (steps, 2)
        Log-likelihood and largest scaled score after every step.
    """

    free: Floats
    here: At
    converged: bool
    trace: Floats


def start(data: Blocks) -> tuple[float, Floats]:
    """Return the typical standard deviation of a sampling error, and what variances (D,) effects may have."""
    errors = np.einsum("dii->di", data.sampling)
    rest = np.where(data.seen, data.y - data.z @ (data.z[data.seen].T @ data.y[data.seen]), 0.0)
    number, squares = data.seen.sum(axis=0), np.array([rest**2, np.where(data.seen, errors, 0.0)]).sum(axis=1)
    total, noise = np.where(number > 0, squares / np.maximum(number, 1), squares.sum(axis=1)[:, None] / number.sum())
    return float(np.sqrt(np.median(errors[data.seen]))), np.maximum(total - noise, 0.1 * total)


def maximise(
    data: Blocks, structure: Structure, restricted: bool, maxiter: int = 100, free: Floats | None = None
) -> Maximum:
    """Return the Sigma of highest likelihood by Newton steps in its free parameters, from `free` if that is given.

    Directions in which the likelihood is not concave are walked uphill; steps are halved until it rises. Parameters
    are measured in the units of the structure.
    """
    typical, variances = start(data)
    units, reach = structure.units(typical), structure.reach()
    free = structure.start(variances) if free is None else free
    here, steps = at(data, structure.matrix(free), restricted), list[tuple[float, float]]()
    for _ in range(maxiter):
        slopes, g = structure.slopes(free), gradient(here)
        score = np.einsum("ab,kab->k", g, slopes) * units
        steps.append((here.llf, float(np.abs(score).max())))
        falling = (observed(here, slopes) - structure.curvature(free, g)) * np.outer(units, units)
        values, axes = np.linalg.eigh(falling)
        if steps[-1][1] < SMALL and values[0] >= -SMALL * np.abs(values).max():
            return Maximum(free, here, True, np.array(steps))
        if steps[-1][1] < SMALL:  # a saddle, where a variance is zero that should not be
            score = 0.1 * values[0] * axes[:, 0]
        size = np.abs(values)
        step = units * (axes @ ((axes.T @ score) / np.maximum(size, 1e-10 * size.max())))
        step = step / max(1.0, float((np.abs(step) / reach).max()))
        for _ in range(40):
            new = at(data, structure.matrix(free + step), restricted)
            if new.llf >= here.llf - 1e-12 * abs(here.llf):
                break
            step = step / 2
        else:
            break
        free, here = free + step, new
    return Maximum(free, here, False, np.array(steps))


def eblup(data: Blocks, here: At) -> Floats:
    """Return X_d b + Sigma t_d, shape (m, D), of measures not seen too."""
    return data.z @ here.delta + here.t @ here.sigma


def leading(data: Blocks, here: At) -> tuple[Floats, Floats, Floats]:
    """Return C, and the terms g1 and g2 of the MSE matrices, shapes (m, D, D)."""
    c = np.eye(data.z.shape[1]) - here.sigma @ here.w
    cz = c @ data.z
    return c, here.sigma - here.sigma @ here.w @ here.sigma, cz @ here.inverse @ cz.transpose(0, 2, 1)


def terms(data: Blocks, here: At, slopes: Floats) -> MseTerms:
    """Return the terms of the MSE matrices (m, D, D); `slopes` (K, D, D) are those to the natural parameters."""
    m, width, _ = data.z.shape
    c, g1, g2 = leading(data, here)
    covariance = np.linalg.inv(information(here, slopes))
    mixed = np.einsum("kl,kab,lcd->bcad", covariance, slopes, slopes, optimize=True).reshape(width**2, width**2)
    inner = (here.w.reshape(m, width**2) @ mixed).reshape(m, width, width)
    g3 = c @ inner @ c.transpose(0, 2, 1)
    correction = np.zeros_like(g1)
    if not here.restricted:
        bias = -covariance @ np.einsum("ab,kab->k", here.lean.sum(axis=0), slopes) / 2
        correction = -c @ np.einsum("k,kab->ab", bias, slopes) @ c.transpose(0, 2, 1)
    return MseTerms(g1, g2, g3, correction)
