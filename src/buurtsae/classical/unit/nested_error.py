"""The nested error regression of Battese, Harter and Fuller: means of areas from answers of their units.

    y_ij = x_ij'b + v_i + e_ij,   v_i ~ N(0, s2v),  e_ij ~ N(0, s2e);

the EBLUP of an area's mean is Xbar_i'b + v_i, or of a finite population f_i ybar_i + (Xbar_i - f_i xbar_i)'b +
(1 - f_i) v_i with f_i = n_i / N_i. The likelihood stands in `likelihood`, the MSE in `mse`.

References
----------
Battese, G.E., Harter, R.M. and Fuller, W.A. (1988). An error-components model for prediction of county crop areas
using survey and satellite data. JASA 83. Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.columns import covariates, numbers, read_formula
from buurtsae.classical.core import LIKELIHOODS, Likelihood, loglike, one_of
from buurtsae.classical.unit.checks import check_population, check_units, population
from buurtsae.classical.unit.likelihood import Maximum, Response, Sample, degrees_of, gls, logdet_ratio, maximise
from buurtsae.classical.unit.mse import Targets, Variances, variances
from buurtsae.classical.unit.results import NestedErrorResults
from buurtsae.errors import ModelError, Problems, cut, shown
from buurtsae.sparse import Floats, Ints, one_thread


@dataclass(frozen=True, init=False, repr=False)
class NestedError:
    """A nested error model of units in areas.

    Parameters
    ----------
    y : array_like, shape (n,)
        Of the units; units without an answer are refused, with their number.
    x : DataFrame or array_like, shape (n, p)
        Covariates of the units, an intercept included where wanted.
    area : array_like, shape (n,)
        The code of each unit's area.
    means : DataFrame, shape (t, p or p - 1), optional
        Population means of the covariates by area code, in columns named as those of `x`; the intercept may be left
        out. Areas that have none in the sample are predicted synthetically. Needed for EBLUPs.
    sizes : Series, shape (t,), optional
        Population sizes N by area code, in units: means of finite populations. Without it populations are infinite.

    Attributes
    ----------
    response : str
        The name of y.

    Raises
    ------
    DataError, ModelError or ProblemsError
        With everything that is wrong: missing values, collinear or too many covariates, no area with two units,
        population means that are missing, population sizes below the sample's.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> y, area = [2.0, 3.0, 5.0, 4.0, 7.0, 8.0], ["a", "a", "b", "b", "c", "c"]
    >>> means = pd.DataFrame({"x0": 1.0}, index=["a", "b", "c", "d"])  # an intercept: d has no sample
    >>> model = NestedError(y, np.ones(6), area, means)
    >>> model
    NestedError(y of 6 units in 3 areas, by x0)
    >>> model.fit().eblup.round(2).tolist()
    [2.59, 4.51, 7.39, 4.83]
    """

    y: Floats
    x: pd.DataFrame
    area: pd.Series
    means: pd.DataFrame | None
    sizes: pd.Series | None
    response: str

    def __init__(
        self,
        y: ArrayLike,
        x: ArrayLike,
        area: ArrayLike,
        means: pd.DataFrame | None = None,
        sizes: pd.Series | None = None,
    ) -> None:
        response = str(y.name) if isinstance(y, pd.Series) and y.name is not None else "y"
        parts = {"y": numbers(y, "y").ravel(), "x": covariates(x), "area": pd.Series(np.asarray(area))}
        for name, value in {**parts, "means": means, "sizes": sizes, "response": response}.items():
            object.__setattr__(self, name, value)
        self._check()

    def __repr__(self) -> str:
        """Say what is modelled, of how many units, by what."""
        units = f"{cut(self.response)} of {len(self.y)} units in {len(self.codes)} areas"
        return f"NestedError({units}, by {shown(self.names)})"

    def _check(self) -> None:
        problems = Problems()
        check_units(self, problems)
        problems.raise_if_any()
        if self.means is not None or self.sizes is not None:
            check_population(self, self.means, self.sizes, problems)
            if self.means is not None:
                absent = self.codes.difference(self.means.index)
                if len(absent):
                    problems.add(
                        "areas of the sample have no population means",
                        shown(absent),
                        "a row of `means` for every area",
                        "complete the table, or leave their units out on purpose",
                        ModelError,
                    )
        problems.raise_if_any()

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: pd.DataFrame,
        area: str,
        means: pd.DataFrame | None = None,
        sizes: pd.Series | None = None,
    ) -> NestedError:
        """Return the model of a formula such as ``"y ~ x1 + x2"``; `area` is the column with the area codes.

        Raises
        ------
        ModelError or ProblemsError
        """
        if area not in data.columns:
            raise ModelError(
                "the column of areas is absent", repr(area), shown(data.columns, 30), "correct the name of the column"
            )
        y, x, _ = read_formula(formula, data)
        return cls(y, x, data[area], means, sizes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the covariates."""
        return tuple(self.x.columns)

    @cached_property
    def codes(self) -> pd.Index:
        """Codes of the areas in the sample, sorted."""
        return self._areas[0]

    @cached_property
    def sample(self) -> Sample:
        """Sufficient statistics of the covariates."""
        return self._reduced[0]

    @cached_property
    def answers(self) -> Response:
        """Sufficient statistics of y."""
        return Response.of(self.sample, self._reduced[1], self.y, self.position)

    @cached_property
    def position(self) -> Ints:
        """Which area of `codes` each unit is in, shape (n,)."""
        return self._areas[1]

    def fit(self, method: Likelihood = "reml", ratio: float | None = None, maxiter: int = 100) -> NestedErrorResults:
        """Estimate the variances by (restricted) maximum likelihood, the coefficients by GLS.

        Parameters
        ----------
        method : {"reml", "ml"}
        ratio : float, optional
            Takes s2v / s2e as known: 0 gives regression-synthetic estimates.
        maxiter : int
            Most steps of the search for the maximum.

        Raises
        ------
        ModelError
            If the method is unknown or the ratio impossible.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If the variance between areas is zero.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        if ratio is not None and not 0 <= ratio < np.inf:
            raise ModelError("the ratio of the variances is impossible", repr(ratio), "0 or more", "correct it")
        sample, restricted = self.sample, method == "reml"
        with one_thread():
            searched = maximise(sample, self.answers, restricted, maxiter) if ratio is None else None
        maximum = searched or Maximum(float(ratio or 0.0), True, np.empty((0, 2)))
        regression = gls(sample, self.answers, maximum.ratio)
        components = variances(sample, regression, degrees_of(sample, restricted), restricted)
        if searched is None:
            components = Variances(components.area, components.unit, np.zeros((2, 2)), np.zeros(2))
        half, n = np.linalg.inv(sample.root), len(self.y)
        logdet_v = n * np.log(components.unit) + logdet_ratio(sample, np.array([maximum.ratio]))[0]
        results = NestedErrorResults(
            model=self,
            method=method,
            beta=sample.beta(self.answers.centre + regression.delta),
            cov_beta=components.unit * half @ np.linalg.inv(regression.information) @ half.T,
            llf=float(loglike(n, sample.p, logdet_v, 0.0, regression.squares / components.unit, restricted=False)),
            converged=maximum.converged,
            trace=pd.DataFrame(maximum.trace, columns=["ratio", "derivative"]),
            maximum=maximum,
            fixed=searched is None,
            gls=regression,
            variances=components,
        )
        results.warn()
        return results

    def targets(self, means: pd.DataFrame | None, sizes: pd.Series | None) -> tuple[pd.Index, Targets]:
        """Return codes and arrays of the areas that `means` has, those of the model by default.

        Raises
        ------
        ModelError or ProblemsError
            If there are none, or they cannot be used.
        """
        if means is None:
            means, sizes = self.means, self.sizes
        elif (means is not self.means) or (sizes is not self.sizes):
            problems = Problems()
            check_population(self, means, sizes, problems)
            problems.raise_if_any()
        if means is None:
            raise ModelError(
                "there are no population means",
                "neither `means` of the model nor of the call",
                "means of the covariates per area",
                "pass `means`, a table by area code",
            )
        xbar = population(self.names, means).to_numpy(dtype=float)
        at = self.codes.get_indexer(means.index)
        size = np.full(len(means), np.inf) if sizes is None else sizes.reindex(means.index).to_numpy(dtype=float)
        n = np.where(at >= 0, self.sample.n[at], 0)
        zbar = np.linalg.solve(self.sample.root.T, xbar.T).T
        return means.index.rename("area_code"), Targets(at, zbar, n / size, size)

    @cached_property
    def _areas(self) -> tuple[pd.Index, Ints]:
        position, codes = pd.factorize(self.area, sort=True)
        return pd.Index(codes, name="area_code"), position.astype(np.int64)

    @cached_property
    def _reduced(self) -> tuple[Sample, Floats]:
        return Sample.of(self.x.to_numpy(), self.position, len(self.codes))
