"""The verb `compare`: two folders of results in words and as JSON; folders that hold none."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest
from example_runs import DemoRun, call

from buurtsae.folder.finished import hashes


def sign(folder: Path) -> None:
    """Make the manifest hold for files that a test has changed."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["outputs"] = {name: about for name, about in hashes(folder).items() if name != path.name}
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.xdist_group("demo")
def test_a_run_agrees_with_itself_and_not_with_one_that_was_moved(demo_run: DemoRun, tmp_path: Path) -> None:
    a, b = demo_run.folder, copytree(demo_run.folder, tmp_path / "b")
    same = json.loads(call("compare", a, b, "--json").out)
    assert same["agree"] is True
    assert all(row["largest"] == 0 and row["sd_ratio"] == 1 for row in same["table"])
    table = pd.read_parquet(b / "estimates.parquet")
    moved = (table["level"] == "wijk") & (table["measure"] == "participatie")
    table.loc[moved, "estimate"] += 3 * table.loc[moved, "sd"]
    table.to_parquet(b / "estimates.parquet")
    done = call("compare", a, b)
    assert (done.status, "not whole any more" in done.err) == (1, True)  # no hash holds
    sign(b)
    found = json.loads(call("compare", a, b, "--json").out)
    assert found["agree"] is False
    apart = [(r["level"], r["measure"]) for r in found["table"] if r["largest"] > 0]
    assert apart == [("wijk", "participatie")]
    assert {r["area_code"] for r in found["worst"] if abs(r["in_sd"]) > 2.9} <= set(table.loc[moved, "area_code"])
    text = call("compare", a, b).out
    assert "Gelijk binnen 0,1 sd en 5% van de sd: nee" in text
    assert "3,00 sd" in text


@pytest.mark.xdist_group("demo")
def test_runs_on_the_same_data_are_compared_by_what_they_predict(demo_run: DemoRun, tmp_path: Path) -> None:
    a, b = demo_run.folder, copytree(demo_run.folder, tmp_path / "b")
    report = json.loads((b / "quality.json").read_text(encoding="utf-8"))
    groups = report["density"]["groups"]
    assert report["density"]["elpd"] == pytest.approx(sum(groups.values()))
    assert set(groups) == {"GM9901", "GM9902", "GM9903"}
    for k, code in enumerate(sorted(groups)):
        groups[code] += [1.0, 2.0, 6.0][k]  # a sum of 9; its standard error sqrt(3) sd(1, 2, 6) = sqrt(3 x 7)
    (b / "quality.json").write_text(json.dumps(report), encoding="utf-8")
    sign(b)
    found = json.loads(call("compare", a, b, "--json").out)["elpd"]
    assert found["difference"] == pytest.approx(9)
    assert found["se"] == pytest.approx(21**0.5)
    assert "B voorspelt niet duidelijk beter (log-dichtheid 9,0, standaardfout 4,6)" in call("compare", a, b).out
    report["density"]["data"] = "other data"
    (b / "quality.json").write_text(json.dumps(report), encoding="utf-8")
    sign(b)
    assert json.loads(call("compare", a, b, "--json").out)["elpd"] is None


def test_folders_without_results(tmp_path: Path) -> None:
    done = call("compare", tmp_path / "one", tmp_path / "two")
    assert done.status == 1
    assert done.err.count("holds no results of a finished run") == 2
