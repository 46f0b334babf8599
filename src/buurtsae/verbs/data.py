"""Verbs of data: `fetch`, `covariates`, `sources`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from buurtsae.console import print_sources
from buurtsae.errors import Problems
from buurtsae.verbs.common import Code, Json, Name, Population, Quiet, Where, YearOf, pair, print_json, say

if TYPE_CHECKING:
    from buurtsae.opendata.registry import Registry

Gemeente = Annotated[list[str] | None, typer.Option("--gemeente", help="A gemeente, name or code; repeat for more.")]
Provincie = Annotated[str | None, typer.Option("--provincie", help="All gemeenten of a provincie.")]
Ggd = Annotated[str | None, typer.Option("--ggd", help="All gemeenten of a GGD-regio.")]
Land = Annotated[bool, typer.Option("--land", help="The whole country.")]
Sources = Annotated[
    Path | None, typer.Option("--sources", help="TOML file that overrides addresses and tables of the services.")
]
CacheAt = Annotated[Path | None, typer.Option("--cache", help="Folder where replies are kept.")]
Offline = Annotated[bool, typer.Option("--offline", help="Only what was kept before; no network.")]
Refresh = Annotated[bool, typer.Option("--refresh", help="Ask again for what was kept.")]


def fetch(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT...",
            help="borders, kerncijfers, nabijheid, gezondheid, misdrijven, leefbaarometer, monumenten, voorzieningen, "
            "adressen, bevolking.",
        ),
    ] = None,
    year: Annotated[int, typer.Option("--year", min=1990, max=2100, help="Year of division and figures.")] = 2024,
    gemeente: Gemeente = None,
    provincie: Provincie = None,
    ggd: Ggd = None,
    land: Land = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("data"),
    level: Annotated[str, typer.Option("--level", help="Of figures: buurt, wijk or gemeente.")] = "buurt",
    osm: Annotated[Path | None, typer.Option("--osm", help="Extract of OpenStreetMap, for voorzieningen.")] = None,
    tags: Annotated[Path | None, typer.Option("--tags", help="TOML file of themes of objects in it.")] = None,
    before: Annotated[int | None, typer.Option("--before", help="Earlier year, for adressen.")] = None,
    sources: Sources = None,
    cache: CacheAt = None,
    offline: Offline = False,
    refresh: Refresh = False,
    live: Annotated[
        bool, typer.Option("--live", help="Try whether each service still answers as expected; writes nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch open data of a region, borders and figures, to files with provenance."""
    from dataclasses import asdict

    from buurtsae.opendata.cache import Cache
    from buurtsae.opendata.fetching import to_files
    from buurtsae.opendata.http import Fetcher
    from buurtsae.opendata.jobs import Job
    from buurtsae.opendata.region import Asked
    from buurtsae.opendata.registry import Registry
    from buurtsae.retrieved import by_table

    tell = (lambda text: None) if quiet else say
    registry = Registry.load(sources)
    if live:
        _live(what or [], registry, year, as_json)
        return
    if level not in ("buurt", "wijk", "gemeente"):
        raise typer.BadParameter(f"{level!r} is not buurt, wijk or gemeente", param_hint="--level")
    fetcher = Fetcher(registry, Cache.at(cache), offline=offline, refresh=refresh, say=tell)
    asked = Asked(tuple(gemeente or ()), provincie, ggd, land)
    job = Job(fetcher, asked, year, level=level, osm=osm, tags=tags, before=before)
    result = to_files(what or [], job, out)
    if as_json:
        files = {name: str(path) for name, path in result.files.items()}
        retrieved = {name: list(map(asdict, by_table(table.retrieved))) for name, table in result.tables.items()}
        print_json({"files": files, "retrieved": retrieved, "notes": result.notes, "credit": result.credit})
    elif not quiet:
        typer.echo(result.text)


def _live(what: list[str], registry: Registry, year: int, as_json: bool) -> None:
    from buurtsae.opendata.live import tried

    rows = []
    for row in tried(what, registry, year):
        rows.append(row)
        if not as_json:
            typer.echo(row.text)
    if as_json:
        print_json({"ok": all(row.ok for row in rows), "services": [vars(row) for row in rows]})
    if not all(row.ok for row in rows):
        raise typer.Exit(1)


def covariates(
    files: Annotated[
        list[Path], typer.Argument(metavar="AREAS [TABLE]...", help="Buurten with geometry, and tables by code.")
    ],
    year: YearOf = 2024,
    code: Code = "buurtcode",
    name: Name = "buurtnaam",
    population: Population = "inwoners",
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Show the covariates that there are: what each is, distribution, missing, what goes together, themes to paste."""
    from buurtsae.areas.areas import Areas
    from buurtsae.model.covariate_catalogue import covariate_catalogue
    from buurtsae.start.places import key_of

    pairs = dict(pair(text, "--where") for text in where or [])
    tables = [(path, key_of(path)) for path in files[1:]]
    region = Areas.read(files[0], year, code=code, name=name, population=population, tables=tables, where=pairs)
    catalogue = covariate_catalogue(region, files)
    if as_json:
        print_json(catalogue.record())
    else:
        typer.echo(catalogue.text)


def sources(
    source: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Explain these: identifiers or TOML files.")
    ] = None,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown page.")] = False,
) -> None:
    """List the sources that have a codebook, or explain some of them in full."""
    from dataclasses import asdict

    from rich.console import Console

    from buurtsae.survey.catalogue import page
    from buurtsae.survey.codebook import Codebook, available
    from buurtsae.survey.concept import Concept

    problems = Problems()
    books = [book for name in source or available() if (book := problems.attempt(Codebook.load, name))]
    problems.raise_if_any()
    console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=120)
    if as_json:
        print_json({"sources": [{**asdict(book), "subdimensions": book.subdimensions} for book in books]})
    elif markdown:
        typer.echo(page(books, Concept.load().subdimensions), nl=False)
    elif source:
        typer.echo("\n\n".join(book.explained(min(console.width, 120)) for book in books))
    else:
        print_sources(books, console)
