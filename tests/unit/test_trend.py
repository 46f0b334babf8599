"""What years know of each other's intercept and coefficients: dense algebra, the gradient, both engines, one period."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.evidence.described import hyperparameters
from buurtsae.estimates.evidence.influence import influence
from buurtsae.model.contrasts import scaled_walk
from buurtsae.model.design import Design, design
from buurtsae.sparse import Floats

YEARS = (2012, 2016, 2020, 2022, 2024)
N, T = 12, len(YEARS)


def made(seed: int = 1, step: float = 0.0, years: tuple[int, ...] = YEARS) -> bs.DirectEstimates:
    """12 areas in 3 gemeenten, each year eight in ten observed; of which a step in 2020."""
    rng, codes = np.random.default_rng(seed), [f"a{k:02}" for k in range(N)]
    table = pd.DataFrame({"code": codes, "gemeente": np.repeat(list("ABC"), 4), "x": rng.standard_normal(N)})
    areas = bs.Areas.from_frame(table.assign(population=100), code="code", levels={"gemeente": "gemeente"})
    own, sources = 0.3 * rng.standard_normal(N), []
    for year in years:
        v = rng.uniform(0.05, 0.3, N)
        mean = 6 + own + 0.4 * table["x"] + step * (year == 2020) + 0.2 * rng.standard_normal(N)
        y = np.where(rng.uniform(size=N) < 0.8, mean + np.sqrt(v) * rng.standard_normal(N), np.nan)
        frame = pd.DataFrame({"code": codes, "y": y, "v": v})
        direct = bs.DirectEstimates.from_frame(frame, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source="wave"))
    return replace(direct, sources=tuple(sources)).by_year()


def given(arrays: Design, **values: float) -> Hyper:
    """Values of the parameters, by name; without correlations."""
    named = {}
    for effect in arrays.effects:
        for p in effect.parameters:
            name = f"{effect.name}.{p.name}"
            named[name] = np.ones((1, 1, 1)) if p.name == "R" else np.array([[values[name.replace(".", "_")]]])
    return Hyper(named, np.ones(arrays.linked.shape), np.zeros(arrays.linked.shape))


def walk(years: tuple[int, ...] = YEARS) -> Floats:
    return np.asarray(np.linalg.pinv(scaled_walk(years), rcond=1e-10))


def dense(arrays: Design, k: Floats, mean: float = 5.0) -> tuple[Floats, Floats, float]:
    """Posterior means and sds of the scores (N, T), and the log-likelihood, of their prior covariance."""
    seen = arrays.observed.any(axis=0)[:N]
    at = np.flatnonzero(seen.ravel())
    y, v = arrays.y.sum(axis=0)[:N].ravel()[at], np.einsum("snww->nw", arrays.covariance)[:N].ravel()[at]
    s, r = k[np.ix_(at, at)] + np.diag(v), y - mean
    gain = np.linalg.solve(s, k[at]).T
    log = -0.5 * (r @ np.linalg.solve(s, r) + np.linalg.slogdet(2 * np.pi * s)[1])
    sd = np.sqrt((k - gain @ k[at]).diagonal())
    return (mean + gain @ r).reshape(seen.shape), sd.reshape(seen.shape), float(log)


def covariance(arrays: Design, level: float, slope: float, stays: float, changes: float, psi: float) -> Floats:
    """Prior covariance of the scores: intercept, coefficient and effects of areas, each what stays and changes."""
    one, x, w, years = np.ones(N), arrays.x[:, 1], walk(), np.eye(T) - 1 / T
    of_years = psi * w + (1 - psi) * years
    return np.asarray(
        np.kron(np.outer(one, one), 4.0 + level**2 * w)  # the priors of what stays: Normal(5, 2) and Normal(0, 1)
        + np.kron(np.outer(x, x), 1.0 + slope**2 * w)
        + np.kron(np.eye(N), stays**2 + changes**2 * of_years)
    )


@pytest.mark.parametrize("slope", [0.3, 0.0])
def test_years_that_know_of_each_other_are_those_of_dense_algebra(slope: float) -> None:
    trend = bs.Trend() if slope else bs.Trend(coefficients=None)
    model = bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))], trend=trend)
    arrays = design(model, made())
    values = {"intercept_change": 0.7, "beta_change": slope, "area_sigma": 0.5, "area_change": 0.2, "area_psi": 0.6}
    conditional = Marginal.of(arrays).conditional(given(arrays, **values))
    mean, sd, log = dense(arrays, covariance(arrays, 0.7, slope, 0.5, 0.2, 0.6))
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-8)
    np.testing.assert_allclose(conditional.sd, sd, atol=1e-8)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-8)


@pytest.fixture(scope="module")
def plain() -> bs.Fit:
    """Intercept and coefficient alone."""
    return bs.fit(bs.AreaModel("1 + x", trend=bs.Trend()), made(), draws=100, hyperparameters=60, progress=False)


def test_coefficients_are_drawn_as_they_are_in_the_scores(plain: bs.Fit) -> None:
    """Without effects of areas scores, kept in four bytes, are x'beta, draw by draw."""
    beta = plain.draws.hyper["beta"][1].reshape(100, 2, T)
    np.testing.assert_allclose(np.einsum("np,spt->snt", plain.design.x, beta), plain.draws.flat, atol=1e-5)
    assert plain.draws.hyper["intercept.change"][1].shape == (4, 25, 1)
    alone = plain.of_year(2020)
    np.testing.assert_array_equal(alone.draws.eta, plain.draws.eta[..., 2:3])
    with pytest.raises(BuurtsaeError, match="one year of a model of several cannot be conditioned again"):
        _ = alone.marginal


