"""Distances to facilities per wijk and buurt, of CBS: by road, means of the residents."""

from __future__ import annotations

from collections.abc import Sequence

from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.statline import wide
from buurtsae.opendata.statline_cube import cube


def load(fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None, level: str = "buurt") -> Loaded:
    """Return the distances of a year; arguments and errors are those of `kerncijfers.load`."""
    return wide(fetcher, cube(fetcher, fetcher.registry.table("nabijheid", year)), gemeenten, level)
