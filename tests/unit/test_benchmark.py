"""Draws that agree with published figures: identities, references by optimisers, closed forms, coverage, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from made_fit import EMPTY, ISLAND, SUBDIMENSIONS, Made, made_fit
from scipy.optimize import LinearConstraint, minimize
from scipy.stats import norm

from buurtsae.draws import Draws
from buurtsae.errors import BuurtsaeError, DataError, ModelError, ProblemsError
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.benchmark.constraints import Nearest, gain, independent, reconcile, spread, tilt
from buurtsae.estimates.summary import estimate, level_draws
from buurtsae.sparse import Floats
from buurtsae.survey.concept import Concept

CONCEPT = Concept.load()
FIRST, SECOND = SUBDIMENSIONS[:2]
TOTAL = CONCEPT.measures[-1]
DIMENSION = next(m for m in CONCEPT.measures if 1 < len(CONCEPT.leaves(m)) < len(SUBDIMENSIONS))
EXACT = 1e-10  # promised for every draw


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


def means(made: Made, level: str, measure: str, up: float = 0.0) -> list[tuple[str, str, str, float]]:
    """Posterior means at a level, plus something: figures that agree with each other over levels and measures."""
    for m, lv, labels, values in level_draws(made.fit, CONCEPT):
        if (lv, m) == (level, measure):
            return [(level, code, measure, v + up) for code, v in zip(labels, values.mean(axis=0), strict=True)]
    raise AssertionError(f"no {measure} at {level}")


def read(made: Made, rows: list[tuple[Any, ...]] | pd.DataFrame) -> Benchmarks:
    if not isinstance(rows, pd.DataFrame):
        rows = pd.DataFrame(rows, columns=["level", "area_code", "measure", "value", "se"][: len(rows[0])])
    return Benchmarks.read(rows, made.fit.areas, CONCEPT, made.fit.draws.subdimensions, exact=True)


def constrained(draws: Draws, to: Benchmarks) -> Floats:
    """C eta per draw (S, K), computed from the levels and the concept, not from the matrix of the benchmarks."""
    out = {}
    for measure, level in {(m, lv) for lv, _, m in to.table[["level", "area_code", "measure"]].to_numpy()}:
        row = CONCEPT.matrix_of(draws.subdimensions).loc[measure].to_numpy()
        labels, matrix = to.areas.aggregation(level)
        by_code = pd.Index(draws.areas).get_indexer(to.areas.codes)
        for code, values in zip(labels, matrix @ (draws.flat @ row)[:, by_code].T, strict=True):
            out[level, code, measure] = values
    return np.column_stack([out[tuple(k)] for k in to.table[["level", "area_code", "measure"]].to_numpy()])


SEVERAL = {  # several levels and measures, with and without redundant ones; sizes are points
    "country": lambda m: means(m, "land", TOTAL, 0.2),
    "gemeenten": lambda m: means(m, "gemeente", FIRST, -0.3),
    "two measures": lambda m: means(m, "gemeente", FIRST, 0.3) + means(m, "land", TOTAL, -0.1),
    "gemeenten and country": lambda m: means(m, "gemeente", FIRST, 0.2) + means(m, "land", FIRST, 0.2),
    "crossing levels": lambda m: means(m, "wijk", TOTAL, 0.2)[:4] + means(m, "ggdregio", TOTAL, 0.1),
    "total and all its parts": lambda m: [r for d in CONCEPT.measures for r in means(m, "gemeente", d, 0.2)],
    "buurten": lambda m: means(m, "buurt", SECOND, 0.1)[:5] + means(m, "gemeente", SECOND, 0.1),
}


@pytest.mark.parametrize("which", SEVERAL)
@pytest.mark.parametrize("covariance", ["variances", "identity", "residents", "posterior"])
def test_exact_benchmarks_hold_in_every_draw(made: Made, which: str, covariance: Any) -> None:
    to = read(made, SEVERAL[which](made))
    found = benchmark(made.fit, to, covariance=covariance)
    assert np.abs(constrained(found.draws, to) - to.value).max() < EXACT
    assert found.draws.flat.min() >= 0
    assert found.draws.flat.max() <= 10
    assert found.original is made.fit.draws  # kept as they were
    assert found.draws.eta.shape == made.fit.draws.eta.shape
    assert found.draws.hyper == made.fit.draws.hyper


@pytest.mark.parametrize("method", ["difference", "ratio"])
def test_difference_and_ratio_change_all_buurten_of_a_benchmark_alike(made: Made, method: Any) -> None:
    to = read(made, means(made, "gemeente", FIRST, 0.3) + means(made, "land", SECOND, -0.3))
    found = benchmark(made.fit, to, method=method)
    assert np.abs(constrained(found.draws, to) - to.value).max() < EXACT
    before, after = made.fit.draws.flat, found.draws.flat
    gm = made.fit.areas.parents("gemeente").to_numpy()
    inside = (before > 1).all(axis=(1, 2)) & (before < 9).all(axis=(1, 2))  # where no score meets an end
    assert inside.sum() > 1000
    changed = (after - before if method == "difference" else after / before)[inside]
    inhabited = made.fit.areas.inhabited
    for code in np.unique(gm):
        part = changed[:, inhabited & (gm == code), 0]
        assert np.ptp(part, axis=1).max() < EXACT
    assert np.ptp(changed[:, inhabited, 1], axis=1).max() < EXACT
    np.testing.assert_array_equal(after[:, :, 2:], np.clip(before[:, :, 2:], 0, 10))  # in no benchmark
    np.testing.assert_array_equal(after[:, ~inhabited], np.clip(before[:, ~inhabited], 0, 10))


def test_without_bounds_minimum_distance_is_the_generalised_least_squares_solution(made: Made) -> None:
    """eta + W C'(C W C')^{-1} (t - C eta), by dense algebra; W posterior variances."""
    to = read(made, means(made, "gemeente", FIRST, 0.1) + means(made, "land", TOTAL, 0.1))
    before = made.fit.draws.flat
    inside = (before > 1.5).all(axis=(1, 2)) & (before < 8.5).all(axis=(1, 2))
    assert inside.sum() > 500
    flat = np.clip(before, 0, 10).reshape(len(before), -1)
    c, w = to.matrix.toarray(), np.diag(flat.var(axis=0))
    expected = flat + (to.value - flat @ c.T) @ np.linalg.solve(c @ w @ c.T, c @ w)
    after = benchmark(made.fit, to).draws.flat.reshape(flat.shape)
    np.testing.assert_allclose(after[inside], expected[inside], rtol=0, atol=EXACT)


def assert_conditioned(found: Draws, made: Made, to: Benchmarks, *, shared: bool) -> None:
    """The draws have the moments of the Gaussian posterior given t = C eta + N(0, S), or, shared, with C eta ~ N(t, S).

    Mean: five Monte Carlo standard errors, sqrt((1 + g'(C V C' + error)^{-1} g) / n) in posterior sds with g the change
    that is asked, as the gain is estimated from the draws too. An sd: five times its relative error 1 / sqrt(2 n).
    """
    v, c = made.covariance, to.matrix.toarray()
    gap, total = to.value - c @ made.mean.ravel(), c @ v @ c.T + (0 if shared else to.covariance)
    k = v @ c.T @ np.linalg.inv(total)
    mean, variance = (
        made.mean.ravel() + k @ gap,
        np.diag(v - k @ c @ v + (k @ to.covariance @ k.T if shared else 0)).clip(0),
    )
    flat, prior = found.flat.reshape(len(found.flat), -1), np.sqrt(np.diag(v))
    n, lift = len(flat), 1 + gap @ np.linalg.solve(total, gap)
    assert np.abs((flat.mean(axis=0) - mean) / prior).max() < 5 * np.sqrt(lift / n)
    assert np.abs((flat.std(axis=0) - np.sqrt(variance)) / prior).max() < 5 / np.sqrt(2 * n)


def test_posterior_covariance_gives_the_exact_conditional_of_a_gaussian(made: Made) -> None:
    for se in (0.0, 0.2):  # the second by Jeffrey's rule
        to = read(made, [(*r, se) for r in means(made, "gemeente", FIRST, 0.1)])
        assert_conditioned(benchmark(made.fit, to, covariance="posterior").draws, made, to, shared=True)


def box_problem(seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Scores near the end of the scale, overlapping constraints and targets that can be met, some only just."""
    rng = np.random.default_rng(seed)
    c = rng.dirichlet(np.ones(12), size=3) * (rng.uniform(size=(3, 12)) < 0.6)
    c /= c.sum(axis=1, keepdims=True)
    eta, w = np.clip(rng.normal(8, 1.5, 12), 0, 10), rng.uniform(0.1, 2, 12)
    return eta, c, c @ np.clip(eta + rng.normal(1.5, 1, 12), 0, 10), w


