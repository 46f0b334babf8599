"""Replies of services on disk, by service, table, edition and request: whole or absent, and read without a network.

A reply is a file, compressed where it is text, with a record beside it. The record is written last, so that a reply
without one does not count; and it holds the hash, so that a reply that was damaged is asked again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from buurtsae.errors import DataError
from buurtsae.folder.failures import failure, shortened
from buurtsae.folder.finished import digest

PLACE = "BUURTSAE_CACHE"
PART, STALE = ".part-", 24 * 3600  # a file that is being written; seconds after which it is no longer
RECORDED = {"url", "retrieved", "sha256", "bytes", "headers", "stored"}


@dataclass(frozen=True)
class Kept:
    """A reply in the cache: where it lies, and its record (`url`, `retrieved`, `sha256`, `bytes`, `headers`)."""

    path: Path
    record: Mapping[str, Any]

    def content(self) -> bytes:
        """Return what the service sent."""
        raw = self.path.read_bytes()
        return gzip.decompress(raw) if self.path.suffix == ".gz" else raw


@dataclass(frozen=True)
class Cache:
    """A folder of replies.

    Examples
    --------
    >>> Cache.at("replies").folder.name
    'replies'
    """

    folder: Path

    @classmethod
    def at(cls, folder: str | Path | None = None) -> Cache:
        """Return the cache in a folder: by default that of BUURTSAE_CACHE, else where this system keeps caches."""
        if folder is None and (named := os.environ.get(PLACE)):
            folder = named
        if folder is None:
            import platformdirs

            folder = Path(platformdirs.user_cache_dir("buurtsae", appauthor=False)) / "opendata"
        return cls(Path(folder))

    def path(self, service: str, table: str, edition: str, request: str, suffix: str) -> Path:
        """Return where the reply to a request lies."""
        home = (self.folder / _name(service)).joinpath(*map(_name, table.split("/"))) / _name(edition or "undated")
        return home / (hashlib.sha256(request.encode()).hexdigest()[:32] + suffix)

    def find(self, path: Path) -> Kept | None:
        """Return a reply that is there and whole; None otherwise."""
        try:
            record = json.loads(_record(path).read_bytes())
            if set(record) >= RECORDED and digest(path) == record["stored"]:
                return Kept(path, record)
        except (OSError, ValueError, TypeError):  # absent, or torn: it is asked again
            pass
        return None

    @contextmanager
    def writing(self, path: Path) -> Iterator[IO[bytes]]:
        """Yield a file whose content takes its place at the end, and is removed when that does not come.

        Raises
        ------
        DataError
            If it cannot be written, such as on a disk that is full.
        """
        part: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _swept(path.parent)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART)
            part = Path(name)
            with os.fdopen(handle, "wb") as file:
                yield file
            os.replace(part, path)
        except OSError as error:
            raise _unwritten(error, self.folder) from error
        finally:
            if part is not None:
                with suppress(FileNotFoundError):  # it has taken its place
                    part.unlink()

    def sign(self, path: Path, record: Mapping[str, Any]) -> Kept:
        """Write the record of a reply that is there, and return it."""
        full = {**record, "stored": digest(path)}
        with self.writing(_record(path)) as file:
            file.write(json.dumps(full, indent=1, sort_keys=True).encode())
        return Kept(path, full)


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _swept(folder: Path) -> None:
    """Remove what downloads that were killed left behind; younger parts may be of one that is going on."""
    for part in folder.glob(PART + "*"):
        with suppress(OSError):  # another process was earlier
            if time.time() - part.stat().st_mtime > STALE:
                part.unlink()


def _name(text: str) -> str:
    """A text as the name of a folder on any system."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:80].strip(".") or "_"


def _unwritten(error: OSError, folder: Path) -> DataError:
    told = failure(error, folder)
    hint = told.hint.replace("--out", "--cache")
    return DataError(f"the cache {shortened(folder)} cannot be written to", told.got, told.expected, hint)
