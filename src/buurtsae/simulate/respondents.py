r"""Made persons as files: residents in cells, who of them answer a survey, what is true, and how answers are read.

Cells that are not given are made: of N_a residents, all of 18 and over, with o_a the share of 65 and over (`pct_65plus`
of the areas, else OLD) and z_a what dwellings are worth, standardised (`gemiddelde_woz`, else 0),

    N_a P(age | o_a) P(education | age, z_a) / 2,    P(education = k | age, z) ~ share_(age, k) exp(w_k z),

of men and of women, rounded to whole persons whose margins are kept. Answers and respondents are those of `persons`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from buurtsae.areas.areas import Areas
from buurtsae.errors import DataError, ModelError, Problems, shown
from buurtsae.folder.target import Target, staged
from buurtsae.simulate.departure import NONE, Departure
from buurtsae.simulate.persons import OTHERWISE, Persons, PersonTruth, make_persons
from buurtsae.simulate.survey import KNOWN, write_tables
from buurtsae.sparse import Floats
from buurtsae.survey.cells import Cells
from buurtsae.survey.design_columns import RESERVED

LEVELS = {
    "leeftijd": ("18-29", "30-44", "45-64", "65+"),
    "geslacht": ("man", "vrouw"),
    "opleiding": ("laag", "midden", "hoog"),
}
OLD = 0.21
YOUNGER = (0.24, 0.33, 0.43)  # of those below 65
EDUCATION = ((0.12, 0.50, 0.38), (0.14, 0.38, 0.48), (0.24, 0.42, 0.34), (0.42, 0.36, 0.22))  # per age, on average
WEALTH = (-0.5, 0.0, 0.5)  # w: per standard deviation of what dwellings are worth
CAN_DEPART = ("tails", "size", "over_water")  # what effects of areas of persons may be like
MOST, SPAN = 10, 3.0  # ordered answers, and from the lowest of their cuts to the highest
ANSWER = "antwoord"
TAKEN = (ANSWER, "gewicht", "buurtcode", "aantal", "area_code")  # columns beside characteristics
CELLS, BOOK, CONCEPT = "cellen.csv", "codeboek.toml", "begrip.toml"
FILES = (CELLS, "enquete_personen.csv", "waarheid.csv", "waarheid_groepen.csv", BOOK, CONCEPT)

HEAD = """# Made by `buurtsae simulate --persons`: nobody was asked this.

"""
BOOK_TEXT = """id = "personen"
nl = "Gesimuleerde personen"
en = "Simulated persons"
owner = "niemand"
owner_en = "nobody"
kind = "survey"
level = "gemeente"
references = ["buurtsae simulate --persons"]
min_share_answered = 1.0

[[scale]]
id = "antwoord"
nl = "Antwoord"
subdimension = "antwoord"
{answers}
items = [{{ name = "antwoord", about = "een gesimuleerde vraag" }}]
"""
CONCEPT_TEXT = """title = "Gesimuleerde personen"
title_en = "Simulated persons"