def test_reports_know_the_priors_of_a_trend(plain: bs.Fit) -> None:
    """A coefficient has its prior as the mean over the years, once, and not in each of them."""
    rows = {row["name"]: row for row in influence(plain)}
    assert rows["intercept"]["parameters"] == rows["coefficients"]["parameters"] == 1
    mean = plain.draws.hyper["beta"][1].reshape(100, 2, T)[:, 0].mean(axis=1)
    assert rows["intercept"]["sd_ratio"] == pytest.approx(mean.std() / 2.0, abs=0.006)  # Normal(5, 2), two decimals
    of = {row["name"]: row["prior"] for row in hyperparameters(plain)}
    assert str(of["intercept.change"]).startswith("PC: P(> 0.5) = 0.01")
    assert str(of["beta.change"]).startswith("PC: P(> 0.25) = 0.01")
    for effect in Marginal.of(plain.design).scores.hyper(np.zeros(2)).loadings(plain.design).groups:
        np.testing.assert_allclose(effect.mean(axis=0), [1.0] + (T - 1) * [0.0], atol=1e-15)


def test_a_year_goes_its_own_way_where_data_say_so() -> None:
    """One year of five lies 3 higher: years that know of each other follow as years by themselves do."""
    terms, data = [bs.OverTime(bs.IID("area"))], made(step=3.0)
    known, free = (design(bs.AreaModel("1 + x", terms, trend=t), data) for t in (bs.Trend(), None))
    values = {"intercept_change": 2.0, "beta_change": 0.3, "area_sigma": 0.4, "area_change": 0.2, "area_psi": 0.5}
    at, alone = (Marginal.of(arrays).conditional(given(arrays, **values)) for arrays in (known, free))
    mean, sd, _ = dense(known, covariance(known, 2.0, 0.3, 0.4, 0.2, 0.5))
    np.testing.assert_allclose(at.mean, mean, atol=1e-8)
    np.testing.assert_allclose(at.sd, sd, atol=1e-8)
    # levels are known to 0.15; an increment of 3, of variance 3.7, holds two of them together by 3 x 0.15^2 / 3.7
    np.testing.assert_allclose(at.mean.mean(axis=0), alone.mean.mean(axis=0), atol=0.02)
    assert np.ptp(at.mean.mean(axis=0)) > 2.7
    # and with standard deviations that are learnt, of which the prior expects 0.5 at the most: about 1, so 4 times that
    fit = bs.fit(known.model, data, draws=400, hyperparameters=200, progress=False)
    np.testing.assert_allclose(fit.draws.flat.mean(axis=(0, 1)), alone.mean.mean(axis=0), atol=0.1)


