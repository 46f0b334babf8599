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

BY_CODE = {  # codes of CBS, and what they are here
    "T001036": "inwoners",
    "3000": "mannen",
    "4000": "vrouwen",
    "10680": "inwoners_0_14",
    "53050": "inwoners_15_24",
    "53310": "inwoners_25_44",
    "53715": "inwoners_45_64",
    "80200": "inwoners_65plus",
    "1050010_2": "huishoudens",
    "1050015": "eenpersoonshuishoudens",
    "1016040": "huishoudens_zonder_kinderen",
    "1016030": "huishoudens_met_kinderen",
    "M000114": "gem_huishoudensgrootte",
    "M000100": "bevolkingsdichtheid",
    "M001642": "gem_woz_x1000eur",
}
ALSO = {"kwb": ("nabijheid",)}  # codebooks of the same publisher, whose figures stand in the same tables
REPEATED = ("GM000C", "R00003", "R00004")  # name of the gemeente, kind and code of the area: they stand in front
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
    keys = [plain(title) for title in titles]
    often = Counter(keys)
    by_key = {plain(name): one for one in indicators for name in (one.name, *one.columns)}
    found = list[str | None]()
    for code, key, unit in zip(codes, keys, units, strict=True):
        known = by_key.get(key) if often[key] == 1 else None
        name = BY_CODE.get(code) or (known.name if known is not None and _alike(known, unit) else None)
        found.append(None if code in REPEATED else name or _safe(code))
    twice = {name for name, n in Counter(found).items() if n > 1}
    return [
        _safe(code) if name in twice and name is not None else name for code, name in zip(codes, found, strict=True)
    ]


def plain(title: str) -> str:
    """Return a title without what StatLine leaves out of the names of its columns."""
    return re.sub(r"[^a-z0-9]", "", title.casefold())


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
