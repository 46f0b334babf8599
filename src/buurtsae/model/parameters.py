r"""Parameters of effects over D columns, and their priors: independent numbers, and what is made of these.

Standard deviations are alike, sigma_d = sigma exp(spread z_d), z_d ~ N(0, 1): columns are on one scale and vary alike,
so each says something about the others' standard deviation; with a hundred areas one says too little. A correlation
matrix R = L L' has the LKJ density proportional to |R|^(eta - 1): row i of L is

    L_ij = p_ij sqrt(1 - sum_{q<j} L_iq^2),  L_ii = sqrt(1 - sum_{q<i} L_iq^2),

with canonical partial correlations (p_ij + 1) / 2 ~ Beta(k, k), k = eta + (D - 2 - j) / 2, j = 0..i-1.

References
----------
Lewandowski, D., Kurowicka, D. and Joe, H. (2009). Generating random correlation matrices based on vines and extended
onion method. J. Multivariate Analysis 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from buurtsae.model.priors import Beta, Checked, LogNormal, Normal, Prior, stacked
from buurtsae.notes import Note
from buurtsae.sparse import Floats

Values = Mapping[str, Any]  # of the parameters of one effect, by name: real, complex, or tensors


@dataclass(frozen=True)
class Parameter:
    """A parameter of an effect.

    Attributes
    ----------
    name : str
        Within the effect: draws and reports have it as `effect.name`.
    prior : Joint
    dims : tuple of str
        Of what is reported: (`measure`,), or (`measure`, `measure_2`) for a correlation matrix.
    """

    name: str
    prior: Joint
    dims: tuple[str, ...] = ("measure",)


class Joint(Protocol):
    """The prior of a parameter over D columns: of some numbers that are independent a priori, and what they make."""

    def count(self, width: int) -> int:
        """Return how many numbers D columns take."""

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the numbers at normal scores (..., count), and their derivatives."""

    def value(self, numbers: Any, width: int) -> Any:
        """Return the parameter, (..., D) or (..., D, D), from its numbers, real or complex."""

    def pymc(self, name: str, width: int) -> Any:
        """Return the parameter as a tensor in the PyMC model at hand."""

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch."""


@dataclass(frozen=True)
class Each:
    """A prior that holds for each column, independently.

    Attributes
    ----------
    prior : Prior
    """

    prior: Prior

    def count(self, width: int) -> int:
        """Return D."""
        return width

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the prior's quantiles."""
        return self.prior.quantile(xi)

    def value(self, numbers: Any, width: int) -> Any:
        """Return the numbers themselves."""
        return numbers

    def pymc(self, name: str, width: int) -> Any:
        """Return D variables."""
        return self.prior.pymc(f"{name}_", (width,))  # not the name of what is reported

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch."""
        return self.prior.words


@dataclass(frozen=True)
class Around:
    """Numbers about a common one, g_d = g + apart z_d, z_d ~ N(0, 1): each says something about the others.

    Attributes
    ----------
    prior : Prior
        Of the common number.
    apart : float
        How far g_d may lie from it, as a standard deviation; 0: all the same.
    """

    prior: Prior
    apart: float

    def count(self, width: int) -> int:
        """Return 1 + D, or 1 where there is nothing to differ from."""
        return 1 + (width if width > 1 and self.apart > 0 else 0)

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the common number, then apart z_d."""
        common, slope = self.prior.quantile(xi[..., :1])
        rest = xi[..., 1:]
        step = np.full_like(rest, self.apart)
        return np.concatenate([common, self.apart * rest], axis=-1), np.concatenate([slope, step], axis=-1)

    def value(self, numbers: Any, width: int) -> Any:
        """Return the number of each column, shape (..., D)."""
        return self.joined(numbers[..., :1], numbers[..., 1:] if numbers.shape[-1] > 1 else np.zeros(width), np.exp)

    def pymc(self, name: str, width: int) -> Any:
        """Return the number of each column."""
        import pymc as pm
        import pytensor.tensor as pt

        common = self.prior.pymc(f"{name}_common", (1,))
        rest = np.zeros(width) if self.count(width) == 1 else self.apart * pm.Normal(f"{name}_z", shape=width)
        return self.joined(common, rest, pt.exp)

    @staticmethod
    def joined(common: Any, rest: Any, exp: Callable[[Any], Any]) -> Any:
        """Return g + rest; `exp` is that of arrays or of tensors."""
        del exp
        return common + rest

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch."""
        if not self.apart:
            return Note(
                "{prior}, the same for all measures", "{prior}, dezelfde voor alle maten",
                prior=self.prior.words,
            )  # fmt: skip
        return Note(
            "{prior} for the common one; per measure {how}",
            "{prior} voor de gezamenlijke; per maat {how}",
            prior=self.prior.words, how=self.differing,
        )  # fmt: skip

    @property
    def differing(self) -> Note:
        """How columns differ."""
        return Note("plus {apart}", "plus {apart}", apart=Normal(0.0, self.apart))


@dataclass(frozen=True)
class Alike(Around):
    """Standard deviations sigma_d = sigma exp(apart z_d): columns vary alike."""

    @staticmethod
    def joined(common: Any, rest: Any, exp: Callable[[Any], Any]) -> Any:
        """Return sigma exp(rest)."""
        return common * exp(rest)

    @property
    def differing(self) -> Note:
        """How columns differ."""
        return Note("times {apart}", "maal {apart}", apart=LogNormal(0.0, self.apart))


@dataclass(frozen=True)
class LKJ(Checked):
    """LKJ prior of a correlation matrix; eta = 1 is uniform, larger favours independence. Its value is the root L.

    Parameters
    ----------
    eta : float

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(LKJ(2))
    LKJ(2)
    """

    eta: float = 2.0

    def count(self, width: int) -> int:
        """Return the number of canonical partial correlations."""
        return width * (width - 1) // 2

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return canonical partial correlations, row by row of L."""
        width = int((1 + np.sqrt(1 + 8 * xi.shape[-1])) / 2)
        shape = self.eta + (width - 2 - np.tril_indices(width, -1)[1]) / 2
        p, slope = stacked([Beta(k, k) for k in shape]).quantile(xi) if xi.shape[-1] else (xi, xi)
        return 2 * p - 1, 2 * slope

    def value(self, numbers: Any, width: int) -> Any:
        """Return L, shape (..., D, D)."""
        root = np.zeros((*numbers.shape[:-1], width, width), dtype=numbers.dtype)
        k = 0
        for i in range(width):
            left = np.ones(numbers.shape[:-1], dtype=numbers.dtype)
            for j in range(i):
                root[..., i, j] = numbers[..., k] * np.sqrt(left)
                left = left * (1 - numbers[..., k] ** 2)
                k += 1
            root[..., i, i] = np.sqrt(left)
        return root

    def pymc(self, name: str, width: int) -> Any:
        """Return L: rows scaled to length 1 of T, normal below its diagonal, T_ii^2 ~ chi^2(2 eta + D - i) on it.

        The onion method: no Jacobian, and a handful of operations.
        """
        import pymc as pm
        import pytensor.tensor as pt

        if width == 1:
            return pt.ones((1, 1))
        below = pm.Normal(f"{name}_below", shape=self.count(width))
        degrees = 2 * self.eta + width - np.arange(2, width + 1)
        square = pm.ChiSquared(f"{name}_square", degrees, shape=width - 1)
        # T from its parts: what is below the diagonal, a 0 for all above it, the diagonal, whose first entry is 1
        part = np.full((width, width), self.count(width))
        part[np.tril_indices(width, -1)] = np.arange(self.count(width))
        part[np.diag_indices(width)] = self.count(width) + 1 + np.arange(width)
        t = pt.concatenate([below, np.zeros(1), np.ones(1), pt.sqrt(square)])[part]
        return t / pt.sqrt((t**2).sum(axis=1, keepdims=True))

    def __str__(self) -> str:
        return f"LKJ({self.eta:g})"
