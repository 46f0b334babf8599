"""`init` with `fetch` against the replay: a made region, and real gemeenten with letters, an island, a merger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import world
from replay import Replay

import buurtsae as bs
from buurtsae.errors import DataError, ProblemsError
from buurtsae.folder.finished import MANIFEST
from buurtsae.opendata.http import Fetcher
from buurtsae.runs import steps
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.survey import simulate_to
from buurtsae.start import fetched
from buurtsae.start.init import Started, Wanted, init
from buurtsae.start.places import Place

SURVEY = world.EXAMPLE / "enquete_veiligheidsmonitor.csv"


def written(started: Started) -> set[str]:
    """What lies in the folder."""
    return {file.relative_to(started.folder).as_posix() for file in started.files}


def test_from_nothing_but_a_survey(replay: Replay, fetcher: Fetcher, tmp_path: Path) -> None:
    world.made(replay)
    started = init(Wanted(SURVEY, year=2024), tmp_path / "mijn", fetch=fetched.by(fetcher))
    assert started.inputs is not None
    assert started.left == ()  # the records say whom to credit
    assert {"run.toml", "README.md", "data/buurten_2024.parquet", "data/kerncijfers_2024.parquet"} < written(started)
    covariates = [choice.value for choice in started.choices if choice.key == "formula"]
    assert covariates == ["stedelijkheid", "pct_koopwoningen", "pct_eenpersoonshuishoudens", "pct_65plus"]
    place = next(choice for choice in started.choices if choice.key == "place")
    assert "GM9901" in place.value
    assert str(place.why) == "the respondents live there"
    readme = (tmp_path / "mijn" / "README.md").read_text(encoding="utf-8")
    assert "- CBS (CC BY 4.0)" in readme
    assert "- `data/buurten_2024.parquet`: grenzen, opgehaald" in readme


def test_a_provincie_has_its_name(replay: Replay, fetcher: Fetcher, tmp_path: Path) -> None:
    world.made(replay)
    wanted = Wanted(SURVEY, year=2024, place=Place("provincie", ("Voorbeeldprovincie",)))
    started = init(wanted, tmp_path / "mijn", fetch=fetched.by(fetcher))
    assert started.inputs is not None
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert spec.areas.region == "Provincie Voorbeeldprovincie"
    assert spec.run.title == "Buurtverbondenheid in Provincie Voorbeeldprovincie"


def test_an_unknown_gemeente_and_a_year_without_tables(replay: Replay, fetcher: Fetcher, tmp_path: Path) -> None:
    world.made(replay)
    wanted = Wanted(SURVEY, year=2024, place=Place("gemeente", ("Voorbeldstad",)))
    with pytest.raises(DataError, match="no gemeente of that name in 2024") as raised:
        init(wanted, tmp_path / "mijn", fetch=fetched.by(fetcher))
    assert "Voorbeeldstad" in raised.value.expected
    with pytest.raises((DataError, ProblemsError)):
        init(replace(wanted, year=1999), tmp_path / "mijn", fetch=fetched.by(fetcher))
    assert not (tmp_path / "mijn").exists()


def test_respondents_of_elsewhere_are_no_codes_of_another_year(
    replay: Replay, fetcher: Fetcher, tmp_path: Path
) -> None:
    """All of GM9902 and 100 of others for GM9902 by name; then of none."""
    world.made(replay)
    table = pd.read_csv(SURVEY)
    inside = table["buurtcode"].str.startswith("BU9902")
    path = tmp_path / "enquete.csv"
    pd.concat([table[inside], table[~inside].head(100)]).to_csv(path, index=False)
    wanted = Wanted(path, year=2024, place=Place("gemeente", ("Lindemeer",)))
    left = init(wanted, tmp_path / "mijn", fetch=fetched.by(fetcher)).left
    assert len(left) == 1
    assert str(left[0]).startswith("100 respondents live elsewhere")
    table[~inside].to_csv(path, index=False)
    with pytest.raises(DataError, match="the respondents live in other gemeenten") as told:
        init(wanted, tmp_path / "geen", fetch=fetched.by(fetcher))
    assert told.value.got == "GM9901, GM9903"
    assert not (tmp_path / "geen").exists()


REAL = {"GM0363": ("Amsterdam", 0.004), "GM0448": ("Texel", 0.03), "GM1992": ("Voorne aan Zee", 0.02)}


@pytest.mark.slow
@pytest.mark.national
@pytest.mark.parametrize("code", REAL)
def test_real_gemeenten(replay: Replay, fetcher: Fetcher, tmp_path: Path, shared: Path, code: str) -> None:
    """With letters in its codes, an island, one that merged in 2023: nothing is made by hand, and `check` passes."""
    name, rate = REAL[code]
    world.real(replay, shared, (code,))
    nl = shared / "data" / "nl"
    there = bs.Areas.read(
        nl / "buurt_2024.parquet", 2024, tables=[(nl / "kwb_2024_buurt.csv", "buurtcode")], where={"gemeentecode": code}
    )
    simulate_to(there, tmp_path / "enquete", {"veiligheidsmonitor": rate}, seed=4)
    survey = tmp_path / "enquete" / "enquete_veiligheidsmonitor.csv"
    wanted = Wanted(survey, year=2024, place=Place("gemeente", (name,)))
    started = init(wanted, tmp_path / "mijn", fetch=fetched.by(fetcher))
    assert started.inputs is not None
    assert started.left == ()
    areas = started.inputs.areas
    assert areas.region == name
    assert set(areas.codes) == set(there.codes)
    answered = pd.read_csv(survey)["buurtcode"].unique()
    assert sorted(started.inputs.direct.sources[0].codes) == sorted(answered)
    chosen = {choice.key: choice.value for choice in started.choices}
    assert chosen["place"] == name
    assert chosen["iid"] == {"GM0363": "wijk", "GM0448": "", "GM1992": "wijk"}[code]  # Texel has two wijken
    terms = [term.type for term in RunFile.load(tmp_path / "mijn" / "run.toml").spec.model.terms]
    assert ("ridge" in terms) == (code != "GM0448")  # Texel has 13 buurten: too few for a theme
    text = (tmp_path / "mijn" / "run.toml").read_text(encoding="utf-8")
    assert ("water divides the areas into 3 parts" in text) == (code == "GM0363")  # IJburg, Buiteneiland
    inputs = started.inputs
    if code == "GM0448":
        out = tmp_path / "out"
        estimates = steps.run(tmp_path / "mijn" / "run.toml", out, engine="eblup", progress=False).estimates
        assert "CBS" in (out / MANIFEST).read_text(encoding="utf-8")
    else:  # hundreds of pages are written as those of Texel are
        fitted = bs.fit(inputs.model, inputs.direct, engine="eblup", seed=1, progress=False)
        estimates = bs.estimate(fitted, concept=inputs.concept, rules=inputs.run.spec.publish)
    assert set(estimates.table.query("level == 'buurt'")["area_code"]) == set(areas.codes[areas.inhabited])
    assert estimates.table.query("level == 'buurt'")["estimate"].notna().all()
