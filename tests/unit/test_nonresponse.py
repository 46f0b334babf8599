"""Non-response: how estimates move when those who did not answer score otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_fit import PHI, SUBDIMENSIONS, made_fit
from scipy.linalg import block_diag

from buurtsae.engines.base import Fit
from buurtsae.errors import BuurtsaeError
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.evidence.residuals import graph_of
from buurtsae.estimates.nonresponse import NonResponse, nonresponse
from buurtsae.estimates.summary import Estimates, estimate

SHIFT, RESPONSE = 0.2, 0.4


@pytest.fixture(scope="module")
def fit() -> Fit:
    return made_fit(sources=1).fit


@pytest.fixture(scope="module")
def est(fit: Fit) -> Estimates:
    return estimate(fit)


@pytest.fixture(scope="module")
def table(est: Estimates) -> pd.DataFrame:
    return nonresponse(est, NonResponse(SHIFT, RESPONSE))


def within(fit: Fit) -> np.ndarray:
    """Standard deviations of the residents of one area, as the variances have them."""
    source = fit.direct.sources[0]
    return np.sqrt(np.nanmedian(np.einsum("add->ad", source.variance) * source.n_effective, axis=0))


def test_a_shift_of_all_moves_all_by_it(fit: Fit, table: pd.DataFrame) -> None:
    """A constant in all direct estimates is a constant in the level, whose prior Normal(5, 5) is nearly flat.

    V n_effective is the same in all areas here (pooled), so that the bias is known: (1 - r) shift sd. Of an intercept
    with prior sd 5 and posterior sd about 0.3 the prior takes 0.3^2 / 5^2 = 0.4%.
    """
    bias = (1 - RESPONSE) * SHIFT * within(fit)
    land = table[table["level"] == "land"].set_index(["direction", "measure"])["median"]
    for d, name in enumerate(SUBDIMENSIONS):
        assert land["lower", name] == pytest.approx(-bias[d], rel=0.01)
        assert land["higher", name] == pytest.approx(bias[d], rel=0.01)
    assert land["lower", "buurtverbondenheid"] == pytest.approx(-bias.mean(), rel=0.01)
    assert (table["mean_rank_change"].fillna(0) < 0.05).all()  # a shift of all hardly changes who is first


def test_moves_are_linear_in_the_shift_and_in_the_silent(est: Estimates, table: pd.DataFrame) -> None:
    """Twice the shift, or half the share that was silent, and the land moves in proportion, exactly."""
    key = ["direction", "level", "measure"]
    once = table.set_index(key)["median"]
    np.testing.assert_allclose(nonresponse(est, NonResponse(2 * SHIFT, RESPONSE)).set_index(key)["median"], 2 * once)
    np.testing.assert_allclose(nonresponse(est, NonResponse(SHIFT, 0.7)).set_index(key)["median"], once / 2)
    of_source = nonresponse(est, NonResponse(SHIFT, 0.9), [RESPONSE])  # what a source says of itself comes first
    np.testing.assert_allclose(of_source.set_index(key)["median"], once)


def test_moves_are_those_of_the_exact_posterior() -> None:
    """With one area silent in part, all move by the dense posterior mean of shifted data."""
    made = made_fit(sources=1)
    fit, rng = made.fit, np.random.default_rng(5)
    response = pd.Series(rng.uniform(0.2, 0.9, len(fit.areas.codes)), fit.areas.codes)
    areas = replace(fit.areas, frame=fit.areas.frame.assign(respons=response))
    shifted = replace(fit, direct=replace(fit.direct, areas=areas))
    est = estimate(shifted)
    table = nonresponse(est, NonResponse(SHIFT, RESPONSE, "respons"))
    assert set(table["response"]) == {"equal", "by area"}
    rows = table[(table["level"] == "buurt") & (table["response"] == "by area") & (table["direction"] == "lower")]
    # dense, at the means of the draws' hyperparameters: sigma and phi of each sub-dimension, R = I
    n, d = len(areas.codes), len(SUBDIMENSIONS)
    structured = np.linalg.pinv(graph_of(fit).icar.precision.toarray())
    over_areas = (1 - PHI) * np.eye(n) + PHI * structured
    sigma = fit.draws.hyper["BYM2.sigma"][1].mean(axis=(0, 1))
    x, (_, sds) = fit.design.x, fit.design.coefficient_priors
    covariance = np.kron((x * sds**2) @ x.T, np.eye(d)) + np.kron(over_areas, np.diag(sigma**2))
    assert fit.design.known is not None  # what is not known of an imputed covariate
    covariance += block_diag(*fit.design.known)
    w = block_diag(*fit.design.precision[0])
    gain = np.linalg.solve(np.eye(n * d) + covariance @ w, covariance @ w)
    bias = -SHIFT * np.outer(1 - response.to_numpy(), within(fit)) * fit.design.observed[0]
    moves = pd.DataFrame((gain @ bias.ravel()).reshape(n, d), areas.codes, list(SUBDIMENSIONS))
    open_ = est.table[est.release.open(est.table) & (est.table["level"] == "buurt")]
    for row in rows[rows["measure"].isin(SUBDIMENSIONS)].itertuples():
        kept = moves.loc[open_.loc[open_["measure"] == row.measure, "area_code"], row.measure]
        assert row.median == pytest.approx(kept.median(), abs=1e-6)
        assert row.largest == pytest.approx(kept.loc[kept.abs().idxmax()], abs=1e-6)


def test_figures_of_others_do_not_move(fit: Fit, est: Estimates) -> None:
    """Estimates that agree with known totals agree again: the level of the land is no longer in doubt."""
    value = est.table[(est.table["level"] == "land") & (est.table["measure"] == "participatie")]["estimate"].iloc[0]
    frame = pd.DataFrame({"level": ["land"], "area_code": ["NL00"], "measure": ["participatie"], "value": [value]})
    to = Benchmarks(frame.assign(se=0.01), fit.areas, est.concept, fit.direct.subdimensions)
    table = nonresponse(estimate(benchmark(fit, to)), NonResponse(SHIFT, RESPONSE))
    land = table[(table["level"] == "land") & (table["direction"] == "lower")].set_index("measure")["median"]
    assert land["participatie"] == pytest.approx(0, abs=1e-6)
    assert land["plaatsidentiteit"] < -0.05


def test_a_shift_without_a_scale_is_refused(fit: Fit) -> None:
    bare = replace(fit.direct, counted=False)
    areas = replace(fit.areas, frame=fit.areas.frame.assign(procent=40.0))
    cases = [
        (bare, NonResponse(SHIFT, RESPONSE), "a shift of non-respondents has no scale"),
        (fit.direct, NonResponse(SHIFT), "the response is not known"),
        (fit.direct, NonResponse(SHIFT, column="weg"), "there is no column of response"),
        (replace(fit.direct, areas=areas), NonResponse(SHIFT, column="procent"), "procent: response is no share"),
    ]
    for direct, assumed, says in cases:
        with pytest.raises(BuurtsaeError) as caught:
            assumed.shares(direct)
        assert says in str(caught.value)
        assert "hint" in str(caught.value)
    with pytest.raises(BuurtsaeError, match="shift is impossible"):
        NonResponse(0.0)
