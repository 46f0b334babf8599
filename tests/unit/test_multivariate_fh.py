"""The multivariate Fay-Herriot model: missing measures, families of covariances, the edges, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.classical.columns import BoundaryWarning, NotConvergedWarning
from buurtsae.classical.multivariate.covariances import STRUCTURES
from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
from buurtsae.errors import BuurtsaeError
from buurtsae.sparse import Floats

SIGMA = np.array([[0.5, 0.2, 0.1], [0.2, 0.4, -0.1], [0.1, -0.1, 0.3]])
MEASURES = ["a", "b", "c"]


def made(sigma: Floats = SIGMA, m: int = 120, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame, Floats]:
    """Direct estimates, covariates and sampling covariances of m areas."""
    rng, width = np.random.default_rng(seed), len(sigma)
    x = pd.DataFrame({"one": 1.0, "x": rng.normal(size=m)}, index=[f"BU{d:03}" for d in range(m)])
    root = 0.3 * rng.normal(size=(m, width, width))
    v = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(width)
    values, axes = np.linalg.eigh(sigma)
    effects = rng.normal(size=(m, width)) @ (axes * np.sqrt(np.maximum(values, 0))).T
    errors = np.einsum("dij,dj->di", np.linalg.cholesky(v), rng.normal(size=(m, width)))
    y = x.to_numpy() @ np.array([[2.0, 3, 4], [0.5, -0.5, 0.2]])[:, :width] + effects + errors
    return pd.DataFrame(y, x.index, MEASURES[:width]), x, v


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_maximum_is_one(structure: Any, method: Any) -> None:
    y, x, v = made()
    fit = MultivariateFayHerriot(y, x, v).fit(method, structure)
    assert fit.converged
    assert not fit.at_boundary
    family, free = fit.family, fit.maximum.free
    from buurtsae.classical.multivariate.likelihood import at

    for move in 1e-3 * np.vstack([np.eye(len(free)), -np.eye(len(free))]):
        assert at(fit.model.blocks, family.matrix(free + move), method == "reml").llf < fit.maximum.here.llf
    assert fit.maximum.here.llf == pytest.approx(fit.llf_restricted if method == "reml" else fit.llf)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_slopes_are_derivatives(structure: str) -> None:
    family = STRUCTURES[structure](3)
    free = family.start(np.array([0.5, 0.4, 0.3])) + 0.1
    step = 1e-6
    found = [(family.matrix(free + m) - family.matrix(free - m)) / (2 * step) for m in step * np.eye(len(free))]
    np.testing.assert_allclose(family.slopes(free), found, atol=1e-9)  # central differences: step^2
    values, slopes = family.natural(free)
    assert len(values) == len(slopes) == len(family.names(MEASURES))
    # the free parameters move Sigma within what the natural ones span
    span = slopes.reshape(len(values), -1).T
    rest = family.slopes(free).reshape(len(values), -1).T
    np.testing.assert_allclose(span @ np.linalg.lstsq(span, rest, rcond=None)[0], rest, atol=1e-12)


def test_the_truth_is_recovered() -> None:
    y, x, v = made(m=3000, seed=4)
    fit = MultivariateFayHerriot(y, x, v).fit()
    error = fit.components
    lower = np.tril_indices(3)
    z = (error["estimate"].to_numpy() - SIGMA[lower]) / error["std_error"].to_numpy()
    assert (np.abs(z) < 3.5).all()  # six estimates, standard normal
    assert (np.abs((fit.params - [2, 0.5, 3, -0.5, 4, 0.2]) / fit.bse) < 3.5).all()


def test_an_autoregressive_covariance_is_recovered() -> None:
    lag = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    y, x, v = made(0.4 * 0.6**lag / (1 - 0.36), m=3000, seed=5)
    found = MultivariateFayHerriot(y, x, v).fit(structure="ar1").components
    assert (np.abs(found["estimate"] - [0.4, 0.6]) < 3.5 * found["std_error"]).all()


def test_measures_that_are_missing_borrow_from_those_that_are_not() -> None:
    y, x, v = made()
    y.iloc[:10, 0] = np.nan
    y.iloc[10:13] = np.nan
    v[:10, 0] = v[:10, :, 0] = v[10:13] = np.nan  # not used
    fit = MultivariateFayHerriot(y, x, v).fit()
    assert fit.nobs == 3 * 120 - 10 - 9
    assert fit.eblup.notna().all(axis=None)
    variance = np.diag(fit.sigma_v)
    assert (fit.mse.iloc[:10, 0] < variance[0]).all()  # the others tell something
    np.testing.assert_allclose(fit.eblup.iloc[10:13], fit.synthetic.iloc[10:13], rtol=1e-12)
    assert (fit.mse.iloc[10:13] > variance).all(axis=None)  # nothing does: Sigma and what b adds
    assert (fit.gamma.iloc[10:13] == 0).all(axis=None)
    assert np.isnan(fit.residuals.iloc[0, 0])
    again = MultivariateFayHerriot(y.fillna(np.nan)[::-1], x[::-1], v[::-1]).fit()
    np.testing.assert_allclose(again.eblup[::-1], fit.eblup, rtol=1e-8)


def test_measures_apart_are_models_apart() -> None:
    y, x, v = made()
    v = v * np.eye(3)
    fit = MultivariateFayHerriot(y, x, v).fit(structure="diagonal")
    for k, name in enumerate(MEASURES):
        own = MultivariateFayHerriot(y[[name]], x, v[:, k : k + 1, k : k + 1]).fit()
        np.testing.assert_allclose(own.eblup[name], fit.eblup[name], rtol=1e-7)
        np.testing.assert_allclose(own.mse[name], fit.mse[name], rtol=1e-6)
        np.testing.assert_allclose(own.bse, fit.bse[name], rtol=1e-7)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_variance_of_zero_is_said_and_not_hidden(structure: Any) -> None:
    y, x, v = made(np.zeros((3, 3)))
    mean = x.to_numpy() @ np.array([[2.0, 3, 4], [0.5, -0.5, 0.2]])
    model = MultivariateFayHerriot(mean + 0.7 * (y - mean), x, v)  # less than the sampling errors
    with pytest.warns(BoundaryWarning, match="singular"):
        fit = model.fit(structure=structure)
    assert fit.converged
    assert fit.at_boundary
    assert "singular" in str(fit.summary())
    np.testing.assert_allclose(fit.sigma_v, 0, atol=1e-6)
    np.testing.assert_allclose(fit.eblup, fit.synthetic, rtol=1e-5)


def test_effects_of_one_dimension_make_a_singular_covariance() -> None:
    y, x, v = made(0.4 * np.ones((3, 3)), m=60)
    with pytest.warns(BoundaryWarning, match="go together"):
        fit = MultivariateFayHerriot(y, x, v).fit()
    assert fit.converged
    assert np.linalg.eigvalsh(fit.sigma_v)[0] > -1e-12
    assert np.linalg.matrix_rank(fit.sigma_v, tol=1e-6) < 3
    assert (np.linalg.eigvalsh(fit.mse_matrices) > 0).all()


def test_no_convergence_is_a_warning_with_the_trace() -> None:
    y, x, v = made()
    with pytest.warns(NotConvergedWarning, match=r"did not converge in \d+ iterations; last steps: llf .*score"):
        fit = MultivariateFayHerriot(y, x, v).fit(maxiter=2)
    assert not fit.converged
    assert len(fit.trace) == 2
    assert (np.diag(fit.sigma_v) > 0).all()
    assert "NO" in str(fit.summary())


def test_formulas_and_squares_of_columns() -> None:
    y, x, v = made()
    names = {f"v{i}{j}": v[:, i, j] for i in range(3) for j in range(3)}
    frame = y.join(x).assign(**names).reset_index(names="code")
    square = [[f"v{i}{j}" for j in range(3)] for i in range(3)]
    fit = MultivariateFayHerriot.from_formula([f"{k} ~ x" for k in MEASURES], frame, square, "code").fit()
    other = MultivariateFayHerriot(y, x.to_numpy(), v).fit()
    np.testing.assert_allclose(fit.eblup, other.eblup, rtol=1e-12)
    assert fit.eblup.index.tolist() == y.index.tolist()
    table = fit.table
    assert table.columns.tolist() == [
        *("sampled", "direct", "sampling_variance", "synthetic", "eblup", "mse", "cv", "gamma")
    ]
    assert table.loc[("BU003", "b"), "eblup"] == fit.eblup.loc["BU003", "b"]
    assert "360" in str(fit.summary())
    assert fit.aic < fit.bic


def changed(v: Floats, at: tuple[int, ...], value: float) -> Floats:
    out = v.copy()
    out[at] = value
    return out


def fitted(y: Any = None, x: Any = None, v: Any = None) -> MultivariateFayHerriot:
    own = made()
    return MultivariateFayHerriot(*(a if b is None else b(a) for a, b in zip(own, (y, x, v), strict=True)))


def lost(frame: pd.DataFrame, rows: int, column: int) -> pd.DataFrame:
    out = frame.copy()
    out.iloc[:rows, column] = np.nan
    return out


BAD: dict[str, tuple[Callable[[], object], list[str]]] = {
    "x missing": (lambda: fitted(x=lambda x: lost(x, 2, 1)), ["a: covariate x is missing in 2 areas", "BU000, BU001"]),
    "collinear": (
        lambda: fitted(x=lambda x: x.assign(z=3 * x["x"] + 1)),
        ["a: covariates are linear combinations", "one, x, z", "c: cov"],
    ),
    "few areas": (lambda: fitted(y=lambda y: lost(y, 118, 1)), ["b: there are too few areas", "2 areas, 2 covariates"]),
    "no estimates": (lambda: fitted(y=lambda y: lost(y, 120, 2)), ["c: there are too few areas", "0 areas"]),
    "indefinite": (
        lambda: fitted(v=lambda v: changed(changed(v, (7, 0, 1), 5.0), (7, 1, 0), 5.0)),
        ["not positive definite in 1 areas", "got BU007"],
    ),
    "zero": (lambda: fitted(v=lambda v: 0 * v), ["not positive definite in 120 areas", "and 115 more"]),
    "uneven": (lambda: fitted(v=lambda v: changed(v, (4, 0, 1), 0.09)), ["not symmetric in 1 areas", "BU004"]),
    "missing": (lambda: fitted(v=lambda v: changed(v, (5, 2, 2), np.nan)), ["are missing in 1 areas", "BU005"]),
    "shape": (lambda: fitted(v=lambda v: v[:, :2, :2]), ["another shape", "(120, 2, 2)"]),
    "rows": (lambda: fitted(x=lambda x: x[:50]), ["do not fit the direct estimates", "[50] rows"]),
    "tables": (lambda: fitted(x=lambda x: [x, x]), ["2 tables"]),
    "columns": (
        lambda: MultivariateFayHerriot.from_formula(["a ~ 1"], made()[0], [["va"]]),
        ["columns of sampling covariances are absent", "va"],
    ),
    "method": (lambda: fitted().fit("mcmc"), ["method of estimation is unknown"]),
    "structure": (lambda: fitted().fit("ml", "toeplitz"), ["structure is unknown", "ar1"]),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_refused(what: str) -> None:
    make, says = BAD[what]
    with pytest.raises(BuurtsaeError) as caught:
        make()
    for part in says:
        assert part in str(caught.value)


def test_covariates_of_other_areas_are_refused() -> None:
    y, x, v = made(m=20)
    with pytest.raises(BuurtsaeError, match="covariates are of other areas"):
        MultivariateFayHerriot(y, x.rename({"BU003": "BU999"}), v)
    with pytest.raises(BuurtsaeError, match="in another order"):
        MultivariateFayHerriot(y, x.iloc[::-1], v)
    twice = y.index.to_series().replace("BU001", "BU002").to_numpy()
    with pytest.raises(BuurtsaeError, match="areas occur twice"):
        MultivariateFayHerriot(y.set_axis(twice), x.set_axis(twice), v)
    with pytest.raises(BuurtsaeError, match="infinite"):
        MultivariateFayHerriot(y.replace(y.iloc[0, 0], np.inf), x, v)
