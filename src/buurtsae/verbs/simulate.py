"""The verb `simulate`: made surveys of known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from buurtsae.verbs.common import (
    Code,
    Json,
    Name,
    Out,
    Population,
    Quiet,
    Where,
    YearOf,
    pair,
    print_json,
    say,
    year_of,
)

FICTITIOUS = (
    'these respondents are made: set `fictitious = true` under [run], or "respondents" where the areas are real, '
    "so that all that is published says so"
)


def simulate(
    areas: Annotated[Path, typer.Option("--areas", help="Buurten: GeoPackage, GeoParquet, GeoJSON or shapefile.")],
    out: Out,
    year: YearOf = 2024,
    code: Code = "buurtcode",
    name: Name = "buurtnaam",
    population: Population = "inwoners",
    table: Annotated[
        list[Path] | None, typer.Option("--table", help="Table to join by buurtcode; repeat for more.")
    ] = None,
    where: Where = None,
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
    pairs = dict(pair(text, "--where") for text in where or [])
    rates = {}
    for text in source or ["veiligheidsmonitor"]:
        book, _, share = text.partition("=")
        try:
            rates[book] = float(share) if share else rate
        except ValueError:
            raise typer.BadParameter(f"{text!r}: after = comes a number", param_hint="--source") from None
    years = [year_of(text, "--waves") for text in (waves or "").split(",") if waves]
    changed = [pair(text, "--redesign", "SOURCE") for text in redesign or []]
    course = Course(redesigned=tuple((book, year_of(text, "--redesign")) for book, text in changed))
    tables = [(path, "buurtcode") for path in table or []]
    departs = Departure.of(dict(pair(text, "--departure", "NAME") for text in departure or []))
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
        print_json({"files": list(map(str, files)), "hint": FICTITIOUS})
    elif not quiet:
        typer.echo("\n".join(f"wrote {file}" for file in files))
        say(FICTITIOUS)
