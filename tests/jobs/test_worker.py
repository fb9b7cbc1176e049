"""What a task says on its way, as it leaves the worker."""

import errno

import numpy as np
import pytest

from jobs import worker
from jobs.worker import Reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock of one element that the test sets."""
    now = [100.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    return now


def _reporter(sent: list, lines: list, **given: object) -> Reporter:
    return Reporter("job:1", sent.append, lines.append, **({"lease_s": None} | given))


def test_at_most_five_reports_a_second_and_no_figure_lost(clock: list[float]) -> None:
    sent, lines = [], []
    reporter = _reporter(sent, lines)
    for step in range(1000):
        clock[0] += 0.01
        assert reporter(step / 1000, f"step {step}", step=step)
    assert 45 <= len(sent) <= 51
    assert len(lines) <= 11
    steps = [one["step"] for message in sent for one in message["figures"]] + [
        one["step"] for one in reporter.take()["figures"]
    ]
    assert steps == list(range(1000))


def test_many_figures_are_thinned_but_the_last_is_kept(clock: list[float]) -> None:
    reporter = _reporter([], [])
    reporter(0.0)
    for step in range(10_000):
        reporter(0.5, step=step)
    figures = reporter.take()["figures"]
    assert len(figures) <= worker.KEPT_FIGURES
    assert figures[-1] == {"step": 9_999}


def test_figures_are_plain_numbers(clock: list[float]) -> None:
    sent: list = []
    _reporter(sent, [])(np.float32(2.0), "x" * 1000, loss=np.float32(0.5), step=np.int64(3), worst=np.inf)
    assert sent[0]["figures"] == [{"loss": 0.5, "step": 3, "worst": None}]
    assert isinstance(sent[0]["figures"][0]["step"], int)
    assert sent[0]["fraction"] == 1.0
    assert len(sent[0]["message"]) == 500


def test_a_stop_is_heard_at_the_next_step() -> None:
    reporter = _reporter([], [])
    assert reporter(0.1)
    worker.stop("job:1")
    assert not reporter(0.1)
    worker._stopped.clear()


def test_a_task_that_nobody_wants_any_more_stops(clock: list[float]) -> None:
    reporter = _reporter([], [], lease_s=60.0)
    clock[0] += 50
    assert reporter(0.1)
    worker.renew("job:1")
    clock[0] += 50
    assert reporter(0.1)
    clock[0] += 61
    assert not reporter(0.1)
    worker._stopped.clear()


def test_a_full_disk_is_said_in_words() -> None:
    ended = worker.unexpected(OSError(errno.ENOSPC, "No space left on device"))
    assert "disk of the workspace is full" in ended["error"]
    assert "traceback" not in ended
