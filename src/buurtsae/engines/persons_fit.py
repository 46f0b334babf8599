"""Fit a model of persons: checks of answers and cells, the engine, and draws of what cells are made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.areas import Areas
from buurtsae.draws import Certificate, Draws
from buurtsae.engines.base import engine_options
from buurtsae.engines.checkpoint import keeping
from buurtsae.engines.integration import Integration, integrate
from buurtsae.engines.labels import in_chains, labelled
from buurtsae.engines.laplace import Early
from buurtsae.engines.nuts import NutsOptions
from buurtsae.engines.poststratify import PersonDraws
from buurtsae.engines.resampling import cube
from buurtsae.engines.search import Progress
from buurtsae.engines.unit import UnitFit
from buurtsae.errors import BuurtsaeError, DataError, ModelError, Problems, check_kinds, cut, shown
from buurtsae.formula import read, variables
from buurtsae.model.design import Design, design
from buurtsae.model.persons.answer import Ladder, Number, YesNo
from buurtsae.model.persons.effect import PersonEffect, Stacked
from buurtsae.model.persons.spec import UnitModel
from buurtsae.model.persons.tables import Coded, check_table, recoded
from buurtsae.model.plausible import far
from buurtsae.notes import Note
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.answers import Answers
from buurtsae.survey.cells import Cells
from buurtsae.survey.counts import AreaCounts

if TYPE_CHECKING:
    from buurtsae.engines.persons import PersonData, PersonMarginal

COST = 4e9  # what may be spent on values of the hyperparameters, in sums of a pair of levels of a cell


def fit_persons(
    model: UnitModel,
    answers: Answers,
    cells: Cells | Sequence[Cells],
    engine: str = "laplace",
    seed: int = 1,
    *,
    measure: str = "",
    progress: bool = True,
    **options: Any,
) -> UnitFit:
    """Fit a model of persons to answers, for poststratification on residents.

    Parameters
    ----------
    model : UnitModel
    answers : Answers
        Respondents, collapsed to cells.
    cells : Cells or sequence of these
        Residents; several tables where they are uncertain, used in turn over the draws.
    engine : {"laplace", "nuts"}
        `nuts` is the reference, for small data.
    seed : int
        The same input, seed and versions give the same draws.
    measure : str
        What the figures are called; by default as the answers say.
    progress : bool
        Show a progress bar on stderr.
    **options
        Those of the engine.

    Returns
    -------
    UnitFit

    Raises
    ------
    ModelError, DataError or ProblemsError
        Before any sampling, everything that is wrong with the model on these data.

    Examples
    --------
    >>> import pandas as pd
    >>> from buurtsae import Answers, Areas, Cells, Factor, UnitModel
    >>> areas = Areas.from_frame(pd.DataFrame({"code": [1, 2], "population": [50, 80]}), code="code")
    >>> table = pd.DataFrame({"code": [1, 2], "age": ["18-64", "65+"], "aantal": [50, 80], "n": 8, "y": [0.25, 0.5]})
    >>> cells = Cells.from_frame(table, areas, area="code", characteristics={"age": ["18-64", "65+"]})
    >>> answers = Answers.of(table, "y", cells, area="code", number="n")
    >>> fit_persons(UnitModel(persons=[Factor("age")]), answers, cells, draws=100, hyperparameters=50, progress=False)
    UnitFit by laplace in ... s, seed 1: 2 areas, 2 cells of answers, 2 levels of persons; Draws of 2 areas ...
    """
    from threadpoolctl import threadpool_limits

    settings, populations = person_options(engine, options), _given(model, answers, cells, seed, measure)
    if isinstance(model.outcome, Ladder) and not model.outcome.categories:  # as the answers call them
        model = replace(model, outcome=replace(model.outcome, categories=tuple(f"{c:g}" for c in answers.categories)))
    arrays, stacked, data, coded, order = laid(model, answers, populations)
    start, threads = time.perf_counter(), getattr(settings, "threads", 2)
    if isinstance(settings, NutsOptions):
        draws, raw = _sampled(arrays, stacked, data, seed, settings)
    else:
        with (
            keeping(settings.checkpoint) as kept,
            threadpool_limits(1),
            ThreadPoolExecutor(threads) as pool,
            Progress(progress) as bar,
        ):
            bar.step("prepare (the first fit on a machine compiles for some 15 s)")
            from buurtsae.engines.persons import PersonMarginal  # numba

            marginal = PersonMarginal.of(arrays, stacked, data)
            early = Early(marginal, seed, settings.draws, kept)  # type: ignore[arg-type]  # what it asks of one
            enough = settings.hyperparameters or _enough(marginal)
            weighed = integrate(early.target, seed, enough, pool.map, bar, early.look)
            draws, raw = _drawn(early, marginal, weighed, pool.map, bar)
    seconds = time.perf_counter() - start
    name = measure or answers.measure
    known = (*answers.notes, *(note for table in populations for note in table.notes), *arrays.notes)
    of_design = *unweighted(model, answers.scheme, populations[0].areas), *unclustered(model, answers, populations[0])
    notes = tuple(dict.fromkeys((*known, *of_design)))
    return UnitFit(model, arrays, stacked, answers, coded, order, populations, draws, raw, seed, seconds,
                   threads, name, notes, engine)  # fmt: skip


def person_options(engine: str, options: Mapping[str, Any]) -> Any:
    """Options of an engine.

    Raises
    ------
    ModelError
        On an engine that has no persons, or options that it does not have.
    """
    if engine not in ("laplace", "nuts"):
        raise ModelError("the engine does not fit persons", cut(repr(engine)), "laplace or nuts", "choose one of these")
    return engine_options(engine, options)


def _given(model: object, answers: object, cells: object, seed: object, measure: object) -> tuple[Cells, ...]:
    """Tables of cells, where all that is given is of its kind.

    Raises
    ------
    DataError or ProblemsError
        Where something is not, all at once.
    """
    problems = Problems()
    problems.attempt(check_kinds, model=(model, UnitModel), answers=(answers, Answers), seed=(seed, int),
                     measure=(measure, str))  # fmt: skip
    tables = tuple(cells) if isinstance(cells, list | tuple) else (cells,)
    if not tables or (wrong := [type(table).__name__ for table in tables if not isinstance(table, Cells)]):
        hint = "take Cells.read, from_frame or from_margins, or `tables` of these"
        problems.add("these are no cells", shown(wrong) if tables else "none", "Cells, or a list of them", hint)
    if isinstance(seed, int) and seed < 0:
        problems.add("the seed is below 0", str(seed), "0 or more", "choose another")
    problems.raise_if_any()
    return tables


def laid(
    model: UnitModel, answers: Answers, populations: Sequence[Cells]
) -> tuple[Design, Stacked, PersonData, Coded, Ints]:
    """Return the model on data: areas, persons, answers sorted by area, and the order of these.

    Raises
    ------
    ModelError, DataError or ProblemsError
        Everything that is wrong, at once.
    """
    from buurtsae.engines.persons import PersonData  # numba

    problems, population = Problems(), populations[0]
    areas = population.areas
    own = [name for term in model.persons if not term.predicts for name in term.uses]
    _check(model, answers, populations, problems)
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
    if isinstance(model.answers, Number) and "Intercept" in arrays.coefficients:
        centre = answers.y[:, :1].sum(axis=0) / answers.size.sum()
        remarks = far(model.intercept, centre, model.answers.outcome.scale)
        arrays = replace(arrays, strange=(*arrays.strange, *remarks))
    kept = np.flatnonzero((answers.size > 0) & areas.inhabited[answers.area])
    order = kept[np.argsort(answers.area[kept], kind="stable")]
    stacked, coded = Stacked(tuple(effects)), coded.among(order)
    y, size = (np.ascontiguousarray(part[order], dtype=float) for part in (answers.y, answers.size))
    area = np.ascontiguousarray(coded.area, dtype=np.int64)
    data = PersonData(model.answers, area, stacked.index(coded), y, size, n, int(stacked.starts[-1]))
    return arrays, stacked, data, coded, order


def _check(model: UnitModel, answers: Answers, populations: Sequence[Cells], problems: Problems) -> None:
    """Collect what tables of persons cannot be."""
    areas = populations[0].areas
    for table in populations:
        problems.attempt(check_table, "cells", table, areas, {"count": table.count})
        if table.characteristics != populations[0].characteristics:
            problems.add("tables of cells have different characteristics", shown(table.characteristics),
                         shown(populations[0].characteristics), "give all the same")  # fmt: skip
    numbers = {"size": answers.size, "y": answers.y, "respondents": answers.respondents}
    problems.attempt(check_table, "answers", answers, areas, numbers)
    wanted = {YesNo: "share", Ladder: "ordinal", Number: "score"}[type(model.answers)]
    if answers.outcome != wanted:
        problems.add("the answers are not of the outcome of the model", cut(repr(answers.outcome)), repr(wanted),
                     f'Answers.of(..., outcome="{wanted}"), or another outcome of UnitModel', ModelError)  # fmt: skip
    problems.raise_if_any()  # what follows cannot be said of these
    for table in populations:
        if (wrong := ~(table.count >= 0)).any():
            problems.add("cells have fewer residents than none", f"{int(wrong.sum())} of {len(wrong)} cells",
                         "0 or more", "correct the counts")  # fmt: skip
        if not (table.count > 0).any():
            problems.add("the cells are empty", "no residents", "residents", "look at how they were made")
    if (wrong := ~(answers.size >= 0)).any() or not (answers.size > 0).any():
        got = f"{int(wrong.sum())} below 0 or missing, {int((answers.size > 0).sum())} above 0"
        problems.add("cells of answers have no respondents", got, "0 or more, some above", "correct the sizes")
    problems.raise_if_any()


def absent(model: UnitModel, scheme: Sequence[str], areas: Areas) -> list[str]:
    """Return variables of a weighting scheme that are no term; where areas have effects levels of areas are terms."""
    there = {name for term in model.persons for name in term.uses} | {term.name for term in model.terms}
    there |= set(variables(read(model.formula, "a formula"))) | set(areas.levels if model.terms else ())
    return [name for name in scheme if name not in there]


def unweighted(model: UnitModel, scheme: Sequence[str], areas: Areas) -> list[Note]:
    """What is said of those."""
    if not (names := absent(model, scheme, areas)):
        return []
    return [
        Note(
            "weights depend on {names}, of which the model has no term: where answers depend on it too, figures are "
            "biased; add a term",
            "de gewichten hangen af van {names}, waarvan het model geen effect heeft: hangen ook de antwoorden ervan "
            "af, dan zijn de cijfers vertekend; voeg een effect toe",
            names=names,
        )
    ]


def unclustered(model: UnitModel, answers: Answers, population: Cells) -> list[Note]:
    """Return what is said of clusters that answers name, with two respondents or more in some, and no effect."""
    used, notes = {name for term in model.persons for name in term.uses}, []
    for k, (name, levels) in enumerate(answers.characteristics.items()):
        if name in used or name in population.characteristics:
            continue
        each = np.bincount(answers.level[:, k], answers.respondents, len(levels))
        if (each > 1).any():
            notes.append(Note(
                "respondents come in {n} clusters of {name}, {each:.1f} in each, of which the model has no effect: "
                "intervals are too narrow where they answer alike; add a term Cluster",
                "de respondenten zitten in {n} clusters van {name}, {each:.1f} in elk, waarvan het model geen effect "
                "heeft: intervallen zijn te smal als zij hetzelfde antwoorden; voeg een effect Cluster toe",
                n=len(levels), name=name, each=float(each.mean()),
            ))  # fmt: skip
    return notes


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
    mean, sd = (part.reshape(len(arrays.coefficients)) for part in arrays.coefficient_priors)
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
    effective = weighed.effective if marginal.size else float(n)
    certificate = Certificate(weighed.khat, len(weighed.weights), effective)
    shaped = in_chains({"eta": e[:, :, None].astype(float), "beta": beta})
    of_areas = in_chains({name: v[value] for name, v in hyper.values.items()})
    raw = labelled(arrays, shaped, of_areas, certificate=certificate)
    return _told(raw, marginal.stacked, marginal.data, e, f, in_chains({"own": own[value]})["own"])


def _sampled(
    arrays: Design, stacked: Stacked, data: PersonData, seed: int, options: NutsOptions
) -> tuple[PersonDraws, Draws]:
    """Draw them by NUTS."""
    from buurtsae.engines.persons_nuts import sample

    raw, f, own = sample(arrays, stacked, data, seed, options)
    return _told(raw, stacked, data, raw.flat[:, :, 0].astype(np.float32), f, own)


def _told(
    raw: Draws, stacked: Stacked, data: PersonData, e: NDArray[np.float32], f: Floats, own: Floats
) -> tuple[PersonDraws, Draws]:
    """Add the parameters of persons, sigma and psi (chains, draws, size), to draws of the areas."""
    flat, cluster, at, gaps = own.reshape(len(e), own.shape[2]), np.zeros(len(e)), len(stacked.sigmas), 0
    hyper = dict(raw.hyper)
    for q, term in enumerate(stacked.sigmas):
        effect = stacked.effects[term]
        hyper[f"{effect.name}.sigma"] = ("measure",), own[:, :, q : q + 1]
        if not effect.predicts:
            cluster += flat[:, q] ** 2
    for name, width, _ in data.outcome.parameters(data.y):
        several = name == "cuts.gap"
        hyper[name] = ("gap",) if several else ("measure",), own[:, :, at : at + width]
        at, gaps = at + width, max(gaps, width * several)
    predicts = [np.full(len(effect.levels), effect.predicts) for effect in stacked.effects]
    f = f * np.concatenate([*predicts, np.zeros(0, dtype=bool)])
    labels = {**raw.coords, "gap": tuple(str(k + 1) for k in range(gaps))}
    return PersonDraws(e, f, cluster, flat[:, len(stacked.sigmas) :]), replace(raw, hyper=hyper, coords=labels)
