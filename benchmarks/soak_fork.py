"""A job service that is its own worker, in a fork that a fault may end at any moment."""

import ctypes
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import distributed

from dynamics import faults
from jobs import service
from jobs.cluster import Cluster
from jobs.journal import JournalError

ATTEMPTS, QUIET = 5, 3
"""Runs with faults, and those after them without."""
HANGS_S = 90.0
PR_SET_PDEATHSIG = 1


class InProcess(Cluster):
    """A worker in the process of the service, so that one fork is both."""

    def _local(self, home: Path, workers: int) -> distributed.LocalCluster:
        return distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="inproc://",
            dashboard_address=None,
            worker_dashboard_address=None,
            silence_logs=50,
        )

    def end(self, worker: str) -> None:
        """Its process is our own."""


class Once(service.Service):
    """A service that ends with its job."""

    def _turn(self) -> None:
        super()._turn()
        self.ending = not self.journal.rows(states=service.WAITING + service.AT_WORK)


def serve_once(home: Path) -> None:
    """Be service and worker until the job is over or a fault ends the process."""
    service.RETRY_S, service.POLL_S = 0.02, 0.02
    cluster = InProcess(home, scheduler=None, workers=1)
    Once(home, cluster, warm_up=False, idle_s=0).run()


def forked(home: Path, seed: str | None, do: Callable[[Path], object] = serve_once) -> bool:
    """Do something under the faults of a seed in a process of its own; False where it hangs.

    An error ends that process, as a fault does; only one that nobody foresaw is put down in `service.out`.
    """
    pid = os.fork()
    if not pid:
        _be_another(home, seed, do)
    deadline = time.monotonic() + HANGS_S
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.005)
    return True


def _be_another(home: Path, seed: str | None, do: Callable[[Path], object]) -> None:
    """Do it and end; does not return."""
    code = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a soak that is broken off leaves nobody
    with (home / "service.out").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        faults.use(seed)
        try:
            do(home)
            code = 0
        except (OSError, JournalError):  # the faults that were asked for
            code = 2
        except BaseException:  # a fork may not run on as a second benchmark, whatever happened
            traceback.print_exc()
        finally:
            os._exit(code)
