"""Whether services still answer as expected: each table of one small gemeente, asked anew and thrown away.

For people with a network, and never part of the tests: services move, and this says which one, where, and what to try.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from buurtsae.errors import BuurtsaeError, DataError, shown
from buurtsae.opendata.cache import Cache
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.jobs import LOADERS, Job
from buurtsae.opendata.region import Asked
from buurtsae.opendata.registry import Registry

SMALL = "Schiermonnikoog"
TRIED = tuple(name for name in LOADERS if name != "voorzieningen")  # which is of a file of the user


@dataclass(frozen=True)
class Tried:
    """One table: whether it came as expected, and how many rows, or what went wrong."""

    what: str
    ok: bool
    message: str

    @property
    def text(self) -> str:
        """In words."""
        return f"{'ok    ' if self.ok else 'FAILED'} {self.what}: {self.message}"


def tried(what: Sequence[str], registry: Registry, year: int) -> Iterator[Tried]:
    """Yield what becomes of each table, or of those that are named.

    Raises
    ------
    DataError
        If there is none of a name, before any is asked.
    """
    if odd := [name for name in what if name not in TRIED]:
        raise DataError("there is no such service to try", shown(odd), shown(TRIED, 20), "choose of these")
    with TemporaryDirectory() as folder:
        fetcher = Fetcher(registry, Cache.at(Path(folder)))
        for each in what or TRIED:
            known = registry.years(each)
            newest = year if not known or year in known else known[-1]
            job = Job(fetcher, Asked((SMALL,)), newest, before=known[0] if each == "adressen" else None)
            try:
                rows = len(LOADERS[each](job).frame)
            except BuurtsaeError as error:
                yield Tried(each, False, str(error))
            else:
                yield Tried(each, rows > 0, f"{rows} rows of {SMALL}, {newest}")
