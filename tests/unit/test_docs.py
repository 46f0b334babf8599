"""The pages say what the code does: every key of the run file, and the figures of the benchmarks."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

import buurtsae
from buurtsae.engines.laplace import LaplaceOptions
from buurtsae.engines.nuts import NutsOptions
from buurtsae.ranges import Listed
from buurtsae.runs.runfile import RunSpec


def _keys(part: Any) -> set[str]:
    """Keys of a model or a dataclass, and of those in it."""
    hints, keys = get_type_hints(part), set[str]()
    for name in part.model_fields if issubclass(part, BaseModel) else part.__dataclass_fields__:
        keys |= {name}.union(*map(_keys, _parts(hints[name])))
    return keys


def _parts(hint: Any) -> list[Any]:
    """Models and dataclasses in a type; a prior is the list of its parameters."""
    if isinstance(hint, type) and (issubclass(hint, BaseModel) or is_dataclass(hint)):
        return [] if issubclass(hint, Listed) else [hint]
    return [part for inner in get_args(hint) for part in _parts(inner)]


def test_every_key_of_the_run_file_is_documented(root: Path) -> None:
    page = (root / "docs" / "run-file.md").read_text(encoding="utf-8")
    keys = _keys(RunSpec) | set(NutsOptions.__dataclass_fields__) | set(LaplaceOptions.__dataclass_fields__)
    assert len(keys) > 40
    undocumented = {k for k in keys if f"`{k}`" not in page and f"[{k}" not in page and f".{k}" not in page}
    assert undocumented <= {"key"}  # shown in the example of `tables`


def test_readme_has_the_table_of_the_recovery_benchmark(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    table = readme.split("recovery.py -->")[1].split("<!-- end")[0].strip()
    assert table.count("\n") >= 8
    assert table in (root / "docs" / "recovery.md").read_text(encoding="utf-8")


def test_the_example_of_classical_estimators_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (root / "docs" / "classical.md").read_text(encoding="utf-8")
    monkeypatch.chdir(root)  # it reads the made region, as the README does
    found = dict[str, Any]()
    exec(compile(page.split("```python\n")[1].split("```")[0], "docs/classical.md", "exec"), found)
    assert found["fit"].converged
    assert (~found["fit"].data.sampled).sum() > 5  # buurten without respondents are predicted
    assert (found["fit"].mse > 0).all()


def test_the_page_of_classical_estimators_has_the_tables_of_both_benchmarks(root: Path) -> None:
    page = (root / "docs" / "classical.md").read_text(encoding="utf-8")
    for script, rows in (("classical_mse.py", 40), ("classical_speed.py", 12)):
        table = page.split(f"{script} -->")[1].split("<!-- end")[0].strip()
        assert sum(line.startswith("|") for line in table.splitlines()) >= rows + 2


def test_the_example_of_areas_of_anywhere_runs(root: Path) -> None:
    page = (root / "docs" / "anywhere.md").read_text(encoding="utf-8")
    found = dict[str, Any]()
    exec(compile(page.split("```python\n")[1].split("```")[0], "docs/anywhere.md", "exec"), found)
    assert found["fit"].design.notes == []
    assert len(found["est"].select("rate")) == 40


def test_what_pages_name_is_there(root: Path) -> None:
    """Names of the package, `bs.fit`, and paths of modules, `engines/mode.py`, in every page."""
    modules = [path.relative_to(root).as_posix() for path in root.glob("*/**/*.py")]
    pages = [*root.glob("*.md"), *root.glob("docs/*.md")]
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert {name for name in re.findall(r"\bbs\.(\w+)", text) if not hasattr(buurtsae, name)} == set(), page.name
        paths = set(re.findall(r"\b((?:\w+/)+\w+\.py)\b", text))
        assert {path for path in paths if not any(m.endswith(f"/{path}") or m == path for m in modules)} == set(), page
