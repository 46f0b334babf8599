"""Fay-Herriot models of logarithms and proportions, and benchmarking: by hand, by simulation, and bad input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from buurtsae.classical.area.arcsine import ArcsineFayHerriot
from buurtsae.classical.area.back_transformation import expected_sine_squared, sine_squared, slud_maiti
from buurtsae.classical.area.benchmarked import benchmark
from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.area.transformed import LogFayHerriot
from buurtsae.classical.columns import BoundaryWarning
from buurtsae.errors import BuurtsaeError, ModelError

METHODS = ["ratio", "difference", "mse_adjusted"]


def incomes(m: int = 40) -> pd.DataFrame:
    """Positive direct estimates with coefficients of variation about 30%."""
    rng = np.random.default_rng(1)
    x, d = rng.normal(size=m), rng.uniform(0.03, 0.2, m)
    y = np.exp(1 + 0.3 * x + 0.3 * rng.normal(size=m) + np.sqrt(d) * rng.normal(size=m))
    return pd.DataFrame({"code": [f"BU{k:08}" for k in range(m)], "y": y, "var": d * y**2, "x": x})


def shares(m: int = 40) -> pd.DataFrame:
    """Proportions about 0.1 from effective samples of 10 to 40."""
    rng = np.random.default_rng(2)
    x, n = rng.normal(size=m), rng.uniform(10, 40, m)
    theta = 0.35 + 0.1 * x + 0.1 * rng.normal(size=m)
    y = sine_squared(theta + rng.normal(size=m) / np.sqrt(4 * n))
    return pd.DataFrame({"code": [f"BU{k:08}" for k in range(m)], "y": y, "n": n, "x": x})


def test_without_a_sample_the_logarithm_gives_the_lognormal_distribution() -> None:
    nu, zero, known = np.array([0.0, 1.0, 2.0]), np.zeros(3), {"var": 0.0, "bias": 0.0}
    estimate, mse = slud_maiti(nu, nu, 0.3, zero, zero, **known)
    np.testing.assert_allclose(estimate, np.exp(nu + 0.15), rtol=1e-14)
    np.testing.assert_allclose(mse, np.exp(2 * nu + 0.3) * np.expm1(0.3), rtol=1e-14)


def test_the_terms_of_slud_and_maiti_are_derivatives() -> None:
    """M' and M'' by differences, and E (T_hat - T)^2 of a small error of sigma2_v by quadrature over y."""
    d, s, nu = np.array([0.05, 0.3, 2.0]), 0.2, np.array([0.5, 0.0, -0.5])

    def told(sigma2: float, var: float = 0.0, bias: float = 0.0) -> Any:
        return slud_maiti(nu, nu, sigma2, 1 / (sigma2 + d), np.zeros(3), var, bias)[1]

    slope = (told(s + 1e-5) - told(s - 1e-5)) / 2e-5
    np.testing.assert_allclose(told(s) - told(s, bias=1e-3), 1e-3 * slope, rtol=1e-6)
    curvature = (told(s + 1e-4) - 2 * told(s) + told(s - 1e-4)) / 1e-8

    def predictor(z: Any, sigma2: float, i: int) -> Any:
        gamma = sigma2 / (sigma2 + d[i])
        return np.exp(nu[i] + gamma * z + sigma2 * (1 - gamma) / 2)

    moved = [
        quad(
            lambda z, i=i: (
                ((predictor(z, s + 1e-5, i) - predictor(z, s - 1e-5, i)) / 2e-5) ** 2
                * norm.pdf(z, scale=np.sqrt(s + d[i]))
            ),
            -12 * np.sqrt(s + d[i]),
            12 * np.sqrt(s + d[i]),
        )[0]
        for i in range(3)
    ]
    np.testing.assert_allclose(told(s, var=1e-3) - told(s), 1e-3 * (moved - curvature / 2), rtol=1e-5)


