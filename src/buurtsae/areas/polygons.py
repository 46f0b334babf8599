"""The geometry of areas: in RD New, in two dimensions, valid, polygons with an area.

What can be repaired is repaired and said: a polygon that crosses itself, a line that hangs on a polygon. All else is
refused: neighbours of points or lines are nobody's neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.areas.plausible import in_the_netherlands
from buurtsae.errors import Problems, shown
from buurtsae.notes import Note

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

RD = "EPSG:28992"
SMALLEST, LARGEST = 0.1, 1e12  # square metres: less is a polygon that collapsed, the Netherlands are 4e10
WITHIN = 1e8  # metres from the origin: more than round the Earth


def polygons(frame: gpd.GeoDataFrame, code: pd.Series, notes: list[Note], problems: Problems) -> gpd.GeoDataFrame:
    """Return the areas with their polygons; notes say what was repaired, problems what cannot be, by code."""
    import shapely

    before, shape = len(problems.found), frame.geometry
    if (empty := shape.isna() | shape.is_empty).any():
        hint = "repair or drop these rows"
        problems.add("areas have an empty geometry", shown(code[empty]), "a polygon per buurt", hint)
    if frame.crs is None:
        problems.add("the areas have no coordinate system", "none", RD, "assign one in a GIS before reading")
    if len(problems.found) > before:
        return frame
    with np.errstate(all="ignore"):  # coordinates that are not finite, or squares of which are not, are refused below
        shape = shape.force_2d()
        if frame.crs != RD:
            try:
                shape = shape.to_crs(RD)
            except Exception as error:  # what PROJ raises on a system without a way to RD
                problems.add("the areas cannot be brought to RD New", str(error), RD, "reproject them in a GIS")
                return frame
            notes.append(Note(
                "geometry reprojected from {crs} to RD New ({rd})",
                "polygonen omgezet van {crs} naar RD New ({rd})",
                crs=frame.crs.name, rd=RD,
            ))  # fmt: skip
        points, owner = shapely.get_coordinates(shape.to_numpy(), return_index=True)
        if (far := np.isin(np.arange(len(shape)), owner[~(np.abs(points) < WITHIN).all(axis=1)])).any():
            hint = "correct the coordinate system"
            problems.add("areas lie nowhere on Earth", shown(code[far]), "coordinates in metres", hint)
            return frame
        invalid = ~shape.is_valid
        shape.loc[invalid] = shape[invalid].make_valid()
        mixed = shape.geom_type == "GeometryCollection"
        shape.loc[mixed] = [shapely.union_all(polygon_parts(geometry)) for geometry in shape[mixed]]
        other = ~shape.geom_type.isin(["Polygon", "MultiPolygon"]) | shape.is_empty
        size = shape.area
    if other.any():
        shapes = f"{shown(sorted(set(frame.geometry[other].geom_type)))} in {shown(code[other])}"
        problems.add("areas are no polygons", shapes, "a polygon per buurt", "choose the layer of the areas themselves")
        return frame
    if (where := in_the_netherlands(frame.set_geometry(shape).set_index(code.to_numpy()))) is not None:
        problems.collect(where)
        return frame
    if (small := ~size.between(SMALLEST, LARGEST)).any():
        shapes = f"{size[small].iloc[0]:.3g} square metres in {shown(code[small])}"
        hint = "the coordinate system may be another: correct it, or repair these polygons"
        problems.add("areas are too small or too large", shapes, f"{SMALLEST:g} to {LARGEST:g} square metres", hint)
        return frame
    if count := int(invalid.sum()):
        notes.append(Note("{n} invalid polygons repaired", "{n} ongeldige polygonen hersteld", n=count))
    if count := int((mixed & ~invalid).sum()):
        notes.append(Note(
            "of {n} areas only the polygons are used: their geometry has points or lines too",
            "van {n} gebieden tellen alleen de vlakken: hun geometrie heeft ook punten of lijnen",
            n=count,
        ))  # fmt: skip
    return frame.set_geometry(shape)


def polygon_parts(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The polygons in a geometry, however deep."""
    if geometry.geom_type == "Polygon":
        return [geometry]
    return [polygon for part in getattr(geometry, "geoms", ()) for polygon in polygon_parts(part)]
