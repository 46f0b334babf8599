"""Whether the columns of a file of areas can be what they are used as: codes, residents, groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.areas.codes import CBS, clean
from buurtsae.areas.plausible import residents
from buurtsae.errors import Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.tables import SECRET_BELOW, as_number

if TYPE_CHECKING:
    import geopandas as gpd

STRUCTURAL = ("name", "population", "geometry")
CODES = ("buurtcode", "wijkcode", "gemeentecode")
NAMES = ("buurtnaam", "wijknaam", "gemeentenaam", "provinciecode", "provincienaam")

GROUP = "{} (group)"  # where a grouping is that is a covariate too


def numbers(
    column: pd.Series,
    what: str,
    problems: Problems,
    expected: str = "numbers",
    hint: str = "correct the column",
    secret: float = SECRET_BELOW,
) -> pd.Series | None:
    """Return a column as numbers; record one that has none."""
    try:
        return as_number(column, secret=secret)
    except (ValueError, TypeError) as error:
        problems.add(what, str(error), expected, hint)
        return None


def grouped(columns: pd.DataFrame, noun: Note, notes: list[Note]) -> pd.DataFrame:
    """Return the groups of each grouping as text, None for an area in none; those of numbers are covariates too."""
    groups = pd.DataFrame(index=columns.index)
    for by, column in columns.items():
        group = clean(column)
        group = group.astype(object).where(group.notna() & (group != ""), None)
        groups[GROUP.format(by) if pd.api.types.is_numeric_dtype(column) else by] = group
        if alone := int(group.isna().sum()):
            notes.append(Note(
                "{areas} in no group of {by}: {n}",
                "{areas} in geen groep van {by}: {n}",
                areas=noun, by=by, n=alone,
            ))  # fmt: skip
    return groups


def check_rows(frame: gpd.GeoDataFrame, problems: Problems) -> None:
    """Codes are whole, occur once, and lie in one area of each higher level."""
    code = frame["buurtcode"]
    if bad := CBS.malformed(code, "buurt"):
        hint = "give buurtcodes as published by CBS"
        problems.add("area codes are malformed", shown(bad), "the form BU03440101", hint)
    if len(twice := code[code.duplicated()].unique()):
        problems.add("areas occur more than once", shown(twice), "one row per buurt", "dissolve or remove duplicates")
    for column, what in (("ggdregio", "GGD-regio"), ("provinciecode", "provincie"), ("provincie", "provincie")):
        if column in frame and len(lost := code[frame[column].isna()]):
            problems.add(f"areas have no {what}", shown(lost), "one per buurt", f"complete the table with `{column}`")


def check_residents(frame: gpd.GeoDataFrame, kept: gpd.GeoDataFrame, population: str, problems: Problems) -> None:
    """Residents are persons, and some buurten that were kept have them."""
    if population not in frame:
        problems.add("the number of residents is absent", shown(frame.columns, 8), repr(population), "name the column")
        return
    column, what = frame.set_index("buurtcode")[population], "the number of residents is no number"
    if (persons := numbers(column, what, problems, "persons", "name another column, or repair it")) is None:
        return
    if len(negative := persons[persons < 0]):
        values = shown(f"{number:g}" for number in negative)
        problems.add("the number of residents is negative", values, "0 or more", "correct these cells")
    problems.sift([residents(persons)])
    if len(kept) and not (as_number(kept[population]) > 0).any():
        what, hint = "no buurt has residents", "name another column with `population`, or complete it"
        problems.add(what, f"{shown(kept[population], 3)} in {population}", "a number of persons", hint)


def check_groupings(frame: gpd.GeoDataFrame, groupings: Sequence[str], used: Sequence[str], problems: Problems) -> None:
    """Groupings are columns of groups, whose names are free."""
    if len(set(groupings)) < len(groupings):
        problems.add("groupings are given twice", shown(groupings), "each once", "keep one")
    for column in groupings:
        if column in (*used, *CODES, *NAMES):
            what = "a grouping is a code, a name or the residents of areas"
            hint = "leave it out: wijk, gemeente and provincie are levels already"
            problems.add(what, cut(repr(column)), "a column of groups of buurten", hint)
        elif column in (*CBS.levels, *STRUCTURAL) or not re.fullmatch(r"[a-z][a-z0-9_]*", column):
            taken = f"small letters, digits and _, and not {', '.join((*CBS.levels, *STRUCTURAL))}"
            problems.add("a grouping cannot have this name", cut(repr(column)), taken, "rename it")
        elif column not in frame:
            problems.add("the areas have no such grouping", repr(column), shown(frame.columns), "join its table")
        elif frame[column].isna().all():
            problems.add("a grouping has no groups", repr(column), "a group per buurt, or none", "fill that column")
