"""Figures: a choropleth of one measure, and estimates with their intervals.

Both are drawn on the axes that are given, or on a figure of their own, without pyplot: they work in any thread and
without a display.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.drawing.style import COLOURS, DARK, GREY, NO_FIGURE, Classes, rings, scale_length, scale_text
from buurtsae.errors import DataError, shown
from buurtsae.figures import dutch
from buurtsae.origin import SOURCE
from buurtsae.scale import SCORE, Scale

if TYPE_CHECKING:
    import geopandas as gpd
    from matplotlib.axes import Axes
    from matplotlib.path import Path
    from shapely.geometry.base import BaseGeometry

LABEL_COLOUR = {"betrouwbaar": "#0072b2", "indicatief": "#d55e00"}  # Okabe and Ito (2008)
DIRECT = "#777777"
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False, "fontsize": "small"}


def plot_map(
    geometry: gpd.GeoDataFrame,
    values: pd.DataFrame,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
    source: str = SOURCE.nl,
    scale: Scale = SCORE,
    fixed: bool = True,
) -> Axes:
    """Draw a choropleth in the classes of the scale; hatched where indicative, grey where there is no figure.

    Both tables are indexed by area_code, geometry is in metres, values have `estimate` and `label`; a note says what
    the numbers are, by default the unit of the scale. Classes that are not `fixed` follow the figures (`Classes`).

    Raises
    ------
    DataError
        If values have no polygon, or several rows for one area.
    """
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Patch

    if "geometry" not in geometry:
        hint = "make the areas from a frame with geometry: Areas.from_frame"
        raise DataError("there is no map", "areas without geometry", "a polygon per area", hint)
    if odd := sorted(set(values.index) - set(geometry.index)) or list(values.index[values.index.duplicated()].unique()):
        want, hint = "one row per area, with a polygon each", "select one measure and one level"
        raise DataError("the values do not fit the areas of the map", shown(odd), want, hint)
    ax = _axes(8.0, 6.0) if ax is None else ax
    known = _known(values)
    classes = Classes.of(scale, known, fixed=fixed)
    place = known["estimate"].map(classes.place).reindex(geometry.index)
    hatched = known["label"].eq("indicatief").reindex(geometry.index, fill_value=False)
    outline = pd.Series([_outline(shape) for shape in geometry.geometry], index=geometry.index)
    colours = [GREY if np.isnan(position) else COLOURS[int(position)] for position in place]
    ax.add_collection(PathCollection(list(outline), facecolors=colours, edgecolors="#555555", linewidths=0.3))
    for dark, ink in ((False, "#777777"), (True, "#ffffff")):
        some = list(outline[hatched & ((place >= DARK) == dark)])
        ax.add_collection(PathCollection(some, facecolors="none", edgecolors=ink, linewidths=0, hatch="/////"))
    left, low, right, high = geometry.total_bounds
    margin = 0.02 * max(right - left, high - low)
    ax.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + margin), aspect="equal")
    ax.set_axis_off()
    ax.set_title(title, loc="left", fontweight="bold")
    _scale_bar(ax, left, low, right - left)
    pairs = list(zip(COLOURS, classes.words, strict=True))[::-1]  # high on top, as on an axis
    handles = [Patch(facecolor=colour, edgecolor="#555555", label=words.nl) for colour, words in pairs]
    handles.append(Patch(facecolor="white", edgecolor="#777777", hatch="/////", label="gearceerd: indicatief"))
    handles.append(Patch(facecolor=GREY, edgecolor="#555555", label=NO_FIGURE))
    ax.legend(handles=handles, title=note or _unit(scale), alignment="left", title_fontsize="small", **BESIDE)
    ax.text(0, -0.07, source, transform=ax.transAxes, fontsize="x-small", color="#555555", va="top")
    return ax


def plot_intervals(
    values: pd.DataFrame, title: str = "", note: str = "", ax: Axes | None = None, scale: Scale = SCORE
) -> Axes:
    """Draw a dot and the 95% interval per area, highest on top, with the direct estimate as a hollow grey mark.

    Values have `area_name`, `estimate`, `lower`, `upper`, `label` and, if there is one, `direct`; areas without a
    figure are counted beneath the plot. The height of a new figure follows the number of areas.
    """
    from matplotlib.ticker import FuncFormatter

    known = _known(values).sort_values("estimate", kind="stable").reset_index(drop=True)
    ax = _axes(7.0, 1.6 + 0.22 * max(len(known), 4)) if ax is None else ax
    if "direct" in known:
        direct = known["direct"].astype(float)
        ax.scatter(direct, known.index, s=26, facecolors="none", edgecolors=DIRECT, zorder=2, label="directe schatting")
    for label, colour in LABEL_COLOUR.items():
        rows, marker = known[known["label"] == label], "o" if label == "betrouwbaar" else "D"
        if len(rows):
            ax.hlines(rows.index, rows["lower"], rows["upper"], color=colour, linewidth=1.6, zorder=3)
            ax.scatter(rows["estimate"], rows.index, color=colour, marker=marker, s=22, zorder=4, label=label)
    ax.set_yticks(known.index, known["area_name"], fontsize="small")
    ax.set_ylim(-0.7, len(known) - 0.3)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: dutch(x, scale.digits)))
    hidden = len(values) - len(known)
    without = f"; {hidden} zonder cijfer ({NO_FIGURE})" if hidden else ""
    ax.set_xlabel(f"{note or _unit(scale)}, met 95%-interval{without}", fontsize="small")
    ax.set_title(title, loc="left", fontweight="bold")
    ax.grid(axis="x", color="#e5e5e5")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if len(known):
        ax.legend(**BESIDE)
    return ax


def _known(values: pd.DataFrame) -> pd.DataFrame:
    return values[values["estimate"].notna() & (values["label"] != "niet_publiceren")]


def _unit(scale: Scale) -> str:
    return scale.label.nl.replace("-", "–")


def _axes(width: float, height: float) -> Axes:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _outline(geometry: BaseGeometry) -> Path:
    """Return a polygon as one path; holes run the other way round, so that they stay open."""
    from matplotlib.path import Path

    return Path.make_compound_path(*(Path(ring, closed=True) for ring in rings(geometry)))


def _scale_bar(ax: Axes, left: float, low: float, width: float) -> None:
    length = scale_length(width)
    height = low - 0.03 * width
    ax.plot([left, left + length], [height] * 2, color="#333333", linewidth=2, clip_on=False, solid_capstyle="butt")
    ax.text(left + length + 0.01 * width, height, scale_text(length), va="center", fontsize="x-small", color="#333333")
