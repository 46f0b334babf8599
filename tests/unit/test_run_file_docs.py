"""docs/run-file.md against the code: every key is there, with the default that holds."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from buurtsae.engines.eblup import EblupOptions
from buurtsae.engines.laplace import LaplaceOptions
from buurtsae.engines.nuts import NutsOptions
from buurtsae.model.links import PARTICIPATORY, SURVEY
from buurtsae.model.terms import BYM2, IID
from buurtsae.runs import runfile

PARTS = {
    "[run]": runfile.RunPart,
    "[areas]": runfile.AreasPart,
    "[graph]": runfile.GraphPart,
    "[concept]": runfile.ConceptPart,
    "[[sources]]": runfile.SourcePart,
    "[direct]": runfile.DirectPart,
    "[variances]": runfile.VariancesPart,
    "[[covariates]]": runfile.CovariatePart,
    "[model]": runfile.ModelPart,
    "[model.link]": runfile.LinkPart,
    "[model.participatory]": runfile.LinkPart,
    "[[model.terms]]": runfile.TermPart,
    "[benchmark]": runfile.BenchmarkPart,
    "[publish]": runfile.PublishPart,
    "[quality]": runfile.QualityPart,
}
ENGINES = {"[engine.laplace]": LaplaceOptions, "[engine.eblup]": EblupOptions, "[engine.nuts]": NutsOptions}
SECTIONS = {"terms", "link", "participatory"}  # of `[model]`: with a heading of their own
# where a key that is not given takes its value from, once per kind that the table tells apart
ELSEWHERE: dict[str, tuple[Any, ...]] = {
    "[model.link]": (SURVEY,),
    "[model.participatory]": (PARTICIPATORY,),
    "[[model.terms]]": (BYM2, IID),
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


def defaults(section: str, key: str) -> list[Any]:
    """The values that hold where a key is not given; empty where it must be given, or nothing holds."""
    if section in ENGINES:
        (value,) = (f.default for f in fields(ENGINES[section]) if f.name == key)
        return [] if value in (None, MISSING) else [value]
    if (section, key) == ("[[sources]]", "area"):
        return list(AREA)
    field = PARTS[section].model_fields[key]
    if section in ELSEWHERE and field.default is None:
        values = [_plain(getattr(kind, key)) for kind in ELSEWHERE[section] if hasattr(kind, key)]
        return [v for k, v in enumerate(values) if v not in values[:k]]
    return [] if field.is_required() or field.default is None else [_plain(field.default)]


def _plain(value: Any) -> Any:
    """A value as TOML has it: a prior as its parameters."""
    if hasattr(value, "__dataclass_fields__"):
        parameters = [getattr(value, f.name) for f in fields(value)]
        return parameters if len(parameters) > 1 else parameters[0]
    return list(value) if isinstance(value, tuple) else value


def test_every_key_is_documented_and_no_other(root: Path) -> None:
    table = documented(root)
    assert set(table) == set(PARTS) | set(ENGINES)
    for section, rows in table.items():
        known = [f.name for f in fields(ENGINES[section])] if section in ENGINES else list(PARTS[section].model_fields)
        known = [k for k in known if section != "[model]" or k not in SECTIONS]
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
    if section in PARTS:
        assert all(PARTS[section].model_fields[k].is_required() for k in keys) == (text == "required")
