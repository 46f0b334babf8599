"""Run files with `[benchmark]`, levels of the user's own, and what is wrong with them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from example_runs import Example, call

QUICK = "[engine.laplace]\ndraws = 400\nhyperparameters = 60"
LAND, MEASURE = "NL00", "participatie"


def quick(example: Example, more: str) -> None:
    example.toml("[engine.laplace]\ndraws = 4000", f"{more}\n\n{QUICK}")


@pytest.mark.slow
def test_published_figures_are_met_in_every_draw_at_every_level(example: Example) -> None:
    (example.data / "cijfers.csv").write_text(
        f"level,area_code,measure,value,se\nland,{LAND},{MEASURE},6.4,0\ngemeente,GM9902,{MEASURE},6.1,0\n",
        encoding="utf-8",
    )
    example.table("kerncijfers.csv", lambda t: t.assign(kant=np.where(t["buurtcode"] < "BU9902", "stad", "")))
    quick(example, '[benchmark]\nfile = "../data/voorbeeldstad/cijfers.csv"\nexact = true')
    example.toml('region = "Voorbeeldstreek"', 'region = "Voorbeeldstreek"\ngroupings = ["kant"]')
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status == 0, done.err
    table = pd.read_parquet(out / "estimates.parquet")
    assert table["benchmarked"].all()
    assert table["level"].drop_duplicates().tolist() == ["buurt", "wijk", "gemeente", "kant", "land"]
    row = table.set_index(["area_code", "measure"]).loc[[(LAND, MEASURE), ("GM9902", MEASURE)]]
    np.testing.assert_allclose(row["estimate"], [6.4, 6.1], atol=1e-10)
    np.testing.assert_allclose(row["sd"], 0, atol=1e-10)
    with xr.open_dataset(out / "draws.nc", engine="h5netcdf") as data:
        drawn = data["score"].sel(area=[LAND, "GM9902"], measure=MEASURE).to_numpy()
        np.testing.assert_allclose(drawn, np.tile([6.4, 6.1], (len(drawn), 1)), atol=1e-6)  # as float32
        group = data["score"].sel(area="stad", measure=MEASURE)
        np.testing.assert_allclose(group, data["score"].sel(area="GM9901", measure=MEASURE), atol=1e-6)
    quality = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    assert quality["benchmarks"]["method"] == "minimum-distance"
    assert {(s["area_code"], s["value"]) for s in quality["benchmarks"]["strain"]} == {(LAND, 6.4), ("GM9902", 6.1)}
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert any(name.endswith("cijfers.csv") for name in manifest["inputs"])


@pytest.mark.slow
def test_direct_estimates_of_large_gemeenten_replace_what_the_model_says_of_them(example: Example) -> None:
    quick(example, '[benchmark]\nlevel = "gemeente"\nmin_respondents = 300\ncovariance = "posterior"')
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status == 0, done.err
    table = pd.read_parquet(out / "estimates.parquet").set_index(["area_code", "measure"])
    quality = json.loads((out / "quality.json").read_text(encoding="utf-8"))
    strain = pd.DataFrame(quality["benchmarks"]["strain"])
    assert len(strain) >= 4
    found = table.loc[list(strain[["area_code", "measure"]].itertuples(index=False, name=None))]
    # Jeffrey's rule: mean and standard error of the gemeente are those of the figure; errors of 400 draws are centred,
    # and have a standard deviation of 1 / sqrt(2 x 400) = 3.5% about theirs
    np.testing.assert_allclose(found["estimate"], strain["value"], atol=1e-10)
    np.testing.assert_allclose(found["sd"], strain["se"], rtol=4 * 0.035)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ('file = "../data/voorbeeldstad/niets.csv"', "cannot be read"),
        ('level = "provincie"', "no such level"),
        ('level = "gemeente"\nexact = true', "`exact` belongs to `file`"),
        ("min_respondents = 3", "either `file` with figures, or a `level`"),
        ('level = "gemeente"\nmethod = "gokken"', "benchmark.method is not right"),
        ('level = "gemeente"\nsoort = "x"', "unknown key benchmark.soort"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(example: Example, part: str, says: str) -> None:
    quick(example, f"[benchmark]\n{part}")
    done = call("check", example.run)
    assert done.status == 1
    assert says in done.err


def test_rules_and_groupings_that_do_not_exist(example: Example) -> None:
    example.toml("min_residents = 10 ", "min_geluk = 10 ")
    example.toml('region = "Voorbeeldstreek"', 'region = "Voorbeeldstreek"\ngroupings = ["stadsdeel"]')
    done = call("check", example.run)
    assert done.status == 1
    assert "unknown key publish.min_geluk" in done.err
    assert "no such grouping" in done.err


@pytest.mark.slow
def test_what_the_run_holds_a_part_of_is_not_published(example: Example) -> None:
    quick(example, "")
    example.areas(lambda f: f.assign(kant=np.where(f["buurtcode"] < "BU990103", "noord", "zuid"), provincie="PV97"))
    example.toml('region = "Voorbeeldstreek"', 'where = { kant = "noord" }\ngroupings = ["kant"]')
    for name in ("enquete_veiligheidsmonitor.csv", "enquete_burgerpeiling.csv"):
        example.toml(f'voorbeeldstad/{name}"', f'voorbeeldstad/{name}"\nunknown_areas = "drop"')
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status in (0, 3), done.err  # a part of the example may not pass the gate
    table = pd.read_parquet(out / "estimates.parquet")
    assert table["level"].drop_duplicates().tolist() == ["buurt", "wijk", "kant", "land"]  # GM9901 goes on in the south
    assert set(table.loc[table["level"] == "land", "area_name"]) == {"het hele gebied van de run"}
    compared = table.loc[table["level"].isin(["buurt", "wijk"]), ["p_above_parent", "rank_lower", "rank_upper"]]
    assert compared.isna().all(axis=None)
    text = (out / "statline.csv").read_text(encoding="utf-8")
    assert "NL01" not in text
    assert "GM9901" not in text
    with xr.open_dataset(out / "draws.nc", engine="h5netcdf") as data:
        assert set(data["level"].to_numpy()) == {"buurt", "wijk", "kant", "land"}
    page = (out / "dashboard" / "gemeente" / "GM9901.html").read_text(encoding="utf-8")
    assert "Voorbeeldstad" in page
    document = json.loads((out / "json" / "GM9901.json").read_text(encoding="utf-8"))
    assert document["profile"]
    assert {p["gemeente"] for p in document["profile"]} == {None}
    explained = call("explain", "BU99010002", "--from", out)
    assert explained.status == 0, explained.err
    notes = json.loads((out / "quality.json").read_text(encoding="utf-8"))["notes"]
    assert "1 gemeente of which the run holds a part, without a figure as a whole: GM9901" in notes
    assert "1 provincie of which the run holds a part, without a figure as a whole: PV97" in notes
    assert any("respondents of burgerpeiling left out" in n for n in notes)


@pytest.mark.slow
def test_weights_of_the_run_file_make_the_total(example: Example) -> None:
    quick(example, "[concept]\nweights = { sociale_verbondenheid = 3 }\nsensitivity = true")
    out = example.folder / "out"
    done = call("run", example.run, "--out", out, "--quiet")
    assert done.status == 0, done.err
    wide = pd.read_parquet(out / "estimates.parquet").pivot(
        index=["level", "area_code"], columns="measure", values="estimate"
    )
    expected = (3 * wide["sociale_verbondenheid"] + wide["ruimtelijke_verbondenheid"]) / 4
    np.testing.assert_allclose(wide["buurtverbondenheid"], expected, atol=1e-10)
    rows = json.loads((out / "quality.json").read_text(encoding="utf-8"))["sensitivity"]
    assert "participatie x 2" in {r["alternative"] for r in rows}


def test_weights_that_are_impossible(example: Example) -> None:
    quick(example, "[concept]\nweights = { geluk = 1, participatie = -1 }")
    done = call("check", example.run)
    assert done.status == 1
    assert "no part of the concept" in done.err
    assert "the weight of participatie is not positive" in done.err
