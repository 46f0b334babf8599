"""Made data say so: on every page, in every file that has a place for it, and on the command line."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
from example_runs import DemoRun, Example, call
from openpyxl import load_workbook

from buurtsae.errors import BuurtsaeError
from buurtsae.notes import MADE
from buurtsae.publication.method import Statement
from buurtsae.publication.output import publish
from buurtsae.runs import steps
from buurtsae.runs.runfile import RunFile

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
    from buurtsae.publication.manifest import Provenance

    real = Statement.of(report | {"run": report["run"] | {"fictitious": False}}, Provenance(), demo_run.estimates.rules)
    assert "CBS" in real.sources[0]["owner"]


REAL = {  # a survey and a register, as they are named
    "zoals in: ": ("Veiligheidsmonitor", "Kerncijfers wijken en buurten"),
    "as in: ": ("Safety monitor", "Key figures of wijken en buurten"),
}


def test_what_is_made_is_as_in_a_source_and_from_none(demo_run: DemoRun) -> None:
    texts = {p.name: _text(p) for p in demo_run.folder.rglob("*") if p.is_file()}
    named = set()
    for before, names in REAL.items():
        for name in names:
            assert [n for n, text in texts.items() if text.count(name) != text.count(before + name)] == []
            named |= {n for n, text in texts.items() if name in text}
    assert {"quality.html", "quality.json", "verantwoording.html", "GM9901.json", "BU99010002.html"} <= named


def test_every_row_of_the_plain_tables_has_a_run_that_says_so(demo_run: DemoRun) -> None:
    for name, options in (("estimates.csv", {}), ("estimates_nl.csv", {"sep": ";", "decimal": ","})):
        runs = pd.read_csv(demo_run.folder / name, **options)["run_id"]
        assert set(runs) == {json.loads((demo_run.folder / "manifest.json").read_text(encoding="utf-8"))["run_id"]}
        assert runs.str.startswith("fictief-").all()


def test_real_areas_keep_their_credit_where_only_the_answers_are_made(demo_run: DemoRun, tmp_path: Path) -> None:
    from buurtsae.publication.manifest import Provenance

    settings = {"areas": {"credit": "CBS en Kadaster (CC BY 4.0)"}}
    est = replace(demo_run.estimates, fictitious="respondents")
    publish(est, tmp_path, provenance=Provenance(settings=settings))
    pages = [*(tmp_path / "dashboard").rglob("*.html"), tmp_path / "quality.html"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert MADE.nl in text, page
        assert "Bron: gesimuleerde antwoorden, schattingen met buurtsae; buurten en kenmerken: CBS en Kadaster" in text
    survey, register = REAL["zoals in: "]
    texts = [_text(p) for p in tmp_path.rglob("*") if p.is_file()]
    assert sum(text.count(register) for text in texts) > sum(text.count(f"zoals in: {register}") for text in texts) == 0
    assert sum(text.count(survey) for text in texts) == sum(text.count(f"zoals in: {survey}") for text in texts) > 0
    for name in ("datapackage.json", "estimates.xlsx"):
        assert "CBS en Kadaster (CC BY 4.0)" in _text(tmp_path / name), name
    publish(replace(est, fictitious=True), tmp_path / "all", provenance=Provenance(settings=settings))
    start = (tmp_path / "all" / "dashboard" / "index.html").read_text(encoding="utf-8")
    assert "Kadaster" not in start  # made areas are nobody's


def test_verbs_and_notebook_say_so(demo_run: DemoRun, monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("explain", "bu99010002", "--from", demo_run.folder)
    assert MADE.nl in done.out
    assert str(MADE) not in done.out  # which speaks Dutch
    assert "2.865 inwoners" in done.out
    assert json.loads(call("explain", "BU99010002", "--from", demo_run.folder, "--json").out)["notice"]
    monkeypatch.setattr(steps, "run", lambda *args, **options: demo_run.outcome)
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
        spec = RunFile.load(path).spec
        assert spec.run.fictitious == ("respondents" if path.stem == "utrecht" else True), path.name
        assert ("CC BY" in spec.areas.credit) == (path.stem == "utrecht")


def test_what_is_made_is_one_of_three(example: Example) -> None:
    example.toml("fictitious = true", 'fictitious = "buurten"')
    with pytest.raises(BuurtsaeError) as stop:
        RunFile.load(example.run)
    assert str(stop.value).count("hint:") == 1
    assert "expected Input should be False, True or 'respondents'" in str(stop.value)


def test_without_the_key_data_are_real(example: Example) -> None:
    example.toml("fictitious = true", "# fictitious = true")
    assert RunFile.load(example.run).spec.run.fictitious is False
