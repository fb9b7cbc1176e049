"""The journal and its client: order, races, crashes, and what is said of progress."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import until

from dynamics.errors import JobError
from jobs import client, process, quotas
from jobs.journal import MIGRATIONS, Journal
from jobs.recovery import recover


@pytest.fixture
def jobs(toys: None, tmp_path: Path) -> client.Jobs:
    """Return the jobs of a home without a service."""
    return client.Jobs(tmp_path)


def _start(jobs: client.Jobs, *, fraction: float, **given: object) -> str:
    id = jobs.submit("count", {"steps": 3}, **given)
    assert jobs.journal.claim()["id"] == id
    jobs.journal.report(id, fraction=fraction, message="on the way", figures=[], attempt=1)
    return id


def test_first_come_first_served_and_what_nobody_asked_for_last(jobs: client.Jobs) -> None:
    hidden = jobs.submit("count", {}, hidden=True)
    ids = [jobs.submit("count", {}) for _ in range(5)]
    assert [jobs.get(id).ahead for id in [*ids, hidden]] == [0, 1, 2, 3, 4, 5]
    assert [jobs.journal.claim()["id"] for _ in range(6)] == [*ids, hidden]
    assert jobs.journal.claim() is None
    assert hidden not in [job.id for job in jobs.list()]


def test_many_at_once_claim_each_job_once(jobs: client.Jobs) -> None:
    claimed: list[str] = []

    def claim() -> None:
        while row := jobs.journal.claim():
            claimed.append(row["id"])

    givers = [
        threading.Thread(target=lambda: [jobs.submit("count", {}) for _ in range(10)]) for _ in range(4)
    ]
    for thread in givers:
        thread.start()
    for thread in givers:
        thread.join()
    takers = [threading.Thread(target=claim) for _ in range(4)]
    for thread in takers:
        thread.start()
    for thread in takers:
        thread.join()
    assert len(claimed) == 40
    assert set(claimed) == {job.id for job in jobs.list()}


def test_a_writer_killed_at_any_moment_leaves_a_whole_journal(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from jobs.journal import Journal\n"
        "j = Journal(Path(sys.argv[1]))\n"
        "for k in range(10**6):\n"
        "    j.add(str(k), task='t', title='', params={}, dataset=None); print(k, flush=True)"
    )
    for _ in range(3):
        path = tmp_path / "journal.sqlite"
        path.unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, cwd=process.REPOSITORY
        )
        with writer:
            confirmed = [int(writer.stdout.readline()) for _ in range(20)]
            writer.send_signal(signal.SIGKILL)
            confirmed += [int(line) for line in writer.stdout]
        kept = {row["id"] for row in Journal(path).rows(limit=10**6)}
        assert kept >= {str(k) for k in confirmed}


def test_reports_of_an_earlier_attempt_do_not_count(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0.2)
    jobs.journal.finish(id, "interrupted")
    jobs.resume(id)
    assert jobs.journal.claim()["attempt"] == 2
    jobs.journal.report(id, fraction=0.9, message="late", figures=[{"step": 9}], attempt=1)
    assert jobs.get(id).fraction == 0.2
    assert jobs.history(id) == []


def test_steps_that_were_repeated_count_once(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0)
    steps = [1, 2, 3, 4, 3, 4, 5]
    jobs.journal.add_figures(id, [{"step": step, "loss": at} for at, step in enumerate(steps)])
    assert [one["step"] for one in jobs.history(id)] == [1, 2, 3, 4, 5]
    assert [one["loss"] for one in jobs.history(id)] == [0, 1, 4, 5, 6]


def test_time_left_follows_the_pace_since_the_last_start(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0.5)
    assert jobs.get(id).seconds_left is None
    jobs.journal.report(id, fraction=0.75, message="", figures=[], attempt=1)
    now = time.time()
    jobs.journal.change(id, if_in=("running",), started=now - 10)
    assert jobs.get(id).seconds_left == pytest.approx(10, abs=1)


def test_a_stop_without_a_service_is_kept_when_the_next_one_starts(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0.5)
    jobs.stop(id)
    assert jobs.get(id).state == "stopping"
    recover(jobs.journal, jobs.home)
    assert jobs.get(id).state == "stopped"


def test_a_result_that_was_written_before_the_end_is_found(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0.5)
    (jobs.folder(id) / "result.json").write_text('{"model": "m"}')
    recover(jobs.journal, jobs.home)
    assert (jobs.get(id).state, jobs.get(id).result) == ("done", {"model": "m"})


def test_a_job_goes_on_by_itself_only_once(jobs: client.Jobs) -> None:
    id = _start(jobs, fraction=0.5)
    recover(jobs.journal, jobs.home)
    assert jobs.get(id).state == "queued"
    jobs.journal.claim()
    recover(jobs.journal, jobs.home)
    assert jobs.get(id).state == "interrupted"
    jobs.resume(id)
    jobs.journal.claim()
    recover(jobs.journal, jobs.home)
    assert jobs.get(id).state == "queued"


def test_a_damaged_journal_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / process.JOURNAL).write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(
        JobError, match=r"damaged .* are safe. Stop Driftscope, move the files journal.sqlite\*"
    ):
        client.Jobs(tmp_path)


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j.sqlite")
    db = sqlite3.connect(tmp_path / "j.sqlite")
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(JobError, match="newer version"):
        Journal(tmp_path / "j.sqlite")


def test_a_full_disk_is_said_before_anything_starts(
    jobs: client.Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "ROOM_MB", 10**12)
    with pytest.raises(JobError, match=r"are free, .* are needed to start"):
        jobs.submit("count", {})


def test_waiting_too_long_says_where_the_job_is(jobs: client.Jobs) -> None:
    id = jobs.submit("count", {}, title="Counting")
    with pytest.raises(
        JobError, match=r"“Counting” is still queued after 0.1 s.*The job service is not running"
    ):
        jobs.wait(id, timeout=0.1)


def test_the_client_loads_only_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import jobs.client, jobs.journal, jobs.tasks\n"
        "own = {'jobs', 'dynamics'}\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - own\n"
        "print(sorted(name for name in new if name not in sys.stdlib_module_names))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=process.REPOSITORY, check=True
    )
    assert said.stdout.strip() == "[]"


def test_looking_at_a_home_does_not_keep_a_service_from_it(tmp_path: Path) -> None:
    over = threading.Event()
    (tmp_path / process.LOCK).touch()

    def look() -> None:
        while not over.is_set():
            process.locked(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(5):
            with process.lock(tmp_path):
                assert process.holder(tmp_path) == os.getpid()
    finally:
        over.set()
        looker.join()
    until(lambda: not process.locked(tmp_path))
