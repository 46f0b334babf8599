"""One writer at a time: a lock of the operating system, which is freed when its process ends, however it ends.

The lock file says who holds it, and is removed by its holder while it holds it. Who waited with that file open then
holds a lock on nothing, sees that the file has gone, and starts again.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from buurtsae.errors import DataError
from buurtsae.folder.failures import shortened

LOCK = "lock"
ATTEMPTS, PAUSE = 100, 0.02  # seconds
BEYOND = 2**30  # of the file, the byte that Windows locks: nobody could read what is locked


class BusyError(DataError):
    """Somebody else is writing there."""


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Hold the lock of a working folder, which is made if need be and removed when nothing is left in it.

    Raises
    ------
    BusyError
        If somebody else holds it: who, and since when.
    """
    try:
        file = _acquire(work)
        try:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"process": os.getpid(), "host": platform.node(), "since": since}
            file.truncate(0)  # what a killed process left
            file.write(json.dumps(about).encode())
            yield
        finally:
            if sys.platform == "win32":  # no file that is open can be removed
                file.close()
                with suppress(PermissionError):  # the next one has it open already
                    (work / LOCK).unlink(missing_ok=True)
            else:
                (work / LOCK).unlink(missing_ok=True)
                file.close()
    finally:
        with suppress(OSError):  # it is not empty: a switch still has to be ended, or the next one is there
            work.rmdir()


def _acquire(work: Path) -> FileIO:
    for _ in range(ATTEMPTS):
        work.mkdir(exist_ok=True)
        try:
            file = (work / LOCK).open("a+b", buffering=0)
        except FileNotFoundError:  # whoever held it has just cleared up
            continue
        if _lock(file):
            if _there(work / LOCK, file):
                return file
            file.close()
            continue
        file.close()
        if holder := _holder(work):
            what, hint = (
                f"another run is writing to {shortened(work.parent)}",
                "wait until it is done, or choose another --out",
            )
            raise BusyError(what, holder, "one run at a time", hint)
        time.sleep(PAUSE)  # it has the lock, and has not said so yet
    raise OSError(errno.EAGAIN, "the lock can neither be had nor read", str(work / LOCK))


def _lock(file: FileIO) -> bool:
    """Whether the lock could be had, without waiting."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _there(path: Path, file: FileIO) -> bool:
    """Whether the file that is open is still the one at the path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _holder(work: Path) -> str | None:
    """Who says to hold the lock; None while nobody does."""
    try:
        about = json.loads((work / LOCK).read_bytes())
        return f"process {about['process']} on {about['host']}, since {about['since']}"
    except (OSError, ValueError):  # it is being written, or has just gone
        return None
