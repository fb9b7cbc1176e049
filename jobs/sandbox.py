"""Open a file that nobody has vouched for: in a process of its own, with limits on what it may do."""

import atexit
import contextlib
import json
import logging
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from dynamics.errors import DynamicsError, FileError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.findings import quoted
from dynamics.inspect import inspect
from dynamics.read import read_h5ad, write_h5ad
from jobs import landlock
from jobs.precheck import check

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

ROOT = Path(__file__).resolve().parents[1]
GB = 1024**3
LONGEST_LINE = 64 * 1024**2
POLL = 0.1
PATIENCE = 10.0
"""Seconds in which a child that has fallen silent must have ended."""
ENDED: dict[str, Any] = {}
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH")
CHILD_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "HDF5_PLUGIN_PRELOAD": "::",  # load no filter from outside
    "PYTHONUNBUFFERED": "1",
}

log = logging.getLogger(__name__)
_lock = threading.Lock()
_ready = threading.Event()
_spare: list[tuple[subprocess.Popen, IO[bytes]]] = []


def ingest(
    source: Path,
    target: Path,
    *,
    memory_gb: float = 6.0,
    seconds: float = 600,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Check and read a file in a child process, and write what is needed of it to a clean h5ad file.

    Parameters
    ----------
    source, target
        The uploaded file, and the clean file to write (whole or not at all).
    memory_gb
        How much memory reading may take, in GB.
    seconds
        How long it may take.

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
    order = {"source": str(Path(source).resolve()), "target": str(target)}
    order |= {"memory": int(memory_gb * GB), "seconds": int(seconds) + 1}
    child, errors = _take()
    with errors:
        _give(child, order)
        lines: queue.Queue[bytes | None] = queue.Queue()
        pump = threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True)
        pump.start()
        try:
            answer = _follow(lines, deadline=time.monotonic() + seconds, progress=progress)
            if answer == ENDED:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(PATIENCE)
        finally:
            _end(child)
            pump.join()
            child.stdout.close()
            if _ready.is_set():
                warm()
            target.with_name(f".{target.name}.{child.pid}.tmp").unlink(missing_ok=True)
        if "report" in answer:
            return answer["report"]
        if "error" in answer:
            raise FileError(str(answer["error"]))
        errors.seek(0)
        raise FileError(_why(answer, child.returncode, memory_gb, seconds, _logged(errors)))


def warm() -> None:
    """Keep a child ready from here on, so that files do not wait for its libraries to load."""
    with _lock:
        if not _ready.is_set():
            _ready.set()
            atexit.register(_drop)
        if not _spare:
            _spare.append(_start())


def _drop() -> None:
    """End the child that was kept ready."""
    with _lock:
        _ready.clear()
        while _spare:
            child, errors = _spare.pop()
            _end(child)
            _forget(child, errors)


def _forget(child: subprocess.Popen, errors: IO[bytes]) -> None:
    for pipe in (child.stdin, child.stdout, errors):
        pipe.close()


def _take() -> tuple[subprocess.Popen, IO[bytes]]:
    """The child that was started ahead of time where there is one, else a new one."""
    with _lock:
        while _spare:
            child, errors = _spare.pop()
            if child.poll() is None:
                return child, errors
            _forget(child, errors)
    return _start()


