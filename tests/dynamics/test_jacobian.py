"""Jacobians, stability and fixed points against fields whose answer is known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dynamics import jacobian
from dynamics.basis import StateBasis
from dynamics.errors import DataError, ModelError
from dynamics.fixed_points import fixed_points, kinds

A = np.array([[-1.0, 2.0, 0.0], [0.0, -0.5, 0.4], [0.3, 0.0, 0.2]])


@dataclass
class Linear:
    """v = s(t) A x, with s(t) = 1 + t."""

    matrix: np.ndarray
    members: tuple = ()

    def __post_init__(self):
        self.dim = len(self.matrix)
        self.members = self.members or (self,)

    def __call__(self, t, x):
        time = torch.as_tensor(t, dtype=x.dtype).reshape(-1, 1)
        return (1 + time) * (x @ torch.from_numpy(self.matrix.T).to(x.dtype))


@dataclass
class Switch:
    """Two genes that repress each other, dx/dt = a/(1 + y²) − x: stable where xy = 1 and x + y = a."""

    dim: int = 2
    strength: float = 2.5

    def __call__(self, t, x):
        return self.strength / (1 + x.flip(-1) ** 2) - x


@pytest.fixture
def cells():
    return np.random.default_rng(0).standard_normal((700, 3)).astype(np.float32)


def test_the_jacobian_of_a_linear_field_is_its_matrix(cells):
    found = jacobian.jacobians(Linear(A), 0.0, cells)
    np.testing.assert_allclose(found, np.broadcast_to(A, found.shape), atol=1e-6)


def test_each_cell_has_its_own_time_and_weight(cells):
    times, weights = np.linspace(0, 3, len(cells)), np.arange(len(cells), dtype=float)
    found = jacobian.mean_jacobian(Linear(A), times, cells, weights=weights)
    np.testing.assert_allclose(found, A * (1 + np.average(times, weights=weights)), rtol=1e-5, atol=1e-5)
    each = jacobian.jacobians(Linear(A), times, cells)
    np.testing.assert_allclose(each, (1 + times)[:, None, None] * A, atol=1e-5)


def test_divergence_growth_and_turning_of_a_spiral(cells):
    spiral = np.array([[0.1, -2.0], [2.0, 0.1]])
    found = jacobian.stability(Linear(spiral), 0.0, cells[:, :2])
    np.testing.assert_allclose(found.divergence, 0.2, atol=1e-6)
    np.testing.assert_allclose(found.fastest, 0.1, atol=1e-6)
    np.testing.assert_allclose(found.turning, 2.0, atol=1e-6)
    np.testing.assert_allclose(jacobian.divergence(Linear(A), 1.0, cells), 2 * np.trace(A), atol=1e-5)


def test_genes_that_are_the_states_in_other_units_have_the_jacobian_in_those_units():
    scale = np.array([2.0, 0.5, 10.0])
    basis = _basis(np.diag(scale))
    found = jacobian.to_genes(A, basis, np.arange(3))
    np.testing.assert_allclose(found, A * scale[:, None] / scale[None, :], atol=1e-12)


def test_genes_of_orthonormal_loadings():
    rng = np.random.default_rng(1)
    loadings = np.linalg.qr(rng.standard_normal((8, 3)))[0].T
    found = jacobian.to_genes(A, _basis(loadings), np.array([5, 2]))
    np.testing.assert_allclose(found, (loadings.T @ A @ loadings)[np.ix_([5, 2], [5, 2])], atol=1e-6)


def test_what_cannot_be_averaged_is_refused(cells):
    with pytest.raises(DataError, match="no cells"):
        jacobian.mean_jacobian(Linear(A), 0.0, cells, weights=np.zeros(len(cells)))
    with pytest.raises(ModelError, match="dimensions"):
        jacobian.jacobians(Linear(A), 0.0, cells[:, :2])


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e3])
def test_a_switch_has_two_stable_states_and_a_saddle_whatever_the_units(scale):
    rng = np.random.default_rng(0)
    cells = (rng.uniform(0, 2.4, (900, 2)) * scale).astype(np.float32)

    class Scaled(Switch):
        def __call__(self, t, x):
            return scale * super().__call__(t, x / scale)

    found = fixed_points(Scaled(), 0.0, cells)
    assert found.kind.tolist() == ["stable", "stable", "saddle"]
    np.testing.assert_allclose(np.sort(found.states[:2] / scale, axis=1), [[0.5, 2.0]] * 2, rtol=0.01)
    assert np.abs(np.diff(found.states[2])) < 1e-2 * scale
    assert found.fastest[2] > 0 > found.fastest[1]
    assert np.isnan(found.agreed).all()


def test_fixed_points_away_from_all_cells_are_left_out():
    rng = np.random.default_rng(0)
    near_one_state = (np.array([2.0, 0.5]) + 0.05 * rng.standard_normal((300, 2))).astype(np.float32)
    on_the_way = (np.array([[0.8, 0.4]])).astype(np.float32)
    found = fixed_points(Switch(), 0.0, np.concatenate([near_one_state, on_the_way]))
    np.testing.assert_allclose(found.states, [[2.0, 0.5]], atol=0.01)
    assert found.kind.tolist() == ["stable"]
    assert found.distance[0] <= 3


def test_members_that_agree_on_a_fixed_point_are_counted():
    field = Switch()
    other = Switch(strength=2.52)
    field.members = (field, other, Linear(np.eye(2)))
    cells = np.random.default_rng(0).uniform(0, 2.4, (900, 2)).astype(np.float32)
    found = fixed_points(field, 0.0, cells)
    assert (found.agreed == 0.5).all()


def test_kinds_follow_the_signs_of_the_eigenvalues():
    n, kind = kinds(np.array([[-1, -2], [1, -2], [3, 1]], complex))
    assert n.tolist() == [0, 1, 2]
    assert kind.tolist() == ["stable", "saddle", "unstable"]


def _basis(loadings):
    n = loadings.shape[1]
    names = tuple(f"Gene{k}" for k in range(n))
    return StateBasis(names, loadings.astype(np.float32), np.zeros(n, np.float32), np.ones(n, np.float32))
