"""Direct estimates, covariates and sampling variances per area, checked once for all area-level models.

Areas whose direct estimate is missing have no sample: they are predicted, and their sampling variance is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.classical.columns import check_columns, check_finite, covariates, numbers, read_covariates, read_formula
from buurtsae.errors import DataError, ModelError, Problems, cut, shown
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class AreaData:
    """What an area-level model is fitted to.

    Attributes
    ----------
    y : ndarray, shape (m,)
        Direct estimates; NaN for areas without a sample.
    x : ndarray, shape (m, p)
        Covariates.
    d : ndarray, shape (m,)
        Sampling variances of the direct estimates, in squared units of y.
    codes : Index, shape (m,)
        Codes of the areas, named `area_code`.
    names : tuple of str
        Of the covariates.
    response : str
    spec : object, optional
        Of formulaic: turns a table into covariates.
    """

    y: Floats
    x: Floats
    d: Floats
    codes: pd.Index
    names: tuple[str, ...]
    response: str = "y"
    spec: Any = None

    def __repr__(self) -> str:
        """Say what is modelled, of how many areas, by what."""
        areas = f"{len(self.codes)} areas, {int(self.sampled.sum())} with a direct estimate"
        return f"{cut(self.response)} of {areas}, by {shown(self.names)}"

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Which areas have a direct estimate."""
        return ~np.isnan(self.y)

    @property
    def observed(self) -> tuple[Floats, Floats, Floats]:
        """y, x and d of the areas with a direct estimate."""
        return self.y[self.sampled], self.x[self.sampled], self.d[self.sampled]

    def series(self, **values: Floats) -> dict[str, pd.Series]:
        """Return values (m,) by code, under their names."""
        return {name: pd.Series(v, index=self.codes, name=name) for name, v in values.items()}

    @classmethod
    def of(cls, y: ArrayLike, x: ArrayLike, sampling_variance: ArrayLike, area: ArrayLike | None = None) -> Self:
        """Check arrays in the same order, or pandas' series and frames, which are joined by code where y is one.

        Parameters
        ----------
        y : array_like, shape (m,)
            Direct estimates; NaN where an area has no sample.
        x : array_like, shape (m, p)
            Covariates, the column of ones included.
        sampling_variance : array_like, shape (m,)
        area : array_like, shape (m,), optional
            Codes; by default the index of `y`, or 0, 1, ...

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        response = str(y.name) if isinstance(y, pd.Series) and y.name is not None else "y"
        if isinstance(y, pd.Series):
            x, sampling_variance = joined(x, y.index, "x"), joined(sampling_variance, y.index, "sampling_variance")
        if area is None:
            area = y.index if isinstance(y, pd.Series) else pd.RangeIndex(np.size(y))
        table, d = covariates(x), numbers(sampling_variance, "sampling_variance")
        codes = pd.Index(area, name="area_code")
        data = cls(numbers(y, "y"), table.to_numpy(), d, codes, tuple(table.columns), response)
        data.check()
        return data

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, sampling_variance: str, area: str | None = None) -> Self:
        """Check the columns of a table that a formula names.

        Parameters
        ----------
        formula : str
            As in R, by formulaic: ``"y ~ x1 + C(group)"``.
        data : DataFrame
        sampling_variance : str
            Column of the sampling variances.
        area : str, optional
            Column of the codes; by default the index.

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        if absent := [c for c in (sampling_variance, *([area] if area else [])) if c not in data.columns]:
            raise DataError("columns are absent", shown(absent), shown(data.columns, 30), "join them")
        data = (data.set_index(area) if area else data).rename_axis("area_code")
        y, x, spec = read_formula(formula, data)
        d = data[sampling_variance].to_numpy(dtype=float)
        response = formula.split("~")[0].strip()
        areas = cls(y.to_numpy(), x.to_numpy(), d, data.index, tuple(map(str, x.columns)), response, spec)
        areas.check()
        return areas

    def check(self) -> None:
        """Refuse shapes, values and covariates that cannot be used, all at once."""
        problems, m = Problems(), len(self.codes)
        shapes = {"y": self.y.shape, "x": self.x.shape[:1], "sampling_variance": self.d.shape}
        if any(s != (m,) for s in shapes.values()):
            got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise DataError(
                "the arrays do not have one row per area", got, f"{m} rows in each", "align them by area first"
            )
        if len(double := self.codes[self.codes.duplicated()]):
            problems.add("areas occur twice", shown(double), "each area once", "one row per area")
        if np.isinf(self.y).any():
            problems.add(
                "direct estimates are infinite",
                shown(self.codes[np.isinf(self.y)]),
                "numbers, or missing for areas without a sample",
                "correct them",
            )
        check_columns(self.x, self.names, self.codes, "areas", problems)
        wrong = self.sampled & ~((self.d > 0) & np.isfinite(self.d))
        if wrong.any():
            values = (f"{a}: {v:g}" for a, v in zip(self.codes[wrong], self.d[wrong], strict=True))
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
            check_columns(self.x[self.sampled], self.names, self.codes[self.sampled], "areas with a sample", problems)
        problems.raise_if_any()

    def matrix(self, x: ArrayLike) -> tuple[Floats, pd.Index]:
        """Return the covariates of other areas (k, p) and their codes: from a table where the model has a formula.

        Raises
        ------
        ModelError or ProblemsError
            If covariates are absent, missing, infinite or too few.
        """
        return other_covariates(x, self.names, self.spec)


