"""The province of Utrecht: real buurten, kerncijfers and neighbours; simulated respondents.

Read, checked and counted here against the files themselves. The fit takes minutes: `benchmarks/utrecht.py` makes it and
compares with the truth, in docs/utrecht.md.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from example_runs import call

from buurtsae.areas.areas import Areas
from buurtsae.runs import steps
from buurtsae.runs.reading import Inputs

pytestmark = [pytest.mark.slow, pytest.mark.national, pytest.mark.xdist_group("utrecht")]


@pytest.fixture(scope="module")
def nl(shared: Path) -> Path:
    return shared / "data" / "nl"


@pytest.fixture(scope="module")
def kwb(nl: Path) -> pd.DataFrame:
    """The province's rows of the kerncijfers, read without our reader."""
    table = pd.read_csv(nl / "kwb_2024_buurt.csv")
    table = table[table["provinciecode"] == "PV26"].set_index("buurtcode").sort_index()
    assert len(table) == 970
    return table.drop("BU19040216")  # the README lists it among the eight without a polygon


@pytest.fixture(scope="module")
def run_file(nl: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`models/utrecht.toml` with a survey made by `buurtsae simulate`, one respondent in 80 residents."""
    folder = tmp_path_factory.mktemp("utrecht")
    args = ["--areas", nl / "buurt_2024.parquet", "--table", nl / "kwb_2024_buurt.csv", "--where", "provinciecode=PV26"]
    args += ["--covariate", "stedelijkheid", "--covariate", "pct_koopwoningen", "--rate", "0.0125", "--seed", "1"]
    done = call("simulate", *args, "--out", folder)
    assert done.status == 0, done.err
    text = (root / "models" / "utrecht.toml").read_text(encoding="utf-8")
    text = text.replace("../../shared/data/nl", nl.as_posix()).replace("../out/utrecht", folder.as_posix())
    (folder / "utrecht.toml").write_text(text, encoding="utf-8", newline="\n")
    return folder / "utrecht.toml"


@pytest.fixture(scope="module")
def inputs(run_file: Path) -> Inputs:
    return steps.check(run_file)


def test_every_buurt_is_read(inputs: Inputs, kwb: pd.DataFrame) -> None:
    audit = inputs.areas.audit()
    assert audit["buurten"] == len(kwb) == 969
    assert audit["gemeenten"] == kwb["gemeentecode"].nunique() == 26  # the README: 26 gemeenten
    assert audit["wijken"] == kwb["wijkcode"].nunique()
    # "`inwoners` empty is nearly always 0": those stay in the graph, without an estimate
    assert audit["without_residents"] == list(kwb.index[kwb["inwoners"].isna()])
    assert len(kwb.index[kwb["inwoners"].isna()]) == 33
    assert audit["residents"] == kwb["inwoners"].sum()
    np.testing.assert_array_equal(inputs.areas.codes, kwb.index)
    np.testing.assert_array_equal(inputs.areas.parents("wijk"), kwb["wijkcode"])
    np.testing.assert_array_equal(inputs.areas.parents("gemeente"), kwb["gemeentecode"])
    assert inputs.areas.label("gemeente", "GM0344") == "Utrecht"


def test_hidden_values_are_missing_and_imputed_by_name(inputs: Inputs, kwb: pd.DataFrame) -> None:
    live = kwb[kwb["inwoners"].notna()]
    missing = inputs.areas.audit()["missing_covariates"]
    assert isinstance(missing, dict)
    for column in ("gem_woz_x1000eur", "pct_koopwoningen", "pct_eengezinswoning", "gem_inkomen_per_inwoner_x1000eur"):
        assert missing[column] == live[column].isna().sum() > 0
    assert set(inputs.design.imputed) == {"pct_koopwoningen", "pct_eengezinswoning"}
    assert inputs.design.imputed["pct_koopwoningen"] == tuple(live.index[live["pct_koopwoningen"].isna()])
    assert any(
        "8 rows of kwb_2024_buurt.csv have no geometry" in note for note in inputs.notes
    )  # README: "No polygon (8)"


def test_neighbours_are_those_of_the_national_list(inputs: Inputs, nl: Path) -> None:
    edges = pd.read_parquet(nl / "buurt_2024_queen_edges.parquet")
    codes = set(inputs.areas.codes)
    known = {
        (a, b) for a, b in zip(edges["buurtcode_a"], edges["buurtcode_b"], strict=True) if a in codes and b in codes
    }
    graph = inputs.model.terms[0].graph  # type: ignore[union-attr]
    assert {(graph.codes[i], graph.codes[j]) for i, j in graph.edges} == known
    audit = graph.audit()
    assert audit["components"] == [969]
    assert audit["islands"] == []
    degree = Counter(c for pair in known for c in pair)
    assert sorted(audit["one_neighbour"]) == sorted(c for c, n in degree.items() if n == 1)


def test_parts_of_a_buurt_stay_together(inputs: Inputs, nl: Path) -> None:
    raw = gpd.read_parquet(nl / "buurt_2024.parquet").query("provinciecode == 'PV26'").set_index("buurtcode")
    parts = raw.geometry.count_geometries()
    assert (parts > 1).sum() > 20
    read = inputs.areas.frame.geometry
    pd.testing.assert_series_equal(
        read.count_geometries().sort_index(), parts.sort_index(), check_names=False, check_dtype=False
    )


def test_the_survey_has_one_respondent_in_80(inputs: Inputs) -> None:
    (scores,) = inputs.direct.scores
    assert len(scores.frame) == round(inputs.areas.population.sum() / 80)
    # weights are residents per respondent of a stratum: together all residents
    np.testing.assert_allclose(scores.frame["weight"].sum(), inputs.areas.population.sum(), rtol=1e-6)
    few = inputs.direct.sources[0].respondents.max(axis=1) < 10
    assert few.sum() > 200  # what small-area estimation is for


def test_check_says_so_from_the_command_line(run_file: Path) -> None:
    done = call("check", run_file, "--json")
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["ok"] is True
    assert found["areas"]["buurten"] == 969


def test_codes_with_letters_and_an_island(nl: Path) -> None:
    # README: letters in Amsterdam's codes since 2022/23; Buiteneiland BU0363MK01 has neither neighbours nor residents
    areas = Areas.read(
        nl / "buurt_2024.parquet",
        2024,
        tables=[(nl / "kwb_2024_buurt.csv", "buurtcode")],
        where={"gemeentecode": "GM0363"},
    )
    assert "BU0363AD03" in areas.codes
    assert areas.parents("wijk")["BU0363AD03"] == "WK0363AD"
    assert set(areas.parents("gemeente")) == {"GM0363"}
    assert "BU0363MK01" in areas.graph().audit()["islands"]  # type: ignore[operator]
    assert not areas.inhabited[areas.codes.get_loc("BU0363MK01")]
