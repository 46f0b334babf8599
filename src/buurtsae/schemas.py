"""The columns of the published table, once: name, dtype, range, unit, Dutch title and English description.

Everything else that must know them is derived from `estimates(scale)`: the check of a table (pandera), the metadata of
the Parquet file, the descriptor of the data package; `ESTIMATES` are those of scores on 0-10. The scale is that of all
measures, or one that holds theirs (`Concept.span`): each row has the ends and the unit of its own. A row is keyed by
(level, area_code, measure, year).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.errors import Problems, shown
from buurtsae.scale import SCORE, Scale

if TYPE_CHECKING:
    import pandera.pandas as pa

CONTRACT_VERSION = "1.4"
KEY = ("level", "area_code", "measure", "year")
LABELS = ("betrouwbaar", "indicatief", "niet_publiceren")
CHANGES = ("toename", "afname", "niet_te_onderscheiden", "niet_publiceren")
POINTS = "{} points"  # the unit of differences
BASES = ("eigen_respondenten", "gemengd", "vooral_model")


@dataclass(frozen=True)
class Column:
    """One column of a table: its pandas dtype (`Int64` has nulls), Dutch title, English description, unit of a number.

    The range includes its ends; `values` are the only ones allowed, and `pattern` matches the whole text, where given.
    """

    name: str
    dtype: str
    nl: str
    en: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    values: tuple[str, ...] = ()
    pattern: str = ""


_optional = partial(Column, nullable=True)


def _score(scale: Scale) -> Callable[[str, str, str], Column]:
    """Columns of figures that are shown on a scale."""
    low, high = (end if math.isfinite(end) else None for end in (scale.lower, scale.upper))
    return lambda name, nl, en: _optional(name, "float64", nl, en, str(scale.label), low, high)


def estimates(scale: Scale) -> tuple[Column, ...]:
    """Return the columns of the table, of measures on a scale."""
    score, unit = _score(scale), str(scale.label)
    weight = "weight of the area's own respondents in the estimate"
    gain = "1 - posterior variance / between-buurt variance"
    above = "probability of being above the mean of the parent"
    rests = (
        "what it rests on: own respondents (half of it or more), these and the model (a fifth or more), or the model"
    )
    return (
        Column("level", "str", "Niveau", "area level, or a grouping of the run file", pattern=r"[a-z][a-z0-9_]*"),
        Column("area_code", "str", "Gebiedscode", "CBS code as published; NL00 for the whole"),
        Column("area_name", "str", "Gebiedsnaam", "name of the area"),
        Column("code_year", "int64", "Jaar gebiedsindeling", "year of the area division", "year"),
        Column("measure", "str", "Maat", "a measure of the concept"),
        _optional("scale_lower", "float64", "Schaal van", "what a figure of the measure can least be", unit),
        _optional("scale_upper", "float64", "Schaal tot", "what a figure of the measure can be at most", unit),
        Column("unit", "str", "Eenheid", "unit of the measure, in Dutch"),
        Column("year", "int64", "Jaar", "year the estimate refers to", "year"),
        score("estimate", "Schatting", "posterior mean"),
        _optional("sd", "float64", "Standaardafwijking", "posterior standard deviation", unit, 0),
        score("lower", "Ondergrens", "lower end of the 95% equal-tailed interval"),
        score("upper", "Bovengrens", "upper end of the 95% equal-tailed interval"),
        _optional("n_respondents", "Int64", "Respondenten", "own respondents, all sources", "persons", 0),
        _optional("n_effective", "float64", "Effectief aantal", "effective number of respondents", "persons", 0),
        Column("population", "int64", "Inwoners", "residents", "persons", 0),
        # of few respondents it may lie outside the scale, as regression estimates of an office do
        _optional("direct", "float64", "Directe schatting", "design-based estimate, where there is one", unit),
        _optional("direct_se", "float64", "Standaardfout direct", "standard error of `direct`", unit, 0),
        _optional("own_data_share", "float64", "Aandeel eigen data", weight, "share 0-1", 0, 1),
        _optional("reliability", "float64", "Betrouwbaarheid", gain, "share, at most 1", maximum=1),
        Column("label", "str", "Oordeel", "whether the figure may be published", values=LABELS),
        _optional("basis", "str", "Basis", rests, values=BASES),
        _optional("reason", "str", "Reden", "why not published or indicative"),
        _optional("p_above_parent", "float64", "Kans boven gemeente", above, "probability", 0, 1),
        _optional("rank_lower", "Int64", "Rang van", "lower end of the 95% interval of the rank", "rank", 1),
        _optional("rank_upper", "Int64", "Rang tot", "upper end of the 95% interval of the rank", "rank", 1),
        Column("benchmarked", "bool", "Gekalibreerd", "draws were made to agree with published totals"),
        Column("run_id", "str", "Run", "key into manifest.json"),
    )


def groups(scale: Scale) -> tuple[Column, ...]:
    """Return the columns of the table of groups of residents: those of the contract, and whose figures they are."""
    return (
        Column("characteristic", "str", "Kenmerk", "what divides residents into groups"),
        Column("group", "str", "Groep", "the group that the figure is of"),
        *estimates(scale),
    )


def changes(scale: Scale) -> tuple[Column, ...]:
    """Return the columns of the table of changes between two years."""
    unit, (level, code, name, *_), measure = POINTS.format(scale.unit), estimates(scale), estimates(scale)[4]
    figure = partial(_optional, dtype="float64")
    known = "share of a step of the area's own answers that the change shows: the rest is smoothed away"
    return (
        *(level, code, name, measure),
        Column("year_from", "int64", "Van jaar", "year that the change is from", "year"),
        Column("year_to", "int64", "Tot jaar", "year that it is to", "year"),
        figure("change", nl="Verandering", en="posterior mean of the change", unit=unit),
        figure("sd", nl="Standaardafwijking", en="posterior standard deviation", unit=unit, minimum=0),
        figure("lower", nl="Ondergrens", en="lower end of the 95% equal-tailed interval", unit=unit),
        figure("upper", nl="Bovengrens", en="upper end of the 95% equal-tailed interval", unit=unit),
        _probability("p_increase", "Kans op toename", "probability that the figure rose"),
        _probability("p_relevant", "Kans op een verandering die telt", "probability of the least that counts, or more"),
        _probability("p_false_sign", "Kans op de andere kant", "probability that it went the other way"),
        figure("recovered", nl="Aandeel zichtbaar", en=known, unit="share 0-1", minimum=0, maximum=1),
        Column("label", "str", "Oordeel", "what can be said of the change", values=CHANGES),
        _optional("reason", "str", "Reden", "why not published"),
    )


def trends(scale: Scale) -> tuple[Column, ...]:
    """Return the columns of the table of trends, with breaks and without."""
    score, (level, code, name, *_), of = _score(scale), estimates(scale), {c.name: c for c in estimates(scale)}
    return (
        *(level, code, name, of["measure"], of["year"]),
        score("with_breaks", "Met breuken", "posterior mean, with what is known of breaks"),
        score("with_lower", "Met breuken, ondergrens", "lower end of its 95% interval"),
        score("with_upper", "Met breuken, bovengrens", "upper end of its 95% interval"),
        score("without", "Zonder breuken", "posterior mean if there were no breaks"),
        score("without_lower", "Zonder breuken, ondergrens", "lower end of its 95% interval"),
        score("without_upper", "Zonder breuken, bovengrens", "upper end of its 95% interval"),
        _optional("reason", "str", "Reden", "why not published"),
    )


def _probability(name: str, nl: str, en: str) -> Column:
    return _optional(name, "float64", nl, en, "probability", 0, 1)


def supplement(scale: Scale) -> tuple[Column, ...]:
    """Return further columns of the published rows, in a file of their own: the contract's table is fixed."""
    spread = "triple-goal estimate, for maps and distributions: its spread is right"
    return (
        _score(scale)("constrained", "Verdelingsschatting", spread),
        _optional("verdict", "str", "Oordeel over het verschil", "p_above_parent in words"),
        _optional("shift", "float64", "Verschuiving", "what benchmarking added", POINTS.format(scale.unit)),
    )


