"""The verb `curves`: text, tables and figures of what goes with covariates."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from example_runs import Example, call


@pytest.mark.slow
def test_rules_of_thumb_as_text_tables_and_figures(example: Example) -> None:
    example.toml("[engine.laplace]\ndraws = 4000", "[engine.laplace]\ndraws = 400\nhyperparameters = 60")
    out = example.folder / "vuistregels"
    args = ("curves", example.run, "--covariate", "pct_koopwoningen", "--covariate", "stedelijkheid")
    done = call(*args, "--out", out, "--json", "--quiet")
    assert done.status == 0, done.err
    made = json.loads(done.out)
    assert len(made) == 2
    table = pd.read_csv(out / "vuistregels.csv")
    assert table["covariate"].unique().tolist() == ["pct_koopwoningen", "stedelijkheid"]
    assert len(table) == 2 * 7
    assert table["difference"].tolist() == pytest.approx([r["difference"] for rows in made.values() for r in rows])
    assert table["difference_without"].notna().all()
    text = (out / "vuistregels.txt").read_text(encoding="utf-8")
    assert text.count("hangt samen met") == 14
    assert "geen gevolgen" in text
    assert {f.name for f in out.iterdir()} == {
        *("vuistregels.txt", "vuistregels.csv", "curves.csv", "pct_koopwoningen.svg", "stedelijkheid.svg"),
    }
    figure = (out / "pct_koopwoningen.svg").read_text(encoding="utf-8")
    assert figure.count("<svg") == 1
    for said in (text, figure):  # the example's data are made; the text of a figure stands beside its letters
        assert "FICTIEF: de antwoorden" in said
        assert "FICTITIOUS: the answers" in " ".join(said.split())


def test_a_covariate_that_is_not_in_the_formula(example: Example) -> None:
    example.toml("[engine.laplace]\ndraws = 4000", "[engine.laplace]\ndraws = 400\nhyperparameters = 60")
    done = call("curves", example.run, "--covariate", "geluk", "--quiet")
    assert done.status == 1
    assert "geluk" in done.err
