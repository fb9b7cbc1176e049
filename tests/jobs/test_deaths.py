"""Whoever dies, and wherever: what stands in several files is never half changed; what is left is swept."""

import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import faults, read
from dynamics.errors import JobError
from jobs import client, expiry, leftovers, quotas, work
from jobs.workspace import Workspace

JOB = "0123456789abcdef0123"
OLD = {"name": "old", "rep": "X_umap"}
NEW = {"name": "new", "rep": "X_pca"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a workspace with one data set and one model, a third thing lying beside the model."""
    place = Workspace(tmp_path / "home")
    place.add_dataset(_fresh(place), name="old", origin="", roles=OLD, report={}, id="dataset1")
    _add_model(place, "model001")
    (place.home / "models" / "model001.fates").write_text("fates")
    return place.home


def _fresh(place: Workspace) -> Path:
    folder = work.fresh_folder(place.home / "jobs" / JOB / "dataset")
    (folder / "data.h5ad").write_text(json.dumps(OLD))
    return folder


def _add_model(place: Workspace, id: str) -> None:
    file = place.home / "jobs" / "model.safetensors"
    file.write_text("weights")
    place.add_model(file, name="old", dataset="dataset1", id=id)


def _prepare(place: Workspace) -> None:
    fresh = place.home / "datasets" / "dataset1" / f".prepared.h5ad.{os.getpid()}.tmp"
    fresh.write_text(json.dumps(NEW))
    place.add_prepared("dataset1", fresh, roles=NEW, report={})


def _add(place: Workspace) -> None:
    if not place.has_dataset(JOB):
        place.add_dataset(_fresh(place), name="new", origin="", roles=OLD, report={}, id=JOB)


CHANGES: dict[str, Callable[[Workspace], object]] = {
    "add a data set": _add,
    "prepare": _prepare,
    "prepare again": _prepare,
    "change roles": lambda place: place.update_dataset("dataset1", roles=OLD, report={"n": 1}),
    "rename a data set": lambda place: place.rename_dataset("dataset1", "new"),
    "delete a data set": lambda place: place.has_dataset("dataset1") and place.delete_dataset("dataset1"),
    "restore a data set": lambda place: place.restore_dataset("dataset1"),
    "add a model": lambda place: _add_model(place, JOB),
    "rename a model": lambda place: place.rename_model("model001", "new"),
    "describe a model": lambda place: place.describe_model("model001", checked=True),
    "delete a model": lambda place: place.has_model("model001") and place.delete_model("model001"),
    "restore a model": lambda place: place.restore_model("model001"),
    "empty the trash": lambda place: expiry.empty_trash(place.home, before=time.time() + 1),
}
BEFORE = {
    "prepare again": _prepare,
    "change roles": lambda place: None,
    "restore a data set": lambda place: place.delete_dataset("dataset1"),
    "restore a model": lambda place: place.delete_model("model001"),
    "empty the trash": lambda place: (place.delete_model("model001"), place.delete_dataset("dataset1")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_whole_or_not_there_wherever_its_process_dies(home: Path, name: str) -> None:
    place, change = Workspace(home), CHANGES[name]
    BEFORE.get(name, lambda place: None)(place)
    deaths = 0
    while dies(lambda: change(place), at=deaths + 1):
        deaths += 1
        check(Workspace(home))
    assert deaths >= 2
    check(place)
    leftovers.sweep(home, client.Jobs(home).journal, alone=True)
    check(place)
    assert not list(home.rglob(".*.tmp"))
    if name == "restore a model":
        assert {path.name for path in (home / "models").iterdir()} == {
            f"model001.{ending}" for ending in ("safetensors", "json", "fates")
        }
    if name == "delete a model":
        assert not list((home / "models").iterdir())
        assert len(list((home / "trash").iterdir())) == 3
    if name == "empty the trash":
        assert not list((home / "trash").iterdir())


def check(place: Workspace) -> None:
    """Check that each data set and model is whole: it has its file, and is told of as what it is."""
    for dataset in place.datasets():
        assert json.loads(dataset.file.read_text()) == dataset.roles
        assert dataset.name in ("old", "new")
    for entry in place.models():
        assert entry.path.read_text() == "weights"
        assert entry.name in ("old", "new")
        assert entry.dataset == "dataset1"


def dies(change: Callable[[], object], *, at: int) -> bool:
    """Make a change in another process, which is killed at a given pass of a named place; was it?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads: it only moves files
        pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code != 0
    passed = 0

    def pass_(*_: object, **__: object) -> None:
        nonlocal passed
        passed += 1
        if passed == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(file, content) -> None:
        file.write(content[: len(content) // 2])
        file.flush()
        pass_()
        file.write(content[len(content) // 2 :])

    faults.at, faults.write = pass_, write
    try:
        change()
        os._exit(0)
    finally:
        os._exit(1)


def test_restoring_twice_does_not_lose_the_data_set(home: Path) -> None:
    place = Workspace(home)
    place.delete_dataset("dataset1")
    for _ in range(2):
        assert place.restore_dataset("dataset1").name == "old"
    assert place.dataset("dataset1").file.exists()


def test_a_file_that_is_opened_again_after_a_death_gives_one_data_set(home: Path) -> None:
    place = Workspace(home)
    cells = AnnData(
        obs=pd.DataFrame({"day": [0.0, 1.0] * 5}, index=[f"c{k}" for k in range(10)]),
        obsm={"X_umap": np.ones((10, 2))},
    )
    source = home / "uploads" / "a.upload"
    read.write_h5ad(cells, source)
    order = {"params": {"source": str(source), "name": "a.h5ad"}, "progress": lambda *_: True}
    job = home / "jobs" / JOB
    job.mkdir(exist_ok=True)
    assert work.ingest(folder=job, **order) == work.ingest(folder=job, **order) == {"dataset": JOB}
    assert len(place.datasets()) == 2
    assert not source.exists()


def test_leftovers_of_the_living_stay(home: Path) -> None:
    journal = client.Jobs(home).journal
    living = home / "models" / f".a.json.{os.getpid()}-00ff.tmp"
    dead = home / "models" / ".a.json.999999999-00ff.tmp"
    elsewhere = home / "jobs" / JOB
    for path in (living, dead):
        path.write_text("half")
    elsewhere.mkdir(exist_ok=True)
    assert leftovers.sweep(home, journal, alone=False) == 0
    assert leftovers.sweep(home, journal, alone=True) == 1
    assert living.exists()
    assert elsewhere.exists()
    os.utime(elsewhere, (0, 0))
    assert leftovers.sweep(home, journal, alone=True) == 1
    assert not elsewhere.exists()


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(JobError, match=r"cannot be used \((Not a directory|File exists)\).*--home"):
        Workspace(tmp_path / "file" / "home")


def test_no_room_for_what_is_expected_is_said_before(tmp_path: Path, monkeypatch) -> None:
    person = tmp_path / "people" / ("ab" * 20)
    person.mkdir(parents=True)
    with pytest.raises(JobError, match=r"full: .* free, 2000000.20 GB are needed"):
        quotas.check_room(person, 10**15, what="The copy")
    monkeypatch.setenv("DRIFTSCOPE_QUOTA_GB", "0.01")
    with pytest.raises(
        JobError, match=r"The copy needs about 11 MB; of your 10 MB .* 10 MB are left. Delete"
    ):
        quotas.check_room(person, 11_000_000, what="The copy")
    quotas.check_room(person, 9_000_000, what="The copy")
    quotas.check_room(tmp_path, 11_000_000, what="The copy")
