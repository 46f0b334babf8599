"""Objects of an OpenStreetMap extract: place, themes and last edit, read in one pass with bounded memory.

A node counts at its point, a closed way and a multipolygon once, at their centroid; open ways are lines, cut up at
every crossing, and are no places. Where a multipolygon and its outer way both carry a theme, the way is not of it.
Coordinates become RD New (EPSG:28992). Polygons go on in batches; of the others a point, a sum and a time are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from buurtsae.errors import BuurtsaeError, DataError, cut
from buurtsae.files import readable
from buurtsae.opendata.osm_tags import TagSets
from buurtsae.sparse import Floats, Ints

if TYPE_CHECKING:
    from pyproj import Transformer

RD = "EPSG:28992"
BATCH = 20_000  # objects at a time: what polygons take of memory
LARGE = 300_000_000  # bytes; the places of all nodes of a larger file are kept on disk, 16 bytes each
GEOFABRIK = "an extract as .osm.pbf, .osm, .osm.gz or .osm.bz2"

Polygons = Callable[[np.ndarray, Ints], None]


@dataclass(frozen=True)
class Objects:
    """Objects with a theme.

    Attributes
    ----------
    points : ndarray, shape (n, 2)
        In RD New.
    themes : ndarray of int, shape (n,)
        Of each the sum of its themes; 0 where another object stands for it.
    edited : ndarray of int, shape (n,)
        Seconds since 1970 of the last edit; 0 where the file does not say.
    broken : int
        Polygons that could not be made: they are not whole in the file, or cross themselves.
    made : int
        When the extract was made, in seconds since 1970: the file says so, else the last edit in it; 0 if unknown.
    said : bool
        Whether the file says so.
    box : (west, south, east, north) in RD New, optional
        What the file says that it covers.
    """

    points: Floats
    themes: Ints
    edited: Ints
    broken: int
    made: int
    said: bool
    box: tuple[float, float, float, float] | None


def read_objects(file: str | Path, sets: TagSets, polygons: Polygons) -> Objects:
    """Read the objects of a file that have a theme.

    Parameters
    ----------
    file : path
    sets : TagSets
    polygons : callable
        Gets the polygons of area themes, in RD New, and the sums of their themes, a batch at a time.

    Raises
    ------
    BuurtsaeError
        If osmium is not installed.
    DataError
        If the file is absent, no OpenStreetMap file, or cut short.
    """
    try:
        import osmium
    except ImportError as error:
        what, hint = "the reader of OpenStreetMap files is not installed", 'pip install "buurtsae[osm]"'
        raise BuurtsaeError(what, f"no {error.name}", "osmium", hint) from error
    from pyproj import Transformer

    path = readable(file, f"give {GEOFABRIK}")
    project = Transformer.from_crs("EPSG:4326", RD, always_xy=True)
    found = _Found(sets, project, polygons)
    with TemporaryDirectory(prefix="buurtsae-osm-", ignore_cleanup_errors=True) as folder:
        store = f"sparse_file_array,{folder}/nodes" if path.stat().st_size > LARGE else "flex_mem"
        try:
            header = osmium.io.Reader(str(path), osmium.osm.NOTHING).header()
            keys = osmium.filter.KeyFilter(*sets.keys)
            reader = osmium.FileProcessor(str(path)).with_locations(store).with_areas(keys).with_filter(keys)
            found.take(iter(reader), osmium.geom.WKBFactory())
        except (RuntimeError, ValueError) as error:  # what osmium says of a file that it cannot read on
            hint = "download it again and compare its size, or correct the path"
            raise DataError(f"{cut(path.name)} cannot be read as OpenStreetMap", str(error), GEOFABRIK, hint) from error
    return found.objects(header.get("osmosis_replication_timestamp") or header.get("timestamp"), header.box())


class _Found:
    """What was found up to now."""

    def __init__(self, sets: TagSets, project: Transformer, polygons: Polygons) -> None:
        self.sets, self.project, self.polygons = sets, project, polygons
        self.batches: list[tuple[Floats, Ints, Ints, Ints]] = []  # points, themes, edited, way or 0
        self.nodes: list[tuple[float, float, int, int]] = []
        self.areas: list[tuple[str, int, int, int]] = []
        self.outer: dict[int, int] = {}  # ways that are the border of a multipolygon, with its themes
        self.broken = 0

    def take(self, objects: Iterator[Any], factory: Any) -> None:
        """Go through the objects of a file."""
        for thing in objects:
            themes = self.sets.themes_of(dict(thing.tags))
            if not themes:
                continue
            if thing.is_way() or thing.is_relation():
                self._expect(thing, themes)
                continue
            edited = max(int(thing.timestamp.timestamp()), 0)
            if thing.is_node():
                if thing.location.valid():
                    self.nodes.append((thing.location.lon, thing.location.lat, themes, edited))
            else:
                self._area(thing, themes, edited, factory)
            if len(self.nodes) + len(self.areas) >= BATCH:
                self.flush()
        self.flush()

    def _expect(self, thing: Any, themes: int) -> None:
        """Count a closed way or a multipolygon as broken, until it comes once more, as an area."""
        if thing.is_way():
            self.broken += thing.is_closed() and thing.tags.get("area") != "no"
        elif thing.tags.get("type") in ("multipolygon", "boundary"):  # what osmium makes areas of
            self.broken += 1
            for member in thing.members:
                if member.type == "w" and member.role != "inner":
                    self.outer[member.ref] = self.outer.get(member.ref, 0) | themes

    def _area(self, thing: Any, themes: int, edited: int, factory: Any) -> None:
        try:
            wkb = factory.create_multipolygon(thing)
        except RuntimeError:  # without rings: some of its nodes are not in the file, or it crosses itself
            return
        self.broken -= 1
        self.areas.append((wkb, themes, edited, thing.orig_id() if thing.from_way() else 0))

    def flush(self) -> None:
        """Bring what was collected to RD New, hand over the polygons of area themes, and keep the points."""
        if self.nodes:
            lon, lat, themes, edited = map(np.array, zip(*self.nodes, strict=True))
            points = np.column_stack(self.project.transform(lon, lat))
            self.batches.append((points, themes.astype(np.int64), edited, np.zeros(len(themes), dtype=np.int64)))
        if self.areas:
            wkb, *numbers = zip(*self.areas, strict=True)
            themes, edited, ways = (np.array(column, dtype=np.int64) for column in numbers)
            shapes = shapely.transform(shapely.from_wkb(list(wkb)), self.project.transform, interleaved=False)
            self.batches.append((shapely.get_coordinates(shapely.centroid(shapes)), themes, edited, ways))
            if (measured := themes & self.sets.shares).any():
                some = measured > 0
                self.polygons(shapely.make_valid(shapes[some]), measured[some])  # valid in degrees, nearly so in metres
        self.nodes, self.areas = [], []

    def objects(self, stamp: str | None, box: Any) -> Objects:
        """Return them all, each once."""
        none = np.zeros(0, dtype=np.int64)
        batches = self.batches or [(np.zeros((0, 2)), none, none, none)]
        points = np.concatenate([batch[0] for batch in batches])
        themes, edited, ways = (np.concatenate([batch[k] for batch in batches]) for k in (1, 2, 3))
        double = np.isin(ways, np.fromiter(self.outer, dtype=np.int64, count=len(self.outer)))
        themes[double] &= ~np.array([self.outer[way] for way in ways[double].tolist()], dtype=np.int64)
        made = _seconds(stamp)
        inside = None
        if box is not None and box.valid():
            low, high = box.bottom_left, box.top_right
            inside = self.project.transform_bounds(low.lon, low.lat, high.lon, high.lat)
        newest = int(edited.max(initial=0))
        return Objects(points, themes, edited, self.broken, made or newest, bool(made), inside)


def _seconds(stamp: str | None) -> int:
    """Seconds since 1970 of the header's time; 0 where it is absent or none."""
    try:
        return int(datetime.fromisoformat(stamp or "").timestamp())
    except ValueError:
        return 0
