"""A normal outcome: the linear predictor is its mean, mu = eta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats

OF_DATA = Scale(nl="schaal van de data", en="scale of the data")  # until a model meets these


@dataclass(frozen=True)
class Gaussian:
    """A normal outcome.

    Parameters
    ----------
    scale : Scale or (lower, upper)
        What figures can be; draws know no ends. By default that of the data: 0-10 for scores, without ends for a table.

    Examples
    --------
    >>> Gaussian(scale=(0, 100)).scale.range
    'from 0 to 100'
    """

    scale: Scale = OF_DATA

    intercept: ClassVar[Normal] = Normal(5.0, 2.0)  # two sds lie within 0-10

    def __post_init__(self) -> None:
        if not isinstance(self.scale, Scale):  # a pair is welcome, and a scale here
            object.__setattr__(self, "scale", Scale(*self.scale))

    def on(self, scale: Scale) -> Gaussian:
        """Return it on the scale of data, unless it has one of its own."""
        return replace(self, scale=scale) if self.scale == OF_DATA else self

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        if self.scale == OF_DATA:
            return Note(
                "  Outcome: normal, on the scale of the data", "  Uitkomst: normaal verdeeld, op de schaal van de data"
            )
        return Note(
            "  Outcome: normal, shown as a score {scale}",
            "  Uitkomst: normaal verdeeld, getoond als score {scale}",
            scale=self.scale.words,
        )

    def mean(self, eta: Floats) -> Floats:
        """Return the outcome's mean: eta itself."""
        return eta


SCORES = Gaussian(SCORE)  # on 0-10
