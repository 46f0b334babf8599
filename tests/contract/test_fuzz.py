"""Spoiled inputs end in a message of three lines, in notes, or in nothing at all: never in a traceback.

Every class of `mutations` is here in part; all of it is tried by `benchmarks/fuzz.py` (docs/attacks.md).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from example_runs import call
from mutations import Mutation, mutations
from small_run import make_base
from trial import attempt, notes_of, whole_run

EACH = 10  # mutations of a class

EVERY = {str(m): m for m in mutations()}


def some() -> list[Mutation]:
    """As many of each class, spread evenly."""
    classes: dict[str, list[Mutation]] = defaultdict(list)
    for m in EVERY.values():
        if m.kind != "command line":
            classes[m.kind].append(m)
    return [ms[k * len(ms) // n] for ms in classes.values() for n in [min(EACH, len(ms))] for k in range(n)]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def usual(base: Path) -> set[str]:
    done = call("check", base / "bron.toml")
    assert done.status == 0, done.err
    return notes_of(done.out)


@pytest.mark.parametrize("mutation", some(), ids=str)
def test_a_spoiled_input_is_no_traceback(mutation: Mutation, base: Path, usual: set[str], tmp_path: Path) -> None:
    ended = attempt(mutation, base, tmp_path / "run", usual)
    assert ended.how != "failed", ended.text


BEFORE = {  # tracebacks of version 0.1, or runs that wrote what they should not, and what is said now
    "geometry: buurten.parquet: points": "areas are no polygons",
    "geometry: buurten.gpkg: lines": "areas are no polygons",
    "geometry: buurten.parquet: collections of lines": "areas are no polygons",
    "geometry: buurten.parquet: polygons of no area": "areas are no polygons",
    "geometry: degrees called EPSG:25831": "24 areas lie outside the Netherlands",
    "geometry: called EPSG:4326": "areas lie nowhere on Earth",
    "geometry: names that are lists": "buurten.parquet, buurtnaam: cells are no single values",
    "geometry: columns that differ by a space": "buurten.parquet has columns twice",
    "keys of the run file: areas.groupings.0 = geometry": "a grouping cannot have this name",
    "keys of the run file: sources.0.weight = empty": "sources.0.weight is not right",
    "keys of the run file: sources.0.cluster.0 = empty": "sources.0.cluster.0 is not right",
    "keys of the run file: areas.file = NUL": "holds a character that cannot be printed",
    "keys of the run file: areas.file = long path": "cannot be read",
    "keys of the run file: engine.nuts.draws = list": "option draws of engine nuts is impossible",
    "keys of the run file: engine.laplace.draws = text": "option draws of engine laplace is impossible",
    "keys of the run file: variances.spread = inf pair": "variances.spread.0 is not right",
    "keys of a codebook: scale.0.items.0.name = cluster_2": "the name is taken",
    "keys of a concept: node.0.nl = list": "the concept cannot be read",
    "text of the run file: tables 5,000 deep": "run file bron.toml is too long or too deep",
    "text of the run file: keys 5,000 deep": "run file bron.toml is too long or too deep",
    "text of the run file: a number of 5,000 digits": "run file bron.toml is no TOML",
    "columns of a table: vm.csv, gewicht: twice but for a space": "vm.csv has columns twice",
    "cells of a CSV: kerncijfers.csv, inwoners: one cell inf": "the number of residents is no number",
    "cells of a CSV: direct.csv, variance: all cells inf": "direct.csv, variance is no number",
    "cells of a CSV: direct.csv, source: all cells empty": "direct.csv has rows without a source",
    "cells of Parquet: vm.csv, gewicht: numbers of 1e308": "vm.parquet has weights that are missing or no number",
    "cells of Parquet: vm.csv, veel_contact: lists": "vm.parquet, veel_contact: cells are no single values",
    "cells of Parquet: kerncijfers.csv, stedelijkheid: dictionaries": "stedelijkheid: cells are no single values",
}


@pytest.mark.parametrize(("name", "what"), BEFORE.items())
def test_what_was_a_traceback_is_said(name: str, what: str, base: Path, usual: set[str], tmp_path: Path) -> None:
    ended = attempt(EVERY[name], base, tmp_path / "run", usual)
    assert ended.how == "refused", ended.text
    assert what in ended.text


AUDITED = {  # of `audited`: what is said now, where it crashed, passed, or was told wrongly
    "one cluster, empty": ["bron.toml: sources.0.cluster is not right", "got ''"],
    "clusters, one empty": ["bron.toml: sources.0.cluster.0 is not right"],
    "a number as cluster": ["bron.toml: sources.0.cluster is not right"],
    "a space as weight": ["bron.toml: sources.0.weight is not right"],
    "a survey wider than where": ["live where `where` leaves out: widen it"],
    "direct estimates wider than where": ["rows are of areas that `where` leaves out: widen it"],
    "a respondent without code": ["eigen.csv has respondents without buurtcode", "1 rows"],
    "no residents": ["no buurt has residents"],
    "thousands in one cell": ["2860 for 2.860"],
    "a seed of 24,000 bits": ["got a number of 24000 bits"],
    "a file of 300 characters": ["got File name too long; expected"],
    "codes as groups": ["a grouping is a code, a name or the residents of areas"],
    "codes as residents": ["the number of residents cannot be a code or a name"],
    "estimates on 0-100": ["these look like 0-100: divide them by 10"],
    "a long source": ["direct.csv has sources with long names"],
    "benchmarks of 1e-9": ["benchmarks have no standard error"],
    "text as covariate": ["covariates are text", "got soort (land)"],
}
ALLOWED = ("a covariate as groups", "a long column", "1,000 columns of hidden codes", "exact benchmarks, empty se")


@pytest.mark.parametrize(("name", "says"), AUDITED.items())
def test_what_an_audit_found_is_said(name: str, says: list[str], base: Path, usual: set[str], tmp_path: Path) -> None:
    ended = attempt(EVERY[f"audited: {name}"], base, tmp_path / "run", usual)
    assert ended.how == "refused", ended.text
    assert [part for part in says if part not in ended.text] == []
    assert "problems; nothing" not in ended.text or "wider" in name or "long" in name or "0-100" in name


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_told_in_short(name: str, base: Path, usual: set[str], tmp_path: Path) -> None:
    ended = attempt(EVERY[f"audited: {name}"], base, tmp_path / "run", usual)
    assert ended.how in ("accepted", "noted"), ended.text
    assert max(map(len, notes_of(ended.text))) < 500
    assert len(notes_of(ended.text) - usual) <= 1


def test_a_table_with_a_repeated_index_is_read(base: Path, usual: set[str], tmp_path: Path) -> None:
    mutation = EVERY["shape of a table: totalen.csv: a repeated index"]
    assert attempt(mutation, base, tmp_path / "run", usual).how != "failed"


@pytest.mark.parametrize("name", [n for n, m in EVERY.items() if m.kind == "formulas"][::8])
def test_formulas(name: str, base: Path, usual: set[str], tmp_path: Path) -> None:
    ended = attempt(EVERY[name], base, tmp_path / "run", usual)
    assert ended.how != "failed", ended.text


REFUSED = (
    ["plan", "bron.toml", "--budget", "-1"],
    ["plan", "bron.toml", "--budget", "10", "--target", "nan"],
    ["plan", "bron.toml", "--budget", "10", "--measure", "x"],
    ["plan", "direct.toml", "--budget", "10"],
    ["curves", "bron.toml", "--covariate", "x"],
    ["run", "bron.toml", "--out", "uit", "--engine", ""],
    ["run", "a\0b", "--out", "uit"],
    ["run", "x" * 300, "--out", "uit"],
    ["check", "."],
    ["simulate", "--areas", "buurten.gpkg", "--table", "kerncijfers.csv", "--out", "uit", "--rate", "nan"],
    *[["simulate", "--areas", "buurten.gpkg", "--table", "kerncijfers.csv", "--out", "uit", "--source", s]
      for s in ("veiligheidsmonitor=nan", "veiligheidsmonitor=inf", "veiligheidsmonitor=-1", "kwb", "a\0b.toml")],
    *[["init", *words] for words in ([], ["vm.csv"], ["a\0b"], ["."], ["kerncijfers.csv", "--year", "2024"])],
    ["init", "vm.csv", "--areas", "buurten.gpkg", "--table", "kerncijfers.csv", "--year", "2024", "--out", "a\0b"],
    ["sources", "a\0b.toml"],
    ["sources", "x" * 300 + ".toml"],
)  # fmt: skip


@pytest.mark.parametrize("command", REFUSED, ids=lambda c: " ".join(c)[:50])
def test_an_impossible_option_is_refused_before_any_work(
    command: list[str], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the fit too: an engine that is called here fails the test."""
    monkeypatch.setattr("buurtsae.runs.steps.fit", None)
    ended = attempt(Mutation("command line", "", lambda folder: command), base, tmp_path / "run", set())
    assert ended.how == "refused", ended.text
    assert not (tmp_path / "run" / "uit").exists()


FUNCTIONS = ("bs(pct_65plus, 4)", "poly(pct_65plus, 2)", "C(stedelijkheid)")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_a_formula_run_to_the_end(function: str, base: Path, usual: set[str], tmp_path: Path) -> None:
    (name,) = (n for n in EVERY if n.endswith(f"'1 + {function}'"))
    assert attempt(EVERY[name], base, tmp_path / "run", usual).how == "accepted"
    ended = whole_run(tmp_path / "run", "eblup")
    assert ended.how == "accepted", ended.text


WHOLE = (
    "geometry: buurten.parquet: polygons in two parts",
    "keys of a concept: node.1.en = markup",
)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_accepted_runs_to_the_end(name: str, base: Path, usual: set[str], tmp_path: Path) -> None:
    assert attempt(EVERY[name], base, tmp_path / "run", usual).how in ("accepted", "noted")
    ended = whole_run(tmp_path / "run", "eblup")
    assert ended.how == "accepted", ended.text
