"""What makes a run reproducible: inputs by hash, versions, seed, model, timings, and the outcome of the gate.

The same inputs, seed and versions give the same estimates; `run_id` is a hash of exactly these. With SOURCE_DATE_EPOCH
set (seconds since 1970), that is the moment of the run and no timings are told: the same run gives the same bytes.

References
----------
Reproducible Builds, SOURCE_DATE_EPOCH specification 1.1.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError
from buurtsae.folder.finished import hashes as hashes_below

EPOCH = "SOURCE_DATE_EPOCH"
PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "geopandas",
    "libpysal",
    "formulaic",
    "pymc",
    "pytensor",
    "nutpie",
    "arviz",
    "numba",
)


def now() -> str:
    """Return the moment of a run (RFC 3339, UTC): that of SOURCE_DATE_EPOCH where it is set, else of the clock.

    Raises
    ------
    DataError
        If SOURCE_DATE_EPOCH is no number of seconds.
    """
    seconds = os.environ.get(EPOCH)
    if seconds is None:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(
            f"{EPOCH} cannot be read",
            repr(seconds[:40]),
            "whole seconds since 1970",
            "correct the variable, or unset it",
        ) from error


@dataclass(frozen=True)
class Provenance:
    """Where a set of estimates comes from.

    Attributes
    ----------
    title : str
    inputs : mapping of file name to {sha256, bytes}
    settings : mapping
        The run file as read, defaults included.
    timings : mapping of step to seconds
        Left out of the manifest when SOURCE_DATE_EPOCH is set.
    created : str
        RFC 3339, UTC.
    """

    title: str = "Buurtverbondenheid"
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    created: str = field(default_factory=now)

    @property
    def credit(self) -> str:
        """Whom the areas and their figures come from."""
        return str(self.settings.get("areas", {}).get("credit", ""))


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of what the numbers depend on."""
    from buurtsae import __version__

    found = {"python": platform.python_version(), "buurtsae": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def hashes(files: Iterable[Path], root: Path) -> dict[str, dict[str, Any]]:
    """Return SHA-256 and size of files, keyed by their path from `root` (their name, outside it)."""
    out = {}
    for file in files:
        content = file.read_bytes()
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
        out[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return out


def run_id(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits of the hash of inputs, settings (seed, engine) and versions."""
    text = json.dumps([inputs, settings, versions()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def manifest(quality: Mapping[str, Any], provenance: Provenance, folder: Path) -> dict[str, Any]:
    """Return the manifest of a run whose files lie in `folder`."""
    run = quality["run"]
    return {
        "run_id": run["run_id"],
        **asdict(provenance),
        "timings": {} if EPOCH in os.environ else dict(provenance.timings),
        "fictitious": run.get("fictitious", False),
        "notice": run.get("notice", ""),
        "engine": run["engine"],
        "seed": run["seed"],
        "versions": run["versions"],
        "platform": platform.platform(),
        "model": quality["model"],
        "gate": quality["gate"],
        "outputs": hashes_below(folder),
    }
