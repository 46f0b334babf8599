"""Covariates that are missing: predictions, their stated errors, and what these leave open in the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import buurtsae as bs
from buurtsae.engines.marginal import Marginal
from buurtsae.model.design import Design, design
from buurtsae.model.imputation import impute

SIDE = 20
N = SIDE**2
CODES = [f"a{k:03}" for k in range(N)]
GRAPH = bs.Graph.from_pairs(
    CODES,
    [(CODES[k], CODES[k + 1]) for k in range(N) if (k + 1) % SIDE]
    + [(CODES[k], CODES[k + SIDE]) for k in range(N - SIDE)],
)

WITH = GRAPH.adjacency + sp.eye_array(N)  # each area and its neighbours


def areas_of(**columns: np.ndarray) -> bs.Areas:
    table = pd.DataFrame({"code": CODES, "g": [f"g{k // 10}" for k in range(N)], "people": 500.0} | columns)
    return bs.Areas.from_frame(table, code="code", levels={"region": "g"}, population="people")


def standard(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean()) / x.std())


def filled(columns: dict[str, np.ndarray], gaps: np.ndarray, **more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and stated errors of x where it was missing."""
    table = pd.DataFrame(columns, index=CODES)
    missing = pd.DataFrame({name: gaps if name == "x" else np.zeros(N, bool) for name in columns}, index=CODES)
    found, errors = impute(table.where(~missing, 99.0), missing, areas_of(**more), GRAPH)
    pd.testing.assert_frame_equal(found[~missing].dropna(how="all"), table[~missing].dropna(how="all"))
    assert (errors.to_numpy()[~missing.to_numpy()] == 0).all()
    return found["x"].to_numpy()[gaps], errors["x"].to_numpy()[gaps]


@pytest.mark.parametrize("what", ["noise", "another covariate", "gemeente", "neighbours"])
def test_stated_errors_are_those_that_are_made(what: str) -> None:
    # about 80 values per table and 25 tables: the mean of 2,000 squares of N(0, 1) has a standard error of 0.03, and
    # as much again because 320 others state the errors of a table, times sqrt(2 / 320) / sqrt(25)
    squares, errors = list[np.ndarray](), list[float]()
    for seed in range(25):
        rng = np.random.default_rng(seed)
        noise, other = rng.normal(size=(2, N))
        of = {
            "noise": np.zeros(N),
            "another covariate": 2 * other,
            "gemeente": 2 * np.repeat(rng.normal(size=N // 10), 10),
            "neighbours": WITH @ (WITH @ rng.normal(size=N)) / 2,
        }[what]
        x, gaps = standard(of + noise), rng.uniform(size=N) < 0.2
        found, stated = filled({"x": x, "z": other}, gaps)
        squares.append(((found - x[gaps]) / stated) ** 2)
        errors.append(float(np.sqrt((stated**2).mean())))
    assert np.concatenate(squares).mean() == pytest.approx(1.0, abs=0.12)
    # of variance 1 the other covariate leaves 1 / 5 (0.45), a gemeente of which eight are known a bit more
    assert (np.mean(errors) < 0.9) == (what != "noise")
    assert what != "another covariate" or np.mean(errors) < 0.55


def test_smaller_areas_may_lie_further_from_their_prediction() -> None:
    rng = np.random.default_rng(3)
    people = np.exp(rng.normal(6, 1, N)).round()
    x, gaps = rng.normal(size=N) * np.sqrt(400 / people), rng.uniform(size=N) < 0.2
    _, stated = filled({"x": x}, gaps, people=people)
    slope = np.polyfit(np.log(people[gaps]), np.log(stated), 1)[0]
    # the standard error of the power of s^2 from 320 values, sqrt(2 / 320), is twice that of the slope
    assert slope == pytest.approx(-0.5, abs=3 * np.sqrt(2 / 320) / 2)


def test_covariates_that_are_missing_together_do_not_predict_each_other() -> None:
    rng = np.random.default_rng(4)
    x, gaps = rng.normal(size=N), rng.uniform(size=N) < 0.2
    table = pd.DataFrame({"x": x, "twin": x}, index=CODES)
    missing = pd.DataFrame({"x": gaps, "twin": gaps}, index=CODES)
    _, errors = impute(table, missing, areas_of(), GRAPH)
    assert errors["x"][gaps].min() > 0.8  # with its twin it would be 0


def made(formula: str = "1 + x + z", *terms: bs.BYM2 | bs.IID | bs.Ridge, gap: float = 0.2) -> Design:
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, N))
    truth = 6 + 0.6 * x + 0.2 * z + 0.2 * rng.normal(size=N)
    x = np.where(rng.uniform(size=N) < gap, np.nan, x)
    areas = areas_of(x=x, z=z)
    table = pd.DataFrame({"code": CODES, "y": truth + 0.3 * rng.normal(size=N), "v": 0.09})
    data = bs.DirectEstimates.from_frame(table, y="y", variance="v", area="code", areas=areas)
    return design(bs.AreaModel(formula, terms or [bs.IID("area")], missing="impute"), data)


@pytest.mark.parametrize("theme", [False, True])
def test_what_is_left_open_is_the_coefficient_times_the_error(theme: bool) -> None:
    terms = [bs.IID("area"), bs.Ridge("all", ("x", "z"))] if theme else []
    arrays = made("1" if theme else "1 + x + z", *terms)
    assert arrays.known is not None
    gaps = np.isin(arrays.areas, arrays.imputed["x"])
    assert (arrays.known[~gaps] == 0).all()
    # x tells nothing of z or its neighbours: an error of 1, and a coefficient of 0.6 with a standard error of 0.03
    np.testing.assert_allclose(np.sqrt(arrays.known[gaps, 0, 0]), 0.6, atol=0.12)


def test_of_an_interaction_it_is_what_the_covariate_does_in_that_area() -> None:
    arrays = made("1 + x * z")
    assert arrays.known is not None
    gaps = np.isin(arrays.areas, arrays.imputed["x"])
    z = arrays.x[:, arrays.coefficients.index("z")]
    # beta_x + beta_xz z, and beta_xz is 0 but for its error of 0.03
    np.testing.assert_allclose(np.sqrt(arrays.known[gaps, 0, 0]), 0.6, atol=0.12 + 0.06 * np.abs(z[gaps]).max())


def test_nothing_is_left_open_where_nothing_is_missing() -> None:
    assert made(gap=0.0).known is None


def test_imputed_areas_are_less_certain() -> None:
    arrays = made()
    gaps = np.isin(arrays.areas, arrays.imputed["x"])
    xi = np.zeros(Marginal.of(arrays).size)
    sd, plugged = (Marginal.of(one).at(xi).sd[:, 0] for one in (arrays, replace(arrays, known=None)))
    assert (sd[gaps] > plugged[gaps]).all()
