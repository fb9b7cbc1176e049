"""What pages and scripts use: give a job, follow it, stop it, and see to it that the job service runs."""

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from dynamics.disk import make_folder
from dynamics.errors import JobError
from jobs import costs, people, process, quotas, tasks
from jobs.journal import AT_WORK, NO_ROOM, OVER, WAITING, Journal
from jobs.workspace import new_id

BEAT_S = 5.0
SILENT_S = 20.0
LONGEST_TITLE = 400
MOST_ASKED = 20_000_000
"""Bytes of what a job is asked for: it stands in the journal, which all share and no quota counts."""


@dataclass(frozen=True)
class Job:
    """One job as it was when it was asked for.

    Attributes
    ----------
    state
        queued, running, stopping, done, failed, stopped or interrupted (the service went away during it).
    fraction
        Share of the work that is done, 0 to 1.
    seconds_left
        Estimate from the pace so far; None where it cannot be told yet.
    ahead
        Number of jobs that start before this one, while it waits.
    created, started, finished
        Seconds since 1970.
    error
        What went wrong, in words for the user.
    result
        What the task gave back, such as the id of the model.
    """

    id: str
    task: str
    title: str
    params: Mapping
    dataset: str | None
    state: str
    fraction: float
    message: str
    seconds_left: float | None
    ahead: int
    attempt: int
    created: float
    started: float | None
    finished: float | None
    error: str | None
    result: Mapping

    @property
    def over(self) -> bool:
        """Nothing more happens by itself."""
        return self.state in OVER

    @property
    def resumable(self) -> bool:
        """May be given again by `Jobs.resume`."""
        return self.state in OVER and self.state != "done"

    @property
    def seconds(self) -> float:
        """Time at work so far, in seconds."""
        return (self.finished or time.time()) - self.started if self.started else 0.0


@dataclass(frozen=True)
class ServiceState:
    """How the job service is.

    Attributes
    ----------
    alive
        A service process holds the lock of this home.
    warm
        All workers have loaded and compiled what the first click needs.
    message
        One sentence for the user.
    """

    alive: bool
    warm: bool
    workers: int
    scheduler: str | None
    message: str
    pid: int | None = None
    memory_gb: float | None = None


