"""The work itself, from a file to a trained model, in a workspace of its own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import read
from dynamics.errors import FileError, SettingsError, Stopped
from dynamics.inspect import inspect
from dynamics.roles import Roles
from jobs import shipped, work
from jobs.workspace import Dataset, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return an empty workspace."""
    return Workspace(tmp_path / "home")


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """Return the folder of a job."""
    made = workspace.home / "jobs" / "0123456789abcdef0123"
    made.mkdir()
    return made


class Heard:
    """A `progress` that keeps what it was told, and answers no from a given fraction on."""

    def __init__(self, stop_at: float = 2.0) -> None:
        self.told: list[tuple[float, str]] = []
        self.stop_at = stop_at

    def __call__(self, fraction: float, message: str = "", **figures: float) -> bool:
        self.told.append((fraction, message))
        return fraction < self.stop_at

    @property
    def fractions(self) -> list[float]:
        return [fraction for fraction, _ in self.told]


@pytest.fixture
def counts(rng: np.random.Generator) -> AnnData:
    """Return counts of 120 cells and 60 genes on three days."""
    days = np.repeat([0, 1, 3], 40)
    level = 1 + 4 * rng.random(60) * (1 + days[:, None] * rng.random(60))
    obs = pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(120)])
    var = pd.DataFrame(index=[f"Gene{k}" for k in range(60)])
    return AnnData(rng.poisson(level).astype(np.float32), obs=obs, var=var)


@pytest.fixture
def dataset(workspace: Workspace, counts: AnnData, tmp_path: Path) -> Dataset:
    """Return an opened data set."""
    fresh = work.fresh_folder(tmp_path / "fresh")
    read.write_h5ad(counts, fresh / "data.h5ad")
    found = inspect(counts)
    roles = found.roles.to_json()
    return workspace.add_dataset(fresh, name="mine.h5ad", origin="", roles=roles, report=found.to_json())


@pytest.fixture
def uploaded(workspace: Workspace, counts: AnnData) -> Path:
    """Return an uploaded file."""
    path = workspace.home / "uploads" / "token.h5ad"
    read.write_h5ad(counts, path)
    return path


def test_a_file_becomes_a_data_set_and_the_upload_goes(
    workspace: Workspace, folder: Path, uploaded: Path
) -> None:
    heard = Heard()
    result = work.ingest(params={"source": str(uploaded), "name": "mine.h5ad"}, folder=folder, progress=heard)
    dataset = workspace.dataset(result["dataset"])
    assert (dataset.name, dataset.report["n_cells"], dataset.roles["time_key"]) == ("mine.h5ad", 120, "day")
    assert read.read_h5ad(dataset.file).shape == (120, 60)
    assert not uploaded.exists()
    assert heard.fractions == sorted(heard.fractions)


def test_a_bad_file_is_refused_and_leaves_nothing(workspace: Workspace, folder: Path) -> None:
    source = workspace.home / "uploads" / "token.h5ad"
    source.write_bytes(b"PK\x03\x04 not an h5ad" * 100)
    with pytest.raises(FileError):
        work.ingest(params={"source": str(source), "name": "x.h5ad"}, folder=folder, progress=Heard())
    assert workspace.datasets() == []
    assert not source.exists()
    own = folder / "own.h5ad"
    own.write_bytes(b"not an h5ad")
    with pytest.raises(FileError):
        work.ingest(params={"source": str(own), "name": "own.h5ad"}, folder=folder, progress=Heard())
    assert own.exists()
    with pytest.raises(FileError, match="Upload it again"):
        work.ingest(params={"source": str(source) + "no", "name": "x.h5ad"}, folder=folder, progress=Heard())


def test_preparing_keeps_what_the_user_chose(workspace: Workspace, folder: Path, dataset: Dataset) -> None:
    id = dataset.id
    roles = dataset.roles | {"time_values": {"3": 4.0}, "time_unit": "day", "time_as": "index"}
    workspace.update_dataset(id, roles=roles)
    heard = Heard()
    params = {"dataset": id, "config": {"n_pcs": 8, "umap": "skip"}}
    assert work.prepare(params=params, folder=folder, progress=heard) == {"dataset": id}
    dataset = workspace.dataset(id)
    assert dataset.file == dataset.prepared
    after = Roles.from_json(dataset.roles)
    assert (after.rep, after.time_values, after.time_as) == ("X_pca", {"3": 4.0}, "index")
    assert "X_pca" in read.read_cells(dataset.file).obsm
    assert "X_pca" not in read.read_cells(dataset.opened).obsm
    assert heard.fractions == sorted(heard.fractions)


def test_a_stop_while_preparing_leaves_the_data_set_as_it_was(
    workspace: Workspace, folder: Path, dataset: Dataset
) -> None:
    with pytest.raises(Stopped):
        work.prepare(params={"dataset": dataset.id, "config": {}}, folder=folder, progress=Heard(stop_at=0.2))
    assert workspace.dataset(dataset.id) == dataset
    assert not dataset.prepared.exists()


def test_a_demo_is_made_once_and_opens_as_often_as_wanted(
    workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch, counts: AnnData
) -> None:
    made = []
    monkeypatch.setattr(work.shipped, "SHIPPED", folder / "nothing")
    monkeypatch.setattr(work.demos, "make_demo", lambda name: made.append(name) or counts)
    monkeypatch.setattr(work.preprocess, "PrepareConfig", lambda: _LIGHT)
    only = {"name": "branching", "only_build": True}
    assert work.demo(params=only, folder=folder, progress=Heard()) == {}
    assert workspace.datasets() == []
    jobs = [folder, folder.with_name("0123456789abcdef0124"), folder]  # the last one is given again
    ids = [work.demo(params={"name": "branching"}, folder=job, progress=Heard())["dataset"] for job in jobs]
    assert made == ["branching"]
    assert ids == [job.name for job in jobs]
    assert len(workspace.datasets()) == 2
    dataset = workspace.dataset(ids[0])
    assert dataset.roles["rep"] == "X_pca"
    assert dataset.report["n_cells"] == read.read_cells(dataset.file).n_obs
    assert dataset.file == dataset.prepared


_LIGHT = work.preprocess.PrepareConfig(umap="skip", n_pcs=5)


def test_a_demo_made_with_the_installation_is_copied(
    workspace: Workspace, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, counts: AnnData
) -> None:
    monkeypatch.setattr(work.shipped, "SHIPPED", tmp_path / "shipped")
    assert shipped.open_demo(workspace, "branching", title="A demo") is None
    monkeypatch.setattr(work.demos, "make_demo", lambda name: counts)
    monkeypatch.setattr(work.preprocess, "PrepareConfig", lambda: _LIGHT)
    work.ship_demos()
    monkeypatch.setattr(work.demos, "make_demo", lambda name: pytest.fail("made twice"))
    work.ship_demos()
    dataset = shipped.open_demo(workspace, "branching", title="A demo")
    assert (dataset.name, dataset.file) == ("A demo", dataset.prepared)
    again = work.demo(params={"name": "branching"}, folder=folder, progress=Heard())["dataset"]
    assert again != dataset.id
    assert not list((workspace.home / "demos").glob("branching-*"))


def test_an_unknown_demo_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(SettingsError, match="branching, krumsiek11"):
        work.demo(params={"name": "../x"}, folder=folder, progress=Heard())
