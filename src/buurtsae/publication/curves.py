"""Associations of covariates with scores, written as figures with 95% bands, tables and text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from buurtsae.estimates.words.curves import Curves
from buurtsae.folder.target import Target, by_heading, staged
from buurtsae.tables import write_csv

FILES = ("vuistregels.txt", "vuistregels.csv", "curves.csv")
KNOWN = by_heading("vuistregels.csv", "measure,low,high,difference,")
LONGEST = 60  # characters of the name of a figure


def write_curves(curves: Sequence[Curves], to: str | Path | Target, notice: str = "") -> None:
    """Write `vuistregels.txt`, `vuistregels.csv`, `curves.csv`, and per covariate a figure per measure.

    Files of an earlier call are replaced; `notice` is what text and figures say of the data.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with staged(to, FILES, KNOWN) as folder, rc_context({"svg.hashsalt": "buurtsae"}):  # ids that do not change
        text = "\n\n".join([*filter(None, [notice]), *(each.text for each in curves)])
        (folder / "vuistregels.txt").write_text(text + "\n", "utf-8", newline="\n")
        for part, file in (("table", "vuistregels.csv"), ("curve", "curves.csv")):
            parts = [getattr(each, part).assign(covariate=each.covariate.name) for each in curves]
            write_csv(pd.concat(parts), folder / file)
        for position, each in enumerate(curves):
            measures = list(dict.fromkeys(each.curve["measure"]))
            figure = Figure(figsize=(13.0, 3.6 * ((len(measures) + 1) // 2)), layout="constrained")
            axes = figure.subplots((len(measures) + 1) // 2, 2, sharey=True, squeeze=False).ravel()
            for measure, ax in zip(measures, axes, strict=False):
                each.plot(measure, ax)
            for ax in axes[len(measures) :]:
                ax.remove()
            if notice:
                figure.suptitle(notice, fontsize="small", color="#a40000", wrap=True)
            figure.savefig(folder / f"{_file_name(each.covariate.name, position)}.svg", metadata={"Date": None})


def _file_name(name: str, position: int) -> str:
    """Return a name that every file system takes, with a number where it had to change: columns have any names."""
    plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", name)[:LONGEST]
    return plain if plain == name else f"{plain}_{position}"
