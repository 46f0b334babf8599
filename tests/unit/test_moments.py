"""Posterior moments of scores without draws: against draws, and against quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from made_waves import direct_of, world

import buurtsae as bs
from buurtsae.engines.base import Fit, fit
from buurtsae.engines.marginal import Marginal
from buurtsae.engines.moments import averaged, posterior_moments
from buurtsae.errors import ModelError
from buurtsae.survey.direct import direct

AREAS = make_areas()


@pytest.fixture(scope="module")
def fitted() -> Fit:
    data = direct(make_scores(AREAS, SUBDIMENSIONS[:2], 2, np.random.default_rng(1)), AREAS)
    model = bs.AreaModel("1", [bs.BYM2(AREAS.graph()), bs.IID("gemeente")])
    return fit(model, data, seed=3, progress=False, draws=4000, hyperparameters=400)


def test_moments_are_those_of_draws(fitted: Fit) -> None:
    """Of 4,000 draws: standard deviations have an error of 1 / sqrt(8,000), of 50 of them the largest some three; means
    next to none but that of the values drawn, a twentieth of a standard deviation of those that are weighed.
    """
    found, draws = posterior_moments(fitted, 400), fitted.draws.flat
    error = np.log(draws.std(axis=0) / found.sd) * np.sqrt(2 * len(draws))
    assert np.abs(error).max() < 4.5
    assert np.abs((draws.mean(axis=0) - found.mean) / found.sd).max() < 0.02
    assert found.certificate.khat == fitted.draws.certificate.khat  # type: ignore[union-attr]
    assert found.frame.shape == (2 * len(AREAS.codes), 4)


def test_moments_are_those_of_quadrature() -> None:
    """Two hyperparameters, one measure: a grid of 61 x 61 values."""
    data = direct_of(world(1, 60, 1), (2020,))
    (source,) = data.sources
    parts = {name: getattr(source, name)[:, :1] for name in ("mean", "respondents", "n_effective")}
    source = replace(source, variance=source.variance[:, :1, :1], **parts)
    one = replace(data, subdimensions=data.subdimensions[:1], sources=(source,))
    model = bs.AreaModel("1", [bs.IID("gemeente"), bs.IID("buurt")])
    found = fit(model, one, seed=1, progress=False, draws=4, hyperparameters=1000)
    marginal = Marginal.of(found.design)
    assert marginal.size == 2
    grid = np.linspace(-5, 5, 61)  # of a smooth density, none narrower than a step: exact to far more digits
    xi = np.array([(a, b) for a in grid for b in grid])
    log_p = np.array([marginal.log_posterior(x) for x in xi])
    weights = np.exp(log_p - np.logaddexp.reduce(log_p))
    mean, sd = averaged(marginal, xi[weights > 1e-9], weights[weights > 1e-9], map, 8)
    got = posterior_moments(found, 1000)
    # the largest differences are 0.0006 and 0.0003 with 1,000 effective values, 0.00001 and 0.00002 with 16,000
    np.testing.assert_allclose((got.mean - mean) / sd, 0.0, atol=0.002)
    np.testing.assert_allclose(got.sd / sd, 1.0, atol=0.001)


def test_the_same_moments_on_one_thread_and_on_two(fitted: Fit) -> None:
    one, two = (posterior_moments(fitted, 50, threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.sd, two.sd)


def test_counts_have_none() -> None:
    rng = np.random.default_rng(2)
    frame = AREAS.frame[[]].assign(n=20, y=rng.binomial(20, 0.3, len(AREAS.codes))).reset_index()
    counts = bs.AreaCounts.from_frame(frame, y="y", trials="n", area="area_code", areas=AREAS)
    model = bs.AreaModel("1", [bs.IID("buurt")], outcome=bs.Binomial())
    found = fit(model, counts, seed=1, progress=False, draws=4, hyperparameters=20)
    with pytest.raises(ModelError, match="not Gaussian given its hyperparameters"):
        posterior_moments(found)