@pytest.mark.slow
def test_logarithms_are_right_on_average() -> None:
    """250 data sets of 30 areas with a sample and 10 without: no bias where exp(theta_hat) has one, and the MSE."""
    rng, m, n, hidden = np.random.default_rng(3), 40, 250, np.arange(40) < 10
    x, d = np.column_stack([np.ones(m), rng.normal(size=m)]), rng.uniform(0.03, 0.15, m)
    found: dict[str, list[np.ndarray]] = {k: [] for k in ("error", "mse", "naive", "crude")}
    for _ in range(n):
        theta = x @ [1.0, 0.1] + 0.4 * rng.normal(size=m)
        y = np.where(hidden, np.nan, np.exp(theta + np.sqrt(d) * rng.normal(size=m)))
        model = LogFayHerriot(y, x, d * y**2)
        fit = model.fit("ml")
        found["error"].append(fit.eblup - np.exp(theta))
        found["mse"].append(fit.mse.to_numpy())
        found["naive"].append(np.exp(fit.transformed.eblup) - np.exp(theta))
        found["crude"].append(model.fit("ml", back="crude").eblup - np.exp(theta))
    for areas in (~hidden, hidden):
        error, mse, naive, crude = (np.array(found[k])[:, areas] for k in found)
        se = error.mean(axis=1).std() / np.sqrt(n)  # sets are independent, their areas are not
        assert abs(error.mean()) < 3 * se
        assert naive.mean() < -4 * se
        assert crude.mean() > error.mean()
        squares = (error**2).mean(axis=1)
        # twice the bias of sigma2_v, as in emdi, gives 9% and 15% too much; three standard errors
        off = mse.mean() / squares.mean() - 1
        assert abs(off) < 3 * squares.std() / np.sqrt(n) / squares.mean()
        assert abs(off) < 0.1


def test_the_expectation_of_a_proportion_by_quadrature() -> None:
    mu, s = np.meshgrid([-0.3, 0.0, 0.1, 0.8, 1.5, np.pi / 2, 1.8], [0.01, 0.1, 0.5])
    mu, s = mu.ravel(), s.ravel()
    density = [
        quad(
            lambda t, i=i: sine_squared(t) * norm.pdf(t, mu[i], s[i]),
            *(mu[i] + np.array([-12, 12]) * s[i]),
            points=[p for p in (0, np.pi / 2) if abs(p - mu[i]) < 12 * s[i]] or None,
        )[0]
        for i in range(len(mu))
    ]
    np.testing.assert_allclose(expected_sine_squared(mu, s**2), density, rtol=1e-8, atol=1e-14)
    inside, spread = np.array([0.5, 0.8, 1.1]), np.full(3, 0.05)  # ten standard deviations from both ends
    closed = (1 - np.cos(2 * inside) * np.exp(-2 * spread**2)) / 2
    np.testing.assert_allclose(expected_sine_squared(inside, spread**2), closed, rtol=1e-13)
    np.testing.assert_allclose(expected_sine_squared(mu, np.zeros(len(mu))), sine_squared(mu), atol=1e-12)


