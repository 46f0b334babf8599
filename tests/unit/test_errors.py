"""Three lines per error, and all problems at once."""

from __future__ import annotations

import pytest

from buurtsae.errors import (
    ALIKE,
    PART,
    TOTAL,
    BuurtsaeError,
    DataError,
    ModelError,
    Problems,
    ProblemsError,
    cut,
    shown,
)


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


def test_a_step_that_fails_is_recorded_and_gives_nothing() -> None:
    def half(n: int) -> int:
        if n % 2:
            raise DataError("an odd number", str(n), "an even one", "add one")
        return n // 2

    problems = Problems()
    assert [problems.attempt(half, n) for n in (2, 3, 5)] == [1, None, None]
    assert [p.got for p in problems.found] == ["3", "5"]
    with pytest.raises(ZeroDivisionError):  # what is no problem of the input is not hidden
        problems.attempt(lambda: 1 // 0)


@pytest.mark.parametrize(("n", "text"), [(0, ""), (2, "0, 1"), (5, "0, 1, 2, 3, 4"), (7, "0, 1, 2, 3, 4 and 2 more")])
def test_shown_counts_the_rest(n: int, text: str) -> None:
    assert shown(range(n)) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kort", "kort"),
        ("twee\nregels\r\n  drie ", "twee regels drie"),
        ("bel\x07, NUL\0, terug\u202e", "bel\\x07, NUL\\x00, terug\\u202e"),
        ("x" * 80, "x" * 80),
        ("x" * 1_000_000, "x" * 56 + "... (1000000 characters)"),
    ],
    ids=["short", "lines", "signs", "just", "long"],
)
def test_cut_is_one_line_of_bounded_length(text: str, line: str) -> None:
    assert cut(text) == line
    assert len(cut(text)) <= 81


def test_a_message_has_three_lines_whatever_is_in_it() -> None:
    error = DataError("a\nb", "x" * 100_000, "één\n\ntwee", "c\rd")
    what, got, hint = str(error).splitlines()
    assert (what, hint) == ("a b", "  hint: c d")
    assert len(got) < 2 * PART
    assert len(shown(["y" * 100_000] * 9)) < 500


def test_many_problems_of_one_kind_are_counted() -> None:
    problems = Problems()
    for k in range(1000):
        problems.add(f"unknown key u{k}", f"'u{k}'", "known keys", "remove it")
    problems.add("another", "1", "2", "3", ModelError)
    with pytest.raises(ProblemsError) as raised:
        problems.raise_if_any()
    assert raised.value.count == 1001
    *first, rest, other = raised.value.problems
    assert [p.what for p in first] == [f"unknown key u{k}" for k in range(ALIKE - 1)]
    assert (rest.what, rest.got) == ("996 more such problems", "'u4', 'u5', 'u6' and 993 more")
    assert (other.what, type(other)) == ("another", ModelError)


def test_all_messages_together_are_short() -> None:
    problems = Problems()
    for k in range(300):
        problems.add(f"problem {k} " + "w" * 300, "g" * 300, f"expected {k}", f"hint {k}")
    with pytest.raises(ProblemsError) as raised:
        problems.raise_if_any()
    told = raised.value.problems
    assert len(str(raised.value)) <= TOTAL
    assert told[-1].what == f"{300 - len(told) + 1} more kinds of problems"
    assert len(str(raised.value).splitlines()) == 3 * len(told)
