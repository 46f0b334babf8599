"""Design-based estimates against R's survey 4.1.1 (R 4.2.2) on the California schools of its package.

Data and numbers are read in the folder `shared` beside the checkout; the calls stand in its `survey.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from buurtsae.sparse import Floats
from buurtsae.survey import calibration, replicates, variance
from buurtsae.survey.sampling import SampleDesign

pytestmark = [pytest.mark.national, pytest.mark.xdist_group("national")]
CLOSE = {"rtol": 1e-8, "atol": 1e-8}
DESIGNS = ["apistrat_fpc", "apistrat_nofpc", "apiclus1_fpc", "apiclus1_nofpc", "apiclus2_fpc2stage"]
CALIBRATED = ["rake_eps1e-09", "poststratify", "calibrate_linear", "calibrate_raking"]


@pytest.fixture(scope="module")
def classic(shared: Path) -> dict[str, Any]:
    text = (shared / "golden" / "classic" / "survey.json").read_text(encoding="utf-8")
    return {c["name"].removeprefix("survey_"): c for c in json.loads(text)["cases"]}


def codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column, sort=True)[0]


def sample(shared: Path, name: str) -> tuple[pd.DataFrame, Floats, SampleDesign]:
    """Respondents, weights and design of `apistrat_fpc` and so on, as the call of the case says."""
    data, _, kind = name.partition("_")
    frame = pd.read_csv(shared / "golden" / "classic" / "data" / f"survey_{data}.csv", encoding="utf-8")
    none = np.zeros(len(frame), dtype=np.int64)
    if data == "apiclus2":
        design = SampleDesign.of(
            none, [codes(frame["dnum"]), codes(frame["snum"])], [frame[c].to_numpy(float) for c in ("fpc1", "fpc2")]
        )
        # without weights R takes the product of the stages' population sizes over sample sizes
        frame["pw"] = (
            frame["fpc1"] / frame["dnum"].nunique() * frame["fpc2"] / frame.groupby("dnum")["snum"].transform("size")
        )
        return frame, frame["pw"].to_numpy(float), design
    fpc = [frame["fpc"].to_numpy(float)] if kind == "fpc" else []
    if data == "apistrat":
        design = SampleDesign.of(codes(frame["stype"]), (), fpc)
    else:
        design = SampleDesign.of(none, [codes(frame["dnum"])], fpc)
    return frame, frame["pw"].to_numpy(float), design


def domains(frame: pd.DataFrame, column: str, expected: list[str]) -> np.ndarray:
    found = pd.Index(expected).get_indexer(frame[column])
    assert (found >= 0).all()
    assert len(set(found)) == len(expected)
    return found


def sd(v: Floats) -> Floats:
    return np.sqrt(np.maximum(np.einsum("add->ad", v), 0))


def mean(y: Floats, w: Floats, domain: np.ndarray, n: int, design: SampleDesign) -> tuple[Floats, Floats]:
    estimate, share, residual = variance.hajek(y, w, domain, n)
    return estimate, variance.covariance(share * residual, domain, n, design)


def total(y: Floats, w: Floats, domain: np.ndarray, n: int, design: SampleDesign) -> tuple[Floats, Floats]:
    estimate, z = variance.total(y, w, domain, n)
    return estimate, variance.covariance(z, domain, n, design)


def together(frame: pd.DataFrame, names: list[str]) -> Floats:
    """R's `na.rm = TRUE` leaves a row out that misses one of several variables."""
    return frame[names].where(frame[names].notna().all(axis=1)).to_numpy(float)


def yes(frame: pd.DataFrame) -> Floats:
    return (frame["sch.wide"] == "Yes").to_numpy(float)[:, None]


