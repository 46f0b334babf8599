"""Run files of several years: two waves of a small region, the first on borders of 2020; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_run import DATA, KEPT, write_toml

import buurtsae as bs
from buurtsae.errors import BuurtsaeError
from buurtsae.runs import steps

SPLIT, PARTS = "BU99019999", ("BU99010001", "BU99010002")  # one buurt of 2020 became two


def raw(**years: Any) -> dict[str, Any]:
    """The run file."""
    return {
        "run": {"name": "jaren", "title": "Jaren", "year": 2024, "seed": 1, "fictitious": True},
        "areas": {
            "file": "buurten.gpkg",
            "year": 2024,
            "tables": [{"file": "kerncijfers.csv"}],
            "editions": [{"year": 2020, "file": "overgang.csv", "size": "adressen"}],
        },
        "sources": [
            {"source": "veiligheidsmonitor", "file": f"vm_{year}.csv", "year": year, "code_year": year}
            for year in (2020, 2024)
        ],
        "years": years,
        "model": {"formula": "1 + stedelijkheid", "terms": [{"type": "bym2"}]},
        "engine": {"laplace": {"draws": 400, "hyperparameters": 20, "threads": 1}},
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Areas of 2024, a crosswalk, and half of the respondents in each year, those of 2020 with its codes."""
    folder = tmp_path_factory.mktemp("jaren")
    areas = gpd.read_file(DATA / "buurten.gpkg")
    areas = areas[areas.groupby(areas["buurtcode"].str[2:6]).cumcount() < KEPT]
    areas.to_file(folder / "buurten.gpkg", driver="GPKG")
    figures = pd.read_csv(DATA / "kerncijfers.csv").merge(areas[["buurtcode"]])
    figures = figures[["buurtcode", "inwoners", "stedelijkheid"]].replace(-99997, 3)
    figures.to_csv(folder / "kerncijfers.csv", index=False)
    old = areas["buurtcode"].where(~areas["buurtcode"].isin(PARTS), SPLIT)
    walk = pd.DataFrame({"old": old, "new": areas["buurtcode"], "share": 1.0, "adressen": 100})
    walk.loc[walk["old"] == SPLIT, "share"] = [0.25, 0.75]
    walk.to_csv(folder / "overgang.csv", index=False)
    table = pd.read_csv(DATA / "enquete_veiligheidsmonitor.csv").merge(areas[["buurtcode"]])
    for k, year in enumerate((2020, 2024)):
        wave = table.iloc[k::2]
        code = wave["buurtcode"]
        wave = wave.assign(buurtcode=code.where((year == 2024) | ~code.isin(PARTS), SPLIT))
        wave.to_csv(folder / f"vm_{year}.csv", index=False)
    return folder


