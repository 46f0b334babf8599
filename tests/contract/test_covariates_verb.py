"""The verb `covariates`: the catalogue of the example in words and as JSON, and input that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from example_runs import call

from buurtsae.runs.example import folder

FILES = folder() / "buurten.gpkg", folder() / "kerncijfers.csv"


def test_the_example_in_words() -> None:
    done = call("covariates", *FILES)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "8 columns of 118 inhabited buurten"
    assert max(map(len, lines)) <= 100
    assert "pct_koopwoningen, gemiddelde_woz: 0.88" in done.out


def test_a_part_as_json() -> None:
    told = json.loads(call("covariates", *FILES, "--where", "gemeentecode=GM9902", "--json").out)
    buurten = pd.read_csv(FILES[1])
    n = int((buurten["buurtcode"].str.startswith("BU9902") & (buurten["inwoners"] > 0)).sum())
    assert told["areas"] == f"{n} inhabited buurten"
    assert [each["column"] for each in told["columns"]][:2] == ["bevolkingsdichtheid", "stedelijkheid"]


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    done = call("covariates", tmp_path / "nee.parquet")
    assert done.status == 1
    assert done.err.startswith("nee.parquet cannot be read")
    assert call("covariates", *FILES, "--where", "gemeente").status == 2


def test_a_table_of_gemeenten_is_joined_by_their_code(tmp_path: Path) -> None:
    gemeenten = sorted(set(pd.read_csv(FILES[1])["buurtcode"].str[2:6]))
    table = pd.DataFrame(
        {"gemeentecode": [f"GM{code}" for code in gemeenten], "misdrijven_per_1000": [10.0, 20.0, 30.0]}
    )
    table.to_csv(tmp_path / "misdrijven.csv", index=False)
    done = call("covariates", *FILES, tmp_path / "misdrijven.csv")
    assert (done.status, done.err) == (0, "")
    assert "  misdrijven_per_1000: " in done.out
    table.rename(columns={"gemeentecode": "x"}).to_csv(tmp_path / "misdrijven.csv", index=False)
    refused = call("covariates", *FILES, tmp_path / "misdrijven.csv")
    assert refused.err.startswith("misdrijven.csv cannot be joined to areas")
