"""Notes in two languages: what they say, and that the code makes no note without its Dutch."""

from __future__ import annotations

import ast
import pickle
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import buurtsae
from buurtsae.estimates.labels import EXACT, EXTRAPOLATED, IMPUTED, PROTECTING, Rules, basis, in_english
from buurtsae.model.priors import PC
from buurtsae.notes import Note
from buurtsae.survey.codebook import Codebook, available
from buurtsae.survey.concept import Concept

HOME = Path(buurtsae.__file__).parent
MODULES = sorted(HOME.rglob("*.py"))
HOLDERS = ("notes", "said", "advice")  # what notes are kept in, whatever stands before: self.notes, notes_of_items


def test_a_note_is_its_english_and_carries_its_dutch() -> None:
    codes = [f"BU{i}" for i in range(7)]
    note = Note("{n} of {codes}: {x:.1f}%", "{n} van {codes}: {x:.1f}%", n=7, codes=codes, x=12.34)
    assert note == "7 of BU0, BU1, BU2, BU3, BU4 and 2 more: 12.3%"
    assert note.nl == "7 van BU0, BU1, BU2, BU3, BU4 en nog 2: 12,3%"
    mean = Note("{sum:,.1f} / {n:,} = {x:g}", "{sum:,.1f} / {n:,} = {x:g}", sum=1234.5, n=1000, x=1.2345)
    assert (mean, mean.nl) == ("1,234.5 / 1,000 = 1.2345", "1.234,5 / 1.000 = 1,2345")
    some = Note("{x:g} ({who})", "{x:g} ({who})", x=[1.5, 2.0], who=Note.listed([Note("one", "een"), "b", "c"], 2))
    assert (some, some.nl) == ("1.5, 2 (one, b and 1 more)", "1,5; 2 (een, b en nog 1)")
    assert Note("{a}", "{a}", a=["b and c"]).nl == "b and c"  # of a name nothing is translated
    inside = Note("{what}: {x}", "{what}: {x}", what=note, x="{y}")  # nor is a value read for fields
    assert (inside, inside.nl) == (f"{note}: {{y}}", f"{note.nl}: {{y}}")
    assert (note.under("bron"), note.under("bron").nl) == (f"bron: {note}", f"bron: {note.nl}")
    assert Note.joined([note, note]).nl == f"{note.nl}; {note.nl}"
    assert Note("{no field}", "{geen veld}").nl == "{geen veld}"
    assert Note("{prior}", "{prior}", prior=PC(1.0, 0.05)).nl == "PC: P(> 1) = 0,05"  # a value that has words
    back = pickle.loads(pickle.dumps(note))
    assert (type(back), back, back.nl) == (Note, note, note.nl)


def test_notes_are_short_whatever_the_input_holds() -> None:
    long = "x" * 50_000
    note = Note("{a}: {b}", "{a}: {b}", a=long, b=[long] * 1000).under(long)
    assert max(len(note), len(note.nl)) < 1000
    assert "(50000 characters)" in note.nl


def _strings(node: ast.AST) -> Iterator[ast.expr]:
    """Texts in an expression that are in no call of `Note`, nor a key, an index or the argument of another call."""
    if isinstance(node, ast.Call):
        kept = "Note" in ast.unparse(node.func)
        for argument in [] if kept else node.args:
            if not isinstance(argument, ast.Constant):
                yield from _strings(argument)
    elif isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        if not (isinstance(node, ast.Constant) and not node.value):
            yield node
    elif not isinstance(node, ast.Subscript | ast.Compare | ast.Dict):
        for child in ast.iter_child_nodes(node):
            yield from _strings(child)


def _named(target: ast.AST) -> bool:
    key = target.slice if isinstance(target, ast.Subscript) else None
    name = key.value if isinstance(key, ast.Constant) else getattr(target, "attr", getattr(target, "id", ""))
    name = str(name)
    return any(name == h or name.startswith(f"{h}_") or name.endswith(f"_{h}") for h in HOLDERS)


