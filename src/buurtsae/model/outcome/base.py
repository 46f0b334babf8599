"""What an outcome is: the scale of its figures, and how the linear predictor makes their mean."""

from __future__ import annotations

from typing import Protocol

from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats


class Outcome(Protocol):
    """What was observed, given the linear predictor eta."""

    @property
    def scale(self) -> Scale:
        """Where its figures lie."""

    @property
    def words(self) -> Note:
        """The line of the model about it."""

    def mean(self, eta: Floats) -> Floats:
        """Return the figure that is estimated."""
