"""Fixtures of the contract tests: a copy of the example, and the one run of the demo that they share.

Tests that use `demo_run` are marked `nuts` and `xdist_group("nuts")`: one worker compiles the model, once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_runs import DemoRun, Example, call

from buurtsae import pipeline
from buurtsae.engines import nuts


@pytest.fixture
def example(tmp_path: Path, root: Path) -> Example:
    """A fresh copy of the example."""
    for name in ("models", "data/voorbeeldstad"):
        shutil.copytree(root / name, tmp_path / name)
    return Example(tmp_path)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo, run once through the command line with its own settings: 4 chains of 2,000 draws."""
    made: dict[str, Any] = {}

    def keeping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            made[name] = function(*args, **options)
            return made[name]

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run", keeping("outcome", pipeline.run))
        patch.setattr(nuts, "compile_design", keeping("compiled", nuts.compile_design))
        called = call("demo", "--out", tmp_path_factory.mktemp("demo") / "out", "--json", "--quiet")
    assert "outcome" in made, called.err
    return DemoRun(called, made["outcome"], made["compiled"])
