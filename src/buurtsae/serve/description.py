"""What the server answers, as JSON Schemas for OpenAPI 3.1; a row is as the run's own contract says.

The document of a gemeente is described by its parts; `docs/files.md` says what is in them.
"""

from __future__ import annotations

from typing import Any

from buurtsae.publication.contract import row_properties
from buurtsae.scale import SCORE
from buurtsae.schemas import changes

PROBLEM = "application/problem+json"


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
NAMED = _object({"area_code": TEXT, "area_name": TEXT})
CHANGED = {  # figures are in the unit of their measure
    name: {key: about[key] for key in ("type", "title", "enum") if key in about}
    for name, about in row_properties(changes(SCORE)).items()
}
PLACE = {
    "type": ["object", "null"],
    "properties": {"type": {"enum": ["Polygon", "MultiPolygon"]}, "coordinates": {"type": "array"}},
}


def bodies(properties: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schema of every body, of rows with these properties."""
    row = _object(properties)
    return {
        "About": _object(
            {
                **dict.fromkeys(("contract_version", "title", "run_id", "created", "notice"), TEXT),
                **dict.fromkeys(("draft", "fictitious"), FLAG),
                "code_year": WHOLE,
                "years": _list(WHOLE),
                "opens": WHOLE,
                "measures": _list(TEXT),
                "levels": _list(TEXT),
                "gemeenten": _list(NAMED),
            }
        ),
        "Gemeente": _object(
            {
                "contract_version": TEXT,
                "run": {"type": "object"},
                "gemeente": NAMED,
                **dict.fromkeys(("years", "surveyed"), _list(WHOLE)),
                "opens": WHOLE,
                **{
                    part: _list({"type": "object"})
                    for part in (
                        *("measures", "areas", "estimates", "land", "official", "indicators", "profile", "leaning"),
                        *("groups", "changes"),
                    )
                },
            }
        ),
        "FeatureCollection": _object(
            {
                "type": {"const": "FeatureCollection"},
                "features": _list(
                    _object({"type": {"const": "Feature"}, "id": TEXT, "properties": row, "geometry": PLACE})
                ),
            }
        ),
        "Rows": _list(row),
        "Changes": _list(_object(CHANGED)),
        "Health": _object({"status": {"const": "ok"}, "run_id": TEXT}),
    }


DETAILS = _object(
    {"type": TEXT, "status": WHOLE, "detail": TEXT, "problems": _list(_object({"where": TEXT, "what": TEXT}))},
    ["type", "status", "detail"],
)
REASONS = {
    400: "A host that is not answered, or what is not HTTP",
    404: "There is nothing at this address",
    413: "A request with a body",
    414: "An address that is too long",
    422: "A request that cannot be used",
    431: "Headers that are too long",
    503: "Another run has taken the place of the one that is served",
}


def describe(schema: dict[str, Any], *errors: int, kind: str = "application/json") -> dict[str, Any]:
    """Return what a path operation says of its responses; `errors` are statuses besides those of any request."""
    responses: dict[int, dict[str, Any]] = {
        200: {"description": "Found", "content": {kind: {"schema": schema}}},
        304: {"description": "Not changed since the entity tag that was sent"},
    }
    for status in sorted({400, 413, 414, 431, 503, *errors}):
        content = {"text/plain": {"schema": TEXT}} if status == 400 else {PROBLEM: {"schema": DETAILS}}
        responses[status] = {"description": REASONS[status], "content": content}
    return {"response_model": None, "responses": responses}
