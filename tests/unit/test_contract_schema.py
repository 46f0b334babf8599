"""The stored JSON Schema: that of the columns, under its version, and telling right rows from wrong ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from made_estimates import honeycomb, table

from buurtsae.publication.contract import json_schema, schema_text, stored_text
from buurtsae.schemas import CONTRACT_VERSION, ESTIMATES, SUPPRESSED, check_estimates, published

# what each version of the contract is: a change of the schema is a new version, and a released one is never edited
VERSIONS = {
    "1.0": "933ce6294fce46137376cd4f0611223f6146e6fc2d3589faac8b41ee4cd4d06e",
    "1.1": "20d645b5550a8e434bd7f40bcef98eb88d9a6419352f084b3b8e20c4afa8f1de",  # `direct` without bounds
    "1.2": "5e37850436220d0abfddd6c057669c4bf98af46211d68c2e2438153af7e2fb59",  # `basis`
    "1.3": "b28eeb87f5ec808173fb4a4f5324c35c4e01fac01d9023fcccd90fac13dda6ad",  # `scale_lower`, `scale_upper`, `unit`
    # the same columns; files per gemeente have `changes`, `opens` and `surveyed`
    "1.4": "d02e68f76f80890c665b814d3652e72938e8dcd4b5112b01c2ff0a1e3f465f2f",
}


def digest(schema: dict[str, Any]) -> str:
    text = json.dumps(schema, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return json.loads(published(table(honeycomb())).to_json(orient="records"))  # type: ignore[no-any-return]


def test_the_stored_schema_is_that_of_the_columns() -> None:
    assert stored_text() == schema_text(), "python -m buurtsae.publication.contract stores it anew"
    assert "\r" not in stored_text()


def test_another_schema_has_another_version() -> None:
    assert VERSIONS[CONTRACT_VERSION] == digest(json.loads(stored_text()))
    assert json_schema()["version"] == CONTRACT_VERSION


def test_a_change_of_any_column_is_noticed() -> None:
    for k, column in enumerate(ESTIMATES):
        changed = (*ESTIMATES[:k], replace(column, nullable=not column.nullable), *ESTIMATES[k + 1 :])
        assert digest(json_schema(changed)) != VERSIONS[CONTRACT_VERSION], column.name


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_every_row_of_a_published_table_is_valid(rows: list[dict[str, Any]]) -> None:
    validator = Draft202012Validator(json.loads(stored_text()))
    assert {r["label"] for r in rows} == {"betrouwbaar", "indicatief", "niet_publiceren"}
    assert [e.message for r in rows for e in validator.iter_errors(r)] == []


def _first(rows: list[dict[str, Any]], label: str) -> dict[str, Any]:
    return dict(next(r for r in rows if r["label"] == label))


@pytest.mark.parametrize(
    ("label", "change"),
    [
        ("betrouwbaar", {"estimate": 10.1}),
        ("betrouwbaar", {"estimate": None}),
        ("betrouwbaar", {"estimate": "6,5"}),
        ("betrouwbaar", {"level": "Buurt\n"}),
        ("betrouwbaar", {"label": "onbekend"}),
        ("betrouwbaar", {"year": 2023.5}),
        ("betrouwbaar", {"area_name": None}),
        ("betrouwbaar", {"benchmarked": 0}),
        ("betrouwbaar", {"extra": 1}),
        ("indicatief", {"reason": None}),
        ("niet_publiceren", {"reason": None}),
        *(("niet_publiceren", {name: 1}) for name in SUPPRESSED),
    ],
)
def test_wrong_rows_are_refused(rows: list[dict[str, Any]], label: str, change: dict[str, Any]) -> None:
    validator = Draft202012Validator(json_schema())
    row = _first(rows, label)
    assert validator.is_valid(row)
    assert not validator.is_valid(row | change)


@pytest.mark.parametrize("direct", [-1.5, 12.0])
def test_direct_estimates_may_lie_outside_the_scale(direct: float) -> None:
    frame = table(honeycomb()).assign(direct=direct)
    rows = json.loads(published(check_estimates(frame)).to_json(orient="records"))
    assert all(Draft202012Validator(json_schema()).is_valid(r) for r in rows)


@pytest.mark.parametrize("name", [c.name for c in ESTIMATES])
def test_rows_have_every_column(rows: list[dict[str, Any]], name: str) -> None:
    row = {k: v for k, v in rows[0].items() if k != name}
    assert not Draft202012Validator(json_schema()).is_valid(row)


def test_types_agree_with_those_of_the_table() -> None:
    frame = published(table(honeycomb()))
    kinds = {
        "string": lambda column: pd.api.types.is_string_dtype(column.dropna()),  # pandas 2: objects
        "integer": pd.api.types.is_integer_dtype,
        "number": pd.api.types.is_float_dtype,
        "boolean": pd.api.types.is_bool_dtype,
    }
    for name, about in json_schema()["properties"].items():
        kind = about["type"] if isinstance(about["type"], str) else about["type"][0]
        assert kinds[kind](frame[name]), name
