"""Workers on this machine: processes made by spawn, each with a pipe, so that it is known which run a lost one had.

A worker ends with the process that made it, however that ends; Ctrl-C reaches only the latter.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from buurtsae.batch.job import Job, Report, perform
from buurtsae.errors import BuurtsaeError

THREADS = dict.fromkeys("OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS".split(), "1")
UP = "up"  # the first that a worker says
LEAVE = 10.0  # seconds that an idle worker gets to end


@dataclass
class Worker:
    """A process, our end of its pipe, and the job it has."""

    process: BaseProcess
    pipe: Connection
    job: Job | None = None


@dataclass
class Local:
    """Worker processes on this machine, which start with their first job."""

    capacity: int
    do: Callable[[Job], Report] = perform
    again: int = 2  # times that a run is begun again after a lost worker
    _workers: list[Worker] = field(default_factory=list, repr=False)
    _up: bool = False

    def start(self, job: Job) -> None:
        """Give a job to an idle worker, or to a new one."""
        for worker in [each for each in self._workers if each.job is None]:
            try:
                worker.pipe.send(job)
            except OSError:  # it was lost while idle
                self._remove(worker)
                continue
            worker.job = job
            return
        worker = _started(self.do)
        self._workers.append(worker)
        worker.job = job
        with suppress(OSError):  # lost at once: its sentinel says so
            worker.pipe.send(job)

    def wait(self, timeout: float) -> list[tuple[Job, Report | None]]:
        """Return the jobs that ended meanwhile; without a report those whose worker was lost.

        Raises
        ------
        BuurtsaeError
            If the first of them does not come up at all.
        """
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = wait([thing for worker in busy for thing in (worker.pipe, worker.process.sentinel)], timeout)
        ended = list[tuple[Job, Report | None]]()
        for worker in busy:
            job = worker.job
            if job is None or not {worker.pipe, worker.process.sentinel}.intersection(ready):
                continue
            report = None
            with suppress(EOFError, OSError):
                report = worker.pipe.recv() if worker.pipe.poll() else None
            if report == UP:
                self._up = True
                continue
            if report is None:
                self._remove(worker)
                if not self._up:
                    raise _never_up(worker.process.exitcode)
            worker.job = None
            ended.append((job, report))
        return ended

    def close(self) -> None:
        """Let idle workers end, and stop the others."""
        for worker in self._workers:
            worker.pipe.close()  # an idle one sees it, and ends
            if worker.job is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(LEAVE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def _remove(self, worker: Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)


def _started(do: Callable[[Job], Report]) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, do), name="buurtsae-batch", daemon=True)
    with _environment(THREADS):
        process.start()
    theirs.close()
    return Worker(process, ours)


def _serve(pipe: Connection, do: Callable[[Job], Report]) -> None:
    """Do jobs until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    pipe.send(UP)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(do(job))


def _never_up(status: int | None) -> BuurtsaeError:
    return BuurtsaeError(
        "a worker process ends before it does anything",
        f"exit status {status}",
        "a process that waits for runs",
        'a script has the call under `if __name__ == "__main__":`; else see what was printed above',
    )


def _end_with(parent: int) -> None:
    """End this process as soon as its parent has: what it writes is dropped, and its locks are freed."""
    wait([parent])
    os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for a while: libraries read them when they are loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
