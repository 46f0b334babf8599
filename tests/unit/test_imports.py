"""Imports go one way: no circle among the modules, those inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import buurtsae

ROOT = Path(buurtsae.__file__).parents[1]


def modules() -> dict[str, ast.Module]:
    """Every module of the package, parsed."""
    paths = (p.relative_to(ROOT) for p in (ROOT / "buurtsae").rglob("*.py"))
    names = {".".join(p.with_suffix("").parts).removesuffix(".__init__"): p for p in paths}
    return {name: ast.parse((ROOT / p).read_text(encoding="utf-8")) for name, p in names.items()}


def imported(node: ast.AST) -> Iterator[str]:
    """Names that a module imports, wherever in it; but for those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{a.name}" for a in child.names)
            yield child.module
        elif isinstance(child, ast.Import):
            yield from (a.name for a in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from imported(child)


def test_no_circle_of_imports() -> None:
    trees = modules()
    graph = {name: set(imported(tree)) & set(trees) - {name, "buurtsae"} for name, tree in trees.items()}
    assert graph["buurtsae.runs.steps"] >= {
        "buurtsae.engines.base",
        "buurtsae.runs.reading",
    }  # both kinds
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the circle
    with pytest.raises(CycleError):
        TopologicalSorter(graph | {"buurtsae.errors": {"buurtsae.runs.steps"}}).prepare()
