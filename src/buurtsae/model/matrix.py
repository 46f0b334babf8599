"""The model matrix of a formula on the covariates of the areas, and what is wrong with them, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.columns import STRUCTURAL
from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.formula import categories, matrix, parts, read, variables
from buurtsae.model.covariates import Provenance, prepare
from buurtsae.model.spec import AreaModel
from buurtsae.rank import dependent_columns
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from formulaic import Formula


TERMS = "terms of numeric covariates"
Theme = tuple[tuple[str, ...], Floats]  # names of covariates, and their columns (N, P)


@dataclass(frozen=True)
class Linear:
    """The covariates of a model on its areas: a formula that was read, and what it and themes are computed from.

    Attributes
    ----------
    formula : Formula
    table : DataFrame, shape (N, number of covariates)
        Standardised, but for categories; those of the formula, then those of themes.
    categories : set of str
    covariates : tuple of Provenance
    errors : DataFrame, shape (N, number of covariates)
        Standard deviations of what was filled in, 0 elsewhere.
    """

    formula: Formula
    table: pd.DataFrame
    categories: set[str]
    covariates: tuple[Provenance, ...]
    errors: pd.DataFrame

    @property
    def numeric(self) -> pd.DataFrame:
        """The standardised covariates."""
        return self.table.drop(columns=list(self.categories))


def covariates(model: AreaModel, areas: Areas) -> tuple[tuple[str, ...], Floats, Linear]:
    """Return names of coefficients, the (N, P) model matrix, and what it is computed from."""
    part = linear(model, areas)
    columns = matrix(part.formula, part.table, TERMS)
    x = np.asarray(columns, dtype=float)
    if len(wrong := columns.columns[~np.isfinite(x).all(axis=0)]):
        raise ModelError(
            "columns of the formula are not finite", shown(wrong), "numbers", "covariates are standardised: about 0"
        )
    check_columns(x.shape[1], int(areas.inhabited.sum()), f"{areas.noun} with residents")
    if dependent := dependent_columns(x[areas.inhabited]):
        raise ModelError(
            "columns of the formula are linear combinations of others",
            f"rank {x.shape[1] - len(dependent)} of {x.shape[1]} columns: "
            + "; ".join(shown(columns.columns[relation], 20) for relation in dependent),
            "independent columns",
            "leave one out" if len(dependent) == 1 else "leave one out of each",
        )
    return tuple(str(c) for c in columns.columns), x, part


def check_columns(columns: int, areas: int, kind: str) -> None:
    """Refuse more columns of a formula than there are areas of a kind."""
    if columns > areas:
        raise ModelError(
            f"the formula has more columns than there are {kind}",
            f"{columns} columns, {areas} areas",
            "fewer columns: their coefficients are not shrunk",
            'put covariates in a theme, Ridge("name", (...)) or [[model.terms]] type = "ridge"',
        )


def numeric(formula: str, areas: Areas) -> tuple[str, ...]:
    """Return the numeric covariates of the areas that a formula names; none where it cannot be read."""
    try:
        found = read(formula, "a formula", standardised=True)
    except ModelError:
        return ()
    grouped, _ = categories(found)
    return tuple(name for name in variables(found) if name in areas.covariates and name not in grouped)


def linear(model: AreaModel, areas: Areas) -> Linear:
    """Return the formula of a model, read, and its covariates, prepared; refuse what is wrong with them, at once."""
    side = "one right-hand side, such as 1 + x"
    formula = read(model.formula, side, standardised=True)
    if parts(formula):
        raise ModelError("the formula has several parts", cut(repr(model.formula)), side, "leave out `~` and `|`")
    problems, joined = Problems(), set(areas.covariates)
    inside, (grouped, numbers) = variables(formula), categories(formula)
    themes = [name for term in model.terms for name in term.theme]
    names = list(dict.fromkeys([*inside, *themes]))
    if len(names) < len(inside) + len(themes):
        twice = [name for name in names if [*inside, *themes].count(name) > 1]
        where, hint = "in the formula or in one theme", "leave them out of the others"
        problems.add("covariates are in the model twice", shown(twice), where, hint, ModelError)
    if text := [n for n in names if n in areas.frame and n not in (*joined, *STRUCTURAL)]:
        problems.add(
            "covariates are text",
            "; ".join(f"{n} ({shown(areas.frame[n].dropna().unique(), 3)})" for n in text[:5]),
            "columns of numbers",
            "correct the cells that are no number; of categories, join a column of their numbers and write C(column)",
            ModelError,
        )
    if both := sorted(grouped & numbers):
        problems.add(
            "covariates are both a category and a number",
            shown(both),
            "C(column), or the column",
            "choose one, or join the column twice under two names",
            ModelError,
        )
    if absent := [n for n in names if n not in joined and n not in text]:
        problems.add(
            "covariates are absent",
            shown(absent),
            shown(areas.covariates, 30),
            "correct the formula, or join the table that has them",
            ModelError,
        )
    problems.raise_if_any()
    graph = next((term.neighbours for term in model.terms if term.neighbours), None)
    table, errors, used = prepare(names, model.covariates, model.missing, areas, problems, grouped, graph)
    problems.raise_if_any()
    return Linear(formula, table, grouped, used, errors)
