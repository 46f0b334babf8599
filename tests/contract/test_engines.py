r"""One suite for all engines: the contract's shape, refusals before any work, and a posterior known by quadrature.

One sub-dimension, one source, y ~ N(eta, V) where observed, eta = mu + sigma (sqrt(1 - phi) v + sqrt(phi) u): with
sigma and phi given,

    eta ~ N(m 1, K),  K = s^2 11' + sigma^2 ((1 - phi) I + phi Q^+),   y ~ N(m 1, K + V),
    E[eta | y] = m 1 + K (K + V)^{-1} (y - m 1),   Var[eta | y] = K - K (K + V)^{-1} K,

and the posterior of (sigma, phi), proportional to p(y | sigma, phi) p(sigma) p(phi), is summed on a grid.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from example_runs import Example, call
from shapely import box

from buurtsae.areas.areas import Areas
from buurtsae.draws import convergence
from buurtsae.engines.base import ENGINES, Fit, fit
from buurtsae.engines.eblup import counterpart, multivariate
from buurtsae.errors import ModelError
from buurtsae.model.design import design
from buurtsae.model.priors import PC, Beta, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2
from buurtsae.runs import steps
from buurtsae.survey.concept import Concept
from buurtsae.survey.direct import DirectEstimates
from buurtsae.survey.source_estimates import SourceEstimates

# enough that Monte Carlo error is small beside the 0.1 sd and 5% asked for
OPTIONS = {"laplace": {"draws": 8000}, "nuts": {"chains": 4, "tune": 1000, "draws": 4000}}

BAYESIAN = ("laplace", "nuts")  # those that fit the model as it is asked for
each_engine = pytest.mark.parametrize("name", ENGINES)


def module(name: str) -> ModuleType:
    return import_module(ENGINES[name])


@pytest.fixture(scope="module")
def areas() -> Areas:
    """Squares of 1 km, 5 by 5, of which the last is an island."""
    corners = [(1000 * k, 1000 * r) for r in range(5) for k in range(5)]
    corners[-1] = (9000, 9000)
    index = pd.Index([f"BU034400{i:02}" for i in range(25)], name="area_code")
    columns = {"name": index, "wijk": "WK034400", "gemeente": "GM0344", "population": 100}
    squares = [box(x, y, x + 1000, y + 1000) for x, y in corners]
    return Areas(gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992"), 2024)


@pytest.fixture(scope="module")
def model(areas: Areas) -> AreaModel:
    return AreaModel("1", (BYM2(areas.graph(), sd=PC(1.0, 0.05), mixing=Beta(1.0, 1.0)),), intercept=Normal(6.0, 2.0))


@pytest.fixture(scope="module")
def observed(areas: Areas) -> DirectEstimates:
    """Made direct estimates of one sub-dimension in 20 of the 25 buurten, with very different variances."""
    rng = np.random.default_rng(11)
    codes = areas.codes[np.sort(rng.permutation(25)[:20])]
    x = np.linspace(-1, 1, 25)[areas.codes.get_indexer(codes)]
    n = rng.integers(2, 40, 20)
    variance = 2.5 / n  # within buurten a variance of 2.5, as in the example
    mean = 6 + 0.8 * x + rng.normal(0, 0.4, 20) + rng.normal(0, np.sqrt(variance))
    source = SourceEstimates(
        "made", 2024, codes, mean[:, None], variance[:, None, None], n[:, None], n[:, None].astype(float)
    )
    return DirectEstimates(("participatie",), (source,), areas)


@pytest.fixture(scope="module", params=BAYESIAN)
def fitted(request: pytest.FixtureRequest, model: AreaModel, observed: DirectEstimates, areas: Areas) -> Fit:
    """The fit of each engine; for NUTS the only compilation of this module."""
    return fit(model, observed, request.param, 3, progress=False, **OPTIONS[request.param])


def by_quadrature(model: AreaModel, observed: DirectEstimates, areas: Areas) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior means and sds of eta, and the posterior mean of sigma, on a grid of (sigma, phi)."""
    (term,) = model.terms
    assert isinstance(term, BYM2)
    (source,) = observed.sources
    row = areas.codes.get_indexer(source.codes)
    y, v, n = source.mean[:, 0], source.variance[:, 0, 0], len(areas.codes)
    generalised = np.linalg.pinv(term.graph.icar.precision.toarray())
    sigmas, phis = np.arange(0.01, 3.0, 0.02), np.arange(0.005, 1, 0.01)  # midpoints of cells
    weight, first, second = [], [], []
    for sigma in sigmas:
        for phi in phis:
            k = model.intercept.sd**2 + sigma**2 * ((1 - phi) * np.eye(n) + phi * generalised)
            marginal = k[np.ix_(row, row)] + np.diag(v)
            gain = np.linalg.solve(marginal, k[row]).T
            r = y - model.intercept.mean
            log_p = -0.5 * (np.linalg.slogdet(marginal)[1] + r @ np.linalg.solve(marginal, r))
            weight.append(log_p - term.sd.rate * sigma)  # PC prior of sigma; Beta(1, 1) of phi is flat
            first.append(model.intercept.mean + gain @ r)
            second.append(np.diag(k - gain @ k[row]))
    p = np.exp(np.array(weight) - np.max(weight))
    p /= p.sum()
    m, s2 = np.array(first), np.array(second)
    mean = p @ m
    return mean, np.sqrt(p @ (s2 + (m - mean) ** 2)), float(p @ np.repeat(sigmas, len(phis)))


