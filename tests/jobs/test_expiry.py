"""Unused work goes: a notice, the trash, and then the disk is as it was."""

import time

import pytest

from jobs import expiry, quotas
from jobs.workspace import Workspace

OWNER = "ab" * 20
DAY = quotas.DAY_S


@pytest.fixture
def place(tmp_path):
    return Workspace(tmp_path / "people" / OWNER)


@pytest.fixture
def model(place, tmp_path):
    file = tmp_path / "new.safetensors"
    file.write_bytes(b"x" * 10_000)
    return place.add_model(file, name="old", dataset=None)


def test_the_disk_returns_to_its_base(place, tmp_path):
    base = quotas.used(place.home)
    file = tmp_path / "new.safetensors"
    file.write_bytes(b"x" * 10_000)
    place.add_model(file, name="old", dataset=None)
    now = time.time()
    assert expiry.sweep(tmp_path, now=now + 29 * DAY) == 0
    assert expiry.ending(place, now=now + 29 * DAY)[0][0] == "old"
    assert expiry.sweep(tmp_path, now=now + 31 * DAY) > 0
    assert place.models() == []
    expiry.sweep(tmp_path, now=now + 39 * DAY)
    assert quotas.used(place.home) == base


def test_what_is_opened_stays(place, model, tmp_path):
    mark = model.path.with_suffix(".json")
    old = time.time() - 25 * DAY
    expiry.os.utime(mark, (old, old))
    assert expiry.ending(place) == [("old", pytest.approx(5, abs=0.1))]
    expiry.touch(model)
    assert expiry.ending(place) == []
    assert expiry.sweep(tmp_path, now=time.time() + 20 * DAY) == 0


def test_a_home_of_ones_own_is_left_alone(tmp_path):
    own = Workspace(tmp_path)
    file = tmp_path / "new.safetensors"
    file.write_bytes(b"x")
    own.add_model(file, name="old", dataset=None)
    assert expiry.sweep(tmp_path, now=time.time() + 999 * DAY) == 0
    assert len(own.models()) == 1
