"""Names of columns of CBS figures: those of the codebook where the publisher's code or title says which, else its code.

Codes of measures are the same every year, titles nearly so. A title counts where it occurs once in the table, and of a
percentage where the unit is one: the same title may be that of a number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

import numpy as np
import pandas as pd

from buurtsae.notes import Note
from buurtsae.survey.codebook import Codebook, Indicator

ALSO = {"kwb": ("nabijheid",)}  # codebooks of the same publisher, whose figures stand in the same tables
REPEATED = ("GM000C", "R00003", "R00004")  # name of the gemeente, kind and code of the area: they stand in front
DIVISION = "indelingswijziging"  # against the year before; its title is another from 2022
SHARES = {  # of the codebook, where the table has numbers only
    "pct_0_14": ("inwoners_0_14", "inwoners"),
    "pct_65plus": ("inwoners_65plus", "inwoners"),
    "pct_eenpersoonshuishoudens": ("eenpersoonshuishoudens", "huishoudens"),
    "pct_huishoudens_met_kinderen": ("huishoudens_met_kinderen", "huishoudens"),
}


def named(measures: pd.DataFrame, book: str = "kwb") -> list[str | None]:
    """Return the column of each measure (`title` and `unit` by code); None of one that repeats the area itself."""
    return columns_of(measures.index, measures["title"], measures["unit"], book)


def columns_of(codes: Collection[str], titles: pd.Series, units: pd.Series, book: str) -> list[str | None]:
    """Return the column of each figure, all different; see `named`."""
    indicators = [one for name in (book, *ALSO.get(book, ())) for one in Codebook.load(name).indicators]
    by_code = {one.code: one.name for one in indicators if one.code}
    by_title = {plain(name): one for one in indicators for name in (one.name, *one.columns)}
    keys, taken = [plain(title) for title in titles], {by_code[code] for code in codes if code in by_code}
    often = Counter(keys)
    found = list[str | None]()
    for code, key, unit in zip(codes, keys, units, strict=True):
        known = by_title.get(key) if often[key] == 1 else None
        fits = known is not None and known.name not in taken and _alike(known, unit)
        name = by_code.get(code) or (known.name if known is not None and fits else _safe(code))
        name = DIVISION if key.startswith(DIVISION) and often[key] == 1 else name
        found.append(None if code in REPEATED else name)
    many = Counter(found)  # two titles of one figure: each under its code
    return [_safe(code) if name and many[name] > 1 else name for code, name in zip(codes, found, strict=True)]


def plain(title: str) -> str:
    """Return a title without what StatLine leaves out of the names of its columns, and the k_ that it puts in front.

    Examples
    --------
    >>> plain("65 jaar of ouder") == plain("k_65JaarOfOuder")
    True
    """
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^k_(?=\d)", "", title.casefold()))


def _alike(indicator: Indicator, unit: str) -> bool:
    """Whether both are percentages, or neither is."""
    return indicator.unit.startswith("%") == unit.strip().startswith("%")


def _safe(code: str) -> str:
    """A code as the name of a column, which a formula can hold."""
    name = re.sub(r"[^a-z0-9_]", "_", code.casefold())
    return name if name[:1].isalpha() else f"c_{name}"


def derived(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[Note]]:
    """Return a table with the percentages that its numbers give, what they are, and notes.

    Numbers of buurten and wijken are rounded to fives, so that a part may be more than the whole: that is 100%.
    """
    made, told, notes = dict[str, pd.Series](), list[dict[str, str]](), list[Note]()
    titles = {one.name: one for one in Codebook.load("kwb").indicators}
    for name, (part, whole) in SHARES.items():
        if name in frame or part not in frame or whole not in frame:
            continue
        share = 100 * frame[part] / frame[whole].where(frame[whole] > 0, np.nan)
        if n := int((share > 100).sum()):
            notes.append(Note(
                "{name}: {part} exceeds {whole} in {n} areas, by rounding: counted as 100%",
                "{name}: {part} is in {n} gebieden meer dan {whole}, door afronding: geteld als 100%",
                name=name, part=part, whole=whole, n=n,
            ))  # fmt: skip
        made[name] = share.clip(upper=100)
        about = f"afgeleid: 100 x {part} / {whole}; aantallen per buurt en wijk zijn afgerond op vijven"
        told.append({"column": name, "code": "", "title": titles[name].nl, "unit": titles[name].unit, "about": about})
    columns = pd.DataFrame(told, columns=["column", "code", "title", "unit", "about"])
    return pd.concat([frame, pd.DataFrame(made, index=frame.index)], axis=1), columns, notes
