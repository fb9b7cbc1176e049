"""Reading somebody's file neither leaks, hangs nor brings down anything but its own process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pytest

from dynamics.errors import FileError, Stopped
from jobs import landlock, sandbox
from jobs.nursery import Nursery
from jobs.sandbox import ingest
from tests.hostile import battery, bombs
from tests.hostile.battery import CANARY, N, edited, honest


@pytest.fixture(scope="module", autouse=True)
def _ready():
    """Keep a nursery ready, as the workers do."""
    sandbox.nursery().warm()
    yield
    sandbox.nursery().close()


def children_of_this_process():
    return subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=False
    ).stdout


def test_a_file_is_read_checked_and_described(tmp_path):
    source = honest(tmp_path / "upload.h5ad")
    (tmp_path / "set").mkdir()
    target = tmp_path / "set" / "clean.h5ad"
    steps = []
    report = ingest(
        source, target, progress=lambda fraction, message: steps.append((fraction, message)) or True
    )
    assert (report["n_cells"], report["n_genes"], report["values"]) == (N, battery.G, "counts")
    assert report["roles"]["time_key"] == "day"
    assert [f["code"] for f in report["findings"]] == [
        "few-cells",
        "no-embedding",
        "two-times",
        "no-cell-types",
    ]
    assert json.loads(json.dumps(report)) == report
    assert [f for f, _ in steps] == sorted(f for f, _ in steps)
    assert "Reading cells, genes and values" in {message for _, message in steps}
    made, clean = anndata.read_h5ad(source), anndata.read_h5ad(target)
    np.testing.assert_array_equal(clean.X.toarray(), made.X.toarray())
    np.testing.assert_array_equal(clean.obsm["X_pca"], made.obsm["X_pca"])
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["absolute, at obsm/X_pca", "index far outside, in X"])
def test_hostile_files_are_refused_and_leave_nothing(tmp_path, name):
    source = battery.named(name).make(tmp_path)
    (tmp_path / "set").mkdir()
    with pytest.raises(FileError) as caught:
        ingest(source, tmp_path / "set" / "clean.h5ad")
    assert str(tmp_path) not in str(caught.value)
    assert list((tmp_path / "set").iterdir()) == []


def test_a_file_whose_report_is_too_long_is_refused_and_leaves_nothing(tmp_path):
    def long(file, folder):
        del file["obs/day"]
        file["obs/day"] = np.array(
            [f"day {k % 2} {'x' * 5_000_000}" if k < 2 else "day 2" for k in range(N)], object
        )

    source = edited(long)(tmp_path)
    (tmp_path / "set").mkdir()
    with pytest.raises(FileError, match="more names and notes than can be shown"):
        ingest(source, tmp_path / "set" / "clean.h5ad", seconds=120)
    assert list((tmp_path / "set").iterdir()) == []


def test_other_kinds_of_files_are_named(tmp_path):
    (tmp_path / "a.h5ad").write_bytes(b"cell,gene\nc1,3\n")
    with pytest.raises(FileError, match="comma-separated"):
        ingest(tmp_path / "a.h5ad", tmp_path / "b.h5ad")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no memory limit here")
def test_memory_is_bounded(tmp_path):
    source = edited(bombs.zeros((N, 2_500_000), "obsm/big"))(tmp_path)
    with pytest.raises(FileError, match=r"more than 1\.2 GB of memory"):
        ingest(source, tmp_path / "b.h5ad", memory_gb=1.2)
    assert not (tmp_path / "b.h5ad").exists()


def test_time_is_bounded(tmp_path):
    source = honest(tmp_path / "a.h5ad")
    started = time.monotonic()
    with pytest.raises(FileError, match=r"took longer than 0\.01 seconds"):
        ingest(source, tmp_path / "b.h5ad", seconds=0.01)
    assert time.monotonic() - started < 10
    assert not (tmp_path / "b.h5ad").exists()


def test_the_user_can_stop_it(tmp_path):
    with pytest.raises(Stopped):
        ingest(honest(tmp_path / "a.h5ad"), tmp_path / "b.h5ad", progress=lambda *_: False)
    assert not (tmp_path / "b.h5ad").exists()


@pytest.mark.parametrize(
    ("toy", "words"),
    [
        ({"signal": 11}, "damaged"),
        ({"signal": 9}, "more than 1.5 GB of memory"),
        ({"signal": 6}, "damaged"),
        ({"fail": "/srv/secret/path"}, "damaged"),
        ({"say": "not json\n[1]"}, "damaged"),
    ],
)
def test_a_child_that_dies_is_explained(tmp_path, monkeypatch, caplog, toy, words):
    environment = {"PATH": os.environ["PATH"], "TOY": json.dumps(toy)}
    toys = Nursery("tests.jobs.toy_orders", folder=sandbox.ROOT, environment=environment)
    monkeypatch.setattr(sandbox, "nursery", lambda: toys)
    with pytest.raises(FileError, match=words) as caught:
        ingest(honest(tmp_path / "a.h5ad"), tmp_path / "b.h5ad")
    assert "secret" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    toys.close()
    if "fail" in toy:
        number = str(caught.value).rpartition("under ")[2].rstrip(".)")
        assert number in caplog.text
        assert "/srv/secret/path" in caplog.records[-1].story


def test_the_child_sees_no_secrets_of_the_server(monkeypatch):
    monkeypatch.setenv("SERVER_TOKEN", CANARY)
    assert CANARY not in sandbox._environment().values()


@pytest.mark.skipif(landlock.version() == 0, reason="this system has no Landlock")
def test_rights_are_taken_away(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "other.txt").write_text(CANARY)
    code = f"""
import socket
from pathlib import Path
from jobs import landlock
home = Path({str(tmp_path)!r})
assert landlock.restrict(read=[], write=[home / "mine"])
(home / "mine" / "a").write_text("x")
(home / "mine" / "a").rename(home / "mine" / "b")
for forbidden in (home / "other.txt", Path("/etc/passwd"), Path("/proc/self/environ")):
    try:
        forbidden.read_bytes()
    except PermissionError:
        continue
    raise SystemExit(str(forbidden))
try:
    (home / "new").write_text("x")
except PermissionError:
    pass
else:
    raise SystemExit("could write elsewhere")
if landlock.version() >= 4:
    try:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    except PermissionError:
        pass
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(sandbox.ROOT), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
