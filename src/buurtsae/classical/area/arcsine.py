r"""The Fay-Herriot model of proportions: arcsin sqrt(y), whose sampling variance does not depend on the proportion.

    arcsin sqrt(y_i) = theta_i + e_i,   theta_i = x_i' beta + v_i,   e_i ~ N(0, 1 / (4 n_i)),   v_i ~ N(0, sigma2_v)

n_i is the effective sample size n / deff. The estimand is p_i = sin^2(theta_i), 0 below 0 and 1 above pi/2. The
formulas of the predictions and of their MSE are in `back_transformation`.

References
----------
Hadam, S., Wuerz, N. and Kreutzmann, A.-K. (2020). Estimating regional unemployment with mobile network data for
Functional Urban Areas in Germany. FU Berlin. Raghunathan, T. et al. (2007). JASA 102. Casas-Cordero, C., Encina, J. and
Lahiri, P. (2016). Poverty mapping for the Chilean comunas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.area import back_transformation as back_to
from buurtsae.classical.area.components import Method
from buurtsae.classical.area.data import AreaData, AreaModel
from buurtsae.classical.area.fay_herriot import FayHerriotResults
from buurtsae.classical.area.transformed import TransformedResults, collected, refuse, transformed
from buurtsae.classical.core import one_of
from buurtsae.errors import DataError
from buurtsae.sparse import Floats

ArcsineBack = Literal["bias_corrected", "naive"]
COLUMNS = ["eblup", "naive", "corrected", "mc_error", "lower", "upper"]


@dataclass(frozen=True, repr=False)
class ArcsineAreas(AreaData):
    """Areas whose direct estimates are proportions; `d` holds their effective sample sizes."""

    def check(self) -> None:
        """Refuse what a Fay-Herriot model refuses, and impossible proportions and sample sizes, all at once."""
        if self.d.shape != self.y.shape:
            got = f"y {self.y.shape}, effective_size {self.d.shape}"
            raise DataError("the arrays do not have one row per area", got, "as many rows", "align them by area first")
        problems = collected(replace(self, d=np.ones_like(self.d)))
        refuse(self, (self.y < 0) | (self.y > 1), self.y, "direct estimates are no proportions", "0 to 1", problems)
        wrong = self.sampled & ~((self.d > 0) & np.isfinite(self.d))
        want = "positive numbers for all areas with a direct estimate"
        refuse(self, wrong, self.d, "effective sample sizes are not positive", want, problems)
        problems.raise_if_any()


@dataclass(frozen=True, init=False, repr=False)
class ArcsineFayHerriot(AreaModel):
    """Fay-Herriot model of arcsin(sqrt(y)), for proportions: its sampling variance does not depend on what it is of.

    Parameters
    ----------
    y : array_like, shape (m,)
        Direct estimates from 0 to 1; NaN for areas without a sample, which are predicted.
    x : array_like, shape (m, p)
        Covariates, with a column of ones for an intercept.
    effective_size : array_like, shape (m,)
        Sample sizes over design effects, in persons; not used where y is missing.
    area : array_like, shape (m,), optional
        Codes of the areas.

    Attributes
    ----------
    data : ArcsineAreas

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `FayHerriot`, or if direct estimates are no proportions or effective sizes not positive.

    Examples
    --------
    >>> fit = ArcsineFayHerriot([0.1, 0.3, 0.2, 0.6], [[1.0]] * 4, [50, 40, 60, 30]).fit(seed=1, replications=50)
    >>> fit.eblup.round(2).tolist()
    [0.12, 0.3, 0.21, 0.55]
    """

    def __init__(self, y: ArrayLike, x: ArrayLike, effective_size: ArrayLike, area: ArrayLike | None = None) -> None:
        object.__setattr__(self, "data", ArcsineAreas.of(y, x, effective_size, area))

    @classmethod
    def from_formula(
        cls, formula: str, data: pd.DataFrame, effective_size: str, area: str | None = None
    ) -> ArcsineFayHerriot:
        """Build the model from a table.

        Parameters
        ----------
        formula : str
            As in R, with y itself: ``"y ~ x1 + x2"`` is a model of arcsin(sqrt(y)).
        data : DataFrame
            One row per area.
        effective_size : str
            Column of the effective sample sizes.
        area : str, optional
            Column of the codes; by default the index.
        """
        model = object.__new__(cls)
        object.__setattr__(model, "data", ArcsineAreas.from_formula(formula, data, effective_size, area))
        return model

    def fit(
        self,
        method: Method = "reml",
        back: ArcsineBack = "bias_corrected",
        replications: int = 400,
        seed: int | None = None,
        tol: float = 1e-10,
        maxiter: int = 100,
    ) -> ArcsineFayHerriotResults:
        """Fit the model of arcsin(sqrt(y)), predict the proportion of every area, and bootstrap its MSE.

        Parameters
        ----------
        method : str
            Of `FayHerriot.fit`.
        back : {"bias_corrected", "naive"}
            The expectation of p given the data (areas without a sample: given their covariates), or sin^2(theta_hat).
        replications : int
            Of the parametric bootstrap; 0 leaves MSE and intervals missing.
        seed : int, optional
        tol : float
        maxiter : int
            Of `FayHerriot.fit`.

        Returns
        -------
        ArcsineFayHerriotResults

        Raises
        ------
        ModelError
            If the method or the back-transformation is unknown, or less than half of the bootstrap converges.

        Warns
        -----
        NotConvergedWarning, BoundaryWarning
        """
        one_of(back, get_args(ArcsineBack), "back-transformation")
        data = self.data
        d = np.where(data.sampled, 1 / (4 * np.where(data.sampled, data.d, 1)), np.nan)
        fit = transformed(data, np.arcsin(np.sqrt(data.y)), d, "arcsin sqrt").fit(method, tol, maxiter)
        seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed  # that predict draws the same
        parts = _arcsine_back(fit, back, data.x[:0], replications, seed).set_axis(data.codes)
        mse = parts["corrected"].rename("mse")
        return ArcsineFayHerriotResults(self, fit, back, parts["eblup"], mse, parts[COLUMNS[1:]], replications, seed)


@dataclass(frozen=True, repr=False)
class ArcsineFayHerriotResults(TransformedResults):
    """A fitted Fay-Herriot model of arcsin(sqrt(y)); see `TransformedResults`.

    The mean squared error of the bootstrap is that of data with the sigma2_v that was estimated, and misses that its
    leading term at the estimate is biased. `mse` adds that, as in the analytic MSE on the transformed scale, times
    the squared derivative of sin^2: sin^2(2 theta_hat) [g3 - b (1 - gamma)^2].

    Attributes
    ----------
    bootstrap : DataFrame, shape (m, 5)
        What `bootstrap_mse` gave: `mse` is its `corrected`.
    replications, seed : int

    Examples
    --------
    >>> fit = ArcsineFayHerriot([0.1, 0.3, 0.2, 0.6], [[1.0]] * 4, [50, 40, 60, 30]).fit(seed=1, replications=20)
    >>> list(fit.bootstrap_mse(20, seed=2))
    ['naive', 'corrected', 'mc_error', 'lower', 'upper']
    """

    bootstrap: pd.DataFrame
    replications: int
    seed: int

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` direct estimate, EBLUP, MSE, coefficient of variation, a 95% interval, and gamma."""
        return self._table("effective_size", lower=self.bootstrap["lower"], upper=self.bootstrap["upper"])

    def bootstrap_mse(self, replications: int = 400, seed: int | None = None) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap, as `fit` does.

        Returns
        -------
        DataFrame, shape (m, 5)
            By area `naive`, `corrected`, `mc_error` of `naive`, and `lower` and `upper` of a 95% interval
            p_hat - (p_hat* - p*), within 0 to 1.

        Raises
        ------
        ModelError
            If there is one replication, or less than half of the refits converge.
        """
        parts = _arcsine_back(self.transformed, self.back, self.data.x[:0], replications, seed)
        return parts[COLUMNS[1:]].set_axis(self.data.codes)

    def predict(self, x: ArrayLike) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates; the fit is bootstrapped again.

        Parameters
        ----------
        x : DataFrame or array_like, shape (k, p)
            The variables of the formula, or the columns of the covariates.

        Returns
        -------
        DataFrame, shape (k, 4)
            `eblup`, `mse`, `lower` and `upper`, of the proportion.
        """
        values, codes = self.data.matrix(x)
        parts = _arcsine_back(self.transformed, self.back, values, self.replications, self.seed)
        parts = parts.rename(columns={"corrected": "mse"})[["eblup", "mse", "lower", "upper"]]
        return parts.iloc[len(self.data.y) :].set_axis(codes)


