"""Many independent calls at once: on processes of this machine or on a running Dask cluster."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed

from jobs.cluster import Cluster
from jobs.remote import connected

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


def _results(
    client: distributed.Client, function: Callable[..., Any], calls: Sequence[tuple]
) -> Iterator[Any]:
    """Call the function on every tuple of arguments; results come in order, each as soon as it is there.

    The first argument, the data, is sent to the workers once.
    """
    data = {id(call[0]): call[0] for call in calls}
    sent = {key: client.scatter(one, broadcast=True, hash=False) for key, one in data.items()}
    futures = [client.submit(function, sent[id(call[0])], *call[1:], pure=False) for call in calls]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel(force=True)
