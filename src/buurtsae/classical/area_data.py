"""Direct estimates, covariates and sampling variances per area, checked once for all area-level models.

Areas whose direct estimate is missing have no sample: they are predicted, and their sampling variance is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.model.rank import dependent_columns
from buurtsae.sparse import Floats


@dataclass(frozen=True)
class AreaData:
    """What an area-level model is fitted to.

    Attributes
    ----------
    y : ndarray, shape (m,)
        Direct estimates; NaN for areas without a sample.
    x : ndarray, shape (m, p)
        Covariates.
    d : ndarray, shape (m,)
        Sampling variances of the direct estimates.
    areas : Index
        Labels of the areas.
    names : tuple of str
        Of the covariates.
    response : str
    spec : object, optional
        Of formulaic: turns a table into covariates.
    """

    y: Floats
    x: Floats
    d: Floats
    areas: pd.Index
    names: tuple[str, ...]
    response: str = "y"
    spec: Any = None

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Which areas have a direct estimate."""
        return ~np.isnan(self.y)

    @classmethod
    def of(cls, y: ArrayLike, X: ArrayLike, sampling_variance: ArrayLike, areas: ArrayLike | None = None) -> AreaData:
        """Check arrays, or pandas' series and frames, in the same order.

        Parameters
        ----------
        y : array_like, shape (m,)
            Direct estimates; NaN where an area has no sample.
        X : array_like, shape (m, p)
            Covariates, the column of ones included.
        sampling_variance : array_like, shape (m,)
        areas : array_like, shape (m,), optional
            Labels; by default the index of `y`, or 0, 1, ...

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        response = str(y.name) if isinstance(y, pd.Series) and y.name is not None else "y"
        if areas is None:
            areas = y.index if isinstance(y, pd.Series) else pd.RangeIndex(np.size(y))
        names = tuple(str(c) for c in X.columns) if isinstance(X, pd.DataFrame) else ()
        x = np.array(X, dtype=float)
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim == 2 and not names:
            names = tuple(f"x{k}" for k in range(x.shape[1]))
        data = cls(
            np.array(y, dtype=float), x, np.array(sampling_variance, dtype=float), pd.Index(areas), names, response
        )
        data.check()
        return data

    @classmethod
    def from_formula(
        cls, formula: str, data: pd.DataFrame, sampling_variance: str, areas: str | None = None
    ) -> AreaData:
        """Check the columns of a table that a formula names.

        Parameters
        ----------
        formula : str
            As in R, by formulaic: ``"y ~ x1 + C(group)"``.
        data : DataFrame
        sampling_variance : str
            Column of the sampling variances.
        areas : str, optional
            Column of the labels; by default the index.

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        from formulaic import Formula
        from formulaic.errors import FormulaicError

        shape = "one response and its covariates, such as y ~ x1 + x2"
        try:
            read = Formula(formula)
            needed = {s: sorted(getattr(read, s).required_variables) for s in ("lhs", "rhs")}
        except (FormulaicError, AttributeError) as error:
            raise ModelError("the formula cannot be used", repr(formula), shape, "correct it") from error
        wanted = [*needed["lhs"], *needed["rhs"], sampling_variance, *([areas] if areas else [])]
        if absent := [c for c in dict.fromkeys(wanted) if c not in data.columns]:
            raise DataError(
                "columns are absent", shown(absent), shown(data.columns, 30), "correct the formula, or join them"
            )
        labels = pd.Index(data[areas]) if areas else data.index
        _refuse_missing(data[needed["rhs"]], labels)
        try:
            left = read.lhs.get_model_matrix(data, na_action="ignore")
            right = read.rhs.get_model_matrix(data, na_action="ignore")
        except FormulaicError as error:
            raise ModelError("the formula cannot be computed", str(error), shape, "correct it") from error
        y = np.asarray(left, dtype=float)
        if y.shape[1] != 1:
            raise ModelError("the formula has no single response", shown(left.columns), shape, "correct it")
        d = data[sampling_variance].to_numpy(dtype=float)
        names = tuple(str(c) for c in right.columns)
        found = cls(
            y[:, 0], np.asarray(right, dtype=float), d, labels, names, str(left.columns[0]), right.model_spec
        )
        found.check()
        return found

    def check(self) -> None:
        """Refuse shapes, values and covariates that cannot be used, all at once."""
        problems, m = Problems(), len(self.areas)
        shapes = {"y": self.y.shape, "X": self.x.shape[:1], "sampling_variance": self.d.shape}
        if self.x.ndim != 2 or any(s != (m,) for s in shapes.values()):
            got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise DataError(
                "the arrays do not have one row per area", got, f"{m} rows in each", "align them by area first"
            )
        if len(double := self.areas[self.areas.duplicated()]):
            problems.add("areas occur twice", shown(double), "each area once", "one row per area")
        if np.isinf(self.y).any():
            problems.add(
                "direct estimates are infinite",
                shown(self.areas[np.isinf(self.y)]),
                "numbers, or missing for areas without a sample",
                "correct them",
            )
        try:
            _refuse_missing(pd.DataFrame(self.x, columns=self.names), self.areas)
        except DataError as error:
            problems.collect(error)
        if np.isinf(self.x).any():
            columns = [n for n, bad in zip(self.names, np.isinf(self.x).any(axis=0), strict=True) if bad]
            problems.add("covariates are infinite", shown(columns), "finite numbers", "correct them, or leave them out")
        wrong = self.sampled & ~((self.d > 0) & np.isfinite(self.d))
        if wrong.any():
            values = (f"{a}: {v:g}" for a, v in zip(self.areas[wrong], self.d[wrong], strict=True))
            problems.add(
                "sampling variances are not positive",
                shown(values),
                "positive numbers for all areas with a direct estimate",
                "smooth the variances, or make the direct estimates of these areas missing",
            )
        problems.raise_if_any()
        self._check_rank()

    def _check_rank(self) -> None:
        """Refuse too few areas, and covariates that depend on each other."""
        n, p = int(self.sampled.sum()), self.x.shape[1]
        if n <= p:
            raise ModelError(
                "there are too few areas with a direct estimate",
                f"{n} areas for {p} coefficients",
                f"at least {p + 1} areas",
                "use fewer covariates",
            )
        if dependent := dependent_columns(self.x[self.sampled]):
            raise ModelError(
                "covariates are linear combinations of others",
                "; ".join(shown([self.names[k] for k in columns], 20) for columns in dependent),
                "independent covariates in the areas with a direct estimate",
                "leave one out" if len(dependent) == 1 else "leave one out of each",
            )

    def matrix(self, X: ArrayLike) -> tuple[Floats, pd.Index]:
        """Return the covariates of other areas and their labels: from a table where the model has a formula.

        Raises
        ------
        DataError
            If covariates are missing, infinite or too few.
        """
        labels = X.index if isinstance(X, pd.DataFrame) else None
        if self.spec is not None and isinstance(X, pd.DataFrame):
            needed = sorted(str(v) for v in self.spec.required_variables)
            if absent := [c for c in needed if c not in X.columns]:
                raise DataError("columns are absent", shown(absent), shown(needed, 30), "join them")
            _refuse_missing(X[needed], X.index)
            x = np.asarray(self.spec.get_model_matrix(X, na_action="ignore"), dtype=float)
        else:
            x = np.atleast_2d(np.array(X, dtype=float))
        if x.shape[1:] != (len(self.names),):
            raise DataError(
                "the covariates have another shape",
                f"{x.shape[1]} columns",
                f"{len(self.names)}: {shown(self.names)}",
                "give the same columns",
            )
        labels = pd.RangeIndex(len(x)) if labels is None else labels
        _refuse_missing(pd.DataFrame(x, columns=self.names), labels)
        return x, labels


def _refuse_missing(table: pd.DataFrame, areas: pd.Index) -> None:
    """Name the covariates with missing values, and where."""
    missing = table.isna()
    if not missing.to_numpy().any():
        return
    where = (f"{name} ({shown(areas[missing[name]], 3)})" for name in table.columns[missing.any()])
    raise DataError(
        "covariates are missing",
        shown(where),
        "a value for every area, also for those without a sample",
        "complete or impute them, or leave these areas out",
    )
