"""What models of persons leave over: the law of sums, cavities, checks that refuse, weights, and the quality report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_persons import Made, made
from scipy.special import expit

import buurtsae as bs
from buurtsae.engines.poststratify import poststratified
from buurtsae.engines.units import UnitFits
from buurtsae.estimates.evidence.checks import Check, checks
from buurtsae.estimates.evidence.counts import power
from buurtsae.estimates.evidence.leftover import Leftover, leftover
from buurtsae.estimates.evidence.person_sums import law, normal, sums
from buurtsae.estimates.evidence.persons import Added, looked_at, predicted
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.own_persons import Column
from buurtsae.estimates.words.leaning import leaning
from buurtsae.publication.report import write_quality

OUTCOMES = {"yes": bs.Binomial(), "ordered": bs.Ladder(), "numbers": bs.Gaussian((-10, 10))}
PERSONS = bs.Ordered("leeftijd"), bs.Fixed("geslacht"), bs.Factor("herkomst")
OPTIONS: dict[str, Any] = {"progress": False, "draws": 200, "hyperparameters": 50}


def fitted(world: Made, answers: bs.Answers, kind: str = "yes", persons: Any = PERSONS, **options: Any) -> bs.UnitFit:
    model = bs.UnitModel("1 + x", terms=[bs.BYM2(world.graph)], persons=persons, outcome=OUTCOMES[kind])
    return bs.fit_persons(model, answers, world.residents, **OPTIONS | options)


@pytest.fixture(scope="module")
def fits() -> Mapping[str, bs.UnitFit]:
    world = made(6, 12, seed=5)
    return {kind: fitted(world, getattr(world, kind), kind) for kind in OUTCOMES}


def by_hand(p: np.ndarray, sizes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The law of a sum, all ways to answer one by one."""
    rows = np.repeat(p, sizes, axis=0)
    found = np.zeros(len(rows) * points.max() + 1)
    for way in product(range(len(points)), repeat=len(rows)):
        found[points[list(way)].sum()] += np.prod([row[k] for row, k in zip(rows, way, strict=True)])
    return found


@pytest.mark.parametrize("points", [np.array([0, 1]), np.array([0, 1, 2]), np.array([1, 0, 0])])
def test_the_law_of_a_sum(points: np.ndarray) -> None:
    rng, sizes = np.random.default_rng(1), np.array([2, 1, 3])
    p = rng.dirichlet(np.ones(len(points)), 3)
    each = by_hand(p, sizes, points)
    for y in range(len(each)):  # from both ends
        below, upto = law(sizes.astype(float), p, points, y, np.empty(len(each)))
        assert (below, upto) == pytest.approx((each[:y].sum(), each[: y + 1].sum()), abs=1e-12)


def test_long_sums_are_normal_with_their_skewness() -> None:
    """Beside the exact law of 300 persons of unlike chances.

    The next terms of Edgeworth's, of kurtosis (0.35 / 38 / 24 x 0.55), squared skewness (0.013 / 72 x 2.3) and the step
    of 1 (0.24 / 24 / 38), are 9e-4 together at most.
    """
    p = np.random.default_rng(2).uniform(0.02, 0.3, 300)
    both, one = np.stack([1 - p, p], axis=1), np.ones(300)
    mean, variance, third = p.sum(), (p * (1 - p)).sum(), (p * (1 - p) * (1 - 2 * p)).sum()
    for y in (35, 45, 48, 60):
        exact = law(one, both, np.array([0, 1]), y, np.empty(301))[1]
        assert normal((y + 0.5 - mean) / np.sqrt(variance), third / variance**1.5) == pytest.approx(exact, abs=9e-4)


