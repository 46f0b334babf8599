"""Folders of results: what is refused before any work, one writer, all files or none, one door for readers."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.folder import lock, switch
from buurtsae.folder.failures import HINTS, failure
from buurtsae.folder.finished import Finished, hashes
from buurtsae.folder.target import ROOM, by_heading, claimed, staged

NAMES = ("a.csv", "b.csv", "pages/*.html", "manifest.json")
posix = pytest.mark.skipif(os.name == "nt", reason="limits and links of POSIX")


def write(to: Path, text: str, *names: str) -> None:
    """Write files with one text, and a manifest that lists them."""
    with staged(to, NAMES) as new:
        for name in names:
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(text)
        about = {"title": "t", "created": "c", "engine": "e", "seed": 1, "gate": {}, "outputs": hashes(new)}
        (new / "manifest.json").write_text(json.dumps({"run_id": text, **about}))


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def texts(folder: Path) -> dict[str, str]:
    return {name: text for name, text in tree(folder).items() if name != "manifest.json"}


def refusal(to: Path | str) -> str:
    with pytest.raises(DataError) as caught, claimed(to, NAMES):
        pass
    assert str(caught.value).count("\n") == 2
    return str(caught.value)


# --- a run takes the place of another


def test_files_of_the_earlier_run_are_replaced_or_removed_and_others_stay(tmp_path: Path) -> None:
    to = tmp_path / "out" / "streek"
    write(to, "one", "a.csv", "pages/1.html", "pages/2.html")
    (to / "notes.txt").write_text("mine")
    write(to, "two", "a.csv", "b.csv")
    assert texts(to) == {"a.csv": "two", "b.csv": "two", "notes.txt": "mine"}
    assert sorted(p.name for p in to.iterdir()) == ["a.csv", "b.csv", "manifest.json", "notes.txt"]  # no empty folders
    assert [p.name for p in to.parent.iterdir()] == ["streek"]


def test_the_old_manifest_goes_first_and_the_new_one_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", "one", "a.csv", "z.csv")
    moved: list[str] = []
    replace = os.replace

    def recorded(source: Path, to: Path) -> None:
        moved.append(Path(to).name)
        replace(source, to)

    monkeypatch.setattr(switch.os, "replace", recorded)
    write(tmp_path / "out", "two", "a.csv")
    assert moved == ["journal.json", "manifest.json", "z.csv", "a.csv", "a.csv", "manifest.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("existed", [True, False])
def test_an_exception_while_writing_leaves_the_folder_as_it_was(
    tmp_path: Path, error: type[BaseException], existed: bool
) -> None:
    to = tmp_path / "results" / "out"
    if existed:
        write(to, "old", "a.csv")
    before = tree(tmp_path)

    def half_done() -> None:
        with staged(to, NAMES) as new:
            (new / "a.csv").write_text("new")
            raise error

    with pytest.raises(DataError if error is OSError else error):
        half_done()
    assert tree(tmp_path) == before
    assert to.parent.exists() == existed


@pytest.mark.parametrize(("wrong", "raised"), [(PermissionError, DataError), (KeyboardInterrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("at", range(1, 9))  # the journal, 3 old files away, 4 new ones in place
def test_a_failure_halfway_the_move_puts_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, wrong: type[BaseException], raised: type[BaseException]
) -> None:
    to = tmp_path / "out"
    write(to, "old", "a.csv", "b.csv")
    (to / "kept.txt").write_text("mine")
    before = tree(to)
    count, replace = 0, os.replace

    def failing(source: Path, to: Path) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise wrong(errno.EACCES, "in use")
        replace(source, to)

    monkeypatch.setattr(switch.os, "replace", failing)
    with pytest.raises(raised):
        write(to, "new", "a.csv", "b.csv", "pages/1.html")
    assert tree(to) == before
    assert not (to / "pages").exists()


def test_what_a_switch_that_could_not_be_put_back_left_is_kept_and_restored_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "old", "a.csv", "b.csv")
    before = tree(tmp_path)
    with monkeypatch.context() as broken:
        count, replace = 0, os.replace

        def dying(source: Path, to: Path) -> None:
            nonlocal count
            count += 1
            if count > 3:
                raise OSError(errno.EIO, "the disk does not answer any more")
            replace(source, to)

        broken.setattr(switch.os, "replace", dying)
        with pytest.raises(DataError, match="does not answer"):
            write(tmp_path, "new", "a.csv")
    with pytest.raises(DataError, match="holds no results of a finished run"):
        Finished.open(tmp_path)
    with claimed(tmp_path, NAMES):
        assert {n: t for n, t in tree(tmp_path).items() if not n.startswith(".buurtsae/")} == before
    assert tree(tmp_path) == before


# --- what is refused before any work


def test_what_no_run_wrote_is_refused_by_name_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a.csv"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    assert "holds what no run wrote there\n  got a.csv;" in refusal(tmp_path)
    (folder / "precious.txt").rename(tmp_path / "b.csv")
    folder.rmdir()
    assert "got b.csv;" in refusal(tmp_path)
    (tmp_path / "b.csv").rename(tmp_path / "pages")
    assert "got pages;" in refusal(tmp_path)
    (tmp_path / "pages").rename(tmp_path / "manifest.json")
    assert "got manifest.json;" in refusal(tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "a web app", "outputs": ["a.csv"]}')
    assert "got manifest.json;" in refusal(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_a_folder_in_place_of_a_file_of_the_run_is_no_file_of_the_run(tmp_path: Path) -> None:
    write(tmp_path, "old", "a.csv")
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").mkdir()
    assert "got a.csv;" in refusal(tmp_path)


def test_what_appears_during_the_run_is_not_replaced_either(tmp_path: Path) -> None:
    with claimed(tmp_path, NAMES) as place:
        (tmp_path / "a.csv").write_text("mine")
        with pytest.raises(DataError, match="holds what no run wrote"), staged(place) as new:
            (new / "a.csv").write_text("new")
    assert tree(tmp_path) == {"a.csv": "mine"}


def test_a_manifest_that_lists_files_elsewhere_moves_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    to = tmp_path / "out"
    write(to, "old", "a.csv")
    manifest = json.loads((to / "manifest.json").read_text())
    for name in ("../precious.txt", str(tmp_path / "precious.txt")):
        manifest["outputs"][name] = {"sha256": "0"}
    (to / "manifest.json").write_text(json.dumps(manifest))
    write(to, "new", "a.csv")
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert texts(to) == {"a.csv": "new"}


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "got a file at" in refusal(tmp_path / "file")
    below = refusal(tmp_path / "file" / "out")
    assert "cannot be written" in below
    assert "choose another --out" in below
    long = refusal(tmp_path / ("x" * 300))
    assert "shorter name" in long
    assert len(long) < 600
    assert "embedded null" in refusal("a\0b")
    assert tree(tmp_path) == {"file": "mine"}


@posix
def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "got a link to nowhere at" in refusal(tmp_path / "link")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "links" in refusal(tmp_path / "loop")
    deep = tmp_path.joinpath(*["x" * 200] * ((os.pathconf(tmp_path, "PC_PATH_MAX") - len(str(tmp_path))) // 201))
    assert "shorter name" in refusal(deep)  # the folder fits, the files in it do not
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "loop"]


SCRIPT = """
import os, sys
from pathlib import Path
from buurtsae.errors import BuurtsaeError
from buurtsae.folder.target import staged
{before}
try:
    with staged(Path(sys.argv[1]), ["a.csv"]) as new:
        print("claimed")
        (new / "a.csv").write_bytes(bytes(int(sys.argv[2])))
