r"""Predictions of what was left out: the direct estimates of an area, or of whole groups, from all others.

Given hyperparameters everything is Gaussian. Of one site (a buurt, or a wijk that a source sees as a whole), with
u = (e, alpha) ~ N(m, S) a posteriori and own data exp(-u'Lu/2 + u'l), the posterior without these is

    S_- = (I - S L)^{-1} S,      m_- = (I - S L)^{-1} (m - S l),

without fitting again; of groups the information of all their sites is put to zero and the field is conditioned anew, a
fold at a time. Of several years it is the data of one year that are left out, those of other years of the same area
stay (`year_left_out`). A direct estimate is predicted with its sampling variance and what its source adds.
Hyperparameters are draws of the fit, theta_1..theta_H, that have seen what is left out; weights 1 / p(y_f | others,
theta_h) undo that, with f all that was left out together: p(y | theta) / p(others | theta), both exact. The log
predictive density of a group is the sum over its sites, each given all other groups.

References
----------
Held, L., Schroedle, B. and Rue, H. (2010). Posterior and cross-validatory predictive checks: a comparison of MCMC and
INLA. Gelfand, A. (1996), in Markov Chain Monte Carlo in Practice, ch. 9. Roberts, D. et al. (2017). Ecography 40.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, ndtr

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given, given, joint_at
from buurtsae.errors import DataError, shown
from buurtsae.estimates.disclosure.release import SEVERAL
from buurtsae.estimates.evidence.rows import keys, labelled
from buurtsae.estimates.evidence.year_left_out import moved_by_own, predicted_by_year
from buurtsae.sparse import Floats, Ints

LEVELS = (50, 80, 95)


@dataclass(frozen=True)
class LeftOut:
    """Predictions of direct estimates that were left out.

    Attributes
    ----------
    by : str
        What was left out together: `buurt` (each site alone) or a level; of several years in one of them.
    table : DataFrame
        Per `source`, `year` (of several), `area_code`, `measure`: `group`, `n_respondents`, the direct estimate `y`,
        its predicted `mean` and `sd`, `z` = (y - mean) / sd, and `pit`, the predictive probability of less than y. Of
        counts `z` and `square` are means, over the PITs between `below` and `upto`.
    density : Series
        Log predictive density, by group; of several years by group and year.
    """

    by: str
    table: pd.DataFrame
    density: pd.Series

    def __repr__(self) -> str:
        return f"LeftOut by {self.by}: {len(self.table)} predictions in {len(self.density)} groups"

    @property
    def elpd(self) -> tuple[float, float]:
        """Sum of the log predictive densities, and its standard error from differences between groups."""
        by_group = self.by_group
        return float(by_group.sum()), float(np.sqrt(len(by_group)) * by_group.std())

    @property
    def by_group(self) -> pd.Series:
        """Log predictive densities by group: of several years their sums, as years of a group go together."""
        return self.density.groupby(level="group").sum() if self.density.index.nlevels > 1 else self.density

    def published(self, shown: NDArray[np.bool_]) -> pd.Series:
        """Return log predictive densities of groups of several areas, in which none or several are hidden.

        Of `shown` rows of the table the direct estimate may be known: the density would tell a single other one.
        """
        by = ["group", "year"] if "year" in self.table else "group"
        areas = self.table.groupby(by)["area_code"].nunique()
        hidden = self.table[~shown].groupby(by)["area_code"].nunique().reindex(areas.index, fill_value=0)
        kept = (areas >= SEVERAL) & ((hidden == 0) | (hidden >= SEVERAL))
        return self.density[self.density.index.isin(areas.index[kept])]

    def calibration(self, by: str | list[str] | None = None) -> pd.DataFrame:
        """Return per group of rows: `figures`, `bias`, `rmse`, the mean of z^2, and coverage of 50, 80, 95% intervals.

        Groups are by columns of the table; `source`, `measure` and, of several, `year` by default.
        """
        rows = self.table.assign(error=self.table["y"] - self.table["mean"])
        rows["square"] = rows["z"] ** 2 if "square" not in rows else rows["square"]
        for level in LEVELS:
            rows[f"coverage_{level}"] = interval_share(rows, level / 200)
        grouped = rows.groupby(by or keys(rows), sort=False)
        return grouped.agg(
            figures=("y", "size"),
            bias=("error", "mean"),
            rmse=("error", lambda e: float(np.sqrt((e**2).mean()))),
            chi2=("square", "mean"),
            **{f"coverage_{level}": (f"coverage_{level}", "mean") for level in LEVELS},
        ).reset_index()


def interval_share(rows: pd.DataFrame, half: float) -> pd.Series:
    """Whether PITs lie that near to 0.5; of counts the share of what lies between `below` and `upto`."""
    if "below" not in rows:
        return (rows["pit"] - 0.5).abs() < half
    low, high = (rows[end].clip(0.5 - half, 0.5 + half) for end in ("below", "upto"))
    width = rows["upto"] - rows["below"]
    point = (rows["upto"] - 0.5).abs() < half  # of numbers both ends are the PIT
    return ((high - low) / width.clip(lower=1e-12)).where(width > 1e-12, point.astype(float))


def fingerprint(fit: Fit) -> str:
    """Return a code that fits share that predict the same direct estimates with the same sampling variances."""
    design, digest = fit.design, hashlib.sha256()
    for labels in (design.site_codes, design.sources, design.columns):
        digest.update("\n".join(labels).encode())
    for values in (design.y, design.covariance):
        digest.update((np.round(values, 6) + 0.0).astype("<f8").tobytes())  # -0.0 is 0.0
    return digest.hexdigest()[:12]


def left_out(fit: Fit, by: str | None = None, *, values: int = 8, folds: int = 10, seed: int | None = None) -> LeftOut:
    """Predict the direct estimates of each area, or group of areas, from all others.

    Of several years what is left out is of one year: the area, or group, is predicted from all others and from its own
    other years, as a next wave will be.

    Parameters
    ----------
    fit : Fit
        Of any engine: its draws of the hyperparameters are used.
    by : str, optional
        A level whose areas are left out whole: `wijk`, `gemeente`, ...; by default the areas one by one.
    values : int
        Number of draws of the hyperparameters, evenly spaced over the draws.
    folds : int
        Groups are divided over at most so many folds, each left out at once.
    seed : int, optional
        Of the division; the fit's by default.

    Returns
    -------
    LeftOut

    Raises
    ------
    DataError
        If there is no such level, or only one group.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> left_out(voorbeeldstad().fit, by="gemeente")
    LeftOut by gemeente: 812 predictions in 3 groups
    """
    by = by or fit.areas.base
    group = _groups(fit, by)
    rng = np.random.default_rng([fit.seed if seed is None else seed, 8])
    fold = _folds(group, folds, rng, fit.design.periods) if by != fit.areas.base else None
    picked = np.linspace(0, len(fit.draws.flat) - 1, values).round().astype(int)
    parts = zip(*(predicted(given(fit, int(draw)), fold) for draw in dict.fromkeys(picked)), strict=True)
    return _collected(fit, by, group, *(np.array(part) for part in parts))


def own_effect(fit: Fit, *, values: int = 8) -> Floats:
    """Return the posterior mean of each buurt and sub-dimension less that without the buurt's own data, shape (N, D).

    0 where there are none. It is averaged over so many draws of the hyperparameters. Of several years, and of one of
    them, own data are those of the year.
    """
    whole, own = fit.conditioned
    design = whole.design
    n, d = len(design.areas), len(design.columns)
    picked = np.unique(np.linspace(0, len(whole.draws.flat) - 1, values).round().astype(int))
    total = np.zeros((n, d))
    for draw in picked:
        at = given(whole, int(draw))
        if design.periods > 1:
            total += moved_by_own(at)[:n]
            continue
        (_, without, _, _), *_ = _cavities(at, None)
        total += at.posterior.scores.mean[:n] - without[:n, :d]
    effect = total / len(picked)
    by_year = np.asarray(design.observed.any(axis=0)).reshape(-1, design.periods, len(design.measures))
    heard = np.asarray(by_year.any(axis=2))
    effect[~np.repeat(heard[:n], len(design.measures), axis=1)] = 0.0  # exactly, not to rounding
    return effect[:, own]


def _labels(fit: Fit, by: str) -> np.ndarray:
    """The code of the group of each site; None for none."""
    codes = list(fit.design.site_codes)
    if by == fit.areas.base:
        return np.array(codes, dtype=object)
    levels = {fit.areas.base, *(source.level for source in fit.direct.sources)}
    parent = pd.concat([fit.areas.parents(by, level) for level in sorted(levels, key=fit.areas.base.__ne__)])
    parent = parent[~parent.index.duplicated()]  # areas of another edition may be areas of this one
    return np.asarray(parent.loc[codes].to_numpy(dtype=object))


def _groups(fit: Fit, by: str) -> Ints:
    """The group of each site, -1 for none."""
    labels = _labels(fit, by)
    group = np.asarray(pd.factorize(labels, sort=True)[0], dtype=np.int64)
    if len(np.unique(group[_seen(fit) & (group >= 0)])) < 2:
        what, codes = f"nothing is left when a {by} is left out", shown({str(label) for label in labels})
        raise DataError(what, codes, "two or more with estimates", "choose a lower level")
    return group


def _seen(fit: Fit) -> np.ndarray:
    return np.asarray(fit.design.observed.any(axis=(0, 2)))


def several(fit: Fit) -> bool:
    """Return whether there are estimates in several gemeenten."""
    areas = fit.areas
    return bool(areas.parents(areas.parent(areas.base))[_seen(fit)[: len(areas.codes)]].nunique() > 1)


def _folds(group: Ints, folds: int, rng: np.random.Generator, years: int = 1) -> Ints:
    """The fold of each site, (K,), or of each in each year, (K, T); groups are dealt out at random.

    Of several years no fold has a group in two of them.
    """
    groups = group.max() + 1
    if years > 1:
        number = min(max(folds, years), groups * years)
        dealt = rng.permutation(groups)[group][:, None] * years + np.arange(years)
        return np.where(group[:, None] >= 0, dealt % number, -1)
    dealt = rng.permutation(groups) % min(folds, groups)
    return np.where(group >= 0, dealt[group], -1)


def predicted(at: Given, fold: Ints | None) -> tuple[Floats, Floats, Floats, Floats]:
    """Return means and variances of y - its prediction from other sites, or folds, shape (K, S W).

    And log densities of sites, and of what was left out together with each (K,); of several years, of each (K, T).
    """
    if at.design.periods > 1:
        return predicted_by_year(at, fold)
    design, noise, residual = at.design, at.noise, at.residual
    s, k, d = design.y.shape
    predictions, variances, density, together = np.zeros((k, s * d)), np.ones((k, s * d)), np.zeros(k), np.zeros(k)
    # each site's part of the constant of the likelihood, that stays when its information is put to zero
    square = np.einsum("skd,skd->k", residual, np.linalg.solve(noise, residual[..., None])[..., 0])
    count = design.observed.sum(axis=(0, 2))
    constant = -0.5 * (square + np.linalg.slogdet(noise)[1].sum(axis=0) + count * np.log(2 * np.pi))
    jacobian = at.jacobian
    seen = np.moveaxis(design.observed, 1, 0).reshape(k, s * d)
    y = np.moveaxis(residual, 1, 0).reshape(k, s * d)
    for sites, mean, covariance, others in _cavities(at, fold):
        spread = jacobian @ covariance @ jacobian.T
        for source in range(s):
            part = slice(source * d, (source + 1) * d)
            spread[:, part, part] += noise[source, sites]
        predicted = mean @ jacobian.T
        both = seen[sites][:, :, None] & seen[sites][:, None, :]
        spread = np.where(both, spread, np.eye(s * d))
        off = np.where(seen[sites], y[sites] - predicted, 0.0)
        quadratic = np.einsum("ki,ki->k", off, np.linalg.solve(spread, off[..., None])[..., 0])
        logdet = np.linalg.slogdet(spread)[1]
        predictions[sites], variances[sites] = predicted, np.einsum("kii->ki", spread)
        density[sites] = -0.5 * (quadratic + logdet + seen[sites].sum(axis=1) * np.log(2 * np.pi))
        if fold is not None:
            together[sites] = at.posterior.log_likelihood - others + constant[sites].sum()
    return y - predictions, variances, density, density if fold is None else together


def _cavities(at: Given, fold: Ints | None) -> Iterator[tuple[Ints, Floats, Floats, float]]:
    """Yield sites with mean and covariance of (e, alpha) there, less the prior mean, without what is left out.

    And the log-likelihood without its information, but with its constant, where folds are left out.
    """
    if fold is None:
        local = at.local
        mean, covariance = joint_at(at.posterior)
        known = np.block([[local.w, local.cross], [local.cross.swapaxes(1, 2), local.own]])
        linear = np.concatenate([local.b, local.linear], axis=1)
        left = np.eye(mean.shape[1]) - covariance @ known
        mean = np.linalg.solve(left, (mean - np.einsum("kij,kj->ki", covariance, linear))[..., None])[..., 0]
        yield np.arange(len(mean)), mean, np.linalg.solve(left, covariance), np.nan
        return
    for number in range(fold.max() + 1):
        others, sites = at.without(fold == number), np.flatnonzero(fold == number)
        mean, covariance = joint_at(others)
        yield sites, mean[sites], covariance[sites], others.log_likelihood


def _collected(
    fit: Fit, by: str, group: Ints, off: Floats, variance: Floats, density: Floats, together: Floats
) -> LeftOut:
    """Mix over the values of the hyperparameters (first dimension), and label."""
    design, labels, d = fit.design, _labels(fit, by), len(fit.design.columns)
    density, together = (part.reshape(*off.shape[:2], -1) for part in (density, together))  # (H, K, T)
    observed = design.observed & (group >= 0)[None, :, None]
    periods, measures = density.shape[2], len(design.measures)
    seen = observed.any(axis=0).reshape(-1, periods, measures).any(axis=2)
    pair = group[:, None] * periods + np.arange(periods)  # what is left out together: of one year
    names, one, place = np.unique(pair[seen], return_index=True, return_inverse=True)
    of_group = np.array([np.bincount(place, row[seen], len(names)) for row in density])
    weight = np.exp(log_softmax(-together[:, seen][:, one], axis=0))  # 1 / p(y_f | others, theta)
    total = logsumexp(of_group, axis=0, b=weight)
    at = np.zeros_like(density)
    at[:, seen] = weight[:, place]
    source, site, dim = np.nonzero(observed)
    column = source * d + dim
    o, v, w = off[:, site, column], variance[:, site, column], at[:, site, dim // measures]
    mean_off = (w * o).sum(axis=0)
    sd = np.sqrt((w * (v + o**2)).sum(axis=0) - mean_off**2)
    y = design.y[source, site, dim]
    figures = {
        "y": y,
        "mean": y - mean_off,
        "sd": sd,
        "z": mean_off / sd,
        "pit": (w * ndtr(o / np.sqrt(v))).sum(axis=0),
    }
    table = labelled(fit, source, site, dim).assign(**figures)
    table.insert(table.columns.get_loc("measure") + 1, "group", labels[site])
    site_of, year_of = (part[one] for part in np.nonzero(seen))
    index = pd.Index(labels[site_of], name="group")
    if periods > 1:
        index = pd.MultiIndex.from_arrays([index, np.array(design.years)[year_of]], names=["group", "year"])
    return LeftOut(by, table, pd.Series(total, index=index, name="density"))
