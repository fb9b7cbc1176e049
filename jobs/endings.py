"""How a job ended: what its task says, or what became of its worker, in words for the user."""

from dataclasses import dataclass
from pathlib import Path

import distributed

from jobs import memory, worker
from jobs.recovery import GO_ON

ANSWER_S = 5.0
"""Seconds in which a worker is to hand over the last words of a job that is over."""
STOPPED_S = 0.5
"""The same for a job that was told to stop: whoever waits for that does not need its last words."""


@dataclass
class Running:
    """One job at work."""

    id: str
    attempt: int
    folder: Path
    hidden: bool
    worker: str
    future: distributed.Future
    stop_by: float | None = None
    lost_since: float | None = None
    over_memory: bool = False
    held_gb: float | None = None
    """Memory that the worker held when it was ended for it."""

    @property
    def token(self) -> str:
        """Name of this attempt."""
        return f"{self.id}:{self.attempt}"


def is_death(job: Running) -> bool:
    """Say whether the job's worker went away during it."""
    return job.future.status == "error" and isinstance(_failure(job), distributed.scheduler.KilledWorker)


def outcome(job: Running, *, limit_gb: float | None) -> dict:
    """Return how a job ended whose future is over.

    Parameters
    ----------
    limit_gb
        Memory limit of a worker.
    """
    failure = _failure(job)
    if isinstance(failure, distributed.scheduler.KilledWorker):
        return death(job, limit_gb=limit_gb)
    if isinstance(failure, ImportError):
        words = (
            f"The worker at {job.worker} cannot load Driftscope ({failure}). Start remote workers in a "
            "copy of this folder with its environment: PYTHONPATH=FOLDER dask worker ADDRESS."
        )
        return {"outcome": "failed", "error": words}
    if failure is not None:
        return worker.unexpected(failure)
    try:
        return job.future.result(timeout=ANSWER_S if job.stop_by is None else STOPPED_S)
    except (distributed.CancelledError, distributed.TimeoutError, OSError):
        if (result := worker.read_result(job.folder)) is not None:
            return {"outcome": "done", "result": result}
        return {"outcome": "interrupted", "error": "The connection to the worker was lost." + GO_ON}


def death(job: Running, *, limit_gb: float | None) -> dict:
    """Return the end of a job whose worker went away."""
    kept = any(job.folder.glob("checkpoint*"))
    resume = "Resume it to go on from its last checkpoint."
    if job.over_memory:
        advice = resume if kept else memory.ADVICE
        return {"outcome": "failed", "error": memory.words(limit_gb, job.held_gb, advice=advice)}
    limit = f" (limit {limit_gb:.1f} GB)" if limit_gb else ""
    words = "The worker process of this job ended unexpectedly: it crashed, or the system ended it"
    words += f", often for want of memory{limit}. "
    again = "Start it again; if that happens twice, try fewer cells or genes."
    return {"outcome": "failed", "error": words + (resume if kept else again)}


def _failure(job: Running) -> BaseException | None:
    return job.future.exception(timeout=ANSWER_S) if job.future.status == "error" else None
