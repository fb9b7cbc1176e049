"""What became of a hostile file, and what is wrong with that."""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anndata
import h5py
import numpy as np

from dynamics.errors import FileError
from jobs import sandbox, worker
from tests.hostile.battery import CANARY, LEFT_OUT, NUMBER, OPENED, REFUSED, Case, rich

RAW = re.compile(
    r"Traceback|[Uu]nable to|synchronously|[Ee]rrno|\bH5[A-Z]|dtype|<class|object at 0x|[a-z]Error\b|"
    r"/tmp/|\.py\b|site-packages"
)
"""What a refusal shows nobody: the words of a library, paths, types."""
HELP = re.compile(
    r"\b(save|copy|download|write|open|leave|shorten|allow|make|choose|unpack|give|fetch|convert|"
    r"do it again|in python)\b",
    re.IGNORECASE,
)
SAME = ("flipped bits", "spoilt structure", "numbers of the structure", "crafted structure", "glued and odd")
"""Families in which the values of X may be refused, but not changed."""
MEMORY_GB, SECONDS = 1.5, 20.0


@dataclass
class Outcome:
    """What became of one file."""

    case: Case
    opened: bool
    said: str
    """The refusal, or the report as JSON."""
    seconds: float
    peak: int
    """Most bytes that the child held."""
    wrong: list[str] = field(default_factory=list)


def run(case: Case, folder: Path) -> Outcome:
    """Make a hostile file in an empty folder, read it in a real child, and judge what happens."""
    path = case.make(folder)
    place = folder / "set"
    place.mkdir()
    before = _files(folder)
    started = time.monotonic()
    with _logged() as log, peak_memory() as peak:
        try:
            said, opened = json.dumps(sandbox.ingest(path, place / "data.h5ad")), True
        except FileError as refusal:
            said, opened = str(refusal), False
        except Exception as problem:
            said, opened = f"CRASH {problem!r}", False
    outcome = Outcome(case, opened, said, time.monotonic() - started, peak())
    outcome.wrong = [
        *judged(case, opened=opened, said=said),
        *_left(place, case, folder, opened=opened),
        *(["the log of the job tells too much"] if RAW.search("\n".join(log)) else []),
    ]
    if _files(folder) != before:
        outcome.wrong.append("something else was written or changed")
    if reading():
        outcome.wrong.append("a process was left behind")
    if outcome.peak > MEMORY_GB * 1e9:
        outcome.wrong.append(f"{outcome.peak / 1e9:.2f} GB of memory")
    if outcome.seconds > SECONDS:
        outcome.wrong.append(f"{outcome.seconds:.0f} s")
    return outcome


def judged(case: Case, *, opened: bool, said: str) -> list[str]:
    """What is wrong with the words in which a file was refused or described."""
    wrong = ["LEAK in what is said"] if CANARY in said or str(NUMBER) in said else []
    if not opened:
        return wrong + _refusal(case, said)
    if case.ends == REFUSED:
        wrong.append("opened")
    if case.ends == LEFT_OUT and "left out" not in said:
        wrong.append("opened without a word")
    return wrong


def _refusal(case: Case, said: str) -> list[str]:
    """What is wrong with a refusal."""
    is_helpful = HELP.search(said) and said.endswith((".", ")")) and said.isprintable() and len(said) < 600
    found = {
        "refused": case.ends == OPENED,
        "the parent failed": said.startswith("CRASH"),
        "raw text in the refusal": RAW.search(said),
        "the refusal does not help": not is_helpful,
        "another reason than expected": case.words and not re.search(case.words, said),
    }
    return [what for what, is_so in found.items() if is_so]


def _left(place: Path, case: Case, folder: Path, *, opened: bool) -> list[str]:
    """What is wrong with what was written."""
    names = sorted(path.name for path in place.iterdir())
    if names != (["data.h5ad"] if opened else []):
        return [f"left behind: {names}"]
    if not opened:
        return []
    wrong = leaks(place / "data.h5ad")
    if case.family.startswith(SAME):
        honest = anndata.read_h5ad(rich(folder / "honest.h5ad")).X
        (folder / "honest.h5ad").unlink()
        clean = anndata.read_h5ad(place / "data.h5ad").X
        if clean is None or clean.shape != honest.shape or (clean != honest).nnz:
            wrong.append("WRONG values in X")
    return wrong


def leaks(path: Path) -> list[str]:
    """What of somebody else's files is found in a clean copy."""
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, one: found.append(f"LEAK in {name}") if _leaks(one) else None)
    return found


def _leaks(one: h5py.Group | h5py.Dataset) -> bool:
    if not isinstance(one, h5py.Dataset) or one.shape is None or not one.size:
        return False
    values = np.asarray(one[()])
    if values.dtype.kind in "iufb":
        return bool((values == NUMBER).any()) or CANARY.encode() in values.tobytes()
    return CANARY in repr(values.ravel().tolist())


def _files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "set"}


@contextmanager
def _logged() -> Iterator[list[str]]:
    """What goes to the log of the user's job meanwhile."""
    lines: list[str] = []
    handler = worker._LineHandler(lines.append)
    loggers = [logging.getLogger(name) for name in worker.LOGGED]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """The most bytes that a reading child of this process held, looked at every few milliseconds."""
    most, over = [0], threading.Event()

    def follow() -> None:
        while not over.wait(0.004):
            most[0] = max(most[0], *map(_peak, reading()), 0)

    if sys.platform.startswith("linux"):
        threading.Thread(target=follow, daemon=True).start()
    try:
        yield lambda: most[0]
    finally:
        over.set()


def reading() -> list[int]:
    """The processes that read files for this one now."""
    keeper = sandbox.nursery()._process
    if keeper is None:
        return []
    try:
        return [
            int(pid) for pid in Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
