r"""Scores over the years, as no model here draws them, and surveys of every year.

With u_t = (t - first) / (last - first), area a has on sub-dimension d in year t

    eta_adt = eta_ad + m_d(t) - l_ad (1 - u_t) - s_a 1[t < T_a],    m_d(t) = 4 bend_d u_t (1 - u_t) - rise_d (1 - u_t):

its score of the last year, which is that of `simulate_truth`, less a course of the whole region, a straight line of its
own (uniform, and as much of its neighbours), and in some areas a jump, at once, between two waves. Residents stay the
same. A source that was redesigned in year R has another level before it: s_t = s - redesign 1[t < R].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import scipy.sparse as sp
from annotated_types import Interval

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.errors import ModelError, Problems, shown
from buurtsae.folder.target import Target, staged
from buurtsae.ranges import Share, check_ranges
from buurtsae.simulate.population import DEFAULT, Truth, TruthSpec, expected_scores, simulate_truth
from buurtsae.simulate.survey import FILES, KNOWN, simulate_survey, write_tables
from buurtsae.sparse import Floats
from buurtsae.survey.codebook import Codebook


@dataclass(frozen=True)
class Course:
    """How scores change from the first year to the last, on the latent scale: one unit is about 2 points on 0-10.

    Attributes
    ----------
    rise, bend : tuple of float, one per sub-dimension
        What all areas gain from the first year to the last, and how far the middle lies above that line.
    lines : float
        Standard deviation, between areas, of what an area gains more than others along a straight line.
    stepped : float
        Share of the inhabited areas that jump between two waves.
    step : float
        By how much, up or down, on all sub-dimensions.
    redesigned : tuple of pairs of str and int
        Sources, each with the year from which its questions are asked otherwise.
    redesign : float
        What that adds to the level of their answers.

    Raises
    ------
    ProblemsError
        On what is out of range.
    """

    rise: tuple[float, ...] = (0.12, -0.06, 0.0, 0.08)
    bend: tuple[float, ...] = (-0.08, 0.04, 0.06, 0.0)
    lines: Annotated[float, Interval(ge=0, le=10)] = 0.12
    stepped: Share = 0.05
    step: Annotated[float, Interval(ge=0, le=10)] = 0.5
    redesigned: tuple[tuple[str, int], ...] = ()
    redesign: Annotated[float, Interval(ge=-10, le=10)] = 0.25

    def __post_init__(self) -> None:
        check_ranges(self, "course:")


USUAL = Course()


def simulate_waves(
    areas: Areas, graph: Graph, years: Sequence[int], spec: TruthSpec = DEFAULT, course: Course = USUAL, seed: int = 1
) -> dict[int, Truth]:
    """Return what is true in every year; of the last it is `simulate_truth`, with the same residents in all.

    Parameters
    ----------
    areas, graph, spec, seed
        As of `simulate_truth`.
    years : sequence of int
        Two or more, ascending.
    course : Course

    Raises
    ------
    DataError, ModelError or ProblemsError
        As `simulate_truth`, and what is wrong with the years or the course.
    """
    _check(years, spec, course)
    truth = simulate_truth(areas, graph, spec, seed)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    time = (np.array(years) - years[0]) / (years[-1] - years[0])
    lines = course.lines * own_lines(areas, graph, truth.latent.shape[1], rng)
    inhabited = np.flatnonzero(areas.inhabited)
    jumps = rng.choice(inhabited, round(course.stepped * len(inhabited)), replace=False)
    step, since = np.zeros((len(areas.codes), 1)), np.zeros((len(areas.codes), 1))
    step[jumps, 0] = course.step * rng.choice([-1, 1], len(jumps))
    since[jumps, 0] = rng.choice(list(years)[1:], len(jumps))
    found = {}
    for year, u in zip(years, time, strict=True):
        region = 4 * np.array(course.bend) * u * (1 - u) - np.array(course.rise) * (1 - u)
        latent = truth.latent + region - lines * (1 - u) - step * (year < since)
        shifts = tuple((source, -course.redesign) for source, first in course.redesigned if year < first)
        found[year] = replace(truth, latent=latent, spec=replace(spec, shifts=(*spec.shifts, *shifts)))
    return found


def own_lines(areas: Areas, graph: Graph, dims: int, rng: np.random.Generator) -> Floats:
    """Draw what areas gain, partly the same on all sub-dimensions: uniform, and as much of neighbours; variance 1."""
    raw = rng.uniform(-1, 1, (len(areas.codes), 1)) + 0.5 * rng.uniform(-1, 1, (len(areas.codes), dims))
    first, second = pd.Index(areas.codes).get_indexer(graph.codes)[graph.edges].T
    both = np.r_[first, second], np.r_[second, first]
    beside = sp.csr_array((np.ones(len(both[0])), both), shape=(len(raw), len(raw)))
    raw = raw + (beside @ raw) / np.maximum(beside.sum(axis=1), 1)[:, None]
    lived_in = raw[areas.inhabited]
    return np.asarray((raw - lived_in.mean(axis=0)) / lived_in.std(axis=0))


def truths(waves: Mapping[int, Truth]) -> pd.DataFrame:
    """Return a row per inhabited buurt, measure and year: `area_code`, `measure`, `truth`, `year`."""
    table = pd.concat([truth.table().assign(year=year) for year, truth in waves.items()])
    return table.sort_values(["year", "area_code", "measure"], ignore_index=True)


def redesigns(waves: Mapping[int, Truth], course: Course) -> pd.DataFrame:
    """Return what each redesign adds to scores: `source`, `since`, `measure`, `truth`.

    It is the mean over inhabited buurten of the year from which questions are asked otherwise.
    """
    rows = list[dict[str, object]]()
    for source, since in course.redesigned:
        after, codebook = waves[since], Codebook.load(source)
        shifts = (*after.spec.shifts, (source, -course.redesign))
        before = replace(after, spec=replace(after.spec, shifts=shifts))
        change = expected_scores(after, codebook) - expected_scores(before, codebook)
        for name, mean in zip(after.concept.subdimensions, np.nanmean(change, axis=0), strict=True):
            rows.append({"source": source, "since": since, "measure": name, "truth": mean})
    return pd.DataFrame(rows, columns=["source", "since", "measure", "truth"])


def waves_to(
    areas: Areas,
    to: str | Path | Target,
    sources: Mapping[str, int | float],
    years: Sequence[int],
    seed: int = 1,
    spec: TruthSpec = DEFAULT,
    course: Course = USUAL,
) -> list[Path]:
    """Simulate residents over the years and surveys of every year, write all, and return the paths.

    Parameters
    ----------
    areas, to, sources, seed, spec
        As of `simulate_to`; the files are `enquete_<source>_<year>.csv`, and `waarheid.csv` has a column `year`.
        Every year asks other people.
    years, course
        As of `simulate_waves`.
    """
    books = [(Codebook.load(source), size) for source, size in sources.items()]
    known = {book.id for book, _ in books}
    if absent := [source for source, _ in course.redesigned if Codebook.load(source).id not in known]:
        raise ModelError(
            "a source is redesigned that asks nobody", shown(absent), shown(known), "add it to the sources"
        )
    truth = simulate_waves(areas, areas.graph(), years, replace(spec, reference=str(next(iter(sources)))), course, seed)
    tables = {
        f"enquete_{book.id}_{year}.csv": simulate_survey(areas, of_year, book, size, seed, year=year)
        for year, of_year in truth.items() for book, size in books
    }  # fmt: skip
    departs = {"departure": repr(spec.departure)} if spec.departure.made else {}
    tables["waarheid.csv"] = truths(truth).assign(**departs)
    if course.redesigned:
        tables["waarheid_vragen.csv"] = redesigns(truth, course)
    with staged(to, FILES, KNOWN) as folder:
        write_tables(folder, tables)
    home = to.folder if isinstance(to, Target) else Path(to)
    return [home / name for name in tables]


def _check(years: Sequence[int], spec: TruthSpec, course: Course) -> None:
    problems = Problems()
    for name in ("rise", "bend"):
        if len(getattr(course, name)) != len(spec.level):
            got, expected = f"{len(getattr(course, name))} values", f"{len(spec.level)}, one per sub-dimension"
            problems.add(f"the course's {name}", got, expected, "correct it", ModelError)
    if len(years) < 2 or list(years) != sorted(set(years)):
        hint = "give each year once, the earliest first"
        problems.add("these are no waves", shown(years), "two years or more, ascending", hint, ModelError)
    else:
        for source, since in course.redesigned:
            if since not in years[1:]:
                hint = "give the first year of the new questions"
                problems.add(
                    f"{source} is not redesigned between waves", str(since), shown(years[1:]), hint, ModelError
                )
    problems.raise_if_any()
