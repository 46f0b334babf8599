"""The command line: verbs, and errors to exit statuses.

0 fine; 1 a data or model error, said in three lines; 2 wrong usage; 3 a quality gate that was not met.
Results and `--json` go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from buurtsae import __version__
from buurtsae.console import print_sources, print_summary, summary
from buurtsae.errors import BuurtsaeError, Problems, ProblemsError, cut
from buurtsae.verbs import data, many, start
from buurtsae.verbs.common import Engine, Json, Out, Quiet, Seed
from buurtsae.verbs.common import aloud as _aloud
from buurtsae.verbs.common import print_json as _print_json
from buurtsae.verbs.common import say as _say

if TYPE_CHECKING:
    from buurtsae.folder.target import Target

app = typer.Typer(
    help="Small-area estimates: reliable figures per buurt from sparse surveys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
FICTITIOUS = "these respondents are made: set `fictitious = true` under [run], so that all that is published says so"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"buurtsae {__version__}")
        raise typer.Exit


@app.callback()
def _general(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="The traceback of what goes wrong; anywhere in the command.")
    ] = False,
) -> None:
    """Small-area estimates: reliable figures per buurt from sparse surveys."""


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")],
    out: Out,
    seed: Seed = None,
    engine: Engine = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do the main job: read, check, direct estimates, fit, estimates, quality, publish."""
    from buurtsae.runs import steps

    outcome = steps.run(file, out, seed=seed, engine=engine, **_aloud(quiet))
    if as_json:
        _print_json(summary(outcome))
    elif not quiet:
        print_summary(outcome)
    if not outcome.passed:
        raise typer.Exit(3)


