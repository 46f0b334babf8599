r"""Counts in the fast engine against NUTS: a binomial model with BYM2 effects on a small graph.

    y_a ~ Binomial(n_a, expit(e_a)),  e_a = b + sigma (sqrt(1 - phi) v_a + sqrt(phi) u_a),
    b ~ N(0, 2^2), sigma exponential of rate 1, phi uniform.

n are numbers of respondents, some zero; one buurt is an island. NUTS samples all of it; engine laplace integrates e by
Laplace's approximation and weighs (sigma, phi) by importance.
"""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import box

from buurtsae.areas.areas import Areas
from buurtsae.areas.graph import Graph
from buurtsae.draws import convergence
from buurtsae.engines.base import fit
from buurtsae.engines.counts import Counting
from buurtsae.engines.marginal import Marginal
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.estimates.summary import estimate
from buurtsae.model.design import design
from buurtsae.model.outcome.binomial import Binomial
from buurtsae.model.outcome.poisson import Poisson
from buurtsae.model.priors import PC, Beta, Normal
from buurtsae.model.spec import AreaModel
from buurtsae.model.terms import BYM2, IID
from buurtsae.survey.counts import AreaCounts

SIDE = 8
EXPONENTIAL = PC(1.0, float(np.exp(-1.0)))  # of rate 1


@pytest.fixture(scope="module")
def areas() -> Areas:
    """64 squares of 1 km."""
    index = pd.Index([f"BU0344{k // SIDE:02}{k % SIDE:02}" for k in range(SIDE**2)], name="area_code")
    squares = [box(1000 * x, 1000 * y, 1000 * x + 1000, 1000 * y + 1000) for x in range(SIDE) for y in range(SIDE)]
    columns = {"name": index, "wijk": "WK" + index.str[2:8], "gemeente": "GM0344", "population": 100}
    return Areas(gpd.GeoDataFrame(columns, index=index, geometry=squares, crs="EPSG:28992"), 2024)


@pytest.fixture(scope="module")
def graph(areas: Areas) -> Graph:
    """A grid of 8 by 8, the last corner cut off."""
    cell = np.arange(SIDE**2).reshape(SIDE, SIDE)
    edges = np.vstack([np.c_[cell[:-1].ravel(), cell[1:].ravel()], np.c_[cell[:, :-1].ravel(), cell[:, 1:].ravel()]])
    kept = edges[(edges != SIDE**2 - 1).all(axis=1)]
    return Graph.from_pairs(areas.codes, [(areas.codes[i], areas.codes[j]) for i, j in kept])


@pytest.fixture(scope="module")
def table(areas: Areas) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    x, y = np.divmod(np.arange(SIDE**2), SIDE)
    e = -0.5 + 0.8 * np.sin(x / 2) + 0.5 * np.cos(y / 2) + rng.normal(0, 0.3, SIDE**2)
    n = np.where(rng.uniform(size=SIDE**2) < 0.2, 0, rng.integers(1, 40, SIDE**2))
    return pd.DataFrame({"code": areas.codes, "y": rng.binomial(n, 1 / (1 + np.exp(-e))), "n": n})


@pytest.fixture(scope="module")
def counts(areas: Areas, table: pd.DataFrame) -> AreaCounts:
    return AreaCounts.from_frame(table, y="y", trials="n", area="code", areas=areas)


@pytest.fixture(scope="module")
def model(graph: Graph) -> AreaModel:
    term = BYM2(graph, sd=EXPONENTIAL, mixing=Beta(1.0, 1.0))
    return AreaModel("1", (term,), Normal(0.0, 2.0), outcome=Binomial())


def test_the_gradient(model: AreaModel, counts: AreaCounts, areas: Areas) -> None:
    target, xi, step = Counting.of(design(model, counts)), np.array([0.3, -0.4]), 1e-5
    ends = [[target.with_gradient(xi + s * step * e)[0] for s in (1, -1)] for e in np.eye(2)]
    numeric = [(up - down) / (2 * step) for up, down in ends]
    np.testing.assert_allclose(target.with_gradient(xi)[1], numeric, atol=1e-5)


@pytest.mark.nuts
@pytest.mark.slow
@pytest.mark.xdist_group("engines")
def test_laplace_agrees_with_nuts(model: AreaModel, counts: AreaCounts, areas: Areas) -> None:
    slow = fit(model, counts, "nuts", 1, progress=False, target_accept=0.95).draws
    fast = fit(model, counts, "laplace", 1, progress=False, draws=8000, hyperparameters=500).draws
    certificate = fast.certificate
    assert certificate is not None
    assert certificate.khat < 0.7
    pairs = {name: (fast.hyper[name][1], slow.hyper[name][1]) for name in ("BYM2.sigma", "BYM2.phi", "beta")}
    pairs |= {"eta": (fast.eta, slow.eta), "share": (Binomial().mean(fast.eta), Binomial().mean(slow.eta))}
    for name, (one, other) in pairs.items():
        one, other = (a.reshape(*a.shape[:2], -1) for a in (one, other))
        sd, ess = other.std(axis=(0, 1)), convergence(other)["ess_bulk"].to_numpy()
        size = 1 / (1 / ess + 1 / (certificate.effective if name.startswith("BYM2") else 8000))
        # the tolerances at which engines must agree, and four Monte Carlo errors
        assert (np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))) / sd < 0.1 + 4 / np.sqrt(size)).all(), name
        assert (np.abs(one.std(axis=(0, 1)) / sd - 1) < 0.05 + 4 / np.sqrt(2 * size)).all(), name


