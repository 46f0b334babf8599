r"""What priors say: hyperparameters that the data say little about, estimates that follow a prior, and scores a priori.

In normal scores, t = Phi^{-1}(F(theta)) with F the prior distribution, a parameter has mean 0 and sd 1 a priori; a
posterior sd near 1 means that the data say little. Parameters of one block, of prior correlation C in t, have log
density l = -t' C^{-1} t / 2 + constant. Raised to the power a (power-scaling), a prior moves estimates by

    d E[eta] / d log2 a = log 2 Cov(eta, l),      d E[(eta - m)^2] / d log2 a = log 2 Cov((eta - m)^2, l)    at a = 1,

from the same draws; shown per posterior sd, a root mean square over areas, for a prior that is twice as strong.

References
----------
Kallioinen, N. et al. (2023). Detecting and diagnosing prior and likelihood sensitivity with power-scaling. Statistics
and Computing 34.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given
from buurtsae.engines.hyper import Hyper, NormalScores
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints

PRIOR_DRAWS = 2000
FIELDS = 20  # of the prior predictive: values of the hyperparameters, as many draws of the field at each
AT_PRIOR = 0.9  # posterior sd over prior sd
MOVED = 0.1  # posterior standard deviations, as engines may differ
OUTSIDE = 0.1  # of what the prior says of a score
THIN = 2000  # draws of the posterior that are looked at
AREAS = 500  # whose draws are looked at together


def influence(fit: Fit) -> list[dict[str, Any]]:
    """Return one record per block of parameters with a prior.

    Parameters
    ----------
    fit : Fit
        By an engine that has priors.

    Returns
    -------
    list of dict
        `name`, `parameters` (their number), `sd_ratio` (posterior over prior sd in normal scores, the largest),
        `moved` (of estimates, in posterior sds, if the prior were twice as strong) and `widened` (of their standard
        deviations, as a share).

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> rows = {row["name"]: row for row in influence(voorbeeldstad().fit)}
    >>> rows["BYM2.sigma"]["sd_ratio"] < 0.6 < rows["BYM2.phi"]["sd_ratio"]
    True
    """
    step = max(1, len(fit.draws.flat) // THIN)
    blocks = list(_normal_scores(fit, step))
    if not blocks:
        return []
    log_density = np.array(
        [-0.5 * np.einsum("mi,ij,mj->m", t.posterior, np.linalg.pinv(t.correlation), t.posterior) for _, t in blocks]
    )
    log_density -= log_density.mean(axis=1, keepdims=True)
    mean, spread = _moved(fit.draws.flat[::step], np.flatnonzero(fit.areas.inhabited), np.log(2) * log_density)
    noise = np.log(2) ** 2 * log_density.var(axis=1) / log_density.shape[1]  # of Monte Carlo, in the mean square
    moved = np.sqrt(np.maximum((mean**2).mean(axis=1) - noise, 0.0))
    rows = [
        {
            "name": name,
            "parameters": t.posterior.shape[1],
            "sd_ratio": round(float(t.posterior.std(axis=0).max()), 2),
            "moved": round(float(moved[k]), 2),
            "widened": round(float(spread[k].mean()), 2),
        }
        for k, (name, t) in enumerate(blocks)
    ]
    return rows


def _moved(draws: Floats, areas: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Return d E[eta] and half d E[(eta - m)^2], in posterior sds and variances, per block and estimate.

    A number of areas at a time: squares of all draws of a country would take half a GiB.
    """
    means, spreads = [], []
    for some in np.array_split(areas, max(1, len(areas) // AREAS)):
        off = draws[:, some].reshape(len(draws), -1)
        off -= off.mean(axis=0)
        means.append(weights @ off / len(off))
        np.square(off, out=off)
        variance = off.mean(axis=0)
        means[-1] /= np.sqrt(variance)
        spreads.append(0.5 * (weights @ off) / len(off) / variance)
    return np.concatenate(means, axis=1), np.concatenate(spreads, axis=1)


def outside(fit: Fit) -> float | None:
    """Return the probability, before any data, that a score lies outside its scale; None where that has no ends.

    Over inhabited areas, parameters, coefficients and fields; from 400 draws of the prior.
    """
    scale, several = fit.model.outcome.scale, getattr(fit.model.outcome, "outcomes", {})
    if not scale.bounded or several or fit.design.size is not None:  # links keep shares inside
        return None
    rng, marginal = np.random.default_rng([fit.seed, 43]), fit.marginal
    everything, share = np.ones(len(fit.design.site_codes), dtype=bool), []
    for xi in rng.standard_normal((FIELDS, marginal.size)):
        hyper = marginal.scores.hyper(xi)
        prior = Given(marginal, hyper, hyper.factor).without(everything)
        score = prior.draw(rng, FIELDS)[0][1:, : len(fit.areas.codes)][:, fit.areas.inhabited]
        share.append(float(((score < scale.lower) | (score > scale.upper)).mean()))
    return float(np.mean(share))


def remarks(rows: list[dict[str, Any]], share: float | None) -> list[Note]:
    """Return notes on what priors say more than an analyst may expect."""
    notes = [
        Note(
            "{name}: the data say next to nothing about it, its posterior is its prior (sd {ratio:.0%} of that)",
            "{name}: de data zeggen hier bijna niets over, de posterior is de prior (sd {ratio:.0%} daarvan)",
            name=row["name"], ratio=row["sd_ratio"],
        )
        for row in rows
        if row["sd_ratio"] >= AT_PRIOR and row["name"].endswith(".sigma")
    ]  # fmt: skip
    notes += [
        Note(
            "the prior of {name} matters: were it twice as strong, estimates would move by {moved:.2f} and widen by "
            "{widened:.0%} of their standard deviation",
            "de prior van {name} doet ertoe: twee keer zo sterk zou schattingen {moved:.2f} en hun breedte "
            "{widened:.0%} standaardafwijking veranderen",
            name=row["name"], moved=row["moved"], widened=row["widened"],
        )
        for row in rows
        if row["moved"] >= MOVED or abs(row["widened"]) >= MOVED
    ]  # fmt: skip
    if share is not None and share > OUTSIDE:
        notes.append(
            Note(
                "before any data the priors put {share:.0%} of the scores outside their scale: narrow those of the "
                "intercept and the coefficients",
                "vóór de data leggen de priors {share:.0%} van de scores buiten de schaal: maak die van de intercept "
                "en de coëfficiënten smaller",
                share=share,
            )
        )
    return notes


@dataclass(frozen=True)
class _Block:
    """Draws of a block in normal scores (M, k), and its prior correlation there."""

    posterior: Floats
    correlation: Floats


def _normal_scores(fit: Fit, step: int) -> Iterator[tuple[str, _Block]]:
    """Yield each block; F by draws of the prior where it has no simple form."""
    rng, scores = np.random.default_rng([fit.seed, 44]), NormalScores.of(fit.design)
    prior = scores.hyper(rng.standard_normal((PRIOR_DRAWS, scores.size)))
    for name, values in _of_prior(prior, fit):
        drawn = fit.draws.hyper[name][1]
        flat = _columns(drawn.reshape(-1, *drawn.shape[2:])[::step], values.shape[1:])
        before = _columns(values, values.shape[1:])
        if not flat.size or (flat.std(axis=0) < 1e-12).any():  # known, or not told apart
            continue
        yield name, _Block(_scores(flat, before), np.atleast_2d(np.corrcoef(_scores(before, before).T)))
    beta = fit.draws.hyper["beta"][1]
    beta = beta.reshape(-1, *beta.shape[2:])[::step]
    mean, sd = (part.reshape(len(fit.design.coefficients), -1) for part in fit.design.coefficient_priors)
    if any(effect.formula for effect in fit.design.effects):  # a trend: the priors are of the means over the waves
        beta = beta[:, :, np.isin(fit.design.years, [source.year for source in fit.direct.sources])].mean(axis=2)
        mean, sd = (part[:, : len(fit.design.measures)] for part in (mean, sd))
    beta = beta.reshape(*beta.shape[:2], int(np.prod(beta.shape[2:])))
    intercept = np.array([name == "Intercept" for name in fit.design.coefficients])
    for name, kept in (("intercept", intercept), ("coefficients", ~intercept)):
        if kept.any():
            t = ((beta - mean) / sd)[:, kept].reshape(len(beta), -1)
            yield name, _Block(t, np.eye(t.shape[1]))


def _of_prior(prior: Hyper, fit: Fit) -> Iterator[tuple[str, Floats]]:
    """Yield draws of the prior by the names of the posterior's, (M, ...)."""
    at = (slice(None), *fit.design.link_place)
    values = {name: v @ v.swapaxes(-1, -2) if v.ndim == 4 else v for name, v in prior.values.items()}
    values |= {"lambda": prior.slope[at], "tau": prior.extra[at]}
    for name, value in values.items():
        if name in fit.draws.hyper and value.size:
            yield name, np.asarray(value)


def _columns(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Values (M, ...) as (M, k): of correlation matrices what lies below the diagonal."""
    values = values.reshape(len(values), *shape)
    if values.ndim == 4:
        row, column = np.tril_indices(values.shape[-1], -1)
        values = values[..., row, column]
    return np.asarray(values.reshape(len(values), -1))


def _scores(values: Floats, prior: Floats) -> Floats:
    """Phi^{-1}(F(values)), F from draws of the prior, column by column."""
    ranks = [np.searchsorted(np.sort(p), v) for p, v in zip(prior.T, values.T, strict=True)]
    return np.asarray(ndtri((np.stack(ranks, axis=1) + 0.5) / (len(prior) + 1)))
