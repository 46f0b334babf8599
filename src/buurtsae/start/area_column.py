"""The column of area codes: the one whose cells are codes, and how many of these the areas of the year have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, Problems, shown
from buurtsae.notes import Note
from buurtsae.start.choices import AS_TOLD, NOTHING, Ask, Choice, Question
from buurtsae.start.codes import Coded, bare, found, rivals
from buurtsae.start.columns import Looked, Seen

GOOD = 0.9  # share of the respondents of the place whose code is an area, below which codes are another year's
HOW = "join the buurtcode to the respondents by postcode and house number (docs/borders.md), and name it with --area"


@dataclass(frozen=True)
class Matched:
    """A column of area codes beside the areas.

    Attributes
    ----------
    coded : Coded
    share : float
        Of the respondents with a code in the gemeenten of the place, those whose code is an area.
    here, unknown, elsewhere, empty : int
        Respondents who live in an area of the place, who have a code of its gemeenten that is no area, who have a code
        of another gemeente, and who have no code.
    others : tuple of str
        The other gemeenten.
    choice : Choice
    """

    coded: Coded
    share: float
    here: int
    unknown: int
    elsewhere: int
    empty: int
    others: tuple[str, ...]
    choice: Choice

    @property
    def other_year(self) -> bool:
        """Whether the codes look like those of another year."""
        return self.share < GOOD


def area_column(looked: Looked, given: str | None, ask: Ask, problems: Problems) -> Coded | tuple[str, ...]:
    """Return the column of codes as published; where there is none, those among which the areas must tell.

    Where nothing can be an area code, or several can without an answer, that is recorded.
    """
    if given is None:
        several = rivals(looked.codes)
        names = [one.column for one in several]
        words = f"{looked.file}: which column has the buurtcode (or wijkcode) of each respondent?"
        if not names and (possible := [column.name for column in looked.bare]):
            return tuple(possible)
        default = names[0] if len(names) == 1 else None
        answer = ask(Question("--area", words, tuple(names), tuple(looked.names), default)) if names else None
        given = None if answer == NOTHING else answer
        if given is None and names:
            got = shown(f"{one.column} ({len(one.codes)} {one.level}codes)" for one in several)
            hint = "choose with --area: it is not guessed"
            problems.add(f"{looked.file} has several columns of area codes", got, "one", hint)
        elif given is None:
            problems.collect(_none(looked))
    if given is None:
        return ()
    if given not in looked.names:
        near = get_close_matches(given, looked.names, 3, 0.6) or looked.names
        problems.add(f"{looked.file} has no such column", given, shown(near, 12), "correct --area")
        return ()
    column = looked[given]
    if column.coded is not None:
        return column.coded
    if not column.postal and bare("", column.counts):
        return (given,)
    problems.collect(_none(looked, column))
    return ()


def _none(looked: Looked, column: Seen | None = None) -> DataError:
    """The error that there are no area codes, with what there is that looks like them."""
    near = []
    for one in [column] if column is not None else looked.columns:
        form = one.counts.index.to_series().str.fullmatch(CBS.forms["gemeente"][1])
        if one.postal:
            near.append(f"postcodes in {one.name}: one may lie in several buurten")
        elif len(one.counts) and bool(form.all()):
            near.append(f"gemeentecodes in {one.name}: a gemeente is too large")
    what = f"{looked.file} has no column of area codes"
    if column is not None:
        what = f"{looked.file}: {column.name} has no area codes"
    got = "; ".join(near) or (f"{column.kind} cells" if column is not None else f"columns {shown(looked.names, 12)}")
    return DataError(what, got, "codes of buurten or wijken, such as BU03630001 or WK036300", HOW)


def matched(
    looked: Looked, column: Coded | tuple[str, ...], areas: Mapping[str, pd.Index], place: set[str] | None, ask: Ask
) -> Matched:
    """Return the column of codes beside the areas; `areas` has the codes per level, `place` the gemeentecodes.

    Raises
    ------
    DataError
        If none of the columns holds areas, or several do and nobody says which.
    """
    if isinstance(column, Coded):
        return _beside(looked, column, areas, place)
    seen = [one for name in column if (one := found(name, looked[name].counts, areas)) is not None]
    several = {one.column: one for one in rivals(seen)}
    names = tuple(several)
    if not names:
        what = f"{looked.file} has no column of area codes"
        got = f"numbers in {shown(column)} that are no buurten or wijken of these areas"
        raise DataError(what, got, "codes such as BU03630001 or 3630001", f"is it of another place or year? {HOW}")
    answer = names[0]
    if len(names) > 1:
        words = f"{looked.file}: which column has the buurtcode (or wijkcode) of each respondent?"
        answer = str(ask(Question("--area", words, names, names)))
        if answer not in names:
            what = f"{looked.file} has several columns of area codes"
            raise DataError(what, shown(names), "one", "choose with --area: it is not guessed")
    return _beside(looked, several[answer], areas, place)


def _beside(looked: Looked, coded: Coded, areas: Mapping[str, pd.Index], place: set[str] | None) -> Matched:
    known = coded.codes.isin(areas[coded.level])
    gemeente = CBS.read(coded.codes, "gemeente")
    inside = known | gemeente.isin(place if place is not None else set(gemeente))
    if place is not None:  # areas of the file that lie outside the place are elsewhere
        inside &= gemeente.isin(place)
    known &= inside
    here, within, rows = (int(coded.rows[which].sum()) for which in (known, inside, known | True))
    share = here / within if within else 0.0
    form = Note("as published", "zoals gepubliceerd") if coded.whole else Note(
        "written without letters or zeros in front", "geschreven zonder letters of voorloopnullen"
    )  # fmt: skip
    why = Note(
        "{share:.1%} of its codes are {level} of these areas, {form}",
        "{share:.1%} van de codes zijn {level} van dit gebied, {form}",
        share=share, level=CBS.noun(coded.level), form=form,
    )  # fmt: skip
    choice = Choice("area", coded.column, why)
    others = tuple(sorted(set(gemeente[~inside])))
    return Matched(coded, share, here, within - here, rows - within, looked.rows - rows, others, choice)


def told(given: str | None, choice: Choice) -> Choice:
    """Return the choice with why; one that was named as such."""
    return Choice(choice.key, choice.value, Note.joined([AS_TOLD, choice.why])) if given == choice.value else choice
