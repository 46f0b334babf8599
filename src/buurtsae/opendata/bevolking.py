"""Residents of gemeenten by sex and age, of CBS: the seed of cells, whose margins per buurt kerncijfers have.

The table has single years of age and groups of several widths. Of each group that kerncijfers have the widest intervals
are summed that fill it exactly: 0 to 5, 5 to 10 and 10 to 15 years for those under 15.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.opendata.http import Fetcher
from buurtsae.opendata.loaded import COLUMNS, REASONS, Loaded
from buurtsae.opendata.names import plain
from buurtsae.opendata.statline import WORDS, front, observations
from buurtsae.opendata.statline_cube import Cube, cube, of_edition
from buurtsae.survey.margins import COUNT, Margin

END = 1000  # years, of an age without an upper bound
AGES = {"0-14": (0, 15), "15-24": (15, 25), "25-44": (25, 45), "45-64": (45, 65), "65+": (65, END)}
SEXES = {"man": "mannen", "vrouw": "vrouwen"}
SUFFIX = {age: "65plus" if age == "65+" else age.replace("-", "_") for age in AGES}
INTERVAL = re.compile(r"(\d+) (?:tot (\d+) )?jaar( of ouder)?")


def load(fetcher: Fetcher, year: int, gemeenten: Sequence[str] | None = None) -> Loaded:
    """Return the residents of gemeenten on 1 January, a column per sex and age group: `mannen_0_14`.

    Parameters
    ----------
    fetcher : Fetcher
    year : int
    gemeenten : sequence of str, optional
        Codes; all by default.

    Returns
    -------
    Loaded
        With `more["seed"]`, unless figures are missing: the same as a seed of cells, see `seed`.

    Raises
    ------
    DataError
        If the table lacks the year or a gemeente, or cannot be divided into these groups.
    """
    table = cube(fetcher, fetcher.registry.table("bevolking", year))
    codes = table.of("gemeente", gemeenten)
    sex, age = _dimension(table, _sexes), _dimension(table, _ages)
    parts = {name: cover(_ages(table.others[age]), *ends) for name, ends in AGES.items()}
    if lost := [name for name, found in parts.items() if not found]:
        what = f"{table.table.title} ({table.table.id}) has no ages that fill {shown(lost)}"
        raise DataError(what, shown(table.others[age], 10), "single years, or groups of five", "use another table")
    where = {name: _total(table, name, year) for name in table.others if name not in (sex, age)}
    measure = table.measures.index.get_loc(_measure(table))
    found, retrieved = [], list(table.retrieved)
    for reply, part in observations(fetcher, table, gemeenten, where):
        retrieved.append(of_edition(reply, table.edition))
        found.append(part[part["measure"] == measure])
    long = pd.concat(found)
    long["value"] = long["value"].where(long["reason"].isna())
    long = long.assign(area=table.areas.index[long["area"]], sex=table.others[sex].index[long[sex]],
                       age=table.others[age].index[long[age]])  # fmt: skip
    cells = long.set_index(["area", "sex", "age"])
    value, words = (cells[name].unstack(["sex", "age"]).reindex(codes) for name in ("value", "reason"))
    frame, told, reasons = front(codes, "gemeente", table.areas), list[dict[str, str]](), list[pd.DataFrame]()
    for column in _sexes(table.others[sex]):
        for name, ages in parts.items():
            own = [(_sexes(table.others[sex])[column], code) for code in ages]
            label = f"{column}_{SUFFIX[name]}"
            frame[label] = value.reindex(columns=own).sum(axis=1, min_count=len(own)).to_numpy()
            about = " + ".join(table.others[age][code] for code in ages[:3]) + (" ..." if len(ages) > 3 else "")
            told.append({"column": label, "code": f"{own[0][0]}/{name}", "title": f"{column.capitalize()}, {name} jaar",
                         "unit": "personen", "about": about})  # fmt: skip
            said = words.reindex(columns=own).bfill(axis=1).iloc[:, 0].dropna()
            said = said[frame.set_index("gemeentecode")[label].reindex(said.index).isna()]
            reason = [WORDS.get(word, word) for word in said]
            reasons.append(pd.DataFrame({"code": said.index, "column": label, "reason": reason}))
    columns = pd.DataFrame(told)
    columns["filled"] = frame[columns["column"]].notna().mean().to_numpy()
    missing = pd.concat(reasons, ignore_index=True)[list(REASONS)]
    more = {"seed": seed(frame)} if frame[columns["column"]].notna().all(axis=None) else {}
    return Loaded(frame, columns[list(COLUMNS)], missing, tuple(retrieved), more=more)


def seed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the residents as a seed of cells: `gemeente`, `geslacht`, `leeftijd` and `aantal`.

    Parameters
    ----------
    frame : DataFrame
        Of `load`.

    Examples
    --------
    >>> ages = ("0_14", "15_24", "25_44", "45_64", "65plus")
    >>> row = {f"{sex}_{age}": 10 for sex in ("mannen", "vrouwen") for age in ages}
    >>> seed(pd.DataFrame([{"gemeentecode": "GM0003", **row}])).head(2).to_dict("records")[1]
    {'gemeente': 'GM0003', 'geslacht': 'man', 'leeftijd': '15-24', 'aantal': 10.0}
    """
    parts = [
        pd.DataFrame({"gemeente": frame["gemeentecode"], "geslacht": sex, "leeftijd": age,
                      COUNT: frame[f"{column}_{SUFFIX[age]}"].astype(float)})
        for sex, column in SEXES.items() for age in AGES
    ]  # fmt: skip
    return pd.concat(parts).sort_values("gemeente", kind="stable", ignore_index=True)


