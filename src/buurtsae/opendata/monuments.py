"""Rijksmonumenten per buurt: points of the register of the Rijksdienst voor het Cultureel Erfgoed, counted on areas.

Only what has the status of rijksmonument counts: objects, each number once; and complexes, where the objects of one
complex count once per buurt and others as they are. The distance is from the middle of a buurt to the nearest object,
as the crow flies: points are asked up to some kilometres beyond the areas, and further where none lies as near as that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.areas.plausible import RD_BOUNDS
from buurtsae.areas.polygons import RD
from buurtsae.errors import cut, shown
from buurtsae.notes import Note
from buurtsae.opendata.features import Box, unseen
from buurtsae.opendata.http import MOST_PAGES, Fetcher, Params, Reply, strange
from buurtsae.opendata.loaded import COLUMNS, Loaded
from buurtsae.opendata.registry import Table
from buurtsae.retrieved import Retrieved
from buurtsae.survey.codebook import Codebook

if TYPE_CHECKING:
    import geopandas as gpd

ROWS = 2000  # points in a page
MARGINS = (5_000.0, 20_000.0, 80_000.0, 400_000.0)  # metres beyond the areas; the last is more than the country
STATUS = "rijksmonument"
KINDS = ("gebouwd", "archeolog")  # how `aard_monument` begins
NAMES = {
    "number": "rijksmonument_nummer",
    "complex": "complex_nummer",
    "status": "juridische_status",
    "kind": "aard_monument",
}
COUNTS = ("rijksmonumenten", "rijksmonumenten_gebouwd", "rijksmonumenten_archeologisch", "rijksmonumenten_complexen")


def load(fetcher: Fetcher, areas: gpd.GeoDataFrame) -> Loaded:
    """Return counts of rijksmonumenten and the distance to the nearest, per buurt.

    Parameters
    ----------
    fetcher : Fetcher
    areas : GeoDataFrame
        `buurtcode` and polygons in RD New; `oppervlakte_land_ha` where it is known: else the area of the polygon.

    Returns
    -------
    Loaded
        `buurtcode`; `rijksmonumenten` (objects), of which `rijksmonumenten_gebouwd` and
        `rijksmonumenten_archeologisch`; `rijksmonumenten_complexen` (a complex once); `rijksmonumenten_per_km2` and
        `rijksmonumenten_gebouwd_per_km2` (objects by land); `afstand_rijksmonument_km`. A zero is a zero: the register
        is whole.

    Raises
    ------
    DataError
        A service that answers with something else, in another coordinate system, or with a point on two pages.
    """
    table, notes = fetcher.registry.table("monumenten"), list[Note]()
    middle, (left, low, right, high) = areas.geometry.centroid, areas.total_bounds
    for margin in MARGINS:
        box = (left - margin, low - margin, right + margin, high + margin)
        points, retrieved = _points(fetcher, table, box)
        listed = points[points["status"] == STATUS]
        distance = _nearest(middle, listed)
        if (distance <= margin).all():  # whatever lies beyond the box lies further away
            break
    else:
        if not np.isfinite(distance).all():
            raise strange(table, retrieved[0].url, f"no {STATUS} among {len(points)} objects", "the register")
    if len(other := points["status"][points["status"] != STATUS]):
        notes.append(Note(
            "{n} objects in and around the areas have another status than rijksmonument and do not count: {other}",
            "{n} objecten in en om de gebieden hebben een andere status dan rijksmonument en tellen niet: {other}",
            n=len(other), other=sorted(set(other)),
        ))  # fmt: skip
    frame, said = counted(listed, areas)
    frame["afstand_rijksmonument_km"] = distance / 1000
    frame = frame.sort_values("buurtcode", ignore_index=True)
    return Loaded(frame, _described(frame), retrieved=retrieved, notes=(*notes, *said))


def counted(points: gpd.GeoDataFrame, areas: gpd.GeoDataFrame) -> tuple[pd.DataFrame, list[Note]]:
    """Return how many objects and complexes lie in each area, and how many objects per square kilometre of land.

    A point on a border counts in the area with the lowest code.

    Parameters
    ----------
    points : GeoDataFrame
        `number`, `complex` (missing of none), `kind`.
    areas : GeoDataFrame
        `buurtcode`, and `oppervlakte_land_ha` where it is known.
    """
    import geopandas as gpd

    notes, size = list[Note](), areas.area / 1e6
    pairs = gpd.sjoin(points, areas[["buurtcode", "geometry"]], predicate="intersects")
    pairs = pairs.sort_values("buurtcode", kind="stable")
    pairs = pairs[~pairs.index.duplicated()].drop_duplicates(["buurtcode", "number"])
    unit = pairs["complex"].fillna("object " + pairs["number"])
    whole = pairs.assign(unit=unit).drop_duplicates(["buurtcode", "unit"])
    parts = [pairs, *(pairs[pairs["kind"].str.startswith(kind)] for kind in KINDS), whole]
    frame = pd.DataFrame({"buurtcode": areas["buurtcode"].to_numpy()})
    for name, part in zip(COUNTS, parts, strict=True):
        frame[name] = frame["buurtcode"].map(part["buurtcode"].value_counts()).fillna(0).astype(int)
    if len(strange := pairs["kind"][~pairs["kind"].str.startswith(KINDS)]):
        notes.append(Note(
            "{n} rijksmonumenten are neither built nor archaeological and count in the total only: {kinds}",
            "{n} rijksmonumenten zijn gebouwd noch archeologisch en tellen alleen in het totaal: {kinds}",
            n=len(strange), kinds=sorted(set(strange)),
        ))  # fmt: skip
    if "oppervlakte_land_ha" in areas:
        land = areas["oppervlakte_land_ha"] / 100
        if count := int((~(land > 0)).sum()):
            notes.append(Note(
                "{n} buurten have no land of a hectare or more on record: the area of their polygon is used",
                "van {n} buurten staat geen land van een hectare of meer vermeld: de oppervlakte van hun polygoon telt",
                n=count,
            ))  # fmt: skip
        size = land.where(land > 0, size)
    for name in ("rijksmonumenten", "rijksmonumenten_gebouwd"):
        frame[f"{name}_per_km2"] = frame[name] / size.to_numpy()
    return frame, notes


def _points(fetcher: Fetcher, table: Table, box: Box) -> tuple[gpd.GeoDataFrame, tuple[Retrieved, ...]]:
    """All points in a box, by pages sorted by number."""
    import geopandas as gpd

    fixed: dict[str, str | int | float] = {
        "service": "WFS", "version": "2.0.0", "request": "GetFeature", "typeNames": table.id, "srsName": RD,
        "outputFormat": "application/json", "sortBy": "rijksmonument_nummer", "count": ROWS,
        "bbox": ",".join(f"{edge:.0f}" for edge in box) + f",{RD}",
    }  # fmt: skip
    rows, retrieved, total, seen = list[Any](), list[Retrieved](), -1, set[str]()
    for _ in range(MOST_PAGES):
        params: Params = {**fixed, "startIndex": len(rows)}
        reply = fetcher.json(table, params=params, url=table.service.url, edition="register")
        page = reply.json()
        found = unseen(table, reply, _features(table, reply, page), seen)
        rows, retrieved = rows + found, [*retrieved, reply.retrieved]
        matched = page.get("numberMatched", page.get("totalFeatures"))
        whole = int(matched) if isinstance(matched, int) or str(matched).isdecimal() else -1
        if total not in (-1, whole):
            raise strange(table, reply.url, f"{whole} objects in all, and {total} a page before", "as many: try again")
        total = whole
        if len(rows) >= total > -1 or not found:
            break
    if -1 < total != len(rows):
        raise strange(table, reply.url, f"{len(rows)} objects by pages, of {total}", "all, once each")
    if not rows:
        return gpd.GeoDataFrame({name: [] for name in NAMES}, geometry=[], crs=RD), tuple(retrieved)
    frame = gpd.GeoDataFrame.from_features(rows, crs=RD)
    if absent := [name for name in NAMES.values() if name not in frame]:
        raise strange(table, reply.url, f"points with {shown(frame.columns, 10)}", f"with {', '.join(absent)}")
    frame = frame[frame.geometry.notna() & ~frame.is_empty]
    _check(table, reply.url, frame)
    text = {name: frame[column].astype("string").str.strip().fillna("") for name, column in NAMES.items()}
    text |= {name: text[name].str.casefold() for name in ("status", "kind")}
    text["complex"] = text["complex"].mask(text["complex"].isin(["", "0"]))
    return frame[["geometry"]].assign(**text).reset_index(drop=True), tuple(retrieved)


def _features(table: Table, reply: Reply, page: Any) -> list[Any]:
    """The points of a page, which is in RD New by its own word."""
    rows = page.get("features") if isinstance(page, dict) else None
    if not isinstance(rows, list):
        raise strange(table, reply.url, f"JSON without features ({cut(page, 60)})", "a FeatureCollection")
    system = str(((page.get("crs") or {}).get("properties") or {}).get("name", "none that it names"))
    if rows and not system.endswith(RD.removeprefix("EPSG")):
        raise strange(table, reply.url, f"coordinates in {cut(system)}", RD)
    return rows


def _check(table: Table, url: str, frame: gpd.GeoDataFrame) -> None:
    """Points lie in the Netherlands, and none is on two pages: another would then be on none."""
    at, (left, low, right, high) = frame.bounds, RD_BOUNDS
    inside = (at.minx > left) & (at.maxx < right) & (at.miny > low) & (at.maxy < high)
    number = frame[NAMES["number"]].astype(str)
    if len(far := number[~inside]):
        raise strange(table, url, f"{len(far)} of {len(frame)} points outside the Netherlands ({shown(far, 3)})", RD)
    twice = pd.DataFrame({"number": number, "wkb": frame.geometry.to_wkb()}).duplicated()
    if twice.any():
        got = f"{int(twice.sum())} of {len(frame)} points twice ({shown(number[twice], 3)})"
        raise strange(table, url, got, "each once: one that comes twice takes the place of another; try --refresh")


def _nearest(middle: gpd.GeoSeries, points: gpd.GeoDataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Metres from each place to the nearest point, infinite where there are none."""
    distance = np.full(len(middle), np.inf)
    if len(points):
        (at, _), found = points.sindex.nearest(middle.array, return_all=False, return_distance=True)
        distance[at] = found
    return distance


def _described(frame: pd.DataFrame) -> pd.DataFrame:
    """What the columns are, as the codebook says."""
    told = {one.name: (one.nl, one.unit, one.about) for one in Codebook.load("rijksmonumenten").indicators}
    rows = [(name, "", *told[name], float(frame[name].notna().mean())) for name in frame if name != "buurtcode"]
    return pd.DataFrame(rows, columns=list(COLUMNS))
