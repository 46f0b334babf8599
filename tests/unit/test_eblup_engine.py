"""The classical engine: which model stands in the place of the one asked for, and draws with the analytic MSE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_fit import SUBDIMENSIONS, Made, made_fit

from buurtsae.classical.columns import BoundaryWarning
from buurtsae.draws import Maximised
from buurtsae.engines.base import Fit, engine_options, fit
from buurtsae.engines.eblup import counterpart, multivariate, supports
from buurtsae.errors import ModelError, ProblemsError
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.evidence.residuals import graph_of, moran
from buurtsae.estimates.evidence.sidebyside import classical_rows, side_by_side
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import design
from buurtsae.model.priors import PC
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import IID
from buurtsae.runs.example import example
from buurtsae.runs.steps import check

DRAWS = 20_000
# 22 buurten for four sub-dimensions: Sigma is singular, which the certificate says and `multivariate` warns of
at_the_boundary = pytest.mark.filterwarnings("ignore:Sigma .* is estimated singular")


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit(sources=2)


@pytest.fixture(scope="module")
def classical(made: Made) -> Fit:
    return fit(made.fit.model, made.fit.direct, "eblup", 5, progress=False, draws=DRAWS)


def test_the_counterpart_keeps_covariates_and_reference_sources(made: Made) -> None:
    asked = replace(made.fit.model, variances=PC(1.0, 0.05))
    model, direct = counterpart(asked, made.fit.direct)
    assert model.formula == asked.formula
    assert model.missing == asked.missing
    assert model.terms == (IID("buurt"),)
    assert model.variances is None
    assert [s.source for s in direct.sources] == [made.fit.direct.sources[0].source]
    new = "\n".join(set(direct.notes) - set(made.fit.direct.notes))
    for said in ("in the place of BYM2", "taken as known", f"not {made.fit.direct.sources[1].source}"):
        assert said in new
    arrays = design(model, direct)
    assert supports(arrays) == []
    assert not arrays.linked.any()


def test_a_source_counts_only_where_it_is_the_reference(made: Made) -> None:
    first, second = made.fit.direct.sources
    late = np.array([False, True, True, True])  # the first source does not know the first sub-dimension
    first = replace(first, mean=np.where(late, first.mean, np.nan))
    second = replace(second, mean=np.where([True, True, False, False], np.nan_to_num(second.mean, nan=5.0), np.nan))
    _, direct = counterpart(made.fit.model, replace(made.fit.direct, sources=(first, second)))
    assert [list(s.informs) for s in direct.sources] == [[False, True, True, True], [True, False, False, False]]
    one, two = direct.sources
    assert (two.respondents[:, 1:] == 0).all()
    assert (one.variance[:, 0] == 0).all()
    assert (one.variance[:, :, 0] == 0).all()
    assert direct.scores[1].frame[SUBDIMENSIONS[1]].isna().all()
    assert direct.scores[0].frame[SUBDIMENSIONS[1]].notna().any()


@at_the_boundary
def test_draws_have_the_eblup_as_mean_and_the_mse_as_covariance(classical: Fit) -> None:
    found = multivariate(classical.design)
    eta, mse = classical.draws.flat, found.mse_matrices
    sd = np.sqrt(np.einsum("add->ad", mse))
    # Monte Carlo: sd / sqrt(n) of a mean, and at most sqrt(2 / n) of a covariance in units of sds; six of each
    assert (np.abs(eta.mean(axis=0) - found.eblup.to_numpy()) / sd).max() < 6 / np.sqrt(DRAWS)
    off = eta - eta.mean(axis=0)
    covariance = np.einsum("nad,nae->ade", off, off) / len(eta)
    assert (np.abs(covariance - mse) / (sd[:, :, None] * sd[:, None, :])).max() < 6 * np.sqrt(2 / DRAWS)
    assert classical.mse is not None
    np.testing.assert_array_equal(classical.mse, found.mse)
    assert list(classical.mse.index) == list(classical.areas.codes)


@at_the_boundary
def test_buurten_hang_together_as_far_as_they_share_coefficients(classical: Fit) -> None:
    found = multivariate(classical.design)
    z, here = found.model.blocks.z, found.maximum.here
    left = (np.eye(4) - here.sigma @ here.w) @ z
    expected = np.einsum("adp,pq,beq->adbe", left, here.inverse, left)
    eta = classical.draws.flat.reshape(DRAWS, -1)
    sd = eta.std(axis=0)
    difference = np.cov(eta.T) - expected.reshape(len(sd), -1)
    a = np.repeat(np.arange(len(left)), 4)
    other = a[:, None] != a
    # the noise of a covariance of draws is about sd sd / sqrt(n); six of these, over 10,000 pairs
    assert (np.abs(difference) / np.outer(sd, sd))[other].max() < 6 / np.sqrt(DRAWS)


@at_the_boundary
def test_hyperparameters_are_those_of_the_classical_fit(classical: Fit) -> None:
    found = multivariate(classical.design)
    sigma = classical.draws.hyper["buurt.sigma"][1][0, 0]
    correlation = classical.draws.hyper["buurt.R"][1][0, 0]
    np.testing.assert_allclose(np.outer(sigma, sigma) * correlation, found.sigma_v, rtol=1e-6, atol=1e-6)
    beta = classical.draws.hyper["beta"][1].reshape(DRAWS, 2, 4)
    expected = found.params.unstack("measure")[list(SUBDIMENSIONS)].loc[list(classical.design.coefficients)]
    error = found.bse.unstack("measure")[list(SUBDIMENSIONS)].loc[list(classical.design.coefficients)]
    assert (np.abs(beta.mean(axis=0) - expected) / error < 6 / np.sqrt(DRAWS)).to_numpy().all()
    np.testing.assert_allclose(beta.std(axis=0) / error, 1.0, atol=6 / np.sqrt(2 * DRAWS))


def test_it_agrees_with_the_bayesian_fit_of_the_same_model() -> None:
    """With the same likelihood they differ by priors and by the plug-in: by much less than a posterior sd."""
    inputs = check(example())
    classical = fit(inputs.model, inputs.direct, "eblup", 5, progress=False)
    bayes = fit(classical.model, classical.direct, "laplace", 1, progress=False)
    mean, sd = bayes.draws.flat.mean(axis=0), bayes.draws.flat.std(axis=0)
    apart = (classical.draws.flat.mean(axis=0) - mean) / sd
    # with 106 buurten sampled the variances are known within some 20%: gamma, at most a half, by a tenth, and with it
    # the share of a residual of about one sd that is believed
    assert np.sqrt((apart**2).mean()) < 0.1
    assert 0.95 < (classical.draws.flat.std(axis=0) / sd).mean() < 1.1


def test_the_same_seed_gives_the_same_draws(classical: Fit) -> None:
    def drawn(seed: int) -> np.ndarray:
        return fit(classical.model, classical.direct, "eblup", seed, draws=40).draws.flat

    np.testing.assert_array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))


def test_what_is_not_classical_is_refused_by_name(made: Made) -> None:
    assert supports(made.fit.design) == [
        "other random effects than one per area",
        "several sources of one measure",
    ]
    bare = design(AreaModel("1"), counterpart(made.fit.model, made.fit.direct)[1])
    assert supports(bare) == ["other random effects than one per area"]
    wijk = made_fit(sources=1, wijk=True).fit
    with pytest.raises(ModelError, match="does not support") as found:
        fit(wijk.model, wijk.direct, "eblup")
    assert found.value.got == "reference sources that are known per wijk only, or on another edition"


def test_too_few_buurten_for_the_covariates(made: Made) -> None:
    (source, *_) = made.fit.direct.sources
    few = replace(source, mean=np.where(np.arange(len(source.codes))[:, None] < 2, source.mean, np.nan))
    with pytest.raises((ModelError, ProblemsError)):
        fit(made.fit.model, replace(made.fit.direct, sources=(few,)), "eblup")


@pytest.mark.parametrize("draws", [0, 10, 2.5])
def test_impossible_options(draws: float) -> None:
    with pytest.raises(ModelError, match="option draws of engine eblup"):
        engine_options("eblup", {"draws": draws})


def test_a_fit_without_convergence_says_what_to_do(classical: Fit) -> None:
    bad = Maximised("REML", 100, converged=False, at_boundary=True)
    fitted = replace(classical, draws=replace(classical.draws, certificate=bad))
    assert "laplace" in fitted.check()["advice"].item()
    assert "DID NOT converge" in repr(fitted)
    report = quality(estimate(fitted))
    assert [c["id"] for c in report["gate"]["checks"] if not c["passed"]] == ["converged"]
    assert any("did not converge" in note for note in report["notes"])


@at_the_boundary
def test_side_by_side(made: Made, classical: Fit) -> None:
    table = side_by_side(made.fit).set_index(["area_code", "measure"])
    found = multivariate(classical.design)
    live = made.fit.areas.codes[made.fit.areas.inhabited]
    assert list(table.index.get_level_values(0).unique()) == list(live)
    at = [(a, m) for a in live for m in SUBDIMENSIONS]
    np.testing.assert_allclose(table.loc[at, "eblup"], found.eblup.loc[live].to_numpy().ravel())
    np.testing.assert_allclose(table.loc[at, "eblup_rmse"] ** 2, found.mse.loc[live].to_numpy().ravel())
    np.testing.assert_allclose(
        table.loc[at, "estimate"], made.fit.draws.flat.mean(axis=0)[made.fit.areas.inhabited].ravel()
    )
    asked = table[table["direct"].notna()]
    assert (asked["eblup_rmse"] < asked["direct_se"]).all()
    np.testing.assert_allclose(table.loc[at, "synthetic_rmse"] ** 2, found.synthetic_mse.loc[live].to_numpy().ravel())
    assert (table.loc[table["n_respondents"] == 0, "gamma"] == 0).all()


@at_the_boundary
def test_the_error_of_the_synthetic_estimate() -> None:
    """By drawing y again from the fitted model: areas of the sample are in the coefficients themselves."""
    made = made_fit(sources=1)
    arrays = design(*counterpart(made.fit.model, made.fit.direct))
    found = multivariate(arrays)
    data, here = found.model.blocks, found.maximum.here
    rng, n = np.random.default_rng(8), 40_000
    m = len(data.y)
    u = rng.normal(size=(n, m, 4)) @ np.linalg.cholesky(here.sigma + 1e-12 * np.eye(4)).T
    e = np.einsum("ade,nae->nad", np.linalg.cholesky(data.sampling), rng.normal(size=(n, m, 4)))
    weighted = np.einsum("ade,nae->nad", here.w, u + e)
    delta = np.einsum("adp,nad,pq->nq", data.z, weighted, here.inverse, optimize=True)
    error = np.einsum("adp,np->nad", data.z, delta, optimize=True) - u
    # five standard errors of a variance
    np.testing.assert_allclose((error**2).mean(axis=0), found.synthetic_mse, rtol=5 * np.sqrt(2 / n))


@at_the_boundary
def test_rows_of_the_report_hide_means_of_few(made: Made) -> None:
    rows = classical_rows(side_by_side(made.fit))
    assert {r["measure"] for r in rows} == set(SUBDIMENSIONS)
    for row in rows:
        assert (row["eblup_apart"] is None) == (row["figures"] < 10)
    assert any(r["class"] == "0" and r["direct_se"] is None for r in rows)


def test_the_report_says_why_there_is_no_classical_counterpart() -> None:
    wijk = made_fit(sources=1, wijk=True).fit
    with pytest.raises(ModelError, match="cannot stand beside"):
        side_by_side(wijk)
    told = quality(estimate(wijk))["classical"]
    assert told["rows"] == []
    assert "known per wijk only" in told["refused"]


def test_residuals_of_neighbours_are_looked_at_though_the_model_has_no_graph(made: Made, classical: Fit) -> None:
    assert classical.asked is made.fit.model
    assert graph_of(classical) is graph_of(made.fit)
    assert {row["measure"] for row in moran(classical)} == set(SUBDIMENSIONS)


def test_the_report_says_what_the_classical_model_warned_of(made: Made) -> None:
    told = quality(estimate(made.fit))["classical"]
    assert told["refused"] == ""
    assert told["rows"]
    assert any("estimated singular by reml" in note for note in told["notes"])
    with pytest.warns(BoundaryWarning, match="estimated singular"):
        side_by_side(made.fit)