def margins() -> tuple[Margin, Margin]:
    """Return where kerncijfers have the margins of each buurt, for all residents.

    For a survey of adults give the part of each age that belongs: `replace(age, part={"0-14": 0, "15-24": 0.7})`.

    Examples
    --------
    >>> [margin.on for margin in margins()]
    ['leeftijd', 'geslacht']
    """
    ages: Mapping[str, str] = {age: f"inwoners_{suffix}" for age, suffix in SUFFIX.items()}
    return Margin("leeftijd", ages), Margin("geslacht", SEXES)


def cover(codes: Mapping[tuple[int, int], str], start: int, end: int) -> list[str]:
    """Return codes of intervals that fill a range of ages exactly, as few as can be; none if none do.

    Examples
    --------
    >>> cover({(0, 5): "a", (5, 15): "b", (0, 10): "c", (0, 20): "d"}, 0, 15)
    ['a', 'b']
    """

    @cache
    def rest(at: int) -> tuple[str, ...] | None:
        if at == end:
            return ()
        ways = [
            (code, *more)
            for (low, high), code in codes.items()
            if low == at and high <= end and (more := rest(high)) is not None
        ]
        return min(ways, key=len, default=None)

    return list(rest(start) or ())


def _ages(titles: pd.Series) -> dict[tuple[int, int], str]:
    """Codes by what their titles say: `5 jaar`, `0 tot 5 jaar`, `95 jaar of ouder`."""
    found = dict[tuple[int, int], str]()
    for code, title in titles.items():
        if match := INTERVAL.fullmatch(str(title).strip()):
            low, high, open_end = match.groups()
            found[int(low), END if open_end else int(high or int(low) + 1)] = str(code)
    return found


def _sexes(titles: pd.Series) -> dict[str, str]:
    by_title = {plain(title): str(code) for code, title in titles.items()}
    return {name: by_title[name] for name in SEXES.values() if name in by_title}


def _dimension(table: Cube, kind: Callable[[pd.Series], Mapping[Any, str]]) -> str:
    """The dimension of sexes or ages, by the titles of its codes."""
    fits = [name for name, titles in table.others.items() if len(kind(titles)) > 1]
    if len(fits) != 1:
        what = f"{table.table.title} ({table.table.id}) is not by sex and age"
        raise DataError(what, shown(table.others), "one dimension of each", "name another table with --sources")
    return fits[0]


def _total(table: Cube, name: str, year: int) -> str:
    """The code of a dimension that is not divided by: the year, or the total."""
    titles = table.others[name]
    code = f"{year}JJ00"
    if titles.name != "TimeDimension":
        codes = titles.index[titles.map(plain).str.startswith("totaal")]
        code = codes[0] if len(codes) == 1 else titles.index[0] if len(titles) == 1 else f"total of {name}"
    if code not in titles.index:
        what = f"{table.table.title} ({table.table.id}) has no {code}"
        raise DataError(what, code, shown(titles.index[::-1], 8), "choose another year")
    return str(code)


def _measure(table: Cube) -> str:
    """The measure of residents on 1 January."""
    titles = table.measures["title"].map(plain)
    fits = titles.index[titles.str.startswith("bevolkingop1januari")]
    fits = titles.index if len(titles) == 1 else fits
    if len(fits) != 1:
        what = f"{table.table.title} ({table.table.id}) has no number of residents on 1 January"
        raise DataError(what, shown(table.measures["title"], 8), "one", "name another table with --sources")
    return str(fits[0])
