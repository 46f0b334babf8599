r"""The spatial Fay-Herriot model: area effects follow a simultaneous autoregression.

    y_i = x_i' beta + u_i + e_i,   u = rho W u + v,   v_i ~ (0, sigma2_v),   e_i ~ (0, D_i)

W are row-standardised proximities. The EBLUP is x_i' beta + u_hat_i: areas without a sample take part in W, and what
their neighbours show tells of their effects. Time and memory grow with the fill of one sparse factorisation (`sar`).

References
----------
Petrucci, A. and Salvati, N. (2006). Small area estimation for spatial correlation in watershed erosion assessment.
JABES 11. Pratesi, M. and Salvati, N. (2008). Statistical Methods and Applications 17. Rao and Molina (2015), 8.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from buurtsae.classical.area.components import Method, estimate, gls
from buurtsae.classical.area.data import AreaData, AreaModel
from buurtsae.classical.area.results import AreaResults
from buurtsae.classical.core import LIKELIHOODS, Likelihood, Prediction, Resampling, TestResult, one_of, quadratic
from buurtsae.classical.spatial.proximity import read_proximity
from buurtsae.classical.spatial.sar import EDGE, Neighbours, Sar, SarMaximum, maximise
from buurtsae.classical.spatial.sar_mse import SpatialTerms, terms, without_effects
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats


@dataclass(frozen=True, init=False, repr=False)
class SpatialFayHerriot(AreaModel):
    """Spatial Fay-Herriot model of areas.

    Parameters
    ----------
    y, x, sampling_variance, area
        As in `FayHerriot`.
    proximity : Graph, sparse array, DataFrame or array_like, shape (m, m)
        Of the areas to each other, 0 or more; rows are divided by their sums. A graph and a table are joined by code.

    Attributes
    ----------
    data : AreaData
    near : Neighbours

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `FayHerriot`; or if proximities are of other areas, negative, infinite or on the diagonal, or an area has no
        neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> line = np.diag(np.ones(7), 1) + np.diag(np.ones(7), -1)  # eight areas in a row
    >>> y = [1.0, 2.5, 1.8, 3.2, 2.2, 3.0, 4.0, 2.9]
    >>> model = SpatialFayHerriot(y, np.ones(8), [0.1] * 8, line)
    >>> round(model.loglike(rho=0.5, sigma2_v=1.0), 4)
    -10.5274
    >>> fit = model.fit("reml")
    >>> round(fit.rho, 3), fit.eblup.round(1).tolist()
    (0.262, [1.2, 2.4, 1.9, 3.1, 2.3, 3.0, 3.8, 2.9])
    """

    data: AreaData
    near: Neighbours

    def __init__(
        self,
        y: ArrayLike,
        x: ArrayLike,
        sampling_variance: ArrayLike,
        proximity: Any,
        area: ArrayLike | None = None,
    ) -> None:
        self._keep(AreaData.of(y, x, sampling_variance, area), proximity)

    @classmethod
    def from_formula(
        cls, formula: str, data: pd.DataFrame, sampling_variance: str, proximity: Any, area: str | None = None
    ) -> SpatialFayHerriot:
        """Build the model from a table, as `FayHerriot.from_formula` does."""
        model = object.__new__(cls)
        model._keep(AreaData.from_formula(formula, data, sampling_variance, area), proximity)
        return model

    def _keep(self, data: AreaData, proximity: Any) -> None:
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "near", Neighbours.of(read_proximity(proximity, data.codes)))

    def loglike(self, rho: float, sigma2_v: float, method: Likelihood = "reml") -> float:
        """Return the log-likelihood of the variance components.

        Parameters
        ----------
        rho : float
            Between -1 and 1.
        sigma2_v : float
            Above 0, in squared units of y.
        method : {"reml", "ml"}
            REML: log of the integral of p(y | beta) over all beta, flat of density one,
            -[(n - p) log 2 pi + log |V| + log |X'V^{-1}X| + y'Py] / 2 with n sampled areas and p coefficients; as the
            standard deviation s of normal priors of beta grows, log p(y) + p log s + p log(2 pi) / 2 tends to it. So
            has lme4; others add log |X'X| / 2. ML: log p(y | beta) at the best beta.

        Raises
        ------
        ModelError
            If the method is unknown, or the components impossible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        if not (abs(rho) < 1 and 0 < sigma2_v < np.inf):
            got = f"rho {rho:g}, sigma2_v {sigma2_v:g}"
            raise ModelError(
                "there is no likelihood at these components", got, "|rho| < 1, sigma2_v > 0", "correct them"
            )
        return self._at(rho, sigma2_v, self.data.y).loglike(restricted=method == "reml")

    def fit(self, method: Likelihood = "reml", tol: float = 1e-10, maxiter: int = 100) -> SpatialFayHerriotResults:
        """Estimate sigma2_v, rho and beta, and predict every area.

        Parameters
        ----------
        method : {"reml", "ml"}
        tol : float
            Relative change of sigma2_v, and change of rho, at which it has converged.
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
            If sigma2_v is zero, or rho at the edge of what is possible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        data, maximum = self.data, self._maximum(self.data.y, method, tol, maxiter)
        sar, zero = maximum.at, maximum.zero
        eblup = data.x @ sar.beta + (0.0 if zero else sar.effect)
        parts = without_effects(sar) if zero else terms(sar, method == "reml")
        results = SpatialFayHerriotResults(
            model=self,
            method=method,
            beta=sar.beta,
            cov_beta=sar.cov_beta,
            llf=sar.loglike(),
            converged=maximum.converged,
            trace=pd.DataFrame(maximum.trace, columns=["sigma2_v", "rho", "criterion"]),
            sigma2_v=0.0 if zero else sar.sigma2,
            mse_terms=parts,
            rho=np.nan if zero else sar.rho,
            sar=sar,
            **data.series(eblup=eblup, mse=parts.mse, gamma=np.where(data.sampled, parts.g1 * sar.weight, 0.0)),
        )
        results.warn()
        return results

    def _at(self, rho: float, sigma2_v: float, y: Floats) -> Sar:
        return Sar(self.near, sigma2_v, rho, *_arrays(self.data, y), self.data.x)

    def _maximum(self, y: Floats, method: str, tol: float = 1e-10, maxiter: int = 100) -> SarMaximum:
        """Maximise the likelihood of direct estimates y, NaN where there is no sample."""
        data, seen = self.data, ~np.isnan(y)
        start = estimate(y[seen], data.x[seen], data.d[seen], "amrl_yl").sigma2_v
        return maximise(
            self.near, *_arrays(data, y), data.x, start, restricted=method == "reml", tol=tol, maxiter=maxiter
        )


def _arrays(data: AreaData, y: Floats) -> tuple[Floats, Floats]:
    """1 / D and y, zero where there is no sample."""
    seen = ~np.isnan(y)
    return np.divide(1.0, data.d, out=np.zeros(len(y)), where=seen), np.where(seen, y, 0.0)


@dataclass(frozen=True, repr=False)
class SpatialFayHerriotResults(AreaResults):
    """A fitted spatial Fay-Herriot model; see `AreaResults` for the rest.

    Attributes
    ----------
    mse_terms : SpatialTerms
        What the analytic MSE is made of.
    rho : float
        Autocorrelation of the area effects; NaN if sigma2_v is zero.
    sar : Sar
        The model at its estimates.

    Examples
    --------
    >>> line = np.diag(np.ones(7), 1) + np.diag(np.ones(7), -1)
    >>> fit = SpatialFayHerriot([1.0, 2.5, 1.8, 3.2, 2.2, 3.0, 4.0, 2.9], np.ones(8), [0.1] * 8, line).fit()
    >>> round(fit.test_autocorrelation().pvalue, 2)
    0.52
    """

    mse_terms: SpatialTerms
    rho: float
    sar: Sar

    model_name = "Spatial Fay-Herriot (SAR)"

    @property
    def n_components(self) -> int:
        """Number of variance components: sigma2_v and rho."""
        return 2

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, beta integrated out; see `SpatialFayHerriot.loglike`."""
        return self.sar.loglike(restricted=True)

    @property
    def random_effects(self) -> pd.Series:
        """Predicted u of all areas."""
        return pd.Series(self.sar.effect * (self.sigma2_v > 0), index=self.data.codes, name="random_effects")

    @property
    def cov_components(self) -> pd.DataFrame:
        """Asymptotic covariance of sigma2_v and rho: inverse expected information; NaN where sigma2_v is zero."""
        names = ["sigma2_v", "rho"]
        if self.sigma2_v == 0:
            return pd.DataFrame(np.nan, names, names)
        return pd.DataFrame(np.linalg.inv(self.mse_terms.information), names, names)

    def test_autocorrelation(self) -> TestResult:
        """Test that rho is zero, by likelihood ratio against the Fay-Herriot model: chi2(1)."""
        y, x, d = self.data.observed
        restricted = self.method == "reml"
        null = estimate(y, x, d, cast(Method, self.method))
        below = gls(null.sigma2_v, y, x, d).loglike(restricted)
        ratio = max(2 * (self.sar.loglike(restricted) - below), 0.0)
        return TestResult("likelihood ratio", ratio, float(chi2.sf(ratio, 1)))

    def predict(self, x: ArrayLike) -> pd.DataFrame:
        """Refuse areas outside the model: their neighbours are not known.

        Raises
        ------
        ModelError
        """
        raise ModelError(
            "areas outside the model cannot be predicted",
            f"{len(self.data.matrix(x)[0])} areas without proximities",
            "areas of the model",
            "give them to the model with their proximities, and a missing direct estimate",
        )

    def _resampling(self) -> Resampling:
        data, sar, model = self.data, self.sar, self.model
        mean, d = data.x @ sar.beta, np.where(data.sampled, data.d, np.nan)

        def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
            theta = mean + np.sqrt(sar.sigma2) * sar.of_c.back(rng.normal(size=len(mean)))
            return theta, theta + np.sqrt(d) * rng.normal(size=len(mean))

        def refit(y: Floats) -> Prediction:
            maximum = model._maximum(y, self.method, tol=1e-6)
            return _prediction(maximum.at, maximum.converged)

        def known(y: Floats) -> Prediction:
            return _prediction(model._at(sar.rho, sar.sigma2, y))

        return draw, refit, known, self.mse_terms.g1 + self.mse_terms.g2

    def _components(self) -> dict[str, str]:
        return super()._components() | {"rho": f"{self.rho:.4f}"}

    def _edges(self) -> list[str]:
        edge = [f"rho is estimated at the edge of what is possible, {self.rho:.4f}"] if abs(self.rho) >= EDGE else []
        return [*super()._edges(), *edge]


def _prediction(at: Sar, converged: bool = True) -> Prediction:
    g2 = quadratic(at.x - at.f, at.cov_beta)
    return Prediction(at.x @ at.beta + at.effect, at.inverse_a[-len(g2) :] + g2, converged)
