"""`buurtsae init` on the command line, and questions on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from example_runs import call
from typer.testing import CliRunner

from buurtsae.start.choices import Question
from buurtsae.verbs.start import _asked

STAD = Path(__file__).parents[2] / "data" / "voorbeeldstad"
AREAS = ("--areas", STAD / "buurten.gpkg", "--table", STAD / "kerncijfers.csv")
SURVEY = STAD / "enquete_veiligheidsmonitor.csv"


def test_init_then_check(tmp_path: Path) -> None:
    done = call("init", SURVEY, *AREAS, "--year", "2024", "--out", tmp_path / "mijn", "--yes")
    assert done.status == 0
    assert f"wrote {tmp_path / 'mijn' / 'run.toml'}" in done.out
    assert (
        "  column of area codes: buurtcode (100.0% of its codes are buurten of these areas, as published)" in done.out
    )
    assert "left to do:\n  1. say in `credit` whom" in done.out
    assert "all inputs are in order" in done.out
    assert call("check", tmp_path / "mijn" / "run.toml").status == 0


def test_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    again = call("init", SURVEY, *AREAS, "--year", "2024", "--out", tmp_path, "--yes")
    assert again.status == 1
    assert again.err.splitlines() == [
        f"{tmp_path.name} has these files already",
        "  got README.md; expected a folder without them",
        "  hint: choose another --out: none is overwritten",
    ]


def test_json_and_what_is_left(tmp_path: Path) -> None:
    pd.read_csv(SURVEY).rename(columns=lambda name: f"q_{name}" if name[0] in "bgt" else name).to_csv(
        tmp_path / "a.csv", index=False
    )
    spoilt = call("init", tmp_path / "a.csv", *AREAS, "--out", tmp_path / "mijn", "--json")
    assert spoilt.status == 1
    assert [problem["what"] for problem in json.loads(spoilt.out)["problems"]] == ["the year of the areas is not known"]
    done = call("init", tmp_path / "a.csv", *AREAS, "--year", "2024", "--out", tmp_path / "mijn", "--json")
    assert done.status == 0
    content = json.loads(done.out)
    # 18 items, of which those that begin with b, g or t have other names: 5 of them
    assert {"key": "weight", "value": "q_gewicht", "why": "by its name"} in content["choices"]
    assert {"key": "area", "value": "q_buurtcode"}.items() <= next(
        choice for choice in content["choices"] if choice["key"] == "area"
    ).items()
    assert content["ok"] is True


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("nergens.csv", *AREAS), "nergens.csv cannot be read"),
        ((SURVEY, *AREAS, "--gemeente", "x", "--land"), "the place is said in several ways"),
        (
            (SURVEY, *AREAS, "--year", "2024", "--area", "buurtkode"),
            "enquete_veiligheidsmonitor.csv has no such column",
        ),
        ((SURVEY, *AREAS, "--year", "2024", "--source", "kwb"), "kwb has no respondents"),
        ((SURVEY, *AREAS, "--year", "2024", "--source", "ssw2"), "source 'ssw2' has no codebook"),
        ((SURVEY, *AREAS, "--year", "2024", "--source", "ssw"), "enquete_veiligheidsmonitor.csv has no items of ssw"),
        (
            (SURVEY, "--areas", STAD / "buurten.gpkg", "--year", "2024"),
            "the number of residents is in none of the files",
        ),
        ((SURVEY, "--areas", STAD / "kerncijfers.csv", "--year", "2024"), "kerncijfers.csv has no geometry"),
        (tuple(AREAS), "there is no survey"),
        ((SURVEY, "--year", "2024", "--offline", "--refresh"), "without a network nothing can be asked again"),
        ((SURVEY, *AREAS, "--year", "2024", "--osm", "x.osm.pbf"), "--osm is for voorzieningen only"),
    ],
)
def test_bad_input_is_three_lines(tmp_path: Path, args: tuple[str | Path, ...], what: str) -> None:
    done = call("init", *args, "--out", tmp_path / "mijn")
    assert done.status == 1
    assert done.err.splitlines()[-3:][0].startswith(what)
    assert not (tmp_path / "mijn").exists()


def answered(question: Question, text: str) -> tuple[str, str]:
    """What is taken when somebody types this, and what was shown."""
    taken = list[str | None]()
    app = typer.Typer()

    @app.command()
    def ask() -> None:
        taken.append(_asked(question))

    shown = CliRunner().invoke(app, input=text)
    assert shown.exit_code == 0, shown.output
    return str(taken[0]), shown.stderr


def test_a_question_is_asked_until_the_answer_is_possible() -> None:
    question = Question("--area", "which column?", ("buurt", "werkbuurt"), ("id", "buurt", "werkbuurt"))
    answer, shown = answered(question, "straat\nwerkbuurt\n")
    assert answer == "werkbuurt"
    assert "likely: buurt, werkbuurt" in shown
    assert "straat is none of id, buurt, werkbuurt" in shown


def test_enter_takes_the_default_and_a_dash_is_nothing() -> None:
    question = Question("--strata", "which?", ("stratum",), ("stratum", "id"), "stratum", optional=True)
    assert answered(question, "\n")[0] == "stratum"
    assert answered(question, "-\n")[0] == "-"
