"""A nursery carries out one order after another, each in a child of its own, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from jobs.nursery import FORKS, LEFT, Nursery
from jobs.process import REPOSITORY

pytestmark = pytest.mark.skipif(not FORKS, reason="no forking here")


@pytest.fixture
def nursery():
    made = Nursery("tests.jobs.toy_orders", folder=REPOSITORY, environment={"PATH": os.environ["PATH"]})
    yield made
    made.close()


def carried_out(nursery, *, patience_s=20.0, **order):
    child = nursery.begin({"say": "hello", **order})
    if order.get("wait"):
        said = child.output.readline()
        code = child.end()
    else:
        said = child.output.read()
        code = child.end(patience_s)
    return said.decode().split(), code, child.close().decode()


def gone(pid):
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return True


def test_orders_share_a_nursery_and_nothing_else(nursery):
    (word, first), code, _ = carried_out(nursery)
    process = nursery._process.pid
    (_, second), _, _ = carried_out(nursery, say="again")
    assert (word, code) == ("hello", 0)
    assert len({first, second, str(process), str(os.getpid())}) == 4
    assert nursery._process.pid == process
    words, _, _ = carried_out(nursery, files=True)
    assert len(words) == 2 + 4  # its three files, and the one that lists them


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU])
def test_how_a_child_ended_is_known(nursery, number):
    assert carried_out(nursery, signal=int(number))[1] == -number
    assert carried_out(nursery)[1] == 0


def test_an_error_of_a_child_is_its_own(nursery):
    _, code, errors = carried_out(nursery, fail="no good")
    assert code == 1
    assert "no good" in errors
    assert carried_out(nursery)[1] == 0


def test_a_child_is_ended_with_all_it_started(nursery):
    (_, pid), code, _ = carried_out(nursery, wait=True)
    assert code == -signal.SIGKILL
    assert gone(int(pid))
    (_, _, left), code, _ = carried_out(nursery, leave=True)
    assert code == 0
    assert gone(int(left))


def test_a_nursery_that_died_is_replaced(nursery):
    carried_out(nursery)
    nursery._process.kill()
    nursery._process.wait()
    assert carried_out(nursery)[1] == 0
    child = nursery.begin({"say": "hello", "wait": True})
    pid = int(child.output.readline().split()[1])
    nursery._process.kill()
    assert child.end(20.0) is LEFT
    child.close()
    assert gone(pid)


def test_it_ends_with_who_started_it(nursery):
    code = f"""
import os, sys
from pathlib import Path
from jobs.nursery import Nursery
made = Nursery("tests.jobs.toy_orders", folder=Path({str(REPOSITORY)!r}), environment=dict(os.environ))
child = made.begin({{"say": "hello", "wait": True}})
print(made._process.pid, child.output.readline().split()[1].decode(), flush=True)
os.kill(os.getpid(), 9)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert all(gone(int(pid)) for pid in run.stdout.split())
