"""Models of persons: the engine against dense algebra and the engine of counts, poststratification against numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_persons import Made, made, shuffled
from scipy import stats
from scipy.special import expit

import buurtsae as bs
from buurtsae.engines import person_loops as loops
from buurtsae.engines import persons
from buurtsae.engines.counts import Counting
from buurtsae.engines.persons import PersonMarginal
from buurtsae.engines.persons_fit import laid
from buurtsae.engines.poststratify import PersonDraws, Residents, chance, poststratified
from buurtsae.errors import BuurtsaeError, DataError, ModelError, ProblemsError
from buurtsae.estimates.disclosure.domains import across
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import design
from buurtsae.model.persons.answer import Figure, Ladder, Number, YesNo
from buurtsae.model.persons.effect import Stacked
from buurtsae.model.persons.tables import Coded
from buurtsae.notes import Note
from buurtsae.scale import PERCENT, Scale
from buurtsae.survey.counts import AreaCounts

QUICK: dict[str, Any] = {"draws": 400, "hyperparameters": 60, "progress": False}


@pytest.fixture(scope="module")
def world() -> Made:
    return made()


def everything(world: Made, outcome: object = bs.Binomial(), **keys: Any) -> bs.UnitModel:
    persons = [bs.Ordered("leeftijd"), bs.Fixed("geslacht"), bs.Factor("herkomst"),
               bs.Ordered("leeftijd", by="geslacht", order=2), bs.Factor(("geslacht", "herkomst"))]  # fmt: skip
    return bs.UnitModel("1 + x", terms=[bs.BYM2(world.graph)], persons=persons, outcome=outcome, **keys)


def marginal_of(model: bs.UnitModel, answers: Any, residents: bs.Cells) -> PersonMarginal:
    arrays, stacked, data, _, _ = laid(model, answers, [residents])
    return PersonMarginal.of(arrays, stacked, data)


def simple(outcome: object = bs.Binomial(), **keys: Any) -> bs.UnitModel:
    persons = [bs.Ordered("leeftijd"), bs.Fixed("geslacht"), bs.Factor("herkomst")]
    return bs.UnitModel("1 + x", terms=[bs.IID("area")], persons=persons, outcome=outcome, **keys)


@pytest.fixture(scope="module")
def fitted(world: Made) -> Any:
    return bs.fit_persons(everything(world), world.yes, world.residents, **QUICK)


def test_loops_are_sums_over_cells() -> None:
    rng = np.random.default_rng(1)
    area, n = np.sort(rng.integers(0, 6, 50)), 6
    index = np.stack([rng.integers(0, 3, 50), 3 + rng.integers(0, 4, 50)], axis=1).astype(np.int32)
    z = np.zeros((50, 7))
    z[np.arange(50)[:, None], index] = 1
    a = np.eye(n)[area]
    first, w = rng.standard_normal(50), rng.uniform(size=50)
    got = loops.accumulated(area, index, first, w, n, 7)
    for one, other in zip(got, (a.T @ first, a.T @ w, (a.T * w) @ z, z.T @ first, (z.T * w) @ z), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    root = rng.standard_normal((n + 7, n + 7))
    s = root @ root.T
    s[:n, :n] = np.diag(np.diag(s)[:n])  # areas see each other in no pair of cells that counts
    cells = np.hstack([a, z])
    full = cells @ s @ cells.T
    parts = np.diag(s)[:n].copy(), np.ascontiguousarray(s[:n, n:]), np.ascontiguousarray(s[n:, n:])
    np.testing.assert_allclose(loops.variances(area, index, *parts), np.diag(full), rtol=1e-12)
    pairs = np.outer(first, first) * full**3 * (a @ a.T)
    np.testing.assert_allclose(loops.cubes(area, index, first, *parts), pairs.sum(axis=1), rtol=1e-10)


def test_logistic_is_expit() -> None:
    x = np.linspace(-15, 15, 64, dtype=np.float32)
    out = np.empty(64, dtype=np.float32)
    loops.logistic(x, out)
    np.testing.assert_allclose(out, expit(x.astype(float)), atol=2e-7)  # two units in the last place of 32 bits


def test_numbers_are_exact_by_dense_algebra(world: Made) -> None:
    model = replace(simple(Number(bs.Gaussian())), intercept=bs.Normal(0, 3))
    m = marginal_of(model, world.numbers, world.residents)
    xi = np.array([0.2, -0.4, 0.3, -1.5])
    found, data, arrays = m.solve(xi), m.data, m.design
    persons, sigma = m.own(xi)[0][:2], m.own(xi)[0][2]
    tau = float(found.hyper.loadings.loose[0, 0, 0])
    n = data.areas
    a, z = np.eye(n)[data.area], np.zeros((len(data.area), data.levels))
    z[np.arange(len(z))[:, None], data.index] = 1
    x = arrays.x[data.area] * np.array([3.0, 1.0])
    root = np.hstack([x, tau * a, z @ m.stacked.loading(list(persons))])
    mean, within = data.y[:, 0] / data.size, (data.y[:, 1] - data.y[:, 0] ** 2 / data.size).sum()
    v = root @ root.T + np.diag(sigma**2 / data.size)
    extra = -0.5 * within / sigma**2 - 0.5 * (data.size.sum() - len(mean)) * np.log(2 * np.pi * sigma**2)
    extra += -0.5 * np.log(data.size).sum()  # means of n persons, then deviations from these
    expected = stats.multivariate_normal(np.zeros(len(v)), v).logpdf(mean) + extra
    assert found.log_likelihood == pytest.approx(expected, abs=1e-7)
    coefficients = root.T @ np.linalg.solve(v, mean)
    predicted = found.conditional.mean[:, 0][data.area] + z @ (found.hyper.r @ found.conditional.alpha)
    np.testing.assert_allclose(predicted, root @ coefficients, atol=1e-8)
    covariance = np.eye(root.shape[1]) - root.T @ np.linalg.solve(v, root)
    np.testing.assert_allclose(found.spread, np.diag(root @ covariance @ root.T), atol=1e-8)


def test_without_persons_it_is_the_engine_of_counts(world: Made) -> None:
    model, answers = bs.UnitModel("1 + x", terms=[bs.BYM2(world.graph)]), world.yes
    m, n = marginal_of(model, answers, world.residents), len(world.residents.areas.codes)
    table = pd.DataFrame({"code": world.residents.areas.codes})
    table["y"], table["n"] = (np.bincount(answers.area, part, n) for part in (answers.y, answers.size))
    counts = AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=world.residents.areas)
    other, xi = Counting.of(design(model.area, counts)), np.array([-0.5, 0.3, 0.2])
    one, two = m.solve(xi), other.solve(other.scores.hyper(xi))
    np.testing.assert_allclose(one.conditional.mean, two.conditional.mean, atol=1e-7)
    np.testing.assert_allclose(one.corrected.mean, two.corrected.mean, atol=1e-7)
    zero = np.zeros(3)
    three, four = m.solve(zero), other.solve(other.scores.hyper(zero))  # constants differ, of cells and of areas
    assert one.refined - three.refined == pytest.approx(two.refined - four.refined, abs=1e-7)


def test_a_prior_with_a_long_tail_is_no_harm(world: Made) -> None:
    """Half of the areas say yes only: the further the half-Cauchy sd, the less likely, and the mode is found."""
    answers = world.yes
    answers = replace(answers, y=np.where(answers.area % 2 == 0, answers.size, answers.y))
    model = replace(simple(), formula="1", terms=(bs.IID("area", sd=bs.HalfCauchy(1.0)),), intercept=bs.Normal(0, 100))
    m = marginal_of(model, answers, world.residents)
    near = np.zeros(m.size)
    values = [m.log_posterior(near)]
    for score, sigma in ((3.0, 470.0), (5.0, 2e6), (8.0, 1e15)):
        xi = near.copy()
        xi[0] = score
        found = m.solve(xi)
        assert float(found.hyper.loadings.loose.item()) == pytest.approx(sigma, rel=0.2)
        values.append(m.log_posterior(xi))
        e = found.conditional.mean[:, 0] - m.offset - found.conditional.border[0] * 100  # the effect of the area
        of_area = m.data.tables(found.conditional.mean[:, 0] - m.offset, found.hyper.r @ found.conditional.alpha,
                                found.hyper.psi, m.offset).of_area  # fmt: skip
        alike = (of_area > 0) & (np.arange(len(e)) % 2 == 0)  # sums of yes and no are rounding
        balance = e[alike] / found.hyper.loadings.loose.item() ** 2
        np.testing.assert_allclose(of_area[alike], balance, rtol=1e-4)
        assert alike.sum() > 10
    assert (np.diff(values) < -40).all()


@pytest.mark.parametrize("outcome", [bs.Binomial(), Ladder(), Number(bs.Gaussian())])
def test_the_gradient_is_that_of_the_value(world: Made, outcome: object) -> None:
    answers = {Ladder: "ordered", Number: "numbers"}.get(type(outcome), "yes")
    m = marginal_of(everything(world, outcome), getattr(world, answers), world.residents)
    xi = np.random.default_rng(1).normal(0, 0.3, m.size)
    gradient, step = m.with_gradient(xi)[1], 1e-4
    for k in range(m.size):
        up, down = (m.with_gradient(xi + sign * step * np.eye(m.size)[k])[0] for sign in (1, -1))
        # parameters of the outcome have a difference forward: its curvature times half a step of 1e-4
        psi = k >= m.size - sum(n for _, n, _ in m.parameters)
        assert gradient[k] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=0.02 if psi else 1e-4)


def test_the_mode_does_not_depend_on_where_newton_starts(world: Made) -> None:
    m = marginal_of(everything(world), world.yes, world.residents)
    xi = np.full(m.size, 0.4)
    near, far = m.solve(xi), replace(m, reference=None).solve(xi)
    np.testing.assert_allclose(near.conditional.mean, far.conditional.mean, atol=1e-6)
    assert near.log_likelihood == pytest.approx(far.log_likelihood, abs=1e-7)


def test_a_mode_that_is_nearly_found_is_an_error(world: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step counts as all others do: a point that still moves by some thousandths is none."""
    m = replace(marginal_of(simple(), world.yes, world.residents), reference=None)
    monkeypatch.setattr(persons, "STEPS", 3)
    with pytest.raises(ModelError, match="was not found") as error:
        m.solve(np.zeros(m.size))
    assert 1e-7 < float(error.value.got.split()[3]) < 0.01


