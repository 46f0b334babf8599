r"""`estimates_nl.csv`: the table for a Dutch Excel, which opens it by a double click.

Semicolons, decimal commas, UTF-8 with a byte order mark, lines that end in CR LF (RFC 4180): the same rows and columns
as `estimates.csv`, and the same doubles when read back.

Excel takes text that starts with `=`, `+`, `-`, `@`, tab or return for a formula, and area names are what somebody
typed. Such text gets an apostrophe in front, and so does text that has one already, so that `unguarded` undoes it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FORMULA = r"^('*[=+\-@\t\r\n])"
GUARDED = r"^'('*[=+\-@\t\r\n])"


def write_excel_csv(table: pd.DataFrame, folder: Path) -> None:
    """Write `estimates_nl.csv`.

    Parameters
    ----------
    table : DataFrame
        The published estimates.
    folder : path
        An existing folder.
    """
    text = [c for c in table if pd.api.types.is_string_dtype(table[c])]
    safe = table.assign(**{c: guarded(table[c]) for c in text})
    write_semicolons(safe, folder / "estimates_nl.csv", decimal=",", encoding="utf-8-sig")


def write_semicolons(table: pd.DataFrame, path: Path, *, decimal: str = ".", encoding: str = "utf-8") -> None:
    """Write a table as Dutch programs read it: semicolons, and CR LF, so that returns inside text are quoted."""
    table.to_csv(path, index=False, sep=";", decimal=decimal, encoding=encoding, lineterminator="\r\n")


def guarded(text: pd.Series) -> pd.Series:
    """Return text that no spreadsheet takes for a formula."""
    return text.str.replace(FORMULA, r"'\1", regex=True)


def unguarded(text: pd.Series) -> pd.Series:
    """Return text as it was before `guarded`."""
    return text.str.replace(GUARDED, r"\1", regex=True)
