"""A run whose concept says another scale: read, scored and checked on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_run import COMMON, DIRECT_SOURCE, SOURCES, make_base, write_toml

from buurtsae.errors import BuurtsaeError
from buurtsae.runs import steps as pipeline
from buurtsae.scale import Scale

PERCENT = '[scale]\nlower = 0\nupper = 100\nnl = "procent"\nen = "per cent"\n\n'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def percent(base: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(base, tmp_path / "run"))
    concept = folder / "concept.toml"
    concept.write_text(PERCENT + concept.read_text("utf-8"), "utf-8")
    return folder


def test_respondents_are_scored_on_the_scale_of_the_concept(base: Path, percent: Path) -> None:
    raw = {k: v for k, v in (COMMON | SOURCES).items() if k != "variances"}
    raw["sources"] = [{k: v for k, v in s.items() if k != "sd"} for s in raw["sources"]]  # in points, here others
    for folder in (base, percent):
        write_toml(folder / "schaal.toml", raw)
    before, after = (pipeline.check(folder / "schaal.toml") for folder in (base, percent))
    assert after.model.outcome.scale == after.benchmarks.concept.scale == Scale(0, 100, "procent", "per cent")  # type: ignore[union-attr]
    for one, other in zip(before.direct.sources, after.direct.sources, strict=True):
        np.testing.assert_allclose(other.mean, 10 * one.mean, atol=1e-8)
        np.testing.assert_allclose(other.variance, 100 * one.variance, atol=1e-8)


def test_a_table_is_checked_against_the_scale_of_the_concept(percent: Path) -> None:
    table = pd.read_csv(percent / "direct.csv")
    for estimate, says in (
        (60.0, None),
        (-1200.0, r"got -1200, .* expected about 0 to 100\n  hint: rescale to 0-100"),
        (400.0, "look like 0-1000"),
    ):
        table.assign(estimate=estimate).to_csv(percent / "direct.csv", index=False)
        write_toml(percent / "direct.toml", COMMON | DIRECT_SOURCE)
        if says is None:
            assert not any("outside" in note for note in pipeline.check(percent / "direct.toml").notes)
            continue
        with pytest.raises(BuurtsaeError, match=says):
            pipeline.check(percent / "direct.toml")


def test_answers_need_two_ends(percent: Path) -> None:
    concept = percent / "concept.toml"
    concept.write_text(concept.read_text("utf-8").replace("upper = 100\n", ""), "utf-8")
    with pytest.raises(BuurtsaeError, match=r"answers are scored between two ends\n.* from 0; expected `lower`"):
        pipeline.check(percent / "bron.toml")
