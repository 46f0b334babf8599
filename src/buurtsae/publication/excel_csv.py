r"""`estimates_nl.csv`: the table for a Dutch Excel, which opens it by a double click.

Semicolons, decimal commas, UTF-8 with a byte order mark, lines that end in CR LF (RFC 4180): the same rows and columns
as `estimates.csv`, and the same doubles when read back.

Spreadsheets take text that begins with `=`, `+`, `-` or `@` for a formula, some also behind what is not seen: spaces,
tabs, returns, signs without a width; and area names are what somebody typed. Such text gets an apostrophe in front, and
so does text that has one already, so that `unguarded` undoes it. Numbers, negative ones too, are no text and stay.

References
----------
Unicode Character Database, Default_Ignorable_Code_Point; OWASP, CSV injection.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from buurtsae.tables import write_csv

SIGNS = frozenset("=+-@＝＋－＠")  # those of full width too
# what cannot be seen although Python calls it printable, and the apostrophe of the guard itself
BLANK = frozenset(" '\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0").union(
    *(map(chr, part) for part in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)))
)


def write_excel_csv(table: pd.DataFrame, folder: Path) -> None:
    """Write `estimates_nl.csv` of the published estimates."""
    safe = table.assign(**{name: guarded(table[name]) for name in table if pd.api.types.is_string_dtype(table[name])})
    write_semicolons(safe, folder / "estimates_nl.csv", decimal=",", encoding="utf-8-sig")


def write_semicolons(table: pd.DataFrame, path: Path, *, decimal: str = ".", encoding: str = "utf-8") -> None:
    """Write a table as Dutch programs read it: semicolons, and CR LF, so that returns inside text are quoted."""
    write_csv(table, path, sep=";", decimal=decimal, encoding=encoding, lineterminator="\r\n")


def guarded(text: pd.Series) -> pd.Series:
    """Return text that no spreadsheet takes for a formula."""
    return text.map(lambda t: f"'{t}" if _is_formula(t) else t, na_action="ignore")


def unguarded(text: pd.Series) -> pd.Series:
    """Return text as it was before `guarded`."""
    return text.map(lambda t: t[1:] if t[:1] == "'" and _is_formula(t[1:]) else t, na_action="ignore")


def _is_formula(text: str) -> bool:
    """Whether the first sign that can be seen begins a formula, or the text begins with a tab or a return."""
    seen = next((sign for sign in text if sign.isprintable() and sign not in BLANK), "")
    return seen in SIGNS or text.lstrip("'")[:1] in ("\t", "\r", "\n")
