r"""Benchmarking: joint draws that agree with published figures, C eta = t, draw by draw.

A figure with standard error s has, per draw, the target t + s e, e ~ N(0, 1); without, t itself. Whose answers it rests
on decides how it counts. Shared (Jeffrey's rule): the model has seen these people, so the figure is no new evidence; it
replaces the model's marginal of C eta by N(t, s^2) and keeps eta given C eta. As t - E[C eta | y] is a function of y,
its variance is s^2 - C V C' for unbiased t: intervals are nominal. Independent (Bayes): other people add evidence,

    eta* = eta + V C' (C V C' + diag s^2)^{-1} (t + s e - C eta),      V = Cov(eta | y),

kriging of draws; with the gain at s = 0 it is the shared rule. Minimum distance has a diagonal W for V there, with no
noise from estimating V, and keeps every score in a benchmark within the ends of its scale; other scores, and methods
without that constraint, leave draws as they are, and figures are brought to the scale where they are shown. Shares and
rates, x = h(eta), move on the scale of their link, eta* = eta + W C'mu with C h(eta*) = t: the least change by their
divergence (Kullback-Leibler's), inside the ends in every draw; V, and W, are then of eta.

References
----------
Jeffrey, R. (1965). The Logic of Decision, ch. 11. Doucet, A. (2010). A note on efficient conditional simulation of
Gaussian distributions. Datta, G. et al. (2011). Bayesian benchmarking. Test 20. Bell, W., Datta, G. and Ghosh, M.
(2013). Benchmarking small area estimators. Biometrika 100. Steorts, R. and Ghosh, M. (2013). On estimation of mean
squared errors of benchmarked empirical Bayes estimators. Statistica Sinica 23. Krueger, F., Clark, T. and Ravazzolo, F.
(2017). Using entropic tilting to combine BVAR forecasts with external nowcasts. JBES 35.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtr

from buurtsae.areas.areas import Areas
from buurtsae.draws import EFFECTIVE_MIN, Draws
from buurtsae.engines.base import Fit
from buurtsae.engines.resampling import systematic
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.estimates.benchmark.constraints import MET, Linked, Nearest, components, gain, reconcile, spread, tilt
from buurtsae.estimates.benchmark.targets import Benchmarks
from buurtsae.estimates.measured import scales_of
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.sparse import Floats, Ints

__all__ = ["Benchmarked", "Benchmarks", "benchmark"]

Method = Literal["minimum-distance", "difference", "ratio", "tilting"]
Metric = Literal["variances", "identity", "residents", "posterior"]
Respondents = Literal["shared", "independent"]
TOGETHER = 250  # constraints with one factor: fewer make many small steps, more a large factor
INSIDE = 1e-4  # of a scale: as near to an end as a benchmark of a share, moved by its error, may come
CHUNK = 50  # draws at a time: 25 MB per array for all buurten of the Netherlands and four sub-dimensions
PER_CONSTRAINT = 10  # draws: a covariance of S draws leaves K / (S - 1) too little variance, at most a tenth


@dataclass(frozen=True)
class Benchmarked:
    """Draws that agree with benchmarks, with those that they come from.

    Attributes
    ----------
    draws, original : Draws
        After and before.
    benchmarks : Benchmarks
    method, respondents : str
    strain : DataFrame
        Per benchmark `value`, `se`, posterior `mean` and `sd` before, z = (value - mean) / sqrt(sd^2 + se^2), its
        two-sided `p` and whether it `strains` the model (|z| > 2). With shared respondents z is conservative.
    weights : ndarray, shape (S,), optional
        Of the original draws, for tilting.
    fit : Fit, optional
        That the draws come from.
    """

    draws: Draws
    original: Draws
    benchmarks: Benchmarks
    method: Method
    respondents: Respondents
    strain: pd.DataFrame
    weights: Floats | None = None
    fit: Fit | None = None

    @property
    def effective(self) -> float | None:
        """The effective number of draws after tilting, 1 / sum w^2."""
        return None if self.weights is None else float(1 / (self.weights**2).sum())

    @cached_property
    def shift(self) -> pd.DataFrame:
        """Per area of every level and measure: mean and sd `before` and `after`, `shift` and `shift_in_sd`."""
        areas, parts = self.benchmarks.areas, []
        weights = self.benchmarks.concept.matrix_of(self.draws.subdimensions)
        place = pd.Index(self.draws.areas).get_indexer(areas.codes)
        for measure, row in zip(weights.index, weights.to_numpy(), strict=True):
            both = [_measure(drawn, row)[:, place] for drawn in (self.original, self.draws)]
            for level in areas.levels:
                labels, matrix = areas.aggregation(level)
                kept = areas.complete(level, labels)
                before, after = (matrix[kept] @ values.T for values in both)
                part = {"level": level, "area_code": np.array(labels, dtype=object)[kept], "measure": measure}
                part |= {"before": before.mean(axis=1), "after": after.mean(axis=1)}
                part |= {"sd_before": before.std(axis=1, ddof=1), "sd_after": after.std(axis=1, ddof=1)}
                parts.append(pd.DataFrame(part))
        table = pd.concat(parts, ignore_index=True)
        shift = table["after"] - table["before"]
        return table.assign(shift=shift, shift_in_sd=shift / table["sd_before"].where(table["sd_before"] > 0))

    def __repr__(self) -> str:
        strained = f"{int(self.strain['strains'].sum())} of {len(self.strain)} benchmarks strain the model"
        left = "" if self.effective is None else f", {self.effective:.0f} of {len(self.original.flat)} draws effective"
        return f"Benchmarked by {self.method}, respondents {self.respondents}: {strained}{left}"


def benchmark(
    draws: Draws | Fit,
    to: Benchmarks,
    *,
    method: Method = "minimum-distance",
    covariance: Metric = "variances",
    respondents: Respondents = "shared",
    seed: int | None = None,
    min_effective: float = EFFECTIVE_MIN,
) -> Benchmarked:
    """Make draws agree with benchmarks; areas are matched by code.

    Parameters
    ----------
    draws : Draws or Fit
    to : Benchmarks
    method : {"minimum-distance", "difference", "ratio", "tilting"}
        As little change as possible, at any levels and measures at once; the same amount added to all buurten of a
        benchmark, or the same factor, for benchmarks that share no buurt; or weights for the draws, which then agree on
        average only (and in the standard errors given), with `draws` resampled by these.
    covariance : {"variances", "identity", "residents", "posterior"}
        What minimum distance measures by: 1 / posterior variance (buurten that are known well move least), 1,
        residents, or the whole posterior covariance of the draws, after which scores are brought within the ends.
    respondents : {"shared", "independent"}
        Whether benchmarks with a standard error rest on answers that the model has seen, or on other people.
        Independent ones are evidence, by the posterior covariance, and met only as far as they weigh.
    seed : int, optional
        Of the errors of the benchmarks; that of the fit by default, or 1.
    min_effective : float
        The least effective number of draws that tilting may leave.

    Returns
    -------
    Benchmarked

    Raises
    ------
    DataError
        If the draws and the benchmarks are of different areas or sub-dimensions.
    ModelError or ProblemsError
        If the method does not apply, or a benchmark cannot be met.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> fit = voorbeeldstad().fit
    >>> bs.benchmark(fit, bs.Benchmarks.of_direct(fit, "gemeente"))
    Benchmarked by minimum-distance, respondents shared: 0 of 12 benchmarks strain the model
    """
    fit, draws = (draws, draws.draws) if isinstance(draws, Fit) else (None, draws)
    seed = seed if seed is not None else fit.seed if fit else 1
    _check(len(draws.flat), to, method, covariance, respondents)
    matrix, rng = _matrix(draws, to), np.random.default_rng([seed, 7])  # engines use [seed, 2] and [seed, 3]
    scale = draws.outcome.scale
    scores = draws.scores().reshape(len(draws.flat), -1).copy()
    met, linked = replace(draws, outcome=Gaussian(scale)), _linked(draws)  # draws of the scores themselves
    before = np.concatenate([(matrix @ scores[part].T).T for part in _chunks(len(scores))])
    result = Benchmarked(draws, draws, to, method, respondents, _strain(to, before), fit=fit)
    if on_link := method == "minimum-distance" and bool(linked.any()):  # draws of the predictors
        met, scores = draws, draws.flat.reshape(len(draws.flat), -1).copy()
    if respondents == "independent":
        target = to.value + _errors(_root(to.covariance), len(scores), rng)
        update = gain(*_moments(scores, before), to.covariance)
        for part in _chunks(len(scores)):
            scores[part] += (target[part] - before[part]) @ update.T
        return replace(result, draws=replace(met, eta=scores.reshape(draws.eta.shape)))
    kept, weights = to.dependence
    value = reconcile(to.value[None], to.covariance, kept, weights)[0]
    root = reconcile(_root(to.covariance).T, to.covariance, kept, weights).T
    if method == "tilting":
        tilting = _tilted(before[:, kept], value[kept], (root[kept] ** 2).sum(axis=1), min_effective)
        index = rng.permutation(np.repeat(np.arange(len(scores)), systematic(tilting, len(scores), rng.uniform())))
        hyper = {k: (dims, x.reshape(-1, *x.shape[2:])[index].reshape(x.shape)) for k, (dims, x) in draws.hyper.items()}
        new = replace(draws, eta=draws.flat[index].reshape(draws.eta.shape), hyper=hyper)
        return replace(result, draws=new, weights=tilting)
    target = np.clip((value + _errors(root, len(scores), rng))[:, kept], *_ends(draws, matrix[kept], on_link))
    # benchmarks that share no scores are met apart, each by moving the scores that it sees
    parts: list[tuple[Ints, Ints, Callable[..., Floats]]] = []
    for rows in components(matrix[kept], TOGETHER):
        used = np.flatnonzero(np.asarray(abs(matrix[kept[rows]]).sum(axis=0)).ravel() > 0)
        small = sp.csr_array(matrix[kept[rows]][:, used])
        weight = _weight(scores, used, draws, to.areas, covariance)
        if on_link and linked[used].any():
            parts.append((rows, used, Linked(small, weight, *_link(draws, used), MET * to.concept.scale.point)))
        elif method == "minimum-distance":
            parts.append((rows, used, Nearest(small, weight, scale)))
        else:
            parts.append((rows, used, partial(spread, matrix=small, ratio=method == "ratio", scale=scale)))
    factor = None
    if method == "minimum-distance" and covariance == "posterior":
        factor = gain(*_moments(scores, before[:, kept]))
        # eta less its regression on C eta, which the draws have fitted: with K coefficients too little is left of it
        wider = np.sqrt((len(scores) - 1) / (len(scores) - 1 - len(kept)))
        middle = scores.mean(axis=0) - factor @ before[:, kept].mean(axis=0)
    for part in _chunks(len(scores)):
        if factor is not None:
            rest = scores[part] - before[part, kept] @ factor.T - middle
            scores[part] = middle + wider * rest + target[part] @ factor.T
        for rows, used, meet in parts:
            scores[part, used] = meet(scores[part, used], target=target[part][:, rows])
    new = replace(met, eta=scores.reshape(draws.eta.shape))
    _check_met(new.scores().reshape(scores.shape), matrix, target @ weights.T, to, method)
    return replace(result, draws=new)


def _linked(draws: Draws) -> NDArray[np.bool_]:
    """Which of the scores, areas before sub-dimensions, are means of predictors by a link, shape (N D,)."""
    normal = [isinstance(outcome, Gaussian) for outcome in outcomes_of(draws.outcome, draws.subdimensions)]
    return np.tile(~np.array(normal), len(draws.areas))


def _link(draws: Draws, used: Ints) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """The inverse link h of some of the scores, and its derivative where h is x: logistic, exponential or 1."""
    outcomes, column = outcomes_of(draws.outcome, draws.subdimensions), used % len(draws.subdimensions)
    parts = [(outcomes[d], np.flatnonzero(column == d)) for d in np.unique(column)]

    def mean(eta: Floats) -> Floats:
        x = np.empty_like(eta)
        for outcome, at in parts:
            x[:, at] = outcome.mean(eta[:, at])
        return x

    def slope(x: Floats) -> Floats:
        h = np.ones_like(x)
        for outcome, at in parts:
            low, high = outcome.scale.lower, outcome.scale.upper
            if not isinstance(outcome, Gaussian):
                h[:, at] = (x[:, at] - low) * ((high - x[:, at]) / (high - low) if outcome.scale.bounded else 1.0)
        return h

    return mean, slope


def _ends(draws: Draws, matrix: sp.csr_array, on_link: bool) -> tuple[Any, Any]:
    """Between what errors of benchmarks may take them; figures with a link reach no end."""
    scale = draws.outcome.scale
    if not on_link:
        return scale.lower, scale.upper
    scales = [outcome.scale for outcome in outcomes_of(draws.outcome, draws.subdimensions)]
    low, high = (np.tile([getattr(s, end) for s in scales], len(draws.areas)) for end in ("lower", "upper"))
    inside = INSIDE * np.tile([10 * s.point for s in scales], len(draws.areas)) * _linked(draws)
    return matrix @ (low + inside), matrix @ (high - inside)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK))


def _measure(draws: Draws, row: Floats) -> Floats:
    """Scores (S, N) of one measure."""
    return np.concatenate([draws.scores(part) @ row for part in _chunks(len(draws.flat))])


def _moments(scores: Floats, constrained: Floats) -> tuple[Floats, Floats]:
    """V C' and C V C' of the draws."""
    centred = constrained - constrained.mean(axis=0)
    return scores.T @ centred / (len(scores) - 1), centred.T @ centred / (len(scores) - 1)


def _weight(scores: Floats, used: np.ndarray, draws: Draws, areas: Areas, metric: Metric) -> Floats:
    """The diagonal of W for the scores in use."""
    if metric == "identity":
        return np.ones(len(used))
    if metric == "residents":
        residents = areas.frame["population"].reindex(list(draws.areas)).to_numpy(dtype=float)
        return 1 / np.repeat(residents, len(draws.subdimensions))[used]
    blocks = np.array_split(used, max(1, len(used) // 2000))
    variance = np.concatenate([scores[:, block].var(axis=0) for block in blocks])
    # a score that is at an end in all draws can still move, where nothing else can
    return np.maximum(variance, max(1e-6 * variance.mean(), 1e-12))


def _root(covariance: Floats) -> Floats:
    if not (covariance - np.diag(np.diag(covariance))).any():  # errors are independent
        return np.sqrt(covariance)
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _errors(root: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Normal errors (n, K) with mean exactly zero, so that posterior means are the figures themselves."""
    normal = rng.normal(size=(n, len(root)))
    return (normal - normal.mean(axis=0)) @ root.T


