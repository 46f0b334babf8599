r"""What an area's own respondents say in a model of persons: the parts of own-data shares and of what figures lean on.

About posterior means the answers of cell c weigh w_c = -l''(q_c); a cluster of variance s^2 of which they are W in all
leaves w_c / (1 + s^2 W). With T_a = sum_c w_c (e_a + sum_k f_k) over the cells of an area's respondents and b_a the
derivative of its figure m_a by its predictor, all residents alike,

    own-data share = Cov(m_a, T_a / b_a | y),

d E[m_a | y] / d (all own answers + 1), as of a model of areas. Of one kind of persons it is w Var(e_a | y): information
over posterior precision. Of realised figures own answers count for n / N beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from buurtsae.engines.base import Fit
from buurtsae.engines.poststratify import C, PersonDraws, Residents, poststratified
from buurtsae.engines.unit import PersonFigure
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.sparse import Floats

STEP = 0.05  # of predictors, for the derivative of figures


@dataclass(frozen=True)
class Column:
    """One column of figures of persons, at posterior means.

    Attributes
    ----------
    of : PersonFigure
    ends : (float, float)
        What a figure is on the scale of scores: the first, and the second times it.
    residents : Residents
        Those of its domain, by the first table of cells.
    """

    of: PersonFigure
    ends: tuple[float, float]
    residents: Residents

    @classmethod
    def of_fit(cls, fit: Fit, d: int) -> Column:
        """Return a column of a fit."""
        figure = fit.persons[d]
        scale = outcomes_of(fit.model.outcome, fit.draws.subdimensions)[d].scale
        ends = (scale.lower, scale.width) if figure.figure.kind == "share" else (0.0, 1.0)
        residents = Residents.of(figure.fit.populations[0], figure.fit.stacked, figure.domain)
        return cls(figure, ends, residents)

    @property
    def e(self) -> Floats:
        """Posterior means of areas' predictors, (N,)."""
        return np.asarray(self.of.fit.draws.e.mean(axis=0, dtype=float))

    def figures(self, e: Floats, residents: Residents | None = None) -> Floats:
        """Return figures, on the scale of scores, at predictors e (n, N) and means of all else; NaN of no residents."""
        unit, draws = self.of.fit, self.of.fit.draws
        n = len(e)
        f, psi = (np.tile(part.mean(axis=0), (n, 1)) for part in (draws.f, draws.psi))
        at = PersonDraws(e.astype(np.float32), f, np.full(n, draws.cluster.mean()), psi)
        tables = [self.residents if residents is None else residents]
        low, width = self.ends
        return low + width * poststratified(at, tables, self.of.figure, unit.model.answers, unit.threads)

    def of_all(self, e: Floats) -> Floats:
        """Return figures at predictors e (N,) were the residents of each area as those of all areas together."""
        unit, draws, (low, width) = self.of.fit, self.of.fit.draws, self.ends
        kinds, place = np.unique(self.residents.index, axis=0, return_inverse=True)
        count = np.bincount(place.ravel(), self.residents.count + 0.0, len(kinds))
        f = draws.f.mean(axis=0)[kinds].sum(axis=1)
        mean = PersonDraws(e[None].astype(np.float32), draws.f[:1], np.zeros(1), draws.psi.mean(axis=0)[None])
        kind, base, rises, cuts = mean.steps(self.of.figure, unit.model.answers, slice(None))
        scale, total = 1 / np.sqrt(1 + C**2 * draws.cluster.mean()), np.zeros(len(e))
        for level, n in zip(f, count / count.sum(), strict=True):
            eta = e + level
            total += n * (eta if kind == 0 else base + expit((eta[:, None] - cuts[:, 0]) * scale) @ rises)
        return low + width * total

    @property
    def slope(self) -> Floats:
        """b, (N,); NaN where nobody of the domain lives."""
        up, down = self.figures(self.e + np.array([[STEP], [-STEP]]))
        return np.asarray((up - down) / (2 * STEP))

    def own(self) -> Floats:
        """Return draws of T_a / b_a, (draws, N), 0 where nobody answered."""
        draws = self.of.fit.draws
        weights, cross = self.weights()
        total = draws.e * weights + draws.f @ cross.T
        slope = self.slope
        return np.asarray(np.divide(total, slope, out=np.zeros_like(total), where=weights * np.nan_to_num(slope) > 0))

    def weights(self) -> tuple[Floats, Floats]:
        """Return sums of w over cells per area (N,), and per area and level (N, L)."""
        from buurtsae.engines import person_loops as loops

        unit, draws = self.of.fit, self.of.fit.draws
        data = unit.data
        q = loops.predictors(data.area, data.index, self.e, draws.f.mean(axis=0))
        w = -data.outcome.derivatives(q, data.y, data.size, draws.psi.mean(axis=0))[2]
        for k, effect in enumerate(unit.stacked.effects):
            if not effect.predicts:  # what is left of it beside a cluster that is not known
                at = data.index[:, k]
                variance = unit.raw.hyper[f"{effect.name}.sigma"][1] ** 2
                w = w / (1 + variance.mean() * np.bincount(at, w, data.levels)[at])
        _, weights, cross, _, _ = loops.accumulated(data.area, data.index, 0 * w, w, data.areas, data.levels)
        return weights, cross

    @property
    def answered(self) -> Floats:
        """Respondents of the domain over its residents where these are as they answered, (N,); 0 elsewhere."""
        unit = self.of.fit
        if unit.model.estimand != "realised":
            return np.zeros(len(unit.areas.codes))
        n = respondents(self.of)
        return np.asarray(np.divide(n, self.residents.total, out=np.zeros_like(n), where=self.residents.total > 0))


def respondents(figure: PersonFigure) -> Floats:
    """Return how many of a domain answered, or their effective number, per area."""
    from buurtsae.survey.cells import inside

    unit = figure.fit
    domain: Any = {} if figure.domain is None else figure.domain
    kept = inside(unit.cells.level, unit.populations[0].characteristics, domain, len(unit.order))
    size = unit.answers.size[unit.order] * kept
    return np.bincount(unit.cells.area, size, len(unit.areas.codes)).astype(float)
