"""Unused work goes: a notice, the trash, and then the disk is as it was."""

import os
import time

import pytest

from jobs import expiry, quotas
from jobs.client import Jobs
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


def test_who_kept_nothing_leaves_no_folder(place, tmp_path):
    now = place.home.stat().st_mtime
    assert expiry.sweep(tmp_path, now=now + 0.9 * DAY) == 0
    assert place.home.is_dir()
    assert expiry.sweep(tmp_path, now=now + 1.1 * DAY) == 1
    assert not place.home.exists()


def test_whoever_keeps_anything_or_was_here_keeps_the_folder(place, model, tmp_path):
    long_ago = time.time() - 2 * DAY
    here, uploading, asking = (Workspace(tmp_path / "people" / (digit * 40)) for digit in "012")
    (uploading.home / "uploads" / "part").write_bytes(b"x")
    Jobs(tmp_path, "2" * 40).journal.add("job", task="t", title="", params={}, dataset=None, owner="2" * 40)
    for each in (place, here, uploading, asking):
        os.utime(each.home, (long_ago, long_ago))
    assert expiry.note_use(here.home)
    assert expiry.sweep(tmp_path) == 0
    assert all(each.home.is_dir() for each in (place, here, uploading, asking))


def test_what_comes_in_while_a_workspace_is_swept_away_stays(place, tmp_path, monkeypatch):
    part = place.home / "uploads" / "part"
    monkeypatch.setattr(expiry, "_holds_something", lambda path: part.write_bytes(b"x") and False)
    assert expiry.sweep(tmp_path, now=time.time() + 2 * DAY) == 0
    assert part.read_bytes() == b"x"
    assert place.datasets() == []


def test_a_workspace_that_is_gone_or_not_whole_is_said(place):
    assert expiry.note_use(place.home)
    (place.home / "datasets").rmdir()
    assert not expiry.note_use(place.home)
    assert not expiry.note_use(place.home.parent / ("0" * 40))
