"""What every figure and page shares: Dutch numbers, the fixed classes and colours, outlines.

Classes are the same for all years, and for all measures of a scale that are scores, so that maps can be laid side by
side. A figure is classed as it is printed: rounded first.
Colours: YlGnBu of ColorBrewer (Brewer 1994), readable for the colour-blind and in grey.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.figures import both, dutch
from buurtsae.notes import SWAPPED, Note
from buurtsae.scale import Scale, round_step
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from shapely import MultiPolygon
    from shapely.geometry.base import BaseGeometry

COLOURS = ("#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58")
DARK = 4  # from this class on, hatching is white
GREY = "#dddddd"
NO_FIGURE = "niet gepubliceerd of geen bewoners"
LABELS = {
    "betrouwbaar": Note("reliable", "betrouwbaar"),
    "indicatief": Note("indicative", "indicatief"),
    "niet_publiceren": Note("not published", "niet gepubliceerd"),
}
VERDICT_WORDS = (  # those of `labels.in_words`, and English
    ("vrijwel zeker hoger", "almost certainly higher"),
    ("waarschijnlijk hoger", "probably higher"),
    ("niet te onderscheiden", "cannot be told apart"),
    ("waarschijnlijk lager", "probably lower"),
    ("vrijwel zeker lager", "almost certainly lower"),
)
RESIDUAL_COLOURS = ("#e66101", "#fdb863", "#f7f7f7", "#b2abd2", "#5e3c99")  # low to high; PuOr too
VERDICT_COLOURS = ("#5e3c99", "#b2abd2", "#f7f7f7", "#fdb863", "#e66101")  # PuOr of ColorBrewer


def significant(value: Any, digits: int = 3) -> str:
    """Return a number in Dutch with about this many significant digits; whole numbers stay whole."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return "–"
    whole = isinstance(value, int | np.integer)
    size = math.floor(math.log10(abs(value))) if value else 0
    return dutch(value, 0 if whole else min(max(digits - 1 - size, 0), 6))


def plain(value: float) -> Note:
    """Return a number with as many decimals as it has."""
    return both(f"{value:.10g}".translate(SWAPPED))


@dataclass(frozen=True)
class Classes:
    """The classes of maps, which meet at `breaks`, and the axis of other figures: its ends, and the step of marks.

    A `sign` follows each figure.
    """

    breaks: tuple[float, ...]
    digits: int
    axis: tuple[float, float, float]
    sign: str = ""

    @classmethod
    def of(cls, scale: Scale, table: pd.DataFrame, *, fixed: bool = True) -> Classes:
        """Return those of a scale; of the `estimate`, `lower` and `upper` in a table where it is not bounded.

        Or not `fixed`: shares of all people may be 3% or 60%, where fixed classes tell nothing apart.
        """
        low, high, step = scale.lower, scale.upper, scale.width / 5
        if not (fixed and scale.bounded):
            seen = table.reindex(columns=["estimate", "lower", "upper"]).astype(float)
            least, most = (0.0, 1.0) if seen.isna().all(axis=None) else (np.nanmin(seen), np.nanmax(seen))
            step = round_step(max(most - least, 1e-6) / 5)
            low, high = step * math.floor(least / step), step * math.ceil(most / step)
        return cls(scale.breaks(table["estimate"], fixed=fixed), scale.digits, (low, high, step), scale.sign)

    def place(self, score: float) -> int:
        """Return the position of the class of a score in `COLOURS`."""
        return bisect_right(self.breaks, round(float(score), self.digits))

    @property
    def words(self) -> list[Note]:
        """The classes in words, lowest first."""
        ends = [plain(end) for end in self.breaks]
        sign, between = self.sign, [(low, high) for low, high in pairwise(ends)]
        below = Note("below {x}{sign}", "lager dan {x}{sign}", x=ends[0], sign=sign)
        above = Note("{x}{sign} and above", "{x}{sign} en hoger", x=ends[-1], sign=sign)
        return [below, *(Note("{a} to {b}{sign}", "{a} tot {b}{sign}", a=a, b=b, sign=sign) for a, b in between), above]

    def along(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1."""
        low, high, _ = self.axis
        return (value - low) / (high - low)

    @property
    def marks(self) -> list[float]:
        """Values to write along the axis."""
        low, high, step = self.axis
        return [round(low + mark * step, 10) for mark in range(round((high - low) / step) + 1)]


def scale_length(width: float) -> float:
    """Return a round length in metres (1, 2 or 5 times a power of ten) of at most a quarter of the map's width."""
    power = 10.0 ** math.floor(math.log10(width / 4))
    return max(m * power for m in (1, 2, 5) if m * power <= width / 4)


def scale_text(metres: float) -> str:
    """Return the text of the scale bar."""
    return f"{dutch(metres / 1000, 0)} km" if metres >= 1000 else f"{dutch(metres, 0)} m"


def polygonal(geometry: BaseGeometry) -> MultiPolygon:
    """Return the polygons of a geometry; repairing one may have left lines, and collections in collections."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.multipolygons(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def rings(geometry: BaseGeometry) -> Iterator[Floats]:
    """Yield the rings of all polygons in a geometry: outer ones counter-clockwise, holes clockwise."""
    import shapely

    for part in shapely.orient_polygons(polygonal(geometry)).geoms:
        for ring in (part.exterior, *part.interiors):
            yield shapely.get_coordinates(ring)
