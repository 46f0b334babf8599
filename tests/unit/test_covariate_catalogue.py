"""The catalogue of covariates: what columns are, how they lie and go together, and themes that a run file takes."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box
from statsmodels.stats.outliers_influence import variance_inflation_factor

import buurtsae as bs
from buurtsae.errors import DataError
from buurtsae.model.covariate_catalogue import covariate_catalogue, inflation, together
from buurtsae.runs import steps
from buurtsae.runs.example import example, folder

N = 40


@pytest.fixture(scope="module")
def figures() -> pd.DataFrame:
    """Forty buurten: the first without residents; what each column shows is said beside it."""
    rng = np.random.default_rng(1)
    k = np.arange(N)
    x = rng.normal(size=(N, 6))
    frame = pd.DataFrame({"buurtcode": [f"BU0344{i // 10:02}{i % 10:02}" for i in k], "inwoners": 100 + k})
    frame.loc[0, "inwoners"] = 0
    frame["bevolkingsdichtheid"] = np.exp(5 + x[:, 0])  # on its own scale far from a line of the next,
    frame["omgevingsadressendichtheid"] = np.exp(8 + 2 * x[:, 0] + 0.1 * x[:, 1])  # after log1p close to it
    frame["stedelijkheid"] = 1 + k % 5
    frame["pct_65plus"], frame["pct_0_14"] = 20 + x[:, 2], 15 + x[:, 3]
    frame["pct_huishoudens_met_kinderen"] = frame["pct_65plus"] + frame["pct_0_14"]  # the other two exactly
    frame["huishoudens"] = 50 + k  # a number that others are made of
    frame["pct_herkomst_europa"] = 5 + x[:, 4]  # on origin
    frame["pct_koopwoningen"] = np.where(k < 5, np.nan, 50 + x[:, 5])  # missing in 0 to 4, of which 1 to 4 inhabited
    frame["gem_inkomen_per_inwoner_x1000eur"] = np.where(k > 3, np.nan, 30.0 + k)  # hardly filled
    frame["pct_eenzaam_2020"], frame["pct_eenzaam_2022"] = 40 + x[:, 1], 41 + x[:, 1] + 0.1 * x[:, 2]
    frame["bomen"], frame["kopie"], frame["vast"] = x[:, 4], 3 - x[:, 4], 7.0
    return frame


@pytest.fixture(scope="module")
def files(figures: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    where = tmp_path_factory.mktemp("catalogue")
    shapes = [box(120_000 + 100 * k, 450_000, 120_100 + 100 * k, 450_100) for k in range(N)]
    gpd.GeoDataFrame(figures[["buurtcode"]], geometry=shapes, crs=28992).to_parquet(where / "buurten_2024.parquet")
    figures.to_parquet(where / "kerncijfers_2024.parquet")
    codes = figures["buurtcode"]
    missing = {"code": [*codes[:3], "BU09990101"], "column": "pct_koopwoningen", "reason": ["geheim"] * 3 + ["elders"]}
    pd.DataFrame(missing).to_csv(where / "kerncijfers_2024.missing.csv", index=False)
    columns = {"column": ["bomen"], "code": "B1", "title": "Bomen", "unit": "aantal", "about": "in de straat"}
    pd.DataFrame(columns).to_csv(where / "kerncijfers_2024.columns.csv", index=False)
    return [where / "buurten_2024.parquet", where / "kerncijfers_2024.parquet"]


@pytest.fixture(scope="module")
def catalogue(files: list[Path]) -> bs.CovariateCatalogue:
    return covariate_catalogue(bs.Areas.read(files[0], 2024, tables=[(files[1], "buurtcode")]), files)


def row(catalogue: bs.CovariateCatalogue, name: str) -> pd.Series:
    return catalogue.table.set_index("column").loc[name]


def test_a_column_is_what_its_codebook_says(catalogue: bs.CovariateCatalogue) -> None:
    woz = row(catalogue, "pct_65plus")
    assert (woz["source"], woz["theme"], woz["unit"]) == ("kwb", "mensen", "% van de inwoners")
    lonely = row(catalogue, "pct_eenzaam_2022")
    assert (lonely["source"], lonely["indicator"], lonely["theme"]) == ("rivm_gezondheid", "pct_eenzaam", "gezondheid")
    assert lonely["modelled"]
    assert lonely["period"] == "2012, 2016, 2020, 2022 en 2024"
    assert row(catalogue, "pct_herkomst_europa")["sensitive"]


def test_a_column_that_no_codebook_knows_is_what_the_file_beside_says(catalogue: bs.CovariateCatalogue) -> None:
    bomen = row(catalogue, "bomen")
    assert (bomen["title"], bomen["unit"], bomen["about"], bomen["source"]) == ("Bomen", "aantal", "in de straat", "")
    assert row(catalogue, "kopie")["title"] == ""


def test_distributions_are_of_the_inhabited(catalogue: bs.CovariateCatalogue, figures: pd.DataFrame) -> None:
    of = row(catalogue, "huishoudens")
    assert of[["min", "q1", "median", "q3", "max"]].tolist() == [51, 60.5, 70, 79.5, 89]  # 51 to 89: not that of 0
    assert sum(of["bins"]) == N - 1
    assert max(of["bins"]) - min(of["bins"]) == 1  # equally spread
    assert of["filled"] == 1


def test_why_cells_are_missing(catalogue: bs.CovariateCatalogue) -> None:
    of = row(catalogue, "pct_koopwoningen")
    assert of["missing"] == 4
    assert of["reasons"] == {"geheim": 2}  # the first of three is not inhabited, the fourth is no area of these
    assert of["filled"] == pytest.approx(35 / 39)


def test_groups_are_of_what_the_codebook_transforms(catalogue: bs.CovariateCatalogue, figures: pd.DataFrame) -> None:
    pair = ["bevolkingsdichtheid", "omgevingsadressendichtheid"]
    found = {names: (low, high) for names, low, high in catalogue.groups}
    expected = np.log1p(figures.loc[1:, pair]).corr().iloc[0, 1]
    assert found[tuple(pair)] == (pytest.approx(expected), pytest.approx(expected))
    assert abs(figures.loc[1:, pair].corr().iloc[0, 1] - expected) > 0.05
    assert found[("pct_eenzaam_2020", "pct_eenzaam_2022")][0] > 0.9
    twins = ("pct_herkomst_europa", "bomen", "kopie")  # 5 + x, x and 3 - x
    assert set(found) == {tuple(pair), ("pct_eenzaam_2020", "pct_eenzaam_2022"), twins}


def test_a_chain_is_one_group_with_its_range() -> None:
    r = pd.DataFrame([[1, 0.9, 0.5, 0], [0.9, 1, -0.85, 0], [0.5, -0.85, 1, np.nan], [0, 0, np.nan, 1]])
    assert together(r) == (((0, 1, 2), 0.5, 0.9),)


def test_what_is_not_proposed_says_why(catalogue: bs.CovariateCatalogue) -> None:
    assert catalogue.left_out == {
        "huishoudens": "a number that others are made of, or another form of one",
        "pct_herkomst_europa": "on origin: only by an explicit choice",
        "gem_inkomen_per_inwoner_x1000eur": "known in 8% of the areas",
        "pct_eenzaam_2020": "another year or name of pct_eenzaam_2022",
        "kopie": "the same figure as bomen",
        "vast": "the same everywhere",
    }
    assert set(catalogue.candidates) | set(catalogue.left_out) == set(catalogue.table["column"])


def test_variance_inflation_is_that_of_regressions(figures: pd.DataFrame) -> None:
    x = figures[["bevolkingsdichtheid", "stedelijkheid", "pct_65plus", "bomen"]]
    z = (x - x.mean()) / x.std(ddof=0)
    expected = [variance_inflation_factor(z.to_numpy(), k) for k in range(4)]
    assert inflation(z) == pytest.approx(expected)


def test_variance_inflation_is_infinite_where_others_make_it_up(catalogue: bs.CovariateCatalogue) -> None:
    vif = catalogue.table.set_index("column")["vif"]
    exact = ["pct_65plus", "pct_0_14", "pct_huishoudens_met_kinderen"]
    assert np.isinf(vif[exact]).all()
    assert np.isfinite(vif[["bomen", "stedelijkheid"]]).all()
    assert vif[["vast", "huishoudens"]].isna().all()
    assert np.isnan(inflation(pd.DataFrame(np.eye(3)))).all()  # no more areas than columns


def test_in_words_it_fits_the_screen(catalogue: bs.CovariateCatalogue) -> None:
    lines = catalogue.text.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "15 columns of 39 inhabited buurten"
    assert "mensen (people)" in lines
    at = lines.index("  huishoudens: Huishoudens, huishoudens [kwb]")
    assert lines[at + 1].split()[1:] == ["51", "60.5", "70", "79.5", "89", "100%"]
    assert "missing in 4 (geheim 2)" in catalogue.text
    assert "kwb: Kerncijfers wijken en buurten; CBS" in catalogue.text
    koop = lines.index("  pct_koopwoningen: Koopwoningen, % van de woningen [kwb]")
    assert lines[koop + 1].endswith("89%")  # 35 of 39 is 89.7%: never rounded up to all
    assert "inflation beyond 10" in catalogue.text


def test_the_record_is_json(catalogue: bs.CovariateCatalogue) -> None:
    told = json.loads(json.dumps(catalogue.record(), allow_nan=False))
    columns = {each["column"]: each for each in told["columns"]}
    assert columns["pct_koopwoningen"]["reasons"] == {"geheim": 2}
    assert columns["vast"]["vif"] is None
    assert told["themes"]["mensen"] == ["pct_65plus", "pct_0_14", "pct_huishoudens_met_kinderen"]


def test_files_beside_that_are_no_such_files_are_refused(files: list[Path], tmp_path: Path) -> None:
    areas = bs.Areas.read(files[0], 2024, tables=[(files[1], "buurtcode")])
    (tmp_path / "a.missing.csv").write_text("code,kolom\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.missing\.csv has not the columns") as raised:
        covariate_catalogue(areas, [tmp_path / "a.parquet"])
    assert raised.value.got == "no column, reason"
    bare = bs.Areas.from_frame(pd.DataFrame({"code": ["a", "b"]}), code="code")
    with pytest.raises(DataError, match="no figures"):
        covariate_catalogue(bare)


def test_areas_of_anywhere_have_no_codebook() -> None:
    frame = pd.DataFrame({"code": list("abcdefghijklmn"), "pct_65plus": range(14), "income": [1.0, 2.0] * 7})
    found = covariate_catalogue(bs.Areas.from_frame(frame, code="code"))
    assert (found.table["source"] == "").all()
    assert found.candidates == ("pct_65plus", "income")
    assert "[[model.terms]]" not in found.proposal
    assert "no codebook knows them: pct_65plus, income" in found.proposal


def test_what_is_to_paste_is_taken_by_a_run_file(tmp_path: Path) -> None:
    table = pd.read_csv(folder() / "kerncijfers.csv")
    rng = np.random.default_rng(2)
    table["pct_0_14"] = rng.uniform(5, 25, len(table)).round(1)
    table.loc[3, "pct_0_14"] = np.nan
    table["afstand_school_km"], table["afstand_huisarts_km"] = rng.uniform(0.2, 3, (2, len(table))).round(2)
    table.to_csv(tmp_path / "kerncijfers.csv", index=False)
    areas = bs.Areas.read(folder() / "buurten.gpkg", 2024, tables=[(tmp_path / "kerncijfers.csv", "buurtcode")])
    proposal = covariate_catalogue(areas).proposal
    assert proposal.count('type = "ridge"') == 2  # mensen and voorzieningen have three; the others two or one
    text = example().read_text(encoding="utf-8")
    old = next(line for line in text.splitlines() if line.startswith("formula"))
    text = text.replace(old, 'formula = "1 + stedelijkheid"').replace('missing = "impute"', 'missing = "refuse"')
    text = text.replace("../data/voorbeeldstad/kerncijfers.csv", (tmp_path / "kerncijfers.csv").as_posix())
    text = text.replace("../data/voorbeeldstad", folder().as_posix())
    (tmp_path / "run.toml").write_text(f"{text}\n{proposal}", encoding="utf-8")
    inputs = steps.check(tmp_path / "run.toml")
    used = {each.name: each for each in inputs.design.covariates}
    assert used["afstand_school_km"].transform == "log1p"
    assert used["pct_0_14"].imputed
    assert "mensen" in str(inputs.words)
