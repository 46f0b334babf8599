r"""Breaks in a series: from a year on a source reads a measure b higher, by a redesign or another mode of asking.

    y_[s,a,t] = c + alpha_s + b_s 1(t >= year) + lambda_s (eta_at - c) + tau_s w + e,

also of the reference, whose alpha is 0 and lambda 1. b ~ N(mean, sd) of a parallel run, or one that says nothing beside
the data, sd `WIDE` times that of the intercept's prior. What data tell of levels is, per measure, the rank of [years,
alphas, breaks] over the pairs of a source and a year that were observed: with N a basis of the null space, a column
with a row of N that is not 0 is told by its prior only. A break without prior must be told by the data.

References
----------
Van den Brakel, J., Zhang, X. and Tam, S.-M. (2020). Measuring discontinuities in time series obtained with repeated
sample surveys. International Statistical Review 88.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.model.links import Linked, Offset
from buurtsae.model.priors import Normal
from buurtsae.notes import Note
from buurtsae.ranges import check_ranges
from buurtsae.sparse import Floats

WIDE = 5.0  # times the sd of the intercept's prior: a break told to 0.1 on 0-10 then moves by 1e-4 of itself
ZERO = 1e-9  # of a null space over some tens of years and sources


@dataclass(frozen=True)
class Break:
    """A source that reads its measures higher or lower from a year on, by as much everywhere.

    Parameters
    ----------
    source : str
    year : int
        The first that is read otherwise.
    measures : sequence of str, optional
        Those that changed; all of the source by default.
    prior : Normal, optional
        Of how much higher, on the scale of the scores: the mean and standard error of a parallel run, or what is
        thought possible. Without it the data must tell, through another source that has years before and after.

    Raises
    ------
    ModelError
        On a prior or a year of another kind.

    Examples
    --------
    >>> from buurtsae import Normal
    >>> Break("veiligheidsmonitor", 2021, prior=Normal(-0.2, 0.1))
    Break(source='veiligheidsmonitor', year=2021, measures=None, prior=Normal(mean=-0.2, sd=0.1))
    """

    source: str
    year: Annotated[int, Interval(ge=1, le=9999)]
    measures: tuple[str, ...] | None = None
    prior: Normal | None = None

    def __post_init__(self) -> None:
        if isinstance(self.measures, list):
            object.__setattr__(self, "measures", tuple(self.measures))
        check_ranges(self, "break:")
        if self.measures == ():
            hint = "name some, or leave `measures` out: then it is of all of the source"
            raise ModelError(f"the break in {cut(self.source)} is of no measure", "none", "one or more", hint)

    @property
    def words(self) -> Note:
        """What it is, in a line of the model."""
        return Note(
            "  break in {source} from {year} on ({measures}): {prior}",
            "  breuk in {source} vanaf {year} ({measures}): {prior}",
            source=self.source,
            year=self.year,
            measures=Note("all measures", "alle maten") if self.measures is None else list(self.measures),
            prior=self.prior or Note("what the data tell", "wat de gegevens ervan zeggen"),
        )


@dataclass(frozen=True)
class Laid:
    """An offset, what it is in words, and whether its prior is one that the user gave of it."""

    offset: Offset
    what: Note
    own: bool = False


@dataclass(frozen=True)
class Series:
    """Who was observed when: rows S, and columns of T years x D measures.

    Attributes
    ----------
    sources, measures : tuple of str
    years : tuple of int
    informs : ndarray of bool, shape (S, T, D)
        What is told of scores; not what is counted.
    links : tuple of Linked
    """

    sources: tuple[str, ...]
    measures: tuple[str, ...]
    years: tuple[int, ...]
    informs: NDArray[np.bool_]
    links: tuple[Linked, ...]

    def columns(self, s: int, d: int, since: int) -> tuple[int, ...]:
        """Columns of a measure of a source, from a year on."""
        own = [int(t) for t in np.flatnonzero(self.informs[s, :, d])]
        return tuple(t * len(self.measures) + d for t in own if self.years[t] >= since)


def breaks_of(
    breaks: Sequence[Break], series: Series | None, sd: Sequence[float]
) -> tuple[tuple[Offset, ...], list[Note]]:
    """Return breaks as offsets, and notes on levels that only priors tell.

    Parameters
    ----------
    breaks : sequence of Break
    series : Series, optional
        None of one period.
    sd : sequence of float
        Of the intercept's prior, per measure.

    Raises
    ------
    ModelError or ProblemsError
        If breaks cannot be, or cannot be told apart from what years changed.
    """
    problems = Problems()
    if series is None:
        if breaks:
            got, expected, hint = (
                "one period",
                "direct estimates of several years",
                "direct.by_year() has columns of each",
            )
            problems.add("breaks are between years", got, expected, hint, ModelError)
        problems.raise_if_any()
        return (), []
    offsets = laid(breaks, series, sd, problems)
    problems.raise_if_any()
    notes = identified(offsets, series, problems)
    problems.raise_if_any()
    return tuple(one.offset for one in offsets), notes


def laid(breaks: Sequence[Break], series: Series, sd: Sequence[float], problems: Problems) -> list[Laid]:
    """Return an offset per break and measure; record those that cannot be."""
    offsets = list[Laid]()
    for one in breaks:
        name = f"break in {one.source} {one.year}"
        if one.source not in series.sources:
            hint = "name a source of the direct estimates"
            problems.add(f"the {name} is of an unknown source", one.source, shown(series.sources), hint, ModelError)
            continue
        s = series.sources.index(one.source)
        own = series.informs[s].any(axis=0)
        known = [name for name, there in zip(series.measures, own, strict=True) if there]
        if unknown := [m for m in one.measures or () if m not in known]:
            hint = "breaks are of scores that the source informs; leave `measures` out for all"
            problems.add(f"the {name} is of unknown measures", shown(unknown), shown(known) or "none", hint, ModelError)
            continue
        for measure in known if one.measures is None else one.measures:
            d = series.measures.index(measure)
            columns, all_of = series.columns(s, d, one.year), series.columns(s, d, min(series.years))
            label = f"{one.source}: {measure}, from {one.year}"
            if not columns or columns == all_of:
                of = [series.years[t] for t in np.flatnonzero(series.informs[s, :, d])]
                hint = "a break is in the first year that is read otherwise, after others of the source"
                problems.add(f"the {name} has no years on both sides", f"{measure} in {shown(of)}",
                             f"years before {one.year}, and from it on", hint, ModelError)  # fmt: skip
                break
            if label in {made.offset.label for made in offsets}:
                problems.add(f"the {name} is given twice", measure, "once", "leave one out", ModelError)
                break
            prior = one.prior or Normal(0.0, WIDE * float(sd[d]))
            what = Note(
                "the break in {source} from {year} on",
                "de breuk in {source} vanaf {year}",
                source=one.source,
                year=one.year,
            )
            offsets.append(Laid(Offset(label, s, columns, prior), what, one.prior is not None))
    return offsets


def identified(laid: Sequence[Laid], series: Series, problems: Problems) -> list[Note]:
    """Record breaks without prior that data do not tell from years; return notes on levels that rest on a prior."""
    refused: dict[tuple[Note, str], list[str]] = {}
    resting: dict[tuple[Note, str, str], list[str]] = {}
    for d, measure in enumerate(series.measures):
        levels = [
            Laid(Offset(link.label, link.source, link.columns, link.priors.offset), _level(series.sources[link.source]))
            for link in series.links
            if link.measure == d
        ]
        breaks = [one for one in laid if one.offset.columns[0] % len(series.measures) == d]
        free, with_prior = [[one for one in breaks if one.own is own] for own in (False, True)]
        for k, years in _untold(series, d, [*levels, *free]):
            one = [*levels, *free][k]
            if k >= len(levels):
                refused.setdefault((one.what, shown(years)), []).append(measure)
            else:
                resting.setdefault((one.what, shown(years), str(one.offset.prior)), []).append(measure)
        first = len(levels) + len(free)
        for k, years in _untold(series, d, [*levels, *free, *with_prior]):
            if k >= first:
                one = with_prior[k - first]
                resting.setdefault((one.what, shown(years), str(one.offset.prior)), []).append(measure)
    for (what, of), measures in refused.items():
        got, hint = f"the same as what changed in {of}", "give the mean and standard error of a parallel run as `prior`"
        expected = "another source before and after, or a prior"
        problems.add(f"data do not tell {what} ({shown(measures)})", got, expected, hint, ModelError)
    return [
        Note(
            "the data do not tell {what} from what changed in {years}: the change of {measures} then rests on the "
            "prior of that difference, {prior}",
            "de gegevens onderscheiden {what} niet van wat veranderde in {years}: de verandering van {measures} "
            "berust dan op de prior van dat verschil, {prior}",
            what=what, years=years, measures=measures, prior=prior,
        )
        for (what, years, prior), measures in resting.items()
    ]  # fmt: skip


def _level(source: str) -> Note:
    """The level of a source."""
    return Note("the level of {source}", "het niveau van {source}", source=source)


def _untold(series: Series, d: int, laid: Sequence[Laid]) -> list[tuple[int, tuple[int, ...]]]:
    """Offsets of a measure that the data do not tell from years, and from which."""
    pairs, offsets = np.argwhere(series.informs[:, :, d]), [one.offset for one in laid]
    x = np.zeros((len(pairs), len(series.years) + len(offsets)))
    for row, (s, t) in zip(x, pairs, strict=True):
        row[t] = 1.0
        for k, offset in enumerate(offsets):
            row[len(series.years) + k] = offset.source == s and t * len(series.measures) + d in offset.columns
    seen = np.asarray(x[:, : len(series.years)]).any(axis=0)
    null = _null(x)
    found = []
    for k in range(len(offsets)):
        own = null[len(series.years) + k]
        if np.abs(own).max(initial=0.0) > ZERO:
            with_it = np.abs(null[: len(series.years)] @ own)  # of the direction in which this one moves
            years = [series.years[t] for t in np.flatnonzero(seen & (with_it > ZERO))]
            found.append((k, tuple(years)))
    return found


def _null(x: Floats) -> Floats:
    """An orthonormal basis of the null space, columns; of columns that are not all 0."""
    used = x.any(axis=0)
    _, size, v = np.linalg.svd(x[:, used])
    rank = int((size > ZERO * max(size.max(initial=0.0), 1.0)).sum())
    basis = np.zeros((x.shape[1], len(v) - rank))
    basis[used] = v[rank:].T
    return basis
