"""Groups of residents compared within an area: differences of joint draws, and what is hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.groups import Groups
from buurtsae.simulate.persons import Persons, PersonTruth, make_persons

AGES, N = ("18-44", "45-64", "65+"), 24
OLD = {"leeftijd": ["65+"]}


def world(few: int | None = None) -> Persons:
    """Areas in six gemeenten, of whom the old say yes more often; in area 5 live `few` old people."""
    rng = np.random.default_rng(7)
    codes = [f"a{k:02}" for k in range(N)]
    count = rng.integers(60, 400, (N, 3))
    if few is not None:
        count[5, 2] = few
    table = pd.DataFrame({"code": np.repeat(codes, 3), "leeftijd": AGES * N, "aantal": count.ravel()})
    where = pd.DataFrame({"code": codes, "in": [f"G{k // 4}" for k in range(N)], "population": count.sum(axis=1)})
    areas = bs.Areas.from_frame(where, code="code", levels={"gemeente": "in"})
    truth = PersonTruth(effects={"leeftijd": (-0.6, 0.0, 0.6)}, by_area_sd=0.2)
    return make_persons(bs.Cells.from_frame(table, areas, area="code"), truth, seed=2)


def fitted(made: Persons, measure: str = "antwoord") -> bs.UnitFit:
    sample = made.sample(0.1, np.random.default_rng(1))
    answers = bs.Answers.of(sample, measure, made.cells)
    by_area = bs.Factor(("leeftijd",))
    model = bs.UnitModel(terms=[bs.IID("area")], persons=[by_area])
    return bs.fit_persons(model, answers, made.cells, progress=False, draws=1000, hyperparameters=100)


@pytest.fixture(scope="module")
def made() -> Persons:
    return world()


@pytest.fixture(scope="module")
def fit(made: Persons) -> bs.UnitFit:
    return fitted(made)


def test_differences_are_of_the_same_draws(fit: bs.UnitFit) -> None:
    table = bs.between(fit, OLD, {"leeftijd": ["18-44"]}).set_index(["level", "area_code"])
    one, two = (fit.fit_of({"leeftijd": [age]}) for age in ("65+", "18-44"))
    apart = one.draws.scores()[..., 0] - two.draws.scores()[..., 0]
    base = table.loc["area"]
    assert not table["hidden"].any()
    np.testing.assert_allclose(base["estimate"], apart.mean(axis=0))
    np.testing.assert_allclose(base["sd"], apart.std(axis=0, ddof=1))
    np.testing.assert_allclose(base[["lower", "upper"]].T, np.quantile(apart, [0.025, 0.975], axis=0))
    np.testing.assert_allclose(base["p_above"], (apart > 0).mean(axis=0))
    # of a gemeente each group is the mean over its own residents first
    first = slice(0, 4)
    means = [(part.draws.scores()[:, first, 0] @ n[first]) / n[first].sum()
             for part in (one, two) for n in [part.areas.frame["population"].to_numpy()]]  # fmt: skip
    np.testing.assert_allclose(table.loc[("gemeente", "G0"), "estimate"], (means[0] - means[1]).mean())
    alone = one.draws.scores()[..., 0].std(axis=0) ** 2 + two.draws.scores()[..., 0].std(axis=0) ** 2
    assert (base["sd"] ** 2 < alone).all()  # the area's own effect cancels
    turned = bs.between(fit, {"leeftijd": ["18-44"]}, OLD).set_index(["level", "area_code"])
    np.testing.assert_allclose(turned["estimate"], -table["estimate"])
    np.testing.assert_allclose(turned["p_above"], 1 - table["p_above"])
    assert turned["n_first"].equals(table["n_second"].rename("n_first"))


def test_truth_is_inside(made: Persons, fit: bs.UnitFit) -> None:
    table = bs.between(fit, OLD).query("level == 'area'").set_index("area_code")
    groups = [made.figures(domain={"leeftijd": ages})["expected"] / 100 for ages in (["65+"], ["18-44", "45-64"])]
    true = groups[0] - groups[1]
    # the model has no effect of age per area, of sd 0.2 on the logit in each group: some 0.06 beside an sd of 0.03
    z = (true - table["estimate"]) / np.hypot(table["sd"], 0.06)
    assert abs(z).max() < 3.3  # 24 areas
    land = bs.between(fit, OLD).query("level == 'all'").iloc[0]
    assert land["p_above"] > 0.99


def test_all_others_are_the_other_levels(fit: bs.UnitFit) -> None:
    others = bs.between(fit, OLD)
    pd.testing.assert_frame_equal(others, bs.between(fit, OLD, {"leeftijd": ["18-44", "45-64"]}))
    sample = fit.answers.frame
    known = sample[sample["leeftijd"] == "65+"].groupby("area_code")["n_respondents"].sum()
    n = others[others["level"] == "area"].set_index("area_code")["n_first"]
    np.testing.assert_array_equal(n, known.reindex(n.index).fillna(0))


@pytest.mark.parametrize("second", [None, {"leeftijd": ["18-44"]}], ids=["all others", "some others"])
def test_a_hidden_group_is_not_compared(second: dict[str, list[str]] | None) -> None:
    """Four old people live in area a05: its difference, and one that would give it away, are hidden."""
    fit = fitted(world(few=4))
    table = bs.between(fit, OLD, second).set_index(["level", "area_code"])
    hidden = table.index[table["hidden"]].tolist()
    assert ("area", "a05") in hidden
    assert len(hidden) > 1  # alone it would follow from the figures of the gemeente and of its other areas
    assert table.loc[hidden, ["estimate", "sd", "lower", "upper", "p_above"]].isna().all(axis=None)
    assert table.loc[~table["hidden"], ["estimate", "sd", "lower", "upper", "p_above"]].notna().all(axis=None)
    assert table.loc[("area", "a05"), "n_second"] > 0  # numbers of respondents are shown
    told = bs.between(fit, OLD, second, rules=bs.Rules(min_residents=0, protection=0.0))
    assert not told["hidden"].any()


def test_what_is_hidden_of_other_groups_counts(fit: bs.UnitFit) -> None:
    """Areas that tables of all groups hide are not compared, although both groups have residents enough."""
    figures = {"all": fit.fit_of(), **{age: fit.fit_of({"leeftijd": [age]}) for age in AGES}}
    rules = bs.Rules(min_residents=70)
    tables = {name: bs.estimate(figure, rules=rules).table for name, figure in figures.items()}
    scale = bs.estimate(figures["all"]).concept.span
    found = bs.across(tables, fit.areas, "all", scale, rules, of={name: f.areas for name, f in figures.items()})
    closed = {named.rpartition(" / ")[0] for level, named in found.hidden.keys if level == "area"}
    assert closed  # some group of some area has fewer than 70
    table = bs.between(fit, OLD, rules=bs.Rules(min_residents=0, protection=0.0), beside=found)
    assert set(table.loc[table["hidden"] & (table["level"] == "area"), "area_code"]) == closed
    of_run = Groups(bs.estimate(figures["all"]), pd.concat([found.tables[age] for age in AGES]))
    told = bs.between(fit, OLD, rules=bs.Rules(min_residents=0, protection=0.0), beside=of_run)
    assert set(told.loc[told["hidden"] & (told["level"] == "area"), "area_code"]) == closed


def test_uncertain_cells(made: Persons, fit: bs.UnitFit) -> None:
    tables = made.cells.tables(np.random.default_rng(3), 4)
    both = replace(fit, populations=tables)
    table = bs.between(both, OLD).query("level == 'area'")
    one, two = (both.fit_of(domain).draws.scores()[..., 0] for domain in (OLD, {"leeftijd": ["18-44", "45-64"]}))
    np.testing.assert_allclose(table["estimate"], (one - two).mean(axis=0))


def test_what_cannot_be(fit: bs.UnitFit) -> None:
    with pytest.raises(BuurtsaeError, match="the groups overlap"):
        bs.between(fit, OLD, {"leeftijd": ["65+", "45-64"]})
    with pytest.raises(BuurtsaeError, match="there are no others"):
        bs.between(fit, {"leeftijd": list(AGES)})
    with pytest.raises(BuurtsaeError, match="all others are those of one characteristic"):
        bs.between(fit, {})
    with pytest.raises(BuurtsaeError, match="no such level of leeftijd"):
        bs.between(fit, {"leeftijd": ["80+"]})
    with pytest.raises(BuurtsaeError, match="no such characteristic"):
        bs.between(fit, OLD, {"inkomen": ["laag"]})
    with pytest.raises(BuurtsaeError, match="groups are not known of this fit"):
        bs.between(fit.fit_of(), OLD)  # type: ignore[arg-type]
