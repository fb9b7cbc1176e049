"""A model opens on a data set that fits it, and refuses others in words that say why."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from clouds import drifting

from dynamics import basis, snapshots
from dynamics.errors import ModelError
from dynamics.roles import Roles
from models.config import TrainConfig
from models.fitting import check_fit
from models.train import fit

ROLES = Roles(time_key="day", rep="X_pca")


def expression(seed: int, n: int = 300, *, n_genes: int = 40) -> np.ndarray:
    """Log-like values of genes that follow four programmes, which move with time."""
    programmes = np.random.default_rng(99).gamma(1.0, 1.0, (4, n_genes))
    rng = np.random.default_rng(seed)
    activity = rng.gamma(2.0, 0.3, (n, 4)) * [3, 2, 1, 1]
    activity[:, 0] += np.repeat([0.0, 1.0, 2.0], n // 3)
    return (activity @ programmes / 4 + 0.05 * rng.standard_normal((n, n_genes)) + 1).astype(np.float32)


def dataset(values: np.ndarray, axes: np.ndarray, centre: np.ndarray) -> AnnData:
    obs = pd.DataFrame(
        {"day": np.repeat([0.0, 2.0, 4.0], len(values) // 3)}, index=[f"c{k}" for k in range(len(values))]
    )
    adata = AnnData(values, obs=obs, var=pd.DataFrame(index=[f"Gene{k}" for k in range(values.shape[1])]))
    adata.obsm["X_pca"] = ((values - centre) @ axes).astype(np.float32)
    return adata


def principal(values: np.ndarray, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    centre = values.mean(axis=0)
    return np.linalg.svd(values - centre, full_matrices=False)[2][:n].T, centre


@pytest.fixture(scope="module")
def axes():
    return principal(expression(0))


@pytest.fixture(scope="module")
def home(axes):
    return dataset(expression(0), *axes)


@pytest.fixture(scope="module")
def model(home):
    shots = snapshots.from_anndata(home, ROLES, dims=4)
    return fit(
        shots,
        TrainConfig(settings={"steps": 20}),
        basis=basis.from_anndata(home, ROLES, shots),
        name="Blood",
    )


def test_its_own_data_set_fits(model, home):
    found = check_fit(model, home, ROLES)
    assert found.fingerprint == model.fingerprint
    assert check_fit(model, found) is found


def test_more_components_are_cut_to_the_model_s(model, home):
    wide = home.copy()
    wide.obsm["X_pca"] = np.pad(wide.obsm["X_pca"], ((0, 0), (0, 6)), constant_values=7.0)
    assert check_fit(model, wide, ROLES).fingerprint == model.fingerprint
    assert check_fit(model, snapshots.from_anndata(wide, ROLES, dims=8)).fingerprint == model.fingerprint


def test_new_cells_in_the_same_axes_fit_as_they_are(model, axes):
    other = dataset(expression(1), *axes)
    np.testing.assert_array_equal(check_fit(model, other, ROLES).states, other.obsm["X_pca"])


def test_new_cells_in_their_own_axes_are_projected_through_the_genes(model, axes):
    values = expression(1)
    there, centre = principal(values)
    own = dataset(values, there @ np.diag([1, -1, 1, -1])[:, [1, 0, 3, 2]], centre)
    expected = (values - axes[1]) @ axes[0]
    found = check_fit(model, own, ROLES).states
    np.testing.assert_allclose(found, expected, atol=0.05 * expected.std())


def test_cells_without_a_representation_are_projected(model, axes):
    bare = dataset(expression(1), *axes)
    expected = bare.obsm.pop("X_pca")
    shuffled = bare[:, np.random.default_rng(0).permutation(bare.n_vars)].copy()
    found = check_fit(model, shuffled, ROLES)
    assert found.rep == "X_pca"
    np.testing.assert_allclose(found.states, expected, atol=0.05 * expected.std())
    assert torch.isfinite(model(1.0, torch.from_numpy(found.states.copy()))).all()


def test_missing_genes_are_counted_and_named(model, axes):
    bare = dataset(expression(1), *axes)[:, :25].copy()
    del bare.obsm["X_pca"]
    with pytest.raises(ModelError, match=r"Blood.*X_pca.*15 of the 40 genes.*\(Gene\d+, Gene\d+, Gene\d+, …"):
        check_fit(model, bare, ROLES)


def test_another_scale_is_refused(model, axes):
    other = dataset(expression(1), *axes)
    other.obsm["X_pca"] *= 500
    del other.obsm["X_pca"]
    other.X = other.X * 500
    with pytest.raises(ModelError, match=r"another scale.*prepared alike"):
        check_fit(model, other, ROLES)


def test_without_genes_the_representation_must_be_the_model_s(home):
    model = fit(drifting(60), TrainConfig(settings={"steps": 20}), name="Moons")
    shots = drifting(60, seed=3)
    assert check_fit(model, shots) is shots
    with pytest.raises(ModelError, match="trained on X, the data set's states are X_umap"):
        check_fit(model, dataclasses.replace(shots, rep="X_umap"))
    with pytest.raises(ModelError, match="needs 3 dimensions of X, the data set has 2"):
        check_fit(model, dataclasses.replace(shots, states=shots.states[:, :2].copy()))
    for factor in (1000.0, 0.001):
        with pytest.raises(ModelError, match="another scale"):
            check_fit(model, dataclasses.replace(shots, states=shots.states * np.float32(factor)))
    with pytest.raises(ModelError, match=r"which the data set does not have \(it has: X_pca\)"):
        check_fit(model, home, ROLES)


def test_another_unit_of_time_is_refused():
    shots = drifting(60)
    model = fit(shots, TrainConfig(settings={"steps": 20}))
    hours = dataclasses.replace(shots, axis=dataclasses.replace(shots.axis, unit="h"))
    with pytest.raises(ModelError, match=r"counts time in 'day', this data set in 'h'"):
        check_fit(model, hours)
