"""Open data to files: each table as Parquet, with what its columns are, why cells are missing, and where it comes from.

    NAME_YEAR.parquet           rows by code; `Areas.read` takes it as it is (GeoParquet of borders, EPSG:28992)
    NAME_YEAR.columns.csv       column, code of the publisher, title, unit, share filled
    NAME_YEAR.missing.csv       code, column, reason: of cells that are missing for a stated reason
    NAME_YEAR.seed.csv          of bevolking: gemeente, geslacht, leeftijd, aantal, the seed of cells
    NAME_YEAR.provenance.json   source, table, edition, moment, licence, attribution, hashes

All files of one call are written at once, or none. A file that the user changed is never replaced. What is in the cache
is not asked again, and the same replies give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buurtsae.folder.finished import digest
from buurtsae.folder.target import Known, claimed, staged
from buurtsae.notes import Note
from buurtsae.opendata.cache import Cache
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.jobs import LOADERS, Job, checked, name_of
from buurtsae.opendata.loaded import Loaded
from buurtsae.opendata.region import Asked, Region
from buurtsae.opendata.registry import Registry
from buurtsae.retrieved import SUFFIX, write_record
from buurtsae.tables import write_csv

WORK = ".buurtsae-fetch"


@dataclass(frozen=True)
class Fetched:
    """What was written.

    Attributes
    ----------
    region : Region
    year : int
    files : mapping of what to path
        The table of each.
    tables : mapping of what to Loaded
    """

    region: Region
    year: int
    files: Mapping[str, Path]
    tables: Mapping[str, Loaded] = field(repr=False)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a user must know, under the name of each file."""
        return tuple(note.under(self.files[what].name) for what, part in self.tables.items() for note in part.notes)

    @property
    def credit(self) -> str:
        """Whom to name, with the terms."""
        parts = (part for table in self.tables.values() for part in table.retrieved)
        return "; ".join(dict.fromkeys(part.credit for part in parts))

    @property
    def text(self) -> str:
        """What was written, for people."""
        lines = [f"{self.region.name}, {self.year}"]
        for what, path in self.files.items():
            table = self.tables[what]
            editions = ", ".join(dict.fromkeys(f"{p.source}, {p.table}" for p in table.retrieved))
            lines.append(f"  {path}: {len(table.frame):,} rows, {len(table.columns)} columns of figures ({editions})")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"credit: {self.credit}"])


def fetch(
    what: str | Sequence[str],
    year: int,
    out: str | Path = "data",
    *,
    gemeente: str | Sequence[str] = (),
    provincie: str | None = None,
    ggd: str | None = None,
    land: bool = False,
    fetcher: Fetcher | None = None,
    **options: Any,
) -> Fetched:
    """Fetch open data of a region and write them to a folder, all tables or none.

    Parameters
    ----------
    what : str or sequence of str
        `borders`, `kerncijfers`, `nabijheid`, `gezondheid`, `misdrijven`, `leefbaarometer`, `monumenten`,
        `voorzieningen`, `adressen`, `bevolking`.
    year : int
        Of the division and of the figures.
    out : path
        The folder.
    gemeente, provincie, ggd, land : optional
        The region, one of these: names or codes of gemeenten, of a provincie, of a GGD-regio, or the country.
    fetcher : Fetcher, optional
        By default it asks the services of `sources.toml`, and keeps their replies where this system keeps caches.
    **options
        As of `Job`: `level`, `osm`, `tags`, `before`.

    Returns
    -------
    Fetched

    Raises
    ------
    DataError or ProblemsError
        If what is asked does not exist, of everything at once; a service that fails; a folder that cannot be used.

    Examples
    --------
    >>> import buurtsae as bs
    >>> bs.opendata.fetch("kerncijfer", 2024, gemeente="Texel")
    Traceback (most recent call last):
        ...
    buurtsae.errors.DataError: there is no such open data
      got 'kerncijfer'; expected borders, kerncijfers, ...
      hint: choose of these
    """
    return to_files(*_asked(what, year, gemeente, provincie, ggd, land, fetcher, options), out)


def load(
    what: str,
    year: int,
    *,
    gemeente: str | Sequence[str] = (),
    provincie: str | None = None,
    ggd: str | None = None,
    land: bool = False,
    fetcher: Fetcher | None = None,
    **options: Any,
) -> Loaded:
    """Return one table of open data of a region, and write nothing; arguments as of `fetch`.

    Returns
    -------
    Loaded
        `frame` by code, `columns`, `reasons`, `retrieved` and `notes`.

    Raises
    ------
    DataError or ProblemsError
        As `fetch`.
    """
    names, job = _asked(what, year, gemeente, provincie, ggd, land, fetcher, options)
    checked(names, job)
    return LOADERS[names[0]](job)


def _asked(
    what: str | Sequence[str],
    year: int,
    gemeente: str | Sequence[str],
    provincie: str | None,
    ggd: str | None,
    land: bool,
    fetcher: Fetcher | None,
    options: dict[str, Any],
) -> tuple[list[str], Job]:
    """What is asked, as a list, and the job."""
    names, gemeenten = ([one] if isinstance(one, str) else list(one) for one in (what, gemeente))
    asker = fetcher or Fetcher(Registry.load(), Cache.at())
    return names, Job(asker, Asked(tuple(gemeenten), provincie, ggd, land), year, **options)


def to_files(what: Sequence[str], job: Job, out: str | Path) -> Fetched:
    """Fetch tables of open data and write them to a folder, all or none.

    Parameters
    ----------
    what : sequence of str
        Of `LOADERS`.
    job : Job
    out : path

    Raises
    ------
    DataError or ProblemsError
        If what is asked does not exist, of everything at once; a service that fails; a folder that cannot be used.
    """
    checked(what, job)
    asked = list(dict.fromkeys(what))
    names = {each: name_of(each, job) for each in asked}
    patterns = [name for stem in names.values() for name in _files(stem)]
    known = by_record(patterns)
    with claimed(out, patterns, known, WORK) as target:
        tables = {each: LOADERS[each](job) for each in asked}
        region = job.coded_as(asked[0]).region
        with staged(target) as folder:
            for each, table in tables.items():
                write(table, folder, names[each])
    files = {each: Path(out) / f"{stem}.parquet" for each, stem in names.items()}
    return Fetched(region, job.year, files, tables)


def write(table: Loaded, folder: Path, stem: str) -> Path:
    """Write a table and what belongs to it into a folder, and return its path."""
    path = folder / f"{stem}.parquet"
    table.frame.to_parquet(path, index=False)
    parts = {"columns": table.columns, "missing": table.reasons, **table.more}
    beside = {folder / f"{stem}.{part}.csv": content for part, content in parts.items() if len(content)}
    for file, content in beside.items():
        write_csv(content, file)
    write_record(path, table.retrieved, table.notes, beside)
    return path


def by_record(names: Iterable[str]) -> Known:
    """Return how to see which of these files were fetched before, and are as they were written."""
    wanted = set(names)

    def known(folder: Path) -> frozenset[str]:
        ours = set[str]()
        for path in folder.glob("*" + SUFFIX):
            try:
                hashes = json.loads(path.read_bytes())["files"]
                gone = {name for name in hashes if not (folder / name).exists()}  # nothing of the user would be lost
                same = {name for name, value in hashes.items() if name in gone or digest(folder / name) == value}
            except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of something else
                continue
            ours |= {path.name, *same} if len(same) == len(hashes) else set()
        return frozenset(ours & wanted)

    return known


def _files(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}{suffix}" for suffix in (".parquet", ".columns.csv", ".missing.csv", ".seed.csv", SUFFIX))
