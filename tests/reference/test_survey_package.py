"""Design-based estimates against R's survey 4.1.1, on the made surveys of `data/`; see its README for their origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from buurtsae.sparse import Floats
from buurtsae.survey import calibration
from buurtsae.survey.replicates import Replicates, brr, jackknife
from buurtsae.survey.sampling import LONELY, SampleDesign
from buurtsae.survey.variance import covariance, hajek, srs_variance

DATA = Path(__file__).parent / "data"
VARIABLES = ["score", "part", "lid"]
EXACT = {"rtol": 0, "atol": 1e-10}  # both are plain sums; R's figures are printed at 15 digits
POPULATION = {"age": {"18-34": 17_000, "35-64": 33_000, "65+": 15_000}, "sex": {"m": 32_000, "v": 33_000}}


def codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column, sort=True)[0]


def se(v: Floats) -> Floats:
    return np.sqrt(np.maximum(np.einsum("add->ad", v), 0))


@pytest.fixture(scope="module")
def survey() -> pd.DataFrame:
    return pd.read_csv(DATA / "made_survey.csv", encoding="utf-8")


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    text = (DATA / "made_survey.json").read_text(encoding="utf-8")
    return {c["name"].removeprefix("made_survey_"): c["outputs"] for c in json.loads(text)["cases"]}


def design_of(frame: pd.DataFrame, kind: str) -> SampleDesign:
    stratum = np.zeros(len(frame), dtype=np.int64) if kind == "srs" else codes(frame["stratum"])
    clusters = [codes(frame["psu"])] if kind.startswith("clus") else []
    return SampleDesign.of(stratum, clusters, [frame["Npsu"].to_numpy(float)] if kind == "clusfpc" else [])


def buurten(frame: pd.DataFrame) -> tuple[np.ndarray, int]:
    domain = codes(frame["buurt"])
    return domain, int(domain.max()) + 1


@pytest.mark.parametrize("kind", ["srs", "strat", "clus", "clusfpc"])
def test_means_covariances_and_design_effects(survey: pd.DataFrame, cases: dict[str, Any], kind: str) -> None:
    expected, one = cases[f"{kind}_mean"], np.zeros(len(survey), dtype=np.int64)
    y, w = survey[VARIABLES].to_numpy(float), survey["weight"].to_numpy(float)
    mean, share, residual = hajek(y, w, one, 1)
    v = covariance(share * residual, one, 1, design_of(survey, kind))
    np.testing.assert_allclose(mean[0], expected["mean"], **EXACT)
    np.testing.assert_allclose(v[0], expected["vcov"], **EXACT)
    np.testing.assert_allclose(v[0].diagonal() / srs_variance(y, w, one, 1)[0], expected["deff"], **EXACT)


@pytest.mark.parametrize("kind", ["srs", "strat", "clus", "clusfpc"])
def test_the_means_of_40_buurten(survey: pd.DataFrame, cases: dict[str, Any], kind: str) -> None:
    expected, (domain, n) = cases[f"{kind}_by_buurt"], buurten(survey)
    mean, share, residual = hajek(survey[VARIABLES].to_numpy(float), survey["weight"].to_numpy(float), domain, n)
    v = covariance(share * residual, domain, n, design_of(survey, kind))
    assert sorted(set(survey["buurt"])) == expected["buurt"]
    np.testing.assert_allclose(mean, expected["mean"], **EXACT)
    np.testing.assert_allclose(se(v), expected["se"], **EXACT)
    np.testing.assert_allclose(v[0], expected["vcov_B01"], **EXACT)


@pytest.mark.parametrize("kind", ["rake", "poststratify", "greg"])
def test_weights_that_meet_population_totals(survey: pd.DataFrame, cases: dict[str, Any], kind: str) -> None:
    expected = cases[kind]
    margins = [codes(survey[m]) for m in (["age"] if kind == "poststratify" else ["age", "sex"])]
    totals = [np.array(list(t.values()), dtype=float) for t in POPULATION.values()][: len(margins)]
    y, w = survey[VARIABLES[:2]].to_numpy(float), survey["weight"].to_numpy(float)
    x = calibration.indicators(margins, [len(t) for t in totals])
    new = (
        calibration.calibrate(w, x, np.concatenate(totals)) if kind == "greg" else calibration.rake(w, margins, totals)
    )
    # R's rake regresses without weights, its postStratify and calibrate with those before calibration
    base = np.ones(len(w)) if kind == "rake" else w
    if "weights" in expected:
        np.testing.assert_allclose(new, expected["weights"], rtol=1e-8)
    domain, n = buurten(survey)
    for d, size, keys in ((np.zeros_like(domain), 1, ("mean", "se")), (domain, n, ("buurt_mean", "buurt_se"))):
        if keys[0] in expected:
            mean, share, residual = hajek(y, new, d, size)
            z = share * residual
            v = covariance(z, d, size, design_of(survey, "strat"), *calibration.credit(z, new, d, size, x, base))
            few = np.asarray(expected[keys[0]]).reshape(size, -1)
            np.testing.assert_allclose(mean[:, : few.shape[1]], few, rtol=1e-8)
            few = np.asarray(expected[keys[1]]).reshape(size, -1)
            np.testing.assert_allclose(se(v)[:, : few.shape[1]], few, rtol=1e-8)


def test_the_stratified_jackknife(survey: pd.DataFrame, cases: dict[str, Any]) -> None:
    expected, (domain, n) = cases["JKn"], buurten(survey)
    y, w = survey[VARIABLES[:2]].to_numpy(float), survey["weight"].to_numpy(float)
    made = jackknife(w, design_of(survey, "clus"))
    mean, v = made.hajek(y, w, np.zeros_like(domain), 1)
    np.testing.assert_allclose(mean[0], expected["mean"], **EXACT)
    np.testing.assert_allclose(se(v)[0], expected["se"], **EXACT)
    few = np.asarray(expected["buurt_se"]).reshape(n, -1)
    np.testing.assert_allclose(se(made.hajek(y, w, domain, n)[1])[:, : few.shape[1]], few, **EXACT)


def test_regression_estimates_are_those_of_calibration(survey: pd.DataFrame, cases: dict[str, Any]) -> None:
    # with covariates of persons and one domain, Xbar'B is R's mean after linear calibration, standard error included
    expected, one = cases["greg"], np.zeros(len(survey), dtype=np.int64)
    x = np.column_stack([np.ones(len(survey)), survey["age"] == "35-64", survey["age"] == "65+", survey["sex"] == "v"])
    xbar = np.array([[65_000.0, 33_000, 15_000, 33_000]]) / 65_000
    y, w = survey[VARIABLES[:2]].to_numpy(float), survey["weight"].to_numpy(float)
    mean, z, extra, coefficient = calibration.greg(y, x.astype(float), xbar, w, one, 1)
    v = covariance(z, one, 1, design_of(survey, "strat"), extra, coefficient)
    np.testing.assert_allclose(mean[0], expected["mean"], rtol=1e-8)
    np.testing.assert_allclose(se(v)[0], expected["se"], rtol=1e-8)


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return pd.read_csv(DATA / "made_small_survey.csv", encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return json.loads((DATA / "made_small_survey.json").read_text(encoding="utf-8"))


def arrays(frame: pd.DataFrame, part: str) -> tuple[pd.DataFrame, Floats, Floats, np.ndarray]:
    own = frame[frame["set"] == part]
    return own, own[["x", "y"]].to_numpy(float), own["weight"].to_numpy(float), codes(own["buurt"])


def same(mean: Floats, v: Floats, expected: dict[str, Any], domains: bool) -> None:
    keys = ("buurt_mean", "buurt_se") if domains else ("mean", "vcov")
    np.testing.assert_allclose(mean if domains else mean[0], expected[keys[0]], **EXACT)
    np.testing.assert_allclose(se(v) if domains else v[0], expected[keys[1]], **EXACT)


@pytest.mark.parametrize("fpc", ["", "_fpc"])
@pytest.mark.parametrize("policy", ["adjust", "certainty", "average"])
def test_lonely_units(small: pd.DataFrame, found: dict[str, Any], policy: Any, fpc: str) -> None:
    own, y, w, buurt = arrays(small, "lonely")
    population = [own["Npsu"].to_numpy(float)] if fpc else []
    design = SampleDesign.of(codes(own["stratum"]), [codes(own["psu"])], population, policy)
    assert design.lonely_strata.tolist() == [2, 5]  # c and f
    for domain, n in ((np.zeros_like(buurt), 1), (buurt, 3)):
        mean, share, residual = hajek(y, w, domain, n)
        same(mean, covariance(share * residual, domain, n, design), found[f"lonely_{policy}{fpc}"], n > 1)


def test_r_removes_what_is_certain(found: dict[str, Any]) -> None:
    assert found["lonely_remove"] == found["lonely_certainty"]  # one policy under two names
    assert set(LONELY) == {"fail", "adjust", "certainty", "average"}


@pytest.mark.parametrize("kind", ["JKn", "BRR", "Fay", "bootstrap", "bootstrap_mse"])
def test_replicate_weights(small: pd.DataFrame, found: dict[str, Any], kind: str) -> None:
    own, y, w, buurt = arrays(small, "pairs")
    design, expected = SampleDesign.of(codes(own["stratum"]), [codes(own["psu"])]), found[f"pairs_{kind}"]
    if kind == "JKn":
        made = jackknife(w, design)
    elif kind in ("BRR", "Fay"):
        made = brr(w, design, 0.3 if kind == "Fay" else 0.0)
    else:  # R's own draws
        made = Replicates(np.array(expected["weights"]), 1 / 11, np.ones(12), mse=kind.endswith("mse"))
    same(*made.hajek(y, w, np.zeros_like(buurt), 1), expected, False)
    # R's Hadamard matrix is Sylvester's too, so that even ratios over part of the sample agree
    same(*made.hajek(y, w, buurt, 3), expected, True)