@pytest.mark.slow
def test_proportions_are_right_on_average() -> None:
    """500 data sets of 50 areas with a sample and 10 without: the bias; of 25 the bootstrapped MSE and intervals."""
    rng, m, n, hidden = np.random.default_rng(4), 60, 500, np.arange(60) < 10
    x, size = np.column_stack([np.ones(m), rng.normal(size=m)]), rng.uniform(15, 40, m)
    found: dict[str, list[np.ndarray]] = {k: [] for k in ("error", "naive", "mse", "covered")}
    for k in range(n):
        theta = x @ [0.5, 0.02] + 0.15 * rng.normal(size=m)  # direct estimates of zero, cut off, are rare
        y = np.where(hidden, np.nan, sine_squared(theta + rng.normal(size=m) / np.sqrt(4 * size)))
        fit = ArcsineFayHerriot(y, x, size).fit(replications=50 if k < 25 else 0, seed=k)
        p = sine_squared(theta)
        found["error"].append(fit.eblup - p)
        found["naive"].append(sine_squared(fit.transformed.eblup) - p)
        if k < 25:
            found["mse"].append(fit.mse.to_numpy())
            found["covered"].append(((fit.table["lower"] <= p) & (p <= fit.table["upper"])).to_numpy())
    for areas in (~hidden, hidden):
        error, naive, mse, covered = (np.array(found[k])[:, areas] for k in found)
        se = error.mean(axis=1).std() / np.sqrt(n)  # sets are independent, their areas are not
        assert abs(error.mean()) < 3 * se
        assert naive.mean() < -4 * se
        squares = (error**2).mean(axis=1)
        # the MSE of 25 sets against the errors of all: of both the standard error
        spread = np.hypot(squares.std() / np.sqrt(n), mse.mean(axis=1).std() / np.sqrt(25)) / squares.mean()
        assert abs(mse.mean() / squares.mean() - 1) < 3 * spread < 0.2
        assert 0.85 < covered.mean() < 0.98  # of 95%: quantiles of 50 draws, and sigma2_v of 50 areas, fall short


@pytest.mark.parametrize("back", ["slud_maiti", "crude"])
def test_areas_without_a_sample_have_logarithms_predicted(back: Any) -> None:
    data = incomes()
    data.loc[[3, 7], ["y", "var"]] = np.nan
    fit = LogFayHerriot.from_formula("y ~ x", data, "var", "code").fit(back=back)
    rest = data.drop(index=[3, 7]).iloc[::-1]
    alone = LogFayHerriot.from_formula("y ~ x", rest, "var", "code").fit(back=back)
    pd.testing.assert_frame_equal(fit.table.loc[rest["code"]], alone.table, rtol=1e-9)  # by label, not by order
    other = alone.predict(data.set_index("code").iloc[[7, 3]])
    np.testing.assert_allclose(fit.eblup[other.index], other["eblup"], rtol=1e-9)
    np.testing.assert_allclose(fit.mse[other.index], other["mse"], rtol=1e-9)
    theta = fit.transformed.eblup.iloc[3]
    spread = fit.transformed.mse.iloc[3] if back == "crude" else fit.transformed.sigma2_v
    np.testing.assert_allclose(fit.eblup.iloc[3], np.exp(theta + spread / 2), rtol=1e-12)


def test_areas_without_a_sample_have_proportions_predicted() -> None:
    data = shares()
    data.loc[[3, 7], ["y", "n"]] = np.nan
    fit = ArcsineFayHerriot.from_formula("y ~ x", data, "n", "code").fit(replications=200, seed=1)
    other = fit.predict(data.set_index("code").iloc[[7, 3]])
    np.testing.assert_allclose(fit.eblup[other.index], other["eblup"], rtol=1e-12)
    # other draws of the same: squares of 200, sqrt(2 / 200) = 10% in each, 2.5 standard errors of the difference
    np.testing.assert_allclose(fit.mse[other.index], other["mse"], rtol=0.35)
    pd.testing.assert_frame_equal(other, fit.predict(data.set_index("code").iloc[[7, 3]]))
    without = ArcsineFayHerriot.from_formula("y ~ x", data, "n", "code").fit(back="naive", replications=0)
    np.testing.assert_allclose(without.eblup, sine_squared(without.transformed.eblup.to_numpy()), rtol=1e-14)
    assert without.mse.isna().all()


def test_a_variance_of_zero_still_has_an_error() -> None:
    """Of 20 areas without effects: the bootstrap draws none either, but the correction for sigma2_v is there."""
    rng, n = np.random.default_rng(0), np.full(20, 50.0)
    y = sine_squared(0.8 + 0.9 * rng.normal(size=20) / np.sqrt(4 * n))
    with pytest.warns(BoundaryWarning, match="zero by ml"):
        fit = ArcsineFayHerriot(y, np.ones((20, 1)), n).fit("ml", replications=50, seed=1)
    assert (fit.mse > fit.bootstrap["naive"]).all()
    with pytest.warns(BoundaryWarning):
        log = LogFayHerriot(y, np.ones((20, 1)), y**2 / 20).fit("ml")
    assert (log.mse > 0).all()


