"""Codebooks: the package's own, a user's own, and every contradiction refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from buurtsae.errors import DataError, ProblemsError
from buurtsae.survey.codebook import Codebook, available
from buurtsae.survey.concept import Concept

GOOD = """
id = "eigen"
nl = "Eigen onderzoek"
kind = "survey"
references = ["een rapport"]
missing = [9]
min_share_answered = 0.5

[[scale]]
subdimension = "participatie"
answers = { 1 = "nooit", 2 = "soms", 3 = "vaak" }
worst = 1
best = 3
items = [{ name = "doet_mee" }, { name = "blijft_thuis", worst = 3, best = 1, about = "omgekeerd" }]
"""


def test_a_codebook_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "eigen.toml").write_text(GOOD, encoding="utf-8", newline="\n")
    book = Codebook.load(tmp_path / "eigen.toml")
    assert (book.id, book.kind, book.missing, book.subdimensions) == ("eigen", "survey", (9,), ("participatie",))
    first, second = book.of("participatie")
    assert (first.name, first.worst, first.best, first.codes) == ("doet_mee", 1, 3, (1, 2, 3))
    assert (second.name, second.worst, second.best, second.about) == ("blijft_thuis", 3, 1, "omgekeerd")
    assert book.of("plaatsidentiteit") == ()


@pytest.mark.parametrize("source", available())
def test_the_packages_codebooks_inform_the_concept(source: str) -> None:
    book = Codebook.load(source)
    assert book.id == source
    assert set(book.subdimensions) == set(Concept.load().subdimensions)
    assert all(book.references)


def test_buurtcohesie_has_its_eight_items_one_reversed() -> None:
    # short names and the reversed item as in the Veiligheidsmonitor's scale buurtcohesie
    items = Codebook.load("veiligheidsmonitor").of("omgang_en_relaties")
    assert [i.name for i in items] == [
        "kennen_elkaar_nauwelijks",
        "prettige_omgang",
        "gezellig_helpen",
        "thuis_voelen",
        "veel_contact",
        "tevreden_samenstelling",
        "huissleutel_toevertrouwen",
        "aanspreken_op_gedrag",
    ]
    assert [i.best < i.worst for i in items] == [False] + [True] * 7


def test_a_source_without_codebook_is_refused_with_the_choices() -> None:
    with pytest.raises(DataError) as raised:
        Codebook.load("woon2021")
    assert raised.value.what == "source 'woon2021' has no codebook"
    assert raised.value.expected == ", ".join(available())


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a codebook cannot be read"):
        Codebook.load(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('kind = "survey"', 'kind = "enquete"', "codebook eigen has an unknown kind"),
        ("min_share_answered = 0.5", "min_share_answered = 0", "codebook eigen: min_share_answered"),
        ("min_share_answered = 0.5", "min_share_answered = 1.5", "codebook eigen: min_share_answered"),
        ("best = 3\n", "best = 4\n", "codebook eigen, item doet_mee: worst and best are not the ends of the scale"),
        ("best = 3\n", "best = 1\n", "codebook eigen, item doet_mee: worst and best are not the ends of the scale"),
        ("worst = 3,", "worst = 2,", "codebook eigen, item blijft_thuis: worst and best are not the ends of the scale"),
        ("missing = [9]", "missing = [3, 9]", "codebook eigen, item doet_mee: a code is an answer and missing"),
        ("blijft_thuis", "doet_mee", "codebook eigen, item doet_mee occurs twice"),
        (', 2 = "soms", 3 = "vaak"', "", "codebook eigen, item doet_mee: the scale has no two answers"),
        (
            '{ 1 = "nooit", 2 = "soms", 3 = "vaak" }',
            "{}",
            "codebook eigen, item doet_mee: the scale has no two answers",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in GOOD
    path = tmp_path / "eigen.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8", newline="\n")
    with pytest.raises((DataError, ProblemsError)) as raised:
        Codebook.load(path)
    found = getattr(raised.value, "problems", (raised.value,))
    assert found[0].what == what


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "eigen"', 'id = "eigen'),
        ('nl = "Eigen onderzoek"', ""),
        ('1 = "nooit"', 'een = "nooit"'),
        ("min_share_answered = 0.5", 'min_share_answered = "half"'),
        ("items = [", "vragen = ["),
    ],
)
def test_what_is_no_codebook_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    path = tmp_path / "eigen.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8", newline="\n")
    with pytest.raises(DataError, match=r"eigen\.toml cannot be parsed"):
        Codebook.load(path)


def test_all_contradictions_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace('kind = "survey"', 'kind = "x"')
        .replace("missing = [9]", "missing = [1]")
        .replace("best = 3\n", "best = 2\n")
    )
    path = tmp_path / "eigen.toml"
    path.write_text(text, encoding="utf-8", newline="\n")
    with pytest.raises(ProblemsError) as raised:
        Codebook.load(path)
    # the kind, the end of the first item, and the missing code of both items
    assert len(raised.value.problems) == 4
