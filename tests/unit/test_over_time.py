"""Models of areas over years: against dense matrices, gaps and absent rows, edges, change, and what they refuse."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.multivariate import likelihood
from buurtsae.classical.multivariate.likelihood import Blocks
from buurtsae.classical.temporal import rao_yu, sar_panel_mse
from buurtsae.classical.temporal.panel import Panel
from buurtsae.classical.temporal.sar_panel import Free, SarPanel
from buurtsae.classical.temporal.structures import FAMILIES
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.sparse import Floats

YEARS = [2012, 2016, 2020, 2022, 2024]
STEPS = np.array([0, 2, 4, 5, 6])  # of two years
M, T = 14, len(YEARS)
RING = (np.roll(np.eye(M), 1, axis=1) + np.roll(np.eye(M), -1, axis=1)) / 2


def covariance(kind: str, values: Any) -> Floats:
    """Covariance of theta over all areas and years, by the definition of the processes."""
    lag = np.abs(np.subtract.outer(STEPS, STEPS))
    if kind == "stfh":
        sigma2_1, rho1, sigma2_2, rho2 = values
        inverse = np.linalg.inv(np.eye(M) - rho1 * RING)
        lasting = np.kron(sigma2_1 * inverse @ inverse.T, np.ones((T, T)))
        return np.asarray(lasting + np.kron(np.eye(M), sigma2_2 * rho2**lag / (1 - rho2**2)))
    sigma2_u, sigma2_v, rho = values
    steps = np.arange(STEPS[-1] + 1)
    carry = np.tril(rho ** np.abs(np.subtract.outer(steps, steps)))  # u = carry innovations
    first = sigma2_v if kind == "dynamic" else sigma2_u / (1 - rho**2)
    sigma = carry @ np.diag([first, *[sigma2_u] * STEPS[-1]]) @ carry.T + (kind == "rao_yu") * sigma2_v
    return np.kron(np.eye(M), sigma[np.ix_(STEPS, STEPS)])


INSIDE = {"rao_yu": 1, "dynamic": 1, "stfh": 12}  # seeds of data whose estimates are not at an edge
TRUTH = {"rao_yu": (0.2, 0.3, 0.5), "dynamic": (0.2, 0.5, 0.9), "stfh": (0.3, 0.5, 0.2, 0.4)}


def errors(seed: int = 5) -> Floats:
    """Sampling covariances of every area, correlated between years."""
    rng = np.random.default_rng(seed)
    sd = rng.uniform(0.2, 0.6, (M, T))
    return sd[:, :, None] * sd[:, None, :] * (0.3 + 0.7 * np.eye(T))


def table(kind: str, seed: int = 1) -> pd.DataFrame:
    """A row per area and year, in a random order; an area never seen, a year without data, and rows that lack."""
    rng, d = np.random.default_rng(seed), errors()
    x = rng.normal(size=(M, T))
    theta = 2 + 0.5 * x + (np.linalg.cholesky(covariance(kind, TRUTH[kind])) @ rng.normal(size=M * T)).reshape(M, T)
    y = theta + np.einsum("dij,dj->di", np.linalg.cholesky(d), rng.normal(size=(M, T)))
    y[3], y[:, 1] = np.nan, np.nan
    y[5, 3] = y[6, :4] = np.nan
    frame = pd.DataFrame({"area": np.repeat([f"BU{k:02}" for k in range(M)], T), "year": np.tile(YEARS, M)})
    frame = frame.assign(x=x.ravel(), y=y.ravel(), **{f"v{t}": d[:, :, k].ravel() for k, t in enumerate(YEARS)})
    frame = frame.drop(index=[7, 11, 12])  # areas 1 and 2, one of them seen later
    head = frame[~frame["area"].duplicated()]  # a matrix of proximities is in the order of first occurrence
    return pd.concat([head, frame.drop(head.index).sample(frac=1, random_state=1)])


V = [f"v{t}" for t in YEARS]


def model(kind: str, data: pd.DataFrame | None = None) -> Any:
    rows = table(kind, INSIDE[kind]) if data is None else data
    if kind == "stfh":
        return bs.SpatioTemporalFayHerriot.from_formula("y ~ x", rows, V, RING, "year", "area")
    return bs.RaoYu.from_formula("y ~ x", rows, V, "year", "area")


def fitted(kind: str, method: Any = "reml", data: pd.DataFrame | None = None) -> Any:
    if kind == "stfh":
        return model(kind, data).fit(method, "ar1")
    return model(kind, data).fit(method, kind == "dynamic")


def loglike(kind: str, made: Any, values: Any, method: Any) -> float:
    return float(made.loglike(*values, method, *([] if kind == "stfh" else [kind == "dynamic"])))


class Dense:
    """The model in matrices of all rows: likelihood, predictor and its errors, derivatives by differences."""

    def __init__(self, kind: str, data: Panel) -> None:
        self.kind = kind
        self.at = data.area * T + data.year
        self.seen = ~np.isnan(data.y)
        self.x, self.y = data.x, data.y[self.seen]
        self.d = np.zeros((M * T, M * T))
        for k in range(M):
            block = slice(k * T, (k + 1) * T)
            self.d[block, block] = data.covariance[k]
        self.d = self.d[np.ix_(self.at, self.at)]

    def theta(self, values: Any) -> Floats:
        return covariance(self.kind, values)[np.ix_(self.at, self.at)]

    def v(self, values: Any) -> Floats:
        return (self.theta(values) + self.d)[np.ix_(self.seen, self.seen)]

    def weights(self, values: Any) -> Floats:
        return np.asarray(self.theta(values)[:, self.seen] @ np.linalg.inv(self.v(values)))

    def g1(self, values: Any) -> Floats:
        theta = self.theta(values)
        return np.asarray(theta - self.weights(values) @ theta[self.seen])

    def slopes(self, function: Callable[[Any], Floats], values: Any) -> list[Floats]:
        values = np.array(values)
        return [(function(values + h) - function(values - h)) / 2e-5 for h in 1e-5 * np.eye(len(values))]

    def gls(self, values: Any) -> tuple[Floats, Floats, Floats]:
        inverse, x = np.linalg.inv(self.v(values)), self.x[self.seen]
        cov = np.linalg.inv(x.T @ inverse @ x)
        return inverse, cov, cov @ x.T @ inverse @ self.y

    def loglike(self, values: Any, restricted: bool) -> float:
        inverse, cov, beta = self.gls(values)
        rest = self.y - self.x[self.seen] @ beta
        value = len(rest) * np.log(2 * np.pi) + np.linalg.slogdet(self.v(values))[1] + rest @ inverse @ rest
        if restricted:
            value -= len(beta) * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1]
        return float(-value / 2)

    def eblup(self, values: Any) -> Floats:
        beta = self.gls(values)[2]
        return np.asarray(self.x @ beta + self.weights(values) @ (self.y - self.x[self.seen] @ beta))

    def mse(self, values: Any, restricted: bool) -> Floats:
        """The MSE matrix of all rows: Rao and Molina (2015), 5.3, ML less the bias of its components times dg1."""
        inverse, cov, _ = self.gls(values)
        x, b = self.x[self.seen], self.weights(values)
        dv, db = self.slopes(self.v, values), self.slopes(self.weights, values)
        p = inverse - inverse @ x @ cov @ x.T @ inverse if restricted or self.kind == "stfh" else inverse
        of = np.linalg.inv(0.5 * np.array([[np.trace(p @ k @ p @ j) for j in dv] for k in dv]))
        lean = self.x - b @ x
        g3 = sum(of[j, k] * db[j] @ self.v(values) @ db[k].T for j in range(len(dv)) for k in range(len(dv)))
        bias = -0.5 * of @ np.array([np.trace(cov @ x.T @ inverse @ k @ inverse @ x) for k in dv])
        correction = sum(b * g for b, g in zip(bias, self.slopes(self.g1, values), strict=True))
        return np.asarray(self.g1(values) + lean @ cov @ lean.T + 2 * g3 - (0 if restricted else correction))


@pytest.mark.parametrize("kind", TRUTH)
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_likelihood_of_dense_matrices(kind: str, method: Any) -> None:
    made = model(kind)
    dense = Dense(kind, made.data)
    other = np.array(TRUTH[kind]) * 0.7
    for values in (TRUTH[kind], other, other * ([1, -1, 1, -1] if kind == "stfh" else [1, 1, -1])):
        wanted = dense.loglike(values, method == "reml")
        assert loglike(kind, made, values, method) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("kind", TRUTH)
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_fit_of_dense_matrices(kind: str, method: Any) -> None:
    fit = fitted(kind, method)
    dense, values = Dense(kind, fit.data), fit.components["estimate"].to_numpy()
    assert fit.converged
    assert not fit.at_boundary
    assert list(fit.table.index) == list(fit.data.index)
    np.testing.assert_allclose(fit.table["eblup"], dense.eblup(values), atol=1e-9)
    np.testing.assert_allclose(fit.params, dense.gls(values)[2], atol=1e-9)
    np.testing.assert_allclose(fit.cov_params(), dense.gls(values)[1], atol=1e-9)
    mse = dense.mse(values, method == "reml")
    np.testing.assert_allclose(fit.table["mse"], np.diag(mse), rtol=1e-6)  # differences: step^2
    own = np.where(dense.seen, np.diag(dense.weights(values)[:, np.cumsum(dense.seen) - 1]), 0.0)
    np.testing.assert_allclose(fit.table["gamma"], own, atol=1e-9)
    change, rows = fit.change(2016, 2024), list(fit.data.index)
    for code, row in change.iterrows():
        a, b = rows.index((code, 2016)), rows.index((code, 2024))
        assert row["mse"] == pytest.approx(mse[a, a] + mse[b, b] - 2 * mse[a, b], rel=1e-6)
        assert row["change"] == pytest.approx(fit.table["eblup"].iloc[b] - fit.table["eblup"].iloc[a])
    # where it is highest: whatever is moved, it falls
    best = loglike(kind, fit.model, values, method)
    for step in 1e-3 * np.vstack([np.eye(len(values)), -np.eye(len(values))]):
        assert loglike(kind, fit.model, values + step, method) < best


@pytest.mark.parametrize("dynamic", FAMILIES)
def test_slopes_are_derivatives(dynamic: bool) -> None:
    family = FAMILIES[dynamic](T, tuple(STEPS.tolist()))
    for free in (np.array([0.5, 0.4, 0.3]), np.array([0.5, 0.4, -0.8]), np.array([0.5, 0.4, 0.0])):
        ends = [(family.matrix(free + h) - family.matrix(free - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
        np.testing.assert_allclose(family.slopes(free), ends, atol=1e-8)  # central differences: step^2
        values, slopes = family.natural(free)
        np.testing.assert_allclose(family.free(values), free, atol=1e-12)
        ends = [
            (family.matrix(family.free(values + h)) - family.matrix(family.free(values - h))) / 2e-6
            for h in 1e-6 * np.eye(3)
        ]
        np.testing.assert_allclose(slopes, ends, atol=1e-8)


def test_scores_of_the_spatial_model_are_derivatives() -> None:
    made = model("stfh")
    near, blocks, lag = made.near, made.data.blocks, made.data.lag
    for restricted in (True, False):
        for build, at in ((SarPanel, [0.3, 0.5, 0.2, 0.4]), (Free, [-1.0, -0.5, -1.5, 0.4])):
            ends = [
                build.of(near, blocks, lag, np.array(at) + h).loglike(restricted)
                - build.of(near, blocks, lag, np.array(at) - h).loglike(restricted)
                for h in 1e-5 * np.eye(4)
            ]
            score = build.of(near, blocks, lag, np.array(at)).score(restricted)
            np.testing.assert_allclose(score, np.array(ends) / 2e-5, atol=1e-5)


def test_without_neighbours_the_spatial_model_is_that_of_rao_and_yu() -> None:
    data = table("rao_yu")
    left, right = model("stfh", data), model("rao_yu", data)
    assert left.loglike(0.3, 0.0, 0.2, 0.5) == pytest.approx(right.loglike(0.2, 0.3, 0.5), abs=1e-10)


@pytest.mark.parametrize("kind", TRUTH)
def test_units_and_the_order_of_rows_do_not_matter(kind: str) -> None:
    data = table(kind, INSIDE[kind])
    fit = fitted(kind, data=data)
    big = data.assign(y=1e4 * data["y"], **{name: 1e8 * data[name] for name in V})
    head = ~big["area"].duplicated()
    shuffled = pd.concat([big[head], big[~head][::-1]])
    again = fitted(kind, data=shuffled)
    assert again.converged
    scale = [1e8 if name.startswith("sigma2") else 1 for name in fit.components.index]
    np.testing.assert_allclose(again.components["estimate"] / scale, fit.components["estimate"], rtol=1e-6)
    np.testing.assert_allclose(again.eblup / 1e4, fit.eblup, rtol=1e-6)
    np.testing.assert_allclose(again.mse / 1e8, fit.mse, rtol=1e-6)


def test_random_signs_are_near_the_exact_errors() -> None:
    fit = fitted("stfh")
    known = np.ones(4, dtype=bool)
    found = sar_panel_mse.terms(fit.panel, known, True, exact=0)
    # 256 random signs: 1 / sqrt(256) of what areas have in common with others, small beside the area's own
    np.testing.assert_allclose(found.covariance, fit.mse_terms.covariance, rtol=0.2)
    own, wanted = (np.einsum("dii->di", t.g3)[fit.data.there] for t in (found, fit.mse_terms))
    assert np.abs(own / wanted - 1).mean() < 0.1


def test_years_that_are_not_seen_are_foreseen() -> None:
    """A year ahead of all data: Rao-Yu keeps v, and u fades by rho; its error grows."""
    data = table("rao_yu")
    later = data[data["year"] == 2024].assign(year=2026, y=np.nan)
    data = pd.concat([data.assign(v2026=0.0), later.assign(v2026=1.0)])
    fit = bs.RaoYu.from_formula("y ~ x", data, [*V, "v2026"], "year", "area").fit()
    np.testing.assert_allclose(fit.components["estimate"], fitted("rao_yu").components["estimate"], rtol=1e-7)
    effects, errors = fit.random_effects, fit.mse
    rho, v = fit.components["estimate"]["rho"], fit.components["estimate"]["sigma2_v"]
    u = fit.components["estimate"]["sigma2_u"] / (1 - rho**2)
    lasting = v * (fit.maximum.here.t @ np.ones(6))
    np.testing.assert_allclose(effects[2026], lasting + rho * (effects[2024] - lasting), atol=1e-12)
    seen = fit.data.grid(fit.data.y)[:, 4]
    assert (errors[2026] > errors[2024])[~np.isnan(seen)].all()
    new = fit.predict(pd.DataFrame({"x": [0.0, 1.0]}), [2024, 2026])
    np.testing.assert_allclose(new["eblup"], [fit.params.iloc[0], fit.params.sum()])
    np.testing.assert_allclose(new["mse"].iloc[0], u + v + fit.cov_params().iloc[0, 0])


@pytest.mark.parametrize("kind", TRUTH)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sign_that_cannot_be_told(kind: str, seed: int) -> None:
    """Waves an even number of steps apart tell rho^2: rho is not negative, nor at a place that is no maximum."""
    data = table(kind, seed)
    data.loc[data["year"] == 2022, "y"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = fitted(kind, data=data)
    values = fit.components["estimate"].to_numpy().copy()
    assert not fit.data.signed
    assert fit.converged
    assert np.isfinite(fit.table["mse"]).all()
    if not np.isnan(values[-1]):
        assert values[-1] >= 0
    if not fit.at_boundary:
        best = loglike(kind, fit.model, values, "reml")
        assert loglike(kind, fit.model, values * [*[1] * (len(values) - 1), -1], "reml") == pytest.approx(best)
        for step in 1e-3 * np.eye(len(values)):
            assert loglike(kind, fit.model, values + step, "reml") < best


def test_overlapping_samples_narrow_a_change() -> None:
    data = table("rao_yu")
    full = fitted("rao_yu", data=data).change(2012, 2024)
    alone = data.assign(v=[row[f"v{row['year']}"] for _, row in data.iterrows()])
    wide = bs.RaoYu.from_formula("y ~ x", alone, "v", "year", "area").fit().change(2012, 2024)
    assert (full["direct_variance"].dropna() < wide["direct_variance"].dropna()).all()
    assert full["mse"].mean() < wide["mse"].mean()
    swapped = fitted("rao_yu", data=data).change(2024, 2012)
    np.testing.assert_allclose(swapped["change"], -full["change"])
    np.testing.assert_allclose(swapped["upper"], -full["lower"])
    assert (full["upper"] - full["lower"]).to_numpy() == pytest.approx(2 * 1.959963985 * np.sqrt(full["mse"]))


def made_without(effect: str, seed: int = 4) -> Any:
    """40 areas in 4 years whose effects are the same in all years, or new in each, or absent."""
    rng, m = np.random.default_rng(seed), 40
    lasting, new = (rng.normal(size=(m, 1)) * (effect == "lasting"), rng.normal(size=(m, 4)) * (effect == "new"))
    y = 5 + lasting + new
    errors = rng.normal(size=(m, 4))
    if effect != "new":  # errors smaller than their variance says: no more variance is found than that of areas
        errors *= 0.5
    if effect == "new":  # what areas have in common over years is less than chance would give
        y -= y.mean(axis=1, keepdims=True) - 5
        errors -= errors.mean(axis=1, keepdims=True)
    year, area = np.tile([2020, 2021, 2022, 2023], m), np.repeat(np.arange(m), 4)
    return (y + 0.3 * errors).ravel(), np.ones(4 * m), np.full(4 * m, 0.09), year, area


@pytest.mark.parametrize(
    ("effect", "zero"), [("lasting", ["sigma2_u"]), ("new", ["sigma2_v"]), ("none", ["sigma2_u", "sigma2_v"])]
)
@pytest.mark.parametrize("spatial", [False, True])
def test_variances_at_zero_are_said(effect: str, zero: list[str], spatial: bool) -> None:
    y, x, d, year, area = made_without(effect)
    ring = np.roll(np.eye(40), 1, axis=1) + np.roll(np.eye(40), -1, axis=1)
    names = {"sigma2_v": "sigma2_1", "sigma2_u": "sigma2_2"} if spatial else {}
    with pytest.warns(BoundaryWarning, match="at zero by reml"):
        fit = (
            bs.SpatioTemporalFayHerriot(y, x, d, ring, year, area).fit()
            if spatial
            else bs.RaoYu(y, x, d, year, area).fit()
        )
    found = fit.components
    assert [n for n in found.index if found["estimate"][n] == 0] == sorted(names.get(n, n) for n in zero)
    assert fit.at_boundary
    assert np.isfinite(fit.table["mse"]).all()
    assert (fit.table["mse"] >= 0).all()
    if len(zero) == 2:
        np.testing.assert_allclose(fit.eblup, fit.synthetic, atol=1e-6)
        assert "synthetic" in str(fit.summary())


def test_an_edge_of_rho_is_said() -> None:
    """A chain of areas that alternate: rho1 goes to -1, where (I - rho1 W) takes all that alternates."""
    rng, m = np.random.default_rng(1), 30
    line = np.diag(np.ones(m - 1), 1) + np.diag(np.ones(m - 1), -1)
    y = 5 + np.where(np.arange(m) % 2, 1.0, -1.0)[:, None] + 0.2 * rng.normal(size=(m, 3))
    year, area = np.tile([2020, 2021, 2022], m), np.repeat(np.arange(m), 3)
    with pytest.warns(BoundaryWarning, match=r"rho1 is estimated at the edge of what is possible, -0\.9990"):
        fit = bs.SpatioTemporalFayHerriot(y.ravel(), np.ones(3 * m), [0.01] * 3 * m, line, year, area).fit(
            over_time="independent"
        )
    assert np.sign(fit.area_effects).tolist() == np.where(np.arange(m) % 2, 1, -1).tolist()
    assert np.isnan(fit.components["std_error"]["rho1"])  # held there: no normal error, and none in the MSE
    assert np.isfinite(fit.components["std_error"][["sigma2_1", "sigma2_2"]]).all()
    assert (fit.table["mse"] < 2 * np.einsum("dii->di", fit.mse_terms.g1 + fit.mse_terms.g2).ravel()).all()


def test_what_nothing_is_left_of() -> None:
    y = np.repeat(3.0, 12)
    year, area = np.tile([2020, 2021, 2022], 4), np.repeat(np.arange(4), 3)
    ring = np.roll(np.eye(4), 1, axis=1) + np.roll(np.eye(4), -1, axis=1)
    for made in (
        bs.RaoYu(y, np.ones(12), [0.1] * 12, year, area),
        bs.SpatioTemporalFayHerriot(y, np.ones(12), [0.1] * 12, ring, year, area),
    ):
        with pytest.warns(BoundaryWarning):
            fit = made.fit()  # type: ignore[attr-defined]
        np.testing.assert_allclose(fit.eblup, 3.0)


def test_a_search_that_is_cut_off_is_said() -> None:
    for kind in TRUTH:
        with pytest.warns(NotConvergedWarning, match="did not converge in [12] iterations"):
            model(kind).fit(maxiter=2)


@pytest.mark.parametrize("kind", TRUTH)
def test_results_speak_as_others_do(kind: str) -> None:
    fit = fitted(kind)
    codes = [f"BU{k:02}" for k in range(M)]
    for values in (fit.eblup, fit.mse, fit.gamma, fit.synthetic, fit.random_effects):
        assert list(values.index) == codes
        assert values.index.name == "area_code"
        assert list(values.columns) == YEARS
        assert values.isna().sum().sum() == 3  # rows that are not in the data
    assert list(fit.table.columns) == [
        "sampled", "direct", "sampling_variance", "synthetic", "eblup", "mse", "cv", "gamma",
    ]  # fmt: skip
    for shown in (fit.model, fit, fit.mse_terms):
        assert 10 < len(repr(shown)) < 500
        assert "\n" not in repr(shown)
    assert fit.nobs == int(fit.table["sampled"].sum())
    assert fit.aic < fit.bic
    assert "rho" in str(fit.summary())
    errors = fit.bootstrap_mse(10, seed=1)
    assert list(errors.columns) == ["naive", "corrected", "mc_error"]
    assert errors.index.equals(fit.table.index)
    pd.testing.assert_frame_equal(errors, fit.bootstrap_mse(replications=10, seed=1))
    # ten squares of an error: a coefficient of variation of sqrt(2 / 10) in each of 67 rows, which go together in areas
    assert 0.6 < (errors["naive"] / fit.table["mse"]).mean() < 1.6


def good(**other: Any) -> dict[str, Any]:
    year, area = np.tile([2020, 2021, 2022], 4), np.repeat(list("abcd"), 3)
    y = np.random.default_rng(1).normal(size=12)
    return {"y": y, "x": np.ones(12), "sampling_variance": np.full(12, 0.1), "year": year, "area": area} | other


def changed(name: str, at: int, value: Any) -> dict[str, Any]:
    values = good()[name].astype(object if name == "area" else float)
    values[at] = value
    return good(**{name: values})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "twice": (changed("year", 1, 2020), "areas occur twice in a year"),
    "no whole year": (changed("year", 1, 2020.5), "years are no whole numbers"),
    "a year that is missing": (changed("year", 1, np.nan), "years or areas are missing"),
    "an area that is missing": (changed("area", 1, None), "years or areas are missing"),
    "one year": ({k: v[::3] for k, v in good().items()}, "there is one year only"),
    "a variance of zero": (changed("sampling_variance", 4, 0.0), "sampling variances are not positive"),
    "a variance that is missing": (changed("sampling_variance", 4, np.nan), "sampling variances are not positive"),
    "infinite": (changed("y", 4, np.inf), "direct estimates are infinite"),
    "lengths": (good(x=np.ones(11)), "do not have one row per area and year"),
    "no areas": (good(area=None), "the areas are not known"),
    "shape": (good(sampling_variance=np.full((12, 2), 0.1)), "the sampling covariances have another shape"),
    "no covariance": (good(sampling_variance=np.full((12, 3), 0.1)), "not positive definite in 4 areas"),
    "words": (good(y=list("abcdefghijkl")), "y is not numeric"),
    "a covariate that is missing": (good(x=np.r_[np.nan, np.ones(11)]), "covariate x0 is missing in 1 rows"),
    "dependent": (good(x=np.ones((12, 2))), "covariates are linear combinations"),
    "too few": (good(y=np.r_[1.0, np.full(11, np.nan)]), "there are too few rows with a direct estimate"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    arguments, said = REFUSED[case]
    with pytest.raises(BuurtsaeError, match=said) as caught:
        bs.RaoYu(**arguments)
    assert "hint:" in str(caught.value)


def test_refused_all_at_once() -> None:
    d = good()["sampling_variance"].copy()
    d[2] = -1.0
    with pytest.raises(BuurtsaeError) as caught:
        bs.RaoYu(**good(y=np.r_[np.inf, np.ones(11)], x=np.r_[np.ones(11), np.inf], sampling_variance=d))
    for said in ("a in 2020", "d in 2022", "a in 2022: -1"):
        assert said in str(caught.value)


def test_refused_fits() -> None:
    made = bs.RaoYu(**good())
    two = bs.RaoYu(**{k: v[np.arange(12) % 3 > 0] for k, v in good().items()})
    never = good()["y"].copy()
    never[[1, 2, 3, 5, 6, 7, 9, 10]] = np.nan  # no area twice
    apart = bs.RaoYu(**good(y=never))
    for call, said in (
        (lambda: made.fit("fh"), "method of estimation is unknown"),
        (lambda: two.fit(), "an autocorrelation beside an effect of the area cannot be estimated"),
        (lambda: apart.fit(dynamic=True), "an autocorrelation beside an effect of the area cannot be estimated"),
        (lambda: made.loglike(0.1, 0.1, 1.0), "no likelihood at these components"),
        (lambda: made.loglike(-0.1, 0.1, 0.1), "no likelihood at these components"),
    ):
        with pytest.raises(ModelError, match=said):
            call()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = made.fit("ml")
    for wrong in (lambda: fit.change(2020, 2025), lambda: fit.predict([[1.0]], [2025])):
        with pytest.raises(ModelError, match="years are not in the model"):
            wrong()
    with pytest.raises(ModelError, match="a bootstrap needs replications"):
        fit.bootstrap_mse(1)


def test_refused_spatial() -> None:
    ring = np.roll(np.eye(4), 1, axis=1) + np.roll(np.eye(4), -1, axis=1)
    with pytest.raises(ModelError, match="the proximities have the wrong size"):
        bs.SpatioTemporalFayHerriot(proximity=ring[:3, :3], **good())
    made = bs.SpatioTemporalFayHerriot(proximity=ring, **good())
    with pytest.raises(ModelError, match="the model over time is unknown"):
        made.fit(over_time="rw1")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no likelihood at these components"):
        made.loglike(0.1, 1.0, 0.1)
    with pytest.raises(ModelError, match="areas outside the model cannot be predicted"):
        fitted("stfh").predict(pd.DataFrame({"x": [1.0]}), [2024])


@pytest.mark.parametrize("dynamic", [False, True])
def test_estimated_errors_are_those_of_simulated_surveys(dynamic: bool) -> None:
    """60 areas, 3 years, 200 surveys: mean squared errors of levels and of change are told right.

    In the place of the squared error of the BLUP with true components comes its expectation g1 + g2, so that surveys
    tell what components cost: the error of the mean over surveys is computed from them. Three of these are allowed (two
    figures of two models lie within by chance 99 times in 100), and 1% for what is of smaller order than 1 / m: less
    than 2 g3, so that it could not be left out.
    """
    m, years, surveys, d = 60, 3, 200, np.tile([0.3, 0.6, 1.2], 20)
    family, rng, move = FAMILIES[dynamic](years, (0, 1, 2)), np.random.default_rng(11), np.array([-1.0, 0.0, 1.0])
    sigma = family.matrix(family.free(np.array([0.3, 0.6, 0.5])))
    root, errors = np.linalg.cholesky(sigma), d[:, None, None] * np.eye(years)
    told, true, lost = [], [], []
    for _ in range(surveys):
        theta = 5 + rng.normal(size=(m, years)) @ root.T
        y = theta + np.sqrt(d)[:, None] * rng.normal(size=(m, years))
        blocks = Blocks.of(y, errors, np.ones((m, years, 1)))
        maximum = rao_yu.climb(blocks, family, True, 100, one=True)
        here, at = maximum.here, likelihood.at(blocks, sigma, restricted=True)
        terms = likelihood.terms(blocks, here, family.natural(maximum.free)[1][family.informed(maximum.free)])
        known = np.add(*likelihood.leading(blocks, at)[1:])
        error, best = (likelihood.eblup(blocks, a) - theta for a in (here, at))
        told.append(of_both(terms.mse, move))
        lost.append(of_both(2 * terms.g3, move))
        squares = error[:, :, None] * error[:, None] - best[:, :, None] * best[:, None] + known
        true.append(of_both(squares, move))
    truth, difference = np.mean(true, axis=0), np.array(told) - np.array(true)
    allowed = 3 * difference.std(axis=0) / np.sqrt(surveys) + 0.01 * truth
    assert (np.abs(difference.mean(axis=0)) < allowed).all()
    assert (np.mean(lost, axis=0) > allowed).all()


def of_both(matrices: Floats, move: Floats) -> tuple[float, float]:
    """Means over areas of levels and of change."""
    return float(np.einsum("dii->di", matrices).mean()), float((move @ matrices @ move).mean())
