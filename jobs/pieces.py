"""Pieces of a job that other workers do: they end with it, though none of them looks at a flag."""

import contextlib
import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from dynamics.errors import Stopped

LATEST_S = 2.0
"""Seconds after which a worker ends whose piece did not."""
_lock = threading.Lock()
_here = threading.local()
_jobs: set[str] = set()
"""Attempts whose task runs on this worker."""
_at_work: dict[int, str] = {}
"""Thread → the batch that it does a piece of."""
_dropped: set[str] = set()
_batches = itertools.count()


@contextlib.contextmanager
def of_job(token: str) -> Iterator[None]:
    """Have the pieces that are given from here know whose they are."""
    _here.token = token
    _jobs.add(token)
    try:
        yield
    finally:
        _jobs.discard(token)
        _here.token = None


def new_batch() -> str | None:
    """Return a name for pieces of the attempt that runs in this thread; None outside of jobs."""
    token = getattr(_here, "token", None)
    return token and f"{token}/{next(_batches)}"


def do(batch: str | None, function: Callable[..., Any], *args: Any) -> Any:
    """Do one piece of a job.

    Raises
    ------
    Stopped
        The job is over, or its batch is not wanted any more.
    """
    if batch is None:
        return function(*args)
    thread = threading.get_ident()
    with _lock:
        if any(_is_of(batch, name) for name in _dropped):
            raise Stopped
        _at_work[thread] = batch
    try:
        return function(*args)
    finally:
        with _lock:
            _at_work.pop(thread, None)
            _raise_in(thread, None)


def drop(name: str) -> None:
    """End what this worker does for a job that is over, or for one batch of it; called beside it."""
    with _lock:
        _dropped.add(name)
        threads = [thread for thread, batch in _at_work.items() if _is_of(batch, name)]
        for thread in threads:
            _raise_in(thread, Stopped)
    if threads:
        timer = threading.Timer(LATEST_S, _leave, (name,))
        timer.daemon = True
        timer.start()


def _is_of(batch: str, name: str) -> bool:
    return batch == name or batch.startswith(f"{name}/")


def _leave(name: str) -> None:
    """End this worker, another takes its place; not where it has a job of somebody else."""
    others = [token for token in _jobs if not _is_of(name, token)]
    if any(_is_of(batch, name) for batch in _at_work.values()) and not others:
        os._exit(1)


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    """Have an error raised in a thread at its next step; None takes back one that was not raised yet."""
    given = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), given)