[[node]]
id = "antwoord"
nl = "Antwoord"
en = "answer"
about = "antwoord op een gesimuleerde vraag"
about_en = "answer to a simulated question"
{outcome}
"""


def made_cells(areas: Areas, rng: np.random.Generator) -> Cells:
    """Return residents by age, sex and education, in whole numbers that are together those of the areas.

    Parameters
    ----------
    areas : Areas
    rng : numpy.random.Generator
        It says which cells are rounded up.
    """
    old, worth = _known(areas, "pct_65plus", 100 * OLD), _known(areas, "gemiddelde_woz", 0.0)
    old = np.where(np.isnan(old), np.nanmean(old), old)[:, None] / 100
    age = np.hstack([(1 - old) * YOUNGER, old])  # area, age
    z = np.nan_to_num((worth - np.nanmean(worth)) / (np.nanstd(worth) or 1.0))
    school = softmax(np.log(EDUCATION) + z[:, None, None] * WEALTH, axis=2)  # area, age, education
    count = areas.population.astype(float)[:, None, None, None] * (age[:, :, None] * school)[:, :, None, :] / 2
    count = np.repeat(count, 2, axis=2)
    at = np.indices(count.shape).reshape(4, -1)
    rows = {name: np.array(levels)[place] for (name, levels), place in zip(LEVELS.items(), at[1:], strict=True)}
    table = pd.DataFrame({"code": areas.codes[at[0]], **rows, "aantal": count.ravel()})
    return Cells.from_frame(table, areas, area="code", characteristics=LEVELS).whole(rng)


def _known(areas: Areas, name: str, otherwise: float) -> Floats:
    """A covariate of the areas, where they have it."""
    there = name in areas.covariates and areas.frame[name].notna().any()
    return areas.frame[name].to_numpy(dtype=float) if there else np.full(len(areas.codes), otherwise)


def truth_of(answers: int = 2, departure: Departure = NONE) -> PersonTruth:
    """Return what made persons are like who have so many answers to choose from.

    Raises
    ------
    ModelError
        If there are not 2 to 10 answers, or effects of areas of persons cannot depart so.
    """
    problems = Problems()
    if not 2 <= answers <= MOST:
        problems.add("persons have answers", str(answers), f"2 (yes or no) to {MOST}", "correct it", ModelError)
    if other := [name for name in departure.made if name not in CAN_DEPART]:
        hint = "leave these out: persons are no scores of items"
        problems.add("persons do not depart so", shown(other), shown(CAN_DEPART), hint, ModelError)
    problems.raise_if_any()
    cuts = (1.0,) if answers == 2 else tuple(np.linspace(-SPAN / 2, SPAN / 2, answers - 1).tolist())
    return PersonTruth(cuts=cuts, departure=replace(OTHERWISE, **departure.made))


def persons_to(
    areas: Areas,
    to: str | Path | Target,
    rate: float,
    seed: int = 1,
    cells: str | Path | None = None,
    truth: PersonTruth | None = None,
) -> list[Path]:
    """Make persons and a survey of some of them, write both, and return the paths.

    Parameters
    ----------
    areas : Areas
    to : path
        Folder for `FILES`, made if absent, or one that is claimed already. All appear, or none; those of an earlier
        simulation are replaced.
    rate : float
        Respondents per resident.
    seed : int
    cells : path, optional
        Residents per `buurtcode` and characteristics, in `aantal`; by default `made_cells`.
    truth : PersonTruth, optional

    Raises
    ------
    DataError or ProblemsError
        What is wrong with the cells; or they are a file that would be replaced, or have a characteristic whose name is
        that of another column.
    """
    home = to.folder if isinstance(to, Target) else Path(to)
    if cells is not None and Path(cells).resolve() in {(home / name).resolve() for name in FILES}:
        hint = "choose another --out"
        raise DataError("the cells would be replaced by what is made of them", str(cells), "a file elsewhere", hint)
    made_by, drawn_by = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    residents = made_cells(areas, made_by) if cells is None else Cells.read(cells, areas)
    if taken := [name for name in residents.characteristics if name in TAKEN or RESERVED.fullmatch(name)]:
        raise DataError("characteristics are called as other columns are", shown(taken), "other names", "rename them")
    persons = make_persons(residents, truth, seed)
    sample = persons.sample(rate, drawn_by, "gemeente" if "gemeente" in areas.levels else None)
    yes_or_no = persons.answers.shape[1] == 2
    answer = sample["antwoord"] / 100 if yes_or_no else sample["antwoord"]
    people = sample[["area_code", "weight", *residents.characteristics]].assign(**{ANSWER: answer.astype(int)})
    lived_in = persons.cells.frame[persons.cells.count > 0].astype({"aantal": int})
    tables = {
        CELLS: lived_in.rename(columns={"area_code": "buurtcode"}),
        "enquete_personen.csv": people.rename(columns={"area_code": "buurtcode", "weight": "gewicht"}),
        "waarheid.csv": _true(persons).drop(columns="residents"),
        "waarheid_groepen.csv": pd.concat([
            _true(persons, {name: [level]}).assign(characteristic=name, group=level)
            for name, levels in persons.cells.characteristics.items() for level in levels
        ])[["area_code", "characteristic", "group", "measure", "truth", "residents"]],
    }  # fmt: skip
    with staged(to, FILES, KNOWN) as folder:
        write_tables(folder, tables)
        for name, text in ((BOOK, _book(persons)), (CONCEPT, _concept(persons))):
            (folder / name).write_text(HEAD + text, encoding="utf-8", newline="\n")
    return [home / name for name in FILES]


def _true(persons: Persons, domain: dict[str, list[str]] | None = None) -> pd.DataFrame:
    """True figures of the buurten: a share of yes; of ordered answers the mean, and shares above each."""
    highest = persons.answers.shape[1]
    shares = {(ANSWER if highest == 2 else f"{ANSWER}: above {k + 1}"): k for k in range(highest - 1)}
    parts = [persons.figures(None, domain, above).assign(measure=name) for name, above in shares.items()]
    if highest > 2:
        parts.append(parts[0].assign(measure=ANSWER, truth=parts[0]["mean"]))
    table = pd.concat(parts).reset_index().sort_values(["area_code", "measure"], ignore_index=True)
    return table[["area_code", "measure", "truth", "residents"]].astype({"residents": int})


def _book(persons: Persons) -> str:
    highest = persons.answers.shape[1]
    if highest == 2:
        return BOOK_TEXT.format(answers='answers = { 0 = "nee", 1 = "ja" }\nshare = { codes = [1] }')
    ends = f'from = 1, to = {highest}, lowest = "laagste", highest = "hoogste"'
    return BOOK_TEXT.format(answers=f'outcome = "ordinal"\nanswers = {{ {ends} }}')


def _concept(persons: Persons) -> str:
    highest = persons.answers.shape[1]
    if highest == 2:
        return CONCEPT_TEXT.format(outcome='outcome = "share"')
    scale = f'scale = {{ lower = 1, upper = {highest}, nl = "antwoord", en = "answer" }}'
    return CONCEPT_TEXT.format(outcome=f'outcome = "ordinal"\n{scale}')
