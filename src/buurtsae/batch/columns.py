"""Places in a run file: `run.year`, `sources.0.file`. What may stand there is read from the types of the run file.

A place goes through tables by their keys, and through lists by number, from 0. Keys that are unknown are refused with
those that look like them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.files import located
from buurtsae.ranges import Listed
from buurtsae.runs.part import BOOK, FILE
from buurtsae.runs.runfile import KINDS, RunSpec

Place = tuple[str, ...]
DEPTH = 4  # of places that are suggested


@cache
def _fields(kind: type) -> dict[str, Any]:
    """The keys of a table, with their types."""
    hints = get_type_hints(kind, include_extras=True)
    names = kind.model_fields if issubclass(kind, BaseModel) else kind.__dataclass_fields__  # type: ignore[attr-defined]
    return {name: hints[name] for name in names}


def _kinds(hint: Any) -> Iterator[Any]:
    """What a type may be, without its annotations."""
    if get_origin(hint) is Annotated:
        yield from _kinds(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from _kinds(part)
    else:
        yield hint


def _marks(hint: Any) -> Iterator[Any]:
    """The annotations of a type, and of those that it may be."""
    if get_origin(hint) is Annotated:
        yield from get_args(hint)[1:]
    if get_origin(hint) in (Annotated, Union, UnionType):
        for part in get_args(hint):
            yield from _marks(part)


def _table(hint: Any, value: Any) -> type | None:
    """The table that a type is, of terms the one that `value` says; None if it is none."""
    tables = [k for k in _kinds(hint) if isinstance(k, type) and (issubclass(k, BaseModel) or is_dataclass(k))]
    tables = [kind for kind in tables if not issubclass(kind, Listed)]
    if len(tables) > 1:
        return KINDS.get(value.get("type", "")) if isinstance(value, dict) else None
    return tables[0] if tables else None


def _inside(hint: Any, value: Any) -> dict[str, Any]:
    """What a place may be followed by, with its type: keys of a table, numbers of a list, keys that are there."""
    if table := _table(hint, value):
        return _fields(table)
    for kind in _kinds(hint):
        if get_origin(kind) is dict and isinstance(value, dict):
            return dict.fromkeys(value, get_args(kind)[1])
        if get_origin(kind) is tuple and isinstance(value, list):
            return {str(k): get_args(kind)[0] for k in range(len(value))}
    return {}


def _next(value: Any, key: str) -> Any:
    """What is at a key or number; None if nothing is."""
    if isinstance(value, dict):
        return value.get(key)
    return value[int(key)] if isinstance(value, list) and key.isdigit() and int(key) < len(value) else None


def known(raw: Any, hint: Any = RunSpec, depth: int = DEPTH) -> Iterator[Place]:
    """Yield the places of a run file, for suggestions."""
    for key, inner in _inside(hint, raw).items():
        yield (key,)
        if depth > 1:
            yield from ((key, *rest) for rest in known(_next(raw, key), inner, depth - 1))


def placed(column: str, raw: dict[str, Any]) -> tuple[Place, Any]:
    """Return the place that a column names in a run file like `raw`, and its type.

    Raises
    ------
    DataError
        If a run file has no such place, with those that look like it.
    """
    hint: Any = RunSpec
    value, place = raw, tuple(column.strip().split("."))
    for part in place:
        inner, kinds = _inside(hint, value), [get_origin(kind) or kind for kind in _kinds(hint)]
        if part in inner:
            hint = inner[part]
        elif part and dict in kinds and not _table(hint, value):  # keys of the user's own
            hint = next(get_args(kind)[1] for kind in _kinds(hint) if get_origin(kind) is dict)
        elif part and Any in kinds:
            hint = Any
        else:
            raise _unknown(column, raw)
        value = _next(value, part)
    return place, hint


def _unknown(column: str, raw: dict[str, Any]) -> DataError:
    every = list(dict.fromkeys(".".join(place) for place in known(raw)))
    ends = [name for name in every if name.endswith(f".{column}")]
    near = list(dict.fromkeys([*ends[:3], *get_close_matches(column, every, 3)]))
    hint = "correct it; lists are counted from 0, and the template has all their rows"
    return DataError(
        f"column {cut(column)} is no key of a run file",
        cut(repr(column)),
        f"a key such as {shown(near or every)}",
        hint,
    )


def read_cell(text: str, hint: Any) -> Any:
    """Return what a cell of a CSV file means at a place: text where the run file has text, else a value of TOML."""
    text = text.strip()
    if str in list(_kinds(hint)) and text[:1] not in ("[", "{"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def put(raw: dict[str, Any], place: Place, value: Any) -> None:
    """Set what is at a place, with the tables that lead there.

    Raises
    ------
    DataError
        If something else than a table or list is on the way.
    """
    inner: Any = raw
    for k, key in enumerate(place):
        if not isinstance(inner, dict | list):
            what, hint = f"{'.'.join(place[:k])} of the template is not right", "correct the template"
            raise DataError(what, cut(repr(inner)), "a table", hint)
        at: Any = int(key) if isinstance(inner, list) else key
        if k == len(place) - 1:
            inner[at] = value
        else:
            inner = inner[at] if isinstance(inner, list) else inner.setdefault(at, {})


def moved(raw: Any, source: Path, target: Path, hint: Any = RunSpec) -> Any:
    """Return what a run file in folder `source` holds, with paths of files as one in folder `target` has them."""
    marks = list(_marks(hint)) if isinstance(raw, str) else []
    if FILE in marks or (BOOK in marks and raw.endswith(".toml")):
        return _from(target, located(source, raw))
    inside = _inside(hint, raw)
    if isinstance(raw, dict):
        return {key: moved(value, source, target, inside.get(key)) for key, value in raw.items()}
    if isinstance(raw, list):
        return [moved(value, source, target, inside.get(str(k))) for k, value in enumerate(raw)]
    return raw


def _from(folder: Path, file: Path) -> str:
    """The path of a file from a folder; as it is where they are on different disks of Windows."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:
        return file.as_posix()


def flat(row: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return a row of TOML by column: a table in it is the places of what it holds."""
    out = dict[str, Any]()
    for key, value in row.items():
        out |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return out


def check_columns(columns: list[str], raw: dict[str, Any], problems: Problems) -> dict[str, tuple[Place, Any]]:
    """Return the place and type of each column, recording those that no run file knows."""
    found = {column: problems.attempt(placed, column, raw) for column in columns}
    return {column: place for column, place in found.items() if place is not None}
