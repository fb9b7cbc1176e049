"""Results written into an AnnData, under the field's names, without touching the input."""

import anndata
import numpy as np
import pandas as pd
import pytest
from fields import Linear

from dynamics.agreement import confidence
from dynamics.annotate import annotate
from dynamics.basis import fit_basis
from dynamics.errors import DataError, ModelError, Stopped
from dynamics.predict import simulate
from dynamics.projection import Placement
from dynamics.roles import Roles
from dynamics.snapshots import from_anndata

ROLES = Roles(time_key="day", cell_type_key="kind", rep="X_pca", embedding="X_umap")


def make(n: int = 400, seed: int = 0) -> anndata.AnnData:
    """Cells on an arc, with PCs, a curved map, genes, types, and one cell without a time."""
    rng = np.random.default_rng(seed)
    s, w = rng.uniform(0, 3, n), rng.normal(0, 0.3, n)
    pca = np.stack([np.cos(s) * (2 + w), np.sin(s) * (2 + w), 0.5 * s, 0.1 * rng.normal(size=n)], axis=1)
    genes = (pca @ rng.normal(size=(4, 12)) + 3).astype(np.float32)
    day = pd.Series(np.minimum(s.astype(int), 2).astype(float))
    day[7] = np.nan
    data = anndata.AnnData(
        X=genes,
        obs=pd.DataFrame(
            {"day": day.to_numpy(), "kind": pd.Categorical(np.where(s < 1.5, "early", "late"))},
            index=[f"cell{k}" for k in range(n)],
        ),
        var=pd.DataFrame(index=[f"gene{k}" for k in range(12)]),
        obsm={"X_pca": pca.astype(np.float32), "X_umap": np.stack([s, w], axis=1).astype(np.float32)},
        uns={"kind_colors": np.array(["#000000", "#ff0000"])},
    )
    return data


@pytest.fixture
def data():
    return make()


def model_for(data, snapshots):
    turn = np.zeros((snapshots.dim, snapshots.dim))
    turn[0, 1], turn[1, 0] = -1, 1
    shift = np.zeros(snapshots.dim)
    shift[2] = 0.5
    model = Linear(turn, shift)
    model.basis = fit_basis(data.X[snapshots.cells], snapshots.states, list(data.var_names))
    model.method, model.settings, model.seed, model.name = "ot-cfm", {"width": 64, "path": None}, 3, "arc"
    model.axis = snapshots.axis
    return model


@pytest.fixture
def snapshots(data):
    return from_anndata(data, ROLES)


@pytest.fixture
def model(data, snapshots):
    return model_for(data, snapshots)


def test_results_have_the_names_of_the_field(data, model, snapshots):
    result = annotate(data, model, snapshots, ROLES)
    known = np.delete(np.arange(400), 7)
    pca = np.asarray(data.obsm["X_pca"])
    np.testing.assert_allclose(
        result.obsm["velocity_pca"][known, :2], np.stack([-pca[:, 1], pca[:, 0]], 1)[known], rtol=1e-5
    )
    assert result.obsm["velocity_pca"].shape == pca.shape
    along, across = result.obsm["velocity_umap"][known].T
    assert np.median(along) == pytest.approx(1, abs=0.2)
    assert np.median(np.abs(across)) < 0.2
    speed = np.linalg.norm(result.obsm["velocity_pca"], axis=1)
    np.testing.assert_allclose(result.obs["velocity_length"].iloc[known], speed[known], rtol=1e-5)
    assert result.obs["velocity_confidence"].iloc[known].between(-1, 1).all()
    assert result.obs["velocity_confidence"].median() > 0.9
    step = 0.01
    moved = model.basis.to_genes(
        snapshots.states + step * result.obsm["velocity_pca"][known, : snapshots.dim]
    )
    change = (moved - model.basis.to_genes(snapshots.states)) / step
    np.testing.assert_allclose(result.layers["velocity"][known], change, atol=2e-2)


def test_cells_without_a_time_have_no_velocity(data, model, snapshots):
    result = annotate(data, model, snapshots, ROLES)
    for values in (result.obsm["velocity_pca"], result.obsm["velocity_umap"], result.layers["velocity"]):
        assert np.isnan(values[7]).all()
        assert np.isfinite(np.delete(values, 7, axis=0)).all()
    assert np.isnan(result.obs["velocity_length"].iloc[7])


def test_the_input_is_not_changed_and_nothing_of_it_is_lost(data, model, snapshots):
    before = data.copy()
    result = annotate(data, model, snapshots, ROLES)
    for kept in (data, result):
        np.testing.assert_array_equal(kept.X, before.X)
        pd.testing.assert_frame_equal(kept.obs[before.obs.columns], before.obs)
        pd.testing.assert_frame_equal(kept.var, before.var)
        for key in before.obsm:
            np.testing.assert_array_equal(kept.obsm[key], before.obsm[key])
        np.testing.assert_array_equal(kept.uns["kind_colors"], before.uns["kind_colors"])
    assert list(data.obsm) == list(before.obsm)
    assert list(data.obs) == list(before.obs)


