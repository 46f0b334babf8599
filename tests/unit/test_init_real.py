"""`init` beside real files that are there already: letters in codes, an island, a merger, and codes of another year."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs
from buurtsae.errors import DataError
from buurtsae.runs.runfile import RunFile
from buurtsae.simulate.survey import simulate_to
from buurtsae.start.init import Wanted, init
from buurtsae.start.places import Place

pytestmark = pytest.mark.national


def wanted(shared: Path, survey: Path) -> Wanted:
    """A survey, and the country as it is there; neither year nor place is said."""
    nl = shared / "data" / "nl"
    return Wanted(survey, areas=nl / "buurt_2024.parquet", tables=(nl / "kwb_2024_buurt.csv",))


@pytest.mark.parametrize(("code", "rate"), [("GM0363", 0.004), ("GM0448", 0.03), ("GM1992", 0.02)])
def test_the_place_and_the_year_are_found(shared: Path, tmp_path: Path, code: str, rate: float) -> None:
    nl, where = shared / "data" / "nl", {"gemeentecode": code}
    tables = [(nl / "kwb_2024_buurt.csv", "buurtcode")]
    areas = bs.Areas.read(nl / "buurt_2024.parquet", 2024, tables=tables, where=where)
    simulate_to(areas, tmp_path, {"veiligheidsmonitor": rate}, seed=4)
    started = init(wanted(shared, tmp_path / "enquete_veiligheidsmonitor.csv"), tmp_path / "mijn")
    assert started.inputs is not None
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert spec.areas.where == where
    assert spec.run.year == 2024
    by_name = next(choice for choice in started.choices if choice.key == "year")
    assert str(by_name.why) == "by the name of buurt_2024.parquet"
    assert set(started.inputs.areas.codes) == set(areas.codes)


@pytest.fixture(scope="module")
def of_2020(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Respondents with the codes of Amsterdam in 2020, which were numbers: none of them is a code of 2024."""
    table = pd.read_csv(shared / "data" / "nl" / "amsterdam_kwb_2020_extra.csv", sep=";")
    codes = table["Area_Code"][table["Area_Code"].str.startswith("BU0363")].to_numpy()
    example = pd.read_csv(Path(__file__).parents[2] / "data" / "voorbeeldstad" / "enquete_veiligheidsmonitor.csv")
    path = tmp_path_factory.mktemp("of_2020") / "enquete_2020.csv"
    example.assign(buurtcode=np.resize(codes, len(example))).to_csv(path, index=False)
    return path


def test_codes_of_another_year_are_said(shared: Path, of_2020: Path, tmp_path: Path) -> None:
    started = init(wanted(shared, of_2020), tmp_path / "mijn")
    assert started.inputs is None
    said = next(str(note) for note in started.left if "another year" in note)
    assert said.startswith("0% of the buurtcodes are areas of 2024: they look like another year's; give a crosswalk in")


def test_codes_of_another_year_without_letters_are_refused(shared: Path, of_2020: Path, tmp_path: Path) -> None:
    table = pd.read_csv(of_2020)
    table.assign(buurtcode=table["buurtcode"].str[2:].astype(int)).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="has no column of area codes") as raised:
        init(wanted(shared, tmp_path / "a.csv"), tmp_path / "mijn")
    assert raised.value.got == "numbers in buurtcode that are no buurten or wijken of these areas"


def test_the_old_name_of_a_gemeente(shared: Path, of_2020: Path, tmp_path: Path) -> None:
    asked = Wanted(**{**vars(wanted(shared, of_2020)), "place": Place("gemeente", ("Brielle",))})  # of Voorne aan Zee
    with pytest.raises(DataError, match="there is no gemeente of that name in the areas") as raised:
        init(asked, tmp_path / "mijn")
    assert "merged" in raised.value.hint