def test_checks_of_sampled_draws_are_those_of_a_fit(fitted: Any) -> None:
    """Chains that lie apart have an R-hat above 1.01; areas of few effective draws are named."""
    apart = fitted.raw.eta + 5.0 * np.arange(4)[:, None, None, None]
    fit = replace(fitted, raw=replace(fitted.raw, eta=apart, certificate=None))
    found = fit.check()
    assert set(fitted.areas.codes) <= set(found["area_code"])
    assert list(found.columns) == list(replace(fit.fit_of(), draws=fit.raw).check().columns)
    assert fitted.check().empty


def test_of_many_areas_a_step_less_is_as_good(world: Made) -> None:
    m = marginal_of(everything(world), world.yes, world.residents)
    xi = m.start + 0.1
    whole, shorter = m.solve(xi), replace(m, tilt=m.solve(m.start).tilt).solve(xi)
    assert np.abs(whole.tables.e - shorter.tables.e).max() > 1e-5  # it did stop earlier
    assert shorter.log_likelihood == pytest.approx(whole.log_likelihood, abs=0.01)


def test_figures_are_means_over_residents(world: Made, fitted: Any) -> None:
    r = world.residents
    coded = Coded.of(r)
    eta = fitted.draws.e.astype(float)[:, r.area] + fitted.draws.f[:, fitted.stacked.index(coded)].sum(axis=2)
    for domain in (None, {"leeftijd": ["le3"]}, {"leeftijd": ["le0", "le1"], "geslacht": "ge1"}):
        kept = np.ones(len(r.area), dtype=bool)
        for name, labels in (domain or {}).items():
            k = list(r.characteristics).index(name)
            kept &= np.isin(np.array(r.characteristics[name])[r.level[:, k]], labels)
        n = len(r.areas.codes)
        weights = np.where(kept, r.count, 0.0)
        expected = np.stack([np.bincount(r.area, weights * expit(row), n) for row in eta]) / np.bincount(
            r.area, weights
        )
        fit = fitted.fit_of(domain)
        np.testing.assert_allclose(fit.draws.scores()[:, :, 0], expected, atol=1e-6)
        np.testing.assert_allclose(fit.areas.population, np.bincount(r.area, weights))


