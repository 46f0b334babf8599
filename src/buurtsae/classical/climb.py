"""The highest point of a (restricted) log-likelihood of variances and autocorrelations, which lie in a box.

Steps are those of Newton, with the average information at the start, which every step updates by the change of the
score (BFGS): where observed and expected information differ much, as in few areas, average information alone goes to
and fro. Steps are halved until the likelihood does not fall. What lies on the edge of the box and would cross it stays
there; so does an autocorrelation whose variance does, for it makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from buurtsae.sparse import Floats

HALVINGS = 30


class Point(Protocol):
    """A model at given components."""

    def loglike(self, restricted: bool) -> float:
        """Return the log-likelihood."""

    def score(self, restricted: bool) -> Floats:
        """Return its derivatives (K,)."""

    def average_information(self) -> Floats:
        """Return the average of observed and expected information, shape (K, K)."""


P = TypeVar("P", bound=Point)


@dataclass(frozen=True)
class Box:
    """Where components may lie.

    Attributes
    ----------
    lower, upper : ndarray, shape (K,)
    of : tuple of int, length K
        The variance that a component belongs to; its own position for a variance.
    """

    lower: Floats
    upper: Floats
    of: tuple[int, ...]

    @property
    def variance(self) -> NDArray[np.bool_]:
        """Which components are variances."""
        return np.array(self.of) == np.arange(len(self.of))

    def free(self, at: Floats, score: Floats) -> NDArray[np.bool_]:
        """Return which components can rise or fall to where the score points."""
        stays = ((at <= self.lower) & (score <= 0)) | ((at >= self.upper) & (score >= 0))
        return ~stays & ~stays[list(self.of)]

    def inside(self, new: Floats, at: Floats) -> Floats:
        """Return what lies in the box, variances no less than a tenth of what they were."""
        lower = np.where(self.variance, np.maximum(at / 10, self.lower), self.lower)
        return np.clip(new, lower, self.upper)

    def scale(self, at: Floats) -> Floats:
        """Return in what changes are measured."""
        return np.where(self.variance, at, 1.0)


class Stretched(Box):
    """A box for logarithms of variances, and artanh of autocorrelations: no step is longer than log 10, or 1."""

    def inside(self, new: Floats, at: Floats) -> Floats:
        """Return what lies in the box and within reach."""
        reach = np.where(self.variance, np.log(10), 1.0)
        return np.clip(np.clip(new, at - reach, at + reach), self.lower, self.upper)

    def scale(self, at: Floats) -> Floats:
        """Return in what changes are measured."""
        return np.ones(len(at))


@dataclass(frozen=True)
class Climbed(Generic[P]):
    """Where the climb ended.

    Attributes
    ----------
    at : ndarray, shape (K,)
    point : Point
    converged : bool
    trace : list of tuple
        Components and log-likelihood after every step.
    """

    at: Floats
    point: P
    converged: bool
    trace: list[tuple[float, ...]]


def climb(
    build: Callable[[Floats], P], at: Floats, box: Box, restricted: bool, tol: float = 1e-10, maxiter: int = 100
) -> Climbed[P]:
    """Climb from `at`; converged is a step of less than `tol` on the scale of the box, or none left to take."""
    point = build(at)
    value, score, information = point.loglike(restricted), point.score(restricted), point.average_information()
    trace: list[tuple[float, ...]] = [(*at.tolist(), value)]
    freed = np.ones(len(at), dtype=bool)
    for _ in range(maxiter):
        free, step = box.free(at, score), np.zeros(len(at))
        if not free.any():
            return Climbed(at, point, True, trace)
        if (free != freed).any():  # what was learnt on the way there says little of the way along the edge
            freed, information = free, point.average_information()
        step[free] = _newton(information[np.ix_(free, free)], score[free])
        for k in range(HALVINGS):
            new = box.inside(at + step * 0.5**k, at)
            point = build(new)
            reached = point.loglike(restricted)
            if reached >= value - 1e-12 * abs(value):
                break
        moved = new - at
        trace.append((*new.tolist(), reached))
        if (np.abs(moved) <= tol * box.scale(at)).all():
            return Climbed(new, point, True, trace)
        before, score = score, point.score(restricted)
        information = _updated(information, moved, before - score)
        at, value = new, reached
    return Climbed(at, point, False, trace)


def _newton(information: Floats, score: Floats) -> Floats:
    """A Newton step; a short one in directions of which there is hardly information."""
    scale = np.sqrt(np.maximum(information.diagonal(), np.finfo(float).tiny))
    values, axes = np.linalg.eigh(information / np.outer(scale, scale))
    return np.asarray(axes @ ((axes.T @ (score / scale)) / np.maximum(values, 1e-10)) / scale, dtype=float)


def _updated(information: Floats, moved: Floats, fallen: Floats) -> Floats:
    """Information that agrees with how far the score fell on a step, where the likelihood is concave along it."""
    if moved @ fallen <= 0:
        return information
    along = information @ moved
    update = np.outer(fallen, fallen) / (moved @ fallen) - np.outer(along, along) / (moved @ along)
    return np.asarray(information + update, dtype=float)
