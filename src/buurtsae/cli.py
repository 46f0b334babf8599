"""The command line: verbs, and errors to exit statuses.

0 fine; 1 a data or model error, said in three lines; 2 wrong usage; 3 a quality gate that was not met.
Results and `--json` go to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from buurtsae import __version__
from buurtsae.errors import BuurtsaeError, ProblemsError, cut
from buurtsae.verbs import data, many, results, runs, simulate, start
from buurtsae.verbs.common import print_json

app = typer.Typer(
    help="Small-area estimates: reliable figures per buurt from sparse surveys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


for verb in (
    start.init,
    data.fetch,
    data.covariates,
    runs.check,
    runs.run,
    runs.demo,
    results.compare,
    results.explain,
    results.serve,
    runs.plan,
    runs.curves,
    data.sources,
    simulate.simulate,
    many.batch,
    many.warm,
):
    app.command()(verb)


def _report(error: BuurtsaeError, as_json: bool) -> None:
    problems = error.problems if isinstance(error, ProblemsError) else (error,)
    if as_json:
        keys = ("what", "got", "expected", "hint")
        print_json({"ok": False, "problems": [{key: getattr(problem, key) for key in keys} for problem in problems]})
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
