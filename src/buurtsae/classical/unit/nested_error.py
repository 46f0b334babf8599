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

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning, read_formula
from buurtsae.classical.unit.checks import check_population, check_units, population
from buurtsae.classical.unit.likelihood import Maximum, Response, Sample, maximise
from buurtsae.classical.unit.mse import Targets
from buurtsae.classical.unit.results import NestedErrorResults
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.sparse import Floats, Ints, one_thread


@dataclass(frozen=True)
class NestedError:
    """A nested error model of units in areas.

    Parameters
    ----------
    y : array-like, shape (n,)
        Of the units; units without an answer are refused, with their number.
    x : DataFrame or array-like, shape (n, p)
        Covariates of the units, an intercept included where wanted.
    area : array-like, shape (n,)
        The code of each unit's area.
    means : DataFrame, shape (t, p or p - 1), optional
        Population means of the covariates by area code, in columns named as those of `x`; the intercept may be left
        out. Areas that have none in the sample are predicted synthetically. Needed for EBLUPs.
    sizes : Series, shape (t,), optional
        Population sizes N by area code: means of finite populations. Without it populations are infinite.

    Raises
    ------
    ModelError or ProblemsError
        With everything that is wrong: missing values, collinear or too many covariates, no area with two units,
        population means that are missing, population sizes below the sample's.

    Examples
    --------
    >>> model = NestedError.from_formula("y ~ x", data, area="buurtcode", means=means, sizes=sizes)
    >>> print(model.fit().summary())
    """

    y: ArrayLike
    x: pd.DataFrame | ArrayLike
    area: ArrayLike
    means: pd.DataFrame | None = None
    sizes: pd.Series | None = None

    def __post_init__(self) -> None:
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

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the covariates."""
        if isinstance(self.x, pd.DataFrame):
            return tuple(str(c) for c in self.x.columns)
        return tuple(f"x{j}" for j in range(self.exog.shape[1]))

    @cached_property
    def codes(self) -> pd.Index:
        """Codes of the areas in the sample, sorted."""
        return self._areas[0]

    @cached_property
    def sample(self) -> Sample:
        """Sufficient statistics of the covariates."""
        return self._reduced[0]

    @cached_property
    def response(self) -> Response:
        """Sufficient statistics of the answers."""
        return Response.of(self.sample, self._reduced[1], self.endog, self.position)

    @cached_property
    def position(self) -> Ints:
        """Which area of `codes` each unit is in, shape (n,)."""
        return self._areas[1]

    def fit(
        self,
        method: Literal["reml", "ml"] = "reml",
        ratio: float | None = None,
        maxiter: int = 100,
    ) -> NestedErrorResults:
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
            With the trace, if the maximum was not found.
        BoundaryWarning
            If the variance between areas is zero.
        """
        if method not in ("reml", "ml"):
            raise ModelError("the method is unknown", repr(method), "reml or ml", "choose one")
        if ratio is not None and not 0 <= ratio < np.inf:
            raise ModelError("the ratio of the variances is impossible", repr(ratio), "0 or more", "correct it")
        if ratio is None:
            with one_thread():
                found = maximise(self.sample, self.response, method == "reml", maxiter)
        else:
            found = Maximum(float(ratio), True, np.empty((0, 2)))
        if not found.converged:
            steps = "; ".join(f"ratio {r:.6g}, derivative {s:.3g}" for r, s in found.trace[-8:])
            warnings.warn(
                f"the {method.upper()} estimate of s2v / s2e did not converge; last steps: {steps}",
                NotConvergedWarning,
                stacklevel=2,
            )
        results = NestedErrorResults(self, method, found, fixed=ratio is not None)
        if results.at_boundary:
            warnings.warn(
                f"sigma2_v is estimated at zero by {method}: every EBLUP is the synthetic estimate\n"
                "  hint: `test_no_area_effect` says whether the data speak against zero",
                BoundaryWarning,
                stacklevel=2,
            )
        return results

    def targets(self, means: pd.DataFrame | None, sizes: pd.Series | None) -> tuple[pd.Index, Targets]:
        """Return labels and arrays of the areas that `means` has, those of the model by default.

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
        return means.index, Targets(at, zbar, n / size, size)

    @cached_property
    def endog(self) -> Floats:
        """The answers, shape (n,)."""
        return np.asarray(self.y, dtype=float).ravel()

    @cached_property
    def exog(self) -> Floats:
        """The covariates, shape (n, p)."""
        return np.atleast_2d(np.asarray(self.x, dtype=float).T).T

    @cached_property
    def _areas(self) -> tuple[pd.Index, Ints]:
        position, codes = pd.factorize(pd.Series(np.asarray(self.area)), sort=True)
        return pd.Index(codes), position.astype(np.int64)

    @cached_property
    def _reduced(self) -> tuple[Sample, Floats]:
        return Sample.of(self.exog, self.position, len(self.codes))
