"""A short soak: nothing confirmed is lost when the disk fails or a process dies."""

import subprocess
import sys

import pytest

from jobs.process import REPOSITORY


@pytest.mark.parametrize(
    ("n_faults", "n_kills", "seen"),
    [(2, 0, "| step | "), pytest.param(0, 1, "| worker | ", marks=pytest.mark.slow)],
)
def test_a_training_survives_faults_and_kills(n_faults, n_kills, seen):
    script = REPOSITORY / "benchmarks" / "soak.py"
    options = ("--faults", str(n_faults), "--kills", str(n_kills), "--cancels", "0")
    run = subprocess.run(
        [sys.executable, script, *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert seen in run.stdout
    assert "0 promises broken" in run.stdout
