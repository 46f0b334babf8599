"""What became of areas between two editions, from shares of old areas in new ones (T) and of new in old ones (R).

Two areas are the same where T and R are both at least `same`. A code is reused where an area with that code has less
than half of T and less than half of R in common with the old one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.notes import Note

KINDS = ("same", "renamed", "recoded", "redrawn", "gone", "new", "empty")
HALF = 0.5
SAID = {
    "recoded": Note("have another code and the same ground", "kregen een andere code, met hetzelfde gebied"),
    "renamed": Note("have another name", "kregen een andere naam"),
    "redrawn": Note("were redrawn", "zijn anders begrensd"),
    "gone": Note("are gone: nothing of them is left", "zijn verdwenen: er is niets van over"),
    "empty": Note("have nothing to compare them by", "hebben niets om ze op te vergelijken"),
}


def classified(
    old: pd.Index,
    new: pd.Index,
    shares: sp.csr_array,
    origins: sp.csr_array,
    same: float,
    names: tuple[Mapping[str, str], Mapping[str, str]],
) -> pd.DataFrame:
    """Return the table of `Crosswalk.changes`, but for what was lost."""
    n, row, col = len(old), np.repeat(np.arange(len(old)), np.diff(shares.indptr)), shares.indices
    t, r = shares.data, origins.data
    least, edge = 1 - same, 1e-9  # shares of a few addresses are no exact numbers
    order = np.lexsort((-t, row))
    first = order[np.searchsorted(row[order], np.flatnonzero(np.diff(shares.indptr) > 0))]
    largest, share, origin = np.full(n, -1), np.zeros(n), np.zeros(n)
    largest[row[first]], share[row[first]], origin[row[first]] = col[first], t[first], r[first]
    some = t > least + edge
    parts = np.bincount(row[some], minlength=n)
    foreign = np.bincount(row[some & (r < same - edge)], minlength=n)  # parts that others have ground in too
    whole = share >= same - edge
    place = new.get_indexer(old)
    empty_column = np.bincount(col, minlength=len(new)) == 0
    nothing = (place >= 0) & empty_column[place]
    change = np.full(n, "redrawn", dtype=object)
    change[largest < 0] = "gone"
    change[(largest < 0) & nothing] = "empty"
    ground = whole & (origin >= same - edge)
    change[ground & (largest == place)] = "same"
    change[ground & (largest != place)] = "recoded"
    for i in np.flatnonzero(change == "same"):
        pair = names[0].get(old[i]), names[1].get(new[largest[i]])
        if None not in pair and pair[0] != pair[1]:
            change[i] = "renamed"
    redrawn = change == "redrawn"
    how = np.full(n, None, dtype=object)
    how[redrawn] = "border"
    how[redrawn & (parts > 1) & (foreign == 0)] = "split"
    how[redrawn & whole] = "merged"
    kept, kept_origin = np.zeros(n), np.zeros(n)
    own = np.flatnonzero(place[row] == col)
    kept[row[own]], kept_origin[row[own]] = t[own], r[own]
    reused = (place >= 0) & (change != "empty") & (np.maximum(kept, kept_origin) < HALF) & ~nothing
    codes = np.array([*new, None], dtype=object)
    fresh = new[empty_column & ~new.isin(old[change == "empty"])]
    none, figures = [None] * len(fresh), {"share": share, "origin": origin, "parts": parts, "reused": reused}
    text = {
        "old": [*old, *none],
        "new": [*codes[largest], *fresh],
        "change": [*change, *["new"] * len(fresh)],
        "how": [*how, *none],
    }
    columns = {name: pd.Series(values, dtype=object) for name, values in text.items()}
    return pd.DataFrame(columns | {k: np.append(v, np.zeros(len(fresh), v.dtype)) for k, v in figures.items()})


def noted(table: pd.DataFrame, years: tuple[int, int], least: float) -> list[Note]:
    """Return what to know of a table of changes."""
    notes = list[Note]()
    since, until = years
    if len(codes := list(table["old"][table["reused"]])):
        notes.append(Note(
            "{n} codes of {since} belong to other ground in {until}: figures must not be joined by code ({codes})",
            "{n} codes van {since} horen in {until} bij ander gebied: koppel geen cijfers op code ({codes})",
            n=len(codes), since=since, until=until, codes=codes,
        ))  # fmt: skip
    for change, note in SAID.items():
        if len(codes := list(table["old"][table["change"] == change])):
            notes.append(Note(
                "areas of {since}: {n} {what} ({codes})",
                "gebieden van {since}: {n} {what} ({codes})",
                since=since, n=len(codes), what=note, codes=codes,
            ))  # fmt: skip
    if len(codes := list(table["new"][table["change"] == "new"])):
        notes.append(Note(
            "{n} areas of {until} have nothing of {since} ({codes})",
            "{n} gebieden van {until} hebben niets van {since} ({codes})",
            n=len(codes), since=since, until=until, codes=codes,
        ))  # fmt: skip
    if len(codes := list(table["old"][table["outside"] > least])):
        notes.append(Note(
            "{n} areas of {since} lie for more than {least:.0%} outside the map of {until} ({codes})",
            "{n} gebieden van {since} liggen voor meer dan {least:.0%} buiten de kaart van {until} ({codes})",
            n=len(codes), since=since, until=until, least=least, codes=codes,
        ))  # fmt: skip
    if count := float(table["unmatched"].sum()):
        notes.append(Note(
            "{count:,.0f} addresses of {since} are not in {until}: taken to lie as others of their area do",
            "{count:,.0f} adressen van {since} staan niet in {until}: ze tellen als de andere van hun gebied",
            count=count, since=since, until=until,
        ))  # fmt: skip
    return notes
