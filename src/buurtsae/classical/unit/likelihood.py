r"""The likelihood of the nested error model in one dimension, from sufficient statistics per area.

y_ij = x_ij'b + v_i + e_ij, v_i ~ N(0, s2v), e_ij ~ N(0, s2e), i = 1..m, j = 1..n_i. With r = s2v / s2e, h_i =
n_i / (1 + r n_i) and W the cross-products within areas,

    A(r) = W_xx + sum_i h_i xbar_i xbar_i',  b(r) = A^{-1} (W_xy + sum_i h_i xbar_i ybar_i),  S(r) = GLS squares,
    -2 l = d log(2 pi S / d) + sum_i log(1 + r n_i) + d  [+ log|A(r)| for REML],  s2e = S / d,

d = n for ML and n - p for REML. Sample of one size share h: after one pass over the units an evaluation costs the
number of different sizes. Covariates are made orthonormal and y is replaced by its OLS residual first.

References
----------
Battese, G.E., Harter, R.M. and Fuller, W.A. (1988). JASA 83. Rao, J.N.K. and Molina, I. (2015). Small Area
Estimation, sections 5.5.2 and 7.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la
import scipy.optimize as so

from buurtsae.classical.core import Shaped, loglike
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.variance import group_sum

SHARES = np.linspace(-11.5, 20.7, 98)  # log odds of gamma at the median size: from 1e-5 to 1 - 1e-9


@dataclass(frozen=True, repr=False)
class Sample(Shaped):
    """What the covariates and sizes of the sample say, in orthonormal covariates z = R^{-T} x, R'R = X'X.

    Attributes
    ----------
    n : ndarray of int, shape (m,)
        Units per area, 1 or more.
    zbar : ndarray, shape (m, p)
    within : ndarray, shape (p, p)
        W_zz.
    size : ndarray of int, shape (m,)
        Which of the K different sizes an area has.
    sizes : ndarray, shape (K,)
    counts : ndarray, shape (K,)
        Sample per size.
    between : ndarray, shape (K, p, p)
        Sums of zbar zbar' per size.
    root : ndarray, shape (p, p)
        R, upper triangular.
    """

    n: Ints
    zbar: Floats
    within: Floats
    size: Ints
    sizes: Floats
    counts: Floats
    between: Floats
    root: Floats

    @classmethod
    def of(cls, x: Floats, area: Ints, m: int) -> tuple[Sample, Floats]:
        """Return them, and z of the units, from x (n, p) of full rank and the area (n,) of each unit, 0 to m - 1."""
        z, root = np.linalg.qr(x)
        n = np.bincount(area, minlength=m)
        zbar = group_sum(z, area, m) / n[:, None]
        off = z - zbar[area]
        sizes, size = np.unique(n, return_inverse=True)
        between = group_sum(zbar[:, :, None] * zbar[:, None, :], size, len(sizes))
        return cls(n, zbar, off.T @ off, size, sizes.astype(float), np.bincount(size).astype(float), between, root), z

    @property
    def p(self) -> int:
        """Number of covariates."""
        return self.zbar.shape[1]

    def beta(self, delta: Floats) -> Floats:
        """Return coefficients of x from those of z."""
        return la.solve_triangular(self.root, delta)


@dataclass(frozen=True, repr=False)
class Response(Shaped):
    """What y adds, about the coefficients `centre` of z: the residual y - z'centre takes its place.

    Attributes
    ----------
    centre : ndarray, shape (p,)
    mean : ndarray, shape (m,)
        Of the residuals per area.
    within_zy : ndarray, shape (p,)
    within_yy : float
    between_zy : ndarray, shape (K, p)
    between_yy : ndarray, shape (K,)
    """

    centre: Floats
    mean: Floats
    within_zy: Floats
    within_yy: float
    between_zy: Floats
    between_yy: Floats

    @classmethod
    def of(cls, sample: Sample, z: Floats, y: Floats, area: Ints) -> Response:
        """Return it from z (n, p) and y (n,) of the units."""
        centre = z.T @ y
        rest = y - z @ centre
        more = z.T @ rest  # once more: R of ill-scaled covariates
        centre, rest = centre + more, rest - z @ more
        mean = group_sum(rest, area, len(sample.n)) / sample.n
        off = rest - mean[area]
        return cls.from_means(sample, centre, mean, (z - sample.zbar[area]).T @ off, float(off @ off))

    @classmethod
    def from_means(cls, sample: Sample, centre: Floats, mean: Floats, within_zy: Floats, within_yy: float) -> Response:
        """Return it from the means per area (m,) and the sums within areas of the residuals."""
        k = len(sample.sizes)
        zy, yy = group_sum(sample.zbar * mean[:, None], sample.size, k), group_sum(mean**2, sample.size, k)
        return cls(centre, mean, within_zy, within_yy, zy, yy)


@dataclass(frozen=True, repr=False)
class Gls(Shaped):
    """Generalised least squares at one ratio r, in z, about the centre.

    Attributes
    ----------
    ratio : float
    h : ndarray, shape (K,)
    information : ndarray, shape (p, p)
        A(r), without 1 / s2e.
    delta : ndarray, shape (p,)
    squares : float
        S(r).
    """

    ratio: float
    h: Floats
    information: Floats
    delta: Floats
    squares: float


def gls(sample: Sample, y: Response, ratio: float) -> Gls:
    """Return generalised least squares at s2v / s2e = ratio."""
    h = sample.sizes / (1 + ratio * sample.sizes)
    a = sample.within + np.tensordot(h, sample.between, 1)
    c = y.within_zy + h @ y.between_zy
    delta = la.solve(a, c, assume_a="pos")
    return Gls(ratio, h, a, delta, float(y.within_yy + h @ y.between_yy - c @ delta))


def deviance(sample: Sample, y: Response, ratio: Floats, restricted: bool) -> Floats:
    """Return -2 log-likelihood at several ratios (G,), the coefficients and s2e at their best: shape (G,)."""
    h = sample.sizes / (1 + ratio[:, None] * sample.sizes)
    a = sample.within + np.tensordot(h, sample.between, 1)
    c = y.within_zy + h @ y.between_zy
    s = y.within_yy + h @ y.between_yy - (c * np.linalg.solve(a, c[:, :, None])[:, :, 0]).sum(axis=1)
    d, n = degrees_of(sample, restricted), float(sample.n.sum())
    logdet_v = n * np.log(s / d) + logdet_ratio(sample, ratio)
    logdet_xvx = np.linalg.slogdet(a)[1] + 2 * np.log(np.abs(sample.root.diagonal())).sum() - sample.p * np.log(s / d)
    return np.asarray(-2 * loglike(n, sample.p, logdet_v, logdet_xvx, d, restricted))


def logdet_ratio(sample: Sample, ratio: Floats) -> Floats:
    """Return log |V| - n log s2e at several ratios (G,): shape (G,)."""
    return np.asarray(np.log1p(ratio[:, None] * sample.sizes) @ sample.counts)


def score(sample: Sample, y: Response, ratio: float, restricted: bool) -> float:
    """Return the derivative of -2 log-likelihood (profiled) to the ratio."""
    at = gls(sample, y, ratio)
    b, h2 = at.delta, at.h**2
    apart = y.between_yy - 2 * y.between_zy @ b + np.einsum("kij,i,j->k", sample.between, b, b)  # squared residuals
    d = degrees_of(sample, restricted)
    slope = float(sample.counts @ at.h - d * (h2 @ apart) / at.squares)
    if restricted:
        slope -= float(np.trace(la.solve(at.information, np.tensordot(h2, sample.between, 1), assume_a="pos")))
    return slope


def degrees_of(sample: Sample, restricted: bool) -> float:
    """Return what S is divided by for s2e: n, and n - p for REML."""
    return float(sample.n.sum() - (sample.p if restricted else 0))


@dataclass(frozen=True, repr=False)
class Maximum(Shaped):
    """Where the likelihood is highest.

    Attributes
    ----------
    ratio : float
        s2v / s2e; 0 where the likelihood falls from there on.
    converged : bool
    trace : ndarray, shape (steps, 2)
        Ratio and derivative of the deviance at every step of the search after the grid.
    """

    ratio: float
    converged: bool
    trace: Floats


def maximise(sample: Sample, y: Response, restricted: bool, maxiter: int = 100) -> Maximum:
    """Return the ratio of highest likelihood: the best of a grid, then a root of the derivative beside it.

    Parameters
    ----------
    sample : Sample
    y : Response
    restricted : bool
        REML, rather than ML.
    maxiter : int
        Most steps of the search for the root.
    """
    grid = np.concatenate([[0.0], np.exp(SHARES) / np.median(sample.n)])
    best = int(np.argmin(deviance(sample, y, grid, restricted)))
    steps = list[tuple[float, float]]()

    def slope(ratio: float) -> float:
        steps.append((ratio, score(sample, y, ratio, restricted)))
        return steps[-1][1]

    here = slope(grid[best])
    if best == 0 and here >= 0:
        return Maximum(0.0, True, np.array(steps))
    low, high = (grid[best], grid[min(best + 1, len(grid) - 1)]) if here < 0 else (grid[best - 1], grid[best])
    if slope(low) > 0 or slope(high) < 0:  # it still rises at the end of the grid
        return Maximum(float(grid[best]), False, np.array(steps))
    root, search = so.brentq(
        slope, low, high, xtol=1e-14 * high, rtol=1e-14, maxiter=maxiter, full_output=True, disp=False
    )
    return Maximum(float(root), bool(search.converged), np.array(steps))
