"""What a table of StatLine (OData v4) holds: its areas, other dimensions, measures and edition.

A table says itself which of its dimensions is that of areas: `WijkenEnBuurten`, and `RegioS` in 2013. The edition is
when its figures were last changed: part of the key under which replies are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import pandas as pd

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError, cut, shown
from buurtsae.opendata.http import Fetcher, Reply, strange
from buurtsae.opendata.registry import Table
from buurtsae.retrieved import Retrieved

GEO = ("GeoDetailDimension", "GeoDimension")
LEVELS = {level: CBS.forms[level][0][:2] for level in ("buurt", "wijk", "gemeente")}  # BU, WK, GM


@dataclass(frozen=True)
class Cube:
    """What a table of StatLine holds.

    Attributes
    ----------
    table : Table
    edition : str
        When its figures were last changed.
    geo : str
        Name of the dimension of areas.
    others : mapping of str to Series
        Titles by code of each other dimension; its kind is the name of the series.
    areas : Series
        Titles of areas by code.
    measures : DataFrame
        By code: `title`, `group`, `about`, `unit`, and whether it is `text`.
    retrieved : tuple of Retrieved
    """

    table: Table
    edition: str
    geo: str
    others: Mapping[str, pd.Series]
    areas: pd.Series
    measures: pd.DataFrame
    retrieved: tuple[Retrieved, ...]

    def of(self, level: str, gemeenten: Sequence[str] | None) -> list[str]:
        """Return the codes of a level in some gemeenten (of all by default), sorted.

        Raises
        ------
        DataError
            If the table has none of a gemeente.
        """
        return areas_of(self.table, self.areas, level, gemeenten)


def areas_of(table: Table, titles: pd.Series, level: str, gemeenten: Sequence[str] | None) -> list[str]:
    """Return the codes of a level in some gemeenten (of all by default) among those of a table, sorted.

    Raises
    ------
    DataError
        If there are none of a gemeente.
    """
    codes = sorted(code for code in titles.index if code.startswith(LEVELS[level]))
    if gemeenten is None:
        return codes
    inside = dict[str, list[str]]()
    for code in codes:
        inside.setdefault(f"GM{code[2:6]}", []).append(code)
    if lost := [gemeente for gemeente in gemeenten if gemeente not in inside]:
        there = sorted(inside)
        near = get_close_matches(lost[0], there, 3, 0.6) or there
        told = shown([f"{code} {titles.get(code, '')}".strip() for code in near], 3)
        raise DataError(
            f"{table.title} ({table.id}) has no {CBS.noun(level)} of some gemeenten", shown(lost), f"such as {told}",
            "is the table of another year, or has a gemeente merged?",
        )  # fmt: skip
    return sorted({code for gemeente in gemeenten for code in inside[gemeente]})


def cube(fetcher: Fetcher, table: Table) -> Cube:
    """Ask what a table holds.

    Raises
    ------
    DataError
        If the service does not answer, or the table has no dimension of areas.
    """
    first = fetcher.json(table, "Properties")
    content = first.json()
    properties = content.get("value", content) if isinstance(content, dict) else content
    properties = properties[0] if isinstance(properties, list) and properties else properties
    if not isinstance(properties, dict):
        raise strange(table, first.url, cut(repr(content), 100), "properties of the table")
    changed = properties.get("ObservationsModified") or properties.get("Modified")
    edition = str(changed or f"sha256-{first.retrieved.sha256[:16]}")
    asked: list[Reply] = [first]

    def rows(path: str, *keys: str) -> pd.DataFrame:
        found: list[dict[str, Any]] = []
        for reply, page in fetcher.pages(table, path, edition=edition):
            asked.append(reply)
            found += values(table, reply, page)
        frame = pd.DataFrame(found, columns=list(found[0]) if found else list(keys))
        if lost := [key for key in keys if key not in frame]:
            raise strange(table, asked[-1].url, f"{len(frame)} rows of {shown(frame.columns)}", f"a key {shown(lost)}")
        return frame

    dimensions = rows("Dimensions", "Identifier", "Kind").set_index("Identifier")["Kind"]
    geo = [name for kind in GEO for name in dimensions.index[dimensions == kind]]
    if not geo:
        raise strange(table, asked[-1].url, shown(f"{k} ({v})" for k, v in dimensions.items()), "a dimension of areas")
    codes = {name: rows(f"{name}Codes", "Identifier", "Title") for name in [geo[0], *dimensions.index.drop(geo[0])]}
    titles = {name: _series(frame, "Title").rename(str(dimensions[name])) for name, frame in codes.items()}
    for name, series in titles.items():
        if series.index.has_duplicates:
            got = f"{name} twice: {shown(series.index[series.index.duplicated()])}"
            raise strange(table, f"{table.url}/{name}Codes", got, "each code once")
    found = rows("MeasureCodes", "Identifier", "Title").reindex(
        columns=["Identifier", "MeasureGroupId", "Title", "Description", "DataType", "Unit"]
    )
    groups = rows("MeasureGroups", "Id", "Title")
    group = groups.set_index(groups["Id"].astype(str))["Title"].astype(str).to_dict()
    text = found.astype(object).where(found.notna(), "").astype(str).apply(lambda column: column.str.strip())
    measures = pd.DataFrame({
        "title": text["Title"], "group": [group.get(key, "") for key in text["MeasureGroupId"]],
        "about": text["Description"].str.split().str.join(" "), "unit": text["Unit"],
        "text": text["DataType"] == "String",
    }).set_axis(text["Identifier"])  # fmt: skip
    if measures.index.has_duplicates:
        got = f"MeasureCodes twice: {shown(measures.index[measures.index.duplicated()])}"
        raise strange(table, f"{table.url}/MeasureCodes", got, "each code once")
    retrieved = tuple(of_edition(reply, edition) for reply in asked)
    return Cube(table, edition, geo[0], {k: v for k, v in titles.items() if k != geo[0]}, titles[geo[0]], measures,
                retrieved)  # fmt: skip


def values(table: Table, reply: Reply, page: Any) -> list[dict[str, Any]]:
    """Return the rows of a page.

    Raises
    ------
    DataError
        If there are none to be found.
    """
    rows = page.get("value") if isinstance(page, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise strange(table, reply.url, cut(repr(page), 100), "rows below the key `value`")
    return rows


def _series(frame: pd.DataFrame, column: str) -> pd.Series:
    text = frame[column].astype(str).str.strip()
    return text.set_axis(pd.Index(frame["Identifier"].astype(str).str.strip(), dtype=object))


def of_edition(reply: Reply, edition: str) -> Retrieved:
    """Return where a reply comes from, of an edition of its table."""
    return replace(reply.retrieved, edition=edition)
