"""Years without a survey, between waves and beyond: the bridge and the step ahead, their figures, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores
from test_trend import YEARS, N, dense, given, made

import buurtsae as bs
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError
from buurtsae.model.contrasts import Contrasts, scaled_walk
from buurtsae.model.design import design
from buurtsae.sparse import Floats

ALSO = (2014, 2021, 2026)  # between 2012 and 2016, 2020 and 2022, and two years ahead
ALL = tuple(sorted((*YEARS, *ALSO)))
SEEN = np.isin(ALL, YEARS)
INCREMENT = 1 / (4 * scaled_walk(YEARS)[0, 0])  # variance of a year: the first gap is of four


def of_contrasts(over: Contrasts, share: float) -> Floats:
    """Covariance of changes over the years, of standard deviation 1."""
    root = over.loading(np.zeros((1, 1)), np.eye(1), np.full(1, share))
    return np.asarray(root @ root.T)


def extended(psi: float) -> Floats:
    """The same by its definition: a walk and fresh years, about the mean over the waves."""
    since = np.array(ALL, dtype=float) - ALL[0]
    about = np.eye(len(ALL)) - SEEN / SEEN.sum()
    return np.asarray(
        about @ (psi * INCREMENT * np.minimum(since[:, None], since) + (1 - psi) * np.eye(len(ALL))) @ about.T
    )


@pytest.mark.parametrize("psi", [0.0, 0.35, 1.0])
def test_years_without_a_survey_leave_the_others_as_they_are(psi: float) -> None:
    over = of_contrasts(Contrasts.of(ALL, 1, "walk", YEARS), psi)
    np.testing.assert_allclose(over[np.ix_(SEEN, SEEN)], of_contrasts(Contrasts.of(YEARS, 1), psi), atol=1e-14)
    np.testing.assert_allclose(over, extended(psi), atol=1e-13)


def test_between_is_the_bridge_and_ahead_an_increment() -> None:
    """Given all waves: weight (t - a) / (b - a), variance (t - a)(b - t) / (b - a) of an increment."""
    k = of_contrasts(Contrasts.of(ALL, 1, "walk", YEARS), 1.0)
    onto = k[~SEEN][:, SEEN] @ np.linalg.pinv(k[np.ix_(SEEN, SEEN)], rcond=1e-10)
    left = k[np.ix_(~SEEN, ~SEEN)] - onto @ k[np.ix_(SEEN, SEEN)] @ onto.T
    weights = np.zeros((3, 5))
    weights[0, :2] = weights[1, 2:4] = 0.5
    weights[2, 4] = 1.0
    expected = weights - weights.sum(axis=1, keepdims=True) / 5  # waves are zero on average
    np.testing.assert_allclose(onto, expected, atol=1e-12)
    np.testing.assert_allclose(left, np.diag([2 * 2 / 4, 1 * 1 / 2, 2.0]) * INCREMENT, atol=1e-13)


@pytest.mark.parametrize("rho", [0.2, 0.9])
def test_an_autoregression_goes_on_in_years_without_a_survey(rho: float) -> None:
    years, about = np.array(ALL, dtype=float), np.eye(len(ALL)) - SEEN / SEEN.sum()
    k = about @ rho ** abs(years[:, None] - years) @ about.T
    size = np.exp(np.log(k.diagonal()[SEEN]).mean())
    np.testing.assert_allclose(of_contrasts(Contrasts.of(ALL, 1, "ar1", YEARS), rho), k / size, atol=1e-12)


def test_the_figures_of_a_year_without_a_survey_are_those_of_dense_algebra() -> None:
    """Intercept, coefficient and areas, between and beyond; and the years with a survey are as without the others."""
    model = bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))])
    values = {"intercept_change": 0.7, "beta_change": 0.3, "area_sigma": 0.5, "area_change": 0.2, "area_psi": 0.6}
    data = made()
    arrays, alone = design(model, data.by_year(also=ALSO)), design(model, data)
    at, before = (Marginal.of(d).conditional(given(d, **values)) for d in (arrays, alone))
    np.testing.assert_allclose(at.mean[:, SEEN], before.mean, atol=1e-9)
    np.testing.assert_allclose(at.sd[:, SEEN], before.sd, atol=1e-9)
    assert at.log_likelihood == pytest.approx(before.log_likelihood, abs=1e-9)
    one, x = np.ones(N), arrays.x[:, 1]
    k = np.kron(np.outer(one, one), 4.0 + 0.49 * extended(1.0)) + np.kron(np.outer(x, x), 1.0 + 0.09 * extended(1.0))
    mean, sd, _ = dense(arrays, k + np.kron(np.eye(N), 0.25 + 0.04 * extended(0.6)))
    np.testing.assert_allclose(at.mean, mean, atol=1e-8)
    np.testing.assert_allclose(at.sd, sd, atol=1e-8)


@pytest.fixture(scope="module")
def fitted() -> bs.Fit:
    model = bs.AreaModel("1 + x", [bs.OverTime(bs.IID("area"))])
    return bs.fit(model, made().by_year(also=(2021, 2026)), draws=400, hyperparameters=100, progress=False)


@pytest.mark.parametrize(("year", "says"), [(2021, "between those of 2020 and 2022"), (2026, "beyond that of 2024")])
def test_a_year_without_a_survey_has_estimates(fitted: bs.Fit, year: int, says: str) -> None:
    alone = fitted.of_year(year)
    assert fitted.design.years == (2012, 2016, 2020, 2021, 2022, 2024, 2026)
    assert fitted.draws.years == fitted.design.years
    est = bs.estimate(alone)
    areas = est.table[est.table["level"] == "area"].set_index("area_code")
    column = fitted.design.years.index(year)
    np.testing.assert_allclose(areas["estimate"], fitted.draws.flat[:, :, column].mean(axis=0))
    assert (est.table["year"] == year).all()
    assert (est.table[["n_respondents", "own_data_share"]].fillna(0) == 0).all(axis=None)
    assert est.table["direct"].isna().all()
    (note,) = [str(note) for note in alone.design.notes if "no survey" in str(note)]
    assert says in note
    assert note in [str(note) for note in fitted.design.notes]
    wave = bs.estimate(fitted.of_year(2024)).table
    assert areas["sd"].mean() > wave[wave["level"] == "area"]["sd"].mean()
    step = bs.changes(fitted, 2024, 2026) if year == 2026 else bs.changes(fitted, 2020, 2021)
    assert (step["recovered"].fillna(0) == 0).all()


def test_links_modelled_variances_and_imputed_covariates_of_such_a_year() -> None:
    """Two sources in each year, factors of their variances, a covariate that is filled in: nothing of it in 2024."""
    areas = make_areas()
    first, second = (make_scores(areas, SUBDIMENSIONS[:2], 2, np.random.default_rng(seed)) for seed in (1, 2))
    data = bs.direct([*first, *(replace(s, source=f"{s.source} 2") for s in second)], areas).by_year(also=(2024,))
    terms = [bs.OverTime(bs.IID("gemeente"))]
    for variances in (None, bs.PC(0.5, 0.05)):
        model = bs.AreaModel("1 + groen", terms, missing="impute", variances=variances)
        fit = bs.fit(model, data, draws=40, hyperparameters=20, progress=False)  # type: ignore[arg-type]
        alone, d = fit.of_year(2024), 2
        assert fit.design.known is not None
        np.testing.assert_array_equal(alone.design.known, fit.design.known[:, 2 * d :, 2 * d :])
        assert (fit.design.known[:, 2 * d, 2 * d] > 0).any()  # its error is that of the coefficients of 2023
        assert alone.draws.hyper["alpha"][1].size == 0
        assert (alone.draws.hyper["kappa"][1] == 0).all() if variances else "kappa" not in alone.draws.hyper
        assert alone.draws.factor is not None
        assert alone.draws.factor.shape == alone.design.y.shape
        assert not alone.draws.hyperparameters().empty
        assert (bs.estimate(alone).table["n_respondents"] == 0).all()
        assert {"gemeente.change", "intercept.change"} <= set(alone.draws.hyper)


def test_a_measure_that_a_year_did_not_ask_has_the_prior_of_its_coefficients() -> None:
    """Of the year alone: the error of an imputed covariate, by coefficients that only the prior knows."""
    areas = make_areas()
    data = bs.direct(make_scores(areas, SUBDIMENSIONS, 2, np.random.default_rng(1)), areas).by_year()
    alone = design(bs.AreaModel("1 + groen", [bs.IID("gemeente")], missing="impute"), data.of_year(2023))
    assert alone.known is not None
    variance = np.einsum("ndd->nd", alone.known).max(axis=0)
    assert (variance[2:] > variance[:2]).all()  # the second survey asks the first two


def test_all_years_are_estimated_together(fitted: bs.Fit) -> None:
    waves = bs.estimate_waves(fitted)
    assert waves.years == fitted.design.years
    assert waves.surveyed == YEARS


def test_what_cannot_be_asked_for_is_refused() -> None:
    data, one = made(), made(years=(2020,))
    free = bs.AreaModel("1", [bs.OverTime(bs.IID("area"))], trend=None)
    new = bs.AreaModel("1", [bs.OverTime(bs.IID("area")), bs.IID("gemeente")])
    calls: list[tuple[Any, str]] = [
        (lambda: data.by_year(also=(2021, 2021)), "years of `also` are given twice"),
        (lambda: data.by_year(also=(2020,)), "years of `also` have a survey"),
        (lambda: data.by_year(also=(2021.5,)), "no whole numbers"),  # type: ignore[arg-type]
        (lambda: data.by_year(also="2021"), "no whole numbers"),
        (lambda: data.by_year(also=2021.0), "no whole numbers"),  # type: ignore[arg-type]
        (lambda: data.by_year(also=(True,)), "no whole numbers"),
        (lambda: data.by_year(also=(2029,)), "years of `also` are far away"),
        (lambda: data.by_year(also=(2007,)), "years of `also` are far away"),
        (lambda: one.by_year(also=(2021,)), "need surveys of several years"),
        (lambda: data.by_year(also=(2021,)).of_year(2023), "there is no such year"),
        (lambda: design(free, data.by_year(also=(2021,))), "years without a survey need a trend"),
        (lambda: design(new, data.by_year(also=(2021,))), "years without a survey need terms over time"),
    ]
    for call, says in calls:
        with pytest.raises(BuurtsaeError, match=says) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3
    assert data.by_year(also=np.array([2028, 2008])).years[0] == 2008  # type: ignore[arg-type]
