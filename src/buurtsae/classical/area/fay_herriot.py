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
from typing import Literal

import numpy as np
import pandas as pd

from buurtsae.classical.area import bootstrap
from buurtsae.classical.area import mse as analytic
from buurtsae.classical.area.components import Gls, Method, estimate, gls
from buurtsae.classical.area.data import OfAreas
from buurtsae.classical.area.diagnostics import Diagnostics, TestResult, area_effect, diagnose
from buurtsae.classical.area.results import AreaResults
from buurtsae.sparse import Floats, one_thread


@dataclass(frozen=True, init=False)
class FayHerriot(OfAreas):
    """Fay-Herriot model of areas.

    Parameters
    ----------
    y : array_like, shape (m,)
        Direct estimates; NaN for areas without a sample, which are predicted.
    X : array_like, shape (m, p)
        Covariates, with a column of ones for an intercept.
    sampling_variance : array_like, shape (m,)
        Known variances of the direct estimates; not used where y is missing.
    areas : array_like, shape (m,), optional
        Labels of the areas.

    Attributes
    ----------
    data : AreaData

    Raises
    ------
    DataError, ModelError or ProblemsError
        If shapes differ, values are missing, infinite or not positive, or covariates depend on each other.

    Examples
    --------
    >>> fit = FayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.1, 0.2, 0.1, 0.2]).fit(method="reml")
    >>> round(fit.sigma2_v, 4)
    1.5131
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

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If sigma2_v is zero.
        """
        data, seen = self.data, self.data.sampled
        y, x, d = data.y[seen], data.x[seen], data.d[seen]
        with one_thread():
            found = estimate(y, x, d, method, tol, maxiter)
            sigma2_v = found.sigma2_v
            gls_fit = gls(sigma2_v, y, x, d)
        terms = analytic.parts(gls_fit, sigma2_v, d, method)
        eblup, mse, gamma = data.x @ gls_fit.beta, np.empty(len(data.y)), np.zeros(len(data.y))
        eblup[seen] += sigma2_v * gls_fit.py
        mse[seen], mse[~seen] = terms.mse, analytic.unsampled(data.x[~seen], gls_fit, sigma2_v, method)
        gamma[seen] = sigma2_v * gls_fit.weight
        results = FayHerriotResults(
            data=data,
            method=method,
            beta=gls_fit.beta,
            cov_beta=gls_fit.cov_beta,
            sigma2_v=sigma2_v,
            eblup=pd.Series(eblup, index=data.areas, name="eblup"),
            mse=pd.Series(mse, index=data.areas, name="mse"),
            gamma=pd.Series(gamma, index=data.areas, name="gamma"),
            llf=gls_fit.loglike(),
            converged=found.converged,
            trace=pd.DataFrame(found.trace, columns=["sigma2_v", "criterion"]),
            gls=gls_fit,
            terms=terms,
        )
        results.warn()
        return results


@dataclass(frozen=True)
class FayHerriotResults(AreaResults):
    """A fitted Fay-Herriot model; see `AreaResults` for the rest.

    Attributes
    ----------
    gls : Gls
        The regression of the sampled areas.
    terms : Parts
        What the analytic MSE of the sampled areas is made of.
    """

    gls: Gls
    terms: analytic.Parts

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, without the constant log |X'X| / 2."""
        return self.gls.loglike(restricted=True)

    @property
    def random_effects(self) -> pd.Series:
        """Predicted v of the sampled areas."""
        return pd.Series(self.sigma2_v * self.gls.py, index=self.data.areas[self.data.sampled], name="v")

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Residuals, leverage and Cook's distance per sampled area, and a test of normality."""
        return diagnose(self.gls, self.data.areas[self.data.sampled])

    def test_area_effect(
        self, kind: Literal["lr", "score"] = "lr", draws: int = 999, seed: int | None = None
    ) -> TestResult:
        """Test that there are no area effects, sigma2_v = 0: by likelihood ratio or by score; see `diagnostics`."""
        data, seen = self.data, self.data.sampled
        y, x, d = data.y[seen], data.x[seen], data.d[seen]
        return area_effect(self.gls, y, x, d, self.method, kind, draws, seed)

    def bootstrap_mse(self, replications: int = 400, seed: int | None = None) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap.

        Returns
        -------
        DataFrame
            `naive` and `corrected` (for the bias of g1 and g2) per area.
        """
        data = self.data
        found = bootstrap.fay_herriot(
            self.beta, self.sigma2_v, data.x, data.d, data.sampled, self._kind, replications, seed
        )
        return pd.DataFrame({"naive": found.naive, "corrected": found.corrected}, index=data.areas)

    @property
    def _kind(self) -> Method:
        return self.method  # type: ignore[return-value]  # checked by `estimate`

    def _synthetic_mse(self, x: Floats) -> Floats:
        return analytic.unsampled(x, self.gls, self.sigma2_v, self._kind)