def test_a_formula_gives_what_arrays_give() -> None:
    data = incomes()
    formula = LogFayHerriot.from_formula("y ~ x", data, "var", "code").fit("fh")
    arrays = LogFayHerriot(data["y"], np.column_stack([np.ones(40), data["x"]]), data["var"], data["code"]).fit("fh")
    pd.testing.assert_series_equal(formula.eblup, arrays.eblup)
    pd.testing.assert_series_equal(formula.mse, arrays.mse)
    assert "log(y)" in str(formula.summary())
    data = shares()
    drawn = {"replications": 20, "seed": 3}
    one = ArcsineFayHerriot.from_formula("y ~ x", data, "n", "code").fit(**drawn)  # type: ignore[arg-type]
    x = np.column_stack([np.ones(40), data["x"]])
    two = ArcsineFayHerriot(data["y"], x, data["n"], data["code"]).fit(**drawn)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(one.table, two.table)
    text = str(one.summary())
    assert "arcsin sqrt(y)" in text
    assert f"{one.eblup.median():.5g}" in text


def test_the_model_is_that_of_the_transformed_estimates() -> None:
    data = incomes()
    fit = LogFayHerriot.from_formula("y ~ x", data, "var", "code").fit()
    plain = data.assign(z=np.log(data["y"]), d=data["var"] / data["y"] ** 2)
    same = FayHerriot.from_formula("z ~ x", plain, "d", "code").fit()
    pd.testing.assert_series_equal(fit.transformed.eblup, same.eblup)
    assert fit.transformed.llf == same.llf


BAD_LOG: dict[str, tuple[Any, str]] = {
    "zero": (lambda t: t.assign(y=t["y"].mask(t["x"] == t["x"][2], 0)), "not positive\n  got BU00000002: 0"),
    "negative": (lambda t: t.assign(y=-t["y"]), "direct estimates are not positive"),
    "variance": (lambda t: t.assign(var=t["var"].mask(t["x"] == t["x"][2], -4)), "BU00000002: -4"),
    "twice": (lambda t: t.assign(code="BU00000001"), "occur twice"),
}
BAD_ARCSINE: dict[str, tuple[Any, str]] = {
    "above": (lambda t: t.assign(y=t["y"].mask(t["x"] == t["x"][2], 1.5)), "proportions\n  got BU00000002: 1.5"),
    "below": (lambda t: t.assign(y=-1), "direct estimates are no proportions"),
    "no size": (
        lambda t: t.assign(n=t["n"].mask(t["x"] == t["x"][2])),
        "sizes are not positive\n  got BU00000002: nan",
    ),
    "size of zero": (lambda t: t.assign(n=0), "effective sample sizes are not positive"),
    "covariate": (lambda t: t.assign(x=t["x"].mask(t["code"] == "BU00000004")), "covariate x is missing"),
}


@pytest.mark.parametrize("name", BAD_LOG)
def test_logarithms_that_cannot_be_used(name: str) -> None:
    spoil, told = BAD_LOG[name]
    with pytest.raises(BuurtsaeError) as caught:
        LogFayHerriot.from_formula("y ~ x", spoil(incomes()), "var", "code")
    assert told in str(caught.value)
    assert "hint" in str(caught.value)