ESTIMATES = estimates(SCORE)

# what a suppressed row must not give away; `population` is public
SUPPRESSED = (
    *("estimate", "sd", "lower", "upper", "direct", "direct_se", "own_data_share", "reliability"),
    *("p_above_parent", "rank_lower", "rank_upper", "n_respondents", "n_effective", "basis"),
)


def estimates_schema(scale: Scale = SCORE) -> pa.DataFrameSchema:
    """Return the pandera schema of `estimates(scale)`: these columns, in this order, and no other."""
    import pandera.pandas as pa

    columns = {}
    for column in estimates(scale):
        checks = [
            *([pa.Check.isin(column.values)] if column.values else []),
            *([pa.Check.str_matches(f"^{column.pattern}$")] if column.pattern else []),
            *([pa.Check.ge(column.minimum)] if column.minimum is not None else []),
            *([pa.Check.le(column.maximum)] if column.maximum is not None else []),
        ]
        columns[column.name] = pa.Column(
            column.dtype, checks, nullable=column.nullable, title=column.nl, description=column.en
        )
    return pa.DataFrameSchema(columns, strict=True, ordered=True, coerce=True)


def check_estimates(table: pd.DataFrame, scale: Scale = SCORE) -> pd.DataFrame:
    """Check a table of estimates and return it with the dtypes of the contract.

    Raises
    ------
    DataError or ProblemsError
        Every column that is absent, unknown, out of order, of another type or out of range; keys that occur
        twice; intervals that do not contain their estimate; figures or reasons that are absent. All at once.
    """
    import pandera.errors

    problems = Problems()
    try:
        table = estimates_schema(scale).validate(table, lazy=True)
    except pandera.errors.SchemaErrors as error:
        failures = error.failure_cases.astype({"column": "string"})
        for (column, check), cases in failures.groupby(["column", "check"], dropna=False, sort=False):
            where = "the table of estimates" if pd.isna(column) else f"estimates.{column}"
            problems.add(where + " breaks the contract", shown(cases["failure_case"]), str(check), "repair that column")
    if set(table.columns) >= {column.name for column in ESTIMATES}:
        _check_rows(table, problems)
    problems.raise_if_any()
    return table


