"""What the start page shows: every measure of the whole, and every gemeente, in each year."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buurtsae.drawing.style import LABELS
from buurtsae.figures import dutch
from buurtsae.publication import cells
from buurtsae.publication.cells import Row
from buurtsae.publication.content import Content
from buurtsae.publication.outlines import merged, outlines
from buurtsae.publication.over_years import Years, over_years
from buurtsae.schemas import records

START_PIXELS = 600  # of the map of gemeenten: with all names for the search the page stays below 500 kB


def index(content: Content, tree: Sequence[Row]) -> dict[str, Any]:
    """Return it, of the year that opens; for scripts also of the others."""
    geometry, years = content.geometry, Years.of(content)
    names = geometry.get("name", geometry.index.to_series())
    buurten_of: dict[str, list[str]] = {}  # last four digits and name; of the whole country they take 0.3 MB
    for code, gemeente, name in zip(geometry.index, geometry["gemeente"], names, strict=True):
        buurten_of.setdefault(gemeente, []).append(code[6:] + " ".join(str(name).split()))
    tables = {year: _of_year(content, year) for year in years.all}
    data = {"gemeenten": [[code, name, "\t".join(buurten_of[code])] for code, name in content.names.items()]}
    land = content.table[content.table["level"] == "land"]
    changes = content.changes[content.changes["level"] == "land"]
    return {
        **tables[years.opens],
        "labels": list(LABELS.values()),
        "shape": outlines(merged(geometry, "gemeente"), START_PIXELS),
        "data": data | (years.for_script({y: _cells(tables[y], content) for y in years.all}) if years.several else {}),
        "over_years": over_years(
            years,
            tree,
            {name: content.concept.scale_of(name) for name in content.measures},
            {(row["measure"], row["year"]): row for row in records(land)},
            {(row["measure"], row["year_from"], row["year_to"]): row for row in records(changes)},
        ),
        "whole": str(land["area_name"].iloc[0]) if len(land) else "",
    }


def _of_year(content: Content, year: int) -> dict[str, Any]:
    """The measures of the whole, with the number of buurten per label, and the first measure of every gemeente."""
    table, first = content.table[content.table["year"] == year], content.measures[0]
    scales = {name: content.concept.scale_of(name) for name in content.measures}
    land = {row["measure"]: row for row in records(table[table["level"] == "land"])}
    counts = table[table["level"] == "buurt"].groupby(["measure", "label"]).size()
    overview = {
        name: {
            **cells.figures(land.get(name), scales[name]),
            "counts": [int(counts.get((name, label), 0)) for label in LABELS],
        }
        for name in content.measures
    }
    of_gemeenten = records(table[(table["level"] == "gemeente") & (table["measure"] == first)])
    by_code, inside = {row["area_code"]: row for row in of_gemeenten}, content.geometry.groupby("gemeente").size()
    rows = [
        {
            "code": code,
            "name": name,
            **cells.figures(by_code.get(code), scales[first]),
            "css": cells.css(by_code.get(code), content.classes[first]),
            "buurten": int(inside[code]),
        }
        for code, name in sorted(content.names.items(), key=lambda item: (item[1].casefold(), item[0]))
    ]
    return {"overview": overview, "rows": rows}


def _cells(of_year: dict[str, Any], content: Content) -> dict[str, Any]:
    """The cells that change with the year: of the measures, and of the gemeenten with their class on the map."""
    overview = [of_year["overview"][name] for name in content.measures]
    return {
        "maten": [[row["score"], row["interval"], *(dutch(n, 0) for n in row["counts"])] for row in overview],
        "gemeenten": [[row["score"], row["interval"], row["css"]] for row in of_year["rows"]],
    }
