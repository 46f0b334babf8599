"""Population totals as a table, and weights of respondents that meet them: every disagreement of the two is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.errors import BuurtsaeError, DataError, Problems, shown
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.calibration import calibrate, indicators, rake
from buurtsae.tables import as_number, read_table


@dataclass(frozen=True)
class Calibration:
    """Known population totals that the weights have to meet.

    Attributes
    ----------
    totals : path or DataFrame
        `margin, category, total`. A margin is a column of the respondents, or several joined by a colon
        (`gemeente:leeftijd`, with categories as `GM0344:18-34`); `buurt`, `wijk` and `gemeente` follow from the code.
    method : {"raking", "linear", "logit"}
        Raking with one margin is post-stratification.
    bounds : (float, float), optional
        Lowest and highest factor on the weights; needed by `logit`, optional for `linear`.

    Examples
    --------
    >>> import pandas as pd
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import folder
    >>> residents = {"GM9901": 70_000, "GM9902": 50_000, "GM9903": 30_000}
    >>> totals = pd.DataFrame({"margin": "gemeente", "category": list(residents), "total": list(residents.values())})
    >>> file = folder() / "enquete_veiligheidsmonitor.csv"
    >>> survey = bs.Survey.read(file, "veiligheidsmonitor", 2024, calibrate=bs.Calibration(totals))
    >>> float(survey.frame["weight"].sum().round())
    150000.0
    """

    totals: str | Path | pd.DataFrame = field(repr=False)
    method: Literal["raking", "linear", "logit"] = "raking"
    bounds: tuple[float, float] | None = None


def meet(
    plan: Calibration, columns: Mapping[str, pd.Series], w: Floats, file: str, problems: Problems
) -> tuple[Floats, dict[str, Ints]]:
    """Return calibrated weights and the category of each respondent per margin.

    Margins are made of `columns` of the respondents in `file`. Problems are recorded: on any the weights stay the same.
    """
    before = len(problems.found)
    known = _totals(plan.totals, problems)
    margins: dict[str, Ints] = {}
    totals: list[Floats] = []
    for margin, total in known.items():
        parts = margin.split(":")
        if absent := [part for part in parts if part not in columns]:
            hint = "rename or drop the margin"
            problems.add(f"{file} has no column for margin {margin!r}", shown(columns), shown(absent), hint)
            continue
        category = columns[parts[0]].astype("string").fillna("")
        for part in parts[1:]:
            category = category + ":" + columns[part].astype("string").fillna("")
        position = total.index.get_indexer(category)
        where = f"margin {margin!r}"
        if (position < 0).any():
            what = f"{where} of {file} has categories without a population total"
            hint = "add them to the table, or merge categories"
            strange = shown(repr(str(name)) for name in sorted(category[position < 0].unique()))
            problems.add(what, strange, shown(total.index), hint)
        if empty := sorted(set(total.index[total > 0]) - set(category)):
            what = f"{where} has population totals without respondents in {file}"
            problems.add(what, shown(empty), "respondents in every category", "merge these categories with others")
        margins[margin] = np.asarray(position)
        totals.append(total.to_numpy(dtype=float))
    sums = {margin: float(total.sum()) for margin, total in known.items()}
    if sums and max(sums.values()) > (1 + 1e-6) * min(sums.values()):
        sizes = ", ".join(f"{margin} {size:g}" for margin, size in sums.items())
        problems.add("the totals of margins disagree", sizes, "one population", "correct the table of totals")
    if len(problems.found) > before:
        return w, margins
    try:
        if plan.method == "raking":
            return rake(w, list(margins.values()), totals), margins
        x = indicators(list(margins.values()), list(map(len, totals)))
        new = calibrate(w, x, np.concatenate(totals), plan.method, plan.bounds)
    except BuurtsaeError as error:
        problems.collect(error)
        return w, margins
    if negative := int((new <= 0).sum()):
        what = f"calibration gives {negative} weights that are not positive"
        problems.add(what, f"lowest {new.min():g}", "> 0", "use raking, or linear calibration with bounds")
    return new, margins


def _totals(table: str | Path | pd.DataFrame, problems: Problems) -> dict[str, pd.Series]:
    """Totals by margin, each a Series by category."""
    name = "the table of totals" if isinstance(table, pd.DataFrame) else Path(table).name
    try:
        frame = table if isinstance(table, pd.DataFrame) else read_table(Path(table), text=["margin", "category"])
        if absent := [column for column in ("margin", "category", "total") if column not in frame]:
            raise DataError(f"{name} lacks columns", shown(frame.columns), shown(absent), "rename or add them")
        try:
            total = as_number(frame["total"])
        except (ValueError, TypeError) as error:
            raise DataError(f"{name}: totals are no numbers", str(error), "numbers", "correct the column") from error
    except BuurtsaeError as error:
        problems.collect(error)
        return {}
    margin, category = (frame[column].astype("string").fillna("").rename(column) for column in ("margin", "category"))
    both = margin + " " + category
    if frame.empty:
        problems.add(f"{name} is empty", "0 rows", "a row per category", "complete it")
    if (twice := both.duplicated()).any():
        problems.add(f"{name} has categories twice", shown(both[twice]), "one row per category", "remove the doubles")
    if (bad := ~(total > 0)).any():
        problems.add(f"{name}: totals that are missing or not positive", shown(both[bad]), "> 0", "merge categories")
    once = total[~both.duplicated()]
    groups = once.groupby(margin, sort=False)
    return {str(key): pd.Series(rows.to_numpy(), index=category[rows.index]) for key, rows in groups}
