"""Reading tables as Dutch statistical offices deliver them: padded codes, decimal commas, secret cells.

CSV (comma or semicolon, UTF-8 with or without BOM) and Parquet. What comes out has columns of different names, without
spaces around them, and single values in plain types. Columns with area codes are text; CBS's negative codes and dots
for `secret` and `missing` become missing values. A number is finite, and of a size that can be computed with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.files import readable

SECRET_BELOW = -99_990  # CBS marks secret, missing and impossible by -99990 ... -99999999
MISSING_TEXT = frozenset({"", ".", "x", "nan", "NA", "<NA>", "None"})
TYPES = (
    pd.api.types.is_numeric_dtype,
    pd.api.types.is_bool_dtype,
    pd.api.types.is_string_dtype,
    pd.api.types.is_datetime64_any_dtype,
    pd.api.types.is_timedelta64_dtype,
)
SCALARS = (str, bool, int, float, Decimal, date, datetime, time, np.generic)
SMALLEST, LARGEST = 1e-50, 1e15  # of a number that is not 0: squares, sums and their inverses stay numbers


def read_table(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or Parquet table; the columns in `text` stay strings, stripped of StatLine's padding.

    Raises
    ------
    DataError or ProblemsError
        If the file is absent, of an unknown kind, or cannot be parsed, or `plain` refuses what it holds.
    """
    path = readable(path)
    suffix, names = path.suffix.lower(), None
    if suffix not in (".parquet", ".geoparquet", ".csv", ".txt"):
        raise DataError(f"{path.name} is no known table", suffix, ".csv or .parquet", "save it as CSV in UTF-8")
    try:
        if suffix in (".parquet", ".geoparquet"):
            frame = pd.read_parquet(path)
        else:
            head = path.read_text(encoding="utf-8-sig").split("\n", 1)[0]
            separator = ";" if head.count(";") > head.count(",") else ","
            if separator not in head and (other := next((sign for sign in "\t|" if sign in head), None)):
                raise ValueError(f"cells are parted by {other!r}")
            options = {"sep": separator, "encoding": "utf-8-sig", "low_memory": False}
            names = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **options).iloc[0]
            as_text = {name: "string" for name in names if name.strip() in text}
            frame = pd.read_csv(path, dtype=as_text, **options)
            if not isinstance(frame.index, pd.RangeIndex):
                raise ValueError("rows have more cells than the header has names")
    except Exception as error:  # whatever a parser raises on a file that it cannot read
        what, reason = f"{path.name} cannot be parsed", cut(error, 300)
        hint = "open and repair it: commas or semicolons between cells"
        if isinstance(error, UnicodeDecodeError):
            hint = "save it as UTF-8 (in Excel: CSV UTF-8)"
        raise DataError(what, reason, "a well-formed table", hint) from error
    return plain(frame, path.name, text, names)


def plain(frame: pd.DataFrame, file: str, text: Sequence[str] = (), names: Iterable[str] | None = None) -> pd.DataFrame:
    """Return a table with stripped names that differ, a simple index, and cells that are scalars.

    `file` is its name in messages, `text` are columns to return as stripped text, and `names` those of the columns as
    the file has them, where reading changed them.

    Raises
    ------
    DataError or ProblemsError
        What is no table, columns of the same name but for spaces, and cells that hold lists or bytes.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{file} is no table", f"{type(frame).__name__}: {cut(repr(frame))}", "a DataFrame", "give one")
    problems = Problems()
    if named := [level for level, name in enumerate(frame.index.names) if name is not None and name not in frame]:
        frame = frame.reset_index(level=named)
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    counts = Counter(frame.columns if names is None else filter(None, map(str.strip, names)))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"{file} has columns twice", shown(twice), "different names", "rename or remove one of them")
    changed = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            kind = column.cat.categories.dtype if column.notna().all() else object  # no whole number is missing
            column = changed[name] = column.astype(kind)
        kinds = set(map(type, column[column.notna()])) if column.dtype == object else set()
        strange = [kind.__name__ for kind in kinds if not issubclass(kind, SCALARS)]
        if column.dtype != object and not any(known(column.dtype) for known in TYPES):
            strange = [str(column.dtype)]
        if strange:
            what, hint = (
                f"{file}, {cut(name)}: cells are no single values",
                "give each value a column or a row of its own",
            )
            problems.add(what, shown(sorted(strange)), "a number or a text in each", hint)
    problems.raise_if_any()
    for name in set(text) & set(frame):
        changed[name] = changed.get(name, frame[name]).astype("string").str.strip()
    return frame.assign(**changed)


def boolean(column: pd.Series) -> bool:
    """Whether a column has truth values, alone or among missing ones; as numbers they would be 0 and 1."""
    return pd.api.types.is_bool_dtype(column) or bool(column.map(lambda v: isinstance(v, bool | np.bool_)).any())


def as_number(column: pd.Series, strict: bool = True, secret: float = SECRET_BELOW) -> pd.Series:
    """Return a column as float: decimal commas read, CBS's secret codes (up to `secret`) and dots missing.

    Unless `strict`, what is no number is missing too.

    Raises
    ------
    ValueError
        If a value is neither a number nor a known mark of a missing one, or too large or small to compute with.
    """
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
            column = column.astype(str)
        text = column.astype("string").str.strip()
        text = text.mask(text.isin(list(MISSING_TEXT))).str.replace(",", ".", regex=False)
        text = text.mask(text.str.fullmatch(r"[+-]?\d{25,}").fillna(False), "inf")  # whole numbers beyond any type
        column = pd.to_numeric(text, errors="raise" if strict else "coerce")
    numbers = column.astype("Float64").astype("float64")
    size = numbers.abs()
    impossible = (size > LARGEST) | ((size < SMALLEST) & (size > 0))
    if strict and impossible.any():
        raise ValueError(f"{numbers[impossible].iloc[0]:g}, which is too large or too small to compute with")
    return numbers.mask(impossible | (numbers <= secret))


def write_csv(
    table: pd.DataFrame, path: Path, *, sep: str = ",", decimal: str = ".", encoding: str = "utf-8", **options: str
) -> None:
    r"""Write a table as CSV: lines end in LF, or `lineterminator`, and every text with a CR or LF in it is quoted."""
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
