"""CBS area codes: `BU` + gemeente (4) + wijk (2) + buurt (2), with letters since 2022.

The hierarchy is read from the code itself: a buurt `BU0363AD03` lies in wijk `WK0363AD` and gemeente
`GM0363`. Codes are strings, compared as published; StatLine's padding is stripped, nothing else changed.
"""

from __future__ import annotations

import re

import pandas as pd

LEVELS = ("buurt", "wijk", "gemeente", "ggdregio", "provincie", "land")
PATTERN = {
    "buurt": re.compile(r"BU\d{4}[0-9A-Z]{4}"),
    "wijk": re.compile(r"WK\d{4}[0-9A-Z]{2}"),
    "gemeente": re.compile(r"GM\d{4}"),
}
FORM = {"buurt": "BU03440101", "wijk": "WK034401"}  # an example, by the levels at which sources are known
LAND = "NL00"


def clean(codes: pd.Series) -> pd.Series:
    """Return codes as stripped strings; missing stays missing."""
    return codes.astype("string").str.strip()


def malformed(codes: pd.Series, level: str = "buurt") -> list[str]:
    """Return the codes that do not have the form of `level`, in order of appearance."""
    fits = codes.astype("string").map(lambda c: isinstance(c, str) and bool(PATTERN[level].fullmatch(c)))
    return [str(c) for c in codes[~fits.astype(bool)].unique()]


def below(level: str, other: str) -> bool:
    """Return whether `level` lies below `other`, so that an area of the latter holds several of the former.

    A grouping of the user's own lies above buurt, and says nothing about wijken.
    """
    if level not in LEVELS or other not in LEVELS:
        return level == "buurt" or other in ("wijk", "gemeente")
    return LEVELS.index(level) < LEVELS.index(other)


def wijk_of(buurt: pd.Series) -> pd.Series:
    """Return the wijk code of each buurt code; a wijk code is its own."""
    return "WK" + buurt.str.slice(2, 8)


def gemeente_of(buurt: pd.Series) -> pd.Series:
    """Return the gemeente code of each buurt or wijk code."""
    return "GM" + buurt.str.slice(2, 6)
