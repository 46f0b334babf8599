"""From answers to scores on 0-10: the ends, reversed items, scales, how much must be answered, and graded scores."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import DataError, ModelError
from buurtsae.survey.codebook import Codebook, Item, Scale
from buurtsae.survey.concept import Concept
from buurtsae.survey.scales import item_score, scale_scores, score
from buurtsae.survey.survey import Survey

NAN = np.nan
TWO_SCALES = """
id = "eigen"
nl = "Eigen onderzoek"
kind = "survey"
level = "buurt"
references = ["een rapport"]
missing = [9]
min_share_answered = 0.6

[[scale]]
id = "omgang"
nl = "Omgang"
subdimension = "omgang_en_relaties"
answers = { 1 = "nooit", 2 = "soms", 3 = "vaak" }
worst = 1
best = 3
min_share_answered = 1.0
items = [{ name = "groet" }, { name = "praat" }]

[[scale]]
id = "hulp"
nl = "Hulp"
subdimension = "omgang_en_relaties"
answers = { 1 = "eens", 2 = "beetje", 3 = "neutraal", 4 = "weinig", 5 = "oneens" }
worst = 5
best = 1
min_share_answered = 0.5
items = [{ name = "helpt" }, { name = "leent" }, { name = "mijdt", worst = 1, best = 5 }]
"""


def survey(
    answers: Mapping[str, list[float]], min_share: float = 0.5, subdimension: str = "participatie", **design: object
) -> Survey:
    """Answers 1 to 5 on one scale; an item whose name ends in `_omgekeerd` is reversed."""
    ends = {name: (5, 1) if name.endswith("_omgekeerd") else (1, 5) for name in answers}
    items = tuple(Item(name, subdimension, *ends[name], codes=(1, 2, 3, 4, 5), scale="s") for name in answers)
    n = len(next(iter(answers.values())))
    frame = pd.DataFrame(
        {"area_code": "BU03440000", "weight": 1.0, "stratum": "all", **design, **answers}, index=range(n)
    )
    scale = Scale("s", "Schaal", subdimension, items, min_share)
    book = Codebook("eigen", "Eigen", missing=(9,), min_share_answered=min_share, scales=(scale,))
    return Survey(frame.astype(dict.fromkeys(answers, float)), book, 2023)


def scores(answers: Mapping[str, list[float]], min_share: float = 0.5) -> list[float]:
    return Concept.load().score(survey(answers, min_share)).frame["participatie"].tolist()


@pytest.fixture
def two_scales(tmp_path: Path) -> Survey:
    (tmp_path / "eigen.toml").write_text(TWO_SCALES, encoding="utf-8", newline="\n")
    answers = {
        "groet": [3, 3, 3, NAN],  # 10, 10, 10, -
        "praat": [3, 2, NAN, NAN],  # 10, 5, -, -
        "helpt": [1, 5, 1, 1],  # 10, 0, 10, 10
        "leent": [1, NAN, 1, 1],  # 10, -, 10, 10
        "mijdt": [5, NAN, 3, 3],  # 10, -, 5, 5
    }
    frame = pd.DataFrame({"area_code": "BU03440000", "weight": 1.0, "stratum": "all", **answers})
    return Survey(frame, Codebook.load(tmp_path / "eigen.toml"), 2023)


def test_the_ends_score_0_and_10() -> None:
    forward, back = Item("a", "s", 1, 5, (1, 2, 3, 4, 5)), Item("b", "s", 5, 1, (1, 2, 3, 4, 5))
    answers = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, NAN])
    np.testing.assert_allclose(item_score(answers, forward), [0, 2.5, 5, 7.5, 10, NAN])
    np.testing.assert_allclose(item_score(answers, back), [10, 7.5, 5, 2.5, 0, NAN])


def test_marks_of_1_to_10_fill_the_whole_scale() -> None:
    # Leefplekmeter and Lemon: 1 to 10 becomes 0 to 10
    np.testing.assert_allclose(item_score(pd.Series([1.0, 5.5, 10.0]), Item("a", "s", 1, 10, (1, 10))), [0, 5, 10])


def test_a_reversed_item_turns_before_the_mean() -> None:
    # (10 + 10) / 2, (10 + 0) / 2, (2.5 + 7.5) / 2
    assert scores({"a": [5, 5, 2], "b_omgekeerd": [1, 5, 2]}) == [10, 5, 5]


@pytest.mark.parametrize(("min_share", "expected"), [(0.25, [10, 10, 5]), (0.5, [NAN, 10, 5]), (1.0, [NAN] * 2 + [5])])
def test_the_share_that_must_be_answered(min_share: float, expected: list[float]) -> None:
    answers = {"a": [5.0, 5, 5], "b": [NAN, 5, 1], "c": [NAN, NAN, 5], "d": [NAN, NAN, 1]}  # 1, 2 and 4 of 4 answered
    np.testing.assert_allclose(scores(answers, min_share), expected)


def test_no_answer_at_all_is_missing() -> None:
    assert np.isnan(scores({"a": [NAN], "b": [NAN]}, min_share=0.01)).all()


def test_what_is_not_asked_is_missing_and_does_not_count_in_the_share() -> None:
    full = survey({"a": [5.0], "b": [1.0]}, min_share=1.0)
    without = Survey(full.frame.drop(columns="b"), full.codebook, 2023)
    result = Concept.load().score(without)
    assert result.frame["participatie"].tolist() == [10]
    assert result.frame["plaatsidentiteit"].isna().all()  # no items at all in this source
    assert (result.source, result.year, result.subdimensions) == ("eigen", 2023, Concept.load().subdimensions)
    assert repr(result).startswith("Scores of eigen 2023: 1 respondents")


def test_a_codebook_of_another_concept_is_refused() -> None:
    with pytest.raises(DataError, match="codebook eigen informs unknown sub-dimensions"):
        Concept.load().score(survey({"a": [1.0]}, subdimension="geluk"))


def test_each_scale_has_its_own_rule_for_missing_items(two_scales: Survey) -> None:
    # omgang wants both items: the last two respondents miss one; hulp wants half of three: the second gave one
    np.testing.assert_allclose(scale_scores(two_scales)["omgang"], [10, 7.5, NAN, NAN])
    np.testing.assert_allclose(scale_scores(two_scales)["hulp"], [10, NAN, 25 / 3, 25 / 3])


def test_scales_count_by_their_items_and_enough_of_them_must_be_scored(two_scales: Survey) -> None:
    # first: both scales are 10. Second: omgang only, 2 of 5 items, less than the codebook's 0.6. Others: hulp, 3 of 5
    np.testing.assert_allclose(
        score(two_scales, ["omgang_en_relaties"]).frame["omgang_en_relaties"], [10, NAN, *[25 / 3] * 2]
    )
    both = Survey(two_scales.frame.assign(praat=[1.0, 2, 3, 3], groet=[1.0, 3, 3, 3]), two_scales.codebook, 2023)
    # first: omgang 0 with 2 items, hulp 10 with 3
    assert score(both, ["omgang_en_relaties"]).frame["omgang_en_relaties"].iloc[0] == pytest.approx(6)


def test_a_scale_that_was_not_asked_is_missing_and_leaves_the_other(two_scales: Survey) -> None:
    part = Survey(two_scales.frame.drop(columns=["groet", "praat"]), two_scales.codebook, 2023)
    assert scale_scores(part)["omgang"].isna().all()
    np.testing.assert_allclose(
        score(part, ["omgang_en_relaties"]).frame["omgang_en_relaties"], [10, NAN, *[25 / 3] * 2]
    )


@pytest.mark.parametrize(
    ("source", "scales"), [("place_attachment_scale", 2), ("leefplekmeter", 4), ("veiligheidsmonitor", 4)]
)
def test_scales_of_the_packages_codebooks(source: str, scales: int) -> None:
    # two factors of four items; themes of all four sub-dimensions; one scale per sub-dimension
    book = Codebook.load(source)
    best = pd.DataFrame({i.name: [float(i.best), float(i.worst)] for i in book.items})
    frame = pd.concat([pd.DataFrame({"area_code": ["BU03440000"] * 2, "weight": 1.0, "stratum": "all"}), best], axis=1)
    found = scale_scores(Survey(frame, book, 2023))
    assert len(found.columns) >= scales
    np.testing.assert_allclose(found.to_numpy(), [[10.0] * len(found.columns), [0.0] * len(found.columns)])


def test_the_columns_of_the_design_are_carried_on() -> None:
    made = survey({"a": [1.0, 2]}, cluster=["p", "q"], fpc=[10.0, 20], replicate_1=[1.0, 2])
    frame = Concept.load().score(made).frame
    assert list(frame)[:6] == ["area_code", "weight", "stratum", "cluster", "fpc", "replicate_1"]
    assert "a" not in frame
    assert Concept.load().score(made).survey_design is made.design


def test_an_item_that_everybody_answered_alike_is_scored_and_noted() -> None:
    result = score(survey({"a": [1, 5, 3], "b": [5, 5, 5], "c": [NAN] * 3}), ["participatie"])
    assert result.frame["participatie"].tolist() == [5, 10, 7.5]
    assert result.notes == (
        "participatie: item b has one answer category: it is scored, but tells nobody apart",
        "participatie: item c has no answers at all, though it counts as asked",
    )


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown method of scoring"):
        score(survey({"a": [1.0]}), ["participatie"], "rasch")


def graded(n: int = 400) -> Survey:
    rng = np.random.default_rng(5)
    theta = rng.standard_normal(n)
    answers = {
        i: 1.0 + (theta[:, None] + rng.logistic(size=(n, 4)) / 1.5 > [-1.5, -0.5, 0.5, 1.5]).sum(axis=1) for i in "abcd"
    }
    answers["a"][answers["a"] == 1] = 2  # nobody answers 1
    answers["e"] = np.full(n, 5.0)
    answers["b"][:3] = NAN
    for item in "abcde":
        answers[item][0] = NAN
    answers["c"][1:3] = answers["d"][1:3] = answers["e"][1:3] = NAN  # two respondents with one answer
    return survey({k: list(v) for k, v in answers.items()})


def test_graded_scores_come_with_errors_and_need_one_answer() -> None:
    made = graded()
    sums, found = (score(made, ["participatie", "plaatsidentiteit"], m) for m in ("sum", "graded"))
    assert sums.errors is None
    assert found.errors is not None
    assert sums.frame["participatie"].isna().sum() == 3
    assert np.isnan(found.frame["participatie"]).tolist() == [True, *[False] * 399]
    assert found.frame["participatie"].between(0, 10).sum() == 399
    assert np.isnan(found.errors["participatie"]).tolist() == [True, *[False] * 399]
    assert (found.errors["participatie"].iloc[1:3] > found.errors["participatie"].iloc[3:].mean()).all()  # one answer
    assert found.errors["plaatsidentiteit"].isna().all()
    both = pd.concat([sums.frame["participatie"], found.frame["participatie"]], axis=1).dropna()
    assert both.corr().iloc[0, 1] > 0.95
    assert found.notes == (
        "participatie: item e has one answer category: it is scored, but tells nobody apart",
        "participatie: item a: nobody chose 1",
        "participatie: item e: nobody chose 1, 2, 3, 4",
    )


def test_with_one_item_graded_scores_are_sum_scores_and_say_so() -> None:
    found = score(survey({"a": [1, 3, 5]}), ["participatie"], "graded")
    assert found.frame["participatie"].tolist() == [0, 5, 10]
    assert found.notes == ("participatie: fewer than two items vary, so that the sum score is used, without errors",)
    assert found.errors is not None
    assert found.errors["participatie"].isna().all()


def test_scores_that_are_equal_by_the_answers_are_equal_numbers() -> None:
    """10/3 five times over five, or 0, 10/3 and 20/3 over three, differ in the last digit when summed."""
    rng = np.random.default_rng(6)
    answers = np.where(rng.uniform(size=(500, 5)) < 0.2, NAN, rng.integers(1, 5, (500, 5)))
    items = tuple(Item(f"v{j}", "participatie", 1, 4, codes=(1, 2, 3, 4), scale="s") for j in range(5))
    scale = Scale("s", "Schaal", "participatie", items, 0.2)
    book = Codebook("eigen", "Eigen", min_share_answered=0.2, scales=(scale,))
    frame = pd.DataFrame(answers, columns=[i.name for i in items]).assign(
        area_code="BU03440000", weight=1.0, stratum="all"
    )
    found = score(Survey(frame, book, 2023), ["participatie"]).frame["participatie"]
    exact = [Fraction(int(np.nansum(a - 1)), int(np.isfinite(a).sum())) for a in answers[found.notna()]]
    assert found.dropna().groupby(exact).nunique().eq(1).all()
    assert found.nunique() == len(set(exact)) >= 30
