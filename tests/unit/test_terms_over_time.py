"""Effects over time: Knorr-Held's type IV against the pseudo-inverse, one period as the term itself, both engines."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.engines import nuts
from buurtsae.engines.hyper import Hyper
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError
from buurtsae.model.contrasts import Contrasts, scaled_walk
from buurtsae.model.design import Design, design
from buurtsae.sparse import Floats

YEARS = (2012, 2016, 2020, 2022, 2024)
EDGES = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5), (6, 7)]
Y = """0.001 0.299 -0.274 -0.891 -0.455 -0.992 0.06 1.34 -0.492 -0.62 0.49 0.357 0.105 -0.93 -0.029
0.695 -1.344 -0.458 -1.901 -1.29 -1.842 -0.235 -1.267 0.271 0.157 -0.187 -2.517 -0.539 -0.049 0.113
-1.53 -0.478 -0.979 -0.809 1.061 -0.808 -0.033 0.884 -0.584 -0.112"""
V = """0.904 0.608 0.878 0.712 0.793 0.273 0.633 0.606 0.897 0.489 0.679 0.247 0.51 0.458 0.32
0.853 0.504 0.983 0.672 0.684 0.71 0.741 0.321 0.552 0.392 0.522 0.277 0.974 0.372 0.737
0.44 0.899 0.73 0.305 0.876 0.956 0.923 0.656 0.316 0.354"""
SEEN = "01101 11111 01110 11110 11101 11110 01010 01101"


def graph() -> bs.Graph:
    codes = [f"a{k}" for k in range(8)]
    return bs.Graph.from_pairs(codes, [(codes[i], codes[j]) for i, j in EDGES])


def observed() -> tuple[Floats, Floats, np.ndarray]:
    """The miniature: y and variances, (8, 5), and which are seen."""
    seen = np.array([[c == "1" for c in word] for word in SEEN.split()])
    return *(np.array(text.split(), dtype=float).reshape(8, 5) for text in (Y, V)), seen


def laid(terms: list[Any], formula: str = "0", residents: Any = 100) -> Design:
    """A model on the miniature, one source in all years."""
    y, v, seen = observed()
    codes = [f"a{k}" for k in range(8)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": residents}), code="code")
    sources = []
    for t, year in enumerate(YEARS):
        table = pd.DataFrame({"code": codes, "y": np.where(seen[:, t], y[:, t], np.nan), "v": v[:, t]})
        direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source="wave"))
    return design(bs.AreaModel(formula, terms), replace(direct, sources=tuple(sources)).by_year())


def given(arrays: Design, **values: float) -> Hyper:
    """Values of the parameters of the one term; without correlations."""
    (effect,) = arrays.effects
    none = np.ones((1, 1, 1))
    named = {
        f"{effect.name}.{p.name}": none if p.name == "R" else np.array([[values[p.name]]]) for p in effect.parameters
    }
    return Hyper(named, np.ones(arrays.linked.shape), np.zeros(arrays.linked.shape))


@pytest.mark.slow
def test_type_four_is_that_of_the_kronecker_product() -> None:
    """shared/knowledge/years.md, section 5: computed by the pseudo-inverse of Q_s x Q_t, sd of the interaction 1/2."""
    term = bs.OverTime(bs.ICAR(graph(), levels=False))
    arrays = laid([term])
    marginal = Marginal.of(arrays)
    conditional = marginal.conditional(given(arrays, sigma=0.0, change=0.5, psi=1.0))
    assert conditional.log_likelihood == pytest.approx(-42.15916556958544, abs=1e-8)
    mean, sd = conditional.mean, np.sqrt(np.einsum("kdd->kd", conditional.scores.covariance))
    expected = [0.24863087, 0.43245020, -0.03001045, -0.22380408, -0.42726653]
    np.testing.assert_allclose(mean[0], expected, atol=1e-8)
    np.testing.assert_allclose(sd[0], [0.61710554, 0.36968757, 0.34637469, 0.37459854, 0.45305351], atol=1e-8)
    assert abs(mean.sum(axis=1)).max() < 1e-12  # over the years of an area
    for part in ([0, 1, 2, 3, 4, 5], [6, 7]):
        assert abs(mean[part].sum(axis=0)).max() < 1e-12


def dense(c_stays: Floats, c_changes: Floats) -> tuple[Floats, float]:
    """Posterior means and log-likelihood by dense algebra: covariance of stays over areas, of changes over all."""
    y, v, seen = observed()
    k = np.kron(c_stays, np.ones((5, 5))) + c_changes
    at = np.flatnonzero(seen.ravel())
    s = k[np.ix_(at, at)] + np.diag(v.ravel()[at])
    r = y.ravel()[at]
    log = -0.5 * (r @ np.linalg.solve(s, r) + np.linalg.slogdet(2 * np.pi * s)[1])
    return (k[:, at] @ np.linalg.solve(s, r)).reshape(8, 5), float(log)


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "psi"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.3, 0.6)])
def test_all_types_are_those_of_dense_algebra(phi: float, psi: float) -> None:
    """What stays, and changes of types I to IV but for their mean over the years, by pseudo-inverses."""
    term = bs.OverTime(bs.BYM2(graph(), levels=False, by_residents=False))
    arrays = laid([term])
    values = {"sigma": 0.8, "phi": 0.4, "change": 0.5, "psi": psi, "change_phi": phi}
    conditional = Marginal.of(arrays).conditional(given(arrays, **values))
    space = np.linalg.pinv(graph().icar.precision.toarray(), rcond=1e-10)
    time = np.linalg.pinv(scaled_walk(YEARS), rcond=1e-10)
    years = np.eye(5) - 1 / 5
    changes = np.kron(0.25 * (phi * space + (1 - phi) * np.eye(8)), psi * time + (1 - psi) * years)
    mean, log = dense(0.64 * (0.4 * space + 0.6 * np.eye(8)), changes)
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-9)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-9)


RESIDENTS = np.array([300, 900, 2700, 8100, 500, 1500, 4500, 100])


def test_what_changes_has_its_own_dependence_on_residents() -> None:
    """v of what stays has (N_0 / N)^gamma, that of changes (N_0 / N)^(gamma + change_gamma); below 200 as 200."""
    arrays = laid([bs.OverTime(bs.BYM2(graph(), levels=False))], residents=RESIDENTS)
    values = {"sigma": 0.8, "phi": 0.4, "gamma": -0.2, "change": 0.5, "psi": 0.6, "change_phi": 0.3}
    conditional = Marginal.of(arrays).conditional(given(arrays, **values, change_gamma=0.7))
    space = np.linalg.pinv(graph().icar.precision.toarray(), rcond=1e-10)
    size = np.log(np.maximum(RESIDENTS, 200))
    few = np.exp(size.mean() - size)
    time = 0.6 * np.linalg.pinv(scaled_walk(YEARS), rcond=1e-10) + 0.4 * (np.eye(5) - 1 / 5)
    changes = np.kron(0.25 * (0.3 * space + 0.7 * np.diag(few ** (2 * (0.7 - 0.2)))), time)
    mean, log = dense(0.64 * (0.4 * space + 0.6 * np.diag(few ** (2 * -0.2))), changes)
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-9)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-9)


@pytest.mark.parametrize(("phi", "rho"), [(0.0, 0.8), (1.0, 0.3), (0.4, 0.95)])
def test_autoregressive_changes_are_those_of_dense_algebra(phi: float, rho: float) -> None:
    """rho^gap between unequal years, about its mean over the years, of generalised variance 1."""
    term = bs.OverTime(bs.BYM2(graph(), levels=False, by_residents=False), process="ar1")
    arrays = laid([term])
    values = {"sigma": 0.8, "phi": 0.4, "change": 0.5, "change_rho": rho, "change_phi": phi}
    conditional = Marginal.of(arrays).conditional(given(arrays, **values))
    space = np.linalg.pinv(graph().icar.precision.toarray(), rcond=1e-10)
    about, years = np.eye(5) - 1 / 5, np.array(YEARS)
    time = about @ rho ** abs(years[:, None] - years) @ about
    time /= np.exp(np.log(time.diagonal()).mean())
    mean, log = dense(
        0.64 * (0.4 * space + 0.6 * np.eye(8)), np.kron(0.25 * (phi * space + (1 - phi) * np.eye(8)), time)
    )
    np.testing.assert_allclose(conditional.mean, mean, atol=1e-9)
    assert conditional.log_likelihood == pytest.approx(log, abs=1e-9)


def test_nuts_scales_what_changes_alike() -> None:
    """Unstructured effects that NUTS makes of unit noise are those of the roots of the fast engine."""
    arrays = laid([bs.OverTime(bs.BYM2(graph(), levels=False))], residents=RESIDENTS)
    v = np.random.default_rng(2).standard_normal((8, 5))
    values = {"sigma": 0.8, "phi": 0.4, "gamma": 0.3, "change": 0.5, "psi": 0.6, "change_phi": 0.3, "change_gamma": 0.7}
    point = {name: np.array([value]) for name, value in values.items()} | {"R": np.ones((1, 1))}
    (effect,) = arrays.effects
    drawn = nuts.scaled(effect, point, v, SimpleNamespace(dot=np.dot, exp=np.exp, stack=np.stack))
    hyper = given(arrays, **values).loadings(arrays)
    roots = Marginal.of(arrays).field.loose.roots(hyper.loose, hyper.scaling, 8)
    np.testing.assert_allclose(drawn, np.einsum("ade,ae->ad", roots, v), atol=1e-12)


def test_an_autoregression_has_the_walk_and_what_comes_and_goes_at_its_ends() -> None:
    walk, ar1 = (Contrasts.of(YEARS, 2, process) for process in ("walk", "ar1"))

    def covariance(over: Contrasts, share: float) -> Floats:
        root = over.loading(np.zeros((2, 2)), np.array([[0.5, 0.0], [0.2, 0.3]]), np.full(2, share))
        return np.asarray(root @ root.T)

    # what is left of rho^12 beside the walk is (1 - rho) times half the span of 12 years
    np.testing.assert_allclose(covariance(ar1, 1 - 1e-8), covariance(walk, 1.0), atol=1e-7)
    np.testing.assert_allclose(covariance(ar1, 0.0), 5 / 4 * covariance(walk, 0.0), atol=1e-14)


def test_one_period_is_the_term_itself() -> None:
    y, v, seen = observed()
    codes = [f"a{k}" for k in range(8)]
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 100}), code="code")
    table = pd.DataFrame({"code": codes, "y": np.where(seen[:, 1], y[:, 1], np.nan), "v": v[:, 1]})
    direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)
    options: dict[str, Any] = {"draws": 200, "hyperparameters": 60, "progress": False}
    term = bs.BYM2(graph())
    alone, over = (bs.fit(bs.AreaModel("1", [t]), direct, **options) for t in (term, bs.OverTime(term)))
    np.testing.assert_array_equal(alone.draws.eta, over.draws.eta)


def test_the_gradient_is_that_of_differences() -> None:
    terms = [bs.OverTime(bs.BYM2(graph())), bs.OverTime(bs.Leroux(graph(), name="l"), process="ar1")]
    marginal = Marginal.of(laid(terms, "1", RESIDENTS))
    assert "BYM2.change_gamma" in marginal.scores.names
    xi = 0.3 * np.random.default_rng(3).standard_normal(marginal.size)
    value, gradient = marginal.with_gradient(xi)
    assert value == pytest.approx(marginal.log_posterior(xi), abs=1e-9)
    step = 1e-5 * np.eye(marginal.size)
    numeric = [(marginal.log_posterior(xi + e) - marginal.log_posterior(xi - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)  # second order of the step, digits of the value over it


def test_the_walk_is_scaled_over_the_years_there_are() -> None:
    """shared/knowledge/years.md, 2.4."""
    expected = [0.54066517, 1.08133035, 1.62199552, 2.16266069, 1.08133035]
    np.testing.assert_allclose(scaled_walk(YEARS).diagonal(), expected, atol=1e-8)
    generalised = np.linalg.pinv(scaled_walk((2020, 2021, 2024))).diagonal()
    assert np.exp(np.log(generalised).mean()) == pytest.approx(1.0)


def panel(seed: int = 4, side: int = 8) -> tuple[Any, bs.Graph, Floats]:
    """Three waves on a grid, with a step of 2 in one area in the last; direct estimates, graph, and the truth."""
    rng, n = np.random.default_rng(seed), side * side
    codes = [f"a{k:02}" for k in range(n)]
    right = [(codes[k], codes[k + 1]) for k in range(n) if (k + 1) % side]
    graph = bs.Graph.from_pairs(codes, [*right, *((codes[k], codes[k + side]) for k in range(n - side))])
    truth = 5 + 0.6 * np.sin(np.arange(n) / 6)[:, None] + 0.3 * rng.standard_normal((n, 1))
    truth = truth + 0.2 * rng.standard_normal((n, 3)).cumsum(axis=1) + np.array([0.0, 0.2, 0.1])
    truth[20, 2] += 2.0
    areas = bs.Areas.from_frame(pd.DataFrame({"code": codes, "population": 100}), code="code")
    sources = []
    for t, year in enumerate((2018, 2020, 2024)):
        v = rng.uniform(0.1, 0.5, n)
        y = np.where(rng.uniform(size=n) < 0.8, truth[:, t] + np.sqrt(v) * rng.standard_normal(n), np.nan)
        y[20] = truth[20, t]
        table = pd.DataFrame({"code": codes, "y": y, "v": v})
        direct = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas, year=year)
        sources.append(replace(direct.sources[0], source="wave"))
    return replace(direct, sources=tuple(sources)).by_year(), graph, truth


@pytest.fixture(scope="module")
def fitted() -> bs.Fit:
    several, graph, _ = panel()
    return bs.fit(bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))]), several, draws=1000, progress=False)


def test_changes_are_those_of_joint_draws(fitted: bs.Fit) -> None:
    table = bs.changes(fitted, 2020, 2024)
    draws = fitted.draws.eta.reshape(-1, 64, 3)
    step = draws[:, :, 2] - draws[:, :, 1]
    areas = table[table["level"] == "area"].set_index("area_code").loc[list(fitted.areas.codes)]
    np.testing.assert_allclose(areas["change"], step.mean(axis=0))
    np.testing.assert_allclose(areas["p_increase"], (step > 0).mean(axis=0))
    np.testing.assert_allclose(areas["lower"], np.quantile(step, 0.025, axis=0))
    # years share what stays: a change is known better than two figures beside each other
    apart = np.sqrt((draws[:, :, 1:].std(axis=0) ** 2).sum(axis=1))
    assert (areas["sd"] < apart).mean() > 0.9
    whole = table[table["level"] == "all"].iloc[0]
    assert whole["change"] == pytest.approx(areas["change"].mean())  # all areas have as many residents
    assert whole["sd"] < areas["sd"].min()


@pytest.mark.slow
def test_a_step_shows_as_far_as_its_area_has_data(fitted: bs.Fit) -> None:
    """An answer raised by a step moves the change by `recovered` times it: by fits of such data, parameters and all."""
    table = bs.changes(fitted, 2020, 2024).set_index("area_code")
    several, graph, _ = panel()
    model, last, means = bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))]), several.sources[2], []
    for step in (-0.2, 0.2):
        moved = last.mean.copy()
        moved[list(last.codes).index("a20")] += step
        other = replace(several, sources=(*several.sources[:2], replace(last, mean=moved)))
        fit = bs.fit(model, other, draws=8000, progress=False)
        means.append(bs.changes(fit, 2020, 2024).set_index("area_code").loc["a20", "change"])
    # 8,000 draws of a change with sd 0.3 each: the difference, over 0.4, is known to 0.012
    assert table.loc["a20", "recovered"] == pytest.approx((means[1] - means[0]) / 0.4, abs=0.025)
    assert 0.01 < table.loc["a20", "recovered"] < 0.3
    assert table.loc["a20", "label"] == "niet_te_onderscheiden"  # a model of small changes smooths a single step away
    silent = fitted.areas.codes[~fitted.areas.codes.isin(last.codes)]
    assert (table.loc[list(silent), "recovered"] == 0).all()


def test_what_it_is_of_may_be_replaced() -> None:
    wider = replace(bs.OverTime(bs.IID("area")), change=bs.PC(2.0, 0.05))
    assert (wider.name, wider.change) == ("area", bs.PC(2.0, 0.05))


def test_what_has_no_change_is_refused(fitted: bs.Fit) -> None:
    one = fitted.of_year(2024)
    for call, says in (
        (lambda: bs.changes(fitted, 2020, 2022), "there are no such years"),
        (lambda: bs.changes(fitted, 2024, 2020), "years are not in order"),
        (lambda: bs.changes(fitted, 2020, 2024, relevant=0.0), "the relevant change is none"),
        (lambda: bs.changes(one, 2020, 2024), "a change is of one fit of several years"),
        (lambda: one.marginal, "one year of a model of several cannot be conditioned again"),
        (lambda: bs.OverTime(bs.IID("area"), sd=bs.PC(1, 0.1), name="x"), "sd, name of OverTime is that of its term"),
        (lambda: bs.OverTime(bs.IID("area"), process="ar2"), "`process` is unknown"),  # type: ignore[arg-type]
        (lambda: bs.OverTime(3), "what changes over time is no term"),  # type: ignore[arg-type]
        (lambda: laid([bs.OverTime(bs.BYM2(graph(), tails=True))]), "cannot change over time"),
    ):
        with pytest.raises(BuurtsaeError, match=says) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 3


def test_figures_of_a_year_follow(fitted: bs.Fit) -> None:
    est = bs.estimate(fitted.of_year(2024))
    areas = est.table[est.table["level"] == "area"].set_index("area_code")
    expected = fitted.draws.eta.reshape(-1, 64, 3)[:, :, 2].mean(axis=0)
    np.testing.assert_allclose(areas.loc[list(fitted.areas.codes), "estimate"], expected)
    assert (est.table["year"] == 2024).all()


@pytest.mark.nuts
def test_the_fast_engine_is_nuts() -> None:
    several, graph, _ = panel(side=6)
    model = bs.AreaModel("1", [bs.OverTime(bs.BYM2(graph))])
    fast = bs.fit(model, several, draws=8000, hyperparameters=1000, progress=False)
    slow = bs.fit(model, several, "nuts", draws=3000, tune=1500, progress=False)
    a, b = (fit.draws.eta.reshape(-1, 36 * 3) for fit in (fast, slow))
    assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 0.1 * b.std(axis=0)).all()
    np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.08)  # single areas: 5% and Monte Carlo's 3%
    changes = [(d[:, 2::3] - d[:, 1::3]) for d in (a, b)]
    assert (abs(changes[0].mean(axis=0) - changes[1].mean(axis=0)) < 0.1 * changes[1].std(axis=0)).all()


@pytest.mark.nuts
def test_autoregressive_changes_and_a_year_without_a_survey_are_those_of_nuts() -> None:
    several = panel(side=5)[0].by_year(also=(2022,))
    model = bs.AreaModel("1", [bs.OverTime(bs.IID("area"), process="ar1")])
    fast = bs.fit(model, several, draws=8000, hyperparameters=1000, progress=False)
    slow = bs.fit(model, several, "nuts", draws=2000, tune=1000, progress=False)
    a, b = (fit.draws.eta.reshape(-1, 25 * 4) for fit in (fast, slow))
    assert (abs(a.mean(axis=0) - b.mean(axis=0)) < 0.1 * b.std(axis=0)).all()
    np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.08)  # 5% and Monte Carlo's 3%
