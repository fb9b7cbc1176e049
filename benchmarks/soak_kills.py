"""`kill -9` of worker, job service and server in turn, and cancels at random moments of a training."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from benchmarks.soak_checks import Findings, compare, look
from benchmarks.soak_kinds import heavy
from jobs import client, process

KILLED = ("train", "ingest", "train", "prepare", "train", "validate")
CANCELLED = ("train", "prepare", "ingest", "validate", "fates")
MOST_TRIES = 10
VICTIMS = ("worker", "service", "server")
PAUSE_S = 0.02
"""Rest after each step of training, so that there is time to disturb it."""


def start_server(home: Path) -> subprocess.Popen:
    """Start a process that looks after the job service as the app's server does."""
    script = (
        "import pathlib, sys, threading; from jobs import client; client.BEAT_S = 0.3\n"
        "with client.Presence(pathlib.Path(sys.argv[1]), options=('--no-warm', '--workers', '1')):\n"
        "    threading.Event().wait()"
    )
    return subprocess.Popen([sys.executable, "-c", script, str(home)], cwd=process.REPOSITORY)


def worker_of(jobs: client.Jobs, id: str) -> psutil.Process | None:
    """Return the process that runs a job: it has the log open."""
    log = jobs.folder(id) / "log.txt"
    try:
        family = psutil.Process(jobs.service().pid).children(recursive=True)
        return next((one for one in family if any(Path(it.path) == log for it in one.open_files())), None)
    except psutil.Error:
        return None


def until(condition: Callable[[], object], *, what: str, timeout_s: float = 180.0) -> object:
    """Return what `condition` gives once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (given := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.01)
    return given


def told(jobs: client.Jobs, id: str) -> int:
    """Return the last step that the journal calls kept."""
    return max((one.get("kept", 0) for one in jobs.journal.history(id)), default=0)


def kills(home: Path, n: int, found: Findings, *, params: Mapping, expected: bytes) -> None:
    """Kill worker, service and server in turn while a training runs, and let it go on."""
    rng, jobs, id, given, number = random.Random(0), client.Jobs(home), "", 0, 0
    server = start_server(home)
    while number < n:  # kills that met somebody
        if not id or jobs.get(id).state == "done":
            task = KILLED[given % len(KILLED)]
            asked = {**params, "every_s": 0.1, "pause_s": PAUSE_S} if task == "train" else heavy(task, home)
            id, given = jobs.submit(task, asked), given + 1
        begun = told(jobs, id) if task == "train" else jobs.get(id).attempt - (not jobs.get(id).fraction)
        until(lambda: _goes_on(jobs, id, begun), what=f"kill {number}: {task} goes on")  # noqa: B023
        time.sleep(rng.random() * 20 * PAUSE_S)
        whom = VICTIMS[number % len(VICTIMS)]
        target = {"worker": worker_of(jobs, id), "service": jobs.service(), "server": server}[whom]
        if not target or not target.pid:
            found.ends[f"{whom} was gone"] += 1
        else:
            os.kill(target.pid, signal.SIGKILL)
            number += 1
            found.fired[f"{whom}, at {task}", "kill -9"] += 1
        if whom == "server":
            server.wait()
            server = start_server(home)
        look(jobs, id, found, when=f"kill {number} ({whom})")
        go_on(jobs, id, whom)
        if jobs.get(id).state == "done":
            _compare(jobs, id, found, expected=expected, when=f"kill {number}")
    if jobs.get(id).state != "done":
        until(lambda: jobs.get(id).over, what="the last training")
        go_on(jobs, id, "end")
        jobs.wait(id, timeout=180)
        _compare(jobs, id, found, expected=expected, when="the end")
    server.kill()
    server.wait()


def _goes_on(jobs: client.Jobs, id: str, begun: int) -> bool:
    """Say whether a job has come on since: a step that is kept, or for other work than training any sign."""
    job = jobs.get(id)
    if job.over:
        return True
    return told(jobs, id) > begun if job.task == "train" else job.attempt > begun and job.fraction > 0


def _compare(jobs: client.Jobs, id: str, found: Findings, *, expected: bytes, when: str) -> None:
    """Check that a job came to its end, and a training to the model of the undisturbed run."""
    job = jobs.get(id)
    if job.task == "train":
        compare(jobs, id, found, expected=expected, when=when)
        return
    found.ends[f"{job.task}: {job.state} at attempt {job.attempt}"] += 1
    if job.state != "done":
        found.wrong.append(f"{when}: {job.task} ends {job.state} ({job.error})")


def go_on(jobs: client.Jobs, id: str, whom: str) -> None:
    """Wait until a job is at work again, or resume it as its owner would."""
    if whom != "server":
        until(
            lambda: jobs.get(id).over or jobs.get(id).state == "queued" or _settled(jobs, id), what="recovery"
        )
    job = jobs.get(id)
    if job.over and job.state != "done":
        jobs.resume(id)


def _settled(jobs: client.Jobs, id: str) -> bool:
    """Say whether the job has a living worker."""
    return jobs.get(id).state == "running" and worker_of(jobs, id) is not None


def cancels(
    home: Path,
    n: int,
    found: Findings,
    seconds: dict[str, list[tuple[float, float]]],
    *,
    params: Mapping,
) -> None:
    """Stop jobs of all kinds at random moments; add seconds to "stopped" and to a free processor by task.

    A job that had ended by itself before its cancel does not count; the next one of its kind is met earlier.
    """
    rng, jobs = random.Random(1), client.Jobs(home)
    client.stop_service(home)
    client.ensure_service(home, workers=2, options=("--no-warm",), wait_s=120)
    longest, met, tries = dict.fromkeys(CANCELLED, 3.0), 0, 0
    while met < n and (tries := tries + 1) < MOST_TRIES * n:
        task = CANCELLED[met % len(CANCELLED)]
        asked = {**params, "every_s": 0.1, "pause_s": PAUSE_S} if task == "train" else heavy(task, home)
        until(lambda: jobs.service().workers == 2, what="workers")
        id = jobs.submit(task, asked)
        until(lambda: jobs.get(id).fraction or jobs.get(id).over, what="start")  # noqa: B023
        time.sleep(longest[task] * rng.random())
        family = psutil.Process(jobs.service().pid).children(recursive=True)
        begun = time.monotonic()
        jobs.stop(id)
        state = jobs.wait(id, timeout=30).state
        stopped = time.monotonic() - begun
        until(lambda: _share(family) < 0.2, what="a free processor", timeout_s=30)  # noqa: B023
        if state == "stopped":
            seconds.setdefault(task, []).append((stopped, time.monotonic() - begun))
        met += state != "done"
        longest[task] *= 0.6 if state == "done" else 1
        found.ends[f"cancelled {task}: {state}"] += 1
        if state not in ("stopped", "done"):
            found.wrong.append(f"cancel {met} of {task}: it ends {state} ({jobs.get(id).error})")
        look(jobs, id, found, when=f"cancel {met} of {task}")


def _share(family: list[psutil.Process]) -> float:
    """Return the processor time that the processes of a job and its service take, in a fifth of a second."""
    before = _spent(family)
    time.sleep(0.2)
    return (_spent(family) - before) / 0.2


def _spent(family: list[psutil.Process]) -> float:
    total = 0.0
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:2])
    return total
