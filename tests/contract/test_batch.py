"""Many runs: what `buurtsae run` writes, byte for byte; finished runs are skipped; errors stay where they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from example_runs import call
from small_batch import ROWS, make_batch

from buurtsae.batch.many import run_all
from buurtsae.errors import DataError
from buurtsae.folder.finished import MANIFEST, hashes
from buurtsae.folder.lock import locked
from buurtsae.runs import steps

NAMES = ["roken_2022", "roken_2024", "bewegen_2024"]  # rows of `small_batch`
EPOCH = "1700000000"
pytestmark = pytest.mark.xdist_group("batch")


def log(out: Path) -> dict[str, dict[str, Any]]:
    """The runs of `batch.json`, by name."""
    content = json.loads((out / "batch.json").read_text(encoding="utf-8"))
    return {row["name"]: row for row in content["runs"]}


def states(out: Path) -> dict[str, str]:
    return {name: row["state"] for name, row in log(out).items()}


def left_over(out: Path) -> list[str]:
    """What nobody asked for: working folders, parts of files."""
    return sorted(path.name for path in out.iterdir() if path.name.startswith("."))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch on two workers, with the moment of SOURCE_DATE_EPOCH: its folder, the results in `uit`."""
    folder = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        outcome = run_all(make_batch(folder), folder / "uit", workers=2)
    assert (outcome.status, outcome.counts) == (0, {"done": 3}), outcome.reports
    return folder


def test_each_folder_is_what_a_run_writes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    name = NAMES[1]
    outcome = steps.run(made / "uit" / "batch.runs" / f"{name}.toml", tmp_path / "alone", progress=False)
    assert outcome.quality["run"]["seed"] == 2  # of its row; the template has 1
    assert hashes(made / "uit" / name) == hashes(tmp_path / "alone")
    assert (made / "uit" / name / MANIFEST).read_bytes() == (tmp_path / "alone" / MANIFEST).read_bytes()


def test_the_log_says_what_became_of_each(made: Path) -> None:
    rows = log(made / "uit")
    assert list(rows) == NAMES
    for name, row in rows.items():
        manifest = json.loads((made / "uit" / name / MANIFEST).read_text(encoding="utf-8"))
        assert (row["state"], row["key"], row["tries"]) == ("done", manifest["run_id"], 1)
        assert row["seconds"] > 0
        assert row["host"]
        assert sys.platform != "linux" or 100 < row["peak"] < 4000  # MiB: numpy, pandas and numba take over 100
    assert left_over(made / "uit") == []


def test_the_page_has_every_run_with_its_state_and_link(made: Path) -> None:
    page = (made / "uit" / "index.html").read_text(encoding="utf-8")
    assert "<h1>Gezondheidsmonitor</h1>" in page
    assert "FICTIEF" in page
    for name in NAMES:
        assert f'href="{name}/dashboard/index.html"' in page
        assert (made / "uit" / name / "dashboard" / "index.html").is_file()
    assert page.count("kwaliteitstoets gehaald") == 1 + len(NAMES)  # the count above the table, and each row
    assert page.count('scope="rowgroup"') == 2  # Roken, of two years, and Bewegen


