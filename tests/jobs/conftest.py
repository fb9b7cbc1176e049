"""A real job service in a home of its own, with light tasks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import client, tasks


def until(condition: Callable[[], object], *, timeout: float = 20.0) -> object:
    """Return what `condition` gives once it is true."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def toys() -> Iterator[None]:
    """Have the light tasks instead of those of the product, here and in all that is started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(tasks.MODULE_VARIABLE, "tests.jobs.toy_tasks")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def started(home: Path, *options: str, workers: int = 2, **given: object) -> client.Jobs:
    """Start a service and wait until it has its workers."""
    options = ("--no-warm", *options)
    client.ensure_service(home, workers=workers, options=options, wait_s=40, **given)
    jobs = client.Jobs(home)
    until(lambda: jobs.service().workers == workers)
    return jobs


@pytest.fixture(scope="module")
def service(toys: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.Jobs]:
    """Return the jobs of a running service with two workers, shared by the tests of a module."""
    home = tmp_path_factory.mktemp("home")
    yield started(home)
    client.stop_service(home)


@pytest.fixture
def home(toys: None, tmp_path: Path) -> Iterator[Path]:
    """Return a home whose service, if the test starts one, is ended afterwards."""
    yield tmp_path
    client.stop_service(tmp_path)
