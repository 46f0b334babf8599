"""What every area-level fit tells, in the words of statsmodels: coefficients, EBLUP with its MSE, criteria, a summary.

Coefficients are normal given the variances: z-values, beta ~ N(beta_hat, (X' V^{-1} X)^{-1}). The log-likelihood is the
full one at the estimates, also of REML, so that AIC = -2 llf + 2 k and BIC = -2 llf + k log(m) compare fits; k counts
coefficients and variance components, m the areas with a sample.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.area.data import AreaData
from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.inference import Coefficients
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from statsmodels.iolib.summary import Summary


@dataclass(frozen=True)
class AreaResults(Coefficients):
    """A fitted area-level model.

    Attributes
    ----------
    data : AreaData
    method : str
        How the variance components were estimated.
    beta : ndarray, shape (p,)
    cov_beta : ndarray, shape (p, p)
    sigma2_v : float
        Variance of the area effects.
    eblup : Series
        Empirical best linear unbiased predictor of every area; synthetic where there is no sample.
    mse : Series
        Its estimated mean squared error.
    gamma : Series
        Weight of the direct estimate; 0 where there is none.
    llf : float
        Log-likelihood at the estimates; NaN, as AIC and BIC are, where the estimates solve equations of another kind.
    converged : bool
    trace : DataFrame
        Variance components and what is maximised or solved, per iteration.
    """

    data: AreaData
    method: str
    beta: Floats
    cov_beta: Floats
    sigma2_v: float
    eblup: pd.Series
    mse: pd.Series
    gamma: pd.Series
    llf: float
    converged: bool
    trace: pd.DataFrame

    model_name = "Fay-Herriot"
    k_components = 1

    @cached_property
    def nobs(self) -> int:
        """Number of areas with a direct estimate."""
        return int(self.data.sampled.sum())

    @property
    def params(self) -> pd.Series:
        """Coefficients."""
        return pd.Series(self.beta, index=list(self.data.names), name="coef")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients."""
        return pd.DataFrame(self.cov_beta, index=list(self.data.names), columns=list(self.data.names))

    @property
    def aic(self) -> float:
        """Akaike's criterion: lower is better."""
        return -2 * self.llf + 2 * (len(self.beta) + self.k_components)

    @property
    def bic(self) -> float:
        """Schwarz's criterion: lower is better."""
        return -2 * self.llf + float(np.log(self.nobs)) * (len(self.beta) + self.k_components)

    @property
    def fittedvalues(self) -> pd.Series:
        """Synthetic part x'beta of every area."""
        return pd.Series(self.data.x @ self.beta, index=self.data.areas, name="synthetic")

    @property
    def table(self) -> pd.DataFrame:
        """Per area direct and synthetic estimate, EBLUP, MSE, coefficient of variation, and gamma."""
        return pd.DataFrame(
            {
                "sampled": self.data.sampled,
                "direct": self.data.y,
                "sampling_variance": np.where(self.data.sampled, self.data.d, np.nan),
                "synthetic": self.fittedvalues,
                "eblup": self.eblup,
                "mse": self.mse,
                "cv": np.sqrt(self.mse) / np.abs(self.eblup),
                "gamma": self.gamma,
            },
            index=self.data.areas,
        )

    def predict(self, X: ArrayLike) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates.

        Parameters
        ----------
        X : DataFrame or array_like, shape (k, p)
            The variables of the formula, or the columns of the covariates.

        Returns
        -------
        DataFrame
            `estimate` and `mse`.
        """
        x, labels = self.data.matrix(X)
        return pd.DataFrame({"estimate": x @ self.beta, "mse": self._synthetic_mse(x)}, index=labels)

    def _synthetic_mse(self, x: Floats) -> Floats:
        """MSE of x'beta for the mean of an area with its own random effect."""
        return self.sigma2_v + np.einsum("kp,pq,kq->k", x, self.cov_beta, x, optimize=True)

    def _components(self) -> list[tuple[str, str]]:
        """Variance components, for the summary."""
        return [("sigma2_v:", f"{self.sigma2_v:.6g}")]

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the tables of a fit, as those of statsmodels."""
        from statsmodels.iolib.summary import Summary, summary_params
        from statsmodels.iolib.table import SimpleTable
        from statsmodels.iolib.tableformatting import fmt_2cols

        left = [
            ("Dep. Variable:", self.data.response),
            ("Model:", self.model_name),
            ("Method:", self.method.upper()),
            ("No. Areas:", str(len(self.data.areas))),
            ("With a sample:", str(self.nobs)),
        ]
        criteria = [
            ("Log-Likelihood:", f"{self.llf:.5g}"),
            ("AIC:", f"{self.aic:.5g}"),
            ("BIC:", f"{self.bic:.5g}"),
        ]
        right = [
            *self._components(),
            *([] if np.isnan(self.llf) else criteria),
            ("Converged:", "yes" if self.converged else "NO"),
            ("Mean gamma:", f"{self.gamma[self.data.sampled].mean():.3f}"),
        ]
        rows = max(len(left), len(right))
        left, right = (part + [("", "")] * (rows - len(part)) for part in (left, right))
        title = f"{self.model_name} Area-Level Model"
        top: Any = SimpleTable([[b] for _, b in left], stubs=[a for a, _ in left], title=title, txt_fmt=fmt_2cols)
        top.extend_right(SimpleTable([[b] for _, b in right], stubs=[a for a, _ in right], txt_fmt=fmt_2cols))
        given = (self, self.params, self.bse, self.tvalues, self.pvalues, self.conf_int(alpha).to_numpy())
        found = Summary()
        found.tables = [
            top,
            summary_params(given, yname=self.data.response, xname=list(self.data.names), alpha=alpha, use_t=False),
        ]
        if edges := self._edges():
            found.add_extra_txt([e.split("\n")[0] for e in edges])
        return found

    def warn(self) -> None:
        """Warn if the fit did not converge, with the last iterations, or if it is at an edge."""
        if not self.converged:
            last = self.trace.tail(5).to_string(float_format=lambda v: f"{v:.8g}")
            warnings.warn(
                f"{self.model_name} by {self.method} did not converge in {len(self.trace) - 1} iterations; the last:\n"
                f"{last}\n  hint: raise maxiter, or look for areas with extreme sampling variances",
                NotConvergedWarning,
                stacklevel=3,
            )
        for edge in self._edges():
            warnings.warn(edge, BoundaryWarning, stacklevel=3)

    def _edges(self) -> list[str]:
        """What is estimated at the edge of what is possible."""
        if self.sigma2_v > 0:
            return []
        return [
            f"sigma2_v is estimated at zero by {self.method}: every EBLUP is the synthetic estimate\n"
            "  hint: FayHerriot's method='amrl_yl' is never zero; a test says whether the data speak against zero"
        ]
