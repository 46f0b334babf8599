r"""Fay-Herriot models of a transformed direct estimate, with predictions on its own scale; and that of the logarithm.

    log y_i = theta_i + e_i,   theta_i = x_i' beta + v_i,   e_i ~ N(0, D_i / y_i^2),   v_i ~ N(0, sigma2_v)

The estimand is exp(theta_i). The formulas of the predictions and of their MSE are in `back_transformation`, the model
on the transformed scale is that of `fay_herriot`.

References
----------
Neves, A., Silva, D. and Correa, S. (2013). Small domain estimation for the Brazilian service sector survey. Estadistica
65. Slud, E. and Maiti, T. (2006). Mean-squared error estimation in transformed Fay-Herriot models. JRSS B 68.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.area import back_transformation as back_to
from buurtsae.classical.area import mse as analytic
from buurtsae.classical.area.components import Method
from buurtsae.classical.area.data import AreaData, AreaModel, VarianceModel
from buurtsae.classical.area.fay_herriot import FayHerriot, FayHerriotResults
from buurtsae.classical.core import one_of, quadratic
from buurtsae.errors import BuurtsaeError, Problems, cut, shown
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

LogBack = Literal["slud_maiti", "crude"]


@dataclass(frozen=True, repr=False)
class LogAreas(AreaData):
    """Areas whose direct estimates are positive."""

    def check(self) -> None:
        """Refuse what a Fay-Herriot model refuses, and direct estimates of zero or less, all at once."""
        problems = collected(self)
        refuse(self, self.y <= 0, self.y, "direct estimates are not positive", "numbers above 0", problems)
        problems.raise_if_any()


def collected(data: AreaData) -> Problems:
    """What a Fay-Herriot model refuses."""
    problems = Problems()
    try:
        AreaData.check(data)
    except BuurtsaeError as error:
        problems.collect(error)
    return problems


def refuse(data: AreaData, wrong: Any, values: Floats, what: str, want: str, problems: Problems) -> None:
    """Record values that a transformation cannot take, with their areas."""
    if np.shape(wrong) == data.codes.shape and wrong.any():
        got = shown(f"{a}: {v:g}" for a, v in zip(data.codes[wrong], values[wrong], strict=True))
        problems.add(what, got, want, "correct them, or make the direct estimates of these areas missing")


def transformed(data: AreaData, z: Floats, d: Floats, name: str) -> FayHerriot:
    """The model of transformed direct estimates z with sampling variances d."""
    x = pd.DataFrame(data.x, columns=list(data.names))
    return FayHerriot(pd.Series(z, name=f"{name}({data.response})"), x, d, data.codes)


@dataclass(frozen=True, repr=False)
class TransformedResults:
    """A fitted Fay-Herriot model of a transformation, on the scale of the direct estimates.

    Attributes
    ----------
    model : AreaModel
        What was fitted: `model.data` has direct estimates, covariates, and sampling variances (log) or effective sample
        sizes (arcsine).
    transformed : FayHerriotResults
        The fit on the transformed scale: coefficients, sigma2_v, criteria, diagnostics, tests.
    back : str
        How predictions are transformed back.
    eblup : Series, shape (m,)
        Prediction of every area.
    mse : Series, shape (m,)
        Its estimated mean squared error.
    """

    model: AreaModel
    transformed: FayHerriotResults
    back: str
    eblup: pd.Series
    mse: pd.Series

    def __repr__(self) -> str:
        """Say what was fitted."""
        name = f"{type(self).__name__}: {cut(self.data.response)} back-transformed by {self.back}"
        return f"<{name}; {self.transformed!r}>"

    @property
    def data(self) -> AreaData:
        """Direct estimates and covariates of the model."""
        return self.model.data

    @property
    def converged(self) -> bool:
        """Whether the fit on the transformed scale converged."""
        return self.transformed.converged

    @property
    def gamma(self) -> pd.Series:
        """Weight of the direct estimate on the transformed scale."""
        return self.transformed.gamma

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` direct estimate, EBLUP, MSE, coefficient of variation, and gamma."""
        return self._table("sampling_variance")

    def _table(self, known: str, **intervals: pd.Series) -> pd.DataFrame:
        """The table, with what the model knows of the sampling errors, and intervals."""
        with np.errstate(divide="ignore", invalid="ignore"):  # a proportion of zero has no coefficient of variation
            cv = np.sqrt(self.mse) / self.eblup
        direct = {"sampled": self.data.sampled, "direct": self.data.y}
        columns = direct | {known: np.where(self.data.sampled, self.data.d, np.nan), "eblup": self.eblup}
        columns |= {"mse": self.mse, "cv": cv, **intervals, "gamma": self.gamma}
        return pd.DataFrame(columns, index=self.data.codes)

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables of the fit on the transformed scale, and quartiles of the predictions on their own."""
        from statsmodels.iolib.table import SimpleTable

        summary, table = self.transformed.summary(alpha), self.table.assign(rmse=np.sqrt(self.mse))
        columns = ["direct", "eblup", "rmse", "cv"]
        cells = table[columns].quantile([0, 0.25, 0.5, 0.75, 1]).T.map(lambda v: f"{v:.5g}").to_numpy()
        title = f"{self.data.response} itself, back-transformed by {self.back}"
        summary.tables.append(SimpleTable(cells, ["min", "25%", "median", "75%", "max"], columns, title))
        return summary


@dataclass(frozen=True, init=False, repr=False)
class LogFayHerriot(VarianceModel):
    """Fay-Herriot model of log(y), for positive and skewed direct estimates.

    Parameters
    ----------
    y : array_like, shape (m,)
        Direct estimates above 0; NaN for areas without a sample, which are predicted.
    x : array_like, shape (m, p)
        Covariates, with a column of ones for an intercept.
    sampling_variance : array_like, shape (m,)
        Of y itself, in its squared units: log(y) has D / y^2.
    area : array_like, shape (m,), optional
        Codes of the areas.

    Attributes
    ----------
    data : LogAreas

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `FayHerriot`, or if direct estimates are not positive.

    Examples
    --------
    >>> fit = LogFayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.01, 0.04, 0.1, 0.2]).fit()
    >>> fit.eblup.round(2).tolist()
    [1.03, 2.02, 3.97, 2.98]
    """

    reader = LogAreas

    def fit(
        self, method: Method = "reml", back: LogBack = "slud_maiti", tol: float = 1e-10, maxiter: int = 100
    ) -> LogFayHerriotResults:
        """Fit the model of log(y) and predict y in every area.

        Parameters
        ----------
        method : str
            Of `FayHerriot.fit`.
        back : {"slud_maiti", "crude"}
            The best predictor with an MSE right to o(1/m); or exp(theta_hat + mse / 2), which adds too much, by the
            error of the parameters, with an MSE by the delta method. Areas without a sample: Slud and Maiti's formulas
            as D grows, gamma = 0, of which exp(x'beta + sigma2_v / 2) is the mean given the covariates (emdi has
            none); and the crude ones with the synthetic MSE.
        tol : float
        maxiter : int
            Of `FayHerriot.fit`.

        Returns
        -------
        LogFayHerriotResults

        Raises
        ------
        ModelError
            If the method or the back-transformation is unknown.

        Warns
        -----
        NotConvergedWarning, BoundaryWarning
        """
        one_of(back, get_args(LogBack), "back-transformation")
        data = self.data
        fit = transformed(data, np.log(data.y), data.d / data.y**2, "log").fit(method, tol, maxiter)
        w = np.zeros(len(data.y))
        w[data.sampled] = fit.gls.weight
        eblup, mse = _log_back(fit, back, fit.eblup.to_numpy(), fit.mse.to_numpy(), data.x, w)
        return LogFayHerriotResults(self, fit, back, **data.series(eblup=eblup, mse=mse))


@dataclass(frozen=True, repr=False)
class LogFayHerriotResults(TransformedResults):
    """A fitted Fay-Herriot model of log(y); see `TransformedResults`.

    Examples
    --------
    >>> fit = LogFayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.01, 0.04, 0.1, 0.2]).fit()
    >>> fit.predict([[1.0]])["eblup"].round(2).tolist()
    [2.64]
    >>> fit.transformed.params.round(2).tolist()
    [0.79]
    """

    def predict(self, x: ArrayLike) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates.

        Parameters
        ----------
        x : DataFrame or array_like, shape (k, p)
            The variables of the formula, or the columns of the covariates.

        Returns
        -------
        DataFrame, shape (k, 2)
            `eblup` and `mse`, of y itself.
        """
        values, codes = self.data.matrix(x)
        theta, mse = self.transformed.predict(values).to_numpy().T
        eblup, error = _log_back(self.transformed, self.back, theta, mse, values, np.zeros(len(values)))
        return pd.DataFrame({"eblup": eblup, "mse": error}, index=codes)


def _log_back(
    fit: FayHerriotResults, back: str, theta: Floats, mse: Floats, x: Floats, w: Floats
) -> tuple[Floats, Floats]:
    """Predictions of exp(theta) and their MSE, of areas with covariates x and w = 1 / (sigma2_v + D), 0 unsampled."""
    if back == "crude":
        return back_to.crude(theta, mse)
    h, method = quadratic(x, fit.cov_beta), cast(Method, fit.method)
    var, bias = analytic.variance(fit.gls.weight, method), analytic.bias(fit.gls, fit.sigma2_v, method)
    return back_to.slud_maiti(theta, x @ fit.beta, fit.sigma2_v, w, h, var, bias)
