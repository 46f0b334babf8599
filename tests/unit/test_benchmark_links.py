"""Benchmarks of shares and rates: met in every draw, inside the ends, least change by the divergence of the link."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, Made, made_fit
from scipy.optimize import minimize
from scipy.special import expit, rel_entr

from buurtsae.draws import Draws
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.gaussian import Gaussian
from buurtsae.model.outcome.per_measure import PerMeasure
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.scale import Scale
from buurtsae.survey.concept import Concept, Measure

FIRST, SECOND = SUBDIMENSIONS[:2]
MET = 1e-8


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


def drawn(made: Made, outcome: Any, shift: float = -8.0, n: int = 200) -> Draws:
    """Draws of the predictors of small shares: those of scores near 6, moved."""
    draws = made.fit.draws
    return replace(draws, eta=draws.eta[:, : n // 4] + shift, outcome=outcome, hyper={}, coords={})


def targets(made: Made, draws: Draws, rows: list[tuple[str, str]], factor: float, se: float = 0.0) -> Benchmarks:
    """Means of the draws of a measure at a level, times a factor."""
    table = []
    for level, measure in rows:
        labels, matrix = made.fit.areas.aggregation(level)
        values = matrix @ draws.scores()[:, :, SUBDIMENSIONS.index(measure)].mean(axis=0)
        table += [(level, code, measure, factor * v, se) for code, v in zip(labels, values, strict=True)]
    frame = pd.DataFrame(table, columns=["level", "area_code", "measure", "value", "se"])
    # each measure by itself, on the scale of the outcome
    concept = replace(Concept({m: Measure(m, m, m, m) for m in SUBDIMENSIONS}), scale=draws.outcome.scale)
    return Benchmarks.read(frame, made.fit.areas, concept, SUBDIMENSIONS, exact=True)


def gaps(made: Made, draws: Draws, to: Benchmarks) -> np.ndarray:
    """Constraints less their targets per draw, from the residents of the areas."""
    out = []
    for level, code, measure, value in to.table[["level", "area_code", "measure", "value"]].itertuples(index=False):
        labels, matrix = made.fit.areas.aggregation(level)
        row = matrix[[list(labels).index(code)]].toarray().ravel()
        out.append(draws.scores()[:, :, SUBDIMENSIONS.index(measure)] @ row - value)
    return np.array(out)


LEVELS = {
    "gemeenten": [("gemeente", FIRST), ("gemeente", SECOND)],  # share no figures
    "crossing": [("wijk", FIRST), ("land", FIRST), ("gemeente", SECOND)],
}


@pytest.mark.parametrize("rows", LEVELS)
@pytest.mark.parametrize("covariance", ["variances", "identity", "residents", "posterior"])
@pytest.mark.parametrize("factor", [0.3, 1.5])
def test_shares_meet_their_benchmarks_inside_the_ends(made: Made, rows: str, covariance: Any, factor: float) -> None:
    draws = drawn(made, Binomial(scale=Scale(0, 100, "%", "%")))
    to = targets(made, draws, LEVELS[rows], factor)
    found = benchmark(draws, to, covariance=covariance).draws
    assert np.abs(gaps(made, found, to)).max() < MET
    assert found.scores().min() > 0
    assert found.scores().max() < 100
    assert found.outcome == draws.outcome
    untouched = SUBDIMENSIONS.index(SUBDIMENSIONS[2])
    if covariance != "posterior":
        np.testing.assert_array_equal(found.flat[:, :, untouched], draws.flat[:, :, untouched])


def test_it_is_the_least_change_by_the_divergence(made: Made) -> None:
    """An optimiser that knows no link finds the same shares: least relative entropy, with the residents as weights."""
    draws = drawn(made, Binomial(), shift=-6.5, n=4)
    to = targets(made, draws, [("gemeente", FIRST)], 1.3)
    found = benchmark(draws, to, covariance="residents").draws.scores()[0, :, 0]
    start, areas = draws.scores()[0, :, 0], made.fit.areas
    row = areas.aggregation("gemeente")[1][[0]].toarray().ravel()
    live = np.flatnonzero(row)
    n, x0, value = areas.population[live], start[live], float(to.value[0])

    def divergence(x: np.ndarray) -> float:
        return float((n * (rel_entr(x, x0) + rel_entr(1 - x, 1 - x0))).sum())

    meets = {"type": "eq", "fun": lambda x: 1e3 * (row[live] @ x - value)}
    bounds, first = [(1e-9, 1 - 1e-9)] * len(live), x0 * value / (row[live] @ x0)
    how = {"method": "SLSQP", "options": {"ftol": 1e-14, "maxiter": 500}}
    with warnings.catch_warnings():  # older versions of scipy clip their own steps, and say so
        warnings.filterwarnings("ignore", "Values in x were outside bounds", RuntimeWarning)
        best = minimize(divergence, first, constraints=[meets], bounds=bounds, **how)
    np.testing.assert_allclose(found[live], best.x, atol=2e-5)  # what SLSQP leaves
    # the closed form of the stationary point: one shift of all logits, as n and 1 / n cancel
    logits = np.log(found[live] / (1 - found[live])) - np.log(x0 / (1 - x0))
    np.testing.assert_allclose(logits, logits[0], atol=1e-9)


def test_rates_with_weights_of_residents_are_multiplied_by_one_factor(made: Made) -> None:
    """Relative entropy of counts is raking: the ratio method, which needs no weights."""
    draws = drawn(made, Poisson(), shift=-6.0)
    to = targets(made, draws, [("gemeente", FIRST)], 1.7)
    found = benchmark(draws, to, covariance="residents").draws.scores()[:, :, 0]
    ratio = benchmark(draws, to, method="ratio").draws.scores()[:, :, 0]
    np.testing.assert_allclose(found, ratio, rtol=1e-8)


def test_scores_beside_shares_move_as_without_them(made: Made) -> None:
    """Identical to a fit of scores alone, to the digit; shares have a link of their own."""
    plain = drawn(made, Gaussian(Scale(0, 10)), shift=0.0)
    kinds = {name: Gaussian(Scale(0, 10)) for name in SUBDIMENSIONS} | {SECOND: Binomial(scale=Scale(0, 10))}
    eta = plain.eta.copy()
    eta[..., 1] -= 6.0
    mixed = replace(plain, eta=eta, outcome=PerMeasure(kinds))
    assert mixed.outcome.scale != Scale()
    one = benchmark(plain, targets(made, plain, [("gemeente", FIRST)], 0.9)).draws.flat[:, :, 0]
    to = targets(made, mixed, [("gemeente", FIRST), ("gemeente", SECOND)], 0.9)
    both = benchmark(mixed, to).draws
    np.testing.assert_allclose(both.flat[:, :, 0], one, atol=1e-10)
    assert np.abs(gaps(made, both, to)).max() < MET


def test_errors_of_benchmarks_do_not_take_shares_beyond_an_end(made: Made) -> None:
    draws = drawn(made, Binomial(), shift=-9.5)
    to = targets(made, draws, [("gemeente", FIRST)], 1.0, se=0.03)  # of a share of 3%: a sixth of the draws are below 0
    found = benchmark(draws, to).draws.scores()[:, :, 0]
    assert ((found > 0) & (found < 1)).all()
    assert np.isfinite(benchmark(draws, to, respondents="independent").draws.flat).all()


def test_weights_of_draws_leave_these_as_they_are(made: Made) -> None:
    draws = drawn(made, Binomial(), shift=-6.0, n=2000)
    to = targets(made, draws, [("land", FIRST)], 1.002)
    found = benchmark(draws, to, method="tilting", min_effective=20)
    assert found.draws.outcome == draws.outcome
    assert {tuple(row) for row in found.draws.flat[:, 0]} <= {tuple(row) for row in draws.flat[:, 0]}
    np.testing.assert_allclose(expit(draws.flat[0]), draws.scores()[0])
