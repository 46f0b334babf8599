"""From a survey file to a folder with a run file, the data it needs, and what is left to do in words.

The file is looked at before anything is downloaded; all that is written is written at once, beside the files of nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.errors import BuurtsaeError, DataError, Problems, ProblemsError, shown
from buurtsae.folder.target import claimed, staged
from buurtsae.notes import Note
from buurtsae.runs.reading import Inputs
from buurtsae.runs.steps import check
from buurtsae.start.area_column import Matched, area_column, matched
from buurtsae.start.choices import AS_TOLD, Ask, Choice, Question, unasked
from buurtsae.start.codes import Coded
from buurtsae.start.columns import look
from buurtsae.start.fetched import NEEDED, Fetch
from buurtsae.start.places import FEW, Given, Place, given, key_of, resolved, where_they_live
from buurtsae.start.respondents import DRAFT, Roles, roles
from buurtsae.start.written import DATA, JOINED, SELECT, Files, write
from buurtsae.tables import read_table

OWN = ("run.toml", "README.md")  # and those that are not always there: a codebook, data
NEAR = (-1, 1, -2, 2, -3)  # years whose codes may be those of a file
Say = Callable[[str], None]
YEAR = re.compile(r"(?<!\d)(199\d|20\d\d)(?!\d)")


@dataclass(frozen=True)
class Wanted:
    """What the user said: a survey, a place, a year, files of areas that are there, columns; more sources to fetch."""

    survey: Path | None = None
    place: Place | None = None
    year: int | None = None
    areas: Path | None = None
    tables: tuple[Path, ...] = ()
    source: str | None = None
    area: str | None = None
    weight: str | None = None
    strata: str | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started:
    """What was made: the files, every choice with why, and what is left; `inputs` where `check` passes already."""

    folder: Path
    files: tuple[Path, ...]
    choices: tuple[Choice, ...]
    left: tuple[Note, ...]
    problems: tuple[BuurtsaeError, ...] = ()
    inputs: Inputs | None = None


def init(
    wanted: Wanted, out: Path, ask: Ask = unasked, fetch: Fetch | None = None, say: Say = lambda text: None
) -> Started:
    """Write a folder with a run file for a survey, and check it.

    Parameters
    ----------
    wanted : Wanted
    out : path
        The folder; what lies there already is never overwritten.
    ask : callable
        Answers what options did not say; by default nobody is asked.
    fetch : callable, optional
        Called with what to fetch (`borders`, `kerncijfers`, ...), a place, a year and a folder; writes these there and
        says where (`buurtsae.start.fetched`). Without it areas must be given.
    say : callable
        Told what is being done.

    Raises
    ------
    DataError or ProblemsError
        What cannot be known and was not said, and files that cannot be used; nothing is written then.
    """
    _vacant(out)
    problems = Problems()
    survey = wanted.survey or _survey(ask)
    looked = look(read_table(survey), survey.name)
    if not looked.rows:
        raise DataError(f"{survey.name} has no respondents", "0 rows", "one row per respondent", "check the extract")
    say(f"{survey.name}: {looked.rows} rows, {len(looked.columns)} columns")
    column = area_column(looked, wanted.area, ask, problems)
    found = roles(looked, wanted.source, wanted.weight, wanted.strata, ask, problems)
    year = _year(wanted, found, ask, problems)
    place = wanted.place
    if odd := [what for what in wanted.more if what not in JOINED]:
        hint = "correct --with; what is not in the list is fetched by itself: buurtsae fetch"
        problems.add("these are no figures of buurten", shown(odd), shown(JOINED, 12), hint)
    if wanted.areas is not None and wanted.more:
        hint = "fetch them with buurtsae fetch, and give the files with --table"
        problems.add("--with is fetched, and with --areas nothing is", shown(wanted.more), "one of both", hint)
    if wanted.areas is None:
        if wanted.tables:
            problems.add("--table is joined to --areas", "no --areas", "both", "give the file of areas too")
        if fetch is None:
            problems.add("there are no areas", "no --areas", "a file of buurten", "give it with --areas, and --table")
        if column or wanted.place is not None:  # without a column of codes no place helps
            place = place or _from_codes(column, ask, problems)
    problems.raise_if_any()
    assert found is not None  # without problems all is known
    assert year is not None
    with claimed(out, OWN, _nobody) as target, staged(target) as folder:
        read = Files(folder, out, survey, wanted.areas, tuple((file, key_of(file)) for file in wanted.tables))
        if wanted.areas is None and fetch is not None and place is not None:
            asked = tuple(dict.fromkeys((*NEEDED, *wanted.more)))
            say(f"fetch {', '.join(asked)}")
            got = fetch(asked, place, int(year.value), folder / DATA)
            read, place = read.with_fetched(got.files), replace(place, label=got.name)
        assert read.areas is not None  # given or fetched
        areas = given(read.areas, read.tables)
        where = _cut(wanted, place, column, areas, ask)
        inside = set(areas.gemeenten) if read.fetched else _gemeenten(where[0], areas)  # fetched is the place alone
        seen = matched(looked, column, areas.codes, inside, ask)
        near = [] if wanted.areas is not None or fetch is None else _near(seen, fetch, folder, int(year.value), say)
        say("propose a model")
        choices, left = write(read, looked, areas, seen, found, year, where, wanted.area, near)
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = tuple(out / name for name in names)
    say("check")
    try:
        return Started(out, files, choices, left, inputs=check(out / "run.toml"))
    except BuurtsaeError as error:
        several = error.problems if isinstance(error, ProblemsError) else (error,)
        return Started(out, files, choices, left, several)


def _nobody(folder: Path) -> frozenset[str]:
    """No file in the folder is replaced."""
    return frozenset()


def _vacant(out: Path) -> None:
    """Refuse a folder that has a run file already."""
    there = [name for name in (*OWN, DRAFT) if os.path.lexists(out / name)]
    if there:
        what = f"{out.name or out} has these files already"
        raise DataError(what, ", ".join(there), "a folder without them", "choose another --out: none is overwritten")


def _survey(ask: Ask) -> Path:
    answer = ask(Question("SURVEY", "Which file has the respondents (CSV or Parquet)?"))
    if not answer:
        hint = "name it: buurtsae init enquete.csv"
        raise DataError("there is no survey", "no file", "CSV or Parquet, one row per respondent", hint)
    return Path(answer)


def _year(wanted: Wanted, found: Roles | None, ask: Ask, problems: Problems) -> Choice | None:
    """The year of the areas: as said, by the name of their file, or that of the fieldwork."""
    if wanted.year is not None:
        return Choice("year", str(wanted.year), AS_TOLD)
    likely = None
    if wanted.areas is not None and len(years := set(YEAR.findall(wanted.areas.name))) == 1:
        why = Note("by the name of {file}", "op naam van {file}", file=wanted.areas.name)
        likely = Choice("year", years.pop(), why)
    elif wanted.areas is None and found is not None and found.year is not None:
        likely = found.year
    default = None if likely is None else likely.value
    answer = ask(Question("--year", "Of which year are the areas, and the figures?", default=default))
    if answer is None or not re.fullmatch(r"199\d|20\d\d", answer):
        got = "nothing" if answer is None else answer
        problems.add("the year of the areas is not known", got, "a year such as 2024", "give it with --year")
        return None
    return likely if likely is not None and answer == likely.value else Choice("year", answer, AS_TOLD)


def _from_codes(column: Coded | tuple[str, ...], ask: Ask, problems: Problems) -> Place | None:
    """The gemeenten where respondents live, where nothing else was said."""
    default = None
    if isinstance(column, Coded):
        default = ",".join(str(code) for code, share in column.gemeenten.items() if share >= FEW) or None
    answer = ask(Question("--gemeente", "Which gemeente(n), with commas between?", default=default))
    if not answer:
        hint = "say so with --gemeente, --provincie, --ggd or --land"
        problems.add("the place of the figures is not known", "nothing", "a gemeente or a larger region", hint)
        return None
    return Place("gemeente", tuple(part.strip() for part in answer.split(",") if part.strip()))


def _cut(
    wanted: Wanted, place: Place | None, column: Coded | tuple[str, ...], areas: Given, ask: Ask
) -> tuple[Place, Choice]:
    """What of the areas the run is of, with why."""
    if place is not None:
        place = place if wanted.areas is None else resolved(place, areas)
        lived = Note("the respondents live there", "de respondenten wonen er")
        return place, Choice("place", place.text, lived if wanted.place is None else AS_TOLD)
    if not isinstance(column, Coded):
        return Place("land"), Choice("place", "", Note("all of the areas", "alle gebieden"))
    found = where_they_live(column.gemeenten, areas)
    if not found.value:
        return Place("land"), found
    answer = ask(Question("--gemeente", "Which gemeente(n), with commas between?", default=found.value))
    place = resolved(Place("gemeente", tuple(str(answer or found.value).split(","))), areas)
    return place, Choice("place", place.text, found.why if answer in (None, found.value) else AS_TOLD)


def _gemeenten(place: Place, areas: Given) -> set[str] | None:
    """The gemeentecodes of a place; None where it is all of the areas."""
    column = SELECT.get(place.kind)
    if column is None or column not in areas.frame:
        return None
    inside = areas.frame[column].isin(place.names)
    return set(areas.frame["gemeentecode"][inside]) if inside.any() else None


def _near(seen: Matched, fetch: Fetch, folder: Path, year: int, say: Say) -> list[Note]:
    """How many of the codes are areas of the years around, where they are hardly those of the year itself.

    Raises
    ------
    DataError
        If they are those of the year, of another place.
    """
    if not seen.other_year:
        return []
    shares, notes = seen.coded.gemeenten, list[Note]()
    place = Place("gemeente", tuple(str(code) for code in shares.index[shares >= FEW]))
    abroad = not seen.here + seen.unknown  # nobody is in the place: of another one, or from before it merged
    for other in (year + step for step in ((0, *NEAR) if abroad else NEAR)):
        say(f"compare with the codes of {other}")
        try:
            got = fetch(("borders",), place, other, folder.parent / f"borders_{other}")
        except BuurtsaeError as error:  # said, and another year may do
            notes.append(Note("{year}: {why}", "{year}: {why}", year=str(other), why=error.what))
            continue
        share = seen.coded.matched(codes_in(got.files["borders"]), place.names)
        notes.append(Note("{year}: {share:.0%}", "{year}: {share:.0%}", year=str(other), share=share))
        if share >= 0.99 and other == year:
            hint = "name their gemeenten with --gemeente, or give the survey of this place"
            raise DataError("the respondents live in other gemeenten", shown(place.names), "those of the place", hint)
        if share >= 0.99:
            break
    return notes


def codes_in(file: Path) -> pd.Index:
    """Return the codes of buurten and wijken in a file of borders."""
    buurt = pd.read_parquet(file, columns=["buurtcode"])["buurtcode"].astype(str)
    return pd.Index(pd.concat([buurt, CBS.read(buurt, "wijk")]).unique())
