"""The Frictionless Data Package (version 2) description of the tables, derived from their columns.

Titles are Dutch, descriptions English. See https://datapackage.org/standard/data-package/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buurtsae.notes import Note
from buurtsae.origin import SOURCE
from buurtsae.publication.layout_resources import layout_resources
from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import CONTRACT_VERSION, KEY, Column, estimates, supplement

TYPES = {"str": "string", "int64": "integer", "Int64": "integer", "float64": "number", "bool": "boolean"}


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
) -> dict[str, Any]:
    """Describe the tables as they lie in `folder`: those of the contract, and further ones where they are.

    Parameters
    ----------
    folder : path
        Where the files are; their size and SHA-256 go into the description.
    title, created, run_id : str
        Title of the set of estimates, moment it was made (RFC 3339), key into `manifest.json`.
    measures : mapping of identifier to Dutch label
        The measures that occur in the table.
    source : Note
        Whom figures come from.
    notice : str
        What is said of made data; empty for other data.
    scale : Scale
        Of the measures.
    """
    described = "Small-area estimates of buurtverbondenheid; suppressed rows stay, with empty figures."
    schema = {"fields": [_field(c, measures) for c in estimates(scale)], "primaryKey": list(KEY), "missingValues": [""]}
    csv = {"format": "csv", "mediatype": "text/csv", "encoding": "utf-8", "dialect": {"delimiter": ","}}
    parquet = {"format": "parquet", "mediatype": "application/vnd.apache.parquet"}
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "buurtverbondenheid",
        "id": run_id,
        "title": title,
        "description": " ".join(filter(None, [notice, described])),
        "version": CONTRACT_VERSION,
        "created": created,
        "sources": [{"title": text} for text in (source.nl, source)],
        **({"keywords": ["fictief", "fictitious"]} if notice else {}),
        "resources": [
            {"name": "estimates", "type": "table", **_file(folder / "estimates.csv"), **csv, "schema": schema},
            {"name": "estimates-parquet", **_file(folder / "estimates.parquet"), **parquet, "schema": schema},
            *_supplement(folder, csv, measures, scale),
            *(r | _file(folder / r["path"]) for r in layout_resources(folder, schema, list(measures), scale)),
        ],
    }


def _supplement(folder: Path, csv: dict[str, Any], measures: Mapping[str, str], scale: Scale) -> list[dict[str, Any]]:
    """The file of further columns, where it was written, with the columns that it has."""
    path = folder / "supplement.csv"
    if not path.is_file():
        return []
    found = path.read_text(encoding="utf-8").partition("\n")[0].split(",")
    known = {c.name: c for c in (*estimates(scale), *supplement(scale))}
    fields = [_field(known[name], measures) for name in found]
    schema = {"fields": fields, "primaryKey": list(KEY), "missingValues": [""]}
    return [{"name": "supplement", "type": "table", **_file(path), **csv, "schema": schema}]


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"path": path.name, "bytes": len(content), "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}


def _field(column: Column, measures: Mapping[str, str]) -> dict[str, Any]:
    values = list(measures) if column.name == "measure" else list(column.values)
    limits = {"minimum": column.minimum, "maximum": column.maximum, "enum": values or None}
    field: dict[str, Any] = {
        "name": column.name,
        "type": TYPES[column.dtype],
        "title": column.nl,
        "description": column.en + (f" ({column.unit})" if column.unit else ""),
        "constraints": {"required": not column.nullable} | {k: v for k, v in limits.items() if v is not None},
    }
    if column.name == "measure":
        field["categories"] = [{"value": m, "label": label} for m, label in measures.items()]
    return field
