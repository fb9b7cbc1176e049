"""What a job is said to have come to when its worker does not hand over its last words."""

import json

import distributed
import pytest

from jobs import endings, service, worker


class Silent:
    """A future that is done, and whose result never comes."""

    status = "finished"

    def __init__(self):
        self.waited = []

    def result(self, timeout):
        self.waited.append(timeout)
        raise distributed.TimeoutError


def running(folder, **given):
    return endings.Running("a" * 20, 1, folder, False, "tls://w", Silent(), **given)


@pytest.mark.parametrize("stop_by", [None, 1.0])
def test_what_lies_in_its_folder_counts(tmp_path, stop_by):
    (tmp_path / worker.RESULT).write_text(json.dumps({"model": "m"}))
    ended = endings.outcome(running(tmp_path, stop_by=stop_by), limit_gb=None)
    assert ended == {"outcome": "done", "result": {"model": "m"}}


def test_without_a_result_the_connection_was_lost(tmp_path):
    ended = endings.outcome(running(tmp_path), limit_gb=None)
    assert ended["outcome"] == "interrupted"
    assert "connection to the worker was lost" in ended["error"]


def test_who_stops_a_job_does_not_wait_for_its_last_words(tmp_path):
    job = running(tmp_path, stop_by=1.0)
    endings.outcome(job, limit_gb=None)
    assert sum(job.future.waited) + service.GRACE_S < 2
