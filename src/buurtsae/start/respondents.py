"""A file of respondents as a source of a run: its codebook, weights, strata, clusters, identifiers and year."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from buurtsae.errors import BuurtsaeError, Problems, shown
from buurtsae.notes import Note
from buurtsae.start.books import ENOUGH, Fitting, fits, fitting, told
from buurtsae.start.choices import AS_TOLD, Ask, Choice, Question, pick
from buurtsae.start.columns import BY_NAME, FEWEST, MOST, Looked
from buurtsae.survey.codebook import Codebook, available

DRAFT = "codebook.toml"


@dataclass(frozen=True)
class Roles:
    """What the columns are for.

    Attributes
    ----------
    source : Choice
        An identifier, a path of the user's own codebook, or `DRAFT`: one to complete.
    columns : dict of str to Choice
        `weight`, `strata`, `cluster` and `id`, where there are any.
    year : Choice, optional
        Of the fieldwork, where a column says it.
    fit : Fitting, optional
        The codebook beside the columns.
    left : tuple of Note
        What is left to do.
    said : tuple of Choice
        Choices of nothing, and other things to know.
    """

    source: Choice
    columns: dict[str, Choice] = field(default_factory=dict)
    year: Choice | None = None
    fit: Fitting | None = None
    left: tuple[Note, ...] = ()
    said: tuple[Choice, ...] = ()


def roles(
    looked: Looked, source: str | None, weight: str | None, strata: str | None, ask: Ask, problems: Problems
) -> Roles | None:
    """Return what the columns are for; None where that cannot be said, with every problem recorded."""
    before, left, said = len(problems.found), list[Note](), list[Choice]()
    book = _source(looked, source, ask, problems)
    participatory = book is not None and book[1] is not None and book[1].book.kind == "participatory"
    columns, file = dict[str, Choice](), looked.file
    numbers = [c.name for c in looked.columns if c.kind in ("whole", "number") and not c.coded]
    w = pick("weight", weight, looked.weights, BY_NAME, looked.names, file, ask, problems, participatory)
    if w is not None:
        columns["weight"] = w
        left += _weights(looked, w.value)
    elif not participatory and weight is None and not looked.weights:
        hint = "name it with --weight; where everybody counts alike, add a column of ones"
        what = f"{file} has no column that is called a weight"
        problems.add(what, f"numbers in {shown(numbers, 8)}" if numbers else "no numbers", "design weights", hint)
    s = pick("strata", strata, looked.strata, BY_NAME, looked.names, file, ask, problems, True)
    if s is not None:
        columns["strata"] = s
    elif strata is None and len(looked.strata) < 2:
        none = Note("no column of strata by its name: one stratum", "geen kolom met strata op naam: één stratum")
        said.append(Choice("strata", "", none))
    for key, likely in (("cluster", looked.clusters), ("id", looked.identifiers)):
        if len(likely) == 1:
            columns[key] = Choice(key, likely[0], BY_NAME)
        elif likely:
            several = Note("several columns may be: {names}", "er kunnen er meer zijn: {names}", names=likely)
            said.append(Choice(key, "", several))
    if looked.replicates:
        left.append(Note(
            "{file} has {n} numbered weights ({names}): if these are replicate weights, name them in `replicates` of "
            "[[sources]]",
            "{file} heeft {n} genummerde gewichten ({names}): zijn het replicatiegewichten, noem ze dan in "
            "`replicates` van [[sources]]",
            file=file, n=len(looked.replicates), names=looked.replicates,
        ))  # fmt: skip
    year = _year(looked, problems)
    if len(problems.found) > before or book is None:
        return None
    choice, fit = book
    if fit is None:
        left.insert(0, Note(
            "complete {book}: `buurtsae sources {book}` says what is left",
            "maak {book} af: `buurtsae sources {book}` zegt wat er nog moet",
            book=choice.value,
        ))  # fmt: skip
    elif fit.foreign:
        left.insert(0, Note(
            "{book} informs {measures}, which the concept of buurtverbondenheid does not have: name the concept that "
            "it belongs to under `[concept]` as `file`",
            "{book} gaat over {measures}, en het begrip buurtverbondenheid heeft die niet: noem onder `[concept]` als "
            "`file` het begrip waar het bij hoort",
            book=fit.book.id, measures=fit.foreign,
        ))  # fmt: skip
    if fit is not None and fit.odd:
        left.append(Note(
            "answers to {items} are not the codes of {book}: correct these, or give a codebook of your own",
            "antwoorden op {items} zijn niet de codes van {book}: verbeter die, of geef een eigen codeboek",
            items=fit.odd, book=fit.book.id,
        ))  # fmt: skip
    return Roles(choice, columns, year, fit, tuple(left), tuple(said))


def _source(looked: Looked, given: str | None, ask: Ask, problems: Problems) -> tuple[Choice, Fitting | None] | None:
    """The codebook: as given, the one that fits, or one to complete."""
    if given is not None:
        return _named(given, looked, problems)
    good, nearest = fits(looked)
    if len(good) > 1:
        words = f"{looked.file} fits several codebooks: {told(good)}; which one?"
        ids = tuple(one.book.id for one in good)
        answer = ask(Question("--source", words, ids, ids))
        chosen = [one for one in good if one.book.id == answer]
        if not chosen:
            problems.add(f"{looked.file} fits several codebooks", told(good), "one", "choose with --source")
            return None
        return Choice("source", chosen[0].book.id, AS_TOLD), chosen[0]
    if good:
        return Choice("source", good[0].book.id, good[0].words), good[0]
    why = Note(
        "no codebook of the package has {least:.0%} of its items here; the nearest is {book}: {words}",
        "van geen codeboek van het pakket staat {least:.0%} van de vragen in het bestand; het dichtst bij komt {book}: "
        "{words}",
        least=ENOUGH, book=nearest.book.id, words=nearest.words,
    )  # fmt: skip
    if not any(column.answers for column in looked.columns):
        got, expected = shown(looked.names, 12), f"whole numbers, {FEWEST} to {MOST} different ones in a column"
        hint = "export the answers as codes"
        problems.add(f"{looked.file} has no columns that can be items", got, expected, hint)
        return None
    return Choice("source", DRAFT, why), None


def _named(given: str, looked: Looked, problems: Problems) -> tuple[Choice, Fitting | None] | None:
    """A codebook that was named: one of the user's own may have to be completed yet."""
    try:
        book = Codebook.load(given)
    except BuurtsaeError as error:
        if given in available() or not Path(given).is_file():
            problems.collect(error)
            return None
        return Choice("source", given, AS_TOLD), None  # not complete yet: that is said as left to do
    if book.kind == "objective":
        hint = "give its figures as --table; --source is of respondents"
        problems.add(f"{book.id} has no respondents", "an objective source", "a survey", hint)
        return None
    fit = fitting(book, looked)
    if not fit.present:
        hint = "rename the columns, or leave --source out and complete the codebook that is written then"
        items = shown(item.name for item in book.items)
        problems.add(f"{looked.file} has no items of {book.id}", shown(looked.names, 12), items, hint)
        return None
    return Choice("source", given, Note.joined([AS_TOLD, fit.words])), fit


def _weights(looked: Looked, column: str) -> list[Note]:
    """What is left to do about weights that no run takes."""
    seen = looked[column]
    bad = looked.rows - int(seen.counts[(seen.numbers > 0).to_numpy()].sum())
    return [] if not bad else [Note(
        "{n} rows of {column} are empty or not above 0: correct these weights",
        "{n} rijen van {column} zijn leeg of niet groter dan 0: verbeter deze gewichten",
        n=bad, column=column,
    )]  # fmt: skip


def _year(looked: Looked, problems: Problems) -> Choice | None:
    """The year of the fieldwork, where one column has one year; several years are several files."""
    for column, years in looked.years.items():
        if len(years) > 1:
            hint = "split the file, one per year: each is a [[sources]] of its own (docs/years.md)"
            problems.add(f"{looked.file} holds several years in {column}", shown(years), "one year", hint)
        elif years:
            why = Note("all of column {column}", "de hele kolom {column}", column=column)
            return Choice("year", str(years[0]), why)
    return None
