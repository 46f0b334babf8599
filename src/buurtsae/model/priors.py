r"""Priors of one number; each knows its quantiles, its density, its form in PyMC and its words.

Engines move in normal scores: xi ~ N(0, 1) a priori, a parameter is F^{-1}(Phi(xi)) with F its prior distribution.
What the data say nothing about stays exactly normal in xi, and what they push to a boundary has a normal tail there.
The penalised-complexity prior of a standard deviation is exponential with rate -log(alpha) / U, so that
P(sigma > U) = alpha.

References
----------
Simpson, D. et al. (2017). Penalising model component complexity. Statistical Science 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from annotated_types import Interval
from scipy import special

from buurtsae.errors import ModelError
from buurtsae.notes import Note
from buurtsae.ranges import Listed
from buurtsae.sparse import Floats

POSITIVE = frozenset({"upper", "sd", "a", "b", "eta", "scale", "shape"})
SMALLEST, LARGEST = 1e-6, 1e6  # of a scale or shape, and of any parameter: far outside 0-10, and safe to compute with
EDGE = 1e-12  # how near a proportion comes to 0 and 1
APART = 1e-6  # and an autocorrelation to 1: the square of what is left is still a number beside 1


@runtime_checkable
class Prior(Protocol):
    """What engines ask of the prior of one number, elementwise."""

    @property
    def support(self) -> tuple[float, float]:
        """Between which ends the number lies."""

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return F^{-1}(Phi(xi)) and its derivative by xi."""

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return its variable in the PyMC model at hand."""

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch."""


# of a standard deviation, of a share, and of an autocorrelation
Positive = Annotated[Prior, Interval(ge=0)]
Proportion = Annotated[Prior, Interval(ge=0, le=1)]
Signed = Annotated[Prior, Interval(ge=-1, le=1)]


class Checked(Listed):
    """Refuses parameters outside their range, all at once."""

    support: ClassVar[tuple[float, float]] = (0.0, inf)

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        bad = [
            name
            for name, value in values.items()
            if not abs(value) <= LARGEST or (name in POSITIVE and value < SMALLEST)
        ]
        if "alpha" in values and not 0 < values["alpha"] < 1:
            bad.append("alpha")
        if "high" in values and not values["low"] < values["high"]:
            bad.append("high")
        if bad:
            wrong = ", ".join(f"{name} = {values[name]}" for name in bad)
            raise ModelError(
                f"the prior {type(self).__name__} has impossible parameters",
                wrong,
                f"at most {LARGEST:g}; scales and shapes at least {SMALLEST:g}; alpha between 0 and 1; low below high",
                "correct the prior",
            )

    @property
    def words(self) -> Note:
        """The prior in English and in Dutch, which has a comma in its decimals."""
        return Note(str(self), str(self).replace(", ", "; ").replace(".", ","))


P = TypeVar("P", bound=Checked)


