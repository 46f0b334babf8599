"""Reading tables as Dutch statistical offices deliver them: padded codes, decimal commas, secret cells.

CSV (comma or semicolon, UTF-8 with or without BOM) and Parquet. Columns with area codes are text; CBS's
negative codes and dots for `secret` and `missing` become missing values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pandas as pd

from buurtsae.errors import DataError

SECRET_BELOW = -99_990  # CBS marks secret, missing and impossible by -99990 ... -99999999
MISSING_TEXT = frozenset({"", ".", "x", "nan", "NA", "<NA>", "None"})


def read_table(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet table; the columns in `text` stay strings, stripped of StatLine's padding.

    Raises
    ------
    DataError
        If the file is absent, of an unknown kind, or cannot be parsed.
    """
    if not path.is_file():
        raise DataError(f"{path.name} cannot be read", "no such file", f"a file at {path}", "correct the path")
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            frame = pd.read_parquet(path)
        elif path.suffix.lower() in (".csv", ".txt"):
            head = path.read_text(encoding="utf-8-sig").split("\n", 1)[0]
            separator = ";" if head.count(";") > head.count(",") else ","
            frame = pd.read_csv(path, sep=separator, dtype=dict.fromkeys(text, "string"), encoding="utf-8-sig")
        else:
            raise DataError(f"{path.name} is no known table", path.suffix, ".csv or .parquet", "convert the file")
    except (ValueError, OSError) as error:  # parsers raise subclasses of these; the message says which line
        raise DataError(
            f"{path.name} cannot be parsed", str(error), "a well-formed table", "open and repair it"
        ) from error
    frame.columns = frame.columns.str.strip()
    for column in set(text) & set(frame.columns):
        frame[column] = frame[column].astype("string").str.strip()
    return frame


def as_number(column: pd.Series) -> pd.Series:
    """Return a column as float: decimal commas read, CBS's secret codes and dots missing.

    Raises
    ------
    ValueError
        If a value is neither a number nor a known mark of a missing one.
    """
    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype("string").str.strip()
        text = text.mask(text.isin(list(MISSING_TEXT))).str.replace(",", ".", regex=False)
        column = pd.to_numeric(text)
    numbers = column.astype("Float64").astype("float64")
    return numbers.mask(numbers <= SECRET_BELOW)


def write_csv(
    table: pd.DataFrame, path: Path, *, sep: str = ",", decimal: str = ".", encoding: str = "utf-8", **options: str
) -> None:
    r"""Write a table as CSV: lines end in LF, and every text with a CR or LF in it is quoted.

    Parameters
    ----------
    table : DataFrame
    path : Path
    sep, decimal, encoding : str
    **options
        Further ones of `DataFrame.to_csv`; with ``lineterminator="\r\n"`` lines end in CR LF.
    """
    end = options.pop("lineterminator", "\n")
    with path.open("w", encoding=encoding, newline="") as file:
        table.to_csv(_Lines(file, end), index=False, sep=sep, decimal=decimal, lineterminator=CRLF, **options)


CRLF = "\r\n"


class _Lines:
    """A file whose lines end otherwise than in the CR LF with which `csv` hands over each of them.

    Only the signs of its line end make `csv` quote a text, before Python 3.13: with CR LF it quotes both.
    """

    def __init__(self, file: IO[str], end: str) -> None:
        self._file, self._end = file, end

    def write(self, line: str) -> int:
        """Write one line."""
        return self._file.write(line.removesuffix(CRLF) + self._end)
