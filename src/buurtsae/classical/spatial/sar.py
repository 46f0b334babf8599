r"""A simultaneous autoregression of area effects, u = rho W u + v, seen with noise: sparse algebra and likelihood.

The precision of u is Q = C / sigma2, C = R'R, R = I - rho W. With Lambda = diag(1 / D), zero where an area has no
sample, A = Q + Lambda is the precision of u given y and beta, G = Q^{-1}, and Gamma = G - A^{-1}. From these come

    V^{-1} = Lambda - Lambda A^{-1} Lambda,   log |V| = log |A| - log |Q| - log |Lambda|   (V of the sampled areas),
    u_hat = A^{-1} Lambda (y - X beta),       F = A^{-1} Lambda X = G V^{-1} X,

and with B_a = Q (dG / d theta_a) Q, B = C / sigma2^2 for sigma2 and (W + W' - 2 rho W'W) / sigma2 for rho, the scores
[u_hat' B_a u_hat - tr(Gamma B_a)] / 2, to which REML adds tr(S F' B_a F) / 2, S = (X' V^{-1} X)^{-1}, and the average
information (B_a u_hat)' (Gamma - F S F') (B_b u_hat) / 2. Traces need A^{-1} and G on the pattern of C only: two
factorisations with selected inverses per evaluation, and memory linear in areas.

References
----------
Petrucci, A. and Salvati, N. (2006). JABES 11. Gilmour, A.R., Thompson, R. and Cullis, B.R. (1995). Average information
REML. Biometrics 51.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from buurtsae.classical.climb import Box, climb
from buurtsae.classical.core import Shaped, loglike
from buurtsae.sparse import Factor, Floats, Ints, Symbolic, analyse, one_thread

EDGE = 0.9999  # the most that rho may be, in size
RHOS = (0.0, 0.4, 0.8, -0.5)  # tried at the start
TINY = 1e-7  # a variance below this share of the median sampling variance is zero


@dataclass(frozen=True, repr=False)
class Neighbours(Shaped):
    """Proximities of areas and the pattern of C, analysed once.

    Attributes
    ----------
    w : csr_array, shape (m, m)
        Non-negative, rows summing to one.
    symbolic : Symbolic
    i, j : ndarray of int, shape (entries,)
        Entries of the lower triangle of C, those of the diagonal last.
    linear, square : ndarray, shape (entries,)
        W + W' and W'W there.
    """

    w: sp.csr_array
    symbolic: Symbolic
    i: Ints
    j: Ints
    linear: Floats
    square: Floats

    @classmethod
    def of(cls, w: sp.csr_array) -> Neighbours:
        """Find the pattern of (I - rho W)'(I - rho W) and an order of elimination."""
        m = w.shape[0]
        linear, square = (w + w.T).tocsr(), (w.T @ w).tocsr()
        pattern = sp.tril(abs(linear) + abs(square), -1).tocoo()
        i = np.r_[pattern.row, np.arange(m)].astype(np.int64)
        j = np.r_[pattern.col, np.arange(m)].astype(np.int64)
        values = [np.asarray(part[i, j], dtype=float).ravel() for part in (linear, square)]
        return cls(w, analyse(m, i, j), i, j, *values)

    def c(self, rho: float) -> Floats:
        """Return the entries of C."""
        return (self.i == self.j) - rho * self.linear + rho**2 * self.square

    def e(self, rho: float) -> Floats:
        """Return the entries of W + W' - 2 rho W'W = -dC / d rho."""
        return self.linear - 2 * rho * self.square

    def matrix(self, entries: Floats) -> sp.csr_array:
        """Return the symmetric matrix with these entries."""
        off = self.i != self.j
        rows, columns = np.r_[self.i, self.j[off]], np.r_[self.j, self.i[off]]
        return sp.csr_array((np.r_[entries, entries[off]], (rows, columns)), shape=self.w.shape)

    def trace(self, inverse: Floats, entries: Floats) -> float:
        """Return tr(K B) of symmetric K, known on the pattern, and B."""
        return float((np.where(self.i == self.j, 1.0, 2.0) * inverse) @ entries)


