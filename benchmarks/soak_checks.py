"""What must hold of a workspace at any moment: files that can be read, no kept step lost, the right model."""

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dynamics import read
from dynamics.errors import DynamicsError
from jobs import client, expiry, leftovers, work_models
from jobs.journal import AT_WORK, WAITING
from jobs.workspace import Workspace
from models import checkpoint, container

READ = (".safetensors", ".json", ".h5ad", ".fates")
STEPS = 50
"""Steps of each training."""


@dataclass
class Findings:
    """What was seen; every entry of `wrong` breaks the promise."""

    fired: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unforeseen: Counter = field(default_factory=Counter)
    """Errors that ended a process and are not faults: to be looked at."""
    n_files: int = 0
    n_steps: int = 0

    def count(self, record: Path) -> None:
        """Count the faults that a file tells of."""
        if record.exists():
            self.fired.update(tuple(line.split("\t")) for line in record.read_text().splitlines())


def look(jobs: client.Jobs, id: str, found: Findings, *, when: str) -> None:
    """Check that every file is readable, and that no step is lost that the journal calls kept."""
    kept = max((one.get("kept", 0) for one in jobs.journal.history(id)), default=0)
    # The job may go on meanwhile, so that only what the journal said before this counts.
    reached = read_all(jobs.workspace, found, when=when, job=id)
    with closing(sqlite3.connect(jobs.journal.path)) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            found.wrong.append(f"{when}: the journal is damaged")
    found.n_steps += kept
    if kept > reached:
        found.wrong.append(f"{when}: the journal says step {kept}, the disk holds {reached}")
    if (job := jobs.get(id)).task == "train" and job.state == "done" and not model_of(jobs, id).exists():
        found.wrong.append(f"{when}: the job is done, but there is no model")


def read_all(workspace: Path, found: Findings, *, when: str, job: str = "") -> int:
    """Read every file, and every thing that pages list; return the step that a training has come to."""
    reached = 0
    for path in sorted(workspace.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(workspace).parts)
        if hidden or path.suffix not in READ:
            continue
        found.n_files += 1
        try:
            step = _readable(path)
        except (DynamicsError, ValueError, OSError) as error:
            if not path.exists():  # a job that goes on has put it away: what it has made instead counts
                return read_all(workspace, found, when=when, job=job)
            found.wrong.append(f"{when}: {path.name} is unreadable ({error})")
            continue
        reached = max(reached, step) if path.parent.name == job or path.stem == job else reached
    _listed(workspace, found, when=when)
    return reached


def _listed(workspace: Path, found: Findings, *, when: str) -> None:
    """Check that each thing that pages list is whole, and that each thing that is there is listed."""
    place = Workspace(workspace)
    for dataset in place.datasets():
        held = read.read_cells(dataset.file).obsm
        gone = [
            name for name in (dataset.roles["rep"], dataset.roles["embedding"]) if name and name not in held
        ]
        if gone:
            found.wrong.append(f"{when}: the roles of a data set name {gone}, which its file does not hold")
    for entry in place.models():
        if entry.dataset is None or not entry.created:
            found.wrong.append(f"{when}: model {entry.id} has lost what is kept beside it")
    listed = {one.id for one in place.datasets()}
    for folder in (workspace / "datasets").iterdir():
        if folder.name not in listed and not folder.name.startswith("."):
            found.wrong.append(f"{when}: data set {folder.name} is half there")


def tidy(jobs: client.Jobs, template: Path, found: Findings, *, when: str, made: Iterable[str] = ()) -> None:
    """Check that nothing is left at work, and that the disk returns to its base when all is given back."""
    for row in jobs.journal.rows(states=WAITING + AT_WORK, hidden=None, limit=100):
        found.wrong.append(f"{when}: a job stays {row['state']}")
    place, old = Workspace(jobs.workspace), Workspace(template)
    for job in jobs.list(limit=1000):
        jobs.forget(job.id)
    for model in {one.id for one in place.models()} - {one.id for one in old.models()}:
        place.delete_model(model)
    for dataset in {one.id for one in place.datasets()} - {one.id for one in old.datasets()}:
        place.delete_dataset(dataset)
    expiry.empty_trash(jobs.workspace, before=time.time() + 1)
    for path in (jobs.workspace / "uploads").iterdir():
        os.utime(path, (0, 0))  # as if a day had passed
    leftovers.sweep(jobs.home, jobs.journal, alone=True)
    left = _names(jobs.workspace) - _names(template) - set(made)
    if left:
        found.wrong.append(f"{when}: {len(left)} files are left for ever ({sorted(left)[:3]})")
    found.ends["disk back to its base"] += not left


def _names(home: Path) -> set[str]:
    """Return all files and folders but those of journal, service, and Dask's scratch."""
    own = ("journal.sqlite", "service.", "faults.txt", "cache", "demos/")
    names = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    return {name for name in names if not name.startswith(own)}


def _readable(path: Path) -> int:
    """Read a file whole; return the step that a state of training has come to, and all steps for a model."""
    if path.suffix == ".json":
        json.loads(path.read_bytes())
        return 0
    if path.suffix == ".h5ad":
        read.read_h5ad(path)
        return 0
    if path.suffix == ".fates":
        container.read(path, container.STATE_KIND)
        return 0
    if path.name != work_models.CHECKPOINT:
        checkpoint.load(path)
        return STEPS
    header, table = container.read(path, container.STATE_KIND)
    return int(container.checked_tensors(path, table, header)["step"])


def model_of(jobs: client.Jobs, id: str) -> Path:
    return jobs.workspace / "models" / f"{id}.safetensors"


def compare(jobs: client.Jobs, id: str, found: Findings, *, expected: bytes, when: str) -> None:
    """Check that the job ended with the model of the undisturbed run."""
    job = jobs.get(id)
    found.ends[f"{job.state} at attempt {job.attempt}"] += 1
    if job.state != "done" or not model_of(jobs, id).exists():
        found.wrong.append(f"{when}: the job ends {job.state} ({job.error})")
    elif model_of(jobs, id).read_bytes() != expected:
        found.wrong.append(f"{when}: the model differs from that of the undisturbed run")
