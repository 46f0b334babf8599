"""The spatial Fay-Herriot model: against dense algebra, against FayHerriot at rho = 0, and bad proximities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from buurtsae.areas.graph import Graph
from buurtsae.classical.area.components import gls
from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.spatial.sar import EDGE, Neighbours, Sar, maximise
from buurtsae.classical.spatial.sar_mse import terms
from buurtsae.classical.spatial.spatial_fay_herriot import SpatialFayHerriot
from buurtsae.errors import BuurtsaeError, ModelError

ROWS = 8
M = ROWS**2
SIGMA2, RHO = 0.6, 0.55
HIDDEN = [0, 9, 30, 31]


def grid(rows: int = ROWS) -> sp.csr_array:
    """Return rook neighbours on a square."""
    line = sp.diags_array([np.ones(rows - 1), np.ones(rows - 1)], offsets=[-1, 1])
    return sp.csr_array(sp.kron(line, sp.eye_array(rows)) + sp.kron(sp.eye_array(rows), line))


def standard(a: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(sp.diags_array(1 / a.sum(axis=1)) @ a)


def made(rows: int = ROWS, rho: float = RHO, sigma2: float = SIGMA2, seed: int = 1) -> pd.DataFrame:
    rng, m = np.random.default_rng(seed), rows**2
    d, x = rng.uniform(0.3, 1.2, m), rng.normal(size=m)
    u = np.linalg.solve(np.eye(m) - rho * standard(grid(rows)).toarray(), np.sqrt(sigma2) * rng.normal(size=m))
    y = 5 + 0.5 * x + u + np.sqrt(d) * rng.normal(size=m)
    return pd.DataFrame({"code": [f"BU{k:08}" for k in range(m)], "y": y, "d": d, "x": x})


class Dense:
    """The same model with matrices of m x m, at given variance components."""

    def __init__(self, data: pd.DataFrame, sigma2: float, rho: float) -> None:
        w = standard(grid(round(np.sqrt(len(data))))).toarray()
        self.seen = data["y"].notna().to_numpy()
        r = np.eye(len(data)) - rho * w
        c = np.linalg.inv(r.T @ r)
        e = w + w.T - 2 * rho * w.T @ w
        self.x = np.column_stack([np.ones(len(data)), data["x"]])
        self.d, self.y = data["d"].to_numpy(), data["y"].to_numpy()
        self.g = sigma2 * c
        self.slopes = [c, sigma2 * c @ e @ c]
        self.second = [[0 * c, c @ e @ c], [c @ e @ c, 2 * sigma2 * c @ (e @ c @ e - w.T @ w) @ c]]
        s = np.ix_(self.seen, self.seen)
        self.vi = np.linalg.inv(self.g[s] + np.diag(self.d[self.seen]))
        xs = self.x[self.seen]
        self.s = np.linalg.inv(xs.T @ self.vi @ xs)
        self.beta = self.s @ xs.T @ self.vi @ self.y[self.seen]
        self.p = self.vi - self.vi @ xs @ self.s @ xs.T @ self.vi
        self.xs = xs
        self.m = self.g[:, self.seen] @ self.vi

    def loglike(self, restricted: bool) -> float:
        n, p = self.xs.shape
        r = self.y[self.seen] - self.xs @ self.beta
        value = -0.5 * (n * np.log(2 * np.pi) - np.linalg.slogdet(self.vi)[1] + r @ self.vi @ r)
        return float(value + (0.5 * (p * np.log(2 * np.pi) + np.linalg.slogdet(self.s)[1]) if restricted else 0))

    def eblup(self) -> Any:
        return self.x @ self.beta + self.m @ (self.y[self.seen] - self.xs @ self.beta)

    def mse(self, restricted: bool) -> Any:
        s = np.ix_(self.seen, self.seen)
        inner = [v[s] for v in self.slopes]
        inverse = np.linalg.inv([[0.5 * np.trace(self.p @ a @ self.p @ b) for b in inner] for a in inner])
        # derivatives of the weights M = G V^-1, and of G - M V M'
        moved = [v[:, self.seen] @ self.vi - self.m @ a @ self.vi for v, a in zip(self.slopes, inner, strict=True)]
        rest = self.x - self.m @ self.xs
        v = np.linalg.inv(self.vi)
        n = np.eye(len(self.x))
        n[:, self.seen] -= self.m
        g = np.diag(self.g - self.m @ self.g[self.seen]) + np.diag(rest @ self.s @ rest.T)
        for k in (0, 1):
            for j in (0, 1):
                g = g + inverse[k, j] * (
                    2 * np.diag(moved[k] @ v @ moved[j].T) - np.diag(n @ self.second[k][j] @ n.T) / 2
                )
        if not restricted:
            lost = np.array([np.trace(self.s @ self.xs.T @ self.vi @ a @ self.vi @ self.xs) for a in inner])
            g = g + 0.5 * (inverse @ lost) @ [np.diag(n @ a @ n.T) for a in self.slopes]
        return g


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    found = made()
    found.loc[HIDDEN, "y"] = np.nan
    return found


def sar_of(data: pd.DataFrame, sigma2: float, rho: float) -> Sar:
    seen = data["y"].notna()
    x = np.column_stack([np.ones(len(data)), data["x"]])
    near = Neighbours.of(standard(grid(round(np.sqrt(len(data))))))
    weight = np.where(seen, 1 / data["d"], 0.0)
    return Sar(near, sigma2, rho, weight, data["y"].fillna(0.0).to_numpy(), x)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.6, 0.95])
def test_likelihood_and_score_by_dense_algebra(data: pd.DataFrame, rho: float, restricted: bool) -> None:
    sar = sar_of(data, SIGMA2, rho)
    np.testing.assert_allclose(sar.loglike(restricted), Dense(data, SIGMA2, rho).loglike(restricted), rtol=1e-10)
    h = 1e-5  # central differences: an error of h^2, and 1e-16 / h
    slopes = [
        (Dense(data, SIGMA2 + a, rho + b).loglike(restricted) - Dense(data, SIGMA2 - a, rho - b).loglike(restricted))
        / (2 * h)
        for a, b in ((h, 0), (0, h))
    ]
    np.testing.assert_allclose(sar.score(restricted), slopes, rtol=1e-5, atol=1e-6)


def test_the_likelihood_of_a_model_is_that_of_ever_flatter_priors_of_beta(data: pd.DataFrame) -> None:
    model, dense, s = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code"), Dense(data, SIGMA2, RHO), 1e3
    root = np.linalg.cholesky(np.linalg.inv(dense.vi) + s**2 * dense.xs @ dense.xs.T)
    z = np.linalg.solve(root, dense.y[dense.seen])
    marginal = -0.5 * (len(z) * np.log(2 * np.pi) + z @ z) - np.log(root.diagonal()).sum()
    flat = marginal + 2 * np.log(s) + np.log(2 * np.pi)
    # what the prior still adds is |beta|^2 / (2 s^2), 1.3e-5
    np.testing.assert_allclose(model.loglike(RHO, SIGMA2), flat, atol=3e-5)
    np.testing.assert_allclose(model.loglike(RHO, SIGMA2, "reml"), dense.loglike(True), rtol=1e-10)
    np.testing.assert_allclose(model.loglike(RHO, SIGMA2, "ml"), dense.loglike(False), rtol=1e-10)
    with pytest.raises(ModelError, match="unknown"):
        model.loglike(RHO, SIGMA2, "fh")  # type: ignore[arg-type]
    for rho, sigma2 in ((1.0, SIGMA2), (np.nan, SIGMA2), (RHO, 0.0)):
        with pytest.raises(ModelError, match="no likelihood at these components"):
            model.loglike(rho, sigma2)


def test_the_average_information_is_that_of_dense_algebra(data: pd.DataFrame) -> None:
    sar, dense = sar_of(data, SIGMA2, RHO), Dense(data, SIGMA2, RHO)
    s, y = np.ix_(dense.seen, dense.seen), dense.y[dense.seen]
    n = np.column_stack([a[s] @ dense.p @ y for a in dense.slopes])
    np.testing.assert_allclose(sar.average_information(), 0.5 * n.T @ dense.p @ n, rtol=1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_fit_by_dense_algebra_areas_without_a_sample_included(data: pd.DataFrame, method: Any) -> None:
    fit = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code").fit(method)
    assert fit.converged
    dense = Dense(data, fit.sigma2_v, fit.rho)
    np.testing.assert_allclose(fit.params, dense.beta, rtol=1e-9)
    np.testing.assert_allclose(fit.eblup, dense.eblup(), rtol=1e-9)
    np.testing.assert_allclose(fit.mse, dense.mse(method == "reml"), rtol=1e-8)
    for s, r in ((1.001, 0), (0.999, 0), (1, 1e-3), (1, -1e-3)):  # nothing near is better
        assert dense.loglike(method == "reml") > Dense(data, fit.sigma2_v * s, fit.rho + r).loglike(method == "reml")
    np.testing.assert_allclose(fit.gamma[dense.seen], np.diag(dense.m[dense.seen]), rtol=1e-8)
    assert (fit.gamma.iloc[HIDDEN] == 0).all()
    np.testing.assert_allclose([fit.llf, fit.llf_restricted], [dense.loglike(False), dense.loglike(True)], rtol=1e-10)


def test_without_autocorrelation_it_is_the_fay_herriot_model() -> None:
    data = made()
    sar = sar_of(data, SIGMA2, 0.0)
    simple = gls(SIGMA2, data["y"].to_numpy(), sar.x, data["d"].to_numpy())
    for restricted in (True, False):
        np.testing.assert_allclose(sar.loglike(restricted), simple.loglike(restricted), rtol=1e-12)
    np.testing.assert_allclose(sar.beta, simple.beta, rtol=1e-10)
    np.testing.assert_allclose(sar.effect, SIGMA2 * simple.py, rtol=1e-9)


def test_signs_stand_in_for_unit_columns() -> None:
    sar = sar_of(made(20), SIGMA2, RHO)
    exact, drawn = terms(sar, restricted=False), terms(sar, restricted=False, exact=0)
    # 256 signs: a diagonal is known to about sqrt(2 / 256) = 9% of what is beside it, which is less than it
    for name in ("g3", "correction"):
        a, b = getattr(exact, name), getattr(drawn, name)
        np.testing.assert_allclose(b.mean(), a.mean(), rtol=0.05)
    np.testing.assert_allclose(drawn.mse, exact.mse, rtol=0.01)  # they are a few percent of the MSE here
    np.testing.assert_allclose(drawn.information, exact.information, rtol=0.05)


def test_codes_are_joined_whatever_their_order(data: pd.DataFrame) -> None:
    fit = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code").fit()
    table = pd.DataFrame(grid().toarray(), index=data["code"], columns=data["code"])
    shuffled = table.sample(frac=1, random_state=1).sample(frac=1, random_state=2, axis=1)
    again = SpatialFayHerriot.from_formula("y ~ x", data, "d", shuffled, "code").fit()
    pd.testing.assert_series_equal(again.eblup, fit.eblup)
    upper = sp.triu(grid()).tocoo()
    codes = data["code"].tolist()
    graph = Graph.from_pairs(pd.Index(codes), [(codes[i], codes[j]) for i, j in zip(upper.row, upper.col, strict=True)])
    turned = data.sample(frac=1, random_state=3)
    of_graph = SpatialFayHerriot.from_formula("y ~ x", turned, "d", graph, "code").fit()
    pd.testing.assert_series_equal(of_graph.eblup[fit.eblup.index], fit.eblup, rtol=1e-8)


@pytest.mark.slow
def test_autocorrelation_is_found_and_helps() -> None:
    """Over 40 made sets with rho = 0.9 the errors are lower than those of FayHerriot, and rho is near."""
    from buurtsae.classical.area.fay_herriot import FayHerriot

    rho, ours, plain, tests = [], [], [], []
    for seed in range(40):
        data = made(12, 0.9, 0.5, seed=seed)
        truth = data["y"].copy()
        rng = np.random.default_rng(100 + seed)
        data["d"], data["y"] = 1.0, truth + rng.normal(size=len(data))  # the former y is the truth now
        fit = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(12), "code").fit()
        simple = FayHerriot.from_formula("y ~ x", data, "d", "code").fit()
        rho.append(fit.rho)
        ours.append(np.mean((fit.eblup.to_numpy() - truth) ** 2))
        plain.append(np.mean((simple.eblup.to_numpy() - truth) ** 2))
        tests.append(fit.test_autocorrelation().pvalue)
    assert np.mean(ours) < 0.97 * np.mean(plain)
    assert np.mean(np.array(ours) < plain) > 0.8
    # the truth has white noise too, so that rho is below 0.9; each is known to some 0.1
    assert 0.7 < np.mean(rho) < 0.95
    assert np.mean(np.array(tests) < 0.05) > 0.8


@pytest.mark.slow
def test_the_bootstrap_agrees_with_the_formula(data: pd.DataFrame) -> None:
    fit = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code").fit()
    found, terms = fit.bootstrap_mse(300, seed=1), fit.mse_terms
    # squares of 300 draws in 64 areas: sqrt(2 / 300 / 64) = 1%, four of these; the truth of the draws is g1 + g2 + g3
    np.testing.assert_allclose(found["naive"].mean(), (terms.g1 + terms.g2 + terms.g3).mean(), rtol=0.04)
    assert (found["corrected"] > 0).all()


def test_a_variance_of_zero_is_said() -> None:
    rng = np.random.default_rng(4)
    data = made(sigma2=0.0).assign(y=lambda t: 5 + 0.3 * np.sqrt(t["d"]) * rng.normal(size=M))
    with pytest.warns(BoundaryWarning, match="zero"):
        fit = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code").fit()
    assert fit.sigma2_v == 0
    assert np.isnan(fit.rho)
    assert (fit.random_effects == 0).all()
    assert fit.cov_components.isna().all(axis=None)
    np.testing.assert_allclose(fit.eblup, fit.synthetic)
    assert np.isfinite(fit.mse).all()
    assert "zero" in str(fit.summary())


def test_direct_estimates_that_are_all_alike() -> None:
    with pytest.warns(BoundaryWarning, match="zero"):
        fit = SpatialFayHerriot.from_formula("y ~ x", made().assign(y=5.0), "d", grid(), "code").fit()
    np.testing.assert_allclose(fit.eblup, 5.0)
    assert fit.converged


@pytest.mark.parametrize("restricted", [True, False])
def test_small_samples_with_weak_effects_converge_too(restricted: bool) -> None:
    """There observed and expected information differ much: average information alone takes over 100 steps in half."""
    inside = 0
    for seed in range(12):
        data = made(rows=7, rho=0.0, sigma2=0.1, seed=seed)
        start = sar_of(data, 0.1, 0.0)
        found = maximise(start.near, start.weight, start.y, start.x, 0.1, restricted)
        assert found.converged
        assert len(found.trace) < 40
        if not found.zero and abs(found.at.rho) < EDGE:  # a maximum inside: the score is zero, beside its deviation
            inside += 1
            deviation = np.sqrt(found.at.average_information().diagonal())
            assert np.abs(found.at.score(restricted) / deviation).max() < 1e-6
    assert inside >= 3


def test_no_convergence_is_said_with_the_trace(data: pd.DataFrame) -> None:
    with pytest.warns(NotConvergedWarning, match=r"(?s)did not converge in 1 iterations.*rho"):
        assert not SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code").fit(maxiter=1).converged


def _changed(change: Callable[[Any], Any]) -> Any:
    w = grid().toarray()
    change(w)
    return w


def _alone(w: Any) -> None:
    w[5], w[:, 5] = 0, 0


BAD: dict[str, tuple[Any, str]] = {
    "too small": (lambda: grid(5), "wrong size"),
    "not square": (lambda: np.ones((M, 3)), "wrong size"),
    "negative": (lambda: _changed(lambda w: w.__setitem__((3, 4), -1.0)), "BU00000003"),
    "no number": (lambda: _changed(lambda w: w.__setitem__((3, 4), np.nan)), "negative or no numbers"),
    "to itself": (lambda: _changed(lambda w: w.__setitem__((7, 7), 1.0)), "near to themselves"),
    "an island": (lambda: _changed(_alone), "BU00000005"),
    "other codes": (
        lambda: pd.DataFrame(grid().toarray(), index=[f"a{k}" for k in range(M)], columns=[f"a{k}" for k in range(M)]),
        "have no proximities",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_proximities_that_cannot_be_used(data: pd.DataFrame, name: str) -> None:
    give, told = BAD[name]
    with pytest.raises(BuurtsaeError) as caught:
        SpatialFayHerriot.from_formula("y ~ x", data, "d", give(), "code")
    assert told in str(caught.value)


def test_what_cannot_be_asked(data: pd.DataFrame) -> None:
    model = SpatialFayHerriot.from_formula("y ~ x", data, "d", grid(), "code")
    with pytest.raises(ModelError, match="unknown"):
        model.fit("fh")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="outside the model"):
        model.fit().predict(pd.DataFrame({"x": [0.0]}))
