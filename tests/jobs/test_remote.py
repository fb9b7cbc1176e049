"""The job service with the workers of a cluster that somebody else started."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import until

from jobs import client, process


@pytest.fixture
def scheduler(toys: None, tmp_path: Path) -> Iterator[str]:
    """Return the address of a running scheduler with one worker."""
    file = tmp_path / "scheduler.json"
    address = ("--host", "127.0.0.1")
    commands = [
        ["scheduler", *address, "--port", "0", "--no-dashboard", "--scheduler-file", file],
        ["worker", *address, "--scheduler-file", file, "--nthreads", "1", "--no-dashboard"],
    ]
    with ExitStack() as stack, (tmp_path / "dask.log").open("wb") as log:
        for command in commands:
            one = subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, command)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(process.REPOSITORY)},
                stdout=log,
                stderr=log,
            )
            stack.enter_context(one)
            stack.callback(one.terminate)
        until(file.exists)
        yield json.loads(file.read_text())["address"]


def test_jobs_run_and_stop_on_a_remote_worker(home: Path, scheduler: str) -> None:
    client.ensure_service(home, scheduler, options=("--no-warm",), wait_s=40)
    jobs = client.Jobs(home)
    assert jobs.service().scheduler == scheduler
    job = jobs.wait(jobs.submit("count", {"steps": 5}))
    assert (job.state, job.result["counted"]) == ("done", 5)
    id = jobs.submit("count", {"steps": 10_000})
    until(lambda: jobs.get(id).fraction > 0)
    jobs.stop(id)
    assert jobs.wait(id).state == "stopped"
    id = jobs.submit("deaf", {})
    until(lambda: jobs.get(id).fraction > 0)
    jobs.stop(id)
    assert jobs.wait(id).state == "stopped"
    assert jobs.wait(jobs.submit("count", {"steps": 1})).state == "done"
