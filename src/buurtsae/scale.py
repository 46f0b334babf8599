"""The scale of an outcome: its ends, its unit, and how its figures are shown.

Draws know no ends: an area's figure is the mean of draws that may lie outside, as the mean of a normal posterior does.
So whatever is aggregated, compared or ranked is so first, and `shown` brings the result to the scale, once: means of
draws that were cut first are too far from an end, and ties at an end have no order. Maps have nine classes, narrower in
the middle, where areas are: at fixed shares of a scale with two ends, and equally wide around the median without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from buurtsae.errors import ModelError, Problems
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges

SHARES = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)  # of the scale: where one class ends and the next begins
MOST = 10  # decimals
OF_MEASURE = ("eenheid van de maat", "unit of the measure")  # where measures have scales of their own


@dataclass(frozen=True)
class Scale:
    """What figures can be, and how they are written.

    Parameters
    ----------
    lower, upper : float
        Ends; infinite where there is none.
    nl, en : str
        The unit in Dutch and in English: a score, a share, per cent.
    decimals : int, optional
        Of figures that are shown; by default as many as tell a hundredth of the scale, one where it has no two ends.

    Raises
    ------
    ModelError
        On what is no number or no text, if the lower end is not below the upper one, or with more than ten decimals.

    Examples
    --------
    >>> Scale(0, 1, "aandeel", "share").label.nl, Scale(0).range
    ('aandeel 0-1', 'from 0')
    >>> Scale(0, 10).shown([-0.2, 4.0, 11.0]).tolist()
    [0.0, 4.0, 10.0]
    """

    lower: float = -math.inf
    upper: float = math.inf
    nl: str = "score"
    en: str = "score"
    decimals: int | None = None

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges(self, "scale:")
        problems = Problems()
        if not self.lower < self.upper:
            ends, want = f"{self.lower:g} to {self.upper:g}", "the lower below the upper"
            problems.add("a scale has impossible ends", ends, want, "correct them", ModelError)
        if self.decimals is not None and not 0 <= self.decimals <= MOST:
            what, number = "a scale has impossible decimals", str(self.decimals)
            problems.add(what, number, "0 to 10", "correct `decimals`", ModelError)
        problems.raise_if_any()

    @classmethod
    def spanning(cls, scales: Iterable[Scale]) -> Scale:
        """Return the scale that several measures share, or one that holds all of theirs, in the unit of each."""
        known = list(dict.fromkeys(scales))
        if len(known) == 1:
            return known[0]
        lower, upper = min((s.lower for s in known), default=-math.inf), max((s.upper for s in known), default=math.inf)
        digits = max((scale.digits for scale in known), default=None)
        return cls(lower, upper, *OF_MEASURE, digits)

    @property
    def sign(self) -> str:
        """What follows a figure at once: the sign of per cent; empty for other units."""
        return "%" if self.nl == self.en == "%" else ""

    @property
    def digits(self) -> int:
        """Decimals of figures that are shown."""
        if self.decimals is not None:
            return self.decimals
        return max(0, 2 - math.floor(math.log10(self.width))) if self.bounded else 1

    def same_ends(self, other: Scale) -> bool:
        """Return whether another scale has the same ends; units may differ."""
        return (self.lower, self.upper) == (other.lower, other.upper)

    @property
    def width(self) -> float:
        """From one end to the other."""
        return self.upper - self.lower

    @property
    def bounded(self) -> bool:
        """Whether it has two ends."""
        return math.isfinite(self.width)

    @property
    def point(self) -> float:
        """A tenth of the scale, which rules about widths count in; 1 without two ends."""
        return self.width / 10 if self.bounded else 1.0

    def shown(self, values: ArrayLike) -> Any:
        """Return figures as they are shown: those beyond an end are at that end."""
        return np.clip(values, self.lower, self.upper)

    def outside(self, values: ArrayLike) -> Any:
        """Return which values lie beyond an end; missing ones do not."""
        return (np.asarray(values) < self.lower) | (np.asarray(values) > self.upper)

    def breaks(self, values: ArrayLike = (), *, fixed: bool = True) -> tuple[float, ...]:
        """Return where the nine classes of a map meet, from the figures on it where the scale has no two ends.

        Or where classes are not `fixed`; those at or beyond an end are moved inside.
        """
        if fixed and self.bounded:
            return tuple(round(self.lower + self.width * share, 10) for share in SHARES)
        known = np.asarray(values, dtype=float)
        known = known[np.isfinite(known)]
        low, middle, high = np.quantile(known, [0.02, 0.5, 0.98]) if len(known) else (0.0, 0.0, 0.0)
        step = round_step((high - low) / (len(SHARES) + 1)) if high > low else self.point
        first = round(middle / step - (len(SHARES) - 1) / 2) * step
        first = max(min(first, self.upper - len(SHARES) * step), self.lower + step)
        return tuple(round(first + end * step, 10) for end in range(len(SHARES)))

    @property
    def unit(self) -> Note:
        """What figures are, in both languages."""
        return Note(self.en, self.nl)

    @property
    def range(self) -> Note:
        """From where to where, in words."""
        low, high = self.lower, self.upper
        if self.bounded:
            return Note("from {low:g} to {high:g}", "van {low:g} tot {high:g}", low=low, high=high)
        if math.isfinite(low):
            return Note("from {low:g}", "vanaf {low:g}", low=low)
        if math.isfinite(high):
            return Note("up to {high:g}", "tot {high:g}", high=high)
        return Note("without fixed ends", "zonder vaste grenzen")

    @property
    def plain(self) -> bool:
        """Whether its figures are scores, without another unit."""
        return (self.nl, self.en) == ("score", "score")

    @property
    def mixed(self) -> bool:
        """Whether it holds the scales of several measures, which have units of their own."""
        return (self.nl, self.en) == OF_MEASURE

    @property
    def words(self) -> Note:
        """From where to where, with the unit of figures that are no plain scores."""
        if self.plain:
            return self.range
        if self.sign and self.bounded:
            return Note("from {low:g} to {high:g}%", "van {low:g} tot {high:g}%", low=self.lower, high=self.upper)
        return Note("{range} ({unit})", "{range} ({unit})", range=self.range, unit=self.unit)

    @property
    def ends(self) -> str:
        """From where to where, in signs."""
        sign = "-" if self.bounded and self.lower >= 0 else " – "  # beside a minus no hyphen
        return f"{self.lower:g}{sign}{self.upper:g}"

    @property
    def label(self) -> Note:
        """The unit with the ends, for a column or an axis."""
        if self.sign or self.mixed:
            return self.unit
        return Note(f"{self.en} {self.ends}", f"{self.nl} {self.ends}") if self.bounded else self.unit


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least this."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


SCORE = Scale(0, 10)
PERCENT = Scale(0, 100, "%", "%", 1)
