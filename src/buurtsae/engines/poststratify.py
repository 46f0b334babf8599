r"""Poststratification: figures of areas as means over their residents, in every draw.

    figure_a = sum_c N_ac h(eta_ac) / sum_c N_ac,    realised:  (sum_c y_ac + sum_c (N_ac - n_ac) h(eta_ac) + r_a) / N_a

over the cells of a domain; r_a ~ N(0, sum_c (N_ac - n_ac) Var(answer | eta)) is the chance in what those answer who
were not asked. Clusters, of which residents have none, are integrated over: expit of a normal is about expit(eta /
sqrt(1 + c^2 s^2)), c = 16 sqrt(3) / (15 pi). Where cells are uncertain there are several tables, used in turn over the
draws.

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
        if figure.kind == "mean":
            return 1, figure.codes[0], np.diff(figure.codes), cuts
        at = [(k, sign) for k, sign in ((figure.low - 1, 1.0), (figure.high - 1, -1.0)) if 0 <= k < len(cuts)]
        return 1, float(figure.low == 0), np.array([sign for _, sign in at]), cuts[[k for k, _ in at]]


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
    """

    area: Ints
    index: NDArray[np.int32]
    count: Floats
    answered: Floats
    total: Floats

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
        of_domain = inside(every.level, population.characteristics, domain or {}, len(population.count))
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
        return cls(cells.area, np.ascontiguousarray(index, dtype=np.int32), count, answered, total)


def poststratified(
    draws: PersonDraws, tables: Sequence[Residents], figure: Figure, outcome: object, threads: int
) -> Floats:
    """Return figures of areas, (n, N), NaN where there are no residents; draws take the tables in turn."""
    from buurtsae.engines.person_loops import BLOCK, sums_of_residents

    n, areas = draws.e.shape
    out = np.empty((n, areas))
    blocks = [np.arange(j, n, len(tables)) for j in range(len(tables))]
    work = [(tables[j], rows[k : k + BLOCK]) for j, rows in enumerate(blocks) for k in range(0, len(rows), BLOCK)]

    def one(residents: Residents, rows: Ints) -> None:
        full = np.resize(rows, BLOCK)  # the last block is filled up
        kind, base, rises, cuts = draws.steps(figure, outcome, full)
        e, f = (np.ascontiguousarray(part[full].T, dtype=np.float32) for part in (draws.e, draws.f))
        scale = (1 / np.sqrt(1 + C**2 * draws.cluster[full])).astype(np.float32)
        total = np.zeros((areas, BLOCK), dtype=np.float32)
        sums_of_residents(kind, residents.area, residents.index, residents.count, e, f, scale,
                          cuts.astype(np.float32), rises, total)  # fmt: skip
        predicted = np.bincount(residents.area, residents.count, areas)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (total.T + base * predicted + residents.answered) / residents.total
        out[rows] = means[: len(rows)]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: one(*part), work))
    return out


def chance(
    draws: PersonDraws, residents: Residents, figure: Figure, outcome: object, rng: np.random.Generator
) -> Floats:
    """Return draws of r_a / N_a, (n, N), with the variance of answers at the mean predictor of each cell."""
    from scipy.special import expit

    from buurtsae.engines.person_loops import predictors

    e, f, cluster, psi = (part.mean(axis=0, keepdims=True) for part in (draws.e, draws.f, draws.cluster, draws.psi))
    mean = PersonDraws(e, f, cluster, psi)
    eta = predictors(residents.area, residents.index, mean.e[0].astype(float), mean.f[0])
    kind, _, rises, cuts = mean.steps(figure, outcome, slice(None))
    above = expit(eta[:, None] - cuts[:, 0]) if kind else eta[:, None]
    if kind == 0:
        variance = np.full(len(eta), float(mean.psi[0, 0]) ** 2)
    else:  # the answer is a sum of steps, each there where all before are: E[s_j s_k] = P(beyond the higher)
        higher = np.minimum(above[:, :, None], above[:, None, :])
        variance = np.einsum("mjk,j,k->m", higher, rises, rises) - (above @ rises) ** 2
    of_area = np.bincount(residents.area, residents.count * variance, len(residents.total))
    sd = np.sqrt(np.maximum(of_area, 0)) / np.maximum(residents.total, 1.0)
    return rng.standard_normal(draws.e.shape) * sd
