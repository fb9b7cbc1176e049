"""What processes that died left half done in a home: put away when the job service starts, and each hour."""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from jobs import people
from jobs.journal import AT_WORK, WAITING, Journal
from jobs.workspace import ID, discard

TEMPORARY = re.compile(r"\..+\.(\d+)(?:-[0-9a-f]+)?\.tmp")
"""Name of a file that is being written, with the number of the process that does."""
HOUR_S, DAY_S = 3600.0, 86_400.0
PLACES = ("datasets/*", "models", "jobs/*", "demos", "trash")
FORGOTTEN_S = 7 * DAY_S
log = logging.getLogger(__name__)


def sweep(home: Path, journal: Journal, *, alone: bool) -> int:
    """Remove what nobody finishes any more, in all workspaces of a home; return how many things.

    Parameters
    ----------
    alone
        All that works on this home runs on this machine, so that a process which is not there is dead.
        Otherwise only what is older than an hour goes.
    """
    rows = journal.rows(hidden=None, limit=10**6)
    jobs = {row["id"]: row["state"] for row in rows}
    sources = {row["params"].get("source") for row in rows if row["state"] in (*WAITING, *AT_WORK)}
    gone = 0
    for owner in ("", *people.all_owners(home)):
        place = people.folder(home, owner)
        for path in [*_unwritten(place, alone=alone), *_of_jobs(place, jobs), *_uploads(place, sources)]:
            gone += _removed(path)
        gone += sum(_sorted_in(path, place / "trash") for path in _beside_no_model(place / "models"))
    if gone:
        log.info("Put away %d things that were left half done", gone)
    return gone


def _unwritten(place: Path, *, alone: bool) -> Iterator[Path]:
    """Give files and folders under a temporary name whose writer is dead."""
    for folder in [place, *(folder for pattern in PLACES for folder in place.glob(pattern))]:
        for path in folder.glob(".*.tmp"):
            if _older(path, HOUR_S) or (alone and not _lives(path)):
                yield path
    yield from (path for path in place.glob("demos/.*.part") if _older(path, HOUR_S))


def _lives(path: Path) -> bool:
    found = TEMPORARY.fullmatch(path.name)
    if not found:  # what `discard` had begun to remove
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _of_jobs(place: Path, jobs: dict[str, str]) -> Iterator[Path]:
    """Give data sets that were on their way in jobs that are over, and folders of forgotten jobs."""
    for folder in place.glob("jobs/*"):
        if folder.name not in jobs and ID.fullmatch(folder.name) and _older(folder, FORGOTTEN_S):
            yield folder
        elif jobs.get(folder.name) not in (*WAITING, *AT_WORK) and _older(folder / "dataset", HOUR_S):
            yield folder / "dataset"


def _uploads(place: Path, sources: set[str | None]) -> Iterator[Path]:
    """Give uploads of which nothing came, other than those that a job still has to open."""
    for path in place.glob("uploads/*"):
        if _older(path, DAY_S) and str(path) not in sources:
            yield path


def _beside_no_model(models: Path) -> Iterator[Path]:
    """Give what lies beside models that are not there."""
    for path in models.glob("[!.]*.*"):
        if not (models / f"{path.name.split('.')[0]}.safetensors").exists():
            yield path


def _sorted_in(path: Path, trash: Path) -> bool:
    """Put a file where its model is, in the trash; without one, it goes after an hour."""
    if (trash / f"{path.name.split('.')[0]}.safetensors").exists():
        path.replace(trash / path.name)
        return True
    return _older(path, HOUR_S) and _removed(path)


def _older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > seconds
    except OSError:
        return False


def _removed(path: Path) -> bool:
    try:
        discard(path)
    except OSError as error:  # such as a disk that is full or broken: another time
        log.warning("%s cannot be removed: %s", path.name, error)
        return False
    return True
