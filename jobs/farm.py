"""Many independent calls at once: on processes of this machine or on a running Dask cluster."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed

from dynamics.errors import JobError
from jobs import pieces
from jobs.cluster import Cluster
from jobs.remote import connected

PAUSE_S = 0.2
FEW = 4
"""So few calls are made here: starting processes would take longer."""


@contextmanager
def farm(*, scheduler: str | None = None, workers: int = 1) -> Iterator[Callable | None]:
    """Give a function that makes calls elsewhere, a `models.holdout.Run`; None to make them here.

    Parameters
    ----------
    scheduler
        Address of a running Dask scheduler.
    workers
        Without a scheduler: processes to start on this machine.

    Raises
    ------
    JobError
        The scheduler does not answer, or has no workers.
    """
    if scheduler is not None:
        with connected(scheduler) as client:
            yield lambda function, calls: _results(client, function, calls)
    elif workers > 1:
        with tempfile.TemporaryDirectory(prefix="driftscope-") as folder:
            cluster = Cluster(Path(folder), scheduler=None, workers=workers)
            try:
                yield lambda function, calls: _results(cluster.client, function, calls)
            finally:
                cluster.close()
    else:
        yield None


@contextmanager
def within(alive: Callable[[], None]) -> Iterator[Callable | None]:
    """Give a task that runs on a worker the same for all workers of its cluster; None where it has but one.

    The task's own worker is free for the calls meanwhile.

    Parameters
    ----------
    alive
        Called a few times a second while results are waited for; what it raises ends the waiting.
    """
    try:
        distributed.get_worker()
    except ValueError:  # the task was called directly, not on a worker
        yield None
        return
    with distributed.worker_client() as client:
        several = len(client.nthreads()) > 1
        yield (lambda function, calls: _results(client, function, calls, alive)) if several else None


def _results(
    client: distributed.Client,
    function: Callable[..., Any],
    calls: Sequence[tuple],
    alive: Callable[[], None] | None = None,
) -> Iterator[Any]:
    """Call the function on every tuple of arguments; results come in order, each as soon as it is there.

    The first argument, the data, is sent to the workers once.
    """
    data = {id(call[0]): call[0] for call in calls}
    sent = {key: client.scatter(one, broadcast=True, hash=False) for key, one in data.items()}
    batch = pieces.new_batch()
    futures = [
        client.submit(pieces.do, batch, function, sent[id(call[0])], *call[1:], pure=False) for call in calls
    ]
    try:
        for future in futures:
            while alive is not None and not future.done():
                alive()
                time.sleep(PAUSE_S)
            yield _result(future)
    except BaseException:
        if batch is not None:
            pieces.drop(batch)  # this worker; it waits for its own pieces, others hear it from the service
        raise
    finally:
        for future in futures:
            future.cancel(force=True)


def _result(future: distributed.Future) -> Any:
    try:
        return future.result()
    except distributed.scheduler.KilledWorker:
        raise JobError(
            "A worker ended while it did a part of this job, often for want of memory. Start it again; if "
            "that happens twice, try fewer cells or genes, or a machine with more memory."
        ) from None
