r"""Posterior means and standard deviations of all scores without draws.

Given hyperparameters scores are Gaussian with known moments. Averaged over the weighed values (Rao and Blackwell),

    E[e] = sum_k w_k E_k[e],        Var[e] = sum_k w_k (Var_k[e] + E_k[e]^2) - E[e]^2,

exact but for the error of the weights: what draws add, 1 / sqrt(2 n) of a standard deviation of n draws, is not there.
A value costs twice what it costs to weigh: variances of all areas need a selected inverse.

References
----------
Gelfand, A. and Smith, A. (1990). Sampling-based approaches to calculating marginal densities. JASA 85.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from buurtsae.draws import Certificate
from buurtsae.engines.base import Fit
from buurtsae.engines.integration import integrate
from buurtsae.engines.laplace import _enough, _marginal
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.search import Map, Progress
from buurtsae.engines.smaller import smaller
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats

LEAST = 1e-6  # weights below which a value adds nothing that digits show


@dataclass(frozen=True)
class ScoreMoments:
    """Posterior means and standard deviations of the scores of all areas.

    Attributes
    ----------
    areas, columns : tuple of str
    mean, sd : ndarray, shape (N, W)
    certificate : Certificate
        What the weights are worth.
    """

    areas: tuple[str, ...]
    columns: tuple[str, ...]
    mean: Floats
    sd: Floats
    certificate: Certificate

    @property
    def frame(self) -> pd.DataFrame:
        """One row per area and column."""
        labels = pd.MultiIndex.from_product([self.areas, self.columns], names=["area_code", "measure"])
        return pd.DataFrame({"mean": self.mean.ravel(), "sd": self.sd.ravel()}, index=labels).reset_index()


def posterior_moments(fit: Fit, hyperparameters: int | None = None, threads: int = 2) -> ScoreMoments:
    """Return posterior means and standard deviations of all scores of a Gaussian model, without draws.

    Parameters
    ----------
    fit : Fit
        Its design and seed are used: values of the hyperparameters are those of the fast engine with that seed.
    hyperparameters : int, optional
        Effective number of values to reach; by default as the fast engine does.
    threads : int
        Values that are worked on at the same time; the moments do not depend on it.

    Raises
    ------
    ModelError
        If the model is not Gaussian given its hyperparameters: counts, heavy tails, modelled variances, horseshoes.

    Examples
    --------
    >>> from buurtsae.engines.moments import posterior_moments
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> posterior_moments(voorbeeldstad().fit, hyperparameters=20).sd.shape
    (120, 4)
    """
    from threadpoolctl import threadpool_limits

    marginal = _marginal(fit.design)
    if type(marginal) is not Marginal:
        raise ModelError(
            "the model is not Gaussian given its hyperparameters",
            type(fit.design.model.outcome).__name__ if fit.design.size is not None else "heavy tails or variances",
            "direct estimates with known variances",
            "take means and standard deviations of the draws",
        )
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        enough = hyperparameters or _enough(marginal)
        weighed = integrate(marginal, fit.seed, enough, pool.map, Progress(False), None, smaller(marginal))
        used = np.flatnonzero(weighed.weights > LEAST)
        weights = weighed.weights[used] / weighed.weights[used].sum()
        mean, sd = averaged(marginal, weighed.xi[used], weights, pool.map, threads)
    effective = weighed.effective if marginal.size else np.inf
    certificate = Certificate(weighed.khat, len(weighed.weights), effective)
    return ScoreMoments(fit.design.areas, fit.design.columns, mean, sd, certificate)


def averaged(marginal: Marginal, xi: Floats, weights: Floats, each: Map, at_once: int) -> tuple[Floats, Floats]:
    """Return mean and standard deviation, (N, W), over values xi of the hyperparameters with their weights."""
    n = len(marginal.design.areas)

    def one(value: Floats) -> tuple[Floats, Floats]:
        given = marginal.at(value)
        return given.mean[:n], given.sd[:n] ** 2

    centre, total, square = None, 0.0, 0.0
    for part in _runs(len(xi), at_once):  # few at once: each is as large as all scores
        for weight, (mean, variance) in zip(weights[part], each(one, xi[part]), strict=True):
            centre = mean if centre is None else centre  # sums of squares about something near
            total = total + weight * (mean - centre)
            square = square + weight * (variance + (mean - centre) ** 2)
    assert centre is not None  # weights sum to 1
    return centre + total, np.sqrt(square - np.square(total))


def _runs(n: int, size: int) -> Sequence[slice]:
    return [slice(k, k + size) for k in range(0, n, size)]
