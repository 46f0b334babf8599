"""Hajek means and linearised variances against R's survey 4.1.1, on the made survey of `data/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.survey.direct import hajek, linearised_variance

DATA = Path(__file__).parent / "data"
VARIABLES = ["score", "part", "lid"]
EXACT = {"rtol": 0, "atol": 1e-10}  # both are plain sums; R's figures are printed at 15 digits


@pytest.fixture(scope="module")
def survey() -> pd.DataFrame:
    return pd.read_csv(DATA / "made_survey.csv", encoding="utf-8")


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    text = (DATA / "made_survey.json").read_text(encoding="utf-8")
    return {c["name"]: c["outputs"] for c in json.loads(text)["cases"]}


def estimates(frame: pd.DataFrame, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, w = frame[VARIABLES].to_numpy(dtype=float), frame["weight"].to_numpy(dtype=float)
    stratum = np.unique(frame["stratum"], return_inverse=True)[1]
    n = int(domain.max()) + 1
    mean, share, residual = hajek(y, w, domain, n)
    return mean, linearised_variance(share, residual, domain, stratum, n)


def test_the_mean_of_all(survey: pd.DataFrame, cases: dict[str, Any]) -> None:
    expected = cases["made_survey_strat_mean"]
    mean, variance = estimates(survey, np.zeros(len(survey), dtype=np.int64))
    np.testing.assert_allclose(mean[0], expected["mean"], **EXACT)
    np.testing.assert_allclose(variance[0], expected["vcov"], **EXACT)


def test_the_means_of_40_buurten(survey: pd.DataFrame, cases: dict[str, Any]) -> None:
    expected = cases["made_survey_strat_by_buurt"]
    codes, domain = np.unique(survey["buurt"], return_inverse=True)
    assert codes.tolist() == expected["buurt"]
    mean, variance = estimates(survey, domain)
    np.testing.assert_allclose(mean, expected["mean"], **EXACT)
    np.testing.assert_allclose(np.sqrt(np.einsum("add->ad", variance)), expected["se"], **EXACT)
    np.testing.assert_allclose(variance[0], expected["vcov_B01"], **EXACT)
