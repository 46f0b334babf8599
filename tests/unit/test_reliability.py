"""Reliability of scales and buurt means by hand, items that do not fit, and figures that cannot be given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import DataError
from buurtsae.survey.codebook import Codebook, Item, Scale
from buurtsae.survey.reliability import Reliability, alpha, between_within, item_rest, omega, one_factor, reliability
from buurtsae.survey.survey import Survey

NAN = np.nan


def survey(
    scales: Mapping[str, Mapping[str, list[float]]], area: list[str], weight: float | list[float] = 1.0
) -> Survey:
    """Answers 0 to 10, all scales of one sub-dimension."""
    codes = tuple(range(11))
    made = tuple(
        Scale(s, s, "participatie", tuple(Item(i, "participatie", 0, 10, codes, scale=s) for i in items), 0.5)
        for s, items in scales.items()
    )
    answers = {i: y for items in scales.values() for i, y in items.items()}
    frame = pd.DataFrame({"area_code": area, "weight": weight, "stratum": "all", **answers})
    return Survey(frame.astype(dict.fromkeys(answers, float)), Codebook("eigen", "Eigen", scales=made), 2023)


def traits(n: int, loadings: list[float], seed: int, buurten: int = 20, between: float = 0.5) -> Survey:
    """Items that share a trait, 0 to 10 by rounding, of respondents in buurten that differ."""
    rng = np.random.default_rng(seed)
    area = np.sort(rng.integers(0, buurten, n))
    z = between * rng.standard_normal(buurten)[area] + rng.standard_normal(n)
    y = np.clip(np.round(5 + z[:, None] * loadings + rng.standard_normal((n, len(loadings)))), 0, 10)
    items = {f"i{j}": list(y[:, j]) for j in range(len(loadings))}
    return survey({"s": items}, [f"BU034400{a:02}" for a in area])


def row(found: Reliability) -> pd.Series:
    return found.scales.iloc[0]


def test_alpha_of_items_with_equal_variances_and_covariances() -> None:
    # Spearman-Brown: k r / (1 + (k - 1) r) with r = 0.5 and k = 3
    c = np.full((3, 3), 2.0) + 2 * np.eye(3)
    assert alpha(c) == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))
    assert omega(c)[0] == pytest.approx(alpha(c), abs=1e-8)  # equal loadings: the two agree
    # the correlation of one item with the sum of two: 2 r / sqrt(2 + 2 r)
    np.testing.assert_allclose(item_rest(c), 1 / np.sqrt(3))


def test_one_factor_finds_the_loadings_of_an_exact_one_factor_correlation() -> None:
    loading = np.array([0.9, 0.7, 0.5, -0.3])
    correlation = np.outer(loading, loading)
    np.fill_diagonal(correlation, 1)
    found, unique = one_factor(correlation)
    np.testing.assert_allclose(found, loading, atol=1e-6)
    np.testing.assert_allclose(unique, 1 - loading**2, atol=1e-6)


def test_one_factor_stays_in_bounds_where_an_item_is_explained_wholly() -> None:
    # the first item's loading would be sqrt(0.8 * 0.8 / 0.3) = 1.46
    unique = one_factor(np.array([[1, 0.8, 0.8], [0.8, 1, 0.3], [0.8, 0.3, 1.0]]))[1]
    assert unique[0] == 0.005
    assert (one_factor(np.ones((3, 3)))[1] == 0.005).all()  # three times the same item


def test_variances_between_and_within_by_hand() -> None:
    # means 2, 5 and 9 of 3, 2 and 1 respondents, 25/6 of all: MSW = (1 + 0 + 1 + 1 + 1 + 0) / 3 = 4/3,
    # MSB = (3 (13/6)^2 + 2 (5/6)^2 + (29/6)^2) / 2 = 233/12, n0 = (6 - 14/6) / 2 = 11/6, so tau2 = 217/22
    tau2, sigma2 = between_within(np.array([1.0, 2, 3, 4, 6, 9]), np.array([0, 0, 0, 1, 1, 2]))
    assert sigma2 == pytest.approx(4 / 3)
    assert tau2 == pytest.approx(217 / 22)


def test_a_negative_variance_between_buurten_is_zero() -> None:
    assert between_within(np.array([1.0, 9, 2, 8]), np.array([0, 0, 1, 1]))[0] == 0


def test_the_reliability_of_buurt_means_by_hand() -> None:
    # the scores of the test above; an item twice is its own scale score
    y = [1.0, 2, 3, 4, 6, 9]
    area = ["BU03440000"] * 3 + ["BU03440001"] * 2 + ["BU03440002"]
    found = reliability(survey({"s": {"a": y, "b": y}}, area))
    tau2, sigma2 = 217 / 22, 4 / 3
    expected = [tau2 / (tau2 + sigma2 / n) for n in (3, 2, 1)]
    np.testing.assert_allclose(found.buurten["reliability"], expected)
    assert found.buurten["respondents"].tolist() == [3, 2, 1]
    assert row(found)["icc"] == pytest.approx(expected[2])
    assert row(found)["lambda_mean"] == pytest.approx(np.mean(expected))
    assert row(found)["lambda_median"] == pytest.approx(expected[1])
    assert row(found)["needed_70"] == pytest.approx(sigma2 / tau2 * 0.7 / 0.3)
    assert row(found)["needed_80"] == pytest.approx(sigma2 / tau2 * 4)


def test_named_buurten_are_reported_in_their_order_with_0_where_nobody_answered() -> None:
    made = traits(200, [1.0] * 3, seed=1)
    codes = ["BU03449999", "BU03440003", "BU03440001"]
    table = reliability(made, codes).buurten
    assert table["area_code"].tolist() == codes
    assert table["respondents"].iloc[0] == table["reliability"].iloc[0] == 0
    every = reliability(made).buurten.set_index("area_code")["reliability"]
    assert table["reliability"].tolist()[1:] == every[codes[1:]].tolist()


def test_the_reliability_is_the_share_of_the_differences_between_means_that_is_real() -> None:
    # 4,000 buurten with score variance 1 between and 4 within: lambda = 1 / (1 + 4 / n). The squared correlation of
    # means and truth over 4,000 buurten has a standard error of about 0.01
    rng = np.random.default_rng(3)
    n = np.tile([2, 8], 2000)
    truth = rng.standard_normal(4000)
    area = np.repeat(np.arange(4000), n)
    y = truth[area] + 2 * rng.standard_normal(len(area))
    tau2, sigma2 = between_within(y, area)
    mean = np.bincount(area, y) / n
    for size in (2, 8):
        lam = tau2 / (tau2 + sigma2 / size)
        assert lam == pytest.approx(np.corrcoef(mean[n == size], truth[n == size])[0, 1] ** 2, abs=0.04)


def test_buurten_that_do_not_differ_need_infinitely_many_respondents_and_a_note() -> None:
    y = [1.0, 9, 2, 8]
    found = reliability(survey({"s": {"a": y, "b": y}}, ["BU03440000", "BU03440000", "BU03440001", "BU03440001"]))
    assert row(found)["icc"] == row(found)["lambda_mean"] == 0
    assert np.isinf(row(found)["needed_70"])
    assert found.buurten["reliability"].tolist() == [0, 0]
    assert "scale s: buurten differ no more than chance would have it: more respondents do not help" in found.notes


def test_a_reversed_item_left_so_is_found_and_no_other() -> None:
    made = traits(300, [1.0, 1, 1, -1, 1], seed=4)
    found = reliability(made)
    items = found.items.set_index("item")
    assert items["flag"].tolist() == ["", "", "", "omgekeerd?", ""]
    assert items.loc["i3", "item_rest"] < -0.3
    turned = Survey(made.frame.assign(i3=10 - made.frame["i3"]), made.codebook, 2023)
    assert items.loc["i3", "alpha_if_reversed"] == pytest.approx(row(reliability(turned))["alpha"])
    assert items.loc["i3", "alpha_if_reversed"] > row(found)["alpha"]
    assert reliability(turned).items["flag"].eq("").all()
    assert any(n.startswith("scale s: item i3 correlates -0.") and "reversed" in n for n in found.notes)
    assert "omgekeerd?" in str(found)


def test_a_slightly_negative_correlation_in_a_small_sample_is_no_reversal() -> None:
    # r = -0.2 among 30: Fisher's z is -0.2027 sqrt(27) = -1.05 standard errors
    rng = np.random.default_rng(5)
    z, e = np.linalg.qr(rng.standard_normal((30, 3)) - 0)[0].T[:2]
    z, e = (v - v.mean() for v in (z, e))
    e -= z * (e @ z) / (z @ z)
    z, e = z / z.std(), e / e.std()
    odd = -0.2 * z + np.sqrt(1 - 0.04) * e
    made = survey({"s": {"a": list(z), "b": list(z), "c": list(odd)}}, ["BU03440000"] * 15 + ["BU03440001"] * 15)
    items = reliability(made).items.set_index("item")
    assert items.loc["c", "item_rest"] == pytest.approx(-0.2)
    assert items.loc["c", "flag"] == "past slecht"
    larger = survey(  # nine times the same respondents: -0.2027 sqrt(267) = -3.3
        {"s": {i: list(np.tile(made.frame[i], 9)) for i in "abc"}}, ["BU03440000"] * 135 + ["BU03440001"] * 135
    )
    assert reliability(larger).items.set_index("item").loc["c", "flag"] == "omgekeerd?"


def test_of_two_items_that_run_against_each_other_both_are_flagged() -> None:
    found = reliability(traits(200, [1.0, -1.0], seed=6))
    assert found.items["flag"].tolist() == ["omgekeerd?", "omgekeerd?"]
    assert sum("it or the other item looks reversed" in n for n in found.notes) == 2
    assert row(found)["reason"] == "no omega: 2 items vary, 3 are needed"
    assert found.items["reason"].tolist() == ["no alpha without it: too little is left"] * 2


def test_an_item_that_measures_something_else_fits_badly() -> None:
    found = reliability(traits(400, [1.0, 1, 1, 0], seed=7)).items.set_index("item")
    assert found["flag"].tolist() == ["", "", "", "past slecht"]
    assert found.loc["i3", "alpha_if_deleted"] > found.loc["i0", "alpha_if_deleted"]


def test_an_item_with_one_category_is_left_out_with_a_reason() -> None:
    made = traits(200, [1.0] * 4, seed=8)
    constant = Survey(made.frame.assign(i3=4.0), made.codebook, 2023)
    without = Survey(made.frame.drop(columns="i3"), made.codebook, 2023)
    found, expected = reliability(constant), reliability(without)
    assert row(found)[["items", "items_used"]].tolist() == [4, 3]
    assert row(found)[["alpha", "omega"]].tolist() == row(expected)[["alpha", "omega"]].tolist()
    last = found.items.iloc[3]
    assert (last["flag"], last["reason"], last["mean"]) == ("geen variatie", "one answer category", 4)
    assert "scale s: item i3 has one answer category: left out of alpha and omega" in found.notes


def test_missing_answers_shares_and_means() -> None:
    a, b, c = [0.0, 2, 4, NAN], [1.0, 2, 5, 9], [NAN, 2.0, 4, 8]
    found = reliability(survey({"s": {"a": a, "b": b, "c": c}}, ["BU03440000"] * 2 + ["BU03440001"] * 2))
    assert found.items["share_answered"].tolist() == [0.75, 1, 0.75]
    assert found.items["mean"].tolist() == [2, 4.25, pytest.approx(14 / 3)]
    assert row(found)["respondents"] == 2
    assert row(found)["scored"] == 4  # half of the items is enough for a score
    assert row(found)["reason"] == "no alpha and omega: 2 respondents answered all items, 3 are needed"
    assert found.items["reason"].tolist() == [row(found)["reason"]] * 3


def test_weights_enter_covariances_means_and_effective_numbers() -> None:
    made = traits(200, [1.0] * 3, seed=9)
    weight = np.tile([1.0, 3.0], 100)
    weighted = reliability(Survey(made.frame.assign(weight=weight), made.codebook, 2023), weighted=True)
    copies = Survey(made.frame.loc[np.repeat(np.arange(200), weight.astype(int))], made.codebook, 2023)
    assert row(weighted)["alpha"] == pytest.approx(row(reliability(copies))["alpha"])
    np.testing.assert_allclose(weighted.items["mean"], reliability(copies).items["mean"])
    plain = reliability(made)
    assert row(weighted)["icc"] == row(plain)["icc"]
    first = made.frame["area_code"] == plain.buurten["area_code"].iloc[0]
    n = weight[first].sum() ** 2 / (weight[first] ** 2).sum()
    icc = row(plain)["icc"]
    assert weighted.buurten["reliability"].iloc[0] == pytest.approx(icc / (icc + (1 - icc) / n))


def test_several_scales_have_a_row_together() -> None:
    made = traits(200, [1.0] * 4, seed=10)
    items = {i: list(made.frame[i]) for i in ("i0", "i1", "i2", "i3")}
    two = survey(
        {"x": {i: items[i] for i in ("i0", "i1")}, "y": {i: items[i] for i in ("i2", "i3")}},
        list(made.frame["area_code"]),
    )
    table = reliability(two).scales
    assert table["kind"].tolist() == ["scale", "scale", "subdimension"]
    assert table["scale"].tolist() == ["x", "y", "participatie"]
    assert table.iloc[2]["alpha"] == pytest.approx(row(reliability(made))["alpha"])
    assert len(reliability(two).items) == 4  # each item once, judged within its scale


@pytest.mark.parametrize(
    ("items", "area", "reasons"),
    [
        ({"a": [1.0, 2, 3]}, 3, ["1 items vary", "two buurten are needed"]),
        ({"a": [1.0, 2], "b": [2.0, 1]}, 2, ["2 respondents answered", "two buurten are needed"]),
        ({"a": [NAN, NAN, 1], "b": [NAN] * 3, "c": [NAN] * 3}, 1, ["0 respondents answered", "two buurten are needed"]),
        ({"a": [5.0] * 4, "b": [5.0] * 4}, 2, ["0 respondents answered all items", "all scores are the same"]),
        (
            {"a": [1.0, 2, 3, 4], "b": [4.0, 3, 2, 1]},
            2,
            ["the sum of the items does not vary", "all scores are the same"],
        ),
    ],
)
def test_what_cannot_be_given_has_a_reason(items: dict[str, list[float]], area: int, reasons: list[str]) -> None:
    n = len(items["a"])
    found = reliability(survey({"s": items}, [f"BU0344000{k % area}" for k in range(n)]))
    assert np.isnan(row(found)["omega"])
    assert np.isnan(row(found)["icc"])
    assert all(reason in row(found)["reason"] for reason in reasons)
    assert found.buurten.empty
    assert found.items.loc[found.items["item_rest"].isna(), "reason"].ne("").all()
    assert row(found)["reason"] in str(found)


def test_a_survey_that_asked_nothing_is_refused() -> None:
    made = traits(10, [1.0, 1.0], seed=11)
    with pytest.raises(DataError, match="eigen 2023 has no items"):
        reliability(Survey(made.frame.drop(columns=["i0", "i1"]), made.codebook, 2023))
