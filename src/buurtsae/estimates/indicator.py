r"""Indicators of one's own: any function of the joint draws of areas and measures, with its uncertainty.

f is computed of every draw, f(x^1), ..., f(x^S): their mean is the estimate, their quantiles the interval. That is not
f of the estimates: posterior means are nearer to each other than areas are, so that an inequality between them is too
small, and a share of areas below a cut is biased. f sees the published areas only, so that whatever it is,
its figure follows from draws that are published, and tells nothing of hidden areas.

References
----------
Gelman, A. and Price, P. (1999). All maps of parameter estimates are misleading. Statistics in Medicine 18.
Cowell, F. (2011). Measuring Inequality, ch. 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import Fit
from buurtsae.errors import BuurtsaeError, DataError, ModelError, cut, shown
from buurtsae.estimates.benchmark.benchmark import Benchmarked
from buurtsae.estimates.summary import Estimates, estimate
from buurtsae.sparse import Floats, Ints

Kind = Literal["gini", "theil", "sd", "p90_p10"]
Function = Callable[["Joint"], Floats]


@dataclass(frozen=True)
class Joint(Mapping[str, Floats]):
    """Joint draws of some areas of one level: by measure an array (draws, areas), what an indicator is a function of.

    Draws of normal outcomes may lie a little beyond the ends of their scale.

    Attributes
    ----------
    level : str
    codes : ndarray of str, shape (areas,)
    residents : ndarray, shape (areas,)
    measures : tuple of str
    """

    level: str
    codes: np.ndarray
    residents: Floats
    measures: tuple[str, ...]
    _of: Callable[[str], Floats] = field(repr=False)
    _place: Ints = field(repr=False)

    def __getitem__(self, measure: str) -> Floats:
        """Return the draws of a measure."""
        if measure not in self.measures:
            hint = "choose one of these"
            raise DataError("there is no such measure", cut(repr(measure)), shown(self.measures, 10), hint)
        return self._of(measure)[:, self._place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    def __repr__(self) -> str:
        return f"Joint draws of {len(self.codes)} {self.level} areas: {shown(self.measures, 10)}"


def indicator(
    est: Estimates | Fit | Benchmarked,
    f: Function,
    *,
    level: str | None = None,
    within: str | Sequence[str] | None = None,
    above: float | None = None,
) -> pd.DataFrame:
    """Return a function of joint draws with its uncertainty.

    Parameters
    ----------
    est : Estimates, Fit or Benchmarked
        Draws after benchmarking, where there are any. A fit is published by the rules that `estimate` has by default.
    f : callable
        Of a `Joint`: `x["measure"]` are draws, shape (draws, areas), and `x.residents` and `x.codes` those of the same
        areas. It returns a figure per area, shape (draws, areas), or one of all areas, shape (draws,). `share_below`,
        `ratio`, `difference` and `inequality` make some.
    level : str, optional
        Of the areas that f sees; the areas themselves by default.
    within : str or sequence of str, optional
        A level, or several: f sees the areas of one area of it at a time. By default all at once.
    above : float, optional
        Adds `p_above`, the probability that the figure is above it; ties count half.

    Returns
    -------
    DataFrame
        A row per area, of `within` where f returns one figure, with `level`, `area_code`, `area_name`, `estimate`,
        `sd`, `lower`, `upper` (95%), perhaps `p_above`, `areas`: how many f saw, `hidden`: how many it did not see, and
        `seen`: the share of residents in those that it saw.

    Raises
    ------
    DataError
        If there is no such level or measure, `within` does not lie above, or no area may be shown.
    ModelError
        If f is no function, fails, or returns something of another shape, no numbers, or missing or infinite ones; if
        `level` or `within` are no names of levels, or `above` is no number.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> largest = bs.indicator(voorbeeldstad(), lambda x: x["participatie"].max(axis=1), within="gemeente")
    >>> largest[["area_code", "estimate"]].round().to_numpy().tolist()
    [['GM9901', 7.0], ['GM9902', 8.0], ['GM9903', 8.0]]
    """
    if not isinstance(est, Estimates | Fit | Benchmarked):
        hint = "bs.indicator(bs.estimate(fit), f)"
        raise ModelError("an indicator needs areas beside draws", type(est).__name__, "Estimates, or a Fit", hint)
    if not isinstance(est, Estimates):
        est = estimate(est)
    if not callable(f):
        hint = 'write lambda x: x["measure"].max(axis=1), or take bs.share_below("measure", 5.0)'
        raise ModelError("the indicator is no function", cut(repr(f)), "a function of joint draws", hint)
    if above is not None:
        _finite(above, "`above`")
    areas = est.areas
    level = areas.base if level is None else level
    groups = _names([areas.system.whole] if within is None else within, "`within`")
    _names([level], "`level`")
    if unknown := [name for name in (level, *groups) if name not in areas.levels]:
        raise DataError("the areas have no such level", shown(unknown), shown(areas.levels), "choose one of these")
    labels, matrix = areas.aggregation(level)
    codes = np.array(labels, dtype=object)
    kept = areas.complete(level, labels)
    codes, matrix = codes[kept], matrix[np.flatnonzero(kept)]
    residents = areas.residents(level).reindex(codes).to_numpy(dtype=float)
    open_ = est.release.shown(level, codes)
    weights, cache = est.concept.matrix_of(est.draws.subdimensions), dict[str, Floats]()

    def drawn(measure: str) -> Floats:
        if measure not in cache:
            of_areas = est.draws.scores() @ weights.loc[measure].to_numpy()
            cache[measure] = np.ascontiguousarray((matrix @ of_areas.T).T)
        return cache[measure]

    parts = []
    for group in groups:
        above_code = _above(areas, level, group).reindex(codes).to_numpy(dtype=object)
        for code in sorted(set(pd.unique(above_code[pd.notna(above_code)]))):
            inside = above_code == code
            place = np.flatnonzero(inside & open_)
            if not len(place):
                continue
            joint = Joint(level, codes[place].astype(str), residents[place], tuple(weights.index), drawn, place)
            values = _checked(_called(f, joint, f"{group} {code}"), len(est.draws.flat), len(place), f"{group} {code}")
            alone = values.ndim == 1
            where = {"level": group if alone else level, "area_code": [code] if alone else codes[place]}
            row = pd.DataFrame({**where, **_summary(values, above)})
            seen = residents[place].sum() / residents[inside].sum()
            parts.append(row.assign(areas=len(place), hidden=int((inside & ~open_).sum()), seen=seen))
    if not parts:
        hint = "choose a higher level, or look at the rules"
        raise DataError("no area may be shown", f"{len(codes)} hidden areas of level {level}", "one or more", hint)
    table = pd.concat(parts, ignore_index=True)
    pairs = zip(table["level"], table["area_code"], strict=True)
    table.insert(2, "area_name", [areas.label(of, code) for of, code in pairs])
    return table


def _above(areas: Areas, level: str, group: str) -> pd.Series:
    """The area of `group` that holds each area of a level."""
    pairs = pd.DataFrame({"code": areas.parents(level), "above": areas.parents(group)})[areas.inhabited]
    if (pairs.groupby("code")["above"].nunique() > 1).any():
        hint = "choose a lower `level`, or a higher level for `within`"
        raise DataError(f"areas of level {level} do not lie within one {group}", group, f"a level above {level}", hint)
    return pairs.groupby("code")["above"].first()


def _names(given: object, what: str) -> list[str]:
    """One name or several."""
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{what} names no level", cut(repr(given)), "text, such as gemeente", "name a level")
    return names


def _finite(value: object, what: str) -> None:
    plain = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not plain or not np.isfinite(value):  # type: ignore[call-overload]
        raise ModelError(f"{what} is no number", cut(repr(value)), "a finite number", "give one, such as 5.0")


def _called(f: Function, joint: Joint, where: str) -> object:
    """What f returns; what it raises as an error of ours, which ours are already."""
    try:
        return f(joint)
    except BuurtsaeError:
        raise
    except Exception as error:
        hint = "f gets draws (draws, areas) by measure, and `residents` and `codes` of the same areas"
        got = cut(f"{type(error).__name__}: {error} in {where}")
        raise ModelError("the indicator failed", got, "a function of joint draws", hint) from error


def _checked(values: object, draws: int, areas: int, where: str) -> Floats:
    """What f returned, as numbers."""
    expected = f"({draws}, {areas}) or ({draws},): draws first"
    try:
        found = np.ma.filled(values, np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (ValueError, TypeError):  # rows of different lengths; masked whole numbers
        found = np.array(None, dtype=object)
    if found.dtype.kind not in "biuf":
        hint = "return an array of numbers"
        raise ModelError("the indicator returns no numbers", cut(f"{type(values).__name__} in {where}"), expected, hint)
    if found.shape not in ((draws, areas), (draws,)):
        what, hint = (
            "the indicator returns another shape",
            "sum or average over axis 1, the areas; keep axis 0, the draws",
        )
        raise ModelError(what, f"{found.shape} in {where}", expected, hint)
    found = found.astype(float)
    if (bad := ~np.isfinite(found)).any():
        size = f"{int(bad.sum())} of {bad.size} figures in {where}"
        hint = "look for a division by 0, or the logarithm of a negative number"
        raise ModelError("the indicator returns missing or infinite figures", size, "a number in every draw", hint)
    return found


def _summary(values: Floats, above: float | None) -> dict[str, Floats]:
    columns = values.reshape(len(values), -1)
    lower, upper = np.quantile(columns, [0.025, 0.975], axis=0)
    found = {"estimate": columns.mean(axis=0), "sd": columns.std(axis=0, ddof=1), "lower": lower, "upper": upper}
    if above is not None:
        found["p_above"] = (columns > above).mean(axis=0) + 0.5 * (columns == above).mean(axis=0)
    return found


def share_below(measure: str, below: float, of: Literal["residents", "areas"] = "residents") -> Function:
    """Return the share, 0 to 1, of residents who live in an area below a cut, or of areas.

    Parameters
    ----------
    measure : str
    below : float
    of : {"residents", "areas"}

    Returns
    -------
    callable
        For `indicator`.

    Raises
    ------
    ModelError
        If `of` is something else, or the cut is no number.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> found = bs.indicator(voorbeeldstad(), bs.share_below("participatie", 5.0), within="gemeente")
    >>> bool(found["estimate"].between(0, 1).all())
    True
    """
    _finite(below, "the cut of a share")
    if not isinstance(of, str) or of not in ("residents", "areas"):
        raise ModelError("a share is of something else", cut(repr(of)), "residents or areas", "choose one")

    def f(x: Joint) -> Floats:
        weight = x.residents if of == "residents" else np.ones(len(x.codes))
        return np.asarray((x[measure] < below) @ (weight / weight.sum()))

    return f


def ratio(first: str, second: str) -> Function:
    """Return the ratio of two measures, per area; of scales with an arbitrary zero it says little.

    Parameters
    ----------
    first, second : str

    Returns
    -------
    callable
        For `indicator`.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> same = bs.indicator(voorbeeldstad(), bs.ratio("participatie", "participatie"), level="gemeente")
    >>> same["estimate"].tolist()
    [1.0, 1.0, 1.0]
    """
    return lambda x: x[first] / x[second]


def difference(first: str, second: str) -> Function:
    """Return the difference of two measures, per area: what both share cancels in every draw.

    Parameters
    ----------
    first, second : str

    Returns
    -------
    callable
        For `indicator`.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> f = bs.difference("participatie", "plaatsidentiteit")
    >>> bs.indicator(voorbeeldstad(), f, level="gemeente", above=-0.5)["p_above"].round(1).tolist()
    [0.0, 1.0, 1.0]
    """
    return lambda x: x[first] - x[second]


def inequality(measure: str, kind: Kind = "gini") -> Function:
    """Return how unequal areas are, each with the weight of its residents.

    Parameters
    ----------
    measure : str
    kind : {"gini", "theil", "sd", "p90_p10"}
        Gini's coefficient and Theil's T, of figures of 0 and more; the standard deviation; and the difference between
        the figures that 10% of residents live above and below.

    Returns
    -------
    callable
        For `indicator`.

    Raises
    ------
    ModelError
        If there is no such kind.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> bs.indicator(voorbeeldstad(), bs.inequality("participatie", "sd"))["areas"].tolist()
    [115]
    """
    if kind not in get_args(Kind):
        hint = "choose one of these"
        raise ModelError("there is no such measure of inequality", cut(repr(kind)), ", ".join(get_args(Kind)), hint)
    return lambda x: KINDS[kind](x[measure], x.residents / x.residents.sum())


def _gini(x: Floats, share: Floats) -> Floats:
    """sum_ij p_i p_j |x_i - x_j| / (2 mean), by ranks: 2 cov(x, F(x)) / mean, F the mid-distribution."""
    _positive(x)
    order = np.argsort(x, axis=1)
    weight = share[order]
    middle = np.cumsum(weight, axis=1) - weight / 2
    mean = x @ share
    return np.asarray(2 * (weight * np.take_along_axis(x, order, axis=1) * (middle - 0.5)).sum(axis=1) / mean)


def _theil(x: Floats, share: Floats) -> Floats:
    """sum_i p_i (x_i / mean) log(x_i / mean)."""
    _positive(x)
    relative = x / (x @ share)[:, None]
    return np.asarray((relative * np.log(np.where(relative > 0, relative, 1.0))) @ share)


def _sd(x: Floats, share: Floats) -> Floats:
    return np.asarray(np.sqrt((x - (x @ share)[:, None]) ** 2 @ share))


def _p90_p10(x: Floats, share: Floats) -> Floats:
    """Between the values at which shares of residents, counted from below, pass 0.9 and 0.1."""
    order = np.argsort(x, axis=1)
    upto = np.cumsum(share[order], axis=1) - 1e-12
    ends = [np.take_along_axis(x, order, axis=1)[np.arange(len(x)), (upto < p).sum(axis=1)] for p in (0.9, 0.1)]
    return np.asarray(ends[0] - ends[1])


def _positive(x: Floats) -> None:
    if (x < 0).any() or (x.sum(axis=1) <= 0).any():
        got = f"{int((x < 0).any(axis=1).sum())} of {len(x)} draws with figures below 0, or 0 in all areas"
        hint = 'use kind "sd" or "p90_p10"'
        raise ModelError("this inequality is of figures of 0 and more", got, "0 or more", hint)


KINDS: Mapping[Kind, Callable[[Floats, Floats], Floats]] = {
    "gini": _gini,
    "theil": _theil,
    "sd": _sd,
    "p90_p10": _p90_p10,
}
