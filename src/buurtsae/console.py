"""What the command line prints: the outcome of a run, and the sources, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from buurtsae.batch.many import Outcome as BatchOutcome
    from buurtsae.runs.steps import Outcome
    from buurtsae.survey.codebook import Codebook


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what a run came to, for `--json`."""
    table = outcome.estimates.published
    land = table[table["level"] == "land"]
    return {
        "run_id": outcome.quality["run"]["run_id"],
        "gate": outcome.quality["gate"],
        "out": str(outcome.folder),
        "labels": outcome.quality["labels"],
        "land": land[["measure", "estimate", "lower", "upper"]].to_dict("records"),
    }


def print_summary(outcome: Outcome) -> None:
    """Print how many buurten are published, and on what their figures rest; the quality gate; where to look."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from buurtsae.drawing.style import LABELS
    from buurtsae.notes import MADE
    from buurtsae.schemas import BASES

    est, console = outcome.estimates, Console()
    total = est.measures[-1]
    rows = est.select(total)
    counts = rows.groupby(["label", rows["basis"].fillna(BASES[-1])]).size()
    if est.fictitious:
        console.print(MADE.nl, highlight=False)
    title = f"{est.concept.nodes[total].nl}: {len(rows)} bewoonde buurten, naar oordeel en basis van het cijfer"
    view = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    view.add_column("oordeel")
    for heading in ("vooral eigen respondenten", "gemengd", "vooral het model", "samen"):
        view.add_column(heading, justify="right")
    for label, words in LABELS.items():
        numbers = [int(counts.get((label, base), 0)) for base in BASES]
        shown = ["–"] * len(BASES) if label == "niet_publiceren" else map(str, numbers)
        view.add_row(words.nl, *shown, str(sum(numbers)))
    console.print(view, highlight=False)
    gate = outcome.quality["gate"]
    for check in gate["checks"]:
        sign = "hoogstens" if check["direction"] == "max" else "minstens"
        mark = "goed" if check["passed"] else "FOUT"
        value, limit = (f"{check[key]:.4g}".replace(".", ",") for key in ("value", "threshold"))
        console.print(f"  {mark} {check['nl']}: {value} ({sign} {limit})", highlight=False)
    if gate["unmade"]:
        console.print(f"  NIET GEDAAN {gate['unmade'].nl}", highlight=False)
    verdict = "gehaald" if gate["passed"] else "NIET gehaald: VOORLOPIG"
    console.print(f"kwaliteitstoets {verdict}", highlight=False)
    for what, where in (
        ("kaarten en tabellen", "dashboard/index.html"),
        ("kwaliteitsrapport", "quality.html"),
        ("alle cijfers", "estimates.xlsx"),
    ):
        console.print(f"{what + ':':20} {outcome.folder / where}", highlight=False, soft_wrap=True)


def batch_summary(outcome: BatchOutcome) -> dict[str, Any]:
    """Return what a batch came to, for `--json`."""
    from dataclasses import asdict

    counts = {"counts": outcome.counts, "stopped": outcome.stopped, "out": str(outcome.folder)}
    return {**counts, "runs": [asdict(report) for report in outcome.reports]}


def print_batch(outcome: BatchOutcome) -> None:
    """Print how many runs are done, which are drafts, and where to look."""
    from buurtsae.batch.site import STATES
    from buurtsae.errors import shown

    for state, words in STATES.items():
        names = [report.name for report in outcome.of(state)]
        if names:
            which = "" if state == "done" else f" ({shown(names)})"
            typer.echo(f"{len(names):4} {words.nl}{which}")
    typer.echo(f"overzicht: {outcome.folder / 'index.html'}")


def print_sources(books: list[Codebook], console: Console) -> None:
    """Print a table of the sources, with the numbers of the sub-dimensions that they inform."""
    from textwrap import fill

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from buurtsae.survey.catalogue import HEADINGS, overview
    from buurtsae.survey.concept import Concept

    subdimensions = Concept.load().subdimensions
    view = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in (*HEADINGS, "informs"):  # only the period gives way on a narrow screen
        view.add_column(heading, justify="right" if heading == "items" else "left", no_wrap=heading != "period")
    for book, (name, *row) in zip(books, overview(books), strict=True):
        informs = " ".join(
            f"{number}" if part in book.subdimensions else " " for number, part in enumerate(subdimensions, 1)
        )
        view.add_row(f"{name}\n{fill(book.nl, 23)}", *row, informs)
    console.print(view, highlight=False)
    typer.echo("\ninforms: " + "\n         ".join(f"{number} {name}" for number, name in enumerate(subdimensions, 1)))
    typer.echo("items:   questions, or figures per buurt of an objective source")
    typer.echo("*:       its figures are themselves estimates of a model")
    typer.echo("more about one source: buurtsae sources ssw; about your own: buurtsae sources eigen.toml")
