r"""Surveys of simulated residents: a stratified sample whose answers follow the graded response model.

Strata are gemeente x age group. Of the N_h residents of stratum h, n_h answer, n_h proportional to N_h times the
inclination to respond (largest remainders, at least two where there are two); which of them is simple random sampling
without replacement, so that the counts per buurt are multivariate hypergeometric; the weight is N_h / n_h.
A participatory source has no sample: in some buurten `SESSION` residents come together, all with weight 1.

References
----------
Samejima, F. (1969). Estimation of latent ability using a response pattern of graded scores. Psychometrika 17.
Sarndal, C.-E., Swensson, B. and Wretman, J. (1992). Model Assisted Survey Sampling, section 3.7.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, shown
from buurtsae.folder.target import Target, by_heading, staged
from buurtsae.simulate.population import AGES, DEFAULT, Truth, TruthSpec, questions, simulate_truth, source_effects
from buurtsae.sparse import Ints
from buurtsae.survey.codebook import Codebook
from buurtsae.tables import write_csv

SESSION = 6  # residents who score their buurt together
FILES = ("enquete_*.csv", "waarheid.csv", "waarheid_vragen.csv")
KNOWN = by_heading("waarheid.csv", "area_code,measure,truth")  # simulated surveys are replaced, no others


def simulate_survey(
    areas: Areas,
    truth: Truth,
    codebook: Codebook,
    size: int | float,
    seed: int = 1,
    empty: Collection[str] = (),
    *,
    year: int | None = None,
) -> pd.DataFrame:
    """Ask some of the residents the items of a codebook.

    Raises DataError if there are fewer residents than respondents asked for, or codes are unknown.

    Parameters
    ----------
    size : int or float
        Number of respondents, or, below 1, their share of the residents.
    seed : int
        Of this survey; sources with the same seed are independent samples.
    empty : collection of str
        Buurtcodes where nobody answers. Their residents do count in the weights.
    year : int, optional
        Of this wave: other people are asked than in another year.

    Returns
    -------
    DataFrame, one row per respondent, sorted by buurtcode
        Columns `buurtcode`, `gewicht`, `stratum`, `huishouden` where whole households answer, and one column of answer
        codes per item.
    """
    if tuple(areas.codes) != truth.codes:
        raise DataError("truth and areas differ", "other codes", "the areas of the truth", "simulate the truth again")
    if not codebook.items:
        hint = "name a survey"
        raise DataError(f"{codebook.id} has no respondents", f"a source of kind {codebook.kind}", "items", hint)
    if unknown := sorted(set(empty) - set(truth.codes)):
        raise DataError("buurten to leave empty are unknown", shown(unknown), "codes of the areas", "correct them")
    wave = () if year is None else (year,)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, crc32(codebook.id.encode()), *wave)))
    spec = truth.spec
    sample = _sessions if codebook.kind == "participatory" else _sample
    area, age, stratum, weight = sample(areas, truth, size, np.isin(truth.codes, list(empty)), rng)

    dims = len(truth.concept.subdimensions)
    correlation = np.full((dims, dims), spec.person_correlation) + (1 - spec.person_correlation) * np.eye(dims)
    root = np.asarray(np.linalg.cholesky(correlation).T, dtype=float)
    household = np.arange(len(area)) // spec.departure.household
    person = spec.departure.persons(rng.standard_normal((len(area), dims)) @ root, household, root, rng)
    person = person * spec.person_sd * truth.spread[area, None]
    extra = source_effects(codebook, spec)[2]
    extras = extra * rng.standard_normal(truth.latent.shape) if extra else np.zeros_like(truth.latent)
    z = truth.latent[area] + extras[area] + np.array(spec.age_effect)[age, None] + person
    answers = {}
    for question in questions(codebook, spec, truth.concept):
        y = question.loading * (z[:, question.dimension] + question.shift) + rng.standard_normal(len(z))
        codes = question.codes[::-1] if question.item.name in spec.departure.reversed else question.codes
        answer = codes[np.searchsorted(question.cuts, y)]
        silent = rng.random(len(z)) < spec.no_answer
        answers[question.item.name] = np.where(silent, codebook.missing[-1], answer) if codebook.missing else answer
    people = {"buurtcode": np.array(truth.codes)[area], "gewicht": weight, "stratum": stratum}
    if spec.departure.household > 1:
        people["huishouden"] = household
    return pd.DataFrame({**people, **answers})


def simulate_to(
    areas: Areas, to: str | Path | Target, sources: Mapping[str, int | float], seed: int = 1, spec: TruthSpec = DEFAULT
) -> list[Path]:
    """Simulate residents of the areas and surveys of them, write both, and return the paths.

    Parameters
    ----------
    to : path
        Folder for `enquete_<source>.csv` and `waarheid.csv`, made if absent, or one that is claimed already. All files
        appear, or none; those of an earlier simulation are replaced. Where the truth departs from the model, a column
        `departure` of `waarheid.csv` says how.
    sources : mapping of source to size
        Identifier or path of a codebook, and the number of respondents or their share. The first is the reference.
    """
    if not sources:
        raise DataError("there is nothing to simulate", "no sources", "one or more", "name a codebook and a size")
    truth = simulate_truth(areas, areas.graph(), replace(spec, reference=str(next(iter(sources)))), seed)
    tables = {}
    for source, size in sources.items():
        codebook = Codebook.load(source)
        tables[f"enquete_{codebook.id}.csv"] = simulate_survey(areas, truth, codebook, size, seed)
    departs = {"departure": repr(spec.departure)} if spec.departure.made else {}
    tables["waarheid.csv"] = truth.table().assign(**departs)
    with staged(to, FILES, KNOWN) as folder:
        write_tables(folder, tables)
    home = to.folder if isinstance(to, Target) else Path(to)
    return [home / name for name in tables]


def write_tables(to: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write CSV files into a folder, figures with six decimals."""
    for name, table in tables.items():
        write_csv(table, to / name, float_format="%.6f")


