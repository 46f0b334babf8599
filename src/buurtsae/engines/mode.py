r"""The Laplace approximation of a field that is seen through a log-likelihood, at the mode that Newton's method finds.

The log-likelihood l is a sum over sites; at predictions q, which are linear in the field and zero at its prior mean, it
may have latent variables h of its own, which each site eliminates. At the mode, with W = -l'' and b = l' + W q,

    log p(y) ~ log int exp(b'q - q'W q / 2) p(q) dq + l - b'q + q'W q / 2 + log int over h about its mode,

the first integral being that of `condition`, whose mean is Newton's next q. W and b move with hyperparameters theta
through q; a step of Newton's does not move at the mode, so that

    d/dtheta log p = (gradient of the integral at fixed W, b) + d/dtheta t'E[q | W, b, theta], t = diag(Cov q) l''' / 2,

where the second part is an exact central difference of the first in b, in which it is quadratic. With S = Cov(q), the
posterior mean lies S t from the mode to first order (`corrected`), and the next order of log p (`refined`) is

    sum_i l''''_i S_ii^2 / 8 + t'S t / 2 + sum_ij l'''_i l'''_j S_ij^3 / 12,    the last sum within sites only.

The series is asymptotic. Where answers of an area are all alike its effect is held by the prior alone, and terms grow
with the prior's variance without end, the error of Laplace's approximation hardly: of one effect of answers yes or no
it is 0.06 at a standard deviation of 4, 0.3 at 28, 0.6 at 470, where the terms are 0.1, 5 and 1,000. So terms x of a
site are held within c = tr(W S) / 4, a quarter of its effective parameters: c tanh(x / c), which is x where x is small.

References
----------
Rue, H., Martino, S. and Chopin, N. (2009). JRSS B 71. Kristensen, K. et al. (2016). TMB. J. Statistical Software 70.
Shun, Z. and McCullagh, P. (1995). Laplace approximation of high dimensional integrals. JRSS B 57.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Conditional, Loadings, Local, condition
from buurtsae.latent.field import Field
from buurtsae.sparse import Floats

HELD = 0.25  # terms of the next order at most, per effective parameter
STEPS, CLOSE = 100, 1e-8  # Newton steps at most, and the change of q and h at which they end
FRACTIONS = 0.5 ** np.arange(20)  # of a step, in a line search


@dataclass(frozen=True)
class Expansion:
    """A log-likelihood about q (..., D) and h (..., J), to second order, h eliminated.

    Attributes
    ----------
    value : float
        l at q and h.
    first : ndarray, shape (..., D)
        l' of q.
    second : ndarray, shape (..., D, D)
        W, positive semidefinite.
    inner : ndarray, shape (..., J)
        Newton's step of h at this q.
    response : ndarray, shape (..., J, D)
        Its derivative by q.
    spread : ndarray, shape (..., J)
        Variances of h given q.
    integral : float
        log int over h less l: (n log(2 pi) - log |-l_hh|) / 2.
    third, fourth : ndarray, shape (..., D), optional
        l''' and l'''', where they are known and each element of q has its own.
    """

    value: float
    first: Floats
    second: Floats
    inner: Floats
    response: Floats
    spread: Floats
    integral: float = 0.0
    third: Floats | None = None
    fourth: Floats | None = None


class Likelihood(Protocol):
    """What is observed, at given hyperparameters."""

    @property
    def farthest(self) -> float:
        """The largest change of q or h in one step."""

    @property
    def close(self) -> float:
        """The change of q and h that will do where steps have not ended otherwise."""

    @property
    def start(self) -> tuple[Floats, Floats]:
        """Where q is 0, and h to begin with."""

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-likelihood about q and h."""

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return linear'q - q' second q / 2 as the field sees it."""

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior mean of q; where nothing was observed it does not matter."""


