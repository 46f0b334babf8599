r"""Posterior variances with more respondents, before they have answered, and the fewest that make buurten reliable.

Given hyperparameters (posterior means) the posterior variances of a Gaussian model do not depend on answers to come.
With C_a = Cov(eta_a | y) of the predictors of buurt a, and W_a(m) the precision of the source about these with m more
respondents, of which `of_areas` and `of_persons` tell,

    C_a(m) = (C_a^{-1} + W_a(m) - W_a)^{-1} = [I + C_a (W_a(m) - W_a)]^{-1} C_a,

the others as they are: the fewest that suffice by bisection. More in the others only helps, so it is an upper bound.
For all at once the field is conditioned again, exactly. Of shares and counts it is the quadratic at the mode that is
conditioned, and information of one answer is averaged over the posterior: what more of them leave is close, not exact
(`tests/unit/test_planning_counts.py` and `test_planning_persons.py` fit again with respondents as they may be). Answers
to come teach hyperparameters too, which is left out: where the spread between areas is hardly known, plans are careful.

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
from buurtsae.estimates.disclosure.release import Release
from buurtsae.estimates.labels import WHOLE, Rules
from buurtsae.estimates.measured import shares_of
from buurtsae.estimates.planning.learning import Learning, answered
from buurtsae.estimates.planning.of_areas import OfAreas
from buurtsae.estimates.planning.of_persons import of_persons
from buurtsae.estimates.position import between_buurten, reliability
from buurtsae.estimates.summary import level_draws
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.components import shrunk
from buurtsae.survey.concept import Concept
from buurtsae.survey.source_estimates import SourceEstimates

Covariances = tuple[Floats, ...]  # of each model, (N, D, D)

ROUNDS = 5  # steps to the goal, all variances exact after each, so that later ones gain from their neighbours


def respondent_covariance(source: SourceEstimates) -> Floats:
    """Return S, the covariance that one more respondent leaves, shape (D, D); 0 for what the source does not ask.

    That within an area over the shares of the respondents who answer d and e: m respondents, who skip as many questions
    as those up to now, give V = S / m.
    """
    share = answered(source)
    scale = np.divide(1.0, np.sqrt(share), out=np.zeros_like(share), where=share > 0)
    return shrunk(source.within_area * np.outer(scale, scale))


@dataclass(frozen=True)
class State:
    """A plan with what to expect of it.

    Attributes
    ----------
    m : ndarray of int, shape (N,)
        Extra respondents.
    covariance : tuple of ndarray, shape (N, D, D)
        Posterior covariances of the predictors, of each model.
    reliable : ndarray of bool, shape (N,)
    """

    m: Ints
    covariance: Covariances
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
    models : tuple of Learning
        Independent given the data.
    asks : ndarray of bool, shape (M,)
        Measures of which the source informs a part.
    drawn, between : ndarray, shape (N, M) and (M,)
        Posterior variances of the draws and the variance between buurten, as in the table of estimates.
    half : ndarray, shape (N, M)
        Half the width of the 95% interval, as there.
    widest : ndarray, shape (M,)
        What it may be: infinite where there is no rule.
    respondents : ndarray of int, shape (N, M)
        Up to now, of all sources.
    cap : ndarray of int, shape (N,)
        Extra respondents at most.
    publishable, imputed : ndarray of bool, shape (N,)
    rules : Rules
    """

    models: tuple[Learning, ...]
    asks: NDArray[np.bool_]
    drawn: Floats
    between: Floats
    half: Floats
    widest: Floats
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
        source, areas, by = fit.direct.sources[s], fit.areas, weights.to_numpy()
        drawn, between = np.full((len(areas.codes), len(weights)), np.nan), np.zeros(len(weights))
        half, widest = drawn.copy(), np.full(len(weights), np.inf)
        shares = shares_of(fit.draws.outcome, concept, weights.index) if rules.max_half_width < WHOLE else set()
        release = Release.of(fit, fit.draws, rules)
        for measure, level, labels, values in level_draws(fit, concept):
            if level == areas.base and measure in weights.index:
                column, row = weights.index.get_loc(measure), areas.codes.get_indexer(labels)
                drawn[row, column] = values.var(axis=0, ddof=1)
                if measure in shares:
                    scale = concept.scale_of(measure)
                    half[row, column] = np.diff(scale.shown(np.quantile(values, [0.025, 0.975], axis=0)), axis=0)[0] / 2
                    widest[column] = rules.max_half_width * scale.point / 10
                between[column] = between_buurten(
                    values, release.shown(level, labels), fit.areas.residents(level).loc[labels].to_numpy()
                )
        totals = fit.direct.totals(areas.base, concept)
        count = totals.pivot(index="area_code", columns="measure", values="n_respondents")
        count = count.reindex(index=areas.codes, columns=weights.index).fillna(0)
        asked = pd.Series(source.respondents.max(axis=1), index=source.codes).reindex(areas.codes, fill_value=0)
        cap = np.floor(max_per_area * areas.population + 1e-9).astype(np.int64) - asked.to_numpy()
        models: tuple[Learning, ...] = of_persons(fit, by, s, deff)
        if not fit.persons:
            models = (OfAreas.of(fit, by, s, respondent_covariance(source), deff),)
        return cls(
            models=models,
            asks=(by > 0) @ source.informs > 0,
            drawn=drawn,
            between=between,
            half=half,
            widest=widest,
            respondents=count.to_numpy(dtype=np.int64),
            cap=np.maximum(cap, 0),
            publishable=areas.inhabited & release.shown(areas.base, areas.codes),
            imputed=areas.codes.isin([code for codes in fit.design.imputed.values() for code in codes]),
            rules=rules,
        )

    def state(self, m: Ints) -> State:
        """Return a plan with what to expect of it, exactly."""
        covariance = tuple(model.covariance(m) for model in self.models) if m.any() else self._first
        return State(m, covariance, self._reliable(covariance, m))

    @cached_property
    def now(self) -> State:
        """Without extra respondents."""
        return self.state(np.zeros_like(self.cap))

    def reliability(self, covariance: Covariances, m: Ints) -> Floats:
        """1 - variance / between, not below 0, shape (N, M)."""
        variance = self._expected(covariance, m)
        return reliability(variance, np.broadcast_to(self.between, variance.shape))

    def labels(self, state: State) -> NDArray[np.str_]:
        """The label of each buurt, the worst of its measures."""
        return np.where(self.publishable, np.where(state.reliable, "betrouwbaar", "indicatief"), "niet_publiceren")

    def least(self, state: State) -> Ints:
        """Fewest extra respondents that make each buurt reliable, the others as they are; above the cap if none do."""
        before = [model.information(state.m) for model in self.models]
        low, high = np.full_like(self.cap, -1), self.cap + 1  # too few, and enough, as far as is known
        while (high - low > 1).any():
            middle = np.clip((low + high) // 2, 0, self.cap)
            after = list[Floats]()
            for model, now, known in zip(self.models, state.covariance, before, strict=True):
                gain = now @ (model.information(middle) - known)
                after.append(np.asarray(np.linalg.solve(np.eye(gain.shape[1]) + gain, now), dtype=float))
            enough = self._reliable(tuple(after), middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    @cached_property
    def _first(self) -> Covariances:
        return tuple(model.covariance(np.zeros_like(self.cap)) for model in self.models)

    @cached_property
    def _now(self) -> tuple[Floats, Floats]:
        return self._variance(self._first, np.zeros_like(self.cap))

    def _variance(self, covariance: Covariances, m: Ints) -> tuple[Floats, Floats]:
        """Variances of figures by their predictors, and by the chance in answers of those not asked, (N, M) each."""
        of_predictors, by_chance = np.zeros(self.drawn.shape), np.zeros(self.drawn.shape)
        for model, c in zip(self.models, covariance, strict=True):
            left = np.maximum(1 - m[:, None] / model.unasked, 0.0)
            loads = np.broadcast_to(model.loads, (len(c), *model.loads.shape[1:]))
            of_predictors += np.einsum("nmd,nde,nme->nm", loads, c, loads) * left**2
            by_chance += model.chance * left
        return of_predictors, by_chance

    def _expected(self, covariance: Covariances, m: Ints) -> Floats:
        """Posterior variances of figures that the table of estimates would have, (N, M).

        That of the draws less what the exact one falls. What is left of it is of two kinds. Since hyperparameters are
        not known the posterior mean moves by a multiple of the variance; and a figure that bends in its predictor has
        a variance beyond its slope, of higher order in that of the predictor. Both fall with the square.
        """
        (now, chance), (then, others) = self._now, self._variance(covariance, m)
        ratio = np.divide(then, now, out=np.ones_like(then), where=now > 0)
        return np.asarray(then + others + (self.drawn - now - chance) * ratio**2)

    def _reliable(self, covariance: Covariances, m: Ints) -> NDArray[np.bool_]:
        """Whether all measures of a buurt are `betrouwbaar`, by the rules of the table of estimates."""
        variance = self._expected(covariance, m)
        good = self.respondents + m[:, None] * self.asks >= self.rules.min_respondents
        good &= reliability(variance, np.broadcast_to(self.between, variance.shape)) >= self.rules.min_reliability
        wide = self.half * np.sqrt(np.maximum(variance, 0.0) / self.drawn) > self.widest
        return np.asarray((good & ~wide).all(axis=1) & self.publishable & ~self.imputed)


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
