"""What every area-level fit tells: EBLUP with its MSE beside direct and synthetic estimates; the rest is in `core`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.area.data import AreaData
from buurtsae.classical.area.mse import AreaTerms, synthetic
from buurtsae.classical.core import MseTerms, Resampling, Results, bootstrap


@dataclass(frozen=True, repr=False)
class AreaResults(Results):
    """A fitted area-level model; see `Results` for coefficients and criteria.

    Attributes
    ----------
    sigma2_v : float
        Variance of the area effects, in squared units of y.
    eblup : Series, shape (m,)
        Empirical best linear unbiased predictor of every area; synthetic where there is no sample.
    mse : Series, shape (m,)
        Its estimated mean squared error.
    gamma : Series, shape (m,)
        Weight of the direct estimate; 0 where there is none.
    mse_terms : MseTerms
        What the analytic MSE is made of.
    """

    sigma2_v: float
    eblup: pd.Series
    mse: pd.Series
    gamma: pd.Series
    mse_terms: MseTerms

    model_name = "Fay-Herriot"

    @property
    def data(self) -> AreaData:
        """Direct estimates, covariates and sampling variances of the model."""
        data: AreaData = self.model.data
        return data

    @property
    def response(self) -> str:
        """Name of what was modelled."""
        return self.data.response

    @property
    def names(self) -> pd.Index:
        """Names of the coefficients."""
        return pd.Index(self.data.names)

    @cached_property
    def nobs(self) -> int:
        """Number of areas with a direct estimate."""
        return int(self.data.sampled.sum())

    @property
    def synthetic(self) -> pd.Series:
        """Synthetic part x'beta of every area."""
        return pd.Series(self.data.x @ self.beta, index=self.data.codes, name="synthetic")

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` direct and synthetic estimate, EBLUP, MSE, coefficient of variation, and gamma."""
        return pd.DataFrame(
            {
                "sampled": self.data.sampled,
                "direct": self.data.y,
                "sampling_variance": np.where(self.data.sampled, self.data.d, np.nan),
                "synthetic": self.synthetic,
                "eblup": self.eblup,
                "mse": self.mse,
                "cv": np.sqrt(self.mse) / np.abs(self.eblup),
                "gamma": self.gamma,
            },
            index=self.data.codes,
        )

    def bootstrap_mse(self, replications: int = 400, seed: int | None = None) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap.

        Returns
        -------
        DataFrame, shape (m, 3)
            By area `naive`, `corrected` (for the bias of g1 and g2), and `mc_error`, the standard error of `naive`.

        Raises
        ------
        ModelError
            If there are fewer than two replications, or less than half of the refits converge.
        """
        return pd.DataFrame(bootstrap(*self._resampling(), replications, seed), index=self.data.codes)

    @abstractmethod
    def _resampling(self) -> Resampling:
        """Return what `core.bootstrap` needs."""

    def _sizes(self) -> dict[str, str]:
        return {"No. Areas": str(len(self.data.codes)), "With a sample": str(self.nobs)}

    def _components(self) -> dict[str, str]:
        return {"sigma2_v": f"{self.sigma2_v:.6g}", "Mean gamma": f"{self.gamma[self.data.sampled].mean():.3f}"}

    def _edges(self) -> list[str]:
        if self.sigma2_v > 0:
            return []
        return [
            f"sigma2_v is estimated at zero by {self.method}: every EBLUP is the synthetic estimate\n"
            "  hint: FayHerriot's method='amrl_yl' is never zero; a test says whether the data speak against zero"
        ]


@dataclass(frozen=True, repr=False)
class VarianceResults(AreaResults):
    """A fitted model of unrelated areas with covariates that are known: it predicts other areas too.

    Attributes
    ----------
    mse_terms : AreaTerms
        What the analytic MSE of the sampled areas is made of.
    """

    mse_terms: AreaTerms

    def predict(self, x: ArrayLike) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates.

        Parameters
        ----------
        x : DataFrame or array_like, shape (k, p)
            The variables of the formula, or the columns of the covariates.

        Returns
        -------
        DataFrame, shape (k, 2)
            `eblup` and `mse`.

        Raises
        ------
        ModelError or ProblemsError
            If covariates are absent, missing, infinite or too few.
        """
        values, codes = self.data.matrix(x)
        mse = synthetic(values, self.sigma2_v, self.mse_terms.bias, self.cov_beta)
        return pd.DataFrame({"eblup": values @ self.beta, "mse": mse}, index=codes)
