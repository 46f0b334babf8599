"""Truths that the model does not say, and coverage by class of respondents and of residents: of three benchmarks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.simulate.departure import NONE, Departure

TRUTHS = {
    "as the model": NONE,
    "t4, more so where few live": Departure(tails=4.0, size=0.4),
    "a field over water": Departure(over_water=True),
}
OTHERS = [name for name, departure in TRUTHS.items() if departure.made]
ABOUT = """\
Truths that were not drawn from the model: effects of buurten that are Student-t with 4 degrees of freedom, larger where
fewer people live, by (N / 1,000)^-0.4; and a smooth surface that goes on over water. All measures together. *z2* is the
mean squared error over the posterior variance: 1 where intervals have the right width."""
CLASSES = {
    "n_respondents": ("respondents", [-1, 0, 5, 20, np.inf], ["0", "1-5", "6-20", "over 20"]),
    "population": (
        "residents",
        [0, 200, 500, 1000, 2000, np.inf],
        ["up to 200", "201-500", "501-1,000", "1,001-2,000", "over 2,000"],
    ),
}


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Return coverage, error and width per kind of truth (column `made`) and class, of figures of buurten."""
    error = rows["estimate"] - rows["truth"]
    made = pd.Categorical(rows["made"], list(dict.fromkeys(rows["made"])))
    table = rows.assign(
        made=made,
        covered=100 * rows["truth"].between(rows["lower"], rows["upper"]),
        square=error**2,
        z2=(error / rows["sd"]) ** 2,
        width=rows["upper"] - rows["lower"],
    )
    parts = []
    for column, (what, edges, labels) in CLASSES.items():
        groups = table.groupby(["made", pd.cut(table[column], edges, labels=labels)], observed=True)
        part = groups.agg(
            figures=("covered", "size"), coverage=("covered", "mean"), z2=("z2", "mean"),
            RMSE=("square", lambda s: np.sqrt(s.mean())), width=("width", "mean"),
        )  # fmt: skip
        part = part.rename_axis(["truth", "class"]).reset_index()
        parts.append(part.assign(**{"class": part["class"].astype(str) + f" {what}"}))
    found = pd.concat(parts, ignore_index=True)
    found["truth"] = pd.Categorical(found["truth"], made.categories)
    return found.sort_values("truth", kind="stable").rename(columns={"coverage": "coverage 95%", "width": "width 95%"})


def markdown(rows: pd.DataFrame) -> str:
    """Return `by_class` in Markdown, with what it is about."""
    return f"{ABOUT}\n\n" + by_class(rows).to_markdown(
        index=False, floatfmt=("", "", ".0f", ".1f", ".2f", ".2f", ".2f")
    )