@pytest.mark.parametrize("estimand", ["expected", "realised"])
def test_parts_make_the_whole(world: Made, estimand: str) -> None:
    fit = bs.fit_persons(simple(estimand=estimand), world.yes, world.residents, **QUICK)
    for name in world.residents.characteristics:
        parts = [fit.fit_of({name: [label]}) for label in world.residents.characteristics[name]]
        people = np.stack([part.areas.population for part in parts])
        mean = sum(n * part.draws.scores()[:, :, 0] for n, part in zip(people, parts, strict=True)) / people.sum(axis=0)
        np.testing.assert_allclose(mean, fit.fit_of().draws.scores()[:, :, 0], atol=1e-6)


def test_chance_is_that_of_other_persons_in_other_domains(world: Made) -> None:
    """Men and women answer independently given eta: what chance adds to both is not correlated."""
    ask = world.yes
    fit = bs.fit_persons(simple(estimand="realised"), ask, world.residents, **{**QUICK, "draws": 4000})
    with_chance = [fit.fit_of({"geslacht": [g]}).draws.scores()[:, :, 0] for g in ("ge0", "ge1")]
    tables = [Residents.of(world.residents, fit.stacked, {"geslacht": [g]}, fit.told(Figure())(world.residents))
              for g in ("ge0", "ge1")]  # fmt: skip
    without = [poststratified(fit.draws, [table], Figure(), fit.model.answers, 1) for table in tables]
    men, women = (one - other for one, other in zip(with_chance, without, strict=True))
    each = (men * women).mean(axis=0) / (men.std(axis=0) * women.std(axis=0))
    assert np.abs(each).max() < 4 / np.sqrt(4000)  # of 25 areas: 4 standard errors


@pytest.mark.parametrize(
    "model",
    [
        bs.UnitModel(terms=[bs.IID("area")], persons=[bs.Fixed("geslacht")]),
        bs.UnitModel(terms=[bs.IID("area")]),
        bs.UnitModel(persons=[bs.Fixed("geslacht")]),
        bs.UnitModel(),
    ],
)
def test_models_without_any_parameter_of_persons_are_fitted(world: Made, model: bs.UnitModel) -> None:
    answers = world.yes
    fit = bs.fit_persons(model, answers, world.residents, **QUICK).fit_of()
    mean = float(fit.draws.scores().mean())
    assert mean == pytest.approx(answers.y.sum() / answers.size.sum(), abs=0.1)  # selective by 0.04 in this world


def test_what_follows_a_fit_follows_this_one(fitted: Any) -> None:
    table = estimate(fitted.fit_of()).table
    assert table["estimate"].between(0, 1).all()
    assert (table["lower"] < table["estimate"]).all()


def test_draws_do_not_depend_on_threads_or_on_the_order_of_levels(world: Made) -> None:
    answers = world.yes
    one, two, three = (
        bs.fit_persons(simple(), a, world.residents, threads=t, **QUICK).fit_of().draws.eta
        for a, t in ((answers, 1), (answers, 2), (shuffled(answers), 1))
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one.mean(axis=(0, 1)), three.mean(axis=(0, 1)), atol=0.02)  # sums in another order


def test_ordered_answers_have_shares_and_a_mean(world: Made) -> None:
    fit = bs.fit_persons(simple(Ladder(("1", "2", "3", "5"))), world.ordered, world.residents, **QUICK)
    shares = [fit.fit_of(figure=f"share {label}").draws.scores()[:, :, 0] for label in ("1", "2", "3", "5")]
    np.testing.assert_allclose(sum(shares), 1, atol=1e-5)
    np.testing.assert_allclose(shares[2] + shares[3], fit.fit_of(figure="above 2").draws.scores()[:, :, 0], atol=1e-5)
    mean = sum(code * share for code, share in zip((1, 2, 3, 5), shares, strict=True))
    np.testing.assert_allclose(mean, fit.fit_of().draws.scores()[:, :, 0], atol=2e-5)
    gaps = fit.raw.hyper["cuts.gap"][1].reshape(-1, 2)
    np.testing.assert_allclose(gaps.mean(axis=0), [1.0, 1.5], atol=4 * gaps.std(axis=0).max())


