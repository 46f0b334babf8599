"""Borders of buurten: the Wijk- en Buurtkaart of CBS and Kadaster, of some gemeenten or of the whole country.

Some gemeenten come as features, asked by their boxes; the country comes as one GeoPackage. Of either, water and foreign
ground are dropped and the parts of a buurt joined. Of the figures on the map only residents, households and land are
kept, under the names that `kerncijfers` has: all others come from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.opendata.features import Box, features
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.map_rows import ABROAD, described, dissolved, map_rows, on_land, row_codes
from buurtsae.opendata.registry import Table
from buurtsae.retrieved import Retrieved

if TYPE_CHECKING:
    import geopandas as gpd

    Layer = tuple[gpd.GeoDataFrame, tuple[Retrieved, ...], list[Note]]
    Layers = tuple[dict[str, gpd.GeoDataFrame], tuple[Retrieved, ...], list[Note]]

LAYERS = {"buurt": "buurten", "wijk": "wijken", "gemeente": "gemeenten"}
WHOLE = 0.005  # of the ground of a gemeente that its buurten may lack or have over: both are drawn from one map
MARGIN = 1.0  # metre around the box of a gemeente, whose edges are rounded
SQLITE = b"SQLite format 3"  # how a GeoPackage begins
NAMES = ("buurtcode", "buurtnaam", "wijkcode", "wijknaam", "gemeentecode", "gemeentenaam")


def load(fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None) -> Loaded:
    """Return the buurten of a year with their polygons, on land.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
        Of the division.
    gemeenten : sequence of str, optional
        Codes of gemeenten, `GM0363`; by default the whole country, as one GeoPackage.

    Returns
    -------
    Loaded
        Its frame is a GeoDataFrame in RD New: `buurtcode`, `buurtnaam`, `wijkcode`, `wijknaam`, `gemeentecode`,
        `gemeentenaam`, `indelingswijziging` (against the year before: 1 the same, 2 another code, 3 another border),
        `inwoners`, `huishoudens`, `oppervlakte_land_ha`, `geometry`.

    Raises
    ------
    DataError or ProblemsError
        A year without borders, an unknown gemeente, a service that answers with something else.
    """
    if gemeenten is None:
        layers, retrieved, notes = _country(fetcher, year)
    else:
        layers, retrieved, notes = _of_gemeenten(fetcher, year, gemeenten)
    land, dropped = on_land(layers["buurt"])
    frame, reasons, joined = dissolved(land, "buurtcode")
    for level in ("wijk", "gemeente"):
        names = layers[level].drop_duplicates(f"{level}code").set_index(f"{level}code")[f"{level}naam"]
        frame[f"{level}naam"] = frame[f"{level}code"].map(names)
    wanted = set(on_land(layers["gemeente"])[0]["gemeentecode"])
    if absent := sorted(wanted - set(frame["gemeentecode"])):
        raise DataError(f"gemeenten of {year} have no buurten on the map", shown(absent), "some in each", "report it")
    frame = frame[[*NAMES, *(name for name in frame if name not in (*NAMES, "geometry")), "geometry"]]
    return Loaded(frame, described(frame), reasons, retrieved, (*notes, *dropped, *joined))


def gemeenten(fetcher: Fetcher, year: int) -> Loaded:
    """Return the gemeenten of a year: `gemeentecode`, `gemeentenaam`, figures and polygons, on land.

    Raises
    ------
    DataError or ProblemsError
        A year without borders, a service that answers with something else.
    """
    rows, retrieved, notes = _layer(fetcher, fetcher.registry.table("borders", year), "gemeente")
    land, dropped = on_land(rows)
    frame, reasons, joined = dissolved(land, "gemeentecode")
    return Loaded(frame, described(frame), reasons, retrieved, (*notes, *dropped, *joined))


def _layer(fetcher: Fetcher, table: Table, level: str, boxes: Mapping[str, Box] | None = None) -> Layer:
    """The rows of a level: all of them, or those of gemeenten, which are asked by their boxes."""
    collection, where = LAYERS[level], f"{table.title} {table.year}, {LAYERS[level]}"
    parts, retrieved, far = list[Any](), list[Retrieved](), 0
    for gemeente, box in {"": None}.items() if boxes is None else boxes.items():
        frame, replies = features(fetcher, table, collection, box, str(table.year))
        code, retrieved = row_codes(frame, level, where), [*retrieved, *replies]
        if box is not None:
            at = frame.bounds
            out = (at.minx > box[2]) | (at.maxx < box[0]) | (at.miny > box[3]) | (at.maxy < box[1])
            far += int(out.sum())
            frame = frame[CBS.read(code, "gemeente") == gemeente]
        parts.append(frame)
    rows, notes = map_rows(pd.concat(parts, ignore_index=True), level, table.year, where)
    if far:
        notes.append(Note(
            "{where}: the service gave {n} rows outside the box that was asked for, which are left out",
            "{where}: de dienst gaf {n} rijen buiten het gevraagde gebied, die zijn weggelaten",
            where=where, n=far,
        ))  # fmt: skip
    return rows, tuple(retrieved), notes


def _of_gemeenten(fetcher: Fetcher, year: int, codes: Sequence[str]) -> Layers:
    """All rows of some gemeenten, water too, by level."""
    table, wanted = fetcher.registry.table("borders", year), sorted(set(codes))
    if not wanted:
        raise DataError("no gemeente is asked for", "none", "codes such as GM0363", "name one")
    every, retrieved, _ = _layer(fetcher, table, "gemeente")
    known = sorted(set(every["gemeentecode"]) - {ABROAD})
    if unknown := sorted(set(wanted) - set(known)):
        hint = "gemeenten merge: take the code of that year"
        raise DataError(f"there are no such gemeenten in {year}", shown(unknown), shown(known, 3), hint)
    own = every[every["gemeentecode"].isin(wanted)]
    edges = own.bounds.groupby(own["gemeentecode"]).agg({"minx": "min", "miny": "min", "maxx": "max", "maxy": "max"})
    edges = np.floor(edges).add([-MARGIN, -MARGIN, 1 + MARGIN, 1 + MARGIN], axis="columns")
    boxes: dict[str, Box] = {str(code): tuple(row) for code, *row in edges.itertuples()}
    layers, notes, problems = {"gemeente": own}, list[Note](), Problems()
    for level in ("buurt", "wijk"):
        layers[level], replies, said = _layer(fetcher, table, level, boxes)
        retrieved, notes = (*retrieved, *replies), [*notes, *said]
        _check_whole(layers[level], own, f"{table.title} {year}: {LAYERS[level]}", problems)
    problems.raise_if_any()
    return layers, retrieved, notes


def _check_whole(rows: gpd.GeoDataFrame, ground: gpd.GeoDataFrame, what: str, problems: Problems) -> None:
    """Rows of each gemeente, land and water, cover its ground: a row that was not sent would leave a hole."""
    area = [table.area.groupby(table["gemeentecode"]).sum() for table in (ground, rows)]
    share = area[1].reindex(area[0].index, fill_value=0.0) / area[0]
    if len(off := share[(share - 1).abs() > WHOLE]):
        got, hint = shown(f"{code}: {part:.1%}" for code, part in off.items()), "try again with --refresh"
        problems.add(f"{what} do not cover their gemeente", got, "100% of its ground", hint)


def _country(fetcher: Fetcher, year: int) -> Layers:
    """All rows of the country from the newest GeoPackage, by level."""
    import pyogrio

    table = fetcher.registry.table("borders_atom", year)
    index, url, version = _newest(fetcher, table, year)
    reply = fetcher.file(table, url=url, suffix=".gpkg", edition=f"{year} v{version}", begins=SQLITE)
    layers, notes = dict[str, Any](), list[Note]()
    for level, name in LAYERS.items():
        try:
            frame = pyogrio.read_dataframe(reply.path, layer=name)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise strange(table, url, f"{error}", f"a GeoPackage with a layer {name}") from error
        frame.columns = [str(column).lower() for column in frame.columns]
        layers[level], said = map_rows(frame, level, year, f"{table.title} {year} v{version}, {name}")
        notes += said if level == "buurt" else []
    return layers, (index.retrieved, reply.retrieved), notes


def _newest(fetcher: Fetcher, table: Table, year: int) -> tuple[Reply, str, int]:
    """The feed that names the GeoPackages of a year, the address of the newest, and its version."""
    index = fetcher.file(table, "index.xml", edition=str(year), begins=b"<")
    pattern = re.compile(rf"""["']([^"']*wijkenbuurten_{year}_v(\d+)\.gpkg)["']""")
    feed = index
    found = pattern.findall(index.content().decode("utf-8", errors="replace"))
    if not found:  # an index may name a feed per data set, which then names its files
        for link in re.findall(r"""href=["']([^"']+\.xml)["']""", index.content().decode("utf-8", errors="replace")):
            if (url := _same_host(index.url, link)) and url != index.url and not found:
                feed = fetcher.file(table, url=url, edition=str(year), begins=b"<")
                found = pattern.findall(feed.content().decode("utf-8", errors="replace"))
    versions = {int(version): url for link, version in found if (url := _same_host(feed.url, link))}
    if not versions:
        raise strange(table, index.url, f"a feed without wijkenbuurten_{year}_v1.gpkg", "a GeoPackage of the year")
    newest = max(versions)
    return feed, versions[newest], newest


def _same_host(base: str, link: str) -> str | None:
    """The address of a link, where it leads to the same service."""
    url = urljoin(base, link)
    return url if urlsplit(url).netloc == urlsplit(base).netloc else None
