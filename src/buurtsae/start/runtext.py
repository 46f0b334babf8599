"""The run file that `init` writes: every choice with why it was made, in the order of docs/run-file.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from buurtsae.errors import cut
from buurtsae.model.covariates import known
from buurtsae.notes import Note
from buurtsae.start.choices import Choice
from buurtsae.start.proposal import THEME, Covariates
from buurtsae.start.toml import comment, line, quoted

HEAD = """\
# Run file, written by `buurtsae init`. Paths are relative to this file; every key: docs/run-file.md.
# What follows # says why a choice was made. Correct what is not right, then: buurtsae check run.toml
# Runbestand, geschreven door `buurtsae init`. Achter # staat waarom iets is gekozen; zie ook README.md."""


@dataclass(frozen=True)
class Source:
    """`[[sources]]`: keys and values as TOML, each with why; and what is left to say, as comments below."""

    keys: Sequence[tuple[str, str, str]]
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """All that the run file says."""

    name: str
    title: str
    year: Choice
    areas: str
    tables: Sequence[tuple[str, str]]
    columns: Mapping[str, Choice]
    where: tuple[str, str] | None
    region: str
    place: Choice
    credit: str
    source: Source
    covariates: Covariates
    group: Choice
    parts: Note | None = None
    editions: Sequence[str] = field(default_factory=tuple)


def run_text(plan: Plan) -> str:
    """Return the run file as TOML."""
    year = plan.year.value
    lines = [
        HEAD,
        "",
        "[run]",
        line("name", quoted(plan.name), "in file names and identifiers"),
        line("title", quoted(plan.title), "of the pages: titel van de pagina's"),
        line("year", year, str(plan.year.why)),
        line("seed", year, "of everything random: the same seed gives the same figures"),
        line("engine", quoted("laplace"), 'seconds; "nuts" samples, the slow reference'),
        '# contact = ""  # whom readers may ask: wie lezers kunnen vragen',
        "",
        "[areas]  # the buurten: de buurten",
        line("file", quoted(plan.areas)),
        line("year", year, "of the borders: van de buurtindeling"),
        *(line(key, quoted(choice.value), str(choice.why)) for key, choice in plan.columns.items()),
        *(_tables(plan.tables) if plan.tables else ()),
    ]
    if plan.where is not None:
        column, value = plan.where
        lines.append(line("where", f"{{ {column} = {quoted(value)} }}", str(plan.place.why)))
    if plan.region:
        lines.append(line("region", quoted(plan.region), "what the whole is called: hoe het geheel heet"))
    if plan.credit:
        lines += comment(f"credited, by the records beside the files (bronvermelding): {plan.credit}")
    else:
        lines.append('# credit = ""  # left to say: whom the borders and figures come from, with their licence')
    lines += [*(text for remark in plan.editions for text in comment(remark))]
    lines += ["", "[graph]  # who is whose neighbour: wie grenst aan wie"]
    lines.append(line("rule", quoted("queen"), 'buurten that share a point are neighbours; "rook": a line'))
    if plan.parts is not None:
        lines += comment(str(plan.parts))
    lines.append('bridges = []  # pairs to join over water: [["BU...", "BU..."]]')
    lines += ["", "[[sources]]  # one table per file of respondents: de enquête"]
    lines += [line(*key) for key in plan.source.keys]
    lines += [text for remark in plan.source.remarks for text in comment(remark)]
    lines += ["", *_model(plan)]
    lines += [
        "",
        "[publish]  # when a figure is published, and when it is only indicative: wanneer een cijfer mag",
        "min_residents = 10     # fewer: niet_publiceren",
        "min_reliability = 0.5  # lower: indicatief",
        "min_direct = 10        # direct estimates of fewer respondents are not published",
    ]
    return "\n".join(lines) + "\n"


def _tables(tables: Sequence[tuple[str, str]]) -> list[str]:
    rows = [f"  {{ file = {quoted(file)}, key = {quoted(key)} }}," for file, key in tables]
    return ["tables = [  # joined to the buurten by code", *rows, "]"]


def _title(column: str) -> str:
    """The Dutch title of a column that a codebook knows."""
    entry = known(column)
    return cut(entry[1].nl if entry else column)


def _model(plan: Plan) -> list[str]:
    """Covariates, formula and terms."""
    chosen, lines = plan.covariates, list[str]()
    for column, transform in chosen.transforms:
        lines += ["[[covariates]]", line("name", quoted(column))]
        lines += [line("transform", quoted(transform), "as its codebook says: scheef verdeeld"), ""]
    lines.append("[model]  # covariates, then what they do not tell: het model")
    for each in chosen.formula:
        lines += comment(f"{each.value} ({_title(each.value)}): {each.why}")
    if not chosen.formula:
        lines += comment("no covariates: none of the columns is known, or too few buurten have respondents")
    for each in chosen.left_out:
        lines += comment(f"left out: {each.value}: {each.why}")
    lines.append(line("formula", quoted(chosen.text)))
    gaps = "some are missing: predicted from what else is known, and flagged" if chosen.gaps else "nothing is missing"
    lines.append(line("missing", quoted("impute" if chosen.gaps else "refuse"), gaps))
    lines += ["", "[[model.terms]]  # buurten look like their neighbours: buurten lijken op hun buren"]
    lines += ['type = "bym2"', "sd = [3.0, 0.05]  # PC prior: P(sigma > 3) = 0.05, on the scale of the scores"]
    if plan.group.value:
        lines += ["", "[[model.terms]]", 'type = "iid"', line("level", quoted(plan.group.value), str(plan.group.why))]
    else:
        lines += ["", *comment(f"no term of gemeenten or wijken: {plan.group.why}")]
    if chosen.theme:
        name = line("name", quoted("kenmerken"), str(THEME))
        lines += ["", "[[model.terms]]", 'type = "ridge"', name, "covariates = ["]
        lines += [f"  {quoted(column)},  # {_title(column)}" for column in chosen.theme]
        lines.append("]")
    return lines
