"""Areas of anywhere: a table with a column of codes, columns of the levels above, and whatever else is known.

Checked is what everything after it takes for granted: a code per area, each once; each area in one group of each level,
and each group in one of the next, since areas of a level are compared within the next; no code at two levels, since a
code alone names an area. Groupings are free of this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CodeSystem, clean
from buurtsae.areas.columns import STRUCTURAL, grouped, numbers
from buurtsae.areas.plausible import residents
from buurtsae.errors import Problems, cut, shown
from buurtsae.notes import Note
from buurtsae.tables import plain

ALIKE = Note(
    "the number of residents is unknown: each area counts equally",
    "het aantal inwoners is onbekend: elk gebied telt even zwaar",
)


def arranged(
    frame: pd.DataFrame,
    code: str,
    levels: Mapping[str, str],
    name: str | None,
    population: str | None,
    groupings: Sequence[str],
) -> tuple[pd.DataFrame, CodeSystem, list[Note]]:
    """Return the table by code with its structural columns, the code system, and notes; see `Areas.from_frame`."""
    shapes = [column for column, dtype in frame.dtypes.items() if str(dtype) == "geometry"]
    table, problems, notes = plain(pd.DataFrame(frame.drop(columns=shapes)), "the frame"), Problems(), list[Note]()
    name = name or ("name" if "name" in table else None)
    population = population or ("population" if "population" in table else None)
    asked = [column for column in (code, *levels.values(), name, population, *groupings) if column is not None]
    if absent := [column for column in dict.fromkeys(asked) if column not in table]:
        problems.add("the frame has no such columns", shown(absent), shown(table.columns, 10), "correct the names")
    plain_system = CodeSystem()
    taken = (*plain_system.levels, *STRUCTURAL)
    if bad := [n for n in (*levels, *groupings) if n in taken or not re.fullmatch(r"[a-z][a-z0-9_]*", n)]:
        free = f"small letters, digits and _, and not {', '.join(taken)}"
        problems.add("levels cannot have these names", shown(bad), free, "choose others, or rename the columns")
    if len({*levels, *groupings}) < len(levels) + len(groupings):
        problems.add("levels and groupings are given twice", shown((*levels, *groupings)), "each once", "keep one")
    problems.raise_if_any()
    codes = clean(table[code])
    above = {level: clean(table[column]) for level, column in levels.items()}
    _check(codes, above, plain_system.whole_code, problems)
    persons = None if population is None else _persons(table[population].set_axis(codes), population, problems)
    problems.raise_if_any()
    if persons is None:
        notes.append(ALIKE)
    elif n := int(persons.isna().sum()):
        notes.append(Note(
            "areas with an empty number of residents count as without residents: {n}",
            "gebieden waarvan het aantal inwoners leeg is, tellen als gebied zonder inwoners: {n}",
            n=n,
        ))  # fmt: skip
    index = pd.Index(codes.astype(str), name="area_code")
    titles = codes if name is None else table[name].astype("string").fillna(codes)
    residents = 1 if persons is None else persons.fillna(0).astype("int64").to_numpy()
    columns = {"name": titles, **above, "population": residents}
    used = {code, name, population, *columns}
    truth = {column: values.astype(float) for column, values in table.items() if pd.api.types.is_bool_dtype(values)}
    joined = table.assign(**truth).drop(columns=[column for column in used if column in table]).set_axis(index)
    groups = grouped(table[list(groupings)].set_axis(index), plain_system.noun("area"), notes)
    structure = pd.DataFrame(columns, table.index).astype(dict.fromkeys(("name", *above), object)).set_axis(index)
    joined = joined.drop(columns=[column for column in groups if column in joined])
    joined = pd.concat([structure, groups, joined], axis=1)
    if shapes:
        import geopandas as gpd

        joined = gpd.GeoDataFrame(joined, geometry=frame[shapes[0]].set_axis(index).rename("geometry"))
    ladder = ("area", *levels)
    system = CodeSystem(
        (*ladder, plain_system.whole),
        compared=dict(pairwise(ladder)),
        nouns={**plain_system.nouns, **{n: Note("{n} areas", "gebieden van niveau {n}", n=n) for n in levels}},
    )
    return joined.sort_index(), system, notes


def _check(codes: pd.Series, above: Mapping[str, pd.Series], whole: str, problems: Problems) -> None:
    if codes.empty:
        problems.add("there are no areas", "0 rows", "one row per area", "check the frame")
    if len(lost := np.flatnonzero(codes.isna() | (codes == ""))):
        problems.add("areas have no code", f"rows {shown(lost)}", "a code in each row", "complete the column")
    if len(twice := codes[codes.duplicated()].dropna().unique()):
        problems.add("areas occur more than once", shown(twice), "one row per area", "aggregate or remove duplicates")
    for level, group in above.items():
        if (lost := group.isna() | (group == "")).any():
            hint = f"complete the column, or make `{level}` a grouping"
            problems.add(f"areas are in no {level}", shown(codes[lost].fillna("?")), "one for each area", hint)
    for (lower, inner), (upper, outer) in pairwise(above.items()):
        if len(apart := (several := outer.groupby(inner).nunique())[several > 1]):
            what = f"level {lower} is not nested in level {upper}"
            hint = "give levels from small to large; what is not nested is one of `groupings`"
            problems.add(what, f"{shown(apart.index)} in several", f"each {lower} in one {upper}", hint)
    seen = {whole: "the whole"} | dict.fromkeys(codes.dropna(), "area")
    clash = [f"{whole}, the whole"] if whole in set(codes) else []
    for level, group in above.items():
        clash += [f"{code}, {seen[code]} and {level}" for code in group.dropna().unique() if code in seen]
        seen |= dict.fromkeys(group.dropna(), level)
    if clash:
        hint = "put something in front of one, such as S37 for state 37"
        problems.add("codes occur at two levels", shown(clash), "codes of one level only", hint)


def _persons(column: pd.Series, name: str, problems: Problems) -> pd.Series | None:
    """The numbers of residents, missing where they are."""
    what = f"the number of residents, {cut(name)}, is no number"
    if (persons := numbers(column, what, problems, "persons", "repair the column", -np.inf)) is None:
        return None
    if len(negative := persons[persons < 0]):
        problems.add("the number of residents is negative", shown(negative.index), "0 or more", "correct these cells")
    elif not (persons > 0).any():
        problems.add("no area has residents", f"none in {cut(name)}", "persons", "name another column, or complete it")
    problems.sift([residents(persons, "areas")])
    return persons
