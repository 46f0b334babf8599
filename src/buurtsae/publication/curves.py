"""Associations of covariates with scores, as figures with 95% bands, tables and text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.figures import dutch
from buurtsae.folder.target import Target, by_heading, staged
from buurtsae.tables import write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from buurtsae.estimates.words.curves import Curves

FILES = ("vuistregels.txt", "vuistregels.csv", "curves.csv")
KNOWN = by_heading("vuistregels.csv", "measure,low,high,difference,")
LONGEST = 60  # characters of the name of a figure
WITH, WITHOUT = "#0072b2", "#d55e00"  # Okabe and Ito (2008)


def plot_curve(rows: pd.DataFrame, title: str, label: str, *, categorical: bool, ax: Axes | None = None) -> Axes:
    """Draw differences over the values of a covariate, and beside them those without the spatial field.

    Parameters
    ----------
    rows : DataFrame
        `value`, `difference`, `lower`, `upper`, and where known the same with `_without`.
    title, label : str
        The measure, and what the values are.
    categorical : bool
        Dots instead of a line.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    ax = Figure(figsize=(7.0, 4.2), layout="constrained").add_subplot() if ax is None else ax
    parts = [("", WITH, "met ruimtelijke component")]
    if "difference_without" in rows:
        parts.append(("_without", WITHOUT, "zonder ruimtelijke component"))
    for suffix, colour, name in parts:
        middle, lower, upper = (rows[c + suffix] for c in ("difference", "lower", "upper"))
        if categorical:
            ax.vlines(rows["value"], lower, upper, color=colour, linewidth=1.6, alpha=0.7)
            ax.scatter(rows["value"], middle, color=colour, s=22, zorder=3, label=name)
        else:
            ax.fill_between(rows["value"], lower, upper, color=colour, alpha=0.2, linewidth=0)
            ax.plot(rows["value"], middle, color=colour, label=name, linestyle="--" if suffix else "-")
    ax.axhline(0, color="#777777", linewidth=0.8)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: dutch(y, 2)))
    ax.set_xlabel(label)
    ax.set_ylabel("verschil in score, met 95%-interval")
    ax.set_title(title, loc="left", fontweight="bold")
    ax.grid(axis="y", color="#e5e5e5")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    return ax


def write_curves(found: Sequence[Curves], to: str | Path | Target, notice: str = "") -> None:
    """Write `vuistregels.txt`, `vuistregels.csv`, `curves.csv`, and per covariate a figure per measure.

    Parameters
    ----------
    found : sequence of Curves
    to : path
        Folder, made if need be, or one that is claimed already; files of an earlier call are replaced.
    notice : str
        What text and figures say of the data.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with staged(to, FILES, KNOWN) as folder, rc_context({"svg.hashsalt": "buurtsae"}):  # ids that do not change
        said = "\n\n".join([*filter(None, [notice]), *(c.text for c in found)])
        (folder / "vuistregels.txt").write_text(said + "\n", "utf-8", newline="\n")
        for name in ("table", "curve"):
            parts = [getattr(c, name).assign(covariate=c.covariate.name) for c in found]
            file = folder / {"table": "vuistregels.csv", "curve": "curves.csv"}[name]
            write_csv(pd.concat(parts), file)
        for k, c in enumerate(found):
            measures = list(dict.fromkeys(c.curve["measure"]))
            figure = Figure(figsize=(13.0, 3.6 * ((len(measures) + 1) // 2)), layout="constrained")
            axes = figure.subplots((len(measures) + 1) // 2, 2, sharey=True, squeeze=False).ravel()
            for measure, ax in zip(measures, axes, strict=False):
                c.plot(measure, ax)
            for ax in axes[len(measures) :]:
                ax.remove()
            if notice:
                figure.suptitle(notice, fontsize="small", color="#a40000", wrap=True)
            figure.savefig(folder / f"{_file_name(c.covariate.name, k)}.svg", metadata={"Date": None})


def _file_name(name: str, k: int) -> str:
    """Return a name that every file system takes, with a number where it had to change: columns have any names."""
    plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", name)[:LONGEST]
    return plain if plain == name else f"{plain}_{k}"
