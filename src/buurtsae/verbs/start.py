"""`buurtsae init` on the command line: options, questions on a terminal, and what was done in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from buurtsae.errors import Problems, cut
from buurtsae.verbs.common import Json, Quiet, print_json, say
from buurtsae.verbs.data import CacheAt, Ggd, Offline, Provincie, Refresh, Sources

if TYPE_CHECKING:
    from buurtsae.start.choices import Question
    from buurtsae.start.init import Started


def init(
    survey: Annotated[
        Path | None, typer.Argument(metavar="[SURVEY]", help="Respondents: CSV or Parquet, one row each.")
    ] = None,
    gemeente: Annotated[
        list[str] | None, typer.Option("--gemeente", help="Name or code of a gemeente; repeat for more.")
    ] = None,
    provincie: Provincie = None,
    ggd: Ggd = None,
    land: Annotated[bool, typer.Option("--land", help="The whole country, or all of --areas.")] = False,
    year: Annotated[int | None, typer.Option("--year", min=1990, max=2100, help="Year of the areas.")] = None,
    areas: Annotated[
        Path | None, typer.Option("--areas", help="Buurten that are there already: nothing is fetched.")
    ] = None,
    table: Annotated[
        list[Path] | None, typer.Option("--table", help="Figures to join to --areas by code; repeat for more.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Codebook: an identifier, or a file of your own.")
    ] = None,
    area: Annotated[str | None, typer.Option("--area", help="Column of the buurtcode or wijkcode.")] = None,
    weight: Annotated[str | None, typer.Option("--weight", help="Column of the weights.")] = None,
    strata: Annotated[str | None, typer.Option("--strata", help="Column of the strata.")] = None,
    more: Annotated[
        str | None, typer.Option("--with", help="More to fetch, with commas between: leefbaarometer,gezondheid.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for what is made.")] = Path("mijn-gemeente"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is proposed.")] = False,
    osm: Annotated[Path | None, typer.Option("--osm", help="Extract of OpenStreetMap, for voorzieningen.")] = None,
    sources: Sources = None,
    cache: CacheAt = None,
    offline: Offline = False,
    refresh: Refresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Start from a survey file: look at its columns, fetch what is needed, write a run file and say what is left."""
    from buurtsae.opendata.cache import Cache
    from buurtsae.opendata.http import Fetcher
    from buurtsae.opendata.registry import Registry
    from buurtsae.start import fetched
    from buurtsae.start.choices import unasked
    from buurtsae.start.init import Wanted
    from buurtsae.start.init import init as started
    from buurtsae.start.places import place_of

    problems = Problems()
    place = place_of(gemeente or (), provincie, ggd, land, problems)
    names = tuple(name.strip() for name in (more or "").split(",") if name.strip())
    if osm is not None and "voorzieningen" not in names:
        problems.add("--osm is for voorzieningen only", "no voorzieningen", "--with voorzieningen", "add it")
    problems.raise_if_any()
    wanted = Wanted(survey, place, year, areas, tuple(table or ()), source, area, weight, strata, names)
    alone = yes or as_json or quiet or not (sys.stdin.isatty() and sys.stderr.isatty())
    tell = (lambda text: None) if quiet else say
    fetcher = Fetcher(Registry.load(sources), Cache.at(cache), offline=offline, refresh=refresh, say=tell)
    result = started(wanted, out, unasked if alone else _asked, fetched.by(fetcher, osm), tell)
    if as_json:
        _print_json(result)
    elif not quiet:
        _print(result)


def _asked(question: Question) -> str | None:
    """Ask on the terminal, until the answer is possible."""
    from buurtsae.start.choices import NOTHING

    text = question.words
    if question.likely and question.default is None:
        text += f"\n  likely: {', '.join(map(cut, question.likely))}"
    if question.optional:
        text += f"\n  {NOTHING} for none"
    while True:
        answer = str(typer.prompt(text, default=question.default, err=True)).strip()
        if not question.possible or answer in question.possible or (question.optional and answer == NOTHING):
            return answer
        text = f"{cut(answer)} is none of {', '.join(map(cut, question.possible[:30]))}; which one?"


def _print(result: Started) -> None:
    """Say what was made, what was chosen and why, and what is left."""
    for file in result.files:
        typer.echo(f"wrote {file}")
    typer.echo("chosen:")
    for choice in result.choices:
        typer.echo(f"  {choice.line}")
    if result.inputs is not None:
        typer.echo(f"{result.inputs.areas!r}\n{result.inputs.direct!r}")
        for note in result.inputs.notes:
            typer.echo(f"note: {note}")
    if result.left or result.problems:
        typer.echo("left to do:")
        for k, note in enumerate(result.left, 1):
            typer.echo(f"  {k}. {note}")
        for problem in result.problems:
            typer.echo("\n".join(f"  {line}" for line in str(problem).splitlines()))
    run = result.folder / "run.toml"
    if result.inputs is not None:
        typer.echo(f"all inputs are in order: buurtsae run {run} --out {result.folder / 'out'}")
    else:
        typer.echo(f"then: buurtsae check {run}")


def _print_json(result: Started) -> None:
    keys = ("what", "got", "expected", "hint")
    content = {
        "ok": result.inputs is not None,
        "files": list(map(str, result.files)),
        "choices": [{"key": c.key, "value": c.value, "why": str(c.why)} for c in result.choices],
        "left": list(map(str, result.left)),
        "problems": [{key: getattr(problem, key) for key in keys} for problem in result.problems],
    }
    print_json(content)