def test_it_is_written_and_read_again_with_its_recipe(data, model, snapshots, tmp_path):
    annotate(data, model, snapshots, ROLES).write_h5ad(tmp_path / "out.h5ad")
    card = anndata.read_h5ad(tmp_path / "out.h5ad").uns["driftscope"]
    assert card["method"] == "ot-cfm"
    assert card["settings"]["width"] == 64
    assert card["seed"] == 3
    assert card["data_fingerprint"] == snapshots.fingerprint


def test_a_second_call_replaces_the_first(data, model, snapshots, tmp_path):
    annotate(data, model, snapshots, ROLES).write_h5ad(tmp_path / "out.h5ad")
    first = anndata.read_h5ad(tmp_path / "out.h5ad")
    again = annotate(first, model, snapshots, ROLES)
    assert sorted(again.obsm) == sorted(first.obsm)
    assert sorted(again.obs) == sorted(first.obs)
    np.testing.assert_array_equal(again.obsm["velocity_umap"], first.obsm["velocity_umap"])


@pytest.mark.parametrize("where", ["obsm", "obs", "layers", "uns"])
def test_results_of_another_tool_are_kept(data, model, snapshots, where):
    foreign = {
        "obsm": ("velocity_umap", np.ones((400, 2))),
        "obs": ("velocity_length", np.ones(400)),
        "layers": ("velocity", np.ones(data.shape)),
        "uns": ("velocity_params", {"mode": "dynamical"}),
    }[where]
    getattr(data, where)[foreign[0]] = foreign[1]
    result = annotate(data, model, snapshots, ROLES)
    assert "driftscope_umap" in result.obsm
    assert "driftscope_length" in result.obs
    assert "driftscope" in result.layers
    if where != "uns":
        np.testing.assert_array_equal(getattr(result, where)[foreign[0]], 1)
    assert "velocity_pca" not in result.obsm
    twice = annotate(result, model, snapshots, ROLES)
    assert sorted(twice.obsm) == sorted(result.obsm)


def test_a_lying_recipe_deletes_nothing_of_the_user(data, model, snapshots):
    data.uns["driftscope"] = {"keys": {"obsm": ["X_pca"], "obs": ["kind"]}}
    result = annotate(data, model, snapshots, ROLES)
    assert "X_pca" in result.obsm
    assert "kind" in result.obs


def test_what_arrows_show_and_how_members_agree_is_written(data, model, snapshots, tmp_path):
    alone = annotate(data, model, snapshots, ROLES)
    shown = alone.obs["velocity_umap_visibility"]
    assert np.isnan(shown.iloc[7])
    assert shown.drop(index="cell7").between(-1, 1).all()
    assert shown.median() > 0.7  # the map is curved, but nearly all of the motion lies in it
    assert "velocity_consensus" not in alone.obs
    assert "no ensemble" in alone.uns["driftscope"]["notes"]["consensus"]
    model.members = (model, Linear(-model.matrix, -model.shift), model)
    result = annotate(alone, model, snapshots, ROLES)
    np.testing.assert_allclose(result.obs["velocity_consensus"].drop(index="cell7"), 1 / 3, rtol=1e-4)
    result.write_h5ad(tmp_path / "out.h5ad")
    about = anndata.read_h5ad(tmp_path / "out.h5ad").uns["driftscope"]
    assert "3 members" in about["notes"]["consensus"]
    assert {"velocity_consensus", "velocity_umap_visibility"} <= set(about["keys"]["obs"])


@pytest.mark.parametrize("name", ["velocity_consensus", "velocity_umap_visibility"])
def test_columns_of_these_names_are_not_overwritten(data, model, snapshots, name):
    data.obs[name] = 5.0
    result = annotate(data, model, snapshots, ROLES)
    assert (result.obs[name] == 5).all()
    assert "driftscope_umap_visibility" in result.obs


def test_times_beyond_the_measured_ones_are_refused_unless_asked_for(data, model, snapshots):
    for times in ([2.5], [1.0, -0.5]):
        with pytest.raises(DataError, match=r"beyond the times .* 0 to 2.*--extrapolate"):
            simulate(data, model, snapshots, roles=ROLES, times=times)
    result = simulate(data, model, snapshots, roles=ROLES, times=[1.0, 2.0, 2.5], extrapolate=True)
    assert set(result.obs["time"][result.obs["extrapolated"]]) == {2.5}
    about = result.uns["driftscope"]
    assert about["n_extrapolated"] == (result.obs["time"] == 2.5).sum()
    assert "extrapolated in time" in about["message"]
    plain = simulate(data, model, snapshots, roles=ROLES)
    assert not plain.obs["extrapolated"].any()
    del model.axis  # a field that knows no times: those of the cells count
    with pytest.raises(DataError, match="--extrapolate"):
        simulate(data, model, snapshots, roles=ROLES, times=[2.5])


