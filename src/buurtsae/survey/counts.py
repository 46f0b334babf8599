r"""Counts per area beside trials or an exposure: what a binomial or Poisson model sees.

Beside them are the direct estimates y / n of shares or rates, with the variance that one share p or rate r of all areas
would give them, p (1 - p) / n or r / n: an area without events has no variance of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.scale import Scale
from buurtsae.sparse import Floats
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.frames import by_code, left_out
from buurtsae.survey.source_estimates import SourceEstimates

Beside = Literal["trials", "exposure"]
Names = str | Sequence[str]


@dataclass(frozen=True, kw_only=True, repr=False)
class AreaCounts(DirectEstimates):
    """Counts of events per area, of one or several measures, with the direct estimates that they make.

    Attributes
    ----------
    subdimensions : tuple of str
        The measures: D columns.
    sources, scores, years, counted, scale, anchors, panels
        As of any direct estimates: one source, of shares or rates, without respondents.
    scale : Scale
        Without effect: the outcome of a model of counts has its own.
    areas : Areas
    notes : tuple of Note
        What was left out, and why.
    y : ndarray, shape (N, D)
        Counts, in the order of the areas; NaN where nothing was observed.
    size : ndarray, shape (N, D)
        What they are counted beside; NaN where nothing was observed.
    beside : {"trials", "exposure"}
    scale : Scale
        Of shares, or of rates.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"fips": [1, 3, 5], "deaths": [2, None, 0], "births": [310, 255, 98]})
    >>> AreaCounts.from_frame(table, y="deaths", trials="births", area="fips").y.ravel()
    array([ 2., nan,  0.])
    """

    y: Floats
    size: Floats
    beside: Beside

    @classmethod
    def from_frame(  # type: ignore[override]
        cls,
        frame: pd.DataFrame,
        *,
        y: Names,
        trials: Names | None = None,
        exposure: Names | None = None,
        area: str,
        areas: Areas | None = None,
        year: int = 0,
    ) -> AreaCounts:
        """Start from a table of counts, of any areas.

        Parameters
        ----------
        frame : DataFrame, one row per area
            Its other numeric columns are covariates. It is not changed.
        y : str or sequence of str
            Columns of the counts, each a measure. A missing count was not observed.
        trials, exposure : str or sequence of str
            One of the two: among how many they were counted, for `Binomial`, or the expected number, persons or years,
            for `Poisson`. One column for all measures, or one each.
        area : str
            Column of the codes.
        areas : Areas, optional
            With levels, residents or geometry, where there are; their columns are the covariates then, and the frame
            may lack areas. By default ``Areas.from_frame(frame, code=area)``.
        year : int
            Year of the counts; 0 where it does not matter.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong with the table, at once: columns that are absent or no numbers; codes that are
            unknown or there twice; counts without what they are beside. What a model cannot have, such as counts above
            their trials, `fit` refuses.

        Examples
        --------
        >>> table = pd.DataFrame({"fips": [1, 3, 5], "deaths": [2, None, 0], "births": [310, 255, 98]})
        >>> AreaCounts.from_frame(table, y="deaths", trials="births", area="fips")
        AreaCounts of deaths beside trials: 2 of 3 areas
        """
        problems, measures = Problems(), [y] if isinstance(y, str) else list(y)
        beside, sizes = _beside(trials, exposure, len(measures))
        figures = list(dict.fromkeys((*measures, *sizes)))
        if area not in frame and area in frame.index.names:
            frame = frame.reset_index(level=area)
        if absent := [name for name in (area, *figures) if name not in frame]:
            problems.add("the frame has no such columns", shown(absent), shown(frame.columns, 10), "correct the names")
        if len(set(measures)) < len(measures) or not measures or set(measures) & set(sizes):
            names = f"y {shown(measures)}; {beside} {shown(sizes)}"
            problems.add("columns of counts are given twice, or none", names, "a column each", "correct `y`")
        problems.raise_if_any()
        table, areas = by_code(frame, area, figures, areas, year, problems)
        problems.raise_if_any()
        assert areas is not None
        for measure, of in zip(measures, sizes, strict=True):
            if len(lacking := table.index[table[measure].notna() & table[of].isna()]):
                hint = "complete it, or empty the count: not observed"
                problems.add(f"counts of {cut(measure)} have no {beside}", shown(lacking), "a number each", hint)
        if none := [measure for measure in measures if table[measure].isna().all()]:
            problems.add("measures have no count at all", shown(none), "a count in some areas", "leave them out")
        problems.raise_if_any()
        notes = left_out(list(table.index[table[measures].notna().any(axis=1)]), areas)
        table = table.reindex(areas.codes)
        counted, size = (table[list(names)].to_numpy(dtype=float) for names in (measures, sizes))
        seen = np.isfinite(counted) & areas.inhabited[:, None]
        counted, size = (np.where(seen, values, np.nan) for values in (counted, size))
        source = _direct(counted, size, beside, areas, year)
        scale = Scale(0.0, 1.0 if beside == "trials" else np.inf)
        return cls(
            tuple(measures), (source,), areas, notes=tuple(notes), scale=scale, y=counted, size=size, beside=beside
        )

    def __repr__(self) -> str:
        seen, noun = int(np.isfinite(self.y).any(axis=1).sum()), self.areas.noun
        return f"AreaCounts of {shown(self.subdimensions)} beside {self.beside}: {seen} of {len(self.y)} {noun}"


def _direct(y: Floats, size: Floats, beside: Beside, areas: Areas, year: int) -> SourceEstimates:
    """Shares or rates with pooled variances; persons are trials, or those to whom it happened."""
    seen = size > 0
    row = np.flatnonzero(seen.any(axis=1))
    y, n = (np.where(seen, values, 0.0)[row] for values in (y, size))
    level = (y.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1)  # never 0 or 1
    unit = level * (1 - level) if beside == "trials" else level
    inverse = np.divide(1.0, n, out=np.zeros_like(n), where=n > 0)
    persons = n if beside == "trials" else y
    return SourceEstimates(
        source="counts",
        year=year,
        codes=areas.codes[row],
        mean=np.where(seen[row], y * inverse, np.nan),
        variance=(unit * inverse)[:, :, None] * np.eye(y.shape[1]),
        respondents=np.round(persons).astype(np.int64),
        n_effective=persons,
        level=areas.base,
    )


def _beside(trials: Names | None, exposure: Names | None, measures: int) -> tuple[Beside, list[str]]:
    """Which of the two there is, and its column for each measure."""
    names = trials if exposure is None else exposure if trials is None else None
    if names is None:
        number = "neither" if trials is None else "both"
        hint = "trials for a binomial model, exposure for a Poisson one"
        raise DataError("counts need trials or an exposure", number, "one of the two", hint)
    columns = [names] * measures if isinstance(names, str) else list(names)
    if len(columns) != measures:
        number, expected = f"{len(columns)} columns", f"one, or {measures}: as many as measures"
        raise DataError("trials or exposures do not match the counts", number, expected, "give one for each measure")
    return "exposure" if trials is None else "trials", columns
