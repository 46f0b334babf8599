"""The command line called in-process, a copy of the example to spoil, and what a run of the demo left."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest

from buurtsae import cli
from buurtsae.draws import Draws
from buurtsae.engines.base import Fit
from buurtsae.estimates.summary import Estimates
from buurtsae.runs import steps
from buurtsae.runs.reading import Inputs


@dataclass(frozen=True)
class Called:
    """What a call of the command line left: exit status, stdout and stderr."""

    status: int
    out: str
    err: str


def call(*args: str | Path) -> Called:
    """Call `buurtsae ARGS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["buurtsae", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    code = stop.value.code
    assert code is None or isinstance(code, int)
    return Called(code or 0, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Example:
    """A copy of the example with its run file, to spoil."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "models" / "voorbeeldstad.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data" / "voorbeeldstad"

    def toml(self, old: str, new: str) -> None:
        """Replace text of the run file that is there exactly once."""
        text = self.run.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        self.run.write_text(text.replace(old, new), encoding="utf-8", newline="\n")

    def table(self, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change a CSV, all of it as text."""
        frame = change(pd.read_csv(self.data / name, dtype=str, keep_default_na=False))
        frame.to_csv(self.data / name, index=False, encoding="utf-8", lineterminator="\n")

    def areas(self, change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> None:
        """Change the map."""
        path = self.data / "buurten.gpkg"
        frame = change(gpd.read_file(path))
        path.unlink()
        frame.to_file(path, driver="GPKG")


@dataclass(frozen=True)
class DemoRun:
    """The demo as `buurtsae demo --json` made it, with what it made on the way."""

    called: Called
    outcome: steps.Outcome

    @property
    def folder(self) -> Path:
        return self.outcome.folder

    @property
    def estimates(self) -> Estimates:
        return self.outcome.estimates

    @property
    def fit(self) -> Fit:
        return self.outcome.estimates.fit


@dataclass(frozen=True)
class Sampled:
    """The model of the demo, compiled for NUTS, with draws."""

    inputs: Inputs
    compiled: Any
    draws: Draws
