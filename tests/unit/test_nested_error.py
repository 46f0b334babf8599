"""The nested error model: against matrices of the whole, at the edges, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import statsmodels.api as sm

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.unit.nested_error import NestedError
from buurtsae.errors import BuurtsaeError, ModelError
from buurtsae.sparse import Floats

CLOSE = {"rtol": 1e-9, "atol": 1e-12}  # inverses of 60 x 60 matrices in double precision
SIZES = np.array([1, 3, 8, 2, 5, 12, 4, 9, 6, 10])


def units(seed: int = 1, sd: float = 1.0, sizes: Floats = SIZES) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    area = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=len(area)) + rng.normal(size=len(sizes))[area]
    y = 2 + 0.5 * x + rng.normal(0, sd, len(sizes))[area] + rng.normal(0, 1.5, len(area))
    return pd.DataFrame({"y": y, "x": x, "code": [f"BU{a:02}" for a in area]})


def population(more: int = 2, size: float = 40.0) -> pd.DataFrame:
    codes = [f"BU{a:02}" for a in range(len(SIZES) + more)]
    x = np.random.default_rng(2).normal(size=len(codes))
    return pd.DataFrame({"x": x, "N": size + 5 * np.arange(len(codes))}, index=codes)


def model(frame: pd.DataFrame, finite: bool = True) -> NestedError:
    means = population()
    return NestedError.from_formula("y ~ x", frame, "code", means, means["N"] if finite else None)


def dense(frame: pd.DataFrame, v: float, e: float, finite: bool) -> dict[str, Floats]:
    """EBLUPs and terms of the MSE by n x n matrices (Rao and Molina, section 7.2)."""
    means = population()
    y, x = frame["y"].to_numpy(), np.column_stack([np.ones(len(frame)), frame["x"]])
    z = (frame["code"].to_numpy()[:, None] == means.index.to_numpy()).astype(float)
    inverse = np.linalg.inv(v * z @ z.T + e * np.eye(len(y)))
    q = np.linalg.inv(x.T @ inverse @ x)
    beta = q @ x.T @ inverse @ y
    effect = v * z.T @ inverse @ (y - x @ beta)
    parts = [inverse @ z @ z.T, inverse]
    info = np.array([[np.trace(a @ b) / 2 for b in parts] for a in parts])
    n = z.sum(axis=0)
    f = n / means["N"].to_numpy() if finite else np.zeros(len(n))
    total = np.column_stack([np.ones(len(means)), means["x"]])
    seen = z.T @ np.column_stack([y, x]) / np.maximum(n, 1)[:, None]
    rest = (total - f[:, None] * seen[:, 1:]) / (1 - f)[:, None]
    eblup = f * seen[:, 0] + (1 - f) * (rest @ beta + effect)
    to = v * z.T @ inverse  # weights of the units in the effects
    lean = rest - to @ x
    moves = [z.T @ inverse - to @ z @ z.T @ inverse, -to @ inverse]
    covariance = np.linalg.inv(info)
    g3 = sum(
        covariance[i, j] * np.einsum("dn,nk,dk->d", moves[i], np.linalg.inv(inverse), moves[j])
        for i in range(2)
        for j in range(2)
    )
    bias = -covariance @ [np.trace(q @ x.T @ inverse @ a @ x) / 2 for a in (z @ z.T @ inverse, inverse)]
    slopes = [  # of g1 = v - to z v
        1 - 2 * np.einsum("dn,nd->d", to, z) + np.einsum("dn,nk,dk->d", to, z @ z.T, to),
        np.einsum("dn,dn->d", to, to),
    ]
    return {
        "beta": beta,
        "bse": np.sqrt(np.diag(q)),
        "eblup": eblup,
        "g1": v - v * np.einsum("dn,nd->d", to, z),
        "g2": np.einsum("di,ij,dj->d", lean, q, lean),
        "g3": g3,
        "noise": (1 - f) * e / means["N"].to_numpy() if finite else np.zeros(len(n)),
        "f": f,
        "correction": -(bias[0] * slopes[0] + bias[1] * slopes[1]),
    }


@pytest.mark.parametrize("finite", [True, False])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_matrices_of_the_whole_give_the_same(method: Any, finite: bool) -> None:
    fit = model(units(), finite).fit(method)
    expected, found = dense(units(), fit.sigma2_v, fit.sigma2_e, finite), fit.predict()
    assert fit.sigma2_v > 0
    np.testing.assert_allclose(fit.params, expected["beta"], **CLOSE)
    np.testing.assert_allclose(fit.bse, expected["bse"], **CLOSE)
    for name in ("eblup", "g1", "g2", "g3"):
        np.testing.assert_allclose(found[name], expected[name], err_msg=name, **CLOSE)
    terms = expected["g1"] + expected["g2"] + 2 * expected["g3"]
    if method == "ml":
        terms = terms + expected["correction"]
    np.testing.assert_allclose(found["mse"], (1 - expected["f"]) ** 2 * terms + expected["noise"], **CLOSE)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_likelihood_is_that_of_the_normal_distribution(method: Any) -> None:
    frame, fit = units(), model(units()).fit(method)
    z = pd.get_dummies(frame["code"]).to_numpy(float)
    v = fit.sigma2_v * z @ z.T + fit.sigma2_e * np.eye(len(frame))
    x = np.column_stack([np.ones(len(frame)), frame["x"]])
    full = st.multivariate_normal(x @ fit.params, v).logpdf(frame["y"])
    np.testing.assert_allclose(fit.aic, 2 * 4 - 2 * full, rtol=1e-10)
    np.testing.assert_allclose(fit.bic, 4 * np.log(len(frame)) - 2 * full, rtol=1e-10)
    restricted = full + np.log(2 * np.pi) - np.linalg.slogdet(x.T @ np.linalg.solve(v, x))[1] / 2
    np.testing.assert_allclose(fit.llf, full, rtol=1e-10)
    if method == "reml":
        np.testing.assert_allclose(fit.llf_restricted, restricted, rtol=1e-10)


def test_areas_outside_the_sample_are_synthetic() -> None:
    found, fit = model(units()).fit().predict(), model(units()).fit()
    new = found[found["n"] == 0]
    assert new.index.tolist() == ["BU10", "BU11"]
    np.testing.assert_allclose(new["eblup"], new["synthetic"], rtol=1e-12)
    np.testing.assert_allclose(new["g1"], fit.sigma2_v, rtol=1e-12)
    assert (new[["gamma", "g3"]] == 0).all(axis=None)


def test_rows_codes_and_scales_do_not_matter() -> None:
    fit = model(units()).fit()
    mixed = units().sample(frac=1, random_state=3)
    np.testing.assert_allclose(model(mixed).fit().eblup, fit.eblup, rtol=1e-10)
    frame, means = units().assign(x=lambda t: 1e6 * t["x"] + 1e8), population()
    large = NestedError.from_formula("y ~ x", frame, "code", means.assign(x=1e6 * means["x"] + 1e8), means["N"]).fit()
    # an intercept beside 1e8 with a spread of 1e6 costs two of sixteen digits, twice
    np.testing.assert_allclose(large.eblup, fit.eblup, rtol=1e-9)
    np.testing.assert_allclose(large.mse, fit.mse, rtol=1e-7)


def test_arrays_give_what_a_formula_gives() -> None:
    frame, fit = units(), model(units()).fit()
    x = np.column_stack([np.ones(len(frame)), frame["x"]])
    means = population().assign(x0=1.0, x1=lambda t: t["x"])
    other = NestedError(frame["y"].to_numpy(), x, frame["code"].to_numpy(), means, means["N"]).fit()
    assert other.params.index.tolist() == ["x0", "x1"]
    np.testing.assert_allclose(other.eblup, fit.eblup, rtol=1e-12)


def test_an_area_that_was_seen_whole_is_known() -> None:
    frame, means = units(), population()
    means.loc["BU05", ["x", "N"]] = [frame.loc[frame["code"] == "BU05", "x"].mean(), 12.0]
    found = NestedError.from_formula("y ~ x", frame, "code", means, means["N"]).fit()
    assert found.eblup["BU05"] == pytest.approx(frame.loc[frame["code"] == "BU05", "y"].mean(), rel=1e-12)
    assert found.mse["BU05"] == 0
    assert found.bootstrap_mse(20, seed=1)["naive"]["BU05"] == pytest.approx(0, abs=1e-20)


def test_very_large_populations_are_infinite_ones() -> None:
    fit, means = model(units(), finite=False).fit(), population(size=1e9)
    np.testing.assert_allclose(fit.predict(means, means["N"])["mse"], fit.mse, rtol=1e-7)
    np.testing.assert_allclose(fit.predict(means, means["N"])["eblup"], fit.eblup, rtol=1e-7)


def test_no_effect_of_areas_is_said_and_not_hidden() -> None:
    frame = units(sd=0.0)
    centred = frame["y"] - frame.groupby("code")["y"].transform("mean") + 2  # means that differ less than by chance
    with pytest.warns(BoundaryWarning, match="estimated at zero by reml"):
        fit = model(frame.assign(y=centred)).fit()
    assert fit.converged
    assert fit.at_boundary
    assert fit.sigma2_v == 0
    assert "sigma2_v is estimated at zero" in str(fit.summary())
    np.testing.assert_allclose(fit.eblup[-2:], fit.predict()["synthetic"][-2:], rtol=1e-12)
    assert (fit.mse > 0).all()
    assert fit.standardised_effects.isna().all()
    assert fit.test_area_effect("lr").pvalue == 1.0


def test_no_convergence_is_a_warning_with_the_trace() -> None:
    with pytest.warns(NotConvergedWarning, match=r"did not converge in \d+ iterations; last steps: ratio .*derivative"):
        fit = model(units()).fit(maxiter=1)
    assert not fit.converged
    assert fit.sigma2_v > 0
    assert not fit.at_boundary
    assert len(fit.trace) >= 2
    assert "NO" in str(fit.summary())


def test_standardised_residuals_add_up_to_the_degrees_of_freedom() -> None:
    fit = model(units()).fit()
    np.testing.assert_allclose(fit.residuals @ fit.residuals, len(fit.residuals) - 2, rtol=1e-10)
    assert (fit.normality()["pvalue"] > 0.001).all()  # made normal


def test_the_f_test_is_that_of_dummies() -> None:
    frame = units()
    small = sm.OLS.from_formula("y ~ x", frame).fit()
    f, p, _ = sm.OLS.from_formula("y ~ x + code", frame).fit().compare_f_test(small)
    test = model(frame).fit().test_area_effect("f")
    np.testing.assert_allclose([test.statistic, test.pvalue], [f, p], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:sigma2_v is estimated at zero")  # in half of the sets, as it should
def test_tests_of_no_area_effect_have_their_level() -> None:
    p = np.array([
        [fit.test_area_effect(kind).pvalue for kind in ("f", "lr")]
        for fit in (NestedError.from_formula("y ~ x", units(seed, sd=0.0), "code").fit() for seed in range(300))
    ])  # fmt: skip
    # 300 p-values: below 0.1 are 30 +- 5.2 of an exact test; the likelihood ratio is conservative
    assert abs((p[:, 0] < 0.1).sum() - 30) < 3 * 5.2
    assert 5 <= (p[:, 1] < 0.1).sum() < 30 + 3 * 5.2


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_bootstrap_and_analytic_mse_agree(method: Any) -> None:
    sizes = np.tile([3, 5, 8, 12], 20)
    frame = units(5, sd=0.8, sizes=sizes)
    means = pd.DataFrame({"x": 0.5, "N": 60.0}, index=[f"BU{a:02}" for a in range(85)])
    fit = NestedError.from_formula("y ~ x", frame, "code", means, means["N"]).fit(method)
    found = fit.bootstrap_mse(800, seed=3)
    # Monte Carlo error of a mean over 85 areas of 800 replicates: sqrt(2 / 68,000) = 0.5%, more as areas share b; the
    # bootstrap counts g3 once, the analytic MSE twice against the bias of g1: a few percent at 80 areas
    np.testing.assert_allclose(found["naive"].mean(), fit.mse.mean(), rtol=0.06)
    assert found.equals(fit.bootstrap_mse(800, seed=3))


def test_summary_and_coefficients() -> None:
    fit = model(units()).fit()
    text = str(fit.summary())
    assert "1 to 12" in text
    assert all(word in text for word in ("Intercept", "std err", "P>|z|", "sigma2_v", "no area effect: p ="))
    interval = fit.conf_int(0.1)
    np.testing.assert_allclose((interval[1] - interval[0]) / fit.bse, 2 * st.norm.ppf(0.95), rtol=1e-12)
    np.testing.assert_allclose(fit.pvalues, 2 * st.norm.sf(np.abs(fit.params / fit.bse)), rtol=1e-12)


def test_no_population_means_no_eblup() -> None:
    fit = NestedError.from_formula("y ~ x", units(), "code").fit()
    with pytest.raises(ModelError, match="no population means"):
        _ = fit.eblup
    assert fit.predict(population())["eblup"].notna().all()


def gap(frame: pd.DataFrame, column: str, rows: int) -> pd.DataFrame:
    out = frame.copy()
    out.loc[: rows - 1, column] = np.nan
    return out


Spoil = Callable[[], object]
BAD: dict[str, tuple[Spoil, list[str]]] = {
    "x missing": (lambda: model(gap(units(), "x", 3)), ["covariate x is missing in 3 units", "got 0, 1, 2"]),
    "y missing": (lambda: model(gap(units(), "y", 4)), ["y is missing in 4 of 60 units"]),
    "area missing": (lambda: model(units().assign(code=[None, *units()["code"][1:]])), ["1 units have no area"]),
    "both missing": (lambda: model(gap(gap(units(), "x", 1), "y", 1)), ["covariate x", "y is missing"]),
    "collinear": (
        lambda: NestedError.from_formula(
            "y ~ x + z + u", units().assign(z=lambda t: 2 * t["x"] - 1, u=units(9)["x"]), "code"
        ),
        ["linear combinations of others", "got Intercept, x, z;"],
    ),
    "constant": (
        lambda: NestedError.from_formula("y ~ x + z", units().assign(z=0.0), "code"),
        ["linear combinations of others", "got z;"],
    ),
    "few units": (lambda: NestedError.from_formula("y ~ x", units()[:2], "code"), ["too few units", "2 units, 2 cov"]),
    "no covariates": (lambda: NestedError.from_formula("y ~ 0", units(), "code"), ["there are no covariates"]),
    "one unit each": (
        lambda: NestedError.from_formula("y ~ 1", units().drop_duplicates("code"), "code"),
        ["cannot be told apart", "one unit in every area"],
    ),
    "no variation": (
        lambda: NestedError.from_formula("y ~ 1", units().assign(y=lambda t: t["code"].str[2:].astype(float)), "code"),
        ["cannot be told apart", "do not vary within areas"],
    ),
    "lengths": (lambda: NestedError([1.0, 2], np.ones((3, 1)), ["a", "b"]), ["disagree in number", "y 2, x 3, area 2"]),
    "absent column": (
        lambda: NestedError.from_formula("y ~ q", units(), "code"),
        ["columns of the formula are absent"],
    ),
    "absent area": (lambda: NestedError.from_formula("y ~ x", units(), "buurt"), ["column of areas is absent"]),
    "no response": (lambda: NestedError.from_formula("x", units(), "code"), ["formula has other parts"]),
    "two parts": (lambda: NestedError.from_formula("y ~ x | x", units(), "code"), ["formula has other parts"]),
    "unreadable": (lambda: NestedError.from_formula("y ~ x +* 2", units(), "code"), ["formula cannot be read"]),
    "method": (lambda: model(units()).fit("mcmc"), ["method of estimation is unknown"]),
    "ratio": (lambda: model(units()).fit(ratio=-1.0), ["ratio of the variances is impossible"]),
    "replicates": (lambda: model(units()).fit().bootstrap_mse(1), ["a bootstrap needs replications", "got 1"]),
    "fixed": (lambda: model(units()).fit(ratio=0.5).bootstrap_mse(), ["nothing to bootstrap", "fixed ratio"]),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_refused(what: str) -> None:
    make, says = BAD[what]
    with pytest.raises(BuurtsaeError) as caught:
        make()
    for part in says:
        assert part in str(caught.value)


def means_of(change: Callable[[pd.DataFrame], pd.DataFrame]) -> NestedError:
    means = change(population())
    return NestedError.from_formula("y ~ x", units(), "code", means, means.get("N"))


POPULATION: dict[str, tuple[Spoil, list[str]]] = {
    "areas absent": (lambda: means_of(lambda t: t.drop(index=["BU03", "BU04"])), ["no population means", "BU03, BU04"]),
    "column absent": (lambda: means_of(lambda t: t.drop(columns="x")), ["population means lack covariates", "got x;"]),
    "mean missing": (
        lambda: means_of(lambda t: gap(t.reset_index(), "x", 1).set_index("index")),
        ["mean of x", "BU00"],
    ),
    "twice": (lambda: means_of(lambda t: pd.concat([t, t[:1]])), ["stand twice in `means`", "BU00"]),
    "size missing": (lambda: means_of(lambda t: t.assign(N=t["N"].where(t["N"] > 41))), ["size is missing", "BU00"]),
    "size small": (lambda: means_of(lambda t: t.assign(N=11.0)), ["smaller than the sample", "BU05: 11 < 12"]),
    "size zero": (
        lambda: means_of(lambda t: t.assign(N=[40.0] * 11 + [0])),
        ["smaller than the sample", "BU11: 0 < 0"],
    ),
    "sizes of others": (
        lambda: NestedError.from_formula("y ~ x", units(), "code", population(0), population(1)["N"]),
        ["sizes are of unknown areas", "BU10"],
    ),
    "sizes alone": (
        lambda: NestedError.from_formula("y ~ x", units(), "code", sizes=population()["N"]),
        ["population sizes without means"],
    ),
    "in predict": (lambda: model(units()).fit().predict(population().drop(columns="x")), ["lack covariates"]),
}


@pytest.mark.parametrize("what", POPULATION)
def test_populations_that_are_refused(what: str) -> None:
    make, says = POPULATION[what]
    with pytest.raises(BuurtsaeError) as caught:
        make()
    for part in says:
        assert part in str(caught.value)