def test_realised_shares_of_ordered_answers_add_up(world: Made) -> None:
    fit = bs.fit_persons(simple(Ladder(), estimand="realised"), world.ordered, world.residents, **QUICK)
    shares = [fit.fit_of(figure=f"share {k}").draws.scores()[:, :, 0] for k in range(1, 5)]
    np.testing.assert_allclose(sum(shares), 1, atol=1e-5)
    np.testing.assert_allclose(shares[2] + shares[3], fit.fit_of(figure="above 2").draws.scores()[:, :, 0], atol=1e-5)
    mean = sum(code * share for code, share in enumerate(shares, start=1))
    np.testing.assert_allclose(mean, fit.fit_of().draws.scores()[:, :, 0], atol=2e-5)


@pytest.mark.parametrize(("outcome", "answers"), [(bs.Binomial(), "yes"), (Ladder(), "ordered"),
                                                  (Number(bs.Gaussian()), "numbers")])  # fmt: skip
def test_where_all_were_asked_the_realised_figure_is_their_answer(world: Made, outcome: object, answers: str) -> None:
    everybody = replace(world, asked=world.residents.count.astype(int), rng=np.random.default_rng(2))
    told = getattr(everybody, answers)
    fit = bs.fit_persons(simple(outcome, estimand="realised"), told, world.residents, **QUICK).fit_of()
    total = told.y if told.y.ndim == 1 else told.y[:, 0] if answers == "numbers" else told.y @ np.arange(1, 5)
    direct = np.bincount(told.area, total) / np.bincount(told.area, told.size)
    np.testing.assert_allclose(fit.draws.scores()[:, :, 0], np.tile(direct, (400, 1)), atol=1e-5)


@pytest.mark.parametrize("cluster", [0.0, 2.0])
def test_the_chance_in_the_answers_of_others_has_the_variance_of_their_answers(
    world: Made, fitted: Any, cluster: float
) -> None:
    """Probabilities are those over clusters: expit of a logit over sqrt(1 + c^2 s^2), as of figures."""
    r, n = world.residents, 40
    one = PersonDraws(fitted.draws.e[:1].repeat(n, axis=0), fitted.draws.f[:1].repeat(n, axis=0),
                      np.full(n, cluster), np.zeros((n, 0)))  # fmt: skip
    eta = one.e[0].astype(float)[r.area] + one.f[0][fitted.stacked.index(Coded.of(r))].sum(axis=1)

    def above(at: float) -> np.ndarray:
        return expit((eta - at) / np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2 * cluster))

    numbers = np.linspace(0.5, 1.5, n)[:, None]
    codes = np.array([1.0, 2.0, 4.0])
    p = np.stack([1 - above(0), above(0) - above(1), above(1)])
    cases = [
        (Figure("share"), YesNo(bs.Binomial()), np.zeros((n, 0)), above(0) * (1 - above(0))),
        (Figure("mean", codes=tuple(codes)), Ladder(), np.ones((n, 1)), codes**2 @ p - (codes @ p) ** 2),
        (Figure("share", 1, 2), Ladder(), np.ones((n, 1)), p[1] * (1 - p[1])),
        (Figure("mean"), Number(bs.Gaussian()), numbers, np.full(len(eta), (numbers**2).mean() + cluster)),
    ]
    for figure, outcome, psi, variance in cases:
        load = chance(replace(one, psi=psi), Residents.of(r, fitted.stacked, None), figure, outcome)
        expected = np.bincount(r.area, r.count * variance) / np.bincount(r.area, r.count) ** 2
        np.testing.assert_allclose((load**2).sum(axis=1), expected, rtol=1e-6)


def test_realised_shares_near_nought_are_not_biased() -> None:
    """30 residents per area of whom 8 are asked, a share of 0.087: draws below 0 stay there until they are shown."""
    n, rng = 25, np.random.default_rng(11)
    frame = pd.DataFrame({"code": [f"a{k:02}" for k in range(n)], "aantal": 30, "sex": "all", "population": 30})
    areas = bs.Areas.from_frame(frame[["code", "population"]], code="code")
    cells = bs.Cells.from_frame(frame[["code", "aantal", "sex"]], areas, area="code")
    yes = rng.binomial(8, 0.087, n)
    answers = bs.Answers.of(frame.assign(n=8, y=yes / 8), "y", cells, area="code", number="n")
    fit = bs.fit_persons(bs.UnitModel(estimand="realised"), answers, cells, **{**QUICK, "draws": 4000})
    figures = fit.fit_of()
    got, p = figures.draws.scores()[:, :, 0], expit(fit.draws.e.astype(float))
    expected = (answers.y + 22 * p) / 30
    # the noise of an area has sd sqrt(22 x 0.087 x 0.913) / 30 = 0.044: 4 standard errors; draws that end at 0 miss
    # by 0.0008, of areas without a yes by twice as much
    assert float((got - expected).mean()) == pytest.approx(0, abs=4 * 0.044 / np.sqrt(n * 4000))
    assert (got < 0).any()
    table = estimate(figures).table
    assert table["lower"].min() >= 0


