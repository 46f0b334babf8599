"""A run that was killed while it fitted goes on where it was, to the bytes of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from example_runs import Example

from buurtsae.engines.marginal import Marginal
from buurtsae.folder.finished import MANIFEST, hashes
from buurtsae.runs import steps

EPOCH = "SOURCE_DATE_EPOCH", "1700000000"


def weighed(folder: Path) -> int:
    """How many answers are kept."""
    return sum(len(file.read_bytes().splitlines()) for file in folder.glob("*.txt"))


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, out = tmp_path / "kept", tmp_path / "out"
    example.toml("[engine.laplace]\ndraws = 4000", "[engine.laplace]\ndraws = 400\nhyperparameters = 200")
    monkeypatch.setenv(*EPOCH)
    monkeypatch.setenv(steps.CHECKPOINTS, str(kept))
    command = [sys.executable, "-m", "buurtsae", "run", str(example.run), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and weighed(kept) < 200:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (out / MANIFEST).exists()
    there = weighed(kept)
    assert there >= 200

    asked = list[str]()
    for name in ("posterior", "with_gradient"):
        ask = getattr(Marginal, name)
        monkeypatch.setattr(Marginal, name, lambda self, xi, ask=ask, name=name: asked.append(name) or ask(self, xi))
    steps.run(example.run, out, progress=False)
    resumed = len(asked)
    assert os.listdir(kept) == []  # a finished run leaves nothing
    asked.clear()
    steps.run(example.run, tmp_path / "other", progress=False)
    assert hashes(out) == hashes(tmp_path / "other")
    assert (out / MANIFEST).read_bytes() == (tmp_path / "other" / MANIFEST).read_bytes()
    # values with weight are asked again for their draws, which are not kept
    assert resumed < len(asked) - there / 4


def test_what_nobody_goes_on_with_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(steps.CHECKPOINTS, str(tmp_path))
    for name, age in (("old.txt", steps.KEPT + 60), ("new.txt", 60), ("other.csv", steps.KEPT + 60)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    assert steps.checkpoint("run-1") == tmp_path / "run-1.txt"
    assert sorted(os.listdir(tmp_path)) == ["new.txt", "other.csv"]


def test_where_nothing_can_be_kept_a_run_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a user without a home, in a container."""
    monkeypatch.setenv(steps.CHECKPOINTS, str(tmp_path / "shut" / "kept"))
    (tmp_path / "shut").mkdir()
    asked = list[tuple[str, int]]()
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((str(path), mode)))
    assert steps.checkpoint("run-1") is None
    assert asked == [(str(tmp_path / "shut"), os.W_OK)]
