"""The verb `sources`: every source listed, explained, refused, and the page docs/sources.md as it writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import call

from buurtsae.survey.codebook import Codebook, available

OWN = """\
id = "eigen"
nl = "Eigen onderzoek"
kind = "participatory"
level = "buurt"
references = ["een rapport"]
min_share_answered = 1

[[scale]]
id = "groen"
subdimension = "plaatsgeschiktheid"
answers = { from = 1, to = 10 }
worst = 1
best = 10
items = [{ name = "bomen", about = "bomen in de straat" }]
"""


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_names_every_source_and_fits_the_screen(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = call("sources")
    assert (done.status, done.err) == (0, "")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert max(map(len, lines)) <= 100  # the last line, which wraps by itself; the table fits
    rows = {line.split()[0]: line for line in lines if line.split() and line.split()[0] in available()}
    assert list(rows) == available()
    assert max(map(len, rows.values())) <= width
    assert "…" not in done.out
    for name, row in rows.items():
        book = Codebook.load(name)
        assert row.split()[1] == book.kind + "*" * book.modelled
        assert f" {book.level} " in row
        # the numbers at the end: items or figures, then one number for each sub-dimension
        assert row.split()[-len(book.subdimensions) - 1] == str(len(book.items) or len(book.indicators))


def test_piped_output_is_wide_enough_for_a_line_per_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = next(line for line in call("sources").out.splitlines() if line.startswith("rivm_gezondheid"))
    assert "2012, 2016, 2020, 2022 en 2024" in row


def test_sources_are_explained_in_full_one_s_own_too(tmp_path: Path) -> None:
    (tmp_path / "eigen.toml").write_text(OWN, encoding="utf-8", newline="\n")
    done = call("sources", "ssw", tmp_path / "eigen.toml")
    assert done.status == 0
    assert done.out.startswith("ssw: Sociale Samenhang en Welzijn\n")
    assert "\n\neigen: Eigen onderzoek\n" in done.out
    for item in (*Codebook.load("ssw").items, *Codebook.load(tmp_path / "eigen.toml").items):
        assert item.name in done.out


def test_sources_for_programs() -> None:
    every = json.loads(call("sources", "--json").out)["sources"]
    assert [s["id"] for s in every] == available()
    (ssw,) = json.loads(call("sources", "ssw", "--json").out)["sources"]
    assert ssw["subdimensions"] == ["omgang_en_relaties", "participatie"]
    assert ssw["scales"][0]["items"][0]["codes"] == [1, 2, 3, 4, 5]
    assert "eenzaam" in json.dumps(ssw)


def test_every_problem_of_every_source_in_one_report(tmp_path: Path) -> None:
    text = OWN.replace("best = 10", "best = 9").replace('level = "buurt"', 'level = "straat"')
    (tmp_path / "eigen.toml").write_text(text, encoding="utf-8", newline="\n")
    done = call("sources", tmp_path / "eigen.toml", "omnibus")
    assert (done.status, done.out) == (1, "")
    assert [line for line in done.err.splitlines() if not line.startswith(" ")][:3] == [
        "codebook eigen, line 4: unknown level",
        "codebook eigen, line 12, scale groen: worst and best are not the ends of the scale",
        "source 'omnibus' has no codebook",
    ]
    problems = json.loads(call("sources", tmp_path / "eigen.toml", "--json").out)["problems"]
    assert problems[0]["got"] == "'straat'"


def test_the_page_of_sources_is_current(root: Path) -> None:
    written = (root / "docs" / "sources.md").read_text(encoding="utf-8")
    assert written == call("sources", "--markdown").out, "write it anew: buurtsae sources --markdown > docs/sources.md"


def test_the_example_on_the_page_is_a_codebook(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "sources.md").read_text(encoding="utf-8")
    text = page.split("```toml\n")[1].split("```")[0]
    (tmp_path / "eigen.toml").write_text(text, encoding="utf-8", newline="\n")
    groeten, ruzie = Codebook.load(tmp_path / "eigen.toml").items
    assert (groeten.worst, groeten.best, ruzie.worst, ruzie.best) == (3, 1, 1, 3)
