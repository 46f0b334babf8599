"""The one door to what a run has written.

A run is finished when its folder has a manifest. A reader gets a file only if the manifest lists it and its hash holds,
so that all that is read through one `Finished` is of one run, whatever happens to the folder meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from buurtsae.errors import DataError
from buurtsae.folder.failures import shortened

MANIFEST = "manifest.json"
NEEDED = ("run_id", "title", "created", "engine", "seed", "gate", "outputs")


@dataclass(frozen=True)
class Finished:
    """A folder of results as its manifest describes it."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> Finished:
        """Read the manifest of a folder.

        Raises
        ------
        DataError
            If there is none, or it is not that of a run.
        """
        home = Path(folder)
        try:
            manifest = json.loads((home / MANIFEST).read_bytes())
        except (OSError, ValueError) as error:
            reason = "no manifest.json" if isinstance(error, OSError) else "a manifest.json that cannot be read"
            raise _unfinished(home, reason) from error
        if listed(manifest) is None or not set(NEEDED) <= set(manifest):
            raise _unfinished(home, "a manifest.json of something else")
        return cls(home, manifest)

    @property
    def names(self) -> tuple[str, ...]:
        """The files of the run besides its manifest, by their path in the folder."""
        return tuple(self.manifest["outputs"])

    def read(self, name: str) -> bytes:
        """Return the content of a file of the run.

        Raises
        ------
        DataError
            If the run has no such file, or the one that is there is not the run's.
        """
        if name not in self.manifest["outputs"]:
            hint = "run it again, or give another"
            raise DataError(f"this run has no {name}", shortened(self.folder), "a run that wrote it", hint)
        try:
            content = (self.folder / name).read_bytes()
            reason = f"another {name}"
        except OSError as error:
            content, reason = None, f"no {name}: {error.strerror}"
        if content is None or hashlib.sha256(content).hexdigest() != self.manifest["outputs"][name]["sha256"]:
            what, run = f"the results in {shortened(self.folder)} are not whole any more", self.manifest["run_id"]
            hint = "another run may be taking its place: try again; or run it again"
            raise DataError(what, reason, f"the one that run {run} wrote", hint)
        return content

    def json(self, name: str) -> Any:
        """Return what a JSON file of the run holds."""
        return json.loads(self.read(name))

    def stream(self, name: str) -> BytesIO:
        """Return a file of the run, for a reader of binary files."""
        return BytesIO(self.read(name))


def listed(manifest: Any) -> tuple[str, ...] | None:
    """Return the files that a manifest lists; None if it is not one of ours."""
    outputs = manifest.get("outputs") if isinstance(manifest, dict) else None
    if not isinstance(outputs, dict) or not all(
        isinstance(about, dict) and "sha256" in about for about in outputs.values()
    ):
        return None
    return tuple(outputs)


def inside(name: str) -> bool:
    """Whether the path of a file stays inside the folder that it is taken from."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    """Return SHA-256 and size of a file."""
    return {"sha256": digest(path), "bytes": path.stat().st_size}


def hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """Return SHA-256 and size of every file below a folder, by path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): fingerprint(file) for file in files}


def _unfinished(home: Path, reason: str) -> DataError:
    return DataError(
        f"{shortened(home)} holds no results of a finished run",
        reason,
        "a folder that `buurtsae run` wrote",
        "check the path; after an interrupted run, run again into this folder: it restores what was there",
    )
