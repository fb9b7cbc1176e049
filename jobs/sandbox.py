"""Open a file that nobody has vouched for: in a process of its own, with limits on what it may do."""

import json
import logging
import os
import queue
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

from dynamics.disk import move
from dynamics.errors import DynamicsError, FileError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.inspect import inspect
from dynamics.read import read_h5ad, write_h5ad
from jobs import answers, landlock, syscalls
from jobs.nursery import LEFT, Nursery, serve
from jobs.precheck import check

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

ROOT = Path(__file__).resolve().parents[1]
GB = 1024**3
LEAST_MEMORY, MOST_MEMORY, UNPACKED = 1.5e9, 6 * GB, 40
"""Bytes that reading a file may take: 40 times those of the file, within these bounds."""
LEAST_SECONDS, MOST_SECONDS, SHORT, BYTES_A_SECOND = 18.0, 600.0, 20e6, 6e5
"""Seconds that it may take: the first, and more for the bytes beyond a short file's, up to the second."""
OPEN_FILES = 64
POLL = 0.1
PATIENCE = 10.0
"""Seconds in which a child that has fallen silent must have ended."""
STARTING = 120.0
"""Seconds in which a child must have loaded its libraries."""
ENDED: dict[str, Any] = {}
ANSWERS = {"report", "error", "memory", "long"}
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH")
CHILD_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "HDF5_PLUGIN_PRELOAD": "::",  # load no filter from outside
    "PYTHONUNBUFFERED": "1",
}

log = logging.getLogger("driftscope")
"""The server's own log: what the child printed names folders, so it is not for the log of a user's job."""