@pytest.mark.nuts
@pytest.mark.slow
@pytest.mark.xdist_group("engines")
def test_posterior_agrees_with_quadrature(
    fitted: Fit, model: AreaModel, observed: DirectEstimates, areas: Areas
) -> None:
    mean, sd, sigma = by_quadrature(model, observed, areas)
    eta = fitted.draws.eta[..., 0]
    ess = convergence(eta)["ess_bulk"].min()
    assert ess > 2000
    # the tolerances at which engines must agree, and five Monte Carlo errors
    assert (np.abs(eta.mean(axis=(0, 1)) - mean) / sd).max() < 0.1 + 5 / np.sqrt(ess)
    assert np.abs(eta.std(axis=(0, 1)) / sd - 1).max() < 0.05 + 5 / np.sqrt(2 * ess)
    sigmas = fitted.draws.hyper["BYM2.sigma"][1]
    assert abs(sigmas.mean() - sigma) < 0.1 * sigmas.std()


@pytest.mark.nuts
@pytest.mark.slow
@pytest.mark.xdist_group("engines")
def test_draws_are_labelled_and_complete(fitted: Fit, areas: Areas) -> None:
    draws = fitted.draws
    assert draws.areas == tuple(areas.codes)
    assert draws.subdimensions == ("participatie",)
    assert draws.eta.shape == (*draws.shape, 25, 1)
    assert np.isfinite(draws.eta).all()
    assert {"beta", "BYM2.sigma", "BYM2.phi"} <= set(draws.hyper)
    for dims, values in draws.hyper.values():
        assert values.shape[:2] == draws.shape
        assert values.shape[2:] == tuple(draws.dataset.sizes[d] for d in dims)
    assert fitted.check().empty


@each_engine
def test_an_engine_has_the_shape_of_the_contract(name: str) -> None:
    engine = module(name)
    assert engine.__doc__
    assert is_dataclass(engine.Options)
    assert engine.Options() == engine.Options()  # every option has a default
    assert list(inspect.signature(engine.supports).parameters) == ["design"]
    assert list(inspect.signature(engine.sample).parameters) == ["design", "seed", "options", "progress"]
    with pytest.raises(AttributeError):
        setattr(engine.Options(), fields(engine.Options)[0].name, 1)  # frozen


