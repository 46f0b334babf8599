"""The mode of the hyperparameters of a model of persons: Newton's method with the exact gradient of Laplace's log p."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.engines.persons import Found, PersonMarginal

STEPS, CLOSE, FARTHEST = 12, 0.02, 1.0  # of Newton's at most; the last and the largest, in prior standard deviations
STEP = 0.002  # of a prior standard deviation, for differences of gradients
FLATTEST = 0.5  # curvature along an axis of xi, whose prior has 1


@dataclass(frozen=True)
class PersonMode:
    """The marginal model with its reference at the mode.

    Attributes
    ----------
    marginal : PersonMarginal
    xi : ndarray, shape (p,)
    curvature : ndarray, shape (p, p)
        Minus the second derivatives of log p(xi | y), nowhere flatter than half the prior.
    found : Found
    """

    marginal: PersonMarginal
    xi: Floats
    curvature: Floats
    found: Found


def settled(marginal: PersonMarginal) -> PersonMode:
    """Return the mode: where steps are small against the prior, as that is what they are for."""
    xi = np.zeros(0) if marginal.start is None else marginal.start
    for _ in range(STEPS):
        found = marginal.solve(xi)
        marginal = replace(marginal, reference=found.tables)
        curvature = _curvature(marginal, xi)
        step = np.linalg.solve(curvature, marginal.gradient(xi, found)) if len(xi) else xi
        size = float(np.abs(step).max(initial=0.0))
        if size < CLOSE:
            break
        xi = xi + step * min(1.0, FARTHEST / size)
    return PersonMode(marginal, xi, curvature, marginal.solve(xi))


def _curvature(marginal: PersonMarginal, xi: Floats) -> Floats:
    """By differences of gradients of the quadratic at the reference."""
    if not len(xi):
        return np.zeros((0, 0))
    slopes = np.array([marginal.with_gradient(point)[1] for point in (xi, *(xi + STEP * np.eye(len(xi))))])
    hessian = (slopes[0] - slopes[1:]) / STEP
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    return np.asarray((vectors * np.maximum(values, FLATTEST)) @ vectors.T)
