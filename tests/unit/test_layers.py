"""The floors of the house: what a module may import, read from its text, so that imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "buurtsae"

# From bottom to top. A module imports from its own room and from the floors below. Rooms on one floor do not see each
# other, but for the ground floor.
FLOORS = """
errors notes origin retrieved files figures tables ranges schemas scale folder sparse multifrontal formula rank
drawing latent
areas
survey
classical model
draws
engines
estimates
publication
runs serve simulate opendata
start batch
console
verbs
cli
__main__
"""


@dataclass(frozen=True)
class Import:
    """One module that imports another; `typed` where only type checkers read it."""

    module: str
    target: str
    typed: bool

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}"


MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
FLOOR = {room: k for k, rooms in enumerate(FLOORS.split("\n")[1:-1]) for room in rooms.split()}


def imports_of(module: str, text: str) -> Iterator[Import]:
    """Every import of the package's own modules, at any depth."""
    tree = ast.parse(text)
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{a.name}" for a in node.names]
        else:
            continue
        for name in names:
            if name.startswith("."):
                raise AssertionError(f"{module}: {name} is relative")
            if name.split(".")[0] == "buurtsae":
                inside = name.removeprefix("buurtsae").removeprefix(".")
                target = inside if inside in MODULES or "." not in inside else inside.rpartition(".")[0]
                yield Import(module, target, id(node) in typed)


IMPORTS = [i for name, path in MODULES.items() for i in imports_of(name, path.read_text(encoding="utf-8"))]


def room(module: str) -> str:
    return module.split(".")[0]


def allowed(i: Import) -> bool:
    """Down, within a room, or on the ground floor; of the front door, whose names come from all floors, the version."""
    here, there = room(i.module), room(i.target)
    if there not in FLOOR:
        return i.target == "__version__"
    return here == there or FLOOR[there] < FLOOR[here] or FLOOR[here] == FLOOR[there] == 0


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that each reach the others."""

    def reached(start: str) -> set[str]:
        seen, todo = set[str](), [start]
        while todo:
            for target in graph.get(todo.pop(), set()) - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reach = {name: reached(name) for name in graph}
    circles = {frozenset(m for m in reach[name] if name in reach.get(m, ())) for name in graph if name in reach[name]}
    return [set(c) for c in circles]


def test_every_module_has_a_floor_and_every_room_stands() -> None:
    rooms = {room(name) for name in MODULES} - {"__init__"}
    assert rooms - set(FLOOR) == set(), "say on which floor"
    assert set(FLOOR) - rooms == set(), "the table names rooms that are not there"


def test_imports_go_down() -> None:
    assert {str(i) for i in IMPORTS if not allowed(i)} == set()


def test_the_core_is_pure() -> None:
    """Sparse Gaussian algebra on arrays: of the package it sees sparse matrices and errors only."""
    core = {i.target for i in IMPORTS if room(i.module) == "latent" and room(i.target) != "latent"}
    assert "sparse" in core
    assert core <= {"sparse", "multifrontal", "errors"}


def test_there_are_no_circles() -> None:
    """Those that imports inside functions hide included; what only type checkers read aside."""
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for i in IMPORTS:
        if not i.typed:
            graph[i.module].add(i.target)
    assert components(graph) == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("def f():\n    from buurtsae.publication.output import publish", True),
        ("import buurtsae.engines.base", True),
        ("if TYPE_CHECKING:\n    from buurtsae.engines.base import Fit", True),
        ("from buurtsae.areas.areas import Areas", False),
        ("from buurtsae import fit", True),
        ("import buurtsae", True),
        ("from buurtsae import __version__", False),
        ("from buurtsae import multifrontal", False),
    ],
)
def test_a_break_is_seen(text: str, broken: bool) -> None:
    assert [not allowed(i) for i in imports_of("survey.direct", text)] == [broken]


def test_a_circle_is_seen() -> None:
    assert components({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
