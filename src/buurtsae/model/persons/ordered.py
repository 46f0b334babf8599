r"""Terms of persons along levels that have an order, or are numbers: walks, smooth curves, lines.

    f = sigma V diag(lambda)^{-1/2} alpha + g gamma

V and lambda the eigenvectors and values of D'D, D first or second differences, without its null space, scaled so that
the geometric mean of the standard deviations of f is sigma; g the line that second differences leave free. A curve is
that of cubic B-splines on equal intervals, with second differences of their coefficients.

References
----------
Rue, H. and Held, L. (2005). Gaussian Markov Random Fields, section 3. Eilers, P. and Marx, B. (1996). Flexible
smoothing with B-splines and penalties. Statistical Science 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Interval

from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.persons.effect import PersonEffect
from buurtsae.model.persons.tables import Levels
from buurtsae.model.persons.terms import PersonTerm
from buurtsae.model.priors import PC, Normal, Positive
from buurtsae.notes import Note
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class Ordered(PersonTerm):
    """Levels in order, such as age: a random walk of first or second order that sums to zero.

    Parameters
    ----------
    on : str
    by : str, optional
        One walk for each level of another characteristic, with one standard deviation.
    order : {1, 2}
        Order of the differences; with 2 a line is left free, whose slope has the prior `slope`.
    sd : Prior
        Of sigma, the typical size of f.
    slope : Normal
        Of the line, per standard deviation of the levels' numbers.

    Raises
    ------
    ModelError
        On data: as `laid` says.

    Examples
    --------
    >>> effect = Ordered("leeftijd").laid({"leeftijd": ("18-34", "35-64", "65+")})
    >>> bool(abs(effect.shrunk.sum(axis=0)).max() < 1e-12)
    True
    """

    by: str | None = None
    order: Literal[1, 2] = 1
    sd: Positive = PC(1.0, 0.05)
    slope: Normal = Normal(0.0, 1.0)

    @property
    def uses(self) -> tuple[str, ...]:
        """With what there is one walk for each level of."""
        return self.on if self.by is None else (*self.on, self.by)

    @property
    def name(self) -> str:
        """With what there is one walk for each level of."""
        return " x ".join(self.on) + (f" by {self.by}" if self.by else "")

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "a random walk of order {order} along the levels, sd ~ {prior}",
            "een toevalswandeling van orde {order} langs de niveaus, sd ~ {prior}",
            order=self.order, prior=self.sd.words,
        )  # fmt: skip

    def laid(self, characteristics: Levels) -> PersonEffect:
        """Return it on characteristics.

        Raises
        ------
        ModelError
            As other terms, or if there are fewer levels than an order needs.
        """
        if (n := len(characteristics.get(self.on[0], "123"))) <= self.order:
            what, hint = f"{cut(self.name)} has too few levels for order {self.order}", "use Factor"
            raise ModelError(what, f"{n} levels", f"{self.order + 1} or more", hint)
        return super().laid(characteristics)

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the roots of the walk's covariance, one block for each level of the other, and the lines."""
        n, times = sizes[0], np.eye(int(np.prod(sizes[1:])))
        difference = np.diff(np.eye(n), self.order, axis=0)
        shrunk = _root(difference.T @ difference, self.order)
        shrunk = shrunk / _typical(shrunk)
        free = np.zeros((n, 0))
        if self.order == 2:
            line = np.arange(n) - (n - 1) / 2
            free = float(self.slope.sd) * (line / line.std())[:, None]
        return np.asarray(np.kron(shrunk, times), dtype=float), np.asarray(np.kron(free, times), dtype=float)


