"""Priors: what they promise, as quantiles, densities and PyMC variables alike; parameters that are impossible."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from buurtsae.engines.nuts import quiet_imports
from buurtsae.errors import ModelError
from buurtsae.model.parameters import LKJ
from buurtsae.model.priors import PC, Beta, HalfCauchy, InverseGamma, LogNormal, Normal, Prior, Uniform, stacked

PRIORS = {
    str(prior): prior
    for prior in (
        *(PC(0.9, 0.02), InverseGamma(1.0, 0.01), InverseGamma(3.0, 2.0), HalfCauchy(0.7), Uniform(-1.0, 2.5)),
        *(Beta(2.0, 3.0), Beta(0.5, 1.0), Normal(5.0, 2.5), LogNormal(0.1, 0.4)),
    )
}


@pytest.fixture(params=PRIORS)
def prior(request: pytest.FixtureRequest) -> Prior:
    return PRIORS[request.param]


def test_the_derivative_of_the_quantile_is_that_of_differences(prior: Prior) -> None:
    xi, step = np.linspace(-4, 4, 33), 1e-4
    numeric = (prior.quantile(xi + step)[0] - prior.quantile(xi - step)[0]) / (2 * step)
    # a third derivative of at most some hundred times the first, times step^2 / 6; quantiles have ten digits or more
    np.testing.assert_allclose(prior.quantile(xi)[1], numeric, rtol=1e-6)


def test_the_density_integrates_to_the_quantile(prior: Prior) -> None:
    p = np.array([0.001, 0.02, 0.3, 0.5, 0.8, 0.99])
    ends = prior.quantile(stats.norm.ppf(p))[0]

    def density(x: float) -> float:
        return float(np.exp(prior.log_density(np.array([x]))[0]))

    # from one end to the next: no tail, and no piece that quadrature overlooks
    between = [integrate.quad(density, a, b, epsabs=1e-12, limit=200)[0] for a, b in pairwise(ends)]
    np.testing.assert_allclose(between, np.diff(p), atol=1e-8)


def test_pymc_has_the_same_density(prior: Prior) -> None:
    value = prior.quantile(np.array([-2.0, -0.3, 0.0, 1.5]))[0]
    with quiet_imports():
        import pymc as pm

        with pm.Model() as model:
            prior.pymc("x", value.shape)
        (variable,) = model.free_RVs
        # the inverse gamma is of sigma^2: dsigma^2 / dsigma = 2 sigma
        squared = isinstance(prior, InverseGamma)
        found = pm.logp(variable, value**2 if squared else value).eval(mode="FAST_COMPILE")
    found = found + (np.log(2 * value) if squared else 0.0)
    np.testing.assert_allclose(found, prior.log_density(value), rtol=0, atol=1e-7)  # PyMC rounds its constants


def test_far_tails_stay_finite(prior: Prior) -> None:
    value, slope = prior.quantile(np.array([-30.0, 30.0]))
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert np.isfinite(prior.log_density(value)).all()


def test_a_row_of_priors_is_each_of_them() -> None:
    for row in (
        [PC(1.0, 0.05), PC(3.0, 0.5)],
        [InverseGamma(1.0, 0.01), InverseGamma(3.0, 2.0)],
        [Beta(1, 1), Beta(2, 3)],
    ):
        xi = np.array([0.4, -1.3])
        for k, part in enumerate(stacked(row).quantile(xi)):
            np.testing.assert_allclose(
                part, [prior.quantile(x)[k] for prior, x in zip(row, xi, strict=True)], rtol=1e-14
            )


@pytest.mark.parametrize(("upper", "alpha"), [(1.0, 0.05), (0.5, 0.01), (3.0, 0.5)])
def test_pc_puts_alpha_above_upper(upper: float, alpha: float) -> None:
    assert stats.expon(scale=1 / PC(upper, alpha).rate).sf(upper) == pytest.approx(alpha, rel=1e-12)


def test_decimals_of_a_prior_have_a_comma_in_dutch() -> None:
    said = [PC(3.0, 0.05), Normal(0.0, 2.5), Beta(0.5, 1.0), LogNormal(0.0, 0.2), LKJ(2.0)]
    assert [str(p.words) for p in said] == [str(p) for p in said]
    assert [p.words.nl for p in said] == [
        *("PC: P(> 3) = 0,05", "Normal(0; sd 2,5)", "Beta(0,5; 1)", "LogNormal(0; sd 0,2)", "LKJ(2)"),
    ]


def test_pc_rate_by_hand() -> None:
    assert PC(1.0, 0.05).rate == pytest.approx(2.995732273553991, rel=1e-15)  # log 20


@pytest.mark.parametrize(
    ("prior", "bad"),
    [
        (lambda: PC(0.0, 0.05), "upper = 0.0"),
        (lambda: PC(1.0, 1.0), "alpha = 1.0"),
        (lambda: PC(-1.0, 0.0), "upper = -1.0, alpha = 0.0"),
        (lambda: PC(np.inf), "upper = inf"),
        (lambda: Beta(0.0, 2.0), "a = 0.0"),
        (lambda: Beta(1.0, np.nan), "b = nan"),
        (lambda: Normal(np.nan, -1.0), "mean = nan, sd = -1.0"),
        (lambda: LogNormal(0.0, 0.0), "sd = 0.0"),
        (lambda: LKJ(0.0), "eta = 0.0"),
    ],
)
def test_impossible_parameters_are_refused(prior: object, bad: str) -> None:
    with pytest.raises(ModelError, match="impossible parameters") as raised:
        prior()  # type: ignore[operator]
    assert raised.value.got == bad


def test_they_print_and_do_not_change() -> None:
    priors = (PC(1, 0.05), Beta(1, 2), Normal(5, 2.5), LogNormal(0, 0.2), LKJ(2))
    assert [str(p) for p in priors] == [
        "PC: P(> 1) = 0.05",
        "Beta(1, 2)",
        "Normal(5, sd 2.5)",
        "LogNormal(0, sd 0.2)",
        "LKJ(2)",
    ]
    with pytest.raises(FrozenInstanceError):
        priors[0].upper = 2.0  # type: ignore[misc]