def _arcsine_back(
    fit: FayHerriotResults, back: str, others: Floats, replications: int, seed: int | None
) -> pd.DataFrame:
    """Predictions of sin^2(theta) with their MSE: the areas of the fit, then others with covariates (k, p)."""
    corrected, none = back == "bias_corrected", np.zeros(len(others))
    x, theta = np.vstack([fit.data.x, others]), np.append(fit.eblup, others @ fit.beta)
    d, sampled = np.append(fit.data.d, none), np.append(fit.data.sampled, none > 0)
    gamma = np.append(fit.gamma, none)
    eblup = back_to.proportion(theta, fit.sigma2_v * (1 - gamma), corrected)
    if replications == 0:
        return pd.DataFrame({"eblup": eblup}).reindex(columns=COLUMNS)
    method = cast(Method, fit.method)
    errors = back_to.sine_bootstrap(fit.beta, fit.sigma2_v, x, d, sampled, method, corrected, replications, seed)
    naive, g3 = (errors**2).mean(axis=0), np.zeros(len(x))
    mc_error = (errors**2).std(axis=0) / np.sqrt(len(errors))
    g3[sampled] = fit.mse_terms.g3
    slope = np.sin(2 * np.clip(theta, 0, np.pi / 2))
    mse = naive + slope**2 * (g3 - fit.mse_terms.bias * (1 - gamma) ** 2)
    mse = np.where(mse > 0, mse, naive)
    low, high = np.clip(eblup - np.quantile(errors, [0.975, 0.025], axis=0), 0, 1)
    return pd.DataFrame(dict(zip(COLUMNS, (eblup, naive, mse, mc_error, low, high), strict=True)))