def test_clusters_widen_and_are_not_predicted(world: Made) -> None:
    answers = world.yes
    names = {**answers.characteristics, "interviewer": tuple(f"i{k}" for k in range(8))}
    asked = np.arange(len(answers.area)) % 8
    answers = replace(answers, characteristics=names, level=np.column_stack([answers.level, asked]))
    model = simple()
    model = replace(model, persons=(*model.persons, bs.Cluster("interviewer")))
    fit = bs.fit_persons(model, answers, world.residents, **QUICK)
    start = fit.stacked.starts[-2]
    assert not fit.draws.f[:, start:].any()
    np.testing.assert_allclose(fit.draws.cluster, fit.raw.hyper["interviewer.sigma"][1].ravel() ** 2)
    r, n = world.residents, len(world.residents.areas.codes)
    predicting = Stacked(fit.stacked.effects[:-1])
    eta = fit.draws.e[0].astype(float)[r.area] + fit.draws.f[0][predicting.index(Coded.of(r))].sum(axis=1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    p = expit(eta[:, None] + np.sqrt(fit.draws.cluster[0]) * nodes) @ weights / weights.sum()
    expected = np.bincount(r.area, r.count * p, n) / np.bincount(r.area, r.count, n)
    # the scale that a logistic curve loses is an approximation, to 0.003 at any mean and variance that occur
    np.testing.assert_allclose(fit.fit_of().draws.scores()[0, :, 0], expected, atol=3e-3)


def test_uncertain_tables_are_used_in_turn(world: Made, fitted: Any) -> None:
    other = replace(world.residents, count=np.where(world.residents.level[:, 0] == 3, world.residents.count, 0.0))
    both = replace(fitted, populations=(world.residents, other))
    one, two = (replace(fitted, populations=(table,)).fit_of().draws.scores() for table in (world.residents, other))
    mixed = both.fit_of().draws.scores()
    np.testing.assert_allclose(mixed[::2], one[::2], atol=1e-6)
    np.testing.assert_allclose(mixed[1::2], two[1::2], atol=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("estimand", ["expected", "realised"])
def test_where_one_table_has_nobody_the_other_tells(world: Made, order: tuple[int, int], estimand: str) -> None:
    r = world.residents
    tables = r, replace(r, count=np.where(r.area == 3, 0.0, r.count))
    fit = bs.fit_persons(simple(estimand=estimand), world.yes, [tables[k] for k in order], **QUICK)
    figures, alone = fit.fit_of(), replace(fit, populations=(r,)).fit_of()
    assert np.isfinite(figures.draws.scores()).all()
    np.testing.assert_allclose(figures.areas.population, (tables[0].residents() + tables[1].residents()) / 2)
    if estimand == "expected":
        np.testing.assert_allclose(figures.draws.scores()[:, 3], alone.draws.scores()[:, 3], atol=1e-6)
    assert not estimate(figures).table["estimate"].isna().any()


def test_fractions_of_persons_add_up() -> None:
    """0.2 persons of 65+ in each of 25 areas are 5, not 25."""
    rng, codes = np.random.default_rng(3), [f"a{k:02}" for k in range(25)]
    frame = pd.DataFrame({"code": np.repeat(codes, 2), "age": ["18-64", "65+"] * 25, "aantal": [30.3, 0.2] * 25})
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 31}), code="code")
    cells = bs.Cells.from_frame(frame, areas, area="code")
    persons = pd.DataFrame({"code": np.repeat(codes, 8), "age": ["18-64"] * 199 + ["65+"]})
    persons["y"] = rng.integers(0, 2, 200)
    answers = bs.Answers.of(persons, "y", cells, area="code")
    fit = bs.fit_persons(bs.UnitModel(persons=[bs.Fixed("age")]), answers, cells, **QUICK)
    each = {name: estimate(fit.fit_of(domain)) for name, domain in
            (("all", None), ("18-64", {"age": ["18-64"]}), ("65+", {"age": ["65+"]}))}  # fmt: skip
    whole = {name: est.table.set_index("level")["population"]["all"] for name, est in each.items()}
    assert whole == {"all": 762, "18-64": 758, "65+": 5}  # 762.5, 757.5 and 5: halves to the even number
    of = {name: est.areas for name, est in each.items()}
    tables = {name: est.table for name, est in each.items()}
    with pytest.raises(DataError, match="do not add up"):
        across(tables, areas, "all", Scale(0, 1))
    found = across(tables, areas, "all", Scale(0, 1), bs.Rules(protection=0), of=of)
    few = found.tables["65+"]
    assert few.loc[few["level"] == "area", "label"].eq("niet_publiceren").all()  # 0.2 residents are fewer than 10
    pd.testing.assert_series_equal(few["population"], tables["65+"]["population"])


def test_figures_are_on_the_scale_of_the_outcome(world: Made) -> None:
    yes = world.yes
    plain = bs.fit_persons(simple(), yes, world.residents, **QUICK).fit_of()
    for estimand in ("expected", "realised"):
        percent = bs.fit_persons(simple(bs.Binomial(scale=PERCENT), estimand=estimand), yes, world.residents, **QUICK)
        figures = percent.fit_of()
        assert figures.model.outcome.scale == PERCENT
        table = estimate(figures).table
        assert table["unit"].eq("%").all()
        mean = table.set_index("level").at["all", "estimate"]
        assert mean == pytest.approx(100 * plain.draws.scores().mean(), abs=3)  # areas differ in residents
        direct = estimate(figures).table.set_index("area_code")["direct"][list(figures.areas.codes)]
        by_area = (np.bincount(yes.area, part, 25) for part in (yes.y, yes.size))
        share = np.divide(*by_area)
        np.testing.assert_allclose(direct, share if estimand == "expected" else 100 * share)
    model = simple(Number(bs.Gaussian((-50, 50))))
    marks = bs.fit_persons(replace(model, intercept=bs.Normal(0, 5)), world.numbers, world.residents, **QUICK).fit_of()
    assert marks.model.outcome.scale == Scale(-50, 50)


