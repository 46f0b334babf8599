"""`buurtsae simulate --persons`: files of persons that a model of persons can be made of, and their truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from example_runs import call

import buurtsae as bs
from buurtsae.simulate.respondents import FILES, LEVELS, made_cells

EXAMPLE = Path(__file__).parents[2] / "data" / "voorbeeldstad"
AREAS = ("--areas", EXAMPLE / "buurten.gpkg", "--table", EXAMPLE / "kerncijfers.csv")
RUN = """
[run]
name = "personen"
title = "Personen"
seed = 1
year = 2024
fictitious = true

[areas]
file = "{areas}"
year = 2024
tables = [{{ file = "{table}", key = "buurtcode" }}]

[concept]
file = "begrip.toml"

[[sources]]
source = "codeboek.toml"
file = "enquete_personen.csv"
year = 2024
scheme = ["leeftijd", "geslacht", "opleiding", "gemeente"]

[model]
formula = "1"

[[model.terms]]
type = "bym2"

[unit.cells]
file = "cellen.csv"

[[unit.terms]]
type = "ordered"
on = "leeftijd"

[[unit.terms]]
type = "fixed"
on = "geslacht"

[[unit.terms]]
type = "factor"
on = "opleiding"
"""


def read(folder: Path) -> tuple[bs.Cells, pd.DataFrame, bs.Concept]:
    """Cells, scored respondents and concept of a folder, by the package's own readers."""
    tables = [(EXAMPLE / "kerncijfers.csv", "buurtcode")]
    areas = bs.Areas.read(EXAMPLE / "buurten.gpkg", 2024, tables=tables)
    cells = bs.Cells.read(folder / "cellen.csv", areas, characteristics=LEVELS)
    survey = bs.Survey.read(folder / "enquete_personen.csv", folder / "codeboek.toml", 2024)
    concept = bs.Concept.load(folder / "begrip.toml")
    raw = pd.read_csv(folder / "enquete_personen.csv")
    return cells, raw.assign(scored=concept.score(survey).frame["antwoord"]), concept


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    done = call("simulate", *AREAS, "--persons", "--rate", "0.02", "--out", folder / "a")
    assert done.status == 0, done.err
    assert {Path(line.removeprefix("wrote ")).name for line in done.out.splitlines()} == set(FILES)
    assert "set `fictitious = true` under [run]" in done.err
    return folder / "a"


def test_the_same_seed_makes_the_same_files(made: Path, tmp_path: Path) -> None:
    for folder, seed in (("b", "1"), ("c", "2")):
        done = call(
            "simulate", *AREAS, "--persons", "--rate", "0.02", "--seed", seed, "--out", tmp_path / folder, "--json"
        )
        assert {Path(file).name for file in json.loads(done.out)["files"]} == set(FILES)
    for name in FILES:
        first, again, other = ((folder / name).read_bytes() for folder in (made, tmp_path / "b", tmp_path / "c"))
        assert first == again
        assert (first == other) == name.endswith(".toml")


def test_what_is_made_is_read_and_agrees(made: Path) -> None:
    cells, people, concept = read(made)
    np.testing.assert_array_equal(cells.residents(), cells.areas.population)
    assert concept.outcome_of("antwoord") == "share"
    np.testing.assert_array_equal(people["scored"], 100.0 * people["antwoord"])
    n = cells.areas.population.sum()
    # respondents are binomial: 5 standard deviations of 0.02 N
    assert len(people) == pytest.approx(0.02 * n, abs=5 * np.sqrt(0.02 * n))
    for name in LEVELS:
        known = cells.frame.groupby(name, observed=True)["aantal"].sum()
        np.testing.assert_allclose(people.groupby(name)["gewicht"].sum()[list(LEVELS[name])], known, rtol=1e-6)
    whole = pd.read_csv(made / "waarheid.csv").set_index("area_code")
    assert list(whole) == ["measure", "truth"]
    assert whole["truth"].between(0, 100).all()
    groups = pd.read_csv(made / "waarheid_groepen.csv")
    for name in LEVELS:  # the groups of each characteristic make all residents
        part = groups[groups["characteristic"] == name]
        sums = part.assign(yes=part["truth"] * part["residents"]).groupby("area_code")[["yes", "residents"]].sum()
        np.testing.assert_allclose(sums["yes"] / sums["residents"], whole["truth"].reindex(sums.index), atol=1e-4)
        np.testing.assert_array_equal(sums["residents"], cells.areas.residents("buurt")[sums.index])


