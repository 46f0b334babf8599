"""The model matrix of a formula on the covariates of the areas, and what is wrong with them, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.areas.columns import STRUCTURAL
from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.model.covariates import Provenance, prepare
from buurtsae.model.formula import categories, matrix, parts, read, variables
from buurtsae.model.rank import dependent_columns
from buurtsae.model.spec import AreaModel
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class Covariates:
    """The formula on the areas.

    Attributes
    ----------
    coefficients : tuple of str
        Names of the P columns of x.
    x : ndarray, shape (N, P)
    numeric : DataFrame, indexed by area code
        The numeric covariates, standardised.
    used : tuple of Provenance
    """

    coefficients: tuple[str, ...]
    x: Floats
    numeric: pd.DataFrame
    used: tuple[Provenance, ...]


def covariates(model: AreaModel, areas: Areas) -> Covariates:
    """Return the model matrix, and where the covariates come from."""
    side = "one right-hand side, such as 1 + x"
    formula = read(model.formula, side, standardised=True)
    if parts(formula):
        raise ModelError("the formula has several parts", cut(repr(model.formula)), side, "leave out `~` and `|`")
    problems, joined = Problems(), set(areas.covariates)
    names, (grouped, numbers) = variables(formula), categories(formula)
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
    table, used = prepare(names, model.covariates, model.missing, areas, problems, grouped)
    problems.raise_if_any()
    found = matrix(formula, table, "terms of numeric covariates")
    x = np.asarray(found, dtype=float)
    if len(wrong := found.columns[~np.isfinite(x).all(axis=0)]):
        raise ModelError(
            "columns of the formula are not finite", shown(wrong), "numbers", "covariates are standardised: about 0"
        )
    if dependent := dependent_columns(x[areas.inhabited]):
        raise ModelError(
            "columns of the formula are linear combinations of others",
            f"rank {x.shape[1] - len(dependent)} of {x.shape[1]} columns: "
            + "; ".join(shown(found.columns[columns], 20) for columns in dependent),
            "independent columns",
            "leave one out" if len(dependent) == 1 else "leave one out of each",
        )
    return Covariates(tuple(str(c) for c in found.columns), x, table.drop(columns=list(grouped)), used)