@pytest.mark.parametrize("steps", [10, 0])  # with steps of one factor first, and Newton only
def test_where_bounds_bind_it_is_the_solution_of_the_quadratic_program(steps: int) -> None:
    bound = 0
    for seed in range(10):
        eta, c, t, w = box_problem(seed)
        ours = Nearest(sp.csr_array(c), w)(eta[None], t[None], steps)[0]
        solution = minimize(
            lambda x, eta=eta, w=w: ((x - eta) ** 2 / w).sum(),
            eta,
            jac=lambda x, eta=eta, w=w: 2 * (x - eta) / w,
            bounds=[(0, 10)] * 12,
            constraints=LinearConstraint(c, t, t),
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert np.abs(c @ ours - t).max() < EXACT
        np.testing.assert_allclose(ours, solution.x, rtol=0, atol=1e-5)  # SLSQP stops at about 1e-7
        bound += int((ours == 10).sum())
    assert bound > 10


def test_the_solution_with_bounds_meets_the_optimality_conditions() -> None:
    """x - eta = W (C'mu + nu), nu <= 0 only at 10 and >= 0 only at 0: the stationary point of a convex program."""
    for seed in range(20):
        eta, c, t, w = box_problem(seed)
        x = Nearest(sp.csr_array(c), w)(eta[None], t[None])[0]
        free = (x > 0) & (x < 10)
        pull = (x - eta) / w
        mu = np.linalg.lstsq(c[:, free].T, pull[free], rcond=None)[0]
        nu = pull - c.T @ mu
        assert np.abs(nu[free]).max(initial=0) < 1e-8
        assert (nu[x == 10] < 1e-8).all()
        assert (nu[x == 0] > -1e-8).all()


@pytest.mark.parametrize("target", [0.0, 10.0, 9.999])
def test_a_figure_at_the_end_of_the_scale_can_be_met(target: float) -> None:
    rng = np.random.default_rng(3)
    c = sp.csr_array(rng.dirichlet(np.ones(30))[None])
    eta, goal = rng.uniform(3, 9, (5, 30)), np.full((5, 1), target)
    for x in (Nearest(c, rng.uniform(0.1, 1, 30))(eta, goal), spread(eta, c, goal, ratio=False)):
        assert np.abs((c @ x.T).T - target).max() < EXACT
        assert x.min() >= 0
        assert x.max() <= 10


@pytest.mark.parametrize("ratio", [False, True])
def test_spreading_equals_bisection_of_the_amount(ratio: bool) -> None:
    rng = np.random.default_rng(4)
    c = np.zeros((2, 12))
    c[0, :5], c[1, 5:] = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(7))
    eta = rng.uniform(0.1, 9.9, (20, 12))
    target = np.column_stack([rng.uniform(8.5, 9.9, 20), rng.uniform(0.1, 1.5, 20)])  # bounds bind on both sides
    x = spread(eta, sp.csr_array(c), target, ratio=ratio)
    assert np.abs(x @ c.T - target).max() < EXACT
    assert ((x == 10) | (x == 0)).any() or ratio
    for k, members in enumerate(c > 0):
        low, high = np.full((20, 1), -10.0 + 10 * ratio), np.full((20, 1), 10.0 + 1000 * ratio)
        old = eta[:, members]
        for _ in range(80):  # 1010 / 2^80 is nothing
            middle = (low + high) / 2
            new = np.clip(old * middle if ratio else old + middle, 0, 10)
            above = (new @ c[k, members] > target[:, k])[:, None]
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        np.testing.assert_allclose(x[:, members], new, rtol=0, atol=1e-8)


