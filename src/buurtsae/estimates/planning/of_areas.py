r"""What more respondents teach a model of areas: of scores, of shares and numbers, and of both beside one another.

With S the covariance of one respondent's scores, P = V^{-1} of a source in an area and lambda, tau its link,

    P(m) = P + (m / deff) S^{-1},      W(m) = lambda (P(m)^{-1} + tau^2)^{-1} lambda.

Of shares and numbers the posterior is Laplace's at the mode, whose precision m more respondents raise by

    (m / deff) w^{1/2} R^{-1} w^{1/2},      w_d = E[-l''_d(eta_d) | y] of one answer, p (1 - p) of yes or no,

averaged over draws, R the correlation of answers within areas, as in `engines.tie`; of scores of the same respondents,
whose source is their reference, w = 1 / S_dd, and what S^{-1} says already is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given, given
from buurtsae.engines.hyper import Hyper
from buurtsae.estimates.planning.learning import DRAWS, answered
from buurtsae.latent.conditional import condition
from buurtsae.model.counted import proper
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Count
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
        """Return it for a fit, the weights (M, D) of some measures, and S."""
        source, design = fit.direct.sources[s], fit.design
        counted = counted_columns(design.model.outcome, weights.shape[1])
        of_counts = np.isin(np.arange(weights.shape[1]), [column for _, at in counted for column in at])
        per_respondent = _inverse(covariance, source.informs & ~of_counts) / deff
        if design.size is None:
            return cls(given(fit), s, per_respondent, weights[None])
        w, slope = _of_one(fit, counted)
        asked, told = source.n_effective.sum(axis=0), design.size[s].sum(axis=0)
        w *= answered(source) * np.divide(told, asked, out=np.zeros_like(told), where=asked > 0)  # 0 of other sources'
        scores = source.informs & ~of_counts & ~design.linked[s]
        w[:, scores] = 1 / np.diag(covariance)[scores]
        tied = np.flatnonzero((w > 0).any(axis=0))
        part, sd, root = np.ix_(tied, tied), np.sqrt(np.diag(covariance)[tied]), np.sqrt(w[:, tied])
        r = proper((covariance[part] / np.outer(sd, sd))[None])[0]
        each = np.zeros((*w.shape, w.shape[1]))
        each[:, part[0], part[1]] = root[:, :, None] * np.linalg.inv(r) * root[:, None, :]
        each -= _inverse(covariance, scores)
        hyper = Hyper.means(fit.draws, design)
        at = Given(fit.counting, hyper, hyper.factor)
        second = fit.counting.solve(hyper).expansion.second[:, : len(of_counts), : len(of_counts)]
        counts = OfCounts(second - at.local.w, each / deff)
        return cls(at, s, per_respondent, weights * slope[:, None], counts)

    @property
    def chance(self) -> Floats:
        """None: plans of areas count with an infinite population."""
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


def _of_one(fit: Fit, counted: Sequence[tuple[Count, Ints]]) -> tuple[Floats, Floats]:
    """Information of one answer about its predictor, 0 of scores, and the slope of its mean, 1 of scores, (N, D) each.

    Links are canonical: the slope of p is the variance of an answer.
    """
    eta = fit.draws.flat
    w, slope = np.zeros(eta.shape[1:]), np.ones(eta.shape[1:])
    some = np.linspace(0, len(eta) - 1, min(DRAWS, len(eta))).round().astype(int)
    for outcome, at in counted:
        none = np.zeros((eta.shape[1], len(at)))
        w[:, at] = np.mean([-outcome.derivatives(eta[k][:, at], none, none + 1)[2] for k in some], axis=0)
        slope[:, at] = w[:, at] * (outcome.scale.width if isinstance(outcome, Binomial) else 1.0)
    return w, slope


def _inverse(covariance: Floats, of: np.ndarray) -> Floats:
    """Inverse of the block of some columns, 0 elsewhere."""
    inverse, part = np.zeros_like(covariance), np.ix_(of, of)
    inverse[part] = np.linalg.inv(covariance[part])
    return inverse
