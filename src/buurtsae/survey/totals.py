"""Direct estimates per area of a level, and what the design costs there: of respondents, or of an office's table.

Each sub-dimension is that of its reference source; a measure is A m of them (`measures`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from buurtsae.sparse import Floats, Ints
from buurtsae.survey.components import clusters, n_effective
from buurtsae.survey.estimators import design_of, domain_estimates, population_means
from buurtsae.survey.measures import combined, fewest, long_table, standard_errors
from buurtsae.survey.scales import Scores
from buurtsae.survey.source_estimates import arrays
from buurtsae.survey.variance import group_sum, kish, srs_variance

if TYPE_CHECKING:
    from buurtsae.survey.concept import Concept
    from buurtsae.survey.direct import DirectEstimates


def means(direct: DirectEstimates, level: str, x: Floats | None = None) -> tuple[Floats, Floats]:
    """Means of the sub-dimensions per area by their reference source, and covariances; regression with `x`."""
    labels = direct.areas.at(level)
    xbar = None if x is None else population_means(direct.areas, level, labels, x)
    shape = (len(labels), len(direct.subdimensions))
    # sub-dimensions of different sources have different respondents: their covariance is 0
    mean, variance = np.full(shape, np.nan), np.zeros((*shape, shape[1]))
    for source, scores in enumerate(direct.scores):
        read = np.flatnonzero(direct.reference == source)
        if not len(read):
            continue
        y, w = arrays(scores, [direct.subdimensions[d] for d in read])
        of_person = None if x is None else _covariates(direct, x, scores)
        domain = _domain(direct, level, scores)
        mean[:, read], block = domain_estimates(scores, y, w, domain, len(labels), of_person, xbar)
        variance[np.ix_(np.arange(len(labels)), read, read)] = block
    return mean, variance


def of_respondents(
    direct: DirectEstimates, level: str, weights: pd.DataFrame, mean: Floats, variance: Floats, concept: Concept | None
) -> pd.DataFrame:
    """Totals of measures, from the means of sub-dimensions and their covariances; within the ends of their scales."""
    labels, answered, matrix = direct.areas.at(level), _reference_counts(direct, level), weights.to_numpy()
    count, effective = np.zeros((2, len(labels), len(matrix)))
    shares = matrix / matrix.sum(axis=1, keepdims=True)
    for source, scores in zip(direct.sources, direct.scores, strict=True):
        domain = _domain(direct, level, scores)
        y, w = arrays(scores, direct.subdimensions)
        some = ((np.isfinite(y).astype(float) @ (matrix.T > 0)) > 0).astype(float)
        rho = np.zeros((0, len(direct.subdimensions))) if source.icc is None else source.icc
        cells = clusters(scores.frame, domain, design_of(scores).clusters)[: len(rho)]
        count += group_sum(some, domain, len(labels))
        effective += n_effective(some * w[:, None], domain, len(labels), cells, rho @ shares.T)
    enough = combined(matrix, np.where(answered > 1, 1.0, np.nan))
    se = np.where(np.isfinite(enough), standard_errors(matrix, variance), np.nan)
    figure = combined(matrix, mean)
    if concept is not None:  # a weighted mean of tens may be 10 and a rounding error
        columns = zip(weights.index, figure.T, strict=True)
        figure = np.column_stack([concept.scale_of(name).shown(column) for name, column in columns])
    figures = figure, se, fewest(matrix, answered), count.astype(np.int64), effective
    return long_table(labels, list(weights.index), *figures)


def of_table(direct: DirectEstimates, level: str, weights: pd.DataFrame) -> pd.DataFrame:
    """Totals without microdata: estimates at a source's own level as given, above it numbers of respondents."""
    labels, matrix = direct.areas.at(level), weights.to_numpy()
    shape = (len(labels), len(direct.subdimensions))
    mean, variance = np.full(shape, np.nan), np.zeros((*shape, shape[1]))
    count, effective = np.zeros(shape), np.zeros(shape)
    for place, source in enumerate(direct.sources):
        row = direct.domain(level, source.level, source.codes)
        count += group_sum(source.respondents.astype(float), row, len(labels))
        effective += group_sum(source.n_effective, row, len(labels))
        own = labels.get_indexer(source.codes)  # its own level, or an area of another edition with the same ground
        if (known := own >= 0).any():
            read, at = np.flatnonzero(direct.reference == place), own[known]
            mean[at[:, None], read] = source.mean[known][:, read]
            variance[np.ix_(at, read, read)] = source.before[known][:, read][:, :, read]
    missing = ~(np.einsum("add->ad", variance) > 0)  # an office may leave a variance out, or give zero
    se = np.where(missing.astype(float) @ (matrix.T > 0) > 0, np.nan, standard_errors(matrix, variance))
    # whether the same persons answered is unknown: a measure has at least those of its best part
    persons, effective = ((number[:, None, :] * (matrix > 0)).max(axis=2) for number in (count, effective))
    figure = combined(matrix, mean)
    se = np.where(np.isfinite(figure), se, np.nan)
    figures = figure, se, fewest(matrix, _reference_counts(direct, level)), persons.astype(np.int64), effective
    return long_table(labels, list(weights.index), *figures)


