"""Two runs, engines or models side by side: estimates, uncertainty, ranks, labels, and what predicts better.

Areas are matched by code, and by year where there are several. Differences of means are in units of the first one's
posterior sd. Engines that agree have means within 0.1 sd and sds within 5%. Which model predicts better is told by the
log predictive density of gemeenten that were left out (`crossvalidation`): differences per gemeente have a standard
error of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.errors import BuurtsaeError, Problems, shown
from buurtsae.estimates.evidence.crossvalidation import fingerprint, left_out, several
from buurtsae.estimates.summary import Estimates
from buurtsae.estimates.waves import Waves
from buurtsae.folder.finished import Finished

KEY = ["level", "area_code", "measure", "year"]
MEANS, SDS = 0.1, 0.05  # what engines that agree may differ


@dataclass(frozen=True)
class Comparison:
    """What differs between A and B.

    Attributes
    ----------
    table : DataFrame
        Per `level` and `measure`: `areas` in both, `mean_difference` and `largest` (of means, B - A, in sds of A),
        `sd_ratio` (B over A: median), `sd_low`, `sd_high` (5% and 95%), `rank_correlation` (within years, their mean),
        and `labels`, the share of labels that differ.
    labels : DataFrame
        Number of figures by label in A (rows) and B (columns).
    worst : DataFrame
        The ten figures that differ most.
    only_a, only_b : tuple of str
        Areas in one only.
    names : tuple of str
    years : tuple of int
        Those in both.
    elpd : tuple of float, optional
        Difference in log predictive density of left-out gemeenten, B - A, and its standard error.
    """

    table: pd.DataFrame
    labels: pd.DataFrame
    worst: pd.DataFrame
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    names: tuple[str, str]
    years: tuple[int, ...] = ()
    elpd: tuple[float, float] | None = None

    @property
    def agree(self) -> bool:
        """Whether means lie within 0.1 sd and sds within 5% of each other, everywhere."""
        sds = self.table["sd_low"].ge(1 - SDS) & self.table["sd_high"].le(1 + SDS)
        return bool((self.table["largest"] <= MEANS).all() and sds.all())

    @property
    def text(self) -> str:
        """What it says, in Dutch."""
        a, b = self.names
        lines = [f"A: {a}", f"B: {b}"]
        for which, codes in (("A", self.only_a), ("B", self.only_b)):
            if codes:
                lines.append(f"Alleen in {which}: {len(codes)} gebieden ({shown(codes)})")
        if len(self.years) > 1:
            lines.append(f"Jaren in A en B: {shown(self.years, 10)}")
        for level, rows in self.table.groupby("level", sort=False):
            lines.append(
                f"  {level}: {rows['areas'].max()} gebieden; gemiddelden verschillen hoogstens "
                f"{_number(rows['largest'].max())} sd, sd's {_number(rows['sd_ratio'].min())} tot "
                f"{_number(rows['sd_ratio'].max())} keer; rangcorrelatie minstens "
                f"{_number(rows['rank_correlation'].min())}; {_number(100 * rows['labels'].mean(), 1)}% andere oordelen"
            )
        lines.append(f"Gelijk binnen 0,1 sd en 5% van de sd: {'ja' if self.agree else 'nee'}")
        if self.elpd is not None:
            difference, error = self.elpd
            better = "B" if difference > 0 else "A"
            sure = "duidelijk" if abs(difference) > 2 * error else "niet duidelijk"
            lines.append(
                f"Weggelaten groepen: {better} voorspelt {sure} beter (log-dichtheid {_number(difference, 1)}, "
                f"standaardfout {_number(error, 1)})"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Comparison of {self.names[0]} and {self.names[1]}: agree {self.agree}"


def compare(a: Estimates | Waves, b: Estimates | Waves, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare two sets of estimates; with the same direct estimates also how well they predict what is left out.

    Parameters
    ----------
    a, b : Estimates or Waves
        Of one period, or of every year of a fit of several.
    names : tuple of str

    Returns
    -------
    Comparison

    Raises
    ------
    DataError or ProblemsError
        If they have no areas or measures in common, or are of other area divisions.

    Examples
    --------
    >>> import buurtsae as bs
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> est = voorbeeldstad()
    >>> bs.compare(est, bs.estimate(est.fit), ("first", "second"))
    Comparison of first and second: agree True
    """
    comparison = compare_tables(a.table, b.table, names)
    if fingerprint(a.fit) != fingerprint(b.fit) or not several(a.fit):
        return comparison
    one, other = (left_out(est.fit, est.fit.areas.parent(est.fit.areas.base)).by_group for est in (a, b))
    return replace(comparison, elpd=_difference(one, other))


