"""Residents of gemeenten by sex and age, as a seed of cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from replay import Replay
from routes_statline import Cube4, install, measure, population

import buurtsae as bs
from buurtsae.errors import DataError
from buurtsae.opendata import bevolking, kerncijfers
from buurtsae.opendata.fetching import write
from buurtsae.opendata.http import Fetcher
from buurtsae.tables import read_table

TITLES = {"GM0003": "Appingedam", "GM0363": "Amsterdam"}


@pytest.fixture
def table(replay: Replay) -> Cube4:
    """Two made gemeenten: residents under 15, 15 to 65, and from 65."""
    return population({"GM0003": (30, 100, 70), "GM0363": (300, 1000, 700)}, TITLES).install(replay)


def test_groups_of_five_years_fill_those_of_kerncijfers(table: Cube4, fetcher: Fetcher, replay: Replay) -> None:
    loaded = bevolking.load(fetcher, 2024)
    frame = loaded.frame.set_index("gemeentecode")
    assert frame["gemeentenaam"].to_dict() == TITLES
    # 30 under 15 in three groups of 10, 100 in ten of 10, 70 in seven of 10; half of each are men
    men = ["mannen_0_14", "mannen_15_24", "mannen_25_44", "mannen_45_64", "mannen_65plus"]
    assert frame.loc["GM0003", men].tolist() == [15, 10, 20, 20, 35]
    assert frame.loc["GM0363", [name.replace("mannen", "vrouwen") for name in men]].tolist() == [
        150,
        100,
        200,
        200,
        350,
    ]
    assert loaded.columns.set_index("column").loc["mannen_15_24", "about"] == "15 tot 20 jaar + 20 tot 25 jaar"
    assert all("Perioden eq '2024JJ00'" in one.query["$filter"] for one in replay.asked if "$filter" in one.query)


@pytest.mark.parametrize("value", [None, 5.0])
def test_a_missing_cell_is_missing_with_its_reason(table: Cube4, fetcher: Fetcher, value: float | None) -> None:
    assert table.rows is not None
    cell = {"Geslacht": "3000", "Leeftijd": "70015", "RegioS": "GM0003", "Perioden": "2024JJ00"}
    table.rows = [
        {**row, "Value": value, "ValueAttribute": "Confidential"} if cell.items() <= row.items() else row
        for row in table.rows
    ]
    loaded = bevolking.load(fetcher, 2024)
    assert np.isnan(loaded.frame["mannen_15_24"].iloc[0])
    assert loaded.frame["mannen_15_24"].iloc[1] == 100
    assert loaded.reasons.to_numpy().tolist() == [["GM0003", "mannen_15_24", "secret"]]
    assert not loaded.more  # a seed says something of each combination


def test_a_seed_and_kerncijfers_make_cells(table: Cube4, fetcher: Fetcher, replay: Replay, tmp_path: Path) -> None:
    """As `[unit.cells]` reads them: kerncijfers have the margins of each buurt, the gemeente has both together."""
    codes = ["T001036", "3000", "4000", "10680", "53050", "53310", "53715", "80200"]
    people = {"GM0003": [200, 100, 100, 30, 20, 40, 40, 70], "BU00030000": [120, 65, 55, 25, 10, 30, 25, 30],
              "BU00030001": [80, 35, 45, 5, 10, 10, 15, 40]}  # fmt: skip
    figures = pd.DataFrame.from_dict(people, "index", columns=codes, dtype=object)
    titles = {"GM0003": "Appingedam", "BU00030000": "Kern", "BU00030001": "Buiten"}
    Cube4("85984NED", figures, [measure(code, f"Cijfer {code}") for code in codes], titles).install(replay)
    write(kerncijfers.load(fetcher, 2024, ["GM0003"]), tmp_path, "kerncijfers_2024")
    write(bevolking.load(fetcher, 2024, ["GM0003"]), tmp_path, "bevolking_2024")
    age, sex = bevolking.margins()
    own = read_table(tmp_path / "kerncijfers_2024.parquet", text=["buurtcode"])
    seed = read_table(tmp_path / "bevolking_2024.seed.csv", text=["gemeente", age.on, sex.on])
    assert seed["aantal"].sum() == 200
    areas = bs.Areas.from_frame(
        own, code="buurtcode", population="inwoners", levels={"gemeente": "gemeentecode"}, name="buurtnaam"
    )
    cells = bs.Cells.from_margins(own, areas, [age, sex], seed, by="gemeente")
    found = cells.count.reshape(2, 5, 2)  # buurten, ages, sexes
    np.testing.assert_allclose(found.sum(axis=2), [[25, 10, 30, 25, 30], [5, 10, 10, 15, 40]], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), [[65, 55], [35, 45]], atol=1e-6)  # as published
    assert replace(age, part={"0-14": 0}).levels == ("15-24", "25-44", "45-64", "65+")


def test_ages_that_cannot_fill_the_groups(table: Cube4, fetcher: Fetcher) -> None:
    kind, ages = table.others["Leeftijd"]
    table.others["Leeftijd"] = (kind, {code: "0 tot 20 jaar" if code == "70000" else ages[code] for code in ages})
    with pytest.raises(DataError, match="has no ages that fill 0-14"):
        bevolking.load(fetcher, 2024)


def test_what_is_no_table_of_sex_and_age(table: Cube4, fetcher: Fetcher) -> None:
    with pytest.raises(DataError, match="has no 2022JJ00"):
        bevolking.load(fetcher, 2022)
    with pytest.raises(DataError, match="has no gemeenten of some gemeenten"):
        bevolking.load(fetcher, 2024, ["GM0999"])
    table.measures = [measure("A", "Levendgeborenen"), measure("B", "Overledenen")]
    with pytest.raises(DataError, match="no number of residents on 1 January"):
        bevolking.load(replace(fetcher, refresh=True), 2024)
    del table.others["Geslacht"]
    with pytest.raises(DataError, match="is not by sex and age"):
        bevolking.load(replace(fetcher, refresh=True), 2024)


def test_the_fewest_intervals_are_taken() -> None:
    singles = {(k, k + 1): str(k) for k in range(95)} | {(95, bevolking.END): "95+"}
    assert len(bevolking.cover(singles, 65, bevolking.END)) == 31  # 65 ... 94 and 95+
    assert bevolking.cover({**singles, (65, bevolking.END): "all"}, 65, bevolking.END) == ["all"]
    assert bevolking.cover({(0, 10): "a", (15, 20): "b"}, 0, 15) == []


@pytest.mark.national
def test_cells_of_real_buurten_from_seed_and_margins(replay: Replay, fetcher: Fetcher, shared: Path) -> None:
    """Kerncijfers have ages under 15 and from 65 only, in the data that are shared: margins of three ages."""
    install(replay, shared / "data" / "nl")
    gemeenten = ["GM0093", "GM0448"]
    figures = kerncijfers.load(fetcher, 2024, gemeenten).frame
    seed = bevolking.seed(bevolking.load(fetcher, 2024, gemeenten).frame)
    real = pd.read_csv(shared / "data" / "nl" / "kwb_2024_gemeente.csv", index_col="gemeentecode")["inwoners"]
    assert seed.groupby("gemeente")["aantal"].sum().to_dict() == real[gemeenten].to_dict()
    ages = {"0-14": "inwoners_0_14", "15-64": None, "65+": "inwoners_65plus"}
    seed["leeftijd"] = seed["leeftijd"].replace({"15-24": "15-64", "25-44": "15-64", "45-64": "15-64"})
    own = figures.rename(columns={"gemeentecode": "gemeente"}).assign(inwoners=figures["inwoners"].fillna(0))
    areas = bs.Areas.from_frame(own, code="buurtcode", population="inwoners", levels={"gemeente": "gemeente"})
    margin = bs.Margin("leeftijd", ages)
    men = bs.Margin("geslacht", {"man": "m", "vrouw": None})
    half = own.assign(m=(own["inwoners"] / 2).round())
    cells = bs.Cells.from_margins(half, areas, [margin, men], seed, by="gemeente")
    assert abs(cells.count.sum() - own["inwoners"].sum()) < 1
