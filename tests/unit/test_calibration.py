"""Weights that meet population totals, and what that is worth; totals as a table, and every way it can be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from buurtsae.errors import DataError, Problems
from buurtsae.survey.calibration import calibrate, credit, greg, indicators, project, rake
from buurtsae.survey.population_totals import Calibration, meet
from buurtsae.survey.sampling import SampleDesign
from buurtsae.survey.variance import covariance, hajek

AGE = np.array([0, 0, 1, 1, 1, 2])
SEX = np.array([0, 1, 0, 1, 1, 0])


def test_post_stratification_by_hand() -> None:
    w = rake(np.array([1.0, 3.0, 1.0, 1.0, 2.0, 5.0]), [AGE], [np.array([8.0, 4.0, 10.0])])
    np.testing.assert_allclose(w, [2, 6, 1, 1, 2, 10], rtol=1e-14)


def test_raking_meets_both_margins_and_keeps_the_odds() -> None:
    w = np.array([1.0, 3.0, 1.0, 1.0, 2.0, 5.0])
    new = rake(w, [AGE, SEX], [np.array([8.0, 4.0, 10.0]), np.array([14.0, 8.0])])
    np.testing.assert_allclose(np.bincount(AGE, new), [8, 4, 10], rtol=1e-9)
    np.testing.assert_allclose(np.bincount(SEX, new), [14, 8], rtol=1e-9)
    g = new / w  # factors are a product over margins: the interaction of the first two ages by sex is 1
    assert g[0] * g[3] == pytest.approx(g[1] * g[2], rel=1e-12)


def test_exponential_calibration_on_margins_is_raking() -> None:
    rng = np.random.default_rng(6)
    w, a, b = rng.uniform(1, 5, 200), rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    totals = [np.array([160.0, 150, 140, 150]), np.array([200.0, 250, 150])]
    x = indicators([a, b], [4, 3])  # its columns are redundant: both margins add to 600
    np.testing.assert_allclose(
        calibrate(w, x, np.concatenate(totals), "exponential"), rake(w, [a, b], totals), rtol=1e-7
    )


@pytest.mark.parametrize("method", ["linear", "logit"])
def test_bounds_are_kept_and_totals_met(method: Any) -> None:
    rng = np.random.default_rng(7)
    w, x = rng.uniform(1, 5, 300), np.column_stack([np.ones(300), rng.normal(5, 2, 300)])
    totals = 1.1 * x.T @ w * np.array([1.0, 1.08])
    free = calibrate(w, x, totals) / w
    new = calibrate(w, x, totals, method, (0.75, 1.5))
    np.testing.assert_allclose(x.T @ new, totals, rtol=1e-9)
    assert free.max() > 1.5  # so that the bound binds
    assert (new / w).min() >= 0.75 - 1e-12
    assert (new / w).max() <= 1.5 + 1e-12


def test_linear_calibration_by_hand() -> None:
    # w = d (1 + b): two persons of weight 1, total 3: b = 1 / 2
    np.testing.assert_allclose(calibrate(np.ones(2), np.ones((2, 1)), np.array([3.0])), [1.5, 1.5], rtol=1e-14)


@pytest.mark.parametrize("bounds", [None, (1.2, 2.0), (0.5, 0.9), (-1.0, 2.0)])
def test_unusable_bounds_are_refused(bounds: Any) -> None:
    with pytest.raises(DataError, match="no usable bounds"):
        calibrate(np.ones(2), np.ones((2, 1)), np.array([3.0]), "logit", bounds)


def test_totals_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(DataError, match="does not converge"):
        calibrate(np.ones(2), np.ones((2, 1)), np.array([3.0]), "linear", (0.5, 1.2))
    with pytest.raises(DataError, match="does not converge"):
        calibrate(np.ones(2), np.ones((2, 1)), np.array([3.0]), "logit", (0.5, 1.2))
    with pytest.raises(DataError, match="does not converge"):  # 14 persons cannot be 22
        rake(np.ones(6), [AGE, SEX], [np.array([8.0, 4.0, 10.0]), np.array([7.0, 7.0])], most=50)


def test_calibration_is_credited_as_the_residual_on_its_covariates() -> None:
    rng = np.random.default_rng(8)
    n, stratum, domain = 240, rng.integers(0, 3, 240), rng.integers(-1, 7, 240)
    d, a, b = rng.uniform(1, 5, n), rng.integers(0, 4, n), rng.integers(0, 2, n)
    x = indicators([a, b], [4, 2])
    w = rake(d, [a, b], [np.full(4, 200.0), np.array([380.0, 420.0])])
    y = np.column_stack([a + rng.normal(size=n), rng.normal(size=n)])
    _, share, residual = hajek(y, w, domain, 7)
    z = share * residual
    design = SampleDesign.of(stratum)
    found = covariance(z, domain, 7, design, *credit(z, w, domain, 7, x, d))
    zeros, full = np.zeros(n, dtype=np.int64), x.toarray()[:, :5]  # one category less: full rank
    for area in range(7):  # dense: the residual of u = z / w, zero outside the domain, for every respondent
        u = z * (domain == area)[:, None] / w[:, None]
        fit = full @ np.linalg.solve(full.T @ (d[:, None] * full), full.T @ (d[:, None] * u))
        np.testing.assert_allclose(found[area], covariance(w[:, None] * (u - fit), zeros, 1, design)[0], rtol=1e-9)


def test_regression_after_calibration_is_projected_too() -> None:
    rng = np.random.default_rng(9)
    n, domain = 150, rng.integers(0, 5, 150)
    d, a = rng.uniform(1, 5, n), rng.integers(0, 3, n)
    margin, x = indicators([a], [3]), np.column_stack([np.ones(n), rng.normal(size=n)])
    w = rake(d, [a], [np.full(3, 150.0)])
    y = np.column_stack([x[:, 1] + a + rng.normal(size=n)])
    _, z, extra, k = greg(y, x, rng.normal(1, 0.1, (5, 2)), w, domain, 5)
    more, b = credit(z, w, domain, 5, margin, d)
    design, zeros, full = SampleDesign.of(np.zeros(n, dtype=np.int64)), np.zeros(n, dtype=np.int64), margin.toarray()
    both = np.hstack([project(extra, w, margin, d), more.toarray()])
    found = covariance(z, domain, 5, design, both, np.concatenate([k, b], axis=1))
    for area in range(5):
        u = (z * (domain == area)[:, None] + extra @ k[area]) / w[:, None]
        fit = full @ np.linalg.solve(full.T @ (d[:, None] * full), full.T @ (d[:, None] * u))
        np.testing.assert_allclose(found[area], covariance(w[:, None] * (u - fit), zeros, 1, design)[0], rtol=1e-9)


def test_nothing_is_left_of_equal_answers() -> None:
    rng = np.random.default_rng(10)
    domain, x = rng.integers(0, 5, 90), np.column_stack([np.ones(90), rng.normal(size=(90, 3))])
    xbar = np.column_stack([np.ones(5), rng.normal(size=(5, 3))])
    mean, z, extra, _ = greg(np.full((90, 1), 20 / 3), x, xbar, rng.uniform(1, 5, 90), domain, 5)
    assert (mean == 20 / 3).all()
    assert (z == 0).all()
    assert (extra == 0).all()


def table(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["margin", "category", "total"])


GOOD = table(("age", "jong", 8), ("age", "oud", 6), ("gemeente:sex", "GM1:m", 5), ("gemeente:sex", "GM1:v", 9))
COLUMNS = {
    "age": pd.Series(["jong", "oud", "jong", "oud"]),
    "sex": pd.Series(["m", "v", "v", "m"]),
    "gemeente": pd.Series(["GM1"] * 4),
}


def problems_of(totals: Any, method: Any = "raking", **keys: Any) -> list[tuple[str, str]]:
    problems = Problems()
    meet(Calibration(totals, method, **keys), COLUMNS, np.ones(4), "s.csv", problems)
    return [(p.what, p.got) for p in problems.found]


@pytest.mark.parametrize("method", ["raking", "linear", "logit"])
def test_weights_meet_a_table_of_totals(method: Any, tmp_path: Any) -> None:
    path, problems = tmp_path / "totalen.csv", Problems()
    GOOD.to_csv(path, index=False, sep=";")
    w, margins = meet(
        Calibration(path, method, (0.1, 9) if method == "logit" else None), COLUMNS, np.ones(4), "s.csv", problems
    )
    assert problems.found == []
    assert {m: c.tolist() for m, c in margins.items()} == {"age": [0, 1, 0, 1], "gemeente:sex": [0, 1, 1, 0]}
    np.testing.assert_allclose(np.bincount(margins["age"], w), [8, 6], rtol=1e-9)
    np.testing.assert_allclose(np.bincount(margins["gemeente:sex"], w), [5, 9], rtol=1e-9)


def test_everything_that_is_wrong_with_totals_at_once() -> None:
    bad = table(("age", "jong", 8), ("age", "midden", 6), ("sex", "m", 5), ("sex", "v", 5), ("inkomen", "hoog", 14))
    assert problems_of(bad) == [
        ("margin 'age' of s.csv has categories without a population total", "'oud'"),
        ("margin 'age' has population totals without respondents in s.csv", "midden"),
        ("s.csv has no column for margin 'inkomen'", "age, sex, gemeente"),
        ("the totals of margins disagree", "age 14, sex 10, inkomen 14"),
    ]


@pytest.mark.parametrize(
    ("totals", "what"),
    [
        (GOOD.drop(columns="total"), "the table of totals lacks columns"),
        (GOOD.assign(total="veel"), "the table of totals: totals are no numbers"),
        (GOOD.head(0), "the table of totals is empty"),
        (GOOD.assign(total=[8, 6, 5, None]), "the table of totals: totals that are missing or not positive"),
        (GOOD.assign(category=["jong", "jong", "GM1:m", "GM1:v"]), "the table of totals has categories twice"),
        ("nergens.csv", "nergens.csv cannot be read"),
    ],
)
def test_a_table_that_is_no_table_of_totals(totals: Any, what: str) -> None:
    assert problems_of(totals)[0][0] == what


def test_linear_weights_below_zero_are_refused() -> None:
    columns = {"age": pd.Series(["a", "a", "b"]), "sex": pd.Series(["m", "v", "m"])}
    totals, problems = table(("age", "a", 19), ("age", "b", 2), ("sex", "m", 1), ("sex", "v", 20)), Problems()
    meet(Calibration(totals, "linear"), columns, np.array([5.0, 1.0, 5.0]), "s.csv", problems)
    assert [p.what for p in problems.found] == ["calibration gives 1 weights that are not positive"]


def test_sparse_indicators() -> None:
    x = indicators([AGE, SEX], [3, 2])
    assert isinstance(x, sp.csr_array)
    assert x.toarray().tolist()[3] == [0, 1, 0, 0, 1]
