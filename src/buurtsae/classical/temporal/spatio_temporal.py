r"""The spatio-temporal Fay-Herriot model: effects of areas that neighbours share in, and of years.

    y_dt = x_dt' beta + u_d + w_dt + e_dt,   u = rho1 W u + v,   w_dt = rho2 w_d,t-1 + eps_dt,
    v_d ~ (0, sigma2_1),   eps_dt ~ (0, sigma2_2),   e_d ~ (0, D_d)

W are row-standardised proximities, w is stationary, or independent between years (rho2 = 0). The EBLUP is
x_dt' beta + u_hat_d + w_hat_dt, of areas and years without a direct estimate too. Time and memory grow with the fill of
one sparse factorisation of areas (`sar_panel`). The MSE is g1 + g2 + 2 g3 (by ML with the bias of the components), or
by parametric bootstrap, which is what Marhuenda et al. give. An autocorrelation on its edge is taken as known in g3.

References
----------
Marhuenda, Y., Molina, I. and Morales, D. (2013). Small area estimation with spatio-temporal Fay-Herriot models.
CSDA 58.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from buurtsae.classical.core import LIKELIHOODS, Likelihood, Prediction, Resampling, one_of
from buurtsae.classical.multivariate.likelihood import Blocks
from buurtsae.classical.spatial.proximity import read_proximity
from buurtsae.classical.spatial.sar import Neighbours
from buurtsae.classical.temporal.panel import Panel
from buurtsae.classical.temporal.results import PanelResults
from buurtsae.classical.temporal.sar_panel import EDGE, PanelMaximum, SarPanel, maximise
from buurtsae.classical.temporal.sar_panel_mse import PanelTerms, leading, terms
from buurtsae.errors import ModelError
from buurtsae.notes import Note
from buurtsae.sparse import Floats

BetweenYears = Literal["ar1", "independent"]
NAMES, TRACED = ["sigma2_1", "rho1", "sigma2_2", "rho2"], ["omega", "rho1", "tau2", "rho2"]


@dataclass(frozen=True, init=False, repr=False)
class SpatioTemporalFayHerriot:
    """Spatio-temporal Fay-Herriot model of areas over years.

    Parameters
    ----------
    y, x, sampling_variance, year, area
        As in `RaoYu`.
    proximity : Graph, sparse array, DataFrame or array_like, shape (m, m)
        As in `SpatialFayHerriot`; a matrix is in the order in which areas first occur.

    Attributes
    ----------
    data : Panel
    near : Neighbours

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `RaoYu` and `SpatialFayHerriot`.

    Examples
    --------
    >>> import numpy as np
    >>> line = np.diag(np.ones(7), 1) + np.diag(np.ones(7), -1)  # eight areas in a row
    >>> year, area = np.tile([2020, 2022, 2024], 8), np.repeat(list("abcdefgh"), 3)
    >>> y = [1.1, 1.7, 0.9, 1.9, 2.9, 2.8, 1.7, 1.3, 1.9, 1.7, 3.6, 3.5, 1.2, 2.2, 1.6, 3.5, 1.8, 2.5, 4.4, 4.7, 2.7]
    >>> y += [2.6, 3.1, np.nan]
    >>> model = SpatioTemporalFayHerriot(y, np.ones(24), [0.1] * 24, line, year, area)
    >>> fit = model.fit("reml", over_time="independent")
    >>> fit.eblup.loc["h"].round(1).tolist()
    [2.6, 3.0, 2.8]
    >>> fit.change(2020, 2022).loc["b", ["direct", "change"]].round(2).tolist()
    [1.0, 0.81]
    """

    data: Panel
    near: Neighbours

    def __init__(
        self,
        y: ArrayLike,
        x: ArrayLike,
        sampling_variance: ArrayLike,
        proximity: Any,
        year: ArrayLike,
        area: ArrayLike | None = None,
    ) -> None:
        self._keep(Panel.of(y, x, sampling_variance, year, area), proximity)

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: pd.DataFrame,
        sampling_variance: str | Sequence[str],
        proximity: Any,
        year: str,
        area: str | None = None,
    ) -> SpatioTemporalFayHerriot:
        """Build the model from a table with a row per area and year, as `RaoYu.from_formula` does."""
        model = object.__new__(cls)
        model._keep(Panel.from_formula(formula, data, sampling_variance, year, area), proximity)
        return model

    def _keep(self, data: Panel, proximity: Any) -> None:
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "near", Neighbours.of(read_proximity(proximity, data.codes)))

    def __repr__(self) -> str:
        """Say what is modelled."""
        return f"SpatioTemporalFayHerriot({self.data!r})"

    def loglike(
        self, sigma2_1: float, rho1: float, sigma2_2: float, rho2: float = 0.0, method: Likelihood = "reml"
    ) -> float:
        """Return the log-likelihood of the variance components; REML as `SpatialFayHerriot.loglike` has it.

        Raises
        ------
        ModelError
            If the method is unknown, or the components impossible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        at = np.array([sigma2_1, rho1, sigma2_2, rho2], dtype=float)
        if not (np.isfinite(at).all() and at[0] > 0 and at[2] >= 0 and (np.abs(at[[1, 3]]) < 1).all()):
            raise ModelError(
                "there is no likelihood at these components",
                ", ".join(f"{name} {value:g}" for name, value in zip(NAMES, at, strict=True)),
                "sigma2_1 > 0, sigma2_2 >= 0, |rho1| < 1, |rho2| < 1",
                "correct them",
            )
        at[2] /= 1 - at[3] ** 2
        return SarPanel.of(self.near, self.data.blocks, self.data.lag, at).loglike(method == "reml")

    def fit(
        self, method: Likelihood = "reml", over_time: BetweenYears = "ar1", tol: float = 1e-10, maxiter: int = 100
    ) -> SpatioTemporalFayHerriotResults:
        """Estimate sigma2_1, rho1, sigma2_2, rho2 and beta, and predict every area and year of the data.

        Parameters
        ----------
        method : {"reml", "ml"}
        over_time : {"ar1", "independent"}
            Of the effects of years within an area.
        tol : float
            Relative change of variances, and change of artanh of autocorrelations, at which it has converged.
        maxiter : int

        Raises
        ------
        ModelError
            If the method or `over_time` is unknown, or areas are not seen in enough years.

        Warns
        -----
        NotConvergedWarning
            With the last iterations.
        BoundaryWarning
            If a variance is zero, or an autocorrelation at the edge of what is possible.
        """
        one_of(method, LIKELIHOODS, "method of estimation")
        one_of(over_time, get_args(BetweenYears), "model over time")
        ar1 = over_time == "ar1"
        self.data.identify(
            2 + ar1, "an autocorrelation beside an effect of the area" if ar1 else "an effect of the area"
        )
        blocks, restricted = self.data.blocks, method == "reml"
        maximum = maximise(self.near, blocks, self.data.lag, ar1, restricted, tol, maxiter, self.data.signed)
        panel, half, names = maximum.panel, np.linalg.inv(blocks.root), NAMES[: len(maximum.components)]
        at_zero = np.isin(np.arange(len(names)), [0, 2]) & maximum.zero
        known = ~maximum.zero | at_zero
        known[3:] &= self.data.signed or maximum.components[3:] > 0
        known[1::2] &= np.abs(maximum.components[1::2]) < EDGE  # on the edge it is held there: no normal error
        parts = terms(panel, known, restricted)
        results = SpatioTemporalFayHerriotResults(
            model=self,
            method=method,
            beta=half @ panel.beta,
            cov_beta=half @ panel.cov_beta @ half.T,
            llf=panel.loglike(),
            converged=maximum.converged,
            trace=pd.DataFrame(maximum.trace, columns=[*TRACED[: len(names)], "criterion"]),
            components=_components(maximum, parts.covariance, names),
            mse_terms=parts,
            effects=panel.effect[:, None] + panel.t @ panel.sigma,
            weights=np.einsum("dii->di", blocks.both * (np.eye(len(panel.sigma)) - blocks.sampling @ panel.own)),
            over_time=over_time,
            panel=panel,
        )
        results.warn()
        return results


