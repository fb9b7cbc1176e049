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


def test_what_cannot_be_put_away_holds_up_nobody_else(place, model, tmp_path, caplog):
    broken = Workspace(tmp_path / "people" / ("0" * 40))
    (broken.home / "models" / "going.safetensors").symlink_to(tmp_path / "gone")
    assert expiry.sweep(tmp_path, now=time.time() + 31 * DAY) > 0
    assert place.models() == []
    assert "0" * 8 in caplog.text


def test_a_trash_that_is_emptied_twice_at_once_is_empty(place, model, monkeypatch):
    place.delete_model(model.id)
    things = list((place.home / "trash").iterdir())
    assert len(things) == 2
    discard = expiry.discard

    def another_is_faster(path):
        for one in things:
            discard(one)
        raise FileNotFoundError(path)

    monkeypatch.setattr(expiry, "discard", another_is_faster)
    assert expiry.empty_trash(place.home, before=time.time() + 1) == 0
    assert list((place.home / "trash").iterdir()) == []


def test_a_home_of_ones_own_is_left_alone(tmp_path):
    own = Workspace(tmp_path)
    file = tmp_path / "new.safetensors"
    file.write_bytes(b"x")
    own.add_model(file, name="old", dataset=None)
    assert expiry.sweep(tmp_path, now=time.time() + 999 * DAY) == 0
    assert len(own.models()) == 1
