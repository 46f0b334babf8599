r"""What the direct estimates say about the scores, given the links of their sources: Gaussian, per site.

    y_[s,a] = c + alpha_s + lambda_s (e_a - c) + error,    error ~ N(0, V_[s,a] + diag tau_s^2) =: N(0, P_[s,a]^{-1}),

with r_[s,a] the residual at e = m0 and alpha at its prior mean. In the sufficient statistics of `gmrf.Local`

    W_a = sum_s lambda P lambda,   b_a = sum_s lambda P r,   H_a = [lambda P]_linked,   h_a = [P r]_linked,

and by Fisher's identity, with expectations over the posterior of e and alpha,

    d log p(y) / d lambda_sd = sum_a E[(P r)_d (e_d - c_d)],    d log p(y) / d tau_sd = tau sum_a G_dd,
    d log p(y) / d log omega_sd = sum_a (G V)_dd / 2,    G = P E[r r'] P - P,

omega a factor that the V of all sites have in common. alpha_s = Z_s a: of L offsets a each is added in some columns of
one source, such as an alpha in those of all its years.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from buurtsae.latent.conditional import Conditional, Local
from buurtsae.model.design import Design
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class Observations:
    """The direct estimates of a design, ready for any value of the links.

    Attributes
    ----------
    design : Design
    offset : ndarray, shape (K, D)
        m0.
    """

    design: Design
    offset: Floats

    @cached_property
    def _both(self) -> NDArray[np.bool_]:
        seen = self.design.observed
        return np.asarray(seen[..., :, None] & seen[..., None, :])

    @cached_property
    def variance(self) -> Floats:
        """V, the identity where nothing was observed, shape (S, K, D, D)."""
        return np.where(self._both, self.design.covariance, np.eye(self.design.y.shape[2]))

    @cached_property
    def _offsets(self) -> tuple[Ints, Floats, Floats]:
        """Sources of the offsets, (L,), 1 in the columns that each is added in, (L, D), prior standard deviations."""
        return self.design.offsets.source, self.design.offsets.columns, self.design.offsets.sd

    def precision(self, extra: Floats, factor: Floats | float = 1.0) -> tuple[Floats, float]:
        """Return P, 0 where nothing was observed, shape (S, K, D, D), and log |P| summed.

        Parameters
        ----------
        extra : ndarray, shape (S, D)
            tau.
        factor : ndarray, shape (S, K, D), optional
            exp(h), by which sampling variances differ from those given.
        """
        from buurtsae.multifrontal import invert_each

        v = self.covariance(extra, factor)
        shape = v.shape
        inverse, logdet = invert_each(v.reshape(-1, *shape[2:]))
        return np.where(self._both, inverse.reshape(shape), 0.0), -logdet

    def covariance(self, extra: Floats, factor: Floats | float = 1.0) -> Floats:
        """Return P^{-1}, V where nothing was observed, shape (S, K, D, D), of arguments as `precision`."""
        seen = self.design.observed
        sd = np.sqrt(np.where(seen, factor, 1.0))
        v = self.variance * sd[..., :, None] * sd[..., None, :]
        return v + np.where(seen, extra[:, None, :] ** 2, 0.0)[..., None] * np.eye(v.shape[-1])

    def residual(self, slope: Floats) -> Floats:
        """Return r at e = m0 and alpha at its prior mean, 0 where nothing was observed, shape (S, K, D)."""
        d = self.design
        level = d.offsets.table(d.offsets.mean)
        c = np.where(d.linked, d.centre, 0.0)[:, None]  # a reference reads the score itself
        at = c + level[:, None] + slope[:, None] * (self.offset - c)
        return np.where(d.observed, d.y - at, 0.0)

    def local(self, slope: Floats, extra: Floats, factor: Floats | float = 1.0) -> Local:
        """Return the sufficient statistics at lambda and tau, shape (S, D) each."""
        return self._linked(slope, extra, factor) if self.design.linked.any() or np.ndim(factor) else self._fixed

    @cached_property
    def _fixed(self) -> Local:
        """The sufficient statistics where there are references only: no hyperparameter changes them."""
        return self._linked(np.ones(self.design.linked.shape), np.zeros(self.design.linked.shape), 1.0)

    def _linked(self, slope: Floats, extra: Floats, factor: Floats | float) -> Local:
        p, log_p = self.precision(extra, factor)
        r = self.residual(slope)
        pr = np.einsum("snde,sne->snd", p, r)
        level = log_p - float(self.design.observed.sum()) * np.log(2 * np.pi)
        return self.quadratic(slope, p, pr, 0.5 * (level - float((r * pr).sum())))

    def quadratic(self, slope: Floats, p: Floats, pr: Floats, constant: float) -> Local:
        """Return the sufficient statistics of a log-likelihood that is quadratic in the predictions of the sources.

        Parameters
        ----------
        slope : ndarray, shape (S, D)
        p : ndarray, shape (S, K, D, D)
            Minus its second derivatives.
        pr : ndarray, shape (S, K, D)
            Its first derivatives, and `constant` its value, at e = m0 and alpha at its prior mean.
        constant : float
        """
        lp = slope[:, None, :, None] * p
        source, z, sd = self._offsets
        n, width = pr.shape[1:]
        cross, own = np.zeros((len(z), n, width)), np.zeros((len(z), len(z), n))
        for k, s in enumerate(source):
            cross[k] = lp[s] @ z[k]
            of_source = np.flatnonzero(source == s)
            own[k, of_source] = z[of_source] @ (z[k] @ p[s]).T
        return Local(
            w=(lp * slope[:, None, None, :]).sum(axis=0),
            b=np.einsum("sd,snd->nd", slope, pr),
            cross=np.moveaxis(cross, 0, 2) * sd,
            own=np.moveaxis(own * (sd[:, None] * sd)[:, :, None], 2, 0),
            linear=np.moveaxis(np.einsum("lnd,ld->ln", pr[source], z), 0, 1) * sd,
            constant=constant,
        )

    def predictions(self, found: Conditional, slope: Floats) -> Floats:
        """Return the posterior means of lambda e + alpha about e = m0 and alpha's prior mean, shape (S, K, D)."""
        alpha = self.design.offsets.table(self.design.offsets.sd * found.alpha)
        return slope[:, None] * (found.mean - self.offset) + alpha[:, None]

    def gradient(
        self, found: Conditional, slope: Floats, extra: Floats, factor: Floats | float = 1.0
    ) -> tuple[Floats, Floats, Floats]:
        """Return the derivatives of the log-likelihood, shape (S, D), with respect to lambda and tau, where linked, and
        omega, where V is doubtful.
        """
        design, shape = self.design, self.design.linked.shape
        of_slope, of_extra, of_factor = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        doubtful = design.doubtful > 0
        if not (design.linked | doubtful).any():
            return of_slope, of_extra, of_factor
        p, _ = self.precision(extra, factor)
        v = np.where(self._both, self.covariance(0 * extra, factor), 0.0)
        residual, q = self.residual(slope), found.scores
        source, z, sd = self._offsets
        for s in np.flatnonzero((design.linked | doubtful).any(axis=1)):
            place = np.ascontiguousarray(np.where(source == s, z.T * sd, 0.0))  # alpha_s = place @ alpha
            linked = design.linked[s]
            lam = slope[s]
            r = residual[s] - lam * q.mean - place @ q.alpha
            cov_e_alpha = q.with_alpha @ place.T
            # Cov(r, e) = -lambda Cov(e) - Cov(alpha, e), Cov(r) = -Cov(r, e) lambda + lambda Cov(e, alpha) + Cov(alpha)
            r_e = -(lam[:, None] * q.covariance + cov_e_alpha.swapaxes(1, 2))
            r_r = -r_e * lam + lam[:, None] * cov_e_alpha + place @ q.alpha_covariance @ place.T
            deviation = q.mean + self.offset - design.centre
            first = np.einsum("nde,ne->nd", p[s], r) * deviation + np.einsum("nde,ned->nd", p[s], r_e)
            second = r_r + r[:, :, None] * r[:, None, :]
            g = p[s] @ second @ p[s] - p[s]
            of_slope[s, linked] = first.sum(axis=0)[linked]
            of_extra[s, linked] = (extra[s] * np.einsum("ndd->d", g))[linked]
            if doubtful[s].any():
                omega = np.broadcast_to(factor, design.y.shape)[s, 0]
                of_factor[s, doubtful[s]] = (0.5 * np.einsum("nde,ned->d", g, v[s]) / omega)[doubtful[s]]
        return of_slope, of_extra, of_factor