@pytest.mark.parametrize("name", DESIGNS)
def test_means_covariances_totals_and_proportions(shared: Path, classic: dict[str, Any], name: str) -> None:
    expected = classic[f"{name}_global"]["expected"]
    frame, w, design = sample(shared, name)
    one = np.zeros(len(frame), dtype=np.int64)
    estimate, v = mean(together(frame, expected["mean_names"]), w, one, 1, design)
    np.testing.assert_allclose(estimate[0], expected["mean"], **CLOSE)
    np.testing.assert_allclose(v[0], expected["mean_cov"], **CLOSE)
    estimate, v = total(together(frame, expected["total_names"]), w, one, 1, design)
    np.testing.assert_allclose(estimate[0], expected["total"], **CLOSE)
    np.testing.assert_allclose(sd(v)[0], expected["total_se"], **CLOSE)
    dummies = pd.get_dummies(frame[["stype", "sch.wide"]], prefix_sep="")[expected["prop_names"]].to_numpy(float)
    estimate, v = mean(dummies, w, one, 1, design)
    np.testing.assert_allclose(estimate[0], expected["prop"], **CLOSE)
    # strata are known without error: 0 in exact arithmetic, a sum of squares of 1e-17 in ours
    np.testing.assert_allclose(sd(v)[0], expected["prop_se"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "level"),
    [(n, "stype") for n in DESIGNS] + [(n, "county") for n in ("apistrat_fpc", "apiclus1_fpc", "apiclus1_nofpc")],
)
def test_domains(shared: Path, classic: dict[str, Any], name: str, level: str) -> None:
    expected = classic[f"{name}_by_{level}"]["expected"]
    frame, w, design = sample(shared, name)
    column = {"stype": "stype", "county": "cname"}[level]
    for key, table in expected.items():
        domain = domains(frame, column, table["domain"])
        n = len(table["domain"])
        if key == "ratio_api00_api99":
            y, x = (frame[[c]].to_numpy(float) for c in ("api00", "api99"))
            estimate, z = variance.ratio(y, x, w, domain, n)
            v = variance.covariance(z, domain, n, design)
        else:
            y = {"api00_mean": frame[["api00"]], "enroll_total": frame[["enroll"]]}.get(key)
            values = yes(frame) if y is None else y.to_numpy(float)
            estimate, v = (total if key == "enroll_total" else mean)(values, w, domain, n, design)
        np.testing.assert_allclose(estimate[:, 0], table["est"], **CLOSE)
        np.testing.assert_allclose(sd(v)[:, 0], table["se"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("apiclus1_fpc", k) for k in CALIBRATED] + [("apiclus1_nofpc", k) for k in CALIBRATED[1:]],
)
def test_calibrated_weights_and_their_standard_errors(
    shared: Path, classic: dict[str, Any], name: str, kind: str
) -> None:
    case = classic[f"{name}_{kind}"]
    frame, w, design = sample(shared, name)
    base = w
    if kind.startswith("calibrate"):
        names, totals = zip(*case["inputs"]["totals"].items(), strict=True)
        columns = {"(Intercept)": 1.0, "stypeH": frame["stype"] == "H", "stypeM": frame["stype"] == "M"}
        columns["api99"] = frame["api99"]
        x = sp.csr_array(pd.DataFrame(columns, index=frame.index)[list(names)].to_numpy(float))
        method = "exponential" if kind.endswith("raking") else "linear"
        new = calibration.calibrate(w, x, np.array(totals, float), method)  # type: ignore[arg-type]
    else:
        known = [
            pd.Series(t["Freq"], index=next(v for k, v in t.items() if k != "Freq")) for t in case["inputs"].values()
        ]
        margins = [t.index.get_indexer(frame[k.replace("pop_", "").replace("schwide", "sch.wide")])
                   for k, t in zip(case["inputs"], known, strict=True)]  # fmt: skip
        new = calibration.rake(w, margins, [t.to_numpy(float) for t in known])
        x = calibration.indicators(margins, [len(t) for t in known])
        base = np.ones(len(w)) if kind.startswith("rake") else w  # R's rake regresses without weights
    expected = case["expected"]
    np.testing.assert_allclose(new, expected["weights"], **CLOSE)
    one = np.zeros(len(frame), dtype=np.int64)

    def standard_error(z: Floats, domain: np.ndarray, n: int) -> Floats:
        extra, coefficient = calibration.credit(z, new, domain, n, x, base)
        return sd(variance.covariance(z, domain, n, design, extra, coefficient))[:, 0]

    estimate, share, residual = variance.hajek(frame[["api00"]].to_numpy(float), new, one, 1)
    np.testing.assert_allclose(estimate[0, 0], expected["api00_mean"], **CLOSE)
    np.testing.assert_allclose(standard_error(share * residual, one, 1)[0], expected["api00_mean_se"], **CLOSE)
    estimate, z = variance.total(frame[["enroll"]].to_numpy(float), new, one, 1)
    np.testing.assert_allclose(estimate[0, 0], expected["enroll_total"], **CLOSE)
    np.testing.assert_allclose(standard_error(z, one, 1)[0], expected["enroll_total_se"], **CLOSE)
    if "by_stype" in expected:
        table = expected["by_stype"]
        domain, n = domains(frame, "stype", table["domain"]), len(table["domain"])
        estimate, share, residual = variance.hajek(frame[["api00"]].to_numpy(float), new, domain, n)
        np.testing.assert_allclose(estimate[:, 0], table["est"], **CLOSE)
        np.testing.assert_allclose(standard_error(share * residual, domain, n), table["se"], **CLOSE)


def test_every_case_is_compared(classic: dict[str, Any]) -> None:
    compared = [f"{n}_{p}" for n in DESIGNS for p in ("global", "by_stype")]
    compared += [f"{n}_by_county" for n in ("apistrat_fpc", "apiclus1_fpc", "apiclus1_nofpc")]
    compared += [f"apiclus1_fpc_{k}" for k in CALIBRATED] + [f"apiclus1_nofpc_{k}" for k in CALIBRATED[1:]]
    left_out = {"apiclus1_fpc_rake_eps1", "apiclus1_nofpc_rake_eps1"}  # stopped early: no solution of the equations
    assert set(compared) | {"apiclus1_JK1", "apiclus1_JK1_fpc"} == set(classic) - left_out


@pytest.mark.parametrize("name", ["apiclus1_nofpc", "apiclus1_fpc"])
def test_jackknife(shared: Path, classic: dict[str, Any], name: str) -> None:
    case = classic["apiclus1_JK1" if name.endswith("nofpc") else "apiclus1_JK1_fpc"]
    expected = case["expected"]
    frame, w, design = sample(shared, name)
    made = replicates.jackknife(w, design)
    y, one = frame[["api00"]].to_numpy(float), np.zeros(len(frame), dtype=np.int64)
    np.testing.assert_allclose(made.rscales, case["inputs"]["scale"], **CLOSE)
    estimate, v = made.hajek(y, w, one, 1)
    np.testing.assert_allclose(estimate[0, 0], expected["api00_mean"], **CLOSE)
    np.testing.assert_allclose(sd(v)[0, 0], expected["api00_mean_se"], **CLOSE)
    table = expected["by_stype"]
    estimate, v = made.hajek(y, w, domains(frame, "stype", table["domain"]), 3)
    np.testing.assert_allclose(estimate[:, 0], table["est"], **CLOSE)
    np.testing.assert_allclose(sd(v)[:, 0], table["se"], **CLOSE)
    enroll = frame[["enroll"]].to_numpy(float)
    _, v = made.covariance(lambda weight: variance.total(enroll, weight, one, 1)[0], w)
    np.testing.assert_allclose(sd(v)[0, 0], expected["enroll_total_se"], **CLOSE)