def _start() -> tuple[subprocess.Popen, IO[bytes]]:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 it is closed by whoever takes the child
    child = subprocess.Popen(
        [sys.executable, "-m", "jobs.sandbox"],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    return child, errors


def _give(child: subprocess.Popen, order: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(json.dumps(order).encode() + b"\n")


def _environment() -> dict[str, str]:
    """The little of the environment that the child needs; the server's secrets stay here."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | CHILD_VARIABLES | {"PYTHONPATH": str(ROOT)}


def _follow(lines: "queue.Queue[bytes | None]", *, deadline: float, progress: Progress) -> dict[str, Any]:
    """The child's answer; {"late": True} when it took too long, `ENDED` when it ended without one."""
    fraction, message = 0.0, "Opening the file"
    while time.monotonic() < deadline:
        if not progress(fraction, message):
            raise Stopped
        try:
            line = lines.get(timeout=POLL)
        except queue.Empty:
            continue
        said = _parsed(line)
        if line is None:
            return ENDED
        if "report" in said or "error" in said or "memory" in said:
            return said
        fraction, message = float(said.get("fraction", fraction)), str(said.get("message", message))
    return {"late": True}


def _pump(pipe: IO[bytes], lines: "queue.Queue[bytes | None]") -> None:
    """Put every line of the child on the queue, then None."""
    while line := pipe.readline(LONGEST_LINE):
        lines.put(line)
    lines.put(None)


def _parsed(line: bytes | None) -> dict[str, Any]:
    try:
        said = json.loads(line) if line else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _end(child: subprocess.Popen) -> None:
    """End the child and whatever it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


def _logged(errors: IO[bytes]) -> str:
    """Keep what the child wrote for the log; returns the number under which it is found there."""
    number = secrets.token_hex(3)
    log.error("reading a file failed, number %s: %s", number, errors.read(20_000).decode("utf-8", "replace"))
    return number


def _why(answer: dict[str, Any], code: int, memory_gb: float, seconds: float, number: str) -> str:
    """Plain words for a child that gave no answer."""
    cpu = getattr(signal, "SIGXCPU", None)
    if answer.get("late") or (cpu is not None and code == -cpu):
        return (
            f"Reading the file took longer than {seconds:g} seconds and was ended. Leave out layers and "
            "graphs that are not needed, or use fewer genes, and save it again; or allow more time."
        )
    if "memory" in answer or code == -signal.SIGKILL:
        return (
            f"The file needs more than {memory_gb:g} GB of memory to open. Leave out layers and graphs that "
            "are not needed, keep X sparse, or use fewer cells, and save it again; or allow more memory."
        )
    return (
        "The file could not be read: it is damaged, or written in a way that is not known here. Nothing else "
        'was affected. Open it in Python and save it again: adata.write_h5ad(path, compression="gzip"). '
        f"(The log has more under {number}.)"
    )


# In the child process


def main() -> None:
    """Wait for an order on standard input, read that file, and say line by line how it goes."""
    say = _speaker()
    line = sys.stdin.readline()
    if not line:  # the parent ended without an order
        return
    order = json.loads(line)
    try:
        limited = _limit(order["memory"], order["seconds"])
        say(_read(Path(order["source"]), Path(order["target"]), say=say, limited=limited))
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
    """Bound memory and processor time of this process; whether the system could do it."""
    if resource is None:
        return False
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))  # in place of the worker's own
    except (OSError, ValueError):  # macOS knows the name only
        return False
    return True


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


def _refuse_damaged(damaged: Mapping[str, str]) -> None:
    """Raise FileError that names the first damaged element: its values would be wrong without a word."""
    for element, reason in damaged.items():
        raise FileError(
            f"{quoted(element)} is damaged: {reason}. Copy or download the file again, write it again from "
            "the original data, or leave this element out."
        )


def _read(
    source: Path, target: Path, *, say: Callable[[dict[str, Any]], None], limited: bool
) -> dict[str, Any]:
    """Check, read, describe and write the file."""
    libraries = {Path(sys.prefix), Path(sys.base_prefix), *(ROOT / name for name in ("dynamics", "jobs"))}
    system = {Path(name) for name in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo")}
    confined = landlock.restrict(read=[source, *libraries, *system], write=[target.parent])
    threading.Thread(
        target=_end_with, args=(os.getppid(),), daemon=True
    ).start()  # confined, as started after
    say({"fraction": 0.1, "message": "Checking that the file is safe to open"})
    _refuse_damaged(check(source))
    say({"fraction": 0.25, "message": "Reading cells, genes and values"})
    adata = read_h5ad(source)
    say({"fraction": 0.6, "message": "Looking at what it holds"})
    report = inspect(adata).to_json()
    say({"fraction": 0.75, "message": "Saving a clean copy"})
    write_h5ad(adata, target)
    return {"report": report | {"protection": {"memory_limit": limited, "confined": confined}}}


if __name__ == "__main__":
    main()
