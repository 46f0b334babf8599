r"""Covariances Sigma of an area's effects over years at steps s_1 < ... < s_T from the first, lags l = |s - s'|.

    independent   s_u^2 I                                             natural: s_u^2
    ar1           s_u^2 R,  R = rho^l / (1 - rho^2)                   natural: s_u^2, rho
    rao_yu        s_v^2 1 1' + s_u^2 R                                natural: s_u^2, s_v^2, rho
    dynamic       s_v^2 rho^(s + s') + s_u^2 G                        natural: s_u^2, s_v^2, rho

u_t = rho u_{t-1} + eps_t, var(eps) = s_u^2: stationary with covariance s_u^2 R, or from u = 0 in the first year with
G = rho^l (1 + rho^2 + ... + rho^(2 min(s, s') - 2)), where |rho| may be 1 or more. Free parameters of the stationary
ones are the standard deviation of u, s_u / sqrt(1 - rho^2), that of v, and artanh(rho): as rho tends to 1 at a fixed
variance of u, u is as constant as v.

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

from buurtsae.classical.multivariate.covariances import Structure
from buurtsae.sparse import Floats

EDGE = 0.9999  # an autocorrelation beyond it is one


def powers(rho: float, lag: Floats) -> tuple[Floats, Floats]:
    """Return rho^lag and its derivative to rho, of whole lags of 0 or more."""
    return rho**lag, lag * rho ** np.maximum(lag - 1, 0)


@dataclass(frozen=True)
class OverTime(Structure):
    """A family of covariances over years.

    Attributes
    ----------
    steps : tuple of int
        From the first year.
    """

    steps: tuple[int, ...]

    @property
    def at(self) -> Floats:
        """The steps as an array."""
        return np.array(self.steps, dtype=float)

    @property
    def lag(self) -> Floats:
        """Steps between two years, shape (T, T)."""
        return np.abs(np.subtract.outer(self.at, self.at))

    def ar1(self, rho: float) -> tuple[Floats, Floats]:
        """Return R and its derivative to rho."""
        power, slope = powers(rho, self.lag)
        rest = 1 - rho**2
        return power / rest, slope / rest + 2 * rho * power / rest**2

    @abstractmethod
    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters from which to climb, near these variances (T,)."""

    def start(self, variances: Floats) -> Floats:
        """Return the first of the starts."""
        return self.starts(variances)[0]

    def vanishing(self, free: Floats, least: float) -> list[str]:
        """Return names of the variances that are not above `least`."""
        values = dict(zip(self.names([]), self.natural(free)[0], strict=True))
        return [name for name, value in values.items() if name.startswith("sigma2") and value <= least]


class RaoYuCovariance(OverTime):
    """A constant effect and a stationary one."""

    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters near these variances."""
        sd = np.sqrt(variances.mean() / 2)
        return [np.array([sd, sd, np.arctanh(rho)]) for rho in (0.3, 0.8, -0.3)]

    def units(self, typical: float) -> Floats:
        """Return the scales of the free parameters."""
        return np.array([typical, typical, 1.0])

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
        unit, slope = self.ar1(rho)
        return np.array([sigma2_u, free[1] ** 2, rho]), np.array([unit, np.ones_like(unit), sigma2_u * slope])

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return ["sigma2_u", "sigma2_v", "rho"]


class DynamicCovariance(OverTime):
    """An effect of the first year that fades or grows, and what has come since."""

    def starts(self, variances: Floats) -> list[Floats]:
        """Return free parameters near these variances."""
        sd = np.sqrt(variances.mean())
        return [np.array([sd * np.sqrt(1 - rho**2), sd, rho]) for rho in (0.3, 0.8, -0.3)]

    def units(self, typical: float) -> Floats:
        """Return the scales of the free parameters."""
        return np.array([typical, typical, 1.0])

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

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return ["sigma2_u", "sigma2_v", "rho"]

    def _parts(self, rho: float) -> tuple[Floats, Floats]:
        """G and rho^(s + s'), and their derivatives to rho, shapes (T, T, 2)."""
        first, slope = powers(rho, np.add.outer(self.at, self.at))
        fade, steeper = powers(rho, self.lag)
        long = powers(rho, 2 * np.arange(max(self.steps) + 1.0))
        total, rise = (np.r_[0.0, np.cumsum(part)][np.minimum.outer(self.steps, self.steps)] for part in long)
        return np.dstack([fade * total, first]), np.dstack([steeper * total + fade * rise, slope])


FAMILIES: Mapping[bool, type[OverTime]] = {False: RaoYuCovariance, True: DynamicCovariance}
