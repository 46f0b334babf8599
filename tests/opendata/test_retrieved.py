"""Records beside files of open data, and where a run takes them: manifest, method statement, credits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from buurtsae.errors import BuurtsaeError
from buurtsae.notes import Note
from buurtsae.retrieved import Retrieved, by_table, credits, read_record, tables, write_record
from buurtsae.runs import steps
from buurtsae.runs.example import example, folder

CBS = Retrieved(
    "CBS", "85984NED", "Kerncijfers wijken en buurten", "2025-03-01", "https://example.org/85984NED",
    "2026-11-30T10:00:00+00:00", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "CBS", "aa", 100,
)  # fmt: skip
OSM = Retrieved(
    "bijdragers aan OpenStreetMap", "file", "OpenStreetMap", "2026-11-01", "", "2026-11-30T10:00:00+00:00", "ODbL 1.0",
    "https://opendatacommons.org/licenses/odbl/1-0/", "© OpenStreetMap contributors", "bb", 50,
)  # fmt: skip
EMPTY = Note("the newest year is half empty", "het nieuwste jaar is half leeg")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "kerncijfers.csv"
    file.write_text("buurtcode,inwoners\n", encoding="utf-8")
    assert read_record(file) is None
    assert read_record(tmp_path / ("long" * 100)) is None
    path = write_record(file, [CBS, OSM], [EMPTY])
    assert path.name == "kerncijfers.provenance.json"
    record = read_record(file)
    assert record is not None
    assert record.retrieved == (CBS, OSM)
    assert not record.changed
    assert [(str(note), note.nl) for note in record.remarks] == [
        ("kerncijfers.csv: the newest year is half empty", "kerncijfers.csv: het nieuwste jaar is half leeg")
    ]
    assert credits([record, record]) == "CBS (CC BY 4.0); © OpenStreetMap contributors (ODbL 1.0)"
    assert tables([record, record]) == (CBS, OSM)
    file.write_text("buurtcode,inwoners\nBU00000000,5\n", encoding="utf-8")
    changed = read_record(file)
    assert changed is not None
    assert changed.changed
    assert "changed after it was fetched" in changed.remarks[0]


def test_replies_of_one_table_are_one(tmp_path: Path) -> None:
    second = Retrieved(**{**vars(CBS), "url": "https://example.org/2", "sha256": "cc", "bytes": 11})
    (whole,) = by_table([CBS, second])
    assert (whole.url, whole.bytes, whole.replies) == (CBS.url, 111, 2)
    assert whole.sha256 not in (CBS.sha256, second.sha256)
    assert by_table([CBS]) == (CBS,)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"file": 1, "sha256": "x", "retrieved": 3}', '{"retrieved": [{}]}', "[]"]
)
def test_a_record_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n", encoding="utf-8")
    write_record(file, [CBS]).write_text(content, encoding="utf-8")
    with pytest.raises(BuurtsaeError, match=r"the record a.provenance.json of a.csv cannot be used"):
        read_record(file)
    other = tmp_path / "b.csv"
    other.write_text("x\n", encoding="utf-8")
    shutil.copy(write_record(file, [CBS]), tmp_path / "b.provenance.json")
    with pytest.raises(BuurtsaeError, match=r"the record b.provenance.json"):
        read_record(other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"licence_url": "javascript:alert(1)"}, "licence_url is 'javascript:alert"),
        ({"url": "https://name:secret@example.org/a"}, "url is "),
        ({"edition": None}, "None is no text"),
        ({"retrieved": 2024}, "2024 is no text"),
        ({"bytes": "many"}, "bytes is 'many'"),
        ({"title": "x" * 6000}, "is no text of at most"),
        ({"note": ["a"] * 3}, None),  # what a later version may add
    ],
)
def test_a_record_that_somebody_changed(tmp_path: Path, change: dict[str, object], said: str | None) -> None:
    """What it holds ends in pages: texts, numbers, and links to pages only."""
    file = tmp_path / "a.csv"
    file.write_text("x\n", encoding="utf-8")
    path = write_record(file, [CBS])
    content = json.loads(path.read_text(encoding="utf-8"))
    content["retrieved"][0] |= change
    path.write_text(json.dumps(content), encoding="utf-8")
    if said is None:
        assert read_record(file) is not None
        return
    with pytest.raises(BuurtsaeError, match=r"the record a.provenance.json of a.csv cannot be used") as told:
        read_record(file)
    assert said in told.value.got


def test_a_record_without_end(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n", encoding="utf-8")
    write_record(file, [CBS]).write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(BuurtsaeError, match=r"the record a.provenance.json"):
        read_record(file)


def test_a_run_tells_where_its_areas_come_from(tmp_path: Path) -> None:
    home = tmp_path / "data" / "voorbeeldstad"
    shutil.copytree(folder(), home)
    (tmp_path / "models").mkdir()
    text = example().read_text(encoding="utf-8").replace("fictitious = true", 'fictitious = "respondents"')
    path = tmp_path / "models" / "run.toml"
    path.write_text(text, encoding="utf-8")
    write_record(home / "kerncijfers.csv", [CBS], [EMPTY])
    write_record(home / "buurten.gpkg", [OSM])
    out = tmp_path / "out"
    steps.run(path, out, engine="eblup", progress=False)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert {record["file"] for record in manifest["open_data"]} == {"buurten.gpkg", "kerncijfers.csv"}
    assert {part["table"] for record in manifest["open_data"] for part in record["retrieved"]} == {"85984NED", "file"}
    parts = [part for record in manifest["open_data"] for part in record["retrieved"]]
    assert {part["licence"] for part in parts} == {"CC BY 4.0", "ODbL 1.0"}
    assert {part["attribution"] for part in parts} == {"CBS", "© OpenStreetMap contributors"}
    method = (out / "dashboard" / "verantwoording.html").read_text(encoding="utf-8")
    for said in ("85984NED", "ODbL 1.0", "© OpenStreetMap contributors", "2026-11-30", EMPTY, EMPTY.nl):
        assert said in method, said
    page = (out / "dashboard" / "index.html").read_text(encoding="utf-8")
    assert "CBS (CC BY 4.0)" in page
    package = json.loads((out / "datapackage.json").read_text(encoding="utf-8"))
    assert [source.get("path") for source in package["sources"]][2:] == [None, CBS.url]
    assert EMPTY.under("kerncijfers.csv") in json.loads((out / "quality.json").read_text(encoding="utf-8"))["notes"]