@pytest.fixture
def write(files: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a run file beside the data."""

    def written(content: dict[str, Any]) -> Path:
        path = files / "jaren.toml"
        write_toml(path, content)
        return path

    return written


def test_what_is_read(write: Callable[[dict[str, Any]], Path]) -> None:
    keys = {"change": [0.7, 0.05], "coefficients": "stay", "trend": [0.4, 0.01], "process": "ar1", "relevant": 0.4}
    inputs = steps.check(write(raw(**keys)))
    assert inputs.direct.years == inputs.design.years == (2020, 2024)
    assert "buurt_2020" in inputs.areas.editions
    old = next(source for source in inputs.direct.sources if source.year == 2020)
    assert f"{SPLIT} (2020)" in old.codes
    assert not set(PARTS) & set(old.codes)
    (term,) = inputs.model.terms
    assert isinstance(term, bs.OverTime)
    assert (term.change, term.process) == (bs.PC(0.7, 0.05), "ar1")
    assert inputs.model.over_years == bs.Trend(bs.PC(0.4, 0.01), None)
    assert not any("of another year" in note for note in inputs.notes)  # each year has estimates of its own


def test_defaults_are_those_of_the_model(write: Callable[[dict[str, Any]], Path]) -> None:
    inputs = steps.check(write(raw()))
    (term,) = inputs.model.terms
    assert isinstance(term, bs.OverTime)
    assert term == bs.OverTime(term.term)
    assert inputs.model.over_years == bs.Trend()
    free = steps.check(write(raw(trend="free"))).model
    assert free.over_years is None


def _spoiled(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = raw()
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["sources"].pop(), "sources of two years or more"),
        (lambda c: c["run"].update(year=2022), "one of 2020, 2024, not 2022"),
        (lambda c: c["sources"].append(c["sources"][1]), "given twice"),
        (lambda c: c["areas"].pop("editions"), "from the areas of 2020"),
        (lambda c: c["sources"][0].update(code_year=2016), "from the areas of 2016"),
        (lambda c: c["areas"]["editions"][0].update(size="bewoners"), "no column of sizes"),
        (lambda c: c["areas"]["editions"][0].update(size="old"), "sizes that are no number above 0"),
        (lambda c: c["years"].update(trend=[1.0, 2.0]), "impossible parameters"),
        (lambda c: c["years"].update(coefficients="free"), "years.coefficients is not right"),
        (
            lambda c: c["years"].update(
                breaks=[{"source": "veiligheidsmonitor", "year": 2024, "measures": [], "prior": [0.0, 1.0]}]
            ),
            "of no measure",
        ),
        (lambda c: c["areas"]["editions"][0].update(kind="addresses"), "postcode6"),
        (lambda c: c["areas"]["editions"].append(c["areas"]["editions"][0]), "such a level already"),
        (lambda c: c["years"].update(relevant=-1.0), "relevant"),
        (lambda c: c["years"].update(process="rw2"), "process"),
        (lambda c: c["years"].update(trend="steady"), "trend"),
        (lambda c: c.update(unit={"cells": {"file": "cellen.csv"}}), "persons of one year"),
        (lambda c: c.update(benchmark={"file": "cijfers.csv"}), "of one year"),
        (lambda c: c["model"].update(terms=[{"type": "bym2", "tails": True}]), "cannot change over time"),
    ],
)
def test_what_is_refused(write: Callable[[dict[str, Any]], Path], change: Any, says: str) -> None:
    with pytest.raises(BuurtsaeError, match=says) as caught:
        steps.check(write(_spoiled(change)))
    for problem in getattr(caught.value, "problems", [caught.value]):
        assert len(str(problem).splitlines()) == 3


def test_a_crosswalk_that_loses_addresses_is_refused(files: Path, write: Callable[[dict[str, Any]], Path]) -> None:
    walk = pd.read_csv(files / "overgang.csv")
    walk.assign(share=walk["share"].replace(0.75, 0.65)).to_csv(files / "verlies.csv", index=False)
    with pytest.raises(BuurtsaeError, match="do not sum to 1"):
        steps.check(write(_spoiled(lambda c: c["areas"]["editions"][0].update(file="verlies.csv"))))


def test_what_is_of_one_period_says_so(write: Callable[[dict[str, Any]], Path], tmp_path: Path) -> None:
    path = write(raw())
    with pytest.raises(BuurtsaeError, match="a plan is of one period"):
        steps.plan(path, budget=100, progress=False)
    with pytest.raises(BuurtsaeError, match="engine eblup is of one period"):
        steps.run(path, tmp_path / "out", engine="eblup", progress=False)


def test_curves_of_the_year_that_pages_open_with(write: Callable[[dict[str, Any]], Path]) -> None:
    (curve,) = steps.curves(write(raw()), ["stedelijkheid"], progress=False)
    assert curve.table["difference_without"].notna().all()  # the model without its field changes over time too


@pytest.fixture(scope="module")
def results(files: Path) -> Path:
    """The folder of a run of two years, of figures with two decimals."""
    content = raw(breaks=[{"source": "veiligheidsmonitor", "year": 2024, "prior": [0.5, 0.1]}])
    write_toml(files / "uit.toml", content | {"publish": {"decimals": 2, "min_respondents": 2}})
    steps.run(files / "uit.toml", files / "uit", progress=False)
    return files / "uit"


def test_every_year_has_estimates_at_every_level(results: Path) -> None:
    table = pd.read_parquet(results / "estimates.parquet")
    assert set(table["year"]) == {2020, 2024}
    of_years = [part.drop(columns="year").reset_index(drop=True) for _, part in table.groupby("year")]
    key = ["level", "area_code", "measure"]
    assert of_years[0][key].equals(of_years[1][key])
    assert set(table["level"]) == {"buurt", "wijk", "gemeente", "land"}
    assert not of_years[0]["estimate"].equals(of_years[1]["estimate"])
    assert table["code_year"].eq(2024).all()  # figures of 2020 too are of the areas of 2024


def test_changes_are_those_of_the_draws(results: Path) -> None:
    changes = pd.read_parquet(results / "changes.parquet")
    order = ["level", "area_code", "measure", "year_from", "year_to", "change", "sd", "lower", "upper", "p_increase"]
    order += ["label", "reason"]  # the columns of the contract, in its order
    assert [name for name in changes.columns if name in order] == order
    assert set(zip(changes["year_from"], changes["year_to"], strict=True)) == {(2020, 2024)}
    draws = xr.load_dataset(results / "draws.nc")["score"]
    assert draws.dims == ("draw", "area", "measure", "year")
    assert draws["year"].values.tolist() == [2020, 2024]
    hidden = changes["label"] == "niet_publiceren"
    step = draws.sel(year=2024) - draws.sel(year=2020)
    within = ((draws > 0) & (draws < 10)).all(["draw", "year"])  # the file has draws as shown, none beyond an end
    inside = [bool(within.sel(measure=m)[draws["area"].values == a].all()) for m, a in zip(
        changes["measure"], changes["area_code"], strict=True
    )]  # fmt: skip
    for row in changes[~hidden & np.array(inside)].sample(20, random_state=1).itertuples():
        of_area = step.sel(measure=row.measure).values[:, step["area"].values == row.area_code]
        assert row.change == pytest.approx(of_area.mean(), abs=0.005 + 1e-5)  # two decimals, and float32
        assert row.p_increase == pytest.approx((of_area > 0).mean(), abs=1e-9)
    figures = ["change", "sd", "lower", "upper", "p_increase", "p_relevant", "p_false_sign", "recovered"]
    assert changes.loc[hidden, figures].isna().all(axis=None)
    assert changes.loc[hidden, "reason"].notna().all()


def test_what_is_hidden_in_a_year_shows_in_no_change(results: Path) -> None:
    table = pd.read_parquet(results / "estimates.parquet")
    hidden = table[table["label"] == "niet_publiceren"].groupby(["level", "area_code", "measure"]).size().index
    changes = pd.read_parquet(results / "changes.parquet").set_index(["level", "area_code", "measure"])
    assert set(changes.index[changes["label"] == "niet_publiceren"]) == set(hidden)


def test_the_trend_with_the_break_and_without(results: Path) -> None:
    """The one survey reads half a point higher in 2024, by a parallel run: without that the level is as much higher."""
    table = pd.read_csv(results / "trends.csv")
    assert set(table["level"]) == {"gemeente", "land"}
    land = table[(table["level"] == "land") & (table["measure"] == "participatie")].set_index("year")
    lower = land["without"] - land["with_breaks"]
    # of 2024 the survey says 0.5 less +- 0.1, of 2020 the same, as far as 2024 does not tell of it
    assert lower[2024] == pytest.approx(0.5, abs=0.25)
    assert abs(lower[2020]) < 0.2
    assert table.loc[table["reason"].notna(), ["with_breaks", "without"]].isna().all(axis=None)
    np.testing.assert_array_equal(table["without"].round(2), table["without"])  # as the rules of this run ask
    quality = json.loads((results / "quality.json").read_text())
    assert {row["level"] for row in quality["trends"]} == {"land"}
    assert "Trend met en zonder breuken" in (results / "quality.html").read_text()


def test_the_package_describes_changes(results: Path) -> None:
    package = json.loads((results / "datapackage.json").read_text())
    (resource,) = (part for part in package["resources"] if part["name"] == "changes")
    assert [field["name"] for field in resource["schema"]["fields"]] == pd.read_csv(
        results / "changes.csv", nrows=0
    ).columns.tolist()
    quality = json.loads((results / "quality.json").read_text())
    assert quality["run"]["years"] == [2020, 2024]


def test_years_without_a_survey_and_breaks_are_read(write: Callable[[dict[str, Any]], Path]) -> None:
    broken = {"source": "veiligheidsmonitor", "year": 2024, "measures": ["participatie"], "prior": [0.2, 0.1]}
    inputs = steps.check(write(raw(also=[2022], breaks=[broken])))
    assert inputs.design.years == (2020, 2022, 2024)
    assert inputs.model.breaks == (bs.Break("veiligheidsmonitor", 2024, ("participatie",), bs.Normal(0.2, 0.1)),)
    assert any("2022" in note and "survey" in note for note in inputs.notes)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"breaks": [{"source": "veiligheidsmonitor", "year": 2024}]}, "data do not tell the break"),
        ({"breaks": [{"source": "burgerpeiling", "year": 2024, "prior": [0.0, 0.1]}]}, "burgerpeiling"),
        ({"also": [2022, 2022]}, "2022"),
        ({"also": [2024]}, "2024"),
        ({"also": [2022], "trend": "free"}, "trend"),
    ],
)
def test_years_and_breaks_that_cannot_be(
    write: Callable[[dict[str, Any]], Path], keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(BuurtsaeError) as caught:
        steps.check(write(raw(**keys)))
    problems = getattr(caught.value, "problems", [caught.value])
    assert all(len(str(problem).splitlines()) == 3 for problem in problems)
    assert any(says in str(problem) for problem in problems), str(caught.value)
