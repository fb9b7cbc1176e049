"""Seeded faults while files are opened, data prepared, models used and tested, and the library tended."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import psutil

from benchmarks.soak_checks import Findings, read_all, tidy
from benchmarks.soak_fork import ATTEMPTS, QUIET, forked
from benchmarks.soak_kinds import KINDS, MODEL, Kind, furnish, library
from dynamics import faults
from jobs import client
from jobs.process import REPOSITORY
from jobs.workspace import Workspace

CYCLE = ("ingest", "library", "prepare", "fates", "library", "ingest", "validate", "library")


def others(place: Path, seeds: Iterable[int], found: Findings) -> None:
    """Disturb one kind of work after the other; add to what was found."""
    seeds = list(seeds)
    if not seeds:
        return
    furnish(template := place / "furnished")
    shutil.copy(template / "models" / f"{MODEL}.safetensors", template / "given.safetensors")
    shutil.copytree(template / "datasets" / "soakdataset1", template / "demo")
    expected: dict[str, str] = {}
    for seed in seeds:
        name = CYCLE[seed % len(CYCLE)]
        home = place / f"{name}{seed}"
        if name == "library":
            _library(template, home, seed, found)
            continue
        if name not in expected:
            calm = Findings()
            expected[name] = _job(template, place / f"calm-{name}", KINDS[name], "", calm)
            found.wrong += calm.wrong
        came_to = _job(template, home, KINDS[name], f"{name} {seed}", found)
        if came_to != expected[name]:
            found.wrong.append(f"{name}, seed {seed}: came to {came_to}, undisturbed to {expected[name]}")


def _job(template: Path, home: Path, kind: Kind, seed: str, found: Findings) -> str:
    """Do one job under the faults of a seed (none where it is empty); return what it came to."""
    shutil.copytree(template, home)
    os.environ[faults.RECORD] = str(record := home / "faults.txt")
    jobs = client.Jobs(home)
    id = jobs.submit(kind.task, kind.params(home))
    for attempt in range(ATTEMPTS + QUIET):
        when = f"{kind.task} seed {seed}, attempt {attempt + 1}"
        if not forked(home, f"{seed}.{attempt}" if seed and attempt < ATTEMPTS else None):
            found.wrong.append(f"{when}: the service hangs")
        read_all(home, found, when=when)
        if jobs.get(id).state == "done":
            break
        if jobs.get(id).over:
            jobs.resume(id)
    job = jobs.get(id)
    found.ends[f"{kind.task}: {job.state}"] += 1
    if job.state != "done":
        found.wrong.append(f"{kind.task} seed {seed}: the job ends {job.state} ({job.error})")
        return job.state
    came_to = kind.came_to(Workspace(home), job)
    tidy(jobs, template, found, when=f"{kind.task} seed {seed}", made=kind.made)
    _close(home, record, found, when=f"{kind.task} seed {seed}")
    return came_to


def _library(template: Path, home: Path, seed: int, found: Findings) -> None:
    """Tend the library under the faults of a seed, a few times."""
    shutil.copytree(template, home)
    os.environ[faults.RECORD] = str(record := home / "faults.txt")
    jobs = client.Jobs(home)
    for attempt in range(ATTEMPTS + QUIET):
        drawn = f"library {seed}.{attempt}" if attempt < ATTEMPTS else None
        rng = np.random.default_rng([seed, attempt])
        if not forked(home, drawn, lambda home, rng=rng: library(home, rng)):
            found.wrong.append(f"library, seed {seed}: hangs")
        read_all(home, found, when=f"library seed {seed}, attempt {attempt + 1}")
    found.ends["library: tended"] += 1
    tidy(jobs, template, found, when=f"library seed {seed}")
    _close(home, record, found, when=f"library seed {seed}")


def _close(home: Path, record: Path, found: Findings, *, when: str) -> None:
    """Count the faults, look for processes that are left, and for errors that nobody foresaw."""
    found.count(record)
    if "Traceback" in (text := (home / "service.out").read_text()):
        unforeseen = [line for line in text.splitlines() if line and not line.startswith(" ")][-1]
        found.unforeseen[unforeseen[:120]] += 1
    orphans = [one for one in psutil.process_iter() if _is_orphan(one)]
    _, left = psutil.wait_procs(orphans, timeout=3)
    if left:
        found.wrong.append(f"{when}: {len(left)} processes are left")
    if not any(when in one for one in found.wrong):
        shutil.rmtree(home)


def _is_orphan(one: psutil.Process) -> bool:
    """Say whether it is a reader of files of this folder whose parent is gone."""
    try:
        return (
            "jobs.sandbox" in one.cmdline()
            and one.cwd() == str(REPOSITORY)
            and one.parent().pid != os.getpid()
            and one.ppid() == 1
        )
    except (psutil.Error, AttributeError):
        return False
