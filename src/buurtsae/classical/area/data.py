"""Direct estimates, covariates and sampling variances per area, checked once for all area-level models.

Areas whose direct estimate is missing have no sample: they are predicted, and their sampling variance is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.classical.columns import check_columns, check_finite, read_covariates, read_formula
from buurtsae.errors import DataError, ModelError, Problems, shown
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
    def of(cls, y: ArrayLike, X: ArrayLike, sampling_variance: ArrayLike, areas: ArrayLike | None = None) -> Self:
        """Check arrays in the same order, or pandas' series and frames, which are joined by label where y is one.

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
        if isinstance(y, pd.Series):
            X, sampling_variance = joined(X, y.index, "X"), joined(sampling_variance, y.index, "sampling_variance")
        if areas is None:
            areas = y.index if isinstance(y, pd.Series) else pd.RangeIndex(np.size(y))
        names = tuple(str(c) for c in X.columns) if isinstance(X, pd.DataFrame) else ()
        x = numbers(X, "X")
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim == 2 and not names:
            names = tuple(f"x{k}" for k in range(x.shape[1]))
        d = numbers(sampling_variance, "sampling_variance")
        data = cls(numbers(y, "y"), x, d, pd.Index(areas), names, response)
        data.check()
        return data

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, sampling_variance: str, areas: str | None = None) -> Self:
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
        if absent := [c for c in (sampling_variance, *([areas] if areas else [])) if c not in data.columns]:
            raise DataError("columns are absent", shown(absent), shown(data.columns, 30), "join them")
        data = data.set_index(areas) if areas else data
        y, x, spec = read_formula(formula, data)
        d = data[sampling_variance].to_numpy(dtype=float)
        response = formula.split("~")[0].strip()
        found = cls(y.to_numpy(), x.to_numpy(), d, data.index, tuple(map(str, x.columns)), response, spec)
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
        check_columns(self.x, self.names, self.areas, "areas", problems)
        wrong = self.sampled & ~((self.d > 0) & np.isfinite(self.d))
        if wrong.any():
            values = (f"{a}: {v:g}" for a, v in zip(self.areas[wrong], self.d[wrong], strict=True))
            problems.add(
                "sampling variances are not positive",
                shown(values),
                "positive numbers for all areas with a direct estimate",
                "smooth the variances, or make the direct estimates of these areas missing",
            )
        n, p = int(self.sampled.sum()), self.x.shape[1]
        if n <= p:
            problems.add(
                "there are too few areas with a direct estimate",
                f"{n} areas for {p} coefficients",
                f"at least {p + 1} areas",
                "use fewer covariates",
                ModelError,
            )
        elif not problems.found:
            check_columns(self.x[self.sampled], self.names, self.areas[self.sampled], "areas with a sample", problems)
        problems.raise_if_any()

    def matrix(self, X: ArrayLike) -> tuple[Floats, pd.Index]:
        """Return the covariates of other areas and their labels: from a table where the model has a formula.

        Raises
        ------
        ModelError or ProblemsError
            If covariates are absent, missing, infinite or too few.
        """
        if self.spec is not None and isinstance(X, pd.DataFrame):
            table = read_covariates(self.spec, X)
        else:
            table = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.atleast_2d(np.asarray(X, dtype=float)))
            if table.shape[1] != len(self.names):
                raise ModelError(
                    "the covariates have another shape",
                    f"{table.shape[1]} columns",
                    f"{len(self.names)}: {shown(self.names)}",
                    "give the same columns",
                )
        problems, x = Problems(), table.to_numpy(dtype=float)
        check_finite(x, self.names, table.index, "areas", problems)
        problems.raise_if_any()
        return x, table.index


@dataclass(frozen=True, init=False)
class OfAreas:
    """A model of areas that has nothing but direct estimates, covariates and sampling variances.

    Parameters and what is refused are those of `FayHerriot`; `reader` may refuse more.

    Attributes
    ----------
    data : AreaData
    """

    data: AreaData
    reader: ClassVar[type[AreaData]] = AreaData

    def __init__(
        self, y: ArrayLike, X: ArrayLike, sampling_variance: ArrayLike, areas: ArrayLike | None = None
    ) -> None:
        object.__setattr__(self, "data", self.reader.of(y, X, sampling_variance, areas))

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, sampling_variance: str, areas: str | None = None) -> Self:
        """Build the model from a table.

        Parameters
        ----------
        formula : str
            As in R, with the direct estimate itself: ``"y ~ x1 + x2"``.
        data : DataFrame
            One row per area.
        sampling_variance : str
            Column of the sampling variances.
        areas : str, optional
            Column of the labels; by default the index.
        """
        made = object.__new__(cls)
        object.__setattr__(made, "data", cls.reader.from_formula(formula, data, sampling_variance, areas))
        return made


def joined(part: ArrayLike, areas: pd.Index, name: str) -> ArrayLike:
    """Return a series or frame in the order of the areas; an array as it is.

    Raises
    ------
    DataError
        If it is of other areas.
    """
    if not isinstance(part, pd.Series | pd.DataFrame) or part.index.equals(areas):
        return part
    other = part.index.symmetric_difference(areas)
    if len(other) or not part.index.is_unique:
        raise DataError(
            f"{name} is of other areas than y",
            shown(other) if len(other) else shown(part.index[part.index.duplicated()]),
            f"the {len(areas)} of y, each once",
            "join them by code first",
        )
    return part.loc[areas]


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
