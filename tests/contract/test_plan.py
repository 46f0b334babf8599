"""The verb `plan`: a table, a text and JSON that agree; budgets that are impossible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from example_runs import Example, call


@pytest.mark.slow
def test_a_plan_as_text_table_and_json(example: Example) -> None:
    example.toml("[engine.laplace]\ndraws = 4000", "[engine.laplace]\ndraws = 400\nhyperparameters = 60")
    args = ("plan", example.run, "--budget", "300", "--target", "0.98", "--measure", "participatie")
    file = example.folder / "plan.csv"
    text = call(*args, "--out", file)
    assert text.status == 0, text.err
    assert "respondenten" in text.out
    made = json.loads(call(*args, "--json", "--quiet", "--out", file).out)  # a plan takes the place of a plan
    table = pd.read_csv(file)
    assert made["extra"] == table["extra"].sum() <= 300
    assert made["share"] < made["share_expected"]
    assert {a["area_code"] for a in made["areas"]} == set(table.loc[table["extra"] > 0, "area_code"])
    assert made["budget"] == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gezondheid", "hoe nauwkeurig de cijfers worden, niet hoe hoog. Ontwerpeffect 1,50; iedereen antwoordt zo "
                       "volledig als tot nu toe."),
        ("personen", "en wie erbij komt is van elk kenmerk zoals de bewoners van zijn buurt."),
    ],
)  # fmt: skip
def test_a_plan_of_shares_and_of_persons(root: Path, tmp_path: Path, name: str, says: str) -> None:
    for folder in ("data", "models"):
        shutil.copytree(root / folder, tmp_path / folder)
    run = tmp_path / "models" / f"{name}.toml"
    text = run.read_text(encoding="utf-8")
    whole = "4000" if name == "gezondheid" else "2000"
    assert text.count(f"draws = {whole}") == 1
    run.write_text(text.replace(f"draws = {whole}", "draws = 400\nhyperparameters = 60"), encoding="utf-8")
    args = ("plan", run, "--budget", "300", "--measure", "eenzaam", "--deff", "1.5")
    told = call(*args, "--out", tmp_path / "plan.csv")
    assert told.status == 0, told.err
    assert says in told.out
    made = json.loads(call(*args, "--json", "--quiet").out)
    table = pd.read_csv(tmp_path / "plan.csv")
    assert 0 < made["extra"] == table["extra"].sum() <= 300
    assert made["share"] < made["share_expected"] <= 1
    assert {a["area_code"] for a in made["areas"]} == set(table.loc[table["extra"] > 0, "area_code"])
    assert (table["reliability_expected"] >= table["reliability"] - 1e-9).all()


@pytest.mark.parametrize("name", ["gezondheid", "personen"])
def test_an_impossible_plan_of_shares_is_refused_before_the_fit(root: Path, name: str) -> None:
    args = ("--budget", "0", "--measure", "geluk", "--max-per-area", "2")
    done = call("plan", root / "models" / f"{name}.toml", *args, "--quiet")
    assert done.status == 1
    for part in ("the budget is impossible", "there is no such measure", "the share of residents that may answer"):
        assert part in done.err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [("--budget", "0", "the budget is impossible"), ("--target", "1.5", "the target is impossible")],
)
def test_impossible_plans(example: Example, option: str, value: str, says: str) -> None:
    example.toml("[engine.laplace]\ndraws = 4000", "[engine.laplace]\ndraws = 400\nhyperparameters = 60")
    given = {"--budget": "100", "--measure": "participatie"} | {option: value}
    done = call("plan", example.run, *[text for pair in given.items() for text in pair], "--quiet")
    assert done.status == 1
    assert says in done.err