class Jobs:
    """The jobs of one person in a home; by default of the one who has the home to themself."""

    def __init__(self, home: Path, owner: str = "") -> None:
        self.home, self.owner = Path(home).absolute(), owner
        self.workspace = people.folder(self.home, owner)
        self.journal = Journal(self.home / process.JOURNAL)

    def submit(
        self, task: str, params: Mapping, *, title: str = "", dataset: str | None = None, hidden: bool = False
    ) -> str:
        """Put a job at the end of the queue and return its id.

        Raises
        ------
        JobError
            There is no such task, it is asked for too much, the disk is full, or the owner's share of this
            server is used up; the message says which tasks, how much, how much room, how many jobs.
        """
        known = tasks.find(task)
        if (n_bytes := len(json.dumps(params))) > MOST_ASKED:
            raise JobError(
                f"What this job is asked for takes {n_bytes / 1e6:.0f} MB to write down; up to "
                f"{MOST_ASKED / 1e6:.0f} MB can be kept. Ask for fewer cells, genes or edges."
            )
        self.check(n_bytes=costs.written(self.workspace, task, params))
        id = new_id()
        about = {"params": params, "dataset": dataset, "hidden": hidden, "owner": self.owner}
        most = quotas.from_environment().jobs if self.owner else None
        added = False
        try:
            make_folder(self.folder(id), mode=0o700)
            title = (title or known.title)[:LONGEST_TITLE]
            added = self.journal.add(id, task=task, title=title, most=most, **about)
        except OSError as error:
            raise JobError(f"The job cannot be put down ({error.strerror}). {NO_ROOM}") from error
        finally:
            if not added:
                shutil.rmtree(self.folder(id), ignore_errors=True)
        if not added:
            raise JobError(quotas.too_many(len(self.active()), 1))
        return id

    def check(self, n_jobs: int = 1, *, n_bytes: int = 0) -> None:
        """Make sure that there is room for so many further jobs, which write so many bytes.

        Raises
        ------
        JobError
            There is not; the message says what was found, the limit, and what to do.
        """
        if self.owner:
            quotas.check_share(self.workspace, n_active=len(self.active()), n_jobs=n_jobs)
        quotas.check_room(self.workspace, n_bytes, what="What this job writes")

    def folder(self, id: str) -> Path:
        """Return the folder of a job: its log, its checkpoint."""
        return self.workspace / "jobs" / id

    def get(self, id: str) -> Job:
        """Return one job.

        Raises
        ------
        JobError
            There is no such job.
        """
        row = self.journal.row(id)
        if row is None or row["owner"] != self.owner:
            raise JobError("This job is not in the list any more. Start it again.")
        return _job(row)

    def list(self, dataset: str | None = None, limit: int = 50) -> "list[Job]":
        """Return the latest jobs (of one data set), newest first."""
        return [_job(row) for row in self.journal.rows(dataset=dataset, owner=self.owner, limit=limit)]

    def active(self, dataset: str | None = None) -> "list[Job]":
        """Return the jobs that wait or run (for one data set), newest first."""
        states = WAITING + AT_WORK
        rows = self.journal.rows(states=states, dataset=dataset, owner=self.owner, limit=1000)
        return [_job(row) for row in rows]

    def waiting(self) -> int:
        """Return how many jobs of everybody wait that somebody asked for."""
        return self.journal.asked().waiting

    def stop(self, id: str) -> None:
        """Ask a job to stop; one that still waits is out of the queue at once."""
        self.get(id)
        waited = self.journal.change(id, if_in=WAITING, state="stopped", finished=time.time())
        if not waited:
            self.journal.change(id, if_in=("running",), state="stopping", message="Stopping")

    def resume(self, id: str) -> None:
        """Give a job again that was interrupted, stopped or failed; it goes on from its checkpoint.

        Raises
        ------
        JobError
            The job is not over, or it is done.
        """
        job = self.get(id)
        self.check(n_bytes=costs.written(self.workspace, job.task, job.params))
        most = quotas.from_environment().jobs if self.owner else None
        if not job.resumable or not self.journal.again(id, resumed=0, most=most):
            if (job := self.get(id)).resumable:  # others took the last place meanwhile
                raise JobError(quotas.too_many(len(self.active()), 1))
            raise JobError(f"Only a job that did not finish can go on; “{job.title}” is {job.state}.")

    def forget(self, id: str) -> None:
        """Take a job that is over out of the list, with its log and checkpoint."""
        row = self.journal.row(id)
        if row is not None and row["owner"] == self.owner and self.journal.forget(id):
            shutil.rmtree(self.folder(id), ignore_errors=True)

    def log(self, id: str) -> str:
        """Return the log of a job."""
        try:
            return (self.folder(self.get(id).id) / "log.txt").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def history(self, id: str) -> "list[dict]":
        """Return the figures that a job reported (the loss curve), oldest first, one for each step.

        A job that went on from a checkpoint repeats some steps; the later figures count.
        """
        kept: list[dict] = []
        for figures in self.journal.history(self.get(id).id):
            while kept and "step" in figures and kept[-1].get("step", -1) >= figures["step"]:
                kept.pop()
            kept.append(figures)
        return kept

    def wait(self, id: str, timeout: float = 60.0) -> Job:
        """Return the job once it is over.

        Raises
        ------
        JobError
            It is not over after `timeout` seconds.
        """
        deadline, pause = time.monotonic() + timeout, 0.02
        while not (job := self.get(id)).over:
            if time.monotonic() > deadline:
                raise JobError(
                    f"“{job.title}” is still {job.state} after {timeout:g} s ({job.fraction:.0%}, "
                    f"{job.message}). {self.service().message}"
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        return job

    def service(self) -> ServiceState:
        """Return how the job service is."""
        row = self.journal.service()
        if not process.locked(self.home):
            starting = process.starting(self.home)
            text = "The job service is starting." if starting else "The job service is not running."
            return ServiceState(
                alive=False, warm=False, workers=0, scheduler=row and row["scheduler"], message=text
            )
        if row is None or row["pid"] != process.holder(self.home):
            return ServiceState(
                True, False, 0, None, "The job service is starting.", process.holder(self.home)
            )
        text, silent_s = row["message"], time.time() - row["beat"]
        if silent_s > SILENT_S:
            text = f"The job service has not answered for {silent_s:.0f} s."
        return ServiceState(
            alive=True,
            warm=bool(row["warm"]),
            workers=row["workers"],
            scheduler=row["scheduler"],
            message=text,
            pid=row["pid"],
            memory_gb=row["memory_gb"],
        )


# the service process


def ensure_service(
    home: Path,
    scheduler: str | None = None,
    *,
    workers: int | None = None,
    options: tuple[str, ...] = (),
    wait_s: float = 0.0,
) -> ServiceState:
    """Find the job service of this home, or start it as a process of its own that outlives this one.

    Parameters
    ----------
    scheduler
        Address of a running Dask scheduler; None for worker processes on this machine.
    workers
        Number of local workers; None to choose by the number of cores.
    options
        Further options of `python -m jobs`.
    wait_s
        Seconds to wait until it takes jobs; 0 to return at once (jobs may be given all the same).

    Raises
    ------
    JobError
        It did not come up within `wait_s`; the message holds the end of its log.
    """
    home = Path(home).absolute()
    jobs = Jobs(home)
    jobs.journal.touch("visit")
    if not process.locked(home) and not process.starting(home):
        process.start(home, [*(("--scheduler", scheduler) if scheduler else ()), *_number(workers), *options])
    deadline = time.monotonic() + wait_s
    while not (state := jobs.service()).workers and wait_s:
        if time.monotonic() > deadline or (not state.alive and not process.starting(home)):
            raise JobError(
                f"The job service did not start. The end of its log, {home / process.LOG}:\n"
                f"{process.tail(home)}"
            )
        time.sleep(0.05)
    return state


def _number(workers: int | None) -> tuple[str, ...]:
    return () if workers is None else ("--workers", str(workers))


def stop_service(home: Path, *, wait_s: float = process.END_S) -> None:
    """End the job service; running jobs become "interrupted" and can be resumed."""
    process.end(Path(home).absolute(), wait_s=wait_s)


class Presence:
    """Keeps the job service alive, and starts it again should it end, while a web server runs.

    Without anybody present, a service ends by itself a minute after its last job. Use as a context manager.
    """

    def __init__(self, home: Path, scheduler: str | None = None, *, options: tuple[str, ...] = ()) -> None:
        self.home, self.scheduler, self.options = Path(home).absolute(), scheduler, options
        self._name = f"{os.uname().nodename}-{os.getpid()}-{new_id()}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)

    def __enter__(self) -> Jobs:
        jobs = Jobs(self.home)
        jobs.journal.touch(self._name)
        ensure_service(self.home, self.scheduler, options=self.options)
        self._thread.start()
        return jobs

    def __exit__(self, *about: object) -> None:
        self._over.set()
        self._thread.join()
        Jobs(self.home).journal.leave(self._name)

    def _keep(self) -> None:
        jobs, pause_s = Jobs(self.home), BEAT_S
        while not self._over.wait(pause_s):
            try:
                jobs.journal.touch(self._name)
                alive = ensure_service(self.home, self.scheduler, options=self.options).alive
            except (OSError, JobError) as error:  # such as a full disk: better luck next time
                logging.getLogger(__name__).warning("The job service could not be looked after: %s", error)
                alive = False
            pause_s = BEAT_S if alive else min(2 * pause_s, 60.0)


def _job(row: Mapping) -> Job:
    names = {field.name for field in fields(Job)} - {"seconds_left"}
    return Job(seconds_left=_seconds_left(row), **{name: row[name] for name in names})


def _seconds_left(row: Mapping, *, least_s: float = 1.0, least_done: float = 0.02) -> float | None:
    """Estimate the remaining time from the pace since the job was last started, in seconds."""
    if row["state"] not in AT_WORK or row["first_fraction"] is None:
        return None
    spent, done = row["updated"] - row["started"], row["fraction"] - row["first_fraction"]
    if spent < least_s or done < least_done:
        return None
    left = spent / done * (1 - row["fraction"])
    return max(0.0, left - (time.time() - row["updated"]))
