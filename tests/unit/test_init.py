"""`buurtsae init` on made data: choices are said, what is not known is asked or refused, nothing is half-written.

Numbers of columns, items and areas are those of data/voorbeeldstad: 120 buurten in 12 wijken and 3 gemeenten, 1,000
respondents of the veiligheidsmonitor, who answer all 18 items of its codebook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from buurtsae.runs.runfile import RunFile
from buurtsae.start.init import Started, Wanted, init

Edit = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def stad(request: pytest.FixtureRequest) -> Path:
    """Folder of the example."""
    return Path(__file__).parents[2] / "data" / "voorbeeldstad"


@pytest.fixture
def wanted(stad: Path) -> Wanted:
    """The survey of the veiligheidsmonitor, and the areas, which are there already."""
    return Wanted(
        stad / "enquete_veiligheidsmonitor.csv",
        year=2024,
        areas=stad / "buurten.gpkg",
        tables=(stad / "kerncijfers.csv",),
    )


@pytest.fixture
def edited(wanted: Wanted, tmp_path: Path) -> Callable[[Edit], Wanted]:
    """The same with another survey file: the respondents, edited."""

    def edit(how: Edit) -> Wanted:
        assert wanted.survey is not None
        path = tmp_path / "enquete.csv"
        how(pd.read_csv(wanted.survey)).to_csv(path, index=False)
        return replace(wanted, survey=path)

    return edit


def chosen(started: Started) -> dict[str, str]:
    """The last value of each kind of choice."""
    return {choice.key: choice.value for choice in started.choices}


def test_a_folder_that_check_passes(wanted: Wanted, tmp_path: Path) -> None:
    started = init(wanted, tmp_path / "mijn")
    assert [file.name for file in started.files] == ["README.md", "run.toml"]
    assert started.inputs is not None
    assert started.problems == ()
    assert chosen(started) | {"area": "buurtcode", "weight": "gewicht", "strata": "stratum"} == chosen(started)
    assert chosen(started)["source"] == "veiligheidsmonitor"
    assert [str(note) for note in started.left] == [
        "say in `credit` whom the borders and figures come from, with their licence"
    ]
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert spec.run.fictitious is False  # of what the respondents are it knows nothing
    assert [term.type for term in spec.model.terms] == ["bym2", "iid"]
    text = (tmp_path / "mijn" / "run.toml").read_text(encoding="utf-8")
    for choice in started.choices:
        if choice.key in ("area", "weight", "strata", "source", "iid"):
            assert f'"{choice.value}"  # {choice.why}' in text