@pytest.mark.parametrize("name", BAD_ARCSINE)
def test_proportions_that_cannot_be_used(name: str) -> None:
    spoil, told = BAD_ARCSINE[name]
    with pytest.raises(BuurtsaeError) as caught:
        ArcsineFayHerriot.from_formula("y ~ x", spoil(shares()), "n", "code")
    assert told in str(caught.value)
    assert "hint" in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    data = shares()
    data.loc[1, "y"], data.loc[2, "n"], data.loc[3, "x"] = -0.5, -1.0, np.nan
    with pytest.raises(BuurtsaeError) as caught:
        ArcsineFayHerriot(data["y"], data[["x"]], data["n"])
    for told in ("1: -0.5", "2: -1", "covariate x is missing"):
        assert told in str(caught.value)
    with pytest.raises(BuurtsaeError, match="one row per area") as caught:
        ArcsineFayHerriot([0.1, 0.2], [[1.0]] * 2, [10.0])
    assert "effective_size" in str(caught.value)
    with pytest.raises(BuurtsaeError, match="one row per area"):
        LogFayHerriot([1.0, 2.0], [[1.0]] * 3, [1.0, 1.0])
    with pytest.raises(ModelError, match="back-transformation is unknown"):
        LogFayHerriot.from_formula("y ~ x", incomes(), "var").fit(back="bc_sm")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="back-transformation is unknown"):
        ArcsineFayHerriot.from_formula("y ~ x", shares(), "n").fit(back="bc")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="method of estimation is unknown"):
        LogFayHerriot.from_formula("y ~ x", incomes(), "var").fit("mle")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="a bootstrap needs replications"):
        ArcsineFayHerriot.from_formula("y ~ x", shares(), "n").fit(replications=1)
    with pytest.raises(ModelError, match="absent"):
        LogFayHerriot.from_formula("y ~ x", incomes(), "var").fit().predict(pd.DataFrame({"z": [1.0]}))


@dataclass(frozen=True)
class Made:
    """Estimates as a fit has them."""

    eblup: pd.Series
    mse: pd.Series


def estimates() -> tuple[Made, pd.Series]:
    areas = list("abcd")
    fit = Made(pd.Series([1.0, 2, 3, 4], areas), pd.Series([0.1, 0.4, 0.2, 0.3], areas))
    return fit, pd.Series([0.1, 0.2, 0.3, 0.4], areas)


def test_benchmarks_by_hand() -> None:
    fit, share = estimates()  # their sum: 0.1 + 0.4 + 0.9 + 1.6 = 3
    np.testing.assert_allclose(benchmark(fit, share, 3.3, "ratio").eblup, [1.1, 2.2, 3.3, 4.4])
    np.testing.assert_allclose(benchmark(fit, share, 3.3, "difference").eblup, [1.3, 2.3, 3.3, 4.3])
    found = benchmark(fit, share, 3.3)  # 0.01 + 0.08 + 0.06 + 0.12 = 0.27
    np.testing.assert_allclose(found.adjustment, np.array([0.1, 0.4, 0.2, 0.3]) * 0.3 / 0.27)
    np.testing.assert_allclose(found.mse, fit.mse + found.adjustment**2)
    np.testing.assert_allclose(found.gap, 0.3)
    assert "most in b" in repr(found)
    assert (found.table["original"] == fit.eblup).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_constraint_is_met_and_shares_are_joined_by_label(method: Any) -> None:
    data = incomes()
    fit = LogFayHerriot.from_formula("y ~ x", data, "var", "code").fit()
    share = pd.Series(np.arange(1.0, 41), index=data["code"])
    share /= share.sum()
    found = benchmark(fit, share, 3.7, method)
    assert abs(float(share @ found.eblup) - 3.7) < 1e-13  # rounding of a sum of 40
    turned = benchmark(fit, share.iloc[::-1], 3.7, method)
    pd.testing.assert_frame_equal(found.table, turned.table)
    assert (found.mse >= fit.mse).all()
    same = benchmark(fit, share, float(share @ fit.eblup), method)
    np.testing.assert_allclose(same.eblup, fit.eblup, rtol=1e-13)
    np.testing.assert_allclose(same.mse, fit.mse, rtol=1e-13)


