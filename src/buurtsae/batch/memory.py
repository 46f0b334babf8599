"""Memory of a run before it starts, from the size of its model: n areas, W columns (measures x years), S draws.

    MiB = BASE + S n (PER_COLUMN W + PER_DRAW) / 2^20 + PER_AREA n / 2^10

The process with its libraries and compiled loops; the draws of all columns, and what is computed of one measure after
another; geometry, tables and pages. Constants cover what `benchmarks/batch.py` measures (docs/batch.md), with room for
detailed maps; NUTS and models of persons keep more at times: it is a plan and no promise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buurtsae.batch.tasks import Task
from buurtsae.errors import BuurtsaeError, DataError, shown

BASE, PER_COLUMN, PER_DRAW, PER_AREA = 560.0, 24.0, 56.0, 40.0  # MiB, bytes, bytes, KiB
DRAWS = 4000  # what engines make by default
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
GIB = 1024


@dataclass(frozen=True)
class Size:
    """Size of a model: areas, columns (measures x years), draws."""

    areas: int
    columns: int
    draws: int

    @property
    def mib(self) -> float:
        """Memory that a run of this size needs."""
        drawn = self.draws * self.areas * (PER_COLUMN * self.columns + PER_DRAW)
        return BASE + drawn / 2**20 + PER_AREA * self.areas / 2**10

    @property
    def work(self) -> float:
        """How long it takes, up to a factor: for the time that is left."""
        return 300.0 + self.areas * self.columns


def sizes(tasks: Sequence[Task]) -> dict[str, Size]:
    """Return the size of each run whose areas and concept can be read, by name; each map is read once."""
    from buurtsae.runs.reading import areas_of, forget_areas
    from buurtsae.survey.concept import Concept

    found = dict[str, Size]()
    for task in tasks:
        spec, run = task.run.spec, task.run
        try:
            areas = areas_of(run)
            concept = Concept.load(run.locate(spec.concept.file) if spec.concept.file else None)
        except BuurtsaeError:  # the run will say so
            continue
        years = {part.year for part in spec.used}.union(spec.years.also) if spec.years else {spec.run.year}
        options = spec.engine.get(spec.run.engine, {})
        draws = options.get("draws", DRAWS)
        chains = options.get("chains", 1) if spec.run.engine == "nuts" else 1
        if isinstance(draws, int) and isinstance(chains, int):
            found[task.name] = Size(len(areas.codes), len(concept.subdimensions) * len(years), draws * chains)
    forget_areas()  # workers have their own
    return found


def available() -> float | None:
    """Return the memory of this machine, or of the container, in MiB; None where the system does not say."""
    limits = list[float]()
    if hasattr(os, "sysconf"):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in CGROUPS:
        try:
            limits.append(float(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # none, or `max`
            continue
    return min(limits) / 2**20 if limits else None


def fitting(needs: Mapping[str, Size], workers: int, mib: float | None, *, chosen: bool) -> int:
    """Return how many workers fit in memory: as many as asked for, or fewer where nobody chose their number.

    Raises
    ------
    DataError
        If runs do not fit with the number that was chosen, or do not fit at all.
    """
    if mib is None or not needs:
        return workers
    largest = max(needs, key=lambda name: needs[name].mib)
    most = needs[largest].mib
    count = min(workers, int(mib // most))
    if count < 1 or (chosen and count < workers):
        large = [name for name, size in needs.items() if size.mib > mib / workers]
        hint = f"--workers {count}" if count else "fewer `draws`, fewer measures in one run, or a machine with more"
        of = f"{largest} ({needs[largest].areas} areas, {needs[largest].columns} columns)"
        raise DataError(
            f"{len(large)} runs do not fit in memory with {workers} workers: {shown(large, 3)}",
            f"about {most / GIB:.1f} GiB for {of}",
            f"at most {mib / workers / GIB:.1f} GiB each",
            hint,
        )
    return count
