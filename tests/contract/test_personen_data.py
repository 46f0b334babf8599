"""The example of persons: what its script makes, and what it is said to hold."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import buurtsae as bs

LEVELS = {
    "leeftijd": ("18-29", "30-44", "45-64", "65+"),
    "geslacht": ("man", "vrouw"),
    "opleiding": ("laag", "midden", "hoog"),
}


@pytest.fixture(scope="module")
def made(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_personen", root / "benchmarks" / "make_personen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(root: Path) -> bs.Cells:
    folder = root / "data" / "voorbeeldstad"
    areas = bs.Areas.read(folder / "buurten.gpkg", 2024, tables=[(folder / "kerncijfers.csv", "buurtcode")])
    return bs.Cells.read(root / "data" / "personen" / "cellen.csv", areas, characteristics=LEVELS)


def test_the_data_are_what_the_script_makes(root: Path, tmp_path: Path, made: ModuleType) -> None:
    made.make(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (root / "data" / "personen" / path.name).read_bytes(), path.name


def test_cells_hold_the_residents_of_kerncijfers(cells: bs.Cells) -> None:
    np.testing.assert_array_equal(cells.residents(), cells.areas.population)
    np.testing.assert_array_equal(cells.count, np.round(cells.count))
    assert not cells.notes
    old, said = cells.residents({"leeftijd": ["65+"]}), cells.areas.frame["pct_65plus"] * cells.areas.population / 100
    assert (abs(old - said) < 1).to_numpy()[cells.areas.inhabited].all()  # controlled rounding moves it by less than 1


def test_respondents_are_scored_by_codebook_and_concept(root: Path) -> None:
    folder = root / "data" / "personen"
    path = folder / "enquete_gezondheidsmonitor.csv"
    survey = bs.Survey.read(path, folder / "gezondheidsmonitor.toml", 2024, strata="stratum")
    concept = bs.Concept.load(folder / "begrip.toml")
    scores, raw = concept.score(survey).frame, pd.read_csv(path)
    outcomes = {name: concept.outcome_of(name) for name in concept.subdimensions}
    assert outcomes == {"eenzaam": "share", "ervaren_gezondheid": "ordinal", "rapportcijfer": "score"}
    for name, item in (("ervaren_gezondheid", "ervaren_gezondheid"), ("rapportcijfer", "cijfer_leven")):
        np.testing.assert_allclose(scores[name], raw[item].where(raw[item] != 99), rtol=1e-9)
    answered = raw["voelt_zich_eenzaam"].where(raw["voelt_zich_eenzaam"] != 99)
    np.testing.assert_array_equal(scores["eenzaam"], (100.0 * (answered > 3)).where(answered.notna()))


def test_response_is_selective_and_weights_do_not_mend_it(root: Path, cells: bs.Cells) -> None:
    """The low educated are lonelier and answer less: a weighted mean is some 4 points too low."""
    folder = root / "data" / "personen"
    people = pd.read_csv(folder / "enquete_gezondheidsmonitor.csv")
    whole = cells.frame.groupby("leeftijd", observed=True)["aantal"].sum()
    np.testing.assert_allclose(
        people.groupby("leeftijd")["gewicht"].sum(), whole, rtol=1e-6
    )  # six decimals in the file
    low = float(cells.residents({"opleiding": ["laag"]}).sum() / cells.count.sum())
    of_low = np.average(people["opleiding"] == "laag", weights=people["gewicht"])
    assert of_low < low - 0.1
    answered = people[people["voelt_zich_eenzaam"] != 99]
    weighted = 100 * np.average(answered["voelt_zich_eenzaam"] > 3, weights=answered["gewicht"])
    true = pd.read_csv(folder / "waarheid.csv").query("measure == 'eenzaam'").set_index("area_code")["truth"]
    residents = pd.Series(cells.areas.population, cells.areas.codes)[true.index]
    assert weighted < np.average(true, weights=residents) - 2


def test_truths_of_age_groups_are_the_truths_of_all(root: Path, cells: bs.Cells) -> None:
    folder = root / "data" / "personen"
    whole = pd.read_csv(folder / "waarheid.csv").set_index(["area_code", "measure"])["truth"]
    groups = pd.read_csv(folder / "waarheid_leeftijd.csv")
    n = cells.frame.groupby(["area_code", "leeftijd"], observed=True)["aantal"].sum()
    n = n[pd.MultiIndex.from_frame(groups[["area_code", "leeftijd"]])].to_numpy()
    sums = (groups.assign(n=n, of=groups["truth"] * n)).groupby(["area_code", "measure"])[["n", "of"]].sum()
    np.testing.assert_allclose(sums["of"] / sums["n"], whole.reindex(sums.index), atol=1e-5)
    assert len(sums) == len(whole)


def test_some_buurten_have_no_respondents(root: Path, cells: bs.Cells) -> None:
    people = pd.read_csv(root / "data" / "personen" / "enquete_gezondheidsmonitor.csv")
    silent = set(cells.areas.codes[cells.areas.inhabited]) - set(people["buurtcode"])
    assert len(people) == 2500
    assert len(silent) >= 8  # those in which nobody was asked
