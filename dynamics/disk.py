"""Files that are there whole or not at all: a temporary name, flushed to the disk, then renamed."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from dynamics import faults


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens in between."""
    make_folder(path.parent)
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"  # two threads may write the same file
    with whole_file(path, mark=mark) as temporary, temporary.open("wb") as file:
        faults.write(file, content)


@contextlib.contextmanager
def whole_file(path: Path, *, mark: str = "") -> Iterator[Path]:
    """A temporary name beside `path`; renamed to it after a clean end, removed after any other.

    Parameters
    ----------
    mark
        What makes the temporary name one's own; by default the number of the process.
    """
    temporary = path.with_name(f".{path.name}.{mark or os.getpid()}.tmp")
    try:
        yield temporary
        to_disk(temporary)
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Give a finished file its place."""
    faults.at("rename")
    source.replace(target)
    to_disk(target.parent)


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, so that they are still there after the power failed."""
    if path.is_dir():
        return
    make_folder(path.parent, mode=mode)
    path.mkdir(mode=mode, exist_ok=True)
    to_disk(path.parent)


def tree_to_disk(folder: Path) -> None:
    """Have the system bring all that a folder holds to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            to_disk(Path(place, name))
        to_disk(Path(place))


def to_disk(path: Path) -> None:
    """Have the system bring a file, or the list of files in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return
    faults.at("fsync")
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
