"""Files of buurten and tables about them, as frames: geometry with scalars beside it, joined by code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.columns import CODES
from buurtsae.errors import DataError, cut, shown
from buurtsae.files import readable
from buurtsae.notes import Note
from buurtsae.tables import plain, read_table

if TYPE_CHECKING:
    import geopandas as gpd


def read_geometry(path: Path, notes: list[Note]) -> gpd.GeoDataFrame:
    """A table of scalars with one geometry, in the column `geometry`; what the reader warned of becomes a note."""
    import geopandas as gpd

    path = readable(path, "correct [areas] file")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            parquet = path.suffix.lower() in (".parquet", ".geoparquet")
            frame = gpd.read_parquet(path) if parquet else gpd.read_file(path)
    except Exception as error:  # whatever GDAL and pyarrow raise on a file that they cannot read
        what, hint = f"{path.name} cannot be read as areas", "open it in a GIS and export it again"
        raise DataError(what, cut(error, 300), "GeoPackage, GeoParquet, GeoJSON or shapefile", hint) from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise DataError(f"{path.name} has no geometry", "a table", "a layer with polygons", "choose another layer")
    notes += [Note(said := cut(w.message, 200), said).under(path.name) for w in heard]  # what GDAL says, in English
    shape = gpd.GeoSeries(frame.geometry.reset_index(drop=True), name="geometry")
    others = [c for c, dtype in frame.dtypes.items() if str(dtype) == "geometry"]
    table = plain(pd.DataFrame(frame.drop(columns=others)), path.name)
    if "geometry" in table:
        raise DataError(f"{path.name} has columns twice", "geometry", "different names", "rename or remove one of them")
    return gpd.GeoDataFrame(table, geometry=shape)


def join(frame: gpd.GeoDataFrame, path: Path, key: str, notes: list[Note]) -> gpd.GeoDataFrame:
    """Left-join a table by code, checked both ways; columns that are already there are not repeated."""
    table = read_table(path, text=CODES)
    if key not in table or key not in frame:
        what = f"{path.name} cannot be joined"
        raise DataError(what, f"no column {key!r}", "buurtcode, wijkcode or gemeentecode", "correct `key`")
    twice = table[key][table[key].duplicated()]
    if len(twice):
        raise DataError(f"{path.name} has codes twice", shown(twice), "one row per code", "remove the duplicates")
    absent = set(frame[key].dropna()) - set(table[key])
    if len(absent) == frame[key].nunique():
        hint = "is it of another year?"
        raise DataError(f"{path.name} has none of the areas", shown(table[key]), shown(frame[key]), hint)
    if absent:
        notes.append(Note(
            "{n} {key} without a row in {file}: {codes}",
            "{n} keer een {key} zonder rij in {file}: {codes}",
            n=len(absent), key=key, file=path.name, codes=sorted(absent),
        ))  # fmt: skip
    extra = set(table[key]) - set(frame[key])
    if extra and key == "buurtcode":
        notes.append(Note(
            "{n} rows of {file} have no geometry or lie outside the areas: left out",
            "{n} rijen van {file} hebben geen polygoon of liggen buiten het gebied: weggelaten",
            n=len(extra), file=path.name,
        ))  # fmt: skip
    return frame.merge(table[[key, *(c for c in table if c not in frame)]], on=key, how="left", validate="many_to_one")
