"""The Frictionless Data Package (version 2) description of the tables, derived from their columns.

Titles are Dutch, descriptions English. See https://datapackage.org/standard/data-package/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from buurtsae.folder.finished import digest
from buurtsae.notes import Note
from buurtsae.origin import SOURCE
from buurtsae.publication.contract import TYPES, titled
from buurtsae.publication.layout_resources import layout_resources
from buurtsae.retrieved import Retrieved
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import CONTRACT_VERSION, KEY, Column, changes, estimates, groups, supplement, trends

MEASURES = Note("Figures", "Cijfers")


def datapackage(
    folder: Path,
    *,
    title: str,
    created: str,
    run_id: str,
    measures: Mapping[str, str],
    source: Note = SOURCE,
    notice: str = "",
    scale: Scale = SCORE,
    of: Note = MEASURES,
    open_data: Iterable[Retrieved] = (),
) -> dict[str, Any]:
    """Describe the tables as they lie in `folder`: those of the contract, and further ones where they are.

    `created` is in RFC 3339, `measures` are Dutch labels by identifier, `notice` says that data are made, `of` what the
    measures are together, `open_data` are the tables behind the areas.
    """
    described = f"Small-area estimates: {of}; suppressed rows stay, with empty figures."
    schema = _schema(estimates(scale), measures)
    csv = {"format": "csv", "mediatype": "text/csv", "encoding": "utf-8", "dialect": {"delimiter": ","}}
    changed = _changes(folder, csv, measures, scale)
    layouts = layout_resources(folder, schema, list(measures), scale, *(part["schema"] for part in changed))
    parquet = {"format": "parquet", "mediatype": "application/vnd.apache.parquet"}
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": re.sub(r"[^a-z0-9]+", "-", of.nl.casefold()).strip("-") or "estimates",
        "id": run_id,
        "title": title,
        "description": " ".join(filter(None, [notice, described])),
        "version": CONTRACT_VERSION,
        "created": created,
        "sources": [*({"title": text} for text in (source.nl, source)), *map(_source, open_data)],
        **({"keywords": ["fictief", "fictitious"]} if notice else {}),
        "resources": [
            {"name": "estimates", "type": "table", **_file(folder / "estimates.csv"), **csv, "schema": schema},
            {"name": "estimates-parquet", **_file(folder / "estimates.parquet"), **parquet, "schema": schema},
            *_supplement(folder, csv, measures, scale),
            *_groups(folder, csv, measures, scale),
            *changed,
            *(part | _file(folder / part["path"]) for part in layouts),
        ],
    }


def _source(part: Retrieved) -> dict[str, str]:
    """A table of open data, as a source of the package."""
    title = f"{part.title} ({part.source}, {part.table}), {part.licence}"
    return {"title": title, **({"path": part.url, "version": part.edition} if part.url else {})}


def _supplement(folder: Path, csv: dict[str, Any], measures: Mapping[str, str], scale: Scale) -> list[dict[str, Any]]:
    """The file of further columns, where it was written, with the columns that it has."""
    path = folder / "supplement.csv"
    if not path.is_file():
        return []
    known = {column.name: column for column in (*estimates(scale), *supplement(scale))}
    names = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
    schema = _schema([known[name] for name in names], measures)
    return [{"name": "supplement", "type": "table", **_file(path), **csv, "schema": schema}]


def _groups(folder: Path, csv: dict[str, Any], measures: Mapping[str, str], scale: Scale) -> list[dict[str, Any]]:
    """Figures of groups of residents, where they were written."""
    path = folder / "groups.csv"
    if not path.is_file():
        return []
    schema = _schema(groups(scale), measures)
    schema["primaryKey"] = ["characteristic", "group", *KEY]
    return [{"name": "groups", "type": "table", **_file(path), **csv, "schema": schema}]


def _changes(folder: Path, csv: dict[str, Any], measures: Mapping[str, str], scale: Scale) -> list[dict[str, Any]]:
    """How figures changed between years, where that was written."""
    path = folder / "changes.csv"
    if not path.is_file():
        return []
    schema = _schema(changes(scale), measures)
    schema["primaryKey"] = ["level", "area_code", "measure", "year_from", "year_to"]
    return [{"name": "changes", "type": "table", **_file(path), **csv, "schema": schema}]


def _trends(folder: Path, csv: dict[str, Any], measures: Mapping[str, str], scale: Scale) -> list[dict[str, Any]]:
    """Figures of every year with breaks and without, where these were written."""
    path = folder / "trends.csv"
    if not path.is_file():
        return []
    return [{"name": "trends", "type": "table", **_file(path), **csv, "schema": _schema(trends(scale), measures)}]


def _schema(columns: Iterable[Column], measures: Mapping[str, str]) -> dict[str, Any]:
    fields = [_field(column, measures) for column in columns]
    return {"fields": fields, "primaryKey": list(KEY), "missingValues": [""]}


def _file(path: Path) -> dict[str, Any]:
    return {"path": path.name, "bytes": path.stat().st_size, "hash": f"sha256:{digest(path)}"}


def _field(column: Column, measures: Mapping[str, str]) -> dict[str, Any]:
    values = list(measures) if column.name == "measure" else list(column.values)
    limits = {"minimum": column.minimum, "maximum": column.maximum, "enum": values or None}
    field: dict[str, Any] = {
        "name": column.name,
        "type": TYPES[column.dtype],
        **titled(column),
        "constraints": {"required": not column.nullable}
        | {n: limit for n, limit in limits.items() if limit is not None},
    }
    if column.name == "measure":
        field["categories"] = [{"value": measure, "label": label} for measure, label in measures.items()]
    return field
