r"""Shares that are parts of one whole: draws that add to it, and figures that still add when they are rounded.

A whole of K parts has p_k = exp(l_k) / sum_j exp(l_j) (softmax), and counts y ~ Multinomial(n, p) are Poisson counts
with l_k as log rates, given their sum. So of parts that are modelled as Poisson counts beside the exposure n, draws of
the rates over their sum per draw are those of the multinomial model, but for what the sum of the rates itself says.
Parts that are modelled as binomial shares have a likelihood each, of which the yes of one is the no of another: of two
parts the same answers would count twice: two halves over their sum would have half the variance. A logit with variance
v stands for a log rate with variance v (1 - p), of which log p has v (1 - p)^2; so deviations of log p from their mean
are divided by sqrt(1 - p) before the sum is taken. That gives each share of two parts the variance v of its logit, and
of K parts where the data or an exchangeable prior say what is known (v ~ 1 / (p (1 - p)), or all alike); between these
it is close. Ordinal answers add by themselves, in every draw.

References
----------
Baker, S. (1994). The multinomial-Poisson transformation. The Statistician 43. McCullagh, P. and Nelder, J. (1989).
Generalized Linear Models, ch. 6.4. Balinski, M. and Young, H. (2001). Fair Representation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.errors import DataError, ModelError, Problems, cut, shown
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.per_measure import outcome_of
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.scale import Scale
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

NEAR = 1e-4  # of the whole: how far shares of 32 bits may be from it
Drawn = TypeVar("Drawn", Draws, Fit)


def composed(drawn: Drawn, *wholes: Sequence[str]) -> Drawn:
    """Return draws, or a fit with draws, in which the parts of each whole add up: to 100%, or to 1, in every draw.

    Parameters
    ----------
    drawn : Draws or Fit
    *wholes : sequence of str
        Measures that are the parts of one whole: all of it, and the same people each.

    Returns
    -------
    Draws or Fit
        Predictors are those of the shares, so that all that follows a fit works; areas above, means of their buurten,
        add up too. Benchmarks come before: they do not know that parts add up.

    Raises
    ------
    DataError or ProblemsError
        If parts are unknown, fewer than two, or in two wholes; or shares with different scales.
    ModelError
        If parts are neither all shares nor all rates: scores have no whole, and may be negative.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> table = pd.DataFrame({"fips": [1, 3, 5, 7], "car": [6, 2, 4, 5], "bike": [3, 6, 5, 3], "else": 1, "n": 10})
    >>> parts = ["car", "bike", "else"]
    >>> counts = bs.AreaCounts.from_frame(table, y=parts, exposure="n", area="fips")
    >>> model = bs.AreaModel("1", [bs.IID("area")], outcome=bs.Poisson())
    >>> fit = bs.composed(bs.fit(model, counts, draws=100, hyperparameters=50, progress=False), parts)
    >>> bool(abs(fit.draws.scores().sum(axis=2) - 1).max() < 1e-12)
    True
    """
    if isinstance(drawn, Fit):
        return replace(drawn, draws=composed(drawn.draws, *wholes))
    _check(drawn, wholes)
    eta, width = drawn.eta.copy(), len(drawn.subdimensions)
    for parts in wholes:
        for year in range(max(len(drawn.years), 1)):
            columns = [year * width + drawn.subdimensions.index(name) for name in parts]
            binomial = isinstance(outcome_of(drawn.outcome, parts[0]), Binomial)
            log = _widened(eta[..., columns]) if binomial else eta[..., columns]
            log = log - special.logsumexp(log, axis=-1, keepdims=True)
            eta[..., columns] = log - np.log1p(-np.exp(log)) if binomial else log
    return replace(drawn, eta=eta, wholes=(*drawn.wholes, *map(tuple, wholes)))


def _widened(eta: Floats) -> Floats:
    """Log rates that say what logits (chains, draws, N, K) do, once: deviations of log p over sqrt(1 - p)."""
    log = special.log_expit(eta)
    middle, share = log.mean(axis=(0, 1)), special.expit(eta).mean(axis=(0, 1))
    return np.asarray(middle + (log - middle) / np.sqrt(1 - share))


def _check(draws: Draws, wholes: Sequence[Sequence[str]]) -> None:
    problems = Problems()
    every = [name for parts in wholes for name in parts]
    if unknown := [name for name in every if name not in draws.subdimensions]:
        problems.add("there are no such measures", shown(unknown), shown(draws.subdimensions, 10), "choose of these")
    if twice := sorted({name for name in every if every.count(name) > 1}):
        problems.add("parts are in two wholes, or twice in one", shown(twice), "one whole each", "leave one out")
    if not wholes or min(map(len, wholes)) < 2:
        problems.add("a whole has fewer than two parts", shown(map(list, wholes)) or "none", "two or more", "name all")
    problems.raise_if_any()
    for parts in wholes:
        kinds = [outcome_of(draws.outcome, name) for name in parts]
        if not (all(isinstance(k, Binomial) for k in kinds) or all(isinstance(k, Poisson) for k in kinds)):
            got = shown(f"{name}: {type(kind).__name__}" for name, kind in zip(parts, kinds, strict=True))
            hint = "model the parts as Poisson counts beside the number of respondents, or as Binomial shares"
            raise ModelError("parts of a whole are neither shares nor rates", got, "all Poisson, or all Binomial", hint)
        if len({(kind.scale.lower, kind.scale.upper) for kind in kinds}) > 1:
            got = shown(f"{name} {kind.scale.range}" for name, kind in zip(parts, kinds, strict=True))
            raise DataError("parts of a whole are on different scales", got, "one scale", "give them one `scale`")


def wholes(concept: Concept, measures: Collection[str]) -> list[tuple[str, ...]]:
    """Return the compositions of a concept whose parts are among these measures; none of some parts only.

    Raises
    ------
    DataError
        If some parts of a whole are there and others are not: what is left does not add up.
    """
    problems, found = Problems(), list[tuple[str, ...]]()
    for name, parts in concept.compositions.items():
        lacking = [part for part in parts if part not in measures]
        if lacking and len(lacking) < len(parts):
            hint = "give the codebook a share for each part, or leave the composition out of the concept"
            problems.add(
                f"parts of composition {cut(name)} are not in the data", shown(lacking), shown(parts, 10), hint
            )
        found += [] if lacking else [parts]
    problems.raise_if_any()
    return found


def refuse_benchmarks(concept: Concept) -> None:
    """Refuse benchmarks beside compositions, with a ModelError: draws that meet both are not made."""
    if concept.compositions:
        hint = "leave `[benchmark]` out, or the compositions of the concept"
        named = shown(f"composition {name}" for name in concept.compositions)
        raise ModelError("benchmarks do not know that parts add up", named, "benchmarks without compositions", hint)


def rounded(shares: ArrayLike, total: float, decimals: int = 0) -> Floats:
    """Return shares rounded so that they still add to the total: by largest remainder.

    Parameters
    ----------
    shares : ndarray, shape (..., K)
        Not negative; they add to the total, but for rounding.
    total : float
        100, or 1.
    decimals : int

    Returns
    -------
    ndarray, shape (..., K)
        Each is the share rounded up or down. Of equal remainders the first goes up.

    Raises
    ------
    DataError
        If shares are negative or missing, or do not add to the total.

    Examples
    --------
    >>> from buurtsae.estimates.compositions import rounded
    >>> rounded([33.33, 33.33, 33.34], 100).tolist()
    [33.0, 33.0, 34.0]
    """
    values, unit = np.asarray(shares, dtype=float), 10.0**decimals
    off = np.abs(values.sum(axis=-1) - total)
    if not (values >= 0).all() or (off > 1e-6 * total).any():
        got = cut(f"negative or missing ones, or a sum that is off by {off.max():.2g}")
        hint = "round shares whose draws were made to add up, all of them"
        raise DataError("shares do not add to the whole", got, f"shares that add to {total:g}", hint)
    scaled = np.round(values * unit, 9)  # 0.29 * 100 is below 29
    down = np.floor(scaled)
    short = np.rint(total * unit - down.sum(axis=-1)).astype(np.int64)
    order = np.argsort(down - scaled, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return np.asarray((down + (rank < short[..., None])) / unit)


def adding_up(
    table: pd.DataFrame, exact: pd.Series, wholes: Mapping[tuple[str, ...], Scale], decimals: int
) -> pd.DataFrame:
    """Return a rounded table of estimates in which figures of the parts of a whole add up.

    They do in areas of which all parts are published, and added up before they were rounded: draws that met benchmarks
    afterwards need not. The ends of an interval move where rounding would leave the figure outside.

    Parameters
    ----------
    table : DataFrame
        As `Estimates.published`.
    exact : Series
        Its estimates before rounding.
    wholes : mapping of parts to Scale
    decimals : int
    """
    place = ["level", "area_code"]
    for parts, scale in wholes.items():
        total = scale.upper if scale.bounded else 1.0
        rows = table.assign(estimate=exact)[table["measure"].isin(parts)]
        wide = rows.pivot(index=place, columns="measure", values="estimate").reindex(columns=list(parts))
        sums = wide.sum(axis=1, skipna=False)
        wide = wide[(wide >= 0).all(axis=1) & ((sums - total).abs() < NEAR * total)]
        wide[:] = rounded(wide.mul(total / wide.sum(axis=1), axis=0), total, decimals)
        keys = pd.MultiIndex.from_frame(table[[*place, "measure"]])
        figures = wide.stack().reindex(keys).set_axis(table.index).fillna(table["estimate"])
        ends = {"lower": np.minimum(table["lower"], figures), "upper": np.maximum(table["upper"], figures)}
        ends = {name: end.where(table["measure"].isin(parts), table[name]) for name, end in ends.items()}
        table = table.assign(estimate=figures, **ends)
    return table
