r"""Covariances Sigma of the area effects of D measures, as functions of free parameters and of natural ones.

    unstructured   Sigma = L L', L lower triangular            natural: the variances and covariances
    diagonal       Sigma = diag(s_1^2, ..., s_D^2)             natural: the variances
    homoscedastic  Sigma = s^2 I                               natural: the variance
    ar1            Sigma = s^2 rho^|i-j| / (1 - rho^2)         natural: s^2 and rho; free: s and artanh(rho)

Every value of the free parameters is a covariance, singular ones included: a maximum on the edge is found as one.

References
----------
Benavent, R. and Morales, D. (2016). Multivariate Fay-Herriot models for small area estimation. CSDA 94.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Structure(ABC):
    """A family of covariances of `width` measures."""

    width: int

    @abstractmethod
    def start(self, variances: Floats) -> Floats:
        """Return free parameters near these variances (D,)."""

    @abstractmethod
    def matrix(self, free: Floats) -> Floats:
        """Return Sigma, shape (D, D)."""

    @abstractmethod
    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters, shape (K, D, D)."""

    def units(self, typical: float) -> Floats:
        """Return the scales of the free parameters (K,), where standard deviations of errors are `typical`."""
        return np.full(len(self.start(np.ones(self.width))), typical)

    def reach(self) -> Floats:
        """Return the longest step of the free parameters in one go (K,)."""
        return np.full(len(self.start(np.ones(self.width))), np.inf)

    def curvature(self, free: Floats, gradient: Floats) -> Floats:
        """Return tr(gradient d2 Sigma), shape (K, K), by central differences: exact where Sigma is quadratic."""
        step = 1e-4 * self.units(max(float(np.abs(free).max()), 1e-8))
        ends = [self.slopes(free + move) - self.slopes(free - move) for move in np.diag(step)]
        second = np.einsum("lkab,ab->kl", np.array(ends), gradient) / (2 * step)
        return (second + second.T) / 2

    @abstractmethod
    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters (K,) and the derivatives of Sigma to them, shape (K, D, D)."""

    @abstractmethod
    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""


class Unstructured(Structure):
    """Any covariance."""

    def start(self, variances: Floats) -> Floats:
        """Return free parameters near these variances."""
        return np.diag(np.sqrt(variances))[self._at]

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        root = self._root(free)
        return root @ root.T

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        root, (row, column) = self._root(free), self._at
        half = np.zeros((len(free), self.width, self.width))
        half[np.arange(len(free)), row] = root[:, column].T
        return half + half.transpose(0, 2, 1)

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        row, column = self._at
        slopes = np.zeros((len(free), self.width, self.width))
        slopes[np.arange(len(free)), row, column] = slopes[np.arange(len(free)), column, row] = 1.0
        return self.matrix(free)[row, column], slopes

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return [measures[i] if i == j else f"{measures[i]}:{measures[j]}" for i, j in zip(*self._at, strict=True)]

    @property
    def _at(self) -> tuple[np.ndarray, np.ndarray]:
        return np.tril_indices(self.width)

    def _root(self, free: Floats) -> Floats:
        root = np.zeros((self.width, self.width))
        root[self._at] = free
        return root


class Diagonal(Structure):
    """Measures with effects of their own, independent of each other."""

    def start(self, variances: Floats) -> Floats:
        """Return free parameters near these variances."""
        return np.sqrt(variances)

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        return np.diag(free**2)

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        return 2 * free[:, None, None] * self._units()

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        return free**2, self._units()

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return list(measures)

    def _units(self) -> Floats:
        return np.eye(self.width)[:, :, None] * np.eye(self.width)[:, None, :]


class Homoscedastic(Structure):
    """Independent effects of one variance."""

    def start(self, variances: Floats) -> Floats:
        """Return free parameters near these variances."""
        return np.sqrt(variances.mean(keepdims=True))

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        return free[0] ** 2 * np.eye(self.width)

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        return 2 * free[0] * np.eye(self.width)[None]

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        return free**2, np.eye(self.width)[None]

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return ["variance"]


class Ar1(Structure):
    """Effects in the order of the measures, each correlated with the one before."""

    def start(self, variances: Floats) -> Floats:
        """Return free parameters near these variances."""
        return np.array([np.sqrt(variances.mean()), 0.0])

    def matrix(self, free: Floats) -> Floats:
        """Return Sigma."""
        return free[0] ** 2 * self._unit(np.tanh(free[1]))[0]

    def slopes(self, free: Floats) -> Floats:
        """Return its derivatives to the free parameters."""
        rho = np.tanh(free[1])
        unit, to_rho = self._unit(rho)
        return np.array([2 * free[0] * unit, free[0] ** 2 * (1 - rho**2) * to_rho])

    def natural(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the natural parameters, and the derivatives of Sigma to them."""
        rho = np.tanh(free[1])
        unit, to_rho = self._unit(rho)
        return np.array([free[0] ** 2, rho]), np.array([unit, free[0] ** 2 * to_rho])

    def names(self, measures: Sequence[str]) -> list[str]:
        """Return names of the natural parameters."""
        return ["variance", "rho"]

    def _unit(self, rho: float) -> tuple[Floats, Floats]:
        """Sigma at s = 1, and its derivative to rho."""
        lag = np.abs(np.subtract.outer(np.arange(self.width), np.arange(self.width)))
        power, rest = rho**lag, 1 - rho**2
        slope = lag * rho ** np.maximum(lag - 1, 0)
        return power / rest, slope / rest + 2 * rho * power / rest**2


STRUCTURES: Mapping[str, type[Structure]] = {
    "unstructured": Unstructured,
    "diagonal": Diagonal,
    "homoscedastic": Homoscedastic,
    "ar1": Ar1,
}
