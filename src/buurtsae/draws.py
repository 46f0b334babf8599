"""Joint posterior draws, labelled; the only module that knows ArviZ.

ArviZ 0.23 and 1.x work alike, because they are handed plain xarray Datasets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, shown
from buurtsae.model.outcome.base import Outcome
from buurtsae.model.outcome.gaussian import SCORES
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.notes import Note
from buurtsae.sparse import Floats

if TYPE_CHECKING:
    import xarray as xr

RHAT_MAX, ESS_MIN, KHAT_MAX, EFFECTIVE_MIN = 1.01, 400, 0.7, 50
HYPERPARAMETERS = ["name", "measure", "mean", "sd", "lower", "upper", "rhat", "ess_bulk"]


@dataclass(frozen=True)
class Certificate:
    """What an engine that weighs values of the hyperparameters says: their number, and the effective one.

    Where Pareto k-hat of the importance weights is below 0.7 they can be relied on.
    """

    khat: float
    values: int
    effective: float

    @property
    def advice(self) -> Note | None:
        """What to do where the weights cannot be relied on; None where they can."""
        if self.khat < KHAT_MAX and (self.effective >= EFFECTIVE_MIN or self.values == 1):
            return None
        return Note(
            "the weights of the hyperparameters are uneven (k-hat {khat:.2f}, {effective:.0f} of {n} values "
            "effective): raise `hyperparameters` of [engine.laplace], use --engine nuts (up to about a thousand "
            "areas), or leave out terms that the data say nothing about",
            "de gewichten van de hyperparameters zijn ongelijk (k-hat {khat:.2f}, {effective:.0f} van {n} waarden "
            "effectief): verhoog `hyperparameters` van [engine.laplace], gebruik --engine nuts (tot ongeveer duizend "
            "gebieden), of laat effecten weg waarover de data niets zeggen",
            khat=float(self.khat), effective=float(self.effective), n=self.values,
        )  # fmt: skip

    def record(self) -> dict[str, float | int | bool | str]:
        """Return what the quality report tells."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"k-hat {self.khat:.2f}, {self.effective:.0f} of {self.values} values of the hyperparameters effective"


@dataclass(frozen=True)
class Maximised:
    """What an engine that plugs in estimates of the hyperparameters (by REML, say) tells of itself.

    At the boundary a variance is zero or a correlation is one.
    """

    method: str
    iterations: int
    converged: bool
    at_boundary: bool

    @property
    def advice(self) -> Note | None:
        """What to do where the estimates cannot be relied on; None where they can."""
        if self.converged:
            return None
        return Note(
            "{method} did not converge in {n} iterations: use --engine laplace, or leave out measures or "
            "covariates about which the data say little",
            "{method} convergeerde niet in {n} iteraties: gebruik --engine laplace, of laat maten of "
            "kenmerken weg waarover de data weinig zeggen",
            method=self.method, n=self.iterations,
        )  # fmt: skip

    def record(self) -> dict[str, float | int | bool | str]:
        """Return what the quality report tells."""
        return dict(vars(self))

    def __str__(self) -> str:
        edge = ", at the boundary" if self.at_boundary else ""
        return f"{self.method} {'converged' if self.converged else 'DID NOT converge'} in {self.iterations}{edge}"


