r"""The Rao-Yu model: areas over years, with an effect of the area and one that comes and goes.

    y_dt = x_dt' beta + v_d + u_dt + e_dt,   u_dt = rho u_d,t-1 + eps_dt,   v_d ~ (0, sigma2_v), eps_dt ~ (0, sigma2_u)

the e_dt of an area having known covariances over years (panels that overlap). u is stationary (|rho| < 1). In the
dynamic variant there is no v: the effect of the first year has variance sigma2_v, and fades or grows by rho. Areas are
the units of a multivariate Fay-Herriot model whose measures are years (`multivariate.likelihood`): likelihood, EBLUP
and MSE are its own, with the Sigma of `structures`; time and memory are linear in areas. The MSE is g1 + g2 + 2 g3 (by
ML with the bias of its components): the curvature of Sigma in rho is left out, as in the references.

References
----------
Rao, J.N.K. and Yu, M. (1994). Canadian J. Statistics 22. Rao and Molina (2015), 4.4.3 and 8.3. Fay, R.E., Planty, M.
and Diallo, M.S. (2013). Small area estimates from the National Crime Victimization Survey. JSM Proceedings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.core import LIKELIHOODS, Likelihood, Prediction, Resampling, one_of, quadratic
from buurtsae.classical.multivariate.likelihood import (
    At,
    Blocks,
    Maximum,
    at,
    eblup,
    information,
    leading,
    maximise,
    start,
    terms,
)
from buurtsae.classical.spatial.sar import TINY
from buurtsae.classical.temporal.panel import Panel
from buurtsae.classical.temporal.results import PanelResults
from buurtsae.classical.temporal.structures import FAMILIES, OverYears
from buurtsae.errors import ModelError
from buurtsae.notes import Note
from buurtsae.sparse import Floats, one_thread


@dataclass(frozen=True, init=False, repr=False)
class RaoYu:
    """Rao-Yu model of areas over years, stationary or dynamic.

    Parameters
    ----------
    y : array_like, shape (n,)
        Direct estimates, a row per area and year; NaN where there is none. Rows may be absent.
    x : array_like, shape (n, p)
        Covariates, with a column of ones for an intercept.
    sampling_variance : array_like, shape (n,) or (n, T)
        Known variances of the direct estimates, in squared units of y; or their covariances with those of the same
        area in every year, in ascending order, where the same people answered.
    year : array_like of int, shape (n,)
    area : array_like, shape (n,), optional
        Codes of the areas; by default the index of y.

    Attributes
    ----------
    data : Panel

    Raises
    ------
    DataError, ModelError or ProblemsError
        If shapes differ, an area occurs twice in a year, values are missing, infinite or not positive, covariances
        are no covariances, or covariates depend on each other.

    Examples
    --------
    >>> import numpy as np
    >>> year, area = np.tile([2018, 2020, 2022], 5), np.repeat(list("abcde"), 3)
    >>> y = [3.1, 3.9, 2.6, 5.0, 4.7, 5.9, 4.1, 4.9, 4.6, 6.0, 5.2, 6.1, 2.2, np.nan, 2.9]
    >>> fit = RaoYu(y, np.ones(15), [0.1] * 15, year, area).fit("ml")
    >>> fit.eblup.loc["e"].round(2).tolist()
    [2.47, 2.96, 2.76]
    >>> fit.change(2018, 2022).loc["b", ["direct", "change"]].round(2).tolist()
    [0.9, 0.38]
    """

    data: Panel

    def __init__(
        self, y: ArrayLike, x: ArrayLike, sampling_variance: ArrayLike, year: ArrayLike, area: ArrayLike | None = None
    ) -> None:
        object.__setattr__(self, "data", Panel.of(y, x, sampling_variance, year, area))

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: pd.DataFrame,
        sampling_variance: str | Sequence[str],
        year: str,
        area: str | None = None,
    ) -> RaoYu:
        """Build the model from a table with a row per area and year.

        Parameters
        ----------
        formula : str
            As in R: ``"y ~ x1 + x2"``.
        data : DataFrame
        sampling_variance : str, or sequence of str
            Column of the variances, or one column per year, ascending, of the covariances with that year.
        year : str
            Column of the years.
        area : str, optional
            Column of the codes; by default the index.
        """
        model = object.__new__(cls)
        object.__setattr__(model, "data", Panel.from_formula(formula, data, sampling_variance, year, area))
        return model

    def __repr__(self) -> str:
        """Say what is modelled."""
        return f"RaoYu({self.data!r})"

    def loglike(
        self, sigma2_u: float, sigma2_v: float, rho: float, method: Likelihood = "reml", dynamic: bool = False
    ) -> float:
        """Return the log-likelihood of the variance components; REML as `SpatialFayHerriot.loglike` has it.

        Raises
        ------
        ModelError
            If the method is unknown, or the components impossible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        if not (sigma2_u >= 0 and sigma2_v >= 0 and np.isfinite([sigma2_u, sigma2_v, rho]).all()) or (
            not dynamic and abs(rho) >= 1
        ):
            raise ModelError(
                "there is no likelihood at these components",
                f"sigma2_u {sigma2_u:g}, sigma2_v {sigma2_v:g}, rho {rho:g}",
                "variances of 0 or more, |rho| < 1 unless dynamic",
                "correct them",
            )
        family = self._family(dynamic)
        sigma = family.matrix(family.free(np.array([sigma2_u, sigma2_v, rho])))
        return at(self.data.blocks, sigma, method == "reml").llf

    def fit(self, method: Likelihood = "reml", dynamic: bool = False, maxiter: int = 100) -> RaoYuResults:
        """Estimate sigma2_u, sigma2_v, rho and beta, and predict every area and year of the data.

        Parameters
        ----------
        method : {"reml", "ml"}
        dynamic : bool
            The variant of Fay and Diallo, which is not stationary.
        maxiter : int

        Raises
        ------
        ModelError
            If the method is unknown, or areas are not seen in enough years.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If a variance is zero, or rho of the stationary model at the edge of what is possible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        self.data.identify(2 if dynamic else 3, "an autocorrelation beside an effect of the area")
        blocks, family, restricted = self.data.blocks, self._family(dynamic), method == "reml"
        with one_thread():
            maximum = climb(blocks, family, restricted, maxiter)
            here, (values, slopes) = maximum.here, family.natural(maximum.free)
            known = family.informed(maximum.free)
            parts = terms(blocks, here, slopes[known])
            error = np.full(len(values), np.nan)
            error[known] = np.sqrt(np.diag(np.linalg.inv(information(here, slopes[known]))))
        half = np.linalg.inv(blocks.root)
        results = RaoYuResults(
            model=self,
            method=method,
            beta=half @ here.delta,
            cov_beta=half @ here.inverse @ half.T,
            llf=at(blocks, here.sigma, restricted=False).llf,
            converged=maximum.converged,
            trace=pd.DataFrame(maximum.trace, columns=["llf", "score"]),
            components=pd.DataFrame(
                {"estimate": np.where(family.identified(maximum.free), values, np.nan), "std_error": error},
                index=family.names([]),
            ),
            mse_terms=parts,
            effects=here.t @ here.sigma,
            weights=np.einsum("ij,dji->di", here.sigma, here.w),
            dynamic=dynamic,
            maximum=maximum,
        )
        results.warn()
        return results

    def _family(self, dynamic: bool) -> OverYears:
        return FAMILIES[dynamic](len(self.data.years), self.data.steps, self.data.signed)


def climb(blocks: Blocks, family: OverYears, restricted: bool, maxiter: int, one: bool = False) -> Maximum:
    """Return the highest of the maxima reached from several starts, or from one; variances that vanish are zero."""
    typical, variances = start(blocks)
    starts = family.starts(variances)[: 1 if one else None]
    found = [maximise(blocks, family, restricted, maxiter, free) for free in starts]
    best = max(found, key=lambda maximum: (maximum.converged, maximum.here.llf))
    free = np.where((np.arange(len(best.free)) < 2) & (best.free**2 <= TINY * typical**2), 0.0, best.free)
    free[2] = free[2] if family.signed else abs(free[2])
    return replace(best, free=free, here=at(blocks, family.matrix(free), restricted))


@dataclass(frozen=True, repr=False)
class RaoYuResults(PanelResults):
    """A fitted Rao-Yu model; see `PanelResults` for the rest.

    Attributes
    ----------
    dynamic : bool
    maximum : Maximum
        Of the likelihood: free parameters of Sigma, and the model there.

    Examples
    --------
    >>> year, area = np.tile([2018, 2020, 2022], 5), np.repeat(list("abcde"), 3)
    >>> y = [3.1, 3.4, 3.2, 5.0, 5.2, 5.9, 4.1, 3.8, 4.4, 6.0, 6.3, 6.1, 2.2, 2.5, 2.9]
    >>> fit = RaoYu(y, np.ones(15), [0.1] * 15, year, area).fit("ml", dynamic=True)
    >>> fit.components["estimate"].round(2).tolist()
    [0.01, 1.95, 0.96]
    """

    dynamic: bool
    maximum: Maximum

    @property
    def model_name(self) -> str:  # type: ignore[override]  # differs between fits
        """Name of the model."""
        return "Dynamic Rao-Yu" if self.dynamic else "Rao-Yu"

    @property
    def sigma(self) -> pd.DataFrame:
        """Sigma, the covariance of an area's effects over years."""
        return pd.DataFrame(self.maximum.here.sigma, self.data.years, self.data.years)

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, beta integrated out; see `core`."""
        return at(self.data.blocks, self.maximum.here.sigma, restricted=True).llf

    def predict(self, x: pd.DataFrame | ArrayLike, year: ArrayLike) -> pd.DataFrame:
        """Predict other areas, without a sample of their own, by their covariates.

        Parameters
        ----------
        x : DataFrame or array_like, shape (k, p)
            The columns of the covariates.
        year : array_like of int, shape (k,)
            Years of the data; other years belong in the data, with a missing direct estimate.

        Returns
        -------
        DataFrame, shape (k, 2)
            `eblup` and `mse`.

        Raises
        ------
        ModelError or ProblemsError
            If covariates are absent, missing, infinite or too few, or a year is not in the data.
        """
        values, rows, when = self.data.others(x, year)
        mse = self.maximum.here.sigma.diagonal()[when] + quadratic(values, self.cov_beta)
        return pd.DataFrame({"eblup": values @ self.beta, "mse": mse}, index=rows)

    def _resampling(self) -> Resampling:
        blocks, family, restricted = self.data.blocks, self.model._family(self.dynamic), self.method == "reml"
        here, mean = self.maximum.here, blocks.z @ self.maximum.here.delta
        values, axes = np.linalg.eigh(here.sigma)
        root, noise = axes * np.sqrt(np.maximum(values, 0.0)), np.linalg.cholesky(blocks.sampling)

        def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
            theta = mean + rng.normal(size=mean.shape) @ root.T
            y = theta + np.einsum("dij,dj->di", noise, rng.normal(size=mean.shape))
            return theta.ravel(), np.where(blocks.seen, y, 0.0)

        def refit(y: Floats) -> Prediction:
            drawn = replace(blocks, y=y)
            maximum = climb(drawn, family, restricted, 100, one=True)
            return _prediction(drawn, maximum.here, maximum.converged)

        def known(y: Floats) -> Prediction:
            drawn = replace(blocks, y=y)
            return _prediction(drawn, at(drawn, here.sigma, restricted))

        return draw, refit, known, _prediction(blocks, here).leading

    def _bounded(self, name: str) -> bool:
        return not self.dynamic and name.startswith("rho")

    def _without(self, zero: list[str]) -> Note:
        if len(zero) == 2:
            return Note("every EBLUP is the synthetic estimate", "elke EBLUP is de synthetische schatting")
        if zero == ["sigma2_u"]:
            return Note("areas keep their effect in all years", "gebieden houden hun effect in alle jaren")
        if self.dynamic:
            return Note("areas do not differ in the first year", "gebieden verschillen niet in het eerste jaar")
        return Note("areas have no lasting effect", "gebieden hebben geen blijvend effect")


def _prediction(blocks: Blocks, here: At, converged: bool = True) -> Prediction:
    _, g1, g2 = leading(blocks, here)
    return Prediction(eblup(blocks, here).ravel(), np.einsum("dii->di", g1 + g2).ravel(), converged)
