"""What must hold of a workspace at any moment: files that can be read, no kept step lost, the right model."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dynamics.errors import DynamicsError
from jobs import client, work_models
from models import checkpoint, container

STEPS = 50
"""Steps of each training."""


@dataclass
class Findings:
    """What was seen; every entry of `wrong` breaks the promise."""

    fired: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    n_files: int = 0
    n_steps: int = 0


def look(jobs: client.Jobs, id: str, found: Findings, *, when: str) -> None:
    """Check that every file is readable, and that no step is lost that the journal calls kept."""
    reached = 0
    for path in sorted(jobs.workspace.rglob("*")):
        if path.name.startswith(".") or path.suffix not in (".safetensors", ".json"):
            continue
        found.n_files += 1
        try:
            step = _readable(path)
        except (DynamicsError, ValueError) as error:
            found.wrong.append(f"{when}: {path.name} is unreadable ({error})")
            continue
        reached = max(reached, step) if path.parent == jobs.folder(id) or path.stem == id else reached
    with closing(sqlite3.connect(jobs.journal.path)) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            found.wrong.append(f"{when}: the journal is damaged")
    kept = max((one.get("kept", 0) for one in jobs.journal.history(id)), default=0)
    found.n_steps += kept
    if kept > reached:
        found.wrong.append(f"{when}: the journal says step {kept}, the disk holds {reached}")
    if jobs.get(id).state == "done" and not model_of(jobs, id).exists():
        found.wrong.append(f"{when}: the job is done, but there is no model")


def _readable(path: Path) -> int:
    """Read a file whole; return the step that a state of training has come to, and all steps for a model."""
    if path.suffix == ".json":
        json.loads(path.read_bytes())
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