@dataclass(frozen=True, init=False, repr=False)
class AreaModel:
    """A model of areas.

    Attributes
    ----------
    data : AreaData
    """

    data: AreaData

    def __repr__(self) -> str:
        """Say what is modelled."""
        return f"{type(self).__name__}({self.data!r})"


@dataclass(frozen=True, init=False, repr=False)
class VarianceModel(AreaModel):
    """A model of areas that has nothing but direct estimates, covariates and sampling variances.

    Parameters and what is refused are those of `FayHerriot`; `reader` may refuse more.
    """

    reader: ClassVar[type[AreaData]] = AreaData

    def __init__(self, y: ArrayLike, x: ArrayLike, sampling_variance: ArrayLike, area: ArrayLike | None = None) -> None:
        object.__setattr__(self, "data", self.reader.of(y, x, sampling_variance, area))

    @classmethod
    def from_formula(cls, formula: str, data: pd.DataFrame, sampling_variance: str, area: str | None = None) -> Self:
        """Build the model from a table.

        Parameters
        ----------
        formula : str
            As in R, with the direct estimate itself: ``"y ~ x1 + x2"``.
        data : DataFrame
            One row per area.
        sampling_variance : str
            Column of the sampling variances.
        area : str, optional
            Column of the codes; by default the index.
        """
        model = object.__new__(cls)
        object.__setattr__(model, "data", cls.reader.from_formula(formula, data, sampling_variance, area))
        return model


def joined(part: ArrayLike, codes: pd.Index, name: str) -> ArrayLike:
    """Return a series or frame in the order of the codes; an array as it is.

    Raises
    ------
    DataError
        If it is of other areas.
    """
    if not isinstance(part, pd.Series | pd.DataFrame) or part.index.equals(codes):
        return part
    differing = part.index.symmetric_difference(codes)
    if len(differing) or not part.index.is_unique:
        raise DataError(
            f"{name} is of other areas than y",
            shown(differing) if len(differing) else shown(part.index[part.index.duplicated()]),
            f"the {len(codes)} of y, each once",
            "join them by code first",
        )
    return part.loc[codes]


def other_covariates(x: ArrayLike, names: Sequence[str], spec: Any) -> tuple[Floats, pd.Index]:
    """Return the covariates of other areas (k, p) and their codes, as `AreaData.matrix` does.

    Raises
    ------
    ModelError or ProblemsError
        If covariates are absent, missing, infinite or too few.
    """
    if spec is not None and isinstance(x, pd.DataFrame):
        table = read_covariates(spec, x)
    else:
        table = x if isinstance(x, pd.DataFrame) else pd.DataFrame(np.atleast_2d(np.asarray(x, dtype=float)))
        if table.shape[1] != len(names):
            raise ModelError(
                "the covariates have another shape",
                f"{table.shape[1]} columns",
                f"{len(names)}: {shown(names)}",
                "give the same columns",
            )
    problems, values = Problems(), table.to_numpy(dtype=float)
    check_finite(values, names, table.index, "areas", problems)
    problems.raise_if_any()
    return values, table.index.rename("area_code")
