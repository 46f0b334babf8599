"""Verbs of a run file: `run`, `demo`, `check`, `plan`, `curves`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from buurtsae.console import print_summary, summary
from buurtsae.verbs.common import Engine, Json, Out, Quiet, Seed, aloud, print_json

if TYPE_CHECKING:
    from buurtsae.folder.target import Target


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

    outcome = steps.run(file, out, seed=seed, engine=engine, **aloud(quiet))
    if as_json:
        print_json(summary(outcome))
    elif not quiet:
        print_summary(outcome)
    if not outcome.passed:
        raise typer.Exit(3)


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
        print_json({"ok": True, **audit})
    elif not quiet:
        typer.echo(f"{inputs.areas!r}\n{inputs.direct!r}\n{inputs.words}")
        for part in inputs.parts:
            typer.echo(part.words)
        for note in inputs.notes:
            typer.echo(f"note: {note}")
        typer.echo("all inputs are in order")


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
        planned = steps.plan(file, seed=seed, **aloud(quiet), budget=budget, max_per_area=max_per_area, **options)
        if out is not None and place is not None:
            with staged(place) as folder:
                write_csv(planned.table, folder / out.name)
    if as_json:
        asked = planned.table[planned.table["extra"] > 0]
        summary = {
            key: getattr(planned, key) for key in ("budget", "target", "extra", "share", "share_expected", "reached")
        }
        print_json({**summary, "needed": planned.needed, "areas": asked.to_dict("records")})
    elif not quiet:
        typer.echo(planned.text)


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
        drawn = steps.curves(file, covariate or (), seed=seed, **aloud(quiet))
        if place is not None:
            from buurtsae.origin import notice
            from buurtsae.runs.runfile import RunFile

            write_curves(drawn, place, notice(RunFile.load(file).spec.run.fictitious))
    if as_json:
        print_json({each.name: each.table.to_dict("records") for each in drawn})
    elif not quiet:
        typer.echo("\n\n".join(each.text for each in drawn))
