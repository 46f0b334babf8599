r"""Likelihoods of counts, and the Laplace approximation that makes them quadratic in the scores.

At the mode e^ of p(e | y, theta), with l the log-likelihood, W = -l''(e^) and b = l'(e^) + W e^,

    log p(y | theta) ~ log int exp(-e' W e / 2 + b' e) p(e | theta) de + l(e^) - (b' e^ - e^' W e^ / 2),

the integral being that of `gmrf.condition`. Newton's method finds e^: the posterior mean with the W and b of the last
step is the next. W and b move with theta through e^; a step of Newton's does not move at the mode, so that

    d/dtheta log p = (gradient of the integral at fixed W, b) + d/dtheta t' E[e | W, b, theta],  t = -diag(Cov e) W'/2,

and the second part is an exact central difference of the first in b, in which it is quadratic.

References
----------
Rue, H., Martino, S. and Chopin, N. (2009). JRSS B 71. Kristensen, K. et al. (2016). TMB. J. Statistical Software 70.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import special

from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Conditional, Loadings, Local, condition
from buurtsae.latent.field import Field
from buurtsae.sparse import Floats

STEPS, CLOSE = 100, 1e-9  # Newton steps at most, and the change of e, in units of the link, at which they end


class Likelihood(Protocol):
    """A log-likelihood that is a sum over sites and sub-dimensions, each concave in its own e."""

    def derivatives(self, e: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Return l, and l', -l'' and -l''' of each, shape (K, D), 0 where nothing was observed."""


@dataclass(frozen=True)
class Binomial:
    """y successes among n, logit link; n may be an effective number, and no integer.

    Attributes
    ----------
    y, n : ndarray, shape (K, D)
        n = 0 where nothing was observed.
    """

    y: Floats
    n: Floats

    def derivatives(self, e: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Return l, l', -l'' and -l'''."""
        p = special.expit(e)
        w = self.n * p * (1 - p)
        constant = special.gammaln(self.n + 1) - special.gammaln(self.y + 1) - special.gammaln(self.n - self.y + 1)
        value = self.y * e - self.n * np.logaddexp(0, e) + constant
        return float(value.sum()), self.y - self.n * p, w, w * (1 - 2 * p)


@dataclass(frozen=True)
class Poisson:
    """Counts y with mean exposure * exp(e).

    Attributes
    ----------
    y, exposure : ndarray, shape (K, D)
        exposure = 0 where nothing was observed.
    """

    y: Floats
    exposure: Floats

    def derivatives(self, e: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Return l, l', -l'' and -l'''."""
        mean = self.exposure * np.exp(e)
        value = self.y * e - mean + special.xlogy(self.y, self.exposure) - special.gammaln(self.y + 1)
        return float(value[self.exposure > 0].sum()), self.y - mean, mean, mean


@dataclass(frozen=True)
class Ordinal:
    """Counts of answers in ordered categories, cumulative logit: P(answer <= c) = expit(cut_c - e).

    Attributes
    ----------
    counts : ndarray, shape (K, D, C)
    cuts : ndarray, shape (D, C - 1)
        Ascending.
    """

    counts: Floats
    cuts: Floats

    def derivatives(self, e: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Return l, l', -l'' and -l'''.

        With F_c = expit(cut_c - e), F_0 = 0, F_C = 1: P(c) = F_c - F_{c-1}, and d log P(c) / de = F_c + F_{c-1} - 1.
        """
        f = special.expit(self.cuts - e[:, :, None])
        ends = np.zeros((*e.shape, 1))
        f = np.concatenate([ends, f, ends + 1], axis=2)
        g = f * (1 - f)  # -dF/de
        h = g * (1 - 2 * f)  # -dg/de
        upper, lower = (slice(1, None), slice(None, -1))
        value = (self.counts * np.log(f[..., upper] - f[..., lower])).sum()
        first = (self.counts * (f[..., upper] + f[..., lower] - 1)).sum(axis=2)
        second = (self.counts * (g[..., upper] + g[..., lower])).sum(axis=2)
        third = -(self.counts * (h[..., upper] + h[..., lower])).sum(axis=2)
        return float(value), first, second, third


@dataclass(frozen=True)
class Approximation:
    """The Laplace approximation given hyperparameters.

    Attributes
    ----------
    given : Conditional
        The Gaussian posterior of the field at the mode.
    log_likelihood : float
    third : ndarray, shape (K, D)
        -l''' at the mode.
    """

    given: Conditional
    log_likelihood: float
    third: Floats

    def gradient(self) -> Loadings:
        """Return the derivatives of the log-likelihood with respect to the loadings."""
        given = self.given
        tilt = -0.5 * np.einsum("ndd->nd", given.scores.covariance) * self.third
        scale = 1.0 / max(float(np.abs(tilt).max()), 1e-12)  # any step is exact: one of the size of b
        parts = []
        for sign in (1.0, -1.0):
            local = replace(given.local, b=given.local.b + sign * scale * tilt)
            parts.append(condition(given.field, local, given.loadings).gradient)
        up, down = parts
        half = 0.5 / scale
        own = given.gradient
        return Loadings(own.terms + half * (up.terms - down.terms), own.loose + half * (up.loose - down.loose))


def approximate(field: Field, likelihood: Likelihood, loadings: Loadings) -> Approximation:
    """Return the Laplace approximation of a field seen through a likelihood.

    Raises
    ------
    ModelError
        If Newton's method does not converge.
    """
    m0 = np.repeat(field.offset[:, None], field.width, axis=1)
    # rho = K^{-1} (e - m0), K the prior covariance of e: log p(e) = -(e - m0)' rho / 2 without forming K
    at, rho = m0.copy(), np.zeros_like(m0)
    value, first, second, third = likelihood.derivatives(at)
    height = value
    for _ in range(STEPS):
        local = _quadratic(at - m0, first, second)
        given = condition(field, local, loadings)
        step = given.mean - at
        if np.abs(step).max() < CLOSE:
            inside = float((local.b * (at - m0) - 0.5 * second * (at - m0) ** 2).sum())
            return Approximation(given, given.log_likelihood + value - inside, third)
        change, fraction = local.b - second * (given.mean - m0) - rho, 2.0
        while fraction > 1e-6:  # shorter steps where one goes down: far from the mode a quadratic promises too much
            fraction /= 2
            trial, rho_there = at + fraction * step, rho + fraction * change
            value, first, second, third = likelihood.derivatives(trial)
            there = value - 0.5 * float(((trial - m0) * rho_there).sum())
            if there >= height - 1e-9 * abs(height):
                break
        at, rho, height = trial, rho_there, there
    raise ModelError(
        "the mode of the scores was not found",
        f"a change of {np.abs(step).max():.2g} after {STEPS} steps",
        f"below {CLOSE}",
        "look for counts that are impossible, or use --engine nuts",
    )


def _quadratic(deviation: Floats, first: Floats, second: Floats) -> Local:
    """The likelihood as a quadratic about e = m0 + deviation."""
    n, d = deviation.shape
    w = second[:, :, None] * np.eye(d)
    b = first + second * deviation
    return Local(w, b, np.zeros((n, d, 0)), np.zeros((n, 0, 0)), np.zeros((n, 0)), 0.0)