def _components(maximum: PanelMaximum, covariance: Floats, names: list[str]) -> pd.DataFrame:
    """Components as they are named, sigma2_2 = tau2 (1 - rho2^2), with standard errors."""
    values, rates = maximum.components.copy(), np.eye(len(names))
    if len(names) > 3:
        tau2, rho2 = values[2:]
        values[2], rates[2, 2:] = tau2 * (1 - rho2**2), [1 - rho2**2, 0.0 if maximum.zero[3] else -2 * tau2 * rho2]
    values[maximum.zero] = [0.0 if name.startswith("sigma2") else np.nan for name in np.array(names)[maximum.zero]]
    known = ~np.isnan(np.diag(covariance))
    error = np.sqrt(np.diag(rates @ np.where(np.isnan(covariance), 0.0, covariance) @ rates.T))
    return pd.DataFrame({"estimate": values, "std_error": np.where(known, error, np.nan)}, index=names)


@dataclass(frozen=True, repr=False)
class SpatioTemporalFayHerriotResults(PanelResults):
    """A fitted spatio-temporal Fay-Herriot model; see `PanelResults` for the rest.

    Attributes
    ----------
    mse_terms : PanelTerms
        What the analytic MSE matrices are made of, shapes (m, T, T).
    over_time : {"ar1", "independent"}
    panel : SarPanel
        The model at its estimates.

    Examples
    --------
    >>> line = np.diag(np.ones(7), 1) + np.diag(np.ones(7), -1)
    >>> year, area = np.tile([2020, 2022, 2024], 8), np.repeat(list("abcdefgh"), 3)
    >>> y = [1.1, 1.7, 0.9, 1.9, 2.9, 2.8, 1.7, 1.3, 1.9, 1.7, 3.6, 3.5, 1.2, 2.2, 1.6, 3.5, 1.8, 2.5, 4.4, 4.7, 2.7]
    >>> y += [2.6, 3.1, 2.8]
    >>> fit = SpatioTemporalFayHerriot(y, np.ones(24), [0.1] * 24, line, year, area).fit(over_time="independent")
    >>> fit.area_effects.round(1).tolist()
    [-0.9, 0.0, -0.6, 0.4, -0.6, 0.2, 1.2, 0.4]
    """

    mse_terms: PanelTerms
    over_time: str
    panel: SarPanel

    model_name = "Spatio-temporal Fay-Herriot"
    edge = EDGE

    @property
    def area_effects(self) -> pd.Series:
        """Predicted u of all areas."""
        return pd.Series(self.panel.effect, index=self.data.codes, name="area_effects")

    @property
    def llf_restricted(self) -> float:
        """Restricted log-likelihood, beta integrated out; see `core`."""
        return self.panel.loglike(restricted=True)

    def predict(self, x: ArrayLike, year: ArrayLike) -> pd.DataFrame:
        """Refuse areas outside the model: their neighbours are not known.

        Raises
        ------
        ModelError
        """
        raise ModelError(
            "areas outside the model cannot be predicted",
            f"{len(self.data.others(x, year)[0])} rows without proximities",
            "areas of the model",
            "give them to the model with their proximities, and a missing direct estimate",
        )

    def _resampling(self) -> Resampling:
        panel, blocks, lag, near = self.panel, self.data.blocks, self.data.lag, self.model.near
        restricted, signed = self.method == "reml", self.data.signed
        mean, (m, width) = blocks.z @ panel.beta, blocks.y.shape
        values, axes = np.linalg.eigh(panel.sigma)
        root, noise = axes * np.sqrt(np.maximum(values, 0.0)), np.linalg.cholesky(blocks.sampling)

        def draw(rng: np.random.Generator) -> tuple[Floats, Blocks]:
            u = np.sqrt(panel.sigma2) * panel.of_c.back(rng.normal(size=(m,)))
            theta = mean + u[:, None] + rng.normal(size=(m, width)) @ root.T
            y = theta + np.einsum("dij,dj->di", noise, rng.normal(size=(m, width)))
            return theta.ravel(), replace(blocks, y=np.where(blocks.seen, y, 0.0))

        def refit(data: Blocks) -> Prediction:
            found = maximise(near, data, lag, self.over_time == "ar1", restricted, tol=1e-6, signed=signed)
            return _prediction(found.panel, found.converged)

        def known(data: Blocks) -> Prediction:
            return _prediction(panel.seeing(data))

        return draw, refit, known, _prediction(panel).leading

    def _without(self, zero: list[str]) -> Note:
        if len(zero) == 2:
            return Note("every EBLUP is the synthetic estimate", "elke EBLUP is de synthetische schatting")
        if zero == ["sigma2_1"]:
            return Note("areas have no lasting effect", "gebieden hebben geen blijvend effect")
        return Note("areas keep their effect in all years", "gebieden houden hun effect in alle jaren")


def _prediction(panel: SarPanel, converged: bool = True) -> Prediction:
    theta = panel.data.z @ panel.beta + panel.effect[:, None] + panel.t @ panel.sigma
    g1, g2 = leading(panel)
    return Prediction(theta.ravel(), np.einsum("dii->di", g1 + g2).ravel(), converged)
