"""The door to the files that a user names: is it a file that can be read, and what does the TOML in it hold.

TOML comes in as a tree of bounded depth and texts: what reads it may recurse, print and compare without care.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError, cut

BESIDE = (".dbf", ".shx", ".prj", ".cpg")  # of a shapefile
DEPTH, TEXT = 20, 10_000  # of tables within tables, and of characters of a key or a value


def readable(path: str | Path, hint: str = "correct the path") -> Path:
    """Return the path of a file that exists.

    Raises
    ------
    DataError
        If it is absent, a folder, or a name that no file can have.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        reason = "a folder" if path.is_dir() else "no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        reason = getattr(error, "strerror", None) or str(error)  # without the path
    raise DataError(f"{cut(path.name)} cannot be read", reason, f"a file at {cut(path, 300)}", hint)


def with_parts(path: Path) -> tuple[Path, ...]:
    """Return a file with the others that it is read with: a shapefile has its table, index and projection beside it."""
    beside = [path.with_suffix(suffix) for suffix in BESIDE] if path.suffix.lower() == ".shp" else []
    return (path, *(other for other in beside if other.is_file()))


def located(folder: Path, name: str) -> Path:
    """Return the absolute path of a file that is named from a folder; `readable` says whether it is there."""
    try:
        return (folder / name).resolve()
    except (OSError, ValueError):  # no file can have this name
        return folder / name


def read_toml(path: str | Path, what: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a TOML file, and what it holds; `what` to call it in messages, such as `run file a.toml`.

    Raises
    ------
    DataError
        If it cannot be read, is no TOML in UTF-8, or is nested deeper or has longer texts than any file needs.
    """
    try:
        content = readable(path).read_bytes()
    except DataError as error:
        raise DataError(f"{what} cannot be read", error.got, error.expected, error.hint) from error
    except OSError as error:
        reason = str(error.strerror or error)
        raise DataError(f"{what} cannot be read", reason, "a file that you may read", "ask for it") from error
    try:
        text = content.decode("utf-8-sig")
        raw = tomllib.loads(text)
    except RecursionError as error:
        raise _too(what, "tables or lists within each other, too deep to read") from error
    except ValueError as error:  # no UTF-8; no TOML, with the line; or numbers that Python refuses
        raise DataError(f"{what} is no TOML", str(error), "a TOML file in UTF-8", "correct that line") from error
    level: list[Any] = [raw]
    for _ in range(DEPTH):
        tables = [value for value in level if isinstance(value, dict)]
        parts = [*(table.values() for table in tables), *(value for value in level if isinstance(value, list))]
        level = [value for part in parts for value in part]
        if large := [value for value in level if isinstance(value, int) and value.bit_length() > 64]:
            raise _too(what, f"a number of {large[0].bit_length()} bits")
        for part in (*(key for table in tables for key in table), *(text for text in level if isinstance(text, str))):
            if len(part) > TEXT:
                raise _too(what, f"{cut(part)!r}")
            if strange := next((sign for sign in part if not (sign.isprintable() or sign in "\n\t")), None):
                where, want = f"{strange!r} in {cut(part)!r}", "letters, digits and signs"
                raise DataError(f"{what} holds a character that cannot be printed", where, want, "remove it")
    if any(isinstance(value, dict | list) for value in level):
        raise _too(what, f"more than {DEPTH} tables or lists within each other")
    return text, raw


def _too(what: str, got: str) -> DataError:
    want = f"depth {DEPTH}, texts of {TEXT:,}, numbers of 64 bits"
    return DataError(f"{what} is too long or too deep", got, want, "make it simpler")
