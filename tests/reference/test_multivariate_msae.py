"""The multivariate Fay-Herriot model against R's msae 0.1.5 and mcmcsae 0.7.8, and against dense matrices.

msae rounds what it returns to five digits. Both of its cases name the sampling variances in the order v1, v12, v13, v2,
v23, v3, where msae takes variances first and covariances after: what it fitted has variances v1, v12, v13 and
covariances v2, v23, v3, which is no covariance in any area (docs/classical.md). The numbers hold all the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.classical.multivariate import likelihood
from buurtsae.classical.multivariate.covariances import Diagonal
from buurtsae.classical.multivariate.multivariate_fay_herriot import MultivariateFayHerriot
from buurtsae.errors import ModelError
from buurtsae.sparse import Floats

FORMULAS = ["Y1 ~ X1 + X2", "Y2 ~ X2", "Y3 ~ X1 + X2"]
SQUARE = [["v1", "v12", "v13"], ["v12", "v2", "v23"], ["v13", "v23", "v3"]]
AS_CALLED = [["v1", "v2", "v23"], ["v2", "v12", "v3"], ["v23", "v3", "v13"]]
DIGITS = {"rtol": 5e-5, "atol": 0}  # half a unit of the fifth digit


@pytest.fixture(scope="module")
def data(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "golden" / "classic" / "data" / "msae_datasae1.csv", encoding="utf-8")


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Any]:
    text = (shared / "golden" / "classic" / "mcmcsae_other_and_msae.json").read_text(encoding="utf-8")
    return {c["name"]: c["expected"] for c in json.loads(text)["cases"]}


def wide(columns: dict[str, list[float]]) -> Floats:
    return np.column_stack([columns[f"Y{k}"] for k in (1, 2, 3)])


@pytest.mark.national
@pytest.mark.xdist_group("national")
def test_univariate_models_of_msae(data: pd.DataFrame, cases: dict[str, Any]) -> None:
    expected = cases["msae_eblupUFH"]
    called = data[["v1", "v12", "v13"]].to_numpy()
    own = MultivariateFayHerriot.from_formula(FORMULAS, data, called[:, :, None] * np.eye(3), "area")
    fit = own.fit("reml", "diagonal")
    np.testing.assert_allclose(np.diag(fit.sigma_v), expected["refvar"][0], **DIGITS)
    table = np.reshape(expected["beta"], (4, 8))  # coefficients, standard errors, t values, p values
    np.testing.assert_allclose(fit.params, table[0], **DIGITS)
    np.testing.assert_allclose(fit.bse, table[1], **DIGITS)
    np.testing.assert_allclose(fit.tvalues, table[2], **DIGITS)
    np.testing.assert_allclose(fit.eblup, wide(expected["eblup"]), **DIGITS)
    np.testing.assert_allclose(fit.mse, wide(expected["MSE"]), **DIGITS)


@pytest.mark.national
@pytest.mark.xdist_group("national")
def test_correlated_sampling_errors_of_msae(data: pd.DataFrame, cases: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="not positive definite in 50 areas"):
        MultivariateFayHerriot.from_formula(FORMULAS, data, AS_CALLED, "area")
    expected = cases["msae_eblupMFH1"]
    right = MultivariateFayHerriot.from_formula(FORMULAS, data, SQUARE, "area")
    v = data[np.ravel(AS_CALLED)].to_numpy().reshape(-1, 3, 3)
    starts = [0, 3, 5, 8]
    x = np.zeros((50, 3, 8))
    for k, own in enumerate(right.x):
        x[:, k, starts[k] : starts[k + 1]] = own
    blocks = likelihood.Blocks.of(right.y.to_numpy(), v, x)
    variances, slopes = np.array(expected["refvar"][0]), Diagonal(3).natural(np.ones(3))[1]
    for _ in range(20):  # msae's own search, by Fisher's scores, from its rounded result on
        here = likelihood.at(blocks, np.diag(variances), restricted=True)
        score = np.einsum("ab,kab->k", likelihood.gradient(here), slopes)
        variances = variances + np.linalg.solve(likelihood.information(here, slopes), score)
    np.testing.assert_allclose(variances, expected["refvar"][0], **DIGITS)
    table = np.reshape(expected["beta"], (4, 8))
    np.testing.assert_allclose(np.linalg.solve(blocks.root, here.delta), table[0], **DIGITS)
    half = np.linalg.inv(blocks.root)
    np.testing.assert_allclose(np.sqrt(np.diag(half @ here.inverse @ half.T)), table[1], **DIGITS)
    np.testing.assert_allclose(likelihood.eblup(blocks, here), wide(expected["eblup"]), **DIGITS)
    mse = np.einsum("dii->di", likelihood.terms(blocks, here, slopes).mse)
    assert (mse < 0).any()  # as msae's
    np.testing.assert_allclose(mse, wide(expected["MSE"]), **DIGITS)


@pytest.mark.national
@pytest.mark.xdist_group("national")
def test_near_the_posterior_of_mcmcsae(data: pd.DataFrame, cases: dict[str, Any]) -> None:
    expected = cases["mcmcsae_multivariate_fh_datasae1"]
    same = [f"{y} ~ X1 + X2" for y in ("Y1", "Y2", "Y3")]
    fit = MultivariateFayHerriot.from_formula(same, data, SQUARE, "area").fit()
    theirs = expected["beta"]
    by_covariate = fit.params.to_numpy().reshape(3, 3).T.ravel()  # theirs: intercepts, X1, X2
    # posterior means under a weak prior, not REML: within a quarter of a posterior standard deviation
    assert (np.abs(by_covariate - theirs["mean"]) < 0.25 * np.array(theirs["sd"])).all()
    sd = np.sqrt(np.diag(fit.sigma_v))
    assert (np.abs(sd - expected["v_sigma"]["mean"]) < np.array(expected["v_sigma"]["sd"])).all()


# From here on made data: the same formulas with matrices of the whole, as in Benavent and Morales (2016).


def made(m: int = 40, missing: float = 0.0) -> tuple[Floats, list[Floats], Floats]:
    rng = np.random.default_rng(7)
    x = [np.column_stack([np.ones(m), rng.normal(size=m)]), np.column_stack([np.ones(m), rng.normal(size=(m, 2))])]
    root = rng.normal(size=(m, 2, 2)) * 0.4
    v = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(2)
    effects = rng.normal(size=(m, 2)) @ np.linalg.cholesky(np.array([[0.5, 0.2], [0.2, 0.3]])).T
    errors = np.einsum("dij,dj->di", np.linalg.cholesky(v), rng.normal(size=(m, 2)))
    y = np.column_stack([x[0] @ [1.0, 0.5], x[1] @ [2.0, -0.5, 0.3]]) + effects + errors
    y[rng.random(y.shape) < missing] = np.nan
    return y, x, v


def dense(y: Floats, x: list[Floats], v: Floats, sigma: Floats, slopes: Floats, reml: bool) -> dict[str, Floats]:
    """Everything by (m D) x (m D) matrices over what is seen."""
    m, width = y.shape
    seen = np.isfinite(y).ravel()
    whole = np.zeros((m * width, sum(part.shape[1] for part in x)))
    at = 0
    for k, part in enumerate(x):
        whole[k::width, at : at + part.shape[1]] = part
        at += part.shape[1]
    g, r = np.kron(np.eye(m), sigma), np.zeros((m * width, m * width))
    for d in range(m):
        r[d * width : (d + 1) * width, d * width : (d + 1) * width] = v[d]
    big = (g + r)[np.ix_(seen, seen)]
    own, xs, ys = np.linalg.inv(big), whole[seen], y.ravel()[seen]
    q = np.linalg.inv(xs.T @ own @ xs)
    p = own - own @ xs @ q @ xs.T @ own
    beta = q @ xs.T @ own @ ys
    to = g[:, seen] @ own
    each = [np.kron(np.eye(m), s) for s in slopes]
    inside = [e[np.ix_(seen, seen)] for e in each]
    core = p if reml else own
    info = np.array([[np.trace(core @ a @ core @ b) / 2 for b in inside] for a in inside])
    score = np.array([(ys @ p @ a @ p @ ys - np.trace(core @ a)) / 2 for a in inside])
    lean = whole - to @ xs
    moves = [e[:, seen] @ own - to @ a @ own for e, a in zip(each, inside, strict=True)]
    inverse = np.linalg.inv(info)
    g3 = sum(inverse[i, j] * moves[i] @ big @ moves[j].T for i in range(len(slopes)) for j in range(len(slopes)))
    mse = g - to @ g[seen] + lean @ q @ lean.T + 2 * g3
    if not reml:
        bias = -inverse @ [np.trace(q @ xs.T @ own @ a @ own @ xs) / 2 for a in inside]
        for b, e, a in zip(bias, each, inside, strict=True):
            slope = e - e[:, seen] @ to.T - to @ e[seen] + to @ a @ to.T
            mse = mse - b * slope
    return {"beta": beta, "score": score, "info": info, "eblup": whole @ beta + to @ (ys - xs @ beta), "mse": mse}


@pytest.mark.parametrize("missing", [0.0, 0.25])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_dense_matrices_give_the_same(method: Any, missing: float) -> None:
    y, x, v = made(missing=missing)
    fit = MultivariateFayHerriot(y, x, v).fit(method)
    slopes = fit.family.natural(fit.maximum.free)[1]
    expected = dense(y, x, v, fit.sigma_v.to_numpy(), slopes, method == "reml")
    close = {"rtol": 1e-9, "atol": 1e-10}  # 80 x 80 inverses in double precision
    np.testing.assert_allclose(fit.params, expected["beta"], **close)
    np.testing.assert_allclose(likelihood.information(fit.maximum.here, slopes), expected["info"], **close)
    np.testing.assert_allclose(expected["score"], 0, atol=1e-6)
    np.testing.assert_allclose(fit.eblup.to_numpy().ravel(), expected["eblup"], **close)
    for d in range(40):
        np.testing.assert_allclose(fit.mse_matrices[d], expected["mse"][2 * d : 2 * d + 2, 2 * d : 2 * d + 2], **close)


@pytest.mark.national
@pytest.mark.xdist_group("national")
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_one_measure_is_the_fay_herriot_model_of_sae(shared: Path, method: Any) -> None:
    folder = shared / "golden" / "classic"
    found = json.loads((folder / "sae.json").read_text(encoding="utf-8"))["cases"]
    expected = next(c["expected"] for c in found if c["name"] == f"sae_fh_milk_{method}_converged")
    milk = pd.read_csv(folder / "data" / "sae_milk.csv", encoding="utf-8")
    v = (milk["SD"].to_numpy() ** 2)[:, None, None]
    fit = MultivariateFayHerriot.from_formula(["yi ~ C(MajorArea)"], milk, v).fit(method.lower())
    np.testing.assert_allclose(fit.sigma_v, [[expected["refvar"]]], rtol=1e-6)
    np.testing.assert_allclose(fit.params, expected["beta"], rtol=1e-6)
    np.testing.assert_allclose(fit.bse, expected["std_error"], rtol=1e-6)
    np.testing.assert_allclose(fit.eblup["yi"], expected["eblup"], rtol=1e-6)
    # sae's g3 takes the information of ML after REML too, msae's that of REML: equal to the order of the MSE
    here = likelihood.at(fit.model.blocks, fit.sigma_v.to_numpy(), restricted=False)
    terms = likelihood.terms(fit.model.blocks, here, np.ones((1, 1, 1)))
    mse = terms.mse if method == "ML" else terms.mse - terms.correction
    np.testing.assert_allclose(mse.ravel(), expected["mse"], rtol=1e-6)
    np.testing.assert_allclose([fit.aic, fit.bic], [expected["goodness"][k] for k in ("AIC", "BIC")], rtol=1e-6)
