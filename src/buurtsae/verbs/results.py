"""Verbs of a folder of results: `compare`, `explain`, `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from buurtsae.errors import BuurtsaeError
from buurtsae.verbs.common import Json, print_json, say


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
        print_json({"agree": comparison.agree, "labels": labels, "elpd": elpd, **parts})
    else:
        typer.echo(comparison.text)


def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A buurt, wijk or gemeente: BU..., WK..., GM...")],
    folder: Annotated[Path, typer.Option("--from", help="Folder of results.")] = Path("out/voorbeeldstad"),
    as_json: Json = False,
) -> None:
    """Say in Dutch what is known about one area, and what its estimates lean on."""
    from buurtsae.publication.content import explained, of_area

    area = of_area(folder, code)
    if as_json:
        print_json(area)
    else:
        typer.echo(explained(area))


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
    say(f"http://{host}:{port}/v1, described at /openapi.json; pages at /dashboard/; stop with Ctrl-C")
    if host not in server.LOOPBACK:
        say("other machines can read this too: there is no password")
    server.serve(results, host, port, origin or ())
