"""Checks of counts: cavities against fits without the area, PITs against sums of probabilities, and what is seen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import looked_at, make_areas, make_scores
from scipy import stats

import buurtsae as bs
from buurtsae.engines.base import Fit
from buurtsae.engines.counts import Counting
from buurtsae.errors import ModelError
from buurtsae.estimates.evidence import counts as module
from buurtsae.estimates.evidence import quality as report_module
from buurtsae.estimates.evidence.checks import checks
from buurtsae.estimates.evidence.counts import (
    calibration,
    counted,
    distance,
    own_part,
    plot_calibration,
    power,
    predicted,
    replicates,
)
from buurtsae.estimates.evidence.leftover import leftover
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.words.leaning import leaning
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.publication.report import write_quality

SIDE = 9


def world(kind: str = "clean", seed: int = 4) -> bs.AreaCounts:
    """Counts of a grid, of the model that is fitted, or in one thing other."""
    rng, n = np.random.default_rng([seed, 1]), SIDE**2
    x, place = rng.normal(size=n), np.arange(n)
    eta = -1.2 + 0.5 * x + (0.6 * x**2 if kind == "bend" else 0.0) + 0.4 * rng.normal(size=n)
    size = rng.integers(3, 40, n) * (rng.uniform(size=n) > 0.1)
    p = 1 / (1 + np.exp(-eta))
    y = rng.binomial(size, p)
    if kind == "clusters":  # households of four that agree
        y, size = 4 * rng.binomial(size // 4, p), 4 * (size // 4)
    table = pd.DataFrame({"code": [f"a{k:03}" for k in place], "y": y, "n": size, "x": x})
    return bs.AreaCounts.from_frame(table, y="y", trials="n", area="code")


@cache
def at_mode(kind: str = "clean") -> Fit:
    return looked_at(world(kind), bs.AreaModel("1 + x", [bs.IID("area")], outcome=bs.Binomial()))


def marginal_of(fit: Fit) -> tuple[Counting, Any]:
    marginal = Counting.of(fit.design)
    assert isinstance(marginal, Counting)
    return marginal, marginal.scores.hyper(np.full(marginal.size, -0.3))


def test_the_cavity_is_the_fit_without_the_area() -> None:
    """To what other areas' curvature owes to the area: a hundredth of a standard deviation."""
    fit = at_mode()
    marginal, hyper = marginal_of(fit)
    mean, variance = module._cavity(marginal.solve(hyper), fit.design)
    _, sites, _ = counted(fit.design)
    assert fit.design.size is not None
    for k in sites[:10]:
        size = fit.design.size.copy()
        size[0, k] = 0
        alone = replace(fit.design, size=size, y=np.where(size > 0, fit.design.y, 0.0))
        without = replace(marginal, scores=replace(marginal.scores, design=alone)).solve(hyper).conditional
        assert abs(mean[k, 0] - without.mean[k, 0]) < 0.01 * without.sd[k, 0]
        assert np.sqrt(variance[k, 0]) == pytest.approx(without.sd[k, 0], rel=0.01)


@pytest.mark.parametrize("law", ["binomial", "poisson"])
def test_probabilities_are_those_of_the_law(law: str) -> None:
    """At whole numbers the beta and gamma functions are SciPy's distribution functions, F(-1) = 0 and F(n) = 1 too."""
    eta = np.linspace(-4, 3, 7)[None].repeat(6, axis=0)
    y, size = np.array([[0.0], [1], [2], [5], [9], [9]]), np.full((6, 1), 9.0)
    if law == "binomial":
        below, upto, zero, rate, noise = module._binomial(eta, y, size)
        of = stats.binom(9, 1 / (1 + np.exp(-eta)))
    else:
        below, upto, zero, rate, noise = module._poisson(eta, y, size)
        of = stats.poisson(9 * np.exp(eta))
    np.testing.assert_allclose(below, of.cdf(y - 1), atol=1e-12)
    np.testing.assert_allclose(upto, of.cdf(y), atol=1e-12)
    np.testing.assert_allclose(zero, of.pmf(0), atol=1e-12)
    np.testing.assert_allclose(rate, of.mean() / 9)
    np.testing.assert_allclose(noise, of.var() / 81)


