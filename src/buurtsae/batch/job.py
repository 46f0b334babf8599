"""What a worker does: one run, into a folder beside the others, that gets its name when it is whole.

A job is paths and settings, a report is numbers and texts: both can be sent anywhere; results stay where they are made.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from buurtsae.errors import BuurtsaeError
    from buurtsae.folder.finished import Finished

State = Literal["done", "draft", "error", "memory", "lost", "waiting"]
PAUSE = 0.5  # seconds between looks at a folder that another worker still writes
Said = Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """One run to do: its name, its run file, the folder of the batch, the folder to make it in, and its key."""

    name: str
    run: str
    out: str
    part: str
    key: str
    versions: Mapping[str, str]
    threads: int | None = 1


@dataclass(frozen=True)
class Report:
    """What came of a job: its state, seconds, peak memory (MiB) where it is known, where, and what went wrong."""

    name: str
    key: str
    state: State
    seconds: float = 0.0
    peak: int | None = None
    host: str = ""
    problems: tuple[Said, ...] = ()


def perform(job: Job) -> Report:
    """Run a job; whatever goes wrong is in the report, as long as the process lives."""
    from buurtsae.errors import BuurtsaeError, ProblemsError

    start, problems = time.perf_counter(), tuple[BuurtsaeError, ...]()
    _forget_peak()
    state: State
    try:
        key, state = _done(job)
    except MemoryError:
        key, state = job.key, "memory"
    except BuurtsaeError as error:
        key, state = job.key, "error"
        problems = error.problems if isinstance(error, ProblemsError) else (error,)
    except Exception as error:
        key, state, problems = job.key, "error", (_unexpected(error),)
    told = tuple({name: getattr(one, name) for name in ("what", "got", "expected", "hint")} for one in problems)
    seconds = round(time.perf_counter() - start, 2)
    return Report(job.name, key, state, seconds, peak_memory(), platform.node(), told)


def _done(job: Job) -> tuple[str, State]:
    """Run a job, unless another worker has done so meanwhile, and return the key of its results and their state."""
    from buurtsae.folder.lock import BusyError, locked
    from buurtsae.folder.target import claimed
    from buurtsae.publication.output import FILES

    check_versions(job.versions, worker_versions(), f"the worker on {platform.node()}")
    final = Path(job.out, job.name)
    if final.exists():  # what no run wrote there is refused now, and not after the work
        with claimed(final, FILES):
            pass
    while True:
        try:
            with locked(lock_of(Path(job.out, job.part))):
                return _alone(job, final)
        except BusyError:  # a worker that a client left behind is at it
            time.sleep(PAUSE)


def _alone(job: Job, final: Path) -> tuple[str, State]:
    from buurtsae.batch.tasks import finished
    from buurtsae.runs import steps

    if (results := finished(final, job.key)) is not None:
        return job.key, state_of(results)
    part = Path(job.out, job.part)
    outcome = steps.run(job.run, part, threads=job.threads, progress=False)
    settle(part, final)
    return str(outcome.quality["run"]["run_id"]), "done" if outcome.passed else "draft"


def lock_of(part: Path) -> Path:
    """Return the folder with the lock of who makes a run, from its begin until it has its name."""
    return part.with_name(part.name.replace(".part-", ".lock-", 1))


def state_of(results: Finished) -> State:
    """Return what finished results are: done, or a draft where the quality gate was not met."""
    return "done" if results.manifest["gate"]["passed"] else "draft"


def settle(part: Path, final: Path) -> None:
    """Give a folder that is whole its name; files of an earlier run there make place, all at once.

    Raises
    ------
    DataError
        If something is there that no run wrote.
    """
    from buurtsae.folder.failures import failure
    from buurtsae.folder.target import claimed, staged
    from buurtsae.publication.output import FILES

    try:
        if not final.exists():
            os.rename(part, final)
            return
        with claimed(final, FILES) as target, staged(target) as new:
            for file in [file for file in part.rglob("*") if file.is_file()]:
                place = new / file.relative_to(part)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
        shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise failure(error, final) from error


def worker_versions() -> dict[str, str]:
    """Return the versions that figures depend on, of this process."""
    from buurtsae.publication.manifest import versions

    return versions()


def check_versions(ours: Mapping[str, str], theirs: Mapping[str, str], who: str) -> None:
    """Refuse a worker with other versions: its figures would be others.

    Raises
    ------
    DataError
        What it has, and what it should have.
    """
    from buurtsae.errors import DataError, shown

    other = {name: version for name, version in theirs.items() if ours.get(name) != version}
    if other:
        raise DataError(
            f"{who} has other versions",
            shown(f"{name} {version}" for name, version in other.items()),
            shown(f"{name} {ours.get(name, 'none')}" for name in other),
            "install the same on every machine, for example from one image or one lock file",
        )


def _forget_peak() -> None:
    """Begin to measure the peak of memory anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int | None:
    """Return the peak memory of this process in MiB: since `_forget_peak` on Linux, elsewhere since its start."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most // 1024**2 if sys.platform == "darwin" else most // 1024)


def _unexpected(error: Exception) -> BuurtsaeError:
    from buurtsae.errors import BuurtsaeError, cut

    return BuurtsaeError(
        "the run met with something unexpected",
        f"{type(error).__name__}: {cut(error, 300)}",
        "a result, or a message about the input",
        "run it alone with `buurtsae run --debug`, and report what that prints",
    )