def test_scores_in_a_benchmark_keep_within_the_ends_and_others_are_left(made: Made) -> None:
    wild = replace(made.fit.draws, eta=made.fit.draws.eta * 5 - 25)  # many outside 0-10
    to = read(made, [("land", "NL00", FIRST, 6.0), ("gemeente", "GM0355", FIRST, 8.0), ("land", "NL00", TOTAL, 5.0)])
    assert ((wild.flat < 0) | (wild.flat > 10)).mean() > 0.1
    found = benchmark(wild, to)
    assert np.abs(constrained(found.draws, to) - to.value).max() < EXACT
    live = made.fit.areas.inhabited  # all scores of these are in the country's total
    assert found.draws.flat[:, live].min() == 0
    assert found.draws.flat[:, live].max() == 10
    np.testing.assert_array_equal(found.draws.flat[:, ~live], wild.flat[:, ~live])


def test_buurten_that_are_known_well_move_least(made: Made) -> None:
    to = read(made, means(made, "gemeente", FIRST, 0.2))
    shift = benchmark(made.fit, to).shift.set_index(["level", "measure", "area_code"])["shift"].sort_index()
    inside = made.fit.areas.parents("gemeente")[made.fit.areas.inhabited] == "GM0344"
    codes = inside.index[inside]
    residents = made.fit.areas.frame.loc[codes, "population"]
    variance = pd.Series(made.fit.draws.flat[:, :, 0].var(axis=0), index=made.fit.areas.codes)[codes]
    moved = shift["buurt", FIRST][codes]
    # W C'mu: in proportion to variance x residents, up to draws that meet an end
    ratio = moved / (variance * residents)
    assert np.ptp(ratio) / ratio.mean() < 1e-6
    assert moved.max() / moved.min() > 3


def test_draws_in_another_order_of_areas_and_subdimensions_give_the_same(made: Made) -> None:
    to = read(made, [(*r, 0.1) for r in SEVERAL["gemeenten and country"](made)])
    rng = np.random.default_rng(5)
    draws, area, dim = made.fit.draws, rng.permutation(25), rng.permutation(4)
    other = replace(
        draws,
        eta=draws.eta[:, :, area][..., dim],
        areas=tuple(np.array(draws.areas)[area]),
        subdimensions=tuple(np.array(draws.subdimensions)[dim]),
    )
    for options in ({}, {"covariance": "residents"}, {"covariance": "posterior"}, {"respondents": "independent"}):
        one, two = benchmark(draws, to, **options), benchmark(other, to, **options)
        np.testing.assert_allclose(two.draws.eta, one.draws.eta[:, :, area][..., dim], rtol=0, atol=1e-9)
        key = ["level", "area_code", "measure"]
        pd.testing.assert_frame_equal(
            two.shift.sort_values(key, ignore_index=True), one.shift.sort_values(key, ignore_index=True), atol=1e-9
        )


def test_benchmarks_in_another_order_give_the_same(made: Made) -> None:
    rows = SEVERAL["two measures"](made)
    one, two = (benchmark(made.fit, read(made, r)) for r in (rows, rows[::-1]))
    np.testing.assert_allclose(two.draws.eta, one.draws.eta, rtol=0, atol=1e-9)