def test_the_information_of_a_count_is_about_its_share(model: AreaModel, counts: AreaCounts, areas: Areas) -> None:
    found = fit(model, counts, "laplace", 1, progress=False, draws=400, hyperparameters=50)
    share = Binomial().mean(found.draws.flat.mean(axis=0))[:, 0]
    expected = np.nan_to_num(counts.size[:, 0]) / (share * (1 - share))
    np.testing.assert_allclose(found.information[0, :, 0, 0], expected)
    np.testing.assert_array_equal(found.design.observed[0, :, 0], counts.size[:, 0] > 0)
    draws = found.draws.scores()
    assert ((draws > 0) & (draws < 1)).all()
    # areas that were not observed are known less well than those that were
    sd, seen = found.draws.flat.std(axis=0)[:, 0], found.design.observed[0, :, 0]
    assert sd[~seen].min() > np.median(sd[seen])


def test_estimates_are_shares_that_are_aggregated_per_draw(
    model: AreaModel, counts: AreaCounts, table: pd.DataFrame
) -> None:
    found = fit(model, counts, "laplace", 1, progress=False, hyperparameters=200)
    est = estimate(found)
    assert "eigen data" in est.explain("BU03440000")  # without what an estimate leans on, which is not for counts
    rows = est.table.set_index(["level", "area_code"])
    buurten, share = rows.loc["buurt"], found.draws.scores()[:, :, 0]
    np.testing.assert_allclose(buurten["estimate"], share.mean(axis=0))
    np.testing.assert_allclose(rows.loc["land", "estimate"], share.mean())  # all have as many residents
    assert (buurten["lower"] > 0).all()
    assert (buurten["upper"] < 1).all()
    np.testing.assert_array_equal(buurten["n_respondents"], table["n"])
    np.testing.assert_allclose(buurten["direct"].dropna(), (table["y"] / table["n"])[table["n"] > 0])
    # own data: Var(eta) n p (1 - p), by the curvature of the shares over the spread of a draw
    eta = found.draws.flat[:, :, 0]
    mean = Binomial().mean(eta.mean(axis=0))
    np.testing.assert_allclose(buurten["own_data_share"], eta.var(axis=0) * table["n"] * mean * (1 - mean), atol=0.08)


def test_a_model_of_counts_in_words(model: AreaModel) -> None:
    for words, expected in ((str(model), "logit p = eta"), (model.words.nl, "Uitkomst: y ~ Binomiaal")):
        assert expected in words
        assert "lambda" not in words
    assert AreaModel(outcome=Poisson()).intercept == Poisson.intercept


def test_the_classical_engine_refuses_counts_by_name(counts: AreaCounts, areas: Areas) -> None:
    with pytest.raises(ModelError, match="engine eblup does not support") as caught:
        fit(AreaModel("1", (IID("buurt"),), outcome=Binomial()), counts, "eblup", progress=False)
    assert "counts: outcome Binomial" in str(caught.value)


def test_what_is_exact_for_normal_outcomes_only_is_refused(model: AreaModel, counts: AreaCounts, areas: Areas) -> None:
    with pytest.raises(ModelError, match="the outcome is not Gaussian"):
        Marginal.of(design(model, counts))


def test_outcomes_refuse_data_of_another_kind(counts: AreaCounts, areas: Areas, table: pd.DataFrame) -> None:
    exposed = AreaCounts.from_frame(table.assign(n=1.5), y="y", exposure="n", area="code", areas=areas)
    for outcome, data in ((Poisson(), counts), (Binomial(), exposed)):
        with pytest.raises(ModelError, match="do not go with the outcome"):
            fit(AreaModel(outcome=outcome), data, progress=False)
    with pytest.raises(ModelError, match="do not go with the outcome"):
        fit(AreaModel(), counts, progress=False)


def test_counts_outside_the_support_are_told_at_once_before_any_work(areas: Areas, table: pd.DataFrame) -> None:
    spoilt = table.assign(y=table["y"].astype(float))
    spoilt.loc[1, "y"], spoilt.loc[2, "y"], spoilt.loc[3, "y"] = -1, 1000, 0.5
    data = AreaCounts.from_frame(spoilt, y="y", trials="n", area="code", areas=areas)
    with pytest.raises(BuurtsaeError) as caught:
        fit(AreaModel("1 + height", outcome=Binomial()), data, progress=False)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    told = lines[::3]
    for text, line in zip(("absent", "negative", "above their trials", "no whole numbers"), told, strict=True):
        assert text in line
