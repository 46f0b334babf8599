"""Which source fixes level and scale of a sub-dimension, and what sources of several years are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from buurtsae.areas.areas import Areas
from buurtsae.sparse import Ints
from buurtsae.survey.source_estimates import SourceEstimates


def named(sources: Sequence[str], years: Sequence[int]) -> list[str]:
    """Return names of sources, with the year of those that are there in several.

    Examples
    --------
    >>> named(["monitor", "peiling", "monitor"], [2020, 2020, 2022])
    ['monitor 2020', 'peiling', 'monitor 2022']
    """
    pairs = list(zip(sources, years, strict=True))
    once = {name for name in sources if len({year for other, year in pairs if other == name}) == 1}
    return [name if name in once else f"{name} {year}" for name, year in pairs]


def reference_of(sources: Sequence[SourceEstimates], areas: Areas, anchors: Sequence[str]) -> Ints:
    """Return the position of the reference of each sub-dimension: one of `anchors` where it informs, else the best."""
    fit = _rank(sources, areas)
    for s, source in enumerate(sources):
        anchor = np.array([name == source.source for name in anchors] or [False])
        fit[s] += fit.max(initial=0) * anchor * source.informs
    return np.argmax(fit, axis=0)


def references_of(sources: Sequence[SourceEstimates], areas: Areas) -> tuple[str, ...]:
    """Return the name of the reference of each sub-dimension over all years: the best by the best of its years."""
    own, fit = np.array([source.source for source in sources]), _rank(sources, areas)
    names = list(dict.fromkeys(own.tolist()))
    best = np.array([fit[own == name].max(axis=0) for name in names])
    return tuple(names[place] for place in np.argmax(best, axis=0))


def _rank(sources: Sequence[SourceEstimates], areas: Areas) -> Ints:
    """How fit each source is as a reference, shape (sources, D); 0 where it does not inform a sub-dimension."""
    per_area = {areas.base, *(level for level, of in areas.editions.items() if of.walk.level == areas.base)}
    return np.array([s.informs * (1 + 2 * (s.kind == "survey") + (s.level in per_area)) for s in sources])
