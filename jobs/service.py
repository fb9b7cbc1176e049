"""The job service: takes jobs from the journal, gives each to a worker, and writes down what comes of it."""

import logging
import os
import queue
import signal
import time
from pathlib import Path

import distributed

from dynamics.disk import make_folder
from dynamics.errors import JobError
from jobs import endings, leftovers, pieces, quotas, tasks, warm, worker
from jobs.client import Jobs
from jobs.cluster import MEMORY_TOPIC, Cluster
from jobs.endings import Running
from jobs.journal import AT_WORK, WAITING, Journal, JournalError
from jobs.process import JOURNAL, lock
from jobs.recovery import GO_ON, job_folder, recover, settle

POLL_S = 0.1
RETRY_S = 1.0
RECONNECT_S = 5.0
WORKERS_S = 0.5
BEAT_S = 2.0
SWEEP_S = 3600.0
ASTRAY_S = 2.0
GRACE_S = 1.2
"""Seconds that a job has to stop by itself before its worker is ended."""
STOP_S = 5.0
"""The same for a job that nobody waits for, and at the end of the service."""
LOST_S = 3.0
MOST_ATTEMPTS = 3
RENEW_S = 10.0
LEASE_S = 60.0
PREBUILT = "branching"

log = logging.getLogger(__name__)


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
        self._recovered = False
        self._listen()

    def _listen(self) -> None:
        put = self._events.put
        self.cluster.client.subscribe_topic(worker.TOPIC, lambda event: put(("progress", event[1])))
        self.cluster.client.subscribe_topic(MEMORY_TOPIC, lambda event: put(("memory", event[1])))

    def run(self) -> None:
        """Work until told to end, or until nobody needs the service any more."""
        while not self.ending:
            try:
                self._recover()
                if self._unused():
                    break
                self._turn()
            except (JournalError, OSError) as error:
                if self.journal.is_gone():
                    log.error("The home or its journal was taken away")
                    break
                log.error("The journal or the disk does not answer, trying again: %s", error)
                time.sleep(RETRY_S)
        self._wind_down()

    def _recover(self) -> None:
        if not self._recovered:
            recover(self.journal, self.home)
            self._recovered = True
        if self._due("leftovers", SWEEP_S):
            leftovers.sweep(self.home, self.journal, alone=bool(self.cluster.local))

    def _turn(self) -> None:
        self._follow_workers()
        if self._due("astray", ASTRAY_S):
            settle(self.journal, self.home, at_work={job.id for job in self.running.values()})
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
                    self._bury(job)
            else:
                job.lost_since = job.lost_since or now

    def _give_again(self, job: Running) -> bool:
        """Put a job back into the queue whose worker was gone before the job began."""
        if worker.has_begun(job.folder, job.token) or job.attempt >= MOST_ATTEMPTS:
            return False
        waiting = {"state": "queued", "message": "Waiting for a worker"}
        if not self.journal.change(job.id, if_in=("running",), **waiting):
            return False
        self._workers.discard(job.worker)
        del self.running[job.token]
        log.info("Job %s is given again: its worker was gone before it began", job.token)
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
                    self._ask_to_stop(job, STOP_S)

    def _start(self, row: dict, address: str) -> None:
        folder = job_folder(self.home, row)
        try:
            make_folder(folder, mode=0o700)
            (folder / worker.RESULT).unlink(missing_ok=True)
            task = tasks.find(row["task"])
        except (JobError, OSError) as error:
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
                self._ask_to_stop(job, GRACE_S)
            elif job.stop_by is not None and now > job.stop_by:
                self._end_by_force(job)

    def _ask_to_stop(self, job: Running, grace_s: float) -> None:
        job.stop_by = time.monotonic() + grace_s
        self.cluster.tell(job.worker, worker.stop, job.token)

    def _end_by_force(self, job: Running) -> None:
        job.future.cancel()
        self.cluster.end(job.worker)
        self._workers.discard(job.worker)
        self._note(job, "Did not stop by itself: its worker was ended")
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
        except (JournalError, OSError):
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
            if job.worker == about["worker"]:
                job.over_memory, job.held_gb = True, about.get("rss", 0) / 1e9

    def _on_step(self, about: tuple[str, distributed.Future]) -> None:
        address, future = about
        self.warm.done(address)
        if future.status == "error":
            log.warning("A step of the warm-up failed", exc_info=future.exception())

    def _on_ended(self, token: str) -> None:
        job = self.running.get(token)
        if job and not (endings.is_death(job) and self._give_again(job)):
            self._conclude(job, endings.outcome(job, limit_gb=self.cluster.memory_gb))

    def _bury(self, job: Running) -> None:
        self._conclude(job, endings.death(job, limit_gb=self.cluster.memory_gb))

    def _conclude(self, job: Running, outcome: dict) -> None:
        state, error = outcome["outcome"], outcome.get("error")
        asked = self.journal.row(job.id)["state"] == "stopping"
        if asked and state != "done":
            state, error = "stopped", None
        elif state == "stopped":
            state, error = "interrupted", "The job service ended during this job." + GO_ON
        if text := outcome.get("traceback"):
            number = {"error": outcome["number"], "story": text}
            log.error("Job %s: error %s", job.token, outcome["number"], extra=number)
        elif error and outcome.get("told_by") != "task":
            self._note(job, error)
        self.journal.add_figures(job.id, outcome.get("figures", ()))
        self.journal.finish(job.id, state, error=error, result=outcome.get("result"))
        self.running.pop(job.token, None)
        if endings.is_death(job):
            self._workers.discard(job.worker)
        if state != "done":
            self.cluster.tell(None, pieces.drop, job.token)
        self._used = time.time()
        log.info("Job %s is %s", job.token, state)
        if job.hidden:
            self._prebuilds *= state != "done"
            Jobs(self.home).forget(job.id)

    def _note(self, job: Running, text: str) -> None:
        try:
            with (job.folder / "log.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        except OSError as error:  # such as a full disk: the job ends all the same
            log.warning("The log of job %s cannot be written: %s", job.id, error)

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
            self._ask_to_stop(job, STOP_S)
        deadline = time.monotonic() + STOP_S
        try:
            while self.running and time.monotonic() < deadline:
                self._handle_events(POLL_S)
            for job in list(self.running.values()):
                self.cluster.end(job.worker)
                self._conclude(job, {"outcome": "stopped"})
        except (JournalError, OSError) as error:  # the next service finds them at work, and settles them
            log.error("Not all jobs could be written down: %s", error)


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
