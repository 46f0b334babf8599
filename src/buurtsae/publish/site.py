"""The static site: a start page and one map page per measure, that work from a folder without network.

A map is inline SVG in whole steps of 1, 2, 5 ... metres. Shared borders are simplified together (coverage
simplification, Visvalingam-Whyatt), so that neighbours keep fitting; a page for 1,000 buurten stays below 500 kB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.publish.style import (
    COLOURS,
    DARK,
    LABEL_TEXT,
    NO_FIGURE,
    SOURCE,
    class_labels,
    class_of,
    dutch,
    interval,
    polygonal,
    rings,
    scale_length,
    scale_text,
    write_page,
)
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

PIXELS = 1200  # detail finer than the map's larger side over this is simplified away
STEPS = 6000  # the larger side of a map has at most this many steps
NO_RESIDENTS = "geen bewoners of geen schatting"
EXTREMES = 5


@dataclass(frozen=True)
class Outlines:
    """The polygons of a map as SVG path data, in whole steps from the upper left corner.

    Attributes
    ----------
    paths : mapping of area code to path data
    width, height : int
        Size of the map in steps.
    step : float
        Metres per step.
    """

    paths: Mapping[str, str]
    width: int
    height: int
    step: float

    @property
    def scale_bar(self) -> tuple[float, str]:
        """Length in steps and text of the scale bar."""
        metres = scale_length(self.width * self.step)
        return metres / self.step, scale_text(metres)


def outlines(geometry: gpd.GeoDataFrame) -> Outlines:
    """Simplify the polygons of a map and write them as SVG path data."""
    import shapely

    left, low, right, high = geometry.total_bounds
    size = max(right - left, high - low)
    step = next(m * 10.0**k for k in range(9) for m in (1, 2, 5) if size / (m * 10.0**k) <= STEPS)
    simple = shapely.coverage_simplify([polygonal(g) for g in geometry.geometry], size / PIXELS)
    corner = np.array([left, high])
    paths = {code: _path(g, corner, step) for code, g in zip(geometry.index, simple, strict=True)}
    return Outlines(paths, round((right - left) / step), round((high - low) / step), step)


def _path(geometry: BaseGeometry, corner: Floats, step: float) -> str:
    """Write the rings of a polygon as relative moves in whole steps."""
    text = []
    for ring in rings(geometry):
        points = np.rint((ring[:-1] - corner) / [step, -step]).astype(int)  # the last point repeats the first
        moves = np.diff(points, axis=0)
        moves = moves[moves.any(axis=1)]
        if len(moves) == 0:  # smaller than a step: a speck, so that no buurt vanishes
            moves = np.array([[1, 0], [0, 1]])
        steps = "".join(f"{' ' if n >= 0 else ''}{n}" for n in moves.ravel()).lstrip()
        text.append(f"M{points[0][0]} {points[0][1]}l{steps}z")
    return "".join(text)


def write_site(
    table: pd.DataFrame, geometry: gpd.GeoDataFrame, concept: Concept, folder: Path, run: Mapping[str, Any]
) -> None:
    """Write `dashboard/index.html` and `dashboard/<measure>.html`.

    Parameters
    ----------
    table : DataFrame
        The published estimates. With several years, the last one is shown.
    geometry : GeoDataFrame, indexed by area_code
        All buurten in RD New, those without residents included; `name` and `gemeente` are used where present.
    concept : Concept
        The tree of measures, for the order, the labels and the navigation.
    folder : path
        The output folder; `dashboard` is made in it.
    run : mapping
        `title`, `created`, `run_id`, `draft` (the quality gate was not met) and, if need be, `source`: the line
        beneath the maps that credits the areas and surveys.

    Raises
    ------
    DataError
        If a measure of the table is not in the concept, or a buurt has no geometry.
    """
    table = table[table["year"] == table["year"].max()]
    buurten = table[table["level"] == "buurt"]
    for what, found, known in (
        ("measures are not in the concept", table["measure"], concept.nodes),
        ("estimates have no geometry", buurten["area_code"], geometry.index),
    ):
        if unknown := sorted(set(found) - set(known)):
            raise DataError(what, shown(unknown), "codes that are known", "check the concept and the areas' year")
    shape, gemeente = outlines(geometry), _gemeente_names(table, geometry)
    rows = {m: _rows(buurten[buurten["measure"] == m], geometry, gemeente) for m in concept.measures}
    total = concept.measures[-1]
    ranked = buurten[(buurten["measure"] == total) & buurten["estimate"].notna()].sort_values("estimate")
    by_code = {r["code"]: r for r in rows[total]}
    land = table[table["level"] == "land"].set_index("measure")
    common = {
        "run": run,
        "year": int(table["year"].max()),
        "tree": _tree(concept, None),
        "nodes": concept.nodes,
        "total": total,
        "source": run.get("source", SOURCE),
        "several": len(set(gemeente.values())) > 1,
    }
    dashboard = folder / "dashboard"
    dashboard.mkdir()
    write_page(
        dashboard / "index.html",
        "index.html",
        **common,
        here="index",
        overview={m: _overview(m, land, rows[m]) for m in concept.nodes},
        highest=[by_code[c] for c in ranked["area_code"][::-1][:EXTREMES]],
        lowest=[by_code[c] for c in ranked["area_code"][:EXTREMES]],
    )
    for measure in concept.measures:
        write_page(
            dashboard / f"{measure}.html",
            "measure.html",
            **common,
            here=measure,
            shape=shape,
            rows=rows[measure],
            land=_overview(measure, land, rows[measure]),
            colours=COLOURS,
            dark=DARK,
            classes=class_labels(),
            no_figure=NO_FIGURE,
        )


def _tree(concept: Concept, parent: str | None) -> list[dict[str, Any]]:
    """Return the concept below a node, nested, for the navigation."""
    return [
        {"id": n.id, "nl": n.nl, "parts": _tree(concept, n.id)} for n in concept.nodes.values() if n.parent == parent
    ]


def _gemeente_names(table: pd.DataFrame, geometry: gpd.GeoDataFrame) -> dict[str, str]:
    """Return the name of each buurt's gemeente, its code where the table has no name."""
    if "gemeente" not in geometry:
        return {}
    names = table[table["level"] == "gemeente"].drop_duplicates("area_code").set_index("area_code")["area_name"]
    return {str(buurt): str(names.get(code, code)) for buurt, code in geometry["gemeente"].items()}


