"""Jobs to workers: no more at a time than these can do, again after a lost worker, and none after Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Protocol

from buurtsae.batch.job import Job, Report
from buurtsae.batch.record import Record

AGAIN = 2  # times that a run is begun again after too little memory, and by workers of our own after a lost one
TICK = 0.5  # seconds between looks at Ctrl-C
LOST = {
    "what": "the worker of this run was lost",
    "got": "every worker that began it ended",
    "expected": "a worker that stays",
    "hint": "it may need more memory than there is: see what the system logs, or use fewer workers",
}
MEMORY = {
    "what": "there was too little memory for this run",
    "got": f"{AGAIN + 1} tries",
    "expected": "enough memory",
    "hint": "use fewer workers, fewer `draws`, or a machine with more memory",
}
Say = Callable[[str], None]


class Crew(Protocol):
    """Workers, wherever they are."""

    @property
    def capacity(self) -> int:
        """How many jobs may run at the same time."""

    @property
    def again(self) -> int:
        """How often a job is to be begun again after a lost worker: not at all where the workers see to that."""

    def start(self, job: Job) -> None:
        """Give a job to a worker."""

    def wait(self, timeout: float) -> list[tuple[Job, Report | None]]:
        """Return the jobs that ended meanwhile; without a report those whose worker was lost."""

    def close(self) -> None:
        """Stop all work."""


@dataclass
class Stop:
    """Whether Ctrl-C was pressed: once, no run is begun any more; twice, `KeyboardInterrupt`."""

    asked: bool = False


@contextmanager
def stopping(say: Say) -> Iterator[Stop]:
    """Listen to Ctrl-C, where that can be done: in the main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def heard(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        say("no run is begun any more; those that run are finished. Ctrl-C again stops these too")

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def drive(jobs: Iterable[Job], crew: Crew, record: Record, work: Mapping[str, float], say: Say, stop: Stop) -> None:
    """Do jobs, and record what becomes of each as soon as it is known.

    Parameters
    ----------
    work : mapping
        How long each takes, up to a factor; 1 where it is not known.
    """
    waiting, running = deque(jobs), dict[str, Job]()
    total, clock = len(waiting), _Clock({job.name: work.get(job.name, 1.0) for job in waiting})
    done = failed = 0
    alone = False
    while running or (waiting and not stop.asked):
        while waiting and not stop.asked and len(running) < crew.capacity:
            job = waiting.popleft()
            record.tries[job.name] = record.tries.get(job.name, 0) + 1
            running[job.name] = job
            crew.start(job)
        if not crew.capacity and not alone:
            say("there are no workers any more: waiting for others")
        alone = not crew.capacity
        for job, report in crew.wait(TICK):
            del running[job.name]
            report = report or Report(job.name, job.key, "lost")
            again = {"lost": crew.again, "memory": AGAIN}.get(report.state, 0)
            if record.tries[job.name] <= again:
                say(f"{job.name}: {LOST['what'] if report.state == 'lost' else MEMORY['what']}; it is begun again")
                waiting.append(job)
                continue
            if report.state in ("lost", "memory"):
                report = replace(report, problems=(LOST if report.state == "lost" else MEMORY,))
            record.reports[job.name] = report
            record.write()
            done, failed = done + 1, failed + bool(report.problems)
            clock.ended(job.name)
            left = [*running, *(other.name for other in waiting)]
            say(_line(report, done, total, failed, clock.left(left, crew.capacity)))


class _Clock:
    """What is left: the work of the runs that are not done, at the pace of those that are, shared by the workers."""

    def __init__(self, work: Mapping[str, float]) -> None:
        self.work, self.start, self.done = work, time.monotonic(), 0.0

    def ended(self, name: str) -> None:
        self.done += self.work[name]

    def left(self, names: Iterable[str], workers: int) -> float:
        """Seconds: all of the work so far took the time so far, and the last runs have no neighbours any more."""
        rest = [self.work[name] for name in names]
        pace = (time.monotonic() - self.start) / self.done
        return pace * max(sum(rest), max(rest, default=0.0) * min(workers, len(self.work)))


def _line(report: Report, done: int, total: int, failed: int, left: float) -> str:
    """One line of progress."""
    what = {"done": "done", "draft": "done, as a draft: the quality gate was not met"}.get(report.state, "FAILED")
    if report.problems:
        what = f"{what}: {report.problems[0]['what']}"
    more = f", about {in_words(left)} left" if done < total else ""
    wrong = f", {failed} failed" if failed else ""
    return f"{report.name} {what} ({report.seconds:.1f} s); {done} of {total}{wrong}{more}"


def in_words(seconds: float) -> str:
    """Return a time with no more digits than are known of it."""
    if seconds < 90:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
