"""docs/run-file.md against the code: every key is there, with the default that holds."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from buurtsae.engines.eblup import EblupOptions
from buurtsae.engines.laplace import LaplaceOptions
from buurtsae.engines.nuts import NutsOptions
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.nonresponse import NonResponse
from buurtsae.model.breaks import Break
from buurtsae.model.covariates import Covariate
from buurtsae.model.links import PARTICIPATORY, SURVEY
from buurtsae.runs import runfile, unit_part, years_part

PARTS: dict[str, Any] = {
    "[run]": runfile.RunPart,
    "[areas]": runfile.AreasPart,
    "[[areas.editions]]": years_part.EditionPart,
    "[graph]": runfile.GraphPart,
    "[concept]": runfile.ConceptPart,
    "[[sources]]": runfile.SourcePart,
    "[direct]": runfile.DirectPart,
    "[variances]": runfile.VariancesPart,
    "[[covariates]]": Covariate,
    "[model]": runfile.ModelPart,
    "[model.link]": SURVEY,
    "[model.participatory]": PARTICIPATORY,
    "[[model.terms]]": tuple(runfile.TERM_PARTS.values()),  # a part per type
    "[unit]": unit_part.UnitPart,
    "[unit.cells]": unit_part.CellsPart,
    "[[unit.cells.margins]]": unit_part.MarginPart,
    "[[unit.terms]]": tuple(runfile.PERSON_PARTS.values()),
    "[[unit.figures]]": unit_part.FigurePart,
    "[[unit.domains]]": unit_part.DomainPart,
    "[years]": years_part.YearsPart,
    "[[years.breaks]]": Break,
    "[benchmark]": runfile.BenchmarkPart,
    "[publish]": runfile.PublishPart,
    "[quality]": Gate,
    "[sensitivity]": NonResponse,
    "[engine.laplace]": LaplaceOptions,
    "[engine.eblup]": EblupOptions,
    "[engine.nuts]": NutsOptions,
}
SECTIONS = {  # with a heading of their own
    "[areas]": {"editions"},
    "[years]": {"breaks"},
    "[model]": {"terms", "link", "participatory"},
    "[unit]": {"cells", "terms", "figures", "domains"},
    "[unit.cells]": {"margins"},
}
AREA = ["buurtcode", "wijkcode"]  # `area` of a source is named after its level


def documented(root: Path) -> dict[str, dict[tuple[str, ...], str]]:
    """Per section the keys of each row, and what the table says of their defaults."""
    found: dict[str, dict[tuple[str, ...], str]] = {}
    section = ""
    table = (root / "docs" / "run-file.md").read_text(encoding="utf-8").split("\n## ")[0]  # tables below have no keys
    for line in table.splitlines():
        if not line.startswith("| ") or line.startswith("| key"):
            continue
        key, default = (cell.strip() for cell in line.split("|")[1:3])
        if heading := re.fullmatch(r"\*\*`(.+)`\*\*", key):
            section = heading.group(1)
            found[section] = {}
        else:
            found[section][tuple(re.findall(r"`(.+?)`", key))] = default
    return found


def values(section: str) -> dict[str, list[Any]]:
    """Per key what holds where it is not given, once per part that has it; MISSING where it must be given."""
    found: dict[str, list[Any]] = {}
    for part in PARTS[section] if isinstance(PARTS[section], tuple) else (PARTS[section],):
        if isinstance(part, type) and issubclass(part, BaseModel):
            held = {k: MISSING if f.is_required() else f.default for k, f in part.model_fields.items()}
        else:
            held = {f.name: getattr(part, f.name, MISSING) for f in fields(part)}
        for key, value in held.items():
            found.setdefault(key, []).append(value)
    return found


def defaults(section: str, key: str) -> list[Any]:
    """The values that hold where a key is not given; empty where it must be given, or nothing holds."""
    if (section, key) == ("[[sources]]", "area"):
        return list(AREA)
    held = [_plain(value) for value in values(section)[key] if value is not None and value is not MISSING]
    return [v for k, v in enumerate(held) if v not in held[:k]]


def _plain(value: Any) -> Any:
    """A value as TOML has it: a prior as its parameters."""
    if hasattr(value, "__dataclass_fields__"):
        parameters = [getattr(value, f.name) for f in fields(value)]
        return parameters if len(parameters) > 1 else parameters[0]
    return list(value) if isinstance(value, tuple) else value


def test_every_key_is_documented_and_no_other(root: Path) -> None:
    table = documented(root)
    assert set(table) == set(PARTS)
    for section, rows in table.items():
        known = [k for k in values(section) if k not in SECTIONS.get(section, ())]
        assert sorted(k for keys in rows for k in keys) == sorted(known), section


ROWS = [
    (section, keys, text)
    for section, rows in documented(Path(__file__).parents[2]).items()
    for keys, text in rows.items()
]


@pytest.mark.parametrize(("section", "keys", "text"), ROWS, ids=[f"{s}-{'-'.join(k)}" for s, k, _ in ROWS])
def test_defaults_in_the_table_are_those_of_the_code(section: str, keys: tuple[str, ...], text: str) -> None:
    told = [tomllib.loads(f"x = {literal}")["x"] for literal in re.findall(r"`(.+?)`", text)]
    held = [value for key in keys for value in defaults(section, key)]
    if not told:  # in words: then nothing holds but what is empty
        assert not any(held), f"{section} {keys}: the default is {held}"
    else:
        assert told == held, f"{section} {keys}"
    assert all(value is MISSING for k in keys for value in values(section)[k]) == (text == "required")
