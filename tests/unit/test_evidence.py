"""Gain over direct estimates, and agreement with them, where both are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, made_fit
from scipy import stats

from buurtsae.estimates.evidence.evidence import EVERYTHING, agreement, explained, gain


def conjugate(k: int, shift: float = 0.0) -> pd.DataFrame:
    """Gemeenten with true scores N(6, 0.5^2) and direct estimates of standard error 0.3: exact posteriors."""
    rng = np.random.default_rng(8)
    truth = 6 + 0.5 * rng.normal(size=k)
    direct = truth + 0.3 * rng.normal(size=k)
    share = 0.25 / (0.25 + 0.09)
    table = pd.DataFrame({"direct": direct, "estimate": 6 + share * (direct - 6) + shift})
    return table.assign(
        level="gemeente", measure="participatie", direct_se=0.3, sd=0.3 * np.sqrt(share), n_respondents=300
    )


def test_an_exact_posterior_agrees_with_its_direct_estimates() -> None:
    (row,) = agreement(conjugate(4000))
    assert row["areas"] == 4000
    assert row["W"] == pytest.approx(4000, abs=4 * np.sqrt(2 * 4000))  # chi^2 has variance 2 n
    assert row["p"] == pytest.approx(stats.chi2.sf(row["W"], 4000))
    assert row["p"] > 1e-4
    assert row["coverage_95"] == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 4000))
    assert row["bias"] == pytest.approx(0, abs=4 * 0.3 / np.sqrt(4000))
    # y on m: Cov(y, m) / Var(m) = share V / share^2 V, the inverse of the share: a line on shrunken means is steeper
    assert row["slope"] == pytest.approx((0.25 + 0.09) / 0.25, abs=4 * row["slope_se"])


def test_a_model_that_is_off_is_found_out() -> None:
    (row,) = agreement(conjugate(100, shift=0.4))
    assert row["p"] < 1e-6
    assert row["bias"] == pytest.approx(-0.4, abs=0.1)


def test_areas_whose_direct_estimate_says_less_than_nothing_are_left_out() -> None:
    table = conjugate(5)
    table.loc[0, "sd"] = 0.4
    table.loc[1, "direct_se"] = np.nan
    (row,) = agreement(table)
    assert row["areas"] == 3
    assert agreement(table.iloc[:2]) == []
    assert agreement(table.iloc[2:3])[0]["slope"] is None


def test_gain_is_a_ratio_of_variances_by_class() -> None:
    table = pd.DataFrame(
        {
            "level": "buurt",
            "area_code": list("abcde"),
            "n_respondents": [0, 3, 5, 6, 300],
            "sd": [0.6, 0.5, 0.4, 0.3, 0.1],
            "direct_se": [np.nan, 1.0, 0.8, 0.6, 0.1],
        }
    )
    found = {row["class"]: row for row in gain(table, table)}
    assert list(found) == ["0", "1-5", "6-20", "101 en meer"]
    assert found["0"]["variance_ratio"] is None
    assert found["1-5"]["variance_ratio"] == pytest.approx(0.25)
    assert found["1-5"]["figures"] == 2
    assert found["101 en meer"]["variance_ratio"] == pytest.approx(1)
    # medians of few are of what is published: here the first of the two in its class has no estimate, no direct ones
    hidden = table.assign(sd=[0.6, np.nan, 0.4, 0.3, 0.1], direct_se=np.nan)
    (few,) = (row for row in gain(table, hidden) if row["class"] == "1-5")
    assert (few["figures"], few["sd"], few["direct_se"]) == (1, 0.4, None)
    many = pd.concat([table.assign(area_code=[f"{c}{k}" for c in "abcde"]) for k in range(10)], ignore_index=True)
    rows = gain(many, many.assign(direct_se=np.nan))
    assert {r["class"]: r["direct_se"] for r in rows} == {"0": None, "1-5": 0.9, "6-20": 0.6, "101 en meer": 0.1}


def test_what_covariates_explain_is_a_variance_per_draw() -> None:
    fit = made_fit().fit
    found = {(r["covariate"], r["measure"]): r for r in explained(fit, np.ones(25, dtype=bool))}
    columns = [c for c in fit.design.coefficients if c != "Intercept"]
    assert set(found) == {(c, d) for c in [*columns, EVERYTHING] for d in SUBDIMENSIONS}
    live, beta = fit.areas.inhabited, fit.draws.hyper["beta"][1]
    beta = beta.reshape(-1, *beta.shape[2:])
    for d, measure in enumerate(SUBDIMENSIONS):
        for name in columns:
            k = fit.design.coefficients.index(name)
            part = np.var(beta[:, k, d][:, None] * fit.design.x[live, k], axis=1)
            share = (part / fit.draws.flat[:, live, d].var(axis=1)).mean()
            assert found[name, measure]["share"] == pytest.approx(min(share, 1))
            assert found[name, measure]["mean"] == pytest.approx(beta[:, k, d].mean())
        if len(columns) == 1:
            assert found[EVERYTHING, measure]["share"] == pytest.approx(found[columns[0], measure]["share"])
