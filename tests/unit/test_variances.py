r"""Variances modelled with the means in the fast engine: derivatives by differences, the mode, and quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from scipy import integrate, stats

from buurtsae.engines import laplace
from buurtsae.engines.base import fit
from buurtsae.engines.variances import Derivatives, Uncertain, Varying
from buurtsae.model.design import Design, design
from buurtsae.model.links import Link
from buurtsae.model.priors import PC, LogNormal, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.direct import DirectEstimates, direct

AREAS = make_areas()
LINK = Link(Normal(0.1, 0.6), LogNormal(0.0, 0.2), PC(0.5, 0.05))
MODEL = AreaModel("1", (BYM2(AREAS.graph()), IID("gemeente")), Normal(5, 4), link=LINK, variances=PC(0.8, 0.05))


@pytest.fixture(scope="module")
def estimates() -> DirectEstimates:
    return direct(make_scores(AREAS, SUBDIMENSIONS, 2, np.random.default_rng(1)), AREAS)


@pytest.fixture(scope="module")
def varying(estimates: DirectEstimates) -> Varying:
    found = Varying.of(design(MODEL, estimates))
    assert isinstance(found, Varying)
    return found


def some_xi(varying: Varying, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, varying.size)


def test_the_expansion_is_that_of_differences(varying: Varying) -> None:
    hyper = varying.scores.hyper(some_xi(varying, 1))
    seen, rng, step = varying.design.observed, np.random.default_rng(2), 1e-5
    h = np.where(seen, rng.normal(0, 0.5, seen.shape), 0.0)
    r = np.where(seen, rng.normal(0, 1, seen.shape), 0.0)

    def at(h: np.ndarray, r: np.ndarray) -> Derivatives:
        return Uncertain(varying.observations, hyper).derivatives(h, r)

    found = at(h, r)
    for s, k in [(0, 5), (1, 7), (0, 20)]:
        for d in np.flatnonzero(seen[s, k]):
            unit = np.zeros(seen.shape)
            unit[s, k, d] = step
            up, down = at(h + unit, r), at(h - unit, r)
            assert found.f_h[s, k, d] == pytest.approx((up.value - down.value) / (2 * step), abs=1e-5)
            np.testing.assert_allclose(found.f_hh[s, k, d], (up.f_h - down.f_h)[s, k] / (2 * step), atol=1e-6)
            # q = y - r: the derivative by q is -u
            np.testing.assert_allclose(found.f_qh[s, k, :, d], -(up.u - down.u)[s, k] / (2 * step), atol=1e-6)
            up, down = at(h, r + unit), at(h, r - unit)
            assert found.u[s, k, d] == pytest.approx((up.value - down.value) / (2 * step), abs=1e-5)


def test_newton_ends_at_the_joint_mode(varying: Varying) -> None:
    hyper = varying.scores.hyper(some_xi(varying, 3))
    found = varying.solve(hyper)
    seen = varying.design.observed
    likelihood = Uncertain(varying.observations, hyper)
    r = np.where(seen, likelihood.residual - likelihood.predictions(found.conditional), 0.0)
    np.testing.assert_allclose(likelihood.derivatives(found.h, r).f_h, 0.0, atol=1e-6)
    # given these factors the field is where the exact posterior is
    exact = varying.conditional(hyper, np.exp(found.h))
    np.testing.assert_allclose(found.conditional.mean, exact.mean, atol=1e-6)
    assert (found.conditional.sd >= exact.sd - 1e-9).all()  # not knowing the variances costs something


def test_variances_that_hardly_vary_are_those_given(varying: Varying) -> None:
    xi = some_xi(varying, 4)
    xi[-sum(n.size for n in varying.scores.numbers if n.name == "kappa") :] = -6  # kappa of 1e-9
    hyper = varying.scores.hyper(xi)
    found, exact = varying.solve(hyper), varying.conditional(hyper)
    assert hyper.kappa is not None
    assert hyper.kappa.max() < 1e-8
    chi2 = 0.5 * (varying.design.freedom * varying.design.ratio)[varying.design.observed].sum()
    assert found.log_likelihood == pytest.approx(exact.log_likelihood - chi2, abs=1e-5)
    np.testing.assert_allclose(found.conditional.sd, exact.sd, rtol=1e-6)


def one_buurt(arrays: Design, y: float, v: float, ratio: float, freedom: float) -> Design:
    """A design without effects of which a single buurt was observed, on one sub-dimension."""
    n = len(arrays.areas)
    where = np.zeros((1, n, 1))
    where[0, 3] = 1
    return replace(
        arrays,
        y=y * where,
        covariance=(where * v)[..., None],
        ratio=np.where(where > 0, ratio, 1.0),
        freedom=freedom * where,
    )


@pytest.mark.parametrize(("freedom", "bound"), [(2.0, 0.05), (20.0, 0.01)])
def test_the_integral_against_quadrature(freedom: float, bound: float) -> None:
    # y ~ N(b, v exp h), b ~ N(5, 2^2), f ratio / exp(h) ~ chi^2_f up to a constant, h ~ N(-kappa^2 / 2, kappa^2)
    model = AreaModel("1", (), Normal(5, 2), variances=PC(0.8, 0.05))
    scores = make_scores(AREAS, SUBDIMENSIONS[:1], 1, np.random.default_rng(1))
    y, v, ratio = 6.3, 0.4, 1.5
    arrays = one_buurt(design(model, direct(scores, AREAS)), y, v, ratio, freedom)
    varying = Varying.of(arrays)
    hyper = varying.scores.hyper(np.zeros(1))
    found = varying.solve(hyper)  # type: ignore[attr-defined]
    kappa = float(hyper.kappa[0, 0])  # type: ignore[index]

    def density(h: float) -> float:
        marginal = stats.norm(5, np.sqrt(4 + v * np.exp(h))).pdf(y)  # b integrated out
        return float(
            marginal * np.exp(-0.5 * freedom * (h + ratio * np.exp(-h))) * stats.norm(-(kappa**2) / 2, kappa).pdf(h)
        )

    exact, _ = integrate.quad(density, -6, 6)
    # the error of Laplace's approximation in two dimensions, of the order of the third moments of h: less with more
    # degrees of freedom
    assert found.log_likelihood == pytest.approx(np.log(exact), abs=bound)


def test_the_engine_fits_it(estimates: DirectEstimates) -> None:
    found = fit(MODEL, estimates, progress=False, draws=400, hyperparameters=100)
    assert found.check().empty
    kappa, factor = found.draws.hyper["kappa"][1], found.draws.factor
    assert factor is not None
    assert factor.shape == found.design.y.shape
    assert (factor[~found.design.observed] == 1).all()
    assert (kappa[..., ~found.design.observed.any(axis=1)] == 0).all()
    assert (kappa[..., found.design.observed.any(axis=1)] > 0).all()
    # where the buurt's own respondents vary more than the pool, so does the estimate of their variance; how far the
    # estimate lies from its neighbours says something too
    known = found.design.freedom > 3
    assert np.corrcoef(np.log(found.design.ratio[known]), np.log(factor[known]))[0, 1] > 0.7
    assert laplace.supports(found.design) == []
