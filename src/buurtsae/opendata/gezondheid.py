"""Gezondheid per wijk en buurt, of RIVM, GGD'en and CBS: estimates of the model SMAP, with bounds where they are given.

A row of the service is an area, an age group and a margin: the figure itself, its lower and its upper bound of 95%.
Bounds become columns `NAME_lower` and `NAME_upper` where any of them is filled.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from buurtsae.notes import Note
from buurtsae.opendata.http import Fetcher, strange
from buurtsae.opendata.loaded import COLUMNS, Loaded
from buurtsae.opendata.statline import empty, front
from buurtsae.opendata.statline_v3 import feed, rows

ADULTS = "20300"  # 18 and older; 53115 is 18 to 65, 80200 is 65 and older
MARGINS = {"MW00000": "", "MOG0095": "_lower", "MBG0095": "_upper"}  # value, bounds of 95%
BOUNDS = {"_lower": "ondergrens 95%", "_upper": "bovengrens 95%"}


def load(
    fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None, level: str = "buurt", age: str = ADULTS
) -> Loaded:
    """Return the estimates of a year, in percentages of an age group.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
    gemeenten : sequence of str, optional
        Codes, of the division of the table (2024), whatever the year of the figures.
    level : str
        `buurt`, `wijk` or `gemeente`.
    age : str
        Code of the age group: `20300` (18 and older), `53115` (18 to 65) or `80200` (65 and older).

    Returns
    -------
    Loaded
        All areas of the table's own list, also those without an estimate.

    Raises
    ------
    DataError
        If the table lacks the year, the age group or a gemeente, or the service does not do as it should.
    """
    table = feed(fetcher, fetcher.registry.table("gezondheid", year))
    codes = table.of(level, gemeenten)
    found, retrieved = rows(fetcher, table, {"Leeftijd": age, "Perioden": f"{year}JJ00"}, gemeenten, level)
    if found.duplicated([table.geo, "Marges"]).any() or not found["Marges"].isin(list(MARGINS)).all():
        got = f"margins {', '.join(sorted(found['Marges'].unique()))}, some of them twice"
        raise strange(table.table, retrieved[-1].url, got, f"{', '.join(MARGINS)}, each once per area")
    names = dict(zip(table.topics.index, table.columns("rivm_gezondheid"), strict=True))
    parts, told = [front(codes, level, table.dimensions[table.geo])], list[pd.DataFrame]()
    for code, suffix in MARGINS.items():
        part = found[found["Marges"] == code].set_index(table.geo)[list(names)].reindex(codes)
        filled = part.columns if not suffix else part.columns[part.notna().any()]
        parts.append(part[filled].rename(columns=names).add_suffix(suffix).reset_index(drop=True))
        about = table.topics.loc[filled]
        told.append(pd.DataFrame({
            "column": parts[-1].columns, "code": about["topic"].to_numpy(),
            "title": [f"{title}{f' ({BOUNDS[suffix]})' if suffix else ''}" for title in about["title"]],
            "unit": about["unit"].to_numpy(), "about": about["about"].to_numpy(),
            "filled": parts[-1].notna().mean().to_numpy(),
        }))  # fmt: skip
    columns = pd.concat(told, ignore_index=True)[list(COLUMNS)]
    notes = [*empty(table.table, columns), _modelled(sum(part.shape[1] > 0 for part in parts[2:]) == len(BOUNDS))]
    if table.table.codes_of and table.table.codes_of != year:
        notes.append(Note(
            "{title} {year}: the codes are those of the division of {edition}; a code that was given to another area "
            "since does not match areas of {year}",
            "{title} {year}: de codes zijn die van de indeling van {edition}; een code die sindsdien aan een ander "
            "gebied is gegeven, past niet bij gebieden van {year}",
            title=table.table.title, year=str(year), edition=str(table.table.codes_of),
        ))  # fmt: skip
    return Loaded(pd.concat(parts, axis=1), columns, retrieved=(*table.retrieved, *retrieved), notes=tuple(notes))


def _modelled(bounds: bool) -> Note:
    en, nl = ("are given", "zijn gegeven") if bounds else ("are not given", "zijn niet gegeven")
    return Note(
        f"figures on health are estimates of a model (SMAP), never a direct estimate of a survey; their bounds {en}",
        f"cijfers over gezondheid zijn schattingen van een model (SMAP), geen directe schatting; hun marges {nl}",
    )