def test_effective_numbers_have_a_pit_between_those_of_whole_ones() -> None:
    eta = np.zeros((1, 1))
    whole = [module._binomial(eta, np.array([[y]]), np.array([[n]]))[1].item() for y, n in ((3.0, 8.0), (4.0, 8.0))]
    assert whole[0] < module._binomial(eta, np.array([[3.5]]), np.array([[8.0]]))[1].item() < whole[1]


def test_data_of_the_model_have_uniform_pits() -> None:
    """20 replicates of 70 counts: mean and variance of z within four standard errors, and Kolmogorov's distance."""
    fit = at_mode()
    marginal, hyper = marginal_of(fit)
    rng = np.random.default_rng(7)
    z, square = [], []
    for made in replicates(marginal, hyper, 20, rng):
        other = replace(marginal, scores=replace(marginal.scores, design=made))
        found = predicted(other, hyper)
        z.append(stats.norm.ppf(found.below + rng.uniform(size=len(found.below)) * (found.upto - found.below)))
        square.append(power(found.below, found.upto, 2))
    every = np.concatenate(z)
    assert np.concatenate(square).mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / len(every)) + 0.02)
    assert abs(every.mean()) < 4 / np.sqrt(len(every)) + 0.02
    assert abs(every.var() - 1) < 4 * np.sqrt(2 / len(every)) + 0.02
    assert stats.kstest(every, "norm").pvalue > 0.001


def test_powers_of_z_are_those_of_all_randomised_ones() -> None:
    """By quadrature over U, of a count in the middle, of none and of a sure one; narrow ones are plain quantiles."""
    below, upto = np.array([0.2, 0.0, 0.9, 0.3]), np.array([0.7, 0.6, 1.0, 0.3 + 1e-9])
    for k in (1, 2, 4):
        found = power(below, upto, k)
        for value, low, high in zip(found[:3], below, upto, strict=False):
            z = stats.norm.ppf(low + (np.arange(100_000) + 0.5) / 100_000 * (high - low))
            assert value == pytest.approx((z**k).mean(), rel=0.03)  # logarithms at the ends of U
        assert found[3] == pytest.approx(stats.norm.ppf(0.3) ** k, rel=1e-6)


def test_the_distance_of_sure_counts_is_that_of_kolmogorov() -> None:
    """Where F(y - 1) and F(y) are one, at cuts a hundredth apart; and 0 where U decides everything."""
    pit = np.random.default_rng(3).uniform(size=(4, 200))
    expected = [np.sqrt(200) * stats.kstest(row, "uniform").statistic for row in pit]
    np.testing.assert_allclose(distance(pit, pit), expected, atol=0.01 * np.sqrt(200))
    np.testing.assert_allclose(distance(np.zeros((1, 9)), np.ones((1, 9))), 0.0, atol=1e-12)


def test_no_seed_decides_what_is_left_over() -> None:
    """Of the data: replicates are drawn, what is found is not."""
    one, other = (leftover(at_mode(), replicates=15, seed=seed) for seed in (1, 2))
    for name in ("z", "square", "fourth", "predicted", "score"):
        np.testing.assert_array_equal(getattr(one, name)[0], getattr(other, name)[0])
    assert (one.z[1:] != other.z[1:]).any()
    values = [{(c.id, str(c.where)): c.value for c in checks(at_mode(), left)} for left in (one, other)]
    # `group` and the like are scaled by the replicates; these are of the data alone
    for kind in ("spread", "trend", "level", "shape", "tails", "calibration", "zeros"):
        pairs = {where: value for (name, where), value in values[0].items() if name == kind}
        assert pairs
        assert pairs == {where: value for (name, where), value in values[1].items() if name == kind}


@pytest.mark.parametrize(("kind", "by"), [("clean", None), ("clusters", "zeros"), ("bend", "bend")])
def test_what_is_wrong_is_seen(kind: str, by: str | None) -> None:
    found = checks(at_mode(kind), leftover(at_mode(kind), replicates=60))
    refused = {check.id for check in found if check.p < 0.05}
    assert {"zeros", "calibration", "spread", "shape"} <= {check.id for check in found}
    assert refused == set() if by is None else by in refused
    assert all(check.record(0.05)["meaning"] for check in found if check.p < 0.05)


