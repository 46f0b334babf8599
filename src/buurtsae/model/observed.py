r"""What was observed: sites, and direct estimates with their sampling covariances, as arrays.

Columns are years, and within these measures. The reference source of a measure is the one whose scale the score has, in
all years. Of several years a source is a row S with columns in each of its years; in one period each entry is a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.errors import ModelError, shown
from buurtsae.model.realised import correction
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.panels import definite
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


def names_of(direct: DirectEstimates) -> tuple[str, ...]:
    """Names of the rows S: of several years the sources, in one period each of its entries."""
    return tuple(dict.fromkeys(source.source for source in direct.sources)) if direct.years else direct.labels


def rows_of(direct: DirectEstimates) -> list[int]:
    """The row of each entry of the sources."""
    if not direct.years:
        return list(range(len(direct.sources)))
    names = names_of(direct)
    return [names.index(source.source) for source in direct.sources]


def reference_rows(direct: DirectEstimates) -> list[int]:
    """The row of the reference source of each measure; -1 in a year, of several, in which it is absent."""
    if not (direct.years or direct.anchors):
        return [int(place) for place in direct.reference]
    names = [source.source for source in direct.sources]
    rows = rows_of(direct)
    return [rows[names.index(name)] if name in names else -1 for name in direct.references]


def absent(direct: DirectEstimates) -> list[Note]:
    """That the reference of all years is not there in this one, of estimates that are of one of several."""
    rows = zip(direct.subdimensions, direct.references, reference_rows(direct), strict=True)
    of: dict[str, list[str]] = {}
    for measure, name, row in rows if direct.anchors else ():
        if row < 0:
            of.setdefault(name, []).append(measure)
    return [
        Note(
            "{source} is not there in this year: direct estimates of {measures} are of another source, on its own "
            "level",
            "{source} is er dit jaar niet: directe schattingen van {measures} zijn van een andere bron, op haar eigen "
            "niveau",
            source=source, measures=measures,
        )
        for source, measures in of.items()
    ]  # fmt: skip


def references_of(direct: DirectEstimates) -> list[tuple[int, int]]:
    """The entry of the sources that is the reference of each column, -1 where it is absent, and the measure."""
    rows, year = rows_of(direct), [source.year for source in direct.sources]
    return [
        (next((s for s, of in enumerate(rows) if of == row and t in (None, year[s])), -1), d)
        for t in direct.years or [None]
        for d, row in enumerate(reference_rows(direct))
    ]


def kinds_of(direct: DirectEstimates) -> tuple[str, ...]:
    """Kinds of the rows; one that is participatory in some year is so."""
    kinds = dict[int, str]()
    for row, source in zip(rows_of(direct), direct.sources, strict=True):
        kinds[row] = "participatory" if "participatory" in (source.kind, kinds.get(row)) else source.kind
    return tuple(kinds[row] for row in range(len(kinds)))


def informing(direct: DirectEstimates) -> NDArray[np.bool_]:
    """Which columns each row informs, shape (S, W)."""
    informs = np.zeros((len(names_of(direct)), len(direct.subdimensions) * max(len(direct.years), 1)), dtype=bool)
    for s, source, columns in placed(direct):
        informs[s, columns] = source.informs
    return informs


def placed(direct: DirectEstimates) -> Iterator[tuple[int, SourceEstimates, slice]]:
    """Yield the row of each entry of the sources, the entry, and its columns."""
    yield from zip(rows_of(direct), direct.sources, columns_of(direct), strict=True)


def centres_of(direct: DirectEstimates, references: Sequence[int]) -> Floats:
    """C of each column: the mean of the direct estimates of the reference, of all years; 0 where there are none."""
    rows, centre = rows_of(direct), np.zeros(len(direct.subdimensions))
    for d, row in enumerate(references):
        means = [source.mean[:, d] for of, source in zip(rows, direct.sources, strict=True) if of == row]
        if means and np.isfinite(joined := np.concatenate(means)).any():
            centre[d] = np.nanmean(joined)
    return np.tile(centre, max(len(direct.years), 1))


def observations(direct: DirectEstimates, sites: pd.Index, realised: bool) -> tuple[Floats, Floats]:
    """Direct estimates (S, K, W) and their covariances (S, K, W, W); 0 where there is none."""
    width = len(direct.subdimensions) * max(len(direct.years), 1)
    y = np.zeros((len(names_of(direct)), len(sites), width))
    covariance = np.zeros((*y.shape, width))
    for s, source, columns in placed(direct):
        seen = _seen(source)
        mean, codes = source.mean[seen], source.codes[seen]
        row = sites.get_indexer(codes)
        y[s, row, columns] = np.nan_to_num(mean)
        v = checked_covariance(source.variance[seen], np.isfinite(mean), codes)
        if realised:
            sd = correction(source, direct.areas.residents(source.level), codes)
            v = v * sd[:, :, None] * sd[:, None, :]
        covariance[s, row, columns, columns] = v
    for s in {names_of(direct).index(panel.source) for panel in direct.panels} if direct.years else ():
        covariance[s] = with_panels(direct, s, covariance[s], sites)
    return y, covariance


def with_panels(direct: DirectEstimates, s: int, covariance: Floats, sites: pd.Index) -> Floats:
    """Return the covariances of a row S, (K, W, W), with those between years of people who answered in both."""
    d = len(direct.subdimensions)
    for panel in (panel for panel in direct.panels if panel.source == names_of(direct)[s]):
        row = sites.get_indexer(panel.codes)
        there = row >= 0
        row, between = row[there], panel.covariance[there]
        t, u = (slice(at * d, (at + 1) * d) for at in map(direct.years.index, panel.years))
        covariance[row, t, u], covariance[row, u, t] = between, between.swapaxes(1, 2)
    return definite(covariance, len(direct.years))


def within_sites(direct: DirectEstimates, sites: pd.Index) -> tuple[Floats, Floats]:
    """Variances within sites over the pooled ones, and their degrees of freedom, shape (S, K, W)."""
    shape = (len(names_of(direct)), len(sites), len(direct.subdimensions) * max(len(direct.years), 1))
    ratio, freedom = np.ones(shape), np.zeros(shape)
    for s, source, columns in placed(direct):
        if source.within is None or source.freedom is None:
            continue
        seen = _seen(source)
        row = sites.get_indexer(source.codes[seen])
        pooled = (np.einsum("add->ad", source.variance) * source.n_effective)[seen]
        known = (source.freedom[seen] > 0) & (pooled > 0)
        ratio[s, row, columns] = np.divide(source.within[seen], pooled, out=np.ones_like(pooled), where=known)
        freedom[s, row, columns] = np.where(known, source.freedom[seen], 0.0)
    return ratio, freedom


def respondents_of(direct: DirectEstimates, sites: Sequence[str]) -> Ints:
    """Return numbers of respondents, shape (S, K, W)."""
    n = np.zeros((len(names_of(direct)), len(sites), len(direct.subdimensions) * max(len(direct.years), 1)), np.int64)
    for s, source, columns in placed(direct):
        row = pd.Index(sites).get_indexer(source.codes)
        n[s, row[row >= 0], columns] = source.respondents[row >= 0]
    return n


def told_by(seen: Any, references: Sequence[int], measures: int) -> list[tuple[int, int]]:
    """Row and column that tell most of each column, of where there are estimates (S, W).

    That of its reference; where that is absent, that of another source, or of another year.
    """
    places = list[tuple[int, int]]()
    for w, s in enumerate(references):
        others = [(t, v) for v in (w, *range(w % measures, seen.shape[1], measures)) for t in range(len(seen))]
        places.append(next(((t, v) for t, v in ((s, w), *others) if t >= 0 and seen[t, v]), (max(s, 0), w)))
    return places


def pooled_freedom(direct: DirectEstimates) -> Floats:
    """Degrees of freedom of the pooled variances that V is made of, shape (S, W); 0 where V is known."""
    freedom = np.zeros((len(names_of(direct)), len(direct.subdimensions) * max(len(direct.years), 1)))
    for s, source, columns in placed(direct):
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