def _matrix(draws: Draws, to: Benchmarks) -> sp.csr_array:
    """C with columns in the order of the draws."""
    problems = Problems()
    for measure, scale in scales_of(draws.outcome, draws.subdimensions).items():
        other = to.concept.scale_of(measure) if measure in to.concept.nodes else scale
        if not scale.same_ends(other):
            hint, expected = "read them with a concept on that scale", f"figures {scale.range}, as those of the draws"
            problems.add("the benchmarks are on another scale", f"figures {other.range}", expected, hint)
            break
    for what, known, named in (
        ("areas", draws.areas, to.areas.codes),
        ("measures", draws.subdimensions, to.subdimensions),
    ):
        if set(known) != set(named):
            expected = f"those of the draws: {shown(known)}"
            problems.add(f"the benchmarks have other {what}", shown(named), expected, "read them again with these")
    problems.raise_if_any()
    area = pd.Index(to.areas.codes).get_indexer(draws.areas)
    dimension = pd.Index(to.subdimensions).get_indexer(draws.subdimensions)
    return sp.csr_array(to.matrix[:, (area[:, None] * len(dimension) + dimension).ravel()])


def _strain(to: Benchmarks, before: Floats) -> pd.DataFrame:
    mean, sd = before.mean(axis=0), before.std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # draws that are all alike: infinite, or none
        z = (to.value - mean) / np.sqrt(sd**2 + to.se**2)
    return to.table.assign(mean=mean, sd=sd, z=z, p=2 * ndtr(-np.abs(z)), strains=np.abs(z) > 2)


