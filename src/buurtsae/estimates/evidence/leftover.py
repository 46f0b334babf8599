r"""What a model leaves over of the direct estimates, and what it would leave over of data of its own.

Given hyperparameters, y ~ N(m, K), K = J C J' + N with C the prior covariance of the scores and N that of sampling.
w = K^{-1} (y - m) = N^{-1} (y - prediction) holds all that is left. A direct estimate has, predicted from other sites,

    z = [K^{-1}]_aa^{-1} w_a / its sd ~ N(0, 1);    q_a = sum_s lambda_s w_sa = d log p(y) / d eta_a,

and h'q is the score test of a pattern h in eta that the model lacks, or, over a group, of its mean when all of it is
left out. Replicates y* ~ N(x'b, K), at the mode xi of the hyperparameters, give their law. The mode has seen the data,
so each replicate has a mode of its own by one step of Newton's, xi* = xi + H^{-1} d log p(y*) / d xi; without it what
hyperparameters absorb would never stand out.

References
----------
Pierce, D. (1982). The asymptotic effect of substituting estimators for parameters. Annals of Statistics 10.
Marshall, E. and Spiegelhalter, D. (2007). Identifying outliers in Bayesian hierarchical models. Bayesian Analysis 2.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.engines.counts import Counting
from buurtsae.engines.given import Given
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.observations import Observations
from buurtsae.engines.search import Map, Progress, peak
from buurtsae.engines.smaller import smaller
from buurtsae.engines.unit import PersonFigure, UnitFit
from buurtsae.errors import ModelError
from buurtsae.estimates.evidence.asked import respondents
from buurtsae.estimates.evidence.counts import counted, power
from buurtsae.estimates.evidence.counts import predicted as predicted_counts
from buurtsae.estimates.evidence.counts import replicates as replicates_of
from buurtsae.estimates.evidence.crossvalidation import LeftOut, predicted
from buurtsae.estimates.evidence.persons import Looked, Pattern, groups_of, looked_at
from buurtsae.estimates.evidence.persons import patterns as patterns_of
from buurtsae.estimates.evidence.rows import labelled
from buurtsae.model.design import Design
from buurtsae.model.persons.answer import Figure
from buurtsae.sparse import Floats, one_thread

REPLICATES, FEWER, LARGE = 100, 40, 20_000  # of more direct estimates than that, time counts
THREADS = 2  # replicates that are worked on at the same time; what comes of them does not depend on it
FLATTEST = 0.5  # curvature along an axis of xi, whose prior has 1


@dataclass(frozen=True)
class Scored:
    """Sums of derivatives over the levels of a pattern (1 + R, P), and what makes correlations of these (P,)."""

    measure: str
    pattern: Pattern
    sums: Floats
    scale: Floats
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leftover:
    """What is left over of the data (row 0) and of each replicate.

    Attributes
    ----------
    rows : DataFrame
        One per direct estimate: `source`, `year` (of several), `area_code` of its site, `measure`, `n_respondents`.
    z : ndarray, shape (1 + R, F)
        Standardised left-out residuals of these; of counts their means over U.
    predicted : ndarray, shape (1 + R, F)
        What the other sites say that they should be.
    score : ndarray, shape (1 + R, N, W)
        q, by area and column; 0 where no source sees an area.
    observed, sd, zero : ndarray, shape (1 + R, F), optional
        Of counts: shares or rates, standard deviations of these as predicted, and probabilities that nobody is counted.
    size : ndarray, shape (F,), optional
        Of counts: trials or exposure.
    pit : ndarray, shape (2, 1 + R, F), optional
        Of counts: between which the PIT lies.
    sums : tuple of Scored, optional
        Of persons: score statistics over levels of characteristics.
    posterior : DataFrame, optional
        Of persons, per row: `residual`, `chi2`, `below` and `upto`, given all answers.
    groups : DataFrame, optional
        Of persons, per `measure` and `area_code` of the level above: the weighted mean that is `expected` of its
        respondents, and `z` of that of their answers.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> leftover(voorbeeldstad().fit, replicates=20)
    Leftover of 812 direct estimates, 20 replicates: mean z^2 ...
    """

    rows: pd.DataFrame
    z: Floats
    predicted: Floats
    score: Floats
    observed: Floats | None = None
    sd: Floats | None = None
    zero: Floats | None = None
    size: Floats | None = None
    pit: Floats | None = None
    sums: tuple[Scored, ...] = ()
    posterior: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None

    @cached_property
    def square(self) -> Floats:
        """z^2, shape (1 + R, F); of counts its mean over U."""
        return self.z**2 if self.pit is None else power(self.pit[0], self.pit[1], 2)

    @cached_property
    def fourth(self) -> Floats:
        """z^4, the same."""
        return self.z**4 if self.pit is None else power(self.pit[0], self.pit[1], 4)

    def __repr__(self) -> str:
        square = self.square.mean(axis=1)
        size = f"{len(self.rows)} direct estimates, {len(self.z) - 1} replicates"
        return f"Leftover of {size}: mean z^2 {square[0]:.2f}, of replicates {square[1:].mean():.2f}"

    def of_measure(self, measure: str) -> Leftover:
        """Return what is left over of one measure of persons, which has a column of its own."""
        own = (self.rows["measure"] == measure).to_numpy()
        column = list(self.rows["measure"].unique()).index(measure)
        parts = {
            name: getattr(self, name)[..., own] for name in ("z", "predicted", "observed", "sd", "zero", "size", "pit")
        }
        sums = tuple(one for one in self.sums if one.measure == measure)
        rows = self.rows[own].reset_index(drop=True)
        return replace(self, rows=rows, score=self.score[..., [column]], sums=sums, **parts)

    def of_counts(self, by: str) -> LeftOut:
        """Return the predictions of counts, each from all other areas, as a table; without their densities."""
        assert self.observed is not None
        assert self.sd is not None
        assert self.pit is not None  # all are there of counts
        figures = {"group": self.rows["area_code"], "y": self.observed[0], "mean": self.predicted[0]}
        below, upto = self.pit[:, 0]
        of_u = {"z": self.z[0], "square": self.square[0], "pit": (below + upto) / 2, "below": below, "upto": upto}
        table = self.rows.assign(**figures, sd=self.sd[0], **of_u)
        return LeftOut(by, table, pd.Series(dtype=float))


def leftover(fit: Fit, replicates: int | None = None, seed: int | None = None) -> Leftover:
    """Return what a fit leaves over, and what its model would.

    Parameters
    ----------
    fit : Fit
        By any engine: its model is conditioned on the mode of its hyperparameters. Of counts, beside scores or not,
        what is left over of the counts.
    replicates : int, optional
        R; 100 by default, and 40 of large data. Each takes about three evaluations of the likelihood.
    seed : int, optional
        The fit's by default.

    Returns
    -------
    Leftover

    Raises
    ------
    ModelError
        Of a horseshoe, or where the hyperparameters have no mode.
    """
    rng = np.random.default_rng([fit.seed if seed is None else seed, 38])
    if fit.persons:
        return _of_persons(fit, replicates, rng)
    if fit.design.size is not None:
        return _of_counts(fit, replicates, rng)
    marginal = _plain(fit)
    with one_thread(), ThreadPoolExecutor(THREADS) as pool:
        xi, curvature = _peak(marginal, pool.map)
        hyper = marginal.scores.hyper(xi)
        at = Given(marginal, hyper, hyper.factor)
        if replicates is None:
            replicates = FEWER if marginal.design.observed.sum() > LARGE else REPLICATES

        def one(y: Floats) -> tuple[Floats, Floats, Floats]:
            other = replace(marginal, observations=Observations(replace(marginal.design, y=y), marginal.field.offset))
            gradient = other.with_gradient(xi)[1] + xi  # of the likelihood alone
            own = marginal.scores.hyper(xi + np.linalg.solve(curvature, gradient))
            return _left(Given(other, own, own.factor))

        parts = [_left(at), *pool.map(one, _replicates(at, replicates, rng))]
    z, means, score = (np.array(part) for part in zip(*parts, strict=True))
    return Leftover(_rows(fit), z, means, score)


def _of_counts(fit: Fit, number: int | None, rng: np.random.Generator) -> Leftover:
    marginal = fit.counting
    with one_thread(), ThreadPoolExecutor(THREADS) as pool:
        xi, curvature = _peak(marginal, pool.map)
    at = marginal.scores.hyper(xi)
    if at.rho is not None:
        what, hint = "checks know no overdispersion of counts", "leave it out to check the model without"
        raise ModelError(what, "Binomial(overdispersion=...)", "Binomial() or Poisson()", hint)
    source, site, column = counted(fit.design)
    if number is None:
        number = FEWER if len(site) > LARGE else REPLICATES
    parts = [predicted_counts(marginal, at)]
    asked = respondents(fit.direct, pd.Index(fit.design.site_codes))
    for design in replicates_of(marginal, at, number, rng, asked):
        scores = replace(marginal.scores, design=design)
        other: Counting = replace(
            marginal, scores=scores, observations=replace(marginal.observations, design=design.gaussian)
        )
        own = at
        if marginal.size:
            gradient = other.with_gradient(xi)[1] + xi
            own = marginal.scores.hyper(xi + np.linalg.solve(curvature, gradient))
        parts.append(predicted_counts(other, own))
    means, score, observed, sd, zero, below, upto = (
        np.array([getattr(part, name) for part in parts])
        for name in ("mean", "score", "observed", "sd", "zero", "below", "upto")
    )
    size = fit.design.counted[1][site, column]
    rows, z, pit = labelled(fit, source, site, column), power(below, upto, 1), np.array([below, upto])
    return Leftover(rows, z, means, score, observed, sd, zero, size, pit)


def _of_persons(fit: Fit, number: int | None, rng: np.random.Generator) -> Leftover:
    """Of each measure; two that are of the same answers and the same figure are looked at once."""
    parts, seen = list[Leftover](), set[tuple[int, Figure | None]]()
    for d, (measure, figure) in enumerate(zip(fit.draws.subdimensions, fit.persons, strict=True)):
        whole, key = (id(figure.fit), None), (id(figure.fit), figure.figure)
        if key not in seen:
            part = _of_figure(fit, d, measure, figure, number, rng)
            parts.append(replace(part, sums=()) if whole in seen else part)  # these are of answers, not of figures
            seen |= {key, whole}
    posterior = pd.concat([part.posterior for part in parts], ignore_index=True)
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    groups = pd.concat([part.groups for part in parts], ignore_index=True)
    names = "z", "predicted", "score", "observed", "sd", "zero", "size", "pit"
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names}
    return Leftover(rows, **joined, sums=tuple(one for part in parts for one in part.sums), posterior=posterior,
                    groups=groups)  # fmt: skip


def _of_figure(
    fit: Fit, d: int, measure: str, figure: PersonFigure, number: int | None, rng: np.random.Generator
) -> Leftover:
    unit, (indicators, patterns) = figure.fit, patterns_of(figure.fit)
    if number is None:
        number = FEWER if len(unit.order) > LARGE else REPLICATES
    codes, above = groups_of(unit, fit.areas.parents(fit.areas.parent(fit.areas.base)))
    looked = looked_at(figure, indicators, above, number, rng)
    data, all_of = looked.data, looked.posterior
    every = (data, *looked.replicates)
    names = "below", "upto", "mean", "observed", "sd", "zero", "score"
    below, upto, mean, observed, sd, zero, score = (np.array([getattr(one, name) for one in every]) for name in names)
    n = len(unit.areas.codes)
    size, asked = (
        np.bincount(unit.cells.area, part[unit.order], n).astype(float)
        for part in (unit.answers.size, unit.answers.respondents)
    )
    rows = pd.DataFrame(
        {
            "source": fit.direct.labels[fit.direct.reference[d]],
            "area_code": unit.areas.codes[size > 0],
            "measure": measure,
            "n_respondents": asked[size > 0].round().astype(np.int64),
        }
    )
    off, own = all_of.observed - all_of.mean, all_of.sd**2 - all_of.noise**2
    posterior = {"residual": off / all_of.noise, "chi2": (off**2 + own) / all_of.noise**2}
    told = rows.assign(**posterior, below=all_of.below, upto=all_of.upto)
    sums = tuple(
        Scored(
            measure,
            p,
            np.array([one.patterns[p.name] for one in every]),
            _scale(unit, looked, indicators[p.name]),
            _levels(unit, p),
        )
        for p in patterns
    )
    means = np.array([one.above[0] for one in every])
    groups = pd.DataFrame({"measure": measure, "area_code": codes, "expected": data.above[1]})
    groups["z"] = means[0] / means[1:].std(axis=0, ddof=1)
    z = power(below, upto, 1)
    return Leftover(
        rows, z, mean, score[..., None], observed, sd, zero, size[size > 0], np.array([below, upto]), sums, told, groups
    )


def _levels(unit: UnitFit, pattern: Pattern) -> tuple[str, ...]:
    """The levels of a pattern in words."""
    labels = [unit.answers.characteristics[name] for name in pattern.on]
    if not labels:
        return ("",)
    places = np.unravel_index(pattern.levels, [len(part) for part in labels])
    return tuple(" x ".join(part[k] for part, k in zip(labels, at, strict=True)) for at in zip(*places, strict=True))


def _scale(unit: UnitFit, looked: Looked, h: Any) -> Floats:
    """Root of (sum of h^2) times (sum of -l'') over what a pattern has, per level: h'l' over it is a correlation."""
    asked = unit.answers.respondents[unit.order]
    return np.asarray(np.sqrt((h.power(2).T @ asked) * ((h != 0).T @ looked.data.information)))


def _plain(fit: Fit) -> Marginal:
    """The marginal model of a fit; variances that were modelled are taken as known, at their posterior means."""
    if fit.model.variances is None:
        return fit.marginal
    design, factor = fit.design, 1.0 if fit.draws.factor is None else fit.draws.factor
    sd = np.sqrt(np.where(design.observed, factor, 1.0))
    known = design.covariance * sd[..., :, None] * sd[..., None, :]
    plain = replace(design.model, variances=None)
    return Marginal.of(replace(design, model=plain, covariance=known, pooled=None))


def _peak(marginal: Marginal, each: Map) -> tuple[Floats, Floats]:
    """The mode of the hyperparameters (q,), and minus the second derivatives of log p(xi | y) there (q, q), nowhere
    flatter than half the prior.
    """
    if not marginal.size:
        return np.zeros(0), np.zeros((0, 0))
    top = peak(marginal, smaller(marginal), each, Progress(False))
    values, vectors = np.linalg.eigh(top.curvature)
    return top.at, np.asarray((vectors * np.maximum(values, FLATTEST)) @ vectors.T)


def _replicates(at: Given, replicates: int, rng: np.random.Generator) -> Floats:
    """Data of the model given hyperparameters, with coefficients and offsets at their posterior means, (R, S, K, W)."""
    design, posterior, field = at.design, at.posterior, at.marginal.field
    everything = np.ones(len(design.site_codes), dtype=bool)
    e, border = at.without(everything).draw(rng, replicates)  # of the prior, which knows no coefficients
    coefficients = field.x.shape[1] * field.width
    beta = posterior.border[:coefficients] - border[1:, :coefficients]
    e = e[1:] + field.x @ beta.reshape(replicates, -1, field.width) - field.offset
    alpha = design.offsets.table(design.offsets.sd * posterior.alpha)
    prediction = at.hyper.slope[:, None] * e[:, None] + alpha[:, None]
    root = np.linalg.cholesky(at.noise)
    noise = np.einsum("skde,rske->rskd", root, rng.standard_normal(prediction.shape))
    return np.where(design.observed, design.y - at.residual + prediction + noise, 0.0)


def _left(at: Given) -> tuple[Floats, Floats, Floats]:
    """Return z and left-out predictions of all direct estimates (F,), and q (N, W)."""
    design: Design = at.marginal.observations.design  # a replicate's own
    off, variance, *_ = predicted(at, None)
    source, site, column = np.nonzero(design.observed)
    place = source * design.y.shape[2] + column
    residual = off[site, place]
    weight, _ = at.marginal.observations.precision(at.hyper.extra, at.factor)
    rest = at.residual - at.marginal.observations.predictions(at.posterior, at.hyper.slope)
    q = (at.hyper.slope[:, None] * np.einsum("skde,ske->skd", weight, rest)).sum(axis=0)
    z = residual / np.sqrt(variance[site, place])
    return z, design.y[source, site, column] - residual, np.asarray(design.sites.T @ q)


def _rows(fit: Fit) -> pd.DataFrame:
    """What the direct estimates are of."""
    design = fit.design
    return labelled(fit, *np.nonzero(design.observed))