def _check_rows(table: pd.DataFrame, problems: Problems) -> None:
    """Check what holds between columns."""
    absent = table[["estimate", "sd", "lower", "upper"]].isna().any(axis=1) & (table["label"] != "niet_publiceren")
    silent = table["reason"].isna() & (table["label"] != "betrouwbaar")
    low, high = (table[name].fillna(end) for name, end in (("scale_lower", -math.inf), ("scale_upper", math.inf)))
    outside = pd.concat([(table[name] < low) | (table[name] > high) for name in ("estimate", "lower", "upper")], axis=1)
    rules = (
        (outside.any(axis=1), "figures lie outside the scale of their measure", "scale_lower to scale_upper"),
        (table.duplicated(list(KEY), keep=False), "keys occur more than once", "one row per " + ", ".join(KEY)),
        (table["lower"] > table["estimate"], "lower ends lie above the estimate", "lower <= estimate"),
        (table["upper"] < table["estimate"], "upper ends lie below the estimate", "estimate <= upper"),
        (table["rank_lower"] > table["rank_upper"], "rank intervals are reversed", "rank_lower <= rank_upper"),
        (absent, "figures are absent", "figures unless label is niet_publiceren"),
        (silent, "reasons are absent", "a reason wherever label is not betrouwbaar"),
    )
    for broken, what, expected in rules:
        rows = table.loc[broken.fillna(False).astype(bool), list(KEY)]
        if len(rows):
            keys = shown(" ".join(map(str, row)) for row in rows.itertuples(index=False))
            problems.add(f"estimates: {what}", keys, expected, "correct the step that made these rows")


def published(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy for publication: rows labelled `niet_publiceren` stay, with their figures null."""
    table = table.astype({column.name: column.dtype for column in ESTIMATES if column.dtype == "Int64"})
    figures = table[list(SUPPRESSED)]
    return table.assign(**figures.mask(table["label"] == "niet_publiceren"))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries of plain Python values, with None where a value is missing."""
    columns = {}
    for name, column in table.items():
        values = np.array(column, dtype=object)
        values[pd.isna(column.array)] = None
        columns[str(name)] = values.tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
