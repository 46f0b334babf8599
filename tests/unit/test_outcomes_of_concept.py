"""A concept of any measures, each with an outcome, scale and unit; answers that count for a share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import DataError, ProblemsError
from buurtsae.scale import PERCENT, SCORE, Scale
from buurtsae.survey.codebook import Codebook, Item
from buurtsae.survey.concept import Concept, Measure
from buurtsae.survey.scales import item_score, scale_scores
from buurtsae.survey.survey import Survey

BOOK = """\
id = "monitor"
nl = "Monitor"
kind = "survey"
level = "gemeente"
references = ["een rapport"]
missing = [9]
min_share_answered = 0.5

[[scale]]
id = "s"
subdimension = "eenzaam"
answers = { 1 = "nooit", 2 = "soms", 3 = "vaak" }
share = { from = 3 }
items = [{ name = "eenzaam_vraag" }]
"""
SCORED = """
[[scale]]
id = "t"
subdimension = "tevreden"
answers = { 1 = "nee", 2 = "ja" }
worst = 1
best = 2
items = [{ name = "tevreden_vraag" }]
"""
NODE = '[[node]]\nid = "{id}"\nnl = "X"\nen = "x"\nabout = "x"\n'


def book(tmp_path: Path, text: str = BOOK) -> Codebook:
    path = tmp_path / "monitor.toml"
    path.write_text(text, encoding="utf-8", newline="\n")
    return Codebook.load(path)


def concept(tmp_path: Path, **nodes: str) -> Concept:
    path = tmp_path / "concept.toml"
    text = [NODE.format(id=name) + keys for name, keys in nodes.items()]
    path.write_text("\n".join(text), encoding="utf-8", newline="\n")
    return Concept.load(path)


def problems_of(error: pytest.ExceptionInfo[DataError]) -> list[str]:
    return [str(problem) for problem in getattr(error.value, "problems", (error.value,))]


# --- the concept


def test_measures_stand_by_themselves_each_on_its_own_scale(tmp_path: Path) -> None:
    made = concept(
        tmp_path,
        eenzaam='outcome = "share"\n',
        bezoek='outcome = "count"\nunit = "keer per week"\nunit_en = "times a week"\n',
        gezond='outcome = "ordinal"\n',
        cijfer="scale = { lower = 1, upper = 10 }\n",
        tevreden="",
    )
    assert made.measures == made.subdimensions == ("eenzaam", "bezoek", "gezond", "cijfer", "tevreden")
    assert [made.outcome_of(m) for m in made.measures] == ["share", "count", "ordinal", "score", "score"]
    assert made.scale_of("eenzaam") == PERCENT
    assert made.scale_of("bezoek") == Scale(0, np.inf, "keer per week", "times a week")
    assert (made.scale_of("cijfer"), made.scale_of("tevreden")) == (Scale(1, 10), SCORE)
    np.testing.assert_array_equal(made.matrix, np.eye(5))
    assert made.noun.nl == "cijfer"
    assert made.heading.nl == "Cijfers"
    assert not made.alike


def test_one_scale_of_all_is_that_scale_and_several_have_one_that_holds_them(tmp_path: Path) -> None:
    assert Concept.load().span == Concept.load().scale == SCORE
    assert Concept.load().noun.nl == "score"
    assert Concept.load().heading.nl == "Buurtverbondenheid"
    span = concept(tmp_path, a='outcome = "share"\n', b="").span
    assert (span.lower, span.upper, span.mixed) == (0, 100, True)


def test_a_mean_has_the_outcome_and_scale_of_its_parts(tmp_path: Path) -> None:
    part = 'outcome = "share"\nparent = "t"\n'
    made = concept(tmp_path, t="", a=part, b=part)
    assert (made.outcome_of("t"), made.scale_of("t")) == ("share", PERCENT)


@pytest.mark.parametrize(
    ("parts", "above", "says"),
    [
        (('outcome = "share"\n', ""), "", ("is a mean of unlike parts", "a: share from 0 to 100%", "b: score from 0")),
        (("scale = { lower = 0, upper = 5 }\n", ""), "", ("is a mean of unlike parts", "from 0 to 5")),
        (('outcome = "ordinal"\n', 'outcome = "ordinal"\n'), "", ("is a mean of codes",)),
        (('outcome = "share"\n', 'outcome = "share"\n'), 'outcome = "count"\n', ("is unlike its parts", "count")),
    ],
)
def test_unlike_parts_are_refused_by_name(
    tmp_path: Path, parts: tuple[str, str], above: str, says: tuple[str, ...]
) -> None:
    nodes = {name: keys + 'parent = "t"\n' for name, keys in zip("ab", parts, strict=True)}
    with pytest.raises(DataError) as raised:
        concept(tmp_path, t=above, **nodes)
    assert all(text in str(raised.value) for text in ("'t'", *says))
    assert str(raised.value).count("\n") == 2


def test_a_share_has_two_ends(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="share a has not two ends"):
        concept(tmp_path, a='outcome = "share"\nscale = { lower = 0 }\n')


def test_scales_of_an_outcome_per_measure_are_those_of_a_concept_without_its_own() -> None:
    made = Concept({m: Measure(m, m, m, m) for m in "ab"}).on({"a": PERCENT})
    assert (made.scale_of("a"), made.scale_of("b")) == (PERCENT, SCORE)


# --- answers that count


@pytest.mark.parametrize(
    ("share", "counted"),
    [
        ("{ above = 2 }", (3,)),
        ("{ from = 2 }", (2, 3)),
        ("{ below = 2 }", (1,)),
        ("{ codes = [1, 3] }", (1, 3)),
    ],
)
def test_a_share_says_which_answers_count(tmp_path: Path, share: str, counted: tuple[int, ...]) -> None:
    scale = book(tmp_path, BOOK.replace("{ from = 3 }", share)).scales[0]
    assert (scale.outcome, scale.items[0].counted) == ("share", counted)


def test_an_answer_counts_or_not_and_no_answer_is_missing() -> None:
    item = Item("q", "d", 1, 3, (1, 2, 3), counted=(3,))
    answers = pd.Series([1.0, 2, 3, np.nan])
    np.testing.assert_array_equal(item_score(answers, item), [0, 0, 10, np.nan])


def respondents(tmp_path: Path, text: str, **answers: list[int]) -> Survey:
    n = len(next(iter(answers.values())))
    table = pd.DataFrame({"buurtcode": ["BU00010001"] * n, "gewicht": 1.0, **answers})
    table.to_csv(tmp_path / "e.csv", index=False)
    book(tmp_path, text)
    return Survey.read(tmp_path / "e.csv", tmp_path / "monitor.toml", 2024, weight="gewicht")


def test_respondents_get_0_or_100_and_scores_beside_them_points(tmp_path: Path) -> None:
    survey = respondents(tmp_path, BOOK + SCORED, eenzaam_vraag=[1, 2, 3, 9], tevreden_vraag=[1, 2, 2, 1])
    made = concept(tmp_path, eenzaam='outcome = "share"\n', tevreden="scale = { lower = 1, upper = 5 }\n")
    frame = made.score(survey).frame
    np.testing.assert_array_equal(frame["eenzaam"], [0, 0, 100, np.nan])
    np.testing.assert_array_equal(frame["tevreden"], [1, 5, 5, 1])
    graded = made.score(survey, "graded")  # a share is no latent trait
    np.testing.assert_array_equal(graded.frame["eenzaam"], frame["eenzaam"])


@pytest.mark.parametrize(
    ("when", "expected"), [("any", [10, 10, 0, np.nan, np.nan]), ("all", [10, 0, 0, np.nan, np.nan])]
)
def test_of_several_items_any_or_all_must_count(tmp_path: Path, when: str, expected: list[float]) -> None:
    text = BOOK.replace("{ from = 3 }", f'{{ from = 3, items = "{when}" }}')
    text = text.replace('{ name = "eenzaam_vraag" }', '{ name = "p" }, { name = "q", share = { below = 2 } }')
    survey = respondents(tmp_path, text, p=[3, 3, 1, 3, 9], q=[1, 2, 3, 9, 1])
    np.testing.assert_array_equal(scale_scores(survey)["s"], expected)


@pytest.mark.parametrize("outcome", ["count", "ordinal"])
def test_counts_and_ordered_answers_are_the_numbers_answered(tmp_path: Path, outcome: str) -> None:
    text = BOOK.replace("share = { from = 3 }", f'outcome = "{outcome}"')
    survey = respondents(tmp_path, text, eenzaam_vraag=[1, 3, 9])
    made = concept(tmp_path, eenzaam=f'outcome = "{outcome}"\n')
    np.testing.assert_array_equal(made.score(survey).frame["eenzaam"], [1, 3, np.nan])


def test_a_codebook_and_a_concept_that_differ_are_refused_with_all_measures(tmp_path: Path) -> None:
    survey = respondents(tmp_path, BOOK + SCORED, eenzaam_vraag=[1, 2], tevreden_vraag=[1, 2])
    with pytest.raises(ProblemsError) as raised:
        concept(tmp_path, eenzaam="", tevreden='outcome = "share"\n').score(survey)
    first, second = problems_of(raised)
    assert "scale s: eenzaam has another outcome" in first
    assert "got share; expected score" in first
    assert "share = { above = 3 }" in second


@pytest.mark.parametrize(
    ("share", "says"),
    [
        ("share = { above = 3 }", "line 13, scale s: no answer counts"),
        ("share = { from = 1 }", "line 13, scale s: every answer counts"),
        ("share = { codes = [3, 7] }", "line 13, scale s: codes that count are no answers"),
        ("share = { above = 1, below = 3 }", "line 13, scale s: which answers count is said in 2 ways"),
        ("share = {}", "line 13, scale s: which answers count is said in 0 ways"),
        ("share = { hoger = 1 }", "line 13, scale s: unknown key `hoger`"),
        ("share = { from = 3 }\nworst = 1", "scale s: a share has no worst and best"),
        ('share = { from = 3 }\noutcome = "count"', "scale s: a count with answers that count"),
        ('outcome = "share"', "scale s: which answers count is not said"),
        ('outcome = "deel"', "scale s: scale.0.outcome is not right"),
        ('share = { from = 3, items = "some" }', "scale s: unknown `items`"),
        ("worst = 1", "scale s: key `best` is absent"),
    ],
)
def test_contradictions_are_told_with_their_line(tmp_path: Path, share: str, says: str) -> None:
    with pytest.raises((DataError, ProblemsError)) as raised:
        book(tmp_path, BOOK.replace("share = { from = 3 }", share))
    assert any(says in problem for problem in problems_of(raised)), problems_of(raised)


@pytest.mark.parametrize(
    ("door", "name"),
    [
        (lambda: Codebook.load(None), "source"),  # type: ignore[arg-type]
        (lambda: Concept.load(5), "path"),  # type: ignore[arg-type]
        (lambda: Concept.load().score(None), "survey"),  # type: ignore[arg-type]
        (lambda: Concept.load().score(pd.DataFrame()), "survey"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_a_wholly_wrong_type(door: Callable[[], object], name: str) -> None:
    with pytest.raises(DataError, match=f"`{name}` is of another kind"):
        door()


@pytest.mark.parametrize("when", ["zz", "any"])
def test_an_item_does_not_say_how_several_count(tmp_path: Path, when: str) -> None:
    item = f'{{ name = "q", share = {{ from = 3, items = "{when}" }} }}'
    text = BOOK.replace("{ from = 3 }", '{ from = 2, items = "any" }')
    with pytest.raises(DataError) as raised:
        book(tmp_path, text.replace('[{ name = "eenzaam_vraag" }]', f'[\n  {{ name = "p" }},\n  {item},\n]'))
    assert raised.value.what == "codebook monitor, line 16, item q: `items` in the share of an item"
    assert raised.value.got == repr(when)


def test_all_contradictions_are_told_at_once(tmp_path: Path) -> None:
    text = BOOK.replace("{ from = 3 }", "{ above = 3 }").replace('"eenzaam_vraag" }', '"p" }, { name = "q" }')
    with pytest.raises(ProblemsError) as raised:
        book(tmp_path, text + SCORED.replace('"tevreden"', '"eenzaam"'))
    told = " ".join(problems_of(raised))
    for part in ("no answer counts", "how several items make a share is not said", "a share has one scale per source"):
        assert part in told


# --- maps


def test_classes_that_are_not_fixed_follow_shares_and_stay_inside_the_ends() -> None:
    rare = PERCENT.breaks(np.linspace(1, 6, 50), fixed=False)
    assert rare[0] > 0
    assert rare[-1] < 10
    assert PERCENT.breaks(np.linspace(94, 99.5, 50), fixed=False)[-1] < 100
    assert PERCENT.breaks() == (30, 40, 50, 55, 60, 65, 70, 80)
