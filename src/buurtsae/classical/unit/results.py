"""What a fitted nested error model says: coefficients, variances, EBLUPs with their MSE, residuals and tests.

The residuals y_ij - a_i ybar_i - (x_ij - a_i xbar_i)'b, a_i = 1 - sqrt(1 - gamma_i), are independent
with variance s2e. Tests stand in `diagnostics`.

References
----------
Fuller, W.A. and Battese, G.E. (1973). Transformations for estimation of linear models with nested-error structure.
JASA 68. Rao and Molina (2015), section 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from buurtsae.classical.core import Results, TestResult
from buurtsae.classical.unit.diagnostics import area_effect, normality
from buurtsae.classical.unit.likelihood import Gls, Maximum, deviance
from buurtsae.classical.unit.mse import UnitTerms, Variances, bootstrap_mse, predict, terms
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    from buurtsae.classical.unit.nested_error import NestedError


@dataclass(frozen=True, repr=False)
class NestedErrorResults(Results):
    """A fitted nested error model; see `Results` for coefficients and criteria.

    Attributes
    ----------
    maximum : Maximum
        Of the likelihood: the ratio s2v / s2e.
    fixed : bool
        The ratio of the variances was not estimated.
    gls : Gls
        The regression at this ratio.
    variances : Variances
        Both variance components, and what is known of them.

    Examples
    --------
    >>> from buurtsae.classical.unit.nested_error import NestedError
    >>> model = NestedError([2.0, 3.0, 5.0, 4.0, 7.0, 8.0], np.ones(6), ["a", "a", "b", "b", "c", "c"])
    >>> fit = model.fit()
    >>> round(fit.test_area_effect("f").pvalue, 3)
    0.013
    >>> fit.predict(pd.DataFrame({"x0": 1.0}, index=["c", "d"]))["eblup"].round(2).tolist()
    [7.39, 4.83]
    """

    model: NestedError
    maximum: Maximum
    fixed: bool
    gls: Gls
    variances: Variances

    model_name = "Nested Error (Battese-Harter-Fuller)"

    @property
    def response(self) -> str:
        """Name of what was modelled."""
        return self.model.response

    @property
    def names(self) -> pd.Index:
        """Names of the coefficients."""
        return pd.Index(self.model.names)

    @property
    def nobs(self) -> int:
        """Number of units."""
        return int(self.model.sample.n.sum())

    @property
    def n_components(self) -> int:
        """Number of variance components."""
        return 2

    @property
    def sigma2_v(self) -> float:
        """Variance of the area effects; 0 where the likelihood falls from there on (`at_boundary`)."""
        return self.variances.area

    @property
    def sigma2_e(self) -> float:
        """Variance of the unit errors."""
        return self.variances.unit

    @property
    def cov_components(self) -> pd.DataFrame:
        """Asymptotic covariance of the variances: inverse Fisher information."""
        names = ["sigma2_v", "sigma2_e"]
        return pd.DataFrame(self.variances.covariance, names, names)

    @property
    def random_effects(self) -> pd.Series:
        """Predicted area effects v of the sampled areas."""
        sample, y = self.model.sample, self.model.answers
        return (self.gamma * (y.mean - sample.zbar @ self.gls.delta)).rename("random_effects")

    @property
    def gamma(self) -> pd.Series:
        """Weight of an area's own units, s2v / (s2v + s2e / n), in the sampled areas."""
        reach = self.maximum.ratio * self.model.sample.n
        return pd.Series(reach / (1 + reach), self.model.codes, name="gamma")

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood at the ratio of the variances, as lme4 and statsmodels have it; see `core`."""
        ratio = np.array([self.maximum.ratio])
        return float(-deviance(self.model.sample, self.model.answers, ratio, restricted=True)[0] / 2)

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` what `predict` says of the areas of the model's `means`."""
        return self.predict()

    @property
    def eblup(self) -> pd.Series:
        """EBLUPs of the means of the areas of the model's `means`."""
        return self.table["eblup"]

    @property
    def mse(self) -> pd.Series:
        """Their analytic mean squared errors."""
        return self.table["mse"]

    @property
    def synthetic(self) -> pd.Series:
        """Synthetic parts Xbar'b of these means."""
        return self.table["synthetic"]

    @property
    def mse_terms(self) -> UnitTerms:
        """What their analytic MSE is made of."""
        return self._terms(None, None)

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
        DataFrame, shape (t, 10)
            By `area_code` `n`, `synthetic`, `eblup`, `mse`, `cv`, `gamma`, and of the MSE `g1`, `g2`, `g3` and
            `known_variances` (without g3).

        Raises
        ------
        ModelError or ProblemsError
            If there are no population means, or they cannot be used.
        """
        codes, targets = self.model.targets(means, sizes)
        means_hat = predict(self.model.sample, self.model.answers, self.gls, targets)
        parts = self._terms(means, sizes)
        return pd.DataFrame(
            {
                "n": targets.seen(self.model.sample.n.astype(float)).astype(int),
                "synthetic": means_hat.synthetic,
                "eblup": means_hat.mean,
                "mse": parts.mse,
                "cv": np.sqrt(parts.mse) / np.abs(means_hat.mean),
                "gamma": means_hat.gamma,
                "g1": parts.g1,
                "g2": parts.g2,
                "g3": parts.g3,
                "known_variances": parts.known_variances,
            },
            index=codes,
        )

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
        DataFrame, shape (t, 3)
            By area `naive`, `corrected` (for the bias of g1 and g2), and `mc_error`, the standard error of `naive`.

        Raises
        ------
        ModelError or ProblemsError
            If there are fewer than two replications, less than half of the refits converge, the ratio was fixed, or as
            in `predict`.
        """
        if self.fixed:
            raise ModelError(
                "there is nothing to bootstrap", "a fixed ratio of the variances", "an estimated one", "fit"
            )
        codes, targets = self.model.targets(means, sizes)
        model, restricted = self.model, self.method == "reml"
        parts = bootstrap_mse(
            model.sample, model.answers, self.gls, self.variances, targets, restricted, replications, seed
        )
        return pd.DataFrame(parts, index=codes)

    @cached_property
    def residuals(self) -> Floats:
        """Standardised residuals of the units, independent N(0, 1) under the model; shape (n,)."""
        model = self.model
        rest = model.y - model.x.to_numpy() @ self.beta
        mean = model.answers.mean - model.sample.zbar @ self.gls.delta
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

    def test_area_effect(self, kind: Literal["lr", "f"] = "lr") -> TestResult:
        """Test that there are no area effects, s2v = 0: by likelihood ratio, or by the exact F test."""
        return area_effect(self, kind)

    def _terms(self, means: pd.DataFrame | None, sizes: pd.Series | None) -> UnitTerms:
        return terms(self.model.sample, self.gls, self.variances, self.model.targets(means, sizes)[1])

    def _sizes(self) -> dict[str, str]:
        n = self.model.sample.n
        return {"No. Units": str(self.nobs), "No. Areas": str(len(n)), "Units per Area": f"{n.min()} to {n.max()}"}

    def _components(self) -> dict[str, str]:
        gamma = f"{self.gamma.min():.3f} to {self.gamma.max():.3f}"
        return {"sigma2_v": f"{self.sigma2_v:.6g}", "sigma2_e": f"{self.sigma2_e:.6g}", "Gamma": gamma}

    def _remarks(self) -> list[str]:
        tests = [self.test_area_effect(kind) for kind in ("f", "lr")]
        effect = "no area effect: " + ", ".join(f"p = {t.pvalue:.4g} ({t.name})" for t in tests)
        return [effect, *(["the ratio of the variances was not estimated"] if self.fixed else []), *super()._remarks()]

    def _edges(self) -> list[str]:
        if self.fixed or self.maximum.ratio > 0:
            return []
        return [
            f"sigma2_v is estimated at zero by {self.method}: every EBLUP is the synthetic estimate\n"
            "  hint: `test_area_effect` says whether the data speak against zero"
        ]