def _made(tree: ast.AST) -> Iterator[ast.expr]:
    """Every expression that becomes a note: appended, added, assigned, handed on as `notes`, or returned as advice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _named(node.func.value):
            yield from node.args if node.func.attr in ("append", "extend") else []
        if isinstance(node, ast.Call):
            yield from (k.value for k in node.keywords if k.arg == "notes")
        if isinstance(node, ast.AugAssign) and _named(node.target):
            yield node.value
        if isinstance(node, ast.Assign) and any(_named(t) for t in node.targets):
            yield node.value
        if isinstance(node, ast.FunctionDef) and node.name.strip("_") in ("notes", "advice"):
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None)


def _bare(tree: ast.AST) -> list[str]:
    return [f"line {text.lineno}: {ast.unparse(text)}" for made in _made(tree) for text in _strings(made)]


@pytest.mark.parametrize(
    "code",
    [
        "notes.append(f'{n} rows left out')",
        "notes += ['a'] if flag else []",
        "said = ['a', *others]",
        "f(notes=(*notes, 'a'))",
        "entry['notes'] = ['a']",
        "def advice(self):\n    return 'do this'",
    ],
)
def test_a_text_without_dutch_is_seen(code: str) -> None:
    assert len(_bare(ast.parse(code))) == 1
    dutch = code.replace("f'{n} rows left out'", "Note('a', 'b')").replace("'a'", "Note('a', 'b')")
    assert _bare(ast.parse(dutch.replace("'do this'", "Note('a', 'b')"))) == []


@pytest.mark.parametrize("path", MODULES, ids=[p.relative_to(HOME).as_posix() for p in MODULES])
def test_every_note_in_the_code_has_its_dutch(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert _bare(tree) == [], "write Note(english, dutch) instead of a text"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Note":
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if node.keywords and len(texts) == 2:
                en, nl = ({field for _, field, _, _ in string.Formatter().parse(str(text)) if field} for text in texts)
                assert en == nl == {k.arg for k in node.keywords}, f"line {node.lineno}: {texts}"


def test_every_reason_has_its_english() -> None:
    rows = pd.DataFrame(
        {
            "n_respondents": [0, 1, 9, 9],
            "reliability": [0.9, 0.1, 0.1, 0.9],
            "lower": 1.0,
            "upper": 9.0,
            "own_data_share": 0.1,
            "area_code": ["a", "b", "c", "d"],
            "population": [5, 50, 50, 50],
        }
    )
    rules = Rules(min_respondents=3, min_reliability=0.5, max_width=2.5, max_half_width=9.0, min_own_share=0.25)
    reasons = rules.reasons(
        rows, {IMPUTED: {"a"}, EXTRAPOLATED: {"b"}}, np.array([False, True, True, False]), share=True
    )
    parts = [text for texts in reasons.values() for text in texts]
    assert len(parts) == 10
    assert PROTECTING in parts
    for text in (*parts, EXACT):
        assert in_english(text) != text, f"`labels.REASONS` lacks {text!r}"
    assert in_english("minder dan 3 respondenten; interval breder dan 2,5") == (
        "fewer than 3 respondents; interval wider than 2.5"
    )
    assert in_english("") == ""


def test_basis_is_by_own_share_and_respondents() -> None:
    rows = pd.DataFrame({"own_data_share": [0.9, 0.5, 0.49, 0.2, 0.19, None, 0.9], "n_respondents": [9] * 6 + [0]})
    assert list(basis(rows)) == [
        *["eigen_respondenten"] * 2,
        *["gemengd"] * 2,
        *["vooral_model"] * 3,
    ]


@pytest.mark.parametrize("source", available())
def test_codebooks_and_concept_have_their_english(source: str) -> None:
    book = Codebook.load(source)
    texts = [(getattr(book, k), getattr(book, f"{k}_en")) for k in ("owner", "mode", "licence")]
    texts += [pair for i in book.indicators for pair in ((i.nl, i.en), (i.unit, i.unit_en))]
    texts += [(n.about, n.about_en) for n in Concept.load().nodes.values()]
    assert all(bool(nl) == bool(en) for nl, en in texts)
    assert book.en
