"""Outcomes: densities as in SciPy, derivatives by differences, the form of PyMC, and what lies outside the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from buurtsae.engines.nuts import quiet_imports
from buurtsae.errors import BuurtsaeError, Problems
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.count import Count, Derivatives, Differentiable
from buurtsae.model.outcome.dispersed import Overdispersed, beta_binomial, log_likelihood, score
from buurtsae.model.outcome.ordinal import Ordinal
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.priors import Beta
from buurtsae.sparse import Floats

N, D = 5, 2
RNG = np.random.default_rng(1)
ETA = RNG.normal(0, 1, (N, D))
TRIALS = RNG.integers(1, 30, (N, D)).astype(float)
TRIALS[3] = 0  # nothing was observed


@dataclass(frozen=True)
class Case:
    outcome: Differentiable
    y: Floats
    size: Floats


CASES = {
    "binomial": Case(Binomial(), RNG.binomial(TRIALS.astype(int), 0.3).astype(float), TRIALS),
    "effective": Case(Binomial(effective=True), 0.37 * TRIALS, TRIALS / 1.7),
    "beta-binomial": Case(
        Overdispersed(Binomial(overdispersion=Beta(1, 9)), np.array([0.02, 0.4])),
        RNG.binomial(TRIALS.astype(int), 0.3).astype(float),
        TRIALS,
    ),
    "poisson": Case(Poisson(), np.where(TRIALS > 0, RNG.poisson(3.0, (N, D)), 0.0), TRIALS / 10),
    "ordinal": Case(
        Ordinal(np.array([[-1.0, 1.0], [-0.5, 0.7]])),
        RNG.multinomial(6, [0.2, 0.5, 0.3], (N, D)).astype(float),
        np.full((N, D), 6.0),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name: str) -> None:
    case, step = CASES[name], 1e-5

    def at(eta: Floats) -> Derivatives:
        return case.outcome.derivatives(eta, case.y, case.size)

    _, first, *higher = at(ETA)
    units = [unit.reshape(N, D) for unit in np.eye(N * D)]
    value = np.array([[at(ETA + s * step * unit)[0] for s in (1, -1)] for unit in units])
    np.testing.assert_allclose(first.ravel(), (value[:, 0] - value[:, 1]) / (2 * step), atol=1e-6)
    for k, derivative in enumerate(higher):
        up, down = (at(ETA + s * step)[1 + k] for s in (1, -1))
        np.testing.assert_allclose(derivative, (up - down) / (2 * step), atol=1e-6)


def test_derivatives_keep_their_digits_where_answers_are_certain() -> None:
    """At a distance of 40, where all chose what is certain: l = -n log(1 + u), l' = n u / (1 + u), u = exp(-40)."""
    n, u = 7.0, np.exp(-40.0)
    for answers in (np.array([[[n, 0.0]]]), np.array([[[0.0, n]]])):
        sign = 1 - 2 * float(answers[0, 0, 0] > 0)
        two = Ordinal(np.zeros((1, 1))).derivatives(np.array([[sign * 40.0]]), answers, np.array([[n]]))
        one = Binomial().derivatives(np.array([sign * 40.0]), answers[0, :, 1], np.array([n]))
        for value, first, second, third, fourth in (one, two):
            assert value == pytest.approx(-n * u, rel=1e-12)
            assert first.item() == pytest.approx(sign * n * u, rel=1e-12)
            assert second.item() == pytest.approx(-n * u, rel=1e-12)
            assert third.item() == pytest.approx(sign * n * u, rel=1e-12)
            assert fourth.item() == pytest.approx(-n * u, rel=1e-12)


def test_values_are_those_of_scipy() -> None:
    case = CASES["binomial"]
    exact = stats.binom(case.size.astype(int), Binomial().mean(ETA)).logpmf(case.y).sum()
    assert case.outcome.derivatives(ETA, case.y, case.size)[0] == pytest.approx(exact, rel=1e-10)
    case = CASES["poisson"]
    seen = case.size > 0
    exact = stats.poisson((case.size * Poisson().mean(ETA))[seen]).logpmf(case.y[seen]).sum()
    assert case.outcome.derivatives(ETA, case.y, case.size)[0] == pytest.approx(exact, rel=1e-10)
    case = CASES["ordinal"]
    ends = np.concatenate([np.full((N, D, 1), -40.0), case.outcome.cuts - ETA[..., None], np.full((N, D, 1), 40.0)], 2)  # type: ignore[attr-defined]
    exact = (case.y * np.log(np.diff(stats.logistic.cdf(ends), axis=2))).sum()
    assert case.outcome.derivatives(ETA, case.y, case.size)[0] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("name", ["binomial", "effective", "poisson"])
def test_the_form_of_pymc_differs_by_a_constant(name: str) -> None:
    with quiet_imports():
        import pytensor
        import pytensor.tensor as pt

        case, eta = CASES[name], pt.matrix("eta")
        density = pytensor.function([eta], case.outcome.log_likelihood(eta, case.y, case.size), mode="NUMBA")  # type: ignore[attr-defined]
        values = [float(density(e)) - case.outcome.derivatives(e, case.y, case.size)[0] for e in (ETA, -ETA, 0 * ETA)]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


