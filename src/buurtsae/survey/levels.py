"""Cells that rows are of: their areas, levels of characteristics, and how many combinations can be numbered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import clean
from buurtsae.errors import DataError, Problems, shown
from buurtsae.sparse import Ints

NUMBERED = 2**62  # combinations that 64 bits can number
HELD, LISTED = 10**9, 10**7  # that an array, and a list, can hold


def areas_of(column: pd.Series, areas: Areas, what: str, problems: Problems) -> Ints:
    """Return the place of the area of each row; record unknown ones."""
    code = clean(column)
    place = areas.codes.get_indexer(code.fillna("").astype(object))
    if (lost := place < 0).any():
        unknown = shown(code[lost].fillna("none").unique())
        hint = "correct these codes, or drop these rows"
        problems.add(f"{int(lost.sum())} {what} unknown areas", unknown, shown(areas.codes), hint)
    return np.asarray(place, dtype=np.int64)


def levels_of(
    column: pd.Series, order: Sequence[object] | None, name: str, problems: Problems
) -> tuple[tuple[str, ...], Ints]:
    """Return the levels of a characteristic, and that of each row, -1 where it is none of them.

    They are in the given order, else sorted (by their text, where they are of several types). Spaces around them do
    not count: levels that are the same without are a problem.
    """
    if order is None:
        values = list(column.dropna().unique())
        order = sorted(values, key=None if len(set(map(type, values))) < 2 else str)
    elif not pd.api.types.is_list_like(order, allow_sets=False):
        problems.add(f"levels of {name} are no list", repr(order), "a list of names", "name them in their order")
        return (), np.full(len(column), -1)
    named = clean(pd.Series(list(order), dtype=None if len(order) else object)).dropna()
    if len(twice := named[named.duplicated()].unique()):
        what = f"levels of {name} occur twice, but for spaces around them"
        problems.add(what, shown(map(repr, twice)), "each once", "give each level one name")
    levels = tuple(level for level in dict.fromkeys(named) if level)
    return levels, np.asarray(pd.Index(levels).get_indexer(clean(column).fillna("").astype(object)), dtype=np.int64)


def check_combinations(areas: int, levels: Mapping[str, Sequence[str]], most: int = NUMBERED) -> None:
    """Refuse more combinations of areas and levels than can be numbered, or held.

    Raises
    ------
    DataError
        If there are `most` or more.
    """
    if (n := math.prod([areas, *map(len, levels.values())])) >= most:
        each = shown((f"{name} ({len(of)})" for name, of in levels.items()), 10)
        what, hint = "there are too many combinations of levels", "leave characteristics out, or join levels"
        raise DataError(what, f"{n:.3g} of {areas} areas, {each}", f"fewer than {most:.3g}", hint)