def test_calibration_by_predicted_share() -> None:
    """Classes are in the order of what was predicted; their persons are all persons that are shown."""
    left = leftover(at_mode(), replicates=30)
    assert left.observed is not None
    assert left.size is not None
    shown = np.arange(len(left.rows)) >= 7
    table = calibration(left.rows, left.predicted, left.observed, left.size, shown)
    assert table["figures"].sum() == shown.sum()
    assert (table["figures"] >= 10).all()
    assert table["predicted"].is_monotonic_increasing
    assert ((table["lower"] <= table["upper"]) & (table["lower"] >= 0)).all()
    inside = table["observed"].between(table["lower"], table["upper"])
    assert inside.sum() >= len(table) - 1
    axes = plot_calibration(table)
    assert axes.get_xlabel() == "voorspeld"
    np.testing.assert_allclose(axes.lines[1].get_xydata()[:, 1], table["observed"])


def test_the_quality_report_of_counts_has_a_gate_of_counts() -> None:
    data = world()
    model = bs.AreaModel("1 + x", [bs.IID("area")], outcome=bs.Binomial())
    fit = bs.fit(model, data, progress=False, draws=400, hyperparameters=60)
    report = quality(bs.estimate(fit, rules=bs.Rules(min_residents=0)))
    assert report["gate"]["passed"]
    assert "checks" in {row["id"] for row in report["gate"]["checks"]}
    assert report["contributions"] == []
    assert any("not normal" in note for note in report["notes"])
    (row,) = report["left_out"]
    assert row["coverage_95"] == pytest.approx(0.95, abs=0.08)  # three standard errors of 70 areas
    # what an area's own people add: the estimate lies between the prediction without them and their own share
    own, seen = own_part(fit)[:, 0], np.nan_to_num(data.size[:, 0]) > 0
    share = fit.draws.scores().mean(axis=0)[:, 0]
    direct = np.divide(data.y[:, 0], data.size[:, 0], out=share.copy(), where=seen)
    assert (own[~seen] == 0).all()
    toward = np.sign(own) == np.sign(direct - (share - own))
    assert toward[seen & (np.abs(own) > 0.01)].all()


def test_a_gate_without_checks_says_so(tmp_path: Path) -> None:
    """Overdispersion is not known to the checks: a note, and a row in the report, instead of silence."""
    outcome = bs.Binomial(overdispersion=bs.Beta(1, 9))
    fit = bs.fit(bs.AreaModel("1", outcome=outcome), world(), progress=False, draws=200, hyperparameters=50)
    report = quality(
        bs.estimate(fit, rules=bs.Rules(min_residents=0)),
        run={"title": "t", "created": "2024-01-31T12:00:00Z", "run_id": "r", "versions": {}},
    )
    assert report["checks"] == []
    assert "checks" not in {row["id"] for row in report["gate"]["checks"]}
    said = "the checks of what the model leaves over were not made: checks know no overdispersion of counts"
    assert report["gate"]["unmade"] == said
    assert report["gate"]["unmade"].nl.startswith("de toetsen van wat het model overlaat zijn niet gedaan")
    assert said in report["notes"]
    write_quality(report, tmp_path)
    page = (tmp_path / "quality.html").read_text(encoding="utf-8")
    assert "niet gedaan" in page
    assert said in page


def test_other_errors_are_not_taken_for_a_missing_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fit: Fit) -> None:
        raise ValueError("something else")

    monkeypatch.setattr(report_module, "leftover", broken)
    with pytest.raises(ValueError, match="something else"):
        report_module._leftover(at_mode())