def ingest(
    source: Path,
    target: Path,
    *,
    memory_gb: float | None = None,
    seconds: float | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Check and read a file in a child process, and write what is needed of it to a clean h5ad file.

    Parameters
    ----------
    source, target
        The uploaded file, and the clean file to write (whole or not at all).
    memory_gb
        How much memory reading may take, in GB; by default 1.5, more for a file of more than 37 MB, up to 6.
    seconds
        How long it may take; by default 18 s, more for a file of more than 20 MB, up to ten minutes.

    Returns
    -------
    The `to_json` of the `dynamics.inspect.Report`, and "protection": which limits this system could set.

    Raises
    ------
    FileError
        The file is not an h5ad, not safe, damaged, or needs more memory or time than allowed.
    Stopped
        `progress` returned False.
    """
    target = Path(target).resolve()
    made = target.with_name(f".{target.name}.made")  # what a child leaves that says nothing of it is no copy
    try:
        report = _told(Path(source), made, memory_gb=memory_gb, seconds=seconds, progress=progress)
        move(made, target)
    finally:
        for left in (made, *target.parent.glob(f".{made.name}.*.tmp")):
            left.unlink(missing_ok=True)
    return report


def _told(
    source: Path, made: Path, *, memory_gb: float | None, seconds: float | None, progress: Progress
) -> dict[str, Any]:
    """The report of a child that has read the file and written a copy."""
    memory_gb, seconds = _allowed(source, memory_gb, seconds)
    order = {"source": str(source.resolve()), "target": str(made)}
    order |= {"memory": int(memory_gb * 1e9), "seconds": int(seconds) + 1}
    child = nursery().begin(order)
    lines: queue.Queue[bytes | None] = queue.Queue()
    pump = threading.Thread(target=_pump, args=(child.output, lines), daemon=True)
    pump.start()
    try:
        answer = _follow(lines, seconds=seconds, progress=progress)
        if answer == ENDED:
            child.end(PATIENCE)
    finally:
        child.end()
        pump.join()
        errors = child.close()
    if "report" in answer:
        return answers.report(answer["report"])
    if "error" in answer:
        raise FileError(answers.error(answer))
    raise FileError(_why(answer, child.code, memory_gb, seconds, _logged(errors)))


def _allowed(source: Path, memory_gb: float | None, seconds: float | None) -> tuple[float, float]:
    """Memory in GB and seconds that reading may take: a short file has no need of much."""
    n_bytes = source.stat().st_size if source.is_file() else 0
    memory = min(MOST_MEMORY, max(LEAST_MEMORY, UNPACKED * n_bytes)) / 1e9
    time_s = min(MOST_SECONDS, LEAST_SECONDS + max(0.0, n_bytes - SHORT) / BYTES_A_SECOND)
    return memory if memory_gb is None else memory_gb, time_s if seconds is None else seconds


@cache
def nursery() -> Nursery:
    """Return the process that is kept ready to read files."""
    return Nursery("jobs.sandbox", folder=ROOT, environment=_environment())


def _environment() -> dict[str, str]:
    """The little of the environment that the child needs; the server's secrets stay here."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | CHILD_VARIABLES | {"PYTHONPATH": str(ROOT)}


def _follow(lines: "queue.Queue[bytes | None]", *, seconds: float, progress: Progress) -> dict[str, Any]:
    """The child's answer; {"late": True} when it took too long, `ENDED` when it ended without one."""
    fraction, message = 0.0, "Opening the file"
    deadline, is_ready = time.monotonic() + max(seconds, STARTING), False
    while time.monotonic() < deadline:
        if not progress(fraction, message):
            raise Stopped
        try:
            line = lines.get(timeout=POLL)
        except queue.Empty:
            continue
        if line is None:
            return ENDED
        if not is_ready:  # its libraries are loaded: from now on it counts
            deadline, is_ready = time.monotonic() + seconds, True
        said = answers.parsed(line)
        if ANSWERS & said.keys():
            return said
        fraction, message = answers.step(said, fraction, message)
    return {"late": True}


def _pump(pipe: IO[bytes], lines: "queue.Queue[bytes | None]") -> None:
    """Put every line of the child on the queue, then None."""
    for line in answers.lines(pipe):
        lines.put(json.dumps(answers.TOO_LONG).encode() if line is None else line)
    lines.put(None)


def _logged(errors: bytes) -> str:
    """Keep what the child wrote for the log; returns the number under which it is found there."""
    number = secrets.token_hex(3)
    story = {"error": number, "story": errors.decode("utf-8", "replace")}
    log.error("Reading a file failed: error %s", number, extra=story)
    return number


def _why(answer: dict[str, Any], code: int | None, memory_gb: float, seconds: float, number: str) -> str:
    """Plain words for a child that gave no answer."""
    cpu = getattr(signal, "SIGXCPU", None)
    if answer.get("late") or (cpu is not None and code == -cpu):
        return (
            f"Reading the file took longer than {seconds:.3g} seconds and was ended. Leave out layers and "
            "graphs that are not needed, or use fewer genes, and save it again; or allow more time."
        )
    if "long" in answer:
        return (
            "The file holds more names and notes than can be shown. Leave out tables and entries of uns that "
            "are not needed, and save it again."
        )
    if "memory" in answer or code == -signal.SIGKILL:
        return (
            f"The file needs more than {memory_gb:.2g} GB of memory to open. Leave out layers and graphs "
            "that are not needed, keep X sparse, or use fewer cells, and save it again; or allow more memory."
        )
    if code is LEFT:
        return (
            "The process that reads files was ended from outside, often for want of memory. Try again; if "
            "that happens twice, use fewer cells or genes, or tell whoever runs this server. (The log has "
            f"more under {number}.)"
        )
    return (
        "The file could not be read: it is damaged, or written in a way that is not known here. Nothing else "
        'was affected. Open it in Python and save it again: adata.write_h5ad(path, compression="gzip"). '
        f"(The log has more under {number}.)"
    )


def carry_out(order: dict[str, Any]) -> None:
    """Read the file of an order in this process, a child of its own, and say line by line how it goes."""
    say = _speaker()
    try:
        limited = _limit(order["memory"], order["seconds"])
        say({"fraction": 0.05, "message": "Opening the file"})
        read = _read(Path(order["source"]), Path(order["target"]), say=say, limited=limited)
        say(answers.shortened(read))
    except DynamicsError as problem:
        say({"error": str(problem)})
    except MemoryError:
        say({"memory": True})
    except Exception as problem:
        traceback.print_exc()
        if "alloc" in str(problem):  # how HDF5 says that memory ran out
            say({"memory": True})
        sys.exit(1)


def _speaker() -> Callable[[dict[str, Any]], None]:
    """A way to tell the parent something; what libraries print goes to the log instead."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(what: dict[str, Any]) -> None:
        channel.write(json.dumps(what) + "\n")
        channel.flush()

    return say


def _limit(memory: int, seconds: int) -> bool:
    """Bound memory, time, files and their size for this process; whether the system could do it.

    The number of processes is not bounded: the system counts those of the whole account.
    """
    if resource is None:
        return False
    syscalls.forbid()
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = int(used.ru_utime + used.ru_stime) + seconds
    signal.alarm(seconds + int(PATIENCE))  # should nobody be there any more to end it
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))  # in place of the worker's own
    except (OSError, ValueError):  # macOS knows the name only
        return False
    return True


def _read(
    source: Path, target: Path, *, say: Callable[[dict[str, Any]], None], limited: bool
) -> dict[str, Any]:
    """Check, read, describe and write the file."""
    libraries = {Path(sys.prefix), Path(sys.base_prefix), *(ROOT / name for name in ("dynamics", "jobs"))}
    system = {Path(name) for name in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")}
    confined = landlock.restrict(read=[source, *libraries, *system], write=[target.parent])
    say({"fraction": 0.1, "message": "Checking that the file is safe to open"})
    damaged = check(source)
    say({"fraction": 0.25, "message": "Reading cells, genes and values"})
    adata = read_h5ad(source, damaged=damaged)
    say({"fraction": 0.6, "message": "Looking at what it holds"})
    report = inspect(adata).to_json()
    say({"fraction": 0.75, "message": "Saving a clean copy"})
    write_h5ad(adata, target)
    return {"report": report | {"protection": {"memory_limit": limited, "confined": confined}}}


if __name__ == "__main__":
    serve(carry_out)
