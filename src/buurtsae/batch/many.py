"""Many runs to one folder: a folder of results per run, a log, and one page over all of them.

What is finished is skipped, so that the same call goes on after whatever stopped the last one. One batch at a time
writes to a folder: a lock of the system holds it, which a killed process frees.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buurtsae.batch.cluster import Cluster, connected
from buurtsae.batch.drive import Crew, Say, drive, stopping
from buurtsae.batch.job import Job, Report, lock_of, settle, state_of, worker_versions
from buurtsae.batch.local import Local
from buurtsae.batch.memory import Size, available, fitting, sizes
from buurtsae.batch.record import INDEX, RECORD, Record, ours, refuse_another, write_whole
from buurtsae.batch.site import write_index
from buurtsae.batch.tasks import Batch, Task, finished, read_batch
from buurtsae.errors import DataError, shown
from buurtsae.folder.lock import BusyError, locked
from buurtsae.folder.target import claimed

LOCKED = ".batch"  # the folder with the lock


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: its runs, a report of each, and the folder with the results, `index.html` over all."""

    batch: Batch
    reports: tuple[Report, ...]
    folder: Path
    stopped: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(report.state for report in self.reports))

    def of(self, *states: str) -> list[Report]:
        """Return the reports of runs in these states."""
        return [report for report in self.reports if report.state in states]

    @property
    def failed(self) -> list[Report]:
        """Runs without results."""
        return self.of("error", "memory", "lost")

    @property
    def status(self) -> int:
        """The exit status: 1 if a run failed, 3 if a quality gate was not met, else 0."""
        return 1 if self.failed else 3 if self.of("draft") else 0

    def __repr__(self) -> str:
        return f"Outcome of {self.batch!r} in {self.folder}: {self.counts}"


def run_all(
    specs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    client: Any = None,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Say = lambda text: None,
) -> Outcome:
    """Do many runs, on processes of this machine or on a Dask cluster; what is finished is skipped.

    On processes of this machine a script needs `if __name__ == "__main__":` around the call, as with all of Python's
    processes.

    Parameters
    ----------
    specs : path or sequence of path
        A folder of run files, run files, or a batch file: a template with a table of indicators and years.
    out : path
        The folder for the results: one folder per run, by its name, `batch.json` and `index.html`.
    client : distributed.Client, optional
        Of a Dask cluster, which stays the caller's. Paths must mean the same on its workers.
    workers : int, optional
        Processes on this machine; by default one per processor, or as many as fit in memory.
    scheduler : str, optional
        Address of a Dask scheduler, instead of a client: `tcp://host:8786`.
    say : callable
        Told what is done and what is left, one line at a time.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError or ProblemsError
        Before any work: run files, columns or names that cannot be, a folder of another batch or one in use, other
        versions on workers, and runs that do not fit in memory.
    KeyboardInterrupt
        On a second Ctrl-C; after one the runs that were begun are finished, and `stopped` says so.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run_all(folder, folder + "/out")
    Traceback (most recent call last):
        ...
    buurtsae.errors.DataError: there are no run files
      got no *.toml in it; expected run files, a folder of them, or a batch file
      hint: name others
    """
    if workers is not None and workers < 1:
        raise DataError("there is nobody to do it", f"{workers} workers", "1 or more", "correct --workers")
    folder = Path(os.path.abspath(out)).resolve()
    batch = read_batch(specs, folder)
    refuse_another(batch, folder)
    versions = worker_versions()
    if client is not None or scheduler is None:
        return _all(batch, folder, versions, client, workers, say)
    with closing(connected(scheduler)) as own:
        return _all(batch, folder, versions, own, workers, say)