def test_what_is_finished_is_skipped_and_what_changed_is_not(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "kopie")
    out, before = folder / "uit", log(folder / "uit")
    said = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        again = run_all(folder / "batch.toml", out, say=said.append)
        assert said == ["3 of 3 runs are finished already"]
        assert again.counts == {"done": 3}
        assert {name: row["seconds"] for name, row in log(out).items()} == {n: r["seconds"] for n, r in before.items()}
        (out / "bewegen_2024" / "notitie.txt").write_text("van mij", encoding="utf-8")
        table = folder / "gegevens" / "bewegen.csv"
        table.write_text(table.read_text(encoding="utf-8").replace(",0.1,", ",0.2,"), encoding="utf-8")
        said.clear()
        run_all(folder / "batch.toml", out, workers=1, say=said.append)
    assert "2 of 3 runs are finished already" in said
    after = log(out)
    assert [name for name in NAMES if after[name]["key"] != before[name]["key"]] == ["bewegen_2024"]
    manifest = json.loads((out / "bewegen_2024" / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["run_id"] == after["bewegen_2024"]["key"]
    assert (out / "bewegen_2024" / "notitie.txt").read_text(encoding="utf-8") == "van mij"
    assert left_over(out) == []


def test_errors_and_drafts_do_not_stop_the_others(made: Path, tmp_path: Path) -> None:
    """One run lacks its table, one cannot meet its gate, three are finished: 1 in the end, and 3 without the first."""
    folder = shutil.copytree(made, tmp_path / "kopie")
    out, table = folder / "uit", folder / "rijen.csv"
    header, *lines = ROWS.splitlines()
    rows = [f"{header},quality.min_hyper_effective", *(f"{line}," for line in lines)]
    strict = "streng_2024,Streng,2024,gegevens/bewegen.csv,3,laplace,1000000"
    table.write_text("\n".join([*rows, "fout_2024,Fout,2024,gegevens/weg.csv,,,", strict]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        done = call("batch", folder / "batch.toml", "--out", out, "--workers", "1", "--json")
    assert done.status == 1
    said, wrong = json.loads(done.out), log(out)["fout_2024"]
    assert said["counts"] == {"done": 3, "error": 1, "draft": 1}
    assert (wrong["state"], wrong["tries"]) == ("error", 1)
    assert set(wrong["problems"][0]) == {"what", "got", "expected", "hint"}
    assert "weg.csv" in wrong["problems"][0]["what"]
    assert not (out / "fout_2024").exists()
    assert left_over(out) == []

    table.write_text("\n".join([*rows, strict]), encoding="utf-8")
    done = call("batch", folder / "batch.toml", "--out", out)
    assert done.status == 3
    assert "VOORLOPIG: kwaliteitstoets niet gehaald (streng_2024)" in done.out
    assert "VOORLOPIG: kwaliteitstoets niet gehaald" in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "what", "got"),
    [
        (lambda text: text.replace("run.title", "run.titel"), "column run.titel is no key of a run file", "run.titel"),
        (lambda text: text.replace("run.title", "title"), "column title is no key of a run file", "run.title"),
        (lambda text: text.replace("direct.file", "sources.0.file"), "column sources.0.file is no key", "sources.0"),
        (lambda text: text.replace("roken_2022", "roken_2024"), "runs have the same name: roken_2024", "2 of them"),
        (lambda text: text.replace(",2022,", ",laatst,"), "run.year is not right", "laatst"),
        (lambda text: text.splitlines()[0] + "\n", "rows of the table", "0"),
    ],
    ids=["typo", "short", "list", "twice", "year", "empty"],
)
def test_a_table_that_cannot_be_is_refused_before_any_work(tmp_path: Path, change: Any, what: str, got: str) -> None:
    batch = make_batch(tmp_path, change(ROWS))
    done = call("batch", batch, "--out", tmp_path / "uit")
    assert done.status == 1
    assert what in done.err
    assert got in done.err
    assert "hint: " in done.err
    assert not (tmp_path / "uit").exists()


def test_a_folder_of_another_batch_or_in_use_is_refused(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "kopie")
    before = hashes(folder / "uit")
    other = (folder / "batch.toml").read_text(encoding="utf-8").replace('"monitor"', '"ander"')
    (folder / "ander.toml").write_text(other, encoding="utf-8")
    with pytest.raises(DataError, match="holds another batch"):
        run_all(folder / "ander.toml", folder / "uit")
    with pytest.raises(DataError, match="holds another batch"):
        run_all(Path(__file__).parents[2] / "models" / "voorbeeldstad.toml", folder / "uit")
    assert hashes(folder / "uit") == before
    with locked(folder / "uit" / ".batch"), pytest.raises(DataError, match="another run is writing to"):
        run_all(folder / "batch.toml", folder / "uit")


def test_a_folder_with_somebody_elses_page_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "uit").mkdir()
    (tmp_path / "uit" / "index.html").write_text("van mij", encoding="utf-8")
    with pytest.raises(DataError, match="holds what no run wrote there"):
        run_all(made / "batch.toml", tmp_path / "uit")
    assert (tmp_path / "uit" / "index.html").read_text(encoding="utf-8") == "van mij"


def test_run_files_and_a_folder_of_them_are_a_batch_too(made: Path, tmp_path: Path) -> None:
    """Paths are those of each file: finished results of one name count, wherever their run file lies."""
    out = shutil.copytree(made / "uit", made / "uit_kopie")
    (out / "batch.json").unlink()
    (out / "index.html").unlink()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
            outcome = run_all(out / "batch.runs", out)
        assert outcome.counts == {"done": 3}
        assert sorted(states(out)) == sorted(NAMES)
    finally:
        shutil.rmtree(out)


def test_no_run_files_at_all(tmp_path: Path) -> None:
    done = call("batch", tmp_path, "--out", tmp_path / "uit")
    assert done.status == 1
    assert "there are no run files" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_byte(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """With the fixture: 1, 2 and 4. Page and results, by the same path from the results to the inputs."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    out = made / f"uit_{workers}"
    outcome = run_all(made / "batch.toml", out, workers=workers)
    try:
        assert outcome.counts == {"done": 3}
        one, other = hashes(made / "uit"), hashes(out)
        assert {name for name in one | other if one.get(name) != other.get(name)} == {"batch.json"}
    finally:
        shutil.rmtree(out)


def started(batch: Path, out: Path) -> subprocess.Popen[str]:
    """The command line in a process of its own, with its workers in one group."""
    command = [sys.executable, "-m", "buurtsae", "batch", str(batch), "--out", str(out), "--workers", "1"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True)


def until(process: subprocess.Popen[str], words: str) -> None:
    """Read what a process says until it says that."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


def until_begun(out: Path) -> None:
    """Wait until a worker writes a run."""
    for _ in range(1200):
        if any(out.glob(".part-*")):
            return
        time.sleep(0.05)
    raise AssertionError("no run was begun within a minute")


def group_is_gone(group: int) -> bool:
    """Whether all processes of a group end within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_client_takes_its_workers_along_and_the_next_start_finishes(tmp_path: Path) -> None:
    batch, out = make_batch(tmp_path), tmp_path / "uit"
    process = started(batch, out)
    until(process, "1 of 3")  # the second run has begun
    process.kill()
    process.communicate()
    assert group_is_gone(process.pid)
    assert states(out) == {"roken_2022": "done", "roken_2024": "waiting", "bewegen_2024": "waiting"}
    said = list[str]()
    assert run_all(batch, out, workers=1, say=said.append).counts == {"done": 3}
    assert said[0] == "1 of 3 runs are finished already"
    assert left_over(out) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_finishes_what_was_begun_and_a_second_one_stops_that_too(tmp_path: Path) -> None:
    batch, out = make_batch(tmp_path), tmp_path / "uit"
    process = started(batch, out)
    until(process, "1 of 3")
    until_begun(out)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    until(process, "no run is begun any more")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "give the same command to go on" in err
    assert group_is_gone(process.pid)
    assert states(out) == {"roken_2022": "done", "roken_2024": "done", "bewegen_2024": "waiting"}
    assert left_over(out) == []
    assert "nog niet gedaan" in (out / "index.html").read_text(encoding="utf-8")

    process = started(batch, out)
    until(process, "1 runs on 1 workers")
    until_begun(out)
    process.send_signal(signal.SIGINT)
    until(process, "no run is begun any more")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert group_is_gone(process.pid)
    assert states(out)["bewegen_2024"] == "waiting"
    assert not (out / "bewegen_2024").exists()
    assert left_over(out) == []


@pytest.mark.slow
def test_a_full_disk_is_an_error_of_the_run_and_leaves_nothing_half(made: Path, disk: Any) -> None:
    small = disk(1200)  # kB: enough to begin, too little for three runs of some 700 kB
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        outcome = run_all(made / "batch.toml", small / "uit", workers=1)
    assert outcome.failed
    assert all("cannot be written" in report.problems[0]["what"] for report in outcome.failed)
    for report in outcome.reports:
        assert (small / "uit" / report.name / MANIFEST).is_file() == (report.state == "done")
    assert left_over(small / "uit") == []


def test_what_an_earlier_start_left_is_taken_up(made: Path, tmp_path: Path) -> None:
    """A run that was whole gets its name without being made again, half of one goes, and one at work is left alone."""
    folder = shutil.copytree(made, tmp_path / "kopie")
    out, key = folder / "uit", log(folder / "uit")["roken_2022"]["key"]
    (out / "roken_2022").rename(out / f".part-{key}")
    (out / ".part-half" / ".buurtsae").mkdir(parents=True)
    (out / ".lock-dood").mkdir()
    (out / ".lock-dood" / "lock").write_text("{}", encoding="utf-8")
    (out / ".part-levend").mkdir()
    said = list[str]()
    with locked(out / ".lock-levend"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH)
        assert run_all(folder / "batch.toml", out, say=said.append).counts == {"done": 3}
        assert "3 of 3 runs are finished already" in said
        assert ".part-levend is being written by another worker, and left to it" in said
        assert left_over(out) == [".lock-levend", ".part-levend"]
    assert hashes(out / "roken_2022") == hashes(made / "uit" / "roken_2022")
