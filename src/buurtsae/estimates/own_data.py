r"""How much an estimate rests on the area's own data.

With W_k the sampling precision at site k in area G (a buurt, or a wijk of a source that is known per wijk, which is in
no buurt) on eta's scale (all sources, at posterior means of their links), eta_k the score there, L the sub-dimensions
in the measure and m_G the measure,

    own-data share = d E[m_G | y] / d (all own y + 1) = Cov( m_G, sum_{k in G} 1_L' W_k eta_k | y ),

for one sub-dimension and one source posterior variance / sampling variance, the diagonal of the hat matrix (alpha and
lambda held at their posterior means). Of models of persons `own_persons` has W_k eta_k.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse as sp

from buurtsae.areas.areas import Areas
from buurtsae.engines.base import Fit
from buurtsae.estimates.own_persons import Column
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

AREAS = 500  # whose draws are looked at together: they stay in the processor's cache


@dataclass(frozen=True)
class OwnData:
    """What the own-data share needs: row sums of W over the sub-dimensions of each measure, times eta, per site."""

    precision: Floats  # (K, D, D), on eta's scale
    leaves: pd.DataFrame  # measures x sub-dimensions, True where part
    sites: sp.csr_array  # (K, N)
    flat: Floats
    areas: Areas
    columns: tuple[Column, ...] = ()  # of persons
    weights: pd.DataFrame | None = None  # of the concept, measures x sub-dimensions
    kept: dict[tuple[str, bool], Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: Fit, concept: Concept) -> OwnData:
        """Return it of a fit."""
        weights = concept.matrix_of(fit.draws.subdimensions)
        leaves = weights > 0
        if fit.persons:
            columns = tuple(Column.of_fit(fit, d) for d in range(len(fit.persons)))
            nothing = np.zeros((0, 0))
            return cls(nothing, leaves, sp.csr_array((0, 0)), nothing, fit.areas, columns, weights)
        return cls(fit.information.sum(axis=0), leaves, fit.design.sites, fit.draws.scores(), fit.areas)

    def share(self, measure: str, level: str, labels: list[str], values: Floats) -> Floats:
        """Return the share of own data in the measure of areas of a level, from draws (S, areas) of it."""
        score = self._of_persons(measure) if self.columns else self._scores(measure, level == self.areas.base)
        group = pd.Index(labels).get_indexer(self.areas.parents(level))  # -1 where it is in no group
        known = np.flatnonzero(group >= 0)  # buurten without residents have no estimate
        member = sp.csr_array((np.ones(len(known)), (group[known], known)), shape=(len(labels), len(group)))
        product = values - values.mean(axis=0)
        for first in range(0, len(labels), AREAS):
            some = slice(first, first + AREAS)
            total = (member[some] @ score).T
            product[:, some] *= total - total.mean(axis=0)
        covariance = product.sum(axis=0) / (len(values) - 1)
        return np.asarray(np.clip(covariance + self._answered(measure, member), 0.0, 1.0))

    def _of_persons(self, measure: str) -> Floats:
        """Sum of T / b over the columns of a measure, (N, S)."""
        if (measure, True) not in self.kept:
            self.kept.clear()
            parts = np.flatnonzero(self.leaves.loc[measure].to_numpy())
            total = sum((self.columns[d].own() for d in parts[1:]), self.columns[parts[0]].own())
            self.kept[measure, True] = np.ascontiguousarray(total.T)
        return self.kept[measure, True]

    def _answered(self, measure: str, member: sp.csr_array) -> Floats | float:
        """What answers of realised figures of persons count for as they are, per area of a level."""
        if not self.columns or self.weights is None:
            return 0.0
        residents = np.where(self.areas.inhabited, self.areas.population, 0.0)
        of_area = sum(w * column.answered for w, column in zip(self.weights.loc[measure], self.columns, strict=True))
        return np.asarray((member @ (residents * of_area)) / np.maximum(member @ residents, 1e-12))

    def _scores(self, measure: str, per_buurt: bool) -> Floats:
        """1' W eta of the sites of each buurt, shape (N, S), of sites that are buurten or of all; kept for one measure.

        What a wijk says is shared out over its buurten, all of which are in the area.
        """
        n = len(self.areas.codes)
        per_buurt = per_buurt or self.sites.shape[0] == n
        if (measure, per_buurt) not in self.kept:
            self.kept.clear()
            counted = slice(n if per_buurt else None)
            weight = np.einsum("d,kde->ke", self.leaves.loc[measure].to_numpy(dtype=float), self.precision)
            weighted = np.einsum("ne,sne->sn", self.sites[counted].T @ weight[counted], self.flat)
            self.kept[measure, per_buurt] = np.ascontiguousarray(weighted.T)  # once: each product would make a copy
        return self.kept[measure, per_buurt]
