"""Kerncijfers wijken en buurten of CBS: one table per year, all measures by their own code."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.statline import wide
from buurtsae.opendata.statline_cube import cube


def load(fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None, level: str = "buurt") -> Loaded:
    """Return the kerncijfers of a year.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
    gemeenten : sequence of str, optional
        Codes, such as `GM0363`; the whole country by default.
    level : str
        `buurt`, `wijk` or `gemeente`. Numbers of gemeenten are exact, others rounded at random to fives.

    Returns
    -------
    Loaded

    Raises
    ------
    DataError
        If there is no table of that year, it lacks a gemeente, or the service does not do as it should.
    """
    return wide(fetcher, cube(fetcher, fetcher.registry.table("kerncijfers", year)), gemeenten, level)


def gemeenten(fetcher: Fetcher, year: int) -> Loaded:
    """Return `gemeentecode` and `gemeentenaam` of the gemeenten of a year, as the table of the year lists them."""
    listed = cube(fetcher, fetcher.registry.table("kerncijfers", year))
    codes = listed.of("gemeente", None)
    frame = pd.DataFrame({"gemeentecode": codes, "gemeentenaam": listed.areas.loc[codes].to_numpy()})
    return Loaded(frame, retrieved=listed.retrieved)
