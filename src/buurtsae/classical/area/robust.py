r"""The robust Fay-Herriot model: gross area effects and direct estimates have a bounded say.

    y_i = x_i' beta + v_i + e_i,   v_i ~ (0, sigma2_v),   e_i ~ (0, D_i),

beta, sigma2_v and v solve the likelihood's equations with residuals huberised at k (`huber`). Where sigma2_v <= D_i
the REBLUP is x_i' beta plus an effect of at most k sigma2_v / sqrt(D_i); elsewhere it is at most k D_i / sigma_v from
y_i: a gross residual is put down to the more variable of the two, with a jump where sigma2_v = D_i, as Sinha and Rao's
equations have it. So a gross direct estimate is undone where D_i is large, but a gross effect that is real is as well:
`bias_corrected` keeps those. Covariates are trusted: an area far out in X still moves beta. O(m) time and memory.

References
----------
Sinha, S.K. and Rao, J.N.K. (2009). Robust small area estimation. Canadian J. Statistics 37. Chambers, R., Chandra, H.,
Salvati, N. and Tzavidis, N. (2014). Outlier robust small area estimation. JRSS B 76. Warnholz, S. (2016). Small area
estimation using robust extensions to area level models. Dissertation, Freie Universitaet Berlin. Efron, B. and Morris,
C. (1972). Limiting the risk of Bayes and empirical Bayes estimators. JASA 67.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.classical.area import huber
from buurtsae.classical.area.bootstrap import drawn
from buurtsae.classical.area.components import gls
from buurtsae.classical.area.data import VarianceModel
from buurtsae.classical.area.mse import synthetic
from buurtsae.classical.area.results import VarianceResults
from buurtsae.classical.core import Prediction, Resampling, bootstrap
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats


@dataclass(frozen=True, init=False, repr=False)
class RobustFayHerriot(VarianceModel):
    """Fay-Herriot model of areas, fitted robustly.

    Parameters
    ----------
    y, x, sampling_variance, area
        As in `FayHerriot`.

    Attributes
    ----------
    data : AreaData

    Raises
    ------
    DataError, ModelError or ProblemsError

    Examples
    --------
    >>> fit = RobustFayHerriot([1.0, 2.0, 3.0, 2.0, 40.0], [[1.0]] * 5, [0.5] * 5).fit()
    >>> float(fit.params.iloc[0]) < 4  # their mean is 9.6
    True
    """

    def fit(self, k: float = 1.345, tol: float = 1e-10, maxiter: int = 100) -> RobustFayHerriotResults:
        """Solve the robust equations, and predict every area.

        Parameters
        ----------
        k : float
            Standard deviations at which residuals are cut: at 1.345 beta has 95% of the efficiency of least squares
            in normal data, and `numpy.inf` gives the EBLUP by maximum likelihood.
        tol : float
            Relative precision of sigma2_v.
        maxiter : int

        Raises
        ------
        ModelError
            If k is not positive.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If sigma2_v is zero.
        """
        if not k > 0:
            raise ModelError("residuals cannot be cut at this k", str(k), "a positive number", "1.345 is common")
        data, seen = self.data, self.data.sampled
        y, x, d = data.observed
        solution = huber.estimate(y, x, d, k, tol, maxiter)
        sigma2_v, beta, z = solution.sigma2_v, solution.beta, huber.Moments.of(k)
        regression = gls(sigma2_v, y, x, d)
        terms = huber.terms(regression, sigma2_v, d, k)
        residual = y - x @ beta
        effect = huber.effects(residual, d, sigma2_v, k)
        eblup, gamma = data.x @ beta, np.zeros(len(data.y))
        eblup[seen] += effect
        gamma[seen] = np.divide(effect, residual, out=sigma2_v * regression.weight, where=residual != 0)
        cov_beta = regression.cov_beta * z.square / z.inside**2
        mse = synthetic(data.x, sigma2_v, terms.bias, cov_beta)
        mse[seen] = terms.mse
        results = RobustFayHerriotResults(
            model=self,
            method=f"Huber({k:g})",
            beta=beta,
            cov_beta=cov_beta,
            llf=np.nan,
            converged=solution.converged,
            trace=pd.DataFrame(solution.trace, columns=["sigma2_v", "equation"]),
            sigma2_v=sigma2_v,
            mse_terms=terms,
            k=k,
            **data.series(eblup=eblup, mse=mse, gamma=gamma),
        )
        results.warn()
        return results


@dataclass(frozen=True, repr=False)
class RobustFayHerriotResults(VarianceResults):
    """A fitted robust Fay-Herriot model; see `AreaResults` for the rest.

    `eblup` is the REBLUP, gamma the weight that it gives the direct estimate: eblup = gamma y + (1 - gamma) x'beta.
    `mse` holds under the normal model at these estimates, as the bootstrap does: it is that of areas which are no
    outliers. Nothing is maximised: there is no likelihood.

    Attributes
    ----------
    k : float
        Standard deviations at which residuals were cut.

    Examples
    --------
    >>> fit = RobustFayHerriot([1.0, 2.0, 3.0, 2.0, 40.0], [[1.0]] * 5, [0.5] * 5).fit()
    >>> fit.weights.round(2).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.04]
    """

    k: float

    model_name = "Robust Fay-Herriot"

    @property
    def random_effects(self) -> pd.Series:
        """Predicted v of the sampled areas."""
        return (self.eblup - self.synthetic)[self.data.sampled].rename("random_effects")

    @property
    def weights(self) -> pd.Series:
        """Weight of every sampled area in the equations, psi(z) / z: below 1 where its residual was cut."""
        data, seen = self.data, self.data.sampled
        z = (data.y - data.x @ self.beta)[seen] / np.sqrt(self.sigma2_v + data.d[seen])
        return pd.Series(huber.share(z, self.k), index=data.codes[seen], name="weight")

    def bias_corrected(self, c: float = 1.0) -> pd.Series:
        """Return the REBLUP kept within c standard errors of the direct estimate.

        An outlying area whose effect is real is then not drawn to the others: less bias there, more variance.

        Parameters
        ----------
        c : float
            Zero gives the direct estimate, infinity the REBLUP; synthetic where there is no sample.

        Raises
        ------
        ModelError
            If c is negative.
        """
        if not c >= 0:
            raise ModelError("estimates cannot be kept within this c", str(c), "zero or more", "1 is common")
        return pd.Series(
            _limited(self.eblup.to_numpy(), self.data.y, self.data.d, c), self.data.codes, name="reblup_bc"
        )

    def bootstrap_mse(self, replications: int = 400, seed: int | None = None, c: float = np.inf) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap from the normal model at the robust estimates.

        Parameters
        ----------
        replications : int
        seed : int, optional
        c : float
            For the MSE of ``bias_corrected(c)``.

        Returns
        -------
        DataFrame, shape (m, 3)
            By area `naive`, `corrected` (for the bias of g1 and g2; of the REBLUP, missing if c is finite), `mc_error`.

        Raises
        ------
        ModelError
            If there are fewer than two replications, or less than half of the refits converge.
        """
        errors = bootstrap(*self._resampling(c), replications, seed)
        table = pd.DataFrame(errors, index=self.data.codes)
        return table if np.isinf(c) else table.assign(corrected=np.nan)

    def _resampling(self, c: float = np.inf) -> Resampling:
        data, seen, k = self.data, self.data.sampled, self.k
        x, d, noise = data.x, data.d[seen], np.where(seen, data.d, np.nan)
        mean = x @ self.beta

        def predicted(y: Floats, sigma2_v: float, beta: Floats, converged: bool) -> Prediction:
            eblup = x @ beta
            eblup[seen] += huber.effects((y - eblup)[seen], d, sigma2_v, k)
            regression, z = gls(sigma2_v, y[seen], x[seen], d), huber.Moments.of(k)
            leading = synthetic(x, sigma2_v, 0.0, regression.cov_beta * z.square / z.inside**2)
            terms = huber.terms(regression, sigma2_v, d, k)
            leading[seen] = terms.g1 + terms.g2
            return Prediction(_limited(eblup, y, data.d, c), leading, converged)

        def refit(y: Floats) -> Prediction:
            solution = huber.estimate(y[seen], x[seen], d, k, tol=1e-6)
            return predicted(y, solution.sigma2_v, solution.beta, solution.converged)

        def known(y: Floats) -> Prediction:
            beta, solved = huber.regress(y[seen], x[seen], 1 / (self.sigma2_v + d), k, self.beta)
            return predicted(y, self.sigma2_v, beta, solved)

        leading = predicted(mean, self.sigma2_v, self.beta, True).leading
        return lambda rng: drawn(mean, self.sigma2_v, noise, rng), refit, known, leading


def _limited(eblup: Floats, y: Floats, d: Floats, c: float) -> Floats:
    """Keep predictors within c standard errors of the direct estimates, where there are any."""
    if np.isinf(c):
        return eblup
    half = c * np.sqrt(d)
    return np.where(np.isnan(y), eblup, np.clip(eblup, y - half, y + half))
