"""A server that replays, and a fetcher that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replay import Replay

from buurtsae.opendata.cache import Cache
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.registry import Registry


@pytest.fixture
def replay() -> Iterator[Replay]:
    """Services on this machine, without routes."""
    with Replay() as server:
        yield server


@pytest.fixture
def fetcher(replay: Replay, tmp_path: Path) -> Fetcher:
    """Asks the replay, without waiting between tries."""
    registry = Registry.load(replay.sources(tmp_path))
    return Fetcher(registry, Cache.at(tmp_path / "cache"), delays=(0.0, 0.0, 0.0))
