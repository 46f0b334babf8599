"""An outcome that is counted among trials, persons or expected numbers: what engines need of it, and shared checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from buurtsae.errors import DataError, Problems, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.sparse import Floats

Derivatives = tuple[float, Floats, Floats, Floats, Floats]


class Differentiable(Protocol):
    """A log-likelihood of y given eta that is a sum over sites and measures, each concave in its own eta."""

    def derivatives(self, eta: Floats, y: Floats, size: Floats) -> Derivatives:
        """Return l, and its first to fourth derivatives, shape (K, D), 0 where nothing was observed: y = size = 0."""


@runtime_checkable
class Count(Outcome, Differentiable, Protocol):
    """Counts y beside trials or an exposure."""

    @property
    def beside(self) -> str:
        """What goes with a count: `trials` or `exposure`."""

    def check(self, y: Floats, size: Floats, areas: Sequence[str], problems: Problems) -> None:
        """Collect what lies outside the support; y and size have shape (n, D), NaN where nothing was observed."""

    def precision(self, eta: Floats, size: Floats) -> Floats:
        """Return the information of a count about its mean, shape (K, D)."""

    def link(self, mean: Floats) -> Floats:
        """Return the predictor of a mean of y / size."""

    def working(self, y: Floats, size: Floats) -> tuple[Floats, Floats]:
        """Return an estimate of eta from counts alone, and its variance, 0 where nothing was observed."""

    def score(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l' as a PyTensor expression."""

    def log_likelihood(self, eta: Any, y: Any, size: Any) -> Any:
        """Return l as a PyTensor expression, up to a constant."""


def refuse(
    problems: Problems,
    wrong: NDArray[np.bool_],
    got: Floats,
    areas: Sequence[str],
    what: str,
    expected: str,
    hint: str,
) -> None:
    """Collect one problem of the areas, the rows, where something is wrong, with what was got there."""
    if len(row := np.flatnonzero(wrong.any(axis=1))):
        values = (f"{areas[int(k)]} {got[k][wrong[k]][0]:g}" for k in row)
        problems.add(what, shown(values), expected, hint, DataError)


def refuse_negative(problems: Problems, y: Floats, areas: Sequence[str]) -> None:
    """Collect counts below 0."""
    refuse(problems, y < 0, y, areas, "counts are negative", "0 or more", "correct them, or leave them out")


def refuse_fractions(problems: Problems, values: Floats, areas: Sequence[str], what: str, hint: str) -> None:
    """Collect values that are no whole numbers."""
    refuse(problems, (values != np.round(values)) & np.isfinite(values), values, areas, f"{what} are no whole numbers",
           "whole numbers", hint)  # fmt: skip
