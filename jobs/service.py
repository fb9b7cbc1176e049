"""The job service: takes jobs from the journal, gives each to a worker, and writes down what comes of it."""

import logging
import os
import queue
import signal
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import distributed

from dynamics.errors import JobError
from jobs import quotas, tasks, warm, worker
from jobs.client import Jobs
from jobs.cluster import MEMORY_TOPIC, Cluster
from jobs.journal import AT_WORK, WAITING, Journal
from jobs.process import JOURNAL, lock
from jobs.recovery import GO_ON, job_folder, recover

POLL_S = 0.1
RETRY_S = 1.0
RECONNECT_S = 5.0
WORKERS_S = 0.5
BEAT_S = 2.0
STOP_S = 5.0
LOST_S = 3.0
MOST_ATTEMPTS = 3
RENEW_S = 10.0
LEASE_S = 60.0
PREBUILT = "branching"

log = logging.getLogger(__name__)


@dataclass
class Running:
    """One job at work."""

    id: str
    attempt: int
    folder: Path
    hidden: bool
    worker: str
    future: distributed.Future
    stop_by: float | None = None
    lost_since: float | None = None
    over_memory: bool = False

    @property
    def token(self) -> str:
        """Name of this attempt."""
        return f"{self.id}:{self.attempt}"


