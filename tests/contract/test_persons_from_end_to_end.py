"""From respondents and residents to figures per area and domain: cells, answers, model, estimates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.errors import ModelError
from buurtsae.survey.design_columns import DesignInfo

AGES, N = ("18-44", "45-64", "65+"), 24


@pytest.fixture(scope="module")
def made() -> tuple[bs.Cells, pd.DataFrame, np.ndarray]:
    """Cells of 24 areas, 1,200 respondents of whom the old answer three times as often, and the true shares."""
    rng = np.random.default_rng(7)
    codes = [f"a{k:02}" for k in range(N)]
    table = pd.DataFrame({"code": np.repeat(codes, 3), "leeftijd": AGES * N, "aantal": rng.integers(40, 400, 3 * N)})
    residents = table.groupby("code")["aantal"].sum()
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": residents.to_numpy()}), code="code")
    cells = bs.Cells.from_frame(table, areas, area="code")
    effect = np.array([-1.0, 0.0, 1.0])[cells.level[:, 0]] + rng.normal(0, 0.4, N)[cells.area]
    share = 1 / (1 + np.exp(0.8 - effect))
    asked = cells.count * np.array([1.0, 1.0, 3.0])[cells.level[:, 0]]
    row = rng.choice(len(asked), 1200, p=asked / asked.sum())
    persons = pd.DataFrame({"code": areas.codes[cells.area[row]], "leeftijd": np.array(AGES)[cells.level[row, 0]]})
    persons["eenzaam"] = 100.0 * (rng.uniform(size=len(row)) < share[row])
    persons["cijfer"] = 6 + effect[row] + rng.normal(0, 1, len(row))
    persons["oordeel"] = np.clip(np.round(effect[row] + rng.logistic(size=len(row)) + 2), 1, 3)
    truth = np.bincount(cells.area, cells.count * share) / np.bincount(cells.area, cells.count)
    return cells, persons, truth


def figure(made: tuple[bs.Cells, pd.DataFrame, np.ndarray], measure: str, outcome: str, model: object) -> bs.UnitFit:
    cells, persons, _ = made
    answers = bs.Answers.of(persons, measure, cells, outcome=outcome, area="code")  # type: ignore[arg-type]
    unit = bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Ordered("leeftijd")], outcome=model)
    return bs.fit_persons(unit, answers, cells, progress=False, draws=1000, hyperparameters=100)


def test_selective_response_is_put_right(made: tuple[bs.Cells, pd.DataFrame, np.ndarray]) -> None:
    cells, persons, truth = made
    fit = figure(made, "eenzaam", "share", bs.Binomial())
    est = bs.estimate(fit.fit_of())
    land = est.select("eenzaam", "all").iloc[0]
    true = float(np.average(truth, weights=cells.residents()))
    raw = persons["eenzaam"].mean() / 100
    assert raw - true > 0.06  # the old are many among the respondents, and more of them say yes
    assert land["lower"] < true < land["upper"]
    of_areas = est.select("eenzaam")
    inside = (of_areas["lower"].to_numpy() < truth) & (truth < of_areas["upper"].to_numpy())
    assert inside.sum() >= 19  # of 24, 95%: 19 is the 0.1% quantile of the binomial
    old = bs.estimate(fit.fit_of({"leeftijd": ["65+"]})).select("eenzaam", "all").iloc[0]
    young = bs.estimate(fit.fit_of({"leeftijd": ["18-44"]})).select("eenzaam", "all").iloc[0]
    assert old["estimate"] > young["estimate"] + 0.2
    # parts make the whole, in every draw
    both = [fit.fit_of({"leeftijd": [age]}) for age in AGES]
    shares = np.array([part.draws.scores()[..., 0] for part in both])
    living = np.array([cells.residents({"leeftijd": [age]}) for age in AGES])
    whole = (shares * living[:, None]).sum(axis=0) / living.sum(axis=0)
    np.testing.assert_allclose(whole, fit.fit_of().draws.scores()[..., 0], atol=1e-5)  # 32 bits


def test_numbers_and_ordered_answers(made: tuple[bs.Cells, pd.DataFrame, np.ndarray]) -> None:
    cells, persons, _ = made
    mark = figure(made, "cijfer", "score", bs.Gaussian((0, 10)))
    weights = persons.groupby("leeftijd")["cijfer"].mean().reindex(AGES)
    residents = pd.Series([cells.residents({"leeftijd": [age]}).sum() for age in AGES], AGES)
    post = float((weights * residents).sum() / residents.sum())
    land = bs.estimate(mark.fit_of()).select("cijfer", "all").iloc[0]
    assert land["estimate"] == pytest.approx(post, abs=3 * 0.05)  # 1,200 answers of sd 1.2, unequally often
    ordered = figure(made, "oordeel", "ordinal", bs.Ladder(("slecht", "matig", "goed")))
    shares = [ordered.fit_of(figure=f"share {name}").draws.scores()[..., 0] for name in ("slecht", "matig", "goed")]
    np.testing.assert_allclose(np.sum(shares, axis=0), 1, atol=1e-5)


def test_respondents_of_one_household_tell_less(made: tuple[bs.Cells, pd.DataFrame, np.ndarray]) -> None:
    """300 households of four, whose numbers differ by sd 1 beside 0.5 within: a design effect of 1 + 3 x 0.8 = 3.4.

    Without the term the mean of all is said to be known 1 / sqrt(3.4) times as well; half of that is asked for.
    """
    cells, persons, _ = made
    rng = np.random.default_rng(3)
    house = persons.sort_values("code", kind="stable").assign(huishouden=np.repeat(np.arange(300), 4))
    age = house["leeftijd"].map(dict(zip(AGES, (-1.0, 0.0, 1.0), strict=True))).to_numpy()
    house["cijfer"] = 6 + age + np.repeat(rng.normal(0, 1, 300), 4) + rng.normal(0, 0.5, 1200)
    answers = bs.Answers.of(house, "cijfer", cells, outcome="score", area="code", clusters=("huishouden",))
    assert len(answers.characteristics["huishouden"]) == 300
    fits = [
        bs.fit_persons(
            bs.UnitModel(terms=[bs.IID("area")], persons=terms, outcome=bs.Gaussian((0, 10))),
            answers, cells, progress=False, draws=1000, hyperparameters=100,
        )
        for terms in ([bs.Ordered("leeftijd"), bs.Cluster("huishouden")], [bs.Ordered("leeftijd")])
    ]  # fmt: skip
    said = [[note for note in fit.notes if "clusters" in note] for fit in fits]
    assert said[0] == []
    assert said[1] == [
        "respondents come in 300 clusters of huishouden, 4.0 in each, of which the model has no effect: "
        "intervals are too narrow where they answer alike; add a term Cluster"
    ]
    sd = fits[0].raw.hyper["huishouden.sigma"][1]
    assert np.mean(sd) == pytest.approx(1.0, abs=4 / np.sqrt(2 * 300))
    of_all = [bs.estimate(fit.fit_of()).select("cijfer", "all").iloc[0] for fit in fits]
    width, without = (row["upper"] - row["lower"] for row in of_all)
    assert without < width * (1 + 1 / np.sqrt(3.4)) / 2
    residents = pd.Series([cells.residents({"leeftijd": [name]}).sum() for name in AGES], AGES)
    post = float((house.groupby("leeftijd")["cijfer"].mean().reindex(AGES) * residents).sum() / residents.sum())
    for row in of_all:
        assert row["estimate"] == pytest.approx(post, abs=3 * 0.06)  # 300 households of sd 1


def test_clusters_of_one_are_persons(made: tuple[bs.Cells, pd.DataFrame, np.ndarray]) -> None:
    cells, persons, _ = made
    alone = persons.assign(huishouden=np.arange(len(persons)).astype(str))
    answers = bs.Answers.of(alone, "eenzaam", cells, area="code", clusters=["huishouden"])
    unit = bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Ordered("leeftijd")])
    assert not bs.fit_persons(unit, answers, cells, progress=False, draws=100, hyperparameters=50).notes


def test_clusters_of_the_design_that_are_not_named_are_noted(
    made: tuple[bs.Cells, pd.DataFrame, np.ndarray],
) -> None:
    cells, persons, _ = made
    frame = persons.assign(cluster=np.arange(len(persons)) // 3, stratum="all", weight=1.0)
    design = DesignInfo(clusters=("cluster",))
    scores = bs.Scores(frame, "made", 2024, ("eenzaam",), survey_design=design)
    said = bs.Answers.of(scores, "eenzaam", cells, area="code").notes
    assert len(said) == 1
    assert said[0].startswith("the design has 400 clusters, 3.0 respondents in each, that `clusters` does not name")
    assert not bs.Answers.of(scores, "eenzaam", cells, area="code", clusters=["cluster"]).notes
    one_each = replace(scores, frame=frame.assign(cluster=np.arange(len(frame))))
    assert not bs.Answers.of(one_each, "eenzaam", cells, area="code").notes
    assert not bs.Answers.of(replace(scores, survey_design=None), "eenzaam", cells, area="code").notes


def test_how_much_of_the_variance_is_of_uncertain_cells(made: tuple[bs.Cells, pd.DataFrame, np.ndarray]) -> None:
    """By hand: a figure is linear in the shares of the ages, so that tables move its mean by these alone."""
    cells, persons, _ = made
    rng = np.random.default_rng(5)
    tables = [replace(cells, count=cells.count * rng.gamma(9, 1 / 9, len(cells.count))) for _ in range(5)]
    answers = bs.Answers.of(persons, "eenzaam", cells, area="code")
    unit = bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Ordered("leeftijd")])
    fit = bs.fit_persons(unit, answers, tables, progress=False, draws=1000, hyperparameters=100)
    share = fit.of_tables()
    ages = np.array([fit.fit_of({"leeftijd": [age]}).draws.scores()[..., 0].mean(axis=0) for age in AGES])
    living = np.array([[table.residents({"leeftijd": [age]}) for age in AGES] for table in tables])
    means = (living * ages).sum(axis=1) / living.sum(axis=1)
    total = fit.fit_of().draws.scores()[..., 0].var(axis=0)
    np.testing.assert_allclose(share, means.var(axis=0, ddof=1) / total, rtol=1e-3)  # 32 bits
    assert share.index.equals(cells.areas.codes)
    assert 0.02 < share.max() < 1
    one_age = fit.of_tables({"leeftijd": ["65+"]})
    assert one_age.max() < 1e-6  # of one age alone, residents do not weigh
    with pytest.raises(ModelError, match="nothing is known of uncertain cells"):
        replace(fit, populations=fit.populations[:1]).of_tables()
