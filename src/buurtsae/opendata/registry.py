"""The table of open data services: addresses, tables by year, licences. It is a file, which a user may override."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from buurtsae.errors import DataError, cut, shown
from buurtsae.files import read_toml
from buurtsae.opendata.forms import validated

OVERRIDE = "BUURTSAE_SOURCES"


def _address(text: str) -> str:
    """Refuse what is no address."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        good &= "@" not in parts.netloc  # addresses are published: no name and password in them
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good or text.endswith("/") or re.search(r"\s", text):
        raise ValueError("an address such as https://example.nl/data, without / at its end")
    return text


Url = Annotated[str, Field(max_length=500), AfterValidator(_address)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServicePart(_Part):
    """`[service.NAME]`: an address, and on what terms its data may be used."""

    url: Url
    publisher: Text
    licence: Text
    licence_url: Annotated[str, Field(pattern=r"^https://[^\s]+$", max_length=500)]
    attribution: Text
    pause: float = Field(default=0.0, ge=0, le=60)


class TablePart(_Part):
    """`[table.NAME]`: one table of several years, or one for each year."""

    title: Text
    service: str
    attribution: str = ""
    id: str = ""
    path: str = ""
    years: tuple[int, ...] = ()
    by_year: dict[int, Text] = Field(default={})
    codes_of: int | None = None

    @field_validator("id")
    @classmethod
    def _holds_a_year(cls, text: str) -> str:
        """Braces are those of {year}, and nothing else."""
        if set("{}") & set(text.replace("{year}", "")):
            raise ValueError("braces only as {year}")
        return text

    @field_validator("by_year")
    @classmethod
    def _of_years(cls, names: dict[int, str]) -> dict[int, str]:
        """Those that are whole addresses are ones as of services."""
        return {year: _address(name) if "://" in name else name for year, name in names.items()}


class SourcesPart(_Part):
    """The whole file."""

    version: str
    service: dict[str, ServicePart]
    table: dict[str, TablePart]


@dataclass(frozen=True)
class Table:
    """One table of one year, and the service that has it.

    Attributes
    ----------
    what : str
        What it is called here: `kerncijfers`.
    id : str
        What its publisher calls it.
    url : str
        Its address.
    year : int
        Of the figures; 0 where the table has no year.
    codes_of : int
        Year of the division whose codes it has; 0 for the present one.
    service : ServicePart
    title, attribution : str
    """

    what: str
    id: str
    url: str
    year: int
    codes_of: int
    service: ServicePart
    title: str
    attribution: str


@dataclass(frozen=True)
class Registry:
    """What `sources.toml` says, and what the user says otherwise.

    Examples
    --------
    >>> Registry.load().table("kerncijfers", 2024).id
    '85984NED'
    """

    content: SourcesPart
    path: Path | None = None

    @classmethod
    def load(cls, override: str | Path | None = None) -> Registry:
        """Read the table of the package, and a file that overrides parts of it (by default that of BUURTSAE_SOURCES).

        Raises
        ------
        DataError or ProblemsError
            If the file cannot be read, or everything that is wrong with it.
        """
        home = files("buurtsae.opendata") / "sources.toml"
        _, raw = read_toml(Path(str(home)), "sources.toml of the package")
        path = override or os.environ.get(OVERRIDE) or None
        if path is not None:
            _, own = read_toml(path, f"table of sources {Path(path).name}")
            raw = _merged(raw, own)
        content = validated(SourcesPart, raw, f"table of sources {path or 'of the package'}", "sources.toml")
        if lost := sorted({part.service for part in content.table.values()} - set(content.service)):
            raise DataError("tables are of an unknown service", shown(lost), shown(content.service, 10), "name it")
        return cls(content, None if path is None else Path(path))

    def years(self, what: str) -> tuple[int, ...]:
        """Return the years of a table; none where only the table itself knows them."""
        part = self._part(what)
        return tuple(sorted(part.by_year or part.years))

    def table(self, what: str, year: int = 0) -> Table:
        """Return a table of one year.

        Raises
        ------
        DataError
            If there is no such table, or not of that year: another year is never put in its place.
        """
        part, known = self._part(what), self.years(what)
        service = self.content.service[part.service]
        if known and year not in known:
            hint = "choose one of these; for a table that appeared since, give a file with --sources"
            raise DataError(f"there is no table of {what} of {year}", str(year), ", ".join(map(str, known)), hint)
        name = part.by_year[year] if part.by_year else part.id.format(year=year)
        url = name if "://" in name else "/".join(filter(None, [service.url, name, part.path]))
        edition = year if part.codes_of is None else part.codes_of
        attribution = part.attribution or service.attribution
        return Table(what, name, url, year, edition, service, part.title, attribution)

    def _part(self, what: str) -> TablePart:
        if what not in self.content.table:
            known, hint = shown(self.content.table, 20), "choose one of these"
            raise DataError("there is no such table of open data", repr(cut(what)), known, hint)
        return self.content.table[what]


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return a tree in which the leaves of another take the place of its own."""
    both = dict(base)
    for key, value in own.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
