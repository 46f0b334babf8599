"""Where results go: claimed before any work, and written all at once or not at all.

`claimed` tries what can be tried before a run: that the folder can be made and written to, that names are not too
long, that there is some room, that nobody else is writing there, and that only what an earlier run wrote lies in the
way. It ends what an interrupted run left. `staged` gives an empty folder, whose files then take the place of the old
ones (`switch`). All that is temporary lies in one working folder inside the target, hence on its file system.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from buurtsae.errors import BuurtsaeError, DataError, shown
from buurtsae.folder.failures import failure, shortened
from buurtsae.folder.finished import MANIFEST, digest, inside, listed
from buurtsae.folder.lock import LOCK, locked
from buurtsae.folder.switch import JOURNAL, NEW, restore, switch

WORK = ".buurtsae"
ROOM = 256 * 1024  # bytes that are tried before any work
NAME = "x" * 64  # as long as any path of a run from its folder
Known = Callable[[Path], frozenset[str] | None]


@dataclass(frozen=True)
class Target:
    """A folder that this process alone may write results to, by way of the working folder inside it.

    Files in it that an earlier run has `written` make place, and no others do; None when all may be replaced.
    """

    folder: Path
    work: Path
    written: frozenset[str] | None

    def obstacles(self, names: Iterable[str]) -> list[str]:
        """Return what lies in the way of files, and is not an earlier run's: files, and folders in their place."""
        obstacles = []
        for name in dict.fromkeys(names):
            path = self.folder / name
            if (path.is_dir() and not path.is_symlink()) or (os.path.lexists(path) and not self._replaceable(name)):
                obstacles.append(name)
            homes = (self.folder / home for home in list(PurePosixPath(name).parents)[:-1])
            obstacles += [str(home.relative_to(self.folder)) for home in homes if _in_the_way(home)]
        return list(dict.fromkeys(obstacles))

    def _replaceable(self, name: str) -> bool:
        return self.written is None or name in self.written


def by_manifest(folder: Path) -> frozenset[str]:
    """Return the files that the manifest of a folder lists, itself included; not those that were changed since."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        names = listed(manifest)
    except (OSError, ValueError):  # none, or something else's
        return frozenset()
    if names is None:
        return frozenset()

    def same(file: Path, name: str) -> bool:
        return not file.is_file() or digest(file) == manifest["outputs"][name]["sha256"]

    return frozenset([*(name for name in names if inside(name) and same(folder / name, name)), MANIFEST])


def by_heading(file: str, begins: str) -> Known:
    """Return how to see that a verb without a manifest wrote here before: a file of its own begins as it should."""

    def known(folder: Path) -> frozenset[str] | None:
        try:
            with (folder / file).open("rb") as content:
                return None if content.read(len(begins)) == begins.encode() else frozenset()
        except OSError:  # there is none
            return frozenset()

    return known


@contextmanager
def claimed(
    to: str | Path | Target, names: Sequence[str], known: Known = by_manifest, work: str = WORK
) -> Iterator[Target]:
    """Yield a folder for results that is known to be usable, and that nobody else writes to.

    It is made if need be, and removed again when nothing is written; one that is claimed already is yielded as it is.
    `names` are patterns of the files that will be written, `known` says which of them an earlier run wrote (see
    `Target`), and the folder `work` inside has the lock.

    Raises
    ------
    DataError
        If the folder cannot be used: why, and what to do.
    """
    if isinstance(to, Target):
        yield to
        return
    folder = Path(os.path.abspath(to))
    room = folder / work
    with ExitStack() as stack:
        with _reported(folder):
            stack.enter_context(_made(folder))
            stack.enter_context(locked(room))
            stack.callback(_clear, room)
            restore(folder, room)
            _clear(room)
            _fill(room, ROOM)
            target = Target(folder, room, known(folder))
            present = [path.relative_to(folder).as_posix() for name in names for path in folder.glob(name)]
        _refuse(target, [*present, *names])
        yield target


@contextmanager
def staged(
    to: str | Path | Target, names: Sequence[str] = (), known: Known = by_manifest, work: str = WORK
) -> Iterator[Path]:
    """Yield an empty folder; on success its files take the place of those of an earlier run, `manifest.json` last.

    Raises
    ------
    DataError
        If something cannot be written, or lies in the way; the folder is then as it was.
    """
    with claimed(to, names, known, work) as target:
        _clear(target.work)
        new = target.work / NEW
        new.mkdir()
        try:
            yield new
        except BuurtsaeError:
            raise
        except OSError as error:
            raise failure(error, target.folder) from error
        except Exception:
            with _reported(target.folder):  # SQLite and HDF5 do not say that a disk is full: it is asked
                _fill(target.work, ROOM + 2 * sum(file.stat().st_size for file in new.rglob("*") if file.is_file()))
            raise
        with _reported(target.folder):
            comes = [file.relative_to(new).as_posix() for file in new.rglob("*") if file.is_file()]
            _refuse(target, comes)
            goes = comes if target.written is None else sorted(target.written)
            switch(target.folder, target.work, [name for name in goes if os.path.lexists(target.folder / name)])


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Say in three lines what the system says of a folder."""
    try:
        yield
    except OSError as error:
        raise failure(error, folder) from error
    except ValueError as error:  # a NUL, or what the file system cannot spell
        raise DataError(
            "the results cannot be written", f"{shortened(repr(str(folder)))}: {error}", "a name", "correct --out"
        ) from error


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it again, with those above it that were made, when it is empty in the end."""
    there = "a file" if folder.exists() else "a link to nowhere" if folder.is_symlink() else None
    if there is not None and not folder.is_dir():
        at = f"{there} at {shortened(folder)}"
        raise DataError("the results cannot be written", at, "a folder", "choose another --out")
    missing = [home for home in (folder, *folder.parents) if not home.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for home in missing:
            with suppress(OSError):  # it is not empty: only what is empty can be removed so
                home.rmdir()


def _clear(work: Path) -> None:
    """Remove what lies in a working folder, unless a switch still has to be ended."""
    names = set(os.listdir(work)) if work.is_dir() else set()
    if JOURNAL in names:
        return
    for path in (work / name for name in names - {LOCK}):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # what a virus scanner still reads, the next run clears
        else:
            path.unlink(missing_ok=True)


def _fill(work: Path, size: int) -> None:
    """Write as many bytes under as long a name as a run may need, and remove them again."""
    path = work / NEW / NAME
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("wb") as file:
            file.write(bytes(size))
    finally:
        path.unlink(missing_ok=True)


def _in_the_way(home: Path) -> bool:
    return os.path.lexists(home) and not home.is_dir()


def _refuse(target: Target, names: Iterable[str]) -> None:
    if obstacles := target.obstacles(names):
        raise DataError(
            f"{shortened(target.folder)} holds what no run wrote there",
            shown(map(shortened, obstacles)),
            "where results go only files of an earlier run, as it wrote them",
            "move them away, or choose another --out",
        )
