r"""What more respondents teach a model of persons: the predictors of an area are its own and those of all levels.

More respondents of an area are taken as its residents are: s_c of them in cell c, shares of the residents. With x_c the
predictor of the area and the levels of the cell, m of them add to the precision of all (e_a, f), Laplace's at the mode,

    (m / deff) sum_c s_c i_c x_c x_c',      i_c = -E[l''(eta_c) | y] of one answer, expected over answers too:

p (1 - p) of yes or no, 1 / s^2 of a number, Fisher's information of the cumulative logit of ordered answers; averaged
over draws. Each comes through a cluster of its own, where there are some: i / (1 + v i) with v their variance. Of
figures the derivatives by (e_a, f) are sum_c u_c h'(eta_c) x_c / N_a, u_c the residents, of realised figures those who
were not asked; the chance in what these answer falls with their number. Cells are those of the first table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from buurtsae.engines.base import Fit
from buurtsae.engines.poststratify import C, Residents, chance
from buurtsae.engines.unit import PersonFigure, UnitFit
from buurtsae.errors import ModelError
from buurtsae.estimates.planning.learning import DRAWS, answered
from buurtsae.latent.conditional import condition
from buurtsae.model.outcome.per_measure import outcomes_of
from buurtsae.model.persons.answer import Answering, Figure, Ladder, Number
from buurtsae.sparse import Floats, Ints

if TYPE_CHECKING:
    from buurtsae.engines.persons import Found

CELLS = 2e7  # cells x draws that are averaged over, at most
LARGEST = 1e8  # areas x predictors of each, squared: some six arrays of so many numbers are held, 5 GiB


@dataclass(frozen=True)
class OfPersons:
    """A model of persons at the mode of its hyperparameters: D = 1 + L predictors of an area, L levels of residents.

    Attributes
    ----------
    found : Found
    levels : ndarray of int, shape (L,)
        Among all levels.
    each : ndarray, shape (N, D, D)
        What one more respondent adds to the precision.
    loads : ndarray, shape (N, M, D)
    chance, unasked : ndarray, shape (N, M)
    """

    found: Found
    levels: Ints
    each: Floats
    loads: Floats
    chance: Floats
    unasked: Floats

    @classmethod
    def of(
        cls, unit: UnitFit, figures: Mapping[int, PersonFigure], fit: Fit, weights: Floats, share: float
    ) -> OfPersons:
        """Return it for the columns of a fit that are figures of one model, and weights (M, columns) of measures.

        `share` is the effective respondents to the question among respondents.

        Raises
        ------
        ModelError
            If areas and levels are too many.
        """
        draws, population, outcome = unit.draws, unit.populations[0], unit.model.answers
        n, scales = len(unit.areas.codes), outcomes_of(fit.model.outcome, fit.draws.subdimensions)
        asked = Residents.of(population, unit.stacked, None)
        levels, cluster = np.unique(asked.index).astype(np.int64), float(draws.cluster.mean())
        if n * (1 + len(levels)) ** 2 > LARGEST:
            got, hint = f"{n:,} areas x {1 + len(levels)} predictors of each", "plan a part of the areas"
            expected = f"areas x predictors x predictors up to {LARGEST:,.0f}"
            raise ModelError("the plan needs too much memory", got, expected, hint)
        own = _averaged(unit, asked, partial(information, outcome, cluster))
        each = _crossed(asked, share * asked.count / asked.total[asked.area] * own, levels, n)
        loads, by_chance = np.zeros((n, len(weights), 1 + len(levels))), np.zeros((n, len(weights)))
        unasked = np.full((n, len(weights)), np.inf)
        realised = unit.model.estimand == "realised"
        for d, column in figures.items():
            figure, by = column.figure, weights[:, d]
            residents = Residents.of(
                population, unit.stacked, None, unit.told(figure)(population) if realised else None
            )
            width = scales[d].scale.width if figure.kind == "share" else 1.0
            moved = _averaged(unit, residents, partial(slope, outcome, figure, cluster))
            whole = np.maximum(residents.total, 1.0)[:, None]
            load = width * _summed(residents, moved * residents.count, levels, n) / whole
            loads += by[None, :, None] * load[:, None]
            if realised:
                spread = chance(draws, residents, figure, outcome)
                by_chance += width**2 * np.asarray(spread.multiply(spread).sum(axis=1)).reshape(-1, 1) * by**2
                left = np.maximum(np.bincount(residents.area, residents.count, n), 1.0)[:, None]
                unasked = np.where(by > 0, np.minimum(unasked, left), unasked)
        return cls(unit.at_mode.found, levels, each, loads, by_chance, unasked)

    def covariance(self, m: Ints) -> Floats:
        """Return posterior covariances of (e_a, f) with m more respondents, (N, D, D), by the quadratic at the mode."""
        found, at, to = self.found, self.found.tables, self.levels
        cross, own = at.cross.copy(), at.own.copy()
        cross[:, to] += m[:, None] * self.each[:, 0, 1:]
        own[np.ix_(to, to)] += np.einsum("n,nij->ij", m.astype(float), self.each[:, 1:, 1:])
        tables = replace(at, weights=at.weights + m * self.each[:, 0, 0], cross=cross, own=own)
        hyper = found.hyper
        conditional = condition(found.marginal.field, tables.local(hyper.r), hyper.loadings)
        of_area, mixed, of_levels = replace(found, tables=tables, conditional=conditional).covariances
        covariance = np.empty_like(self.each)
        covariance[:, 0, 0], covariance[:, 0, 1:] = of_area, mixed[:, to]
        covariance[:, 1:, 0], covariance[:, 1:, 1:] = mixed[:, to], of_levels[np.ix_(to, to)]
        return covariance

    def information(self, m: Ints) -> Floats:
        """Return what m more respondents add, (N, D, D)."""
        return m[:, None, None] * self.each


def of_persons(fit: Fit, weights: Floats, s: int, deff: float) -> tuple[OfPersons, ...]:
    """Return the models that the columns of a fit are figures of; more respondents of source s tell of its own."""
    source = fit.direct.sources[s]
    informs = np.array([other.informs for other in fit.direct.sources])
    first = informs.argmax(axis=0)  # answers are those of the first source that asks
    share = np.where((first == s) & source.informs, answered(source), 0.0) / deff
    models: dict[int, list[int]] = {}
    for d, of in enumerate(fit.persons):
        models.setdefault(id(of.fit), []).append(d)
    return tuple(
        OfPersons.of(fit.persons[at[0]].fit, {d: fit.persons[d] for d in at}, fit, weights, float(share[at].max()))
        for at in models.values()
        if weights[:, at].any()
    )


def information(outcome: Answering, cluster: float, eta: Floats, psi: Floats) -> Floats:
    """Return Fisher's information of one answer about its predictor, (M,), through a cluster of such a variance."""
    y = np.zeros(len(eta))
    if isinstance(outcome, Number):
        y = np.zeros((len(eta), 2))
    elif isinstance(outcome, Ladder):  # l'' is linear in the answers: that of what is expected of them
        above = expit(eta[:, None] - np.concatenate([[0.0], np.cumsum(psi)]))
        y = -np.diff(above, axis=1, prepend=1.0, append=0.0)
    own = -outcome.derivatives(eta, y, np.ones(len(eta)), psi)[2]
    return np.asarray(own / (1 + cluster * own))


