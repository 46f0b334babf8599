"""The pages say what the code does: every key of the run file, and the figures of the benchmarks."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from buurtsae.engines.laplace import LaplaceOptions
from buurtsae.engines.nuts import NutsOptions
from buurtsae.runs.runfile import RunSpec


def _keys(part: type[BaseModel]) -> set[str]:
    found = set()
    for name, field in part.model_fields.items():
        found.add(name)
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _keys(kind)
    return found


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
