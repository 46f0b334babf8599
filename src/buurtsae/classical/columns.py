"""Model matrices of classical estimators: from a formula or arrays, with what is wrong with them, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.errors import DataError, ModelError, Problems, cut, shown
from buurtsae.formula import matrix, parts, read, variables
from buurtsae.rank import dependent_columns
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from formulaic import ModelSpec


class NotConvergedWarning(UserWarning):
    """A maximum that was not found; the message holds the trace of the search."""


class BoundaryWarning(UserWarning):
    """A variance component is estimated at the edge of what is possible, such as a variance of zero."""


def numbers(values: ArrayLike, name: str) -> Floats:
    """Return an array of numbers.

    Raises
    ------
    DataError
        If it holds anything else.
    """
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not numeric", str(error), "numbers", "convert it") from error


def covariates(x: ArrayLike, name: str = "x") -> pd.DataFrame:
    """Return covariates (n, p) or (n,) as a table of numbers, with columns x0, x1, ... where they have no names.

    Raises
    ------
    DataError
        If they are not numeric, or no table.
    """
    values = numbers(x, name)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise DataError(f"{name} is no table", f"shape {values.shape}", "(n, p)", "give a row for each, and a column")
    index, columns = (x.index, map(str, x.columns)) if isinstance(x, pd.DataFrame) else (None, None)
    return pd.DataFrame(values, index, columns or [f"x{j}" for j in range(values.shape[1])])


def read_formula(formula: str, data: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame, ModelSpec]:
    """Return the response and the model matrix of a formula, rows with missing values included.

    Parameters
    ----------
    formula : str
        With a response, as in R (formulaic): ``"y ~ x1 + x2"``.
    data : DataFrame

    Returns
    -------
    y : Series, shape (n,)
    x : DataFrame, shape (n, p)
        An empty model of n rows has p = 0.
    spec : ModelSpec
        Turns other tables into covariates; see `read_covariates`.

    Raises
    ------
    ModelError
        If the formula cannot be read, a column is absent, or a group of a covariate is missing.
    """
    want = "a response and one right-hand side, such as y ~ 1 + x"
    model = read(formula, want)
    if parts(model) != ("lhs", "rhs"):
        raise ModelError("the formula has other parts", cut(repr(formula)), want, "correct it")
    if absent := [n for n in variables(model) if n not in data.columns]:
        raise ModelError(
            "columns of the formula are absent",
            shown(absent),
            shown(data.columns, 30),
            "correct the formula, or join the table that has them",
        )
    _refuse_missing_groups(data, variables(model.rhs))
    matrices = matrix(model, data, want)
    if matrices.lhs.shape[1] != 1:
        raise ModelError("the response is not one column", shown(matrices.lhs.columns), "one", "choose one")
    x = pd.DataFrame(matrices.rhs).astype(float)
    return pd.Series(matrices.lhs.iloc[:, 0].astype(float)), x, matrices.rhs.model_spec


def read_covariates(spec: ModelSpec, data: pd.DataFrame) -> pd.DataFrame:
    """Return the covariates of another table, as a fitted formula has them.

    Raises
    ------
    ModelError
        If a column is absent, a group of a covariate is missing, or new.
    """
    names = variables(spec)
    if absent := [n for n in names if n not in data.columns]:
        raise ModelError("columns of the formula are absent", shown(absent), shown(names, 30), "join them")
    _refuse_missing_groups(data, names)
    return pd.DataFrame(matrix(spec, data, "values such as those of the fit")).astype(float)


def _refuse_missing_groups(data: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse missing values of covariates that are no numbers: their dummies would all be zero."""
    lost = {
        str(n): data.index[data[n].isna()]
        for n in sorted(names)
        if not pd.api.types.is_numeric_dtype(data[n]) and data[n].isna().any()
    }
    if lost:
        raise ModelError(
            "groups of covariates are missing",
            "; ".join(f"{name} ({shown(rows)})" for name, rows in lost.items()),
            "a group in each row",
            "complete them, or make them a group of their own",
        )


def check_columns(
    x: Floats, names: Sequence[str], rows: Sequence[object] | pd.Index, what: str, problems: Problems
) -> None:
    """Record covariates that are missing, too many, or linear combinations of others.

    Parameters
    ----------
    x : ndarray, shape (n, p)
    names : sequence of str, length p
    rows : sequence, length n
        What a row is called in a message.
    what : str
        What the rows are: "units", "areas".
    problems : Problems
    """
    if x.shape[1] == 0:
        problems.add("there are no covariates", "none", "at least an intercept", "add a column of ones", ModelError)
    if not check_finite(x, names, rows, what, problems) or x.shape[1] == 0:
        return
    if len(x) <= x.shape[1]:
        problems.add(
            f"there are too few {what}",
            f"{len(x)} {what}, {x.shape[1]} covariates",
            "more of them than covariates",
            "leave covariates out",
            ModelError,
        )
    elif groups := dependent_columns(x):
        problems.add(
            "covariates are linear combinations of others",
            "; ".join(shown((names[j] for j in group), 20) for group in groups),
            "independent columns",
            "leave one out" if len(groups) == 1 else "leave one out of each",
            ModelError,
        )


def check_finite(
    x: Floats, names: Sequence[str], rows: Sequence[object] | pd.Index, what: str, problems: Problems
) -> bool:
    """Record covariates that are missing or infinite, as `check_columns` does; return whether there are none."""
    lost = ~np.isfinite(x)
    for j in np.flatnonzero(lost.any(axis=0)).tolist():
        at = np.flatnonzero(lost[:, j]).tolist()
        problems.add(
            f"covariate {names[j]} is missing in {len(at)} {what}",
            shown(rows[i] for i in at),
            "a finite number for each",
            "complete it, or leave these out on purpose",
            ModelError,
        )
    return not lost.any()