def test_shift_and_strain_say_what_benchmarking_does(made: Made) -> None:
    rows = [(*r, 0.1) for r in means(made, "gemeente", FIRST, 0.5)]
    to = read(made, rows)
    found = benchmark(made.fit, to)
    before = constrained(made.fit.draws, to)
    strain = found.strain
    np.testing.assert_allclose(strain["mean"], before.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(strain["sd"], before.std(axis=0, ddof=1), rtol=1e-12)
    z = 0.5 / np.sqrt(before.var(axis=0, ddof=1) + 0.01)
    np.testing.assert_allclose(strain["z"], z, rtol=1e-9)
    np.testing.assert_allclose(strain["p"], 2 * norm.sf(z), rtol=1e-9)
    assert strain["strains"].tolist() == (z > 2).tolist()
    assert strain["strains"].nunique() == 2  # 0.5 is much for a large gemeente, not for the island
    shift = found.shift.set_index(["level", "area_code", "measure"]).sort_index()
    assert len(shift) == 37 * 7  # areas with residents at every level, all measures
    own = shift.loc[[tuple(k) for k in to.table[["level", "area_code", "measure"]].to_numpy()]]
    np.testing.assert_allclose(own["shift"], 0.5, rtol=0, atol=EXACT)  # errors have mean zero
    np.testing.assert_allclose(own["shift_in_sd"], 0.5 / own["sd_before"], rtol=1e-9)
    np.testing.assert_allclose(own["sd_before"], strain["sd"], rtol=1e-9)
    untouched = shift.xs(SECOND, level="measure")
    assert (untouched["shift"] == 0).all()
    total = shift.xs(TOTAL, level="measure").loc[("land", "NL00")]
    weight = CONCEPT.matrix_of(SUBDIMENSIONS).loc[TOTAL, FIRST]
    np.testing.assert_allclose(total["shift"], 0.5 * weight, rtol=1e-9)
    assert f"{strain['strains'].sum()} of 3 benchmarks strain" in repr(found)


def test_standard_errors_become_those_of_the_draws_and_the_seed_decides(made: Made) -> None:
    rows = [(*r, se) for r, se in zip(means(made, "gemeente", FIRST, 0.2), (0.05, 0.2, 0.4), strict=True)]
    to = read(made, rows)
    one, again, other = (benchmark(made.fit, to, seed=s) for s in (None, made.fit.seed, 2))
    np.testing.assert_array_equal(one.draws.eta, again.draws.eta)
    assert np.abs(one.draws.eta - other.draws.eta).max() > 0.01
    values = constrained(one.draws, to)
    np.testing.assert_allclose(values.mean(axis=0), to.value, rtol=0, atol=EXACT)
    # an sd of n draws has relative standard error 1 / sqrt(2 n): five of these
    np.testing.assert_allclose(values.std(axis=0), to.se, rtol=5 / np.sqrt(2 * len(values)))


def test_dependent_figures_with_errors_are_reconciled_by_least_squares(made: Made) -> None:
    """Two gemeenten's worth of errors against the whole: C eta given that figures agree has a closed form."""
    rows = [(*r, 0.3) for r in means(made, "gemeente", FIRST, 0.2)] + [(*r, 0.2) for r in means(made, "land", FIRST)]
    to = read(made, rows)
    values = constrained(benchmark(made.fit, to).draws, to)
    share = to.matrix.toarray()  # gemeenten first, then the country, which is their mean
    weights = np.array([share[3][c > 0].sum() for c in share[:3]])
    null = np.r_[-weights, 1.0]
    s = np.diag(to.se**2)
    gain_ = s @ null / (null @ s @ null)
    np.testing.assert_allclose(values.mean(axis=0), to.value - gain_ * (null @ to.value), rtol=0, atol=1e-9)
    sd = np.sqrt(np.diag(s - np.outer(gain_, null) @ s))
    np.testing.assert_allclose(values.std(axis=0), sd, rtol=5 / np.sqrt(2 * len(values)))


def test_an_exact_figure_decides_what_depends_on_it(made: Made) -> None:
    rows = [(*r, 0.3) for r in means(made, "gemeente", FIRST, 0.2)] + [(*r, 0.0) for r in means(made, "land", FIRST)]
    to = read(made, rows)
    assert to.table["level"].tolist() == ["land", *["gemeente"] * 3]
    values = constrained(benchmark(made.fit, to).draws, to)
    assert np.abs(values[:, 0] - to.value[0]).max() < EXACT
    assert values[:, 1:].std(axis=0).min() > 0.05


def test_independent_figures_update_by_the_rule_of_bayes(made: Made) -> None:
    to = read(made, [(*r, 0.2) for r in means(made, "gemeente", FIRST, 0.3)])
    found = benchmark(made.fit, to, respondents="independent")
    assert_conditioned(found.draws, made, to, shared=False)


# --- coverage: Fay-Herriot with a flat prior on the mean, its posterior in closed form ---

AREAS, REPLICATES, A = 40, 4000, 0.5
Z95 = norm.ppf(0.975)


@pytest.fixture(scope="module")
def fay_herriot() -> dict[str, Floats]:
    """theta_i ~ N(mu, A), y_i ~ N(theta_i, D_i), t = w'y with se^2 = w'Dw: the same respondents."""
    rng = np.random.default_rng(20240607)
    d, w = rng.uniform(0.1, 1.0, AREAS), rng.dirichlet(np.full(AREAS, 3.0))
    theta = 6 + np.sqrt(A) * rng.normal(size=(REPLICATES, AREAS))
    y = theta + np.sqrt(d) * rng.normal(size=theta.shape)
    precision = 1 / (A + d)
    mu = y @ precision / precision.sum()
    b = d / (A + d)
    v = np.diag(A * b) + np.outer(b, b) / precision.sum()  # g1 and g2 (Rao and Molina 2015, ch. 6)
    return {"theta": theta, "w": w, "m": (1 - b) * y + b * mu[:, None], "v": v, "t": y @ w, "se2": w**2 @ d}


def coverage(fh: dict[str, Floats], *, independent: bool) -> tuple[float, float]:
    """Of 95% intervals of the areas and of their weighted mean, from the moments that updated draws have.

    Shared: eta + k (t + se e - w'eta), k = V w / w'V w, so mean m + k (t - w'm), covariance V - k w'V + k k' se^2.
    """
    w, v, se2 = fh["w"], fh["v"], fh["se2"]
    k = gain((v @ w)[:, None], (w @ v @ w)[None, None], se2 if independent else 0.0)[:, 0]
    mean = fh["m"] + np.outer(fh["t"] - fh["m"] @ w, k)
    left = np.eye(AREAS) - np.outer(k, w)
    cov = left @ v @ left.T + np.outer(k, k) * se2
    inside = np.abs(fh["theta"] - mean) < Z95 * np.sqrt(np.diag(cov))
    group = np.abs(fh["theta"] @ w - mean @ w) < Z95 * np.sqrt(w @ cov @ w)
    return float(inside.mean()), float(group.mean())


def test_with_shared_respondents_intervals_are_nominal(fay_herriot: dict[str, Floats]) -> None:
    """Exactly so: t - w'm is a function of y with variance se^2 - w'Vw, what the update adds to V - k w'V."""
    areas, group = coverage(fay_herriot, independent=False)
    # four binomial standard errors of one group per replicate (0.014); the areas' mean varies less, correlated or not
    error = 4 * np.sqrt(0.95 * 0.05 / REPLICATES)
    assert abs(group - 0.95) < error
    assert abs(areas - 0.95) < error


def test_as_if_independent_the_group_is_covered_too_seldom(fay_herriot: dict[str, Floats]) -> None:
    """By a computable amount: with v = w'Vw the claimed variance is v se^2 / (v + se^2), the true one larger."""
    _, group = coverage(fay_herriot, independent=True)
    w, v, se2 = fay_herriot["w"], fay_herriot["v"], fay_herriot["se2"]
    vw = w @ v @ w
    claimed, true = vw * se2 / (vw + se2), vw + (vw / (vw + se2)) ** 2 * (se2 - vw)
    expected = 2 * norm.cdf(Z95 * np.sqrt(claimed / true)) - 1
    assert expected < 0.87
    assert abs(group - expected) < 4 * np.sqrt(expected * (1 - expected) / REPLICATES)


def test_independent_respondents_are_covered_nominally_by_the_independent_rule(fay_herriot: dict[str, Floats]) -> None:
    rng = np.random.default_rng(6)
    se = np.sqrt(fay_herriot["se2"])
    other = fay_herriot | {"t": fay_herriot["theta"] @ fay_herriot["w"] + se * rng.normal(size=REPLICATES)}
    areas, group = coverage(other, independent=True)
    error = 4 * np.sqrt(0.95 * 0.05 / REPLICATES)
    assert abs(group - 0.95) < error
    assert abs(areas - 0.95) < error
    # the shared rule throws away what the model knows: its variance is se^2, and Bayes' is smaller
    assert coverage(other, independent=False)[1] == pytest.approx(0.95, abs=error)


# --- tilting ---


def test_tilting_a_gaussian_shifts_it() -> None:
    """exp(gamma x) N(m, s^2) is N(m + gamma s^2, s^2), so that any t is met by gamma = (t - m) / s^2."""
    x = norm.ppf((np.arange(20_000) + 0.5) / 20_000)  # a grid of quantiles: moments to about 1e-3, tails cut at 4
    w = tilt(x[:, None], np.array([0.5]))
    assert w is not None
    assert abs(w @ x - 0.5) < EXACT
    assert abs(w @ (x - 0.5) ** 2 - 1) < 5e-3
    gamma = np.polyfit(x, np.log(w), 1)[0]
    assert abs(gamma - 0.5) < 5e-3
    # 1 / (n sum w^2) = exp(-t^2) for a unit normal
    assert abs(1 / (w**2).sum() / len(x) - np.exp(-0.25)) < 5e-3


def test_tilting_to_a_variance_gives_that_normal() -> None:
    x = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    w = tilt(np.c_[x, (x - 0.3) ** 2], np.array([0.3, 0.25]))
    assert w is not None
    assert abs(w @ x - 0.3) < EXACT
    assert abs(w @ (x - 0.3) ** 2 - 0.25) < EXACT
    for q in (0.1, 0.5, 0.9):
        assert abs(w[x <= norm.ppf(q, 0.3, 0.5)].sum() - q) < 1e-3  # N(0.3, 0.5^2), on a grid of 20 000


def test_tilted_draws_agree_on_average(made: Made) -> None:
    to = read(made, means(made, "gemeente", FIRST, 0.1) + means(made, "land", FIRST, 0.1))
    found = benchmark(made.fit, to, method="tilting")
    assert found.weights is not None
    before = constrained(made.fit.draws, to)
    assert np.abs(found.weights @ before - to.value).max() < EXACT
    assert found.effective == pytest.approx(1 / (found.weights**2).sum())
    assert 100 < found.effective < 2000
    # each draw is taken within 1 of n w_s times: the mean is off by at most sum |x - t| / n, and far less by chance
    sd = before.std(axis=0)
    assert np.abs((constrained(found.draws, to).mean(axis=0) - to.value) / sd).max() < 5 / np.sqrt(len(before))
    originals = {tuple(row) for row in made.fit.draws.flat[:, 0].round(9)}
    assert {tuple(row) for row in found.draws.flat[:, 0].round(9)} <= originals
    sigma = dict(zip(made.fit.draws.flat[:, 0, 0], made.fit.draws.hyper["BYM2.sigma"][1].reshape(-1, 4), strict=True))
    for score, value in zip(
        found.draws.flat[:20, 0, 0], found.draws.hyper["BYM2.sigma"][1].reshape(-1, 4), strict=False
    ):
        np.testing.assert_array_equal(sigma[score], value)  # hyperparameters stay with their scores


def test_tilting_meets_standard_errors_too(made: Made) -> None:
    sd = constrained(made.fit.draws, read(made, means(made, "land", FIRST))).std()
    to = read(made, [(*means(made, "land", FIRST, sd / 2)[0], sd)])
    found = benchmark(made.fit, to, method="tilting")
    x = constrained(made.fit.draws, to)[:, 0]
    assert found.weights is not None
    assert found.weights @ (x - to.value[0]) ** 2 == pytest.approx(sd**2, abs=EXACT)


def test_tilting_refuses_what_the_draws_do_not_hold(made: Made) -> None:
    with pytest.raises(ModelError, match="no weights of the draws"):
        benchmark(made.fit, read(made, [("land", "NL00", FIRST, 9.5)]), method="tilting")
    x = constrained(made.fit.draws, to := read(made, means(made, "land", FIRST)))[:, 0]
    edge = read(made, [(*to.table.iloc[0, :3], np.sort(x)[-3])])
    with pytest.raises(ModelError, match="too few draws"):
        benchmark(made.fit, edge, method="tilting")
    assert benchmark(made.fit, edge, method="tilting", min_effective=1).effective < 50  # type: ignore[operator]


# --- from direct estimates ---


def test_direct_estimates_of_large_areas_are_benchmarks(made: Made) -> None:
    found = Benchmarks.of_direct(made.fit, "gemeente", CONCEPT, min_respondents=50)
    totals = made.fit.direct.totals("gemeente", CONCEPT).set_index(["area_code", "measure"])
    table = found.table.set_index(["area_code", "measure"])
    assert set(table.index.get_level_values(0)) == {"GM0344", "GM0355"}  # the island has at most 18 respondents
    assert set(table.index.get_level_values(1)) == set(SUBDIMENSIONS)
    pd.testing.assert_series_equal(table["value"], totals.loc[table.index, "direct"], check_names=False)
    pd.testing.assert_series_equal(table["se"], totals.loc[table.index, "direct_se"], check_names=False)
    # errors of sub-dimensions of one person go together: the total's variance is that of the design
    weights = CONCEPT.matrix_of(SUBDIMENSIONS).loc[TOTAL]
    for code in ("GM0344", "GM0355"):
        own = (found.table["area_code"] == code).to_numpy()
        row = weights[found.table["measure"]].to_numpy() * own
        assert np.sqrt(row @ found.covariance @ row) == pytest.approx(totals.loc[(code, TOTAL), "direct_se"], rel=1e-9)
    other = found.table["area_code"].to_numpy()
    assert np.abs(found.covariance[other[:, None] != other]).max() == 0
    result = benchmark(made.fit, found)
    assert "independent" not in repr(result)
    mean = constrained(result.draws, found).mean(axis=0)
    np.testing.assert_allclose(mean, found.value, rtol=0, atol=1e-6)
    shift = result.shift.set_index(["level", "area_code", "measure"]).sort_index()
    expected = totals.loc[("GM0344", TOTAL), "direct_se"]
    # five relative standard errors of an sd
    assert shift.loc[("gemeente", "GM0344", TOTAL), "sd_after"] == pytest.approx(expected, rel=5 / np.sqrt(4000))


def test_direct_estimates_refuse_to_be_independent_and_need_respondents(made: Made) -> None:
    with pytest.raises(ModelError, match="own respondents"):
        benchmark(made.fit, Benchmarks.of_direct(made.fit, "land", CONCEPT, 50), respondents="independent")
    with pytest.raises(DataError, match="no gemeente can be a benchmark"):
        Benchmarks.of_direct(made.fit, "gemeente", CONCEPT, min_respondents=10_000)


# --- input that is wrong ---


def problems(error: BuurtsaeError) -> list[str]:
    return [str(p) for p in error.problems] if isinstance(error, ProblemsError) else [str(error)]


def test_everything_that_is_wrong_is_said_at_once(made: Made) -> None:
    rows = [
        ("provincie", "PV26", FIRST, 6, 0),
        ("gemeente", "GM9999", FIRST, 6, 0),
        ("buurt", EMPTY, FIRST, 6, 0),
        ("gemeente", "GM0344", "geluk", 6, 0),
        ("gemeente", "GM0344", FIRST, 62, 0),
        ("gemeente", "GM0355", FIRST, 6, -0.1),
        ("gemeente", "GM0355", SECOND, 6, -1e-9),
        ("gemeente", "GM0355", FIRST, 6, 0),
        ("land", "NL00", FIRST, np.nan, 0),
    ]
    with pytest.raises(ProblemsError) as raised:
        read(made, rows)
    found = problems(raised.value)
    for part in (
        "unknown level\n  got provincie",
        "unknown gemeente\n  got GM9999",
        f"buurt without residents\n  got {EMPTY}",
        "unknown measure\n  got geluk",
        f"no score\n  got gemeente GM0344 {FIRST}, land NL00 {FIRST}",
        f"impossible standard error\n  got gemeente GM0355 {FIRST}, gemeente GM0355 {SECOND}",
        f"given twice\n  got gemeente GM0355 {FIRST}",
    ):
        assert any(part in f for f in found), part
    assert len(found) == 7


def test_a_table_without_columns_rows_or_numbers_is_refused(made: Made) -> None:
    with pytest.raises(DataError, match="lack columns"):
        read(made, pd.DataFrame({"level": ["land"], "area_code": ["NL00"]}))
    with pytest.raises(DataError, match="no benchmarks"):
        read(made, pd.DataFrame(columns=["level", "area_code", "measure", "value"]))
    with pytest.raises(DataError, match="value is no number"):
        read(made, [("land", "NL00", FIRST, "hoog")])


@pytest.mark.parametrize("se", [{}, {"se": 0.0}, {"se": 1e-9}, {"se": 0.00099}, {"se": np.nan}, {"se": ""}])
def test_that_figures_are_exact_must_be_said(made: Made, se: dict[str, object]) -> None:
    """No published figure is known to 0.001: less is 0 in other words; an empty cell is no standard error."""
    rows = pd.DataFrame([{"level": "land", "area_code": "NL00", "measure": FIRST, "value": 6.0, **se}])
    with pytest.raises(DataError) as raised:
        Benchmarks.read(rows, made.fit.areas, CONCEPT, SUBDIMENSIONS)
    assert raised.value.what == "benchmarks have no standard error"
    assert raised.value.got == f"land NL00 {FIRST}"
    assert "exact = true" in raised.value.hint
    assert Benchmarks.read(rows, made.fit.areas, CONCEPT, SUBDIMENSIONS, exact=True).se.tolist() == [0.0]


def test_a_row_that_equals_an_exact_figure_says_so(made: Made) -> None:
    to = read(made, [("land", "NL00", m, 6.0) for m in SUBDIMENSIONS])
    rows = estimate(benchmark(made.fit, to)).table.set_index(["level", "measure"]).loc["land"]
    assert (rows["sd"] < EXACT).all()  # the total and the dimensions follow from their parts
    assert set(rows["label"]) == {"betrouwbaar"}
    assert set(rows["reason"]) == {"gelijk aan een gepubliceerd cijfer dat als exact is opgegeven"}
    before = estimate(made.fit).table.set_index(["level", "measure"]).loc["land"]
    assert before["reason"].isna().all()


def test_a_file_is_read_with_decimal_commas(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "ijkpunten.csv"
    path.write_text(f"level;area_code;measure;value;se\nland;NL00;{TOTAL};6,25;0,1\n", encoding="utf-8")
    found = Benchmarks.read(path, made.fit.areas, CONCEPT, SUBDIMENSIONS)
    assert found.table.iloc[0].tolist() == ["land", "NL00", TOTAL, 6.25, 0.1]
    assert "{'land': 1}, 0 of them exact" in repr(found)


def test_a_measure_that_the_draws_do_not_suffice_for_is_unknown() -> None:
    single = made_fit((FIRST,), sources=1)
    with pytest.raises(DataError, match="unknown measure"):
        read(single, [("land", "NL00", TOTAL, 6)])


def test_contradictions_are_named(made: Made) -> None:
    rows = means(made, "gemeente", FIRST) + means(made, "land", FIRST, 0.05)
    with pytest.raises(DataError) as raised:
        read(made, rows)
    assert f"land NL00 {FIRST} contradicts" in raised.value.what
    for code in ("GM0344", "GM0355", ISLAND.replace("BU", "GM")[:6]):
        assert code in raised.value.what
    parts = [r for d in SUBDIMENSIONS for r in means(made, "land", d)] + means(made, "land", TOTAL, 0.1)
    with pytest.raises(DataError) as raised:
        read(made, parts)
    assert f"land NL00 {TOTAL} contradicts" in raised.value.what
    assert all(d in raised.value.what for d in SUBDIMENSIONS)
    read(made, [(*r, 0.03) for r in rows])  # with an error of rounding they do not


def test_figures_that_no_scores_can_meet_are_named(made: Made) -> None:
    weight = CONCEPT.matrix_of(SUBDIMENSIONS).loc[DIMENSION, FIRST]
    most = 10 - 10 * weight  # with the first at 0 and the others at 10
    rows = [("gemeente", "GM0344", FIRST, 0.0), ("land", "NL00", SECOND, 6.0)]
    read(made, [*rows, ("gemeente", "GM0344", DIMENSION, most - 0.01)])
    with pytest.raises((DataError, ProblemsError)) as raised:
        read(made, [*rows, ("gemeente", "GM0344", DIMENSION, most + 0.01)])
    assert "cannot be met on 0-10" in str(raised.value)
    assert "GM0344" in str(raised.value)
    assert "NL00" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "raking"}, "no such method"),
        ({"covariance": "full"}, "no such covariance"),
        ({"respondents": "some"}, "no such respondents"),
        ({"method": "difference"}, "share no scores"),
        ({"method": "ratio"}, "share no scores"),
        ({"respondents": "independent"}, "need a standard error"),
        ({"respondents": "independent", "method": "tilting"}, "are evidence"),
    ],
)
def test_methods_that_do_not_apply_are_refused_by_name(made: Made, options: dict[str, Any], message: str) -> None:
    to = read(made, SEVERAL["gemeenten and country"](made))
    with pytest.raises((DataError, ModelError, ProblemsError)) as raised:
        benchmark(made.fit, to, **options)
    assert any(message in p for p in problems(raised.value))
    if "share" in message:
        assert f"land NL00 {FIRST}" in str(raised.value)


