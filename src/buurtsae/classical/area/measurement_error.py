r"""The Fay-Herriot model with covariates that are estimates themselves, with errors of known covariances.

    y_i = theta_i + e_i,   theta_i = X_i' beta + v_i,   e_i ~ (0, D_i),   v_i ~ (0, sigma2_v),
    x_i = X_i + u_i,   u_i ~ (0, C_i),

independent, X_i unknown constants. The predictor is gamma_i y_i + (1 - gamma_i) x_i' beta with gamma_i = A_i / (A_i +
D_i), A_i = sigma2_v + beta' C_i beta; x_i' beta without a sample. Least squares on x draws beta to zero, and takes the
synthetic part for better than it is where C_i is large: `modified` has the equations, the jackknife and the MSE. Where
errors are much alike and the X_i a draw from a normal, beta drawn to zero is what predicts best: this model then has
the right beta and an honest MSE, not a smaller one. With C = 0 it is the Fay-Herriot model with sigma2_v by unweighted
moments, sum (r^2 - D) / (m - p): for equal D that is p D / (m - p) below what `FayHerriot` has as "fh", for which `mse`
allows. Time and memory are linear in the areas.

References
----------
Ybarra, L.M.R. and Lohr, S.L. (2008). Small area estimation when auxiliary information is measured with error.
Biometrika 95. Rao, J.N.K. and Molina, I. (2015). Small Area Estimation, section 6.4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.area import modified
from buurtsae.classical.area.bootstrap import drawn
from buurtsae.classical.area.covariate_error import CovariateError, read_covariate_error
from buurtsae.classical.area.data import AreaData, AreaModel
from buurtsae.classical.area.results import AreaResults
from buurtsae.classical.core import Prediction, Resampling
from buurtsae.errors import ModelError, shown
from buurtsae.sparse import Floats


@dataclass(frozen=True, init=False, repr=False)
class MeasurementErrorFayHerriot(AreaModel):
    """Fay-Herriot model with covariates measured with error.

    Parameters
    ----------
    y, x, sampling_variance, area
        As in `FayHerriot`; x as measured.
    covariate_error : array_like, shape (m, p, p) or (m, p), or DataFrame or mapping
        Covariance matrices of the errors of x, or variances if these are independent; zero for what has no error, as
        the intercept. A table or mapping names the covariates that have one: `read_covariate_error`.

    Attributes
    ----------
    data : AreaData
    covariate_error : ndarray, shape (m, p, p)

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `FayHerriot`; or if errors are no covariances, or areas too few to leave one out.

    Examples
    --------
    >>> y, x = [1.0, 2.0, 4.0, 3.0, 5.0], [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [1.0, 4.0]]
    >>> model = MeasurementErrorFayHerriot(y, x, [0.1] * 5, {"x1": 0.2})
    >>> round(float(model.fit().params.iloc[1]), 3)  # least squares: 0.9
    1.0
    """

    data: AreaData
    covariate_error: Floats

    def __init__(
        self,
        y: ArrayLike,
        x: ArrayLike,
        sampling_variance: ArrayLike,
        covariate_error: CovariateError,
        area: ArrayLike | None = None,
    ) -> None:
        self._keep(AreaData.of(y, x, sampling_variance, area), covariate_error)

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: pd.DataFrame,
        sampling_variance: str,
        covariate_error: CovariateError,
        area: str | None = None,
    ) -> MeasurementErrorFayHerriot:
        """Build the model from a table, as `FayHerriot.from_formula` does.

        The errors may be columns of the table: ``{"x": "variance_of_x"}``, by the name of the covariate in the model.
        """
        model = object.__new__(cls)
        areas = AreaData.from_formula(formula, data, sampling_variance, area)
        model._keep(areas, covariate_error, data.set_index(area) if area else data)
        return model

    def _keep(self, data: AreaData, covariate_error: CovariateError, table: pd.DataFrame | None = None) -> None:
        n, p = int(data.sampled.sum()), data.x.shape[1]
        if n < p + 2:
            raise ModelError(
                "there are too few areas to leave one out", f"{n} areas", f"at least {p + 2}", "use fewer covariates"
            )
        object.__setattr__(self, "data", data)
        covariances = read_covariate_error(covariate_error, data.names, data.codes, table)
        object.__setattr__(self, "covariate_error", covariances)

    def fit(self, tol: float = 1e-10, maxiter: int = 100) -> MeasurementErrorFayHerriotResults:
        """Estimate beta by modified least squares and sigma2_v by moments, and predict every area.

        Parameters
        ----------
        tol : float
            Relative change of the weights at which it has converged.
        maxiter : int

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If sigma2_v is zero, or a covariate shows nothing but its error: its coefficient is then kept at zero.
        """
        data, c, seen = self.data, self.covariate_error, self.data.sampled
        y, x, d = data.observed
        solution = modified.estimate(y, x, c[seen], d, tol, maxiter)
        jack = modified.jackknife(solution, y, x, c[seen], d)
        terms = modified.terms(solution, jack, x, c[seen], d)
        mse, gamma = modified.unsampled(solution, jack, data.x, c), np.zeros(len(data.y))
        mse[seen], gamma[seen] = terms.mse, 1 - d * solution.weight
        eblup = _predicted(data, data.y, data.x, gamma, solution.beta)
        results = MeasurementErrorFayHerriotResults(
            model=self,
            method="moments",
            beta=solution.beta,
            cov_beta=jack.cov[:-1, :-1],
            llf=np.nan,
            converged=solution.converged,
            trace=pd.DataFrame(solution.trace, columns=["sigma2_v", "change"]),
            sigma2_v=solution.sigma2_v,
            mse_terms=terms,
            solution=solution,
            jackknife=jack,
            **data.series(eblup=eblup, mse=mse, gamma=gamma),
        )
        results.warn()
        return results


def _predicted(data: AreaData, y: Floats, x: Floats, gamma: Floats, beta: Floats) -> Floats:
    synthetic = x @ beta
    return synthetic + gamma * np.where(data.sampled, y - synthetic, 0.0)


@dataclass(frozen=True, repr=False)
class MeasurementErrorFayHerriotResults(AreaResults):
    """A fitted Fay-Herriot model with measurement error; see `AreaResults` for the rest.

    `bse` and `mse` are by jackknife. Moments maximise nothing: there is no likelihood. `bootstrap_mse` takes the
    measured covariates for the true ones, which vary less: what the error of beta adds, of order 1/m, is a little low.

    Attributes
    ----------
    solution : Modified
        Of the equations.
    jackknife : Jackknife
        Covariance of beta and sigma2_v, and the bias of sigma2_v.

    Examples
    --------
    >>> x = np.column_stack([np.ones(5), np.arange(5.0)])
    >>> fit = MeasurementErrorFayHerriot([1.0, 2.0, 4.0, 3.0, 5.0], x, [0.1] * 5, {"x1": 0.2}).fit()
    >>> fit.predict([[1.0, 5.0]], {"x1": 0.2})["eblup"].round(1).tolist()
    [6.0]
    """

    solution: modified.Modified
    jackknife: modified.Jackknife

    model_name = "Measurement-Error Fay-Herriot"

    @property
    def covariate_noise(self) -> pd.Series:
        """Variance beta' C_i beta that the errors of the covariates add to the synthetic part of every area."""
        return pd.Series(
            modified.noise(self.beta, self.model.covariate_error), index=self.data.codes, name="covariate_noise"
        )

    @property
    def drowned(self) -> tuple[str, ...]:
        """Covariates that vary no more than their errors do: kept out, in part if they correlate with others."""
        variances = np.einsum("ipp->ip", self.model.covariate_error[self.data.sampled])
        size = np.abs(self.solution.lost) * np.sqrt(variances.mean(axis=0))[:, None]
        return tuple(self.data.names[j] for j in sorted(set(size.argmax(axis=0).tolist())))

    def predict(self, x: ArrayLike, covariate_error: CovariateError | None = None) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates as measured.

        Parameters
        ----------
        x : DataFrame or array_like, shape (k, p)
            The variables of the formula, or the columns of the covariates.
        covariate_error
            As in the model: of these areas. Columns are those of x.

        Returns
        -------
        DataFrame, shape (k, 2)
            `eblup` and `mse`.

        Raises
        ------
        ModelError
            If there are no errors of the covariates.
        """
        values, codes = self.data.matrix(x)
        if covariate_error is None:
            raise ModelError(
                "the errors of the covariates are not given", "none", "those of the areas to predict", "zeros if none"
            )
        table = x if isinstance(x, pd.DataFrame) else None
        c = read_covariate_error(covariate_error, self.data.names, codes, table)
        mse = modified.unsampled(self.solution, self.jackknife, values, c)
        return pd.DataFrame({"eblup": values @ self.beta, "mse": mse}, index=codes)

    def _resampling(self) -> Resampling:
        data, c, seen = self.data, self.model.covariate_error, self.data.sampled
        d, noise = data.d[seen], np.where(seen, data.d, np.nan)
        size, axes = np.linalg.eigh(c)
        root = axes * np.sqrt(np.maximum(size, 0.0))[:, None, :]
        mean, gamma = data.x @ self.beta, self.gamma.to_numpy()

        def draw(rng: np.random.Generator) -> tuple[Floats, tuple[Floats, Floats]]:
            """The means, and direct estimates with covariates."""
            theta, y = drawn(mean, self.sigma2_v, noise, rng)
            return theta, (y, data.x + np.einsum("ipq,iq->ip", root, rng.normal(size=data.x.shape)))

        def leading(solution: modified.Modified, y: Floats, x: Floats) -> Floats:
            jack = modified.jackknife(solution, y[seen], x[seen], c[seen], d)
            mse = modified.unsampled(solution, modified.Jackknife(jack.cov, 0.0), x, c)
            terms = modified.terms(solution, jack, x[seen], c[seen], d)
            mse[seen] = terms.g1 + terms.g2
            return mse

        def refit(sample: tuple[Floats, Floats]) -> Prediction:
            y, x = sample
            solution = modified.estimate(y[seen], x[seen], c[seen], d, tol=1e-6)
            weight = np.zeros(len(y))
            weight[seen] = 1 - d * solution.weight
            eblup = _predicted(data, y, x, weight, solution.beta)
            return Prediction(eblup, leading(solution, y, x), solution.converged)

        def known(sample: tuple[Floats, Floats]) -> Prediction:
            y, x = sample
            beta = modified.regress(y[seen], x[seen], c[seen], self.solution.weight)[0]
            return Prediction(_predicted(data, y, x, gamma, beta), np.zeros(len(y)))

        return draw, refit, known, leading(self.solution, data.y, data.x)

    def _edges(self) -> list[str]:
        edges = []
        if self.sigma2_v == 0:
            edges.append(
                "sigma2_v is estimated at zero by moments: direct estimates are weighed against the errors of the "
                "covariates alone\n  hint: look whether the covariate errors or sampling variances are too large"
            )
        if self.drowned:
            edges.append(
                f"covariates vary no more than their errors: {shown(self.drowned)}; their coefficients are kept at zero"
                "\n  hint: leave them out, or look whether their errors are too large"
            )
        return edges
