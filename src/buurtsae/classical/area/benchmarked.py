r"""Area estimates that agree with a known figure: sum_i w_i b_i = t, w_i the share of area i in the population.

With the gap t - sum_j w_j est_j, the benchmarked estimates are b_i = est_i + lambda_i gap,

    ratio           lambda_i = est_i / sum_j w_j est_j      (each times t / sum_j w_j est_j);
    difference      lambda_i = 1;
    mse_adjusted    lambda_i = mse_i / sum_j w_j mse_j,     what is least certain moves most,

least sum_i w_i (b_i - est_i)^2 / c_i for c_i of est_i, 1 and mse_i. If t is a national estimate of the same survey,
adjustments a_i are functions of the data, with which the error of a best predictor is uncorrelated: then
E (b_i - theta_i)^2 = mse_i + E a_i^2, which mse_i + a_i^2 estimates, with estimated parameters to o(1/m). If t is the
true figure, from outside, it takes errors away that areas have in common, and this is too high.

References
----------
Datta, G.S., Ghosh, M., Steorts, R. and Maples, J. (2011). Bayesian benchmarking with applications to small area
estimation. Test 20. Steorts, R. and Ghosh, M. (2013). On estimation of mean squared errors of benchmarked empirical
Bayes estimators. Statistica Sinica 23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pandas as pd

from buurtsae.errors import DataError, ModelError, Problems, cut, shown

Method = Literal["ratio", "difference", "mse_adjusted"]
SLACK = 1e-6  # by which shares may fail to sum to 1: rounding of a published table is more, and moves the figure


class Predicted(Protocol):
    """A fit with a prediction of every area and its mean squared error, by the same labels."""

    @property
    def eblup(self) -> pd.Series:
        """Predictions."""

    @property
    def mse(self) -> pd.Series:
        """Their estimated mean squared errors."""


@dataclass(frozen=True, repr=False)
class BenchmarkedResults:
    """Area estimates that agree with a known figure.

    Attributes
    ----------
    method : str
    target : float
        The figure.
    share : Series, shape (m,)
        Of the population, per area.
    original : Series, shape (m,)
        Estimates before benchmarking.
    eblup : Series, shape (m,)
        Estimates after.
    mse : Series, shape (m,)
        Estimated mean squared error after: the one before plus the squared adjustment.
    """

    method: str
    target: float
    share: pd.Series
    original: pd.Series
    eblup: pd.Series
    mse: pd.Series

    @property
    def adjustment(self) -> pd.Series:
        """What benchmarking added to each estimate."""
        return (self.eblup - self.original).rename("adjustment")

    @property
    def gap(self) -> float:
        """The figure minus what the estimates summed to before."""
        return self.target - float(self.share @ self.original)

    @property
    def table(self) -> pd.DataFrame:
        """Per area share, estimate before and after, adjustment, MSE and coefficient of variation after."""
        return pd.DataFrame(
            {
                "share": self.share,
                "original": self.original,
                "adjustment": self.adjustment,
                "eblup": self.eblup,
                "mse": self.mse,
                "cv": np.sqrt(self.mse) / np.abs(self.eblup),
            }
        )

    def __repr__(self) -> str:
        """Say what was benchmarked, and what moved most."""
        most = self.adjustment.abs().idxmax()
        return (
            f"<{len(self.eblup)} areas benchmarked to {self.target:.6g} by {self.method.replace('_', ' ')}; "
            f"before they summed to {self.target - self.gap:.6g}, a gap of {self.gap:.4g}; "
            f"adjustments from {self.adjustment.min():.4g} to {self.adjustment.max():.4g}, most in {cut(most)}>"
        )


def benchmark(fit: Predicted, share: pd.Series, target: float, method: Method = "mse_adjusted") -> BenchmarkedResults:
    """Adjust the estimates of all areas so that, weighted by shares, they sum to a known figure.

    Parameters
    ----------
    fit : AreaResults, TransformedResults, or another with `eblup` and `mse`
    share : Series, shape (m,)
        Share of each area in the population, by its label; the order does not matter. They sum to 1.
    target : float
        Known figure of the population, on the scale of the estimates.
    method : {"ratio", "difference", "mse_adjusted"}
        Ratio keeps signs; the others may move an estimate out of a range such as 0 to 1. emdi calls the difference
        "raking", and joins shares by order.

    Returns
    -------
    BenchmarkedResults

    Raises
    ------
    DataError, ModelError or ProblemsError
        If shares do not match the areas, are negative or do not sum to 1, estimates (or, for mse_adjusted, their MSE)
        are missing, the figure is not finite, or the method is unknown.

    Examples
    --------
    >>> from buurtsae.classical.area.fay_herriot import FayHerriot
    >>> fit = FayHerriot([1.0, 2.0, 4.0, 3.0], [[1.0]] * 4, [0.1, 0.2, 0.1, 0.2]).fit()
    >>> adjusted = benchmark(fit, pd.Series([0.1, 0.2, 0.3, 0.4]), 3.0)
    >>> round(float(adjusted.share @ adjusted.eblup), 6)
    3.0
    """
    est, mse = fit.eblup.astype(float), fit.mse.astype(float)
    share = _checked(est, mse, share, target, method)
    pull = {"ratio": est, "difference": pd.Series(1.0, est.index), "mse_adjusted": mse}[method]
    total = float(share @ pull)
    if total == 0:
        raise ModelError(
            "estimates cannot be benchmarked",
            f"{method} of estimates whose weighted sum of {'mse' if method == 'mse_adjusted' else 'eblup'} is 0",
            "a sum other than 0",
            "choose method='difference'",
        )
    step = pull / total * (target - float(share @ est))
    return BenchmarkedResults(
        method=method,
        target=float(target),
        share=share.rename("share"),
        original=est.rename("original"),
        eblup=(est + step).rename("eblup"),
        mse=(mse + step**2).rename("mse"),
    )


def _checked(est: pd.Series, mse: pd.Series, share: pd.Series, target: float, method: str) -> pd.Series:
    """Refuse what cannot be benchmarked, all at once, and return the shares in the order of the estimates."""
    problems = Problems()
    if method not in get_args(Method):
        problems.add(
            "the method of benchmarking is unknown",
            repr(method),
            ", ".join(get_args(Method)),
            "choose one of these",
            ModelError,
        )
    if not np.isfinite(target):
        problems.add("the figure to benchmark to is not finite", str(target), "a number", "correct it")
    _complete(est, "estimates are missing", np.isfinite(est), problems)
    if method == "mse_adjusted":
        _complete(mse, "mean squared errors are missing or negative", mse >= 0, problems)
    if not isinstance(share, pd.Series):
        problems.add("shares have no labels", type(share).__name__, "a Series by area", "label them")
        problems.raise_if_any()
    if len(double := share.index[share.index.duplicated()]):
        problems.add("areas occur twice in the shares", shown(double), "each area once", "add their shares up")
        problems.raise_if_any()
    if len(absent := est.index.difference(share.index, sort=False)):
        problems.add("areas have no share", shown(absent), "a share for each area", "complete them")
    if len(unknown := share.index.difference(est.index, sort=False)):
        problems.add(
            "shares of areas that have no estimate", shown(unknown), "the areas of the fit", "predict these too"
        )
    share = share.astype(float)
    _complete(share, "shares are missing or negative", (share >= 0) & np.isfinite(share), problems)
    if np.isfinite(share).all() and abs(share.sum() - 1) > SLACK:
        problems.add("shares do not sum to 1", f"{share.sum():.8g}", "1", "divide populations by their total")
    problems.raise_if_any()
    return share.reindex(est.index)


def _complete(values: pd.Series, what: str, right: Any, problems: Problems) -> None:
    """Record areas whose values are not right."""
    if not right.all():
        got = shown(f"{a}: {v:g}" for a, v in values[~right].items())
        problems.add(what, got, "numbers for all areas", "correct them, or leave these areas out of both", DataError)
