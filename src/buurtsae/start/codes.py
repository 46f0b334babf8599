"""Which columns of a file of respondents hold area codes, by what is in them.

A code may lack its letters and its leading zeros (3630001 for BU03630001): then only the areas themselves can tell it
from another number. A postcode is no area code: it may lie in several buurten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS, clean

LEVELS = ("buurt", "wijk")  # where respondents can be known to live
MOST = 0.9  # share of the rows of a column from which it holds what these look like
LEAST = 0.5  # share of the codes that must be areas, where these lack their letters
POSTCODE = re.compile(r"[1-9]\d{3} ?[A-Z]{2}")
NUMBER = re.compile(r"[1-9]\d{3}")
POSTAL = re.compile(r"post|pc[46]|zip", re.IGNORECASE)
BARE = re.compile(r"\d{3,8}|\d{4}[0-9A-Z]{2}([0-9A-Z]{2})?|(BU|WK)\d{2,4}[0-9A-Z]{2,4}")


@dataclass(frozen=True)
class Coded:
    """A column of area codes.

    Attributes
    ----------
    column : str
    level : {"buurt", "wijk"}
    codes : Series, index the cells as text
        Each different code as CBS publishes it.
    rows : Series, same index
        In how many rows it is.
    whole : bool
        Whether the column has them as published.
    """

    column: str
    level: str
    codes: pd.Series
    rows: pd.Series
    whole: bool

    @property
    def gemeenten(self) -> pd.Series:
        """The share of the respondents in each gemeente, the largest first."""
        gemeente = CBS.read(self.codes, "gemeente")
        return (self.rows.groupby(gemeente).sum() / self.rows.sum()).sort_values(ascending=False)

    def matched(self, areas: pd.Index, gemeenten: Collection[str]) -> float:
        """Return the share of the respondents with a code of these gemeenten who live in one of these areas."""
        here = CBS.read(self.codes, "gemeente").isin(list(gemeenten))
        return float(self.rows[here & self.codes.isin(areas)].sum() / max(self.rows[here].sum(), 1))


def cells(column: pd.Series) -> pd.Series:
    """Return how often each cell of a column occurs, as text without spaces; empty cells and broken numbers apart."""
    column = column[np.isfinite(column)] if pd.api.types.is_float_dtype(column) else column
    counts = column.dropna().value_counts()
    text = clean(counts.index.to_series())
    counts = counts.groupby(text.to_numpy()).sum()
    return counts[counts.index != ""]


def completed(text: pd.Series, level: str) -> pd.Series:
    """Return codes as CBS publishes them: letters in front, leading zeros, capitals; missing where that cannot be."""
    example, pattern = CBS.forms[level]
    bare = text.str.upper().str.replace(" ", "", regex=False).str.removeprefix(example[:2])
    digits = bare.str.fullmatch(r"\d+").fillna(False).astype(bool)  # only numbers lose zeros
    code = example[:2] + bare.where(~digits, bare.str.zfill(len(example) - 2))
    return code.where(code.str.fullmatch(pattern).fillna(False).astype(bool))


def published(name: str, counts: pd.Series) -> Coded | None:
    """Return a column whose cells have the form of codes of buurten or wijken, if these are at least 90%."""
    text = counts.index.to_series()
    for level in LEVELS:
        form = text.str.fullmatch(CBS.forms[level][1])
        if len(text) and counts[form].sum() >= MOST * counts.sum():
            return Coded(name, level, text[form], counts[form], bool(form.all()))
    return None


def bare(name: str, counts: pd.Series) -> bool:
    """Whether a column may hold codes without letters or zeros, by its form; one number per row is an identifier."""
    text = counts.index.to_series().str.upper()
    if POSTAL.search(name) or not len(text) or (len(text) > 50 and (counts == 1).all()):
        return False
    return bool(counts[text.str.fullmatch(BARE.pattern)].sum() >= MOST * counts.sum())


def found(name: str, counts: pd.Series, areas: Mapping[str, pd.Index]) -> Coded | None:
    """Return a column whose completed codes are areas: codes at each level are given, at least half must be there."""
    if not bare(name, counts):
        return None
    text = counts.index.to_series().astype("string")
    for level in LEVELS:
        code = completed(text, level)
        here = code.isin(areas[level])
        if counts[here].sum() >= LEAST * counts.sum():
            known = code.notna()
            return Coded(name, level, code[known].astype(object), counts[known], False)
    return None


def postcodes(name: str, counts: pd.Series) -> bool:
    """Whether a column holds postcodes: four digits and two letters, or, by its name, four digits."""
    text = counts.index.to_series().str.upper()
    pattern = NUMBER.pattern if POSTAL.search(name) and text.str.len().max() == 4 else POSTCODE.pattern
    return bool(len(text) and counts[text.str.fullmatch(pattern)].sum() >= MOST * counts.sum())


def rivals(several: list[Coded]) -> list[Coded]:
    """Return the columns without those that say less than another: the wijk of its buurt, or the same codes."""
    kept: list[Coded] = []
    for one in sorted(several, key=lambda c: LEVELS.index(c.level)):
        wijken = [set(CBS.read(other.codes, "wijk")) for other in kept if other.level == "buurt"]
        if one.level == "wijk" and any(set(one.codes) <= found for found in wijken):
            continue
        kept.append(one)
    return kept
