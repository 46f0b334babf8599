"""Fit a model of persons: answers in cells and residents in cells to figures per area, of all residents or a domain.

A figure is a `Fit` of its own, whose draws are those of the link of the figure per area: what follows a fit of counts or
of direct estimates follows this one. The draws of all figures and domains are joint.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from buurtsae.areas.areas import Areas
from buurtsae.draws import Certificate, Draws
from buurtsae.engines.base import Fit, engine_options
from buurtsae.engines.integration import Integration, Progress, integrate
from buurtsae.engines.labels import in_chains, labelled
from buurtsae.engines.laplace import Early
from buurtsae.engines.persons import PersonData, PersonMarginal
from buurtsae.engines.poststratify import PersonDraws, Residents, chance, poststratified
from buurtsae.engines.resampling import cube
from buurtsae.errors import BuurtsaeError, DataError, ModelError, Problems, cut, shown
from buurtsae.model.design import Design, design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.persons.answer import Figure, Ladder, Number, figure_of
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Answered, Cells, Domain, Population, inside, recoded
from buurtsae.model.persons.terms import Cluster, PersonEffect, Stacked
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.counts import AreaCounts
from buurtsae.survey.direct import DirectEstimates

EDGE = 1e-7  # a share of residents is at least so far from 0 and 1
COST = 4e9  # what may be spent on values of the hyperparameters, in sums of a pair of levels of a cell


@dataclass(frozen=True, repr=False)
class UnitFit:
    """A fitted model of persons.

    Attributes
    ----------
    model : UnitModel
    design : Design
        The areas' part.
    stacked : Stacked
        The persons' part.
    answers : Answered
    cells : Cells
        Of the answers, in the coding of the population, sorted by area.
    order : ndarray of int
        Rows of the answers in that order; those in areas without residents are left out.
    populations : tuple of Population
        Tables of residents, used in turn over the draws.
    draws : PersonDraws
    raw : Draws
        Draws of the areas' predictors and of all parameters.
    seed : int
    seconds : float
    threads : int
    """

    model: UnitModel
    design: Design
    stacked: Stacked
    answers: Answered
    cells: Cells
    order: Ints
    populations: tuple[Population, ...]
    draws: PersonDraws
    raw: Draws
    seed: int
    seconds: float
    threads: int = 2
    measure: str = "y"
    notes: tuple[Note, ...] = field(default=())

    @property
    def areas(self) -> Areas:
        """Of the population."""
        return self.populations[0].areas

    def fit_of(self, domain: Domain | None = None, figure: str | None = None) -> Fit:
        """Return figures of the residents of a domain, per area.

        Parameters
        ----------
        domain : mapping of characteristic to levels, optional
            By default all residents in the cells.
        figure : str, optional
            Of ordered answers: `mean`, the default, `share <category>` or `above <category>`.

        Returns
        -------
        Fit
            Its areas have the residents of the domain; its data are the respondents of the domain, per area.

        Raises
        ------
        DataError
            On an unknown characteristic, level or figure, or a domain without residents or respondents.
        """
        wanted, outcome = figure_of(self.model.answers, figure, self._categories), self.model.answers
        told = self._told(wanted) if self.model.estimand == "realised" else None
        tables = [Residents.of(p, self.stacked, domain, told and told(p)) for p in self.populations]
        if not tables[0].total.any():
            raise DataError("nobody lives in this domain", cut(domain), "cells with residents", "name other levels")
        means = poststratified(self.draws, tables, wanted, outcome, self.threads)
        if told is not None:
            means += chance(self.draws, tables[0], wanted, outcome, np.random.default_rng([self.seed, 5]))
        empty = ~(tables[0].total > 0)
        means[:, empty] = np.nanmean(means[:, ~empty])  # nobody lives there: no estimate is made of it
        frame = self.areas.frame.copy()
        frame["population"] = np.where(empty, 0, np.maximum(np.round(tables[0].total), 1)).astype(np.int64)
        areas = replace(self.areas, frame=frame, alike=False)
        direct = self._direct(wanted, domain, areas, figure)
        eta = means if wanted.kind == "mean" else logit(np.clip(means, EDGE, 1 - EDGE))
        outcome_of = Gaussian() if wanted.kind == "mean" else Binomial(effective=True)
        model = replace(self.model.area, outcome=outcome_of)
        arrays = design(model, direct)
        hyper = {name: (dims, values) for name, (dims, values) in self.raw.hyper.items()}
        draws = replace(self.raw, eta=eta.reshape(*self.raw.shape, -1, 1), subdimensions=direct.subdimensions,
                        hyper=hyper, outcome=arrays.model.outcome,
                        coords={**self.raw.coords, "measure_2": direct.subdimensions})  # fmt: skip
        return Fit(arrays, direct, draws, "laplace", self.seed, self.seconds)

    @cached_property
    def _categories(self) -> int:
        return self.answers.y.shape[1] if self.answers.y.ndim == 2 else 2

    def _scored(self, wanted: Figure) -> tuple[Floats, Floats]:
        """Sums of what answers count, and of its square, per cell of the answers, in their order here."""
        y = self.answers.y[self.order]
        if isinstance(self.model.answers, Number):
            return y[:, 0], y[:, 1]
        if not isinstance(self.model.answers, Ladder):
            return y, y
        codes = np.array(wanted.codes) if wanted.codes else np.zeros(y.shape[1])
        if wanted.kind == "share":
            codes[wanted.low : wanted.high] = 1.0
        return y @ codes, y @ codes**2

    def _told(self, wanted: Figure) -> Any:
        """How many respondents the cells of a population have, and the sum of their answers."""
        sums, size = self._scored(wanted)[0], self.answers.size[self.order]

        def of(population: Population) -> tuple[Floats, Floats]:
            names, sizes = list(population.characteristics), [len(v) for v in population.characteristics.values()]
            if absent := [name for name in names if name not in self.cells.level]:
                raise ModelError("a finite population needs all characteristics of the cells in the answers",
                                 shown(absent), "none lacking", "add them to the answers")  # fmt: skip
            shape = (len(population.areas.codes), *sizes)
            key = np.ravel_multi_index((population.area, *population.level.T), shape)
            answered = np.ravel_multi_index((self.cells.area, *(self.cells.level[name] for name in names)), shape)
            order = np.argsort(key, kind="stable")
            at = np.minimum(np.searchsorted(key[order], answered), len(key) - 1)
            there = key[order][at] == answered
            row = order[at[there]]
            n = len(key)
            return np.bincount(row, size[there], n), np.bincount(row, sums[there], n)

        return of

    def _direct(self, wanted: Figure, domain: Domain | None, areas: Areas, figure: str | None) -> DirectEstimates:
        """What the respondents of a domain say per area."""
        kept = np.ones(len(self.order), dtype=bool)
        known = self.populations[0].characteristics
        for name, levels in (domain or {}).items():
            named = [levels] if isinstance(levels, str) else list(levels)
            if name not in self.cells.level:
                return self._silent(wanted, areas, figure)
            kept &= np.isin(self.cells.level[name], [known[name].index(level) for level in named])
        n = len(areas.codes)
        size = self.answers.size[self.order]
        total, squares = self._scored(wanted)
        count, first, second = (np.bincount(self.cells.area[kept], v[kept], n) for v in (size, total, squares))
        if not count[areas.inhabited].any():
            raise DataError("nobody of this domain was asked", cut(domain), "respondents", "name other levels")
        return self._counted(wanted, areas, figure, count, first, second)

    def _silent(self, wanted: Figure, areas: Areas, figure: str | None) -> DirectEstimates:
        raise DataError("the answers do not know this characteristic", "a domain of it", "one that they have",
                        "add it to the answers")  # fmt: skip

    def _counted(
        self, wanted: Figure, areas: Areas, figure: str | None, count: Floats, first: Floats, second: Floats
    ) -> DirectEstimates:
        name = self.measure if figure is None else f"{self.measure}: {figure}"
        seen = (count > 0) & areas.inhabited
        table = pd.DataFrame({"code": areas.codes, "n": count, name: first})[seen]
        if wanted.kind == "share":
            return AreaCounts.from_frame(table, y=name, trials="n", area="code", areas=areas)
        mean = first[seen] / count[seen]
        within = float((second[seen] - count[seen] * mean**2).sum()) / max(float((count[seen] - 1).clip(0).sum()), 1.0)
        table[name], table["variance"] = mean, max(within, 1e-12) / count[seen]
        return DirectEstimates.from_frame(table, y=name, variance="variance", area="code", areas=areas)

    def check(self) -> pd.DataFrame:
        """Return what cannot be relied on; empty is good."""
        assert self.raw.certificate is not None
        advice = self.raw.certificate.advice
        return pd.DataFrame([] if advice is None else [{"what": "draws", "advice": advice}], columns=["what", "advice"])

    def effects(self) -> pd.DataFrame:
        """Return mean, sd and 95% interval of every level of every term of persons, less the mean over its levels."""
        rows = []
        for start, effect in zip(self.stacked.starts, self.stacked.effects, strict=False):
            if effect.predicts:
                part = self.draws.f[:, start : start + len(effect.levels)]
                part = part - part.mean(axis=1, keepdims=True)
                ends = np.quantile(part, [0.025, 0.975], axis=0)
                parts = zip(effect.levels, part.mean(axis=0), part.std(axis=0), *ends, strict=True)
                rows += [(effect.name, *row) for row in parts]
        return pd.DataFrame(rows, columns=["term", "level", "mean", "sd", "lower", "upper"])

    def __repr__(self) -> str:
        levels, cells = self.stacked.starts[-1], len(self.order)
        return (
            f"UnitFit in {self.seconds:.0f} s, seed {self.seed}: {len(self.areas.codes)} {self.areas.noun}, "
            f"{cells} cells of answers, {levels} levels of persons; {self.raw!r}"
        )


def fit_persons(
    model: UnitModel,
    answers: Answered,
    cells: Population | Sequence[Population],
    seed: int = 1,
    *,
    measure: str = "",
    scheme: Sequence[str] = (),
    progress: bool = True,
    **options: Any,
) -> UnitFit:
    """Fit a model of persons to answers, for poststratification on residents.

    Parameters
    ----------
    model : UnitModel
    answers : Answered
        Respondents, collapsed to cells.
    cells : Population or sequence of these
        Residents; several tables where they are uncertain, used in turn over the draws.
    seed : int
        The same input, seed and versions give the same draws.
    measure : str
        What the figures are called; by default as the answers say.
    scheme : sequence of str
        Variables of the weighting scheme: those that are no term are noted.
    progress : bool
    **options
        Those of the engine `laplace`.

    Returns
    -------
    UnitFit

    Raises
    ------
    ModelError, DataError or ProblemsError
        Before any sampling, everything that is wrong with the model on these data.
    """
    from threadpoolctl import threadpool_limits

    settings = engine_options("laplace", options)
    populations = tuple(cells) if isinstance(cells, list | tuple) else (cells,)
    arrays, stacked, data, coded, order = laid(model, answers, populations)
    start = time.perf_counter()
    with threadpool_limits(1), ThreadPoolExecutor(settings.threads) as pool, Progress(progress) as bar:
        bar.step("prepare (the first fit on a machine compiles for some 15 s)")
        marginal = PersonMarginal.of(arrays, stacked, data)
        early = Early(marginal, seed, settings.draws)  # type: ignore[arg-type]  # what it asks of one
        enough = settings.hyperparameters or _enough(marginal)
        weighed = integrate(marginal, seed, enough, pool.map, bar, early.look)
        draws, raw = _drawn(early, marginal, weighed, pool.map, bar)
    seconds = time.perf_counter() - start
    name = measure or str(getattr(answers, "measure", "") or "y")
    notes = tuple(_unweighted(model, scheme or getattr(answers, "scheme", ())))
    return UnitFit(model, arrays, stacked, answers, coded, order, populations, draws, raw, seed, seconds,
                   settings.threads, name, notes)  # fmt: skip


def laid(
    model: UnitModel, answers: Answered, populations: Sequence[Population]
) -> tuple[Design, Stacked, PersonData, Cells, Ints]:
    """Return the model on data: areas, persons, answers sorted by area, and the order of these.

    Raises
    ------
    ModelError, DataError or ProblemsError
        Everything that is wrong, at once.
    """
    problems, population = Problems(), populations[0]
    areas = population.areas
    own = [name for term in model.persons if isinstance(term, Cluster) for name in term.uses]
    _check(answers, populations, problems)
    model.answers.check(answers.y, answers.size, problems)
    coded = recoded(answers, population, own, problems)
    known = {**population.characteristics, **{n: v for n, v in answers.characteristics.items() if n in own}}
    lacking = {name for term in model.persons for name in term.uses if name in known} - set(coded.level)
    if lacking:
        problems.add("the answers lack what a term is about", shown(sorted(lacking)),
                     shown(answers.characteristics, 10), "add it to the answers", DataError)  # fmt: skip
    effects = list[PersonEffect]()
    for term in model.persons:
        try:
            effects.append(term.laid(known))
        except BuurtsaeError as error:
            problems.collect(error)
    problems.raise_if_any()
    n = len(areas.codes)
    count = np.bincount(answers.area, answers.size, n)
    table = pd.DataFrame({"code": areas.codes, "n": count, "y": 0.0})[count > 0]
    arrays = design(model.area, AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=areas))
    kept = np.flatnonzero((answers.size > 0) & areas.inhabited[answers.area])
    order = kept[np.argsort(answers.area[kept], kind="stable")]
    stacked, coded = Stacked(tuple(effects)), coded.among(order)
    y, size = (np.ascontiguousarray(part[order], dtype=float) for part in (answers.y, answers.size))
    area = np.ascontiguousarray(coded.area, dtype=np.int64)
    data = PersonData(model.answers, area, stacked.index(coded), y, size, n, int(stacked.starts[-1]))
    return arrays, stacked, data, coded, order


def _check(answers: Answered, populations: Sequence[Population], problems: Problems) -> None:
    """Collect what tables of persons cannot be."""
    n = len(populations[0].areas.codes)
    for table in populations:
        if (wrong := ~(table.count >= 0)).any():
            problems.add("cells have fewer residents than none", f"{int(wrong.sum())} of {len(wrong)} cells",
                         "0 or more", "correct the counts")  # fmt: skip
        if not (table.count > 0).any():
            problems.add("the cells are empty", "no residents", "residents", "look at how they were made")
        if dict(table.characteristics) != dict(populations[0].characteristics):
            problems.add("tables of cells have different characteristics", shown(table.characteristics),
                         shown(populations[0].characteristics), "give all the same")  # fmt: skip
    if (wrong := ~(answers.size >= 0)).any() or not (answers.size > 0).any():
        problems.add("cells of answers have no respondents", f"{int(wrong.sum())} below 0 or missing, "
                     f"{int((answers.size > 0).sum())} above 0", "0 or more, some above", "correct the sizes")  # fmt: skip
    if not np.isfinite(answers.y).all():
        problems.add("answers are missing", f"{int((~np.isfinite(answers.y)).sum())} values", "numbers",
                     "leave respondents without an answer out")  # fmt: skip
    if ((answers.area < 0) | (answers.area >= n)).any():
        problems.add("answers are in other areas than the cells", f"places up to {answers.area.max()}",
                     f"0 to {n - 1}", "collapse them with the same areas")  # fmt: skip
    problems.raise_if_any()  # what follows cannot be said of these


def _unweighted(model: UnitModel, scheme: Sequence[str]) -> list[Note]:
    """Variables of the weighting scheme that are no term."""
    there = {name for term in model.persons for name in term.uses} | set(model.formula.replace("+", " ").split())
    there |= {term.name for term in model.terms}
    if not (absent := [name for name in scheme if name not in there]):
        return []
    return [
        Note(
            "weights depend on {names}, of which the model has no term: where answers depend on it too, figures are "
            "biased; add a term",
            "de gewichten hangen af van {names}, waarvan het model geen effect heeft: hangen ook de antwoorden ervan "
            "af, dan zijn de cijfers vertekend; voeg een effect toe",
            names=absent,
        )
    ]


def _enough(marginal: PersonMarginal) -> int:
    """Effective values of the hyperparameters to reach: the same on every machine."""
    data, levels = marginal.data, marginal.data.levels
    cost = data.index.size * data.index.shape[1] / 2 + data.areas * (levels + 10.0) ** 2
    return int(np.clip(COST * marginal.size / cost / 10, 32, 1000))


def _drawn(
    early: Early, marginal: PersonMarginal, weighed: Integration, each: Any, bar: Progress
) -> tuple[PersonDraws, Draws]:
    """Draw areas, levels and parameters, in a random order."""
    seed, n, arrays = early.seed, early.n, marginal.design
    rng, k = np.random.default_rng([seed, 2]), marginal.scores.size
    hyper, own = marginal.scores.hyper(weighed.xi[:, :k]), marginal.own(weighed.xi)[0]
    values = np.hstack([hyper.columns(), own])
    values = values - weighed.weights @ values
    count = 2 * cube(weighed.weights, np.hstack([values, values**2]), n // 2, rng)
    used = np.flatnonzero(count)
    places = np.split(rng.permutation(n), np.cumsum(count[used])[:-1])
    mean, sd = arrays.coefficient_priors
    p = marginal.field.x.shape[1]
    e = np.empty((n, len(arrays.areas)), dtype=np.float32)
    beta, f = np.empty((n, len(mean), 1)), np.empty((n, marginal.data.levels))

    def one(q: int) -> None:
        place, xi = places[q], weighed.xi[used[q]]
        scores, border, _ = early.take(int(used[q]), xi, len(place))
        e[place] = scores[:, :, 0]
        beta[place, :, 0] = mean + sd * border[:, : len(mean)]
        r = marginal.hyper(xi).r
        f[place] = np.asarray(r @ border[:, p : p + r.shape[1]].T).T

    for _ in bar.track(each(one, range(len(used))), "draws", len(used)):
        pass
    value = np.empty(n, dtype=np.int64)
    value[np.concatenate(places)] = np.repeat(used, count[used])
    stacked, sigmas = marginal.stacked, own[value]
    cluster, columns = np.zeros(n), len(stacked.sigmas)
    reported: dict[str, tuple[tuple[str, ...], Floats]] = {}
    for q, term in enumerate(stacked.sigmas):
        effect = stacked.effects[term]
        reported[f"{effect.name}.sigma"] = ("measure",), sigmas[:, q : q + 1]
        if not effect.predicts:
            cluster += sigmas[:, q] ** 2
    at = columns
    for name, width, _ in marginal.parameters:
        dims = ("measure",) if width == 1 else ("gap",)
        reported[name] = dims, sigmas[:, at : at + width]
        at += width
    effective = weighed.effective if marginal.size else float(n)
    certificate = Certificate(weighed.khat, len(weighed.weights), effective)
    shaped = in_chains({"eta": e[:, :, None], "beta": beta})
    raw = labelled(arrays, shaped, in_chains({name: v[value] for name, v in hyper.values.items()}),
                   certificate=certificate)  # fmt: skip
    gaps = max((width for _, width, _ in marginal.parameters), default=0)
    more = {name: (dims, in_chains({name: v})[name]) for name, (dims, v) in reported.items()}
    raw = replace(raw, hyper={**raw.hyper, **more}, coords={**raw.coords, "gap": tuple(map(str, range(1, gaps + 1)))})
    silent = np.concatenate([np.full(len(e_.levels), not e_.predicts) for e_ in stacked.effects] or [np.zeros(0, bool)])
    f[:, silent] = 0.0
    return PersonDraws(e, f, cluster, sigmas[:, columns:]), raw


__all__ = ["UnitFit", "fit_persons", "laid"]
