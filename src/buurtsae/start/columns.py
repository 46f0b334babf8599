"""What the columns of a file of respondents are for: by their names, and by whether their cells can be that.

Nothing is taken by its name alone. Weights are numbers above 0; strata are groups, clusters hold more than one person,
identifiers do not repeat, years are years; what may be answers are whole numbers of a few different values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from buurtsae.notes import Note
from buurtsae.start.codes import Coded, bare, cells, postcodes, published
from buurtsae.tables import as_number, boolean

WEIGHT = re.compile(r"(^|[^a-z])((eind|basis|respondent|persoons?|wegings?)?_?gewicht|weeg|weging|weight|wgt)|^wf?$")
OTHER_WEIGHT = re.compile(r"lichaam|kg|kilo|body")
STRATA = re.compile(r"(^|_)(steekproef)?(stratum|strata)($|_|\d)")
CLUSTER = re.compile(r"(^|_)(cluster|psu|huishouden|huishoud_?(nr|nummer|id)|household|hh_?id)($|_|\d)")
ID = re.compile(
    r"^(id|.*_id|resp(ondent)?_?(id|nr|nummer)|volg_?(nr|nummer)|record_?(nr|nummer)?|case_?id|rinpersoon)$"
)
YEAR = re.compile(r"^((onderzoeks|enquete|meet|peil|veldwerk)?_?jaar|year)$")
FEWEST, MOST = 2, 15  # different answers to an item, codes for no answer included
MANY = 5  # numbered columns that are replicate weights together
BY_NAME = Note("by its name", "op naam")


@dataclass(frozen=True)
class Seen:
    """A column: its name, how often each different cell occurs (as text), and what kind these are."""

    name: str
    counts: pd.Series
    rows: int
    kind: str  # whole, number, text, truth or empty

    @property
    def distinct(self) -> int:
        """How many different values it has."""
        return len(self.counts)

    @property
    def filled(self) -> float:
        """The share of the rows with a value."""
        return float(self.counts.sum() / self.rows) if self.rows else 0.0

    @cached_property
    def numbers(self) -> pd.Series:
        """Its different values as numbers."""
        return as_number(self.counts.index.to_series(), strict=False)

    @cached_property
    def coded(self) -> Coded | None:
        """Its codes of buurten or wijken, if it holds these as published."""
        return published(self.name, self.counts)

    @cached_property
    def postal(self) -> bool:
        """Whether it holds postcodes."""
        return postcodes(self.name, self.counts)

    @property
    def unique(self) -> bool:
        """Whether each row has a value of its own."""
        return self.distinct == self.rows

    @property
    def answers(self) -> tuple[int, ...]:
        """The codes in it, if these can be answers to an item; else nothing."""
        if self.kind != "whole" or not FEWEST <= self.distinct <= MOST or YEAR.match(self.name.lower()):
            return ()
        return () if self.postal else tuple(sorted(int(n) for n in self.numbers))


@dataclass(frozen=True)
class Looked:
    """The columns of a file, and which of them may be for what; in the order of the file."""

    file: str
    rows: int
    columns: tuple[Seen, ...]

    def __getitem__(self, name: str) -> Seen:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> list[str]:
        """Of all columns."""
        return [column.name for column in self.columns]

    @property
    def codes(self) -> list[Coded]:
        """Columns of codes as published."""
        return [column.coded for column in self.columns if column.coded]

    @property
    def bare(self) -> list[Seen]:
        """Columns that may be codes without their letters: the areas must tell."""
        return [
            c for c in self.columns
            if c.kind in ("whole", "text") and not c.coded and not c.postal and bare(c.name, c.counts)
        ]  # fmt: skip

    @property
    def postcodes(self) -> list[str]:
        """Columns of postcodes."""
        return [column.name for column in self.columns if column.postal]

    @property
    def weights(self) -> list[str]:
        """Columns that may be weights: by name, and above 0 where they are filled; not numbered in a series."""
        named = [c for c in self._named(WEIGHT) if not OTHER_WEIGHT.search(c.name.lower())]
        fit = [c for c in named if c.kind in ("whole", "number") and bool((c.numbers > 0).any())]
        return [c.name for c in fit if c.name not in self.replicates]

    @property
    def replicates(self) -> list[str]:
        """Columns of weights that are numbered in a series."""
        stems: dict[str, list[str]] = {}
        for column in self._named(WEIGHT):
            if numbered := re.fullmatch(r"(.*?)_?\d+", column.name):
                stems.setdefault(numbered[1], []).append(column.name)
        return [name for names in stems.values() if len(names) >= MANY for name in names]

    @property
    def strata(self) -> list[str]:
        """Columns that may be strata: several groups of more than one person."""
        return [c.name for c in self._named(STRATA) if 1 < c.distinct <= self.rows / 2]

    @property
    def clusters(self) -> list[str]:
        """Columns that may be clusters: many, and some of more than one person."""
        return [c.name for c in self._named(CLUSTER) if MOST < c.distinct < c.counts.sum()]

    @property
    def identifiers(self) -> list[str]:
        """Columns that identify a row."""
        return [c.name for c in self._named(ID) if c.unique and c.kind in ("whole", "text")]

    @property
    def years(self) -> dict[str, list[int]]:
        """Columns of years, and which years are in them."""
        named = [c for c in self._named(YEAR) if c.kind == "whole" and c.numbers.between(1990, 2100).all()]
        return {c.name: sorted(int(n) for n in c.numbers) for c in named}

    def _named(self, pattern: re.Pattern[str]) -> Sequence[Seen]:
        return [column for column in self.columns if pattern.search(column.name.lower())]


def look(table: pd.DataFrame, file: str) -> Looked:
    """Return what is in each column of a table of respondents."""
    return Looked(file, len(table), tuple(_seen(str(name), column) for name, column in table.items()))


def _seen(name: str, column: pd.Series) -> Seen:
    counts = cells(column)
    if not len(counts):
        return Seen(name, counts, len(column), "empty")
    if pd.api.types.is_bool_dtype(column) or (column.dtype == object and boolean(column)):
        return Seen(name, counts, len(column), "truth")
    numbers = as_number(counts.index.to_series(), strict=False)
    if numbers.isna().any():
        return Seen(name, counts, len(column), "text")
    return Seen(name, counts, len(column), "whole" if (numbers == numbers.round()).all() else "number")
