r"""Terms of persons: f_k of the level of a characteristic, or of several together, the same in all areas.

    f_k = sigma_k B_k alpha_k + G_k gamma_k,    alpha_k, gamma_k ~ N(0, I)

over the levels: B = I for exchangeable levels; for levels in order B = V diag(lambda)^{-1/2} of the eigenvectors of the
scaled structure D'D of first or second differences, so that f sums to zero and sigma is its typical size; G has columns
that are not shrunk, in units of their prior: contrasts, and the line that second differences leave free.

References
----------
Gao, Y. et al. (2021). Improving multilevel regression and poststratification with structured priors. Bayesian Analysis
16. Eilers, P. and Marx, B. (1996). Flexible smoothing with B-splines and penalties. Statistical Science 11.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval

from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.persons.tables import Cells, Levels
from buurtsae.model.priors import PC, Normal, Positive, Prior
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats, Ints

MOST = 2000  # levels of a term: its dense block has as many columns


@dataclass(frozen=True)
class PersonEffect:
    """A term of persons on data.

    Attributes
    ----------
    name : str
    on : tuple of str
        Characteristics, whose levels together are its levels, the last fastest.
    levels : tuple of str
    sizes : tuple of int
        Levels of each characteristic.
    shrunk : ndarray, shape (levels, q)
        B.
    free : ndarray, shape (levels, p)
        G.
    prior : Prior, optional
        Of sigma; None where nothing is shrunk.
    predicts : bool
        Whether residents have a level; if not, as of interviewers, they have its variance only.
    """

    name: str
    on: tuple[str, ...]
    levels: tuple[str, ...]
    sizes: tuple[int, ...]
    shrunk: Floats
    free: Floats
    prior: Prior | None
    predicts: bool = True

    def index(self, cells: Cells) -> Ints:
        """Return the level of each cell, (M,)."""
        at = np.zeros(len(cells.area), dtype=np.int64)
        for name, size in zip(self.on, self.sizes, strict=True):
            at = at * size + cells.level[name]
        return at


@dataclass(frozen=True, repr=False)
class PersonTerm(ABC):
    """What terms of persons share.

    Parameters
    ----------
    on : str or sequence of str
        A characteristic, or several whose levels together are those of the term.
    """

    on: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", (self.on,) if isinstance(self.on, str) else tuple(self.on))
        check_ranges(self, f"term {self.name}:")

    @property
    def uses(self) -> tuple[str, ...]:
        """All characteristics that it needs."""
        return self.on

    @property
    def name(self) -> str:
        """What its parameters are called after."""
        return " x ".join(self.uses)

    @property
    @abstractmethod
    def about(self) -> Note:
        """What it is."""

    @property
    def prior(self) -> Prior | None:
        """Of its standard deviation."""
        return getattr(self, "sd", None)

    @property
    def words(self) -> Note:
        """What it is, in a line of the model."""
        return Note("  {name}: {about}", "  {name}: {about}", name=self.name, about=self.about)

    def laid(self, characteristics: Levels) -> PersonEffect:
        """Return it on characteristics.

        Raises
        ------
        ModelError
            If a characteristic is absent, has one level, or there are more levels than can be.
        """
        if absent := [name for name in self.uses if name not in characteristics]:
            what, hint = f"the cells lack what {cut(self.name)} is about", "add it to the cells and the answers"
            raise ModelError(what, shown(absent), shown(characteristics, 10), hint)
        levels = [characteristics[name] for name in self.uses]
        joint = tuple(" x ".join(parts) for parts in product(*levels))
        if not 2 <= len(joint) <= MOST:
            hint = "leave it out" if len(joint) < 2 else "use effective numbers of respondents per cell instead"
            raise ModelError(f"{cut(self.name)} has too {'few' if len(joint) < 2 else 'many'} levels",
                             f"{len(joint)} levels", f"2 to {MOST}", hint)  # fmt: skip
        shrunk, free = self.basis([len(part) for part in levels], levels[0])
        return PersonEffect(
            self.name, self.uses, joint, tuple(len(part) for part in levels), shrunk, free,
            self.prior if shrunk.shape[1] else None, not isinstance(self, Cluster),
        )  # fmt: skip

    @abstractmethod
    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return B and G, from the number of levels of each characteristic and the labels of the first."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


@dataclass(frozen=True, repr=False)
class Factor(PersonTerm):
    """Levels that are exchangeable, with a standard deviation of their own; of several characteristics an interaction.

    Parameters
    ----------
    on : str or sequence of str
    sd : Prior
        Of sigma.

    Examples
    --------
    >>> print(Factor(("geslacht", "herkomst")).words)
      geslacht x herkomst: levels exchangeable, sd ~ PC: P(> 1) = 0.05
    """

    sd: Positive = PC(1.0, 0.05)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "levels exchangeable, sd ~ {prior}", "niveaus uitwisselbaar, sd ~ {prior}", prior=self.sd.words
        )

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the identity, and nothing that is not shrunk."""
        n = int(np.prod(sizes))
        return np.eye(n), np.zeros((n, 0))


@dataclass(frozen=True, repr=False)
class Cluster(Factor):
    """Clusters of respondents, such as interviewers or households: residents have their variance, not their levels.

    Parameters
    ----------
    on : str
    sd : Prior
        Of sigma.

    Examples
    --------
    >>> Cluster("interviewer")
    Cluster(interviewer)
    """


