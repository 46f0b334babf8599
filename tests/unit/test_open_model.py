"""The open model as a stranger meets it: what is refused before any work, and fits of several years."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, make_areas, make_scores

import buurtsae as bs
from buurtsae.engines.base import Fit
from buurtsae.engines.given import given
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError
from buurtsae.model.design import design

N = 24
CODES = [f"a{k:02d}" for k in range(N)]
RING = bs.Graph.from_pairs(CODES, [(CODES[k], CODES[(k + 1) % N]) for k in range(N)])
SKIP = bs.Graph.from_pairs(CODES, [(CODES[k], CODES[(k + 2) % N]) for k in range(N)])  # two components
TABLE = pd.DataFrame(
    {
        "code": CODES,
        "y": np.random.default_rng(1).normal(3, 1, N),
        "v": 0.2,
        "x": np.linspace(-1, 1, N) ** 3,
        "two": np.arange(N) % 2,
        "three": np.arange(N) % 3,
        "year": 2000 + np.arange(N) % 5,
        "region": [f"r{k // 6}" for k in range(N)],
        "regio": [f"q{9 - k // 6}" for k in range(N)],  # the same, in another order
        "each": [f"e{N - k}" for k in range(N)],
    }
)
AREAS = bs.Areas.from_frame(TABLE, code="code", groupings=["region", "regio", "each"])
DATA = bs.DirectEstimates.from_frame(TABLE, y="y", variance="v", area="code", areas=AREAS)


def refusals(step: Callable[[], object]) -> list[str]:
    with pytest.raises(BuurtsaeError) as raised:
        step()
    problems = getattr(raised.value, "problems", (raised.value,))
    assert all(str(p).count("\n") == 2 for p in problems)
    return [p.what for p in problems]


@pytest.mark.parametrize(
    "terms",
    [
        [bs.IID("region"), bs.IID("regio")],
        [bs.IID("each"), bs.IID("area")],
        [bs.IID("area"), bs.IID("each")],
        [bs.BYM2(RING), bs.IID("area")],
        [bs.IID("area"), bs.BYM2(RING)],
        [bs.BYM2(RING), bs.ICAR(RING)],
        [bs.BYM2(RING), bs.BYM2(RING, name="again")],
        [bs.ICAR(RING), bs.ICAR(RING, scaled=False, name="unscaled")],
        [bs.ICAR(SKIP), bs.ICAR(SKIP, scaled=False, name="unscaled")],
        [bs.SAR(RING), bs.SAR(RING, name="again")],
    ],
)
def test_terms_that_cannot_be_told_apart(terms: list[Any]) -> None:
    assert refusals(lambda: design(bs.AreaModel("1", terms), DATA)) == ["two terms cannot be told apart"]


@pytest.mark.parametrize(
    "terms",
    [
        [bs.BYM2(RING), bs.BYM2(SKIP, name="skip")],
        [bs.Leroux(RING), bs.IID("area")],
        [bs.SAR(RING), bs.SAR(SKIP, name="skip"), bs.IID("region")],
        [bs.RW1("year"), bs.AR1("year")],
    ],
)
def test_terms_that_can(terms: list[Any]) -> None:
    assert len(design(bs.AreaModel("1", terms), DATA).effects) == len(terms)


@pytest.mark.parametrize("name", ["two", "three"])
def test_a_spline_needs_five_values(name: str) -> None:
    model = bs.AreaModel(f"1 + {name}", [bs.Spline(name)])
    assert refusals(lambda: design(model, DATA)) == [f"the covariate of s({name}) has too few values for a curve"]
    assert design(bs.AreaModel("1 + year", [bs.Spline("year")]), DATA).effects[0].name == "s(year)"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: bs.IID("area", sd=bs.Normal(0, 1)), "term IID: sd is impossible"),
        (lambda: bs.IID("area", sd=bs.Uniform(-1, 1)), "term IID: sd is impossible"),
        (lambda: bs.IID("area", sd=bs.LKJ(2)), "term IID: sd is of another kind"),
        (lambda: bs.IID("area", sd=bs.PC), "term IID: sd is of another kind"),
        (lambda: bs.IID("area", sd=0.5), "term IID: sd is of another kind"),
        (lambda: bs.IID("area", correlation=bs.Beta()), "term IID: correlation is of another kind"),
        (lambda: bs.IID(3), "term IID: level is of another kind"),
        (lambda: bs.IID("area", spread="a"), "term IID: spread is of another kind"),
        (lambda: bs.Leroux(RING, mixing=bs.Normal()), "term Leroux: mixing is impossible"),
        (lambda: bs.BYM2(RING, mixing=bs.Uniform(0.2, 3)), "term BYM2: mixing is impossible"),
        (lambda: bs.SAR(RING, autocorrelation=bs.Uniform(-2, 2)), "term SAR: autocorrelation is impossible"),
        (lambda: bs.AR1("year", autocorrelation=bs.PC()), "term AR1: autocorrelation is impossible"),
        (lambda: bs.ICAR("queen"), "term ICAR: graph is of another kind"),
        (lambda: bs.ICAR(None), "term ICAR: graph is of another kind"),
        (lambda: bs.Spline("x", intervals=3.5), "term Spline: intervals is of another kind"),
        (lambda: bs.AreaModel("1", bs.IID("area")), "the terms are no list"),
        (lambda: bs.AreaModel("1", [bs.IID]), "a term is unknown"),
        (lambda: bs.AreaModel(3), "model: formula is of another kind"),
        (lambda: bs.AreaModel(intercept=bs.PC()), "model: intercept is of another kind"),
        (lambda: bs.AreaModel(outcome=bs.Gaussian), "model: outcome is of another kind"),
        (lambda: bs.AreaModel(outcome="poisson"), "model: outcome is of another kind"),
        (lambda: bs.AreaModel(variances=bs.Normal()), "model: variances is impossible"),
        (lambda: bs.AreaModel(covariates=["x"]), "model: covariates is of another kind"),
        (lambda: bs.Link(extra=0.5), "link: extra is of another kind"),
        (lambda: bs.Scale(0, 1, 2), "scale: nl is of another kind"),
        (lambda: bs.fit(bs.AreaModel(), TABLE), "this is no model and data"),
        (lambda: bs.fit(DATA, bs.AreaModel()), "this is no model and data"),
        (
            lambda: design(bs.AreaModel(outcome=bs.Gaussian((0, 1))), DATA),  # means of 3
            "the data lie outside the scale of the outcome",
        ),
    ],
)
def test_what_is_of_another_kind_or_outside_its_range(make: Callable[[], object], what: str) -> None:
    assert refusals(make) == [what]


def test_what_differs_by_rounding_is_one_value() -> None:
    table = TABLE.assign(a=0.1 * (TABLE["year"] - 2000), b=(TABLE["year"] - 2000) / 10 + 1e-14 * (np.arange(N) % 2))
    data = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code")
    one, other = (design(bs.AreaModel("1", [bs.RW1(c)]), data).effects[0] for c in ("a", "b"))
    assert one.sees.shape == other.sees.shape == (N, 5)
    assert one.same(other)


def test_priors_of_other_families_that_fit() -> None:
    terms = [bs.Leroux(RING, sd=bs.HalfCauchy(1), mixing=bs.Uniform(0, 1)), bs.SAR(SKIP, autocorrelation=bs.Beta(2, 2))]
    assert len(design(bs.AreaModel("1", terms, variances=None), DATA).effects) == 2


@pytest.mark.parametrize("term", [bs.SAR(SKIP), bs.Leroux(SKIP), bs.AR1("year"), bs.BYM2(SKIP)], ids=repr)
@pytest.mark.parametrize("at", [-8.0, -6.0, 6.0, 8.0])
def test_structures_at_the_boundary_of_their_parameters(term: Any, at: float) -> None:
    # an autocorrelation of 1 - 1e-9 would leave a SAR precision no positive pivot
    marginal = Marginal.of(design(bs.AreaModel("1", [term]), DATA))
    value, gradient = marginal.with_gradient(np.full(marginal.size, at))
    assert np.isfinite([value, *gradient]).all()


@pytest.fixture(scope="module")
def two_years() -> Fit:
    areas = make_areas()
    first, second = make_scores(areas, SUBDIMENSIONS[:2], 2, np.random.default_rng(1))
    data = bs.direct([first, replace(second, source=first.source)], areas).by_year()
    model = bs.AreaModel("1 + groen", [bs.Leroux(areas.graph())], missing="impute")
    return bs.fit(model, data, draws=400, hyperparameters=100, progress=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("year", [2022, 2023])
def test_a_year_of_a_fit_is_a_fit_of_that_year(two_years: Fit, year: int) -> None:
    # given hyperparameters, what the fit of one year says from that year's data alone
    alone, t = two_years.of_year(year), two_years.design.years.index(year)
    columns = slice(2 * t, 2 * t + 2)
    np.testing.assert_array_equal(alone.draws.eta, two_years.draws.eta[..., columns])
    assert alone.design.columns == two_years.direct.subdimensions
    assert alone.direct.sources == (two_years.direct.sources[t],)
    hyper = Hyper.drawn(two_years.draws, two_years.design, 7)
    whole = Marginal.of(two_years.design).conditional(hyper, hyper.factor)
    np.testing.assert_allclose(given(alone, 7).posterior.mean, whole.mean[:, columns], atol=1e-9)
    np.testing.assert_allclose(given(alone, 7).posterior.sd, whole.sd[:, columns], rtol=1e-9)
    est = bs.estimate(alone)
    assert est.table["year"].unique().tolist() == [year]
    rows = est.table[(est.table["level"] == "buurt") & (est.table["measure"] == SUBDIMENSIONS[0])]
    scores = alone.draws.flat[:, alone.areas.inhabited, 0].mean(axis=0)
    np.testing.assert_allclose(rows["estimate"], scores, atol=1e-9)
    both = bs.left_out(two_years).table.query(f"measure == '{SUBDIMENSIONS[0]}' and year == {year}")
    one = bs.left_out(alone).table.query(f"measure == '{SUBDIMENSIONS[0]}'")
    np.testing.assert_array_equal(both["n_respondents"], one["n_respondents"])
    np.testing.assert_array_equal(both["y"], one["y"])


def test_one_year_is_one_period(two_years: Fit) -> None:
    assert DATA.by_year().years == ()
    alone = two_years.of_year(2022)
    assert alone.of_year(2022) is alone
    counts = bs.AreaCounts.from_frame(TABLE.assign(n=9), y="two", exposure="n", area="code", areas=AREAS, year=2024)
    model = bs.AreaModel("1 + x", [bs.Leroux(RING), bs.Spline("x")], outcome=bs.Poisson())
    fit = bs.fit(model, counts.by_year(), draws=20, hyperparameters=20, progress=False)
    assert bs.estimate(fit.of_year(2024)).table["year"].unique().tolist() == [2024]


def test_links_and_factors_of_a_year() -> None:
    # two sources, both in two years, variances modelled: a year has the link of all years, and kappas and factors of
    # its own. The second is the reference, as the first has no survey
    areas = make_areas()
    made = [make_scores(areas, SUBDIMENSIONS[:1], 2, np.random.default_rng(seed)) for seed in (1, 2)]
    scores = [
        replace(s, year=year, kind=kind)
        for year, pair in zip((2022, 2023), made, strict=True)
        for s, kind in zip(pair, ("participatory", "survey"), strict=True)
    ]
    data = bs.direct(scores, areas).by_year()
    model = bs.AreaModel("1", [bs.IID("buurt")], variances=bs.PC(0.5, 0.05))
    both = bs.fit(model, data, draws=100, hyperparameters=40, progress=False)  # type: ignore[arg-type]
    assert both.draws.hyper["alpha"][1].shape[-1] == 1
    alone = both.of_year(2023)
    assert alone.draws.hyper["alpha"][1].shape[-1] == alone.design.linked.sum() == 1
    np.testing.assert_array_equal(alone.draws.hyper["tau"][1][..., 0], both.draws.hyper["tau"][1][..., 0])
    assert alone.draws.coords["source"] == alone.design.sources
    assert alone.draws.hyper["kappa"][1].shape[2:] == (2, 1)
    assert alone.draws.factor is not None
    assert alone.draws.factor.shape == alone.design.y.shape
    assert alone.information.shape == (2, len(areas.codes), 1, 1)
    np.testing.assert_array_equal(alone.design.centre, both.design.centre[:1])
    assert alone.links[0][:, 1].any() == 0 < abs(alone.links[0][:, 0]).min()
    # what the other year says of the link is not in the design of this one
    assert refusals(lambda: alone.marginal) == ["one year of a model of several cannot be conditioned again"]
    assert set(alone.draws.hyperparameters()["measure"]) <= {*SUBDIMENSIONS[:1], "Intercept - " + SUBDIMENSIONS[0]} | {
        *alone.draws.coords["link"],
        *(f"{s} - {SUBDIMENSIONS[0]}" for s in alone.design.sources),
    }


def test_what_follows_a_fit_is_of_one_year(two_years: Fit) -> None:
    several, wrong = ["the fit is of several years"], ["there is no such year"]
    assert refusals(lambda: bs.estimate(two_years)) == several
    assert {row["year"] for row in bs.contributions(two_years)} == {2022, 2023}  # evidence is of all years
    assert refusals(lambda: bs.curves(two_years, "groen")) == several
    for step in (two_years.of_year, two_years.draws.of_year, two_years.direct.of_year):
        assert refusals(lambda step=step: step(1999)) == wrong  # type: ignore[misc]
    assert refusals(lambda: bs.fit(two_years.model, two_years.direct, "eblup")) == ["engine eblup is of one period"]
    assert bs.fit(two_years.model, two_years.direct.of_year(2022), "eblup", draws=20, progress=False).engine == "eblup"


def test_a_contrast_between_years_is_of_joint_draws(two_years: Fit) -> None:
    first, last = (bs.estimate(two_years.of_year(year)) for year in two_years.design.years)
    seen = first.table.query("level == 'buurt' and label != 'niet_publiceren'")["area_code"]
    code, measure = seen.iloc[0], SUBDIMENSIONS[0]
    made = bs.contrast(last, code, code, measure, against=first)
    place, width = first.areas.codes.get_loc(code), len(two_years.design.measures)
    change = two_years.draws.flat[:, place, width] - two_years.draws.flat[:, place, 0]
    assert made.difference[0] == pytest.approx(change.mean(), abs=1e-12)
    assert made.probability == pytest.approx((change > 0).mean(), abs=1e-12)
    other = bs.estimate(replace(two_years, seed=2).of_year(2022))  # the same year of another fit
    wrong = ["draws of two fits are not joint"]
    assert refusals(lambda: bs.contrast(last, code, code, measure, against=other)) == wrong
