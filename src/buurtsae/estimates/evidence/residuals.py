r"""What a fit leaves over: predictions of the direct estimates, residuals, and their pattern in space.

A residual is (y - E prediction) / sqrt(V), V the sampling variance and what the source adds per site. Moran's I of
these is row-standardised, on the neighbour graph, among buurten with an estimate of their own.

References
----------
Cliff, A. and Ord, J. (1981). Spatial Processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.areas.graph import Graph
from buurtsae.engines.base import Fit
from buurtsae.estimates.disclosure.release import Release
from buurtsae.sparse import Floats


def predictions(fit: Fit, s: int, d: int) -> tuple[Floats, Floats, Floats]:
    """Return what source s should observe on sub-dimension d (draws, n), its direct estimates, and the variances of
    their difference (draws, n): sampling variance and what the source adds per site.
    """
    source = fit.direct.sources[s]
    seen = np.isfinite(source.mean[:, d])
    row = pd.Index(fit.design.site_codes).get_indexer(source.codes[seen])
    offset, slope, extra = (part[:, s, d, None] for part in fit.links)
    c = fit.design.centre[d]
    eta = (fit.design.sites[row] @ fit.draws.scores((..., d)).T).T
    prediction = c + offset + slope * (eta - c) if fit.design.linked[s, d] else eta + offset
    factor = 1.0 if fit.draws.factor is None else fit.draws.factor[s, row, d]
    return prediction, source.mean[seen, d], factor * source.variance[seen, d, d] + extra**2


def residuals(fit: Fit) -> dict[str, pd.Series]:
    """Return standardised residuals per sub-dimension, by buurt, of a reference that is known per buurt."""
    by_measure = {}
    for dim, name in enumerate(fit.direct.subdimensions):
        reference = int(fit.direct.reference[dim])
        source = fit.direct.sources[reference]
        if source.level != fit.areas.base:
            continue
        prediction, y, variance = predictions(fit, reference, dim)
        seen = source.codes[np.isfinite(source.mean[:, dim])]
        by_measure[name] = pd.Series((y - prediction.mean(axis=0)) / np.sqrt(variance.mean(axis=0)), index=seen)
    return by_measure


def graph_of(fit: Fit) -> Graph | None:
    """Return the graph of a spatial term, if there is one, also where an engine fitted a model without it."""
    return (fit.asked or fit.model).graph


def moran(fit: Fit, release: Release | None = None, of: Mapping[str, pd.Series] | None = None) -> list[dict[str, Any]]:
    """Moran's I of the standardised residuals of a reference known per buurt, with the normal-theory p-value.

    Those of the fit, or others of it. Where the release hides few residuals, these do not count.
    """
    if (graph := graph_of(fit)) is None:
        return []
    from esda.moran import Moran
    from libpysal.graph import Graph as Contiguity

    rows = []
    codes = pd.Index(graph.codes)
    pairs = codes.to_numpy()[graph.edges]
    for name, residual in (residuals(fit) if of is None else of).items():
        if release is not None:
            source = fit.direct.labels[fit.direct.reference[fit.direct.subdimensions.index(name)]]
            areas = pd.DataFrame({"source": source, "area_code": residual.index, "measure": name})
            residual = residual[release.counted(areas, fit.direct)]
        both = pairs[codes.isin(residual.index)[graph.edges].all(axis=1)]  # np.isin compares texts one by one
        linked = residual[residual.index.isin(both.ravel())]
        if len(linked) < 4:  # its variance needs four
            continue
        ends = pd.DataFrame(np.vstack([both, both[:, ::-1]]), columns=["focal", "neighbor"])
        contiguity = Contiguity.from_adjacency(ends.assign(weight=1.0))
        index = Moran(linked.loc[list(contiguity.unique_ids)].to_numpy(), contiguity, permutations=0)
        rows.append({"measure": name, "I": float(index.I), "p": float(index.p_norm)})
    return rows