@dataclass(frozen=True, repr=False)
class Fixed(PersonTerm):
    """Contrasts of each level with the first, each with a normal prior of its own: not shrunk together.

    Parameters
    ----------
    on : str or sequence of str
    prior_of_contrasts : Normal
        Around 0.

    Examples
    --------
    >>> Fixed("geslacht").laid({"geslacht": ("man", "vrouw")}).free.ravel().tolist()
    [0.0, 2.5]
    """

    prior_of_contrasts: Normal = Normal(0.0, 2.5)

    @property
    def about(self) -> Note:
        """What it is."""
        return Note(
            "contrasts with the first level ~ {prior}", "verschillen met het eerste niveau ~ {prior}",
            prior=self.prior_of_contrasts,
        )  # fmt: skip

    def basis(self, sizes: Sequence[int], labels: Sequence[str]) -> tuple[Floats, Floats]:
        """Return nothing that is shrunk, and the contrasts."""
        n = int(np.prod(sizes))
        return np.zeros((n, 0)), float(self.prior_of_contrasts.sd) * np.eye(n)[:, 1:]


@dataclass(frozen=True, repr=False)
class Ordered(PersonTerm):
    """Levels in order, such as age: a random walk of first or second order that sums to zero.

    Parameters
    ----------
    on : str
    by : str, optional
        One walk for each level of another characteristic, with one standard deviation.
    order : {1, 2}
        Of the differences; with 2 a line is left free, whose slope has the prior `slope`.
    sd : Prior
        Of sigma, the typical size of f.
    slope : Normal
        Of the line, per standard deviation of the levels' numbers.

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
        return np.kron(shrunk, times), np.kron(free, times)


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

    Examples
    --------
    >>> Smooth("inkomen").laid({"inkomen": ("10", "20", "30", "40", "60")}).free.shape
    (5, 1)
    """

    at: tuple[float, ...] | None = None
    intervals: Annotated[int, Interval(ge=3, le=50)] = 17
    sd: Positive = PC(1.0, 0.05)
    slope: Normal = Normal(0.0, 1.0)

    def __post_init__(self) -> None:
        if self.at is not None:
            object.__setattr__(self, "at", tuple(float(value) for value in self.at))
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

        try:
            x = np.array([float(label) for label in labels] if self.at is None else self.at)
        except ValueError:
            hint = "give the middle of each bin: Smooth(on, at=[...])"
            raise ModelError(f"the levels of {cut(self.name)} are no numbers", shown(labels), "numbers", hint) from None
        if len(x) != len(labels) or len(np.unique(x)) < 5:
            what = f"{cut(self.name)} has too few values, or not one for each level"
            raise ModelError(what, shown(x), f"{max(len(labels), 5)} values", "use Ordered")
        low, high = x.min(), x.max()
        edge = 0.001 * (high - low)
        step = (high - low + 2 * edge) / self.intervals
        knots = low - edge + step * np.arange(-3, self.intervals + 4)
        return np.asarray(BSpline.design_matrix(x, knots, 3).toarray()), x


def _root(q: Floats, null: int) -> Floats:
    """V diag(lambda)^{-1/2} of a structure with so many directions that it leaves free."""
    values, vectors = np.linalg.eigh(q)
    return np.asarray(vectors[:, null:] / np.sqrt(values[null:]))


def _typical(root: Floats) -> float:
    """The geometric mean of the standard deviations."""
    return float(np.exp(0.5 * np.log((root**2).sum(axis=1)).mean()))


@dataclass(frozen=True)
class Stacked:
    """Effects side by side: L levels of all, and how parameters load them.

    Attributes
    ----------
    effects : tuple of PersonEffect
    """

    effects: tuple[PersonEffect, ...] = field(default=())

    @property
    def starts(self) -> Ints:
        """The first level of each, and L."""
        return np.cumsum([0, *(len(effect.levels) for effect in self.effects)])

    @property
    def sigmas(self) -> tuple[int, ...]:
        """Which of the effects have a standard deviation."""
        return tuple(k for k, effect in enumerate(self.effects) if effect.prior is not None)

    @property
    def columns(self) -> tuple[slice, ...]:
        """Columns of alpha of each that are shrunk; gamma of each follows these."""
        sizes = [(e.shrunk.shape[1], e.free.shape[1]) for e in self.effects]
        starts = np.cumsum([0, *(sum(pair) for pair in sizes)])
        return tuple(slice(int(at), int(at) + pair[0]) for at, pair in zip(starts, sizes, strict=False))

    def index(self, cells: Cells) -> Ints:
        """Return levels among all L, (M, effects)."""
        parts = [at + effect.index(cells) for at, effect in zip(self.starts, self.effects, strict=False)]
        table = np.stack(parts, axis=1) if parts else np.zeros((len(cells.area), 0))
        return np.ascontiguousarray(table, dtype=np.int32)

    def loading(self, sigma: Mapping[int, float] | Sequence[float]) -> Floats:
        """Return R, (L, columns), with f = R (alpha, gamma), of standard deviations in the order of `sigmas`."""
        of = dict(zip(self.sigmas, sigma, strict=True))
        starts, width = self.starts, sum(e.shrunk.shape[1] + e.free.shape[1] for e in self.effects)
        r, at = np.zeros((starts[-1], width)), 0
        for k, effect in enumerate(self.effects):
            block = np.hstack([of.get(k, 0.0) * effect.shrunk, effect.free])
            r[starts[k] : starts[k + 1], at : at + block.shape[1]] = block
            at += block.shape[1]
        return r
