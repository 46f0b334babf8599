"""Figures as Dutch readers write them, and English ones, with the decimals that their interval asks for.

A score on 0-10 has one decimal. Where both ends of its interval then read the same, as of a gemeente with many
respondents, it has as many more as tell them apart, up to three.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from buurtsae.notes import SWAPPED, Note

MORE = 2  # decimals at most, than a figure has on its scale


def dutch(value: Any, decimals: int = 1) -> str:
    """Return a number as Dutch readers write it: decimal comma, points in thousands; a dash where it is missing."""
    if value is None or pd.isna(value):
        return "–"
    return f"{float(value):z,.{decimals}f}".translate(SWAPPED)


def both(dutch: str) -> Note:
    """Return Dutch numbers as English readers write them too."""
    return Note(dutch.translate(SWAPPED), dutch)


def decimals(lower: Any, upper: Any, least: int = 1) -> int:
    """Return how many decimals tell the ends of an interval apart; the least where nothing does, or there is none."""
    if lower is None or upper is None or pd.isna(lower) or pd.isna(upper):
        return least
    for k in range(least, least + MORE + 1):
        if f"{lower:z.{k}f}" != f"{upper:z.{k}f}":
            return k
    return least


def interval(lower: Any, upper: Any, sign: str = " – ", least: int = 1) -> str:
    """Return an interval in Dutch numbers; a dash where it is missing."""
    k = decimals(lower, upper, least)
    return "–" if pd.isna(lower) else f"{dutch(lower, k)}{sign}{dutch(upper, k)}"
