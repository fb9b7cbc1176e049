"""A short soak: nothing confirmed is lost when the disk fails or a process dies."""

import subprocess
import sys

import pytest

from jobs.process import REPOSITORY


@pytest.mark.parametrize(
    ("n", "seen"),
    [
        ((2, 2, 0, 0), ("| step | ", "ingest: done", "library: tended", "disk back to its base: 4")),
        pytest.param(
            (0, 8, 1, 5), ("| worker, at train | ", "prepare: done", "cancelled"), marks=pytest.mark.slow
        ),
    ],
)
def test_work_survives_faults_kills_and_cancels(n, seen):
    script = REPOSITORY / "benchmarks" / "soak.py"
    names = ("--faults", "--others", "--kills", "--cancels")
    options = [word for name, value in zip(names, n, strict=True) for word in (name, str(value))]
    run = subprocess.run(
        [sys.executable, script, *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert all(words in run.stdout for words in seen), run.stdout
    assert "0 promises broken" in run.stdout