@dataclass(frozen=True)
class Mode:
    """The Laplace approximation given hyperparameters.

    Attributes
    ----------
    likelihood : Likelihood
    conditional : Conditional
        The Gaussian posterior of the field at the mode, h integrated out.
    h : ndarray, shape (..., J)
        Mode of the latent variables of the likelihood.
    expansion : Expansion
        At the mode.
    linear : ndarray, shape (..., D)
        b.
    log_likelihood : float
    """

    likelihood: Likelihood
    conditional: Conditional
    h: Floats
    expansion: Expansion
    linear: Floats
    log_likelihood: float

    @cached_property
    def tilt(self) -> Floats:
        """Return t, for a likelihood that sees the scores themselves."""
        assert self.expansion.third is not None  # asked of likelihoods that have it
        return 0.5 * np.einsum("ndd->nd", self.conditional.scores.covariance) * self.expansion.third

    def tilted(self, by: float) -> Conditional:
        """Return the field with `by` times t added to b: its mean moves by that many times Cov(q) t."""
        linear = self.linear.copy()
        linear[:, : self.tilt.shape[1]] += by * self.tilt  # offsets of sources, where there are, come after
        local = self.likelihood.local(self.expansion.second, linear)
        return condition(self.conditional.field, local, self.conditional.loadings)

    @cached_property
    def corrected(self) -> Conditional:
        """The Gaussian about the posterior mean to first order, with the covariance at the mode."""
        return self.conditional if self.expansion.third is None else self.tilted(1.0)

    @property
    def refined(self) -> float:
        """The log-likelihood to the next order, where the third and fourth derivatives are known."""
        third, fourth = self.expansion.third, self.expansion.fourth
        if third is None or fourth is None:
            return self.log_likelihood
        covariance, shift = self.conditional.scores.covariance, self.corrected.mean - self.conditional.mean
        alone = np.einsum("nd,ndd->n", fourth, covariance**2) / 8
        together = np.einsum("nd,ne,nde->n", third, third, covariance**3) / 12
        terms, d = alone + 0.5 * (self.tilt * shift).sum(axis=1) + together, shift.shape[1]
        effective = np.einsum("nde,ned->n", self.expansion.second[:, :d, :d], covariance)
        return self.log_likelihood + float(held(terms, effective).sum())

    @cached_property
    def gradient(self) -> Loadings:
        """Derivatives of the log-likelihood with respect to the loadings; at fixed curvature without l'''."""
        return self.conditional.gradient.like(self.through(lambda found: found.gradient.parts))

    def through(self, derivatives: Callable[[Conditional], Sequence[Floats]]) -> list[Floats]:
        """Return derivatives of the log-likelihood, of what has those given at fixed curvature and b."""
        fixed = list(derivatives(self.conditional))
        if self.expansion.third is None:
            return fixed
        size = 1.0 / max(float(np.abs(self.tilt).max()), 1e-12)  # any step is exact: one of the size of b
        up, down = (derivatives(self.tilted(sign * size)) for sign in (1.0, -1.0))
        return [one + 0.5 / size * (two - three) for one, two, three in zip(fixed, up, down, strict=True)]


def mode(field: Field, likelihood: Likelihood, loadings: Loadings) -> Mode:
    """Return the Laplace approximation of a field seen through a likelihood.

    Raises
    ------
    ModelError
        If Newton's method does not converge.
    """
    q, h = likelihood.start
    # q = K rho with K the prior covariance of q: its log-density is -q'rho / 2 without forming K
    rho = np.zeros_like(q)
    at = likelihood.expand(q, h)
    height = at.value
    for number in range(STEPS + 1):
        linear = at.first + _times(at.second, q)
        conditional = condition(field, likelihood.local(at.second, linear), loadings)
        step = likelihood.predictions(conditional) - q
        step_h = at.inner + _times(at.response, step)
        largest = max(float(np.abs(step).max()), float(np.abs(step_h).max(initial=0.0)))
        if largest < (CLOSE if number < STEPS else likelihood.close):
            inside = float((linear * q).sum()) - 0.5 * float((q * _times(at.second, q)).sum())
            value = conditional.log_likelihood + at.value - inside + at.integral
            return Mode(likelihood, conditional, h, at, linear, value)
        change = at.first - _times(at.second, step) - rho
        # shorter where a step goes down: far from the mode a quadratic promises too much
        for fraction in min(1.0, likelihood.farthest / largest) * FRACTIONS:
            trial, rho_there = q + fraction * step, rho + fraction * change
            at = likelihood.expand(trial, h + fraction * step_h)
            there = at.value - 0.5 * float((trial * rho_there).sum())
            if there >= height - 1e-9 * abs(height):
                break
        q, h, rho, height = trial, h + fraction * step_h, rho_there, there
    raise ModelError(
        "the mode of the scores was not found",
        f"a change of {largest:.2g} after {STEPS} steps",
        f"below {likelihood.close}",
        "look for direct estimates far from all others and counts that are impossible, or use --engine nuts",
    )


def held(terms: Floats, effective: Floats) -> Floats:
    """Return terms of the next order, held to what they can mean, of effective numbers of parameters."""
    most = np.maximum(HELD * effective, np.finfo(float).tiny)
    return np.asarray(most * np.tanh(terms / most))


def _times(matrices: Floats, vectors: Floats) -> Floats:
    return np.asarray((matrices @ vectors[..., None])[..., 0])
