"""Two sets of estimates side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_fit import Made, made_fit

from buurtsae.errors import DataError, ProblemsError
from buurtsae.estimates.evidence.compare import compare, compare_folders, compare_tables
from buurtsae.estimates.evidence.crossvalidation import left_out
from buurtsae.estimates.summary import Estimates, estimate


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(made.fit)


def test_a_table_agrees_with_itself(est: Estimates) -> None:
    found = compare_tables(est.published, est.published)
    assert found.agree
    assert (found.table["largest"] == 0).all()
    assert (found.table["sd_ratio"] == 1).all()
    assert found.labels.to_numpy().sum() == len(est.table)
    assert "Gelijk binnen 0,1 sd en 5% van de sd: ja" in found.text


def test_differences_are_in_sds_of_the_first(est: Estimates) -> None:
    other = est.table.copy()
    row = other.index[(other["level"] == "buurt") & (other["measure"] == "participatie")][4]
    other.loc[row, "estimate"] += 0.5 * other.loc[row, "sd"]
    other["sd"] *= 1.1
    found = compare_tables(est.table, other.sample(frac=1, random_state=1), ("een", "twee"))
    assert not found.agree
    part = found.table.set_index(["level", "measure"]).loc[("buurt", "participatie")]
    assert part["largest"] == pytest.approx(0.5)
    assert part["mean_difference"] == pytest.approx(0.5 / 24)
    assert part["sd_ratio"] == pytest.approx(1.1)
    assert found.worst.loc[0, "area_code"] == other.loc[row, "area_code"]
    assert found.worst.loc[0, "in_sd"] == pytest.approx(0.5)


def test_areas_in_one_only_are_named(est: Estimates) -> None:
    fewer = est.table[est.table["area_code"] != "BU04000000"]
    found = compare_tables(est.table, fewer)
    assert (found.only_a, found.only_b) == (("BU04000000",), ())
    assert "Alleen in A: 1 gebieden (BU04000000)" in found.text


def test_models_on_the_same_data_are_compared_by_what_they_predict(made: Made, est: Estimates) -> None:
    hyper = dict(made.fit.draws.hyper)
    dims, sigma = hyper["BYM2.sigma"]
    hyper["BYM2.sigma"] = (dims, sigma * 4.0)  # far too much difference between buurten
    worse = replace(made.fit, draws=replace(made.fit.draws, hyper=hyper))
    found = compare(est, estimate(worse))
    assert found.elpd is not None
    difference, error = found.elpd
    expected = left_out(worse, "gemeente").density - left_out(made.fit, "gemeente").density
    assert difference == pytest.approx(expected.sum())
    assert error == pytest.approx(np.sqrt(3) * expected.std())
    assert difference < 0
    assert "A voorspelt" in found.text


def test_other_data_are_not_compared_by_predictions(est: Estimates) -> None:
    assert compare(est, estimate(made_fit(seed=9).fit)).elpd is None


def test_what_cannot_be_compared(est: Estimates, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="areas are of other years"):
        compare_tables(est.table, est.table.assign(code_year=2020))
    with pytest.raises(DataError, match="nothing can be compared"):
        compare_tables(est.table, est.table.assign(year=1999))
    est.table.to_parquet(tmp_path / "estimates.parquet")
    with pytest.raises(ProblemsError) as caught:  # neither has a manifest
        compare_folders(tmp_path, tmp_path / "niets")
    assert str(caught.value).count("holds no results of a finished run") == 2
