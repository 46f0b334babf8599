"""One outcome per measure: scores beside shares and counts, in one model, each on its own scale.

Columns are years, and within these measures, in the order of the mapping; mean and likelihood of a column are those of
its measure's outcome. What measures share are the terms, with correlations on the scale of the linear predictors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from buurtsae.errors import ModelError, cut, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.count import Count, Derivatives
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class PerMeasure:
    """Several outcomes, each of a measure.

    Parameters
    ----------
    outcomes : mapping of measure to Outcome
        Of every measure of the data; others are left out.

    Raises
    ------
    ModelError
        Without any, or on what is no outcome.

    Examples
    --------
    >>> from buurtsae import Binomial, Gaussian, Scale
    >>> both = PerMeasure({"lonely": Binomial(scale=Scale(0, 100, "%", "%")), "mark": Gaussian((0, 10))})
    >>> both.mean([0.0, 7.0]).tolist()
    [50.0, 7.0]
    """

    outcomes: Mapping[str, Outcome]

    intercept: ClassVar[Normal] = Gaussian.intercept  # of scores; shares and counts have those of their outcomes

    def __post_init__(self) -> None:
        if not isinstance(self.outcomes, Mapping) or not self.outcomes:
            hint = "write PerMeasure({'measure': Binomial(), ...})"
            raise ModelError("there is no outcome per measure", cut(repr(self.outcomes)), "an outcome each", hint)
        if wrong := [str(name) for name, one in self.outcomes.items() if not hasattr(one, "on")]:
            raise ModelError("measures have no outcome", shown(wrong), "Gaussian, Binomial or Poisson", "give them one")
        object.__setattr__(self, "outcomes", MappingProxyType(dict(self.outcomes)))

    def __reduce__(self) -> tuple[Any, ...]:
        return PerMeasure, (dict(self.outcomes),)

    def __repr__(self) -> str:
        return f"PerMeasure({shown(f'{name}: {type(outcome).__name__}' for name, outcome in self.outcomes.items())})"

    def __hash__(self) -> int:
        return hash(tuple(self.outcomes.items()))

    @property
    def scale(self) -> Scale:
        """The scale of all, where they share one; otherwise one without ends: ask `outcome_of` that of a measure."""
        scales = list(dict.fromkeys(outcome.scale for outcome in self.outcomes.values()))
        return scales[0] if len(scales) == 1 else Scale()

    def on(self, scale: Scale) -> PerMeasure:
        """Return it with those that have no scale of their own on the scale of data."""
        return PerMeasure({name: outcome.on(scale) for name, outcome in self.outcomes.items()})

    def among(self, measures: Sequence[str]) -> PerMeasure:
        """Return those of the measures of data, in their order.

        Raises
        ------
        ModelError
            On measures without an outcome.
        """
        if lacking := [name for name in measures if name not in self.outcomes]:
            hint = "give each an outcome in PerMeasure"
            raise ModelError("measures have no outcome", shown(lacking), shown(self.outcomes), hint)
        return PerMeasure({name: self.outcomes[name] for name in measures})

    @property
    def words(self) -> Note:
        """The lines of the model about them."""
        lines = [
            Note("{words}   of {names}", "{words}   van {names}", words=outcome.words,
                 names=[name for name, other in self.outcomes.items() if other == outcome])
            for outcome in dict.fromkeys(self.outcomes.values())
        ]  # fmt: skip
        return Note.joined(lines, "\n")

    def mean(self, eta: ArrayLike, column: Ints | None = None) -> Floats:
        """Return means at linear predictors (..., W).

        Parameters
        ----------
        eta : ndarray
        column : ndarray of int, of the shape of eta, optional
            Which column each is of, where the last axis does not hold all of them.
        """
        if column is None:
            column = np.broadcast_to(np.arange(np.shape(eta)[-1]) % len(self.outcomes), np.shape(eta))
        result = np.array(eta, dtype=float)
        outcomes = list(self.outcomes.values())
        for outcome in dict.fromkeys(outcomes):
            at = np.isin(column, [d for d, other in enumerate(outcomes) if other == outcome])
            result[at] = outcome.mean(result[at])
        return result

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives, (K, W), of the measures that are counted; 0 of others."""
        value, parts = 0.0, np.zeros((4, *eta.shape))
        for outcome, at in counted_columns(self, eta.shape[-1]):
            one, *derivatives = outcome.derivatives(eta[:, at], y[:, at], size[:, at])
            value, parts[:, :, at] = value + one, derivatives
        first, second, third, fourth = parts
        return value, first, second, third, fourth


def counted_columns(outcome: Outcome, width: int) -> list[tuple[Count, Ints]]:
    """Return each outcome that is counted, and its columns among so many."""
    outcomes = list(outcome.outcomes.values()) if isinstance(outcome, PerMeasure) else [outcome]
    column = np.arange(width) % len(outcomes)
    each = dict.fromkeys(one for one in outcomes if isinstance(one, Count))
    return [
        (one, np.flatnonzero(np.isin(column, [d for d, other in enumerate(outcomes) if other == one]))) for one in each
    ]


def outcome_of(outcome: Outcome, measure: str) -> Outcome:
    """Return the outcome of one measure, with its scale, of a model's outcome."""
    return outcome.outcomes[measure] if isinstance(outcome, PerMeasure) else outcome


def outcomes_of(outcome: Outcome, measures: Sequence[str]) -> tuple[Outcome, ...]:
    """Return the outcome of each measure."""
    return tuple(outcome_of(outcome, measure) for measure in measures)
