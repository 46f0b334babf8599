"""From sub-dimensions to the measures of a concept: weighted means A m of direct estimates, with their errors.

With A (measures, D) the weights and V_a the sampling covariance of area a, the variance of a measure is the diagonal of
A V_a A'; a measure has an estimate where all its parts have one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from buurtsae.sparse import Floats, Ints

CANCELLED = 1e-10  # a share of a variance that is rounding; of answers on a scale a hundred thousandth of an sd


def combined(matrix: Floats, values: Floats) -> Floats:
    """Return weighted means of sub-dimensions, shape (n, measures); NaN where a part is missing."""
    missing = (~np.isfinite(values)).astype(float) @ (matrix.T > 0) > 0
    return np.where(missing, np.nan, np.nan_to_num(values) @ matrix.T)


def standard_errors(matrix: Floats, variance: Floats) -> Floats:
    """Return standard errors of weighted means of sub-dimensions, shape (n, measures); NaN where they are zero.

    Answers may make up for each other in every respondent: what is left of the variances of the parts is then rounding.
    """
    variance = np.nan_to_num(variance)
    total = np.einsum("md,ade,me->am", matrix, variance, matrix)
    apart = (np.sqrt(np.einsum("add->ad", variance)) @ matrix.T) ** 2  # if all parts erred alike
    return np.sqrt(np.where(total > CANCELLED * apart, total, np.nan))


def fewest(matrix: Floats, counts: Ints) -> Ints:
    """Return the smallest number of respondents over the parts of each measure, shape (n, measures)."""
    none = np.iinfo(np.int64).max
    return np.where(matrix > 0, counts[:, None, :], none).min(axis=2)


def long_table(
    labels: pd.Index, measures: list[str], direct: Floats, se: Floats, n_direct: Ints, n: Ints, n_eff: Floats
) -> pd.DataFrame:
    """Return arrays of shape (n, measures) as a table with a row per area and measure."""
    index = pd.MultiIndex.from_product([labels, measures], names=["area_code", "measure"])
    columns = {"direct": direct, "direct_se": se, "n_direct": n_direct, "n_respondents": n, "n_effective": n_eff}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index).reset_index()
