"""How long unused work is kept on a shared server: a notice first, then the trash, then it is gone."""

import logging
import os
import time
from pathlib import Path

from dynamics.errors import DynamicsError
from jobs import people, quotas
from jobs.client import Jobs
from jobs.workspace import Dataset, ModelEntry, Workspace, discard

TOUCH_S = 3600.0
EMPTY_S = quotas.DAY_S  # what holds nothing and was not used for so long is removed
LOG = logging.getLogger("driftscope")


def touch(thing: Dataset | ModelEntry) -> None:
    """Note that a data set or a model was opened; at most once an hour."""
    mark = _mark(thing)
    if time.time() - mark.stat().st_mtime > TOUCH_S:
        os.utime(mark)


def note_use(workspace: Path) -> bool:
    """Note that somebody works in a workspace, hourly at most; False where it is not there (any more)."""
    try:
        if time.time() - workspace.stat().st_mtime > TOUCH_S:
            os.utime(workspace)
    except FileNotFoundError:
        return False
    except OSError as why:  # a full or read-only disk is told where something is to be kept
        LOG.warning("The use of a workspace could not be noted: %s", why.strerror)
    return (workspace / "datasets").is_dir()


def days_left(thing: Dataset | ModelEntry, *, now: float | None = None) -> float:
    """Return after how many days a thing goes to the trash, unless it is opened before."""
    unused_s = (now or time.time()) - _mark(thing).stat().st_mtime
    return (quotas.from_environment().keep_s - unused_s) / quotas.DAY_S


def ending(workspace: Workspace, *, now: float | None = None) -> list[tuple[str, float]]:
    """Return what goes to the trash soon, as (name, days left), the first first."""
    soon = quotas.from_environment().warn_s / quotas.DAY_S
    things = [*workspace.datasets(), *workspace.models()]
    found = [(thing.name, days_left(thing, now=now)) for thing in things]
    return sorted((row for row in found if row[1] < soon), key=lambda row: row[1])


def sweep(home: Path, *, now: float | None = None) -> int:
    """Put away what nobody opened for long, of everybody who shares the home; return how many things.

    A home that one person has to themself is left alone. What cannot be put away, such as a thing that its
    owner is deleting, waits for the next time, and holds up nobody else's.
    """
    now, n_gone = now or time.time(), 0
    for owner in people.all_owners(home):
        jobs = Jobs(home, owner)
        try:
            n_gone += _sweep(jobs, now) + _swept_away(jobs, now)
        except (DynamicsError, OSError) as why:
            LOG.warning("What %s does not use could not all be put away: %s", owner[:8], why)
    return n_gone


def empty_trash(workspace: Path, *, before: float) -> int:
    """Remove what was put into the trash before a moment (seconds since 1970); return how many things."""
    return sum(_emptied(path, before) for path in list((workspace / "trash").iterdir()))


def _sweep(jobs: Jobs, now: float) -> int:
    place, limits = Workspace(jobs.workspace), quotas.from_environment()
    busy = {job.dataset for job in jobs.active()}
    models = [it for it in place.models() if it.dataset not in busy and days_left(it, now=now) < 0]
    datasets = [it for it in place.datasets() if it.id not in busy and days_left(it, now=now) < 0]
    for entry in models:
        place.delete_model(entry.id)
    for dataset in datasets:
        place.delete_dataset(dataset.id)
    over = [job for job in jobs.list(limit=10_000) if job.over and now - (job.finished or 0) > limits.keep_s]
    for job in over:
        jobs.forget(job.id)
    # A file's ctime is that of its last move: the moment it was put into the trash.
    gone = empty_trash(jobs.workspace, before=now - limits.trash_s)
    return len(models) + len(datasets) + len(over) + gone


def _swept_away(jobs: Jobs, now: float) -> bool:
    """Remove the folders of somebody who kept nothing and was not here for long; the key stays good."""
    place = jobs.workspace
    parts = list(place.iterdir())
    if now - place.stat().st_mtime < EMPTY_S or jobs.list(limit=1) or any(map(_holds_something, parts)):
        return False
    try:
        for path in (*parts, place):
            path.rmdir()
    except OSError:  # something came in at this moment: it stays, with all folders around it
        Workspace(place)
        return False
    return True


def _holds_something(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _emptied(path: Path, before: float) -> bool:
    try:
        old = path.lstat().st_ctime < before
        if old:
            discard(path)
    except FileNotFoundError:  # emptied, or brought back, at this moment
        return False
    return old


def _mark(thing: Dataset | ModelEntry) -> Path:
    if isinstance(thing, Dataset):
        return thing.folder / "about.json"
    beside = thing.path.with_suffix(".json")
    return beside if beside.exists() else thing.path