except BuurtsaeError as error:
    print(error)
"""


def staged_by(to: Path, size: int, before: str) -> str:
    """Stage one file of a size in a process that is limited before."""
    command = [sys.executable, "-c", SCRIPT.format(before=before), str(to), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@posix
def test_a_folder_that_can_only_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # where another user can look
        Path(name).chmod(0o555)
        said = staged_by(Path(name) / "out", 1, "if os.geteuid() == 0: os.setuid(65534)")
        Path(name).chmod(0o755)
    assert "claimed" not in said
    assert "got Permission denied" in said
    assert HINTS["EACCES"] in said


@posix
@pytest.mark.parametrize("limit", [ROOM // 2, 2 * ROOM])  # met by the trial, and when the file is written
def test_a_limit_on_the_size_of_files(tmp_path: Path, limit: int) -> None:
    to = tmp_path / "out"
    said = staged_by(to, 3 * ROOM, f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")
    assert ("claimed" in said) == (limit > ROOM)
    assert "got File too large" in said
    assert HINTS["EFBIG"] in said
    assert not to.exists()


@pytest.fixture
def small_disk(disk: Callable[[int], Path]) -> Path:
    """A disk of 1 MB."""
    return disk(1024)


def test_a_full_disk_is_said_and_what_was_staged_is_removed(small_disk: Path) -> None:
    write(small_disk / "out", "old", "a.csv")
    before = tree(small_disk)
    with pytest.raises(DataError, match="No space left") as caught:
        write(small_disk / "out", "x" * 2 * ROOM, "a.csv", "b.csv")
    assert HINTS["ENOSPC"] in str(caught.value)
    assert tree(small_disk) == before
    (small_disk / "filled").write_bytes(bytes(4 * ROOM - 2**16))
    assert "No space left" in refusal(small_disk / "out")  # before any work
    assert {k: v for k, v in tree(small_disk).items() if k != "filled"} == before


def test_a_library_that_does_not_say_why_is_not_believed(small_disk: Path) -> None:
    def publish(size: int) -> None:
        with staged(small_disk, NAMES) as new:
            (new / "a.csv").write_bytes(bytes(size))
            raise RuntimeError("Failed to commit transaction")  # what GDAL says of a full disk, and of much else

    with pytest.raises(DataError, match="No space left"):
        publish(3 * ROOM)
    with pytest.raises(RuntimeError, match="Failed to commit"):
        publish(1)


@pytest.mark.parametrize("name", [*HINTS, "EIO"])
def test_every_error_of_the_system_has_three_lines(name: str, tmp_path: Path) -> None:
    error = failure(OSError(getattr(errno, name), "says\nso", str(tmp_path / ("x" * 1000))), tmp_path)
    assert str(error).count("\n") == 2
    assert len(str(error)) < 800
    assert error.hint == HINTS.get(name, error.hint)


# --- one writer at a time


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    with claimed(tmp_path / "out", NAMES) as place:
        said = refusal(tmp_path / "out")
        assert f"got process {os.getpid()} on {platform.node()}, since 20" in said
        with claimed(place, NAMES) as same:
            assert same is place
    assert not (tmp_path / "out").exists()
    write(tmp_path / "out", "two", "a.csv")


@posix
def test_who_waited_with_the_lock_file_of_one_that_ended_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the lock file is replaced between opening and locking it: whoever holds the old one holds nothing
    opened: list[Path] = []
    having = lock._lock

    def late(file: FileIO) -> bool:
        if not opened:
            opened.append(tmp_path / ".buurtsae" / "lock")
            opened[0].unlink()
        return having(file)

    monkeypatch.setattr(lock, "_lock", late)
    with claimed(tmp_path, NAMES):
        assert opened[0].exists()
        assert "another run is writing" in refusal(tmp_path)


@posix
def test_a_writer_that_has_not_said_who_it_is_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed(tmp_path, NAMES):
        file = tmp_path / ".buurtsae" / "lock"
        said = file.read_bytes()
        file.write_bytes(said[:9])
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                file.write_bytes(said)

        monkeypatch.setattr(lock.time, "sleep", sleep)
        assert f"got process {os.getpid()} on" in refusal(tmp_path)
        assert len(waited) == 3
        file.write_bytes(b"")
        monkeypatch.setattr(lock.time, "sleep", waited.append)
        assert "the lock can neither be had nor read" in refusal(tmp_path)


# --- one door for readers


def test_a_reader_gets_what_the_manifest_lists_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "one", "a.csv", "b.csv")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "1.html").write_text("of an older run")
    run = Finished.open(tmp_path)
    assert run.names == ("a.csv", "b.csv")
    assert run.read("a.csv") == b"one"
    with pytest.raises(DataError, match=r"this run has no pages/1\.html"):
        run.read("pages/1.html")
    (tmp_path / "pages" / "1.html").unlink()
    write(tmp_path, "two", "a.csv")
    for name in ("a.csv", "b.csv"):  # another's, and gone
        with pytest.raises(DataError, match="not whole any more"):
            run.read(name)
    assert Finished.open(tmp_path).read("a.csv") == b"two"


@pytest.mark.parametrize("manifest", [None, "{", "[]", "{}", '{"outputs": {}}', "\xff"])
def test_no_reader_takes_a_folder_without_the_manifest_of_a_run(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest, encoding="latin-1")
    with pytest.raises(DataError, match="holds no results of a finished run") as caught:
        Finished.open(tmp_path)
    assert str(caught.value).count("\n") == 2
    with pytest.raises(DataError, match="holds no results of a finished run"):
        Finished.open(tmp_path / "niets")


# --- verbs without a manifest


def test_a_verb_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    known = by_heading("plan.csv", "area_code,extra\n")

    def plan() -> None:
        with staged(tmp_path, ["plan.csv", "more.csv"], known) as new:
            (new / "plan.csv").write_text("area_code,extra\n")
            (new / "more.csv").write_text("")

    plan()
    plan()
    (tmp_path / "plan.csv").write_text("my own survey")
    with pytest.raises(BuurtsaeError, match="holds what no run wrote"):
        plan()
    assert (tmp_path / "plan.csv").read_text() == "my own survey"
