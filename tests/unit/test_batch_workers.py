"""Who does which run: retries of lost workers, no more after Ctrl-C, and processes that can be lost or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from batch_jobs import act, job

from buurtsae.batch.drive import Stop, drive, in_words
from buurtsae.batch.job import Job, Report, check_versions
from buurtsae.batch.local import Local
from buurtsae.batch.record import Record
from buurtsae.batch.tasks import Batch
from buurtsae.errors import DataError


class Made:
    """A crew that does nothing: each job ends as its script says, in order; the last state stays."""

    def __init__(self, capacity: int, **script: str) -> None:
        self.capacity, self.again, self.script, self.begun = capacity, 2, script, Counter[str]()
        self.running: list[Job] = []
        self.most = 0

    def start(self, job: Job) -> None:
        self.begun[job.name] += 1
        self.running.append(job)
        self.most = max(self.most, len(self.running))

    def wait(self, timeout: float) -> list[tuple[Job, Report | None]]:
        one = self.running.pop(0)
        ends = self.script.get(one.name, "done").split()
        state = ends[min(self.begun[one.name], len(ends)) - 1]
        return [(one, None if state == "lost" else Report(one.name, one.key, state))]  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing to stop."""


def driven(crew: Made, names: list[str], tmp_path: Path, stop: Stop | None = None) -> tuple[Record, list[str]]:
    record, said = Record(tmp_path, Batch("b", "B", "", ()), {}), list[str]()
    drive([job(name) for name in names], crew, record, {}, said.append, stop or Stop())
    return record, said


def test_a_lost_worker_is_replaced_twice_and_then_recorded(tmp_path: Path) -> None:
    crew = Made(2, once="lost done", never="lost", full="memory", fault="error")
    record, said = driven(crew, ["once", "never", "full", "fault", "good"], tmp_path)
    states = {name: report.state for name, report in record.reports.items()}
    assert states == {"once": "done", "never": "lost", "full": "memory", "fault": "error", "good": "done"}
    assert crew.begun == {"once": 2, "never": 3, "full": 3, "fault": 1, "good": 1}
    assert record.tries == dict(crew.begun)
    assert crew.most == 2
    assert record.reports["never"].problems[0]["what"] == "the worker of this run was lost"
    assert "too little memory" in record.reports["full"].problems[0]["what"]
    assert said[-1].endswith("left") is False
    assert ", about " in said[-2]


def test_a_scheduler_that_begins_lost_runs_again_is_not_asked_once_more(tmp_path: Path) -> None:
    crew = Made(1, never="lost", full="memory done")
    crew.again = 0
    record, _ = driven(crew, ["never", "full"], tmp_path)
    assert crew.begun == {"never": 1, "full": 2}
    assert record.reports["never"].state == "lost"


def test_after_a_stop_what_runs_is_finished_and_nothing_begun(tmp_path: Path) -> None:
    crew, stop = Made(2), Stop()
    wait = crew.wait

    def stopped(timeout: float) -> list[tuple[Job, Report | None]]:
        stop.asked = True
        return wait(timeout)

    crew.wait = stopped  # type: ignore[method-assign]
    record, _ = driven(crew, ["a", "b", "c"], tmp_path, stop)
    assert sorted(record.reports) == ["a", "b"]
    assert crew.begun["c"] == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "5 s"), (62, "60 s"), (100, "2 min"), (3000, "50 min"), (9000, "2.5 h")]
)
def test_time_left_has_no_more_digits_than_are_known(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_other_versions_are_refused() -> None:
    ours = {"buurtsae": "1", "numpy": "2"}
    check_versions(ours, dict(ours), "the worker")
    with pytest.raises(DataError, match="the worker has other versions") as caught:
        check_versions(ours, {"buurtsae": "1", "numpy": "3"}, "the worker")
    assert (caught.value.got, caught.value.expected) == ("numpy 3", "numpy 2")


def ended(crew: Local, count: int) -> dict[str, Report | None]:
    """What so many jobs came to, within a minute."""
    found, end = dict[str, Report | None](), time.monotonic() + 60
    while len(found) < count and time.monotonic() < end:
        found |= {job.name: report for job, report in crew.wait(0.5)}
    return found


def test_only_the_run_of_a_lost_worker_is_lost_and_workers_are_used_again() -> None:
    crew = Local(2, act)
    try:
        crew.start(job("die"))
        crew.start(job("good"))
        first = ended(crew, 2)
        crew.start(job("next"))
        second = ended(crew, 1)
    finally:
        crew.close()
    assert first["die"] is None
    assert first["good"] is not None
    assert second["next"] is not None
    assert second["next"].host == first["good"].host  # the same process


def test_a_worker_that_is_killed_at_work_is_lost_and_close_stops_the_others(tmp_path: Path) -> None:
    crew = Local(2, act)
    try:
        for name in ("sleep_1", "sleep_2"):
            crew.start(job(name, str(tmp_path)))
        first, second = (pid_in(tmp_path / name) for name in ("sleep_1", "sleep_2"))
        os.kill(first, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        assert ended(crew, 1) == {"sleep_1": None}
    finally:
        crew.close()
    with pytest.raises(OSError, match=r".*"):  # no such process
        os.kill(second, 0)


def test_a_script_without_its_guard_is_told_so(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from batch_jobs import act, job\n"
        "from buurtsae.batch.local import Local\n"
        "crew = Local(1, act); crew.start(job('good')); print(crew.wait(60) or crew.wait(60))\n"
    )
    (tmp_path / "script.py").write_text(program, encoding="utf-8")
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a worker process ends before it does anything" in done.stderr
    assert 'if __name__ == "__main__"' in done.stderr


def pid_in(path: Path) -> int:
    """The process that a sleeping job wrote down, within half a minute."""
    for _ in range(300):
        if path.is_file() and (text := path.read_text(encoding="utf-8")):
            return int(text)
        time.sleep(0.1)
    raise AssertionError(f"nobody wrote {path.name}")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "if __name__ == '__main__':\n"
        f" import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        " from batch_jobs import act, job\n"
        " from buurtsae.batch.local import Local\n"
        f" crew = Local(1, act); crew.start(job('sleep', {str(tmp_path)!r}))\n"
        " while True: crew.wait(60)\n"
    )
    (tmp_path / "client.py").write_text(program, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(tmp_path / "client.py")])
    worker = pid_in(tmp_path / "sleep")
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the worker lives on")