@dataclass(frozen=True)
class Draws:
    """Draws of the scores of all buurten and of the hyperparameters.

    Attributes
    ----------
    eta : ndarray, shape (chains, draws, N, W)
        Linear predictors per buurt and column: W is D sub-dimensions, per year where there are several; `scores` are
        on the outcome's scale.
    areas, subdimensions : tuple of str
    hyper : mapping of name to (dims, array)
        Arrays of shape (chains, draws, ...) with the names of the further dimensions.
    coords : mapping of dimension to labels
    divergences : int
        Transitions that diverged; 0 for engines without any.
    factor : ndarray, shape (S, K, D), optional
        Posterior mean of the factor by which modelled sampling variances differ from those given.
    certificate : Certificate or Maximised, optional
        Of engines that weigh values of the hyperparameters, or plug in estimates: their draws are independent.
    mse : ndarray, shape (N, D), optional
        Analytic mean squared errors, of a classical engine.
    years : tuple of int
        T of them; empty where there is one period.
    outcome : Outcome
        What eta says about, with its scale.
    wholes : tuple of tuple of str
        Sub-dimensions that are the parts of one whole, which draws add up to.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> voorbeeldstad().draws.flat.shape
    (400, 120, 4)
    """

    eta: Floats
    areas: tuple[str, ...]
    subdimensions: tuple[str, ...]
    hyper: Mapping[str, tuple[tuple[str, ...], Floats]] = field(default_factory=dict)
    coords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    divergences: int = 0
    factor: Floats | None = None
    certificate: Certificate | Maximised | None = None
    mse: Floats | None = None
    years: tuple[int, ...] = ()
    outcome: Outcome = SCORES
    wholes: tuple[tuple[str, ...], ...] = ()

    def of_year(self, year: int) -> Draws:
        """Return the draws of one year, as of one period; links and sources are still those of all years.

        Raises
        ------
        DataError
            If there is no such year.
        """
        if year not in self.years:
            known = shown(self.years) or "one period"
            raise DataError("there is no such year", repr(year), known, "choose one of these")
        position, width = self.years.index(year), len(self.subdimensions)
        hyper = {}
        for name, (dims, values) in self.hyper.items():
            if "year" in dims:
                values = np.take(values, position, axis=2 + dims.index("year"))
            hyper[name] = tuple(dim for dim in dims if dim != "year"), values
        coords = {name: labels for name, labels in self.coords.items() if name != "year"}
        columns = slice(position * width, (position + 1) * width)
        factor = None if self.factor is None else self.factor[..., columns]
        return replace(self, eta=self.eta[..., columns], hyper=hyper, coords=coords, factor=factor, years=())

    @cached_property
    def flat(self) -> Floats:
        """The linear predictors with chains joined, shape (draws, N, W)."""
        return self.eta.reshape(-1, *self.eta.shape[2:])

    def scores(self, which: Any = ...) -> Floats:
        """Return draws of the outcome's mean, shape (draws, N, D): what is aggregated, and shown only after that.

        Parameters
        ----------
        which : index, optional
            Of draws, buurten and sub-dimensions; all by default.
        """
        if not isinstance(self.outcome, PerMeasure):
            return self.outcome.mean(self.flat[which])
        measure = np.arange(self.flat.shape[-1]) % len(self.subdimensions)
        column = np.broadcast_to(measure, self.flat.shape)[which]
        return self.outcome.among(self.subdimensions).mean(self.flat[which], column)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of chains, and of draws in each."""
        return self.eta.shape[0], self.eta.shape[1]

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything as an xarray Dataset with dims chain, draw, area, measure and those of the hyperparameters."""
        import xarray as xr

        years = ("year",) if self.years else ()
        eta = self.eta.reshape(*self.eta.shape[:-1], len(self.years), -1) if years else self.eta
        parts: dict[str, Any] = {"eta": (("chain", "draw", "area", *years, "measure"), eta)}
        parts |= {name: (("chain", "draw", *dims), values) for name, (dims, values) in self.hyper.items()}
        coords = {"area": list(self.areas), "measure": list(self.subdimensions)}
        coords |= {name: list(labels) for name, labels in self.coords.items()}
        return xr.Dataset(parts, coords=coords)

    def hyperparameters(self) -> pd.DataFrame:
        """Return mean, sd, 95% interval, R-hat and bulk ESS per hyperparameter; fixed ones are left out.

        Engines with a certificate have no R-hat, and the effective number of weighted values for ESS.
        """
        rows = []
        for name, (dims, values) in self.hyper.items():
            flat = values.reshape(*values.shape[:2], -1)
            labels = np.array(np.meshgrid(*[self.dataset[dim].values for dim in dims], indexing="ij"), dtype=object)
            labels = labels.reshape(len(dims), -1).T
            keep = np.flatnonzero(flat.std(axis=(0, 1)) > 1e-12)
            if not len(keep):
                continue
            if self.certificate is None:
                diagnosis = convergence(flat[:, :, keep])
            else:  # independent draws from weighted values: these are as many as are effective
                effective = float(np.prod(self.shape))
                if isinstance(self.certificate, Certificate):
                    effective = min(self.certificate.effective, effective)
                diagnosis = pd.DataFrame({"rhat": np.nan, "ess_bulk": effective}, index=keep)
            lower, upper = np.quantile(flat[:, :, keep], [0.025, 0.975], axis=(0, 1))
            parts = zip(keep, lower, upper, diagnosis["rhat"], diagnosis["ess_bulk"], strict=True)
            rows += [
                (name, " - ".join(dict.fromkeys(labels[j])), flat[:, :, j].mean(), flat[:, :, j].std(), *others)
                for j, *others in parts
                if not _upper_triangle(dims, labels[j], self.dataset)
            ]
        return pd.DataFrame(rows, columns=HYPERPARAMETERS)

    def __repr__(self) -> str:
        what = f"Draws of {len(self.areas)} areas x {len(self.subdimensions)} measures"
        if self.certificate is not None:
            return f"{what}: {len(self.flat)} independent draws, {self.certificate}"
        return f"{what}: {self.shape[0]} chains of {self.shape[1]}, {self.divergences} divergences"


def _upper_triangle(dims: tuple[str, ...], labels: Any, dataset: xr.Dataset) -> bool:
    """A correlation matrix is symmetric: report each pair once."""
    if len(dims) < 2 or dims[-1] != "measure_2":
        return False
    order = list(dataset["measure"].values)
    return bool(order.index(labels[-1]) >= order.index(labels[-2]))


@contextmanager
def unannounced() -> Iterator[None]:
    """Import ArviZ in here: 0.23 announces its successor once a day, and a user of pymc 5 can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
        yield


def psis(log_ratios: Floats) -> tuple[Floats, float]:
    """Return Pareto smoothed importance weights that sum to 1, and k-hat, of log ratios (n,).

    References
    ----------
    Vehtari, A. et al. (2024). Pareto smoothed importance sampling. JMLR 25.
    """
    with unannounced():
        import arviz as az

    if hasattr(az, "psislw"):  # ArviZ before 1.0
        smoothed, khat = az.psislw(np.array(log_ratios))
    else:
        from arviz_stats.base import array_stats

        smoothed, khat = array_stats.psislw(-np.array(log_ratios))  # takes log-likelihoods, as for PSIS-LOO
    weights = np.exp(smoothed - np.max(smoothed))
    return weights / weights.sum(), float(khat)


def convergence(values: Floats) -> pd.DataFrame:
    """Return rank R-hat, bulk and tail effective sample size of quantities of shape (chains, draws, n).

    References
    ----------
    Vehtari, A. et al. (2021). Rank-normalization, folding, and localization. Bayesian Analysis 16.
    """
    with unannounced():
        import arviz as az
    import xarray as xr

    data = xr.Dataset({"q": (("chain", "draw", "i"), values)})
    return pd.DataFrame(
        {
            "rhat": az.rhat(data)["q"].values,
            "ess_bulk": az.ess(data, method="bulk")["q"].values,
            "ess_tail": az.ess(data, method="tail")["q"].values,
        }
    )
