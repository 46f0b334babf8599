"""Whether areas can be what they say: residents, polygons and neighbours, each check one line of a table.

A check is a pure function that returns None where all is well, a note on what is strange but may be so, or an error for
what cannot be. The thresholds lie beyond every gemeente, provincie and the country as CBS maps them in
2024 (mean number of neighbours 3.0 to 6.6; 0 to 2% without any; no overlap; the nearest other buurt within 14 km).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.notes import Finding, Note

if TYPE_CHECKING:
    import geopandas as gpd

RD_BOUNDS = (0.0, 300_000.0, 300_000.0, 625_000.0)  # of the Netherlands: x and y from, x and y to
OVERLAP = 0.1  # of the smaller polygon; generalised borders stay far below
APART = 25_000.0  # metres to the nearest other buurt
MANY = 30  # buurten: of fewer the mean number of neighbours says little
NEIGHBOURS = (2.5, 10.0)  # mean number; of a map in the plane it is below 6, corners that four share aside
ALONE = 0.1  # share of buurten without neighbours
MEET = Note(
    "do the polygons meet, without gaps and overlaps?", "sluiten de polygonen op elkaar aan, zonder gaten en overlap?"
)


def residents(numbers: pd.Series, noun: str = "buurten") -> Finding:
    """Residents are persons: whole numbers. Parts with three decimals are thousands with a point or comma."""
    part = numbers[np.isfinite(numbers) & (numbers != numbers.round())]
    if part.empty:
        return None
    thousands = np.isclose(part * 1000, (part * 1000).round(), rtol=0, atol=1e-6)
    hundreds = np.isclose(part * 100, (part * 100).round(), rtol=0, atol=1e-6)
    hint = "name the column with the number of persons, without decimals, and without a separator: 2860 for 2.860"
    if thousands.all() and not hundreds.all():
        hint = "these look like thousands with a separator: write 2865 for 2.865, in the whole column"
    persons = f"{shown(f'{number:g}' for number in part)} in {len(part)} {noun}"
    return DataError("the number of residents is no whole number", persons, "persons", hint)


def in_the_netherlands(frame: gpd.GeoDataFrame) -> DataError | None:
    """Coordinates in RD New lie within its bounds; degrees do not."""
    low_x, low_y, high_x, high_y = RD_BOUNDS
    bounds = frame.geometry.bounds
    inside = (bounds["minx"] >= low_x) & (bounds["miny"] >= low_y) & (bounds["maxx"] <= high_x)
    inside &= bounds["maxy"] <= high_y
    if inside.all():
        return None
    x0, y0, x1, y1 = frame.total_bounds
    hint = "assign the coordinate system that the coordinates are in"
    if max(abs(x0), abs(x1)) <= 180 and max(abs(y0), abs(y1)) <= 90:
        hint = "these are degrees: give the file the coordinate system EPSG:4326"
    what = f"{int((~inside).sum())} areas lie outside the Netherlands ({shown(frame.index[~inside])})"
    expected = f"x {low_x:g} to {high_x:g}, y {low_y:g} to {high_y:g} in RD New"
    return DataError(what, f"x {x0:g} to {x1:g}, y {y0:g} to {y1:g}", expected, hint)


def different(frame: gpd.GeoDataFrame) -> Finding:
    """Buurten are different places."""
    if len(frame) < 2 or frame.geometry.normalize().to_wkb().nunique() > 1:
        return None
    what, hint = "all areas have the same polygon", "join the geometry by buurtcode again"
    return DataError(what, f"{len(frame)} buurten in one place", "a polygon per buurt", hint)


def disjoint(frame: gpd.GeoDataFrame) -> Finding:
    """Buurten do not overlap, but for slivers of generalised borders."""
    related = [frame.sindex.query(frame.geometry, predicate=relation) for relation in ("overlaps", "contains")]
    first, second = np.unique(np.sort(np.hstack(related), axis=0), axis=1)
    first, second = first[first != second], second[first != second]
    area, geometry = frame.area.to_numpy(), frame.geometry.reset_index(drop=True)
    common = geometry.iloc[first].intersection(geometry.iloc[second], align=False).area.to_numpy()
    much = common > OVERLAP * np.minimum(area[first], area[second])
    if not much.any():
        return None
    pairs = [
        Note("{a} and {b}", "{a} en {b}", a=frame.index[one], b=frame.index[other])
        for one, other in zip(first[much], second[much], strict=True)
    ]
    return Note(
        "{n} pairs of buurten overlap by more than {share:.0%} of the smaller ({pairs})",
        "{n} paren buurten overlappen voor meer dan {share:.0%} van de kleinste van de twee ({pairs})",
        n=len(pairs), share=OVERLAP, pairs=Note.listed(pairs, 3),
    )  # fmt: skip


def together(frame: gpd.GeoDataFrame) -> Finding:
    """No buurt lies far from all others; islands do not."""
    from scipy.spatial import KDTree

    if len(frame) < 2:
        return None
    point = frame.geometry.representative_point()
    xy = np.column_stack([point.x, point.y])
    far = KDTree(xy).query(xy, k=2)[0][:, 1] > APART
    if not far.any():
        return None
    return Note(
        "buurten that lie more than {km:g} km from all others: {n} ({codes})",
        "buurten die meer dan {km:g} km van alle andere liggen: {n} ({codes})",
        n=int(far.sum()), km=APART / 1000, codes=list(frame.index[far]),
    )  # fmt: skip


POLYGONS: tuple[Callable[[gpd.GeoDataFrame], Finding], ...] = (different, disjoint, together)


def neighbours(degree: pd.Series) -> Finding:
    """Polygons that meet have about six neighbours; with gaps or overlaps between them their borders do not meet."""
    mean, low, high = float(degree.mean()), *NEIGHBOURS
    if len(degree) < MANY or low <= mean <= high:
        return None
    return Note(
        "areas have {mean:.1f} neighbours on average, where {low:g} to {high:g} is usual: {meet}",
        "gebieden hebben gemiddeld {mean:.1f} buren, en {low:g} tot {high:g} is gewoon: {meet}",
        mean=mean, low=low, high=high, meet=MEET,
    )  # fmt: skip


def joined(degree: pd.Series) -> Finding:
    """Few buurten are islands."""
    alone = degree.index[degree == 0]
    if len(degree) < MANY or len(alone) <= ALONE * len(degree):
        return None
    return Note(
        "{n} of {of} areas have no neighbours ({codes}): {meet}",
        "{n} van de {of} gebieden hebben geen buren ({codes}): {meet}",
        n=len(alone), of=len(degree), codes=list(alone), meet=MEET,
    )  # fmt: skip


GRAPH: tuple[Callable[[pd.Series], Finding], ...] = (neighbours, joined)
