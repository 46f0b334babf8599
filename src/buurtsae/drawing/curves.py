"""The association of a covariate with a score, as a line or dots with 95% bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from buurtsae.figures import dutch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WITH, WITHOUT = "#0072b2", "#d55e00"  # Okabe and Ito (2008)


def plot_curve(rows: pd.DataFrame, title: str, label: str, *, categorical: bool, ax: Axes | None = None) -> Axes:
    """Draw differences over the values of a covariate, and beside them those without the spatial field.

    Rows have `value`, `difference`, `lower`, `upper`, and where known the same with `_without`; those of categories are
    dots.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    ax = Figure(figsize=(7.0, 4.2), layout="constrained").add_subplot() if ax is None else ax
    parts = [("", WITH, "met ruimtelijke component")]
    if "difference_without" in rows:
        parts.append(("_without", WITHOUT, "zonder ruimtelijke component"))
    for suffix, colour, name in parts:
        middle, lower, upper = (rows[column + suffix] for column in ("difference", "lower", "upper"))
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
