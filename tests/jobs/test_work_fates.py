"""Fates as a job: kept beside the model, found again for the same question only, gone with the model."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import read, terminal
from dynamics.errors import DataError, Stopped
from dynamics.inspect import inspect
from dynamics.snapshots import from_arrays
from jobs import tasks, work, work_fates
from jobs.workspace import Workspace
from models import checkpoint, fitting
from models.config import TrainConfig
from models.train import fit

JOB = "0123456789abcdef0123"


@pytest.fixture
def made(tmp_path):
    """Return a workspace with cells that part to two sides, a model of them, and the snapshots."""
    workspace = Workspace(tmp_path / "home")
    (workspace.home / "jobs" / JOB).mkdir()
    rng = np.random.default_rng(0)
    days = np.repeat([0.0, 1.0], 40)
    states = rng.normal(size=(80, 2)).astype(np.float32)
    states[:, 0] += np.tile([-2, 2], 40) * (1 + days)
    adata = AnnData(obs=pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(80)]))
    adata.obsm["X_umap"] = states
    fresh = work.fresh_folder(tmp_path / "fresh")
    read.write_h5ad(adata, fresh / "data.h5ad")
    found = inspect(adata)
    roles = found.roles.to_json() | {"rep": "X_umap", "embedding": "X_umap"}
    dataset = workspace.add_dataset(fresh, name="d", origin="", roles=roles, report=found.to_json())
    shots = cells_of(adata)
    model = fit(shots, TrainConfig("ot-cfm", {"steps": 30}, members=3))
    checkpoint.save(model, tmp_path / "m.safetensors")
    entry = workspace.add_model(tmp_path / "m.safetensors", name="m", dataset=dataset.id)
    return workspace, entry, fitting.check_fit(model, shots)


def cells_of(adata):
    return from_arrays(adata.obsm["X_umap"], adata.obs["day"], rep="X_umap", unit="day")


def sides(shots):
    codes = np.where(shots.time_index == 1, (shots.states[:, 0] > 0).astype(int), -1)
    return terminal.from_codes(codes, ["left", "right"], source="types", reasons=["r", "s"])


def run(workspace, entry, **more):
    params = {"dataset": entry.dataset, "model": entry.id, **more}
    heard = []

    def progress(fraction, message="", **_):
        heard.append(fraction)
        return fraction < more.get("stop_at", 2)

    result = work_fates.fates(params=params, folder=workspace.home / "jobs" / JOB, progress=progress)
    assert heard == sorted(heard)
    return result


def test_fates_are_kept_and_found_again(made):
    workspace, entry, shots = made
    states = sides(shots)
    work_fates.keep_states(entry, states, shots)
    run(workspace, entry)
    key = work_fates.name_of(shots, states, "none")
    found = work_fates.kept_fates(entry.path, key=key)
    assert found.names == ("left", "right")
    assert found.n_members == 3
    assert found.without_growth is None
    assert ((found.probabilities[:, 1] > 0.5) == (shots.states[:, 0] > 0)).mean() > 0.9
    other = work_fates.name_of(shots, terminal.rename(states, "left", "west"), "none")
    assert work_fates.kept_fates(entry.path, key=other) is None


def test_unknown_fates_stay_unknown(made):
    _, entry, _ = made
    p = np.full((80, 2), 0.5)
    p[3] = np.nan
    ones = np.ones(80)
    work_fates.keep_fates(entry, work_fates.Fates(("a", "b"), p, None, None, None, ones, 0 * ones), key="k")
    again = work_fates.kept_fates(entry.path, key="k")
    np.testing.assert_array_equal(np.isnan(again.probabilities), np.isnan(p))
    assert again.low is None


def test_terminal_states_are_kept_moved_and_restored_with_the_model(made):
    workspace, entry, shots = made
    assert work_fates.kept_states(entry, shots) is None
    states = terminal.force(sides(shots), "left", np.array([2]))
    work_fates.keep_states(entry, states, shots)
    work_fates.keep_fates(
        entry,
        work_fates.Fates(("a", "b"), np.ones((80, 2)) / 2, None, None, None, np.ones(80), np.zeros(80)),
        key="k",
    )
    workspace.delete_model(entry.id)
    assert work_fates.kept_states(entry, shots) is None
    assert not list((workspace.home / "models").glob(f"{entry.id}.*"))
    entry = workspace.restore_model(entry.id)
    again = work_fates.kept_states(entry, shots)
    assert terminal.same(again, states)
    assert again.reasons == states.reasons
    assert (again.forced == states.forced).all()
    assert work_fates.kept_fates(entry.path, key="k") is not None
    assert work_fates.kept_states(entry, shots.take(np.arange(40))) is None
    work_fates.forget_states(entry)
    assert work_fates.kept_states(entry, shots) is None


def test_without_states_the_job_says_so(made):
    workspace, entry, _ = made
    with pytest.raises(DataError, match="No terminal states"):
        run(workspace, entry)


def test_a_stopped_job_keeps_nothing(made):
    workspace, entry, shots = made
    work_fates.keep_states(entry, sides(shots), shots)
    with pytest.raises(Stopped):
        run(workspace, entry, stop_at=0.05)
    assert not entry.path.with_suffix(work_fates.FATES).exists()


def test_the_task_is_known():
    assert tasks.find("fates").target == "jobs.work_fates:fates"
