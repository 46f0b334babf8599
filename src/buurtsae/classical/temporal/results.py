r"""What a fitted model of areas over years tells: EBLUPs with their MSE per area and year, and changes between years.

With M_d (T, T) the mean squared errors and products of an area's EBLUPs, the change from s to t has
MSE M_tt + M_ss - 2 M_st.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.stats import norm

from buurtsae.classical.core import MseTerms, Resampling, Results, bootstrap
from buurtsae.classical.temporal.panel import Panel
from buurtsae.errors import ModelError, shown
from buurtsae.notes import Note
from buurtsae.sparse import Floats


@dataclass(frozen=True, repr=False)
class PanelResults(Results):
    """A fitted model of areas over years; see `Results` for coefficients and criteria.

    Attributes
    ----------
    components : DataFrame
        Variance components with asymptotic standard errors; missing where data cannot tell them.
    mse_terms : MseTerms
        What the analytic MSE matrices are made of, shapes (m, T, T).
    effects : ndarray, shape (m, T)
        Predicted effects of areas and years.
    weights : ndarray, shape (m, T)
        Of the own direct estimate of that year in the EBLUP.
    """

    components: pd.DataFrame
    mse_terms: MseTerms
    effects: Floats
    weights: Floats

    edge: ClassVar[float] = 0.9999  # an autocorrelation of that size lies on it

    @property
    def data(self) -> Panel:
        """Direct estimates, covariates and sampling covariances of the model."""
        data: Panel = self.model.data
        return data

    @property
    def response(self) -> str:
        """Name of what was modelled."""
        return self.data.response

    @property
    def names(self) -> pd.Index:
        """Names of the coefficients."""
        return pd.Index(self.data.names)

    @property
    def nobs(self) -> int:
        """Number of direct estimates."""
        return int((~np.isnan(self.data.y)).sum())

    @property
    def n_components(self) -> int:
        """Number of variance components."""
        return len(self.components)

    @property
    def synthetic(self) -> pd.DataFrame:
        """Synthetic part x'beta, shape (m, T)."""
        return self.data.frame(self.data.grid(self.data.x) @ self.beta)

    @property
    def random_effects(self) -> pd.DataFrame:
        """Predicted effects of areas and years, shape (m, T)."""
        return self.data.frame(self.effects)

    @cached_property
    def eblup(self) -> pd.DataFrame:
        """EBLUPs, shape (m, T), also where there is no direct estimate."""
        return self.synthetic + self.random_effects

    @property
    def mse_matrices(self) -> Floats:
        """Analytic mean squared errors and products, shape (m, T, T)."""
        return self.mse_terms.mse

    @property
    def mse(self) -> pd.DataFrame:
        """Analytic mean squared errors, shape (m, T)."""
        return self.data.frame(self._of(lambda matrices: np.einsum("dii->di", matrices)))

    @property
    def gamma(self) -> pd.DataFrame:
        """Weight of the direct estimate of that area and year in its EBLUP, shape (m, T)."""
        return self.data.frame(self.weights)

    @property
    def table(self) -> pd.DataFrame:
        """By `area_code` and `year` direct and synthetic estimate, EBLUP, MSE, its cv, and gamma."""
        data, at = self.data, (self.data.area, self.data.year)
        seen = ~np.isnan(data.y)
        own = data.d[np.arange(len(data.y)), data.year]
        parts = {"sampled": seen, "direct": data.y, "sampling_variance": np.where(seen, own, np.nan)}
        wide = {"synthetic": self.synthetic, "eblup": self.eblup, "mse": self.mse}
        table = pd.DataFrame(parts | {k: v.to_numpy()[at] for k, v in wide.items()}, index=data.index)
        table["cv"] = np.sqrt(table["mse"]) / table["eblup"].abs()
        table["gamma"] = self.gamma.to_numpy()[at]
        return table

    def change(self, first: int, last: int, alpha: float = 0.05) -> pd.DataFrame:
        """Estimate the change between two years, from the joint errors of both.

        Parameters
        ----------
        first, last : int
            Years of the model.
        alpha : float
            One less the coverage of the intervals.

        Returns
        -------
        DataFrame, shape (m, 6)
            By area with rows in both years: `direct` and `direct_variance`, `change`, `mse`, `lower` and `upper`
            of the normal interval.

        Raises
        ------
        ModelError
            If a year is not in the data.
        """
        data = self.data
        if absent := [t for t in (first, last) if t not in data.years]:
            raise ModelError("years are not in the model", shown(absent), shown(data.years, 30), "choose among these")
        s, t = data.years.get_indexer([first, last])
        at, contrast = data.there[:, s] & data.there[:, t], np.zeros(len(data.years))
        contrast[s], contrast[t] = contrast[s] - 1.0, contrast[t] + 1.0
        y, mse = data.grid(data.y), self._of(lambda matrices: contrast @ matrices @ contrast)
        change, half = self.eblup.to_numpy()[:, [s, t]] @ [-1.0, 1.0], norm.isf(alpha / 2) * np.sqrt(mse)
        direct = y[:, t] - y[:, s]
        variance = np.where(np.isnan(direct), np.nan, contrast @ data.covariance @ contrast)
        parts = {"direct": direct, "direct_variance": variance, "change": change, "mse": mse}
        return pd.DataFrame(parts | {"lower": change - half, "upper": change + half}, index=data.codes)[at]

    def bootstrap_mse(self, replications: int = 400, seed: int | None = None) -> pd.DataFrame:
        """Estimate the MSE by parametric bootstrap.

        Returns
        -------
        DataFrame, shape (n, 3)
            By area and year `naive`, `corrected` (for the bias of g1 and g2), and `mc_error`, the standard error of
            `naive`.

        Raises
        ------
        ModelError
            If there are fewer than two replications, or less than half of the refits converge.
        """
        found = bootstrap(*self._resampling(), replications, seed)
        at = self.data.area, self.data.year
        grids = {name: values.reshape(self.effects.shape)[at] for name, values in found.items()}
        return pd.DataFrame(grids, index=self.data.index)

    def _of(self, part: Callable[[Floats], Floats]) -> Floats:
        """Return a part of the MSE matrices; without the correction where that would leave nothing."""
        terms = self.mse_terms
        full, plain = part(terms.mse), part(terms.g1 + terms.g2 + 2 * terms.g3)
        return np.where(full > 0, full, plain)

    @abstractmethod
    def _resampling(self) -> Resampling:
        """Return what `core.bootstrap` needs, areas and years in one row."""

    def _sizes(self) -> dict[str, str]:
        sizes = {"No. Areas": len(self.data.codes), "No. Years": len(self.data.years), "Direct Estimates": self.nobs}
        return {name: str(size) for name, size in sizes.items()}

    def _components(self) -> dict[str, str]:
        return {name: f"{value:.6g}" for name, value in self.components["estimate"].items()}

    def _edges(self) -> list[str]:
        values = self.components["estimate"]
        zero = [str(name) for name in values.index if name.startswith("sigma2") and values[name] == 0]
        edges: list[str] = []
        if zero:
            edges.append(
                Note(
                    "{names} estimated at zero by {method}: {what}\n  hint: leave that effect out, or give more years",
                    "{names} op nul geschat met {method}: {what}\n  tip: laat dat effect weg, of geef meer jaren",
                    names=", ".join(zero), method=self.method, what=self._without(zero),
                )
            )  # fmt: skip
        edges += [
            Note(
                "{name} is estimated at the edge of what is possible, {value:.4f}",
                "{name} ligt op de rand van wat mogelijk is: {value:.4f}",
                name=str(name), value=float(values[name]),
            )
            for name in values.index
            if self._bounded(str(name)) and abs(values[name]) >= self.edge
        ]  # fmt: skip
        return edges

    def _bounded(self, name: str) -> bool:
        """Whether a component lies between -1 and 1."""
        return name.startswith("rho")

    @abstractmethod
    def _without(self, zero: list[str]) -> Note:
        """Say what it means that these variances are zero."""
