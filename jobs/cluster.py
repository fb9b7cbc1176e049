"""The workers: processes of Dask on this machine, or those of a cluster that runs elsewhere."""

import logging
import os
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

import dask
import distributed
import psutil
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT

from dynamics.errors import JobError

MOST_WORKERS = 4
MEMORY_SHARE = 0.8
MEMORY_TOPIC = "worker-restart-memory"
JOBS_FIRST = 10
"""A job goes before the pieces of another one that wait for the same worker."""
CONNECT_S = 20
RECONNECT_S = 3
QUIET = {
    # A worker has one job; it must not be paused or spill for want of memory, only ended at its limit.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.monitor-interval": "200ms",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.scheduler.allowed-failures": 0,
    # A library may keep a worker from answering for long; its death is seen without that.
    "distributed.scheduler.worker-ttl": None,
    "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
}

log = logging.getLogger(__name__)


def number_of_workers() -> int:
    """Return how many workers suit this machine."""
    return max(1, min(MOST_WORKERS, CPU_COUNT))


class Cluster:
    """Workers that take one job each.

    Parameters
    ----------
    home
        Local workers keep their scratch there.
    scheduler
        Address of a running Dask scheduler; None for local worker processes.
    workers
        Number of local workers; None to choose by the number of cores.
    memory_gb
        Memory limit of a local worker, in GB; None for an equal share of four fifths of what there is.

    Raises
    ------
    JobError
        The scheduler does not answer.
    """

    def __init__(
        self, home: Path, *, scheduler: str | None, workers: int | None = None, memory_gb: float | None = None
    ) -> None:
        dask.config.set(QUIET)
        self.scheduler, self.local, self.memory_gb = scheduler, None, memory_gb
        if scheduler is None:
            self.local = self._local(home, workers or number_of_workers())
        try:
            self.client = self._connect(CONNECT_S)
        except (OSError, ValueError) as error:
            raise JobError(
                f"No Dask scheduler answers at {scheduler} ({error}). Start one with `dask scheduler`, or "
                "leave --scheduler out to work on this machine."
            ) from error

    def _local(self, home: Path, workers: int) -> distributed.LocalCluster:
        self.memory_gb = self.memory_gb or MEMORY_SHARE * MEMORY_LIMIT / workers / 1e9
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
            # Certificates of its own, so that no other user of this machine can give the workers work.
            security=distributed.Security.temporary(),
            memory_limit=int(self.memory_gb * 1e9),
            local_directory=str(home / "cache"),
            preload="jobs.worker",
            env=_compiled(home) | _one_thread(),
            silence_logs=logging.WARNING,
        )

    def _connect(self, timeout_s: float) -> distributed.Client:
        return distributed.Client(self.local or self.scheduler, timeout=timeout_s, set_as_default=False)

    def reconnect(self) -> bool:
        """Look for the scheduler again; False where it still does not answer."""
        if self.client.status != "closed":
            return False  # the client looks for it by itself, for a while
        try:
            self.client = self._connect(RECONNECT_S)
        except (OSError, ValueError):
            return False
        return True

    @property
    def connected(self) -> bool:
        """The scheduler answers."""
        return self.client.status == "running"

    def workers(self) -> set[str] | None:
        """Return the addresses of the workers that are there now; None where the scheduler did not say."""
        if not self.connected:
            return set()
        try:
            # Not `scheduler_info()`: a timer of the client may replace its answer by one without workers.
            found = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        except (OSError, ValueError):  # too busy to answer in time, or lost at this very moment
            return None
        return {address for address, about in found.items() if about["status"] == "running"}

    def submit(
        self, worker: str, function: Callable, /, *args: object, **kwargs: object
    ) -> distributed.Future:
        """Run a function on one worker, next in its queue."""
        return self.client.submit(
            function,
            *args,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            retries=0,
            priority=JOBS_FIRST,
            **kwargs,
        )

    def tell(self, worker: str | None, function: Callable, /, *args: object) -> None:
        """Run a function on one worker, or on all, at once, beside their jobs, and do not wait for it."""
        workers = None if worker is None else [worker]

        def ask() -> None:
            try:
                self.client.run(function, *args, workers=workers, on_error="ignore")
            except (OSError, distributed.CancelledError, ValueError) as error:
                log.info("Worker %s did not listen: %s", worker, error)

        threading.Thread(target=ask, name="tell", daemon=True).start()

    def end(self, worker: str) -> None:
        """End a worker's process with all that it started, whatever it does; another one takes its place."""
        nannies = self.local.workers.values() if self.local else ()
        pids = [nanny.pid for nanny in nannies if nanny.worker_address == worker and nanny.pid]
        for pid in pids:
            _kill_tree(pid)
        if not self.local:
            threading.Thread(target=self._restart, args=(worker,), name="restart", daemon=True).start()

    def _restart(self, worker: str) -> None:
        try:
            self.client.restart_workers([worker], timeout=30)
        except (OSError, ValueError, TimeoutError) as error:
            # A worker without a nanny is not restarted by anybody: it can only be ended.
            log.warning("Worker %s is ended, not restarted: %s", worker, error)
            self.tell(worker, os._exit, 1)

    def close(self) -> None:
        """End the local workers, or let go of the remote ones."""
        self.client.close()
        if self.local:
            self.local.close()


def _kill_tree(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def _compiled(home: Path) -> dict[str, str]:
    """Say where numba keeps what it compiled: beside its source, for all homes, where that can be written."""
    if os.access(sysconfig.get_path("purelib"), os.W_OK):
        return {}
    return {"NUMBA_CACHE_DIR": str(home / "cache" / "numba")}


def _one_thread() -> dict[str, str]:
    names = ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM")
    return {f"{name}_NUM_THREADS": "1" for name in names}
