"""Polygons as SVG paths in whole steps of 1, 2, 5 ... metres.

Shared borders are simplified together (coverage simplification, Visvalingam-Whyatt), so that neighbours keep fitting;
a map of 1,000 buurten takes some 200 kB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """The polygons of a map as SVG path data by area code, in steps of `step` metres from the upper left corner."""

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
    """Write the polygons of a map (by area_code, in metres) as SVG path data; detail finer than a pixel goes."""
    left, low, right, high = geometry.total_bounds
    size = max(right - left, high - low)
    step = next(m * 10.0**k for k in range(9) for m in (1, 2, 5) if size / (m * 10.0**k) <= STEPS)
    simple, corner = _simplified(geometry, pixels), np.array([left, high])
    paths = {code: _path(shape, corner, step) for code, shape in zip(geometry.index, simple, strict=True)}
    return Outlines(paths, round((right - left) / step), round((high - low) / step), step)


def _simplified(geometry: gpd.GeoDataFrame, pixels: int) -> Sequence[BaseGeometry]:
    """The polygons without what is finer than a pixel of a map whose larger side has this many."""
    import shapely

    left, low, right, high = geometry.total_bounds
    detail = max(right - left, high - low) / pixels
    return shapely.coverage_simplify([polygonal(shape) for shape in geometry.geometry], detail)


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
    """Return the polygons (in metres) of groups of areas, simplified to what a map of all of them shows."""
    import geopandas as gpd
    import shapely

    parts = gpd.GeoSeries(_simplified(geometry, PIXELS), index=geometry.index, crs=geometry.crs).groupby(geometry[by])
    # whole metres close the slivers that borders drawn twice leave between buurten
    shapes = {code: shapely.union_all(part.to_numpy(), grid_size=1.0) for code, part in parts}
    return gpd.GeoDataFrame(geometry=gpd.GeoSeries(shapes, crs=geometry.crs))
