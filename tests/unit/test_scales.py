"""From answers to scores on 0-10: the ends, reversed items, and how much must be answered."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import DataError
from buurtsae.survey.codebook import Codebook, Item
from buurtsae.survey.concept import Concept
from buurtsae.survey.scales import item_score
from buurtsae.survey.survey import Survey


def survey(answers: dict[str, list[float]], min_share: float = 0.5, subdimension: str = "participatie") -> Survey:
    """Answers 1 to 5; an item whose name ends in `_omgekeerd` is reversed."""
    ends = {name: (5, 1) if name.endswith("_omgekeerd") else (1, 5) for name in answers}
    items = tuple(Item(name, subdimension, *ends[name], codes=(1, 2, 3, 4, 5)) for name in answers)
    n = len(next(iter(answers.values())))
    frame = pd.DataFrame({"area": "BU03440000", "weight": 1.0, "stratum": "all", **answers}, index=range(n))
    return Survey(frame, Codebook("eigen", "Eigen", "survey", items, (9,), min_share), 2023)


def scores(answers: dict[str, list[float]], min_share: float = 0.5) -> list[float]:
    return Concept.load().score(survey(answers, min_share)).frame["participatie"].tolist()


def test_the_ends_score_0_and_10() -> None:
    forward, back = Item("a", "s", 1, 5, (1, 2, 3, 4, 5)), Item("b", "s", 5, 1, (1, 2, 3, 4, 5))
    answers = pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    np.testing.assert_allclose(item_score(answers, forward), [0, 2.5, 5, 7.5, 10, np.nan])
    np.testing.assert_allclose(item_score(answers, back), [10, 7.5, 5, 2.5, 0, np.nan])


def test_marks_of_1_to_10_fill_the_whole_scale() -> None:
    # Leefplekmeter and Lemon: 1 to 10 becomes 0 to 10
    np.testing.assert_allclose(item_score(pd.Series([1.0, 5.5, 10.0]), Item("a", "s", 1, 10, (1, 10))), [0, 5, 10])


def test_a_reversed_item_turns_before_the_mean() -> None:
    # (10 + 10) / 2, (10 + 0) / 2, (2.5 + 7.5) / 2
    assert scores({"a": [5, 5, 2], "b_omgekeerd": [1, 5, 2]}) == [10, 5, 5]


@pytest.mark.parametrize(
    ("min_share", "expected"), [(0.25, [10, 10, 5]), (0.5, [np.nan, 10, 5]), (1.0, [np.nan] * 2 + [5])]
)
def test_the_share_that_must_be_answered(min_share: float, expected: list[float]) -> None:
    nan = np.nan
    answers = {"a": [5.0, 5, 5], "b": [nan, 5, 1], "c": [nan, nan, 5], "d": [nan, nan, 1]}  # 1, 2 and 4 of 4 answered
    np.testing.assert_allclose(scores(answers, min_share), expected)


def test_no_answer_at_all_is_missing() -> None:
    assert np.isnan(scores({"a": [np.nan], "b": [np.nan]}, min_share=0.01)).all()


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
