"""What a fitted multivariate Fay-Herriot model says: coefficients, Sigma, EBLUPs and their MSE matrices.

AIC and BIC count b and the parameters of Sigma in the full likelihood at the estimates, also after REML; BIC takes the
log of the number of direct estimates. For ar1, in which Sigma is not linear in its parameters, the analytic MSE leaves
out a term of order 1/m from the curvature of Sigma.

References
----------
Gonzalez-Manteiga, W. et al. (2008). CSDA 52. Datta, G.S. and Lahiri, P. (2000). Statistica Sinica 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.classical.inference import Coefficients
from buurtsae.classical.multivariate.covariances import Structure
from buurtsae.classical.multivariate.likelihood import Maximum, SquaredErrors, at, eblup, information, squared_errors
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot


@dataclass(frozen=True)
class MultivariateFayHerriotResults(Coefficients):
    """A fitted multivariate Fay-Herriot model.

    Attributes
    ----------
    model : MultivariateFayHerriot
    method : {"reml", "ml"}
    structure : str
    family : Structure
    maximum : Maximum
        Of the likelihood, with the trace of the search.
    """

    model: MultivariateFayHerriot
    method: str
    structure: str
    family: Structure
    maximum: Maximum

    @property
    def converged(self) -> bool:
        """Whether the maximum was found."""
        return self.maximum.converged

    @property
    def trace(self) -> pd.DataFrame:
        """Log-likelihood and largest scaled score at every step."""
        return pd.DataFrame(self.maximum.trace, columns=["llf", "score"])

    @cached_property
    def params(self) -> pd.Series:
        """Regression coefficients, by measure and covariate."""
        b = np.linalg.solve(self.model.blocks.root, self.maximum.here.delta)
        return pd.Series(b, self.model.names, name="params")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        half = np.linalg.inv(self.model.blocks.root)
        return pd.DataFrame(half @ self.maximum.here.inverse @ half.T, self.model.names, self.model.names)

    @property
    def sigma_v(self) -> pd.DataFrame:
        """Sigma, the covariance of the area effects."""
        measures = list(self.model.measures)
        return pd.DataFrame(self.maximum.here.sigma, measures, measures)

    @property
    def covariance_params(self) -> pd.DataFrame:
        """Parameters of Sigma with asymptotic standard errors."""
        values, slopes = self.family.natural(self.maximum.free)
        error = np.sqrt(np.diag(np.linalg.inv(information(self.maximum.here, slopes))))
        return pd.DataFrame({"estimate": values, "std_error": error}, self.family.names(self.model.measures))

    @property
    def at_boundary(self) -> bool:
        """Whether the estimate of Sigma is singular, beside the sampling errors of what is seen."""
        seen = self.model.blocks.seen
        own = np.where(seen, np.einsum("dii->di", self.model.blocks.sampling), np.nan)
        scale = np.sqrt(np.nanmedian(own, axis=0))
        return bool(np.linalg.eigvalsh(self.maximum.here.sigma / np.outer(scale, scale))[0] < 1e-8)

    @cached_property
    def llf(self) -> float:
        """Log-likelihood at the estimates, the full one also after REML."""
        return at(self.model.blocks, self.maximum.here.sigma, restricted=False).llf

    @cached_property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, as lme4 has it, without the constant log |X'X| / 2."""
        return at(self.model.blocks, self.maximum.here.sigma, restricted=True).llf

    @property
    def aic(self) -> float:
        """Akaike's criterion: lower is better."""
        return 2 * (self._parameters - self.llf)

    @property
    def bic(self) -> float:
        """Schwarz's criterion: lower is better."""
        return float(self._parameters * np.log(self.nobs) - 2 * self.llf)

    @property
    def nobs(self) -> int:
        """Number of direct estimates."""
        return int(self.model.blocks.seen.sum())

    @cached_property
    def eblup(self) -> pd.DataFrame:
        """EBLUPs, shape (m, D), of measures without a direct estimate too."""
        return self._frame(eblup(self.model.blocks, self.maximum.here))

    @property
    def synthetic(self) -> pd.DataFrame:
        """X_d b, shape (m, D)."""
        return self._frame(self.model.blocks.z @ self.maximum.here.delta)

    @property
    def synthetic_mse(self) -> pd.DataFrame:
        """MSE of X_d b: Sigma + K - K W Sigma - Sigma W K with K = X A^{-1} X', shape (m, D)."""
        z, here = self.model.blocks.z, self.maximum.here
        k = z @ here.inverse @ z.transpose(0, 2, 1)
        both = k @ here.w @ here.sigma
        return self._frame(here.sigma.diagonal() + np.einsum("dii->di", k - 2 * both))

    @property
    def random_effects(self) -> pd.DataFrame:
        """Predicted area effects, shape (m, D)."""
        return self._frame(self.maximum.here.t @ self.maximum.here.sigma)

    @property
    def gamma(self) -> pd.DataFrame:
        """Weight of an area's own direct estimate in its EBLUP, the diagonal of Sigma W_d, shape (m, D)."""
        return self._frame(np.einsum("ij,dji->di", self.maximum.here.sigma, self.maximum.here.w))

    @cached_property
    def squared_errors(self) -> SquaredErrors:
        """Terms of the analytic MSE matrices."""
        return squared_errors(self.model.blocks, self.maximum.here, self.family.natural(self.maximum.free)[1])

    @property
    def mse_matrices(self) -> Floats:
        """Analytic mean squared errors and products, shape (m, D, D)."""
        return self.squared_errors.mse

    @property
    def mse(self) -> pd.DataFrame:
        """Analytic mean squared errors, shape (m, D)."""
        return self._frame(np.einsum("dii->di", self.mse_matrices))

    @property
    def residuals(self) -> pd.DataFrame:
        """Direct estimates less X_d b over their standard deviation in the model, shape (m, D)."""
        sd = np.sqrt(self.maximum.here.sigma.diagonal() + np.einsum("dii->di", self.model.covariances))
        return self._frame((self.model.endog - self.synthetic.to_numpy()) / sd)

    def predict(self) -> pd.DataFrame:
        """Return a row per area and measure: direct, `eblup`, `synthetic`, `gamma`, `mse`."""
        parts = {
            "direct": self._frame(self.model.endog),
            "eblup": self.eblup,
            "synthetic": self.synthetic,
            "gamma": self.gamma,
            "mse": self.mse,
        }
        return pd.DataFrame({name: part.stack(future_stack=True) for name, part in parts.items()})

    def summary(self) -> str:
        """Return the fit in text."""
        table = pd.DataFrame({"coef": self.params, "std err": self.bse, "z": self.tvalues, "P>|z|": self.pvalues})
        table = table.join(self.conf_int().set_axis(["[0.025", "0.975]"], axis=1))
        notes = {
            "the estimate of Sigma is singular": self.at_boundary,
            "the search for the maximum did not converge": not self.converged,
        }
        return "\n".join(
            [
                f"Multivariate Fay-Herriot model, Sigma {self.structure}",
                f"method {self.method.upper()}   areas {len(self.model.areas)}   measures {len(self.model.measures)}   "
                f"direct estimates {self.nobs}",
                f"log-likelihood {self.llf:.4f}   AIC {self.aic:.2f}   BIC {self.bic:.2f}",
                "",
                table.to_string(float_format=lambda v: f"{v:.4f}"),
                "",
                self.sigma_v.to_string(float_format=lambda v: f"{v:.4g}"),
                *(f"note: {note}" for note, holds in notes.items() if holds),
            ]
        )

    @property
    def _parameters(self) -> int:
        return len(self.params) + len(self.maximum.free)

    def _frame(self, values: Floats) -> pd.DataFrame:
        return pd.DataFrame(values, self.model.areas, list(self.model.measures))