def test_data_far_from_the_prior_are_refused_before_the_fit(world: Made) -> None:
    numbers = world.numbers
    away = np.stack([numbers.y[:, 0] + 500 * numbers.size,
                     numbers.y[:, 1] + 1000 * numbers.y[:, 0] + 500**2 * numbers.size], axis=1)  # fmt: skip
    with pytest.raises(ModelError, match="far from the prior of the intercept"):
        laid(simple(bs.Gaussian()), replace(numbers, y=away), [world.residents])
    with pytest.raises(ModelError, match="outside the scale"):
        laid(simple(bs.Gaussian((0, 10))), replace(numbers, y=away), [world.residents])


def test_ordered_answers_are_called_as_they_were_given(world: Made) -> None:
    answers = replace(world.ordered, categories=(0.0, 1.0, 2.0, 3.0))
    fit = bs.fit_persons(simple(Ladder()), answers, world.residents, **QUICK)
    mean = float(answers.y.sum(axis=0) @ np.arange(4) / answers.size.sum())
    assert float(fit.fit_of().draws.scores().mean()) == pytest.approx(mean, abs=0.15)  # not one more
    low = answers.y[:, 0].sum() / answers.size.sum()
    assert float(fit.fit_of(figure="share 0").draws.scores().mean()) == pytest.approx(low, abs=0.1)
    words = bs.fit_persons(simple(Ladder(tuple("abcd"))), answers, world.residents, **QUICK)
    assert float(words.fit_of().draws.scores().mean()) == pytest.approx(mean, abs=0.15)


def few_asked(world: Made, outcome: str) -> bs.Answers:
    """Answers of which area 0 has one respondent only."""
    answers = getattr(world, outcome)
    kept = (answers.area != 0) | (np.cumsum(answers.area == 0) == 1)
    own = answers.area[kept] == 0
    parts = {"area": answers.area[kept], "level": answers.level[kept]}
    share = np.where(own, answers.size[kept], 1.0)
    y = answers.y[kept] / (share[:, None] if answers.y.ndim == 2 else share)
    size = answers.size[kept] / share
    return replace(answers, **parts, y=y, size=size, respondents=size)


@pytest.mark.parametrize("estimand", ["expected", "realised"])
@pytest.mark.parametrize(
    ("outcome", "answers", "figure"),
    [(bs.Binomial(), "yes", None), (Ladder(), "ordered", None), (Ladder(), "ordered", "share 2"),
     (Number(bs.Gaussian()), "numbers", None)],
)  # fmt: skip
def test_the_answer_of_one_respondent_is_not_published(
    world: Made, outcome: object, answers: str, figure: str | None, estimand: str
) -> None:
    model = replace(simple(outcome, estimand=estimand), intercept=bs.Normal(0, 5))
    told = few_asked(world, answers)
    est = estimate(bs.fit_persons(model, told, world.residents, **QUICK).fit_of(figure=figure))
    published = est.published[est.published["level"] == "area"].set_index("area_code")
    asked = pd.Series(np.bincount(told.area, told.respondents, 25), world.residents.areas.codes)
    assert asked.iloc[0] == 1
    assert est.table.set_index("area_code")["n_respondents"].iloc[0] == 1
    shown = published["direct"].notna()
    assert not shown[asked < 10].any()
    assert figure or shown.any()  # of shares of four answers none has five of each
    if outcome == bs.Binomial():
        yes = pd.Series(np.bincount(told.area, told.y, 25), world.residents.areas.codes)
        assert not shown[np.minimum(yes, asked - yes) < 5].any()


def test_hidden_numbers_of_a_domain_do_not_follow_from_the_others(world: Made, fitted: Any) -> None:
    """All less those up to le2: the yes of the few who are le3 would follow, from direct estimates and numbers."""
    domains: list[Any] = [None, {"leeftijd": ["le0", "le1", "le2"]}, {"leeftijd": ["le3"]}]
    tables = [estimate(fitted.fit_of(domain)).published.set_index(["level", "area_code"]) for domain in domains]
    every, most, few = (table["direct"] * table["n_respondents"] for table in tables)
    assert every.notna().any()
    assert (every - most).isna().all()
    for table in tables[1:]:
        assert table[["direct", "direct_se"]].isna().all(axis=None)
    assert few.isna().all()


def test_variables_of_the_weights_that_are_no_term_are_noted(world: Made) -> None:
    answers = replace(world.yes, scheme=("leeftijd", "x", "inkomen", "area"))
    fit = bs.fit_persons(replace(simple(), formula="1 + I(x * 2)"), answers, world.residents, **QUICK)
    assert len(fit.notes) == 1
    assert str(fit.notes[0]).startswith("weights depend on inkomen, of which")
    assert "inkomen" in fit.notes[0]
    assert "leeftijd" not in fit.notes[0]


def test_notes_of_answers_and_cells_are_those_of_the_fit(world: Made) -> None:
    one, two = Note("of answers", "van antwoorden"), Note("of cells", "van cellen")
    answers, cells = replace(world.yes, notes=(one,)), replace(world.residents, notes=(two,))
    assert bs.fit_persons(simple(), answers, [cells, cells], **QUICK).notes == (one, two)


