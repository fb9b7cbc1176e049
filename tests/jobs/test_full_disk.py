"""A disk that is full, read-only or damaged: said in words at the start and on the way, and survived."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import started, until

from dynamics import faults
from dynamics.errors import JobError
from jobs import client, process
from jobs.journal import Journal, JournalError

SIZE_MB = 24


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a home on a disk of its own, which is small."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place / "home"
    client.stop_service(place / "home")
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all room that is left on a disk."""
    path = place.parent / "fill"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return path


def submit_many(jobs: client.Jobs) -> None:
    """Give jobs until there is no room: SQLite has some set aside."""
    for _ in range(1000):
        jobs.submit("count", {"steps": 1})


def test_a_full_disk_is_said_and_the_service_recovers(toys: None, small: Path, monkeypatch) -> None:
    monkeypatch.setattr("jobs.quotas.ROOM_MB", 0)
    jobs = started(small, workers=1)
    id = jobs.submit("count", {"steps": 10**6, "pause": 0.02})
    until(lambda: jobs.get(id).fraction > 0)
    pid = jobs.service().pid
    filling = fill(small)
    with pytest.raises(JobError, match=r"disk is full|No space|disk I/O error"):
        submit_many(jobs)
    assert jobs.get(id).title == "Count"  # what is there can be read
    time.sleep(1.5)
    filling.unlink()
    until(lambda: jobs.get(id).over)
    assert jobs.get(id).state == "failed"
    assert "disk of the workspace is full" in jobs.get(id).error
    done = jobs.wait(jobs.submit("count", {"steps": 1}))
    assert done.state == "done"
    assert jobs.service().pid == pid


def _newer(home: Path) -> None:
    db = sqlite3.connect(home / process.JOURNAL)
    db.execute("PRAGMA user_version=99")
    db.close()


BROKEN = {
    "damaged": (lambda home: (home / process.JOURNAL).write_bytes(os.urandom(9000)), "damaged .* are safe"),
    "newer": (_newer, "newer version of Driftscope"),
    "no folder": (lambda home: (home.rmdir(), home.write_text("")), "cannot be used .*--home"),
}


SERVICE, SERVER = ("-m", "jobs", "--no-warm", "--home"), ("app",)


@pytest.mark.parametrize(
    ("what", "which"),
    [(SERVICE, "damaged")]
    + [
        pytest.param(what, which, marks=pytest.mark.slow)
        for what, which in [(SERVICE, "newer"), (SERVICE, "no folder"), *((SERVER, one) for one in BROKEN)]
    ],
)
def test_a_home_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, what: tuple, which: str) -> None:
    breaks, words = BROKEN[which]
    (home := tmp_path / "home").mkdir()
    breaks(home)
    server = ("-m", "streamlit", "run", "app.py", "--server.port", "0", "--server.headless", "true")
    run = subprocess.run(
        [sys.executable, *(server if what == SERVER else (*what, str(home)))],
        cwd=process.REPOSITORY,
        env={**os.environ, "DRIFTSCOPE_HOME": str(home), "DRIFTSCOPE_WARM": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr
    assert one_line(words, run.stderr)


def one_line(words: str, text: str) -> bool:
    """Say whether one line begins with "error:" and says this."""
    return any(re.match(f"error: .*{words}", line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_FULL", "disk is full"),
        ("SQLITE_READONLY_DBMOVED", "cannot be opened for writing"),
        ("SQLITE_BUSY", "in use for longer than 10 seconds"),
        ("SQLITE_IOERR_WRITE", "have the disk checked"),
    ],
)
def test_each_reason_has_its_words(tmp_path: Path, monkeypatch, name: str, words: str) -> None:
    journal = Journal(tmp_path / "journal.sqlite")

    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("it failed")
        error.sqlite_errorname = name
        raise error

    monkeypatch.setattr(faults, "at", fail)
    with pytest.raises(JournalError, match=f"{words}.*What was saved is safe"):
        journal.touch("somebody")
    monkeypatch.undo()
    assert journal.last_touch() == 0
