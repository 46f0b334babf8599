r"""Extra respondents to a model of persons: exact where answers are normal, and against fits that have them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from made_persons import Made, made
from scipy.special import expit

import buurtsae as bs
from buurtsae.engines.base import Fit
from buurtsae.engines.poststratify import PersonDraws, Residents, poststratified
from buurtsae.engines.unit import UnitFit
from buurtsae.errors import ModelError, ProblemsError
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.measured import measured
from buurtsae.estimates.planning.of_persons import OfPersons, information, of_persons
from buurtsae.estimates.planning.plan import plan
from buurtsae.estimates.planning.preposterior import Preposterior
from buurtsae.estimates.summary import estimate
from buurtsae.model.persons.answer import Ladder, Number, YesNo
from buurtsae.model.priors import LogNormal
from buurtsae.sparse import Floats, Ints

OUTCOMES = {"share": bs.Binomial(), "ordinal": bs.Ladder(), "score": bs.Gaussian((-5, 5))}


@cache
def world() -> Made:
    return made()


@cache
def answers(kind: str) -> bs.Answers:
    return {"share": made().yes, "ordinal": made().ordered, "score": made().numbers}[kind]


def fitted(kind: str, asked: bs.Answers, estimand: str = "expected", **options: Any) -> UnitFit:
    persons = [bs.Ordered("leeftijd"), bs.Fixed("geslacht"), bs.Factor("herkomst")]
    spread = {"sd": LogNormal(np.log(0.6), 0.1)} if kind == "ordinal" else {}  # answers tell little of it: see below
    model = bs.UnitModel("1 + x", [bs.IID("area", **spread)], persons, OUTCOMES[kind], estimand=estimand)  # type: ignore[arg-type]
    given = {"draws": 2000, "hyperparameters": 200, "progress": False} | options
    return bs.fit_persons(model, asked, world().residents, **given)


@cache
def unit(kind: str, estimand: str = "expected") -> UnitFit:
    return fitted(kind, answers(kind), estimand, draws=4000)


def learning(of: UnitFit, deff: float = 1.0) -> OfPersons:
    (found,) = of_persons(of.fit_of(), np.eye(1), 0, deff)
    return found


def preposterior(f: Fit) -> Preposterior:
    concept = measured(f)
    return Preposterior.of(f, concept, concept.matrix_of(f.draws.subdimensions), 0, Rules(), 1.0, 1.0)


def every(m: Ints) -> Floats:
    """Respondents per cell of the residents where m of each area are spread as these are."""
    r = world().residents
    return np.asarray(m[r.area] * r.count / np.bincount(r.area, r.count)[r.area])


def test_numbers_are_exact_with_the_respondents_as_data() -> None:
    """Of a normal outcome no answer changes a variance: the same mode, with more answers of any value."""
    found, m = learning(unit("score")), np.where(np.arange(25) % 3 == 0, 20, 0)
    r, marginal = world().residents, found.found.marginal
    data, (psi,) = marginal.data, unit("score").at_mode.found.hyper.psi
    table = Residents.of(r, unit("score").stacked, None)
    more = every(m)[table.cell]
    order = np.argsort(np.concatenate([data.area, table.area]), kind="stable")
    area, index, size, y = (
        np.ascontiguousarray(np.concatenate(pair)[order])
        for pair in ((data.area, table.area), (data.index, table.index), (data.size, more),
                     (data.y, np.stack([0 * more, more * 7.0], axis=1)))
    )  # fmt: skip
    marginal = replace(marginal, data=replace(data, area=area, index=index, size=size, y=y), reference=None)
    of_area, mixed, own = marginal.solve(unit("score").at_mode.xi).covariances
    covariance = found.covariance(m)
    # 1 / s^2 is averaged over draws here, and that of the mode there: s is known to 2%
    scale = float(np.mean(unit("score").draws.psi ** -2)) * psi**2
    assert scale == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(covariance[:, 0, 0], of_area, rtol=0.02)
    np.testing.assert_allclose(covariance[:, 0, 1:], mixed[:, found.levels], rtol=0.02, atol=1e-4)
    np.testing.assert_allclose(covariance[0, 1:, 1:], own[np.ix_(found.levels, found.levels)], rtol=0.02, atol=1e-4)
    before = found.covariance(0 * m)[:, 0, 0]
    assert (of_area[m > 0] < 0.8 * before[m > 0]).all()


def test_one_area_with_more_is_the_formula() -> None:
    for kind in OUTCOMES:
        found, m = learning(unit(kind)), np.zeros(25, dtype=np.int64)
        now = found.covariance(m)
        m[7] = 15
        gain = np.eye(now.shape[1]) + now[7] @ found.information(m)[7]
        np.testing.assert_allclose(found.covariance(m)[7], np.linalg.solve(gain, now[7]), rtol=1e-6, atol=1e-9)


def test_information_is_that_of_fisher() -> None:
    """The sum over answers of P (d log P / d eta)^2, by differences."""
    eta, step = np.linspace(-3, 3, 7), 1e-5
    cuts = np.array([0.0, 1.2, 2.0])

    def of_ladder(at: Floats) -> Floats:
        return np.asarray(-np.diff(expit(at[:, None] - cuts), axis=1, prepend=1.0, append=0.0))

    slope = (of_ladder(eta + step) - of_ladder(eta - step)) / (2 * step)
    fisher = (slope**2 / of_ladder(eta)).sum(axis=1)
    np.testing.assert_allclose(information(Ladder(), 0.0, eta, np.diff(cuts)), fisher, rtol=1e-6)
    p = expit(eta)
    np.testing.assert_allclose(information(YesNo(bs.Binomial()), 0.0, eta, np.zeros(0)), p * (1 - p), rtol=1e-9)
    number = Number(bs.Gaussian((0, 10)))
    np.testing.assert_allclose(information(number, 0.0, eta, np.array([2.0])), 0.25)
    # through a cluster of its own the variance of a number is s^2 + v
    np.testing.assert_allclose(information(number, 3.0, eta, np.array([2.0])), 1 / (4 + 3))


@pytest.mark.parametrize("kind", OUTCOMES)
def test_loads_are_derivatives_of_figures(kind: str) -> None:
    of = unit(kind)
    found, table, figure = (
        learning(of),
        Residents.of(world().residents, of.stacked, None),
        of.fit_of().persons[0].figure,
    )
    some = np.linspace(0, 3999, 200).round().astype(int)
    at, step = PersonDraws(of.draws.e[some], of.draws.f[some], of.draws.cluster[some], of.draws.psi[some]), 0.05

    def mean(e: float, levels: Floats) -> Floats:
        there = replace(at, e=at.e + np.float32(e), f=at.f + levels)
        return poststratified(there, [table], figure, of.model.answers, 1).mean(axis=0)

    none = np.zeros(of.draws.f.shape[1])
    for column, (e, moved) in enumerate(
        [(step, none), *((0.0, step * unit_) for unit_ in np.eye(len(none))[found.levels])]
    ):
        slope = (mean(e, moved) - mean(-e, -moved)) / (2 * step)
        np.testing.assert_allclose(found.loads[:, 0, column], slope, atol=2e-4)  # 32 bits, and steps of 0.05


def again(of: UnitFit, kind: str, m: Ints, k: int) -> Floats:
    """Posterior variances after m more residents who were not asked answered as draw k says."""
    rng, r, draws = np.random.default_rng(k), world().residents, of.draws
    table, eta, extra = Residents.of(r, of.stacked, None), np.zeros(len(r.area)), np.zeros(len(r.area), dtype=int)
    eta[table.cell] = draws.e[k][table.area] + draws.f[k][table.index].sum(axis=1)
    free = np.maximum(r.count - world().asked, 0).astype(int)
    for a in np.flatnonzero(m):
        at = np.flatnonzero(r.area == a)
        extra[at] = rng.multivariate_hypergeometric(free[at], m[a])
    first = answers(kind).y
    y = np.zeros((len(extra), *first.shape[1:]))
    y[world().asked > 0] = first
    if kind == "share":
        y += rng.binomial(extra, expit(eta))
    else:
        cuts = np.concatenate([[0.0], np.cumsum(draws.psi[k])])
        p = -np.diff(expit(eta[:, None] - cuts), axis=1, prepend=1.0, append=0.0)
        y += rng.multinomial(extra, np.maximum(p, 0.0))
    asked = replace(world(), asked=world().asked + extra).respondents(y, kind)
    return fitted(kind, asked, of.model.estimand, seed=k + 2).fit_of().draws.scores()[..., 0].var(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "estimand"), [("share", "expected"), ("share", "realised"), ("ordinal", "expected")])
def test_reliability_is_that_of_fits_with_the_respondents(kind: str, estimand: str) -> None:
    of, m = unit(kind, estimand), np.where(np.arange(25) % 2 == 0, 25, 0)
    p = preposterior(of.fit_of())
    state = p.state(m)
    expected, now = (p.reliability(s.covariance, s.m)[:, 0] for s in (state, p.now))
    found = 1 - np.mean([again(of, kind, m, k) for k in (0, 1300, 2600)], axis=0) / p.between
    extra = m > 0
    # A plan holds hyperparameters. Of ordered answers of these few areas the spread between them is hardly known: fits
    # with more respondents learn it, and expect reliabilities of 0.60 to 0.87; with it known these differ by 0.01.
    # The Monte Carlo error of a variance of 2,000 draws is 3%, of a third of that between areas at most: 0.01 each
    assert abs(expected - found)[extra].mean() < 0.03
    assert abs((expected - found).mean()) < 0.03
    assert (expected - now)[extra].mean() > 0.15  # a plan that expects nothing would not pass
    assert (expected - now)[~extra].mean() > 0.003  # others share levels


def test_nothing_is_left_to_chance_where_all_are_asked() -> None:
    p = preposterior(unit("share", "realised").fit_of())
    r = world().residents
    left = np.bincount(r.area, np.maximum(r.count - world().asked, 0)).astype(np.int64)
    of_predictors, by_chance = p._variance(p.now.covariance, 0 * left)
    assert (by_chance > 0).all()
    half = p._variance(p.now.covariance, left // 2)
    np.testing.assert_allclose(half[1], by_chance * (1 - (left // 2) / left)[:, None])
    np.testing.assert_allclose(half[0], of_predictors * (1 - (left // 2) / left)[:, None] ** 2)
    assert not np.any(p._variance(p.now.covariance, left))


@pytest.mark.slow
def test_a_plan_of_several_measures() -> None:
    models = {"yes": unit("share").model, "walk": unit("ordinal").model}
    asked = {"yes": answers("share"), "walk": answers("ordinal")}
    figures = {"yes": ("yes", None), "walk": ("walk", None), "high": ("walk", "above 2")}
    fits = bs.fit_units(
        models, asked, world().residents, figures=figures, draws=1000, hyperparameters=60, progress=False
    )
    f = fits.fit_of()
    rules = Rules(min_reliability=0.5, max_half_width=14)
    table = estimate(f, rules=rules).table
    rows = table[table["level"] == f.areas.base]
    now = plan(f, budget=1, rules=rules).table.set_index("area_code")
    worst = rows.groupby("area_code")["label"].agg(lambda labels: max(labels, key="betrouwbaar indicatief".find))
    assert now["label"].tolist() == worst.loc[now.index].tolist()
    np.testing.assert_allclose(now["reliability"], rows.groupby("area_code")["reliability"].min().loc[now.index])
    found = plan(f, budget=400, rules=rules, target=1.0, max_per_area=0.3)
    assert 0 < found.extra <= 400
    assert found.share_expected > found.share
    assert (found.table["extra"] + found.table["n_respondents"] <= 0.3 * found.table["population"]).all()
    assert "van elk kenmerk zoals de bewoners van zijn buurt" in found.text
    # one measure needs no more than all
    assert plan(f, budget=2000, rules=rules, target=0.9, measure="yes", max_per_area=0.5).extra <= (
        plan(f, budget=2000, rules=rules, target=0.9, max_per_area=0.5).extra
    )


def test_figures_of_some_residents_are_refused_with_all_else() -> None:
    with pytest.raises(ProblemsError) as caught:
        plan(unit("share").fit_of({"geslacht": ["ge0"]}), budget=-1, measure="geluk")
    said = str(caught.value)
    for part in ("a plan is of all residents", "the budget is impossible", "geluk"):
        assert part in said
    assert len(caught.value.problems) == 3


def test_a_plan_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buurtsae.estimates.planning.of_persons.LARGEST", 25 * 10**2 - 1)  # 4 + 2 + 3 levels
    with pytest.raises(ModelError, match="too much memory\n  got 25 areas x 10 predictors"):
        plan(unit("share").fit_of(), budget=10)
