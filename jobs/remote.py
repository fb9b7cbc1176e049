"""One piece of work on a running Dask cluster, waited for: what `cli.py --scheduler` does."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import distributed

from dynamics.errors import JobError
from dynamics.field import Progress
from jobs.workspace import new_id

CONNECT_S = 15


def call(address: str, function: Callable[..., Any], /, *args: Any, progress: Progress, **kwargs: Any) -> Any:
    """Return `function(*args, progress=…, **kwargs)`, run on a worker of the cluster at `address`.

    The cluster's machines need the same version of Driftscope; the data travel with the call.

    Raises
    ------
    JobError
        The scheduler does not answer, or has no workers.
    """
    topic = f"driftscope-{new_id()}"
    with connected(address) as client:
        client.subscribe_topic(topic, lambda event: progress(**event[1]))
        future = client.submit(_reporting, function, topic, args, kwargs, pure=False)
        try:
            return future.result()
        finally:
            future.cancel(force=True)


@contextmanager
def connected(address: str) -> Iterator[distributed.Client]:
    """Give a client of the cluster at `address`, which has workers.

    Raises
    ------
    JobError
        The scheduler does not answer, or has no workers.
    """
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise JobError(
            f"No Dask scheduler answers at {address}. Start one in Driftscope's folder (`dask scheduler`, "
            f"`dask worker {address}`), or leave out --scheduler to work here."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise JobError(
                f"The scheduler at {address} has no workers. Start one: `dask worker {address}`."
            ) from None
        yield client


def _reporting(function: Callable[..., Any], topic: str, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    worker = distributed.get_worker()

    def report(fraction: float, message: str = "", **figures: float) -> bool:
        worker.log_event(topic, {"fraction": fraction, "message": message, **figures})
        return True

    return function(*args, progress=report, **kwargs)
