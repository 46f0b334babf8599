"""A normal outcome: the linear predictor is its mean, mu = eta."""

from __future__ import annotations

from dataclasses import dataclass

from buurtsae.notes import Note
from buurtsae.scale import SCORE, Scale
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Gaussian:
    """A normal outcome.

    Parameters
    ----------
    scale : Scale or (lower, upper)
        What figures can be; draws know no ends.

    Examples
    --------
    >>> Gaussian(scale=(0, 100)).scale.range
    'from 0 to 100'
    """

    scale: Scale = SCORE

    def __post_init__(self) -> None:
        if not isinstance(self.scale, Scale):  # a pair is welcome, and a scale here
            object.__setattr__(self, "scale", Scale(*self.scale))

    @property
    def words(self) -> Note:
        """The line of the model about it."""
        return Note(
            "  Outcome: normal, shown as a score {scale}",
            "  Uitkomst: normaal verdeeld, getoond als score {scale}",
            scale=self.scale,
        )

    def mean(self, eta: Floats) -> Floats:
        """Return the outcome's mean: eta itself."""
        return eta


SCORES = Gaussian()  # on 0-10
