"""A change between two years in words: whether there is one, how surely, and never a bare difference.

A change has a direction from a probability of 95% on, which is its label (`changes`), and is almost certain from 97.5%,
as any comparison is (`labels`); all others cannot be told apart from no change. Of areas where nobody answered in one
of the two years and of which a covariate is a guess nothing is almost certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.estimates.changes import DECREASE, HIDDEN, INCREASE, KEY, NONE
from buurtsae.estimates.labels import VERDICTS, in_english, unseen
from buurtsae.figures import both, decimals, dutch, interval
from buurtsae.notes import Note
from buurtsae.scale import SCORE, Scale

ALMOST = VERDICTS[0][0]
WORDS = (  # from increase to decrease, as the classes of a map
    Note("almost certainly an increase", "vrijwel zeker een toename"),
    Note("probably an increase", "waarschijnlijk een toename"),
    Note("cannot be told apart from no change", "niet te onderscheiden van geen verandering"),
    Note("probably a decrease", "waarschijnlijk een afname"),
    Note("almost certainly a decrease", "vrijwel zeker een afname"),
)
UNCHANGED = 2  # its place
# in a column of a table, below a head that says that it is about change
SHORT = (*WORDS[:UNCHANGED], Note("cannot be told apart", "niet te onderscheiden"), *WORDS[UNCHANGED + 1 :])
SHARES = Note(" percentage points", " procentpunt")


def in_words(changes: pd.DataFrame, table: pd.DataFrame) -> NDArray[Any]:
    """Return what is said of each change, in Dutch as `WORDS`; None where it is hidden. `table` has the figures."""
    guessed = pd.MultiIndex.from_frame(table.loc[unseen(table), [*KEY, "year"]])
    unsure = np.zeros(len(changes), dtype=bool)
    for year in ("year_from", "year_to"):
        unsure |= pd.MultiIndex.from_frame(changes[[*KEY, year]]).isin(guessed)
    p, label = changes["p_increase"].to_numpy(dtype=float), changes["label"].to_numpy(dtype=object)
    up, down = (p >= ALMOST) & ~unsure, (p <= 1 - ALMOST) & ~unsure
    increase, decrease = label == INCREASE, label == DECREASE
    words = np.full(len(changes), None, dtype=object)
    classes = (increase & up, increase & ~up, label == NONE, decrease & ~down, decrease & down)
    for which, word in zip(classes, WORDS, strict=True):
        words[which] = word.nl
    return words


def main_pairs(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the widest pair of years and the latest, which are one and the same where there are two years."""
    known = sorted(set(pairs))
    if not known:
        return []
    widest = max(known, key=lambda pair: (pair[1] - pair[0], pair[1]))
    return list(dict.fromkeys([widest, last_pair(known)]))


def last_pair(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the latest pair of years."""
    return max(pairs, key=lambda pair: (pair[1], pair[0]))


def sentence(row: Mapping[str, Any], scale: Scale = SCORE) -> Note:
    """Return what is said of a change, after its two years, from its row with its `verdict`."""
    return said(row, scale).under(f"{row['year_from']}–{row['year_to']}")


def said(row: Mapping[str, Any], scale: Scale = SCORE) -> Note:
    """Return the words with the change where it has a direction, and always its interval."""
    if row["label"] == HIDDEN:
        reason = row["reason"] or ""
        return Note("not published ({why})", "niet gepubliceerd ({why})", why=Note(in_english(reason), reason))
    word, unit = next(word for word in WORDS if word.nl == row["verdict"]), SHARES if scale.sign else Note("", "")
    ends = both(interval(row["lower"], row["upper"], "|", scale.digits))
    ends = Note(ends.replace("|", " to "), ends.nl.replace("|", " tot "))
    margin = Note("95% interval {ends}", "95%-interval {ends}", ends=ends)
    if word is WORDS[UNCHANGED]:
        return Note("{word} ({margin}{unit})", "{word} ({margin}{unit})", word=word, margin=margin, unit=unit)
    step = both(signed(row["change"], decimals(row["lower"], row["upper"], scale.digits)))
    size = Note("{step}{unit}", "{step}{unit}", step=step, unit=unit)
    return Note("{word}, {size} ({margin})", "{word}, {size} ({margin})", word=word, size=size, margin=margin)


def signed(value: float, digits: int) -> str:
    """Return a change in Dutch, with its sign."""
    text = dutch(value, digits)
    return text if text.startswith("-") or not text.strip("0,") else f"+{text}"


def change_lines(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], scales: Mapping[str, Scale]) -> str:
    """Return in Dutch how the figures of one area changed, in lines below its `explanation`."""
    main = main_pairs((row["year_from"], row["year_to"]) for row in rows)
    lines = ["Veranderingen"]
    for measure in dict.fromkeys(row["measure"] for row in rows):
        of = {(row["year_from"], row["year_to"]): row for row in rows if row["measure"] == measure}
        told = [sentence(of[pair], scales.get(measure, SCORE)).nl for pair in main if pair in of]
        lines += [f"  {names[measure] if k == 0 else '':26} {text}" for k, text in enumerate(told)]
    return "\n".join(lines)
