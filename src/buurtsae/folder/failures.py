"""What the system says when results cannot be written, in three lines with what helps against it."""

from __future__ import annotations

import errno
from pathlib import Path

from buurtsae.errors import DataError

PERMISSION = "ask for the right to write there, or choose another --out; on Windows, close what has a result open"
HINTS = {
    "ENOSPC": "the disk is full: make room, or choose another --out",
    "EDQUOT": "your share of the disk is used up: make room, or choose another --out",
    "EFBIG": "files may not be that large here: raise the limit (ulimit -f), or choose another disk",
    "EROFS": "the disk can only be read: choose another --out",
    "EACCES": PERMISSION,
    "EPERM": PERMISSION,
    "ENAMETOOLONG": "choose a shorter name for --out",
    "ENOTDIR": "a file lies where a folder should be: choose another --out",
    "EISDIR": "a folder lies where a file should be: move it away, or choose another --out",
    "EEXIST": "a file lies where a folder should be: choose another --out",
    "ELOOP": "links lead to each other: choose another --out",
    "EXDEV": "part of the folder is on another disk: choose another --out",
    "ENOENT": "the system has no such place, or somebody removed it: choose another --out",
}
IN_USE = (32, 33)  # Windows: another program has the file open
LONGEST = 120  # characters of a path in a message


def failure(error: OSError, to: Path) -> DataError:
    """Return the error to raise when `error` kept results from being written to `to`."""
    name = errno.errorcode.get(error.errno or 0, "")
    hint = HINTS.get(name, "see what the system says, or choose another --out")
    if getattr(error, "winerror", None) in IN_USE:
        hint = "close the program that has a result open (Excel locks a CSV), then run again"
    reason = " ".join(str(error.strerror or error).split())
    at = f" at {shortened(error.filename)}" if isinstance(error.filename, str) else ""
    return DataError(
        f"the results cannot be written to {shortened(to)}", f"{reason}{at}", "a folder that can be written to", hint
    )


def shortened(path: str | Path) -> str:
    """Return a path for a message, cut in the middle where it is long."""
    text = str(path)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
