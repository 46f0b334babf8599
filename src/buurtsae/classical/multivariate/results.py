"""What a fitted multivariate Fay-Herriot model says: coefficients, Sigma, EBLUPs and their MSE matrices.

BIC takes the log of the number of direct estimates. For ar1, in which Sigma is not linear in its parameters, the
analytic MSE leaves out a term of order 1/m from the curvature of Sigma.

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

from buurtsae.classical.core import MseTerms, Results
from buurtsae.classical.multivariate.covariances import Structure
from buurtsae.classical.multivariate.likelihood import Maximum, at, eblup, information, terms
from buurtsae.notes import Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary

    from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot


@dataclass(frozen=True, repr=False)
class MultivariateFayHerriotResults(Results):
    """A fitted multivariate Fay-Herriot model; see `Results` for coefficients and criteria.

    Attributes
    ----------
    structure : str
    family : Structure
    maximum : Maximum
        Of the likelihood: free parameters of Sigma, and the model there.

    Examples
    --------
    >>> from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
    >>> y = [[1.0, 2.0], [2.0, 1.5], [4.0, 5.0], [3.0, 3.5], [5.0, 4.0]]
    >>> fit = MultivariateFayHerriot(y, np.ones(5), np.tile([[0.2, 0.1], [0.1, 0.3]], (5, 1, 1))).fit()
    >>> fit.table.loc[(0, "y1"), ["direct", "synthetic", "eblup"]].round(2).tolist()
    [2.0, 3.2, 1.98]
    """

    model: MultivariateFayHerriot
    structure: str
    family: Structure
    maximum: Maximum

    model_name = "Multivariate Fay-Herriot"

    @property
    def response(self) -> str:
        """Names of the measures."""
        return ", ".join(self.model.measures)

    @property
    def names(self) -> pd.Index:
        """Measure and covariate of each coefficient."""
        return self.model.names

    @property
    def n_components(self) -> int:
        """Number of parameters of Sigma."""
        return len(self.maximum.free)

    @property
    def sigma_v(self) -> pd.DataFrame:
        """Sigma, the covariance of the area effects."""
        measures = list(self.model.measures)
        return pd.DataFrame(self.maximum.here.sigma, measures, measures)

    @property
    def components(self) -> pd.DataFrame:
        """Parameters of Sigma with asymptotic standard errors."""
        values, slopes = self.family.natural(self.maximum.free)
        error = np.sqrt(np.diag(np.linalg.inv(information(self.maximum.here, slopes))))
        return pd.DataFrame({"estimate": values, "std_error": error}, self.family.names(self.model.measures))

    @cached_property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, beta integrated out; see `core`."""
        return at(self.model.blocks, self.maximum.here.sigma, restricted=True).llf

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
    def mse_terms(self) -> MseTerms:
        """What the analytic MSE matrices are made of, shapes (m, D, D)."""
        return terms(self.model.blocks, self.maximum.here, self.family.natural(self.maximum.free)[1])

    @property
    def mse_matrices(self) -> Floats:
        """Analytic mean squared errors and products, shape (m, D, D)."""
        return self.mse_terms.mse

    @property
    def mse(self) -> pd.DataFrame:
        """Analytic mean squared errors, shape (m, D)."""
        return self._frame(np.einsum("dii->di", self.mse_matrices))

    @property
    def residuals(self) -> pd.DataFrame:
        """Direct estimates less X_d b over their standard deviation in the model, shape (m, D)."""
        sd = np.sqrt(self.maximum.here.sigma.diagonal() + np.einsum("dii->di", self.model.sampling_variance))
        return self._frame((self.model.y.to_numpy() - self.synthetic.to_numpy()) / sd)

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` and `measure` direct and synthetic estimate, EBLUP, MSE, its cv, and gamma."""
        direct = self.model.y
        parts = {
            "sampled": direct.notna(),
            "direct": direct,
            "sampling_variance": self._frame(np.einsum("dii->di", self.model.sampling_variance)).where(direct.notna()),
            "synthetic": self.synthetic,
            "eblup": self.eblup,
            "mse": self.mse,
            "cv": np.sqrt(self.mse) / self.eblup.abs(),
            "gamma": self.gamma,
        }
        table = pd.DataFrame({name: part.stack(future_stack=True) for name, part in parts.items()})
        return table.rename_axis(["area_code", "measure"])

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables of the fit, as `Results.summary` does, and Sigma."""
        from statsmodels.iolib.table import SimpleTable

        summary, measures = super().summary(alpha), list(self.model.measures)
        cells = self.sigma_v.map(lambda v: f"{v:.4g}").to_numpy()
        summary.tables.append(SimpleTable(cells, measures, measures, f"Sigma, {self.structure}"))
        return summary

    def _frame(self, values: Floats) -> pd.DataFrame:
        return pd.DataFrame(values, self.model.codes, list(self.model.measures))

    def _sizes(self) -> dict[str, str]:
        return {"No. Areas": str(len(self.model.codes)), "Direct Estimates": str(self.nobs)}

    def _components(self) -> dict[str, str]:
        return {"Sigma": self.structure, "Mean gamma": f"{self.gamma.to_numpy()[self.model.blocks.seen].mean():.3f}"}

    def _edges(self) -> list[str]:
        """Say where Sigma is singular, beside the sampling errors of what is seen."""
        blocks, sigma = self.model.blocks, self.maximum.here.sigma
        scale = np.sqrt(np.nanmedian(np.where(blocks.seen, np.einsum("dii->di", blocks.sampling), np.nan), axis=0))
        if np.linalg.eigvalsh(sigma / np.outer(scale, scale))[0] >= 1e-8:
            return []
        return [
            Note(
                "Sigma ({structure}) is estimated singular by {method}: a variance is zero, or effects of measures "
                "go together entirely\n  hint: structure='diagonal', or measures less alike",
                "Sigma ({structure}) is singulier geschat met {method}: een variantie is nul, of effecten van "
                "maten vallen samen\n  tip: structure='diagonal', of maten die minder op elkaar lijken",
                structure=self.structure,
                method=self.method,
            )
        ]
