"""Descriptions of the further layouts for the data package, each of a file that is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buurtsae.publication import statline, swing
from buurtsae.publication.workbook import SHEETS
from buurtsae.scale import SCORE, Scale

CSV = {"format": "csv", "mediatype": "text/csv", "encoding": "utf-8", "dialect": {"delimiter": ";"}}
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
GPKG = "application/geopackage+sqlite3"
PLAIN = {  # files that are no table to a reader of data packages
    "estimates.gpkg": {"name": "estimates-gpkg", "format": "gpkg", "mediatype": GPKG},
    # not `json`: readers would take a file of this name for a Table Schema
    "contract.schema.json": {"name": "contract", "format": "jsonschema", "mediatype": "application/schema+json"},
}


def layout_resources(
    folder: Path,
    schema: Mapping[str, Any],
    measures: Sequence[str],
    scale: Scale = SCORE,
    changed: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return a resource per layout that lies in `folder`, without size and hash.

    `schema` is that of the estimates, `changed` that of the changes where there are several years.
    """
    comma = [field | ({"decimalChar": ","} if field["type"] == "number" else {}) for field in schema["fields"]]
    resources: list[dict[str, Any]] = [
        _table("estimates-nl", "estimates_nl.csv", {**schema, "fields": comma}),
        _table("estimates-xlsx", "estimates.xlsx", schema, _sheet(SHEETS[1])),
        *([] if changed is None else [_table("changes-xlsx", "estimates.xlsx", changed, _sheet(SHEETS[2]))]),
        _table("statline", "statline.csv", _statline(measures, _limits(scale))),
        _table("statline-measures", "statline_measures.csv", _keyed(["Key", "Title", "Description", "Unit"])),
        _table("statline-regions", "statline_regions.csv", _keyed(["Key", "Title", "Level"])),
        _table("swing", "swing.csv", _swing(measures, _limits(scale))),
        *({**about, "path": path} for path, about in PLAIN.items()),
    ]
    return [resource for resource in resources if (folder / resource["path"]).is_file()]


def _table(name: str, path: str, schema: Mapping[str, Any], kind: Mapping[str, Any] = CSV) -> dict[str, Any]:
    return {"name": name, "type": "table", "path": path, **kind, "schema": schema}


def _sheet(name: str) -> dict[str, Any]:
    dialect = {"sheetName": name, "excel": {"sheet": name}}  # the standard's name, and Frictionless's
    return {"format": "xlsx", "mediatype": XLSX, "dialect": dialect}


def _keyed(fields: Sequence[str]) -> dict[str, Any]:
    return {"fields": [_string(field) for field in fields], "primaryKey": ["Key"], "missingValues": [""]}


def _string(name: str, **limits: Any) -> dict[str, Any]:
    return {"name": name, "type": "string", **({"constraints": limits} if limits else {})}


def _limits(scale: Scale) -> dict[str, float]:
    """The ends that a scale has."""
    ends = {"minimum": scale.lower, "maximum": scale.upper}
    return {name: end for name, end in ends.items() if math.isfinite(end)}


def _statline(measures: Sequence[str], limits: Mapping[str, float]) -> dict[str, Any]:
    special = {
        "Id": {"name": "Id", "type": "integer", "constraints": {"required": True, "minimum": 0}},
        "Measure": _string("Measure", required=True, enum=list(measures)),
        "ValueAttribute": _string("ValueAttribute", required=True, enum=list(statline.ATTRIBUTES)),
        "Value": {"name": "Value", "type": "number", "constraints": dict(limits)},
        "RegioS": _string("RegioS", required=True, minLength=statline.WIDTH),
        "Perioden": _string("Perioden", required=True, pattern=r"\d{4}JJ00"),
        "Marges": _string("Marges", required=True, enum=list(statline.MARGINS)),
    }
    fields = [special.get(name, _string(name)) for name in statline.COLUMNS]
    return {"fields": fields, "primaryKey": ["Id"], "missingValues": [""]}


def _swing(measures: Sequence[str], limits: Mapping[str, float]) -> dict[str, Any]:
    codes = [swing.HIDDEN, swing.EMPTY]
    period = {"name": "PERIOD", "type": "integer"}
    fields = [period, _string("GEOLEVEL", required=True), _string("GEOITEM", required=True)]
    for measure in measures:
        for part, suffix in swing.PARTS.items():
            field: dict[str, Any] = {"name": measure + suffix, "type": "number", "constraints": {"required": True}}
            if part == "label":
                field["type"] = "integer"
                field["constraints"]["enum"] = [*swing.OPINION.values(), swing.EMPTY]
            else:
                # the codes are far below any figure
                field["constraints"] |= dict(limits) | ({"minimum": min(codes)} if "minimum" in limits else {})
            fields.append(field)
    return {"fields": fields, "primaryKey": list(swing.KEY), "missingValues": [""]}
