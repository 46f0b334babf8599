"""A fit given its hyperparameters: the one door for what follows a fit and conditions the field again.

Given hyperparameters everything is Gaussian, whichever engine fitted: posteriors without some sites, with other
sampling variances, or of fewer sources are exact, without fitting again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from buurtsae.engines.base import Fit
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.observations import Observations
from buurtsae.latent.conditional import Conditional, Loadings, Local, condition
from buurtsae.model.design import Design
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Given:
    """A design given hyperparameters.

    Attributes
    ----------
    marginal : Marginal
    hyper : Hyper
    factor : ndarray, shape (S, K, W), or 1
        Of modelled sampling variances.
    """

    marginal: Marginal
    hyper: Hyper
    factor: Floats | float

    @property
    def design(self) -> Design:
        """The design."""
        return self.marginal.design

    @cached_property
    def local(self) -> Local:
        """What the direct estimates say about each site."""
        return self.marginal.observations.local(self.hyper.slope, self.hyper.extra, self.factor)

    @cached_property
    def loadings(self) -> Loadings:
        """What the hyperparameters do to the field."""
        return self.hyper.loadings(self.design)

    @cached_property
    def posterior(self) -> Conditional:
        """The posterior of the field."""
        return condition(self.marginal.field, self.local, self.loadings)

    @property
    def noise(self) -> Floats:
        """Covariance of the direct estimates about their predictions, shape (S, K, W, W)."""
        return self.marginal.observations.covariance(self.hyper.extra, self.factor)

    @property
    def residual(self) -> Floats:
        """Direct estimates less their predictions at the prior mean, shape (S, K, W)."""
        return self.marginal.observations.residual(self.hyper.slope)

    @property
    def jacobian(self) -> Floats:
        """Derivatives of the predictions by (e, alpha), shape (S W, W + L)."""
        design = self.design
        s, _, d = design.y.shape
        offsets = design.offsets
        jacobian = np.zeros((s * d, d + len(offsets.each)))
        jacobian[np.arange(s * d), np.tile(np.arange(d), s)] = self.hyper.slope.ravel()
        for k, row in enumerate(offsets.source):
            jacobian[row * d : (row + 1) * d, d + k] = offsets.sd[k] * offsets.columns[k]
        return jacobian

    def without(self, out: np.ndarray) -> Conditional:
        """Return the posterior without what is known of some sites, a mask (K,)."""
        kept = {
            name: np.where(out.reshape(-1, *[1] * (part.ndim - 1)), 0.0, part)
            for name in ("w", "b", "cross", "own", "linear")
            for part in (getattr(self.local, name),)
        }
        local = replace(self.local, **kept)  # type: ignore[arg-type]
        return condition(self.marginal.field, local, self.loadings)

    def observing(self, design: Design) -> Given:
        """Return it with other sampling variances, on the same field."""
        observations = Observations(design, self.marginal.field.offset)
        return replace(self, marginal=replace(self.marginal, observations=observations))

    def keeping(self, kept: np.ndarray) -> Given:
        """Return it with some of the direct estimates, a mask (S, K, W), on the same field."""
        design = self.design
        both = kept[..., :, None] & kept[..., None, :]
        covariance = np.where(both, design.covariance, 0.0)
        return self.observing(replace(design, y=np.where(kept, design.y, 0.0), covariance=covariance))

    def among(self, design: Design, sources: Sequence[int], measures: Sequence[int], factor: Floats | float) -> Given:
        """Return it for a design of some of the sources and measures."""
        return Given(Marginal.of(design), self.hyper.select(sources, measures), factor)


def given(fit: Fit, draw: int | None = None) -> Given:
    """Return the design of a fit given one draw of its hyperparameters, or their posterior means."""
    of_fit = Hyper.means(fit.draws, fit.design) if draw is None else Hyper.drawn(fit.draws, fit.design, draw)
    if of_fit.omega is None and fit.draws.factor is not None:
        return Given(fit.marginal, of_fit, fit.draws.factor)
    return Given(fit.marginal, of_fit, of_fit.factor)


def joint_at(posterior: Conditional) -> tuple[Floats, Floats]:
    """Return the mean and covariance of (e - m0, alpha) at each site, (K, W + L) and (K, W + L, W + L)."""
    scores = posterior.scores
    sites, n_alpha = len(scores.mean), len(scores.alpha)
    mean = np.concatenate([scores.mean, np.tile(scores.alpha, (sites, 1))], axis=1)
    alpha = np.tile(scores.alpha_covariance, (sites, 1, 1)).reshape(sites, n_alpha, n_alpha)
    return mean, np.block([[scores.covariance, scores.with_alpha], [scores.with_alpha.swapaxes(1, 2), alpha]])
