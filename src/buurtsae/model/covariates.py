r"""Covariates: objective figures per buurt, where they come from, and how they enter the model.

A covariate x is transformed, f(x), then standardised over inhabited buurten where it is known, (f(x) - mean) / sd, and
predicted where it is missing (`imputation`). A buurt without residents has no say in the estimates: its missing
covariates become the mean, 0. Percentages p go through
logit((p + 1/2) / 101), finite at 0 and 100. What the formula makes a category is not standardised, and
without residents the commonest.

What a column means is looked up in the codebooks of objective sources. Figures that were themselves modelled (the
Leefbaarometer, RIVM's health figures) are used with a warning; figures on origin only when asked for by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from annotated_types import MaxLen

from buurtsae.areas.areas import Areas
from buurtsae.areas.codes import CBS
from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.model.imputation import impute
from buurtsae.notes import Note
from buurtsae.sparse import Floats
from buurtsae.survey.codebook import Codebook, Indicator, available
from buurtsae.tables import as_number

Transform = Literal["none", "log", "log1p", "sqrt", "logit"]
Missing = Literal["refuse", "impute"]

TRANSFORMS: Mapping[str, tuple[Callable[[Floats], Floats], float, float, str]] = {  # function, and where it is finite
    "none": (lambda x: x, -np.inf, np.inf, "any number"),
    "log": (np.log, np.nextafter(0, 1), np.inf, "above 0"),
    "log1p": (np.log1p, 0.0, np.inf, "0 or more"),
    "sqrt": (np.sqrt, 0.0, np.inf, "0 or more"),
    "logit": (lambda x: np.log((x + 0.5) / (100.5 - x)), 0.0, 100.0, "percentages, 0 to 100"),
}
ORIGIN = re.compile(r"herkomst|migrati|westers|allocht|autocht|nationalit|geboren_buiten|buitenland", re.IGNORECASE)


@dataclass(frozen=True)
class Covariate:
    """What the user says about a covariate; the codebooks say the rest.

    Parameters
    ----------
    name : str
        Column of the areas.
    source : str
        Where it comes from: an objective codebook, or your own words. By default the codebook that knows the column.
    transform : {"none", "log", "log1p", "sqrt", "logit"}
    missing : {"refuse", "impute"}, optional
        Instead of the model's policy.
    modelled : bool
        The figure was itself estimated by a model; known for what the codebooks describe.
    sensitive : bool
        Required for figures on origin, migration background or nationality: they are never used unasked.

    Raises
    ------
    ModelError
        On an unknown transformation or `missing`.

    Examples
    --------
    >>> Covariate("afstand_station", transform="log1p").transform
    'log1p'
    """

    name: str
    source: Annotated[str, MaxLen(1000)] = ""
    transform: Transform = "none"
    missing: Missing | None = None
    modelled: bool = False
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise ModelError(
                f"the transformation of covariate {self.name} is unknown",
                repr(self.transform),
                ", ".join(TRANSFORMS),
                "choose one of these",
            )
        if self.missing not in (None, "refuse", "impute"):
            raise ModelError(
                f"`missing` of covariate {self.name} is unknown", repr(self.missing), "refuse or impute", "choose one"
            )


@dataclass(frozen=True)
class Provenance:
    """A covariate as it was used: where it comes from and what was done to it.

    Attributes
    ----------
    name, source, about, unit, transform : str
    modelled, sensitive : bool
    mean, sd : float
        Over inhabited buurten, after the transformation; what one standard deviation is.
    imputed : tuple of str
        Buurten where it was missing and filled in.
    error : float, optional
        How far a value that was filled in may be off, in standard deviations of the covariate: root mean square.
    """

    name: str
    source: str
    about: str
    unit: str
    transform: str
    modelled: bool
    sensitive: bool
    mean: float
    sd: float
    imputed: tuple[str, ...]
    error: float | None = None

    @property
    def notes(self) -> list[Note]:
        """What an analyst must know about it."""
        notes = []
        if self.modelled:
            notes.append(
                Note(
                    "covariate {name} ({source}) was itself estimated by a model, from surveys and registers: "
                    "agreement of the estimates with it is no independent evidence, and its errors enter them",
                    "kenmerk {name} ({source}) is zelf een modelschatting uit enquêtes en registers: dat de "
                    "schattingen ermee overeenkomen is geen onafhankelijk bewijs, en de fouten erin werken door",
                    name=self.name, source=self.source,
                )
            )  # fmt: skip
        if self.sensitive:
            notes.append(
                Note(
                    "covariate {name} is about origin, used because the model says so: its coefficient is an "
                    "association between areas and says nothing about persons",
                    "kenmerk {name} gaat over herkomst en wordt gebruikt omdat het model erom vraagt: de coëfficiënt "
                    "is een samenhang tussen gebieden en zegt niets over personen",
                    name=self.name,
                )
            )
        if self.imputed:
            notes.append(
                Note(
                    "category {name} imputed by the median in {n} areas: {codes}",
                    "indeling {name} ontbreekt in {n} gebieden en is daar vervangen door de mediaan: {codes}",
                    name=self.name,
                    n=len(self.imputed),
                    codes=self.imputed,
                )
                if self.error is None
                else Note(
                    "covariate {name} is missing in {n} areas and predicted there from what else is known, give or "
                    "take {error} standard deviations, which their intervals hold: {codes}",
                    "kenmerk {name} ontbreekt in {n} gebieden en is daar voorspeld uit wat er verder bekend is, op "
                    "{error} standaardafwijking na, waar hun intervallen rekening mee houden: {codes}",
                    name=self.name,
                    n=len(self.imputed),
                    codes=self.imputed,
                    error=f"{self.error:.2f}",
                )
            )
        return notes

    def record(self) -> dict[str, Any]:
        """Return it as a row for a report."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"imputed": len(self.imputed)}


