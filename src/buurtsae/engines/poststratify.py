r"""Poststratification: figures of areas as means over their residents, in every draw.

    figure_a = sum_c N_ac h(eta_ac) / sum_c N_ac,    realised:  (sum_c y_ac + sum_c (N_ac - n_ac) h(eta_ac) + r_a) / N_a

over the cells of a domain; r_a is the chance in what those answer who were not asked, normal with their variance given
eta (`chance`): drawn per cell of the population, so that parts make the whole, and answers add up. Clusters, of which
residents have none, are integrated over: expit of a normal is about expit(eta / sqrt(1 + c^2 s^2)), c = 16 sqrt(3) /
(15 pi). Where cells are uncertain there are several tables, used in turn over the draws.

References
----------
Park, D., Gelman, A. and Bafumi, J. (2004). Political Analysis 12. Zeger, S., Liang, K.-Y. and Albert, P. (1988).
Models for longitudinal data: a generalized estimating equation approach. Biometrics 44 (c).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from buurtsae.model.persons.answer import Figure, Ladder
from buurtsae.model.persons.effect import Stacked
from buurtsae.model.persons.tables import Coded, Domain
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.cells import Cells, inside

C = 16 * np.sqrt(3) / (15 * np.pi)


@dataclass(frozen=True)
class PersonDraws:
    """Draws of what cells are made of.

    Attributes
    ----------
    e : ndarray, shape (n, N)
        Predictors of areas.
    f : ndarray, shape (n, L)
        Of levels, 0 of clusters.
    cluster : ndarray, shape (n,)
        Variance of clusters.
    psi : ndarray, shape (n, p)
        Parameters of the outcome.
    """

    e: NDArray[np.float32]
    f: Floats
    cluster: Floats
    psi: Floats

    def steps(self, figure: Figure, outcome: object, rows: Any) -> tuple[int, float, Floats, Floats]:
        """Return kind, base, rises (K,) and cuts (K, n): h = base + sum_k rises[k] expit(eta - cuts[k])."""
        n = len(self.e[rows])
        if not isinstance(outcome, Ladder):
            return int(figure.kind == "share"), 0.0, np.ones(1), np.zeros((1, n))
        cuts = np.hstack([np.zeros((n, 1)), np.cumsum(self.psi[rows], axis=1)]).T
        return 1, *figure.rises(len(cuts)), cuts


@dataclass(frozen=True)
class Residents:
    """Cells of residents of a domain, sorted by area, ready for loops.

    Attributes
    ----------
    area : ndarray of int, shape (M,)
    index : ndarray of int, shape (M, T)
    count : ndarray, shape (M,)
        Of whom figures are predicted.
    answered : ndarray, shape (N,)
        Sums of answers of the others.
    total : ndarray, shape (N,)
        All residents.
    cell : ndarray of int, shape (M,)
        Their place among all cells of the population.
    cells : int
        How many cells the population has.
    """

    area: Ints
    index: NDArray[np.int32]
    count: Floats
    answered: Floats
    total: Floats
    cell: Ints
    cells: int

    @classmethod
    def of(
        cls,
        population: Cells,
        stacked: Stacked,
        domain: Domain | None,
        told: tuple[Floats, Floats] | None = None,
    ) -> Residents:
        """Return those of a domain; `told`, respondents of each cell (M,) and the sum of their answers."""
        n = len(population.areas.codes)
        every = Coded.of(population)
        wanted = {} if domain is None else domain
        of_domain = inside(every.level, population.characteristics, wanted, len(population.count))
        kept = np.flatnonzero(of_domain & (population.count > 0))
        kept = kept[np.argsort(population.area[kept], kind="stable")]
        cells = every.among(kept)
        count, answered = population.count[kept].astype(float), np.zeros(n)
        total = np.bincount(cells.area, count, n).astype(float)
        if told is not None:
            respondents, sums = (part[kept] for part in told)
            answered += np.bincount(cells.area, sums, n)
            total = np.bincount(cells.area, np.maximum(count, respondents), n).astype(float)
            count = np.maximum(count - respondents, 0.0)
        predicting = Stacked(tuple(effect for effect in stacked.effects if effect.predicts))
        starts = dict(zip((e.name for e in stacked.effects), stacked.starts, strict=False))
        columns = [starts[e.name] + e.index(cells) for e in predicting.effects]
        index = np.stack(columns, axis=1) if columns else np.zeros((len(kept), 0))
        whole = np.ascontiguousarray(index, dtype=np.int32)
        return cls(cells.area, whole, count, answered, total, kept, len(population.count))


def poststratified(
    draws: PersonDraws,
    tables: Sequence[Residents],
    figure: Figure,
    outcome: object,
    threads: int,
    seed: int | None = None,
) -> Floats:
    """Return figures of areas, (n, N), NaN where there are no residents; draws take the tables in turn.

    Where that of a draw has nobody in an area, its figure is by the first that has. With a seed there is chance in
    them, in what others than respondents answer.
    """
    from buurtsae.engines.person_loops import BLOCK, sums_of_residents

    n, areas = draws.e.shape
    out = np.empty((n, areas))
    loads = [chance(draws, table, figure, outcome) for table in tables if seed is not None]
    blocks = [np.arange(j, n, len(tables)) for j in range(len(tables))]
    work = [(j, rows[k : k + BLOCK]) for j, rows in enumerate(blocks) for k in range(0, len(rows), BLOCK)]

    def by(table: int, rows: Ints) -> Floats:
        residents, full = tables[table], np.resize(rows, BLOCK)  # the last block is filled up
        kind, base, rises, cuts = draws.steps(figure, outcome, full)
        used = rises != 0
        e, f = (np.ascontiguousarray(part[full].T, dtype=np.float32) for part in (draws.e, draws.f))
        scale = (1 / np.sqrt(1 + C**2 * draws.cluster[full])).astype(np.float32)
        total = np.zeros((areas, BLOCK), dtype=np.float32)
        sums_of_residents(kind, residents.area, residents.index, residents.count, e, f, scale,
                          cuts[used].astype(np.float32), rises[used], total)  # fmt: skip
        predicted = np.bincount(residents.area, residents.count, areas)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = ((total.T + base * predicted + residents.answered) / residents.total)[: len(rows)]
        if seed is not None:  # the normals of a draw are the same for every domain and figure
            rng, load = np.random.default_rng([seed, 5, int(rows[0])]), loads[table]
            means += np.stack([load @ rng.standard_normal(load.shape[1], dtype=np.float32) for _ in rows])
        return means

    def one(table: int, rows: Ints) -> None:
        out[rows] = by(table, rows)
        for other, residents in enumerate(tables):
            if (lacking := np.isnan(out[rows[0]]) & (residents.total > 0)).any():
                out[np.ix_(rows, lacking)] = by(other, rows)[:, lacking]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: one(*part), work))
    return out


def chance(draws: PersonDraws, residents: Residents, figure: Figure, outcome: object) -> sp.csr_array:
    r"""Return how r_a / N_a loads on standard normals of all cells of the population, (N, cells x K).

    With P_k = P(answer above cut k) of a cell, at mean parameters, the number above is w_k = (P_k / P_{k-1}) w_{k-1} +
    sqrt(P_k (1 - P_k / P_{k-1})) z_k about its mean, P_0 = 1, w_0 = 0: the covariance of a multinomial. A figure is
    sum_k rises[k] w_k. Of numbers there is one normal, with the variance of persons and of clusters.
    """
    from scipy.special import expit

    from buurtsae.engines.person_loops import predictors

    kind, _, rises, cuts = draws.steps(figure, outcome, slice(None))
    cluster = draws.cluster.mean()
    if kind == 0:
        sd = np.full((len(residents.area), 1), np.sqrt((draws.psi[:, 0] ** 2).mean() + cluster))
    else:
        eta = predictors(residents.area, residents.index, draws.e.mean(axis=0, dtype=float), draws.f.mean(axis=0))
        above = expit((eta[:, None] - cuts.mean(axis=1)) / np.sqrt(1 + C**2 * cluster))
        ratio = above / np.hstack([np.ones((len(above), 1)), above[:, :-1]])
        sd, moved = np.sqrt(above * (1 - ratio)), np.zeros(len(above))
        for k in reversed(range(len(rises))):  # what z_k moves at cut k and above
            moved = rises[k] + moved
            sd[:, k] *= moved
            moved = ratio[:, k] * moved
    width = sd.shape[1]
    load = sd * (np.sqrt(residents.count) / residents.total[residents.area])[:, None]
    column = residents.cell[:, None] * width + np.arange(width)
    at = np.repeat(residents.area, width), column.ravel()
    return sp.csr_array((load.ravel(), at), shape=(len(residents.total), residents.cells * width))
