"""What verbs share: options, how a step says what it does, and JSON on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed, instead of the run file's.")]
Engine = Annotated[
    str | None, typer.Option("--engine", help="Engine, instead of the run file's: laplace, nuts or eblup.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]
# Of a file of areas.
YearOf = Annotated[int, typer.Option("--year", min=1990, max=2100, help="Year of the area division.")]
Code = Annotated[str, typer.Option("--code", help="Column with the buurtcode.")]
Name = Annotated[str, typer.Option("--name", help="Column with the name.")]
Population = Annotated[str, typer.Option("--population", help="Column with the number of residents.")]
Where = Annotated[list[str] | None, typer.Option("--where", help="Keep rows: COLUMN=VALUE; repeat for more.")]


def say(text: str) -> None:
    """Print a line to stderr."""
    typer.echo(text, err=True)


def aloud(quiet: bool) -> dict[str, Any]:
    """Return how a step says what it does."""
    return {"progress": not quiet, "say": (lambda text: None) if quiet else say}


def print_json(content: dict[str, Any]) -> None:
    """Print machine-readable output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=1, default=str))


def pair(text: str, option: str, what: str = "COLUMN") -> tuple[str, str]:
    """Return what stands before and after the first = of an option, or refuse it."""
    key, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is not {what}=VALUE", param_hint=option)
    return key, value


def year_of(text: str, option: str) -> int:
    """Return the year that an option gives, or refuse it."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a year", param_hint=option) from None
