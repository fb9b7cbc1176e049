"""`kill -9` of worker, job service and server in turn, and cancels at random moments of a training."""

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
from jobs import client, process

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
    rng, jobs, id = random.Random(0), client.Jobs(home), ""
    server = start_server(home)
    for number in range(n):
        if not id or jobs.get(id).state == "done":
            id = jobs.submit("train", {**params, "every_s": 0.1, "pause_s": PAUSE_S})
        begun = told(jobs, id)
        at_work = lambda: told(jobs, id) > begun or jobs.get(id).over  # noqa: E731, B023
        until(at_work, what=f"kill {number}: training goes on")
        time.sleep(rng.random() * 20 * PAUSE_S)
        whom = ("worker", "service", "server")[number % 3]
        target = {"worker": worker_of(jobs, id), "service": jobs.service(), "server": server}[whom]
        if not target or not target.pid:
            found.ends[f"{whom} was gone"] += 1
        else:
            os.kill(target.pid, signal.SIGKILL)
            found.fired[whom, "kill -9"] += 1
        if whom == "server":
            server.wait()
            server = start_server(home)
        look(jobs, id, found, when=f"kill {number} ({whom})")
        go_on(jobs, id, whom)
        if jobs.get(id).state == "done":
            compare(jobs, id, found, expected=expected, when=f"kill {number}")
    if jobs.get(id).state != "done":
        until(lambda: jobs.get(id).over, what="the last training")
        go_on(jobs, id, "end")
        jobs.wait(id, timeout=180)
        compare(jobs, id, found, expected=expected, when="the end")
    server.kill()
    server.wait()


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


def cancels(home: Path, n: int, found: Findings, *, params: Mapping) -> list[tuple[float, float]]:
    """Stop trainings at random moments; return seconds to "stopped" and to a processor that is free."""
    rng, jobs, seconds = random.Random(1), client.Jobs(home), []
    client.ensure_service(home, workers=1, options=("--no-warm",), wait_s=120)
    family = None
    for number in range(n):
        id = jobs.submit("train", {**params, "every_s": 0.1, "pause_s": PAUSE_S})
        until(lambda: jobs.get(id).state != "queued", what="start")  # noqa: B023
        if number % 2:
            until(lambda: told(jobs, id) or jobs.get(id).over, what="first step")  # noqa: B023
        time.sleep(rng.random())
        begun = time.monotonic()
        jobs.stop(id)
        state = jobs.wait(id, timeout=30).state
        stopped = time.monotonic() - begun
        until(lambda: _share(jobs) < 0.2, what="a free processor", timeout_s=30)
        seconds.append((stopped, time.monotonic() - begun))
        found.ends[f"cancelled: {state}"] += 1
        look(jobs, id, found, when=f"cancel {number}")
        now = {one.pid for one in psutil.Process(jobs.service().pid).children(recursive=True)}
        family = family or len(now)
        if len(now) > family:
            found.wrong.append(f"cancel {number}: {len(now) - family} processes are left")
    return seconds


def _share(jobs: client.Jobs) -> float:
    """Return the processor time that service and workers take, over a tenth of a second."""
    family = psutil.Process(jobs.service().pid).children(recursive=True)
    before = sum(sum(one.cpu_times()[:2]) for one in family)
    time.sleep(0.2)
    return (sum(sum(one.cpu_times()[:2]) for one in family) - before) / 0.2
