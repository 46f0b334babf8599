"""Models over years beside R: sae 1.3 (eblupSTFH) and sae2 1.2-2 (eblupRY, eblupDyn), 11 areas in 3 years.

R was run with a stop at 1e-10: figures are those of the maxima, in ten digits. Estimates per area and year, and their
MSE, stand beside the data in the folder `shared`. sae2 keeps sigma2_v from 3.3e-9, 1e-4 of the smallest sampling
variance, where the likelihood is highest at zero: there ours is compared at zero, to five digits, and at that floor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.classical.columns import BoundaryWarning

FLOOR = 3.3e-9
STFH = {  # coefficients; sigma2_1, rho1, sigma2_2, rho2; log-likelihood (of ML, at the estimates of REML)
    "independent": ([1.69741055, -1.88636931, -1.23983740], [6.0264711e-4, 0.62313674, 4.2263344e-4], 61.36800281),
    "ar1": (
        [1.77580260, -2.00173476, -1.28552291],
        [4.7958717e-4, 0.64607429, 4.9611187e-4, 0.20470327],
        61.42279914,
    ),
}
RAO_YU = {  # coefficients; sigma2_u, sigma2_v, rho; log-likelihood: after REML the restricted one
    ("reml", False): ([2.32460459, -2.60621981, -1.83035200], [8.1721007e-4, 0.0, 0.33316175], 55.87706510),
    ("ml", False): ([2.27229978, -2.48668198, -1.84790658], [7.2303359e-4, 0.0, 0.19068128], 62.75523094),
    ("reml", True): ([2.36678472, -2.61553580, -1.90553797], [5.5935643e-4, 1.50430263e-3, 0.20203002], 56.52485221),
    ("ml", True): ([2.32292775, -2.52058166, -1.91473075], [4.6047796e-4, 1.37737636e-3, 0.10754125], 63.63668541),
}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    found = shared / "golden" / "more"
    if not (found / "spacetime_results.csv").exists():
        pytest.skip("needs golden/more of the folder `shared`")
    return found


@pytest.fixture(scope="module")
def data(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "spacetime.csv")


@pytest.fixture(scope="module")
def expected(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "spacetime_results.csv")


def assert_digits(found: Any, wanted: Any, relative: float) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), wanted, rtol=relative)


@pytest.mark.parametrize("over_time", STFH)
def test_spatio_temporal(over_time: Any, data: pd.DataFrame, expected: pd.DataFrame, folder: Path) -> None:
    w = pd.read_csv(folder / "spacetimeprox.csv").to_numpy()
    model = bs.SpatioTemporalFayHerriot.from_formula("Y ~ X1 + X2", data, "Var", w, "Time", "Area")
    fit = model.fit("reml", over_time)
    beta, components, llf = STFH[over_time]
    assert fit.converged
    assert_digits(fit.params, beta, 1e-8)  # digits of R
    assert_digits(fit.components["estimate"], components, 1e-7)
    assert fit.llf == pytest.approx(llf, abs=1e-8)
    column = expected["stfh_ST" if over_time == "ar1" else "stfh_S"]
    assert_digits(fit.table["eblup"], column, 1e-10)
    found = fit.components["estimate"]
    assert model.loglike(*found, method="ml") == pytest.approx(fit.llf, abs=1e-10)


@pytest.mark.parametrize(("method", "dynamic"), RAO_YU)
def test_rao_yu(method: Any, dynamic: bool, data: pd.DataFrame, expected: pd.DataFrame) -> None:
    model = bs.RaoYu.from_formula("Y ~ X1 + X2", data, "Var", "Time", "Area")
    beta, components, llf = RAO_YU[method, dynamic]
    if dynamic:
        fit = model.fit(method, dynamic)
    else:
        with pytest.warns(BoundaryWarning, match="sigma2_v estimated at zero"):
            fit = model.fit(method, dynamic)
    # where sae2 stands at its floor, that moves what is estimated in the sixth digit
    near = 1e-8 if dynamic else 1e-5
    assert fit.converged
    assert_digits(fit.params, beta, near)
    assert_digits(fit.components["estimate"][:2], components[:2], 1e-7 if dynamic else 1e-5)
    assert fit.components["estimate"]["rho"] == pytest.approx(components[2], abs=near)
    x = fit.data.x
    contrasts = 0.5 * np.linalg.slogdet(x.T @ x)[1] if method == "reml" else 0.0  # of sae2: A'y with A'A = I
    at = np.add(components, [0.0, 0.0 if dynamic else FLOOR, 0.0])
    assert model.loglike(*at, method, dynamic) + contrasts == pytest.approx(llf, abs=1e-8)
    best = fit.llf_restricted if method == "reml" else fit.llf
    assert best + contrasts >= llf - 1e-8
    name = f"eblup{'Dyn' if dynamic else 'RY'}_{method.upper()}"
    terms = fit.mse_terms
    mse = np.einsum("dii->di", terms.g1 + terms.g2 + 2 * terms.g3).ravel()  # sae2 has no bias of ML
    assert_digits(fit.table["eblup"], expected[name], 1e-8 if dynamic else 1e-6)
    assert_digits(mse, expected[f"{name}_mse"], 1e-8 if dynamic else 1e-5)
    if method == "reml":
        assert_digits(fit.table["mse"], mse, 1e-12)
