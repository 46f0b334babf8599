"""The multivariate Fay-Herriot model: direct estimates of several measures in areas, their errors correlated.

    y_d = X_d b + u_d + e_d,   u_d ~ N(0, Sigma),  e_d ~ N(0, V_d),  V_d known, d = 1..m,

the EBLUP of an area's measures being X_d b + Sigma (Sigma + V_d)^{-1} (y_d - X_d b). Measures that an area lacks, or
areas that lack all, are predicted from what is seen: NaN in y. The families of Sigma stand in `covariances`.

References
----------
Gonzalez-Manteiga, W., Lombardia, M.J., Molina, I., Morales, D. and Santamaria, L. (2008). CSDA 52.
Benavent, R. and Morales, D. (2016). Multivariate Fay-Herriot models for small area estimation. CSDA 94.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.classical.columns import check_columns, covariates, numbers, read_formula
from buurtsae.classical.core import LIKELIHOODS, Likelihood, one_of
from buurtsae.classical.multivariate.covariances import STRUCTURES
from buurtsae.classical.multivariate.likelihood import Blocks, at, maximise
from buurtsae.classical.multivariate.results import MultivariateFayHerriotResults
from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.sparse import Floats, one_thread

Covariates = ArrayLike | Sequence[pd.DataFrame | ArrayLike]


@dataclass(frozen=True, init=False, repr=False)
class MultivariateFayHerriot:
    """A multivariate area-level model.

    Parameters
    ----------
    y : DataFrame or array_like, shape (m, D)
        Direct estimates, columns named by measure, rows by area code; NaN where there is none.
    x : DataFrame or array_like, shape (m, q), or a sequence of D of these
        Covariates, intercept included: the same for every measure, or each its own.
    sampling_variance : array_like, shape (m, D, D)
        Covariance matrices V_d of the sampling errors, in products of the units of y; what belongs to a missing
        estimate is not used.
    area : array_like, shape (m,), optional
        Codes of the areas; by default the index of y, or 0, 1, ...

    Attributes
    ----------
    y : DataFrame, shape (m, D)
    x : tuple of DataFrame, shapes (m, q)
        Of each measure.
    sampling_variance : ndarray, shape (m, D, D)

    Raises
    ------
    DataError, ModelError or ProblemsError
        With everything that is wrong: missing covariates, collinear or too many of them, covariances that are missing,
        not symmetric or not positive definite, with the areas.

    Examples
    --------
    >>> import numpy as np
    >>> y = [[1.0, 2.0], [2.0, 1.5], [4.0, 5.0], [3.0, 3.5], [5.0, 4.0]]
    >>> model = MultivariateFayHerriot(y, np.ones(5), np.tile([[0.2, 0.1], [0.1, 0.3]], (5, 1, 1)))
    >>> model
    MultivariateFayHerriot(y0, y1 of 5 areas)
    >>> model.fit("reml", structure="diagonal").eblup.round(2).loc[0].tolist()
    [1.23, 2.26]
    """

    y: pd.DataFrame
    x: tuple[pd.DataFrame, ...]
    sampling_variance: Floats

    def __init__(
        self, y: ArrayLike, x: Covariates, sampling_variance: ArrayLike, area: ArrayLike | None = None
    ) -> None:
        direct = covariates(y, "y")
        if not isinstance(y, pd.DataFrame):
            direct.columns = pd.Index([f"y{k}" for k in range(direct.shape[1])])
        shared = isinstance(x, pd.DataFrame) or (isinstance(x, np.ndarray) and x.ndim < 3)
        tables = [x] * direct.shape[1] if shared else list(cast(Sequence[ArrayLike], x))
        joined = [t.index for t in tables if isinstance(t, pd.DataFrame)] if isinstance(y, pd.DataFrame) else []
        codes = pd.Index(direct.index if area is None else area, name="area_code")
        if len(codes) != len(direct):
            got = f"y {len(direct)}, area {len(codes)}"
            raise DataError("the arrays do not have one row per area", got, "as many rows", "align them by area first")
        if wrong := [index for index in joined if len(index) == len(direct) and not index.equals(direct.index)]:
            raise DataError(
                "the covariates are of other areas than the direct estimates, or in another order",
                shown(wrong[0].symmetric_difference(direct.index)) or "the same in another order",
                "the same rows",
                "join them by code first",
            )
        object.__setattr__(self, "y", direct.set_axis(codes))
        object.__setattr__(self, "x", tuple(covariates(cast(ArrayLike, t)) for t in tables))
        object.__setattr__(self, "sampling_variance", numbers(sampling_variance, "sampling_variance"))
        self._check()

    @classmethod
    def from_formula(
        cls,
        formula: Sequence[str],
        data: pd.DataFrame,
        sampling_variance: Sequence[Sequence[str]] | ArrayLike,
        area: str | None = None,
    ) -> MultivariateFayHerriot:
        """Return the model of one formula per measure.

        Parameters
        ----------
        formula : sequence of str
            Such as ``["y1 ~ x1 + x2", "y2 ~ x2"]``.
        data : DataFrame
        sampling_variance : nested sequence of str, or array_like, shape (m, D, D)
            Columns of `data` with variances and covariances, written as a square, so that no order is mistaken.
        area : str, optional
            Column with the area codes; the index of `data` without it.

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        if area is not None:
            data = data.set_index(area)
        sides = [read_formula(one, data)[:2] for one in formula]
        names = [str(y.name or one.split("~")[0].strip()) for one, (y, _) in zip(formula, sides, strict=True)]
        y = pd.DataFrame({name: y for name, (y, _) in zip(names, sides, strict=True)})
        if np.asarray(sampling_variance).dtype.kind in "UO":
            square = [[str(name) for name in row] for row in np.asarray(sampling_variance)]
            if absent := sorted({name for row in square for name in row if name not in data.columns}):
                raise ModelError(
                    "columns of sampling covariances are absent",
                    shown(absent),
                    shown(data.columns, 30),
                    "correct the names",
                )
            columns = np.array([[data[name] for name in row] for row in square], dtype=float)
            sampling_variance = columns.transpose(2, 0, 1)
        return cls(y, [x for _, x in sides], sampling_variance)

    def __repr__(self) -> str:
        """Say what is modelled, of how many areas."""
        return f"MultivariateFayHerriot({shown(self.measures)} of {len(self.y)} areas)"

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(self.y.columns)

    @property
    def codes(self) -> pd.Index:
        """Codes of the areas."""
        return self.y.index

    @cached_property
    def names(self) -> pd.MultiIndex:
        """Measure and covariate of each coefficient."""
        pairs = [(measure, name) for measure, x in zip(self.measures, self.x, strict=True) for name in x.columns]
        return pd.MultiIndex.from_tuples(pairs, names=["measure", "covariate"])

    @cached_property
    def blocks(self) -> Blocks:
        """The data as the likelihood needs it."""
        starts = np.cumsum([0, *(x.shape[1] for x in self.x)])
        x = np.zeros((*self.y.shape, starts[-1]))
        for k, columns in enumerate(self.x):
            x[:, k, starts[k] : starts[k + 1]] = columns
        return Blocks.of(self.y.to_numpy(), self.sampling_variance, x)

    def fit(
        self,
        method: Likelihood = "reml",
        structure: Literal["unstructured", "diagonal", "homoscedastic", "ar1"] = "unstructured",
        maxiter: int = 100,
    ) -> MultivariateFayHerriotResults:
        """Estimate Sigma by (restricted) maximum likelihood, the coefficients by GLS.

        Parameters
        ----------
        method : {"reml", "ml"}
        structure : {"unstructured", "diagonal", "homoscedastic", "ar1"}
            Of Sigma.
        maxiter : int

        Raises
        ------
        ModelError
            If the method or the structure is unknown.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If Sigma is singular.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        one_of(structure, list(STRUCTURES), "structure")
        family, blocks = STRUCTURES[structure](len(self.measures)), self.blocks
        with one_thread():
            maximum = maximise(blocks, family, method == "reml", maxiter)
        here, half = maximum.here, np.linalg.inv(blocks.root)
        results = MultivariateFayHerriotResults(
            model=self,
            method=method,
            beta=half @ here.delta,
            cov_beta=half @ here.inverse @ half.T,
            llf=at(blocks, here.sigma, restricted=False).llf,
            converged=maximum.converged,
            trace=pd.DataFrame(maximum.trace, columns=["llf", "score"]),
            structure=structure,
            family=family,
            maximum=maximum,
        )
        results.warn()
        return results

    def _check(self) -> None:
        """Refuse what cannot be used: shapes and codes first, then values, all of each at once."""
        problems, (m, width), v = Problems(), self.y.shape, self.sampling_variance
        if v.shape != (m, width, width):
            problems.add(
                "the sampling covariances have another shape",
                str(v.shape),
                f"({m}, {width}, {width}): a square matrix for every area",
                "pass variances and covariances of all measures",
                ModelError,
            )
        if len(self.x) != width or any(len(x) != m for x in self.x):
            problems.add(
                "the covariates do not fit the direct estimates",
                f"{len(self.x)} tables of {sorted({len(x) for x in self.x})} rows",
                f"one table, or {width}, of {m} rows",
                "give a row for every area",
                ModelError,
            )
        if len(double := self.codes[self.codes.duplicated()]):
            problems.add("areas occur twice", shown(double), "each area once", "one row per area")
        if (endless := np.isinf(self.y.to_numpy()).any(axis=1)).any():
            problems.add(
                "direct estimates are infinite", shown(self.codes[endless]), "numbers, or missing", "correct them"
            )
        problems.raise_if_any()
        for measure, x in zip(self.measures, self.x, strict=True):
            seen = self.y[measure].notna().to_numpy() | ~np.isfinite(x.to_numpy()).all()
            of_measure = Problems()
            check_columns(x.to_numpy()[seen], list(x.columns), self.codes[seen], "areas", of_measure)
            for error in of_measure.found:
                error.what = f"{measure}: {error.what}"
                problems.collect(error)
        check_covariances(self.sampling_variance, self.y.notna().to_numpy(), self.codes, problems)
        problems.raise_if_any()


def check_covariances(v: Floats, seen: NDArray[np.bool_], codes: pd.Index, problems: Problems) -> None:
    """Record areas whose sampling covariances V_d (m, D, D) cannot be used, over what is seen (m, D)."""
    both = seen[:, :, None] & seen[:, None, :]
    lost = (~np.isfinite(v) & both).any(axis=(1, 2))
    v = np.where(both & np.isfinite(v), v, np.eye(v.shape[1]))
    uneven = (np.abs(v - v.transpose(0, 2, 1)) > 1e-8 * np.abs(v).max(axis=(1, 2), keepdims=True)).any((1, 2))
    eigenvalues = np.linalg.eigvalsh((v + v.transpose(0, 2, 1)) / 2)
    indefinite = eigenvalues[:, 0] <= 1e-12 * np.abs(eigenvalues).max(axis=1)
    for what, wrong, hint in (
        ("missing", lost, "complete them, or leave the direct estimate out (NaN)"),
        ("not symmetric", uneven & ~lost, "check which column is which"),
        ("not positive definite", indefinite & ~uneven & ~lost, "check the order of variances and covariances"),
    ):
        if wrong.any():
            problems.add(
                f"sampling covariances are {what} in {int(wrong.sum())} areas",
                shown(codes[wrong]),
                "a positive definite matrix for every area with direct estimates",
                hint,
                ModelError,
            )