@app.command()
def demo(
    out: Out = Path("out/voorbeeldstad"),
    years: Annotated[bool, typer.Option("--years", help="Its waves of 2020, 2022 and 2024 in one fit.")] = False,
    seed: Seed = None,
    engine: Engine = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do the main job on the example inside the package, Voorbeeldstad: of 2024, or with --years over the years."""
    from buurtsae.runs.example import example

    run(example(years=years), out, seed, engine, as_json, quiet)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A folder of results.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: Json = False,
) -> None:
    """Put two runs side by side: estimates, uncertainty, ranks, labels, and which predicts better."""
    from buurtsae.estimates.evidence.compare import compare_folders

    comparison = compare_folders(first, second)
    if as_json:
        parts = {"table": comparison.table.to_dict("records"), "worst": comparison.worst.to_dict("records")}
        labels = {str(label): counts for label, counts in comparison.labels.to_dict("index").items()}
        elpd = None if comparison.elpd is None else dict(zip(("difference", "se"), comparison.elpd, strict=True))
        _print_json({"agree": comparison.agree, "labels": labels, "elpd": elpd, **parts})
    else:
        typer.echo(comparison.text)


@app.command()
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A buurt, wijk or gemeente: BU..., WK..., GM...")],
    folder: Annotated[Path, typer.Option("--from", help="Folder of results.")] = Path("out/voorbeeldstad"),
    as_json: Json = False,
) -> None:
    """Say in Dutch what is known about one area, and what its estimates lean on."""
    from buurtsae.publication.content import explained, of_area

    area = of_area(folder, code)
    if as_json:
        _print_json(area)
    else:
        typer.echo(explained(area))


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.")] = Path("out/voorbeeldstad"),
    host: Annotated[str, typer.Option(help="Address to listen at; by default this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    origin: Annotated[list[str] | None, typer.Option(help="Origin of pages that may read; repeat.")] = None,
) -> None:
    """Serve results to dashboards over HTTP: JSON and GeoJSON, read-only."""
    try:
        from buurtsae.serve import app as server
    except ImportError as error:
        raise BuurtsaeError(
            "the server is not installed", f"no {error.name}", "fastapi and uvicorn", 'pip install "buurtsae[serve]"'
        ) from error
    from buurtsae.serve.results import Results

    results = Results.open(folder)
    _say(f"http://{host}:{port}/v1, described at /openapi.json; pages at /dashboard/; stop with Ctrl-C")
    if host not in server.LOOPBACK:
        _say("other machines can read this too: there is no password")
    server.serve(results, host, port, origin or ())


@app.command()
def plan(
    file: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")],
    budget: Annotated[int, typer.Option(help="Extra respondents at most.")],
    target: Annotated[float, typer.Option(help="Share of the buurten that should be betrouwbaar.")] = 0.9,
    measure: Annotated[list[str] | None, typer.Option(help="Measure that counts; repeat. All by default.")] = None,
    source: Annotated[str | None, typer.Option(help="Source that is extended; the first survey by default.")] = None,
    max_per_area: Annotated[float, typer.Option(help="Share of a buurt's residents that may answer.")] = 0.1,
    deff: Annotated[float, typer.Option(help="Design effect of the extra respondents.")] = 1.0,
    out: Annotated[Path | None, typer.Option("--out", help="CSV file for the plan, one row per buurt.")] = None,
    seed: Seed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan a sample: how many extra respondents, and where, make buurten betrouwbaar."""
    from buurtsae.folder.target import by_heading, claimed, staged
    from buurtsae.runs import steps
    from buurtsae.tables import write_csv

    claim: AbstractContextManager[Target | None] = nullcontext()
    if out is not None:  # a plan is replaced by a plan, any other file stays
        known = by_heading(out.name, "area_code,area_name,population,n_respondents,extra,")
        claim = claimed(out.parent, [out.name], known, f".{out.name}.buurtsae")
    options: dict[str, Any] = {"target": target, "measure": measure or None, "source": source, "deff": deff}
    with claim as place:
        planned = steps.plan(file, seed=seed, **_aloud(quiet), budget=budget, max_per_area=max_per_area, **options)
        if out is not None and place is not None:
            with staged(place) as folder:
                write_csv(planned.table, folder / out.name)
    if as_json:
        asked = planned.table[planned.table["extra"] > 0]
        summary = {
            key: getattr(planned, key) for key in ("budget", "target", "extra", "share", "share_expected", "reached")
        }
        _print_json({**summary, "needed": planned.needed, "areas": asked.to_dict("records")})
    elif not quiet:
        typer.echo(planned.text)


@app.command()
def curves(
    file: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")],
    covariate: Annotated[list[str] | None, typer.Option(help="A covariate; repeat. All by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for tables and figures.")] = None,
    seed: Seed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what goes with each covariate: differences in score over its range, with and without the spatial field."""
    from buurtsae.folder.target import claimed
    from buurtsae.publication.curves import FILES, KNOWN, write_curves
    from buurtsae.runs import steps

    with nullcontext() if out is None else claimed(out, FILES, KNOWN) as place:
        drawn = steps.curves(file, covariate or (), seed=seed, **_aloud(quiet))
        if place is not None:
            from buurtsae.origin import notice
            from buurtsae.runs.runfile import RunFile

            write_curves(drawn, place, notice(RunFile.load(file).spec.run.fictitious))
    if as_json:
        _print_json({each.name: each.table.to_dict("records") for each in drawn})
    elif not quiet:
        typer.echo("\n\n".join(each.text for each in drawn))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read and validate all inputs, fit nothing; every problem in one report."""
    from dataclasses import asdict

    from buurtsae.runs import steps

    inputs = steps.check(file)
    audit = {
        "areas": inputs.areas.audit(),
        "parts": [asdict(part) for part in inputs.parts],
        "notes": inputs.notes,
        "direct": repr(inputs.direct),
        "model": str(inputs.words),
    }
    if as_json:
        _print_json({"ok": True, **audit})
    elif not quiet:
        typer.echo(f"{inputs.areas!r}\n{inputs.direct!r}\n{inputs.words}")
        for part in inputs.parts:
            typer.echo(part.words)
        for note in inputs.notes:
            typer.echo(f"note: {note}")
        typer.echo("all inputs are in order")


@app.command()
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
        _print_json({"sources": [{**asdict(book), "subdimensions": book.subdimensions} for book in books]})
    elif markdown:
        typer.echo(page(books, Concept.load().subdimensions), nl=False)
    elif source:
        typer.echo("\n\n".join(book.explained(min(console.width, 120)) for book in books))
    else:
        print_sources(books, console)


@app.command()
def covariates(
    files: Annotated[
        list[Path], typer.Argument(metavar="AREAS [TABLE]...", help="Buurten with geometry, and tables by buurtcode.")
    ],
    year: Annotated[int, typer.Option("--year", min=1990, max=2100, help="Year of the area division.")] = 2024,
    code: Annotated[str, typer.Option("--code", help="Column with the buurtcode.")] = "buurtcode",
    name: Annotated[str, typer.Option("--name", help="Column with the name.")] = "buurtnaam",
    population: Annotated[str, typer.Option("--population", help="Column with the number of residents.")] = "inwoners",
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Keep rows: COLUMN=VALUE; repeat for more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the covariates that there are: what each is, distribution, missing, what goes together, themes to paste."""
    from buurtsae.areas.areas import Areas
    from buurtsae.model.covariate_catalogue import covariate_catalogue

    pairs = dict(_pair(text, "--where") for text in where or [])
    tables = [(path, "buurtcode") for path in files[1:]]
    region = Areas.read(files[0], year, code=code, name=name, population=population, tables=tables, where=pairs)
    catalogue = covariate_catalogue(region, files)
    if as_json:
        _print_json(catalogue.record())
    else:
        typer.echo(catalogue.text)


@app.command()
def simulate(
    areas: Annotated[Path, typer.Option("--areas", help="Buurten: GeoPackage, GeoParquet, GeoJSON or shapefile.")],
    out: Out,
    year: Annotated[int, typer.Option("--year", min=1990, max=2100, help="Year of the area division.")] = 2024,
    code: Annotated[str, typer.Option("--code", help="Column with the buurtcode.")] = "buurtcode",
    name: Annotated[str, typer.Option("--name", help="Column with the name.")] = "buurtnaam",
    population: Annotated[str, typer.Option("--population", help="Column with the number of residents.")] = "inwoners",
    table: Annotated[
        list[Path] | None, typer.Option("--table", help="Table to join by buurtcode; repeat for more.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Keep rows: COLUMN=VALUE; repeat for more.")
    ] = None,
    covariate: Annotated[
        list[str] | None, typer.Option("--covariate", help="Column that the truth depends on; repeat for more.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0, max=1, help="Respondents per resident.")] = 0.0125,
    persons: Annotated[
        bool, typer.Option("--persons", help="Persons with known characteristics, in cells, for a model of persons.")
    ] = False,
    cells: Annotated[
        Path | None, typer.Option("--cells", help="Residents per buurtcode and characteristics; made by default.")
    ] = None,
    answers: Annotated[
        int, typer.Option("--answers", min=2, max=10, help="Of persons: yes or no, or so many ordered ones.")
    ] = 2,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Codebook, or CODEBOOK=RATE; the first is the reference.")
    ] = None,
    departure: Annotated[
        list[str] | None,
        typer.Option("--departure", help="What the model does not say: NAME=VALUE, such as tails=4; repeat for more."),
    ] = None,
    waves: Annotated[
        str | None, typer.Option("--waves", help="Years with a survey: 2020,2022,2024; scores change between them.")
    ] = None,
    redesign: Annotated[
        list[str] | None,
        typer.Option("--redesign", help="SOURCE=YEAR: asked otherwise from that wave on; repeat for more."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the simulation.")] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a synthetic survey with known truth on given areas."""
    from buurtsae.areas.areas import Areas
    from buurtsae.folder.target import claimed
    from buurtsae.simulate import respondents
    from buurtsae.simulate.departure import Departure
    from buurtsae.simulate.population import TruthSpec
    from buurtsae.simulate.survey import FILES, KNOWN, simulate_to
    from buurtsae.simulate.waves import Course, waves_to

    if persons and waves:
        raise typer.BadParameter("persons are of one year", param_hint="--waves")
    if redesign and not waves:
        raise typer.BadParameter("this is between waves: add --waves", param_hint="--redesign")
    if persons and (source or covariate):
        wrong = "--source" if source else "--covariate"
        raise typer.BadParameter("of persons there is one question, and no covariates", param_hint=wrong)
    if not persons and (cells or answers != 2):
        raise typer.BadParameter("this is of persons: add --persons", param_hint="--cells" if cells else "--answers")
    pairs = dict(_pair(text, "--where") for text in where or [])
    rates = {}
    for text in source or ["veiligheidsmonitor"]:
        book, _, share = text.partition("=")
        try:
            rates[book] = float(share) if share else rate
        except ValueError:
            raise typer.BadParameter(f"{text!r}: after = comes a number", param_hint="--source") from None
    years = [_year(text, "--waves") for text in (waves or "").split(",") if waves]
    changed = [_pair(text, "--redesign", "SOURCE") for text in redesign or []]
    course = Course(redesigned=tuple((book, _year(text, "--redesign")) for book, text in changed))
    tables = [(path, "buurtcode") for path in table or []]
    departs = Departure.of(dict(_pair(text, "--departure", "NAME") for text in departure or []))
    with claimed(out, respondents.FILES if persons else FILES, KNOWN) as place:
        truth = respondents.truth_of(answers, departs) if persons else None
        region = Areas.read(areas, year, code=code, name=name, population=population, tables=tables, where=pairs)
        spec = TruthSpec(covariates=tuple(covariate or ()), departure=departs)
        if persons:
            files = respondents.persons_to(region, place, rate, seed, cells, truth)
        elif years:
            files = waves_to(region, place, rates, years, seed, spec, course)
        else:
            files = simulate_to(region, place, rates, seed, spec)
    if as_json:
        _print_json({"files": list(map(str, files)), "hint": FICTITIOUS})
    elif not quiet:
        typer.echo("\n".join(f"wrote {file}" for file in files))
        _say(FICTITIOUS)


app.command()(data.fetch)
app.command()(start.init)
app.command()(many.batch)
app.command()(many.warm)


def _pair(text: str, option: str, what: str = "COLUMN") -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is not {what}=VALUE", param_hint=option)
    return key, value


def _year(text: str, option: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a year", param_hint=option) from None


def _report(error: BuurtsaeError, as_json: bool) -> None:
    problems = error.problems if isinstance(error, ProblemsError) else (error,)
    if as_json:
        keys = ("what", "got", "expected", "hint")
        _print_json({"ok": False, "problems": [{key: getattr(problem, key) for key in keys} for problem in problems]})
    else:
        typer.echo(str(error), err=True)
        if isinstance(error, ProblemsError):
            typer.echo(f"{error.count} problems; nothing was written", err=True)


def main() -> None:
    """Run the command line; whatever goes wrong ends in a message of three lines and status 1, Ctrl-C in 130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console may not be UTF-8
            stream.reconfigure(encoding="utf-8", errors="replace")
    words = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(words) < len(sys.argv) - 1
    if not debug:
        warnings.showwarning = _heard
    try:
        app(args=words)
    except (SystemExit, KeyboardInterrupt) as stop:
        sys.exit(130 if isinstance(stop, KeyboardInterrupt) else stop.code)
    except BaseException as error:  # extensions in Rust raise what is no Exception
        if debug:
            traceback.print_exc()
        _report(error if isinstance(error, BuurtsaeError) else _unexpected(error), "--json" in words)
        sys.exit(1)


def _unexpected(error: BaseException) -> BuurtsaeError:
    return BuurtsaeError(
        "buurtsae met with something unexpected",
        f"{type(error).__name__}: {cut(error, 300)}",
        "a result, or a message about the input",
        "run it again with --debug, and report what that prints, with the smallest run file and made data "
        "(buurtsae simulate) that show it: never with respondents",
    )


def _heard(message: Warning | str, category: type[Warning], *args: Any, **options: Any) -> None:
    """Say what our own code warns of; what libraries warn of is for who develops with them, and told with --debug."""
    if category.__module__.startswith("buurtsae"):
        typer.echo(str(message), err=True)
