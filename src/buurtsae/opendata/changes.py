"""What became of buurten from one year to the next, by what CBS says of each and by what the two maps show.

CBS marks each buurt against the year before (`indelingswijziging`): 1 code and border unchanged, though the name may
differ; 2 another code, the border unchanged; 3 another border. The maps bear it out or not, by the overlap of two areas

    O = area of what they share / area of what either has,

which is below 1 without any change, as the water line is drawn anew. A border is unchanged where O is at least 0.98, or
where CBS says so (1 or 2), the name is the same and O is at least a half. So a code that was used again for other
ground is no unchanged buurt, whatever its mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.codes import clean
from buurtsae.areas.divisions import Crosswalk
from buurtsae.errors import DataError, shown
from buurtsae.notes import Note
from buurtsae.opendata.map_rows import CHANGE
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import geopandas as gpd

ALIKE = 0.98  # overlap of two drawings of one border
OTHER = 0.5  # below it, other ground
LEAST = 0.02  # of both areas: smaller overlaps are two drawings of one border
UNCHANGED, RECODED, REDRAWN = 1, 2, 3


@dataclass(frozen=True, repr=False)
class Changes:
    """What became of buurten between two years.

    Attributes
    ----------
    walk : Crosswalk
        From the old year to the new: exact where the border is unchanged, by overlap where it is not.
    table : DataFrame, a row per new buurt
        `new`, `old` (None where its border is another), `change` (`same`, `renamed`, `recoded`, `redrawn` or `new`),
        `mark` (what CBS says), `overlap` (with `old`, or else with the old buurt of its code, or that it is most like),
        `doubt` (the maps do not bear out what CBS says).
    notes : tuple of Note
    """

    walk: Crosswalk
    table: pd.DataFrame
    notes: tuple[Note, ...]

    def __repr__(self) -> str:
        counts = self.table["change"].value_counts()
        since, until = self.walk.years
        return f"Changes from {since} to {until}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}"


def changes(old: gpd.GeoDataFrame, new: gpd.GeoDataFrame, years: tuple[int, int]) -> Changes:
    """Return what became of buurten from one year to the next.

    Parameters
    ----------
    old, new : GeoDataFrame
        Borders of both years (`pdok.load`) of one region: `buurtcode`, `buurtnaam`, geometry, and of the new ones
        `indelingswijziging`.
    years : pair of int
        One after the other: marks are against the year before, and say nothing of earlier ones.

    Raises
    ------
    DataError or ProblemsError
        Years that are not one after the other, borders without marks or with others, codes twice.
    """
    if years[1] != years[0] + 1:
        got, hint = f"{years[0]} and {years[1]}", "take each year and the next, or a crosswalk of addresses"
        raise DataError("marks of changes are against the year before", got, "one year after the other", hint)
    if CHANGE not in new:
        hint = "take the borders as they are fetched"
        raise DataError("borders have no marks of changes", shown(new.columns, 12), CHANGE, hint)
    maps = [frame.set_index(clean(frame["buurtcode"]).astype(object)).sort_index() for frame in (old, new)]
    marks = pd.to_numeric(maps[1][CHANGE]).astype("Int64")
    if strange := sorted(set(marks.dropna()) - {UNCHANGED, RECODED, REDRAWN}):
        raise DataError(f"{CHANGE} has unknown marks", shown(strange), "1, 2, 3 or none", "report it")
    names = tuple(frame["buurtnaam"].astype("string").str.strip().to_dict() for frame in maps)
    before, now = maps
    walk = Crosswalk.from_polygons(before, now, years=years, least=LEAST, names=(names[0], names[1]))
    sizes = before.area.to_numpy(dtype=float), now.area.to_numpy(dtype=float)
    table = _judged(walk, _overlaps(walk.pairs, *sizes), marks, names)
    exact = _exact(walk, table, sizes[0])
    return Changes(exact, table, (*exact.notes, *_noted(table, marks, years)))


def _overlaps(pairs: sp.csr_array, old: Floats, new: Floats) -> sp.csc_array:
    """O, shape (n_old, n_new)."""
    at = pairs.tocoo()
    shared = at.data / (old[at.row] + new[at.col] - at.data)
    return sp.csc_array((shared, (at.row, at.col)), shape=pairs.shape)


def _judged(
    walk: Crosswalk, overlap: sp.csc_array, marks: pd.Series, names: tuple[Mapping[str, str], Mapping[str, str]]
) -> pd.DataFrame:
    """What became of each new buurt."""
    rows = list[tuple[object, ...]]()
    for j, code in enumerate(walk.new):
        part = slice(overlap.indptr[j], overlap.indptr[j + 1])
        here = dict(zip(walk.old[overlap.indices[part]], overlap.data[part], strict=True))
        mark = None if pd.isna(marks.loc[code]) else int(marks.loc[code])
        old, change, doubt = _judgement(code, here, mark, names)
        of = old or (code if code in here else max(here, key=lambda one: here[one], default=None))
        rows.append((code, old, change, mark, here.get(of, 0.0), doubt))
    table = pd.DataFrame(rows, columns=["new", "old", "change", "mark", "overlap", "doubt"], dtype=object)
    return table.astype({"mark": "Int64", "overlap": float, "doubt": bool})


def _judgement(
    code: str, here: Mapping[str, float], mark: int | None, names: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[str | None, str, bool]:
    """The old buurt with the same border, what became of it, and whether the maps differ from the mark.

    `here` is the overlap with each old buurt that has ground there.
    """

    def named(old: str) -> bool:
        return str(names[0].get(old)).casefold() == str(names[1].get(code)).casefold()

    best = max(here, key=lambda old: here[old], default=None)
    if best is None:
        return None, "new", mark in (UNCHANGED, RECODED)
    # what the maps show by themselves, and what they do not speak against where the name is the same
    alike = here[best] >= ALIKE or (mark in (UNCHANGED, RECODED) and here[best] >= OTHER and named(best))
    if mark == REDRAWN or not alike:
        return None, "redrawn", mark in (UNCHANGED, RECODED)
    if best == code:
        return best, "same" if named(best) else "renamed", mark == RECODED
    return best, "recoded", mark == UNCHANGED


def _exact(walk: Crosswalk, table: pd.DataFrame, size: Floats) -> Crosswalk:
    """The crosswalk in which an unchanged border is no overlap of two drawings, but all of it."""
    pairs = table[table["old"].notna()]
    i, j = walk.old.get_indexer(pairs["old"]), walk.new.get_indexer(pairs["new"])
    rest = walk.pairs.tocoo()
    kept = ~np.isin(rest.row, i) & ~np.isin(rest.col, j)
    row, col = np.append(rest.row[kept], i), np.append(rest.col[kept], j)
    data, outside = np.append(rest.data[kept], size[i]), walk.outside.copy()
    outside[i] = 0.0
    return replace(walk, pairs=sp.csr_array((data, (row, col)), shape=rest.shape), outside=outside)


def _noted(table: pd.DataFrame, marks: pd.Series, years: tuple[int, int]) -> list[Note]:
    """What to know of the marks."""
    notes, doubted = list[Note](), table[table["doubt"]]
    if len(doubted):
        notes.append(Note(
            "{n} buurten of {until} are marked otherwise than the maps of {since} and {until} show, and count as these "
            "show: {codes}",
            "{n} buurten van {until} zijn anders gemerkt dan de kaarten van {since} en {until} laten zien, en tellen "
            "zoals op die kaarten: {codes}",
            n=len(doubted), since=years[0], until=years[1],
            codes=[f"{row.new}: {row.mark}, {row.change}" for row in doubted.itertuples()],
        ))  # fmt: skip
    if count := int(marks.isna().sum()):
        notes.append(Note(
            "{n} buurten of {until} have no mark of change: the maps decide",
            "{n} buurten van {until} hebben geen merk van wijziging: de kaarten beslissen",
            n=count, until=years[1],
        ))  # fmt: skip
    return notes
