"""Many runs on a Dask cluster of this machine: workers, client and scheduler are killed, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_batch import make_batch

from buurtsae.batch.many import run_all
from buurtsae.errors import BuurtsaeError, DataError
from buurtsae.folder.finished import hashes

distributed = pytest.importorskip("distributed", reason="needs Dask: the extra `dask`")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
PATIENCE = 60.0  # seconds that anything may take to come up
EPOCH = "SOURCE_DATE_EPOCH", "1700000000"


class Cluster:
    """A scheduler and one worker with its nanny, as processes of the command line of Dask."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack, self.file = folder, stack, folder / "scheduler.json"
        self.scheduler = self._started("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file))
        wait_for(self.file.is_file)
        self.worker = self._started(
            "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(folder / "dask"), "--death-timeout", "20",
        )  # fmt: skip

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True, env=dict([*os.environ.items(), EPOCH]),
        )  # fmt: skip
        self.stack.callback(stop, process)
        return process

    @contextmanager
    def client(self) -> Iterator[Any]:
        with distributed.Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(1, timeout=PATIENCE)
            yield client


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def at_work(out: Path) -> bool:
    """Whether a run is being written."""
    return any(out.glob(".part-*/*"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def finished(batch: Path, out: Path, **options: Any) -> list[str]:
    """Start once more, and return what is said, when all is done and nothing half is left."""
    said = list[str]()
    outcome = run_all(batch, out, say=said.append, **options)
    assert outcome.counts == {"done": 3}
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    return said


def test_a_killed_worker_is_replaced_and_bytes_are_those_of_processes(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*EPOCH)
    batch, out = make_batch(tmp_path / "a"), tmp_path / "a" / "uit"
    with cluster.client() as client:
        (pid,) = client.run(os.getpid).values()
        job = distributed.Client.submit  # the first job kills its own worker
        killed = list[int]()

        def submitted(self: Any, *args: Any, **options: Any) -> Any:
            future = job(self, *args, **options)
            if not killed:
                wait_for(lambda: at_work(out))
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                wait_for(lambda: {*client.run(os.getpid, on_error="ignore").values()} - {None, pid} != set())
            return future

        monkeypatch.setattr(distributed.Client, "submit", submitted)
        outcome = run_all(batch, out, client=client)
    assert killed == [pid]
    assert outcome.counts == {"done": 3}
    local = run_all(batch, tmp_path / "a" / "hier", workers=1)
    assert local.counts == {"done": 3}
    one, other = hashes(out), hashes(tmp_path / "a" / "hier")
    assert {name for name in one | other if one.get(name) != other.get(name)} <= {"batch.json"}


def test_a_killed_client_and_a_worker_of_another_version(cluster: Cluster, tmp_path: Path) -> None:
    batch, out = make_batch(tmp_path / "a"), tmp_path / "a" / "uit"
    with cluster.client() as client:
        address = client.scheduler.address
        command = [sys.executable, "-m", "buurtsae", "batch", str(batch), "--out", str(out), "--scheduler", address]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(lambda: at_work(out))
        process.kill()
        process.wait()
        finished(batch, out, client=client)
        assert len(finished(batch, out, scheduler=address)) == 1  # all are finished already

        client.run(lambda: setattr(__import__("buurtsae"), "__version__", "0.0.1"))
        with pytest.raises(DataError, match="has other versions") as caught:
            run_all(batch, tmp_path / "a" / "ander", client=client)
        assert caught.value.got == "buurtsae 0.0.1"
        assert not (tmp_path / "a" / "ander").exists()


def test_a_killed_scheduler_is_said_and_the_next_start_finishes(cluster: Cluster, tmp_path: Path) -> None:
    batch, out = make_batch(tmp_path / "a"), tmp_path / "a" / "uit"
    with cluster.client() as client:
        address = client.scheduler.address
    command = [sys.executable, "-m", "buurtsae", "batch", str(batch), "--out", str(out), "--scheduler", address]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    wait_for(lambda: at_work(out))
    stop(cluster.scheduler)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the scheduler is gone" in err
    assert "what is finished is kept" in err
    finished(batch, out, workers=1)  # on this machine: it is the same batch


def test_a_scheduler_without_workers_and_one_that_is_not_there(tmp_path: Path) -> None:
    batch = make_batch(tmp_path / "a")
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty:
        with pytest.raises(DataError, match="the scheduler has no workers"):
            run_all(batch, tmp_path / "uit", scheduler=empty.scheduler_address)
        address = empty.scheduler_address
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buurtsae.batch.cluster.PATIENCE", 1)
        with pytest.raises(BuurtsaeError, match="cannot be reached"):
            run_all(batch, tmp_path / "uit", scheduler=address)
    assert not (tmp_path / "uit").exists()


class Ended:
    """A future that has ended."""

    def __init__(self, status: str, result: Any = None) -> None:
        self.status, self._result = status, result

    def result(self) -> Any:
        return self._result

    exception = result


def test_a_run_that_loses_every_worker_is_lost_and_other_errors_are_raised() -> None:
    """What Dask says of a future that has ended, in our words."""
    from distributed.scheduler import KilledWorker

    from buurtsae.batch import cluster
    from buurtsae.batch.job import Job, Report

    class Client:
        status = "running"

        def submit(self, do: Any, job: Job, **options: Any) -> Ended:
            assert options["retries"] == 0
            assert not options["pure"]
            return ends.pop(0)

    job, report = Job("a", "a.toml", ".", ".part-a", "a", {}), Report("a", "a", "done")
    ends = [Ended("finished", report), Ended("error", KilledWorker("a", None, 3))]
    crew = cluster.Cluster(Client())
    for _ in range(2):
        crew.start(job)
    assert [result for _, result in crew.wait(0)] == [report, None]
    ends = [Ended("error", ImportError("no module")), Ended("cancelled")]
    crew.start(job)
    with pytest.raises(ImportError, match="no module"):
        crew.wait(0)
    crew = cluster.Cluster(Client())
    crew.start(job)
    with pytest.raises(BuurtsaeError, match="the scheduler is gone"):
        crew.wait(0)
