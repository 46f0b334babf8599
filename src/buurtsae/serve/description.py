"""What the server answers, as JSON Schemas for OpenAPI 3.1; a row is that of the contract.

The document of a gemeente is described by its parts; `docs/files.md` says what is in them.
"""

from __future__ import annotations

from typing import Any

from buurtsae.publication.contract import row_properties

PROBLEM = "application/problem+json"


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
ROW = _object(row_properties())
NAMED = _object({"area_code": TEXT, "area_name": TEXT})
PLACE = {
    "type": ["object", "null"],
    "properties": {"type": {"enum": ["Polygon", "MultiPolygon"]}, "coordinates": {"type": "array"}},
}
BODIES: dict[str, dict[str, Any]] = {
    "About": _object(
        {
            **dict.fromkeys(("contract_version", "title", "run_id", "created", "notice"), TEXT),
            **dict.fromkeys(("draft", "fictitious"), FLAG),
            "code_year": WHOLE,
            "years": _list(WHOLE),
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
            "years": _list(WHOLE),
            **{
                part: _list({"type": "object"})
                for part in "measures areas estimates land official indicators profile leaning".split()
            },
        }
    ),
    "FeatureCollection": _object(
        {
            "type": {"const": "FeatureCollection"},
            "features": _list(
                _object({"type": {"const": "Feature"}, "id": TEXT, "properties": ROW, "geometry": PLACE})
            ),
        }
    ),
    "Rows": _list(ROW),
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


def describe(body: str, *errors: int) -> dict[str, Any]:
    """Return what a path operation says of its responses.

    Parameters
    ----------
    body : str
        A key of `BODIES`.
    *errors : int
        Statuses besides those that any request may meet.
    """
    kind = "application/geo+json" if body == "FeatureCollection" else "application/json"
    responses: dict[int, dict[str, Any]] = {
        200: {"description": "Found", "content": {kind: {"schema": BODIES[body]}}},
        304: {"description": "Not changed since the entity tag that was sent"},
    }
    for status in sorted({400, 413, 414, 431, 503, *errors}):
        content = {"text/plain": {"schema": TEXT}} if status == 400 else {PROBLEM: {"schema": DETAILS}}
        responses[status] = {"description": REASONS[status], "content": content}
    return {"response_model": None, "responses": responses}
