"""What every loader returns: figures by code, what they are, why some are missing, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from buurtsae.notes import Note
from buurtsae.retrieved import Retrieved

COLUMNS = ("column", "code", "title", "unit", "about", "filled")
REASONS = ("code", "column", "reason")


@dataclass(frozen=True)
class Loaded:
    """A table of open data.

    Attributes
    ----------
    frame : DataFrame or GeoDataFrame, one row per area, sorted
        The first column is the code, as published: `buurtcode`, `wijkcode` or `gemeentecode`. A missing figure is
        missing, never 0.
    columns : DataFrame
        One row per column of figures: `column`, `code` (the publisher's), `title`, `unit`, `about`, `filled` (share of
        the rows that have a figure).
    reasons : DataFrame
        One row per missing figure of which is stated why: `code`, `column`, `reason`.
    retrieved : tuple of Retrieved
        What was downloaded for it.
    notes : tuple of Note
        What a user must know.
    more : mapping of str to DataFrame
        Tables made of it that are no columns of areas, by the name of their file: `seed`.
    """

    frame: pd.DataFrame
    columns: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    reasons: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(REASONS)))
    retrieved: tuple[Retrieved, ...] = ()
    notes: tuple[Note, ...] = ()
    more: Mapping[str, pd.DataFrame] = field(default_factory=dict)