def _number(size: float, residents: int) -> int:
    """Respondents: as told, or a share of the residents."""
    if not 0 < size <= residents:
        hint = "ask for another number"
        raise DataError("the number of respondents is impossible", str(size), f"above 0, at most {residents}", hint)
    return round(size * residents) if size < 1 else int(size)


def _sample(
    areas: Areas, truth: Truth, size: int | float, empty: np.ndarray, rng: np.random.Generator
) -> tuple[Ints, Ints, np.ndarray, np.ndarray]:
    """Area, age group, stratum and weight of each respondent, sorted by area."""
    persons = truth.persons
    names, gemeente = np.unique(areas.parents("gemeente").to_numpy(dtype=str), return_inverse=True)
    strata = [(place, age_group) for place in range(len(names)) for age_group in range(len(AGES))]
    residents = np.array([persons[gemeente == place, age_group].sum() for place, age_group in strata])
    reachable = np.array([persons[(gemeente == place) & ~empty, age_group].sum() for place, age_group in strata])
    inclination = np.tile(truth.spec.response, len(names))
    members = truth.spec.departure.household  # who is drawn stands for a household of one age
    number = _number(size, residents.sum()) // members
    taken = _allocate(number, reachable, residents * inclination)

    blocks = []
    for stratum, (place, age_group) in enumerate(strata):
        member = np.flatnonzero((gemeente == place) & ~empty)
        if taken[stratum] == 0:
            continue
        count = rng.multivariate_hypergeometric(persons[member, age_group], taken[stratum], method="marginals")
        blocks.append((np.repeat(member, count), np.full(taken[stratum], stratum)))
    area, drawn = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.lexsort((drawn, area))
    area, drawn = np.repeat(area[order], members), np.repeat(drawn[order], members)
    label = np.array([f"{names[place]}|{AGES[age_group]}" for place, age_group in strata])
    return area, drawn % len(AGES), label[drawn], (residents / np.maximum(members * taken, 1))[drawn]


def _sessions(
    areas: Areas, truth: Truth, size: int | float, empty: np.ndarray, rng: np.random.Generator
) -> tuple[Ints, Ints, np.ndarray, np.ndarray]:
    """Area, age group, stratum and weight of those who come: `SESSION` residents in each of some buurten."""
    persons = truth.persons
    number = _number(size, persons.sum())
    possible = np.flatnonzero((persons.sum(axis=1) >= SESSION) & ~empty)
    if not 0 < number // SESSION <= len(possible):
        expected = f"{SESSION} per buurt, in at most {len(possible)} buurten"
        raise DataError("the number of participants is impossible", str(number), expected, "ask for another number")
    chosen = np.sort(rng.choice(possible, number // SESSION, replace=False))
    counts = np.array([rng.multivariate_hypergeometric(persons[area], SESSION) for area in chosen])
    area, age = np.repeat(chosen, SESSION), np.concatenate([np.repeat(np.arange(len(AGES)), group) for group in counts])
    return area, age, np.full(len(area), "alle"), np.ones(len(area))


def _allocate(n: int, available: Ints, measure: np.ndarray) -> Ints:
    """Divide n over strata in proportion to `measure` by largest remainders, at least two where there are two."""
    least = np.minimum(available, 2)
    if not least.sum() <= n <= available.sum():
        expected = f"{least.sum()} (two per stratum) to {available.sum()} (all residents)"
        raise DataError("the number of respondents is impossible", str(n), expected, "ask for another number")
    if n == available.sum():  # a census, whatever the inclinations
        return available.copy()
    share = (n - least.sum()) * np.where(available > 0, measure, 0) / np.where(available > 0, measure, 0).sum()
    taken = least + np.floor(share).astype(np.int64)
    taken[np.argsort(np.floor(share) - share, kind="stable")[: n - taken.sum()]] += 1
    if (taken > available).any():
        worst = int(np.argmax(taken - available))
        what, hint = "a stratum has too few residents", "ask for fewer respondents in all"
        raise DataError(what, f"{taken[worst]} respondents", f"at most {available[worst]}", hint)
    return taken
