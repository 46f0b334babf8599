"""Populations of persons: truth that adds up, samples that are selective, weights that meet margins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from made_fit import make_areas

from buurtsae.errors import BuurtsaeError
from buurtsae.simulate.departure import Departure
from buurtsae.simulate.persons import PersonTruth, make_persons
from buurtsae.survey.cells import Cells

CELLS = made_cells(12, 2000)
NONE = {"person_sd": 0.0, "pair_sd": 0.0, "area_sd": 0.0, "by_area_sd": 0.0, "response_sd": 0.0}


def test_figures_are_of_the_population_and_add_up() -> None:
    made = make_persons(CELLS, seed=2)
    buurten, gemeenten, land = (made.figures(level) for level in (None, "gemeente", "all"))
    assert buurten["residents"].sum() == made.answers.sum() == made.cells.count.sum()
    np.testing.assert_allclose(
        (buurten["truth"] * buurten["residents"]).sum(), (land["truth"] * land["residents"]).sum()
    )
    parts = [made.figures("gemeente", {"leeftijd": [level]}) for level in CELLS.characteristics["leeftijd"]]
    yes = sum(part["truth"] * part["residents"] for part in parts)
    np.testing.assert_allclose(yes / gemeenten["residents"], gemeenten["truth"])
    error = (buurten["truth"] - buurten["expected"]) / np.sqrt(2500 / buurten["residents"])
    assert abs(error).max() < 4  # 12 binomial shares, of variance 0.25 / N at most
    assert make_persons(CELLS, seed=2).answers.tolist() == made.answers.tolist()


def test_effects_make_the_difference_that_they_say() -> None:
    """Without other effects: shares are known, those of 13,000 residents to 0.4 points."""
    truth = PersonTruth(cuts=(1.0,), effects={"leeftijd": (0.0, 0.5, 1.0)}, **NONE)
    made = make_persons(CELLS, truth)
    for level, effect in zip(CELLS.characteristics["leeftijd"], (0.0, 0.5, 1.0), strict=True):
        share = made.figures("all", {"leeftijd": [level]})["truth"].iloc[0]
        assert share == pytest.approx(100 / (1 + np.exp(1 - effect)), abs=2.5)


def test_effects_of_areas_are_no_normal_ones() -> None:
    """Student-t with 3 degrees of freedom, and (N / 1000)^-1 as large: 300 populations of 26 areas of 100 to 350."""
    truth = PersonTruth(**NONE | {"area_sd": 0.02}, departure=Departure(tails=3.0, size=1.0))
    cells = made_cells(26, 100)
    chance = np.array([make_persons(cells, truth, seed).chance[::12] for seed in range(300)])
    eta = np.log(chance[..., 1] / chance[..., 0]) + 1.0
    z = eta / 0.02 * cells.areas.population / 1000
    assert np.median(abs(z)) == pytest.approx(0.765 / np.sqrt(3), abs=0.03)  # median of |t_3| is 0.765, its variance 3
    assert np.mean(z**4) / np.mean(z**2) ** 2 > 5  # kurtosis: 3 if normal


def test_ordered_answers() -> None:
    made = make_persons(CELLS, PersonTruth(cuts=(-1.0, 0.0, 1.0), **NONE))
    np.testing.assert_allclose(made.chance.sum(axis=1), 1)
    share = made.answers.sum(axis=0) / made.answers.sum()
    expected = np.diff([0, *(1 / (1 + np.exp([1.0, 0.0, -1.0]))), 1])
    np.testing.assert_allclose(share, expected, atol=0.015)
    figures = made.figures("all", above=1)
    assert figures["truth"].iloc[0] == pytest.approx(100 * share[2:].sum())
    assert figures["mean"].iloc[0] == pytest.approx(share @ [1, 2, 3, 4])
    assert set(made.sample(0.1, np.random.default_rng(1))["antwoord"]) == {1.0, 2.0, 3.0, 4.0}


def test_samples_are_selective_and_weights_meet_the_margins() -> None:
    truth = PersonTruth(
        response={"leeftijd": (-1.0, 0.0, 0.5)}, response_sd=0.0, effects={"leeftijd": (1.0, 0.0, -1.0)}
    )
    made = make_persons(CELLS, truth)
    sample = made.sample(0.2, np.random.default_rng(1), "gemeente")
    assert len(sample) == pytest.approx(0.2 * made.cells.count.sum(), rel=0.05)
    share = sample["leeftijd"].value_counts(normalize=True)
    per_age = [made.cells.residents({"leeftijd": [level]}).sum() for level in ("18-44", "45-64", "65+")]
    inclined = per_age * np.exp([-1.0, 0.0, 0.5])
    np.testing.assert_allclose(share[["18-44", "45-64", "65+"]], inclined / inclined.sum(), atol=0.03)
    for name in ("leeftijd", "woning"):
        weighted = sample.groupby(name)["weight"].sum()
        known = [made.cells.residents({name: [level]}).sum() for level in weighted.index]
        np.testing.assert_allclose(weighted, known)
    gemeente = made.cells.areas.parents("gemeente")[sample["area_code"]].to_numpy()
    residents = pd.Series(made.cells.residents(), made.cells.areas.codes)
    known = residents.groupby(made.cells.areas.parents("gemeente").to_numpy()).sum()
    np.testing.assert_allclose(sample["weight"].groupby(gemeente).sum(), known)
    truth_ = made.figures("all")["truth"].iloc[0]
    assert sample["antwoord"].mean() < truth_ - 4  # the young say yes, and do not answer
    assert np.average(sample["antwoord"], weights=sample["weight"]) == pytest.approx(truth_, abs=3)


def test_answers_may_decide_who_responds() -> None:
    """Odds of a yes among respondents are e times those of the residents, at a rate where nobody is sure to answer."""
    made = make_persons(CELLS, PersonTruth(response_of_answer=1.0, **NONE))
    sample, truth = made.sample(0.3, np.random.default_rng(1)), made.figures("all")["truth"].iloc[0]
    p = sample["antwoord"].mean()
    assert np.log(p / (100 - p)) - np.log(truth / (100 - truth)) == pytest.approx(1.0, abs=0.1)


def test_real_geometry_has_a_smooth_surface() -> None:
    areas = make_areas()
    rows = pd.DataFrame({"buurtcode": np.repeat(areas.codes[1:], 2), "k": ["0", "1"] * 24, "aantal": 200.0})
    truth = PersonTruth(**NONE | {"area_sd": 1.0}, smooth=1.0, departure=Departure(over_water=True))
    made = make_persons(Cells.from_frame(rows, areas), truth)
    eta = -np.log(1 / made.chance[::2, 1] - 1)
    first = np.array(made.cells.areas.codes[made.cells.area[::2]])
    near = np.corrcoef(eta[:-1][first[1:] > first[:-1]], eta[1:])[0, 1]
    assert near > 0.3  # buurten one after the other are mostly neighbours


def test_what_cannot_be() -> None:
    with pytest.raises(BuurtsaeError, match="cuts do not ascend"):
        PersonTruth(cuts=(1.0, 0.0))
    with pytest.raises(BuurtsaeError, match="effects do not fit the cells"):
        make_persons(CELLS, PersonTruth(effects={"leeftijd": (0.0, 1.0)}))
    with pytest.raises(BuurtsaeError, match="no share"):
        make_persons(CELLS).sample(1.5, np.random.default_rng(1))
    with pytest.raises(BuurtsaeError, match="is impossible"):
        PersonTruth(person_sd=-1.0)
