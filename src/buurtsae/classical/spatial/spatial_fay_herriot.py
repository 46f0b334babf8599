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
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from buurtsae.classical.area.bootstrap import Prediction, bootstrap
from buurtsae.classical.area.components import estimate, gls
from buurtsae.classical.area.data import AreaData
from buurtsae.classical.area.diagnostics import TestResult
from buurtsae.classical.area.results import AreaResults
from buurtsae.classical.spatial.proximity import read_proximity
from buurtsae.classical.spatial.sar import EDGE, Neighbours, Sar, SarMaximum, maximise
from buurtsae.classical.spatial.sar_mse import SpatialParts, parts, without_effects
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats


@dataclass(frozen=True, init=False)
class SpatialFayHerriot:
    """Spatial Fay-Herriot model of areas.

    Parameters
    ----------
    y, X, sampling_variance, areas
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
    """

    data: AreaData
    near: Neighbours

    def __init__(
        self,
        y: ArrayLike,
        X: ArrayLike,
        sampling_variance: ArrayLike,
        proximity: Any,
        areas: ArrayLike | None = None,
    ) -> None:
        self._keep(AreaData.of(y, X, sampling_variance, areas), proximity)

    @classmethod
    def from_formula(
        cls, formula: str, data: pd.DataFrame, sampling_variance: str, proximity: Any, areas: str | None = None
    ) -> SpatialFayHerriot:
        """Build the model from a table, as `FayHerriot.from_formula` does."""
        made = object.__new__(cls)
        made._keep(AreaData.from_formula(formula, data, sampling_variance, areas), proximity)
        return made

    def _keep(self, data: AreaData, proximity: Any) -> None:
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "near", Neighbours.of(read_proximity(proximity, data.areas)))

    def fit(
        self, method: Literal["reml", "ml"] = "reml", tol: float = 1e-10, maxiter: int = 100
    ) -> SpatialFayHerriotResults:
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
        if method not in ("reml", "ml"):
            raise ModelError("the method of estimation is unknown", repr(method), "reml or ml", "choose one of these")
        data, seen = self.data, self.data.sampled
        found = self._maximum(data.y, method, tol, maxiter)
        at = found.at
        mean = data.x @ at.beta
        terms = without_effects(at) if found.zero else parts(at, method == "reml")
        results = SpatialFayHerriotResults(
            data=data,
            method=method,
            beta=at.beta,
            cov_beta=at.cov_beta,
            sigma2_v=0.0 if found.zero else at.sigma2,
            eblup=pd.Series(mean if found.zero else mean + at.effect, index=data.areas, name="eblup"),
            mse=pd.Series(terms.mse, index=data.areas, name="mse"),
            gamma=pd.Series(np.where(seen, terms.g1 * at.weight, 0.0), data.areas, name="gamma"),
            llf=at.loglike(),
            converged=found.converged,
            trace=pd.DataFrame(found.trace, columns=["sigma2_v", "rho", "criterion"]),
            rho=np.nan if found.zero else at.rho,
            model=self,
            at=at,
            terms=terms,
        )
        results.warn()
        return results

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


@dataclass(frozen=True)
class SpatialFayHerriotResults(AreaResults):
    """A fitted spatial Fay-Herriot model; see `AreaResults` for the rest.

    Attributes
    ----------
    rho : float
        Autocorrelation of the area effects; NaN if sigma2_v is zero.
    model : SpatialFayHerriot
    at : Sar
        The model at its estimates.
    terms : SpatialParts
        What the analytic MSE is made of.
    """

    rho: float
    model: SpatialFayHerriot
    at: Sar
    terms: SpatialParts

    model_name = "Spatial Fay-Herriot (SAR)"
    k_components = 2

    @property
    def random_effects(self) -> pd.Series:
        """Predicted u of all areas."""
        return pd.Series(self.at.effect * (self.sigma2_v > 0), index=self.data.areas, name="u")

    @property
    def cov_components(self) -> pd.DataFrame:
        """Asymptotic covariance of sigma2_v and rho: inverse expected information; NaN where sigma2_v is zero."""
        names = ["sigma2_v", "rho"]
        if self.sigma2_v == 0:
            return pd.DataFrame(np.nan, names, names)
        return pd.DataFrame(np.linalg.inv(self.terms.information), names, names)

    def test_autocorrelation(self) -> TestResult:
        """Test that rho is zero, by likelihood ratio against the Fay-Herriot model: chi2(1)."""
        data, seen = self.data, self.data.sampled
        y, x, d = data.y[seen], data.x[seen], data.d[seen]
        restricted = self.method == "reml"
        null = estimate(y, x, d, self.method)  # type: ignore[arg-type]  # checked by `fit`
        below = gls(null.sigma2_v, y, x, d).loglike(restricted)
        ratio = max(2 * (self.at.loglike(restricted) - below), 0.0)
        return TestResult("likelihood ratio", ratio, float(chi2.sf(ratio, 1)))

    def bootstrap_mse(self, replications: int = 200, seed: int | None = None) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap.

        Returns
        -------
        DataFrame
            `naive` and `corrected` (for the bias of g1 and g2) per area.
        """
        data, at = self.data, self.at
        mean = data.x @ at.beta
        spread = np.sqrt(np.where(data.sampled, data.d, np.nan))

        def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
            theta = mean + np.sqrt(at.sigma2) * at.of_c.back(rng.normal(size=len(mean)))
            return theta, theta + spread * rng.normal(size=len(mean))

        def refit(y: Floats) -> Prediction:
            found = self.model._maximum(y, self.method, tol=1e-6)
            return _prediction(found.at, found.converged)

        def known(y: Floats) -> Prediction:
            return _prediction(Sar(at.near, at.sigma2, at.rho, *_arrays(data, y), data.x))

        found = bootstrap(draw, refit, known, self.terms.g1 + self.terms.g2, replications, seed)
        return pd.DataFrame({"naive": found.naive, "corrected": found.corrected}, index=data.areas)

    def _synthetic_mse(self, x: Floats) -> Floats:
        raise ModelError(
            "areas outside the model cannot be predicted",
            f"{len(x)} areas without proximities",
            "areas of the model",
            "give them to the model with their proximities, and a missing direct estimate",
        )

    def _components(self) -> list[tuple[str, str]]:
        return [*super()._components(), ("rho:", f"{self.rho:.4f}")]

    def _edges(self) -> list[str]:
        edge = [f"rho is estimated at the edge of what is possible, {self.rho:.4f}"] if abs(self.rho) >= EDGE else []
        return [*super()._edges(), *edge]


def _prediction(at: Sar, converged: bool = True) -> Prediction:
    rest = at.x - at.f
    g2 = np.einsum("ip,pq,iq->i", rest, at.cov_beta, rest, optimize=True)
    return Prediction(at.x @ at.beta + at.effect, at.inverse_a[-len(g2) :] + g2, converged)
