"""CBS StatLine by OData v4: observations, which are long, as a table with a row per area.

Measures are told apart by their code, which is the same in every year, never by their place. A pair of area and measure
that is not returned was not published; one that is returned with an attribute other than `None` has no figure, for the
reason that it names. Every row is checked against what was asked for: services are known that ignore a filter and say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, shown
from buurtsae.notes import Note
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.loaded import COLUMNS, REASONS, Loaded
from buurtsae.opendata.names import derived, named
from buurtsae.opendata.registry import Table
from buurtsae.opendata.statline_cube import LEVELS, Cube, of_edition, values
from buurtsae.retrieved import Retrieved

FEW = 0.5  # share of the areas with a figure, below which that is said
WORDS = {  # of ValueAttribute, where its meaning is sure; any other is kept as it is, and noted
    "Impossible": "impossible",
    "Confidential": "secret",
    "Unknown": "unknown",
}


def observations(
    fetcher: Fetcher, cube: Cube, gemeenten: Sequence[str] | None = None, where: Mapping[str, str] | None = None
) -> Iterator[tuple[Reply, pd.DataFrame]]:
    """Yield the observations of each page: places of `area`, `measure` and other dimensions, `value`, `text`, `reason`.

    Raises
    ------
    DataError
        If a row is not what was asked for, or there are none.
    """
    fixed = {name: code for name, code in (where or {}).items() if len(cube.others[name]) > 1}
    tail = [f"{name} eq '{code}'" for name, code in fixed.items()]
    for gemeente in [None] if gemeenten is None else gemeenten:
        starts = [start for start in _starts(gemeente) if cube.areas.index.str.startswith(start).any()]
        head = " or ".join(f"startswith({cube.geo},'{start}')" for start in starts if gemeente is not None)
        text = " and ".join(filter(None, [f"({head})" if tail and len(starts) > 1 else head, *tail]))
        count, url = 0, ""
        for reply, page in fetcher.pages(cube.table, "Observations", {"$filter": text} if text else None, cube.edition):
            part = _columns(cube, reply, values(cube.table, reply, page))
            code = cube.areas.index[part["area"]]
            wrong = ~code.str.startswith(tuple(starts)) if gemeente is not None else np.zeros(len(part), dtype=bool)
            for name, asked in fixed.items():
                wrong = wrong | (cube.others[name].index[part[name]] != asked)
            if wrong.any():
                got = f"{wrong.sum():,} of {len(part):,} rows of other areas or figures, such as {code[wrong][0]}"
                raise strange(cube.table, reply.url, got, f"rows that meet the filter {text}: it seems to be ignored")
            count, url = count + len(part), reply.url
            yield reply, part
        if not count:
            raise strange(cube.table, url, "no rows", f"figures of {gemeente or 'the whole country'}, which it has")


def _starts(gemeente: str | None) -> list[str]:
    """What the codes of a gemeente and what lies in it begin with."""
    return [f"{kind}{(gemeente or '')[2:]}" for kind in LEVELS.values()]


def _columns(cube: Cube, reply: Reply, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of a page as columns; codes as their places in the lists of the table."""
    lists = {cube.geo: cube.areas.index, **{k: v.index for k, v in cube.others.items()}, "Measure": cube.measures.index}
    names = {cube.geo: "area", "Measure": "measure"}
    try:
        raw = {key: [row[key] for row in rows] for key in (*lists, "Value", "ValueAttribute")}
    except KeyError as error:
        raise strange(cube.table, reply.url, f"rows without {error.args[0]}", shown(lists, 9)) from error
    columns = dict[str, Any]()
    for key, known in lists.items():
        number, unique = pd.factorize(np.array(raw[key], dtype=object))  # a page has many rows and few codes
        found = known.get_indexer(pd.Index([str(code).strip() for code in unique], dtype=object))
        if (lost := found < 0).any() or (number < 0).any():
            got = f"codes of {key} that its own list lacks: {shown(unique[lost]) or 'empty ones'}"
            raise strange(cube.table, reply.url, got, f"codes such as {shown(known, 3)}")
        columns[names.get(key, key)] = found[number]
    columns["value"] = np.array([np.nan if value is None else value for value in raw["Value"]], dtype=float)
    words = np.array(raw["ValueAttribute"], dtype=object)
    words[words == "None"] = None
    columns["reason"] = words
    columns["text"] = np.array([row.get("StringValue") for row in rows], dtype=object)
    return pd.DataFrame(columns)


