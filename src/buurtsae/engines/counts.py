r"""Counts in the fast engine: the marginal likelihood in the hyperparameters by Laplace's approximation.

    y_k ~ p(y_k | eta_k), independent given eta, a Gaussian field: log p(xi | y) = log p~(y | theta(xi)) - |xi|^2 / 2,

p~ Laplace's approximation at the mode of eta given theta, refined by the next order (`mode`). The gradient is that of
Laplace's own value: it leads proposals, whose weights are exact for p~. Given theta, field and coefficients are drawn
from the Gaussian with the curvature at the mode and the mean corrected to first order. What is not exact: p~, by terms
of third order, and given theta the skewness of eta, its variance beyond the curvature, its mean beyond first order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.engines.mode import CLOSE, Expansion, Mode, mode
from buurtsae.latent.conditional import Conditional, Local
from buurtsae.model.outcome.count import Count, Differentiable
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

    close = CLOSE
    farthest = 5.0  # odds or a rate 150 times as large: far below their mode a quadratic knows no measure

    @property
    def start(self) -> tuple[Floats, Floats]:
        """The prior mean, and no latent variables."""
        return np.zeros(self.size.shape), np.zeros((len(self.size), 0))

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-likelihood about eta = offset + q, shape (K, D)."""
        value, first, second, third, fourth = self.outcome.derivatives(self.offset[:, None] + q, self.y, self.size)
        d = q.shape[1]
        response = np.zeros((*h.shape, d))
        return Expansion(value, first, -second[:, :, None] * np.eye(d), h, response, h, third=third, fourth=fourth)

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return a quadratic in eta - offset as the field sees it: there are no other sources."""
        n, d = linear.shape
        return Local(second, linear, np.zeros((n, d, 0)), np.zeros((n, 0, 0)), np.zeros((n, 0)), 0.0)

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior mean of eta - offset."""
        return conditional.mean - self.offset[:, None]


@dataclass(frozen=True)
class Counting(Marginal):
    """The model of a design of counts with the field integrated out."""

    counts = True

    def solve(self, hyper: Hyper) -> Mode:
        """Return the mode of the field given hyperparameters, and the Laplace approximation there.

        Raises
        ------
        ModelError
            If Newton's method does not converge.
        """
        design, outcome = self.design, self.design.model.outcome
        assert isinstance(outcome, Count)
        assert design.size is not None
        likelihood = Counted(outcome, design.y[0], design.size[0], self.field.offset)
        return mode(self.field, likelihood, hyper.loadings(design))

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y), and the field given xi with its mean corrected."""
        at = self.solve(self.scores.hyper(xi))
        return Posterior(at.refined - 0.5 * float(xi @ xi), at.corrected)

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) by Laplace's approximation, not refined, and its gradient."""
        hyper = self.scores.hyper(xi)
        at = self.solve(hyper)
        parts = (*at.gradient.parts, np.zeros(hyper.slope.shape), np.zeros(hyper.extra.shape))  # no source is linked
        return at.log_likelihood - 0.5 * float(xi @ xi), self.chained(xi, parts)
