r"""What more respondents teach a model of areas: of scores, of shares and numbers, and of both beside one another.

With S the covariance of one respondent's scores, P = V^{-1} of a source in an area and lambda, tau its link,

    P(m) = P + (m / deff) S^{-1},      W(m) = lambda (P(m)^{-1} + tau^2)^{-1} lambda.

Of shares and numbers the posterior is Laplace's at the mode, whose precision m more respondents raise by

    (m / deff) w^{1/2} R^{-1} w^{1/2},      w_d = E[-l''_d(eta_d) | y] of one answer, p (1 - p) of yes or no,

averaged over draws, R the correlation of answers within areas, as in `engines.tie`; of scores of the same respondents,
whose source is their reference, w = 1 / S_dd, and what S^{-1} says already is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given, given
from buurtsae.engines.hyper import Hyper
from buurtsae.errors import ModelError, shown
from buurtsae.estimates.planning.learning import answered
from buurtsae.latent.conditional import condition
from buurtsae.model.counted import proper
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.per_measure import counted_columns
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True)
class OfCounts:
    """Shares and numbers at the mode.

    Attributes
    ----------
    now : ndarray, shape (K, D, D)
        What they say about the predictors, beside scores.
    each : ndarray, shape (N, D, D)
        What one more respondent adds, beside scores.
    """

    now: Floats
    each: Floats


@dataclass(frozen=True)
class OfAreas:
    """A model of areas, given means of its hyperparameters.

    Attributes
    ----------
    at : Given
    s : int
        Position of the source.
    per_respondent : ndarray, shape (D, D)
        S^{-1} / deff of scores.
    loads : ndarray, shape (N, M, D), or (1, M, D)
    counts : OfCounts, optional
    """

    at: Given
    s: int
    per_respondent: Floats
    loads: Floats
    counts: OfCounts | None = None

    @classmethod
    def of(cls, fit: Fit, weights: Floats, s: int, covariance: Floats, deff: float) -> OfAreas:
        """Return it for a fit, the weights (M, D) of some measures, and S.

        Raises
        ------
        ModelError
            If counts differ more than n answers would.
        """
        source, outcome, width = fit.direct.sources[s], fit.model.outcome, weights.shape[1]
        counted = counted_columns(outcome, width)
        of_counts = np.zeros(width, dtype=bool)
        for _, at in counted:
            of_counts[at] = True
        per_respondent = _inverse(covariance, source.informs & ~of_counts) / deff
        if fit.design.size is None:
            return cls(given(fit), s, per_respondent, weights[None])
        if spread := [fit.design.measures[d] for d in fit.design.overdispersion]:
            hint = "leave `overdispersion` out: an unstructured effect of areas says nearly the same"
            raise ModelError("a plan does not know overdispersion", shown(spread), "shares without", hint)
        slope, w = np.ones((len(fit.areas.codes), width)), np.zeros((len(fit.areas.codes), width))
        size, share = fit.design.size[s], answered(source)
        for one, at in counted:
            eta = fit.draws.flat[..., at]
            shape, none = (-1, len(at)), np.zeros((eta[..., 0].size, len(at)))
            unit = -one.derivatives(eta.reshape(shape), none, none + 1)[2].reshape(eta.shape).mean(axis=0)
            slope[:, at] = unit * (one.scale.width if isinstance(one, Binomial) else 1.0)  # links are canonical
            asked = source.n_effective[:, at].sum(axis=0)
            beside = np.divide(size[:, at].sum(axis=0), asked, out=np.zeros(len(at)), where=asked > 0)
            w[:, at] = unit * share[at] * beside / deff  # 0 of measures that another source is counted for
        scores = source.informs & ~of_counts & ~fit.design.linked[s]
        w[:, scores] = 1 / np.diag(covariance)[scores] / deff
        own = scores | (w > 0).any(axis=0)
        sd = np.sqrt(np.diag(covariance)[own])
        r, root = proper((covariance[np.ix_(own, own)] / np.outer(sd, sd))[None])[0], np.sqrt(w[:, own])
        each = np.zeros((len(w), width, width))
        each[:, np.ix_(own, own)[0], np.ix_(own, own)[1]] = root[:, :, None] * np.linalg.inv(r) * root[:, None, :]
        each -= _inverse(covariance, scores) / deff
        hyper = Hyper.means(fit.draws, fit.design)
        at_mode = Given(fit.counting, hyper, hyper.factor)
        second = fit.counting.solve(hyper).expansion.second[:, :width, :width]
        of = OfCounts(second - at_mode.local.w, each)
        return cls(at_mode, s, per_respondent, weights * slope[:, None], of)

    @property
    def chance(self) -> Floats:
        """None: a finite population is in the field."""
        return np.zeros((1, self.loads.shape[1]))

    @property
    def unasked(self) -> Floats:
        """An infinite population."""
        return np.full((1, self.loads.shape[1]), np.inf)

    def covariance(self, m: Ints) -> Floats:
        """Return posterior covariances of the predictors with m more respondents, (N, D, D): at the mode, of counts."""
        at = self.at.observing(self.at.design.gaussian.with_precision(self._precision(m)))
        if self.counts is None:
            return at.posterior.scores.covariance[: len(m)]
        w = at.local.w + self.counts.now
        w[: len(m)] += m[:, None, None] * self.counts.each
        return condition(at.marginal.field, replace(at.local, w=w), at.loadings).scores.covariance[: len(m)]

    def information(self, m: Ints) -> Floats:
        """Return W_a(m), (N, D, D); of counts what m respondents add."""
        one, n = slice(self.s, self.s + 1), len(m)
        design, hyper = self.at.design.gaussian.with_precision(self._precision(m)[one, :n]), self.at.hyper
        factor = np.broadcast_to(self.at.factor, self.at.design.y.shape)[one, :n]
        of_scores = design.information(hyper.slope[one], hyper.extra[one], factor)[0]
        return of_scores if self.counts is None else of_scores + m[:, None, None] * self.counts.each

    def _precision(self, m: Ints) -> Floats:
        """Precision of the direct estimates of scores, shape (S, K, D, D)."""
        precision = self.at.design.precision.copy()
        precision[self.s, : len(m)] += m[:, None, None] * self.per_respondent  # sites: buurten first
        return precision


def _inverse(covariance: Floats, of: np.ndarray) -> Floats:
    """Inverse of the block of some columns, 0 elsewhere."""
    inverse, part = np.zeros_like(covariance), np.ix_(of, of)
    inverse[part] = np.linalg.inv(covariance[part])
    return inverse
