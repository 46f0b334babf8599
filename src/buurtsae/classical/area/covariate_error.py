"""Known covariance matrices of the errors of covariates, per area: read from what an analyst has, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.sparse import Floats

CovariateError: TypeAlias = ArrayLike | Mapping[str, Any]  # a DataFrame as well
ROUNDING = 1e-10  # of the trace: the smallest eigenvalue of a semi-definite matrix


def read_covariate_error(
    errors: CovariateError, names: Sequence[str], codes: pd.Index, table: pd.DataFrame | None = None
) -> Floats:
    """Return the covariance matrices of the errors of the covariates.

    Parameters
    ----------
    errors : array_like, shape (m, p, p) or (m, p), or DataFrame or mapping
        Covariances, or variances of errors that are independent. A table or mapping has variances of the covariates
        that it names, the others being known without error: columns joined by area, arrays in the areas' order, one
        number for all areas, or the name of a column of `table`.
    names : sequence of str, length p
        Of the covariates.
    codes : Index, length m
        Of the areas.
    table : DataFrame, optional
        By area.

    Returns
    -------
    ndarray, shape (m, p, p)

    Raises
    ------
    DataError, ModelError or ProblemsError
        If names, areas or shapes differ, values are missing, or a matrix is no covariance; with the areas.
    """
    m, p, problems = len(codes), len(names), Problems()
    if isinstance(errors, (pd.DataFrame, Mapping)):
        if unknown := [c for c in errors if c not in names]:
            raise ModelError(
                "covariates with an error are not in the model", shown(unknown), shown(names, 30), "correct the names"
            )
        variances = np.zeros((m, p))
        for name in errors:
            variances[:, names.index(name)] = _column(name, errors[name], codes, table, problems)
        problems.raise_if_any()
        matrices = variances
    else:
        matrices = np.array(errors, dtype=float)
    if list(matrices.shape) == [m, p]:
        matrices = matrices[:, :, None] * np.eye(p)
    if list(matrices.shape) != [m, p, p]:
        raise DataError(
            "the covariate errors have another shape",
            str(matrices.shape),
            f"({m}, {p}, {p}), or ({m}, {p}) of variances: {shown(names, 30)}",
            "give every area a matrix, zero for covariates without error",
        )
    if (lost := ~np.isfinite(matrices).all(axis=(1, 2))).any():
        problems.add(
            "covariate errors are missing", shown(codes[lost]), "finite numbers for each area", "complete them"
        )
    at, rest = codes[~lost], matrices[~lost]
    if (odd := ~np.isclose(rest, rest.transpose(0, 2, 1), rtol=1e-8, atol=0).all(axis=(1, 2))).any():
        problems.add("covariate errors are not symmetric", shown(at[odd]), "covariance matrices", "correct them")
    least = np.linalg.eigvalsh((rest + rest.transpose(0, 2, 1)) / 2).min(axis=1)
    wrong = ~odd & (least < -ROUNDING * np.abs(np.trace(rest, axis1=1, axis2=2)))
    if wrong.any():
        problems.add(
            "covariate errors are not positive semi-definite",
            shown(f"{a}: smallest eigenvalue {v:g}" for a, v in zip(at[wrong], least[wrong], strict=True)),
            "variances of zero or more, and correlations between -1 and 1",
            "correct them",
        )
    problems.raise_if_any()
    return matrices


def _column(name: str, errors: object, codes: pd.Index, table: pd.DataFrame | None, problems: Problems) -> Floats:
    """Variances of one covariate by area; NaN where there is none."""
    if isinstance(errors, str):
        if table is None or errors not in table.columns:
            columns = "no table" if table is None else shown(table.columns, 30)
            problems.add(f"the column of the error of {name} is absent", errors, columns, "join it, or give values")
            return np.full(len(codes), np.nan)
        errors = table[errors]
    if isinstance(errors, pd.Series):
        if len(wrong := errors.index[~errors.index.isin(codes) | errors.index.duplicated()]):
            problems.add(
                f"errors of {name} have other areas", shown(wrong), "each area of the model once", "align them"
            )
            return np.full(len(codes), np.nan)
        return errors.reindex(codes).to_numpy(dtype=float)
    values = np.asarray(errors, dtype=float)
    if values.shape not in ((), (len(codes),)):
        problems.add(f"errors of {name} have another shape", str(values.shape), f"({len(codes)},)", "one for each area")
        return np.full(len(codes), np.nan)
    return np.broadcast_to(values, len(codes))