def stacked(priors: Sequence[P]) -> P:
    """Return one prior of a row of numbers, from the prior of each: all that priors do is elementwise."""
    kind = type(priors[0])
    row = object.__new__(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        object.__setattr__(row, field.name, np.array([getattr(prior, field.name) for prior in priors]))
    return row


@dataclass(frozen=True)
class PC(Checked):
    """Penalised-complexity prior of a standard deviation: P(sigma > upper) = alpha.

    Parameters
    ----------
    upper : float
        On the scale of the predictor.
    alpha : float

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(PC(3, 0.05))
    PC: P(> 3) = 0.05
    """

    upper: float = 1.0
    alpha: float = 0.05

    @property
    def rate(self) -> Floats | float:
        """Rate of the exponential distribution."""
        return -np.log(self.alpha) / self.upper

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return -log(1 - Phi(xi)) / rate and its derivative."""
        log_tail = special.log_ndtr(-xi)
        return -log_tail / self.rate, np.exp(-0.5 * xi**2 - log_tail) / np.sqrt(2 * np.pi) / self.rate

    def log_density(self, value: Floats) -> Floats:
        """Return the log density of the exponential distribution."""
        return np.log(self.rate) - self.rate * value

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return an exponential variable."""
        import pymc as pm

        return pm.Exponential(name, self.rate, shape=shape)

    def __str__(self) -> str:
        return f"PC: P(> {self.upper:g}) = {self.alpha:g}"


@dataclass(frozen=True)
class InverseGamma(Checked):
    """Inverse gamma prior of the variance sigma^2, stated for the standard deviation sigma.

    For comparison with packages that use it: it keeps sigma away from 0, which a PC prior does not.

    Parameters
    ----------
    shape, scale : float
        sigma^2 has density proportional to s^(-shape - 1) exp(-scale / s).

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(InverseGamma(1, 0.01))
    sigma^2 ~ InverseGamma(1, 0.01)
    """

    shape: float = 1.0
    scale: float = 0.01

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return sigma = sqrt(scale / g), g the upper quantile of a gamma distribution, and its derivative."""
        upper = special.ndtr(xi) < 0.5  # by the tail that keeps its digits
        g = np.where(
            upper,
            special.gammainccinv(self.shape, special.ndtr(xi)),
            special.gammaincinv(self.shape, special.ndtr(-xi)),
        )
        sigma = np.sqrt(self.scale / np.maximum(g, 1e-300))
        return sigma, np.exp(-0.5 * xi**2 - self.log_density(sigma)) / np.sqrt(2 * np.pi)

    def log_density(self, value: Floats) -> Floats:
        """Return the log density of sigma."""
        constant = np.log(2) + self.shape * np.log(self.scale) - special.gammaln(self.shape)
        return np.asarray(constant - (2 * self.shape + 1) * np.log(value) - self.scale / value**2)

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return the root of an inverse gamma variable."""
        import pymc as pm

        return pm.InverseGamma(f"{name}^2", self.shape, self.scale, shape=shape) ** 0.5

    def __str__(self) -> str:
        return f"sigma^2 ~ InverseGamma({self.shape:g}, {self.scale:g})"


@dataclass(frozen=True)
class HalfCauchy(Checked):
    """Half-Cauchy prior of a standard deviation.

    Parameters
    ----------
    scale : float
        The median.

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(HalfCauchy(1))
    HalfCauchy(1)
    """

    scale: float = 1.0

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return scale tan(pi Phi(xi) / 2) and its derivative."""
        value = self.scale / np.tan(0.5 * np.pi * special.ndtr(-xi))
        return value, np.exp(-0.5 * xi**2 - self.log_density(value)) / np.sqrt(2 * np.pi)

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""
        return np.asarray(np.log(2 / (np.pi * self.scale)) - 2 * np.log(np.hypot(1.0, value / self.scale)))

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return a half-Cauchy variable."""
        import pymc as pm

        return pm.HalfCauchy(name, self.scale, shape=shape)

    def __str__(self) -> str:
        return f"HalfCauchy({self.scale:g})"


@dataclass(frozen=True)
class Uniform(Checked):
    """Uniform prior between two bounds.

    Parameters
    ----------
    low, high : float

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(Uniform(-1, 1))
    Uniform(-1, 1)
    """

    low: float = 0.0
    high: float = 1.0

    @property
    def support(self) -> tuple[float, float]:  # type: ignore[override]
        """Its bounds."""
        return self.low, self.high

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return low + (high - low) Phi(xi), never quite at a bound, and its derivative."""
        p = np.clip(special.ndtr(xi), APART, 1 - APART)
        width = self.high - self.low
        return self.low + width * p, width * np.exp(-0.5 * xi**2) / np.sqrt(2 * np.pi)

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""
        return np.zeros_like(value) - np.log(self.high - self.low)

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return a uniform variable."""
        import pymc as pm

        return pm.Uniform(name, self.low, self.high, shape=shape)

    def __str__(self) -> str:
        return f"Uniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Beta(Checked):
    """Beta prior of a proportion.

    Parameters
    ----------
    a, b : float

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(Beta(1, 1))
    Beta(1, 1)
    """

    support = 0.0, 1.0

    a: float = 1.0
    b: float = 1.0

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return the quantile, never quite 0 or 1, and its derivative."""
        p = np.clip(special.betaincinv(self.a, self.b, special.ndtr(xi)), EDGE, 1 - EDGE)
        return p, np.exp(-0.5 * xi**2) / np.sqrt(2 * np.pi) / np.exp(self.log_density(p))

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""
        log_density = (self.a - 1) * np.log(value) + (self.b - 1) * np.log1p(-value)
        return np.asarray(log_density - special.betaln(self.a, self.b))

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return a beta variable."""
        import pymc as pm

        return pm.Beta(name, self.a, self.b, shape=shape)

    def __str__(self) -> str:
        return f"Beta({self.a:g}, {self.b:g})"


@dataclass(frozen=True)
class Normal(Checked):
    """Normal prior.

    Parameters
    ----------
    mean, sd : float

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(Normal(5, 5))
    Normal(5, sd 5)
    """

    support = -inf, inf

    mean: float = 0.0
    sd: float = 1.0

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return mean + sd xi and its derivative."""
        return self.mean + self.sd * xi, np.broadcast_to(self.sd, xi.shape)

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""
        return np.asarray(-0.5 * ((value - self.mean) / self.sd) ** 2 - np.log(self.sd) - 0.5 * np.log(2 * np.pi))

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return a normal variable."""
        import pymc as pm

        return pm.Normal(name, self.mean, self.sd, shape=shape)

    def __str__(self) -> str:
        return f"Normal({self.mean:g}, sd {self.sd:g})"


@dataclass(frozen=True)
class LogNormal(Checked):
    """Lognormal prior of a positive factor.

    Parameters
    ----------
    mean, sd : float
        Of its logarithm.

    Raises
    ------
    ModelError
        On parameters out of range.

    Examples
    --------
    >>> print(LogNormal(0, 0.4))
    LogNormal(0, sd 0.4)
    """

    mean: float = 0.0
    sd: float = 0.2

    def quantile(self, xi: Floats) -> tuple[Floats, Floats]:
        """Return exp(mean + sd xi) and its derivative."""
        value = np.exp(self.mean + self.sd * xi)
        return value, self.sd * value

    def log_density(self, value: Floats) -> Floats:
        """Return the log density."""
        return np.asarray(Normal.log_density(self, np.log(value)) - np.log(value))  # type: ignore[arg-type]

    def pymc(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return a lognormal variable."""
        import pymc as pm

        return pm.LogNormal(name, self.mean, self.sd, shape=shape)

    def __str__(self) -> str:
        return f"LogNormal({self.mean:g}, sd {self.sd:g})"
