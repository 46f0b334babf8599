r"""Counts per area beside trials or an exposure: what a binomial or Poisson model sees.

Beside it, for tables and figures, the direct estimates y / n of shares or rates, with the variance that one share p or
rate r of all areas would give them, p (1 - p) / n or r / n: an area without events has no variance of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.sparse import Floats
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates
from buurtsae.tables import as_number, boolean, plain

Beside = Literal["trials", "exposure"]


@dataclass(frozen=True, kw_only=True)
class AreaCounts(DirectEstimates):
    """Counts of events per area, of one or several measures, with the direct estimates that they make.

    Attributes
    ----------
    y : ndarray, shape (N, D)
        Counts, in the order of the areas; NaN where nothing was observed.
    size : ndarray, shape (N, D)
        What they are counted beside; NaN where nothing was observed.
    beside : {"trials", "exposure"}
    """

    y: Floats
    size: Floats
    beside: Beside

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        y: str | Sequence[str],
        *,
        trials: str | Sequence[str] | None = None,
        exposure: str | Sequence[str] | None = None,
        area: str,
        areas: Areas,
        year: int | None = None,
    ) -> AreaCounts:
        """Take counts from a table with a row per area.

        Parameters
        ----------
        frame : DataFrame
            Areas without a row, or with an empty count, were not observed.
        y : str or sequence of str
            Columns of the counts, each a measure.
        trials, exposure : str or sequence of str
            One of the two: among how many they were counted, for `Binomial`, or the expected number, persons or years,
            for `Poisson`. One column for all measures, or one each.
        area : str
            Column of the area codes.
        areas : Areas
        year : int, optional
            Of the counts; that of the areas by default.

        Raises
        ------
        DataError or ProblemsError
            Everything that is wrong with the table, at once: columns that are absent or no numbers; codes that are
            empty, unknown or there twice; counts without what they are beside. What a model cannot have, such as
            counts above their trials, `fit` refuses.
        """
        measures = [y] if isinstance(y, str) else list(y)
        beside, size = _beside(trials, exposure, len(measures))
        problems, table = Problems(), plain(pd.DataFrame(frame), "the frame", text=[area])
        if absent := [c for c in dict.fromkeys((area, *measures, *size)) if c not in table]:
            problems.add("the frame has no such columns", shown(absent), shown(table.columns, 10), "correct the names")
        if len(set(measures)) < len(measures) or not measures:
            problems.add("measures are given twice, or none", shown(measures), "each once", "correct `y`")
        problems.raise_if_any()
        codes = clean(table[area])
        if len(lost := np.flatnonzero(codes.isna() | (codes == ""))):
            problems.add("counts have no area code", f"rows {shown(lost)}", "a code in each row", "complete the column")
        if len(twice := codes[codes.duplicated()].dropna().unique()):
            problems.add("areas occur more than once", shown(twice), "one row per area", "add their counts up")
        if len(unknown := codes[~codes.isin(areas.codes) & codes.notna() & (codes != "")]):
            problems.add(
                "counts are of unknown areas", shown(unknown), shown(areas.codes), "correct or drop these rows"
            )
        numbers = {c: _numbers(table[c], c, problems) for c in dict.fromkeys((*measures, *size))}
        problems.raise_if_any()
        y_, n = (pd.DataFrame({k: numbers[c].to_numpy() for k, c in enumerate(names)}) for names in (measures, size))
        for k, (measure, of) in enumerate(zip(measures, size, strict=True)):
            if (lacking := y_[k].notna() & n[k].isna()).any():
                problems.add(f"counts of {cut(measure)} have no {beside}", shown(codes[lacking.to_numpy()]),
                             f"a number in {cut(of)}", "complete it, or empty the count: not observed")  # fmt: skip
            if y_[k].isna().all():
                problems.add(f"there are no counts of {cut(measure)}", "an empty column", "counts", "leave it out")
        problems.raise_if_any()
        y_, n = (t.set_axis(codes.astype(object)).reindex(areas.codes).to_numpy(dtype=float) for t in (y_, n))
        n = np.where(np.isfinite(y_), n, np.nan)
        source = _direct(y_, n, beside, areas.codes, areas.year if year is None else year)
        return cls(tuple(measures), (source,), areas, y=y_, size=n, beside=beside)

    def __repr__(self) -> str:
        n = int(np.isfinite(self.y).any(axis=1).sum())
        return f"AreaCounts of {shown(self.subdimensions)} beside {self.beside} in {n} of {len(self.y)} areas"


def _direct(y: Floats, size: Floats, beside: Beside, codes: pd.Index, year: int) -> SourceEstimates:
    """Shares or rates with pooled variances; persons are trials, or those to whom it happened."""
    seen = np.isfinite(y) & (size > 0)
    row = np.flatnonzero(seen.any(axis=1))
    y, n = (np.where(seen, x, 0.0)[row] for x in (y, size))
    level = (y.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1)  # never 0 or 1
    unit = level * (1 - level) if beside == "trials" else level
    inverse = np.divide(1.0, n, out=np.zeros_like(n), where=n > 0)
    persons = n if beside == "trials" else y
    return SourceEstimates(
        source="counts",
        year=year,
        codes=codes[row],
        mean=np.where(seen[row], y * inverse, np.nan),
        variance=(unit * inverse)[:, :, None] * np.eye(y.shape[1]),
        respondents=np.round(persons).astype(np.int64),
        n_effective=persons,
    )


def _beside(
    trials: str | Sequence[str] | None, exposure: str | Sequence[str] | None, measures: int
) -> tuple[Beside, list[str]]:
    """Which of the two there is, and its column for each measure."""
    if (trials is None) == (exposure is None):
        got = "neither" if trials is None else "both"
        hint = "trials for a binomial model, exposure for a Poisson one"
        raise DataError("counts need trials or an exposure", got, "one of the two", hint)
    names = trials if trials is not None else exposure
    assert names is not None  # as was just checked
    columns = [names] * measures if isinstance(names, str) else list(names)
    if len(columns) != measures:
        got, expected = f"{len(columns)} columns", f"one, or {measures}: as many as measures"
        raise DataError("trials or exposures do not match the counts", got, expected, "give one for each measure")
    return "exposure" if trials is None else "trials", columns


def _numbers(column: pd.Series, name: str, problems: Problems) -> pd.Series:
    """A column as numbers; what is none is a problem."""
    try:
        if boolean(column):
            raise ValueError("true and false")
        return as_number(column)
    except (ValueError, TypeError) as error:
        problems.add(f"column {cut(name)} is no number", cut(error, 200), "numbers", "correct it, or name another")
        return pd.Series(np.nan, index=column.index)
