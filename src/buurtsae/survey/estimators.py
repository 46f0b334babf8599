"""Domain estimates of a survey by its whole design: which estimator and which variance the columns ask for.

Replicate weights take the place of the linearised variance; calibrated weights are credited in it. The formulas stand
in `variance`, `calibration` and `replicates`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, shown
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.calibration import credit, greg, project
from buurtsae.survey.design_columns import DesignInfo
from buurtsae.survey.scales import Scores
from buurtsae.survey.variance import covariance, hajek, same


def domain_estimates(
    scores: Scores,
    y: Floats,
    w: Floats,
    domain: Ints,
    n_domains: int,
    x: Floats | None = None,
    xbar: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return Hajek means, or regression estimates, and their covariance by the survey's whole design.

    Parameters
    ----------
    y, w, domain, n_domains : as in `hajek`
    x, xbar : ndarray, shapes (n, p) and (n_domains, p), optional
        Covariates of the respondents, the first an intercept, and their population means: regression estimates.

    Returns
    -------
    mean : ndarray, shape (n_domains, D); NaN where nobody answered
    covariance : ndarray, shape (n_domains, D, D)
    """
    info, frame = design_of(scores), scores.frame

    def regression(weight: Floats) -> tuple[Floats, Floats, Floats | None, Floats | None]:
        if x is not None and xbar is not None:
            return greg(y, x, xbar, weight, domain, n_domains)
        mean, share, residual = hajek(y, weight, domain, n_domains)
        return mean, share * residual, None, None

    replicates = info.replicate_weights(frame)
    if replicates is not None:
        return replicates.covariance(lambda weight: regression(weight)[0], w)
    mean, z, extra, coefficient = regression(w)
    calibrated = info.calibrated(frame)
    if calibrated is not None:
        more, b = credit(z, w, domain, n_domains, *calibrated)
        if extra is None or coefficient is None:
            return mean, covariance(z, domain, n_domains, info.sample(frame), more, b)
        extra = np.hstack([project(extra, w, *calibrated), more.toarray()])
        coefficient = np.concatenate([coefficient, b], axis=1)
    sample = info.sample(frame)
    v = covariance(z, domain, n_domains, sample, extra, coefficient)
    if extra is None:  # deviations from a mean sum to zero over the only unit that they are in
        units = np.where(np.isfinite(y) & (w > 0)[:, None], sample.stages[-1].unit[:, None], np.nan)
        some = ~same(units, domain, n_domains)[1]
        v = np.where(some[:, :, None] & some[:, None, :], v, 0.0)
    return mean, v


def design_of(scores: Scores) -> DesignInfo:
    """Return how the design columns of the respondents are used; without a statement weights and strata only."""
    return scores.survey_design or DesignInfo()


def regressors(areas: Areas, covariates: Sequence[str]) -> Floats:
    """Return covariates of the buurten with an intercept, shape (n_buurten, p); standardised, for the numbers' sake.

    Raises DataError if there are none, or they are unknown or missing.
    """
    known = areas.covariates
    if not covariates or (unknown := [name for name in covariates if name not in known]):
        names = "none" if not covariates else shown(unknown)
        raise DataError("regression estimates need covariates of the areas", names, shown(known), "correct the names")
    x = areas.frame[list(covariates)].to_numpy(dtype=float)
    if (lost := areas.inhabited & ~np.isfinite(x).all(axis=1)).any():
        what, hint = "covariates of the regression estimates are missing", "complete them, or leave the covariate out"
        raise DataError(what, shown(areas.codes[lost]), "a number for every buurt with residents", hint)
    lived = x[areas.inhabited]
    spread = lived.std(axis=0)
    x = np.nan_to_num((x - lived.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
    return np.column_stack([np.ones(len(x)), x])


def population_means(areas: Areas, level: str, labels: pd.Index, x: Floats) -> Floats:
    """Return covariates of the buurten as means over residents per area of a level; 0 where nobody lives."""
    codes, matrix = areas.aggregation(level)
    means = np.zeros((len(labels), x.shape[1]))
    means[labels.get_indexer(codes)] = matrix @ x
    return means
