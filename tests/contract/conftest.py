"""Fixtures of the contract tests: a copy of the example, the one run of the demo, and its sampled reference.

Tests that use `demo_run` are marked `xdist_group("demo")`, those that use `sampled` also `nuts`: one worker makes each
of them, once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_runs import DemoRun, Example, Sampled, call

from buurtsae.engines import nuts
from buurtsae.runs import steps
from buurtsae.runs.example import example as run_file


@pytest.fixture
def example(tmp_path: Path, root: Path) -> Example:
    """A fresh copy of the example."""
    for name in ("models", "data/voorbeeldstad"):
        shutil.copytree(root / name, tmp_path / name)
    return Example(tmp_path)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo, run once through the command line with its own settings."""
    made: dict[str, Any] = {}

    def keeping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            made[name] = function(*args, **options)
            return made[name]

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "run", keeping("outcome", steps.run))
        called = call("demo", "--out", tmp_path_factory.mktemp("demo") / "out", "--json", "--quiet")
    assert "outcome" in made, called.err
    return DemoRun(called, made["outcome"])


@pytest.fixture(scope="session")
def sampled() -> Sampled:
    """The demo's model sampled by NUTS, with the settings of the run file."""
    inputs = steps.check(run_file())
    compiled = nuts.compile_design(inputs.design)
    options = nuts.NutsOptions(**inputs.run.spec.engine["nuts"])
    return Sampled(inputs, compiled, nuts.sample_compiled(compiled, inputs.design, 2024, options, progress=False))
