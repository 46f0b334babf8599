"""Indicators: identities with the table of estimates, closed forms, what is hidden, and functions that are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_fit import SUBDIMENSIONS, TINY, Made, made_fit

import buurtsae as bs
from buurtsae.errors import DataError, ModelError
from buurtsae.estimates.summary import Estimates, estimate, level_draws

FIRST, SECOND = SUBDIMENSIONS[:2]


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(made.fit)


@pytest.mark.parametrize("level", ["buurt", "wijk", "gemeente", "land"])
def test_a_measure_itself_is_its_estimate(est: Estimates, level: str) -> None:
    found = bs.indicator(est, lambda x: x[FIRST], level=level).set_index("area_code")
    rows = est.select(FIRST, level).query("label != 'niet_publiceren'")
    assert set(found.index) == set(rows.index)
    columns = ["estimate", "sd", "lower", "upper"]
    pd.testing.assert_frame_equal(found[columns], rows.loc[found.index, columns], check_dtype=False, check_names=False)


def test_a_weighted_mean_within_is_that_of_the_area_above(est: Estimates) -> None:
    """Where nothing is hidden: the mean of a gemeente by residents is the estimate of the gemeente."""
    whole = replace(est, release=replace(est.release, estimates=replace(est.release.estimates, ruled=frozenset(),
                                                                        protecting=frozenset())))  # fmt: skip
    found = bs.indicator(whole, lambda x: x[FIRST] @ x.residents / x.residents.sum(), within=["gemeente", "land"])
    assert set(found["level"]) == {"gemeente", "land"}
    of_table = est.table[est.table["measure"] == FIRST].set_index(["level", "area_code"])["estimate"]
    expected = of_table.loc[list(zip(found["level"], found["area_code"], strict=True))]
    np.testing.assert_allclose(found["estimate"], expected, atol=1e-12)
    assert (found["hidden"] == 0).all()
    np.testing.assert_allclose(found["seen"], 1.0)


def test_the_probability_of_being_above_counts_ties_half(est: Estimates) -> None:
    cut = float(est.select(FIRST, "gemeente")["estimate"].iloc[0])
    found = bs.indicator(est, lambda x: np.maximum(x[FIRST], cut), level="gemeente", above=cut).iloc[0]
    draws = next(v for m, lv, _, v in level_draws(est.fit, est.concept) if (m, lv) == (FIRST, "gemeente"))[:, 0]
    assert found["p_above"] == pytest.approx((draws > cut).mean() + 0.5 * (draws <= cut).mean())


def test_hidden_areas_do_not_show(est: Estimates) -> None:
    """Two worlds that differ in hidden scores only have the same indicators."""
    keys = {code for level, code in est.release.estimates.keys if level == "buurt"}
    assert TINY in keys
    hidden = np.isin(est.fit.draws.areas, list(keys))
    eta = np.where(hidden[:, None], 3.0, est.fit.draws.eta)
    other = replace(est, fit=replace(est.fit, draws=replace(est.fit.draws, eta=eta)))
    for f in (bs.share_below(FIRST, 6.0), bs.inequality(FIRST), bs.difference(FIRST, SECOND), lambda x: x[FIRST]):
        for within in ("land", "wijk"):
            one, two = (bs.indicator(world, f, within=within) for world in (est, other))
            pd.testing.assert_frame_equal(one, two)
            assert not set(one["area_code"]) & keys


def test_benchmarked_draws_are_those_that_are_used(made: Made) -> None:
    to = bs.Benchmarks.of_direct(made.fit, "gemeente", min_respondents=10)
    benchmarked = bs.benchmark(made.fit, to)
    found = bs.indicator(benchmarked, lambda x: x[FIRST], level="gemeente").set_index("area_code")["estimate"]
    value = to.table[to.table["measure"] == FIRST].set_index("area_code")["value"]
    np.testing.assert_allclose(found[value.index], value, atol=1e-8)


def brute(x: np.ndarray, p: np.ndarray, kind: str) -> float:
    """Textbook forms, of a population in which area i has 1000 p_i residents."""
    mean = p @ x
    people = np.sort(np.repeat(x, np.round(1000 * p).astype(int)))
    return {
        "gini": (p[:, None] * p * np.abs(x[:, None] - x)).sum() / (2 * mean),
        "theil": sum(w * v / mean * np.log(v / mean) for v, w in zip(x, p, strict=True) if v > 0),
        "sd": people.std(),
        "p90_p10": people[899] - people[99],
    }[kind]


@pytest.mark.parametrize("kind", ["gini", "theil", "sd", "p90_p10"])
def test_inequality(kind: Any) -> None:
    rng, f = np.random.default_rng(3), bs.inequality("y", kind)
    residents = np.array([100.0, 300, 50, 250, 299, 1])
    x = rng.uniform(0.5, 9, (4, 6))
    x[0, 2], x[1, 3] = 0.0, x[1, 4]  # zero, and a tie
    drawn = made_joint(x, residents)
    np.testing.assert_allclose(f(drawn), [brute(row, residents / 1000, kind) for row in x], atol=1e-12)
    np.testing.assert_allclose(f(made_joint(np.full((2, 6), 4.0), residents)), 0.0, atol=1e-12)  # all alike


def made_joint(x: np.ndarray, residents: np.ndarray) -> Any:
    from buurtsae.estimates.indicator import Joint

    codes = np.array([f"a{k}" for k in range(len(residents))])
    return Joint("area", codes, residents, ("y",), lambda _: x, np.arange(len(codes)))


def test_gini_of_figures_below_zero_is_refused() -> None:
    with pytest.raises(ModelError, match="figures of 0 and more"):
        bs.inequality("y")(made_joint(np.array([[-1.0, 2.0]]), np.ones(2)))


def test_share_below(est: Estimates) -> None:
    residents = np.array([1.0, 3.0])
    drawn = made_joint(np.array([[1.0, 5.0], [5.0, 1.0], [5.0, 5.0]]), residents)
    assert bs.share_below("y", 5.0)(drawn).tolist() == [0.25, 0.75, 0.0]
    assert bs.share_below("y", 5.0, of="areas")(drawn).tolist() == [0.5, 0.5, 0.0]


def wrong(shape: str) -> Any:
    return {
        "another shape": lambda x: x[FIRST].mean(axis=0),
        "no numbers": lambda x: "high",
        "missing or infinite": lambda x: np.log(np.minimum(x[FIRST], 0.0) - 1 + 1j * 0).real * np.nan,
    }[shape]


@pytest.mark.parametrize("what", ["another shape", "no numbers", "missing or infinite"])
def test_a_wrong_function_is_told_in_three_lines(est: Estimates, what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        bs.indicator(est, wrong(what))
    assert len(str(caught.value).splitlines()) == 3
    assert "NL00" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        [[1.0], [1.0, 2.0]],
        None,
        "x",
        {"a": 1},
        np.ma.masked_array(np.ones(4), [1, 0, 0, 0]),
        np.ma.masked_array(np.ones(4, dtype=int), True),
        np.ones((4, 3, 2)),
        np.ones(3),
        np.array([object()] * 4),
    ],
    ids=["ragged", "none", "text", "mapping", "masked", "masked whole", "cube", "short", "objects"],
)
def test_what_is_no_array_of_numbers_is_refused(est: Estimates, values: Any) -> None:
    """Cut to as many draws as there are, so that a mask is all that is wrong with the masked."""
    n = len(est.draws.flat)
    told = np.ma.resize(values, n) if isinstance(values, np.ma.MaskedArray) else values
    with pytest.raises(ModelError, match="the indicator returns") as caught:
        bs.indicator(est, lambda x: told)
    assert len(str(caught.value).splitlines()) == 3


def test_a_function_that_fails_is_told_with_its_error(est: Estimates) -> None:
    with pytest.raises(ModelError, match="the indicator failed") as caught:
        bs.indicator(est, lambda x: x[FIRST][:, 10_000])
    assert isinstance(caught.value.__cause__, IndexError)
    assert "IndexError: index 10000" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(DataError, match="no such measure"):  # our own errors stay as they are
        bs.indicator(est, lambda x: x["onbekend"])


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"f": 5}, "no function"),
        ({"f": FIRST}, "no function"),
        ({"within": 5}, "`within` names no level"),
        ({"within": []}, "`within` names no level"),
        ({"within": [None]}, "`within` names no level"),
        ({"level": []}, "`level` names no level"),
        ({"level": 5}, "`level` names no level"),
        ({"above": "x"}, "`above` is no number"),
        ({"above": float("nan")}, "`above` is no number"),
        ({"above": [1.0]}, "`above` is no number"),
    ],
    ids=str,
)
def test_wrong_arguments_are_told_in_three_lines(est: Estimates, keys: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        bs.indicator(est, **({"f": lambda x: x[FIRST]} | keys))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("below", ["x", None, float("nan"), True, [5.0]], ids=str)
def test_a_share_is_below_a_number(below: Any) -> None:
    with pytest.raises(ModelError, match="the cut of a share is no number") as caught:
        bs.share_below(FIRST, below)
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ModelError, match="something else"):
        bs.share_below(FIRST, 5.0, of=[])  # type: ignore[arg-type]


def test_what_does_not_apply_is_refused(est: Estimates) -> None:
    for call, what in (
        (lambda: bs.indicator(est, bs.ratio(FIRST, "onbekend")), "no such measure"),
        (lambda: bs.indicator(est, lambda x: x[FIRST], level="straat"), "no such level"),
        (
            lambda: bs.indicator(est, lambda x: x[FIRST], level="gemeente", within="buurt"),
            "do not lie within one buurt",
        ),
    ):
        with pytest.raises(DataError, match=what):
            call()
    with pytest.raises(ModelError, match="needs areas beside draws"):
        bs.indicator(est.fit.draws, lambda x: x[FIRST])  # type: ignore[arg-type]
    for make in (lambda: bs.inequality(FIRST, "hoover"), lambda: bs.share_below(FIRST, 1, of="men")):  # type: ignore[arg-type]
        with pytest.raises(ModelError):
            make()