def test_the_gradient_is_that_of_differences() -> None:
    terms = [bs.OverTime(bs.IID("gemeente")), bs.OverTime(bs.IID("area"), process="ar1")]
    marginal = Marginal.of(design(bs.AreaModel("1 + x", terms), made()))
    assert {"intercept.change", "beta.change"} <= set(marginal.scores.names)  # the default, where a term is over time
    xi = 0.3 * np.random.default_rng(3).standard_normal(marginal.size)
    value, gradient = marginal.with_gradient(xi)
    assert value == pytest.approx(marginal.log_posterior(xi), abs=1e-9)
    numeric = [
        (marginal.log_posterior(xi + e) - marginal.log_posterior(xi - e)) / 2e-5 for e in 1e-5 * np.eye(marginal.size)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)  # second order of the step, digits of the value over it


def test_gemeenten_have_trends_of_their_own() -> None:
    """`OverTime(IID("gemeente"))` is a level and a random walk of each."""
    arrays = design(bs.AreaModel("1", [bs.OverTime(bs.IID("gemeente"))], trend=bs.Trend()), made())
    conditional = Marginal.of(arrays).conditional(
        given(arrays, intercept_change=0.3, gemeente_sigma=0.5, gemeente_change=0.4, gemeente_psi=1.0)
    )
    same = np.kron(np.eye(3), np.ones((4, 4)))
    k = np.kron(np.ones((N, N)), 4.0 + 0.09 * walk()) + np.kron(same, 0.25 + 0.16 * walk())
    mean, sd, log = dense(arrays, k)
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-8)
    np.testing.assert_allclose(conditional.sd, sd, atol=1e-8)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-8)


def test_one_period_has_no_trend() -> None:
    """To the bit: with a trend, without, and by default; and years without terms over time are free by default."""
    one, options = made(years=(2020,)), {"draws": 40, "hyperparameters": 60, "progress": False}
    terms = [bs.OverTime(bs.IID("area"))]
    models = [bs.AreaModel("1 + x", terms, trend=t) for t in (bs.Trend(), None, "auto")]  # type: ignore[arg-type]
    first, *others = (bs.fit(model, one, **options).draws for model in models)  # type: ignore[arg-type]
    for other in others:
        np.testing.assert_array_equal(first.eta, other.eta)
        np.testing.assert_array_equal(first.hyper["beta"][1], other.hyper["beta"][1])
    assert bs.AreaModel("1 + x", [bs.IID("area")]).over_years is None
    assert bs.AreaModel("1 + x", terms).over_years == bs.Trend()


def test_a_trend_says_what_it_is() -> None:
    text = str(bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))]))
    assert "over years: the intercept and the coefficients are random walks" in text
    assert "intercept.change PC: P(> 0.5) = 0.01" in text
    assert "over years" not in str(bs.AreaModel("1 + x", [bs.IID("area")]))
    assert "coefficients of its own" in str(bs.AreaModel("1", [bs.OverTime(bs.IID("area"))], trend=None))


def test_what_is_no_trend_is_refused() -> None:
    calls: list[tuple[Any, str]] = [
        (lambda: bs.AreaModel(trend=3), "`trend` is unknown"),  # type: ignore[arg-type]
        (lambda: bs.Trend(bs.Normal(0, 1)), "trend: intercept is impossible"),
        (lambda: bs.AreaModel("1", [bs.OverTime(bs.IID("area", name="beta"))]), "terms have the same name"),
    ]
    for call, says in calls:
        with pytest.raises(BuurtsaeError, match=says) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3


@pytest.mark.nuts
def test_the_fast_engine_is_nuts() -> None:
    model = bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))])
    fast = bs.fit(model, made(), draws=8000, hyperparameters=1000, progress=False)
    slow = bs.fit(model, made(), "nuts", draws=1000, tune=800, progress=False)
    pairs = [(fast.draws.eta, slow.draws.eta), (fast.draws.hyper["beta"][1], slow.draws.hyper["beta"][1])]
    for a, b in ((x.reshape(len(x) * x.shape[1], -1), y.reshape(len(y) * y.shape[1], -1)) for x, y in pairs):
        assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 0.1 * b.std(axis=0)).all()
        np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.08)  # 5% and Monte Carlo's 3%