SPOILT = {
    "negative": (Poisson(), [-1.0, 2.0], [1.0, 1.0], ["counts are negative"]),
    "part": (Poisson(), [1.5, 2.0], [1.0, 1.0], ["counts are no whole numbers"]),
    "exposure": (Poisson(), [0.0, 2.0], [0.0, -1.0], ["exposure is zero or negative"]),
    "all at once": (
        Poisson(),
        [-0.5, 2.0],
        [1.0, 0.0],
        ["counts are negative", "counts are no whole numbers", "exposure is zero or negative"],
    ),
    "above": (Binomial(), [3.0, 7.0], [3.0, 6.0], ["counts are above their trials"]),
    "trials": (
        Binomial(),
        [0.0, -1.0],
        [-1.0, 6.0],
        ["counts are negative", "trials are negative", "counts are above"],
    ),
    "whole": (Binomial(), [1.5, 2.0], [3.0, 6.5], ["counts are no whole", "trials are no whole"]),
    "effective": (Binomial(effective=True), [1.5, 7.0], [3.2, 6.5], ["counts are above their trials"]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_lies_outside_the_support_is_refused(name: str) -> None:
    outcome, y, size, expected = SPOILT[name]
    problems = Problems()
    outcome.check(np.array([y]).T, np.array([size]).T, ["37001", "37003"], problems)
    with pytest.raises(BuurtsaeError) as caught:
        problems.raise_if_any()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 * len(expected)
    for line, text in zip(lines[::3], expected, strict=True):
        assert text in line
    assert all("3700" in line for line in lines[1::3])


@pytest.mark.parametrize(
    ("outcome", "y", "size"),
    [(Binomial(), [0, 4, np.nan], [0, 4, 3]), (Binomial(effective=True), [0.2, 1.5, 0], [0.2, 2, np.nan]),
     (Poisson(), [0, 12, np.nan], [0.1, 4, 0])],
)  # fmt: skip
def test_what_lies_inside_is_not(outcome: Count, y: list[float], size: list[float]) -> None:
    problems = Problems()
    outcome.check(np.array([y], dtype=float).T, np.array([size], dtype=float).T, ["a", "b", "c"], problems)
    problems.raise_if_any()


def test_means_lie_on_the_scale() -> None:
    eta = np.array([-600.0, -1.0, 0.0, 2.0, 30.0])
    for outcome in (Binomial(), Poisson()):
        mean = outcome.mean(eta)
        assert (np.diff(mean) > 0).all()
        assert (mean >= outcome.scale.lower).all()
        assert (mean <= outcome.scale.upper).all()
    assert Binomial().mean(np.array(np.log(3.0))) == pytest.approx(0.75)
    assert Poisson().mean(np.array(np.log(3.0))) == pytest.approx(3.0)
    assert "effective" in Binomial(effective=True).words
    assert "effectieve" in Binomial(effective=True).words.nl


@pytest.mark.parametrize("rho", [1e-6, 0.01, 0.3, 0.9])
def test_beta_binomial_as_in_scipy(rho: float) -> None:
    eta, n = np.array([[-3.0, 0.4], [1.2, 0.0]]), np.array([[12.0, 1.0], [40.0, 0.0]])
    y, p, m = np.array([[0.0, 1.0], [37.0, 0.0]]), 1 / (1 + np.exp(-eta)), 1 / rho - 1
    value, *_ = beta_binomial(eta, y, n, np.full(2, rho))
    # beta functions of a million lose digits: 1e-16 times their logarithms, 1e7
    assert value == pytest.approx(stats.betabinom.logpmf(y, n, m * p, m * (1 - p)).sum(), abs=1e-7)


def test_without_overdispersion_it_is_binomial() -> None:
    y = CASES["binomial"].y
    one, other = beta_binomial(ETA, y, TRIALS, np.full(D, 1e-6)), Binomial().derivatives(ETA, y, TRIALS)
    for a, b in zip(one[1:3], other[1:3], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-2)  # rho n is 3e-5 of them


def test_the_tensors_of_a_beta_binomial_are_its_numbers() -> None:
    with quiet_imports():
        import pytensor.tensor as pt

    y, rho = CASES["beta-binomial"].y, np.array([0.05, 0.3])
    of = pt.as_tensor(ETA), y, TRIALS, pt.as_tensor(rho)
    moved = pt.as_tensor(ETA + 0.5), y, TRIALS, pt.as_tensor(rho)
    change = (log_likelihood(*moved) - log_likelihood(*of)).eval()
    expected = beta_binomial(ETA + 0.5, y, TRIALS, rho)[0] - beta_binomial(ETA, y, TRIALS, rho)[0]
    assert change == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(score(*of).eval(), beta_binomial(ETA, y, TRIALS, rho)[1], atol=1e-10)
    by_rho = (log_likelihood(*of[:3], pt.as_tensor(1.1 * rho)) - log_likelihood(*of)).eval()
    expected = beta_binomial(ETA, y, TRIALS, 1.1 * rho)[0] - beta_binomial(ETA, y, TRIALS, rho)[0]
    assert by_rho == pytest.approx(expected, abs=1e-8)
