"""Files of buurten and tables about them, as frames: geometry with scalars beside it, joined by code, and checked.

The hierarchy is read from the code; every column that is no structure is a covariate, where it holds numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.codes import CBS, clean
from buurtsae.areas.columns import CODES, check_groupings, check_residents, check_rows, grouped
from buurtsae.areas.plausible import POLYGONS
from buurtsae.areas.polygons import polygons
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.files import readable
from buurtsae.notes import FIRST, Note
from buurtsae.tables import as_number, plain, read_table

if TYPE_CHECKING:
    import geopandas as gpd

Names = dict[str, dict[str, str]]


def assembled(
    path: Path,
    columns: tuple[str, str, str],
    tables: Sequence[tuple[str | Path, str]],
    where: Mapping[str, str],
    groupings: Sequence[str],
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, Names, list[Note]]:
    """Return the buurten by code, the whole file, names of areas by level, and notes; see `Areas.read`.

    `columns` are those of the code, the name and the number of residents.
    """
    code, name, population = columns
    notes: list[Note] = []
    frame, problems = read_geometry(path, notes), Problems()
    if "geometry" in columns:
        raise DataError("a column cannot be the geometry", "geometry", "another column", "correct the name")
    if population in (code, name, *CODES):
        what = "the number of residents cannot be a code or a name"
        raise DataError(what, cut(repr(population)), "another column", "correct `population`")
    if code not in frame:
        what = f"{path.name} has no column of area codes"
        raise DataError(what, shown(frame.columns), repr(code), "name it with `code`")
    frame[code] = buurt = clean(frame[code])
    frame = frame.assign(buurtcode=buurt, wijkcode=CBS.read(buurt, "wijk"), gemeentecode=CBS.read(buurt, "gemeente"))
    for table, key in tables:
        joined = problems.attempt(join, frame, Path(table), key, notes)
        frame = frame if joined is None else joined
    every = frame
    for column, value in where.items():
        if column in frame:
            frame = frame[frame[column].astype("string") == value]
        else:
            what, hint = "the areas have no column to select on", "correct `where`"
            problems.add(what, repr(column), shown(frame.columns), hint)
    if frame.empty:
        problems.add("no areas are left", "0 rows", "one row per buurt", "check the file and `where`")
    check_rows(frame, problems)
    check_residents(every, frame, population, problems)
    check_groupings(frame, groupings, columns, problems)
    frame = polygons(frame, frame["buurtcode"], notes, problems)
    problems.raise_if_any()
    frame = frame.set_index("buurtcode").sort_index()
    frame.index = pd.Index(frame.index.astype(str), name="area_code")
    names = {
        level: frame.drop_duplicates(key).set_index(key)[label].dropna().astype(str).to_dict()
        for level, key in (("wijk", "wijkcode"), ("gemeente", "gemeentecode"), ("provincie", "provinciecode"))
        if (label := f"{level}naam") in frame and key in frame
    }
    areas = _structured(frame, name, population, groupings, notes)
    notes += problems.sift(check(areas) for check in POLYGONS)
    problems.raise_if_any()
    return areas, every.set_index("buurtcode"), names, notes


def _structured(
    frame: gpd.GeoDataFrame, name: str, population: str, groupings: Sequence[str], notes: list[Note]
) -> gpd.GeoDataFrame:
    """Name the structural columns, read the numbers of the others."""
    residents = as_number(frame[population])
    if count := int(residents.isna().sum()):
        notes.append(Note(
            "buurten with an empty or hidden number of residents count as without residents: {n}",
            "buurten waarvan het aantal inwoners leeg of geheim is, tellen als buurt zonder inwoners: {n}",
            n=count,
        ))  # fmt: skip
    code, names = frame.index.to_series(), frame[name].astype(str) if name in frame else frame.index
    areas = frame[["geometry"]].assign(name=names, wijk=CBS.read(code, "wijk"), gemeente=CBS.read(code, "gemeente"))
    areas["population"] = residents.fillna(0).round().astype("int64")
    for level, column in (("ggdregio", "ggdregio"), ("provincie", "provinciecode"), ("provincie", "provincie")):
        if column in frame and level not in areas:
            areas[level] = frame[column].astype(str)
    areas = areas.join(grouped(frame[list(groupings)], CBS.noun("buurt"), notes))
    used = {name, population, "wijkcode", "gemeentecode", "geometry", "ggdregio", "wijknaam", "gemeentenaam"}
    used |= {"provinciecode", "provincienaam"} if "provinciecode" in frame else set()
    used |= {"indelingswijziging"}  # of CBS's map: 1, 2 and 3 are kinds of change, no figures
    others, hidden = dict[str, pd.Series](), dict[str, int]()
    for column in [column for column in frame if column not in used and column not in areas]:
        others[column] = frame[column]
        try:
            numbers = as_number(frame[column])
        except (ValueError, TypeError):  # text, or numbers that no model can use: refused where a formula names it
            continue
        if count := int((numbers.isna() & frame[column].notna()).sum()):
            hidden[column] = count
        others[column] = numbers
    some = [([key], n) for key, n in hidden.items()] if len(hidden) <= FIRST else [(list(hidden), sum(hidden.values()))]
    notes += [
        Note(
            "{n} secret or missing codes in {columns} read as missing",
            "{n} codes voor geheim of ontbrekend in {columns} gelezen als ontbrekend",
            n=count, columns=where,
        )
        for where, count in some
    ]  # fmt: skip
    return pd.concat([areas, pd.DataFrame(others, index=areas.index)], axis=1)


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
    notes += [Note(*2 * [cut(warning.message, 200)]).under(path.name) for warning in heard]  # GDAL speaks English
    shape = gpd.GeoSeries(frame.geometry.reset_index(drop=True), name="geometry")
    others = [column for column, dtype in frame.dtypes.items() if str(dtype) == "geometry"]
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
    if len(twice := table[key][table[key].duplicated()]):
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
    if (extra := set(table[key]) - set(frame[key])) and key == "buurtcode":
        notes.append(Note(
            "{n} rows of {file} have no geometry or lie outside the areas: left out",
            "{n} rijen van {file} hebben geen polygoon of liggen buiten het gebied: weggelaten",
            n=len(extra), file=path.name,
        ))  # fmt: skip
    fresh = [column for column in table if column not in frame]
    return frame.merge(table[[key, *fresh]], on=key, how="left", validate="many_to_one")
