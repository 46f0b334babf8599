r"""Counts in the fast engine: the marginal likelihood in the hyperparameters by Laplace's approximation.

    y_k ~ p(y_k | eta_k), independent given eta, a Gaussian field: log p(xi | y) = log p~(y | theta(xi)) - |xi|^2 / 2,

p~ Laplace's approximation at the mode of eta given theta, refined by the next order (`mode`). The gradient is that of
Laplace's own value: it leads proposals, whose weights are exact for p~. Given theta, field and coefficients are drawn
from the Gaussian with the curvature at the mode and the mean corrected to first order. What is not exact: p~, by terms
of third order, and given theta the skewness of eta, its variance beyond the curvature, its mean beyond first order.
Scores beside counts are quadratic in eta and the offsets of their sources: they add to the log-likelihood as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.engines.mode import CLOSE, Expansion, Mode, mode
from buurtsae.engines.tie import Tie
from buurtsae.engines.variances import semidefinite
from buurtsae.latent.conditional import Conditional, Local
from buurtsae.model.outcome.count import Count, Differentiable
from buurtsae.model.outcome.dispersed import Overdispersed
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Counted:
    """Counts at the sites, and scores beside them, as a likelihood of the field.

    Attributes
    ----------
    outcome : Differentiable
    y, size : ndarray, shape (K, D)
        0 where nothing was counted.
    offset : ndarray, shape (K,) or (K, D)
        The prior mean of eta.
    seen : Local, optional
        What direct estimates say about scores and L offsets of sources.
    tie : Tie, optional
        What correlation of sampling errors adds.
    """

    outcome: Differentiable
    y: Floats
    size: Floats
    offset: Floats
    seen: Local | None = None
    tie: Tie | None = None

    close = CLOSE
    farthest = 5.0  # odds or a rate 150 times as large: far below their mode a quadratic knows no measure

    @property
    def start(self) -> tuple[Floats, Floats]:
        """The prior mean, and no latent variables."""
        sites, width = self.size.shape
        links = 0 if self.seen is None else self.seen.cross.shape[2]
        return np.zeros((sites, width + links)), np.zeros((sites, 0))

    @cached_property
    def centre(self) -> Floats:
        """The prior mean of eta, shape (K, D)."""
        return np.broadcast_to(self.offset.reshape(len(self.size), -1), self.size.shape)

    @cached_property
    def quadratic(self) -> tuple[Floats, Floats]:
        """P and t of the scores: their log-likelihood is t'q - q'P q / 2, shape (K, D + L, D + L) and (K, D + L)."""
        assert self.seen is not None  # asked where there are some
        local = self.seen
        precision = np.block([[local.w, local.cross], [local.cross.swapaxes(1, 2), local.own]])
        return precision, np.concatenate([local.b, local.linear], axis=1)

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-likelihood about eta = offset + q, with the offsets of sources after it, (K, D + L)."""
        d = self.size.shape[1]
        eta = self.centre + q[:, :d]
        value, first, second, third, fourth = self.outcome.derivatives(eta, self.y, self.size)
        curvature, slope = -second[:, :, None] * np.eye(d), first
        if self.tie is not None:
            more, of_tie, bend = self.tie.expand(eta, first, second, third)
            value, slope, curvature = value + more, first + of_tie, curvature + bend
        if self.seen is not None:
            precision, linear = self.quadratic
            turned = np.einsum("nij,nj->ni", precision, q)
            value += self.seen.constant + float(((linear - 0.5 * turned) * q).sum())
            whole, toward = precision.copy(), linear - turned
            whole[:, :d, :d] += curvature
            toward[:, :d] += slope
            curvature, slope = whole, toward
        if self.tie is not None or isinstance(self.outcome, Overdispersed):
            curvature = semidefinite(curvature, np.eye(q.shape[1]))
        response = np.zeros((*h.shape, q.shape[1]))
        return Expansion(value, slope, curvature, h, response, h, third=third, fourth=fourth)

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return a quadratic in eta - offset and the offsets of sources as the field sees it."""
        d = self.size.shape[1]
        return Local(second[:, :d, :d], linear[:, :d], second[:, :d, d:], second[:, d:, d:], linear[:, d:], 0.0)

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior mean of eta - offset, and of the offsets of sources."""
        alpha = np.broadcast_to(conditional.alpha, (len(self.size), len(conditional.alpha)))
        return np.concatenate([conditional.mean - self.centre, alpha], axis=1)


@dataclass(frozen=True)
class Counting(Marginal):
    """The model of a design of counts, with scores or without, the field integrated out."""

    counts = True

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        """Whether it is: third derivatives of what ties measures together are left out."""
        return self.tie is None

    @cached_property
    def tie(self) -> Tie | None:
        """What the correlation of sampling errors adds."""
        return Tie.of(self.design) if self.design.correlation is not None else None

    @cached_property
    def mixed(self) -> bool:
        """Whether there are scores beside the counts."""
        return bool((self.design.covariance != 0).any())

    def solve(self, hyper: Hyper) -> Mode:
        """Return the mode of the field given hyperparameters, and the Laplace approximation there.

        Raises
        ------
        ModelError
            If Newton's method does not converge.
        """
        design, outcome = self.design, self.design.model.outcome
        assert isinstance(outcome, Count | PerMeasure)
        seen = self.observations.local(hyper.slope, hyper.extra, hyper.factor) if self.mixed else None
        likelihood = Counted(_dispersed(outcome, hyper), *design.counted, self.field.offset, seen, self.tie)
        return mode(self.field, likelihood, hyper.loadings(design))

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y), and the field given xi with its mean corrected."""
        at = self.solve(self.scores.hyper(xi))
        return Posterior(at.refined - 0.5 * float(xi @ xi), at.corrected)

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) by Laplace's approximation, not refined, and its gradient."""
        hyper = self.scores.hyper(xi)
        at = self.solve(hyper)

        def derivatives(found: Conditional) -> tuple[Floats, ...]:
            *links, by_factor = self.observations.gradient(found, hyper.slope, hyper.extra, hyper.factor)
            return (*found.gradient.parts, *links, *([] if hyper.omega is None else [by_factor]))

        parts = at.through(derivatives)
        if hyper.rho is not None:
            parts.append(self._by_rho(at, hyper.rho))
        return at.log_likelihood - 0.5 * float(xi @ xi), self.chained(xi, parts)

    def _by_rho(self, at: Mode, rho: Floats) -> Floats:
        """Derivatives by overdispersion, (W,): of what it does to l, to the curvature and, through t, to the mode."""
        covariance = np.einsum("ndd->nd", at.conditional.scores.covariance)
        shift, by_rho = at.corrected.mean - at.conditional.mean, np.zeros(rho.shape)
        for w in self.design.overdispersion:
            step = 1e-4 * rho[w] * (1 - rho[w])
            ends = []
            for sign in (1.0, -1.0):
                there = rho.copy()
                there[w] += sign * step
                outcome = Overdispersed(self.design.model.outcome, there)
                value, first, second, *_ = outcome.derivatives(at.conditional.mean, *self.design.counted)
                ends.append(value + 0.5 * float((covariance * second).sum()) + float((shift * first).sum()))
            by_rho[w] = (ends[0] - ends[1]) / (2 * step)
        return by_rho


def _dispersed(outcome: Count | PerMeasure, hyper: Hyper) -> Differentiable:
    return outcome if hyper.rho is None else Overdispersed(outcome, hyper.rho)
