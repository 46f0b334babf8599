r"""Sampling variances modelled together with the means, by the Laplace approximation.

For source s at site k, with q = lambda e + alpha its predictions, r = y - q, V given and h the log factors,

    r ~ N(0, C),  C = G + diag tau^2,  G = V_ij exp((h_i + h_j) / 2),     h_d ~ N(-kappa_d^2 / 2, kappa_d^2),
    and f_d (h_d + ratio_d exp(-h_d)) / 2 from the variance within the buurt, chi^2 with f_d degrees of freedom.

Newton's method (`mode`) finds the joint mode of the field and all h. h is local: with F minus the log-density of one
site and source, F_hh is eliminated, and the field sees the quadratic with second derivatives P - F_qh F_hh^{-1} F_hq,
P = C^{-1} (0 where an outlier makes that negative). With u = P r and C_d = dC / dh_d,

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

from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal, Posterior
from buurtsae.engines.mode import CLOSE, Expansion, Mode, mode
from buurtsae.engines.observations import Observations
from buurtsae.latent.conditional import Conditional, Local
from buurtsae.model.design import Design
from buurtsae.sparse import Floats

FLOOR = 1e-6  # least curvature of h, and least information about q


@dataclass(frozen=True)
class Derivatives:
    """Minus the log-density F of all sites and sources at (q, h), and its derivatives, (S, K, D) and (S, K, D, D)."""

    value: float
    u: Floats
    f_h: Floats
    f_hh: Floats
    f_qh: Floats
    p: Floats


@dataclass(frozen=True)
class Uncertain:
    """Direct estimates whose sampling variances are known but for factors exp(h), at given hyperparameters.

    Attributes
    ----------
    observations : Observations
    hyper : Hyper
    """

    observations: Observations
    hyper: Hyper

    close = CLOSE
    farthest = 1.0  # a factor of e at most in one step

    @property
    def design(self) -> Design:
        """The design."""
        return self.observations.design

    @property
    def start(self) -> tuple[Floats, Floats]:
        """The prior mean, and variances as they are given."""
        return np.zeros(self.design.y.shape), np.zeros(self.design.y.shape)

    @cached_property
    def residual(self) -> Floats:
        """The residual r at q = 0, shape (S, K, D)."""
        return self.observations.residual(self.hyper.slope)

    def expand(self, q: Floats, h: Floats) -> Expansion:
        """Return the log-density about q and h, shape (S, K, D) both, h eliminated."""
        seen = self.design.observed
        at = self.derivatives(h, np.where(seen, self.residual - q, 0.0))
        inverse, logdet = _inverse(at.f_hh)
        gain, inverse = at.f_qh @ inverse, np.where(seen[..., None], inverse, 0.0)
        return Expansion(
            value=-at.value,
            first=at.u + np.einsum("skde,ske->skd", gain, at.f_h),
            second=semidefinite(at.p - gain @ at.f_qh.swapaxes(-1, -2), at.p),
            inner=-np.einsum("skde,ske->skd", inverse, at.f_h),
            response=-inverse @ at.f_qh.swapaxes(-1, -2),
            spread=np.einsum("skdd->skd", inverse),
            integral=0.5 * (float(seen.sum()) * np.log(2 * np.pi) - logdet),
        )

    def local(self, second: Floats, linear: Floats) -> Local:
        """Return a quadratic in the predictions as the field and the offsets see it."""
        return self.observations.quadratic(self.hyper.slope, second, linear, 0.0)

    def predictions(self, conditional: Conditional) -> Floats:
        """Return the posterior means of the predictions, 0 where nothing was observed."""
        return np.where(self.design.observed, self.observations.predictions(conditional, self.hyper.slope), 0.0)

    def derivatives(self, h: Floats, r: Floats) -> Derivatives:
        """Return minus the log-density and its derivatives at factors exp(h) and residuals r, shape (S, K, D) both."""
        design, hyper, seen = self.design, self.hyper, self.design.observed
        assert hyper.kappa is not None  # the scale of a model with variances has it
        p, log_p = self.observations.precision(hyper.extra, np.exp(h))
        sd = np.exp(0.5 * h)
        both = seen[..., :, None] & seen[..., None, :]
        g = np.where(both, self.observations.variance * sd[..., :, None] * sd[..., None, :], 0.0)
        u = np.einsum("skde,ske->skd", p, r)
        gu = np.einsum("skde,ske->skd", g, u)
        eye = np.eye(g.shape[-1])
        columns = 0.5 * (gu[..., None] * eye + g * u[..., None, :])  # C_d u
        pg = p @ g
        weighted, m = p * g, u[..., :, None] * g * u[..., None, :]
        trace = weighted.sum(axis=-1)
        f_hh = columns.swapaxes(-1, -2) @ p @ columns
        f_hh += 0.25 * (weighted - m + (trace - u * gu)[..., None] * eye)
        f_hh -= 0.25 * (pg * pg.swapaxes(-1, -2) + p * (g @ pg))
        # the variance within the buurt, and the prior of h
        kappa = np.where(seen, hyper.kappa[:, None], 1.0)
        inside, centred = design.ratio * np.exp(-h), h + 0.5 * kappa**2
        f_h = 0.5 * (trace - u * gu) + 0.5 * design.freedom * (1 - inside) + centred / kappa**2
        f_hh += np.where(seen, 0.5 * design.freedom * inside + kappa**-2, 1.0)[..., None] * eye
        prior = (np.log(kappa) + 0.5 * np.log(2 * np.pi) + 0.5 * (centred / kappa) ** 2)[seen].sum()
        chi2 = 0.5 * (design.freedom * (h + inside))[seen].sum()
        value = 0.5 * (float((r * u).sum()) - log_p + seen.sum() * np.log(2 * np.pi)) + prior + chi2
        return Derivatives(float(value), u, np.where(seen, f_h, 0.0), f_hh, p @ columns, p)


@dataclass(frozen=True)
class Varying(Marginal):
    """The model of a design whose sampling variances are modelled, the field and the variances integrated out."""

    exact_gradient = False

    def solve(self, hyper: Hyper) -> Mode:
        """Return the joint mode of field and log factors given hyperparameters, and the Laplace approximation there.

        Raises
        ------
        ModelError
            If Newton's method does not converge.
        """
        return mode(self.field, Uncertain(self.observations, hyper), hyper.loadings(self.design))

    def posterior(self, xi: Floats) -> Posterior:
        """Return log p(xi | y) and what follows from xi, with the posterior mean of exp(h)."""
        at = self.solve(self.scores.hyper(xi))
        log_density = at.log_likelihood - 0.5 * float(xi @ xi)
        return Posterior(log_density, at.conditional, np.exp(at.h + 0.5 * at.expansion.spread))

    def with_gradient(self, xi: Floats) -> tuple[float, Floats]:
        """Return log p(xi | y) up to a constant, and its gradient at fixed curvature."""
        hyper = self.scores.hyper(xi)
        at = self.solve(hyper)
        by_loading = at.gradient
        by_slope, by_extra, _ = self.observations.gradient(at.conditional, hyper.slope, hyper.extra, np.exp(at.h))
        seen = self.design.observed
        assert hyper.kappa is not None
        kappa = np.where(seen, hyper.kappa[:, None], 1.0)
        centred = at.h + 0.5 * kappa**2
        square = centred**2 + at.expansion.spread
        by_kappa = np.where(seen, square / kappa**3 - (1 + centred) / kappa, 0.0).sum(axis=1)
        parts = (*by_loading.parts, by_slope, by_extra, by_kappa)
        return at.log_likelihood - 0.5 * float(xi @ xi), self.chained(xi, parts)


def _inverse(f_hh: Floats) -> tuple[Floats, float]:
    """Inverses of the curvatures, none flatter than FLOOR, and the sum of their log-determinants."""
    values, vectors = np.linalg.eigh(f_hh)
    values = np.maximum(values, FLOOR)
    return (vectors / values[..., None, :]) @ vectors.swapaxes(-1, -2), float(np.log(values).sum())


def semidefinite(p: Floats, whole: Floats) -> Floats:
    """The information p without its negative part; at least FLOOR of the whole."""
    values, vectors = np.linalg.eigh(p)
    if values.min() >= 0:
        return p
    return (vectors * np.maximum(values, 0.0)[..., None, :]) @ vectors.swapaxes(-1, -2) + FLOOR * whole
