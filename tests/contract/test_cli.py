"""The command line: verbs, options, and the exit statuses 0, 1, 2 and 3."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from example_runs import DemoRun, Example, call

from buurtsae import __version__
from buurtsae.classical.columns import BoundaryWarning
from buurtsae.engines import laplace
from buurtsae.errors import DataError
from buurtsae.publication import output
from buurtsae.runs import steps
from buurtsae.runs.example import example as run_file
from buurtsae.survey.concept import Concept

GRID_RUN = """
[run]
name = "raster"
title = "Raster"
year = 2024
seed = 1
[areas]
file = "buurten.gpkg"
year = 2024
[[sources]]
source = "veiligheidsmonitor"
file = "enquete_veiligheidsmonitor.csv"
year = 2024
strata = "stratum"
"""


def test_the_installed_command_is_this_one() -> None:
    (script,) = entry_points(group="console_scripts", name="buurtsae")
    assert script.value == "buurtsae.cli:main"


@pytest.mark.parametrize("code", ["import buurtsae", "from buurtsae.cli import main; main()"], ids=["import", "help"])
def test_neither_import_nor_help_loads_what_costs_seconds(code: str) -> None:
    heavy = {"pymc", "pytensor", "nutpie", "numba", "statsmodels", "matplotlib", "geopandas", "arviz"}
    program = (
        "import sys\n"
        "sys.argv = ['buurtsae', '--help']\n"
        f"try: {code}\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join({heavy!r} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_names_the_verbs_of_the_contract() -> None:
    done = call("--help")
    assert done.status == 0
    for verb in ("run", "demo", "check", "simulate"):
        assert verb in done.out


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["schat"],
        ["run"],
        ["run", "x.toml"],
        ["run", "x.toml", "--out", "out", "--seed", "-1"],
        ["run", "x.toml", "--out", "out", "--seed", "een"],
        ["check"],
        ["check", "x.toml", "--out", "out"],
        ["simulate", "--out", "out"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--rate", "2"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--where", "provincie"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--source", "veiligheidsmonitor=veel"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--departure", "tails"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--waves", "2020,twee"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--redesign", "burgerpeiling=2020"],
        ["simulate", "--areas", "x.gpkg", "--out", "out", "--persons", "--waves", "2020,2022"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*args)
    assert done.status == 2
    assert "Usage: " in done.err + done.out
    assert list(tmp_path.iterdir()) == []


def test_check_reports_what_was_read(example: Example) -> None:
    done = call("check", example.run)
    assert done.status == 0
    # data/voorbeeldstad/README.md: 120 buurten in 12 wijken and 3 gemeenten, two without residents
    assert "Areas of 2024: 120 buurten (2 without residents) in 12 wijken and 3 gemeenten" in done.out
    assert "veiligheidsmonitor 2024" in done.out
    assert "burgerpeiling 2024" in done.out
    assert "Area-level model (multivariate Fay-Herriot)" in done.out
    assert done.out.rstrip().endswith("all inputs are in order")


def test_check_for_programs_and_in_silence(example: Example) -> None:
    found = json.loads(call("check", example.run, "--json").out)
    assert found["ok"] is True
    assert found["areas"]["buurten"] == 120
    assert len(found["areas"]["without_residents"]) == 2
    assert any("predicted there from" in note for note in found["notes"])  # cells are hidden, and imputed when asked
    quiet = call("check", example.run, "--quiet")
    assert quiet == type(quiet)(0, "", "")


def test_an_unknown_engine_is_refused_in_three_lines(example: Example) -> None:
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--engine", "gibbs", "--quiet")
    assert done.status == 1
    assert done.err.splitlines() == [
        "the engine is unknown",
        "  got 'gibbs'; expected laplace, nuts, eblup",
        "  hint: choose one of these",
    ]
    assert not out.exists()


def test_an_error_as_json(example: Example) -> None:
    done = call("run", example.run, "--out", example.folder / "out", "--engine", "gibbs", "--json", "--quiet")
    assert done.status == 1
    assert json.loads(done.out)["problems"][0]["got"] == "'gibbs'"


def test_simulate_on_the_example(example: Example, tmp_path: Path) -> None:
    def simulate(folder: str, seed: int) -> pd.DataFrame:
        args = ["--areas", example.data / "buurten.gpkg", "--table", example.data / "kerncijfers.csv"]
        args += ["--covariate", "pct_koopwoningen", "--covariate", "stedelijkheid", "--rate", "0.01"]
        args += ["--source", "veiligheidsmonitor", "--source", "burgerpeiling=0.004"]
        done = call("simulate", *args, "--out", tmp_path / folder, "--seed", str(seed))
        assert done.status == 0, done.err
        files = {"enquete_veiligheidsmonitor.csv", "enquete_burgerpeiling.csv", "waarheid.csv"}
        assert {f.name for f in (tmp_path / folder).iterdir()} == files
        assert {Path(line.removeprefix("wrote ")).name for line in done.out.splitlines()} == files
        assert "set `fictitious = true` under [run]" in done.err
        return pd.read_csv(tmp_path / folder / "enquete_veiligheidsmonitor.csv")

    first, again, other = simulate("a", 1), simulate("b", 1), simulate("c", 2)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    residents = steps.check(example.run).areas.population.sum()
    assert len(first) == round(0.01 * residents)
    assert len(pd.read_csv(tmp_path / "a" / "enquete_burgerpeiling.csv")) == round(0.004 * residents)
    truth = pd.read_csv(tmp_path / "a" / "waarheid.csv")
    assert len(truth) == 118 * 7  # inhabited buurten x measures
    assert truth["truth"].between(0, 10).all()


def test_what_simulate_makes_on_any_areas_passes_check(tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]) -> None:
    grid(5, 6).to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    done = call("simulate", "--areas", tmp_path / "buurten.gpkg", "--out", tmp_path, "--rate", "0.05", "--json")
    assert done.status == 0, done.err
    files = [Path(f) for f in json.loads(done.out)["files"]]
    assert all(f.is_file() for f in files)
    (tmp_path / "raster.toml").write_text(GRID_RUN, encoding="utf-8", newline="\n")
    assert call("check", tmp_path / "raster.toml").status == 0


def test_simulate_makes_what_the_model_does_not_say(tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]) -> None:
    grid(5, 6).to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    args = ("simulate", "--areas", tmp_path / "buurten.gpkg", "--rate", "0.05", "--quiet", "--out", tmp_path / "made")
    assert call(*args, "--departure", "tails=4", "--departure", "household=2").status == 0
    truth = pd.read_csv(tmp_path / "made" / "waarheid.csv")
    assert set(truth["departure"]) == {"Departure(tails=4.0, household=2)"}
    assert (pd.read_csv(tmp_path / "made" / "enquete_veiligheidsmonitor.csv").groupby("huishouden").size() == 2).all()
    assert call(*args).status == 0  # the next one takes its place, and is as the model says
    assert list(pd.read_csv(tmp_path / "made" / "waarheid.csv")) == ["area_code", "measure", "truth"]


def test_simulate_makes_waves(tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]) -> None:
    grid(5, 6).to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    args = ("simulate", "--areas", tmp_path / "buurten.gpkg", "--rate", "0.05", "--quiet", "--out", tmp_path / "made")
    sources = ("--source", "veiligheidsmonitor", "--source", "burgerpeiling")
    assert call(*args, *sources, "--waves", "2020,2024", "--redesign", "burgerpeiling=2024").status == 0
    surveys = {f"enquete_{source}_{year}.csv" for source in sources[1::2] for year in (2020, 2024)}
    assert {file.name for file in (tmp_path / "made").iterdir()} == {*surveys, "waarheid.csv", "waarheid_vragen.csv"}
    assert set(pd.read_csv(tmp_path / "made" / "waarheid.csv")["year"]) == {2020, 2024}
    done = call(*args, "--waves", "2024,2020")
    assert (done.status, "these are no waves\n  got 2024, 2020" in done.err) == (1, True)


def test_simulate_refuses_what_cannot_be(tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]) -> None:
    grid().to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    out = tmp_path / "out"
    done = call("simulate", "--areas", tmp_path / "buurten.gpkg", "--out", out, "--departure", "tails=1")
    assert done.status == 1
    assert "departure: tails\n  got '1'; expected" in done.err
    done = call("simulate", "--areas", tmp_path / "buurten.gpkg", "--out", out, "--covariate", "stedelijkheid")
    assert done.status == 1
    assert "the areas lack a covariate of the truth\n  got 'stedelijkheid'" in done.err
    assert not out.exists()


@pytest.mark.parametrize("verb", ["run", "demo", "curves", "plan", "simulate"])
def test_the_target_is_tried_before_anything_is_read(tmp_path: Path, verb: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    given: dict[str, list[str | Path]] = {
        "run": [tmp_path / "niets.toml"],
        "demo": [],
        "curves": [tmp_path / "niets.toml"],
        "plan": [tmp_path / "niets.toml", "--budget", "10"],
        "simulate": ["--areas", tmp_path / "niets.gpkg"],
    }
    done = call(verb, *given[verb], "--out", tmp_path / "file" / "out", "--quiet")
    assert done.status == 1
    assert "cannot be written" in done.err
    assert done.err.count("\n") == 3
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_place_of_a_file_is_refused_and_keeps_what_it_holds(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("estimates.csv", "vuistregels.csv", "waarheid.csv", "plan.csv"):
        (out / name).mkdir(parents=True)
        (out / name / "mine.txt").write_text("mine", encoding="utf-8")
    for args in (
        ("demo", "--out", out),
        ("curves", "niets.toml", "--out", out),
        ("simulate", "--areas", "niets.gpkg", "--out", out),
        ("plan", "niets.toml", "--budget", "10", "--out", out / "plan.csv"),
    ):
        done = call(*args)
        assert (done.status, "holds what no run wrote there" in done.err) == (1, True), done.err
    assert len(list(out.rglob("mine.txt"))) == 4


def test_simulate_replaces_what_it_made_and_no_survey_of_somebody_else(
    tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]
) -> None:
    grid(5, 6).to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    args = ("simulate", "--areas", tmp_path / "buurten.gpkg", "--rate", "0.05", "--quiet", "--out")
    for seed in ("1", "2"):
        assert call(*args, tmp_path / "made", "--seed", seed).status == 0
    (tmp_path / "own").mkdir()
    survey = tmp_path / "own" / "enquete_veiligheidsmonitor.csv"
    survey.write_text("buurtcode,gewicht,stratum\n", encoding="utf-8")
    done = call(*args, tmp_path / "own")
    assert (done.status, "enquete_veiligheidsmonitor.csv" in done.err) == (1, True)
    assert survey.read_text(encoding="utf-8") == "buurtcode,gewicht,stratum\n"


def interrupt(*args: Any, **options: Any) -> Any:
    raise KeyboardInterrupt


def test_ctrl_c_while_sampling_leaves_nothing(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    out = example.folder / "results" / "out"
    monkeypatch.setattr(laplace, "sample", interrupt)
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status == 130  # 128 + SIGINT, as a shell expects
    assert not out.parent.exists()


@pytest.mark.xdist_group("demo")
def test_ctrl_c_while_writing_leaves_nothing(
    demo_run: DemoRun, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = example.folder / "results" / "out"
    monkeypatch.setattr(steps, "fit", lambda *args, **options: demo_run.fit)
    monkeypatch.setattr(output, "write_site", interrupt)  # tables, draws and quality report have been written by then
    assert call("run", example.run, "--out", out, "--quiet").status == 130
    assert not out.parent.exists()


@pytest.mark.xdist_group("demo")
def test_options_reach_the_run(demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def run(file: Path, out: Path, **options: Any) -> steps.Outcome:
        asked.update(options, file=file, out=out)
        return demo_run.outcome

    monkeypatch.setattr(steps, "run", run)
    done = call("demo", "--out", tmp_path, "--seed", "7", "--engine", "nuts")
    assert done.status == 0
    assert (asked["file"], asked["out"]) == (run_file(), tmp_path)
    assert (asked["seed"], asked["engine"], asked["progress"]) == (7, "nuts", True)
    call("demo", "--out", tmp_path, "--quiet")
    assert (asked["seed"], asked["engine"], asked["progress"]) == (None, None, False)
    call("demo", "--out", tmp_path, "--years")
    assert asked["file"] == run_file(years=True) == run_file().with_name("voorbeeldstad_jaren.toml")


@pytest.mark.xdist_group("demo")
def test_the_summary_counts_labels_and_bases_and_ranks_nobody(
    demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "run", lambda *args, **options: demo_run.outcome)
    monkeypatch.setenv("COLUMNS", "100")
    done = call("demo")
    total = demo_run.estimates.select("buurtverbondenheid")
    assert not [name for name in (*total.index, *total["area_name"]) if f" {name} " in done.out]
    cells = [line.split() for line in done.out.splitlines()]
    share, n = total["own_data_share"], total["n_respondents"]
    classes = [(share >= 0.5) & (n > 0), (share >= 0.2) & (share < 0.5) & (n > 0), (share < 0.2) | (n == 0)]
    for label in ("betrouwbaar", "indicatief"):
        own = total["label"] == label
        counts = [int((own & c).sum()) for c in classes]
        assert [label, *map(str, counts), str(own.sum())] in cells
    hidden = (total["label"] == "niet_publiceren").sum()
    assert ["niet", "gepubliceerd", "–", "–", "–", str(hidden)] in cells
    assert "kwaliteitstoets gehaald" in done.out
    for file in ("dashboard/index.html", "quality.html", "estimates.xlsx"):
        assert str(demo_run.folder / file) in done.out
        assert (demo_run.folder / file).is_file()


@pytest.mark.xdist_group("demo")
def test_a_gate_that_is_not_met_is_status_3_and_files_say_draft(
    demo_run: DemoRun, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    example.toml("khat_max = 0.7 ", "khat_max = 0.01 ")  # finite samples of weights do not get there
    out = example.folder / "out"
    monkeypatch.setattr(steps, "fit", lambda *args, **options: demo_run.fit)
    done = call("run", example.run, "--out", out)
    assert done.status == 3
    assert "NIET gehaald: VOORLOPIG" in done.out
    gate = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["gate"]
    assert gate["passed"] is False
    assert [c["id"] for c in gate["checks"] if not c["passed"]] == ["khat"]
    pages = [out / "quality.html", *(out / "dashboard").rglob("*.html")]
    assert len(pages) >= 9  # the report, the front page, one page per measure
    for page in pages:
        assert "VOORLOPIG" in page.read_text(encoding="utf-8"), page.name
        passed = demo_run.folder / page.relative_to(out)
        assert "VOORLOPIG" not in passed.read_text(encoding="utf-8"), page.name


@pytest.mark.xdist_group("demo")
def test_json_of_a_run(demo_run: DemoRun) -> None:
    assert demo_run.called.status == 0
    assert demo_run.called.err == ""
    found = json.loads(demo_run.called.out)
    assert found["gate"]["passed"] is True
    assert found["out"] == str(demo_run.folder)
    assert [row["measure"] for row in found["land"]] == list(Concept.load().measures)
    assert all(np.isfinite(row["estimate"]) for row in found["land"])


def broken(kind: type[BaseException]) -> Callable[..., Any]:
    def fail(*args: Any, **options: Any) -> Any:
        raise kind("a\nlong " + "story " * 1000)

    return fail


class Panic(BaseException):
    """As extensions in Rust raise it."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, MemoryError, RecursionError, Panic, OSError])
