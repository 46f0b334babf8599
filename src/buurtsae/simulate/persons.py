r"""Persons with known answers: a whole population in cells, and samples of those who are inclined to answer.

    eta_c = sum_k b_k(level of c) + sum_(k < l) b_kl(levels of c) + v_a + w_a(level of c)
    P(answer of a resident of c <= j) = 1 / (1 + exp(eta_c - cut_j)),      one cut: yes or no
    P(a resident answers the survey) = min(1, rate exp(r_c + s [the highest answer]) / mean of that)

b, b_kl and w are normal, v is as `Departure` says: by default heavy-tailed, larger where fewer people live, in part a
smooth surface. That is no truth of a model with main effects and BYM2. Answers are drawn once: samples differ, the
population does not. Weights are 1 / rate, raked to the population's margins of each characteristic and of gemeenten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Interval
from scipy.special import expit

from buurtsae.errors import ModelError, Problems, shown
from buurtsae.ranges import Share, check_ranges
from buurtsae.simulate.departure import Departure
from buurtsae.sparse import Floats, Ints
from buurtsae.survey.calibration import rake
from buurtsae.survey.cells import Cells

Spread = Annotated[float, Interval(ge=0, le=5)]
OTHERWISE = Departure(tails=4.0, size=0.3, over_water=True)


@dataclass(frozen=True)
class PersonTruth:
    """What made persons are like; effects on the logit scale.

    Attributes
    ----------
    cuts : tuple of float
        Between the answers, ascending: one for yes or no.
    effects : mapping of str to tuple of float
        Of the levels of a characteristic; of others they are drawn.
    person_sd, pair_sd : float
        Standard deviation of drawn effects of levels, and of pairs of levels.
    area_sd, smooth, by_area_sd : float
        Standard deviation of areas, its share that is a smooth surface (without geometry there is none), and the
        standard deviation of an area's own effect of a level.
    departure : Departure
        Heavy tails, size and surface of the effects of areas.
    response : mapping of str to tuple of float
        Log inclination to answer per level; of others it is drawn.
    response_sd : float
    response_of_answer : float
        Log inclination of those with the highest answer above that of others: no characteristic tells.

    Raises
    ------
    ModelError or ProblemsError
        On what is out of range, and cuts that do not ascend.

    Examples
    --------
    >>> PersonTruth(cuts=(2.0,), effects={"leeftijd": (0.0, 0.5)}).cuts
    (2.0,)
    """

    cuts: tuple[float, ...] = (1.0,)
    effects: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    person_sd: Spread = 0.4
    pair_sd: Spread = 0.1
    area_sd: Spread = 0.4
    smooth: Share = 0.5
    by_area_sd: Spread = 0.1
    departure: Departure = OTHERWISE
    response: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    response_sd: Spread = 0.4
    response_of_answer: Annotated[float, Interval(ge=-5, le=5)] = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, "truth of persons:")
        if not self.cuts or not (np.diff(self.cuts) > 0).all():
            hint = "give one cut for yes or no, more for ordered answers"
            raise ModelError("truth of persons: cuts do not ascend", str(self.cuts), "one or more, ascending", hint)


@dataclass(frozen=True, repr=False)
class Persons:
    """A population whose answers are known.

    Attributes
    ----------
    cells : Cells
        Whole numbers of residents.
    chance : ndarray, shape (M, J)
        Probability of each answer.
    answers : ndarray, shape (M, J)
        How many residents of each cell have it.
    inclination : ndarray, shape (M,)
        To answer the survey; its mean over residents is 1.
    truth : PersonTruth
    """

    cells: Cells
    chance: Floats
    answers: Ints
    inclination: Floats
    truth: PersonTruth

    def figures(
        self, level: str | None = None, domain: Mapping[str, Sequence[str]] | None = None, above: int = 0
    ) -> pd.DataFrame:
        """Return the truth per area of a level: what an estimate is compared with.

        Parameters
        ----------
        level : str, optional
            By default the areas themselves.
        domain : mapping of str to sequence of str, optional
            Persons that count.
        above : int
            Answers above this one, counted from 0, are a yes.

        Returns
        -------
        DataFrame, indexed by `area_code`
            Columns `residents`; `truth`, per cent of residents who say yes; `expected`, that of all who are like them;
            and `mean`, of answers numbered from 1.
        """
        cells, inside = self.cells, self.cells.inside(domain or {})[:, None]
        code = cells.areas.parents(level or cells.areas.base).to_numpy()[cells.area]
        yes = np.arange(self.answers.shape[1]) > above
        sums = np.column_stack([
            self.answers.sum(axis=1), self.answers[:, yes].sum(axis=1),
            cells.count * self.chance[:, yes].sum(axis=1), self.answers @ np.arange(1, self.answers.shape[1] + 1),
        ])  # fmt: skip
        table = pd.DataFrame(sums * inside, columns=["residents", "truth", "expected", "mean"]).groupby(code).sum()
        table = table[table["residents"] > 0].rename_axis("area_code")
        table[["truth", "expected"]] *= 100
        table[["truth", "expected", "mean"]] = table[["truth", "expected", "mean"]].div(table["residents"], axis=0)
        return table

    def sample(self, rate: float, rng: np.random.Generator, by: str | None = None) -> pd.DataFrame:
        """Return those who answer a survey.

        Parameters
        ----------
        rate : float
            Share of all residents.
        rng : numpy.random.Generator
        by : str, optional
            Level of areas whose residents the weights meet too.

        Returns
        -------
        DataFrame, one row per respondent
            `area_code`, the characteristics, `antwoord` (0 or 100; of ordered answers 1, 2, ...) and `weight`.

        Raises
        ------
        ModelError
            If the rate is no share, or nobody answers.
        """
        if not 0 < rate <= 1:
            raise ModelError("the rate of response is no share", str(rate), "above 0, at most 1", "correct it")
        cells, top = self.cells, self.answers.shape[1] - 1
        lean = self.inclination[:, None] * np.exp(self.truth.response_of_answer * (np.arange(top + 1) == top))
        lean /= (lean * self.answers).sum() / self.answers.sum()
        taken = rng.binomial(self.answers, np.minimum(rate * lean, 1.0))
        cell, answer = (np.repeat(at, taken.ravel()) for at in np.indices(taken.shape).reshape(2, -1))
        if not len(cell):
            raise ModelError("nobody answers", f"a rate of {rate:g}", "respondents", "take a higher rate")
        columns = {
            name: np.array(levels, dtype=object)[cells.level[cell, k]]
            for k, (name, levels) in enumerate(cells.characteristics.items())
        }
        answers = 100.0 * answer if top == 1 else answer + 1.0
        about = {"area_code": cells.areas.codes[cells.area[cell]], **columns, "antwoord": answers}
        return pd.DataFrame({**about, "weight": self._weights(cell, 1 / rate, by)})

    def _weights(self, cell: Ints, base: float, by: str | None) -> Floats:
        """Weights that meet the margins of the population, of the levels that have respondents."""
        cells, margins, totals = self.cells, list[Ints](), list[Floats]()
        of = [*cells.level.T]
        if by is not None:
            parent = np.unique(cells.areas.parents(by).to_numpy(dtype=str), return_inverse=True)[1]
            of.append(parent[cells.area])
        for level in of:
            seen, place = np.unique(level[cell], return_inverse=True)
            total = np.bincount(level, cells.count)[seen]
            margins.append(place)
            totals.append(total * cells.count.sum() / total.sum())
        return rake(np.full(len(cell), base), margins, totals)

    def __repr__(self) -> str:
        answers = "yes or no" if self.answers.shape[1] == 2 else f"{self.answers.shape[1]} ordered answers"
        top = 100 * self.answers[:, -1].sum() / self.answers.sum()
        many = f"{self.answers.sum()} residents in {len(self.cells.count)} cells"
        return f"Persons: {many}, {answers}, {top:.1f}% the highest"


def make_persons(cells: Cells, truth: PersonTruth | None = None, seed: int = 1) -> Persons:
    """Make a population of known answers.

    Parameters
    ----------
    cells : Cells
        Counts that are not whole are rounded at random.
    truth : PersonTruth, optional
    seed : int
        The same cells, truth and seed make the same population.

    Returns
    -------
    Persons

    Raises
    ------
    ModelError or ProblemsError
        If effects are of unknown characteristics, or not one per level.
    """
    truth, rng = truth or PersonTruth(), np.random.default_rng(seed)
    _check(cells, truth)
    cells = cells.whole(rng)
    names = list(cells.characteristics)
    sizes = list(map(len, cells.characteristics.values()))
    eta, lean = _areas(cells, truth, rng)[cells.area], np.zeros(len(cells.count))
    for k, (name, size) in enumerate(zip(names, sizes, strict=True)):
        drawn = rng.standard_normal((2, size)) * [[truth.person_sd], [truth.response_sd]]
        eta += np.asarray(truth.effects.get(name, drawn[0]))[cells.level[:, k]]
        lean += np.asarray(truth.response.get(name, drawn[1]))[cells.level[:, k]]
        own = truth.by_area_sd * rng.standard_normal((len(cells.areas.codes), size))
        eta += own[cells.area, cells.level[:, k]]
    for k, j in combinations(range(len(names)), 2):
        pair = truth.pair_sd * rng.standard_normal((sizes[k], sizes[j]))
        eta += pair[cells.level[:, k], cells.level[:, j]]
    below = expit(np.asarray(truth.cuts) - eta[:, None])
    chance = np.diff(below, axis=1, prepend=0.0, append=1.0)
    answers = rng.multinomial(cells.count.astype(np.int64), chance)
    inclination = np.exp(lean)
    inclination /= np.average(inclination, weights=cells.count)
    return Persons(cells, chance, answers, inclination, truth)


def _areas(cells: Cells, truth: PersonTruth, rng: np.random.Generator) -> Floats:
    """Effects of the areas, shape (areas,)."""
    areas = cells.areas
    own = truth.departure.own(rng.standard_normal((len(areas.codes), 1)), areas, rng)[:, 0]
    if "geometry" not in areas.frame or not truth.departure.over_water:
        return np.asarray(truth.area_sd * own)
    field_ = truth.departure.smooth_field(areas, 1, rng)[:, 0]
    return np.asarray(truth.area_sd * (np.sqrt(1 - truth.smooth) * own + np.sqrt(truth.smooth) * field_))


def _check(cells: Cells, truth: PersonTruth) -> None:
    problems = Problems()
    for what, given in (("effects", truth.effects), ("response", truth.response)):
        for name, values in given.items():
            levels = cells.characteristics.get(name)
            if levels is None or len(levels) != len(values):
                got = f"{len(values)} values of {name}"
                expected = shown(cells.characteristics) if levels is None else f"{len(levels)}: {shown(levels)}"
                problems.add(f"truth of persons: {what} do not fit the cells", got, expected, "correct it", ModelError)
    problems.raise_if_any()
