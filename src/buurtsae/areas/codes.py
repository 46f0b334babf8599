"""Code systems: the levels of areas, from the areas themselves up to the whole, and what their codes look like.

`CBS`: `BU` + gemeente (4) + wijk (2) + buurt (2), with letters since 2022. The hierarchy is read from the code itself:
a buurt `BU0363AD03` lies in wijk `WK0363AD` and gemeente `GM0363`. Codes are strings, compared as published; StatLine's
padding is stripped, nothing else changed. Of any other system (`Areas.from_frame`) the codes are free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from buurtsae.notes import Note
from buurtsae.tables import SECRET_BELOW


@dataclass(frozen=True)
class CodeSystem:
    """How areas are coded, and which levels lie above them.

    Attributes
    ----------
    levels : tuple of str
        From that of the areas themselves up; the last is the whole. Each area of a level lies in one of the next that
        the areas have: what is not nested is a grouping.
    whole_code : str
        Code of the whole.
    compared : mapping of level to level
        The level above whose areas those of a level are ranked in and compared with; of others it is the whole.
    forms : mapping of level to (example, pattern)
        Levels whose codes have a fixed form. All share what comes after the first two characters, as far as each goes.
    nouns : mapping of level to Note
        What several areas of a level are called.
    secret : float
        Numbers up to it are marks of secret or missing figures.

    Examples
    --------
    >>> CBS.read(pd.Series(["BU0363AD03"]), "gemeente").tolist()
    ['GM0363']
    >>> CodeSystem(("area", "state", "all"), compared={"area": "state"}).upper
    ('state', 'all')
    """

    levels: tuple[str, ...] = ("area", "all")
    whole_code: str = "ALL"
    compared: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    nouns: Mapping[str, Note] = field(default_factory=lambda: {"area": Note("areas", "gebieden")})
    secret: float = -np.inf

    @property
    def base(self) -> str:
        """The level of the areas themselves."""
        return self.levels[0]

    @property
    def whole(self) -> str:
        """The level of the whole."""
        return self.levels[-1]

    @property
    def upper(self) -> tuple[str, ...]:
        """The levels from the one that areas are compared with up."""
        return self.levels[self.levels.index(self.parent(self.base)) :]

    def parent(self, level: str) -> str:
        """Return the level whose areas those of `level` are compared with."""
        return self.compared.get(level, self.whole)

    def noun(self, level: str) -> Note:
        """Return what several areas of a level are called."""
        return self.nouns.get(level) or Note("areas of level {level}", "gebieden van niveau {level}", level=level)

    def below(self, level: str, other: str) -> bool:
        """Return whether an area of `other` may hold several of `level`; of a grouping only its areas are known."""
        if level not in self.levels or other not in self.levels:
            return level == self.base or other != self.base
        return self.levels.index(level) < self.levels.index(other)

    def read(self, code: pd.Series, level: str) -> pd.Series:
        """Return the code at a level with a form, from codes of that level or below."""
        example, _ = self.forms[level]
        return example[:2] + code.str.slice(2, len(example))

    def malformed(self, code: pd.Series, level: str) -> list[str]:
        """Return the codes that do not have the form of `level`, if it has one, in order of appearance."""
        if level not in self.forms:
            return []
        pattern = re.compile(self.forms[level][1])
        fits = code.astype("string").map(lambda text: isinstance(text, str) and bool(pattern.fullmatch(text)))
        return [str(text) for text in code[~fits.astype(bool)].unique()]


CBS = CodeSystem(
    levels=("buurt", "wijk", "gemeente", "ggdregio", "provincie", "land"),
    whole_code="NL00",
    compared={"buurt": "gemeente", "wijk": "gemeente"},
    forms={
        "buurt": ("BU03440101", r"BU\d{4}[0-9A-Z]{4}"),
        "wijk": ("WK034401", r"WK\d{4}[0-9A-Z]{2}"),
        "gemeente": ("GM0344", r"GM\d{4}"),
    },
    nouns={"buurt": Note(*2 * ["buurten"]), "wijk": Note(*2 * ["wijken"]), "gemeente": Note(*2 * ["gemeenten"])},
    secret=SECRET_BELOW,
)
SOURCES = CBS.levels[:2]  # the levels at which sources with codes of CBS are known


def clean(code: pd.Series) -> pd.Series:
    """Return codes as stripped strings; missing stays missing, and a whole number has no decimals."""
    if pd.api.types.is_float_dtype(code) and (code.isna() | (code == code.round())).all():
        code = code.astype("Int64")
    return code.astype("string").str.strip()