def lacking(world: Made) -> tuple[Any, Any]:
    residents = world.residents
    kept = residents.level[:, 0] < 3
    names = {**residents.characteristics, "leeftijd": residents.characteristics["leeftijd"][:3]}
    return world.yes, replace(
        residents, characteristics=names, area=residents.area[kept], level=residents.level[kept],
        count=residents.count[kept],
    )  # fmt: skip


def spoilt(**changes: Callable[[Any], Any]) -> Callable[[Made], tuple[Any, Any]]:
    return lambda w: (replace(w.yes, **{name: make(w.yes) for name, make in changes.items()}), w.residents)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lacking, "cells lack levels of leeftijd"),
        (spoilt(y=lambda a: 0 * a.y), "the same answer"),
        (spoilt(y=lambda a: a.size + 1), "more answers yes than answers"),
        (spoilt(size=lambda a: -a.size), "no respondents"),
        (spoilt(y=lambda a: np.full(len(a.y), np.nan)), "`y` of answers is missing"),
        (spoilt(area=lambda a: a.area + 1000), "answers have other areas"),
        (lambda w: (w.yes, replace(w.residents, count=-w.residents.count)), "fewer residents than none"),
        (lambda w: (w.yes, replace(w.residents, count=0 * w.residents.count)), "the cells are empty"),
        (lambda w: (w.yes, replace(w.residents, count=w.residents.count + np.inf)), "`count` of cells is missing"),
        (lambda w: (w.yes, []), "these are no cells"),
        (lambda w: (w.yes, [w.residents, w.residents.count]), "these are no cells"),
        (lambda w: (w.yes, w.residents.frame), "these are no cells"),
        (lambda w: (w.yes.frame, w.residents), "`answers` is of another kind"),
        (lambda w: (w.ordered, w.residents), "not of the outcome of the model"),
        (lambda w: (w.numbers, w.residents), "not of the outcome of the model"),
        (spoilt(y=lambda a: a.y[1:]), "`y` of answers is of another kind"),
        (spoilt(y=lambda a: a.y.astype(str)), "`y` of answers is of another kind"),
        (spoilt(area=lambda a: a.area.astype(float)), "`area` of answers is of another kind"),
        (spoilt(level=lambda a: a.level[:, :2]), "`level` of answers is of another kind"),
        (spoilt(level=lambda a: a.level + 9), "other levels of leeftijd"),
        (spoilt(size=lambda a: np.inf * a.size), "`size` of answers is missing"),
        (spoilt(areas=lambda a: made(side=4).residents.areas), "answers are of other areas than the cells"),
        (lambda w: (w.yes, [w.residents, made(side=4).residents]), "cells are of other areas than the cells"),
    ],
)
def test_bad_tables_are_refused_in_three_lines(world: Made, data: Callable[[Made], Any], words: str) -> None:
    answers, residents = data(world)
    with pytest.raises(BuurtsaeError, match=words) as error:
        bs.fit_persons(simple(), answers, residents, **QUICK)
    assert len(str(error.value).splitlines()) % 3 == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda y, n: np.where(np.arange(4) == 0, -y, y), "do not make the number of answers"),
        (lambda y, n: 2 * y, "do not make the number of answers"),
    ],
)
def test_ordered_answers_that_cannot_be_are_refused(world: Made, spoil: Callable[..., Any], words: str) -> None:
    answers = world.ordered
    answers = replace(answers, y=spoil(answers.y, answers.size))
    with pytest.raises(DataError, match=words):
        bs.fit_persons(simple(Ladder()), answers, world.residents, **QUICK)


def test_numbers_of_nobody_are_no_answers(world: Made) -> None:
    """A cell of size 0 takes no part; all alike are refused, in however many cells."""
    numbers = world.numbers
    none = np.zeros(len(numbers.size)) + (np.arange(len(numbers.size)) > 0)
    empty = replace(numbers, size=numbers.size * none, y=numbers.y * none[:, None])
    model = replace(simple(Number(bs.Gaussian())), intercept=bs.Normal(0, 3))
    bs.fit_persons(model, empty, world.residents, **QUICK)
    alike = replace(numbers, y=np.column_stack([2 * numbers.size, 4 * numbers.size]))
    with pytest.raises(DataError, match="the same answer"):
        bs.fit_persons(model, alike, world.residents, **QUICK)


@pytest.mark.parametrize(
    "given", [{"model": bs.AreaModel()}, {"seed": "1"}, {"seed": -1}, {"seed": True}, {"measure": 5}]
)
def test_arguments_of_another_kind_are_refused_in_three_lines(world: Made, given: dict[str, Any]) -> None:
    arguments = {"model": simple(), "answers": world.yes, "cells": world.residents} | given
    with pytest.raises(BuurtsaeError) as error:
        bs.fit_persons(**arguments, **QUICK)
    assert len(str(error.value).splitlines()) == 3


def test_all_that_is_wrong_is_said_at_once(world: Made) -> None:
    with pytest.raises(ProblemsError) as error:
        bs.fit_persons(None, None, None, seed=-1, **QUICK)  # type: ignore[arg-type]
    assert error.value.count == 4


def test_a_model_of_persons_is_no_fit_to_estimate(fitted: Any) -> None:
    with pytest.raises(ModelError, match="no fit") as error:
        bs.estimate(fitted)
    assert "fit_of" in error.value.hint


