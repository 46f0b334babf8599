"""Features of an OGC API in RD New: all pages, by the service's own links, each row once and in the system asked for.

GoKoala, which PDOK runs, takes at most 1000 rows a page and gives degrees (CRS84) unless asked otherwise. A reply whose
header does not name the system that was asked for is refused: degrees are never taken for metres.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from buurtsae.areas.polygons import RD
from buurtsae.errors import cut, shown
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.registry import Table
from buurtsae.retrieved import Retrieved

if TYPE_CHECKING:
    import geopandas as gpd

URI = "http://www.opengis.net/def/crs/EPSG/0/28992"
ROWS = 1000  # the most that the service gives in a page
Box = tuple[float, float, float, float]


def features(
    fetcher: Fetcher, table: Table, collection: str, box: Box | None = None, edition: str = ""
) -> tuple[gpd.GeoDataFrame, tuple[Retrieved, ...]]:
    """Return the rows of a collection, of all of it or within a box in RD New, and what was downloaded.

    The columns are the properties, in small letters. Whether rows lie in the box is for the caller to check.

    Raises
    ------
    DataError
        As `Fetcher.pages`; a reply in another coordinate system, that is no list of features, that counts other rows
        than it has, or that has a row twice; no rows at all.
    """
    import geopandas as gpd

    params: dict[str, str | int] = {"f": "json", "limit": ROWS, "crs": URI}
    if box is not None:
        params |= {"bbox": ",".join(f"{edge:.0f}" for edge in box), "bbox-crs": URI}
    rows, retrieved, last, seen = list[Any](), list[Retrieved](), "", set[str]()
    for reply, page in fetcher.pages(table, f"{collection}/items", params, edition, next_link):
        rows += unseen(table, reply, _rows(table, reply, page), seen)
        retrieved.append(reply.retrieved)
        last = reply.url
    if not rows:
        raise strange(table, last, "no rows", f"{collection} {'in the box' if box else 'of the year'}")
    frame = gpd.GeoDataFrame.from_features(rows, crs=RD)
    frame.columns = [str(name).lower() for name in frame.columns]
    if (twice := pd.DataFrame(frame.drop(columns="geometry")).assign(wkb=frame.geometry.to_wkb()).duplicated()).any():
        first = next(iter(frame.columns.drop("geometry")), "geometry")
        got = f"{int(twice.sum())} of {len(frame)} rows twice ({shown(frame.loc[twice, first], 3)})"
        raise strange(table, last, got, "each row once")
    return frame, tuple(retrieved)


def next_link(page: Mapping[str, Any]) -> str | None:
    """Return the address of the page after this one, which the service makes; None after the last."""
    links = page.get("links") or ()
    return next((str(link["href"]) for link in links if link.get("rel") == "next" and link.get("href")), None)


def unseen(table: Table, reply: Reply, rows: list[Any], seen: set[str]) -> list[Any]:
    """Return the features of a page, which is refused where it has those of one before, and remember them in `seen`."""
    content = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    if rows and content in seen:
        raise strange(table, reply.url, f"the {len(rows)} rows of a page before", "other rows on each page")
    seen.add(content)
    return rows


def _rows(table: Table, reply: Reply, page: Any) -> list[Any]:
    """The features of a page that is what was asked for."""
    rows = page.get("features") if isinstance(page, dict) else None
    if not isinstance(rows, list):
        raise strange(table, reply.url, f"JSON without features ({cut(page, 60)})", "a FeatureCollection")
    if (system := reply.headers.get("content-crs", "").strip("<> ")) != URI:
        raise strange(table, reply.url, f"coordinates in {system or 'a system that it does not name'}", URI)
    if (count := page.get("numberReturned", len(rows))) != len(rows):
        raise strange(table, reply.url, f"{len(rows)} rows, of which it says that they are {count}", "as many")
    return rows
