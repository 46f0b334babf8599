r"""Posterior variances with more respondents, before they have answered, and the fewest that make buurten reliable.

Given hyperparameters (posterior means) the posterior variances of a Gaussian model do not depend on answers to come.
With S the covariance of one respondent's scores, m_a more respondents in buurt a and C_a = Cov(eta_a | y),

    V_a(m)^{-1} = V_a^{-1} + (m / deff) S^{-1},   W_a(m) = lambda (V_a(m) + tau^2)^{-1} lambda,
    C_a(m) = (C_a^{-1} + W_a(m) - W_a)^{-1} = [I + C_a (W_a(m) - W_a)]^{-1} C_a,

the others as they are: the fewest that suffice by bisection. More in the others only helps, so it is an upper bound.
For all at once the field is conditioned again (`engines.given`), exactly.

References
----------
Raiffa, H. and Schlaifer, R. (1961). Applied Statistical Decision Theory, ch. 4-5. Rao and Molina (2015), ch. 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given, given
from buurtsae.estimates.disclosure.release import Release
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.position import between_buurten, reliability
from buurtsae.estimates.summary import level_draws
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.components import shrunk
from buurtsae.survey.concept import Concept
from buurtsae.survey.source_estimates import SourceEstimates

ROUNDS = 5  # steps to the goal, all variances exact after each, so that later ones gain from their neighbours


def respondent_covariance(source: SourceEstimates) -> Floats:
    """Return S, the covariance that one more respondent leaves, shape (D, D); 0 for what the source does not ask.

    That within an area over the shares of the respondents who answer d and e: m respondents, who skip as many questions
    as those up to now, give V = S / m.
    """
    answered = source.respondents.sum(axis=0) / source.respondents.max(axis=1).sum()
    scale = np.divide(1.0, np.sqrt(answered), out=np.zeros_like(answered), where=answered > 0)
    return shrunk(source.within_area * np.outer(scale, scale))


@dataclass(frozen=True)
class State:
    """A plan with what to expect of it.

    Attributes
    ----------
    m : ndarray of int, shape (N,)
        Extra respondents.
    covariance : ndarray, shape (N, D, D)
        Exact posterior covariances of the scores.
    reliable : ndarray of bool, shape (N,)
    """

    m: Ints
    covariance: Floats
    reliable: NDArray[np.bool_]

    @property
    def point(self) -> tuple[int, int]:
        """Extra respondents in all, and reliable buurten."""
        return int(self.m.sum()), int(self.reliable.sum())


@dataclass(frozen=True)
class Preposterior:
    """What more respondents of one source would do: N buurten, M measures.

    Attributes
    ----------
    at : Given
        The fit at posterior means of its hyperparameters.
    s : int
        Position of the source.
    per_respondent : ndarray, shape (D, D)
        S^{-1} / deff.
    weights : ndarray, shape (M, D)
    asks : ndarray of bool, shape (M,)
        Measures of which the source informs a part.
    drawn, between : ndarray, shape (N, M) and (M,)
        Posterior variances of the draws and the variance between buurten, as in the table of estimates.
    respondents : ndarray of int, shape (N, M)
        Up to now, of all sources.
    cap : ndarray of int, shape (N,)
        Extra respondents at most.
    publishable, imputed : ndarray of bool, shape (N,)
    rules : Rules
    """

    at: Given
    s: int
    per_respondent: Floats
    weights: Floats
    asks: NDArray[np.bool_]
    drawn: Floats
    between: Floats
    respondents: Ints
    cap: Ints
    publishable: NDArray[np.bool_]
    imputed: NDArray[np.bool_]
    rules: Rules

    @classmethod
    def of(
        cls, fit: Fit, concept: Concept, weights: pd.DataFrame, s: int, rules: Rules, max_per_area: float, deff: float
    ) -> Preposterior:
        """Return it for a fit and some measures, the rows of `weights`."""
        source, areas = fit.direct.sources[s], fit.areas
        covariance, part = respondent_covariance(source), np.ix_(source.informs, source.informs)
        per_respondent = np.zeros_like(covariance)
        per_respondent[part] = np.linalg.inv(covariance[part]) / deff
        drawn, between = np.full((len(areas.codes), len(weights)), np.nan), np.zeros(len(weights))
        release = Release.of(fit, fit.draws, rules)
        for measure, level, labels, values in level_draws(fit, concept):
            if level == areas.base and measure in weights.index:
                column = weights.index.get_loc(measure)
                drawn[areas.codes.get_indexer(labels), column] = values.var(axis=0, ddof=1)
                between[column] = between_buurten(
                    values, release.shown(level, labels), fit.areas.residents(level).loc[labels].to_numpy()
                )
        totals = fit.direct.totals(areas.base, concept)
        count = totals.pivot(index="area_code", columns="measure", values="n_respondents")
        count = count.reindex(index=areas.codes, columns=weights.index).fillna(0)
        asked = pd.Series(source.respondents.max(axis=1), index=source.codes).reindex(areas.codes, fill_value=0)
        cap = np.floor(max_per_area * areas.population + 1e-9).astype(np.int64) - asked.to_numpy()
        return cls(
            at=given(fit),
            s=s,
            per_respondent=per_respondent,
            weights=weights.to_numpy(),
            asks=(weights.to_numpy() > 0) @ source.informs > 0,
            drawn=drawn,
            between=between,
            respondents=count.to_numpy(dtype=np.int64),
            cap=np.maximum(cap, 0),
            publishable=areas.inhabited & release.shown(areas.base, areas.codes),
            imputed=np.isin(areas.codes, sorted({code for codes in fit.design.imputed.values() for code in codes})),
            rules=rules,
        )

    def state(self, m: Ints) -> State:
        """Return a plan with what to expect of it, exactly."""
        covariance = self._covariance(m) if m.any() else self._first
        return State(m, covariance, self._reliable(covariance, m))

    @cached_property
    def now(self) -> State:
        """Without extra respondents."""
        return self.state(np.zeros_like(self.cap))

    def reliability(self, covariance: Floats) -> Floats:
        """1 - variance / between, not below 0, shape (N, M).

        The variance is that of the draws less what the exact one falls. What is left of it, since hyperparameters are
        not known, moves the posterior mean by a multiple of the variance: it falls with the square.
        """
        now, then = self._variance(self._first), self._variance(covariance)
        variance = then + (self.drawn - now) * (then / now) ** 2
        return reliability(variance, np.broadcast_to(self.between, variance.shape))

    def labels(self, state: State) -> NDArray[np.str_]:
        """The label of each buurt, the worst of its measures."""
        return np.where(self.publishable, np.where(state.reliable, "betrouwbaar", "indicatief"), "niet_publiceren")

    def least(self, state: State) -> Ints:
        """Fewest extra respondents that make each buurt reliable, the others as they are; above the cap if none do."""
        before = self._information(state.m)
        low, high = np.full_like(self.cap, -1), self.cap + 1  # too few, and enough, as far as is known
        while (high - low > 1).any():
            middle = np.clip((low + high) // 2, 0, self.cap)
            gain = state.covariance @ (self._information(middle) - before)
            after = np.asarray(np.linalg.solve(np.eye(gain.shape[1]) + gain, state.covariance), dtype=float)
            enough = self._reliable(after, middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def _precision(self, m: Ints) -> Floats:
        """Precision of the direct estimates, shape (S, K, D, D)."""
        precision = self.at.design.precision.copy()
        precision[self.s, : len(m)] += m[:, None, None] * self.per_respondent  # sites: buurten first
        return precision

    def _covariance(self, m: Ints) -> Floats:
        design = self.at.design.with_precision(self._precision(m))
        return self.at.observing(design).posterior.scores.covariance[: len(m)]

    @cached_property
    def _first(self) -> Floats:
        return self._covariance(np.zeros_like(self.cap))

    def _information(self, m: Ints) -> Floats:
        """W_a(m), shape (N, D, D)."""
        one, n = slice(self.s, self.s + 1), len(m)
        design, hyper = self.at.design.with_precision(self._precision(m)[one, :n]), self.at.hyper
        factor = np.broadcast_to(self.at.factor, self.at.design.y.shape)[one, :n]
        return design.information(hyper.slope[one], hyper.extra[one], factor)[0]

    def _variance(self, covariance: Floats) -> Floats:
        return np.einsum("md,nde,me->nm", self.weights, covariance, self.weights)

    def _reliable(self, covariance: Floats, m: Ints) -> NDArray[np.bool_]:
        """Whether all measures of a buurt are `betrouwbaar`, by the rules of the table of estimates."""
        good = self.respondents + m[:, None] * self.asks >= self.rules.min_respondents
        good &= self.reliability(covariance) >= self.rules.min_reliability
        return np.asarray(good.all(axis=1) & self.publishable & ~self.imputed)


def allocate(p: Preposterior, goal: int, budget: int) -> list[State]:
    """Return plans of ever more respondents, the last with `goal` reliable buurten or as many as the budget allows."""
    path, first = [p.now], int(p.now.reliable.sum())
    for share in np.arange(1, ROUNDS + 1) / ROUNDS:
        path.append(_extend(p, path[-1], first + int(np.ceil((goal - first) * share)), budget))
    path.append(_extend(p, path[-1], goal, budget))  # where the bound is none: the offset of a linked source is free
    lean = _extend(p, _trimmed(p, path[-1]), goal, budget)
    return [*{state.point: state for state in path if state.point[0] < lean.point[0]}.values(), lean]


def needed(p: Preposterior, state: State, goal: int) -> int | None:
    """Return how many respondents suffice for the goal, an upper bound; None if no number does."""
    extra, short = p.least(state) - state.m, max(goal - int(state.reliable.sum()), 0)
    able = ~state.reliable & (state.m + extra <= p.cap)
    return int(state.m.sum() + np.sort(extra[able])[:short].sum()) if able.sum() >= short else None


def _extend(p: Preposterior, state: State, goal: int, budget: int) -> State:
    """Add respondents where fewest make a buurt reliable, for at most so many reliable buurten and respondents."""
    short = goal - int(state.reliable.sum())
    if short <= 0:
        return state
    extra = p.least(state) - state.m
    able = np.flatnonzero(~state.reliable & (state.m + extra <= p.cap))
    order = able[np.argsort(extra[able], kind="stable")][:short]
    order = order[np.cumsum(extra[order]) <= budget - state.m.sum()]
    m = state.m.copy()
    m[order] += extra[order]
    return p.state(m) if len(order) else state


def _trimmed(p: Preposterior, state: State) -> State:
    """Take off half of what neighbours made unnecessary, mend where that was too much, and keep it if it saves."""
    surplus = np.where(state.reliable, np.maximum(state.m - p.least(state), 0), 0)
    lean = p.state(state.m - (surplus + 1) // 2)
    lost = state.reliable & ~lean.reliable
    if lost.any():
        lean = p.state(np.where(lost, np.minimum(p.least(lean), p.cap), lean.m))
    saves = lean.m.sum() < state.m.sum() and not (state.reliable & ~lean.reliable).any()
    return lean if saves else state