def slope(outcome: Answering, figure: Figure, cluster: float, eta: Floats, psi: Floats) -> Floats:
    """Return h' of a figure at predictors (M,): what poststratification sums over residents, by the predictor."""
    if isinstance(outcome, Number):
        return np.ones(len(eta))
    cuts, rises = np.zeros(1), np.ones(1)
    if isinstance(outcome, Ladder):
        cuts = np.concatenate([[0.0], np.cumsum(psi)])
        rises = figure.rises(len(cuts))[1]
    scale = 1 / np.sqrt(1 + C**2 * cluster)
    above = expit((eta[:, None] - cuts) * scale)
    return np.asarray(scale * (above * (1 - above)) @ rises)


def _averaged(unit: UnitFit, residents: Residents, of: Callable[[Floats, Floats], Floats]) -> Floats:
    """Mean over draws of a function of the predictors of cells, (M,), and the parameters of the outcome."""
    draws, cells = unit.draws, max(len(residents.area), 1)
    n = int(np.clip(CELLS / cells, 1, min(DRAWS, len(draws.e))))
    total = np.zeros(len(residents.area))
    for k in np.linspace(0, len(draws.e) - 1, n).round().astype(int):
        eta = draws.e[k].astype(float)[residents.area] + draws.f[k][residents.index].sum(axis=1)
        total += of(eta, draws.psi[k])
    return total / n


def _columns(residents: Residents, levels: Ints) -> list[Ints]:
    """Predictors that a cell has, each (M,): that of its area, 0, and its levels."""
    places = np.searchsorted(levels, residents.index) + 1
    return [np.zeros(len(residents.area), dtype=np.int64), *places.T]


def _summed(residents: Residents, values: Floats, levels: Ints, n: int) -> Floats:
    """Sums of values of cells times x_c, (N, D)."""
    total = np.zeros((n, 1 + len(levels)))
    for column in _columns(residents, levels):
        np.add.at(total, (residents.area, column), values)
    return total


def _crossed(residents: Residents, values: Floats, levels: Ints, n: int) -> Floats:
    """Sums of values of cells times x_c x_c', (N, D, D)."""
    total = np.zeros((n, 1 + len(levels), 1 + len(levels)))
    for one, other in product(_columns(residents, levels), repeat=2):
        np.add.at(total, (residents.area, one, other), values)
    return total
