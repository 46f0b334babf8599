"""Gebieden in Nederland of CBS: the provincie and GGD-regio in which each gemeente lies.

Its measures are texts, all called `Code` or `Naam`; what they are of is the title of their group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from buurtsae.errors import DataError, shown
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.names import plain
from buurtsae.opendata.statline import wide
from buurtsae.opendata.statline_cube import Cube, cube

ABOVE = {  # column: beginning of the title of the group, title
    "provinciecode": ("provincie", "code"),
    "provincienaam": ("provincie", "naam"),
    "ggdregiocode": ("ggdregio", "code"),
    "ggdregio": ("ggdregio", "naam"),
}


def load(fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None) -> Loaded:
    """Return `gemeentecode`, `gemeentenaam`, and code and name of the provincie and GGD-regio of gemeenten.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
    gemeenten : sequence of str, optional
        Codes; all by default.

    Returns
    -------
    Loaded

    Raises
    ------
    DataError
        If there is no table of that year, or it has no such groups.
    """
    table = cube(fetcher, fetcher.registry.table("gebieden", year))
    codes = {column: _measure(table, *where) for column, where in ABOVE.items()}
    whole = wide(fetcher, replace(table, measures=table.measures.assign(text=True)), None, "gemeente")
    place = whole.columns.set_index("code")
    columns = place.loc[list(codes.values())].reset_index().assign(column=list(codes))
    frame = whole.frame[["gemeentecode", "gemeentenaam"]].assign(
        **{column: whole.frame[place.loc[code, "column"]] for column, code in codes.items()}
    )
    if gemeenten is not None:
        frame = frame[frame["gemeentecode"].isin(table.of("gemeente", gemeenten))].reset_index(drop=True)
    return Loaded(frame, columns[whole.columns.columns], retrieved=whole.retrieved)


def _measure(table: Cube, group: str, title: str) -> str:
    """Code of the measure with a title in a group."""
    fits = table.measures["group"].map(plain).str.startswith(group) & (table.measures["title"].map(plain) == title)
    if fits.sum() != 1:
        what = f"{table.table.title} ({table.table.id}) has no {title} of one group {group}"
        hint = "name the table of another year with --sources"
        raise DataError(what, shown(table.measures["group"].unique(), 10), "one such group", hint)
    return str(table.measures.index[fits][0])
