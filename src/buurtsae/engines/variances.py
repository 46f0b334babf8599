r"""Sampling variances modelled together with the means, by the Laplace approximation.

For source s at site k, with q = lambda e + alpha its predictions, r = y - q, V given and h the log factors,

    r ~ N(0, C),  C = G + diag tau^2,  G = V_ij exp((h_i + h_j) / 2),     h_d ~ N(-kappa_d^2 / 2, kappa_d^2),
    and f_d (h_d + ratio_d exp(-h_d)) / 2 from the variance within the buurt, chi^2 with f_d degrees of freedom.

Newton's method finds the joint mode of the field and all h. h is local: with F minus the log-density of one site and
source, F_hh is eliminated, and the field sees the quadratic with second derivatives P - F_qh F_hh^{-1} F_hq, P = C^{-1}
(0 where an outlier makes that negative). With u = P r and C_d = dC / dh_d,

    F_h = -u'C_d u / 2 + tr(P C_d) / 2 + ...,   F_qh = [P C_d u]_d,
    F_hh = u'C_d P C_e u - u'C_de u / 2 + tr(P C_de) / 2 - tr(P C_d P C_e) / 2 + ...

The gradient leaves out how the curvature moves with the mode: it leads proposals only, which are weighed by the value.

References
----------
You, Y. and Chapman, B. (2006). Survey Methodology 32. Rue, H., Martino, S. and Chopin, N. (2009). JRSS B 71.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.errors import ModelError
from buurtsae.latent.conditional import Conditional, condition
from buurtsae.sparse import Floats

STEPS, CLOSE = 100, 1e-8  # Newton steps at most, and the change of q and h at which they end
FLOOR = 1e-6  # least curvature of h, and least information about q


@dataclass(frozen=True)
class Expansion:
    """Minus the log-density of all sites and sources about (q, h), to second order; (S, K, D) and (S, K, D, D)."""

    value: float
    u: Floats
    f_h: Floats
    f_hh: Floats
    f_qh: Floats
    p: Floats


@dataclass(frozen=True)
class Solved:
    """The joint mode of the field and the log factors, given hyperparameters.

    Attributes
    ----------
    given : Conditional
        The Gaussian posterior of the field, h integrated out.
    h, spread : ndarray, shape (S, K, D)
        Mode and variance (given the field) of the log factors; 0 where nothing was observed.
    log_likelihood : float
    """

    given: Conditional
    h: Floats
    spread: Floats
    log_likelihood: float


@dataclass(frozen=True)
class Varying(Marginal):
    """The model of a design whose sampling variances are modelled, the field and the variances integrated out."""

    exact_gradient = False

    def solve(self, hyper: Hyper) -> Solved:
        """Return the joint mode given hyperparameters, and the Laplace approximation there.

        Raises
        ------
        ModelError
            If Newton's method does not converge.
        """
        observations, seen = self.observations, self.design.observed
        loadings, base = hyper.loadings(self.design), observations.residual(hyper.slope)
        h, q = np.zeros(seen.shape), np.zeros(seen.shape)
        for _ in range(STEPS):
            at = self._expand(hyper, h, np.where(seen, base - q, 0.0))
            inverse, logdet = _inverse(at.f_hh)
            gain = at.f_qh @ inverse
            p = _semidefinite(at.p - gain @ at.f_qh.swapaxes(-1, -2), at.p)
            pr = at.u + np.einsum("skde,ske->skd", gain, at.f_h) + np.einsum("skde,ske->skd", p, q)
            given = condition(self.field, observations.quadratic(hyper.slope, p, pr, 0.0), loadings)
            step_q = np.where(seen, observations.predictions(given, hyper.slope) - q, 0.0)
            step_h = -np.einsum("skde,ske->skd", inverse, at.f_h + np.einsum("sked,ske->skd", at.f_qh, step_q))
            largest = max(np.abs(step_q).max(), np.abs(step_h).max())
            if largest < CLOSE:
                inside = float((pr * q).sum() - 0.5 * np.einsum("skd,skde,ske->", q, p, q, optimize=True))
                value = (
                    given.log_likelihood - at.value - inside + 0.5 * (float(seen.sum()) * np.log(2 * np.pi) - logdet)
                )
                return Solved(given, h, np.where(seen, np.einsum("skdd->skd", inverse), 0.0), value)
            fraction = min(1.0, 1.0 / largest)  # a factor of e at most in one step
            q, h = q + fraction * step_q, h + fraction * np.where(seen, step_h, 0.0)
        raise ModelError(
            "the mode of the sampling variances was not found",
            f"a change of {largest:.2g} after {STEPS} steps",
            f"below {CLOSE}",
            "look for direct estimates far from all others, or use --engine nuts",
        )

    def _expand(self, hyper: Hyper, h: Floats, r: Floats) -> Expansion:
        design, seen = self.design, self.design.observed
        assert hyper.kappa is not None  # the scale of a model with variances has it
        p, log_p = self.observations.precision(hyper.extra, np.exp(h))
        sd = np.exp(0.5 * h)
        g = np.where(self._both, self.observations.variance * sd[..., :, None] * sd[..., None, :], 0.0)
        u = np.einsum("skde,ske->skd", p, r)
        gu = np.einsum("skde,ske->skd", g, u)
        eye = np.eye(g.shape[-1])
        columns = 0.5 * (gu[..., None] * eye + g * u[..., None, :])  # C_d u
        pg = p @ g
        own, m = p * g, u[..., :, None] * g * u[..., None, :]
        trace = own.sum(axis=-1)
        f_hh = columns.swapaxes(-1, -2) @ p @ columns
        f_hh += 0.25 * (own - m + (trace - u * gu)[..., None] * eye)
        f_hh -= 0.25 * (pg * pg.swapaxes(-1, -2) + p * (g @ pg))
        # the variance within the buurt, and the prior of h
        kappa = np.where(seen, hyper.kappa[:, None], 1.0)
        inside, centred = design.ratio * np.exp(-h), h + 0.5 * kappa**2
        f_h = 0.5 * (trace - u * gu) + 0.5 * design.freedom * (1 - inside) + centred / kappa**2
        f_hh += np.where(seen, 0.5 * design.freedom * inside + kappa**-2, 1.0)[..., None] * eye
        prior = (np.log(kappa) + 0.5 * np.log(2 * np.pi) + 0.5 * (centred / kappa) ** 2)[seen].sum()
        chi2 = 0.5 * (design.freedom * (h + inside))[seen].sum()
        value = 0.5 * (float((r * u).sum()) - log_p + seen.sum() * np.log(2 * np.pi)) + prior + chi2
        return Expansion(float(value), u, np.where(seen, f_h, 0.0), f_hh, p @ columns, p)

    @cached_property
    def _both(self) -> NDArray[np.bool_]:
        seen = self.design.observed
        return np.asarray(seen[..., :, None] & seen[..., None, :])

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y) and what follows from xi, with the posterior mean of exp(h)."""
        found = self.solve(self.scores.hyper(xi))
        log_density = found.log_likelihood - 0.5 * float(xi @ xi)
        return Posterior(log_density, found.given, np.exp(found.h + 0.5 * found.spread))

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient at fixed curvature."""
        hyper = self.scores.hyper(xi)
        found = self.solve(hyper)
        by_loading = found.given.gradient
        by_slope, by_extra = self.observations.gradient(found.given, hyper.slope, hyper.extra, np.exp(found.h))
        seen = self.design.observed
        assert hyper.kappa is not None
        kappa = np.where(seen, hyper.kappa[:, None], 1.0)
        centred = found.h + 0.5 * kappa**2
        by_kappa = np.where(seen, (centred**2 + found.spread) / kappa**3 - (1 + centred) / kappa, 0.0).sum(axis=1)
        parts = (by_loading.terms, by_loading.loose, *by_loading.strengths, by_slope, by_extra, by_kappa)
        return found.log_likelihood - 0.5 * float(xi @ xi), self.chained(xi, parts)


def _inverse(f_hh: Floats) -> tuple[Floats, float]:
    """Inverses of the curvatures, none flatter than FLOOR, and the sum of their log-determinants."""
    values, vectors = np.linalg.eigh(f_hh)
    values = np.maximum(values, FLOOR)
    return (vectors / values[..., None, :]) @ vectors.swapaxes(-1, -2), float(np.log(values).sum())


def _semidefinite(p: Floats, whole: Floats) -> Floats:
    """The information p without its negative part; at least FLOOR of the whole."""
    values, vectors = np.linalg.eigh(p)
    if values.min() >= 0:
        return p
    return (vectors * np.maximum(values, 0.0)[..., None, :]) @ vectors.swapaxes(-1, -2) + FLOOR * whole