@dataclass(frozen=True, repr=False)
class Sar(Shaped):
    """The model at given variance components; see the module.

    Attributes
    ----------
    near : Neighbours
    sigma2, rho : float
    weight : ndarray, shape (m,)
        Lambda: 1 / D, 0 where there is no sample.
    y : ndarray, shape (m,)
        Direct estimates, 0 where there are none.
    x : ndarray, shape (m, p)
    """

    near: Neighbours
    sigma2: float
    rho: float
    weight: Floats
    y: Floats
    x: Floats

    @cached_property
    def of_c(self) -> Factor:
        """Factor of C."""
        return self.near.symbolic.factor(self.near.c(self.rho)[:, None, None])

    @cached_property
    def of_a(self) -> Factor:
        """Factor of A."""
        entries = self.near.c(self.rho) / self.sigma2
        entries[-len(self.y) :] += self.weight
        return self.near.symbolic.factor(entries[:, None, None])

    @cached_property
    def of_g(self) -> Floats:
        """G on the pattern."""
        return self.sigma2 * self.of_c.selected_inverse()[:, 0, 0]

    @cached_property
    def inverse_a(self) -> Floats:
        """A^{-1} on the pattern."""
        return self.of_a.selected_inverse()[:, 0, 0]

    def v_inverse(self, z: Floats) -> Floats:
        """Return V^{-1} z of the sampled areas, zero elsewhere."""
        weight = self.weight if z.ndim == 1 else self.weight[:, None]
        return weight * (z - self.of_a.solve(weight * z))

    @cached_property
    def f(self) -> Floats:
        """F, shape (m, p)."""
        return self.of_a.solve(self.weight[:, None] * self.x)

    @cached_property
    def information_beta(self) -> Floats:
        """X' V^{-1} X."""
        return self.x.T @ (self.weight[:, None] * (self.x - self.f))

    @cached_property
    def cov_beta(self) -> Floats:
        """S."""
        half = np.linalg.inv(np.linalg.cholesky(self.information_beta))
        return half.T @ half

    @cached_property
    def beta(self) -> Floats:
        """Generalised least squares."""
        return self.cov_beta @ (self.x.T @ self.v_inverse(self.y))

    @cached_property
    def residual(self) -> Floats:
        """Residuals y - X beta in the sampled areas, zero elsewhere."""
        return np.where(self.weight > 0, self.y - self.x @ self.beta, 0.0)

    @cached_property
    def effect(self) -> Floats:
        """u_hat."""
        return self.of_a.solve(self.weight * self.residual)

    @cached_property
    def b(self) -> tuple[Floats, Floats]:
        """Entries of B for sigma2 and for rho."""
        return self.near.c(self.rho) / self.sigma2**2, self.near.e(self.rho) / self.sigma2

    def loglike(self, restricted: bool = False) -> float:
        """Return the log-likelihood at beta, or the restricted one; see `core`."""
        seen, p = self.weight > 0, self.x.shape[1]
        logdet_v = (
            self.of_a.logdet - self.of_c.logdet + len(self.y) * np.log(self.sigma2) - np.log(self.weight[seen]).sum()
        )
        logdet_xvx = np.linalg.slogdet(self.information_beta)[1] if restricted else 0.0
        ypy = float((self.weight * self.residual) @ (self.residual - self.effect))
        return float(loglike(int(seen.sum()), p, logdet_v, logdet_xvx, ypy, restricted))

    def score(self, restricted: bool) -> Floats:
        """Return the derivatives by sigma2 and rho."""
        gamma, f = self.of_g - self.inverse_a, self.f
        slopes = []
        for entries in self.b:
            b = self.near.matrix(entries)
            value = self.effect @ (b @ self.effect) - self.near.trace(gamma, entries)
            slopes.append(0.5 * (value + (np.sum(self.cov_beta * (f.T @ (b @ f))) if restricted else 0.0)))
        return np.array(slopes)

    def gamma(self, z: Floats) -> Floats:
        """Return Gamma z."""
        return self.sigma2 * self.of_c.solve(z) - self.of_a.solve(z)

    def average_information(self) -> Floats:
        """Return the average of observed and expected information of sigma2 and rho, shape (2, 2)."""
        n = np.column_stack([self.near.matrix(entries) @ self.effect for entries in self.b])
        k = self.f.T @ n
        return 0.5 * (n.T @ self.gamma(n) - k.T @ self.cov_beta @ k)


@dataclass(frozen=True, repr=False)
class SarMaximum(Shaped):
    """Where the likelihood is highest.

    Attributes
    ----------
    at : Sar
    converged : bool
    zero : bool
        The variance is zero.
    trace : tuple of (sigma2, rho, log-likelihood)
    """

    at: Sar
    converged: bool
    zero: bool
    trace: tuple[tuple[float, float, float], ...]


@one_thread()
def maximise(
    near: Neighbours,
    weight: Floats,
    y: Floats,
    x: Floats,
    start: float,
    restricted: bool,
    tol: float = 1e-10,
    maxiter: int = 100,
) -> SarMaximum:
    """Climb from the best of a few autocorrelations, and a variance `start`; see `climb`.

    A variance that falls below `TINY` of the median sampling variance stays there: it is zero.
    """
    least = TINY / float(np.median(weight[weight > 0]))
    starts = [Sar(near, max(start, least), rho, weight, y, x) for rho in RHOS]
    at = max(starts, key=lambda s: s.loglike(restricted))
    if np.abs(at.residual).max() <= 1e-12 * np.abs(y).max():  # nothing is left over: the information is zero too
        at = Sar(near, least, 0.0, weight, y, x)
        return SarMaximum(at, True, True, ((least, 0.0, at.loglike(restricted)),))
    box = Box(np.array([least, -EDGE]), np.array([np.inf, EDGE]), (0, 0))
    found = climb(
        lambda v: Sar(near, float(v[0]), float(v[1]), weight, y, x),
        np.array([at.sigma2, at.rho]), box, restricted, tol, maxiter,
    )  # fmt: skip
    zero = found.converged and found.point.sigma2 <= least
    return SarMaximum(found.point, found.converged, zero, tuple((s, r, v) for s, r, v in found.trace))