@pytest.mark.parametrize("name", BAYESIAN)
def test_supports_names_what_it_cannot_do(name: str, model: AreaModel, observed: DirectEstimates, areas: Areas) -> None:
    arrays = design(model, observed)
    assert module(name).supports(arrays) == []
    assert module(name).supports(replace(arrays, effects=2 * arrays.effects)) == []  # of one kind there may be several


@each_engine
def test_what_is_not_supported_is_refused_before_any_work(
    name: str, model: AreaModel, observed: DirectEstimates, areas: Areas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(name), "supports", lambda design: ["a term", "another"])
    monkeypatch.setattr(module(name), "sample", _never)
    with pytest.raises(ModelError, match=f"engine {name} does not support this model") as found:
        fit(model, observed, name)
    assert found.value.got == "a term, another"


@each_engine
def test_unknown_options_are_refused_before_any_work(
    name: str, model: AreaModel, observed: DirectEstimates, areas: Areas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module(name), "sample", _never)
    with pytest.raises(ModelError, match=f"engine {name} has no such option") as found:
        fit(model, observed, name, snelheid=3)
    assert found.value.got == "snelheid"


def test_unknown_engines_are_refused_before_any_work(model: AreaModel, observed: DirectEstimates, areas: Areas) -> None:
    with pytest.raises(ModelError, match="the engine is unknown") as found:
        fit(model, observed, "gibbs")
    assert found.value.expected == ", ".join(ENGINES)


def test_the_classical_engine_from_end_to_end(example: Example) -> None:
    out = example.folder / "out"
    done = call("run", example.run, "--engine", "eblup", "--out", out, "--quiet")
    assert done.status == 3, done.err
    report = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    # the example has a field and gemeenten that differ, this engine has neither: the gate sees that, and nothing else
    assert [c["id"] for c in report["gate"]["checks"] if not c["passed"]] == ["checks"]
    assert {c["id"] for c in report["checks"] if not c["passed"]} == {"group", "neighbours"}
    assert report["run"]["engine"] == "eblup"
    assert report["convergence"]["converged"] is True
    assert report["gate"]["checks"][0]["id"] == "converged"
    assert any("in the place of BYM2, gemeente" in note for note in report["notes"])
    assert "REML" in report["model"]
    table = pd.read_parquet(out / "estimates.parquet")
    inputs = steps.check(example.run)
    expected = multivariate(design(*counterpart(inputs.model, inputs.direct)))
    buurten = table[(table["level"] == "buurt") & table["estimate"].notna()].set_index(["area_code", "measure"])
    own = pd.DataFrame({"eblup": expected.eblup.stack(), "mse": expected.mse.stack()})
    both = buurten.join(own.rename_axis(["area_code", "measure"]), how="inner")
    assert len(both) > 300
    # 4,000 draws: a mean is off by sd / 63
    np.testing.assert_array_less(np.abs(both["estimate"] - both["eblup"]) / both["sd"], 0.1)
    np.testing.assert_allclose(both["sd"] / np.sqrt(both["mse"]), 1.0, atol=0.06)  # five times 1 / sqrt(8,000)
    assert "Prior" not in report["model"]
    told = {(r["name"], r["measure"]): r for r in report["hyperparameters"]}
    assert all(r["prior"] is None for r in told.values())
    sigma = expected.sigma_v.loc["participatie", "participatie"]
    assert told["Sigma", "participatie"]["mean"] == pytest.approx(sigma)
    assert told["Sigma", "participatie"]["sd"] > 0
    assert len([name for name, _ in told if name == "Sigma"]) == 10
    page = (out / "quality.html").read_text(encoding="utf-8")
    assert "Naast de klassieke schatters" in page
    statement = (out / "dashboard" / "verantwoording.html").read_text(encoding="utf-8")
    assert "multivariaat Fay-Herriot" in statement
    assert "ruimtelijk deel" not in statement


def _never(*args: object, **options: object) -> None:
    raise AssertionError("this engine was started")