def compare_folders(a: str | Path, b: str | Path) -> Comparison:
    """Compare the results of two runs, in their folders.

    Raises
    ------
    DataError or ProblemsError
        If a folder holds no finished run, or as `compare`.
    """
    problems, parts = Problems(), []
    for folder in (a, b):
        try:
            run = Finished.open(folder)
            parts.append((pd.read_parquet(run.stream("estimates.parquet")), _name(run), _density(run)))
        except BuurtsaeError as error:
            problems.collect(error)
    problems.raise_if_any()
    (table_a, name_a, one), (table_b, name_b, other) = parts
    comparison = compare_tables(table_a, table_b, (name_a, name_b))
    if one.get("data") is None or one["data"] != other.get("data"):
        return comparison
    return replace(comparison, elpd=_difference(pd.Series(one["groups"]), pd.Series(other["groups"])))


def compare_tables(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare two tables of the contract.

    Raises
    ------
    DataError or ProblemsError
        As `compare`.
    """
    problems = Problems()
    if set(a["code_year"]) != set(b["code_year"]):
        years = ", ".join(str(sorted(set(table["code_year"]))) for table in (a, b))
        problems.add("the areas are of other years", years, "one area division", "recode one of the two")
    both = a.merge(b, on=KEY, suffixes=("_a", "_b"), validate="one_to_one")
    if both.empty:
        codes = shown(a["area_code"].unique()), shown(b["area_code"].unique())
        problems.add("nothing can be compared", *codes, "results with areas, measures and a year in common")
    problems.raise_if_any()
    one, other = (set(table["area_code"]) for table in (a, b))
    rows, parts = both[both["estimate_a"].notna() & both["estimate_b"].notna()], []
    sd = rows["sd_a"].where(rows["sd_a"] > 0)
    rows = rows.assign(in_sd=(rows["estimate_b"] - rows["estimate_a"]) / sd, ratio=rows["sd_b"] / sd)
    for (level, measure), part in rows.groupby(["level", "measure"], sort=False):
        yearly = [of for _, of in part.groupby("year") if len(of) > 1]  # one area has its rank
        within = [of["estimate_a"].rank().corr(of["estimate_b"].rank()) for of in yearly]
        parts.append(
            {
                "level": level,
                "measure": measure,
                "areas": part["area_code"].nunique(),
                "mean_difference": part["in_sd"].mean(),
                "largest": part["in_sd"].abs().max(),
                "sd_ratio": part["ratio"].median(),
                "sd_low": part["ratio"].quantile(0.05),
                "sd_high": part["ratio"].quantile(0.95),
                "rank_correlation": float(np.mean(within)) if within else 1.0,
                "labels": (part["label_a"] != part["label_b"]).mean(),
            }
        )
    worst = rows.reindex(rows["in_sd"].abs().sort_values(ascending=False).index[:10])
    columns = [*KEY, "area_name_a", "estimate_a", "sd_a", "estimate_b", "sd_b", "in_sd", "label_a", "label_b"]
    worst = worst[columns].rename(columns={"area_name_a": "area_name"}).reset_index(drop=True)
    labels, only_a, only_b = pd.crosstab(both["label_a"], both["label_b"]), sorted(one - other), sorted(other - one)
    common = tuple(sorted(map(int, both["year"].unique())))
    return Comparison(pd.DataFrame(parts), labels, worst, tuple(only_a), tuple(only_b), names, common)


def _difference(one: pd.Series, other: pd.Series) -> tuple[float, float] | None:
    """The sum of differences of log densities by group, and its standard error; None below two groups."""
    difference = (other - one).to_numpy(dtype=float)
    if len(difference) < 2:
        return None
    return float(difference.sum()), float(np.sqrt(len(difference)) * difference.std(ddof=1))


def _density(run: Finished) -> dict[str, Any]:
    """What a quality report says of left-out gemeenten; nothing where there are too few."""
    return dict(run.json("quality.json").get("density") or {})


def _name(run: Finished) -> str:
    """What a folder of results is of."""
    return "{} (run {run_id}, engine {engine}, seed {seed})".format(run.folder, **run.manifest)


def _number(value: float, decimals: int = 2) -> str:
    return f"{value:.{decimals}f}".replace(".", ",")
