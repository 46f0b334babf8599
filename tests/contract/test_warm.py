"""Loops that are compiled beforehand: a second process compiles none of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from example_runs import call


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """The loops of one measure, of symbolic analysis, and of counts: about half a minute of compilation."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "buurtsae", "warm", "--width", "1"]
    found = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=True)
        found.append([int(number) for number in re.findall(r"\d+", done.stdout)])
    (compiled, _), (again, loaded) = found
    assert compiled > 20
    assert again == 0
    assert loaded > 0
    assert list(tmp_path.rglob("*.nbc"))


def test_what_cannot_be_compiled_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[run]\n", encoding="utf-8")
    done = call("warm", tmp_path / "run.toml")
    assert done.status == 1
    assert "key run.name is absent" in done.err
    assert call("warm", "--width", "0").status == 2
    assert call("warm", tmp_path / "run.toml", "--width", "1").status == 2