def _all(
    batch: Batch, folder: Path, versions: Mapping[str, str], client: Any, workers: int | None, say: Say
) -> Outcome:
    with claimed(folder, [RECORD, INDEX], ours, LOCKED):
        refuse_another(batch, folder)  # with the lock, nobody else's comes meanwhile
        record = Record(folder, batch, versions)
        _take_up(batch, folder, say)
        results = {task.name: finished(folder / task.name, task.key) for task in batch.tasks}
        for name, found in results.items():
            if found is not None:
                record.reports[name] = Report(name, found.manifest["run_id"], state_of(found))
        record.remember()
        todo = [task for task in batch.tasks if results[task.name] is None]
        todo.sort(
            key=lambda task: task.run.spec.areas.model_dump_json()
        )  # runs of one map after each other: it is kept
        if len(todo) < len(batch.tasks):
            say(f"{len(batch.tasks) - len(todo)} of {len(batch.tasks)} runs are finished already")
        needs = sizes(todo)
        crew, threads = _crew(todo, needs, versions, client, workers, say) if todo else (Local(0), 1)
        for task in batch.tasks:
            if task.text is not None:
                _made(task)
        record.write()
        jobs = [
            Job(task.name, str(task.run.path.resolve()), str(folder), task.part, task.key, versions, threads)
            for task in todo
        ]
        try:
            with closing(crew), stopping(say) as stop:
                drive(jobs, crew, record, {name: size.work for name, size in needs.items()}, say, stop)
        finally:  # of workers that were stopped or lost
            _take_up(batch, folder, say)
        states = {name: report.state for name, report in record.reports.items()}
        write_index(batch, folder, states)
    return Outcome(batch, tuple(record.of(task) for task in batch.tasks), folder, stop.asked)


def _crew(
    todo: Sequence[Task],
    needs: Mapping[str, Size],
    versions: Mapping[str, str],
    client: Any,
    workers: int | None,
    say: Say,
) -> tuple[Crew, int]:
    """Return the workers, whose versions and memory are as they should be, and the threads that each run has."""
    if client is not None:
        cluster = Cluster(client)
        cluster.check(versions)
        fitting(needs, 1, cluster.memory, chosen=True)
        say(f"{len(todo)} runs on {cluster.capacity} workers of {cluster.address}")
        return cluster, 1
    processors = os.cpu_count() or 1
    asked = min(workers or processors, len(todo))
    count = fitting(needs, asked, available(), chosen=workers is not None)
    if count < asked:
        say(f"{count} workers instead of {asked}: more do not fit in memory")
    say(f"{len(todo)} runs on {count} workers")
    return Local(count), max(1, processors // count)


def _made(task: Task) -> None:
    """Write the run file of a row, unless it is there already."""
    path, text = task.run.path, task.text or ""
    try:
        if path.read_bytes() == text.encode():
            return
    except OSError:
        pass
    write_whole(path, text)


def _take_up(batch: Batch, folder: Path, say: Say) -> None:
    """End what an earlier start left: runs that are whole get their names, others that nobody works on are removed."""
    by_part = {task.part: task for task in batch.tasks}
    locks = {path.name.replace(".lock-", ".part-", 1) for path in folder.glob(".lock-*")}
    for name in sorted(locks.union(path.name for path in folder.glob(".part-*"))):
        part, task = folder / name, by_part.get(name)
        try:
            with locked(lock_of(part)):
                if task is not None and finished(part, task.key) is not None:
                    settle(part, folder / task.name)
                shutil.rmtree(part, ignore_errors=True)
        except BusyError:  # a worker that its client left behind is at it
            say(f"{name} is being written by another worker, and left to it")


def failures(outcome: Outcome) -> list[str]:
    """Return the errors of a batch as texts of three lines, those that many runs share told once."""
    by_text: dict[str, list[str]] = {}
    for report in outcome.failed:
        for one in report.problems:
            text = f"{one['what']}\n  got {one['got']}; expected {one['expected']}\n  hint: {one['hint']}"
            by_text.setdefault(text, []).append(report.name)
    return [f"{shown(names, 3)}: {text}" for text, names in by_text.items()]