def known(name: str) -> tuple[Codebook, Indicator] | None:
    """Return the objective codebook of the package that describes a column, and its indicator.

    A number at the end of a name (a year, or StatLine's number of the topic) is no part of it.
    """
    return _columns().get(name.lower()) or _columns().get(re.sub(r"_\d+$", "", name.lower()))


@cache
def _columns() -> dict[str, tuple[Codebook, Indicator]]:
    books = [Codebook.load(source) for source in available()]
    return {c.lower(): (book, i) for book in books for i in book.indicators for c in (i.name, *i.columns)}


def prepare(
    names: list[str],
    declared: tuple[Covariate, ...],
    policy: Missing,
    areas: Areas,
    problems: Problems,
    grouped: Set[str] = frozenset(),
    graph: Graph | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[Provenance, ...]]:
    """Transform, fill in and standardise covariates; record what is wrong with them.

    Parameters
    ----------
    names : list of str
        Columns of the areas that the formula and themes need.
    declared : tuple of Covariate
    policy : {"refuse", "impute"}
        For missing values of covariates that say nothing about it.
    areas : Areas
    problems : Problems
    grouped : set of str
        Those that are categories in the formula.
    graph : Graph, optional
        Neighbours, of whom a missing value takes something.

    Returns
    -------
    table, errors : DataFrame, shape (N, len(names))
        Values, and the standard deviations of what was filled in, 0 elsewhere and of categories.
    provenance : tuple of Provenance
    """
    declaration = {c.name: c for c in declared}
    if unused := sorted(set(declaration) - set(names)):
        problems.add(
            "covariates are described but not in the model", shown(unused), shown(names), "add or remove", ModelError
        )
    columns, provenance = dict[str, pd.Series](), list[Provenance]()
    for name in names:
        column = _one(declaration.get(name, Covariate(name)), name in grouped, policy, areas, problems)
        if column is not None:
            columns[name] = column[0]
            provenance.append(column[1])
    table = pd.DataFrame(columns, index=areas.codes)
    errors, numeric = (
        pd.DataFrame(0.0, index=table.index, columns=table.columns),
        [n for n in columns if n not in grouped],
    )
    if any(used.imputed for used in provenance if used.name in numeric):
        gaps = {n: table.index.isin(used.imputed) for n, used in zip(columns, provenance, strict=True)}
        missing = pd.DataFrame(gaps, index=table.index)
        table[numeric], errors[numeric] = impute(table[numeric], missing[numeric], areas, graph)
        size = np.sqrt((errors**2).sum() / np.maximum(missing.sum().to_numpy(), 1))
        provenance = [replace(used, error=size[used.name]) if used.name in numeric else used for used in provenance]
    return table, errors, tuple(provenance)


def _one(
    c: Covariate, category: bool, policy: Missing, areas: Areas, problems: Problems
) -> tuple[pd.Series, Provenance] | None:
    entry, live = known(c.name) if areas.system == CBS else None, areas.inhabited
    sensitive = bool(entry and entry[1].sensitive) or bool(ORIGIN.search(c.name))
    if sensitive and not c.sensitive:
        problems.add(
            f"covariate {c.name} is about origin",
            "no `sensitive = true`",
            "an explicit choice: such figures are never used unasked",
            f'leave it out, or add [[covariates]] with name = "{c.name}" and sensitive = true',
            ModelError,
        )
        return None
    try:
        values = as_number(areas.frame[c.name], secret=areas.system.secret)
    except (ValueError, TypeError) as error:
        problems.add(f"covariate {c.name} is no number", str(error), "numbers", "correct the values", ModelError)
        return None
    function, low, high, range_ = TRANSFORMS[c.transform]
    if (outside := live & values.notna() & ~values.between(low, high)).any():
        problems.add(
            f"covariate {c.name} cannot be transformed by {c.transform}",
            f"{shown(values[outside].unique())} in {shown(areas.codes[outside])}",
            range_,
            "choose another transformation, or correct the values",
            ModelError,
        )
        return None
    values = pd.Series(function(values.where(values.between(low, high)).to_numpy()), index=values.index)
    missing = values.isna() & live
    if missing.any() and (c.missing or policy) == "refuse":
        problems.add(
            f"covariate {c.name} is missing in {int(missing.sum())} {areas.noun} with residents",
            shown(areas.codes[missing]),
            "a value for each",
            'set `missing = "impute"` to fill in and flag, choose another covariate, or complete the table',
            ModelError,
        )
    seen = values.where(live)
    mean, sd = float(seen.mean()), float(seen.std(ddof=0))
    if not sd > 0:
        problems.add(
            f"covariate {c.name} does not vary", f"standard deviation {sd:g}", "> 0", "leave it out", ModelError
        )
        return None
    book, indicator = entry or (None, None)
    used = Provenance(
        c.name,
        c.source or (book.nl if book else "unknown"),
        indicator.about if indicator else "",
        indicator.unit if indicator else "",
        c.transform,
        c.modelled or bool(indicator and indicator.modelled) or bool(book and book.modelled),
        sensitive or c.sensitive,
        mean,
        sd,
        tuple(areas.codes[missing]),
    )
    if category:  # 1 or 2, not 1.5
        median = seen.groupby(areas.parents(areas.parent(areas.base))).transform("median").fillna(seen.median())
        categories = np.sort(seen.dropna().unique())
        lower = pd.Series(categories[np.searchsorted(categories, median, side="right") - 1], index=median.index)
        filled = seen.where(~missing, lower)
        return filled.fillna(filled.mode().iloc[0]), used
    return ((values - mean) / sd).fillna(0.0), used
