"""Verbs about many runs: `batch`."""

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
