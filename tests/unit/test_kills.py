"""Publishing that is killed, twice at once, or done twice: a folder holds one whole run, or every reader refuses it.

`benchmarks/kills.py` does the same many times.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_fit import made_fit
from publisher import PHASES, Publisher, answers, publisher, tree

from buurtsae.errors import DataError
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.summary import estimate
from buurtsae.folder.failures import HINTS
from buurtsae.folder.finished import hashes
from buurtsae.folder.target import claimed
from buurtsae.publication.manifest import Provenance, now, versions
from buurtsae.publication.output import FILES

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed in a fork"),
    pytest.mark.xdist_group("kills"),
]
STALE = "json/GM9999.json"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of estimates, with their reports."""
    about = {"title": "Proef", "created": "2024-01-01T00:00:00Z"}
    run = {**about, "versions": versions()}
    both = {name: estimate(made_fit(seed=k).fit, run_id=name) for k, name in enumerate(("old", "new"))}
    report = quality(both["old"], run=run)
    parts = {name: report | {"run": report["run"] | {"run_id": name}} for name in both}
    found = {name: (est, parts[name], about) for name, est in both.items()}
    for seconds in (1.5, 2.5):  # nothing is known of these beforehand, the moment included
        found[f"fit in {seconds} s"] = (both["old"], None, {"timings": {"fit": seconds}})
    path = tmp_path_factory.mktemp("stored") / "estimates.pickle"
    path.write_bytes(pickle.dumps(found))
    return path


@pytest.fixture(scope="module")
def process(stored: Path) -> Iterator[Publisher]:
    with publisher(stored) as process:
        yield process


@pytest.fixture(scope="module")
def whole(process: Publisher, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of both runs; the old one has a file besides that the new one does not write."""
    home = tmp_path_factory.mktemp("whole")
    for name in ("old", "new"):
        assert process.publish(name, home / name).error == ""
    (home / "old" / STALE).write_text("{}")
    manifest = json.loads((home / "old" / "manifest.json").read_bytes())
    manifest["outputs"][STALE] = hashes(home / "old")[STALE]
    (home / "old" / "manifest.json").write_text(json.dumps(manifest))
    return {name: home / name for name in ("old", "new")}


@pytest.fixture(scope="module")
def steps(process: Publisher, whole: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The phase of every step by which the new run takes the place of the old one."""
    to = shutil.copytree(whole["old"], tmp_path_factory.mktemp("steps") / "out")
    done = process.publish("new", to)
    assert tree(to) == tree(whole["new"])  # without `STALE`
    assert done.phases == sorted(done.phases, key=PHASES.index)
    return done.phases


@pytest.mark.parametrize("phase", [p for p in PHASES if p != "restore"])
def test_after_a_kill_readers_refuse_or_read_one_run_and_the_next_run_restores(
    process: Publisher, whole: dict[str, Path], steps: list[str], phase: str, tmp_path: Path
) -> None:
    found = {name: answers(folder) for name, folder in whole.items()}
    assert found["old"] != found["new"]
    places = [k for k, p in enumerate(steps, start=1) if p == phase]
    to = shutil.copytree(whole["old"], tmp_path / "out")
    (to / "notes.txt").write_text("mine")
    at = places[len(places) // 2]
    assert process.publish("new", to, at).phases == steps[:at]  # killed there
    said = answers(to)
    assert said in (None, *found.values())
    if phase in ("old away", "new in"):
        assert said is None
        again = process.publish("new", to, at=12)  # the next run is killed too, while it restores
        assert (again.killed, again.phases[-1]) == (True, "restore")
        assert answers(to) is None
    with claimed(to, FILES):
        pass
    left = tree(to)
    assert left.pop("notes.txt") == b"mine"
    assert left in [tree(folder) for folder in whole.values()]
    assert answers(to) in found.values()


@pytest.mark.slow
def test_a_first_run_that_is_killed_leaves_nothing_that_looks_whole(
    process: Publisher, whole: dict[str, Path], tmp_path: Path
) -> None:
    places = [k for k, p in enumerate(process.publish("new", tmp_path / "first").phases) if p == "new in"]
    at = places[2 * len(places) // 3]
    assert process.publish("new", tmp_path / "out", at).phases[-1] == "new in"
    assert len([name for name in tree(tmp_path / "out") if not name.startswith(".buurtsae")]) > 20
    assert answers(tmp_path / "out") is None
    with claimed(tmp_path / "out", FILES):
        pass
    assert not tree(tmp_path / "out")
    assert process.publish("new", tmp_path / "out").error == ""
    assert tree(tmp_path / "out") == tree(whole["new"])


def test_of_two_writers_the_second_is_refused_by_name(
    process: Publisher, whole: dict[str, Path], tmp_path: Path
) -> None:
    to = shutil.copytree(whole["old"], tmp_path / "out")
    with claimed(to, FILES):
        refused = process.publish("new", to).error
    assert f"another run is writing to {to}\n  got process {os.getpid()} on " in refused
    assert refused.count("\n") == 2
    assert tree(to) == tree(whole["old"])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])  # the GeoPackage, figures, pages
def test_a_disk_that_fills_up_is_said_and_the_folder_is_as_it_was(
    process: Publisher, whole: dict[str, Path], disk: Callable[[int], Path], share: float
) -> None:
    size = sum(len(content) for content in tree(whole["new"]).values()) / 1024
    place = disk(max(int(share * size), 300))  # over the 256 kB that are tried before any work
    ended = process.publish("new", place / "out")  # HDF5 on a full disk would end it without a word
    assert "No space left on device" in ended.error
    assert HINTS["ENOSPC"] in ended.error
    assert ended.error.count("\n") == 2
    assert ended.phases[-1] == "staging"
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_with_a_given_moment_all_files_are_byte_identical(stored: Path, tmp_path: Path) -> None:
    moment = {"SOURCE_DATE_EPOCH": "1704067200"}
    with publisher(stored, PYTHONHASHSEED="1", **moment) as one, publisher(stored, PYTHONHASHSEED="2", **moment) as two:
        one.start("fit in 1.5 s", tmp_path / "one")
        time.sleep(1.5)  # stamps have whole seconds, those of zip files two
        two.start("fit in 2.5 s", tmp_path / "two")
        assert (one.end().error, two.end().error) == ("", "")
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert [name for name in {**first, **second} if first.get(name) != second.get(name)] == []
    manifest = json.loads(first["manifest.json"])
    assert (manifest["created"], manifest["timings"]) == ("2024-01-01T00:00:00+00:00", {})


def test_a_moment_that_is_none_is_refused_and_without_one_the_clock_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    start = datetime.now(UTC).replace(microsecond=0)
    assert start <= datetime.fromisoformat(Provenance().created) <= datetime.now(UTC)
    for wrong in ("", "gisteren", "1e99", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(DataError, match="SOURCE_DATE_EPOCH cannot be read"):
            now()