def test_too_few_draws_for_a_covariance_are_refused(made: Made) -> None:
    few = replace(made.fit.draws, eta=made.fit.draws.eta[:1, :20])
    to = read(made, means(made, "gemeente", FIRST))
    with pytest.raises(ModelError, match="needs more draws"):
        benchmark(few, to, covariance="posterior")
    assert np.abs(constrained(benchmark(few, to).draws, to) - to.value).max() < EXACT


def test_draws_of_other_areas_or_subdimensions_are_refused(made: Made) -> None:
    to = read(made, means(made, "land", FIRST))
    draws = made.fit.draws
    other = replace(draws, areas=("BU99990000", *draws.areas[1:]), subdimensions=("x", *draws.subdimensions[1:]))
    with pytest.raises(ProblemsError) as raised:
        benchmark(other, to)
    assert ["areas" in p for p in problems(raised.value)] == [True, False]


def test_a_factor_cannot_move_scores_of_zero(made: Made) -> None:
    nothing = replace(made.fit.draws, eta=np.zeros_like(made.fit.draws.eta))
    to = read(made, means(made, "gemeente", FIRST))
    with pytest.raises(ModelError, match="cannot be met on 0-10 by method ratio") as raised:
        benchmark(nothing, to, method="ratio")
    assert "in 2000 of 2000 draws" in raised.value.got
    assert np.abs(constrained(benchmark(nothing, to, method="difference").draws, to) - to.value).max() < EXACT


