"""Faults on purpose follow their seed, and a file is whole or absent whichever of them strikes."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from dynamics import disk, faults

SEEDS = range(200)


@pytest.fixture(autouse=True)
def none_afterwards():
    yield
    faults.use(None)


def always(kind: str) -> type:
    """A site that strikes at each pass."""
    return type("Always", (), {"kind": lambda _, only: kind})


def test_without_a_seed_nothing_happens(tmp_path):
    for site in faults.SITES:
        faults.at(site)
    disk.write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def passes(seed: str) -> dict[str, list]:
    return {name: [site.kind() for _ in range(200)] for name, site in faults.Plan(seed).sites.items()}


def test_a_seed_always_draws_the_same_faults():
    assert passes("7.0") == passes("7.0")
    assert any(passes("7.0") != passes(f"{seed}.0") for seed in range(5))


def test_a_quarter_of_the_places_is_active():
    drawn = [len(faults.Plan(str(seed)).sites) / len(faults.SITES) for seed in SEEDS]
    assert sum(drawn) / len(drawn) == pytest.approx(faults.ACTIVE, abs=0.04)


def test_an_active_place_fires_once_or_with_a_quarter():
    for seed in SEEDS:
        for name, site in faults.Plan(str(seed)).sites.items():
            n = sum(site.kind() is not None for _ in range(400))
            assert n == 1 if site.once else 60 < n < 140, (seed, name)


def test_every_place_fires_under_some_seed():
    assert {name for seed in SEEDS for name in faults.Plan(str(seed)).sites} == set(faults.SITES)


@pytest.mark.parametrize(
    ("site", "kind"),
    [("write", "full"), ("write", "io"), ("write", "torn"), ("fsync", "io"), ("rename", "full")],
)
def test_a_file_keeps_its_old_content_when_the_disk_fails(tmp_path, monkeypatch, site, kind):
    disk.write_whole(path := tmp_path / "a", b"old content")
    plan = faults.Plan("0")
    plan.sites = {site: always(kind)()}
    monkeypatch.setattr(faults, "_plan", plan)
    with pytest.raises(OSError, match=os.strerror(faults.NUMBERS[kind])) as caught:
        disk.write_whole(path, b"new content")
    assert caught.value.errno in (errno.ENOSPC, errno.EIO)
    assert path.read_bytes() == b"old content"
    assert list(tmp_path.iterdir()) == [path]


def test_a_layer_gets_the_error_it_knows(monkeypatch):
    plan = faults.Plan("0")
    plan.sites = {"journal commit": always("full")()}
    monkeypatch.setattr(faults, "_plan", plan)
    with pytest.raises(sqlite3.OperationalError, match="No space"):
        faults.at("journal commit", as_error=sqlite3.OperationalError)


def test_a_kill_is_recorded_and_ends_the_process_at_once(tmp_path):
    seed = next(str(s) for s in SEEDS if "step" in faults.Plan(str(s)).sites)
    script = "from dynamics import faults\nwhile True: faults.at('step')"
    record = tmp_path / "record"
    env = os.environ | {faults.VARIABLE: seed, faults.RECORD: str(record)}
    ended = subprocess.run([sys.executable, "-c", script], env=env, timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert record.read_text() == "step\tkill\n"
