"""`swing.csv`: the estimates as Swing imports them, one row per period and area, one column per indicator.

An indicator per measure, and for its interval and label `_ond` (lower end), `_bov` (upper end) and `_oordeel`
(1 betrouwbaar, 2 indicatief, 3 niet publiceren). Every area of every level is there: -99997 where a figure is not
published, -99996 where there is none. What is Swing's and what is chosen here: docs/files.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.publication.excel_csv import write_semicolons
from buurtsae.publication.statline import level_name
from buurtsae.schemas import LABELS

KEY = ("PERIOD", "GEOLEVEL", "GEOITEM")
HIDDEN, EMPTY = -99997, -99996
PARTS = {"estimate": "", "lower": "_ond", "upper": "_bov", "label": "_oordeel"}
OPINION = {label: k for k, label in enumerate(LABELS, start=1)}
PREFIX = r"^(?:BU|WK|GM|GG|PV)(?=\d)"


def write_swing(table: pd.DataFrame, places: pd.DataFrame, measures: Sequence[str], folder: Path) -> None:
    """Write `swing.csv` of the published estimates, for all places as `regions` returns them."""
    write_semicolons(swing(table, places, measures), folder / "swing.csv")


def swing(table: pd.DataFrame, places: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return `PERIOD`, `GEOLEVEL`, `GEOITEM` and four columns per measure."""
    years = pd.DataFrame({"year": sorted(set(table["year"]))})
    every = years.merge(places[["level", "area_code", "country"]], how="cross")
    key = ["year", "level", "area_code"]
    columns: dict[str, pd.Series] = {
        "PERIOD": every["year"],
        "GEOLEVEL": level_name(every),
        "GEOITEM": geoitem(every),
    }
    for measure in measures:
        rows = table.loc[table["measure"] == measure, [*key, *PARTS]]
        cells = every.merge(rows, on=key, how="left", validate="one_to_one")
        absent, hidden = cells["label"].isna(), cells["label"] == "niet_publiceren"
        for name, suffix in PARTS.items():
            if name == "label":
                columns[measure + suffix] = cells[name].map(OPINION).fillna(EMPTY).astype("int64")
            else:
                values = cells[name].astype(object)  # so that codes are written as whole numbers
                columns[measure + suffix] = values.mask(hidden, HIDDEN).mask(absent, EMPTY)
    return pd.DataFrame(columns)


def geoitem(rows: pd.DataFrame) -> pd.Series:
    """Return the number of each area without the letters of its level, as text; 1 for the whole.

    Groups of a grouping of the user's own keep their codes, whatever they look like.
    """
    number = rows["area_code"].str.replace(PREFIX, "", regex=True)
    return number.where(rows["level"].isin(CBS.levels), rows["area_code"]).mask(rows["level"] == "land", "1")
