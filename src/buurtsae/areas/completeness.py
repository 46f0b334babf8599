"""What a run holds completely: only that may be called and published by its name.

An area above buurt is complete when `where` kept every inhabited buurt of it that the file has. What the file itself
lacks shows in official counts, where they are known: gemeenten in the country and in each provincie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError
from buurtsae.notes import Note
from buurtsae.tables import as_number

if TYPE_CHECKING:
    import geopandas as gpd

    from buurtsae.areas.areas import Areas

COUNTRY = ("nederland", "the netherlands", "netherlands")
WHOLE = "het hele gebied van de run"

# CBS, Gemeentelijke indeling op 1 januari; 2022 from 24 March on, when Weesp joined Amsterdam
GEMEENTEN = {
    **{2010: 431, 2011: 418, 2012: 415, 2013: 408, 2014: 403, 2015: 393, 2016: 390, 2017: 388, 2018: 380, 2019: 355},
    **{2020: 355, 2021: 352, 2022: 344, 2023: 342, 2024: 342, 2025: 342},
}
FEWEST = 335  # of a year that is not in the table: below the count of any year so far
# CBS, Gebieden in Nederland 2024; no gemeente changed from 2023 to 2025
PER_PROVINCIE = {
    **{("PV20", "Groningen"): 10, ("PV21", "Fryslân"): 18, ("PV22", "Drenthe"): 12, ("PV23", "Overijssel"): 25},
    **{("PV24", "Flevoland"): 6, ("PV25", "Gelderland"): 51, ("PV26", "Utrecht"): 26, ("PV27", "Noord-Holland"): 44},
    **{("PV28", "Zuid-Holland"): 50, ("PV29", "Zeeland"): 13, ("PV30", "Noord-Brabant"): 56, ("PV31", "Limburg"): 31},
}
PROVINCIES = {key: n for keys, n in PER_PROVINCIE.items() for key in keys}
PROVINCIE_YEARS = (2023, 2024, 2025)


def partly(code: pd.Series, inhabited: NDArray[np.bool_], kept: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the areas of which some buurten were kept and some inhabited ones were not.

    `code` is the area that each buurt of the file lies in, missing where it is in none.
    """
    return tuple(sorted(set(code[kept].dropna()) & set(code[inhabited & ~kept].dropna())))


def too_few_gemeenten(provincie: pd.Series, year: int) -> tuple[str, ...]:
    """Return the provincies (codes or names, by buurtcode) with fewer gemeenten than official, in years known here."""
    if year not in PROVINCIE_YEARS:
        return ()
    count = CBS.read(provincie.index.to_series(), "gemeente").groupby(provincie.to_numpy()).nunique()
    return tuple(sorted(str(name) for name, gemeenten in count.items() if gemeenten < PROVINCIES.get(str(name), 0)))


def is_country(gemeenten: Iterable[str], year: int) -> bool:
    """Return whether these are all gemeenten of the Netherlands."""
    return len(set(gemeenten)) >= GEMEENTEN.get(year, FEWEST)


def completed(areas: Areas, file: gpd.GeoDataFrame, population: str) -> Areas:
    """Take out what the run holds a part of: of wijken and gemeenten the figures, of higher levels the areas.

    `file` is all of the file, by buurtcode, and `population` its column with the number of residents.
    """
    inhabited, kept = (as_number(file[population]) > 0).to_numpy(), file.index.isin(areas.codes)
    frame, partial, notes = areas.frame.copy(), {}, list(areas.notes)
    columns = {"wijk": "wijkcode", "gemeente": "gemeentecode"}
    if "provinciecode" in file:
        columns["provincie"] = "provinciecode"
    for level in areas.levels[1:-1]:
        column = columns.get(level, level)
        part = partly(file[column].astype("string").str.strip().replace("", pd.NA), inhabited, kept)
        if level == "provincie":
            part = tuple(sorted({*part, *too_few_gemeenten(frame[level], areas.year)}))
        if not part:
            continue
        notes.append(Note(
            "{n} {level} of which the run holds a part, without a figure as a whole: {codes}",
            "{n} keer een {level} waarvan de run maar een deel bevat, en die dus geen cijfer krijgt: {codes}",
            n=len(part), level=level, codes=part,
        ))  # fmt: skip
        if level in ("wijk", "gemeente"):
            partial[level] = part
            continue
        group = areas.column(level)
        frame[group] = frame[group].where(~frame[group].isin(part), None)
        if frame[group].isna().all():
            frame = frame.drop(columns=group)
    groupings = tuple(name for name in areas.groupings if areas.column(name) in frame)
    national = not partial and is_country(frame["gemeente"], areas.year)
    omitted = tuple(file.index[~kept])
    return replace(
        areas, frame=frame, notes=tuple(notes), groupings=groupings, partial=partial, national=national, omitted=omitted
    )


def named(areas: Areas, region: str) -> Areas:
    """Give the whole its name: that of the country, or of the one gemeente or provincie that it is, or as asked."""
    if region.strip().casefold() in COUNTRY and not areas.national:
        what = "the run does not hold the whole country"
        hint = "give [areas] region the name of what it is, or leave it out"
        part = sum(map(len, areas.partial.values()))
        held = f"{areas.frame['gemeente'].nunique()} gemeenten, {part} areas in part"
        raise DataError(what, held, f"all gemeenten of {areas.year} for a region called {region.strip()}", hint)
    for level in ("gemeente", "provincie"):
        one = areas.parents(level).unique() if level in areas.levels and not areas.partial else []
        if not region and len(one) == 1:
            return replace(areas, region=areas.label(level, str(one[0])))
    return replace(areas, region=region or ("Nederland" if areas.national else WHOLE))