def chosen(cube: Cube, where: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the code of each other dimension: as asked, else that of the table's year, else the only one.

    Raises
    ------
    DataError
        If a dimension has several and none was asked, or lacks the one that is.
    """
    asked, found = where or {}, dict[str, str]()
    for name, titles in cube.others.items():
        code = asked.get(name) or (f"{cube.table.year}JJ00" if titles.name == "TimeDimension" else None)
        if code is None and len(titles) == 1:
            code = titles.index[0]
        if code not in titles.index:
            what = f"{cube.table.title} ({cube.table.id}) has no {code}" if code else f"{cube.table.id}: {name} is open"
            hint = "choose another year" if titles.name == "TimeDimension" else f"say which {name}"
            raise DataError(what, str(code), shown(titles.index[::-1], 8), hint)
        found[name] = str(code)
    return found


def wide(
    fetcher: Fetcher,
    cube: Cube,
    gemeenten: Sequence[str] | None = None,
    level: str = "buurt",
    where: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the figures of a table with a row per area, and derived ones of the codebook.

    Parameters
    ----------
    fetcher : Fetcher
    cube : Cube
    gemeenten : sequence of str, optional
        Codes of those to ask for; the whole country by default.
    level : str
        `buurt`, `wijk` or `gemeente`: all are in the same replies.
    where : mapping of str to str, optional
        Code of each other dimension that has several; of time it is the year of the table.

    Returns
    -------
    Loaded
        All areas of the table's own list, also those without any figure. `reasons` has the cells that the service
        returns with a reason; a missing figure that is not among them was not published.

    Raises
    ------
    DataError
        If an area is unknown, has no rows at all, or the service returns other rows than it was asked for.
    """
    rows = cube.of(level, gemeenten)
    place, shape = pd.Index(rows).get_indexer(cube.areas.index), (len(rows), len(cube.measures))
    grid, count = np.full(shape, np.nan), np.zeros(shape[0] * shape[1], dtype=np.int64)
    words = {
        column: np.full(len(rows), None, dtype=object) for column in np.flatnonzero(cube.measures["text"]).tolist()
    }
    missing, retrieved = list[pd.DataFrame](), list(cube.retrieved)
    for reply, whole in observations(fetcher, cube, gemeenten, chosen(cube, where)):
        retrieved.append(of_edition(reply, cube.edition))
        part = whole.assign(row=place[whole["area"]])
        part = part[part["row"] >= 0]
        count += np.bincount(part["row"] * shape[1] + part["measure"], minlength=len(count))
        missing.append(part.loc[part["reason"].notna(), ["row", "measure", "reason", "value"]])
        part = part[part["reason"].isna()]
        grid[part["row"], part["measure"]] = part["value"]
        for column, texts in words.items():
            own = part[part["measure"] == column]
            text = own["text"].str.strip()
            texts[own["row"]] = text.where(~text.isin(["", "."]), None)
    if (twice := np.flatnonzero(count > 1)).size:
        cells = [f"{rows[k // shape[1]]} {cube.measures['title'].iloc[k % shape[1]]}" for k in twice[:5]]
        hint = "it has another dimension, or repeats rows"
        raise strange(
            cube.table, retrieved[-1].url, f"{twice.size} figures twice: {shown(cells)} ({hint})", "each once"
        )
    return _loaded(cube, level, rows, grid, words, pd.concat(missing), retrieved)


def _loaded(
    cube: Cube,
    level: str,
    rows: list[str],
    grid: np.ndarray,
    words: Mapping[int, np.ndarray],
    missing: pd.DataFrame,
    retrieved: list[Retrieved],
) -> Loaded:
    """Name the columns, put codes and names in front, and say what is missing."""
    names = named(cube.measures)
    before = front(rows, level, cube.areas)
    figures = {
        column: pd.Series(words[k], dtype="string") if k in words else grid[:, k]
        for k, column in enumerate(names) if column is not None and column not in before
    }  # fmt: skip
    frame = pd.concat([before, pd.DataFrame(figures)], axis=1)
    kept = [k for k, column in enumerate(names) if column in figures]
    told = cube.measures.iloc[kept]
    about = (told["group"] + ". " + told["about"]).str.strip(". ")
    columns = pd.DataFrame({
        "column": [names[k] for k in kept], "code": told.index, "title": told["title"], "unit": told["unit"],
        "about": about,
    }).reset_index(drop=True)  # fmt: skip
    frame, made, notes = derived(frame)
    columns = pd.concat([columns, made], ignore_index=True)
    columns["filled"] = frame[columns["column"]].notna().mean().to_numpy() if len(columns) else 0.0
    reasons = pd.DataFrame({
        "code": np.array(rows, dtype=object)[missing["row"].to_numpy(dtype=int)],
        "column": [names[k] for k in missing["measure"]],
        "reason": [WORDS.get(word, word) for word in missing["reason"]],
    })  # fmt: skip
    reasons = reasons[reasons["column"].isin(figures)].sort_values(["code", "column"], ignore_index=True)
    notes = [*_unknown(cube, missing), *empty(cube.table, columns), *notes]
    return Loaded(frame, columns[list(COLUMNS)], reasons[list(REASONS)], tuple(retrieved), tuple(notes))


def front(codes: Sequence[str], level: str, titles: pd.Series) -> pd.DataFrame:
    """Return the columns that stand in front: code and name of each area, and of what it lies in."""
    code = pd.Series(codes, dtype="string")
    columns = {f"{level}code": code, f"{level}naam": code.map(titles).astype("string")}
    for above in list(LEVELS)[list(LEVELS).index(level) + 1 :]:
        columns[f"{above}code"] = CBS.read(code, above)
    if level != "gemeente":
        columns["gemeentenaam"] = columns["gemeentecode"].map(titles).astype("string")
    return pd.DataFrame(columns)


def _unknown(cube: Cube, missing: pd.DataFrame) -> list[Note]:
    """Attributes that no list here explains; a figure that comes with one is not used, as it may not be one."""
    other = missing[~missing["reason"].isin(list(WORDS))]
    return [
        Note(
            "{table}: {n} figures are missing for the reason {word}, which is kept as it is; {given} of them have a "
            "value, which is not used",
            "{table}: {n} cijfers ontbreken om de reden {word}, die is overgenomen; {given} daarvan hebben een "
            "waarde, die niet is gebruikt",
            table=cube.table.id, n=len(rows), word=repr(word), given=int(rows["value"].notna().sum()),
        )
        for word, rows in other.groupby("reason", sort=True)
    ]  # fmt: skip


def empty(table: Table, columns: pd.DataFrame) -> list[Note]:
    """Return what is to be said of measures with no figure, or few: the newest year is often half empty."""
    lost = columns.loc[columns["filled"] == 0, "title"].tolist()
    few = columns.loc[(columns["filled"] > 0) & (columns["filled"] < FEW)]
    notes = []
    if lost:
        notes.append(Note(
            "{title} {year}: {n} of {all} columns have no figure for any of these areas: {lost}. They stay empty: no "
            "other year takes their place",
            "{title} {year}: {n} van de {all} kolommen hebben voor geen van deze gebieden een cijfer: {lost}. Ze "
            "blijven leeg: er komt geen ander jaar voor in de plaats",
            title=table.title, year=str(table.year or ""), n=len(lost), all=len(columns), lost=lost,
        ))  # fmt: skip
    if len(few):
        told = [f"{title} ({filled:.0%})" for title, filled in zip(few["title"], few["filled"], strict=True)]
        notes.append(Note(
            "{title} {year}: {n} of {all} columns have a figure for fewer than half of these areas: {few}",
            "{title} {year}: {n} van de {all} kolommen hebben voor nog geen helft van deze gebieden een cijfer: {few}",
            title=table.title, year=str(table.year or ""), n=len(few), all=len(columns), few=told,
        ))  # fmt: skip
    return notes
