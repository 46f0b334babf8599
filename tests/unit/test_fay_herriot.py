"""The Fay-Herriot model: by hand, by dense algebra, by simulation, and input that cannot be used."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.classical.area.components import METHODS, estimate
from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.errors import BuurtsaeError, DataError, ModelError


def made(m: int = 60, sigma2: float = 1.0, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    d, x = rng.uniform(0.3, 2.0, m), rng.normal(size=m)
    theta = 5 + 0.5 * x + np.sqrt(sigma2) * rng.normal(size=m)
    y = theta + np.sqrt(d) * rng.normal(size=m)
    group = np.where(np.arange(m) % 3 == 0, "a", "b")
    return pd.DataFrame(
        {"code": [f"BU{k:08}" for k in range(m)], "y": y, "d": d, "x": x, "group": group, "theta": theta}
    )


def test_equal_variances_by_hand() -> None:
    y = np.array([1.0, 2.0, 4.0, 6.0, 7.0])  # variance 26 / 4 about a mean of 4
    fit = FayHerriot(y, np.ones((5, 1)), np.full(5, 2.0)).fit("reml")
    np.testing.assert_allclose(fit.sigma2_v, 6.5 - 2, rtol=1e-9)  # s2 = sigma2_v + D
    np.testing.assert_allclose(FayHerriot(y, np.ones((5, 1)), np.full(5, 2.0)).fit("fh").sigma2_v, 4.5, rtol=1e-9)
    np.testing.assert_allclose(
        FayHerriot(y, np.ones((5, 1)), np.full(5, 2.0)).fit("ml").sigma2_v, 26 / 5 - 2, rtol=1e-9
    )
    gamma = 4.5 / 6.5
    np.testing.assert_allclose(fit.eblup, gamma * y + (1 - gamma) * 4, rtol=1e-9)
    # g1 + g2 + 2 g3, var(sigma2_v) = 2 * 6.5^2 / 5
    g2, g3 = (1 - gamma) ** 2 * 6.5 / 5, (1 - gamma) ** 2 * (2 * 6.5**2 / 5) / 6.5
    np.testing.assert_allclose(fit.mse, gamma * 2 + g2 + 2 * g3, rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_no_other_variance_is_better(method: Any) -> None:
    """The estimate solves its equation: what is maximised falls on both sides, or moments meet m - p."""
    data = made()
    fit = FayHerriot.from_formula("y ~ x", data, "d", "code").fit(method)
    assert fit.converged
    x, d, y = np.column_stack([np.ones(60), data["x"]]), data["d"].to_numpy(), data["y"].to_numpy()

    def dense(s: float) -> float:
        v = np.diag(s + d)
        vi = np.linalg.inv(v)
        s_beta = x.T @ vi @ x
        p = vi - vi @ x @ np.linalg.solve(s_beta, x.T @ vi)
        if method == "fh":
            return -abs(float(y @ p @ y) - 58)
        value = -0.5 * (np.linalg.slogdet(v)[1] + y @ p @ y)
        if method in ("reml", "amrl", "amrl_yl"):
            value -= 0.5 * np.linalg.slogdet(s_beta)[1]
        if method in ("ampl", "amrl"):
            value += np.log(s)
        elif method.endswith("_yl"):
            value += np.log(np.arctan((s / (s + d)).sum())) / 60
        return float(value)

    s = fit.sigma2_v
    assert dense(s) >= max(dense(s * 1.001), dense(s * 0.999))
    assert dense(s) >= max(dense(t) for t in np.geomspace(1e-3, 10, 40))


@pytest.mark.parametrize("method", METHODS)
def test_areas_without_a_sample_are_predicted(method: Any) -> None:
    data = made()
    data.loc[[3, 7], ["y", "d"]] = np.nan
    fit = FayHerriot.from_formula("y ~ x + C(group)", data, "d", "code").fit(method)
    rest = data.drop(index=[3, 7])
    alone = FayHerriot.from_formula("y ~ x + C(group)", rest, "d", "code").fit(method)
    pd.testing.assert_series_equal(fit.eblup[rest["code"]], alone.eblup)
    pd.testing.assert_series_equal(fit.mse[rest["code"]], alone.mse)
    other = alone.predict(data.loc[[3, 7]])
    np.testing.assert_allclose(fit.eblup.iloc[[3, 7]], other["eblup"], rtol=1e-12)
    np.testing.assert_allclose(fit.mse.iloc[[3, 7]], other["mse"], rtol=1e-12)
    assert (fit.gamma.iloc[[3, 7]] == 0).all()
    assert fit.mse.iloc[3] > fit.sigma2_v * 0.8  # the effect of an area that nobody saw is whole in its error


@pytest.mark.parametrize("method", ["amrl_yl", "ampl_yl", "amrl", "ampl"])
def test_adjusted_likelihoods_are_never_zero(method: Any) -> None:
    data = made(30, sigma2=0.0, seed=0)
    model = FayHerriot.from_formula("y ~ x", data, "d", "code")
    with pytest.warns(BoundaryWarning, match="zero by reml"):
        assert model.fit("reml").sigma2_v == 0
    fit = model.fit(method)
    assert fit.sigma2_v > 1e-3
    assert fit.converged


@pytest.mark.slow
def test_the_mse_is_right_on_average() -> None:
    """400 data sets of 60 areas: squared errors and their estimates agree, sampled and not, by every method."""
    rng, m, n, hidden = np.random.default_rng(5), 60, 400, np.arange(60) < 5
    base = made(m)
    x, d = np.column_stack([np.ones(m), base["x"]]), base["d"].to_numpy()
    ratios: dict[str, list[float]] = {k: [] for k in ("reml", "ml", "fh", "amrl_yl")}
    squared, told = ({k: np.zeros(m) for k in ratios} for _ in range(2))
    for _ in range(n):
        theta = x @ [5.0, 0.5] + rng.normal(size=m)
        y = np.where(hidden, np.nan, theta + np.sqrt(d) * rng.normal(size=m))
        model = FayHerriot(y, x, d)
        for k in ratios:
            fit = model.fit(k)  # type: ignore[arg-type]
            squared[k] += (fit.eblup.to_numpy() - theta) ** 2 / n
            told[k] += fit.mse.to_numpy() / n
    for k in ratios:
        # mean over 55 areas x 400 sets of squares with coefficient of variation sqrt(2): 1%, three of these;
        # five areas without a sample: sqrt(2 / 2000) = 3.2%
        assert abs(told[k][~hidden].mean() / squared[k][~hidden].mean() - 1) < 0.03, k
        assert abs(told[k][hidden].mean() / squared[k][hidden].mean() - 1) < 0.1, k


def test_the_bootstrap_agrees_with_the_formula() -> None:
    data = made()
    data.loc[0, "y"] = np.nan
    fit = FayHerriot.from_formula("y ~ x", data, "d", "code").fit()
    found, terms = fit.bootstrap_mse(800, seed=1), fit.mse_terms
    # squares of 800 draws in 59 areas: sqrt(2 / 800 / 59) = 0.65%, four of these; the truth of the draws has no more
    # than g1 + g2 + g3, and the corrected estimate is to be that of the formula
    np.testing.assert_allclose(found["naive"][1:].mean(), (terms.g1 + terms.g2 + terms.g3).mean(), rtol=0.026)
    np.testing.assert_allclose(found["corrected"][1:].mean(), fit.mse[1:].mean(), rtol=0.026)
    pd.testing.assert_frame_equal(found, fit.bootstrap_mse(800, seed=1))


@pytest.mark.slow
def test_tests_of_no_area_effect_hold_their_size() -> None:
    rng, x = np.random.default_rng(2), np.ones((40, 1))
    d = rng.uniform(0.3, 2, 40)
    found = []
    for k in range(300):
        with np.errstate(all="raise"):
            model = FayHerriot(np.sqrt(d) * rng.normal(size=40), x, d)
            fit = model.fit("amrl_yl")
        found.append(fit.test_area_effect("score", draws=199, seed=k).pvalue)
    # exact: 5% of 300 is 15, sd 3.8
    assert 5 <= sum(p <= 0.05 for p in found) <= 26
    strong = FayHerriot.from_formula("y ~ x", made(sigma2=4.0), "d", "code").fit()
    assert strong.test_area_effect("lr").pvalue < 1e-4
    assert strong.test_area_effect("score", seed=1).pvalue <= 0.01


def test_diagnostics_by_dense_algebra() -> None:
    data = made(20)
    fit = FayHerriot.from_formula("y ~ x", data, "d", "code").fit()
    x, v = np.column_stack([np.ones(20), data["x"]]), np.diag(fit.sigma2_v + data["d"])
    vi = np.linalg.inv(v)
    s = np.linalg.inv(x.T @ vi @ x)
    r = data["y"].to_numpy() - x @ fit.params
    np.testing.assert_allclose(fit.diagnostics.table["standardised"], r / np.sqrt(np.diag(v - x @ s @ x.T)), rtol=1e-10)
    cook = []
    for i in range(20):  # what leaving an area out moves beta by, at the same sigma2_v
        keep = np.arange(20) != i
        w = vi[np.ix_(keep, keep)]
        moved = fit.params - np.linalg.solve(x[keep].T @ w @ x[keep], x[keep].T @ w @ data["y"].to_numpy()[keep])
        cook.append(moved @ np.linalg.solve(s, moved) / 2)
    np.testing.assert_allclose(fit.diagnostics.table["cooks_distance"], cook, rtol=1e-8)


def test_the_summary_has_the_figures() -> None:
    fit = FayHerriot.from_formula("y ~ x", made(), "d", "code").fit()
    text = str(fit.summary())
    for shown in ("Fay-Herriot", "REML", "No. Areas", f"{fit.sigma2_v:.6g}", f"{fit.aic:.5g}", "Intercept"):
        assert shown in text
    assert fit.table.loc[fit.eblup.index[0], "gamma"] == fit.gamma.iloc[0]
    assert (fit.conf_int()[0] < fit.params).all()


BAD: dict[str, tuple[Any, str]] = {
    "a variance of zero": (lambda t: t.assign(d=t["d"].mask(t["code"] == "BU00000002", 0)), "BU00000002: 0"),
    "a negative variance": (lambda t: t.assign(d=-t["d"]), "sampling variances are not positive"),
    "a missing covariate": (lambda t: t.assign(x=t["x"].mask(t["code"] == "BU00000004")), "covariate x is missing"),
    "a missing group": (lambda t: t.assign(group=t["group"].mask(t["code"] == "BU00000004")), "group"),
    "infinite y": (lambda t: t.assign(y=np.inf), "infinite"),
    "areas twice": (lambda t: t.assign(code="BU00000001"), "occur twice"),
    "few areas": (lambda t: t.assign(y=t["y"].where(t.index < 3)), "too few areas"),
    "collinear": (lambda t: t.assign(x=1.0), "linear combinations"),
    "collinear where sampled": (lambda t: t.assign(y=t["y"].mask(t["group"] == "a")), "linear combinations"),
    "no column": (lambda t: t.drop(columns="d"), "absent"),
}


@pytest.mark.parametrize("name", BAD)
def test_input_that_cannot_be_used(name: str) -> None:
    spoil, told = BAD[name]
    with pytest.raises(BuurtsaeError) as caught:
        FayHerriot.from_formula("y ~ x + C(group)", spoil(made()), "d", "code")
    assert told in str(caught.value)
    assert "hint" in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    data = made()
    data.loc[1, "x"], data.loc[2, "d"] = np.nan, -1.0
    with pytest.raises(BuurtsaeError) as caught:
        FayHerriot(data["y"], data[["x"]], data["d"])
    assert "covariate x is missing" in str(caught.value)
    assert "not positive" in str(caught.value)
    with pytest.raises(ModelError, match="method of estimation is unknown"):
        FayHerriot.from_formula("y ~ x", made(), "d").fit("mle")  # type: ignore[arg-type]
    with pytest.raises(BuurtsaeError, match="one row per area"):
        FayHerriot([1.0, 2.0], [[1.0]] * 3, [1.0, 1.0])
    fit = FayHerriot.from_formula("y ~ x", made(), "d").fit()
    with pytest.raises(ModelError, match="absent"):
        fit.predict(pd.DataFrame({"z": [1.0]}))
    with pytest.raises(ModelError, match="missing"):
        fit.predict(pd.DataFrame({"x": [np.nan]}))


def test_a_fit_that_does_not_converge_says_so_with_its_trace() -> None:
    with pytest.warns(NotConvergedWarning, match="did not converge in 1 iterations") as caught:
        fit = FayHerriot.from_formula("y ~ x", made(), "d").fit(maxiter=1)
    assert not fit.converged
    assert f"{fit.sigma2_v:.6g}" in str(caught[0].message)
    assert "NO" in str(fit.summary())


def test_series_and_frames_are_joined_by_code() -> None:
    data = made().set_index("code")
    x, mixed = data[["x"]].assign(one=1.0), data.sample(frac=1, random_state=1)
    fit = FayHerriot(data["y"], x, data["d"]).fit()
    other = FayHerriot(data["y"], mixed[["x"]].assign(one=1.0), mixed["d"]).fit()
    pd.testing.assert_series_equal(other.eblup, fit.eblup)
    with pytest.raises(DataError, match="sampling_variance is of other areas than y") as found:
        FayHerriot(data["y"], x, data["d"].rename({"BU00000003": "BU99999999"}))
    assert "BU00000003" in str(found.value.got)
    assert "BU99999999" in str(found.value.got)
    with pytest.raises(DataError, match="x is of other areas than y"):
        FayHerriot(data["y"], x.reset_index(drop=True), data["d"])


def test_text_is_no_number() -> None:
    data = made(8)
    with pytest.raises(DataError, match="sampling_variance is not numeric") as found:
        FayHerriot(data["y"], np.ones(8), ["veel", *[1.0] * 7])
    assert "veel" in found.value.got


@pytest.mark.parametrize("method", [m for m in METHODS if m != "fh"])
def test_small_and_uneven_sets_converge(method: Any) -> None:
    """Where expected and observed information differ much, Fisher scoring alone goes to and fro."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        d, x = rng.uniform(0.05, 4.0, 15), np.column_stack([np.ones(15), rng.normal(size=15)])
        y = x @ [1.0, 0.5] + 0.5 * rng.normal(size=15) + np.sqrt(d) * rng.normal(size=15)
        found = estimate(y, x, d, method)
        assert found.converged, seed
        assert len(found.trace) < 40


def test_the_likelihood_ratio_is_that_of_the_maximum_whatever_the_estimate() -> None:
    model = FayHerriot.from_formula("y ~ x", made(sigma2=0.3), "d")
    ml, reml = (model.fit(m).test_area_effect("lr") for m in ("ml", "reml"))
    for method in ("fh", "ampl", "ampl_yl"):
        assert model.fit(method).test_area_effect("lr").statistic == pytest.approx(ml.statistic, rel=1e-8)
    for method in ("amrl", "amrl_yl"):
        assert model.fit(method).test_area_effect("lr").statistic == pytest.approx(reml.statistic, rel=1e-8)
    assert ml.statistic > 0


@pytest.mark.parametrize("method", ["fh", "ampl", "amrl"])
def test_no_mse_is_negative_where_a_bias_correction_is_large(method: Any) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        d = np.resize([4.0, 0.6, 0.5, 0.4, 0.1], 30)
        y = 0.2 * rng.normal(size=30) + np.sqrt(d) * rng.normal(size=30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BoundaryWarning)
            fit = FayHerriot(y, np.ones(30), d).fit(method)
        assert (fit.mse > 0).all(), seed
