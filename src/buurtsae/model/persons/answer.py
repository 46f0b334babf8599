r"""What persons answer, given the predictor of their cell: three likelihoods, each a sum over cells.

    yes or no   y_c of n_c, logit p = eta
    ordered     P(answer <= k) = expit(cut_k - eta), cut_1 = 0, cut_{k+1} = cut_k + gap_k: eta has the intercept
    a number    n_c, sum and sum of squares of y ~ N(eta, s^2)

`derivatives` has l summed, and l' to l'''' of eta per cell. Parameters: gaps, and s. A `Figure` is a mean over
residents.

References
----------
McCullagh, P. (1980). Regression models for ordinal data. JRSS B 42.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from buurtsae.errors import DataError, ModelError, Problems, cut, shown
from buurtsae.model.outcome.binomial import Binomial, logistic
from buurtsae.model.outcome.count import Derivatives
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.ordinal import Ordinal
from buurtsae.model.priors import PC, LogNormal, Normal, Positive, Prior
from buurtsae.notes import Note
from buurtsae.sparse import Floats


class Answering(Protocol):
    """An outcome of persons."""

    @property
    def intercept(self) -> Normal:
        """Prior of the intercept, by default."""

    @property
    def words(self) -> Note:
        """The line of the model about it."""

    def parameters(self, y: Floats) -> tuple[tuple[str, int, Prior], ...]:
        """Return names, numbers and priors of its parameters."""

    def check(self, y: Floats, size: Floats, problems: Problems) -> None:
        """Collect what the answers cannot be."""

    def constant(self, y: Floats, size: Floats) -> float:
        """Return what does not depend on eta or parameters."""

    def derivatives(self, eta: Floats, y: Floats, size: Floats, psi: Floats) -> Derivatives:
        """Return l without its constant, and its first to fourth derivatives, (M,) each, at parameters psi."""


@dataclass(frozen=True)
class YesNo:
    """Yes or no: what `Binomial` is of persons."""

    outcome: Binomial

    intercept = Binomial.intercept

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        return Note(
            "  Outcome: y[c] ~ Binomial(n[c], p), the answers yes of the persons of a cell; logit p = eta",
            "  Uitkomst: y[c] ~ Binomiaal(n[c], p), de antwoorden ja van de personen in een cel; logit p = eta",
        )

    def parameters(self, y: Floats) -> tuple[tuple[str, int, Prior], ...]:
        """Return none."""
        return ()

    def check(self, y: Floats, size: Floats, problems: Problems) -> None:
        """Collect counts outside 0 to size, and one answer only."""
        if y.ndim != 1:
            problems.add("yes or no needs a number of yes per cell", f"an array of shape {y.shape}", "(cells,)",
                         "Answers.of(..., outcome=\"share\"), or an outcome Ladder() or Gaussian()")  # fmt: skip
        elif (wrong := (y < 0) | (y > size)).any():
            problems.add("cells have more answers yes than answers, or fewer than none",
                         f"{int(wrong.sum())} of {len(y)} cells, {y[wrong][0]:g} of {size[wrong][0]:g}",
                         "0 to the number of answers", "correct y, or size")  # fmt: skip
        elif not 0 < y.sum() < size.sum():
            problems.add("all respondents gave the same answer", f"{y.sum():g} yes of {size.sum():g}",
                         "some of each", "leave this measure out: there is nothing to tell areas apart by")  # fmt: skip

    def constant(self, y: Floats, size: Floats) -> float:
        """Return the sum of the log binomial coefficients."""
        log = special.gammaln
        return float((log(size + 1) - log(y + 1) - log(size - y + 1)).sum())

    def derivatives(self, eta: Floats, y: Floats, size: Floats, psi: Floats) -> Derivatives:
        """Return those of a binomial."""
        return logistic(eta, y, size)


@dataclass(frozen=True)
class Number:
    """A number: what `Gaussian` is of persons, with the spread of persons about their cell learnt.

    Attributes
    ----------
    outcome : Gaussian
        With its scale.
    residual : Prior
        Of s.

    Examples
    --------
    >>> from buurtsae import Gaussian
    >>> print(Number(Gaussian((0, 10))).words)
      Outcome: y ~ N(eta, s^2) of each person; s ~ PC: P(> 10) = 0.05
    """

    outcome: Gaussian
    residual: Positive = PC(10.0, 0.05)

    intercept = Gaussian.intercept

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        return Note(
            "  Outcome: y ~ N(eta, s^2) of each person; s ~ {prior}",
            "  Uitkomst: y ~ N(eta, s^2) van elke persoon; s ~ {prior}",
            prior=self.residual.words,
        )

    def parameters(self, y: Floats) -> tuple[tuple[str, int, Prior], ...]:
        """Return s."""
        return (("residual.sigma", 1, self.residual),)

    def check(self, y: Floats, size: Floats, problems: Problems) -> None:
        """Collect sums without their sums of squares, and squares below what sums allow."""
        if y.ndim != 2 or y.shape[1] != 2:
            problems.add("numbers need sums and sums of squares", f"an array of shape {y.shape}", "(cells, 2)",
                         "Answers.of makes them")  # fmt: skip
        elif (wrong := y[:, 1] * size < y[:, 0] ** 2 * (1 - 1e-9)).any():
            problems.add("sums of squares are smaller than sums allow", f"{int(wrong.sum())} cells", "none",
                         "correct y: sums, then sums of squares")  # fmt: skip
        elif y[:, 1].sum() * size.sum() <= y[:, 0].sum() ** 2 * (1 + 1e-12):
            problems.add("all respondents gave the same answer", f"{y[:, 0].sum() / size.sum():g}", "several",
                         "leave it out")  # fmt: skip

    def constant(self, y: Floats, size: Floats) -> float:
        """Return that of normal densities."""
        return -0.5 * float(size.sum()) * np.log(2 * np.pi)

    def derivatives(self, eta: Floats, y: Floats, size: Floats, psi: Floats) -> Derivatives:
        """Return those of a normal."""
        precision = 1 / psi[0] ** 2
        squares = y[:, 1].sum() - 2 * float(eta @ y[:, 0]) + float(size @ eta**2)
        value = -float(size.sum()) * np.log(psi[0]) - 0.5 * precision * squares
        none = np.zeros(len(eta))
        return float(value), precision * (y[:, 0] - size * eta), -precision * size, none, none


@dataclass(frozen=True)
class Ladder:
    """Ordered categories: what `Ordinal` is of persons, with its cuts learnt.

    Attributes
    ----------
    categories : tuple of str
        From low to high; by default 1 to K.
    gap : Prior
        Of each gap between cuts that follow each other.

    Examples
    --------
    >>> Ladder(("never", "sometimes", "often")).labels(3)
    ('never', 'sometimes', 'often')
    """

    categories: tuple[str, ...] = ()
    gap: Positive = LogNormal(0.0, 1.0)

    intercept = Normal(0.0, 5.0)

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        return Note(
            "  Outcome: P(answer <= k) = expit(cut[k] - eta), cut[1] = 0; gaps between cuts ~ {prior}",
            "  Uitkomst: P(antwoord <= k) = expit(grens[k] - eta), grens[1] = 0; afstand tussen grenzen ~ {prior}",
            prior=self.gap.words,
        )

    def parameters(self, y: Floats) -> tuple[tuple[str, int, Prior], ...]:
        """Return the gaps."""
        return (("cuts.gap", y.shape[1] - 2, self.gap),)

    def check(self, y: Floats, size: Floats, problems: Problems) -> None:
        """Collect categories that nobody chose, and answers that are not of all categories."""
        if y.ndim != 2 or y.shape[1] < 3:
            problems.add("ordered answers need three categories or more", f"an array of shape {y.shape}",
                         "(cells, categories)", "two categories are yes or no: Binomial()")  # fmt: skip
        elif (wrong := (y < 0).any(axis=1) | (abs(y.sum(axis=1) - size) > 1e-6 * size)).any():
            got = f"{int(wrong.sum())} of {len(y)} cells"
            problems.add("answers per category do not make the number of answers", got,
                         "0 or more of each, together the size", "correct y, or size")  # fmt: skip
        elif self.categories and len(self.categories) != y.shape[1]:
            problems.add("categories are not those of the answers", f"{len(self.categories)} names",
                         f"{y.shape[1]}", "name each, from low to high")  # fmt: skip
        elif (none := y.sum(axis=0) <= 0).any():
            labels = self.labels(y.shape[1])
            lacking = [label for label, empty in zip(labels, none, strict=True) if empty]
            problems.add("nobody chose some categories", shown(lacking), "answers in each",
                         "join them with their neighbours")  # fmt: skip

    def alike(self, y: Floats) -> Floats:
        """Return the gaps that give the shares of all answers, if persons do not differ."""
        below = y.sum(axis=0).cumsum()
        return np.asarray(np.diff(special.logit(below[:-1] / below[-1])))

    def labels(self, n: int) -> tuple[str, ...]:
        """Return the names of n categories."""
        return self.categories or tuple(str(k + 1) for k in range(n))

    def constant(self, y: Floats, size: Floats) -> float:
        """Return 0."""
        return 0.0

    def derivatives(self, eta: Floats, y: Floats, size: Floats, psi: Floats) -> Derivatives:
        """Return those of the cumulative logit."""
        cuts = np.concatenate([[0.0], np.cumsum(psi)])[None]
        value, *rest = Ordinal(cuts).derivatives(eta[:, None], y[:, None, :], size[:, None])
        return (value, *(part[:, 0] for part in rest))  # type: ignore[return-value]


def answering(outcome: object) -> Answering:
    """Return what an outcome is of persons.

    Raises
    ------
    ModelError
        If persons cannot have it.
    """
    if isinstance(outcome, Binomial) and outcome.overdispersion is None:
        return YesNo(outcome)
    if isinstance(outcome, Gaussian):
        return Number(outcome)
    if isinstance(outcome, YesNo | Number | Ladder):
        return outcome
    hint = "of one person a count of events or a rate is not modelled yet; answers of one are not overdispersed"
    raise ModelError("persons cannot have this outcome", cut(repr(outcome)), "Binomial(), Gaussian() or Ladder()", hint)


@dataclass(frozen=True)
class Figure:
    """A figure of residents: a mean over them of what is predicted of each.

    Attributes
    ----------
    kind : {"share", "mean"}
        `share`: of answers yes, or of one category, or from a category on; `mean`: of numbers, or of codes.
    low, high : int
        Of ordered categories, those that count, from `low` to before `high`; all of yes or no.
    codes : tuple of float
        Of ordered categories, for a mean.
    """

    kind: str = "share"
    low: int = 0
    high: int = 0
    codes: tuple[float, ...] = ()

    def rises(self, cuts: int) -> tuple[float, Floats]:
        """Return what an ordered answer counts below all cuts, and by how much more above each."""
        if self.kind == "mean":
            return self.codes[0], np.diff(self.codes)
        counts = np.array([float(self.low <= k < self.high) for k in range(cuts + 1)])
        return float(counts[0]), np.diff(counts)


def figure_of(outcome: Answering, wanted: str | None, categories: int, codes: Sequence[float] = ()) -> Figure:
    """Return a figure by its name: of ordered answers `mean`, `share <category>` or `above <category>`.

    A mean is of the numbers that categories are called; of words, of the answers' `codes`, or 1 to K.

    Raises
    ------
    DataError
        If the outcome has no such figure.
    """
    if not isinstance(outcome, Ladder):
        if wanted not in (None, "mean", "share"):
            raise DataError(
                "there is no such figure", cut(repr(wanted)), "None: the share, or the mean", "leave it out"
            )
        return Figure("mean" if isinstance(outcome, Number) else "share")
    labels = outcome.labels(categories)
    what, _, label = (wanted or "mean").partition(" ")
    if what == "mean" and not label:
        return Figure("mean", codes=_codes(labels, codes))
    if what not in ("share", "above") or label not in labels:
        known = ["mean", *(f"share {name}" for name in labels), *(f"above {name}" for name in labels[:-1])]
        raise DataError("there is no such figure", cut(repr(wanted)), shown(known, 12), "choose one of these")
    k = labels.index(label)
    return Figure("share", k, k + 1) if what == "share" else Figure("share", k + 1, len(labels))


def _codes(labels: Sequence[str], codes: Sequence[float]) -> tuple[float, ...]:
    """The numbers that categories are; if words, the codes of the answers, or 1 to K."""
    try:
        return tuple(float(label) for label in labels)
    except ValueError:
        return tuple(codes) or tuple(float(k + 1) for k in range(len(labels)))