def design_effects(direct: DirectEstimates, level: str) -> pd.DataFrame:
    """See `DirectEstimates.design_effects`."""
    labels = direct.areas.at(level)
    parts = []
    for place, scores in enumerate(direct.scores):
        names = [name for name, source in zip(direct.subdimensions, direct.reference, strict=True) if source == place]
        if not names:
            continue
        domain = _domain(direct, level, scores)
        y, w = arrays(scores, names)
        variance = domain_estimates(scores, y, w, domain, len(labels))[1]
        answered = np.isfinite(y) & (domain >= 0)[:, None]
        n = group_sum(answered.astype(float), domain, len(labels))
        weighting = kish(w, answered, domain, len(labels))
        relative = w.sum() <= 1.01 * len(w)  # weights with mean 1 do not tell the population's size
        simple = srs_variance(y, w, domain, len(labels), replacement=bool(relative))
        deff = np.divide(np.einsum("add->ad", variance), simple, out=np.full(n.shape, np.nan), where=simple > 0)
        few = n < 2
        index = pd.MultiIndex.from_product([labels, names], names=["area_code", "measure"])
        columns = {
            "source": scores.source,
            "n_respondents": n.astype(np.int64).ravel(),
            "deff_weights": np.where(few, np.nan, weighting).ravel(),
            "n_effective": np.where(few, n, n / np.where(few, 1.0, weighting)).ravel(),
            "deff": np.where(few, np.nan, deff).ravel(),
        }
        parts.append(pd.DataFrame(columns, index=index).reset_index())
    return pd.concat(parts, ignore_index=True)


def _domain(direct: DirectEstimates, level: str, scores: Scores) -> Ints:
    return direct.domain(level, scores.level, scores.frame["area_code"])


def _covariates(direct: DirectEstimates, x: Floats, scores: Scores) -> Floats:
    """Covariates of each respondent: those of the buurt, or the mean over the residents of the wijk."""
    areas, labels = direct.areas, direct.areas.at(scores.level)
    table = x if scores.level == areas.base else population_means(areas, scores.level, labels, x)
    return table[labels.get_indexer(scores.frame["area_code"])]


def _reference_counts(direct: DirectEstimates, level: str) -> Ints:
    """Respondents of the reference source of each sub-dimension."""
    counts = np.zeros((len(direct.areas.at(level)), len(direct.subdimensions)), dtype=np.int64)
    for place, source in enumerate(direct.sources):
        read, row = direct.reference == place, direct.domain(level, source.level, source.codes)
        counts[:, read] += group_sum(source.respondents[:, read].astype(float), row, len(counts)).astype(np.int64)
    return counts