def test_a_file_without_genes_works(data, model, snapshots):
    bare = anndata.AnnData(obs=data.obs, obsm=dict(data.obsm))
    model.basis = None
    result = annotate(bare, model, snapshots, ROLES)
    assert "velocity_umap" in result.obsm
    assert not result.layers


def test_every_embedding_gets_its_velocity_and_genes_outside_the_basis_none(data, model, snapshots):
    data.obsm["X_umap3"] = np.concatenate([data.obsm["X_umap"], data.obsm["X_pca"][:, 2:3]], axis=1)
    data.var_names = ["other", *data.var_names[1:]]
    result = annotate(data, model, snapshots, ROLES)
    assert result.obsm["velocity_umap3"].shape == (400, 3)
    np.testing.assert_array_equal(np.isnan(result.layers["velocity"]).all(axis=0), np.arange(12) == 0)


def test_another_width_and_a_stop_are_told(data, snapshots):
    with pytest.raises(ModelError, match="2 dimensions"):
        annotate(data, Linear(np.eye(2)), snapshots, ROLES)
    with pytest.raises(Stopped):
        annotate(data, Linear(np.eye(4)), snapshots, ROLES, progress=lambda *_, **__: False)


def test_confidence_is_one_where_all_move_alike_and_near_zero_at_random(rng):
    states = rng.normal(size=(500, 20))
    np.testing.assert_allclose(confidence(states, np.ones((500, 20))), 1, rtol=1e-6)
    assert abs(confidence(states, rng.normal(size=(500, 20))).mean()) < 0.1


def test_predicted_cells_carry_states_places_genes_and_origin(data, model, snapshots):
    placement = Placement(snapshots.states, data.obsm["X_umap"][snapshots.cells])
    result = simulate(
        data, model, snapshots, roles=ROLES, placement=placement, from_time=1.0, times=[0.5, 1.0, 2.0]
    )
    assert result.obs["time"].drop_duplicates().tolist() == [0.5, 1.0, 2.0]
    start = snapshots.states[snapshots.times == 1.0]
    assert result.n_obs == 3 * len(start)
    here = result[result.obs["time"] == 1.0]
    np.testing.assert_array_equal(here.obsm["X_pca"], start)
    np.testing.assert_allclose(here.X, model.basis.to_genes(start), rtol=1e-5)
    later = result[result.obs["time"] == 2.0]
    turned = start[:, :2] @ np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])
    np.testing.assert_allclose(later.obsm["X_pca"][:, :2], turned, atol=1e-4)
    assert later.obsm["X_umap"].shape == (len(start), 2)
    assert set(result.obs["nearest_type"].dropna()) == {"early", "late"}
    names = data.obs_names[snapshots.cells[snapshots.times == 1.0]]
    assert later.obs["origin"].tolist() == names.tolist()
    assert later.obs_names[0] == f"{names[0]}@2"
    assert result.obs_names.is_unique


def test_simulation_chooses_cells_and_says_when_it_cannot(data, model, snapshots, tmp_path):
    first = snapshots.cells[snapshots.times == 0][:5]
    result = simulate(data, model, snapshots, roles=ROLES, rows=first)
    assert result.obs["time"].value_counts().to_dict() == {1.0: 5, 2.0: 5}
    result.write_h5ad(tmp_path / "out.h5ad")
    assert anndata.read_h5ad(tmp_path / "out.h5ad").uns["driftscope"]["from_time"] == 0
    assert simulate(data, model, snapshots, roles=ROLES, times=[0.0], rows=first).n_obs == 5
    later = snapshots.cells[snapshots.times == 1][:4]
    assert set(simulate(data, model, snapshots, roles=ROLES, rows=later).obs["time"]) == {2.0}
    with pytest.raises(DataError, match=r"No cell was measured at time 1\.5.*0, 1, 2"):
        simulate(data, model, snapshots, roles=ROLES, from_time=1.5)
    with pytest.raises(DataError, match="that are to start"):
        simulate(data, model, snapshots, roles=ROLES, from_time=1.0, rows=first)
    with pytest.raises(DataError, match="no time to predict"):
        simulate(data, model, snapshots, roles=ROLES, from_time=2.0)


def test_predicted_cells_without_genes_and_types(data, model, snapshots):
    model.basis = None
    bare = anndata.AnnData(obs=data.obs, obsm=dict(data.obsm))
    result = simulate(bare, model, snapshots, roles=Roles(time_key="day", rep="X_pca"))
    assert result.shape[1] == 0
    assert list(result.obs) == ["time", "origin", "inside", "extrapolated"]