@dataclass(frozen=True, repr=False)
class Smooth(PersonTerm):
    """A smooth effect of a number in bins, by penalised cubic B-splines, with its line free.

    Parameters
    ----------
    on : str
        Its levels are bins: their labels are numbers, or `at` has one for each.
    at : sequence of float, optional
        Where the bins lie.
    intervals : int
        Equal intervals between knots, over the range of the bins and 0.1% beyond.
    sd : Prior
        Of sigma, the typical departure from the line.
    slope : Normal
        Of the line, per standard deviation of the bins.

    Raises
    ------
    ModelError
        On data: as `laid` says.

    Examples
    --------
    >>> Smooth("inkomen").laid({"inkomen": ("10", "20", "30", "40", "60")}).free.shape
    (5, 1)
    """

    at: tuple[float, ...] | None = None
    intervals: Annotated[int, Interval(ge=3, le=50)] = 17
    sd: Positive = PC(1.0, 0.05)
    slope: Normal = Normal(0.0, 1.0)

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _places(type(self).__name__, self.at))
        super().__post_init__()

    @property
    def name(self) -> str:
        """With the characteristic."""
        return f"s({self.on[0]})"

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "a line, and a smooth departure from it, sd ~ {prior}",
            "een lijn, en een gladde afwijking daarvan, sd ~ {prior}", prior=self.sd.words,
        )  # fmt: skip

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the splines without constants and lines, and the line."""
        b, x = self.splines(labels)
        second = np.diff(np.eye(b.shape[1]), 2, axis=0)
        shrunk = b @ _root(second.T @ second, 2)
        return shrunk / _typical(shrunk), float(self.slope.sd) * ((x - x.mean()) / x.std())[:, None]

    def splines(self, labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the B-splines at the bins, (levels, intervals + 3), and the bins.

        Raises
        ------
        ModelError
            If labels are no numbers, or fewer than five lie apart.
        """
        from scipy.interpolate import BSpline

        x = _numbers(self.name, labels, self.at, 5)
        low, high = x.min(), x.max()
        edge = 0.001 * (high - low)
        step = (high - low + 2 * edge) / self.intervals
        knots = low - edge + step * np.arange(-3, self.intervals + 4)
        return np.asarray(BSpline.design_matrix(x, knots, 3).toarray()), x


@dataclass(frozen=True, repr=False)
class Linear(PersonTerm):
    """A line along a number in bins.

    Parameters
    ----------
    on : str
        Its levels are bins: their labels are numbers, or `at` has one for each.
    at : sequence of float, optional
        Where the bins lie.
    slope : Normal
        Around 0, per standard deviation of the bins.

    Raises
    ------
    ModelError
        On data: if labels are no numbers, or `at` has not one for each.

    Examples
    --------
    >>> Linear("jaren").laid({"jaren": ("0", "5", "10")}).free.ravel().round(2).tolist()
    [-1.22, 0.0, 1.22]
    """

    at: tuple[float, ...] | None = None
    slope: Normal = Normal(0.0, 1.0)

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _places(type(self).__name__, self.at))
        super().__post_init__()

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "a line, per standard deviation ~ {prior}", "een lijn, per standaardafwijking ~ {prior}", prior=self.slope
        )

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return nothing that is shrunk, and the line."""
        x = _numbers(self.name, labels, self.at, 2)
        return np.zeros((len(x), 0)), float(self.slope.sd) * ((x - x.mean()) / x.std())[:, None]


def _places(term: str, at: Sequence[float] | None) -> tuple[float, ...] | None:
    """Where bins lie, as given.

    Raises
    ------
    ModelError
        If these are no numbers.
    """
    try:
        return None if at is None else tuple(float(value) for value in at)
    except (TypeError, ValueError):
        hint = "give the middle of each bin in a list"
        raise ModelError(f"`at` of {term} is no list of numbers", cut(repr(at)), "numbers", hint) from None


def _numbers(name: str, labels: Sequence[str], at: Sequence[float] | None, least: int) -> Floats:
    """The numbers that bins are, from their labels or as given.

    Raises
    ------
    ModelError
        If labels are no numbers, or too few lie apart.
    """
    try:
        x = np.array([float(label) for label in labels] if at is None else at, dtype=float)
    except ValueError:
        hint = f"give the middle of each bin, `at`: {cut(name)}"
        raise ModelError("the levels of a number are none", shown(labels), "numbers", hint) from None
    if len(x) != len(labels) or len(np.unique(x)) < least:
        what = f"{cut(name)} has too few values, or not one for each level"
        raise ModelError(what, shown(x), f"{len(labels)} values, {least} different", "use Ordered or Factor")
    return x


def _root(q: Floats, null: int) -> Floats:
    """V diag(lambda)^{-1/2} of a structure with so many directions that it leaves free."""
    values, vectors = np.linalg.eigh(q)
    return np.asarray(vectors[:, null:] / np.sqrt(values[null:]))


def _typical(root: Floats) -> float:
    """The geometric mean of the standard deviations."""
    return float(np.exp(0.5 * np.log((root**2).sum(axis=1)).mean()))
