"""Model matrices of classical estimators: from a formula or arrays, with what is wrong with them, by name.

A column is a linear combination of those before it where the rest of its projection on them is below 1e-8 of its
length (Gram-Schmidt on R of X = QR, which has the same linear relations as X).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from buurtsae.errors import ModelError, Problems, shown
from buurtsae.sparse import Floats


class NotConvergedWarning(UserWarning):
    """A maximum that was not found; the message holds the trace of the search."""


def read_formula(formula: str, data: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
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

    Raises
    ------
    ModelError
        If the formula cannot be read, or a column is absent.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.formula import SimpleFormula

    want = "a response and one right-hand side, such as y ~ 1 + x"
    try:
        read = Formula(formula)
    except FormulaicError as error:
        raise ModelError("the formula cannot be read", _plain(error), want, "correct it") from error
    if not all(isinstance(getattr(read, side, None), SimpleFormula) for side in ("lhs", "rhs")):
        raise ModelError("the formula has other parts", repr(formula), want, "correct it")
    if absent := sorted(str(n) for n in read.required_variables if n not in data.columns):
        raise ModelError(
            "columns of the formula are absent",
            shown(absent),
            shown(data.columns, 30),
            "correct the formula, or join the table that has them",
        )
    try:
        matrices = read.get_model_matrix(data, na_action="ignore")
    except FormulaicError as error:
        raise ModelError("the formula cannot be computed", _plain(error), want, "correct it") from error
    if matrices.lhs.shape[1] != 1:
        raise ModelError("the response is not one column", shown(matrices.lhs.columns), "one", "choose one")
    x = pd.DataFrame(matrices.rhs).astype(float)
    return pd.Series(matrices.lhs.iloc[:, 0].astype(float)), x


def check_columns(x: Floats, names: Sequence[str], rows: Sequence[object], what: str, problems: Problems) -> None:
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
    if x.shape[1] == 0:
        problems.add("there are no covariates", "none", "at least an intercept", "add a column of ones", ModelError)
    if lost.any() or x.shape[1] == 0:
        return
    if len(x) <= x.shape[1]:
        problems.add(
            f"there are too few {what}",
            f"{len(x)} {what}, {x.shape[1]} covariates",
            "more of them than covariates",
            "leave covariates out",
            ModelError,
        )
    elif found := dependent(x):
        problems.add(
            "covariates are linear combinations of others",
            "; ".join(shown((names[j] for j in group), 20) for group in found),
            "independent columns",
            "leave one out" if len(found) == 1 else "leave one out of each",
            ModelError,
        )


def dependent(x: Floats) -> list[list[int]]:
    """Return the columns of each linear relation: a column that those before it explain, after those it needs."""
    r = np.linalg.qr(x, mode="r")
    scale = np.linalg.norm(r, axis=0)
    r = r / np.where(scale > 0, scale, 1.0)
    basis, kept, found = np.zeros((len(r), 0)), list[int](), list[list[int]]()
    for j in range(r.shape[1]):
        rest = r[:, j] - basis @ (basis.T @ r[:, j])
        rest -= basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size > 1e-8:
            basis = np.column_stack([basis, rest / size])
            kept.append(j)
            continue
        weights = np.linalg.lstsq(r[:, kept], r[:, j], rcond=None)[0] if kept else np.zeros(0)
        found.append([*(k for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6), j])
    return found


def _plain(error: Exception) -> str:
    """A message of formulaic on one line, without the colours in which it marks the place."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m|[⧛⧚]", "", str(error)).split())