def _tilted(values: Floats, target: Floats, variance: Floats, least: float) -> Floats:
    """Weights of the draws, whose moments are the targets and, where given, their variances."""
    inexact = np.flatnonzero(variance)
    weights = tilt(np.c_[values, (values[:, inexact] - target[inexact]) ** 2], np.r_[target, variance[inexact]])
    if weights is None:
        hint = 'use method "minimum-distance", fewer benchmarks, or more draws'
        hull = f"figures within the convex hull of the {len(values)} draws"
        raise ModelError(
            "no weights of the draws meet the benchmarks", "figures outside what the draws span", hull, hint
        )
    if (effective := 1 / (weights**2).sum()) < least:
        hint = 'use method "minimum-distance", or more draws; look at the benchmarks that strain the model'
        left = f"{effective:.0f} effective draws of {len(weights)}"
        raise ModelError("tilting leaves too few draws", left, f"{least:g} or more", hint)
    return weights


def _check(n: int, to: Benchmarks, method: Method, covariance: Metric, respondents: Respondents) -> None:
    """Refuse what does not apply, all at once."""
    problems, k = Problems(), len(to.dependence[0])
    for name, value, known in (
        ("method", method, get_args(Method)),
        ("covariance", covariance, get_args(Metric)),
        ("respondents", respondents, get_args(Respondents)),
    ):
        if value not in known:
            problems.add(f"benchmarks know no such {name}", repr(value), ", ".join(known), "choose one", ModelError)
    if method in ("difference", "ratio"):
        shares = (to.matrix != 0).astype(int)
        overlap = np.flatnonzero(np.asarray(shares @ (shares.sum(axis=0) > 1)).ravel())
        if len(overlap):
            what, hint = f"method {method} is for benchmarks that share no scores", 'use method "minimum-distance"'
            expected = "one level per sub-dimension, and no measure above it"
            problems.add(what, shown(to.names[row] for row in overlap), expected, hint, ModelError)
    if respondents == "independent":
        if method != "minimum-distance":
            what = "independent benchmarks are evidence, weighed by the posterior covariance"
            problems.add(what, f"method {method}", "minimum-distance", "leave `method` out", ModelError)
        if (exact := to.se == 0).any():
            names = shown(name for name, sure in zip(to.names, exact, strict=True) if sure)
            hint = 'give it, or use respondents="shared", which meets exact figures'
            problems.add("independent benchmarks need a standard error", names, "an `se` above 0", hint)
        if to.own:
            what, hint = "direct estimates rest on the model's own respondents", "they would count twice"
            problems.add(what, 'respondents="independent"', "shared", hint, ModelError)
        k = len(to.value)
    if (respondents == "independent" or covariance == "posterior") and n < PER_CONSTRAINT * k:
        what = "the posterior covariance needs more draws than there are"
        expected = f"{PER_CONSTRAINT} draws per benchmark: with fewer, intervals get too narrow"
        hint = 'take more draws or fewer benchmarks, or covariance="variances" where respondents are shared'
        problems.add(what, f"{n} draws for {k} benchmarks", expected, hint, ModelError)
    problems.raise_if_any()


def _check_met(scores: Floats, matrix: sp.csr_array, target: Floats, to: Benchmarks, method: Method) -> None:
    gap = np.concatenate([np.abs((matrix @ scores[part].T).T - target[part]) for part in _chunks(len(scores))])
    if (unmet := gap > 10 * MET * to.concept.scale.point).any():
        names = shown(to.names[row] for row in np.flatnonzero(unmet.any(axis=0)))
        where = f"{names}, in {int(unmet.any(axis=1).sum())} of {len(scores)} draws"
        hint = "look at benchmarks near the ends of the scale and at large standard errors"
        hint += " (a factor does not move scores of 0)" if method == "ratio" else ""
        what = f"benchmarks cannot be met on {to.concept.scale.ends} by method {method}"
        raise ModelError(what, where, "all met in every draw", hint)
