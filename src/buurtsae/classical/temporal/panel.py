r"""Direct estimates per area and year, checked once for all models over years; rows may be absent, estimates missing.

Rows are spread over a grid of areas (in the order of the data) and years (ascending). What is not in the data has no
covariates and is not predicted; what is in it without a direct estimate is. Time runs in steps of the greatest common
divisor of the gaps between years: of 2012, 2016 and 2024 a step is four years, and an autocorrelation is that over a
step. Its sign cannot be told where no area is seen an odd number of steps apart: then it is taken as positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from buurtsae.classical.area.data import joined, other_covariates
from buurtsae.classical.columns import check_columns, check_finite, covariates, numbers, read_formula
from buurtsae.classical.multivariate.likelihood import Blocks
from buurtsae.classical.multivariate.multivariate_fay_herriot import check_covariances
from buurtsae.errors import DataError, ModelError, Problems, cut, shown
from buurtsae.sparse import Floats, Ints


@dataclass(frozen=True, repr=False)
class Panel:
    """What a model over years is fitted to.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Direct estimates; NaN where there is none.
    x : ndarray, shape (n, p)
    d : ndarray, shape (n, T)
        Covariances of the sampling error of a row with those of the same area in every year.
    codes : Index, shape (m,)
        Codes of the areas, named `area_code`.
    years : Index, shape (T,)
    area, year : ndarray of int, shape (n,)
        Positions of every row in these.
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
    years: pd.Index
    area: Ints
    year: Ints
    names: tuple[str, ...]
    response: str = "y"
    spec: Any = None

    def __repr__(self) -> str:
        """Say what is modelled, of how many areas and years, by what."""
        size = f"{len(self.codes)} areas in {shown(self.years)}, {int((~np.isnan(self.y)).sum())} direct estimates"
        return f"{cut(self.response)} of {size}, by {shown(self.names)}"

    @classmethod
    def of(
        cls, y: ArrayLike, x: ArrayLike, sampling_variance: ArrayLike, year: ArrayLike, area: ArrayLike | None = None
    ) -> Self:
        """Check arrays with a row per area and year; pandas' series and frames must have the index of `y`.

        Parameters
        ----------
        y : array_like, shape (n,)
        x : array_like, shape (n, p)
        sampling_variance : array_like, shape (n,) or (n, T)
            Variances, or covariances with the years in ascending order.
        year : array_like of int, shape (n,)
        area : array_like, shape (n,), optional
            Codes; by default the index of `y`.

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        response = str(y.name) if isinstance(y, pd.Series) and y.name is not None else "y"
        if isinstance(y, pd.Series):
            x, sampling_variance = joined(x, y.index, "x"), joined(sampling_variance, y.index, "sampling_variance")
            area = y.index if area is None else area
        if area is None:
            raise DataError("the areas are not known", "no codes", "a code for every row", "give area=")
        table, values = covariates(x), numbers(y, "y")
        codes, when, v = (
            pd.Index(np.asarray(area)),
            numbers(year, "year"),
            numbers(sampling_variance, "sampling_variance"),
        )
        sizes = {"y": values.shape, "x": (len(table),), "sampling_variance": v.shape[:1]}
        sizes |= {"year": when.shape, "area": codes.shape}
        if len(set(sizes.values())) > 1:
            got = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
            raise DataError("the arrays do not have one row per area and year", got, "as many rows", "align them first")
        return cls._on_grid(values, table, v, when, codes, response)

    @classmethod
    def from_formula(
        cls, formula: str, data: pd.DataFrame, sampling_variance: str | Sequence[str], year: str, area: str | None
    ) -> Self:
        """Check the columns of a table that a formula names: a row per area and year.

        Raises
        ------
        DataError, ModelError or ProblemsError
        """
        columns = [sampling_variance] if isinstance(sampling_variance, str) else list(sampling_variance)
        if absent := [c for c in (*columns, year, *([area] if area else [])) if c not in data.columns]:
            raise DataError("columns are absent", shown(absent), shown(data.columns, 30), "join them")
        y, x, spec = read_formula(formula, data.reset_index(drop=True))
        v = numbers(data[columns], "sampling_variance")
        v = v[:, 0] if isinstance(sampling_variance, str) else v
        codes = pd.Index(data[area]) if area else data.index
        x.columns = x.columns.map(str)
        return cls._on_grid(y.to_numpy(), x, v, numbers(data[year], "year"), codes, formula.split("~")[0].strip(), spec)

    @classmethod
    def _on_grid(
        cls,
        y: Floats,
        table: pd.DataFrame,
        v: Floats,
        when: Floats,
        areas: pd.Index,
        response: str,
        spec: Any = None,
    ) -> Self:
        if (wrong := areas.isna() | ~(np.isfinite(when) & (when == np.round(when)))).any():
            raise DataError(
                "years or areas are missing, or years are no whole numbers",
                f"rows {shown(np.flatnonzero(wrong))}",
                "a code and a year, such as 2024, in every row",
                "complete them",
            )
        codes, years = areas.unique().rename("area_code"), pd.Index(np.unique(when.astype(np.int64)), name="year")
        area, year = codes.get_indexer(areas), years.get_indexer(when.astype(np.int64))
        if v.ndim == 1:  # errors of different years are independent
            full = np.zeros((len(y), len(years)))
            full[np.arange(len(y)), year] = v
            v = full
        if v.shape != (len(y), len(years)):
            raise ModelError(
                "the sampling covariances have another shape",
                str(v.shape),
                f"({len(y)},), or ({len(y)}, {len(years)}): with every year",
                f"give a column for each of {shown(years)}",
            )
        panel = cls(y, table.to_numpy(), v, codes, years, area, year, tuple(table.columns), response, spec)
        panel.check()
        return panel

    @property
    def rows(self) -> list[str]:
        """What rows are called in messages."""
        return [f"{a} in {t}" for a, t in zip(self.codes[self.area], self.years[self.year], strict=True)]

    @cached_property
    def index(self) -> pd.MultiIndex:
        """Area and year of every row."""
        return pd.MultiIndex.from_arrays([self.codes[self.area], self.years[self.year]], names=["area_code", "year"])

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Steps of every year since the first, see the module; the years at a distance of one."""
        since = self.years.to_numpy() - self.years[0]
        return tuple((since // max(int(np.gcd.reduce(since)), 1)).tolist())

    @property
    def lag(self) -> Floats:
        """Steps between two years, shape (T, T)."""
        return np.abs(np.subtract.outer(self.steps, self.steps)).astype(float)

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which cells of the grid are in the data, shape (m, T)."""
        return ~np.isnan(self.grid(np.zeros(len(self.y))))

    @cached_property
    def blocks(self) -> Blocks:
        """The data as the likelihood needs it."""
        return Blocks.of(self.grid(self.y), self.covariance, np.nan_to_num(self.grid(self.x)))

    @cached_property
    def covariance(self) -> Floats:
        """Sampling covariances, shape (m, T, T)."""
        return np.nan_to_num(self.grid(self.d))

    @cached_property
    def seen_apart(self) -> Ints:
        """Numbers of steps between two years in which some area is seen, 0 included."""
        seen, at = ~np.isnan(self.grid(self.y)), np.array(self.steps)
        together = (seen[:, :, None] & seen[:, None, :]).any(axis=0)
        return np.unique(np.abs(np.subtract.outer(at, at))[together])

    @property
    def signed(self) -> bool:
        """Whether data tell the sign of an autocorrelation."""
        return bool((self.seen_apart % 2).any())

    def grid(self, values: Floats) -> Floats:
        """Return values (n, ...) on the grid (m, T, ...), NaN where there is no row."""
        out = np.full((len(self.codes), len(self.years), *values.shape[1:]), np.nan)
        out[self.area, self.year] = values
        return out

    def frame(self, values: Floats) -> pd.DataFrame:
        """Return values (m, T) by area and year, missing where there is no row."""
        return pd.DataFrame(np.where(self.there, values, np.nan), self.codes, self.years)

    def others(self, x: ArrayLike, year: ArrayLike) -> tuple[Floats, pd.Index, Ints]:
        """Return the covariates of other areas (k, p), their codes, and the positions of their years.

        Raises
        ------
        ModelError or ProblemsError
            If covariates are absent, missing, infinite or too few, or a year is not in the data.
        """
        (values, rows), when = other_covariates(x, self.names, self.spec), np.atleast_1d(numbers(year, "year"))
        at = self.years.get_indexer(pd.Index(when))
        if len(when) != len(values) or (at < 0).any():
            raise ModelError(
                "years are not in the model, or not one for every row",
                f"{len(when)} for {len(values)} rows: {shown(when[at < 0]) or 'all known'}",
                shown(self.years, 30),
                "give a row with a missing direct estimate to the model",
            )
        return values, rows, at

    def check(self) -> None:
        """Refuse rows, values and covariates that cannot be used, all at once."""
        problems, rows, seen = Problems(), self.rows, ~np.isnan(self.y)
        if (twice := self.index.duplicated()).any():
            raise DataError(
                "areas occur twice in a year",
                shown(cast(list[object], [rows[k] for k in np.flatnonzero(twice)])),
                "each area once in a year",
                "one row per area and year",
            )
        if (endless := np.isinf(self.y)).any():
            which = [rows[k] for k in np.flatnonzero(endless)]
            problems.add("direct estimates are infinite", shown(which), "numbers, or missing", "correct them")
        if check_finite(self.x, self.names, rows, "rows", problems):
            chosen = [rows[k] for k in np.flatnonzero(seen)]
            check_columns(self.x[seen], self.names, chosen, "rows with a direct estimate", problems)
        if len(self.years) < 2:
            problems.add(
                "there is one year only",
                shown(self.years),
                "two or more",
                "use FayHerriot or SpatialFayHerriot",
                ModelError,
            )
        own = self.d[np.arange(len(seen)), self.year]
        if (wrong := seen & ~((own > 0) & np.isfinite(own))).any():
            problems.add(
                "sampling variances are not positive",
                shown(f"{rows[k]}: {own[k]:g}" for k in np.flatnonzero(wrong)),
                "positive numbers for all rows with a direct estimate",
                "smooth the variances, or make these direct estimates missing",
            )
        else:
            check_covariances(self.grid(self.d), ~np.isnan(self.grid(self.y)), self.codes, problems)
        problems.raise_if_any()

    def identify(self, needed: int, what: str) -> None:
        """Refuse data in which no area is seen at so many different distances in time, that of zero included.

        Raises
        ------
        ModelError
        """
        lags, step = self.seen_apart, (self.years[-1] - self.years[0]) // max(self.steps[-1], 1)
        if len(lags) < needed:
            raise ModelError(
                f"{what} cannot be estimated",
                f"areas seen in years {shown(lags * step)} apart",
                f"{needed} different distances, 0 included",
                "give more years, or choose a model without it",
            )