# --- the algebra of dependent constraints ---


def test_dependent_rows_are_found_and_follow_from_the_others() -> None:
    rng = np.random.default_rng(7)
    base = rng.dirichlet(np.full(50, 0.1), size=6)
    mixed = np.vstack([base[:2], 0.3 * base[0] + 0.7 * base[1], base[2:], base.mean(axis=0)])
    kept, weights = independent(sp.csr_array(mixed))
    assert kept.tolist() == [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(weights @ mixed[kept], mixed, rtol=0, atol=1e-12)


def test_a_constraint_of_all_but_the_smallest_area_is_independent() -> None:
    """The country beside all its gemeenten but one with ten of 18 million residents."""
    residents = np.r_[np.full(14_000, 1286.0), 10.0]
    group = np.r_[np.repeat(np.arange(280), 50), 280]
    parts = sp.csr_array((residents / np.bincount(group, residents)[group], (group, np.arange(14_001))))[:280]
    kept, _ = independent(sp.csr_array(sp.vstack([parts, residents[None] / residents.sum()])))
    assert len(kept) == 281


def test_reconciled_targets_are_consistent_and_consistent_ones_stay() -> None:
    rng = np.random.default_rng(8)
    base = rng.dirichlet(np.ones(9), size=3)
    matrix = np.vstack([base, [0.2, 0.3, 0.5] @ base])
    kept, weights = independent(sp.csr_array(matrix))
    right = rng.uniform(4, 7, (5, 3)) @ weights.T
    covariance = np.diag([0.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(reconcile(right, covariance, kept, weights), right, rtol=0, atol=1e-12)
    wrong = right + rng.normal(size=right.shape)
    found = reconcile(wrong, covariance, kept, weights)
    np.testing.assert_allclose(found[:, 3], found[:, :3] @ [0.2, 0.3, 0.5], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[:, 0], wrong[:, 0])  # it has no error