def hidden_in(at: list[int]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Forty areas in four classes of ten, by what is predicted; those at `at` are hidden."""
    rows, predicted_ = pd.DataFrame({"measure": ["y"] * 40}), np.linspace(0.1, 0.5, 40)
    told = ~np.isin(np.arange(40), at)
    rng = np.random.default_rng(5)
    mean = predicted_ + 0.01 * rng.normal(size=(21, 40))
    mean[0] = predicted_
    return rows, mean, rng.uniform(0.1, 0.5, (21, 40)), np.full(40, 7.0), told


@pytest.mark.parametrize(
    ("hidden", "figures"),
    [
        ([], [10, 10, 10, 10]),
        ([3, 17, 31], [10]),  # one in each of three classes: nine are left there, too few
        ([3, 4, 5], [10, 10, 10, 10]),  # three in one class: none follows
        ([3, 4, 17, 18, 19], [10, 10, 10]),
    ],
)
def test_a_class_tells_nothing_of_one_or_two_hidden_counts(hidden: list[int], figures: list[int]) -> None:
    rows, mean, observed, size, told = hidden_in(hidden)
    table = calibration(rows, mean, observed, size, told=told)
    assert table["figures"].tolist() == figures
    for k in hidden:  # another count of one that is alone, or of two, changes no figure
        among = [other for other in hidden if other // 10 == k // 10]
        moved = observed.copy()
        moved[0, k] += 0.3
        same = table.equals(calibration(rows, mean, moved, size, told=told))
        assert same == (len(among) < 3)


def test_a_class_without_its_hidden_areas_is_of_the_others() -> None:
    rows, mean, observed, size, _ = hidden_in([])
    rows, mean, observed, size = pd.concat([rows] * 3), *(np.tile(part, 3) for part in (mean, observed, size))
    told = ~np.isin(np.arange(120), [5])
    table = calibration(rows.reset_index(drop=True), mean, observed, size, told=told)
    assert table["figures"].tolist() == [12, 11, *[12] * 8]


def test_the_report_rounds_shares_of_classes() -> None:
    fit = bs.fit(bs.AreaModel("1", outcome=bs.Binomial()), world(), progress=False, draws=200, hyperparameters=50)
    report = quality(bs.estimate(fit, rules=bs.Rules(min_residents=0)))
    assert report["calibration"]
    for row in report["calibration"]:
        assert all(row[name] == round(row[name], 2) for name in ("predicted", "observed", "lower", "upper"))


@pytest.mark.parametrize(("hidden", "made"), [(0, True), (3, False), (9, False), (10, True)])
def test_areas_with_nobody_are_counted_among_ten_hidden_ones_only(
    hidden: int, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of areas that are open somebody answered yes: how many did not would be of hidden ones."""
    fit = at_mode()
    left = leftover(fit, replicates=20)
    release = bs.estimate(fit, rules=bs.Rules(min_residents=0, min_direct=0, min_answers=0)).release
    told = np.arange(len(left.rows)) >= hidden
    monkeypatch.setattr(type(release), "open_of_sources", lambda self, rows, direct: told)
    assert ("zeros" in {check.id for check in checks(fit, left, release)}) is made


def test_figures_of_persons_are_not_conditioned_again() -> None:
    """What is left over, and what estimates lean on, are of the model of persons; that of areas refuses them."""
    rng, codes = np.random.default_rng(3), [f"a{k:02}" for k in range(12)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 80}), code="code")
    table = pd.DataFrame({"area": np.repeat(codes, 2), "k": ["0", "1"] * 12, "aantal": 40})
    cells = bs.Cells.from_frame(table, areas, area="area")
    asked = pd.DataFrame({"area_code": np.repeat(codes, 10), "k": ["0", "1"] * 60, "y": 100 * rng.integers(0, 2, 120)})
    model, answers = bs.UnitModel(persons=[bs.Factor("k")], terms=[bs.IID("area")]), bs.Answers.of(asked, "y", cells)
    fit = bs.fit_persons(model, answers, cells, progress=False, draws=200, hyperparameters=50).fit_of()
    assert fit.design.size is not None
    est = bs.estimate(fit)
    with pytest.raises(ModelError, match="a model of persons"):
        own_part(fit)
    assert "composition" in leaning(est)
    assert len(leftover(fit, replicates=5).rows) == len(codes)


def test_shares_beside_scores() -> None:
    """Counts of respondents in a fit with scores: what is left over of the counts, given the scores."""
    rng, areas = np.random.default_rng(2), make_areas()
    (scores,) = make_scores(areas, bs.Concept.load().subdimensions[:2], 1, rng)
    first, second = bs.Concept.load().subdimensions[:2]
    frame = scores.frame.assign(
        **{first: np.where(scores.frame[first].isna(), np.nan, 100.0 * (scores.frame[first] > 6))}
    )
    data = bs.direct([replace(scores, frame=frame)], areas)
    outcome = PerMeasure({first: bs.Binomial(scale=bs.Scale(0, 100, "%", "%")), second: bs.Gaussian((0, 10))})
    fit = looked_at(data, bs.AreaModel("1", [bs.IID("buurt")], outcome=outcome))
    left = leftover(fit, replicates=20)
    assert set(left.rows["measure"]) == {first}
    assert left.observed is not None
    source = data.sources[0]
    seen = np.isfinite(source.mean[:, 0])
    np.testing.assert_allclose(left.observed[0], source.mean[seen, 0] / 100)
    # 20 x 20 correlated z: their spread is that of normal ones within a quarter
    assert left.z[1:].std() == pytest.approx(1.0, abs=0.25)
    assert checks(fit, left)
