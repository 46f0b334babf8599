"""What a fitted nested error model says: coefficients, variances, EBLUPs with their MSE, residuals and tests.

AIC and BIC count b and both variances in the full likelihood at the estimates, also after REML, as R's sae does for
its area models. The residuals y_ij - a_i ybar_i - (x_ij - a_i xbar_i)'b, a_i = 1 - sqrt(1 - gamma_i), are independent
with variance s2e. Tests and the summary stand in `diagnostics`.

References
----------
Fuller, W.A. and Battese, G.E. (1973). Transformations for estimation of linear models with nested-error structure.
JASA 68. Rao and Molina (2015), section 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.classical.inference import Coefficients
from buurtsae.classical.unit.diagnostics import no_area_effect, normality, summary
from buurtsae.classical.unit.likelihood import Gls, Maximum, degrees_of, deviance, gls
from buurtsae.classical.unit.mse import SquaredErrors, Variances, bootstrap, predict, squared_errors, variances
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.classical.unit.nested_error import NestedError


@dataclass(frozen=True)
class NestedErrorResults(Coefficients):
    """A fitted nested error model.

    Attributes
    ----------
    model : NestedError
    method : {"reml", "ml"}
    maximum : Maximum
        Of the likelihood, with the trace of the search.
    fixed : bool
        The ratio of the variances was given.
    """

    model: NestedError
    method: str
    maximum: Maximum
    fixed: bool

    @property
    def converged(self) -> bool:
        """Whether the maximum was found."""
        return self.maximum.converged

    @property
    def trace(self) -> pd.DataFrame:
        """Ratio s2v / s2e and derivative of the deviance at every step."""
        return pd.DataFrame(self.maximum.trace, columns=["ratio", "derivative"])

    @property
    def params(self) -> pd.Series:
        """Regression coefficients, by name."""
        b = self.model.sample.beta(self.model.response.centre + self._gls.delta)
        return pd.Series(b, self._names, name="params")

    def cov_params(self) -> pd.DataFrame:
        """Return the covariance matrix of the coefficients, s2e A^{-1}."""
        half = np.linalg.inv(self.model.sample.root)
        v = self.sigma2_e * half @ np.linalg.inv(self._gls.information) @ half.T
        return pd.DataFrame(v, self._names, self._names)

    @property
    def sigma2_v(self) -> float:
        """Variance of the area effects; 0 where the likelihood falls from there on (`at_boundary`)."""
        return self._variances.area

    @property
    def sigma2_e(self) -> float:
        """Variance of the unit errors."""
        return self._variances.unit

    @property
    def cov_variances(self) -> pd.DataFrame:
        """Asymptotic covariance of the variances: inverse Fisher information."""
        names = ["sigma2_v", "sigma2_e"]
        return pd.DataFrame(self._variances.covariance, names, names)

    @property
    def at_boundary(self) -> bool:
        """Whether the estimate of s2v is zero: EBLUPs are then synthetic."""
        return self.converged and not self.fixed and self.maximum.ratio == 0

    @property
    def random_effects(self) -> pd.Series:
        """Predicted area effects v of the sampled areas."""
        sample, y = self.model.sample, self.model.response
        return (self.gamma * (y.mean - sample.zbar @ self._gls.delta)).rename("random_effects")

    @property
    def gamma(self) -> pd.Series:
        """Weight of an area's own units, s2v / (s2v + s2e / n), in the sampled areas."""
        reach = self.maximum.ratio * self.model.sample.n
        return pd.Series(reach / (1 + reach), self.model.codes, name="gamma")

    @property
    def llf(self) -> float:
        """Log-likelihood at the estimates, the full one also after REML: S = degrees * s2e, whatever the method."""
        sample, s = self.model.sample, self._gls.squares
        log_det = np.log1p(self.maximum.ratio * sample.sizes) @ sample.counts
        return float(-(self.nobs * np.log(2 * np.pi * self.sigma2_e) + log_det + s / self.sigma2_e) / 2)

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood at the ratio of the variances, as lme4 and statsmodels have it."""
        ratio = np.array([self.maximum.ratio])
        return float(-deviance(self.model.sample, self.model.response, ratio, restricted=True)[0] / 2)

    @property
    def aic(self) -> float:
        """Akaike's criterion, -2 llf + 2 (p + 2)."""
        return 2 * (self._parameters - self.llf)

    @property
    def bic(self) -> float:
        """Schwarz's criterion, -2 llf + (p + 2) log n."""
        return float(self._parameters * np.log(self.nobs) - 2 * self.llf)

    @property
    def nobs(self) -> int:
        """Number of units."""
        return int(self.model.sample.n.sum())

    @property
    def eblup(self) -> pd.Series:
        """EBLUPs of the means of the areas of the model's `means`."""
        return self.predict()["eblup"]

    @property
    def mse(self) -> pd.Series:
        """Their analytic mean squared errors."""
        return self.predict()["mse"]

    def predict(self, means: pd.DataFrame | None = None, sizes: pd.Series | None = None) -> pd.DataFrame:
        """Return EBLUPs of population means, with their MSE and its terms.

        Parameters
        ----------
        means : DataFrame, optional
            Population means by area code, those of the model by default; areas outside the sample are synthetic.
        sizes : Series, optional
            Population sizes by area code.

        Returns
        -------
        DataFrame, shape (t, 9)
            `n`, `eblup`, `synthetic`, `gamma`, `mse`, and its terms `g1`, `g2`, `g3` and `known_variances` (without
            g3), by area code.

        Raises
        ------
        ModelError or ProblemsError
        """
        index, targets = self.model.targets(means, sizes)
        made = predict(self.model.sample, self.model.response, self._gls, targets)
        errors = self.squared_errors(means, sizes)
        return pd.DataFrame(
            {
                "n": targets.seen(self.model.sample.n.astype(float)).astype(int),
                "eblup": made.mean,
                "synthetic": made.synthetic,
                "gamma": made.gamma,
                "mse": errors.mse,
                "g1": errors.g1,
                "g2": errors.g2,
                "g3": errors.g3,
                "known_variances": errors.known_variances,
            },
            index=index,
        )

    def squared_errors(self, means: pd.DataFrame | None = None, sizes: pd.Series | None = None) -> SquaredErrors:
        """Return the terms of the analytic MSE, as arrays over the areas of `means`."""
        return squared_errors(self.model.sample, self._gls, self._variances, self.model.targets(means, sizes)[1])

    def bootstrap_mse(
        self,
        replications: int = 400,
        seed: int | None = None,
        means: pd.DataFrame | None = None,
        sizes: pd.Series | None = None,
    ) -> pd.DataFrame:
        """Return MSEs by parametric bootstrap, with their Monte Carlo standard errors.

        Parameters
        ----------
        replications : int
        seed : int, optional
        means, sizes : optional
            As in `predict`.

        Returns
        -------
        DataFrame, shape (t, 2)
            `mse` and `mc_error`.

        Raises
        ------
        ModelError or ProblemsError
            If there are fewer than two replications, the ratio was fixed, or as in `predict`.
        """
        if replications < 2 or self.fixed:
            got = "a fixed ratio of the variances" if self.fixed else f"{replications} replications"
            raise ModelError("there is nothing to bootstrap", got, "an estimated ratio, 2 or more", "correct it")
        index, targets = self.model.targets(means, sizes)
        model, rng = self.model, np.random.default_rng(seed)
        restricted = self.method == "reml"
        mse, error = bootstrap(
            model.sample, model.response, self._gls, self._variances, targets, restricted, replications, rng
        )
        return pd.DataFrame({"mse": mse, "mc_error": error}, index=index)

    @cached_property
    def residuals(self) -> Floats:
        """Standardised residuals of the units, independent N(0, 1) under the model; shape (n,)."""
        model = self.model
        rest = model.endog - model.exog @ self.params.to_numpy()
        mean = model.response.mean - model.sample.zbar @ self._gls.delta
        share = 1 - np.sqrt(1 - self.gamma.to_numpy())
        return (rest - (share * mean)[model.position]) / np.sqrt(self.sigma2_e)

    @property
    def standardised_effects(self) -> pd.Series:
        """Area effects over their standard deviation sqrt(gamma s2v); NaN where s2v is zero."""
        spread = np.sqrt(self.gamma * self.sigma2_v)
        return (self.random_effects / spread.where(spread > 0)).rename("standardised_effects")

    def normality(self) -> pd.DataFrame:
        """Return Jarque-Bera tests of the units' residuals and of the areas' effects."""
        return normality(self)

    def test_no_area_effect(self) -> pd.DataFrame:
        """Return the exact F test and the likelihood ratio test of s2v = 0: statistic and pvalue of each."""
        return no_area_effect(self)

    def summary(self) -> str:
        """Return the fit in text."""
        return summary(self)

    @cached_property
    def _gls(self) -> Gls:
        return gls(self.model.sample, self.model.response, self.maximum.ratio)

    @cached_property
    def _variances(self) -> Variances:
        restricted = self.method == "reml"
        found = variances(self.model.sample, self._gls, degrees_of(self.model.sample, restricted), restricted)
        return Variances(found.area, found.unit, np.zeros((2, 2)), np.zeros(2)) if self.fixed else found

    @property
    def _names(self) -> list[str]:
        return list(self.model.names)

    @property
    def _parameters(self) -> int:
        return self.model.sample.p + 2
