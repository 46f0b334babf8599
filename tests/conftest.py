"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import box

from buurtsae.runs.steps import CHECKPOINTS

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has all tests of a file, and all examples in docstrings: each makes its fits once.

    Groups with tests that take long are begun first, so that no worker waits for the other at the end.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            name = "examples" if isinstance(item, pytest.DoctestItem) else item.path.stem
            item.add_marker(pytest.mark.xdist_group(name))
    takes_long = {_group(item) for item in items if {"slow", "nuts"} & {mark.name for mark in item.iter_markers()}}
    items.sort(key=lambda item: _group(item) not in {*takes_long, "examples"})


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    assert mark is not None
    return str(mark.args[0])


@pytest.fixture(scope="session", autouse=True)
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs keep what they weighed: not with the user's, which another version of the code may have left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHECKPOINTS, str(folder := tmp_path_factory.mktemp("checkpoints")))
        yield folder


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the national data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("BUURTSAE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the folder `shared` beside the checkout, or its path in BUURTSAE_SHARED")
    return folder


def make_grid(rows: int = 3, columns: int = 3, gemeente: str = "0344") -> gpd.GeoDataFrame:
    """Squares of 1 km in RD New, one wijk per row: BU03440000, BU03440001 ... from south-west to north-east."""
    cells = [(r, c) for r in range(rows) for c in range(columns)]
    x, y = 130_000, 450_000  # near Utrecht
    return gpd.GeoDataFrame(
        {
            "buurtcode": [f"BU{gemeente}{r:02}{c:02}" for r, c in cells],
            "buurtnaam": [f"Buurt {r}-{c}" for r, c in cells],
            "inwoners": [100 * (r + 1) + 10 * c for r, c in cells],
        },
        geometry=[box(x + 1000 * c, y + 1000 * r, x + 1000 * (c + 1), y + 1000 * (r + 1)) for r, c in cells],
        crs="EPSG:28992",
    )


@pytest.fixture
def grid() -> Callable[..., gpd.GeoDataFrame]:
    """`make_grid`, for tests that want other sizes or spoil it before writing."""
    return make_grid


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a table to a file of the test's own folder, the form by its name, and return the path."""

    def write(frame: pd.DataFrame, name: str) -> Path:
        path = tmp_path / name
        if path.suffix in (".parquet", ".geoparquet"):
            frame.to_parquet(path)
        elif path.suffix == ".csv":
            frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
        else:
            frame.to_file(path)
        return path

    return write


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a disk of so many kB and return its folder; the test is skipped where none can be mounted."""
    with ExitStack() as mounted:

        def mount(size: int) -> Path:
            folder = tmp_path / f"disk of {size} kB"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
            if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("no small disk can be mounted here")
            mounted.callback(subprocess.run, ["umount", str(folder)], check=True)
            return folder

        yield mount
