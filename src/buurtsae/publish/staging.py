"""All files or none: results are written into a staging folder and moved into place together.

A folder with a `manifest.json` is complete: an old manifest goes first, the new one comes last. When anything fails,
by an error, Ctrl-C or a file that another program holds open, the output folder is put back as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from buurtsae.errors import DataError

LAST = Path("manifest.json")


@contextmanager
def staged(to: str | Path) -> Iterator[Path]:
    """Yield an empty folder; on success its files replace those of the same name in `to`.

    Parameters
    ----------
    to : path
        The output folder, made if need be. Files in it that are not written anew stay.

    Raises
    ------
    DataError
        If `to` is a file, or a file in it cannot be replaced.
    """
    to = Path(to).absolute()
    if to.exists() and not to.is_dir():
        raise DataError("the results cannot be written", f"a file at {to}", "a folder", "choose another --out")
    # inside `to` where it exists: it may be a file system of its own, and a rename cannot cross file systems
    home = to if to.exists() else next(p for p in to.parents if p.is_dir())
    # a virus scanner that still reads a staged file must not turn a finished publication into a failure
    with TemporaryDirectory(prefix=".staging-", dir=home, ignore_cleanup_errors=True) as name:
        new, old = Path(name, "new"), Path(name, "old")
        new.mkdir()
        yield new
        try:
            _move(new, to, old)
        except OSError as error:
            raise DataError(
                f"the results cannot be moved to {to}",
                str(error),
                "files that may be replaced",
                "close the program that has a result open (Excel locks a CSV), then run again",
            ) from error


def _move(new: Path, to: Path, old: Path) -> None:
    """Move the files below `new` to `to`, keeping what they replace in `old` until all is done."""
    files = sorted((p.relative_to(new) for p in new.rglob("*") if p.is_file()), key=lambda p: (p == LAST, p))
    made: list[Path] = []
    try:
        if (to / LAST).exists():
            _replace(to / LAST, old / LAST)
        for file in files:
            for folder in reversed((to / file).parents):
                if not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            if (to / file).exists():
                _replace(to / file, old / file)
            os.replace(new / file, to / file)
    except BaseException:  # Ctrl-C too; what has happened is read off the disk
        for file in {*files, LAST}:
            if (old / file).exists():
                os.replace(old / file, to / file)
            elif file in files and not (new / file).exists():
                (to / file).unlink()
        for folder in reversed(made):
            folder.rmdir()
        raise


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)
