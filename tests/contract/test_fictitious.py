"""Made data say so: on every page, in every file that has a place for it, and on the command line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from example_runs import DemoRun, Example, call
from openpyxl import load_workbook

from buurtsae import pipeline
from buurtsae.notes import MADE
from buurtsae.publish.method import Statement
from buurtsae.publish.output import publish
from buurtsae.runfile import RunFile

pytestmark = pytest.mark.xdist_group("demo")
BARE = {  # layouts of other programs that have no place for a note: `statline_measures.csv` has
    *("estimates.csv", "estimates_nl.csv", "supplement.csv", "statline.csv", "statline_regions.csv", "swing.csv"),
    "contract.schema.json",  # of any run: the form of a row
}


def _workbook(path: Path) -> str:
    return " ".join(str(c) for row in load_workbook(path)["Toelichting"].iter_rows(values_only=True) for c in row if c)


def _geopackage(path: Path) -> str:
    with sqlite3.connect(path) as file:
        rows = file.execute("select description from gpkg_contents").fetchall()
    return min(text for (text,) in rows)  # of every layer


READERS = {
    ".xlsx": _workbook,
    ".gpkg": _geopackage,
    ".parquet": lambda path: str(pq.read_schema(path).metadata[b"notice"], "utf-8"),
    ".geoparquet": lambda path: str(pq.read_schema(path).metadata[b"notice"], "utf-8"),
    ".nc": lambda path: xr.open_dataset(path, engine="h5netcdf").attrs["notice"],
}


def _text(path: Path) -> str:
    return str(READERS.get(path.suffix, lambda p: p.read_text(encoding="utf-8"))(path))


def test_every_file_says_so_in_dutch_and_in_english(demo_run: DemoRun) -> None:
    files = [p for p in demo_run.folder.rglob("*") if p.is_file() and p.name not in BARE]
    assert len(files) > 100 + 10  # pages of buurten, and files
    silent = [p.name for p in files if not all(text in _text(p) for text in (str(MADE), MADE.nl))]
    assert silent == []
    table = pd.read_csv(demo_run.folder / "statline_measures.csv", sep=";")
    assert table["Description"].str.contains("FICTIEF").all()


def test_real_data_do_not(demo_run: DemoRun, tmp_path: Path) -> None:
    from dataclasses import replace

    publish(replace(demo_run.estimates, fictitious=False), tmp_path)
    told = [p.name for p in tmp_path.rglob("*") if p.is_file() and "FICTI" in p.read_bytes().decode(errors="ignore")]
    assert told == []
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["fictitious"], manifest["notice"]) == (False, "")


def test_nobody_is_credited_for_made_data(demo_run: DemoRun) -> None:
    report = demo_run.outcome.quality
    pages = [demo_run.folder / "dashboard" / "verantwoording.html", demo_run.folder / "dashboard" / "index.html"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "CBS" not in text.split("</style>")[1]
        assert "Bron: gesimuleerde antwoorden" in text
    package: dict[str, Any] = json.loads((demo_run.folder / "datapackage.json").read_text(encoding="utf-8"))
    assert {s["title"].partition(":")[2] for s in package["sources"]} == {
        *(" gesimuleerde antwoorden, schattingen met buurtsae", " simulated answers, estimates by buurtsae"),
    }
    assert "licenses" not in package
    from buurtsae.publish.manifest import Provenance

    real = Statement.of(report | {"run": report["run"] | {"fictitious": False}}, Provenance(), demo_run.estimates.rules)
    assert "CBS" in real.sources[0]["owner"]
    buurt = next((demo_run.folder / "dashboard" / "buurt").iterdir()).read_text(encoding="utf-8")
    assert buurt.count("Kerncijfers wijken en buurten") == buurt.count("zoals in: Kerncijfers wijken en buurten") > 0


def test_verbs_and_notebook_say_so(demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("explain", "bu99010002", "--from", demo_run.folder)
    assert MADE.nl in done.out
    assert json.loads(call("explain", "BU99010002", "--from", demo_run.folder, "--json").out)["notice"]
    monkeypatch.setattr(pipeline, "run", lambda *args, **options: demo_run.outcome)
    assert MADE.nl in " ".join(call("demo").out.split())
    est = demo_run.estimates
    assert est.explain("BU99010002").startswith(MADE.nl)
    axes = est.map("participatie")
    assert any("gesimuleerde antwoorden" in text.get_text() for text in axes.texts)


def test_the_server_says_so(demo_run: DemoRun) -> None:
    pytest.importorskip("fastapi")
    from buurtsae.serve.app import create_app
    from buurtsae.serve.results import Results

    results = Results.open(demo_run.folder)
    assert results.about()["fictitious"] is True
    assert str(MADE) in results.about()["notice"]
    assert str(MADE) in create_app(results).openapi()["info"]["description"]


def test_made_run_files_of_the_package_say_so(root: Path) -> None:
    for path in sorted((root / "models").glob("*.toml")):
        assert RunFile.load(path).spec.run.fictitious, path.name


def test_without_the_key_data_are_real(example: Example) -> None:
    example.toml("fictitious = true", "# fictitious = true")
    assert RunFile.load(example.run).spec.run.fictitious is False
