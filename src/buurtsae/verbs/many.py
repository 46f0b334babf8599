"""Verbs about many runs: `batch`, and `warm` before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from buurtsae.console import batch_summary, print_batch
from buurtsae.verbs.common import Json, Out, Quiet, aloud, print_json, say


def batch(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="A batch file, run files, or a folder of run files.")
    ],
    out: Out,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes on this machine; one per processor by default.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="A Dask scheduler instead: tcp://host:8786.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do many runs, one folder each, with a page over all of them; what is finished is skipped."""
    from buurtsae.batch.many import failures, run_all

    if workers is not None and scheduler is not None:
        raise typer.BadParameter("a scheduler has workers of its own", param_hint="--workers")
    outcome = run_all(
        runs if len(runs) > 1 else runs[0], out, workers=workers, scheduler=scheduler, say=aloud(quiet)["say"]
    )
    if as_json:
        print_json(batch_summary(outcome))
    else:
        for text in failures(outcome):
            say(text)
        if not quiet:
            print_batch(outcome)
    if outcome.stopped:
        say("stopped: give the same command to go on")
        raise typer.Exit(130)
    if outcome.status:
        raise typer.Exit(outcome.status)


def warm(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN.toml]...", help="Run files; models of made data by default.")
    ] = None,
    width: Annotated[
        list[int] | None, typer.Option("--width", min=1, help="Measures times years; repeat. 1 to 4 by default.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compile the loops of the fast engine beforehand, and keep them on disk."""
    from buurtsae.runs.warm import WIDTHS
    from buurtsae.runs.warm import warm as warmed

    if runs and width:
        raise typer.BadParameter("run files say it themselves", param_hint="--width")
    done = warmed(runs or (), widths=width or WIDTHS, say=aloud(quiet)["say"])
    if not quiet:
        typer.echo(f"{done.compiled} loops compiled, {done.loaded} were there already")
