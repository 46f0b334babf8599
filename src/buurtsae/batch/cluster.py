"""Workers of a Dask cluster, wherever it runs: all that is needed is the address of its scheduler.

Folders are shared: paths mean the same on every worker. Dask starts the run of a lost worker again by itself, as often
as its `scheduler.allowed-failures` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from buurtsae.batch.job import Job, Report, check_versions, perform, worker_versions
from buurtsae.errors import BuurtsaeError, DataError, cut

PATIENCE = 10  # seconds to reach a scheduler


def connected(address: str) -> Any:
    """Return a client of a scheduler.

    Raises
    ------
    BuurtsaeError
        If Dask is not installed, or nothing answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        hint = 'pip install "buurtsae[dask]", here and on the workers'
        raise BuurtsaeError("Dask is not installed", f"no {error.name}", "distributed", hint) from error
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:  # a refused connection, a timeout, an odd address
        what, hint = f"the scheduler {cut(address)} cannot be reached", "start it, or correct --scheduler"
        raise DataError(what, cut(error, 300), "a Dask scheduler, such as tcp://host:8786", hint) from error


class Cluster:
    """The workers of a scheduler."""

    again = 0  # the scheduler has done so

    def __init__(self, client: Any) -> None:
        self.client = client
        self._running: dict[Any, Job] = {}

    @property
    def capacity(self) -> int:
        """How many jobs may run at the same time: one per thread of a worker."""
        return sum(about["nthreads"] for about in self._workers().values())

    @property
    def memory(self) -> float | None:
        """MiB for one job: of the smallest worker; None where none has a limit."""
        limits = [a["memory_limit"] / a["nthreads"] for a in self._workers().values() if a.get("memory_limit")]
        return min(limits) / 2**20 if limits else None

    @property
    def address(self) -> str:
        """That of the scheduler."""
        return str(self.client.scheduler.address)

    def check(self, versions: Mapping[str, str]) -> None:
        """Refuse a cluster without workers, and workers of other versions.

        Raises
        ------
        DataError
        """
        if not self.capacity:
            hint = "start workers: dask worker tcp://... --nthreads 1"
            raise DataError("the scheduler has no workers", "none", "one or more", hint)
        for address, theirs in self.client.run(worker_versions, on_error="return").items():
            if not isinstance(theirs, Mapping):
                hint = "install the same buurtsae on every machine"
                raise DataError(
                    f"worker {address} cannot run buurtsae", cut(theirs, 300), "the same installation", hint
                )
            check_versions(versions, theirs, f"worker {address}")

    def start(self, job: Job) -> None:
        """Hand a job to the scheduler."""
        future = self.client.submit(perform, job, key=f"{job.name}-{uuid4().hex[:8]}", pure=False, retries=0)
        self._running[future] = job

    def wait(self, timeout: float) -> list[tuple[Job, Report | None]]:
        """Return the jobs that ended meanwhile; without a report those whose workers were lost.

        Raises
        ------
        BuurtsaeError
            If the scheduler is gone.
        """
        import time

        end = time.monotonic() + timeout
        while not (done := [future for future in self._running if future.status != "pending"]):
            if self.client.status != "running":
                raise _gone()
            if time.monotonic() > end:
                return []
            time.sleep(0.05)
        ended = list[tuple[Job, Report | None]]()
        for future in done:
            if future.status in ("cancelled", "lost"):  # the client has lost its scheduler
                raise _gone()
            job = self._running.pop(future)
            ended.append((job, future.result() if future.status == "finished" else _failed(future)))
        return ended

    def close(self) -> None:
        """Let go of what still runs: the scheduler drops what has not begun."""
        if self._running:
            self.client.cancel(list(self._running))
        self._running.clear()

    def _workers(self) -> Mapping[str, Any]:
        workers: Mapping[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return workers


def _failed(future: Any) -> Report | None:
    """Nothing, if the workers of a job were lost; what else went wrong on the way is raised."""
    from distributed.scheduler import KilledWorker

    error: BaseException = future.exception()
    if isinstance(error, KilledWorker):
        return None
    raise error


def _gone() -> BuurtsaeError:
    hint = "start it, and give the same command again: what is finished is kept"
    return BuurtsaeError("the scheduler is gone", "no connection", "the scheduler that was there at the start", hint)
