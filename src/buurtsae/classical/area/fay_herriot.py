r"""The Fay-Herriot model: direct estimates with known sampling variances and an effect of every area.

    y_i = theta_i + e_i,   theta_i = x_i' beta + v_i,   v_i ~ (0, sigma2_v),   e_i ~ (0, D_i)

The EBLUP of theta_i is gamma_i y_i + (1 - gamma_i) x_i' beta, gamma_i = sigma2_v / (sigma2_v + D_i), beta by
generalised least squares; x_i' beta where there is no sample. Time and memory are linear in the number of areas.

References
----------
Fay, R.E. and Herriot, R.A. (1979). Estimates of income for small places. JASA 74. Rao, J.N.K. and Molina, I. (2015).
Small Area Estimation, chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np
import pandas as pd

from buurtsae.classical.area import mse as analytic
from buurtsae.classical.area.bootstrap import resampling
from buurtsae.classical.area.components import Gls, Method, estimate, gls
from buurtsae.classical.area.data import VarianceModel
from buurtsae.classical.area.diagnostics import Diagnostics, area_effect, diagnose
from buurtsae.classical.area.results import VarianceResults
from buurtsae.classical.core import Resampling, TestResult
from buurtsae.sparse import one_thread


@dataclass(frozen=True, init=False, repr=False)
class FayHerriot(VarianceModel):
    """Fay-Herriot model of areas.

    Parameters
    ----------
    y : array_like, shape (m,)
        Direct estimates; NaN for areas without a sample, which are predicted.
    x : array_like, shape (m, p)
        Covariates, with a column of ones for an intercept.
    sampling_variance : array_like, shape (m,)
        Known variances of the direct estimates, in squared units of y; not used where y is missing.
    area : array_like, shape (m,), optional
        Codes of the areas; by default the index of y, or 0, 1, ...

    Attributes
    ----------
    data : AreaData

    Raises
    ------
    DataError, ModelError or ProblemsError
        If shapes differ, values are missing, infinite or not positive, or covariates depend on each other.

    Examples
    --------
    >>> model = FayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.1, 0.2, 0.1, 0.2], area=list("abcd"))
    >>> model
    FayHerriot(y of 4 areas, 4 with a direct estimate, by x0)
    >>> fit = model.fit(method="reml")
    >>> round(fit.sigma2_v, 4)
    1.5963
    >>> fit.table[["direct", "synthetic", "eblup"]].round(2).loc["b"].tolist()
    [2.0, 2.5, 2.06]
    """

    def fit(self, method: Method = "reml", tol: float = 1e-10, maxiter: int = 100) -> FayHerriotResults:
        """Estimate sigma2_v and beta, and predict every area.

        Parameters
        ----------
        method : {"reml", "ml", "fh", "ampl", "amrl", "ampl_yl", "amrl_yl"}
            Restricted or profile likelihood, Fay-Herriot's moments, or an adjusted likelihood of Li & Lahiri or
            Yoshimori & Lahiri, with which sigma2_v is never zero.
        tol : float
            Relative change of sigma2_v at which it has converged.
        maxiter : int

        Raises
        ------
        ModelError
            If the method is unknown.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If sigma2_v is zero.
        """
        data, seen = self.data, self.data.sampled
        y, x, d = data.observed
        with one_thread():
            component = estimate(y, x, d, method, tol, maxiter)
            sigma2_v = component.sigma2_v
            regression = gls(sigma2_v, y, x, d)
        terms = analytic.terms(regression, sigma2_v, d, method)
        eblup, gamma = data.x @ regression.beta, np.zeros(len(data.y))
        mse = analytic.synthetic(data.x, sigma2_v, terms.bias, regression.cov_beta)
        eblup[seen] += sigma2_v * regression.py
        mse[seen], gamma[seen] = terms.mse, sigma2_v * regression.weight
        results = FayHerriotResults(
            model=self,
            method=method,
            beta=regression.beta,
            cov_beta=regression.cov_beta,
            llf=regression.loglike(),
            converged=component.converged,
            trace=pd.DataFrame(component.trace, columns=["sigma2_v", "criterion"]),
            sigma2_v=sigma2_v,
            gls=regression,
            mse_terms=terms,
            **data.series(eblup=eblup, mse=mse, gamma=gamma),
        )
        results.warn()
        return results


@dataclass(frozen=True, repr=False)
class FayHerriotResults(VarianceResults):
    """A fitted Fay-Herriot model; see `AreaResults` for the rest.

    Attributes
    ----------
    gls : Gls
        The regression of the sampled areas.

    Examples
    --------
    >>> FayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.1, 0.2, 0.1, 0.2]).fit().bootstrap_mse(50, seed=1).shape
    (4, 3)
    """

    gls: Gls

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, beta integrated out; see `core`."""
        return self.gls.loglike(restricted=True)

    @property
    def random_effects(self) -> pd.Series:
        """Predicted v of the sampled areas."""
        return pd.Series(self.sigma2_v * self.gls.py, index=self.data.codes[self.data.sampled], name="random_effects")

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Residuals, leverage and Cook's distance per sampled area, and a test of normality."""
        return diagnose(self.gls, self.data.codes[self.data.sampled])

    def test_area_effect(
        self, kind: Literal["lr", "score"] = "lr", draws: int = 999, seed: int | None = None
    ) -> TestResult:
        """Test that there are no area effects, sigma2_v = 0: by likelihood ratio or by score; see `diagnostics`."""
        return area_effect(self.gls, *self.data.observed, self.method, kind, draws, seed)

    def _resampling(self) -> Resampling:
        data, method = self.data, cast(Method, self.method)
        return resampling(self.beta, self.sigma2_v, data.x, data.d, data.sampled, method)
