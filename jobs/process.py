"""The job service as a process: who holds a home, how one is started, and how it is ended."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamics.errors import JobError

JOURNAL, LOCK, LOG = "journal.sqlite", "service.lock", "service.log"
REPOSITORY = Path(__file__).resolve().parents[1]
LOCK_S = 2.0
END_S = 15.0
LONG_LOG = 5_000_000


@contextmanager
def lock(home: Path) -> Iterator[None]:
    """Hold the home for one service.

    Raises
    ------
    JobError
        Another service holds it, or it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = (home / LOCK).open("a+")
    except OSError as error:
        raise JobError(
            f"The folder {home} cannot be used ({error.strerror}). Make room there, let the account that "
            "runs Driftscope write to it, or choose another folder with --home."
        ) from error
    with opened as file:
        deadline = time.monotonic() + LOCK_S  # somebody who only looks holds it for a moment
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise JobError(f"A job service runs already for {home}; use that one.") from None
                time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def locked(home: Path) -> bool:
    """Say whether a job service runs for this home."""
    path = home / LOCK
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return True
            raise
    return False


def holder(home: Path) -> int | None:
    """Return the process that holds this home, or held it last."""
    text = (home / LOCK).read_text()
    return int(text) if text.strip().isdigit() else None


_started: dict[Path, subprocess.Popen] = {}


def starting(home: Path) -> bool:
    """Say whether this process started a service that is alive, though it may not hold the home yet."""
    process = _started.get(home)
    return process is not None and process.poll() is None


def start(home: Path, options: list[str]) -> None:
    """Start a service in a session of its own, so that it outlives this process."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    if (home / LOG).exists() and (home / LOG).stat().st_size > LONG_LOG:
        (home / LOG).replace(home / f"{LOG}.1")
    with (home / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", "--home", str(home), *options],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _started[home] = process
    # Waiting for it in a thread leaves no zombie behind when it ends before this process.
    threading.Thread(target=process.wait, name="job service", daemon=True).start()


def tail(home: Path, size: int = 2000) -> str:
    """Return the end of the service's log."""
    path = home / LOG
    return path.read_text("utf-8", errors="replace")[-size:].strip() if path.exists() else ""


def end(home: Path, *, wait_s: float = END_S) -> None:
    """End the service of this home: asked first, then, with all that it started, by force."""
    pid = holder(home) if locked(home) else None
    if pid is None or _ended(home, lambda: os.kill(pid, signal.SIGTERM), wait_s):
        return
    _ended(home, lambda: os.killpg(pid, signal.SIGKILL), wait_s)


def _ended(home: Path, signal_it: Callable[[], None], wait_s: float) -> bool:
    try:
        signal_it()
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + wait_s
    while locked(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
