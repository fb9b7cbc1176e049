"""Light tasks for the tests of the job service."""

import logging
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np

from dynamics.errors import DataError, Stopped
from dynamics.field import Progress
from jobs import farm, sandbox
from jobs.nursery import Nursery
from jobs.tasks import Task
from jobs.workspace import write_whole

MODULE = "tests.jobs.toy_tasks"
NAMES = ("count", "deaf", "mendable", "odd", "hungry", "gulp", "spread", "talk", "suicide", "unreadable")
TASKS = {name: Task(f"{MODULE}:{name}", name.title(), resumable=name == "count") for name in NAMES}
TASKS["lost"] = Task("no.such.module:task", "Lost")


def count(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Count to `steps`, keeping a checkpoint at each step."""
    checkpoint = folder / "checkpoint.txt"
    begun = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(begun + 1, params["steps"] + 1):
        time.sleep(params.get("pause", 0.01))
        write_whole(checkpoint, str(step).encode())
        if not progress(step / params["steps"], f"step {step}", step=step, loss=1 / step):
            raise Stopped
    return {"counted": params["steps"], "begun": begun, "pid": os.getpid()}


def deaf(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Never listen."""
    write_whole(folder / "pid", str(os.getpid()).encode())
    while True:
        progress(0.5, "going on")
        time.sleep(0.05)


def mendable(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Fail in the user's words."""
    raise DataError("Found 1 time point, expected at least 2: choose another time column.")


def odd(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Fail as nobody expected."""
    raise ValueError("secret inner detail")


def unreadable(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Read a file that brings down the process that reads it."""
    toy = {**os.environ, "TOY": '{"fail": "no good"}'}
    sandbox.nursery = lambda: Nursery("tests.jobs.toy_orders", folder=sandbox.ROOT, environment=toy)
    return sandbox.ingest(folder / "log.txt", folder / "clean.h5ad")


def hungry(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Take memory until ended."""
    eaten = []
    while True:
        eaten.append(b"x" * 50_000_000)
        progress(0.1, "eating")
        time.sleep(0.02)


def gulp(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Ask for far too much memory at once."""
    progress(0.1, "gulping")
    return {"sum": float(np.ones(10**10).sum())}


def spread(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Have all workers do pieces that never end and never look up."""

    def alive() -> None:
        if not progress(0.5, "others work"):
            raise Stopped

    with farm.within(alive) as run:
        list(run(spin, [(str(folder), number) for number in range(params["pieces"])]))
    return {}


def spin(folder: str, number: int) -> None:
    """Say for ever that one is there."""
    while True:
        (Path(folder) / f"spin{number}").write_text(f"{os.getpid()} {time.time_ns()}")


def talk(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Say things that belong in the log, and figures that JSON does not know."""
    logging.getLogger("dynamics.toy").info("said by the product")
    logging.getLogger("elsewhere").info("said by others")
    warnings.warn("take care", stacklevel=1)
    progress(0.5, "half", loss=float("nan"), step=1)
    return {"said": True}


def suicide(*, params: dict, folder: Path, progress: Progress) -> dict:
    """Die as by a crash in a library."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}
