"""Whether figures per buurt can be what their columns say: within the range that a codebook or their name gives.

A codebook gives a range by `range`, or by a unit that begins with %: a figure outside it is an error. A column of which
only the name sounds like a percentage may be a change, or something else: that is a note.
"""

from __future__ import annotations

import re

import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError
from buurtsae.model.covariates import known
from buurtsae.notes import Finding, Note

PERCENTAGE = re.compile(r"(pct|perc|percentage|p)_", re.IGNORECASE)


def figures(areas: Areas) -> list[Finding]:
    """Return what is wrong or strange with the figures of buurten with residents; of other areas nothing is known."""
    if areas.system is not CBS:
        return []
    return [within(areas.frame.loc[areas.inhabited, name]) for name in areas.covariates]


def within(column: pd.Series) -> Finding:
    """A figure lies in the range of its indicator, and a percentage between 0 and 100."""
    name, entry = str(column.name), known(str(column.name))
    limits = entry[1].limits if entry else None
    low, high = limits or (0.0, 100.0)
    outside = column[column.notna() & ~column.between(low, high)]
    if outside.empty or not (limits or PERCENTAGE.match(name)):
        return None
    where = "{values:g} in {n} buurten ({codes})"
    got = Note(where, where, values=list(outside), n=len(outside), codes=list(outside.index))
    if limits and entry:
        return DataError(
            f"{name} lies outside its range", got, f"{low:g} to {high:g}: {entry[1].unit}", "correct these cells"
        )
    return Note(
        "{name} sounds like a percentage and lies outside 0-100: {got}",
        "{name} klinkt als een percentage en ligt buiten 0-100: {got}",
        name=name, got=got,
    )  # fmt: skip
