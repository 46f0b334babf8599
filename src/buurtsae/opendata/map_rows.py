"""Rows of the Wijk- en Buurtkaart as areas: water and foreign ground dropped, parts joined, gaps with reasons.

The map has a row per polygon: a buurt may have several, of which some are water (`water` is JA, NEE, or B for Belgian
ground around Baarle-Nassau). A figure of -99990 or less is a mark of why there is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.codes import CBS, clean
from buurtsae.areas.polygons import polygons
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.opendata.loaded import COLUMNS, REASONS
from buurtsae.tables import SECRET_BELOW

if TYPE_CHECKING:
    import geopandas as gpd

ABROAD = "GM0998"  # Buitenland
WATER = {"JA": "water", "NEE": "land", "B": "abroad"}
NEEDED = {
    "buurt": ("buurtcode", "buurtnaam", "water"),
    "wijk": ("wijkcode", "wijknaam", "water"),
    "gemeente": ("gemeentecode", "gemeentenaam", "water"),
}
# the names here, those of the map, what they are and their unit
FIGURES = {
    "inwoners": ("aantal_inwoners", "Inwoners", "personen op 1 januari"),
    "huishoudens": ("aantal_huishoudens", "Huishoudens", "particuliere huishoudens"),
    "oppervlakte_land_ha": ("oppervlakte_land_in_ha", "Oppervlakte land", "ha"),
}
CHANGE = "indelingswijziging"
ABOUT = {
    CHANGE: ("Indelingswijziging", "", "tegen het jaar ervoor: 1 gelijk, 2 andere code, 3 andere grens"),
    **{name: (title, unit, f"op de kaart: {code}") for name, (code, title, unit) in FIGURES.items()},
}
# marks of missing figures, as CBS and third parties write them down
MARKS = {
    -99995: "not yet available in this edition",
    -99997: "no figure: secret, unknown or not applicable",
    -99999: "no figure: unknown",
    -99999999: "no figure: unknown",
}


def map_rows(frame: gpd.GeoDataFrame, level: str, year: int, where: str) -> tuple[gpd.GeoDataFrame, list[Note]]:
    """Return the rows of a layer of the map under the names used here, each a valid polygon in RD New.

    Raises
    ------
    DataError or ProblemsError
        Columns that are absent, rows of another year, codes that are none, polygons beyond repair.
    """
    problems, notes = Problems(), list[Note]()
    frame = frame.rename(columns={old: new for new, (old, _, _) in FIGURES.items()})
    code = row_codes(frame, level, where)
    if "jaar" in frame and (other := pd.to_numeric(frame["jaar"], errors="coerce") != year).any():
        hint = "take the year that it is of"
        problems.add(f"{where} is of another year", shown(frame.loc[other, "jaar"].unique()), str(year), hint)
    if strange := sorted(set(map(str, frame["water"].unique())) - set(WATER)):
        problems.add(f"{where}: `water` is unknown", shown(strange), ", ".join(WATER), "report it")
    problems.raise_if_any()
    frame = polygons(frame, code, notes, problems)
    problems.raise_if_any()
    columns = {name: clean(frame[name]) for name in NEEDED[level]}
    columns |= {f"{above}code": CBS.read(code, above) for above in ("wijk", "gemeente") if above in _above(level)}
    if change := next((name for name in frame if re.match(CHANGE, str(name))), None):
        marks = clean(frame[change])
        columns[CHANGE] = pd.to_numeric(marks.mask(marks == ".")).astype("Int64")
    if "gemeentenaam" in frame:
        columns["gemeentenaam"] = clean(frame["gemeentenaam"])
    columns |= {name: pd.to_numeric(frame[name]).astype("float64") for name in FIGURES if name in frame}
    return frame[["geometry"]].assign(**columns), notes


def row_codes(frame: gpd.GeoDataFrame, level: str, where: str) -> pd.Series:
    """Return the codes of the rows of a layer, which are codes of its level."""
    if absent := [name for name in NEEDED[level] if name not in frame]:
        hint = "the map of this year has other columns: report it, or take another year"
        raise DataError(f"{where} lacks columns", shown(frame.columns, 12), ", ".join(absent), hint)
    code = clean(frame[f"{level}code"])
    if bad := CBS.malformed(code, level):
        raise DataError(f"{where} has codes that are none", shown(bad), CBS.forms[level][0], "report it")
    return code


def on_land(rows: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, list[Note]]:
    """Return the rows on Dutch land, and what was dropped."""
    kind = rows["water"].map(WATER).mask(rows["gemeentecode"] == ABROAD, "abroad")
    water, abroad = int((kind == "water").sum()), int((kind == "abroad").sum())
    note = Note(
        "rows of the map that are no land are dropped: {water} water, {abroad} abroad",
        "rijen van de kaart die geen land zijn, zijn weggelaten: {water} water, {abroad} buitenland",
        water=water, abroad=abroad,
    )  # fmt: skip
    return rows[kind == "land"].drop(columns="water"), [note] if water + abroad else []


def dissolved(rows: gpd.GeoDataFrame, key: str) -> tuple[gpd.GeoDataFrame, pd.DataFrame, list[Note]]:
    """Return one row per code with the union of its polygons, why figures are missing, and notes.

    Raises
    ------
    DataError or ProblemsError
        Parts of an area that say different things of it, figures that are below 0 and no known mark.
    """
    import geopandas as gpd
    import shapely

    problems, notes, marks = Problems(), list[Note](), dict[tuple[str, str], float]()
    rows = rows.sort_values(key, kind="stable")
    for name in [name for name in FIGURES if name in rows]:
        figure = rows[name]
        mark = figure <= SECRET_BELOW
        if (strange := (figure < 0) & ~(mark & figure.isin(list(MARKS)))).any():
            got = f"{shown(f'{value:.0f}' for value in figure[strange].unique())} in {shown(rows.loc[strange, key], 3)}"
            known = ", ".join(map(str, MARKS))
            problems.add(f"the map has strange figures in {name}", got, f"0 or more, or {known}", "report it")
        marks |= {(code, name): value for code, value in zip(rows.loc[mark, key], figure[mark], strict=True)}
        rows[name] = figure.mask(mark)
    by, values = rows.groupby(key, sort=True), [name for name in rows if name not in (key, "geometry")]
    for name in values:
        if len(several := (counts := by[name].nunique()).index[counts > 1]):
            got, hint = f"{len(several)} ({shown(several, 3)})", "report it: which of them holds is not known"
            problems.add(f"parts of areas differ in {name}", got, "the same in each", hint)
    problems.raise_if_any()
    several = by[key].transform("size") > 1
    joined = {code: shapely.union_all(parts.to_numpy()) for code, parts in rows[several].groupby(key)["geometry"]}
    shape = pd.concat([rows[~several].set_index(key)["geometry"], pd.Series(joined, dtype=object)])
    frame = gpd.GeoDataFrame(by[values].first().assign(geometry=shape), crs=rows.crs).reset_index()
    if count := int((by.size() > 1).sum()):
        notes.append(Note(
            "{n} areas have several rows on the map: their polygons are joined",
            "{n} gebieden hebben meer rijen op de kaart: hun vlakken zijn samengevoegd",
            n=count,
        ))  # fmt: skip
    missing = frame.set_index(key).isna()
    reasons = [(*cell, f"{mark:.0f}: {MARKS[int(mark)]}") for cell, mark in marks.items() if missing.at[cell]]
    return frame, pd.DataFrame(reasons, columns=list(REASONS)), notes


def described(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return what the figures of a map are."""
    rows = [
        (name, FIGURES[name][0] if name in FIGURES else name, title, unit, about, float(frame[name].notna().mean()))
        for name, (title, unit, about) in ABOUT.items()
        if name in frame
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _above(level: str) -> tuple[str, ...]:
    return CBS.levels[CBS.levels.index(level) + 1 :]
