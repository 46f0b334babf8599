"""Tables of third parties on StatLine, by OData v3: wide, with keys that are padded and columns that are numbered.

Codes of dimensions are padded to a width that differs by table, and equality with another width finds nothing and says
nothing: so a filter is always by how a code begins, and what comes is stripped and compared. Ranges are ignored by the
service, and never used. A column is called after its topic and its place, `Koopwoningen_40`: the place shifts between
editions and is taken off. A missing figure is null, or a dot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, cut, shown
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.names import columns_of
from buurtsae.opendata.registry import Table
from buurtsae.opendata.statline_cube import LEVELS, areas_of, of_edition, values
from buurtsae.retrieved import Retrieved

ROWS = 5000  # of a request: one source says that the service refuses more
MISSING = (".", "")
NOWHERE = r"[A-Z]{2}0+"  # the code of a place that is unknown
MOST_REQUESTS = 1000


@dataclass(frozen=True)
class Feed:
    """What a table of third parties holds.

    Attributes
    ----------
    table : Table
    edition : str
        When it was last changed.
    geo : str
        Name of the dimension of areas.
    dimensions : mapping of str to Series
        Titles by code, stripped, of each dimension.
    topics : DataFrame
        By the name of the column in the service: `topic` (without its place), `title`, `about`, `unit`.
    retrieved : tuple of Retrieved
    """

    table: Table
    edition: str
    geo: str
    dimensions: Mapping[str, pd.Series]
    topics: pd.DataFrame
    retrieved: tuple[Retrieved, ...]

    def of(self, level: str, gemeenten: Sequence[str] | None) -> list[str]:
        """Return the codes of a level in some gemeenten; see `areas_of`."""
        return areas_of(self.table, self.dimensions[self.geo], level, gemeenten)

    def columns(self, book: str) -> list[str]:
        """Return the column of each topic: that of a codebook, else its name in small letters."""
        names, often = [_snake(topic) for topic in self.topics["topic"]], Counter(self.topics["topic"])
        codes = [
            name if often[topic] == 1 else _snake(key)
            for name, (key, topic) in zip(names, self.topics["topic"].items(), strict=True)
        ]
        return [str(name) for name in columns_of(codes, self.topics["topic"], self.topics["unit"], book)]


def feed(fetcher: Fetcher, table: Table) -> Feed:
    """Ask what a table holds.

    Raises
    ------
    DataError
        If the service does not answer, or the table has no dimension of areas.
    """
    params = {"$format": "json"}
    first = fetcher.json(table, "TableInfos", params)
    told = values(table, first, first.json())
    edition = str((told[0] if told else {}).get("Modified") or f"sha256-{first.retrieved.sha256[:16]}")
    asked: list[Reply] = [first]

    def rows(path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for reply, page in fetcher.pages(table, path, params, edition):
            asked.append(reply)
            found += values(table, reply, page)
        return found

    properties = [row for row in rows("DataProperties") if row.get("Key")]
    kinds = {str(row["Key"]): str(row.get("Type", "")) for row in properties}
    geo = [key for key, kind in kinds.items() if kind.startswith("Geo")]
    if not geo:
        got = shown(f"{key} ({kind})" for key, kind in kinds.items() if not kind.startswith("Topic"))
        raise strange(table, asked[-1].url, got or "no dimension", "a dimension of areas")
    dimensions = {
        key: _titles(rows(key), kind) for key, kind in kinds.items() if kind.endswith(("Dimension", "Detail"))
    }
    topics = [row for row in properties if row.get("Type") == "Topic"]
    keys = [str(row["Key"]) for row in topics]
    text = {
        column: [" ".join(str(row.get(name) or "").split()) for row in topics]
        for column, name in (("title", "Title"), ("about", "Description"), ("unit", "Unit"))
    }
    frame = pd.DataFrame({"topic": [topic_of(key) for key in keys], **text}, index=pd.Index(keys, dtype=object))
    return Feed(table, edition, geo[0], dimensions, frame, tuple(of_edition(reply, edition) for reply in asked))


def rows(
    fetcher: Fetcher, feed: Feed, where: Mapping[str, str], gemeenten: Sequence[str] | None, level: str
) -> tuple[pd.DataFrame, list[Retrieved]]:
    """Return the rows of a level in some gemeenten: a column per dimension, stripped, and per topic, as numbers.

    Parameters
    ----------
    fetcher : Fetcher
    feed : Feed
    where : mapping of str to str
        The code that dimensions must have.
    gemeenten : sequence of str, optional
        Codes; the whole country by default.
    level : str

    Raises
    ------
    DataError
        If an area or code is unknown, the service ignores the filter, or has no rows of an area that it knows.
    """
    feed.of(level, gemeenten)
    for name, code in where.items():
        if code not in feed.dimensions.get(name, pd.Series()).index:
            known = shown(feed.dimensions[name].index[::-1], 8) if name in feed.dimensions else "no such dimension"
            what = f"{feed.table.title} ({feed.table.id}) has no {name} {code}"
            raise DataError(what, code, known, "choose one of these")
    parts, retrieved = list[pd.DataFrame](), list[Retrieved]()
    for start in [LEVELS[level]] if gemeenten is None else [LEVELS[level] + code[2:] for code in gemeenten]:
        starts = {feed.geo: start, **where}
        text = " and ".join(f"startswith({name},'{begin}')" for name, begin in starts.items())
        found = list[pd.DataFrame]()
        for reply, page in _pages(fetcher, feed, text):
            retrieved.append(of_edition(reply, feed.edition))
            try:
                table = read(page, feed.dimensions)
            except ValueError as error:
                raise strange(feed.table, reply.url, cut(error, 100), "numbers, null or dots") from error
            found.append(_checked(feed, reply, table, starts, text))
        if not sum(map(len, found)):
            got = f"no rows for {text}"
            raise strange(feed.table, retrieved[-1].url, got, f"rows of {start}, which its own list has")
        parts += found
    table = pd.concat(parts, ignore_index=True)
    for name, code in where.items():  # a code that begins so need not be the one
        table = table[table[name] == code]
    return table, retrieved


def _pages(fetcher: Fetcher, feed: Feed, text: str) -> Iterator[tuple[Reply, list[dict[str, Any]]]]:
    """All rows of a filter: by the service's own links, and by `$skip` where it gives none."""
    skip, seen = 0, set[Any]()
    for _ in range(MOST_REQUESTS):
        params: dict[str, str | int] = {"$filter": text, "$top": ROWS, "$format": "json"}
        count = 0
        for reply, page in fetcher.pages(feed.table, "TypedDataSet", {**params, **({"$skip": skip} if skip else {})},
                                         feed.edition):  # fmt: skip
            found = values(feed.table, reply, page)
            keys = [row.get("ID") for row in found]
            if len(set(keys)) < len(keys) or seen.intersection(keys):
                raise strange(feed.table, reply.url, "rows that came before, or without ID", "each row once")
            seen.update(keys)
            count += len(found)
            yield reply, found
        if count < ROWS:
            return
        skip += count
    raise strange(feed.table, feed.table.url, f"more than {MOST_REQUESTS * ROWS:,} rows", "an end")


