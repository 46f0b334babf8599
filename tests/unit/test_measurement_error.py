"""The Fay-Herriot model with measurement error: by hand, without error, by brute force, by simulation, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.classical.area import modified
from buurtsae.classical.area.components import estimate, gls
from buurtsae.classical.area.covariate_error import read_covariate_error
from buurtsae.classical.area.fay_herriot import FayHerriot
from buurtsae.classical.area.measurement_error import MeasurementErrorFayHerriot
from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.errors import BuurtsaeError, DataError, ModelError

CODES = pd.Index([f"BU{k:08}" for k in range(60)], name="code")


def made(m: int = 60, seed: int = 1, error: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    d, x, z = np.resize([0.3, 0.8, 1.5, 2.0], m), rng.normal(size=m), rng.normal(size=m)
    var = error * np.resize([0.05, 0.3, 0.6], m)
    y = 5 + 1.5 * x - z + np.sqrt(0.8) * rng.normal(size=m) + np.sqrt(d) * rng.normal(size=m)
    table = {"y": y, "d": d, "x": x + np.sqrt(var) * rng.normal(size=m), "z": z, "var": var}
    return pd.DataFrame(table, index=pd.Index([f"BU{k:08}" for k in range(m)], name="code"))


def model(data: pd.DataFrame, error: Any = None) -> MeasurementErrorFayHerriot:
    return MeasurementErrorFayHerriot.from_formula("y ~ x + z", data, "d", {"x": "var"} if error is None else error)


def arrays(data: pd.DataFrame) -> tuple[Any, Any, Any, Any]:
    x, c = np.column_stack([np.ones(len(data)), data["x"], data["z"]]), np.zeros((len(data), 3, 3))
    c[:, 1, 1] = data["var"]
    return data["y"].to_numpy(), x, c, data["d"].to_numpy()


def test_the_estimates_solve_ybarra_and_lohrs_equations() -> None:
    data = made()
    fit, (y, x, c, d) = model(data).fit(), arrays(data)
    assert fit.converged
    b, noise = fit.params.to_numpy(), fit.params["x"] ** 2 * data["var"].to_numpy()
    w = 1 / (fit.sigma2_v + noise + d)
    left = sum(w[i] * (np.outer(x[i], x[i]) - c[i]) for i in range(60))
    np.testing.assert_allclose(b, np.linalg.solve(left, x.T @ (w * y)), rtol=1e-8)
    np.testing.assert_allclose(fit.sigma2_v, ((y - x @ b) ** 2 - d - noise).sum() / 57, rtol=1e-10)
    gamma = (fit.sigma2_v + noise) / (fit.sigma2_v + noise + d)
    np.testing.assert_allclose(fit.gamma, gamma, rtol=1e-8)
    np.testing.assert_allclose(fit.eblup, gamma * y + (1 - gamma) * (x @ b), rtol=1e-8)
    np.testing.assert_allclose(fit.covariate_noise, noise)


def test_one_covariate_by_hand() -> None:
    """Equal variances, no intercept: beta = sum xy / sum (x^2 - c)."""
    y, x = np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0])
    fit = MeasurementErrorFayHerriot(y, x, np.full(4, 0.1), np.full((4, 1), 0.1)).fit()
    beta = 31 / (30 - 4 * 0.1)
    np.testing.assert_allclose(fit.params, [beta], rtol=1e-9)
    np.testing.assert_allclose(fit.sigma2_v, (((y - x * beta) ** 2).sum() - 0.4 - 0.4 * beta**2) / 3, rtol=1e-9)


def test_without_error_it_is_the_ordinary_model_by_unweighted_moments() -> None:
    """Least squares with weights 1 / (sigma2_v + D), sigma2_v = sum (r^2 - D) / (m - p): Fay and Herriot weigh r^2."""
    data = made()
    zero = np.zeros((60, 3, 3))
    y, x, _, d = arrays(data)
    fit = model(data, zero).fit()
    np.testing.assert_allclose(fit.params, gls(fit.sigma2_v, y, x, d).beta, rtol=1e-8)
    np.testing.assert_allclose(fit.sigma2_v, ((y - x @ fit.params) ** 2 - d).sum() / 57, rtol=1e-9)
    np.testing.assert_allclose(fit.eblup, data["y"] - d * gls(fit.sigma2_v, y, x, d).py, rtol=1e-8)
    # equal D: the moments of Fay and Herriot are sum r^2 / (m - p) - D, these p D / (m - p) lower
    even = data.assign(d=0.5)
    found = estimate(y, x, np.full(60, 0.5), "fh").sigma2_v
    np.testing.assert_allclose(model(even, zero).fit().sigma2_v, found - 3 * 0.5 / 57, rtol=1e-9)
    np.testing.assert_allclose(
        model(even, zero).fit().params, FayHerriot.from_formula("y ~ x + z", even, "d").fit("fh").params, rtol=1e-9
    )


def brute(data: pd.DataFrame) -> tuple[Any, float, Any]:
    """Return J, B and the MSE of Jiang, Lahiri and Wan, refitting without every area."""
    y, x, c, d = arrays(data)
    m = len(y)

    def predicted(at: modified.Modified) -> tuple[Any, Any]:
        a = at.sigma2_v + modified.noise(at.beta, c)
        return a * d / (a + d), (a * y + d * (x @ at.beta)) / (a + d)

    at = modified.estimate(y, x, c, d)
    (g1, theta), rows, change, squares = predicted(at), [], np.zeros(m), np.zeros(m)
    for k in range(m):
        keep = np.arange(m) != k
        one = modified.estimate(y[keep], x[keep], c[keep], d[keep])
        rows.append([*(one.beta - at.beta), one.moment - at.moment])
        lead, moved = predicted(one)
        change += (m - 1) / m * (lead - g1)
        squares += (m - 1) / m * (moved - theta) ** 2
    j = (m - 1) / m * np.array(rows).T @ np.array(rows)
    return j, (m - 1) / m * float(np.sum(rows, axis=0)[-1]), g1 - change + squares


def test_the_jackknife_at_fixed_weights_is_near_that_of_refits() -> None:
    """What the weights change is of lower order: of 200 areas an area has a share of the order of p / m = 1.5%."""
    data = made(200)
    fit, (j, b, mse) = model(data).fit(), brute(data)
    size = np.sqrt(np.outer(np.diag(j), np.diag(j)))
    assert np.abs((fit.jackknife.cov - j) / size).max() < 0.1  # variances are of order 1/m: what differs, of m^-3/2
    np.testing.assert_allclose(fit.jackknife.bias, b, rtol=0.05)
    np.testing.assert_allclose(fit.mse.mean(), mse.mean(), rtol=0.01)
    # per area Jiang, Lahiri and Wan take the square of a residual, chi2(1), where g3 has its expectation
    terms = fit.mse_terms
    assert np.abs(fit.mse - mse).max() < 10 * terms.g3.max()


def test_the_jackknife_is_exact_where_weights_are_equal() -> None:
    """Equal D and C: weights cancel, and leaving out by downdates is refitting, to rounding."""
    data = made().assign(d=0.8, var=0.3)
    fit, (j, b, _) = model(data).fit(), brute(data)
    np.testing.assert_allclose(fit.jackknife.cov, j, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(fit.jackknife.bias, b, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:sigma2_v is estimated at zero")  # a few of the sets
def test_beta_is_not_drawn_to_zero_and_the_mse_is_honest_where_errors_are_large() -> None:
    """250 sets of 200 areas, in a tenth of which the covariate has three times the variance in error."""
    m, n, rng = 200, 250, np.random.default_rng(7)
    truth = np.column_stack([np.ones(m), rng.normal(size=m)])
    d, c = np.resize([0.5, 1.0, 1.5], m), np.where(np.arange(m) % 10 == 0, 3.0, 0.1)
    hidden = np.arange(m) % 16 < 2
    betas, squared, told = np.zeros((n, 2)), np.zeros((2, m)), np.zeros((2, m))
    for k in range(n):
        theta = truth @ [5.0, 1.5] + np.sqrt(0.5) * rng.normal(size=m)
        x = truth + np.sqrt(c)[:, None] * rng.normal(size=(m, 2)) * [0, 1]
        y = np.where(hidden, np.nan, theta + np.sqrt(d) * rng.normal(size=m))
        fits = MeasurementErrorFayHerriot(y, x, d, {"x1": c}).fit(), FayHerriot(y, x, d).fit("fh")
        for j, fit in enumerate(fits):
            betas[k, j] = fit.params.iloc[1]
            squared[j] += (fit.eblup.to_numpy() - theta) ** 2 / n
            told[j] += fit.mse.to_numpy() / n
    # sd of beta is about 0.13, over 250 sets 0.008, with a bias of the order of it squared; least squares has
    # 1.5 / (1 + 0.39) = 1.08
    assert abs(betas[:, 0].mean() - 1.5) < 0.035
    assert betas[:, 1].mean() < 1.2
    ratio = {
        (j, s, e): told[j][q].mean() / squared[j][q].mean()
        for j in (0, 1)
        for s, seen in (("seen", ~hidden), ("hidden", hidden))
        for e, large in (("large", c > 0.5), ("small", c < 0.5))
        for q in [seen & large]
    }
    # 250 sets x 17, 158, 3 and 22 areas of squares with coefficient of variation 1.5: 2.3%, 0.8%, 5.5% and 2.0%;
    # three of these, and 2% for the next order in p / m
    for key, most in {("seen", "large"): 0.09, ("seen", "small"): 0.044, ("hidden", "small"): 0.08}.items():
        assert abs(ratio[(0, *key)] - 1) < most, (key, ratio)
    assert abs(ratio[0, "hidden", "large"] - 1) < 0.185
    # where the covariate is bad the naive estimate leans on it: it tells half of its MSE, and it is worse than no model
    assert ratio[1, "seen", "large"] < 0.7
    assert ratio[1, "hidden", "large"] < 0.5
    large = ~hidden & (c > 0.5)
    assert squared[0][large].mean() < d[large].mean() < squared[1][large].mean()
    assert squared[0][~hidden].mean() < squared[1][~hidden].mean()


def test_areas_without_a_sample_are_predicted() -> None:
    data = made()
    data.loc[data.index[[3, 7]], ["y", "d"]] = np.nan
    fit, alone = model(data).fit(), model(data.drop(index=data.index[[3, 7]])).fit()
    pd.testing.assert_series_equal(fit.eblup[alone.eblup.index], alone.eblup)
    pd.testing.assert_series_equal(fit.mse[alone.mse.index], alone.mse)
    other = alone.predict(data.iloc[[3, 7]], {"x": "var"})
    np.testing.assert_allclose(fit.eblup.iloc[[3, 7]], other["eblup"], rtol=1e-12)
    np.testing.assert_allclose(fit.mse.iloc[[3, 7]], other["mse"], rtol=1e-12)
    assert (fit.gamma.iloc[[3, 7]] == 0).all()
    more = alone.predict(data.iloc[[3, 7]], {"x": data["var"].iloc[[3, 7]] + 1})
    # the error adds beta' C beta, less the tr(C J) by which that is overestimated
    added = fit.params["x"] ** 2 - alone.cov_params().loc["x", "x"]
    np.testing.assert_allclose(more["mse"] - other["mse"], added, rtol=1e-9)
    with pytest.raises(ModelError, match="errors of the covariates are not given"):
        alone.predict(data.iloc[[3, 7]])


def test_a_covariate_that_is_all_noise_is_kept_out_by_name() -> None:
    data = made(error=10.0).assign(x=np.random.default_rng(3).normal(size=60))
    with pytest.warns(BoundaryWarning, match="vary no more than their errors: x;"):
        fit = model(data).fit()
    assert fit.drowned == ("x",)
    assert abs(fit.params["x"]) < 1e-10  # the error is in x alone: so is what is lost
    np.testing.assert_allclose(
        fit.params.drop("x"), FayHerriot.from_formula("y ~ z", data, "d").fit().params, rtol=0.05
    )
    assert "vary no more" in str(fit.summary())
    assert np.isfinite(fit.mse).all()


def test_sigma2_v_at_zero_leaves_the_weight_of_the_covariates_errors() -> None:
    data = made().assign(d=9.0)
    with pytest.warns(BoundaryWarning, match="weighed against the errors"):
        fit = model(data).fit()
    assert fit.sigma2_v == 0
    assert (fit.gamma > 0).all()


def test_errors_are_joined_by_area_and_named_by_covariate() -> None:
    data = made()
    y, x, c, d = arrays(data)
    names, areas = ["Intercept", "x", "z"], data.index
    shuffled = data.sample(frac=1, random_state=1)
    for given in (
        c,
        np.einsum("ipp->ip", c),
        {"x": data["var"].to_numpy()},
        {"x": shuffled["var"]},
        shuffled[["var"]].set_axis(["x"], axis=1),
        {"x": shuffled["var"], "z": 0.0},
    ):
        np.testing.assert_array_equal(read_covariate_error(given, names, areas), c)
    fit = MeasurementErrorFayHerriot(y, pd.DataFrame(x, columns=names), d, {"x": data["var"]}, areas).fit()
    np.testing.assert_allclose(fit.eblup, model(data).fit().eblup, rtol=1e-10)


def test_correlated_errors_count() -> None:
    data = made(200)
    y, x, c, d = arrays(data)
    c[:, 2, 2], c[:, 1, 2], c[:, 2, 1] = 0.2, 0.15 * c[:, 1, 1], 0.15 * c[:, 1, 1]
    fit = MeasurementErrorFayHerriot(y, x, d, c).fit()
    w = fit.solution.weight
    left = np.einsum("i,ip,iq->pq", w, x, x) - np.einsum("i,ipq->pq", w, c)
    np.testing.assert_allclose(fit.params, np.linalg.solve(left, x.T @ (w * y)), rtol=1e-8)


def test_the_bootstrap_agrees_with_the_jackknife() -> None:
    data = made(100)
    data.iloc[0, 0] = np.nan
    fit = model(data).fit()
    found = fit.bootstrap_mse(300, seed=1)
    # 300 squares in 99 areas, coefficient of variation 1.5: 0.9%, three of these, and 2% for the jackknife's own error
    # and what the measured covariates vary too much (g2 is 5% of the MSE, the noise 20% of the variance: 1%)
    np.testing.assert_allclose(found["corrected"][1:].mean(), fit.mse[1:].mean(), rtol=0.05)
    pd.testing.assert_frame_equal(fit.bootstrap_mse(5, seed=1), fit.bootstrap_mse(5, seed=1))


def test_the_summary_has_the_figures_and_no_likelihood() -> None:
    fit = model(made()).fit()
    text = str(fit.summary())
    for shown in ("Measurement-Error Fay-Herriot", "MOMENTS", f"{fit.sigma2_v:.6g}", "Intercept"):
        assert shown in text
    assert "Likelihood" not in text
    assert np.isnan(fit.bic)
    assert fit.table.shape == (60, 8)


def test_a_fit_that_does_not_converge_says_so_with_its_trace() -> None:
    with pytest.warns(NotConvergedWarning, match="did not converge"):
        fit = model(made()).fit(maxiter=2)
    assert not fit.converged


def spoilt(at: int, value: Any) -> Any:
    c = np.tile(np.diag([0.0, 0.3, 0.1]), (60, 1, 1))
    c[at] = value
    return c


BAD: dict[str, tuple[Any, str]] = {
    "another shape": (np.zeros((60, 2)), "another shape"),
    "other areas": (np.zeros((59, 3, 3)), "(60, 3, 3)"),
    "not semi-definite": (spoilt(4, [[0, 0, 0], [0, 1, 2], [0, 2, 1]]), "BU00000004: smallest eigenvalue -1"),
    "a negative variance": (spoilt(5, np.diag([0, -0.2, 0])), "BU00000005: smallest eigenvalue -0.2"),
    "not symmetric": (spoilt(6, [[0, 0, 0], [0, 1, 0.5], [0, 0, 1]]), "not symmetric\n  got BU00000006"),
    "missing": (spoilt(7, np.nan), "errors are missing\n  got BU00000007"),
    "an unknown covariate": ({"w": 0.1}, "not in the model\n  got w"),
    "no column": ({"x": "variance"}, "the column of the error of x is absent\n  got variance"),
    "a column too short": ({"x": np.ones(4)}, "errors of x have another shape"),
    "an area too many": ({"x": pd.Series(0.1, [*CODES, "BU99999999"])}, "BU99999999"),
    "an area too few": ({"x": pd.Series(0.1, CODES[1:])}, "errors are missing\n  got BU00000000"),
}


@pytest.mark.parametrize("name", BAD)
def test_covariate_errors_that_cannot_be_used(name: str) -> None:
    given, told = BAD[name]
    with pytest.raises(BuurtsaeError) as caught:
        MeasurementErrorFayHerriot.from_formula("y ~ x + z", made(), "d", given)
    assert told in str(caught.value)
    assert "hint" in str(caught.value)


def test_bad_tables_are_refused_as_by_the_ordinary_model() -> None:
    data = made()
    data.iloc[1, 2], data.iloc[2, 1] = np.nan, -1.0
    with pytest.raises(BuurtsaeError) as caught:
        model(data)
    assert "covariate x is missing" in str(caught.value)
    assert "BU00000002: -1" in str(caught.value)
    with pytest.raises(ModelError, match="too few areas to leave one out"):
        model(made(4))
    with pytest.raises(DataError, match="column of the error of x0 is absent"):
        MeasurementErrorFayHerriot([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0] * 3, {"x0": "var"})
