"""All files of the contract for one set of estimates, and none where something fails on the way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from frictionless import Package, system
from made_fit import CHAINS, DRAWS, EMPTY, TINY, made_fit
from made_fit import HIDDEN as HIDDEN_AREAS

from buurtsae.errors import DataError
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.summary import Estimates, estimate, level_draws
from buurtsae.publication import output
from buurtsae.publication.manifest import Provenance
from buurtsae.publication.output import publish

HIDDEN = list(HIDDEN_AREAS)
KEPT = 500
PROVENANCE = Provenance(
    "Proef", {"a.csv": {"sha256": "0", "bytes": 1}}, {"seed": 1}, {"fit": 1.5}, "2024-01-01T00:00:00Z"
)


@pytest.fixture(scope="module")
def est() -> Estimates:
    return estimate(made_fit().fit, run_id="proef")


@pytest.fixture(scope="module")
def folder(est: Estimates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("out") / "nieuw"
    publish(est, to, provenance=PROVENANCE, draws=KEPT)
    return to


@pytest.fixture(scope="module")
def draws(folder: Path) -> xr.Dataset:
    return xr.load_dataset(folder / "draws.nc", engine="h5netcdf")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_file_of_the_contract(folder: Path, est: Estimates) -> None:
    found = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert found >= {
        *("estimates.parquet", "estimates.csv", "estimates.geoparquet", "draws.nc"),
        *("quality.json", "quality.html", "manifest.json", "datapackage.json", "dashboard/index.html"),
        *("estimates_nl.csv", "estimates.xlsx", "estimates.gpkg", "contract.schema.json", "swing.csv"),
        *("statline.csv", "statline_measures.csv", "statline_regions.csv"),
    }
    assert found >= {f"dashboard/buurt/{code}.html" for code in est.areas.codes}
    assert found >= {"dashboard/gemeente/GM0344.html", "json/GM0344.json", "dashboard/verantwoording.html"}
    assert not [f for f in folder.parent.iterdir() if f != folder]  # no staging folder is left


def test_tables_are_the_published_estimates(folder: Path, est: Estimates) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "estimates.parquet"), est.published)
    polygons = gpd.read_parquet(folder / "estimates.geoparquet")
    assert len(polygons) == 24 * 7
    assert polygons.crs == "EPSG:28992"
    hidden = polygons[polygons["area_code"].isin(HIDDEN)]
    assert hidden[["estimate", "sd", "n_respondents"]].isna().all(axis=None)


def test_every_file_is_one_of_the_patterns_that_are_looked_for_before_a_run(folder: Path) -> None:
    assert {f for name in output.FILES for f in folder.glob(name)} == {f for f in folder.rglob("*") if f.is_file()}


def test_every_file_is_documented(folder: Path, root: Path) -> None:
    page = (root / "docs" / "files.md").read_text(encoding="utf-8")
    names = {f.relative_to(folder).parts[0] for f in folder.rglob("*") if f.is_file()}
    assert {n for n in names if f"`{n}`" not in page and f"`{n}/" not in page} == set()


def test_layouts_hold_the_published_figures(folder: Path, est: Estimates) -> None:
    for name in ("estimates_nl.csv", "statline.csv", "swing.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        direct = est.table.loc[est.table["area_code"] == TINY, ["estimate", "lower", "upper"]].to_numpy().ravel()
        assert not [v for v in direct if repr(float(v)) in text or repr(float(v)).replace(".", ",") in text], name
    path = folder / "estimates.xlsx"
    found = pd.read_excel(path, sheet_name="Schattingen", keep_default_na=False, na_values=[""])
    assert found["estimate"].tolist() == pytest.approx(est.published["estimate"].tolist(), rel=0, abs=0, nan_ok=True)
    buurten = gpd.read_file(folder / "estimates.gpkg", layer="buurten").set_index("area_code")
    assert len(buurten) == len(est.areas.codes)
    assert buurten.loc[HIDDEN, "participatie"].isna().all()
    assert (buurten.loc[HIDDEN, "participatie_label"] == "niet_publiceren").all()
    assert pd.isna(buurten.loc[EMPTY, "participatie_label"])


def test_draws_are_labelled_and_small(draws: xr.Dataset, est: Estimates) -> None:
    score = draws["score"]
    assert score.dims == ("draw", "area", "measure")
    assert score.dtype == np.float32
    assert score.shape == (KEPT, 37, 7)
    assert score["measure"].values.tolist() == list(est.measures)
    assert draws.attrs == {"run_id": "proef", "code_year": 2024}
    assert EMPTY not in score["area"].values
    assert pd.Series(draws["level"].values).value_counts().to_dict() == {
        "buurt": 24,
        "wijk": 7,
        "gemeente": 3,
        "ggdregio": 2,
        "land": 1,
    }


def test_draws_are_those_of_the_fit_evenly_spaced(draws: xr.Dataset, est: Estimates) -> None:
    # 500 of 2,000: from the first to the last
    kept = np.linspace(0, CHAINS * DRAWS - 1, KEPT).round().astype(int)
    assert (kept[0], kept[-1], len(set(kept))) == (0, CHAINS * DRAWS - 1, KEPT)
    for measure, _, labels, values in level_draws(est.fit, est.concept):
        found = draws["score"].sel(area=labels, measure=measure).to_pandas().drop(columns=HIDDEN, errors="ignore")
        expected = pd.DataFrame(values[kept], columns=labels)[found.columns]
        np.testing.assert_allclose(found, expected, rtol=1e-6)  # float32 has 24 bits


def test_draws_of_all_levels_agree(draws: xr.Dataset, est: Estimates) -> None:
    areas = est.areas
    for gemeente in ("GM0355", "GM0400"):  # nothing is hidden there
        members = areas.codes[(areas.frame["gemeente"] == gemeente) & areas.inhabited]
        weights = xr.DataArray(
            areas.frame.loc[members, "population"].to_numpy(float), {"area": list(members)}, ["area"]
        )
        mean = draws["score"].sel(area=list(members)).astype(float).weighted(weights).mean("area")
        np.testing.assert_allclose(mean, draws["score"].sel(area=gemeente), rtol=0, atol=5e-6)
    score = draws["score"].astype(float)
    social = (score.sel(measure="omgang_en_relaties") + score.sel(measure="participatie")) / 2
    np.testing.assert_allclose(score.sel(measure="sociale_verbondenheid"), social, rtol=0, atol=5e-6)


def test_draws_of_suppressed_areas_are_missing(draws: xr.Dataset) -> None:
    assert draws["score"].sel(area=HIDDEN).isnull().all()
    assert draws["score"].drop_sel(area=HIDDEN).notnull().all()


def test_more_draws_than_there_are(est: Estimates, tmp_path: Path) -> None:
    few = replace(est, fit=replace(est.fit, draws=replace(est.fit.draws, eta=est.fit.draws.eta[:, :20])))
    output._write_draws(few, tmp_path / "draws.nc", 1000)
    with xr.open_dataset(tmp_path / "draws.nc", engine="h5netcdf") as found:
        assert found.sizes["draw"] == 80


def test_the_manifest_has_the_hashes_of_all_other_files(folder: Path, est: Estimates) -> None:
    found = read_json(folder / "manifest.json")
    files = {f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}
    assert set(found["outputs"]) == set(files) - {"manifest.json"}
    for name, about in found["outputs"].items():
        content = files[name].read_bytes()
        assert about == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    assert {k: found[k] for k in ("run_id", "title", "seed", "engine", "created")} == {
        "run_id": "proef",
        "title": "Proef",
        "seed": 1,
        "engine": "exact",
        "created": "2024-01-01T00:00:00Z",
    }
    assert (found["inputs"], found["settings"], found["timings"]) == (
        PROVENANCE.inputs,
        PROVENANCE.settings,
        PROVENANCE.timings,
    )
    assert found["model"] == str(est.fit.model)
    assert set(found["versions"]) >= {"python", "buurtsae", "numpy", "pymc", "nutpie"}
    assert found["gate"] == read_json(folder / "quality.json")["gate"]


def test_the_data_package_is_valid(folder: Path) -> None:
    descriptor = read_json(folder / "datapackage.json")
    with system.use_context(trusted=True):
        package = Package.from_descriptor(descriptor, basepath=str(folder))
        package.remove_resource("estimates-parquet")  # frictionless needs another reader for it
        report = package.validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "message"])


def test_a_gate_that_is_not_met_is_written_as_draft(est: Estimates, tmp_path: Path) -> None:
    report = publish(est, tmp_path / "concept", gate=Gate(ess_bulk_min=1e9), draws=10)
    assert not report["gate"]["passed"]
    sheet = pd.read_excel(tmp_path / "concept" / "estimates.xlsx", sheet_name="Toelichting", header=None)
    assert sheet.iloc[1, 0] == "VOORLOPIG"
    assert not read_json(tmp_path / "concept" / "manifest.json")["gate"]["passed"]
    assert "VOORLOPIG" in (tmp_path / "concept" / "dashboard" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_fails_half_way_leaves_nothing(est: Estimates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(ENOSPC, "no space left")

    monkeypatch.setattr(output, "write_site", full)
    for to in (tmp_path / "nieuw", tmp_path / "oud"):
        if to.name == "oud":
            to.mkdir()
            (to / "notes.txt").write_text("mine", encoding="utf-8")
        with pytest.raises(DataError, match="no space left"):
            publish(est, to, draws=10)
    assert [p.name for p in tmp_path.rglob("*")] == ["oud", "notes.txt"]
