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


VERSIONS = """
from collections import defaultdict
from numba.core.types import UniTuple, int64
from buurtsae.engines.base import fit
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, ICAR, Leroux
from buurtsae.runs import warm
from buurtsae.survey.direct import DirectEstimates

warm.warm(widths=[1, 2])
frame, graph = warm._map()
frame = frame.assign(y=5.0 + frame["x"] / 9, v=0.1)
data = DirectEstimates.from_frame(frame, y="y", variance="v", area="area")
for terms in (BYM2(graph, by_residents=False),), (ICAR(graph),), (BYM2(graph), Leroux(graph)):
    fit(AreaModel("1 + x", terms=terms), data, progress=False, **warm.FEW)
for loop in warm._loops():
    versions = defaultdict(set)
    for arguments in loop.signatures:
        widths = tuple(a.count for a in arguments if isinstance(a, UniTuple) and a.dtype == int64)
        versions[widths].add(arguments)
    for widths, of in versions.items():
        print(loop.__name__, len(of), *widths)
"""


@pytest.mark.slow
def test_a_loop_is_compiled_once_whatever_the_model(tmp_path: Path) -> None:
    """Per width at most: another layout of an array, or a constant, would compile it again, for up to two seconds."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", VERSIONS], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {"factorise 1 1", "factorise 1 2", "covariances 1 2", "copy 1", "cholesky 1"} <= {" ".join(r) for r in rows}
    assert [row for row in rows if row[1] != "1"] == []


def test_what_cannot_be_compiled_for_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[run]\n", encoding="utf-8")
    done = call("warm", tmp_path / "run.toml")
    assert done.status == 1
    assert "key run.name is absent" in done.err
    assert call("warm", "--width", "0").status == 2
    assert call("warm", tmp_path / "run.toml", "--width", "1").status == 2
