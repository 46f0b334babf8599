"""Comparisons between areas, groups and measures from the same draws, and the weights of the concept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_fit import EMPTY, TINY, Made, made_fit

from buurtsae.errors import DataError, ProblemsError
from buurtsae.estimates.benchmark.benchmark import Benchmarks, benchmark
from buurtsae.estimates.contrasts import Contrast, contrast, ranking, scores
from buurtsae.estimates.labels import Rules
from buurtsae.estimates.sensitivity import alternatives, sensitivity
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.survey.concept import Concept

TOTAL, SOCIAL, PARTICIPATIE = "buurtverbondenheid", "sociale_verbondenheid", "participatie"
A, B = "BU03440002", "BU03440003"


@pytest.fixture(scope="module")
def made() -> Made:
    return made_fit()


@pytest.fixture(scope="module")
def est(made: Made) -> Estimates:
    return estimate(made.fit, rules=Rules(protection=0))  # all but TINY are published


def test_scores_of_any_level_are_those_of_the_table(est: Estimates) -> None:
    for measure, _, labels, values in level_draws(est.fit, est.concept):
        for code, drawn in zip(labels, values.T, strict=True):
            if code != TINY:
                np.testing.assert_allclose(scores(est, code, measure), drawn, rtol=1e-12)


def test_a_group_is_weighted_by_residents(est: Estimates) -> None:
    n = est.areas.frame["population"]
    expected = (n[A] * scores(est, A, TOTAL) + n[B] * scores(est, B, TOTAL)) / (n[A] + n[B])
    np.testing.assert_allclose(scores(est, [A, B], TOTAL), expected, rtol=1e-12)
    everything = [c for c in est.areas.at("gemeente") if c in set(est.table["area_code"])]
    np.testing.assert_allclose(scores(est, everything, TOTAL), scores(est, "NL00", TOTAL), rtol=1e-12)


def test_a_contrast_takes_differences_and_ratios_per_draw(est: Estimates) -> None:
    found = contrast(est, A, B, TOTAL)
    x, y = scores(est, A, TOTAL), scores(est, B, TOTAL)
    assert found.difference == pytest.approx(((x - y).mean(), *np.quantile(x - y, [0.025, 0.975])))
    assert found.ratio[0] == pytest.approx((x / y).mean())
    assert found.probability == pytest.approx((x > y).mean())
    back = contrast(est, B, A, TOTAL)
    assert back.probability == pytest.approx(1 - found.probability)
    assert contrast(est, A, A, TOTAL).verdict == "niet te onderscheiden"
    between = contrast(est, A, A, SOCIAL, PARTICIPATIE)
    assert between.difference[0] == pytest.approx((scores(est, A, SOCIAL) - scores(est, A, PARTICIPATIE)).mean())
    assert "verschil" in str(found)
    assert "kans op hoger" in str(found)


def test_a_contrast_has_the_decimals_of_its_scale() -> None:
    """Of shares a tenth is all there is."""
    said = Contrast((0.03, -0.01, 0.07), (1.1, 0.9, 1.3), 0.9, "hoger", digits=2)
    assert str(said) == "hoger: verschil +0,03 (-0,01 tot +0,07), kans op hoger 90%"


def test_ranking_counts_draws(est: Estimates) -> None:
    codes = [c for c in est.areas.inhabited_at("buurt") if c != TINY]
    table = ranking(est, TOTAL, codes)
    assert table["expected_rank"].is_monotonic_increasing
    assert table["expected_rank"].sum() == pytest.approx(len(codes) * (len(codes) + 1) / 2)
    assert table["p_highest"].sum() == pytest.approx(1)
    assert table["p_lowest_tenth"].sum() == pytest.approx(len(codes) // 10)
    assert (table["rank_lower"] <= table["expected_rank"].round()).all()
    assert (table["expected_rank"].round() <= table["rank_upper"]).all()


@pytest.mark.parametrize(
    ("area", "measure", "says"),
    [
        ("BU99999999", TOTAL, "no estimate of these areas"),
        (EMPTY, TOTAL, "no estimate of these areas"),
        (TINY, TOTAL, "not published"),
        ([], TOTAL, "a group is empty"),
        ([A, "WK034400"], TOTAL, "areas of a group overlap"),
        (A, "geluk", "no such measure"),
    ],
)
def test_what_cannot_be_compared(est: Estimates, area: str | list[str], measure: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        scores(est, area, measure)


def test_other_weights_make_other_totals_per_draw(made: Made) -> None:
    concept = Concept.load().weighted({PARTICIPATIE: 3.0})
    draws = {(m, lv): v for m, lv, _, v in level_draws(made.fit, concept)}
    social = (draws["omgang_en_relaties", "buurt"] + 3 * draws[PARTICIPATIE, "buurt"]) / 4
    np.testing.assert_allclose(draws[SOCIAL, "buurt"], social, rtol=1e-12)
    total = (social + draws["ruimtelijke_verbondenheid", "buurt"]) / 2
    np.testing.assert_allclose(draws[TOTAL, "buurt"], total, rtol=1e-12)


def test_impossible_weights_are_all_named() -> None:
    with pytest.raises(ProblemsError, match="no part of the concept") as caught:
        Concept.load().weighted({"geluk": 1.0, TOTAL: 2.0, PARTICIPATIE: 0.0, SOCIAL: float("inf")})
    assert len(caught.value.problems) == 4


def test_sensitivity_against_tables_made_apart(made: Made, est: Estimates) -> None:
    concept = Concept.load().weighted({PARTICIPATIE: 4.0})
    found = sensitivity(est, {"meer participatie": concept, "hetzelfde": Concept.load()})
    assert set(found["alternative"]) == {"meer participatie"}  # equal weights move nothing
    assert set(found["measure"]) == {SOCIAL, TOTAL}
    assert "land" not in set(found["level"])
    other = estimate(made.fit, concept=concept, rules=est.rules).table.set_index(["level", "area_code", "measure"])
    first = est.table.set_index(["level", "area_code", "measure"])
    key = found.set_index(["level", "measure"]).loc[("buurt", SOCIAL)]
    a, b = (t.xs("buurt").xs(SOCIAL, level="measure").drop(TINY) for t in (first, other))
    assert key["largest"] == pytest.approx((a["estimate"] - b["estimate"]).abs().max())
    assert key["rank_correlation"] == pytest.approx(a["estimate"].corr(b["estimate"], method="spearman"))
    assert key["labels"] == pytest.approx((a["label"] != b["label"]).mean())
    assert key["areas"] == 23
    every = sensitivity(est)
    assert every["alternative"].nunique() == len(alternatives(est.concept)) == 6


def test_rules_that_are_impossible() -> None:
    with pytest.raises(ProblemsError) as caught:
        Rules(min_reliability=1.5, max_width=-1.0)
    assert [p.what for p in caught.value.problems] == [
        "rule min_reliability is impossible",
        "rule max_width is impossible",
    ]


def test_wide_intervals_and_little_own_data_are_indicative(made: Made, est: Estimates) -> None:
    width = (est.table["upper"] - est.table["lower"]).median()
    table = estimate(made.fit, rules=Rules(min_reliability=0, max_width=float(width), min_own_share=0.3)).table
    wide = table["upper"] - table["lower"] > width
    little = table["own_data_share"] < 0.3
    shown = table["label"] != "niet_publiceren"
    some = table["n_respondents"] > 0
    assert 0.2 < wide.mean() < 0.8
    assert (table.loc[shown & (wide | little), "label"] == "indicatief").all()
    assert table.loc[shown & some & wide, "reason"].str.contains("interval breder dan").all()
    assert table.loc[shown & some & little, "reason"].str.contains("eigen data wegen minder dan 0,3").all()


def test_supplement_is_of_published_rows(made: Made, est: Estimates) -> None:
    found = est.supplement.set_index(["level", "area_code", "measure"])
    table = est.table.set_index(["level", "area_code", "measure"])
    assert list(found.index) == list(table.index)
    hidden = table["label"] == "niet_publiceren"
    assert hidden.any()
    assert found.loc[hidden, ["constrained", "verdict"]].isna().all(axis=None)
    assert found.loc[~hidden, "constrained"].between(0, 10).all()
    assert found.xs("land")["verdict"].isna().all()
    buurt = ~hidden & (table.index.get_level_values("level") == "buurt")
    spread = found[buurt].groupby("measure")["constrained"].std()
    assert (spread > table[buurt].groupby("measure")["estimate"].std()).all()  # posterior means are shrunk


def test_draws_of_the_benchmark_are_summarised(made: Made, est: Estimates) -> None:
    land = est.table.set_index(["level", "measure"]).loc["land"]
    measures = [m for m in est.measures if m in made.fit.draws.subdimensions]
    rows = [("land", "NL00", m, float(np.round(land.loc[m, "estimate"] + 0.2, 3))) for m in measures]
    to = Benchmarks.read(
        pd.DataFrame(rows, columns=["level", "area_code", "measure", "value"]),
        made.fit.areas,
        est.concept,
        made.fit.draws.subdimensions,
        exact=True,
    )
    found = estimate(benchmark(made.fit, to, method="difference"), rules=est.rules)
    assert found.table["benchmarked"].all()
    for m in measures:
        row = found.table[(found.table["level"] == "land") & (found.table["measure"] == m)].iloc[0]
        assert row["estimate"] == pytest.approx(dict((r[2], r[3]) for r in rows)[m], abs=1e-10)
    key = ["level", "area_code", "measure"]
    pd.testing.assert_series_equal(
        found.table.set_index(key)["own_data_share"], est.table.set_index(key)["own_data_share"]
    )
    moved = found.supplement.set_index(key)["shift"].dropna()
    np.testing.assert_allclose(moved.xs("buurt").to_numpy(), 0.2, atol=0.02)  # but for scores near an end
