"""What happens on a worker: one task runs, says how far it is, hears a stop, and ends in words."""

import errno
import importlib
import json
import logging
import math
import os
import re
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import distributed

from dynamics import faults
from dynamics.errors import DynamicsError, Stopped
from jobs import logs, memory, pieces
from jobs.workspace import write_json

TOPIC = "driftscope-progress"
RESULT = "result.json"
PAUSE_S = 0.2
LOG_PAUSE_S = 1.0
KEPT_FIGURES = 60
NICENESS = 10
LOGGED = ("dynamics", "models", "jobs", "py.warnings")

WARNED_AT = re.compile(r"^.*?:\d+: ")
"""Where in the code Python warns of something; the user's log holds no path of the server."""
BEGUN = "begun"
"""File in the folder of a job with the token of the attempt that a worker has begun."""

_stopped: set[str] = set()
_renewed: dict[str, float] = {}


def dask_setup(worker: distributed.Worker) -> None:
    """Log, let pages go first, and bound the memory: Dask calls this once in each local worker."""
    logs.begin()
    os.nice(NICENESS)
    memory.bound(worker.memory_manager.memory_limit)


def stop(token: str) -> None:
    """Ask the task that runs under this token to stop; runs beside it, in the worker's own thread."""
    _stopped.add(token)


def renew(token: str) -> None:
    """Say that the service still wants the task."""
    _renewed[token] = time.monotonic()


class Reporter:
    """The `progress` of a task: sends what it says to the service and answers whether to go on.

    Parameters
    ----------
    lease_s
        Seconds after which the task stops by itself when the service was not heard of; None for never.
    """

    def __init__(
        self, token: str, send: Callable[[dict], None], log: Callable[[str], None], *, lease_s: float | None
    ) -> None:
        self.token, self.figures = token, []
        self._send, self._log, self._lease_s = send, log, lease_s
        self._sent = self._logged = -math.inf
        self._said = ""
        renew(token)

    def __call__(self, fraction: float, message: str = "", **figures: float) -> bool:
        """Say how far the work is; False asks the task to raise `Stopped`."""
        now = time.monotonic()
        if figures:
            self.figures.append({name: _plain(value) for name, value in figures.items()})
        if now - self._sent >= PAUSE_S or fraction >= 1:
            self._sent = now
            faults.at("send")
            self._send(
                {"token": self.token, "fraction": _share(fraction), "message": message[:500], **self.take()}
            )
        if message != self._said and now - self._logged >= LOG_PAUSE_S:
            self._logged, self._said = now, message
            self._log(f"{_share(fraction):4.0%}  {message}")
        return not self._unwanted(now)

    def take(self) -> dict:
        """Return the figures since the last time, thinned where they are many."""
        step = -(-len(self.figures) // KEPT_FIGURES) or 1
        taken, self.figures = self.figures[::-1][::step][::-1], []
        return {"figures": taken}

    def _unwanted(self, now: float) -> bool:
        if self._lease_s is not None and now - _renewed[self.token] > self._lease_s:
            stop(self.token)
        return self.token in _stopped


def _share(fraction: float) -> float:
    return min(1.0, max(0.0, float(fraction))) if math.isfinite(fraction) else 0.0


def _plain(value: object) -> float | int | str | None:
    """Return a figure as JSON knows it: an infinite or undefined one becomes None."""
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else number


def run(target: str, params: Mapping, folder: str, *, token: str, lease_s: float | None = None) -> dict:
    """Run one task and return how it ended, as plain JSON values.

    Parameters
    ----------
    target
        "module:function".
    folder
        The job's folder, which must be seen under the same path by service and worker. The log goes there,
        and `result.json` as soon as there is one, so that a finished job is known even if the service died.
    token
        Names this attempt; progress carries it and `stop` asks for it.
    """
    faults.at("worker start")
    place = Path(folder)
    if not place.is_dir():
        host = os.uname().nodename
        return _failed(
            f"The worker on {host} cannot see the workspace folder {place.parents[1]}. Workers on other "
            "machines need it under the same path (a shared disk); choose such a folder with --home."
        )
    (place / BEGUN).write_text(token)
    worker = distributed.get_worker()
    memory.forget_peak()
    with _log_file(place / "log.txt") as log, pieces.of_job(token):
        reporter = Reporter(token, lambda message: worker.log_event(TOPIC, message), log, lease_s=lease_s)
        outcome = _outcome(target, params, place, reporter, log)
    _stopped.discard(token)
    _renewed.pop(token, None)
    return outcome | reporter.take() | {"told_by": "task"}


def _outcome(target: str, params: Mapping, folder: Path, reporter: Reporter, log: Callable) -> dict:
    started = time.monotonic()
    try:
        module, name = target.split(":")
        body = getattr(importlib.import_module(module), name)
        result = body(params=params, folder=folder, progress=reporter) or {}
        write_json(folder / RESULT, result)
    except Stopped:
        log("Stopped")
        return {"outcome": "stopped"}
    except DynamicsError as error:
        log(f"Failed: {error}")
        return _failed(str(error))
    except Exception as error:
        if memory.is_lack(error):
            ended = _failed(memory.words(memory.limit(), memory.peak(), asked=str(error)))
        else:
            ended = unexpected(error)
        log(f"Failed: {ended['error']}")
        return ended
    log(f"Done in {time.monotonic() - started:.1f} s")
    return {"outcome": "done", "result": json.loads(json.dumps(result))}


def unexpected(error: BaseException) -> dict:
    """Return the end of a job by an error that the user cannot mend: a number to find it by in the logs."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _failed("The disk of the workspace is full. Delete data sets or models, then resume the job.")
    number = secrets.token_hex(4).upper()
    words = f"Something unexpected went wrong (error {number}). The log of the server has more."
    text = "".join(traceback.format_exception(error))
    return _failed(words) | {"traceback": f"error {number}\n{text}", "number": number}


def has_begun(folder: Path, token: str) -> bool:
    """Say whether a worker has begun with this attempt."""
    try:
        return (folder / BEGUN).read_text() == token
    except OSError:
        return False


def read_result(folder: Path) -> dict | None:
    """Return the result of the job in this folder; None where there is none that can be read."""
    try:
        return json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None


def _failed(error: str) -> dict:
    return {"outcome": "failed", "error": error}


@contextmanager
def _log_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Open the log of a job; what the product and Python's warnings say during it goes there, too."""
    with path.open("a", encoding="utf-8", buffering=1) as file:

        def write(line: str) -> None:
            file.write(f"{time.strftime('%H:%M:%S')}  {line}\n")

        handler = _LineHandler(write)
        loggers = [logging.getLogger(name) for name in LOGGED]
        logging.captureWarnings(True)
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
        try:
            yield write
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
            logging.captureWarnings(False)


class _LineHandler(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write, self._thread = write, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            said = record.getMessage().strip()
            self._write(WARNED_AT.sub("", said).partition("\n")[0] if record.name == "py.warnings" else said)
