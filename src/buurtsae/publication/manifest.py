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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from buurtsae.errors import DataError
from buurtsae.folder.finished import fingerprint
from buurtsae.folder.finished import hashes as hashes_below
from buurtsae.retrieved import Record, credits

EPOCH = "SOURCE_DATE_EPOCH"
PACKAGES = "numpy scipy pandas geopandas libpysal formulaic pymc pytensor nutpie arviz numba".split()


def now() -> str:
    """Return the moment of a run (RFC 3339, UTC): that of SOURCE_DATE_EPOCH where it is set, else of the clock.

    Raises
    ------
    DataError
        If SOURCE_DATE_EPOCH is no number of seconds.
    """
    seconds = os.environ.get(EPOCH)
    try:
        moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError) as error:
        text, hint = repr(str(seconds)[:40]), "correct the variable, or unset it"
        raise DataError(f"{EPOCH} cannot be read", text, "whole seconds since 1970", hint) from error
    return moment.isoformat(timespec="seconds")


@dataclass(frozen=True)
class Provenance:
    """Where a set of estimates comes from: `hashes` of inputs, settings as read, seconds per step, RFC 3339 moment,
    and the records of its files of open data.

    Without a title it is that of the concept.
    """

    title: str = ""
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    created: str = field(default_factory=now)
    open_data: tuple[Record, ...] = ()

    @property
    def credit(self) -> str:
        """Whom the areas and their figures come from: as the settings say, else as the records do."""
        return str(self.settings.get("areas", {}).get("credit", "")) or credits(self.open_data)


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of what the numbers depend on."""
    from buurtsae import __version__

    by_package = {"python": platform.python_version(), "buurtsae": __version__}
    for package in PACKAGES:
        try:
            by_package[package] = version(package)
        except PackageNotFoundError:
            by_package[package] = "absent"
    return by_package


def hashes(
    files: Iterable[Path], root: Path, read: Callable[[Path], dict[str, Any]] = fingerprint
) -> dict[str, dict[str, Any]]:
    """Return SHA-256 and size of files, keyed by their path from `root`, or outside it by their name.

    Files of one name outside it, such as those of several years, have as many of their folders before it as tell them
    apart. `read` hashes one of them.
    """
    every = list(dict.fromkeys(files))
    outside = [file for file in every if not file.is_relative_to(root)]
    names = {file: file.relative_to(root).as_posix() for file in every if file not in outside}
    for file in outside:
        alike = [other.parts for other in outside if other.name == file.name and other != file]
        count = next(k for k in range(1, len(file.parts) + 1) if all(a[-k:] != file.parts[-k:] for a in alike))
        names[file] = "/".join(file.parts[-count:])
    return {names[file]: read(file) for file in every}


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
