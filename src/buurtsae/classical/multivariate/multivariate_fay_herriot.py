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

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning, check_columns, read_formula
from buurtsae.classical.multivariate.covariances import STRUCTURES
from buurtsae.classical.multivariate.likelihood import Blocks, maximise
from buurtsae.classical.multivariate.results import MultivariateFayHerriotResults
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats, one_thread


@dataclass(frozen=True)
class MultivariateFayHerriot:
    """A multivariate area-level model.

    Parameters
    ----------
    y : DataFrame or array-like, shape (m, D)
        Direct estimates, columns named by measure, rows by area code; NaN where there is none.
    x : DataFrame or array-like, shape (m, q), or a sequence of D of these
        Covariates, intercept included: the same for every measure, or each its own.
    sampling : array-like, shape (m, D, D)
        Covariances V_d of the sampling errors; what belongs to a missing estimate is not used.

    Raises
    ------
    ModelError or ProblemsError
        With everything that is wrong: missing covariates, collinear or too many of them, covariances that are missing,
        not symmetric or not positive definite, with the areas.

    Examples
    --------
    >>> square = [["v1", "v12"], ["v12", "v2"]]
    >>> model = MultivariateFayHerriot.from_formula(["y1 ~ x", "y2 ~ x"], data, square)
    >>> model.fit("reml", structure="unstructured").eblup
    """

    y: pd.DataFrame | ArrayLike
    x: pd.DataFrame | ArrayLike | Sequence[pd.DataFrame | ArrayLike]
    sampling: ArrayLike

    def __post_init__(self) -> None:
        problems = Problems()
        m, width = self.endog.shape
        v = self.covariances
        if v.shape != (m, width, width):
            problems.add(
                "the sampling covariances have another shape",
                str(v.shape),
                f"({m}, {width}, {width}): a square matrix for every area",
                "pass variances and covariances of all measures",
                ModelError,
            )
        if len(self.matrices) != width or any(len(x) != m for x in self.matrices):
            problems.add(
                "the covariates do not fit the direct estimates",
                f"{len(self.matrices)} tables of {sorted({len(x) for x in self.matrices})} rows",
                f"one table, or {width}, of {m} rows",
                "give a row for every area",
                ModelError,
            )
        labelled = [t for t in self._tables if isinstance(t, pd.DataFrame)] if isinstance(self.y, pd.DataFrame) else []
        if wrong := [t.index for t in labelled if not t.index.equals(self.areas)]:
            problems.add(
                "the covariates are of other areas than the direct estimates, or in another order",
                shown(wrong[0].symmetric_difference(self.areas)) or "the same in another order",
                "the same rows",
                "join them by code first",
            )
        if len(double := self.areas[self.areas.duplicated()]):
            problems.add("areas occur twice", shown(double), "each area once", "one row per area")
        if (endless := np.isinf(self.endog).any(axis=1)).any():
            problems.add(
                "direct estimates are infinite", shown(self.areas[endless]), "numbers, or missing", "correct them"
            )
        problems.raise_if_any()
        for k, (x, names) in enumerate(zip(self.matrices, self._columns, strict=True)):
            self._check_measure(k, x, names, problems)
        self._check_covariances(problems)
        problems.raise_if_any()

    @classmethod
    def from_formula(
        cls,
        formulas: Sequence[str],
        data: pd.DataFrame,
        sampling: Sequence[Sequence[str]] | ArrayLike,
        area: str | None = None,
    ) -> MultivariateFayHerriot:
        """Return the model of one formula per measure.

        Parameters
        ----------
        formulas : sequence of str
            Such as ``["y1 ~ x1 + x2", "y2 ~ x2"]``.
        data : DataFrame
        sampling : nested sequence of str, or array-like, shape (m, D, D)
            Columns of `data` with variances and covariances, written as a square, so that no order is mistaken.
        area : str, optional
            Column with the area codes; the index of `data` without it.

        Raises
        ------
        ModelError or ProblemsError
        """
        if area is not None:
            data = data.set_index(area)
        read = [read_formula(formula, data) for formula in formulas]
        y = pd.DataFrame({str(one.name or formulas[k].split("~")[0].strip()): one for k, (one, *_) in enumerate(read)})
        if np.asarray(sampling).dtype.kind in "UO":
            square = [[str(name) for name in row] for row in np.asarray(sampling)]
            if absent := sorted({name for row in square for name in row if name not in data.columns}):
                raise ModelError(
                    "columns of sampling covariances are absent",
                    shown(absent),
                    shown(data.columns, 30),
                    "correct the names",
                )
            sampling = np.array([[data[name] for name in row] for row in square], dtype=float).transpose(2, 0, 1)
        return cls(y, [x for _, x, _ in read], sampling)

    @cached_property
    def endog(self) -> Floats:
        """Direct estimates, shape (m, D)."""
        return np.atleast_2d(np.asarray(self.y, dtype=float).T).T

    @cached_property
    def covariances(self) -> Floats:
        """Sampling covariances, shape (m, D, D)."""
        return np.asarray(self.sampling, dtype=float)

    @cached_property
    def matrices(self) -> tuple[Floats, ...]:
        """Covariates of each measure, shapes (m, q)."""
        return tuple(np.atleast_2d(np.asarray(x, dtype=float).T).T for x in self._tables)

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        if isinstance(self.y, pd.DataFrame):
            return tuple(str(c) for c in self.y.columns)
        return tuple(f"y{k}" for k in range(self.endog.shape[1]))

    @cached_property
    def areas(self) -> pd.Index:
        """Codes of the areas."""
        return self.y.index if isinstance(self.y, pd.DataFrame) else pd.RangeIndex(len(self.endog))

    @cached_property
    def names(self) -> pd.MultiIndex:
        """Measure and covariate of each coefficient."""
        pairs = [(one, name) for one, names in zip(self.measures, self._columns, strict=True) for name in names]
        return pd.MultiIndex.from_tuples(pairs, names=["measure", "covariate"])

    @cached_property
    def blocks(self) -> Blocks:
        """The data as the likelihood needs it."""
        starts = np.cumsum([0, *(x.shape[1] for x in self.matrices)])
        x = np.zeros((*self.endog.shape, starts[-1]))
        for k, own in enumerate(self.matrices):
            x[:, k, starts[k] : starts[k + 1]] = own
        return Blocks.of(self.endog, self.covariances, x)

    def fit(
        self,
        method: Literal["reml", "ml"] = "reml",
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
            With the trace, if the maximum was not found.
        BoundaryWarning
            If Sigma is singular.
        """
        if method not in ("reml", "ml"):
            raise ModelError("the method is unknown", repr(method), "reml or ml", "choose one")
        if structure not in STRUCTURES:
            raise ModelError("the structure is unknown", repr(structure), ", ".join(STRUCTURES), "choose one")
        family = STRUCTURES[structure](self.endog.shape[1])
        with one_thread():
            found = maximise(self.blocks, family, method == "reml", maxiter)
        if not found.converged:
            steps = "; ".join(f"log-likelihood {llf:.6f}, score {s:.3g}" for llf, s in found.trace[-8:])
            warnings.warn(
                Note(
                    "the {method} estimate of Sigma ({structure}) did not converge; last steps: {steps}",
                    "de {method}-schatting van Sigma ({structure}) convergeerde niet; laatste stappen: {steps}",
                    method=method.upper(),
                    structure=structure,
                    steps=steps,
                ),
                NotConvergedWarning,
                stacklevel=2,
            )
        results = MultivariateFayHerriotResults(self, method, structure, family, found)
        if found.converged and results.at_boundary:
            warnings.warn(
                Note(
                    "Sigma ({structure}) is estimated singular by {method}: a variance is zero, or effects of measures "
                    "go together entirely\n  hint: structure='diagonal', or measures less alike",
                    "Sigma ({structure}) is singulier geschat met {method}: een variantie is nul, of effecten van "
                    "maten vallen samen\n  tip: structure='diagonal', of maten die minder op elkaar lijken",
                    structure=structure,
                    method=method,
                ),
                BoundaryWarning,
                stacklevel=2,
            )
        return results

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame | ArrayLike, ...]:
        shared = isinstance(self.x, pd.DataFrame) or (isinstance(self.x, np.ndarray) and self.x.ndim < 3)
        return (self.x,) * self.endog.shape[1] if shared else tuple(self.x)  # type: ignore[arg-type]

    @cached_property
    def _columns(self) -> tuple[tuple[str, ...], ...]:
        return tuple(
            tuple(str(c) for c in table.columns)
            if isinstance(table, pd.DataFrame)
            else tuple(f"x{j}" for j in range(x.shape[1]))
            for table, x in zip(self._tables, self.matrices, strict=True)
        )

    def _check_measure(self, k: int, x: Floats, names: tuple[str, ...], problems: Problems) -> None:
        own = Problems()
        seen = np.isfinite(self.endog[:, k])
        finite = np.isfinite(x).all()
        check_columns(x[seen] if finite else x, names, self.areas[seen] if finite else self.areas, "areas", own)
        for error in own.found:
            error.what = f"{self.measures[k]}: {error.what}"
            problems.collect(error)

    def _check_covariances(self, problems: Problems) -> None:
        v, seen = self.covariances, np.isfinite(self.endog)
        both = seen[:, :, None] & seen[:, None, :]
        lost = (~np.isfinite(v) & both).any(axis=(1, 2))
        own = np.where(both & np.isfinite(v), v, np.eye(v.shape[1]))
        uneven = (np.abs(own - own.transpose(0, 2, 1)) > 1e-8 * np.abs(own).max(axis=(1, 2), keepdims=True)).any((1, 2))
        eigenvalues = np.linalg.eigvalsh((own + own.transpose(0, 2, 1)) / 2)
        indefinite = eigenvalues[:, 0] <= 1e-12 * np.abs(eigenvalues).max(axis=1)
        for what, wrong, hint in (
            ("missing", lost, "complete them, or leave the direct estimate out (NaN)"),
            ("not symmetric", uneven & ~lost, "check which column is which"),
            ("not positive definite", indefinite & ~uneven & ~lost, "check the order of variances and covariances"),
        ):
            if wrong.any():
                problems.add(
                    f"sampling covariances are {what} in {int(wrong.sum())} areas",
                    shown(self.areas[wrong]),
                    "a positive definite matrix for every area with direct estimates",
                    hint,
                    ModelError,
                )
