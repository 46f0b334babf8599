r"""What was observed: sites, and direct estimates with their sampling covariances, as arrays.

Columns are years, and within these measures. A reference source of a measure is one whose scale the score has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.errors import ModelError, shown
from buurtsae.model.realised import correction
from buurtsae.sparse import Floats
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates


def sites_of(direct: DirectEstimates) -> tuple[pd.Index, sp.csr_array]:
    """Codes of the sites, and the weights of the areas at each; an old area with the ground of one is that area."""
    areas, order = direct.areas, [*direct.areas.levels, *direct.areas.editions]
    sites, weights = list(areas.codes), [sp.eye_array(len(areas.codes), format="csr")]
    for level in sorted({source.level for source in direct.sources} - {areas.base}, key=order.index):
        observed = sorted(
            {code for source in direct.sources if source.level == level for code in source.codes[_seen(source)]}
            - set(areas.codes)
        )
        labels, share = areas.aggregation(level)
        sites, weights = [*sites, *observed], [*weights, share[pd.Index(labels).get_indexer(observed)]]
    return pd.Index(sites), sp.csr_array(sp.vstack(weights))


def _seen(source: SourceEstimates) -> NDArray[np.bool_]:
    """True for areas with an estimate of some sub-dimension."""
    return np.asarray(np.isfinite(source.mean).any(axis=1))


def columns_of(direct: DirectEstimates) -> list[slice]:
    """The columns of each source: those of its year."""
    d = len(direct.subdimensions)
    first = [direct.years.index(source.year) * d if direct.years else 0 for source in direct.sources]
    return [slice(start, start + d) for start in first]


def references_of(direct: DirectEstimates) -> list[tuple[int, int]]:
    """Reference source and measure of each column; -1 in years without a survey."""
    if not direct.years:
        return [(int(place), d) for d, place in enumerate(direct.reference)]
    pairs = []
    for year in direct.years:
        if year not in direct.waves:
            pairs += [(-1, d) for d in range(len(direct.subdimensions))]
            continue
        of_year = [place for place, source in enumerate(direct.sources) if source.year == year]
        pairs += [(of_year[place], d) for d, place in enumerate(direct.of_year(year).reference)]
    return pairs


def standing_in(direct: DirectEstimates, references: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Reference source, measure and column that tell about each column: of a year without a survey the nearest ones."""
    d, told = len(direct.subdimensions), []
    for w, (s, of) in enumerate(references):
        column = w if s >= 0 else direct.years.index(direct.nearest(direct.years[w // d])) * d + of
        told.append((*references[column], column))
    return told


def observations(direct: DirectEstimates, sites: pd.Index, realised: bool) -> tuple[Floats, Floats]:
    """Direct estimates (S, K, W) and their covariances (S, K, W, W); 0 where there is none."""
    width = len(direct.subdimensions) * max(len(direct.years), 1)
    y = np.zeros((len(direct.sources), len(sites), width))
    covariance = np.zeros((*y.shape, width))
    for s, (source, columns) in enumerate(zip(direct.sources, columns_of(direct), strict=True)):
        seen = _seen(source)
        mean, codes = source.mean[seen], source.codes[seen]
        row = sites.get_indexer(codes)
        y[s, row, columns] = np.nan_to_num(mean)
        v = checked_covariance(source.variance[seen], np.isfinite(mean), codes)
        if realised:
            sd = correction(source, direct.areas.residents(source.level), codes)
            v = v * sd[:, :, None] * sd[:, None, :]
        covariance[s, row, columns, columns] = v
    return y, covariance


def within_sites(direct: DirectEstimates, sites: pd.Index) -> tuple[Floats, Floats]:
    """Variances within sites over the pooled ones, and their degrees of freedom, shape (S, K, W)."""
    shape = (len(direct.sources), len(sites), len(direct.subdimensions) * max(len(direct.years), 1))
    ratio, freedom = np.ones(shape), np.zeros(shape)
    for s, (source, columns) in enumerate(zip(direct.sources, columns_of(direct), strict=True)):
        if source.within is None or source.freedom is None:
            continue
        seen = _seen(source)
        row = sites.get_indexer(source.codes[seen])
        pooled = (np.einsum("add->ad", source.variance) * source.n_effective)[seen]
        known = (source.freedom[seen] > 0) & (pooled > 0)
        ratio[s, row, columns] = np.divide(source.within[seen], pooled, out=np.ones_like(pooled), where=known)
        freedom[s, row, columns] = np.where(known, source.freedom[seen], 0.0)
    return ratio, freedom


def pooled_freedom(direct: DirectEstimates) -> Floats:
    """Degrees of freedom of the pooled variances that V is made of, shape (S, W); 0 where V is known."""
    freedom = np.zeros((len(direct.sources), len(direct.subdimensions) * max(len(direct.years), 1)))
    for s, (source, columns) in enumerate(zip(direct.sources, columns_of(direct), strict=True)):
        if source.pooled is not None:
            freedom[s, columns] = np.where(source.informs, source.pooled, 0.0)
    return freedom


def checked_covariance(variance: Floats, observed: NDArray[np.bool_], codes: Sequence[str]) -> Floats:
    """Return V, 0 where nothing was observed, shape (n, D, D).

    Raises
    ------
    ModelError
        If a sampling covariance is singular: it would claim infinite precision.
    """
    both = observed[:, :, None] & observed[:, None, :]
    full = np.where(both, variance, np.eye(variance.shape[1]))  # the identity keeps its eigenvalues apart
    size = np.sqrt(np.maximum(np.einsum("add->ad", full), 0.0))
    size = np.where(size > 0, size, 1.0)  # variances may be small on the scale of the measure: correlations tell
    if len(full) and (worst := np.linalg.eigvalsh(full / (size[:, :, None] * size[:, None, :]))[:, 0]).min() <= 1e-10:
        raise ModelError(
            "sampling covariances are singular",
            shown(np.asarray(codes)[worst <= 1e-10]),
            "positive definite matrices",
            "smooth the variances, or leave out measures that always have the same answer",
        )
    return np.where(both, variance, 0.0)
