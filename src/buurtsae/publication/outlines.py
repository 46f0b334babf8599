"""Polygons as SVG paths in whole steps of 1, 2, 5 ... metres.

Shared borders are simplified together (coverage simplification, Visvalingam-Whyatt), so that neighbours keep fitting;
a map of 1,000 buurten takes some 200 kB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from buurtsae.drawing.style import polygonal, rings, scale_length, scale_text
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

PIXELS = 1000
STEPS = 6000  # the larger side of a map has at most this many steps


@dataclass(frozen=True)
class Outlines:
    """The polygons of a map as SVG path data, in whole steps from the upper left corner.

    Attributes
    ----------
    paths : mapping of area code to path data
    width, height : int
        Size of the map in steps.
    step : float
        Metres per step.
    """

    paths: Mapping[str, str]
    width: int
    height: int
    step: float

    @property
    def scale_bar(self) -> tuple[float, str]:
        """Length in steps and text of the scale bar."""
        metres = scale_length(self.width * self.step)
        return metres / self.step, scale_text(metres)


def outlines(geometry: gpd.GeoDataFrame, pixels: int = PIXELS) -> Outlines:
    """Simplify the polygons of a map and write them as SVG path data.

    Parameters
    ----------
    geometry : GeoDataFrame, indexed by area_code
        In metres.
    pixels : int
        Of the larger side; detail finer than one is simplified away.
    """
    import shapely

    left, low, right, high = geometry.total_bounds
    size = max(right - left, high - low)
    step = next(m * 10.0**k for k in range(9) for m in (1, 2, 5) if size / (m * 10.0**k) <= STEPS)
    simple = shapely.coverage_simplify([polygonal(g) for g in geometry.geometry], size / pixels)
    corner = np.array([left, high])
    paths = {code: _path(g, corner, step) for code, g in zip(geometry.index, simple, strict=True)}
    return Outlines(paths, round((right - left) / step), round((high - low) / step), step)


def _path(geometry: BaseGeometry, corner: Floats, step: float) -> str:
    """Write the rings of a polygon as relative moves in whole steps."""
    text = []
    for ring in rings(geometry):
        points = np.rint((ring[:-1] - corner) / [step, -step]).astype(int)  # the last point repeats the first
        moves = np.diff(points, axis=0)
        moves = moves[moves.any(axis=1)]
        if len(moves) == 0:  # smaller than a step: a speck, so that no buurt vanishes
            moves = np.array([[1, 0], [0, 1]])
        steps = "".join(f"{' ' if n >= 0 else ''}{n}" for n in moves.ravel()).lstrip()
        text.append(f"M{points[0][0]} {points[0][1]}l{steps}z")
    return "".join(text)


def merged(geometry: gpd.GeoDataFrame, by: str) -> gpd.GeoDataFrame:
    """Return the polygons of groups of areas, simplified to what a map of all of them shows.

    Parameters
    ----------
    geometry : GeoDataFrame, indexed by area_code
        In metres.
    by : str
        Column with the code of the group.
    """
    import geopandas as gpd
    import shapely

    left, low, right, high = geometry.total_bounds
    detail = max(right - left, high - low) / PIXELS
    simple = shapely.coverage_simplify([polygonal(g) for g in geometry.geometry], detail)
    parts = gpd.GeoSeries(simple, index=geometry.index, crs=geometry.crs).groupby(geometry[by])
    # whole metres close the slivers that borders drawn twice leave between buurten
    shapes = {code: shapely.union_all(part.to_numpy(), grid_size=1.0) for code, part in parts}
    return gpd.GeoDataFrame(geometry=gpd.GeoSeries(shapes, crs=geometry.crs))
