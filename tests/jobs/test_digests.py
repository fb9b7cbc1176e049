"""Digests: equal for equal bytes, made by us, and void as soon as a file changes."""

import hashlib
import json
import os

import pytest

from jobs import digests, sandbox
from jobs.workspace import Workspace
from tests.hostile import battery


def add(store, content):
    fresh = store.home / "uploads" / "fresh"
    fresh.mkdir()
    (fresh / "data.h5ad").write_bytes(content)
    return store.add_dataset(fresh, name="cells", origin="a test", roles={}, report={})


@pytest.fixture
def large(monkeypatch):
    """Every file is too large to be read when it is asked for, so that only notes tell."""
    monkeypatch.setattr(digests, "AT_ONCE", -1)


def test_two_workspaces_with_the_same_bytes_have_one_digest(tmp_path, large):
    first, second = (add(Workspace(tmp_path / name), b"the same") for name in ("a", "b"))
    other = add(Workspace(tmp_path / "c"), b"another!")
    assert digests.of(first.opened) == digests.of(second.opened) == hashlib.sha256(b"the same").hexdigest()
    assert digests.of(other.opened) != digests.of(first.opened)


def test_what_the_process_that_read_an_upload_says_of_its_digest_is_not_believed(tmp_path, large):
    store = Workspace(tmp_path)
    fresh = store.home / "uploads" / "fresh"
    fresh.mkdir()
    path = fresh / "data.h5ad"
    path.write_bytes(b"poison!!")
    lie = {"sha256": "0" * 64, "size": 8, "changed": path.stat().st_mtime_ns}
    (fresh / digests.FILE).write_text(json.dumps({"data.h5ad": lie}))
    dataset = store.add_dataset(fresh, name="cells", origin="a test", roles={}, report={})
    assert digests.of(dataset.opened) == hashlib.sha256(b"poison!!").hexdigest()


def test_a_note_is_void_once_the_file_has_changed(tmp_path, large):
    dataset = add(Workspace(tmp_path), b"before")
    dataset.opened.write_bytes(b"after!")
    os.utime(dataset.opened, ns=(1, 1))
    assert digests.of(dataset.opened) is None


def test_preparing_makes_a_digest_of_the_prepared_file_and_keeps_the_other(tmp_path, large, monkeypatch):
    store = Workspace(tmp_path)
    dataset = add(store, b"as opened")
    made = dataset.folder / "made.h5ad.part"
    made.write_bytes(b"prepared")
    read = []
    monkeypatch.setattr(digests, "_sha256", lambda path: read.append(path.name) or "f" * 64)
    store.add_prepared(dataset.id, made, roles={}, report={"n_cells": 1})
    assert read == ["prepared.h5ad"]
    assert digests.of(dataset.prepared) == "f" * 64
    store.update_dataset(dataset.id, report={"n_cells": 2})
    assert read == ["prepared.h5ad"]


def test_the_digest_of_a_small_file_without_a_note_is_made_when_asked_for(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    assert digests.of(path) == hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(b"other weights")
    assert digests.of(path) == hashlib.sha256(b"other weights").hexdigest()


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"data.h5ad": 3}', '{"data.h5ad": {}}'])
def test_a_damaged_note_is_as_none(tmp_path, large, text):
    dataset = add(Workspace(tmp_path), b"cells")
    (dataset.folder / digests.FILE).write_text(text)
    assert digests.of(dataset.opened) is None


def test_one_file_that_two_people_upload_has_one_digest(tmp_path):
    found = []
    for name in ("mine.h5ad", "a copy of it.h5ad"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        source = battery.honest(tmp_path / "source.h5ad").rename(folder / name)
        target = folder / "data.h5ad"
        sandbox.ingest(source, target, progress=lambda *_: True)
        found.append(digests.of(target))
    assert found[0] == found[1]