class Service:
    """The loop around journal and workers; one thread, which alone writes states.

    Parameters
    ----------
    warm_up
        Load and compile on the workers what the first click needs.
    idle_s
        Seconds without a job and without anybody present after which the service ends; 0 for never.
    """

    def __init__(self, home: Path, cluster: Cluster, *, warm_up: bool, idle_s: float) -> None:
        self.home, self.journal, self.cluster = home, Journal(home / JOURNAL), cluster
        self.warm, self.idle_s = warm.WarmUp(on=warm_up), idle_s
        self.running: dict[str, Running] = {}
        self.ending = False
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._workers: set[str] = set()
        self._started, self._used = time.time(), time.time()
        self._next: dict[str, float] = {}
        self._prebuilds = 3 if warm_up and "demo" in tasks.known() else 0
        self._said: tuple = ()
        self._at_once = quotas.from_environment().running
        self._listen()

    def _listen(self) -> None:
        put = self._events.put
        self.cluster.client.subscribe_topic(worker.TOPIC, lambda event: put(("progress", event[1])))
        self.cluster.client.subscribe_topic(MEMORY_TOPIC, lambda event: put(("memory", event[1])))

    def run(self) -> None:
        """Work until told to end, or until nobody needs the service any more."""
        recover(self.journal, self.home)
        while not self.ending:
            try:
                if self._unused():
                    break
                self._turn()
            except sqlite3.OperationalError as error:
                log.error("The journal cannot be written, trying again: %s", error)
                time.sleep(RETRY_S)
        self._wind_down()

    def _turn(self) -> None:
        self._follow_workers()
        asked = self.journal.asked()
        self._hear_stops(asked.stopping)
        if asked.waiting or asked.waiting_hidden:
            self._start_jobs(somebody_waits=asked.waiting > 0)
        self._warm_up()
        self._beat()
        self._handle_events(POLL_S)

    def _due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0):
            return False
        self._next[what] = now + every_s
        return True

    # workers

    def _follow_workers(self) -> None:
        if self._due("workers", WORKERS_S):
            found = self.cluster.workers()
            if found is not None:
                self._workers = found
                self.warm.follow(found)
                self._miss_workers()
        if not self.cluster.connected and self._due("reconnect", RECONNECT_S) and self.cluster.reconnect():
            self._listen()
            recover(self.journal, self.home, at_work={job.id for job in self.running.values()})
        if not self.cluster.local and self._due("renew", RENEW_S):
            for job in self.running.values():
                self.cluster.tell(job.worker, worker.renew, job.token)

    def _miss_workers(self) -> None:
        """A worker may go without a word to the job's future: the job is over all the same."""
        now = time.monotonic()
        for job in list(self.running.values()):
            if job.worker in self._workers:
                job.lost_since = None
            elif now - (job.lost_since or now) > LOST_S:
                job.future.cancel()
                if not self._give_again(job):
                    self._conclude(job, self._death(job))
            else:
                job.lost_since = job.lost_since or now

    def _give_again(self, job: Running) -> bool:
        """Put a job back into the queue whose worker was gone before the job began."""
        if self.journal.row(job.id)["first_fraction"] is not None or job.attempt >= MOST_ATTEMPTS:
            return False
        waiting = {"state": "queued", "message": "Waiting for a worker"}
        if not self.journal.change(job.id, if_in=("running",), **waiting):
            return False
        del self.running[job.token]
        return True

    def _idle(self) -> list[str]:
        """Return the workers without work, the warmest first."""
        busy = {job.worker for job in self.running.values()} | self.warm.busy
        return sorted(self._workers - busy, key=lambda address: (self.warm.rank(address), address))

    def _warm_up(self) -> None:
        for address in self._idle():
            if step := self.warm.next_step(address):
                future = self.cluster.submit(address, warm.run, step)
                future.add_done_callback(lambda it, at=address: self._events.put(("step", (at, it))))
        if self.warm.warm and self._prebuilds and not self.running and self._due("prebuild", 5.0):
            self._prebuilds -= 1
            params = {"name": PREBUILT, "only_build": True}
            Jobs(self.home).submit("demo", params, title="Build the demo", hidden=True)

    # jobs

    def _start_jobs(self, *, somebody_waits: bool) -> None:
        idle = self._idle()
        for address in idle:
            if row := self.journal.claim(at_once=self._at_once):
                self._start(row, address)
        if somebody_waits and not idle:
            # A job that nobody asked for gives way.
            for job in self.running.values():
                if job.hidden and job.stop_by is None:
                    self._ask_to_stop(job)

    def _start(self, row: dict, address: str) -> None:
        folder = job_folder(self.home, row)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / worker.RESULT).unlink(missing_ok=True)
        try:
            task = tasks.find(row["task"])
        except JobError as error:
            self.journal.finish(row["id"], "failed", error=str(error))
            return
        lease_s = None if self.cluster.local else LEASE_S
        token = f"{row['id']}:{row['attempt']}"
        future = self.cluster.submit(
            address, worker.run, task.target, row["params"], str(folder), token=token, lease_s=lease_s
        )
        self.running[token] = Running(row["id"], row["attempt"], folder, bool(row["hidden"]), address, future)
        future.add_done_callback(lambda _: self._events.put(("ended", token)))
        log.info("Job %s (%s) starts on %s", token, row["task"], address)

    def _hear_stops(self, stopping: frozenset[str]) -> None:
        now = time.monotonic()
        for job in list(self.running.values()):
            if job.stop_by is None and job.id in stopping:
                self._ask_to_stop(job)
            elif job.stop_by is not None and now > job.stop_by:
                self._end_by_force(job)

    def _ask_to_stop(self, job: Running) -> None:
        job.stop_by = time.monotonic() + STOP_S
        self.cluster.tell(job.worker, worker.stop, job.token)

    def _end_by_force(self, job: Running) -> None:
        job.future.cancel()
        self.cluster.end(job.worker)
        self._workers.discard(job.worker)
        self._note(job, f"Did not stop within {STOP_S:g} s: its worker was ended")
        self._conclude(job, {"outcome": "stopped"})

    # what comes back

    def _handle_events(self, wait_s: float) -> None:
        try:
            while True:
                event = self._events.get(timeout=wait_s)
                self._handle(event)
                wait_s = 0.0
        except queue.Empty:
            return

    def _handle(self, event: tuple) -> None:
        kind, about = event
        try:
            getattr(self, f"_on_{kind}")(about)
        except sqlite3.OperationalError:
            if kind == "ended":  # must not get lost
                self._events.put(event)
            raise

    def _on_progress(self, about: dict) -> None:
        if job := self.running.get(about["token"]):
            self.journal.report(
                job.id,
                fraction=about["fraction"],
                message=about["message"],
                figures=about["figures"],
                attempt=job.attempt,
            )

    def _on_memory(self, about: dict) -> None:
        for job in self.running.values():
            job.over_memory |= job.worker == about["worker"]

    def _on_step(self, about: tuple[str, distributed.Future]) -> None:
        address, future = about
        self.warm.done(address)
        if future.status == "error":
            log.warning("A step of the warm-up failed", exc_info=future.exception())

    def _on_ended(self, token: str) -> None:
        if job := self.running.get(token):
            self._conclude(job, self._outcome(job))

    def _outcome(self, job: Running) -> dict:
        """Return how a job ended: what its task says, or what became of its worker."""
        future = job.future
        failure = future.exception(timeout=STOP_S) if future.status == "error" else None
        if isinstance(failure, distributed.scheduler.KilledWorker):
            return self._death(job)
        if isinstance(failure, ImportError):
            words = (
                f"The worker at {job.worker} cannot load Driftscope ({failure}). Start remote workers in a "
                "copy of this folder with its environment: PYTHONPATH=FOLDER dask worker ADDRESS."
            )
            return {"outcome": "failed", "error": words}
        if failure is not None:
            return worker.unexpected(failure)
        try:
            return future.result(timeout=STOP_S)
        except (distributed.CancelledError, distributed.TimeoutError, OSError):
            return {"outcome": "interrupted", "error": "The connection to the worker was lost." + GO_ON}

    def _death(self, job: Running) -> dict:
        self._workers.discard(job.worker)
        limit = f" (limit {self.cluster.memory_gb:.1f} GB)" if self.cluster.memory_gb else ""
        if job.over_memory:
            words = f"The job ran out of memory{limit} and was ended; other jobs were not touched."
            advice = " Try fewer cells or genes, or a machine with more memory."
        else:
            words = "The worker process of this job ended unexpectedly: it crashed, or the system ended it"
            words += f", often for want of memory{limit}."
            advice = " Start it again; if that happens twice, try fewer cells or genes."
        if any(job.folder.glob("checkpoint*")):
            advice = " Resume it to go on from its last checkpoint."
        return {"outcome": "failed", "error": words + advice}

    def _conclude(self, job: Running, outcome: dict) -> None:
        state, error = outcome["outcome"], outcome.get("error")
        asked = self.journal.row(job.id)["state"] == "stopping"
        if asked and state != "done":
            state, error = "stopped", None
        elif state == "stopped":
            state, error = "interrupted", "The job service ended during this job." + GO_ON
        if text := outcome.get("traceback"):
            log.error("Job %s: %s", job.token, text)
        elif error and outcome.get("told_by") != "task":
            self._note(job, error)
        self.journal.add_figures(job.id, outcome.get("figures", ()))
        self.journal.finish(job.id, state, error=error, result=outcome.get("result"))
        self.running.pop(job.token, None)
        self._used = time.time()
        log.info("Job %s is %s", job.token, state)
        if job.hidden:
            self._prebuilds *= state != "done"
            Jobs(self.home).forget(job.id)

    def _note(self, job: Running, text: str) -> None:
        with (job.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')}  {text}\n")

    # its own life

    def _beat(self) -> None:
        state = (self.warm.warm, len(self._workers), self._message())
        if state == self._said and not self._due("beat", BEAT_S):
            return
        self._said = state
        self._next["beat"] = time.monotonic() + BEAT_S
        self.journal.beat(
            pid=os.getpid(),
            started=self._started,
            warm=int(state[0]),
            workers=state[1],
            message=state[2],
            memory_gb=self.cluster.memory_gb,
            scheduler=self.cluster.scheduler,
        )

    def _message(self) -> str:
        if not self.cluster.connected:
            return f"The cluster at {self.cluster.scheduler} does not answer; jobs wait until it does."
        if not self._workers:
            return "No worker is there yet; jobs wait."
        return self.warm.message()

    def _unused(self) -> bool:
        if not self.idle_s or self.running or not self._due("unused", 1.0):
            return False
        if self.journal.rows(states=WAITING + AT_WORK, hidden=None, limit=1):
            return False
        last = max(self._used, self.journal.last_touch())
        return time.time() - last > self.idle_s

    def _wind_down(self) -> None:
        """Ask running jobs to stop, end what does not, and leave them "interrupted", to be resumed."""
        self.ending = True
        log.info("The job service ends")
        for job in self.running.values():
            self._ask_to_stop(job)
        deadline = time.monotonic() + STOP_S
        while self.running and time.monotonic() < deadline:
            self._handle_events(POLL_S)
        for job in list(self.running.values()):
            self.cluster.end(job.worker)
            self._conclude(job, {"outcome": "stopped"})


def serve(
    home: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    memory_gb: float | None = None,
    warm_up: bool = True,
    idle_s: float = 60.0,
) -> None:
    """Hold the home, start or find the workers, and work until the end."""
    with lock(home):
        cluster = Cluster(home, scheduler=scheduler, workers=workers, memory_gb=memory_gb)
        try:
            service = Service(home, cluster, warm_up=warm_up, idle_s=idle_s)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: setattr(service, "ending", True))
            with service.journal.held():
                service.run()
        finally:
            cluster.close()
