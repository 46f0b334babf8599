"""The verb `plan`: a table, a text and JSON that agree; budgets that are impossible."""

from __future__ import annotations

import json

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