def test_a_run_file_of_what_is_made_passes_the_check(made: Path) -> None:
    at = {"areas": EXAMPLE / "buurten.gpkg", "table": EXAMPLE / "kerncijfers.csv"}
    (made / "run.toml").write_text(RUN.format(**at), encoding="utf-8", newline="\n")
    done = call("check", made / "run.toml")
    assert done.status == 0, done.err


def test_ordered_answers(tmp_path: Path) -> None:
    done = call("simulate", *AREAS, "--persons", "--answers", "5", "--out", tmp_path / "five", "--quiet")
    assert done == type(done)(0, "", "")
    _, people, concept = read(tmp_path / "five")
    assert concept.outcome_of("antwoord") == "ordinal"
    assert set(people["antwoord"]) == {1, 2, 3, 4, 5}
    np.testing.assert_array_equal(people["scored"], people["antwoord"])
    truth = pd.read_csv(tmp_path / "five" / "waarheid.csv").pivot(index="area_code", columns="measure", values="truth")
    above = truth[[f"antwoord: above {k}" for k in range(1, 5)]]
    np.testing.assert_allclose(truth["antwoord"], 1 + above.sum(axis=1) / 100, atol=1e-5)  # six decimals


def test_cells_of_ones_own(tmp_path: Path, grid: Callable[..., gpd.GeoDataFrame]) -> None:
    frame = grid(4, 5)
    frame.to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    codes = frame["buurtcode"]
    cells = pd.DataFrame({"buurtcode": np.repeat(codes, 2), "woning": ["huur", "koop"] * len(codes), "aantal": 120})
    cells.to_csv(tmp_path / "cellen.csv", index=False)
    args = ("simulate", "--areas", tmp_path / "buurten.gpkg", "--persons", "--rate", "0.1", "--quiet", "--cells")
    assert call(*args, tmp_path / "cellen.csv", "--out", tmp_path / "made").status == 0
    people = pd.read_csv(tmp_path / "made" / "enquete_personen.csv")
    assert list(people) == ["buurtcode", "gewicht", "woning", "antwoord"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "made" / "cellen.csv"), cells.reset_index(drop=True))
    # of itself in place it would be the end
    again = call(*args, tmp_path / "made" / "cellen.csv", "--out", tmp_path / "made")
    assert (again.status, "would be replaced by what is made of them" in again.err) == (1, True)
    cells.rename(columns={"woning": "stratum"}).to_csv(tmp_path / "taken.csv", index=False)
    taken = call(*args, tmp_path / "taken.csv", "--out", tmp_path / "other")
    assert (taken.status, "called as other columns are\n  got stratum" in taken.err) == (1, True)
    assert not (tmp_path / "other").exists()


def test_areas_that_say_nothing_of_age(grid: Callable[..., gpd.GeoDataFrame], tmp_path: Path) -> None:
    grid(4, 5).to_file(tmp_path / "buurten.gpkg", driver="GPKG")
    areas = bs.Areas.read(tmp_path / "buurten.gpkg", 2024)
    cells = made_cells(areas, np.random.default_rng(1))
    np.testing.assert_array_equal(cells.residents(), areas.population)
    assert cells.residents({"leeftijd": ["65+"]}).sum() == pytest.approx(
        0.21 * areas.population.sum(), abs=len(areas.codes)
    )


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["--persons", "--source", "veiligheidsmonitor"], 2, "one question"),
        (["--persons", "--covariate", "stedelijkheid"], 2, "no covariates"),
        (["--cells", "cellen.csv"], 2, "add --persons"),
        (["--answers", "5"], 2, "add --persons"),
        (["--persons", "--answers", "1"], 2, "greater than or equal to 2"),
        (["--persons", "--departure", "household=2"], 1, "persons do not depart so\n  got household"),
        (["--persons", "--cells", "niets.csv"], 1, "niets.csv"),
    ],
)
def test_what_cannot_be(args: list[str], status: int, says: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("simulate", *AREAS, "--out", "out", *args)
    assert done.status == status
    assert " ".join(says.split()) in " ".join((done.err + done.out).replace("│", " ").split())  # usage comes in a box
    assert not (tmp_path / "out").exists()


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "codeboek.toml").write_text("mine", encoding="utf-8")
    done = call("simulate", *AREAS, "--persons", "--out", tmp_path, "--quiet")
    assert (done.status, "codeboek.toml" in done.err) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["codeboek.toml"]
