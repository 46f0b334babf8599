r"""The one gatekeeper: which figures of a run may leave it, in any file.

A figure is hidden by rule (few residents; few respondents, or nearly all alike, for a direct estimate) or because it
would give away what is (`disclosure`). Whatever is written or shown about areas is computed from open figures, and a
number about several areas (a median, a residual sum) only

* from the open ones, where fewer than `SEVERAL` others are hidden among them: the difference would tell;
* from `FEW` figures or more, and rounded, where it is one of them, as a median is.

Direct estimates and their errors have two decimals (on 0-10): scores of persons lie on a grid, and in all its digits a
mean tells which of them occurred.

So of two worlds that differ in hidden scores only, and not in the published sums of these, all files are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.estimates.disclosure.suppression import Cells, Hidden, Key, suppress, thin
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.measured import scales_of
from buurtsae.scale import Scale
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

SEVERAL, FEW = 3, 10
ATTACKED = 1000  # draws on which the width of what can be computed is measured: as many as `draws.nc` has
MARGIN = 0.1  # tenths of the scale: three Monte Carlo errors of that for other draws, of a width with sd 1


@dataclass(frozen=True)
class Release:
    """What may leave.

    Attributes
    ----------
    estimates : Hidden
        Areas of which no estimate is published.
    few : frozenset of (level, area_code)
        Areas whose direct estimates rest on few respondents, or on answers that are nearly all alike.
    direct : frozenset of (level, area_code)
        Areas of which no direct estimate is published: those of `few` and `estimates` among them.
    errors : frozenset of (level, area_code)
        Areas whose direct estimate has no published standard error: those of `direct` among them.
    partial : frozenset of (level, area_code)
        Areas of which the run holds a part: they have no row.
    parts : mapping of (level, area_code) to set of (level, area_code)
        Areas of other editions that something was observed of, and the areas that they hold a part of.
    """

    estimates: Hidden
    few: frozenset[Key]
    direct: frozenset[Key]
    errors: frozenset[Key]
    partial: frozenset[Key] = frozenset()
    parts: Mapping[Key, frozenset[Key]] = field(default_factory=dict)

    def __repr__(self) -> str:
        hidden = f"{len(self.estimates.keys)} areas without estimate, {len(self.direct)} without direct estimate"
        return f"Release: {hidden}, {len(self.errors)} without its standard error"

    @classmethod
    def of(cls, fit: Fit, draws: Draws, rules: Rules, public: Iterable[Key] = ()) -> Release:
        """Return what the rules, and the protection of what they hide, leave open.

        Draws are those that are published: of the fit, or made to agree with benchmarks; public are areas whose figures
        are known whatever is hidden: benchmarks without error.
        """
        scales = tuple(scales_of(draws.outcome, draws.subdimensions).values())
        protection = rules.protection + MARGIN * (rules.protection > 0)
        drawn = draws.scores(np.s_[:: max(1, len(draws.flat) // ATTACKED)])
        cells = Cells.of_areas(fit.areas, drawn, draws.subdimensions, public, scales)
        ruled = {
            (level, str(code))
            for level in fit.areas.levels
            for code, residents in fit.areas.residents(level).items()
            if 0 < residents < rules.min_residents
        }
        estimates, few = suppress(cells, ruled, protection), too_few(fit, rules)
        partial = frozenset((level, code) for level, codes in fit.areas.partial.items() for code in codes)
        direct, errors = _direct(fit, few | estimates.ruled, protection, estimates.keys)
        if fit.of_domain:  # those of all residents less those of some domains are those of others
            direct = errors = frozenset(
                (level, str(code)) for level in fit.areas.levels for code in fit.areas.at(level)
            )
        parts = {
            (level, str(label)): frozenset((fit.areas.base, str(code)) for code in fit.areas.codes[held])
            for level, of in fit.areas.editions.items()
            for label, held in zip(of.labels, np.split(of.shares.indices, of.shares.indptr[1:-1]), strict=True)
        }
        return cls(estimates, few, direct, errors, partial, parts)

    @cached_property
    def _hidden(self) -> frozenset[Key]:
        """Areas without estimate, and those of other editions that hold a part of one."""
        return self.estimates.keys | {key for key, held in self.parts.items() if held & self.estimates.keys}

    def open(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of a table, by `level` and `area_code`, have an estimate that may be published."""
        return ~_within(table, self._hidden)

    def partly(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of a table, by `level` and `area_code`, the run holds a part of."""
        return _within(table, self.partial)

    def open_direct(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return of which rows the direct estimate may be published."""
        return ~_within(table, self.direct)

    def open_errors(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return of which rows the standard error of the direct estimate may be published."""
        return ~_within(table, self.errors)

    def open_of_sources(self, table: pd.DataFrame, direct: DirectEstimates) -> NDArray[np.bool_]:
        """Return which rows, by `source`, `area_code` and `measure`, tell no more than a published direct estimate.

        Those of the reference source of a sub-dimension, where it is open: no other is published, and of areas of
        another edition only those that are areas of this one.
        """
        named = list(zip(direct.labels, direct.sources, strict=True))
        of = {name: named[s] for name, s in zip(direct.subdimensions, direct.reference, strict=True)}
        keys = _keys(table, "source", "area_code", "measure")
        base, own = direct.areas.base, frozenset(direct.areas.codes)
        shut = {(level, c) for level in direct.areas.editions for b, c in self.direct if b == base} | self.direct
        opened = [
            s == label
            and (source.level, code) not in shut
            and (source.level not in direct.areas.editions or code in own)
            for s, code, (label, source) in ((s, code, of[name]) for s, code, name in keys)
        ]
        return np.array(opened, dtype=bool)

    def counted(self, table: pd.DataFrame, direct: DirectEstimates) -> NDArray[np.bool_]:
        """Return which rows, as of `open_of_sources`, may go into one number about all of them."""
        level = {label: source.level for label, source in zip(direct.labels, direct.sources, strict=True)}
        shown = self.open(table.assign(level=table["source"].map(level)))
        return shown & countable(self.open_of_sources(table, direct) | ~shown)

    def shown(self, level: str, codes: Iterable[str]) -> NDArray[np.bool_]:
        """Return which areas of a level have an estimate that may be published."""
        hidden = self.estimates.keys | self.partial
        return np.array([(level, str(code)) not in hidden for code in codes], dtype=bool)

    def shown_direct(self, level: str, codes: Iterable[str]) -> NDArray[np.bool_]:
        """Return of which areas of a level the direct estimate may be published."""
        return np.array([(level, str(code)) not in self.direct for code in codes], dtype=bool)


@dataclass(frozen=True)
class Releases:
    """What may leave of each year of a fit of several: rows of a table are of their `year`.

    Attributes
    ----------
    of : mapping of int to Release
        By year.
    """

    of: Mapping[int, Release]

    def open(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows, by `level` and `area_code`, have an estimate that may be published."""
        return self._each(table, lambda year, rows: self.of[year].open(rows))

    def open_of_sources(self, table: pd.DataFrame, direct: DirectEstimates) -> NDArray[np.bool_]:
        """Return which rows tell no more than a published direct estimate, of those of all years (`Release`)."""

        def opened(year: int, rows: pd.DataFrame) -> NDArray[np.bool_]:
            own = direct.of_year(year)
            among = (label for label, source in zip(direct.labels, direct.sources, strict=True) if source.year == year)
            names = dict(zip(among, own.labels, strict=True))  # without the year
            return self.of[year].open_of_sources(rows.assign(source=rows["source"].map(names)), own)

        return self._each(table, opened)

    def counted(self, table: pd.DataFrame, direct: DirectEstimates) -> NDArray[np.bool_]:
        """Return which rows may go into one number about all of them."""
        level = {label: source.level for label, source in zip(direct.labels, direct.sources, strict=True)}
        shown = self.open(table.assign(level=table["source"].map(level)))
        return shown & countable(self.open_of_sources(table, direct) | ~shown)

    def shown(self, level: str, codes: Iterable[str]) -> NDArray[np.bool_]:
        """Return which areas of a level have an estimate that may be published in every year."""
        codes = list(codes)
        return np.all([release.shown(level, codes) for release in self.of.values()], axis=0)

    def shown_direct(self, level: str, codes: Iterable[str]) -> NDArray[np.bool_]:
        """Return of which areas of a level the direct estimate of every year may be published."""
        codes = list(codes)
        return np.all([release.shown_direct(level, codes) for release in self.of.values()], axis=0)

    @staticmethod
    def _each(table: pd.DataFrame, of: Callable[[int, pd.DataFrame], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        found = np.zeros(len(table), dtype=bool)
        for year, place in table.groupby("year").indices.items():
            found[place] = of(int(year), table.iloc[place])
        return found


def direct_decimals(scale: Scale) -> int:
    """Return the decimals of a direct estimate: one more than a figure that is shown."""
    return scale.digits + 1


def _within(table: pd.DataFrame, keys: frozenset[Key]) -> NDArray[np.bool_]:
    return np.array([key in keys for key in _keys(table, "level", "area_code")], dtype=bool)


def _keys(table: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows of columns of text, whose values pandas would otherwise look up one at a time."""
    return zip(*(table[column].to_numpy(dtype=object) for column in columns), strict=True)


def countable(shown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of several figures may go into one number about them: all, unless one or two are hidden."""
    hidden = int((~shown).sum())
    return np.ones_like(shown) if hidden == 0 or hidden >= SEVERAL else shown


def _direct(
    fit: Fit, secret: frozenset[Key], protection: float, hidden: frozenset[Key]
) -> tuple[frozenset[Key], frozenset[Key]]:
    """Areas without a published direct estimate, and without its standard error."""
    keys = secret | hidden
    if not fit.direct.scores or not protection:  # of a table there are direct estimates of one level only
        return keys, keys
    scales = scales_of(fit.model.outcome, fit.direct.subdimensions)
    sources = [Cells.of_direct(fit.direct, int(source), scales) for source in np.unique(fit.direct.reference)]
    before: frozenset[Key] = frozenset()
    while keys != before:  # what protects the estimates of one source may take those of another along
        before = keys
        for cells in sources:
            keys |= suppress(cells, secret, protection, keys).keys
    return keys, keys.union(*(thin(cells, keys, secret) for cells in sources))


def too_few(fit: Fit, rules: Rules) -> frozenset[Key]:
    """Return areas whose direct estimates rest on few respondents, or on answers that are nearly all alike.

    All measures of an area together: one is a mean of others. What counts is the respondents of the reference source,
    on which a direct estimate rests. A share beside their number is a count of yes and of no: it is hidden where either
    is small, not where one is a large part, or a share of 4% of a thousand respondents would be.
    """
    few: set[Key] = set()
    names_of = [np.array(fit.direct.subdimensions)[fit.direct.reference == s] for s in range(len(fit.direct.scores))]
    for level in (*fit.areas.levels, *fit.areas.editions):
        totals, labels = fit.direct.totals(level), fit.areas.at(level)
        count = totals[totals["direct"].notna()].groupby("area_code")["n_direct"].min()
        few |= {(level, str(code)) for code in count.index[count < rules.min_direct]}
        for names, scores in zip(names_of, fit.direct.scores, strict=True):
            area = fit.direct.domain(level, scores.level, scores.frame["area_code"])
            two = yes_or_no(scores.frame, names)
            alike = unanimous(scores.frame, names, area, len(labels)) > rules.max_share
            seldom = rarest(scores.frame, names, area, len(labels)) < rules.min_answers
            few |= {(level, str(code)) for code in labels[np.where(two, seldom, alike).any(axis=1)]}
    for source in fit.direct.sources if not fit.direct.scores else ():
        for number, hidden in ((source.rarest, np.less), (source.alike, np.greater)):
            if number is not None:
                limit = rules.min_answers if number is source.rarest else rules.max_share
                few |= {(source.level, str(code)) for code in source.codes[hidden(number, limit).any(axis=1)]}
    if isinstance(fit.direct, AreaCounts) and fit.direct.beside == "trials":
        y, size = fit.direct.y, fit.direct.size
        seldom = (np.minimum(y, size - y) < rules.min_answers) & (size > 0)
        few |= {(fit.areas.base, str(code)) for code in fit.areas.codes[seldom.any(axis=1)]}
    return frozenset(few)


def yes_or_no(frame: pd.DataFrame, subdimensions: Sequence[str]) -> NDArray[np.bool_]:
    """Return of which sub-dimensions all respondents of a source have one of two values, as of a share, shape (D,)."""
    return np.array([frame[name].round(9).nunique() == 2 for name in subdimensions], dtype=bool)


def rarest(frame: pd.DataFrame, subdimensions: Sequence[str], area: Ints, n: int) -> Floats:
    """Return how many respondents gave the rarer of two answers, shape (n, D); infinite without respondents.

    Of what has other than two answers it means nothing.
    """
    number = np.full((n, len(subdimensions)), np.inf)
    for column, name in enumerate(subdimensions):
        value = frame[name].to_numpy(dtype=float)
        seen = np.isfinite(value) & (area >= 0)
        high = value > (np.nanmin(value) + np.nanmax(value)) / 2 if seen.any() else seen
        yes, all_of = np.bincount(area[seen & high], minlength=n), np.bincount(area[seen], minlength=n)
        number[:, column] = np.where(all_of > 0, np.minimum(yes, all_of - yes), np.inf)
    return number


def unanimous(frame: pd.DataFrame, subdimensions: Sequence[str], area: Ints, n: int) -> Floats:
    """Return the largest share of respondents with one and the same score, shape (n, D); 0 without respondents.

    A frame with a row per respondent, `area` the position of each one's area among n, -1 to leave out.
    """
    share = np.zeros((n, len(subdimensions)))
    for column, name in enumerate(subdimensions):
        seen = frame[name].notna().to_numpy() & (area >= 0)
        counts = pd.DataFrame({"area_code": area[seen], "score": frame[name].to_numpy()[seen].round(9)}).value_counts()
        most, all_of = counts.groupby("area_code").max(), counts.groupby("area_code").sum()
        share[most.index, column] = most / all_of
    return share