def _rows(buurten: pd.DataFrame, geometry: gpd.GeoDataFrame, gemeente: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a page shows of each buurt, in the order of the geometry."""
    found = buurten.set_index("area_code")
    named = geometry["name"] if "name" in geometry else pd.Series(geometry.index, index=geometry.index)
    rows = []
    for code in geometry.index:
        row = {"code": code, "name": str(named[code]), "gemeente": gemeente.get(code, ""), "reason": NO_RESIDENTS}
        row |= {"score": "–", "interval": "–", "n": "–", "share": "–", "label": "", "css": "x"}
        if code in found.index:
            r = found.loc[code]
            row |= {"label": LABEL_TEXT[r["label"]], "reason": "" if pd.isna(r["reason"]) else r["reason"]}
            if r["label"] != "niet_publiceren" and pd.notna(r["estimate"]):
                row |= {
                    "score": dutch(r["estimate"]),
                    "interval": interval(r["lower"], r["upper"]),
                    "n": dutch(r["n_respondents"], 0),
                    "share": "–" if pd.isna(r["own_data_share"]) else f"{dutch(100 * r['own_data_share'], 0)}%",
                    "css": f"k{class_of(r['estimate'])}" + (" i" if r["label"] == "indicatief" else ""),
                }
        rows.append(row)
    return rows


def _overview(measure: str, land: pd.DataFrame, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figure of the whole and the number of buurten per label."""
    count = pd.Series([r["label"] for r in rows]).value_counts()
    whole = land.loc[measure] if measure in land.index else None
    return {
        "name": "" if whole is None else whole["area_name"],
        "score": "–" if whole is None else dutch(whole["estimate"]),
        "interval": "–" if whole is None else interval(whole["lower"], whole["upper"]),
        "counts": {text: int(count.get(text, 0)) for text in LABEL_TEXT.values()},
    }
