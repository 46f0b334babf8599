"""Three lines per error, and all problems at once."""

from __future__ import annotations

import pytest

from buurtsae.errors import BuurtsaeError, DataError, ModelError, Problems, ProblemsError, shown


def test_an_error_has_three_lines() -> None:
    error = DataError("areas occur twice", "BU03440000", "one row per buurt", "remove one")
    assert str(error).splitlines() == [
        "areas occur twice",
        "  got BU03440000; expected one row per buurt",
        "  hint: remove one",
    ]


def test_no_problem_raises_nothing() -> None:
    problems = Problems()
    problems.raise_if_any()
    assert problems.found == []


def test_one_problem_is_raised_as_itself() -> None:
    problems = Problems()
    problems.add("a", "b", "c", "d", ModelError)
    with pytest.raises(ModelError, match="got b; expected c"):
        problems.raise_if_any()


def test_several_problems_are_raised_together_in_order() -> None:
    inner, outer = Problems(), Problems()
    inner.add("first", "1", "2", "x")
    inner.add("second", "1", "2", "x")
    with pytest.raises(ProblemsError) as nested:
        inner.raise_if_any()
    outer.collect(nested.value)
    outer.collect(ModelError("third", "1", "2", "x"))
    with pytest.raises(BuurtsaeError) as raised:
        outer.raise_if_any()
    assert isinstance(raised.value, ProblemsError)
    assert [p.what for p in raised.value.problems] == ["first", "second", "third"]
    assert len(str(raised.value).splitlines()) == 9


@pytest.mark.parametrize(("n", "text"), [(0, ""), (2, "0, 1"), (5, "0, 1, 2, 3, 4"), (7, "0, 1, 2, 3, 4 and 2 more")])
def test_shown_counts_the_rest(n: int, text: str) -> None:
    assert shown(range(n)) == text