def test_what_nobody_expected_is_three_lines_that_ask_for_a_report(
    kind: type[BaseException], example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "check", broken(kind))
    done = call("check", example.run)
    assert done.status == 1
    what, got, hint = done.err.splitlines()
    assert what == "buurtsae met with something unexpected"
    assert got.startswith(f"  got {kind.__name__}: a long story")
    assert len(got) < 500
    assert "--debug" in hint
    assert "never with respondents" in hint
    problem = json.loads(call("check", example.run, "--json").out)["problems"][0]
    assert (problem["what"], problem["got"]) == (what, got.removeprefix("  got ").split("; expected")[0])


@pytest.mark.parametrize("order", [("--debug", "check", "{}"), ("check", "{}", "--debug"), ("check", "--debug", "{}")])
def test_debug_shows_the_traceback(order: tuple[str, ...], example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "check", broken(ZeroDivisionError))
    done = call(*(word.format(example.run) for word in order))
    assert done.status == 1
    assert done.err.startswith("Traceback")
    assert done.err.splitlines()[-3] == "buurtsae met with something unexpected"


def test_ctrl_c_outside_a_verb_is_no_traceback(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "check", interrupt)
    done = call("check", example.run)
    assert done.status == 130
    assert "Traceback" not in done.err


def test_the_version() -> None:
    assert call("--version").out == f"buurtsae {__version__}\n"
    assert call("--version").status == 0


