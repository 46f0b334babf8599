"""What each source adds: posterior standard deviations with and without it, without fitting again.

Hyperparameters are held at their posterior means of the fit with all sources; given these the posterior is Gaussian
and its standard deviations are exact (`engines.given`). Without the reference of a sub-dimension the next source
takes its place, as it would if it were left out of the run file, and fixes the level; figures stay on the scale of the
fit. Of several years it is a source of one year that is left out: what other sources and other years say stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from buurtsae.engines.base import Fit
from buurtsae.engines.given import Given, given
from buurtsae.model.design import Design, design
from buurtsae.model.observed import placed
from buurtsae.sparse import Floats


def contributions(fit: Fit) -> list[dict[str, Any]]:
    """Return one record per source and sub-dimension that it informs.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    list of dict
        `source`, `year` (of several), `measure`, `areas` (buurten or wijken with an estimate of this source),
        `sd_with`, `sd_without` (means over inhabited buurten), `sd_with_own`, `sd_without_own` (over the buurten in
        these areas). The figures without are None where no other source informs the sub-dimension.

    Examples
    --------
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> row = contributions(voorbeeldstad().fit)[0]
    >>> row["source"], row["measure"], round(row["sd_with"], 1), round(row["sd_without"], 1)
    ('veiligheidsmonitor', 'omgang_en_relaties', 0.6, 0.7)
    """
    at, inhabited = given(fit), fit.areas.inhabited
    everything = at.posterior.sd[: len(fit.areas.codes)]  # sites: buurten first
    rows = []
    for s, ((row, source, columns), label) in enumerate(zip(placed(fit.direct), fit.direct.labels, strict=True)):
        without = _without_year(fit, at, row, columns) if fit.design.years else _without(fit, at, s)
        for dim in np.flatnonzero(source.informs):
            column = columns.start + dim
            seen = np.flatnonzero(fit.design.observed[row, :, column])
            held = fit.design.sites[seen].sum(axis=0) > 0  # the buurten that they hold
            left = without.get(name := fit.direct.subdimensions[dim])
            rows.append(
                {
                    "source": label,
                    **({"year": source.year} if fit.design.years else {}),
                    "measure": name,
                    "areas": len(seen),
                    "sd_with": float(everything[inhabited, column].mean()),
                    "sd_without": None if left is None else float(left[inhabited].mean()),
                    "sd_with_own": float(everything[held, column].mean()),
                    "sd_without_own": None if left is None else float(left[held].mean()),
                }
            )
    return rows


def _without_year(fit: Fit, at: Given, row: int, columns: slice) -> dict[str, Floats]:
    """Posterior sd of a year per sub-dimension of which anything is known without this source of the year, (N,)."""
    kept = fit.design.observed.copy()
    kept[row, :, columns] = False
    known = np.asarray(kept.any(axis=(0, 1)))
    if any(effect.joint for effect in fit.design.effects):  # other years tell too
        known = np.tile(known.reshape(fit.design.periods, -1).any(axis=0), fit.design.periods)
    sd = at.keeping(kept).posterior.sd[: len(fit.areas.codes), columns]
    names = zip(fit.direct.subdimensions, known[columns], sd.T, strict=True)
    return {name: one for name, there, one in names if there}


def _without(fit: Fit, at: Given, s: int) -> dict[str, Floats]:
    """Posterior sd per sub-dimension that the other sources inform, shape (N,)."""
    others = [other for other in range(len(fit.direct.sources)) if other != s]
    kept = np.flatnonzero(np.any([fit.direct.sources[other].informs for other in others], axis=0)).tolist()
    if not kept:
        return {}
    arrays = _select(fit, others, kept)
    place = pd.Index(fit.design.site_codes).get_indexer(arrays.site_codes)  # fewer wijken may be observed without it
    factor = 1.0 if fit.draws.factor is None else fit.draws.factor[np.ix_(others, place, kept)]
    sd = at.among(arrays, others, kept, factor).posterior.sd[: len(arrays.areas)]
    return {fit.direct.subdimensions[dim]: sd[:, column] for column, dim in enumerate(kept)}


def _select(fit: Fit, others: list[int], kept: list[int]) -> Design:
    """The design on some of the sources and sub-dimensions."""
    sources = []
    for source in (fit.direct.sources[other] for other in others):
        part: dict[str, Any] = {k: getattr(source, k)[:, kept] for k in ("mean", "respondents", "n_effective")}
        variance = source.variance[:, kept][:, :, kept]
        sources.append(replace(source, variance=variance, within=None, freedom=None, pooled=None, **part))
    names = tuple(fit.direct.subdimensions[dim] for dim in kept)
    direct = replace(fit.direct, subdimensions=names, sources=tuple(sources), scores=(), anchors=())
    return design(replace(fit.model, variances=None, breaks=()), direct)
