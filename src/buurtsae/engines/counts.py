r"""Counts in the fast engine: the marginal likelihood in the hyperparameters by Laplace's approximation.

    y_k ~ p(y_k | eta_k), independent given eta, a Gaussian field: log p(xi | y) = log p~(y | theta(xi)) - |xi|^2 / 2,

p~ Laplace's approximation at the mode of eta given theta (`mode`), with its exact gradient. Given theta, field and
coefficients are drawn from the Gaussian with the curvature at the mode and the mean corrected to first order in the
third derivatives. So importance weights are exact for p~; what is not are p~ itself, of relative order 1 / counts, and
given theta the skewness of eta, the variance beyond the curvature and the mean beyond first order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from buurtsae.engines.mode import Expansion
from buurtsae.latent.conditional import Conditional, Local
from buurtsae.model.outcome.count import Differentiable
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Counted:
    """Counts at the sites as a likelihood of the field.

    Attributes
    ----------
    outcome : Differentiable
    y, size : ndarray, shape (K, D)
        0 where nothing was observed.
    offset : ndarray, shape (K,)
        The prior mean of eta.
    """

    outcome: Differentiable
    y: Floats
    size: Floats
    offset: Floats

    farthest = 5.0  # odds or a rate 150 times as large: far below their mode a quadratic knows no measure

    @property
    def start(self) -> tuple[Floats, Floats]:
        """The prior mean, and no latent variables."""
        return np.zeros(self.size.shape), np.zeros((len(self.size), 0))

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-likelihood about eta = offset + q, shape (K, D)."""
        value, first, second, third = self.outcome.derivatives(self.offset[:, None] + q, self.y, self.size)
        d = q.shape[1]
        return Expansion(value, first, second[:, :, None] * np.eye(d), h, np.zeros((*h.shape, d)), h, third=third)

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return a quadratic in eta - offset as the field sees it: there are no other sources."""
        n, d = linear.shape
        return Local(second, linear, np.zeros((n, d, 0)), np.zeros((n, 0, 0)), np.zeros((n, 0)), 0.0)

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior mean of eta - offset."""
        return conditional.mean - self.offset[:, None]
