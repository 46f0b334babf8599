"""The spatial Fay-Herriot model against R's sae 1.3 and emdi 2.2.2; see `test_fay_herriot_r.py` for the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_fay_herriot_r import DATA, RTOL, cases

from buurtsae.classical.spatial.spatial_fay_herriot import SpatialFayHerriot


@pytest.fixture(scope="module")
def classic(shared: Path) -> Path:
    return shared / "golden" / "classic"


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_made_areas(method: Any) -> None:
    expected = cases(DATA / "made_area.json")[f"made_sfh_{method}"]["outputs"]
    data, w = pd.read_csv(DATA / "made_sfh.csv"), pd.read_csv(DATA / "made_sfh_prox.csv").to_numpy()
    fit = SpatialFayHerriot.from_formula("y ~ x", data, "var", w, "area").fit(method.lower())
    assert fit.converged
    np.testing.assert_allclose([fit.sigma2_v, fit.rho], [expected["sigma2_u"], expected["rho"]], rtol=RTOL)
    np.testing.assert_allclose(fit.params, expected["beta"], rtol=RTOL)
    np.testing.assert_allclose(fit.bse, expected["se"], rtol=RTOL)
    np.testing.assert_allclose(fit.eblup, expected["eblup"], rtol=RTOL)
    np.testing.assert_allclose(fit.mse, expected["mse"], rtol=RTOL)


@pytest.mark.parametrize(
    ("method", "stop", "rtol"),
    [
        ("REML", "converged", RTOL),
        ("REML", "default", 1e-3),  # its stop is a change of 1e-4
        ("ML", "default", 1e-3),
    ],
)
def test_grapes(classic: Path, method: Any, stop: str, rtol: float) -> None:
    expected = cases(classic / "sae.json")[f"sae_sfh_grapes_{method}_{stop}"]["expected"]
    data, w = (pd.read_csv(classic / "data" / f"sae_{n}.csv") for n in ("grapes", "grapesprox"))
    formula = "grapehect ~ area + workdays - 1"
    fit = SpatialFayHerriot.from_formula(formula, data, "var", w.to_numpy()).fit(method.lower())
    np.testing.assert_allclose(fit.sigma2_v, expected["refvar"], rtol=rtol)
    np.testing.assert_allclose(fit.rho, expected["spatialcorr"], rtol=rtol)
    np.testing.assert_allclose(fit.params, expected["beta"], rtol=rtol)
    np.testing.assert_allclose(fit.bse, expected["std_error"], rtol=rtol)
    np.testing.assert_allclose(fit.eblup, expected["eblup"], rtol=rtol)
    np.testing.assert_allclose(fit.mse, expected["mse"], rtol=rtol)
    goodness = [expected["goodness"][k] for k in ("loglike", "AIC", "BIC")]
    np.testing.assert_allclose([fit.llf, fit.aic, fit.bic], goodness, rtol=rtol)


def test_emdi(classic: Path) -> None:
    case = cases(classic / "emdi.json")["emdi_fh_mean_spatial_reml"]
    expected = case["expected"]
    data = pd.read_csv(classic / "data" / "emdi_eusilcA_combined.csv")
    w = pd.read_csv(classic / "data" / "emdi_eusilcA_prox.csv", index_col=0)
    fit = SpatialFayHerriot.from_formula("Mean ~ cash + self_empl", data, "Var_Mean", w.to_numpy(), "Domain").fit()
    found = dict(zip(expected["variance_names"], expected["variance"], strict=True))
    np.testing.assert_allclose(fit.rho, found["correlation"], rtol=RTOL)
    np.testing.assert_allclose(fit.sigma2_v, found["variance"], rtol=RTOL)
    np.testing.assert_allclose(fit.params, expected["beta"], rtol=RTOL)
    np.testing.assert_allclose(fit.bse, expected["beta_se"], rtol=RTOL)
    np.testing.assert_allclose(fit.eblup, expected["fh"], rtol=RTOL)
    np.testing.assert_allclose(fit.mse, expected["mse_fh"], rtol=RTOL)
