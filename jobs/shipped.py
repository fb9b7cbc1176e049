"""Demos that were made with the installation: opened by copying, without a worker."""

import hashlib
import json
import shutil
import sys
from functools import cache
from pathlib import Path

from jobs import quotas
from jobs.workspace import Dataset, Workspace, new_id

SHIPPED = Path(sys.prefix) / "share" / "driftscope" / "demos"
CODE = Path(__file__).resolve().parents[1] / "dynamics"


@cache
def version() -> str:
    """Return a short name for the present state of the code that makes demos."""
    digest = hashlib.sha256()
    for path in sorted(CODE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def place(name: str) -> Path:
    """Return where the demo of this version stands, if it was made with the installation."""
    return SHIPPED / f"{name}-{version()}"


def open_demo(
    workspace: Workspace, name: str, *, title: str, made: Path | None = None, id: str | None = None
) -> Dataset | None:
    """Take a copy of a ready-made demo into the workspace; None where it was not made yet.

    Parameters
    ----------
    made
        Folder of the ready demo; by default that of the installation.
    id
        Of the data set; by default a new one.

    Raises
    ------
    JobError
        The disk, or the person's share of it, has no room for the copy.
    """
    made = made or place(name)
    if not made.exists():
        return None
    quotas.check_room(workspace.home, quotas.used(made), what="The demo")
    fresh = workspace.home / "uploads" / new_id()
    shutil.copytree(made, fresh)
    found = json.loads((fresh / "found.json").read_bytes())
    return workspace.add_dataset(fresh, name=title, origin=f"Built-in demo “{name}”", id=id, **found)
