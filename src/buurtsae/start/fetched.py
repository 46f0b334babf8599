"""What `init` fetches: open data of a place, by the verb `fetch`; another function can take its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buurtsae.start.places import Place

if TYPE_CHECKING:
    from buurtsae.opendata.http import Fetcher

NEEDED = ("borders", "kerncijfers")


@dataclass(frozen=True)
class Got:
    """What the place is called, and the table of each thing that was asked for."""

    name: str
    files: Mapping[str, Path]


Fetch = Callable[[Sequence[str], Place, int, Path], Got]


def by(fetcher: Fetcher, osm: Path | None = None) -> Fetch:
    """Return the verb `fetch` with a fetcher, and an extract of OpenStreetMap for `voorzieningen`."""

    def fetch(what: Sequence[str], place: Place, year: int, out: Path) -> Got:
        from buurtsae.opendata.fetching import to_files
        from buurtsae.opendata.jobs import Job
        from buurtsae.opendata.region import Asked

        one = {kind: place.names[0] if place.kind == kind else None for kind in ("provincie", "ggd")}
        asked = Asked(place.names if place.kind == "gemeente" else (), **one, land=place.kind == "land")
        job = Job(fetcher, asked, year, osm=osm if "voorzieningen" in what else None)
        result = to_files(what, job, out)
        return Got(result.region.name, result.files)

    return fetch