def test_each_method_moves_least_by_its_own_distance() -> None:
    fit, share = estimates()
    per = {"ratio": fit.eblup, "difference": 1.0, "mse_adjusted": fit.mse}
    moved = {k: benchmark(fit, share, 3.3, k).adjustment for k in METHODS}  # type: ignore[arg-type]
    for k in METHODS:
        distance = {other: float((share * moved[other] ** 2 / per[k]).sum()) for other in METHODS}
        assert min(distance, key=distance.__getitem__) == k


@pytest.mark.slow
def test_the_mse_after_benchmarking_is_right_on_average() -> None:
    """What benchmarking to the direct estimate of the whole adds to squared errors: 400 data sets of 100 areas.

    Given y the error of an estimate is that from the best predictor on average, which has less noise than the truth.
    """
    rng, m, n = np.random.default_rng(6), 100, 400
    d, share = rng.uniform(0.5, 4.0, m), pd.Series(np.full(m, 1 / m))
    added = {k: np.zeros((n, 2)) for k in METHODS}
    for k in range(n):
        y = 5 + np.sqrt(1 + d) * rng.normal(size=m)
        best = 5 + (y - 5) / (1 + d)
        fit = FayHerriot(y, np.ones((m, 1)), d).fit("amrl_yl")
        for method in METHODS:
            found = benchmark(fit, share, float(share @ y), method)  # type: ignore[arg-type]
            squares = (found.eblup - best) ** 2 - (fit.eblup - best) ** 2
            added[method][k] = squares.mean(), (found.mse - fit.mse).mean()
    for method in METHODS:
        off = added[method][:, 0] - added[method][:, 1]
        se = off.std() / np.sqrt(n)
        assert abs(off.mean()) < 3 * se, method
        assert added[method][:, 1].mean() > 4 * se  # so that leaving it out would be seen


BAD_SHARES: dict[str, tuple[Any, str]] = {
    "not 1": (lambda s: 2 * s, "shares do not sum to 1\n  got 2"),
    "negative": (lambda s: pd.Series([-0.1, 0.4, 0.3, 0.4], s.index), "a: -0.1"),
    "missing": (lambda s: s.mask(s.index == "b"), "b: nan"),
    "absent": (lambda s: s.drop("c"), "areas have no share\n  got c"),
    "unknown": (lambda s: s.rename({"c": "z"}), "have no estimate\n  got z"),
    "twice": (lambda s: s.rename({"c": "a"}), "occur twice in the shares\n  got a"),
    "no labels": (lambda s: s.to_numpy(), "shares have no labels"),
}


@pytest.mark.parametrize("name", BAD_SHARES)
def test_shares_that_cannot_be_used(name: str) -> None:
    spoil, told = BAD_SHARES[name]
    fit, share = estimates()
    with pytest.raises(BuurtsaeError) as caught:
        benchmark(fit, spoil(share), 3.0)
    assert told in str(caught.value)
    assert "hint" in str(caught.value)


def test_estimates_and_figures_that_cannot_be_benchmarked() -> None:
    fit, share = estimates()
    lost = Made(fit.eblup.mask(fit.eblup == 2), fit.mse.mask(fit.mse == 0.2))
    with pytest.raises(BuurtsaeError) as caught:
        benchmark(lost, 2 * share, np.inf)
    for told in (
        "estimates are missing\n  got b: nan",
        "errors are missing or negative\n  got c: nan",
        "inf",
        "sum to 1",
    ):
        assert told in str(caught.value)
    with pytest.raises(ModelError, match="method of benchmarking is unknown"):
        benchmark(fit, share, 3.0, "raking")  # type: ignore[arg-type]
    centred = Made(fit.eblup - float(share @ fit.eblup), fit.mse)
    with pytest.raises(ModelError, match="cannot be benchmarked"):
        benchmark(Made(0 * fit.eblup, fit.mse), share, 1.0, "ratio")
    assert benchmark(centred, share, 1.0, "difference").eblup.notna().all()
    assert benchmark(Made(fit.eblup, fit.mse * np.nan), share, 1.0, "ratio").mse.isna().all()