def test_what_is_integrated_over() -> None:
    """Means and chances of sums against draws of all predictors of an area, of correlated cells: three sd of these."""
    rng, n = np.random.default_rng(3), 100_000
    size, m = np.array([3.0, 1.0, 2.0]), np.array([-1.5, -0.5, 0.3])
    root = np.array([[0.6, 0.0, 0.0], [0.5, 0.2, 0.0], [0.5, 0.1, 0.25]])
    p = expit(m)
    along = root @ root.T @ (size * p * (1 - p))
    load = along / np.sqrt(along @ (size * p * (1 - p)))
    rest = np.maximum((root**2).sum(axis=1) - load**2, 0.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    at = np.stack([nodes, weights / weights.sum()], axis=1)
    args = np.zeros(3, dtype=int), size, np.array([2.0]), m, load, rest, np.zeros(1), np.array([0, 1])
    below, upto, zero, means, _ = sums(*args, at, 0.346, 1)
    drawn = rng.binomial(size.astype(int), expit(m + rng.normal(size=(n, 3)) @ root.T)).sum(axis=1)
    error = 3 * np.sqrt(0.25 / n) + 2e-3  # and what lies across is in the chance of each cell alone
    found = (drawn < 2).mean(), (drawn <= 2).mean(), (drawn == 0).mean()
    assert (below[0], upto[0], zero[0]) == pytest.approx(found, abs=error)
    assert means[0] @ at[:, 1] == pytest.approx(drawn.mean(), abs=3 * drawn.std() / np.sqrt(n) + 5e-3)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_area_from_all_others(fits: Mapping[str, bs.UnitFit], kind: str) -> None:
    """The cavity beside the mode without the area's answers: of numbers exact, of others a twentieth of an sd."""
    unit = fits[kind]
    figure, mode = unit.fit_of().persons[0], unit.at_mode
    left = predicted(mode.found, Added.of_figure(figure), {})
    for area in (0, 7, 20):
        data = mode.marginal.data
        kept = data.area != area
        parts = {name: getattr(data, name)[kept] for name in ("area", "index", "y", "size")}
        without = replace(mode.marginal, data=replace(data, **parts)).solve(mode.xi)
        mean, variance = without.conditional.mean[area, 0], without.covariances[0][area]
        close = 1e-6 if kind == "numbers" else 0.05
        assert left.e[0, area] == pytest.approx(mean, abs=close * np.sqrt(variance))
        assert left.e[1, area] == pytest.approx(variance, rel=close)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_the_gradient_of_the_likelihood(fits: Mapping[str, bs.UnitFit], kind: str) -> None:
    mode = fits[kind].at_mode
    xi = mode.xi + 0.2
    found = mode.marginal.solve(xi)
    gradient = mode.marginal.gradient(xi, found)
    for k in range(len(xi)):
        step = 1e-3 * (np.arange(len(xi)) == k)
        values = [mode.marginal.solve(xi + sign * step).log_likelihood for sign in (1, -1)]
        # of psi both are differences, ours forward by 1e-4 of curvatures of thousands
        close = 1e-2 if k < len(xi) - len(found.hyper.psi) else 0.5
        assert gradient[k] + xi[k] == pytest.approx((values[0] - values[1]) / 2e-3, abs=close)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_replicates_are_as_the_model_says(fits: Mapping[str, bs.UnitFit], kind: str) -> None:
    """Mean z is about 0 and mean z^2 about 1.

    Levels of persons are those of the fit, which each replicate shrinks anew: mean z may lie a twentieth from 0. Each
    is judged by a mode that has seen it, which makes z^2 smaller by one part in the number of areas, 36.
    """
    looked = looked_at(fits[kind].fit_of().persons[0], {}, None, 40, np.random.default_rng(4))
    z, square = (np.array([power(r.below, r.upto, k).mean() for r in looked.replicates]) for k in (1, 2))
    assert abs(z.mean()) < 0.05
    assert abs(square.mean() - 1) < 3 * square.std() / np.sqrt(40) + 1 / 36


def test_effective_numbers_have_their_law_too(fits: Mapping[str, bs.UnitFit]) -> None:
    """Sizes a hair from whole: the beta function, of one mean chance, lies near the exact law of unlike ones."""
    unit = fits["yes"]
    figure, found = unit.fit_of().persons[0], unit.at_mode.found
    exact = predicted(found, Added.of_figure(figure), {})
    data = found.marginal.data
    nearly = replace(data, size=data.size * (1 + 1e-9), y=data.y)
    other = predicted(replace(found, marginal=replace(found.marginal, data=nearly)), Added.of_figure(figure), {})
    # a binomial of the mean chance has a wider law, by the variance of chances within areas, some 0.01 of 0.25
    np.testing.assert_allclose(other.upto, exact.upto, atol=0.02)


def test_own_data_share_is_what_own_answers_move(fits: Mapping[str, bs.UnitFit]) -> None:
    """Of numbers: all own answers raised by 1, hyperparameters as they are, and the figure of the area is made anew."""
    unit = fits["numbers"]
    mode, n = unit.at_mode, 4000
    e, border = mode.found.draw(np.random.default_rng(1), n)
    p = mode.marginal.field.x.shape[1]
    f = border[1:, p : p + mode.found.hyper.r.shape[1]] @ mode.found.hyper.r.T
    psi = np.tile(mode.found.hyper.psi, (n, 1))
    draws = replace(unit.draws, e=e[1:, :, 0].astype(np.float32), f=f, cluster=np.zeros(n), psi=psi)
    known = Column.of_fit(unit.fit_of(), 0)
    column = replace(known, of=replace(known.of, fit=replace(unit, draws=draws)))
    figures = poststratified(draws, [known.residents], known.of.figure, unit.model.answers, 1)
    told = column.own()
    share = ((figures - figures.mean(axis=0)) * told).mean(axis=0)
    residents = column.residents
    for area in (0, 7, 20):
        moved = mode.marginal.data.y.copy()
        own = mode.marginal.data.area == area
        moved[own, 0] += mode.marginal.data.size[own]
        moved[own, 1] += 2 * mode.marginal.data.y[own, 0] + mode.marginal.data.size[own]
        after = replace(mode.marginal, data=replace(mode.marginal.data, y=moved)).solve(mode.xi)
        means = []
        for found in (mode.found, after):
            at = found.conditional.mean[area, 0] + (found.hyper.r @ found.conditional.alpha)[residents.index].sum(
                axis=1
            )
            here = residents.area == area
            means.append(np.average(at[here], weights=residents.count[here]))
        # the Monte Carlo error of a covariance of 4,000 draws that hardly hang together is 1 / sqrt(4000) of both sds
        close = 4 * figures[:, area].std() * told[:, area].std() / np.sqrt(n)
        assert share[area] == pytest.approx(means[1] - means[0], abs=close)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_what_estimates_lean_on(fits: Mapping[str, bs.UnitFit], kind: str) -> None:
    est = bs.estimate(fits[kind].fit_of())
    table = leaning(est)
    shown = est.select("y")["estimate"]
    together = table.droplevel("measure").sum(axis=1)  # those of hidden own parts are with the surroundings
    digits = est.concept.scale_of("y").digits
    np.testing.assert_allclose(together, shown.loc[together.index], atol=5 * 0.5 * 10.0 ** -(digits + 1))
    assert list(table) == ["reference", "characteristics", "composition", "surroundings", "own"]
    code = table["own"].dropna().index[0][0]
    assert "wie er wonen" in est.explain(code)
    assert "eigen respondenten" in est.explain(code)


def test_own_part_is_that_of_a_fit_without_the_area(fits: Mapping[str, bs.UnitFit]) -> None:
    unit = fits["numbers"]
    table = leaning(bs.estimate(unit.fit_of(), rules=bs.Rules(min_direct=0, max_share=1.0)))
    mode, area = unit.at_mode, 7
    kept = mode.marginal.data.area != area
    parts = {name: getattr(mode.marginal.data, name)[kept] for name in ("area", "index", "y", "size")}
    without = replace(mode.marginal, data=replace(mode.marginal.data, **parts)).solve(mode.xi)
    moved = mode.found.conditional.mean[area, 0] - without.conditional.mean[area, 0]
    # in tenths, as numbers on -10 to 10 are shown
    assert table["own"].iloc[area] == pytest.approx(moved, abs=0.06)


@pytest.fixture(scope="module")
def world() -> Made:
    return made(10, 14, seed=11)


def found(fit: bs.Fit) -> tuple[list[Check], Leftover]:
    left = leftover(fit)
    return checks(fit, left), left


def refused(fit: bs.Fit) -> dict[str, str]:
    """Kinds of checks that refuse, with where."""
    return {check.id: str(check.where) for check in found(fit)[0] if check.p < 0.05}


def answered(world: Made, eta: np.ndarray) -> bs.Answers:
    return world.respondents(np.random.default_rng(7).binomial(world.asked, expit(eta)))


@pytest.mark.slow
def test_a_forgotten_characteristic_is_named(world: Made) -> None:
    """Who is of the third origin answers otherwise; respondents are as likely of each."""
    eta = world.eta + np.array([-0.8, 0.0, 0.8])[world.residents.level[:, 2]]
    without = refused(fitted(world, answered(world, eta), persons=PERSONS[:2]).fit_of())
    assert without["forgotten"] == "herkomst"
    assert not refused(fitted(world, answered(world, eta)).fit_of())


@pytest.mark.slow
def test_an_interaction_is_named(world: Made) -> None:
    level = world.residents.level
    eta = world.eta + 1.0 * (level[:, 0] - 1.5) * (level[:, 1] - 0.5)
    assert refused(fitted(world, answered(world, eta)).fit_of())["interaction"] == "leeftijd x geslacht"
    both = (*PERSONS, bs.Factor(("leeftijd", "geslacht")))
    assert "interaction" not in refused(fitted(world, answered(world, eta), persons=both).fit_of())


def households(world: Made, named: bool) -> bs.Answers:
    """Three of each household are asked, and answer the same."""
    rng, r = np.random.default_rng(8), world.residents
    cell = np.repeat(np.arange(len(world.asked)), (world.asked + 1) // 2)
    yes = 100.0 * (rng.random(len(cell)) < expit(world.eta[cell]))
    columns = {name: np.array(v)[r.level[cell, k]] for k, (name, v) in enumerate(r.characteristics.items())}
    frame = pd.DataFrame({"area_code": r.areas.codes[r.area[cell]], **columns, "y": yes, "home": range(len(cell))})
    many = replace(r, count=3 * r.count)
    told = pd.concat([frame] * 3)
    return bs.Answers.of(told, "y", many, clusters=["home"] if named else [])


@pytest.mark.slow
def test_households_that_agree_are_refused(world: Made) -> None:
    assert refused(fitted(world, households(world, False)).fit_of())
    assert refused(fitted(world, households(world, True)).fit_of())["cluster"] == "home"


def test_a_part_that_lies_apart_is_refused(world: Made) -> None:
    areas = world.residents.areas
    part = np.array([f"g{k // 20}{k % 10 // 5}" for k in range(100)])  # ten parts of ten areas
    frame = areas.frame.reset_index().assign(part=part)
    grouped = bs.Areas.from_frame(frame, code=frame.columns[0], levels={"part": "part"})
    residents = replace(world.residents, areas=grouped)
    eta = world.eta + 2.5 * (part == "g20")[residents.area]
    there = replace(world, residents=residents)
    assert {"group", "apart"} & set(refused(fitted(there, answered(there, eta)).fit_of()))


@pytest.mark.slow
def test_weights_that_know_more_are_noted(world: Made) -> None:
    """Who says yes weighs more; and weights that are drawn at random are not noted."""
    rng, answers = np.random.default_rng(9), answered(world, world.eta)
    knows = replace(answers, weight=1 + answers.y / answers.size, scheme=("leeftijd", "opleiding"))
    knows_not = replace(answers, weight=rng.uniform(1, 2, len(answers.size)))
    noted, silent = (quality(bs.estimate(fitted(world, one).fit_of())) for one in (knows, knows_not))
    said = [note for note in noted["notes"] if "weighs more" in note]
    assert len(said) == 1
    assert "opleiding" in said[0]
    assert not [note for note in silent["notes"] if "weighs more" in note]
    whole = noted["weights"][0]
    assert whole["term"] is None
    assert whole["correlation"] > whole["expected_high"]
    assert {row["term"] for row in noted["weights"][1:]} == {"leeftijd", "geslacht", "herkomst"}


@pytest.mark.slow
def test_clean_worlds_pass() -> None:
    """Of 20 worlds of the model that is fitted at most three are refused: of 5% more have a probability of 2%."""
    bad = 0
    for seed in range(20):
        clean = made(7, 12, seed=100 + seed)
        bad += bool(refused(fitted(clean, clean.yes).fit_of()))
    assert bad <= 3


@pytest.mark.slow
def test_the_report(fits: Mapping[str, bs.UnitFit], tmp_path: Path) -> None:
    """Several measures and figures beside one another, all sections there, and the page."""
    units = UnitFits(fits, {"a": ("yes", None), "b": ("ordered", "mean"), "c": ("ordered", "above 2"),
                            "d": ("numbers", None)})  # fmt: skip
    est = bs.estimate(units.fit_of())
    report = quality(est, run={"run_id": "-", "title": "t", "created": "2024-01-31T12:00:00Z", "versions": {}})
    write_quality(report, tmp_path)
    page = (tmp_path / "quality.html").read_text(encoding="utf-8")
    assert "Effecten van kenmerken van personen" in page
    assert {row["measure"] for row in report["persons"]} == {"a", "b, c", "d"}
    assert {row["name"] for row in report["hyperparameters"]} >= {"leeftijd.sigma", "cuts.gap", "residual.sigma"}
    assert all(row["prior"] for row in report["hyperparameters"])
    assert [row["measure"] for row in report["predictive"]] == list("abcd")
    assert {row["measure"] for row in report["left_out"]} == set("abcd")
    assert set(report["residuals"]) == set("abcd")
    assert report["weights"] == []
    assert report["gate"]["unmade"] is None
    assert report["contributions"] == []
    assert report["density"] == {}
    assert [note for note in report["notes"] if "models of persons" in note]
    kinds = {(check["id"], str(check["where"])) for check in report["checks"]}
    assert ("zeros", "areas with nobody (a)") in kinds
    assert ("zeros", "areas with nobody (d)") not in kinds  # of numbers nobody is counted


@pytest.mark.parametrize("estimand", ["expected", "realised"])
def test_reports_of_groups_and_several_tables(estimand: str) -> None:
    small = made(5, 10, seed=4)
    model = bs.UnitModel(terms=[bs.BYM2(small.graph)], persons=PERSONS, estimand=estimand)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    other = replace(small.residents, count=small.residents.count + rng.integers(0, 60, len(small.residents.count)))
    unit = bs.fit_persons(model, small.yes, [small.residents, other], **OPTIONS)
    for domain in (None, {"geslacht": ["ge1"]}):
        est = bs.estimate(unit.fit_of(domain))
        report = quality(est)
        (row,) = report["cells"]
        assert row["tables"] == 2
        assert 0 < row["share_median"] < row["share_largest"] < 1.5
        assert report["gate"]["unmade"] is None
        shares = est.select("y")["own_data_share"]
        assert shares.between(0, 1).all()
        assert shares.mean() > 0.05
