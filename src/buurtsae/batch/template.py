"""One run file per row of a table: a template in which columns such as `run.year` and `sources.0.file` are filled in.

    [batch]
    name = "gezondheid"             # a folder holds one batch
    title = "Gezondheid per buurt"
    template = "gezondheid.toml"    # a run file
    table = "indicatoren.csv"       # or [[runs]] with the same keys

An empty cell leaves what the template has. Run files are written with paths from their own folder, so that each can be
run by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from buurtsae.batch.columns import check_columns, flat, moved, put, read_cell
from buurtsae.errors import DataError, Problems, cut, shown
from buurtsae.files import located, read_toml

KEYS = ("name", "title", "template", "table")
NAME = "run.name"
MOST = 10_000  # rows


def rows_of(path: Path, raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a batch file: of its table, where cells are text, or of `[[runs]]`, where they have a type.

    Raises
    ------
    DataError or ProblemsError
        If it has neither or both, or the table cannot be read.
    """
    from buurtsae.tables import read_table

    named, runs = raw["batch"].get("table"), raw.get("runs", [])
    if (named is None) == (not runs):
        got = "both" if runs else "neither"
        raise DataError(f"{path.name} has no rows", got, "`table` under [batch], or [[runs]]", "give one of these")
    if named is None:
        if not (isinstance(runs, list) and all(isinstance(row, dict) for row in runs)):
            raise DataError(f"{path.name}: runs are no rows", cut(repr(runs)), "[[runs]]", "write each as [[runs]]")
        return [flat(row) for row in runs]
    file = located(path.parent, str(named))
    if file.suffix.lower() == ".toml":
        return rows_of(file, {"batch": {}, "runs": read_toml(file, f"table {file.name}")[1].get("runs", [])})
    table = read_table(file, text=_header(file)).fillna("")
    return [{column: cell for column, cell in row.items() if str(cell).strip()} for row in table.to_dict("records")]


def _header(file: Path) -> list[str]:
    """Every column of a CSV file, to be read as text."""
    from buurtsae.tables import read_table

    return list(map(str, read_table(file).columns))


def filled(path: Path, raw: Mapping[str, Any], to: Path, problems: Problems) -> list[tuple[Path, dict[str, Any]]]:
    """Return the run file of each row of a batch file, as it will be in folder `to`; record every problem."""
    keys = check_batch(path, raw, problems)
    if keys is None:
        return []
    file = located(path.parent, keys["template"])
    template = problems.attempt(read_toml, file, f"template {file.name}")
    rows = problems.attempt(rows_of, path, raw)
    if template is None or rows is None:
        return []
    if not 0 < len(rows) <= MOST:
        problems.add(f"{path.name}: rows of the table", str(len(rows)), f"1 to {MOST:,}", "one row is one run")
        return []
    places = check_columns(list(dict.fromkeys(column for row in rows for column in row)), template[1], problems)
    out = list[tuple[Path, dict[str, Any]]]()
    for row in rows:
        run = deepcopy(template[1])
        for column, value in row.items():
            if column in places:
                place, hint = places[column]
                problems.attempt(put, run, place, read_cell(value, hint) if isinstance(value, str) else value)
        name = run.get("run", {}).get("name") if isinstance(run.get("run"), dict) else None
        out.append((to / f"{cut(name, 100)}.toml", moved(run, file.parent.resolve(), to)))
    return out


def check_batch(path: Path, raw: Mapping[str, Any], problems: Problems) -> dict[str, str] | None:
    """Return the keys of `[batch]`, or record what is wrong with them."""
    before, part = len(problems.found), raw["batch"]
    if not isinstance(part, dict):
        problems.add(f"{path.name}: batch is no table", cut(repr(part)), "[batch]", "write it as [batch]")
        return None
    for where, given, known in (("", raw, ("batch", "runs")), ("batch.", part, KEYS)):
        for key in sorted(set(given) - set(known)):
            problems.add(f"{path.name}: unknown key {where}{cut(key)}", cut(repr(key)), shown(known), "correct it")
    for key in (key for key in KEYS if key in part or key in ("name", "template")):
        if not (isinstance(part.get(key), str) and part[key].strip()):
            got = cut(repr(part[key])) if key in part else "nothing"
            problems.add(f"{path.name}: key batch.{key} is not right", got, "a text", "add or correct it")
    return None if len(problems.found) > before else {key: str(value) for key, value in part.items()}


def toml(raw: Mapping[str, Any]) -> str:
    """Return what a run file holds as TOML: a table per part, what is inside on one line."""
    plain = {key: value for key, value in raw.items() if not _tables(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in raw.items():
        for table in (value if isinstance(value, list) else [value]) if _tables(value) else []:
            lines.append(f"\n[[{_key(key)}]]" if isinstance(value, list) else f"\n[{_key(key)}]")
            lines += [f"{_key(name)} = {_value(inner)}" for name, inner in table.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _tables(value: Any) -> bool:
    """Whether a value is a table, or a list of tables only."""
    return isinstance(value, dict) or bool(
        isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    )


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # inf and nan too are as in TOML
    return json.dumps(value, ensure_ascii=False, default=str)  # strings of both are alike
