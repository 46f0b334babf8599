"""The door to the files that a user names: is it a file that can be read, and what does the TOML in it hold.

TOML comes in as a tree of bounded depth and texts: what reads it may recurse, print and compare without care.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError, cut

DEPTH, TEXT = 20, 10_000  # of tables within tables, and of characters of a key or a value


def readable(path: str | Path, hint: str = "correct the path") -> Path:
    """Return the path of a file that exists.

    Raises
    ------
    DataError
        If it is absent, a folder, or a name that no file can have.
    """
    path = Path(path)
    got = "no such file"
    try:
        if path.is_file():
            return path
        got = "a folder" if path.is_dir() else got
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        got = getattr(error, "strerror", None) or str(error)  # without the path
    raise DataError(f"{cut(path.name)} cannot be read", got, f"a file at {cut(path, 300)}", hint)


def located(folder: Path, name: str) -> Path:
    """Return the absolute path of a file that is named from a folder; `readable` says whether it is there."""
    try:
        return (folder / name).resolve()
    except (OSError, ValueError):  # no file can have this name
        return folder / name


def read_toml(path: str | Path, what: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a TOML file, and what it holds.

    Parameters
    ----------
    path : path
    what : str
        What to call it in messages, such as `run file a.toml`.

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
        raise DataError(
            f"{what} cannot be read", str(error.strerror or error), "a file that you may read", "ask for it"
        ) from error
    try:
        text = content.decode("utf-8-sig")
        raw = tomllib.loads(text)
    except RecursionError as error:
        raise _too(what, "tables or lists within each other, too deep to read") from error
    except ValueError as error:  # no UTF-8; no TOML, with the line; or numbers that Python refuses
        raise DataError(f"{what} is no TOML", str(error), "a TOML file in UTF-8", "correct that line") from error
    level: list[Any] = [raw]
    for _ in range(DEPTH):
        pairs = [p for v in level if isinstance(v, dict) for p in v.items()]
        level = [v for _, v in pairs] + [w for v in level if isinstance(v, list) for w in v]
        if large := [v for v in level if isinstance(v, int) and v.bit_length() > 64]:
            raise _too(what, f"a number of {large[0].bit_length()} bits")
        for part in (*(k for k, _ in pairs), *(v for v in level if isinstance(v, str))):
            if len(part) > TEXT:
                raise _too(what, f"{cut(part)!r}")
            if strange := next((c for c in part if not (c.isprintable() or c in "\n\t")), None):
                raise DataError(
                    f"{what} holds a character that cannot be printed",
                    f"{strange!r} in {cut(part)!r}",
                    "letters, digits and signs",
                    "remove it",
                )
    if any(isinstance(v, dict | list) for v in level):
        raise _too(what, f"more than {DEPTH} tables or lists within each other")
    return text, raw


def _too(what: str, got: str) -> DataError:
    return DataError(
        f"{what} is too long or too deep",
        got,
        f"depth {DEPTH}, texts of {TEXT:,}, numbers of 64 bits",
        "make it simpler",
    )