def test_warnings_of_libraries_are_not_printed_but_ours_are(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(path: Path) -> Any:
        warnings.showwarning(UserWarning("een bibliotheek"), UserWarning, "x.py", 1)
        warnings.showwarning(BoundaryWarning("van ons"), BoundaryWarning, "x.py", 1)
        raise DataError("a", "b", "c", "d")

    monkeypatch.setattr(steps, "check", warn)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    said = call("check", example.run).err
    assert "bibliotheek" not in said
    assert said.splitlines()[0] == "van ons"
    assert len(said.splitlines()) == 1 + 3


def test_a_thousand_unknown_keys_are_a_few_lines(example: Example) -> None:
    with example.run.open("a", encoding="utf-8") as file:
        file.write("\n[onbekend]\n" + "\n".join(f"k{k} = 1" for k in range(1000)))
    text = example.run.read_text(encoding="utf-8").replace(
        "[publish]\n", "[publish]\n" + "\n".join(f"u{k} = 1" for k in range(1000)) + "\n"
    )
    example.run.write_text(text, encoding="utf-8", newline="\n")
    done = call("check", example.run)
    assert done.status == 1
    assert len(done.err) < 5200
    assert done.err.splitlines()[-1] == "1001 problems; nothing was written"
    assert len(call("check", example.run, "--json").out) < 8000