def _office_tables(example: Example) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Direct estimates of the example and their covariances, as an office that keeps its microdata hands them over."""
    direct = steps.check(example.run).direct
    source = direct.sources[0]
    rows, pairs = [], []
    for a, code in enumerate(source.codes):
        seen = np.flatnonzero(np.isfinite(source.mean[a]))
        for d in seen:
            figures = (source.mean[a, d], source.variance[a, d, d], source.respondents[a, d], source.n_effective[a, d])
            rows.append((code, direct.subdimensions[d], source.source, *figures))
            pairs += [
                (code, source.source, direct.subdimensions[d], direct.subdimensions[e], source.variance[a, d, e])
                for e in seen[seen > d]
            ]
    columns = ["area_code", "measure", "source", "estimate", "variance", "n_respondents", "n_effective"]
    return (
        pd.DataFrame(rows, columns=columns),
        pd.DataFrame(pairs, columns=["area_code", "source", "measure_1", "measure_2", "covariance"]),
    )


def _start_at_area_level(example: Example, part: str) -> None:
    """Replace the sources of the run file by a table of direct estimates."""
    text = example.run.read_text(encoding="utf-8")
    start, end = text.index("[[sources]]"), text.index("[model]")
    example.run.write_text(f"{text[:start]}[direct]\n{part}\n{text[end:]}", encoding="utf-8", newline="\n")


@pytest.mark.parametrize("with_covariances", [False, True])
def test_a_run_may_start_from_an_office_s_table(with_covariances: bool, example: Example) -> None:
    table, pairs = _office_tables(example)
    given = steps.check(example.run).direct.sources[0]
    table.to_csv(example.data / "direct.csv", index=False, encoding="utf-8", lineterminator="\n")
    pairs.to_csv(example.data / "covarianties.csv", index=False, encoding="utf-8", lineterminator="\n")
    part = 'file = "../data/voorbeeldstad/direct.csv"\nsmooth = false\n'
    part += 'covariances = "../data/voorbeeldstad/covarianties.csv"\n' if with_covariances else ""
    _start_at_area_level(example, part)
    done = call("check", example.run)
    assert done.status == 0, done.err
    assert ("without covariances: sampling errors taken as uncorrelated" in done.out) is not with_covariances
    inputs = steps.check(example.run)
    (source,) = inputs.direct.sources
    np.testing.assert_array_equal(source.codes, given.codes)
    np.testing.assert_allclose(source.mean, given.mean, rtol=1e-12)
    diagonal = np.einsum("add->ad", given.variance)
    own = given.variance if with_covariances else diagonal[:, :, None] * np.eye(4)
    np.testing.assert_allclose(source.variance, own, rtol=1e-9, atol=1e-12)
    assert inputs.direct.subdimensions == Concept.load().subdimensions
    assert {f.name for f in inputs.run.files} >= {"direct.csv"}
    for engine in BAYESIAN:
        assert module(engine).supports(inputs.design) == []
    classical = fit(inputs.model, inputs.direct, "eblup", progress=False, draws=4)
    np.testing.assert_allclose(classical.direct.sources[0].mean, source.mean)


def test_a_score_outside_its_scale_in_an_office_s_table(example: Example) -> None:
    table, _ = _office_tables(example)
    table.loc[2, "estimate"] = 1100.0  # nearer to the scale it is noise, and noted
    table.to_csv(example.data / "direct.csv", index=False, encoding="utf-8", lineterminator="\n")
    _start_at_area_level(example, 'file = "../data/voorbeeldstad/direct.csv"')
    done = call("run", example.run, "--out", example.folder / "out", "--quiet")
    assert done.status == 1
    assert done.err.splitlines() == [
        "direct.csv: estimates far outside the scale",
        "  got 1100; expected about 0 to 10",
        "  hint: rescale to 0-10",
    ]
    assert not Path(example.folder / "out").exists()
