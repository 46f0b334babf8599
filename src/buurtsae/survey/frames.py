"""Direct estimates from a table in memory: columns of figures and of their sampling variances, a row per area.

Nothing is smoothed: the variances are what the model gets. A missing figure is no estimate there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.areas.columns import numbers
from buurtsae.errors import Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.source_estimates import SourceEstimates

SOURCE = "direct"  # the name of the one source
Names = Sequence[str]
Pairs = Mapping[tuple[str, str], str]


def read_frame(
    frame: pd.DataFrame, y: Names, variance: Names, area: str, areas: Areas | None, covariance: Pairs, year: int
) -> tuple[SourceEstimates, Areas, list[Note]]:
    """Return the estimates of the measures `y`, the areas, and notes; see `DirectEstimates.from_frame`."""
    problems, notes = Problems(), list[Note]()
    if area not in frame and area in frame.index.names:
        frame = frame.reset_index(level=area)
    figures = [*y, *variance, *covariance.values()]
    if absent := [name for name in (area, *figures) if name not in frame]:
        problems.add("the frame has no such columns", shown(absent), shown(frame.columns, 10), "correct the names")
    if len(set(figures)) < len(figures) or len(y) != len(variance) or not y:
        what, names = "columns of figures and variances do not go together", f"y {shown(y)}; variance {shown(variance)}"
        problems.add(what, names, "a variance per figure, each column once", "name as many, in the same order")
    if unknown := [pair for pair in covariance if len(set(pair)) != 2 or not set(pair) <= set(y)]:
        pairs = shown(" and ".join(pair) for pair in unknown)
        problems.add("covariances are of unknown pairs", pairs, f"two of {shown(y)}", "correct `covariance`")
    problems.raise_if_any()
    table, areas = by_code(frame, area, figures, areas, year, problems)
    if len(table.columns) < len(figures):
        problems.raise_if_any()
    mean = table[list(y)].to_numpy()
    observed = np.isfinite(mean)
    v = _covariances(table, y, variance, covariance, problems)
    if none := [measure for measure, some in zip(y, observed.any(axis=0), strict=True) if not some]:
        problems.add("measures have no estimate at all", shown(none), "a figure in some areas", "leave them out")
    problems.raise_if_any()
    assert areas is not None
    row = areas.inhabited_at(areas.base).get_indexer(table.index)
    kept = np.flatnonzero(observed.any(axis=1) & (row >= 0))
    kept = kept[np.argsort(row[kept])]
    notes += left_out(list(table.index[observed.any(axis=1)]), areas)
    if len(y) > 1 and not covariance:
        notes.append(Note(
            "no covariances were given: sampling errors taken as uncorrelated",
            "zonder covarianties: steekproeffouten gelden als ongecorreleerd",
        ))  # fmt: skip
    seen = observed[kept]
    pair = seen[:, :, None] & seen[:, None, :]
    codes = pd.Index(table.index[kept], name="area_code")
    v = np.where(pair, np.nan_to_num(v[kept]), 0.0)
    one = seen.astype(np.int64), seen.astype(float)
    source = SourceEstimates(SOURCE, year, codes, mean[kept], v, *one, level=areas.base)
    return source, areas, notes


def left_out(codes: Sequence[str], areas: Areas) -> list[Note]:
    """Return a note on figures of areas without residents, which have no place in a model."""
    lost = sorted(set(codes) - set(areas.inhabited_at(areas.base)))
    note = Note(
        "{n} estimates left out: areas without residents ({codes})",
        "{n} schattingen weggelaten: gebieden zonder inwoners ({codes})",
        n=len(lost), codes=lost,
    )  # fmt: skip
    return [note] if lost else []


def by_code(
    frame: pd.DataFrame, area: str, figures: Sequence[str], areas: Areas | None, year: int, problems: Problems
) -> tuple[pd.DataFrame, Areas | None]:
    """Return the columns of figures that are numbers, by code, and the areas: by default those of the frame."""
    codes = clean(frame[area])
    if areas is None:
        areas = problems.attempt(Areas.from_frame, frame.drop(columns=list(figures)), code=area, year=year)
    else:
        check_codes(codes, areas, problems)
    columns = {name: numbers(frame[name], f"{cut(name)} is no number", problems, secret=-np.inf) for name in figures}
    known = {name: column for name, column in columns.items() if column is not None}
    return pd.DataFrame(known, index=frame.index).set_axis(codes.fillna("").astype(object)), areas


def check_codes(codes: pd.Series, areas: Areas, problems: Problems) -> None:
    """Each row is of one of the areas, and each area has one row at most."""
    if len(unknown := codes[~codes.isin(areas.codes)].fillna("none").unique()):
        problems.add("estimates are of unknown areas", shown(unknown), shown(areas.codes), "correct or drop these rows")
    if len(twice := codes[codes.duplicated()].dropna().unique()):
        problems.add("areas occur more than once", shown(twice), "one row per area", "combine these rows")


def _covariances(table: pd.DataFrame, y: Names, variance: Names, covariance: Pairs, problems: Problems) -> Floats:
    """Sampling covariances, shape (n, D, D), checked where there is an estimate."""
    v = np.zeros((len(table), len(y), len(y)))
    observed = np.isfinite(table[list(y)].to_numpy())
    for d, (measure, column) in enumerate(zip(y, variance, strict=True)):
        v[:, d, d] = table[column]
        if len(wrong := table.index[observed[:, d] & ~(v[:, d, d] > 0)]):
            hint = "smooth the variances first, or leave these estimates out"
            problems.add(f"variances of {cut(measure)} are zero, negative or missing", shown(wrong), "> 0", hint)
    for (first, second), column in covariance.items():
        d, e = y.index(first), y.index(second)
        v[:, d, e] = v[:, e, d] = table[column]
        both = observed[:, d] & observed[:, e]
        large = ~(v[:, d, e] ** 2 < v[:, d, d] * v[:, e, e])
        if len(wrong := table.index[both & large]):
            what = f"covariances of {cut(first)} and {cut(second)} do not fit the variances"
            problems.add(what, shown(wrong), "less than both", "check the unit, or leave `covariance` out")
    return v
