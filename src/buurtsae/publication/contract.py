"""The contract as a JSON Schema (draft 2020-12) of one row of `estimates`, for readers in any language.

The schema is generated from the columns; that of scores on 0-10 is stored in the package beside this module, so that a
change of the columns is a change of a file that reviewers see. Rules between columns are those of published tables: a
row labelled `niet_publiceren` has no figures and has a reason, any other has its estimate and interval. To store it
anew:

    python -m buurtsae.publication.contract

See https://json-schema.org/draft/2020-12.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from buurtsae.scale import SCORE, Scale
from buurtsae.schemas import CONTRACT_VERSION, ESTIMATES, SUPPRESSED, Column, estimates

STORED = "contract.schema.json"
TYPES = {"str": "string", "int64": "integer", "Int64": "integer", "float64": "number", "bool": "boolean"}
FIGURES = ("estimate", "sd", "lower", "upper")


def json_schema(columns: Sequence[Column] = ESTIMATES) -> dict[str, Any]:
    """Return the JSON Schema of one published row: these columns, and no other."""
    hidden, open_ = {"const": "niet_publiceren"}, {"const": "betrouwbaar"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:buurtsae:estimates:{CONTRACT_VERSION}",
        "title": "estimates",
        "description": "One row of the table of estimates: one level, area_code, measure and year.",
        "version": CONTRACT_VERSION,
        "type": "object",
        "properties": row_properties(columns),
        "required": [column.name for column in columns],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"label": hidden}, "required": ["label"]},
                "then": {"properties": {name: {"type": "null"} for name in SUPPRESSED}},
                "else": {"properties": {name: {"type": "number"} for name in FIGURES}},
            },
            {
                "if": {"properties": {"label": open_}, "required": ["label"]},
                "else": {"properties": {"reason": {"type": "string"}}},
            },
        ],
    }


def row_properties(columns: Sequence[Column] = ESTIMATES) -> dict[str, Any]:
    """Return the JSON Schema of every column, by name."""
    return {column.name: _property(column) for column in columns}


def schema_text(scale: Scale = SCORE) -> str:
    """Return the schema as it is stored."""
    return json.dumps(json_schema(estimates(scale)), ensure_ascii=False, indent=1) + "\n"


def stored_text() -> str:
    """Return the schema that the package carries."""
    return (resources.files("buurtsae.publication") / STORED).read_text(encoding="utf-8")


def write_contract(folder: Path, scale: Scale = SCORE) -> None:
    """Write `contract.schema.json`, of scores on 0-10 as the package carries it."""
    text = stored_text() if scale == SCORE else schema_text(scale)
    (folder / STORED).write_text(text, encoding="utf-8", newline="\n")


def _property(column: Column) -> dict[str, Any]:
    kind = TYPES[column.dtype]
    limits = {
        "minimum": column.minimum,
        "maximum": column.maximum,
        "enum": [*column.values, *([None] if column.nullable else [])] if column.values else None,
        "pattern": f"^(?:{column.pattern})$" if column.pattern else None,
    }
    return {
        "type": [kind, "null"] if column.nullable else kind,
        **titled(column),
        **{name: limit for name, limit in limits.items() if limit is not None},
    }


def titled(column: Column) -> dict[str, str]:
    """Return the Dutch title and the English description of a column."""
    return {"title": column.nl, "description": column.en + (f" ({column.unit})" if column.unit else "")}


if __name__ == "__main__":
    Path(__file__).with_name(STORED).write_text(schema_text(), encoding="utf-8", newline="\n")
