r"""Covariances Sigma of an area's effects over years at steps s_1 < ... < s_T from the first, lags l = |s - s'|.

    Rao-Yu     s_v^2 1 1' + s_u^2 rho^l / (1 - rho^2)
    dynamic    s_v^2 rho^(s + s') + s_u^2 G

u_t = rho u_{t-1} + eps_t, var(eps) = s_u^2: stationary, or from u = 0 in the first year with
G = rho^l (1 + rho^2 + ... + rho^(2 min(s, s') - 2)), where |rho| may be 1 or more. Natural parameters are s_u^2, s_v^2
and rho. Free ones of the stationary are the standard deviation of u, s_u / sqrt(1 - rho^2), that of v, and artanh(rho):
as rho tends to 1 at a fixed variance of u, u is as constant as v.

References
----------
Rao, J.N.K. and Yu, M. (1994). Canadian J. Statistics 22. Fay, R.E., Planty, M. and Diallo, M.S. (2013). Small area
estimates from the National Crime Victimization Survey. JSM Proceedings.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buurtsae.classical.multivariate.covariances import Structure
from buurtsae.sparse import Floats

RHOS = (0.3, 0.8, -0.3)  # tried at the start


def powers(rho: float, lag: Floats) -> tuple[Floats, Floats]:
    """Return rho^lag and its derivative to rho, of whole lags of 0 or more."""
    return rho**lag, lag * rho ** np.maximum(lag - 1, 0)


def stationary(variance: float, rho: float, lag: Floats) -> tuple[Floats, Floats]:
    """Return variance rho^lag, shape (T, T), and its derivatives to both, shape (2, T, T)."""
    power, slope = powers(rho, lag)
    return variance * power, np.array([power, variance * slope])


@dataclass(frozen=True)
class OverYears(Structure):
    """A family of covariances over years.

    Attributes
    ----------
    steps : tuple of int
        From the first year.
    signed : bool
        Whether data tell the sign of rho; otherwise it is taken as positive.
    """

    steps: tuple[int, ...]
    signed: bool = True

    @property
    def at(self) -> Floats:
        """The steps as an array."""
        return np.array(self.steps, dtype=float)

    @property
    def lag(self) -> Floats:
        """Steps between two years, shape (T, T)."""
        return np.abs(np.subtract.outer(self.at, self.at))

    @abstractmethod
    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters from which to climb, near these variances (T,)."""

    @abstractmethod
    def free(self, values: Floats) -> Floats:
        """Return the free parameters at natural ones (K,)."""

    @abstractmethod
    def identified(self, free: Floats) -> NDArray[np.bool_]:
        """Return which natural parameters make a difference, shape (K,): rho does not where a variance is zero."""

    def informed(self, free: Floats) -> NDArray[np.bool_]:
        """Return of which of these there is information, shape (K,): none of rho at zero, if its sign is not told."""
        return self.identified(free) & [True, True, self.signed or abs(float(free[2])) > 1e-6]

    def start(self, variances: Floats) -> Floats:
        """Return the first of the starts."""
        return self.starts(variances)[0]

    def units(self, typical: float) -> Floats:
        """Return the scales of the free parameters."""
        return np.array([typical, typical, 1.0])

    def reach(self) -> Floats:
        """Return the longest step of the free parameters in one go: of the last year rho^s changes no more than e."""
        return np.array([np.inf, np.inf, 1.0 / max(self.steps)])

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return ["sigma2_u", "sigma2_v", "rho"]


class RaoYuCovariance(OverYears):
    """A constant effect and a stationary one."""

    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters near these variances."""
        sd = np.sqrt(variances.mean() / 2)
        return [np.array([sd, sd, np.arctanh(rho)]) for rho in RHOS[: 2 + self.signed]]

    def free(self, values: Floats) -> Floats:
        """Return the free parameters at natural ones."""
        return np.array([np.sqrt(values[0] / (1 - values[2] ** 2)), np.sqrt(values[1]), np.arctanh(values[2])])

    def identified(self, free: Floats) -> NDArray[np.bool_]:
        """Return which natural parameters make a difference."""
        return np.array([True, True, free[0] != 0])

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        return free[0] ** 2 * np.tanh(free[2]) ** self.lag + free[1] ** 2

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        rho = np.tanh(free[2])
        power, slope = powers(rho, self.lag)
        return np.array([2 * free[0] * power, np.full_like(power, 2 * free[1]), free[0] ** 2 * (1 - rho**2) * slope])

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        rho = np.tanh(free[2])
        sigma2_u = free[0] ** 2 * (1 - rho**2)
        power, slope = powers(rho, self.lag)
        unit, slope = power / (1 - rho**2), slope / (1 - rho**2) + 2 * rho * power / (1 - rho**2) ** 2
        return np.array([sigma2_u, free[1] ** 2, rho]), np.array([unit, np.ones_like(unit), sigma2_u * slope])


class DynamicCovariance(OverYears):
    """An effect of the first year that fades or grows, and what has come since."""

    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters near these variances."""
        sd = np.sqrt(variances.mean())
        return [np.array([sd * np.sqrt(1 - rho**2), sd, rho]) for rho in RHOS[: 2 + self.signed]]

    def free(self, values: Floats) -> Floats:
        """Return the free parameters at natural ones."""
        return np.array([np.sqrt(values[0]), np.sqrt(values[1]), values[2]])

    def identified(self, free: Floats) -> NDArray[np.bool_]:
        """Return which natural parameters make a difference."""
        return np.array([True, True, free[:2].any()])

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        return self._parts(free[2])[0] @ free[:2] ** 2

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        parts, rho = self._parts(free[2])
        return np.moveaxis(np.dstack([parts * 2 * free[:2], (rho @ free[:2] ** 2)[:, :, None]]), 2, 0)

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        parts, rho = self._parts(free[2])
        values = np.r_[free[:2] ** 2, free[2]]
        return values, np.moveaxis(np.dstack([parts, (rho @ values[:2])[:, :, None]]), 2, 0)

    def _parts(self, rho: float) -> tuple[Floats, Floats]:
        """G and rho^(s + s'), and their derivatives to rho, shapes (T, T, 2)."""
        first, slope = powers(rho, np.add.outer(self.at, self.at))
        fade, steeper = powers(rho, self.lag)
        long = powers(rho, 2 * np.arange(max(self.steps) + 1.0))
        total, rise = (np.r_[0.0, np.cumsum(part)][np.minimum.outer(self.steps, self.steps)] for part in long)
        return np.dstack([fade * total, first]), np.dstack([steeper * total + fade * rise, slope])


FAMILIES: Mapping[bool, type[OverYears]] = {False: RaoYuCovariance, True: DynamicCovariance}