def test_a_lacking_level_is_named_with_its_respondents(world: Made) -> None:
    answers, residents = lacking(world)
    n = answers.size[answers.level[:, 0] == 3].sum()
    with pytest.raises(DataError) as error:
        bs.fit_persons(simple(), answers, residents, **QUICK)
    assert f"le3 ({n:g} respondents)" in str(error.value)


def test_categories_that_nobody_chose_are_named(world: Made) -> None:
    answers = world.ordered
    answers = replace(answers, y=np.insert(answers.y, 2, 0, axis=1), categories=(1.0, 2.0, 3.0, 4.0, 5.0))
    with pytest.raises(DataError, match="nobody chose") as error:
        bs.fit_persons(simple(Ladder()), answers, world.residents, **QUICK)
    assert "got 3;" in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bs.UnitModel(persons=[bs.IID("area")]), "unknown"),
        (lambda: bs.UnitModel(persons=[bs.Factor("a"), bs.Fixed("a")]), "same name"),
        (lambda: bs.UnitModel(outcome=bs.Poisson()), "cannot have this outcome"),
        (lambda: bs.Factor("a").laid({"b": ("x", "y")}), "lack"),
        (lambda: bs.Factor("a").laid({"a": ("x",)}), "too few"),
        (lambda: bs.Cluster("a").laid({"a": tuple(map(str, range(2001)))}), "too many"),
        (lambda: bs.Ordered("a", order=2).laid({"a": ("x", "y")}), "too few"),
        (lambda: bs.Smooth("a").laid({"a": tuple("abcdef")}), "are none"),
        (lambda: bs.Smooth(("a", "b")), "not about characteristics"),
        (lambda: bs.Linear(("a", "b")), "not about characteristics"),
        (lambda: bs.Factor(5), "not about characteristics"),
        (lambda: bs.Factor((1, 2)), "not about characteristics"),
        (lambda: bs.Factor(()), "not about characteristics"),
        (lambda: bs.Factor(("a", "a")), "not about characteristics"),
        (lambda: bs.Smooth("age", 5), "no list of numbers"),
        (lambda: bs.Linear("age", "xy"), "no list of numbers"),
        (lambda: bs.Ordered("age", by=5), "by is of another kind"),
        (lambda: bs.UnitModel(outcome=bs.Binomial(overdispersion=bs.Beta(1, 9))), "cannot have this outcome"),
        (lambda: bs.Linear("a", at=[1, 2]).laid({"a": tuple("abc")}), "not one for each"),
    ],
)
def test_models_that_cannot_be_are_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make()


def test_unknown_domains_and_figures_are_refused(fitted: Any) -> None:
    for domain, words in (({"hobby": ["x"]}, "no such characteristic"), ({"leeftijd": ["99"]}, "no such level")):
        with pytest.raises(DataError, match=words):
            fitted.fit_of(domain)
    for domain in (5, "65+", ["le0"], [], "", {"leeftijd": 5}, {5: ["le0"]}):
        with pytest.raises(DataError) as error:
            fitted.fit_of(domain)
        assert len(str(error.value).splitlines()) == 3
    for figure, words in (("median", "no such figure"), (3, "`figure` is of another kind")):
        with pytest.raises(DataError, match=words):
            fitted.fit_of(figure=figure)


def test_walks_and_curves_have_typical_size_one_and_no_line() -> None:
    labels = tuple(map(str, range(10)))
    for term, free in ((bs.Ordered("a"), 1), (bs.Ordered("a", order=2), 2), (bs.Smooth("a"), 0)):
        root = term.laid({"a": labels}).shrunk
        assert np.exp(0.5 * np.log((root**2).sum(axis=1)).mean()) == pytest.approx(1)
        for power in range(free):
            np.testing.assert_allclose(np.arange(10.0) ** power @ root, 0, atol=1e-10)


def test_walks_by_another_are_one_for_each_of_its_levels() -> None:
    names = {"a": tuple("123"), "b": tuple("xy")}
    effect = bs.Ordered("a", by="b").laid(names)
    alone = bs.Ordered("a").laid(names).shrunk
    covariance = (effect.shrunk @ effect.shrunk.T).reshape(3, 2, 3, 2)
    np.testing.assert_allclose(covariance[:, 0, :, 0], alone @ alone.T, atol=1e-12)
    np.testing.assert_allclose(covariance[:, 0, :, 1], 0, atol=1e-12)
    cells = Coded(np.zeros(2, int), {"a": np.array([2, 0]), "b": np.array([1, 0])})
    assert [effect.levels[k] for k in effect.index(cells)] == ["3 x y", "1 x x"]
    assert Stacked((effect,)).starts.tolist() == [0, 6]


def test_outcomes_have_the_derivatives_that_differences_have() -> None:
    rng = np.random.default_rng(4)
    eta, size = rng.standard_normal(3), np.array([4.0, 5, 6])
    cases = [
        (YesNo(bs.Binomial()), np.array([1.0, 5, 0]), np.zeros(0)),
        (Number(bs.Gaussian()), np.array([[4.0, 9], [1, 3], [2, 8]]), np.array([1.3])),
        (Ladder(), np.array([[1.0, 2, 1], [0, 5, 0], [2, 2, 2]]), np.array([0.7])),
    ]
    for outcome, y, psi in cases:
        parts = outcome.derivatives(eta, y, size, psi)
        for order in range(4):
            up, down = (outcome.derivatives(eta + sign * 1e-5, y, size, psi)[order] for sign in (1, -1))
            slope = (np.asarray(up) - down) / 2e-5
            np.testing.assert_allclose(slope, parts[order + 1] if order else parts[1].sum(), atol=1e-6)
