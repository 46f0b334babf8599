r"""What the linear predictor eta says about: an outcome has a scale, and a mean mu = h(eta) on it.

h is the inverse link. It is applied to draws of eta (`Draws.scores`) before anything is averaged over areas, because
the mean of h(eta) is not h of the mean; draws are brought to the ends of the scale where figures are shown.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.scale import Scale
from buurtsae.sparse import Floats


@runtime_checkable
class Outcome(Protocol):
    """What is modelled, on its scale."""

    @property
    def scale(self) -> Scale:
        """What its figures can be."""

    @property
    def intercept(self) -> Normal:
        """The prior of the intercept, by default."""

    def on(self, scale: Scale) -> Outcome:
        """Return it on the scale of data, where it has none of its own."""

    @property
    def words(self) -> Note:
        """The line of the model about it."""

    def mean(self, eta: Floats) -> Floats:
        """Return the outcome's mean at linear predictors of any shape."""