def read(found: Sequence[Mapping[str, Any]], dimensions: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows as a table: dimensions stripped, all else but `ID` as numbers, of which a dot or null is missing.

    Raises
    ------
    ValueError
        If a figure is no number, or rows have different keys.

    Examples
    --------
    >>> read([{"ID": 1, "WijkenEnBuurten": "GM0599    ", "Koopwoningen_40": "      35"}], ["WijkenEnBuurten"])
      WijkenEnBuurten  Koopwoningen_40
    0          GM0599             35.0
    """
    columns: dict[str, Any] = {}
    keys = list(found[0]) if found else []
    if other := [key for row in found for key in set(row).symmetric_difference(keys)]:
        raise ValueError(f"rows with different keys: {shown(sorted(set(other)))}")
    for key in [key for key in keys if key != "ID"]:
        raw = [row.get(key) for row in found]
        columns[key] = [str(code).strip() for code in raw] if key in dimensions else np.array([*map(_number, raw)])
    return pd.DataFrame(columns)


def _number(value: Any) -> float:
    if isinstance(value, str):
        value = None if value.strip() in MISSING else value
    return np.nan if value is None else float(value)


def _checked(feed: Feed, reply: Reply, table: pd.DataFrame, starts: Mapping[str, str], text: str) -> pd.DataFrame:
    """Refuse rows that the filter should have kept out."""
    if table.empty:
        return table
    if lost := [name for name in (*feed.dimensions, *feed.topics.index) if name not in table]:
        raise strange(feed.table, reply.url, f"rows without {shown(lost)}", shown(table.columns, 10))
    wrong = np.zeros(len(table), dtype=bool)
    for name, start in starts.items():
        wrong |= ~table[name].str.startswith(start).to_numpy(dtype=bool)
    if wrong.any():
        first = table[list(starts)][wrong].iloc[0].to_dict()
        got = f"{wrong.sum():,} of {len(table):,} other rows, such as {cut(str(first), 200)}"
        raise strange(feed.table, reply.url, got, f"rows that meet the filter {text}: it seems to be ignored")
    code = table[feed.geo]
    if len(lost := code[~code.isin(feed.dimensions[feed.geo].index) & ~code.str.fullmatch(NOWHERE)]):
        raise strange(feed.table, reply.url, f"areas that its own list lacks: {shown(lost.unique())}", "known areas")
    return table


def topic_of(key: str) -> str:
    """Return the name of a column without its place, which shifts between editions.

    Examples
    --------
    >>> topic_of("Koopwoningen_40")
    'Koopwoningen'
    """
    return re.sub(r"_\d+$", "", key)


def _snake(topic: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", topic).lower()


def _titles(found: list[dict[str, Any]], kind: str) -> pd.Series:
    codes = pd.Index([str(row.get("Key", "")).strip() for row in found], dtype=object)
    return pd.Series([str(row.get("Title", "")).strip() for row in found], index=codes, name=kind, dtype=object)
