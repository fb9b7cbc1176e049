"""What each person may take of a shared server: jobs, disk, and how long unused things are kept."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dynamics.errors import JobError
from jobs import people

ROOM_MB = 200
DAY_S = 86_400.0
FREE = (
    "Delete data sets or models that you do not need, empty the trash under “Your workspace”, then try again."
)


@dataclass(frozen=True)
class Quotas:
    """The limits for one person.

    Attributes
    ----------
    running, queued
        Jobs that run at the same time, and that wait besides.
    disk
        Bytes that data sets, models, jobs, uploads and trash may take together.
    keep_s
        Seconds after which what nobody opened goes to the trash.
    trash_s
        Seconds after which the trash is emptied.
    warn_s
        Seconds before `keep_s` from which on a notice is shown.
    tabs, all_tabs
        Pages that may be open at one browser, and at all together.
    """

    running: int = 1
    queued: int = 3
    disk: int = 20 * 10**9
    keep_s: float = 30 * DAY_S
    trash_s: float = 7 * DAY_S
    warn_s: float = 7 * DAY_S
    tabs: int = 30
    all_tabs: int = 300

    @property
    def jobs(self) -> int:
        """Jobs that may wait or run together."""
        return self.running + self.queued


def from_environment() -> Quotas:
    """Return the limits that the administrator has set (`DRIFTSCOPE_…`, docs/administration.md)."""
    usual = Quotas()
    return Quotas(
        running=int(_number("DRIFTSCOPE_RUNNING", usual.running)),
        queued=int(_number("DRIFTSCOPE_QUEUED", usual.queued)),
        disk=int(_number("DRIFTSCOPE_QUOTA_GB", usual.disk / 1e9) * 1e9),
        keep_s=_number("DRIFTSCOPE_KEEP_DAYS", usual.keep_s / DAY_S) * DAY_S,
        trash_s=_number("DRIFTSCOPE_TRASH_DAYS", usual.trash_s / DAY_S) * DAY_S,
        warn_s=_number("DRIFTSCOPE_WARN_DAYS", usual.warn_s / DAY_S) * DAY_S,
        tabs=int(_number("DRIFTSCOPE_TABS", usual.tabs)),
        all_tabs=int(_number("DRIFTSCOPE_ALL_TABS", usual.all_tabs)),
    )


def used(workspace: Path) -> int:
    """Return how many bytes a workspace takes on the disk."""
    total = 0
    for place, _, names in os.walk(workspace):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # gone meanwhile
                continue
    return total


def left(workspace: Path) -> int:
    """Return how many bytes of their share a person has left, at least 0."""
    return max(0, from_environment().disk - used(workspace))


def check_room(workspace: Path, n_bytes: int, *, what: str) -> None:
    """Make sure that what is to be written has room: twice on the disk, once in the person's share.

    Parameters
    ----------
    n_bytes
        Expected size of what is written.
    what
        Begins the message, such as "The prepared data".

    Raises
    ------
    JobError
        There is no room; the message says how much is needed and how much there is.
    """
    check_disk(workspace, n_bytes)
    limit, taken = from_environment().disk, used(workspace) if _is_share(workspace) else 0
    if _is_share(workspace) and taken + n_bytes > limit:
        raise JobError(
            f"{what} needs about {_size(n_bytes)}; of your {_size(limit)} on this server "
            f"{_size(max(0, limit - taken))} are left. {FREE}"
        )


def check_disk(workspace: Path, n_bytes: int = 0) -> None:
    """Make sure that the disk has room for a job that writes so many bytes: twice that, and some to spare.

    Raises
    ------
    JobError
        It has not; the message says how much is free.
    """
    free, needed = shutil.disk_usage(people.base(workspace)).free, 2 * n_bytes + ROOM_MB * 10**6
    if free < needed:
        raise JobError(
            f"The server's disk is full: {_size(free)} are free, {_size(needed)} are needed to start. Delete "
            "data sets or models that you do not need, then try again."
        )


def _is_share(workspace: Path) -> bool:
    return people.base(workspace) != workspace


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def check_share(workspace: Path, *, n_active: int, n_jobs: int) -> None:
    """Make sure that a person's share of the server allows so many further jobs.

    Raises
    ------
    JobError
        It does not; the message says what was found, the limit, and what to do.
    """
    limits = from_environment()
    if n_active + n_jobs > limits.jobs:
        raise JobError(too_many(n_active, n_jobs))
    taken = used(workspace)
    if taken >= limits.disk:
        raise JobError(
            f"Your workspace takes {taken / 1e9:.2f} GB; this server gives each person "
            f"{limits.disk / 1e9:.2f} GB. {FREE}"
        )


def too_many(n_active: int, n_jobs: int) -> str:
    """Say that somebody asks for more jobs than they may have."""
    limits = from_environment()
    asked = "one more was" if n_jobs == 1 else f"{n_jobs} more were"
    return (
        f"You have {n_active} jobs waiting or running, and {asked} asked for; this server allows each person "
        f"{limits.running} running and {limits.queued} waiting. Wait until one is done, or stop one."
    )


def _number(name: str, usual: float) -> float:
    given = os.environ.get(name)
    try:
        value = float(given) if given else usual
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise JobError(f"{name}={given!r} is not a number of 0 or more. Set it to one, or leave it out.")
    return value
