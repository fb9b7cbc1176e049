"""Weights along paths against closed forms, and the size of a population."""

import numpy as np
import pandas as pd
import pytest
import torch

from dynamics.annotate import annotate
from dynamics.errors import DataError, ModelError
from dynamics.growth import follow, growth_rate, relative_mass_error
from dynamics.predict import simulate
from dynamics.roles import Roles
from dynamics.snapshots import from_anndata, from_arrays
from dynamics.times import TimeAxis
from dynamics.trajectories import composition


class Drift:
    """Cells move at speed 1 along the first axis; growth is given."""

    has_growth = True
    dim = 2

    def __init__(self, rate, axis=None):
        self.rate = rate
        if axis is not None:
            self.axis = axis

    def __call__(self, t, x):
        return torch.tensor([1.0, 0.0], dtype=x.dtype).expand(x.shape)

    def growth(self, t, x):
        return self.rate(torch.as_tensor(t, dtype=x.dtype), x) + 0 * x[:, 0]


X0 = np.array([[0.0, 0.0], [1.0, 0.0], [-2.0, 5.0]], np.float32)


@pytest.mark.parametrize("times", [[0.0, 0.5, 2.0], [2.0, 1.7, -1.0], [3.0]])
@pytest.mark.parametrize("breaks", [None, (0.0, 0.1, 2.0)])
def test_uniform_growth_is_exponential(times, breaks):
    path = follow(Drift(lambda t, x: torch.tensor(0.7)), X0, times, breaks=breaks)
    expected = np.exp(0.7 * (np.array(times) - times[0]))
    np.testing.assert_allclose(path.weights, np.tile(expected[:, None], 3), rtol=1e-5)
    np.testing.assert_array_equal(path.times, times)
    np.testing.assert_allclose(path.states[:, 0, 0], np.array(times) - times[0], atol=1e-5)


def test_growth_that_depends_on_the_state_is_summed_along_the_path():
    """g = x_0 t, x_0 = a + t: log w = a t²/2 + t³/3."""
    path = follow(Drift(lambda t, x: x[:, 0] * t), X0, [0.0, 1.0, 2.0])
    t, a = path.times[:, None], X0[:, 0]
    np.testing.assert_allclose(np.log(path.weights), a * t**2 / 2 + t**3 / 3, atol=2e-3)


def test_a_rate_that_jumps_at_a_measured_time_is_not_smeared():
    """An hour of growth at 100 per unit in a course of a hundred: the jump stands at a break."""
    axis = TimeAxis(("a", "b", "c"), np.array([0.0, 0.01, 1.0]), "day", (1, 1, 1))
    path = follow(Drift(lambda t, x: torch.where(t < 0.01, 100.0, 0.5), axis), X0, [0.0, 1.0])
    np.testing.assert_allclose(np.log(path.weights[-1]), 1 + 0.5 * 0.99, rtol=1e-4)


def test_times_next_to_breaks_and_weights_that_would_overflow():
    path = follow(Drift(lambda t, x: torch.tensor(1e4)), X0, [0.0, 1 - 1e-13, 2.0], breaks=(0.0, 1.0, 2.0))
    assert np.isfinite(path.weights).all()
    assert path.weights.shape == (3, 3)


def test_the_rate_of_each_cell_at_its_own_time():
    field = Drift(lambda t, x: t + x[:, 0])
    np.testing.assert_allclose(growth_rate(field, np.array([1.0, 2.0, 3.0]), X0), [1, 3, 1])
    np.testing.assert_allclose(growth_rate(field, 2.0, X0), [2, 3, 0])
    field.has_growth = False
    with pytest.raises(ModelError, match=r"knows no growth.*growth-cfm"):
        growth_rate(field, 0.0, X0)


def test_relative_mass_error():
    assert relative_mass_error(np.full(100, 0.02), 200, 100) == pytest.approx(0)
    assert relative_mass_error(np.full(100, 0.01), 200, 100) == pytest.approx(0.5)
    assert relative_mass_error(np.full(100, 0.01), 50, 100) == pytest.approx(1.0)
    with pytest.raises(DataError, match="both must have some"):
        relative_mass_error(np.ones(3), 0, 3)


def test_cell_types_count_with_their_weight():
    x = np.array([[0.0, 0.0], [10.0, 0.0]], np.float32)
    snapshots = from_arrays(np.repeat(x, 20, axis=0), np.tile([0.0, 1.0], 20))
    labels = np.repeat(["left", "right"], 20)
    field = Drift(lambda t, x: torch.where(x[:, 0] > 5, np.log(3.0), 0.0))
    found = composition(follow(field, x, [0.0, 1.0]), snapshots, labels)
    np.testing.assert_allclose(found.share, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-5)
    np.testing.assert_array_equal(found.n_inside, 2)


@pytest.fixture
def data():
    anndata = pytest.importorskip("anndata")
    states = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    obs = pd.DataFrame({"day": np.tile([0.0, 1.0], 30)}, index=[f"c{k}" for k in range(60)])
    return anndata.AnnData(obs=obs, obsm={"X_pca": states})


ROLES = Roles(time_key="day", rep="X_pca")


def test_growth_is_written_beside_the_velocity(data):
    field, shots = Drift(lambda t, x: x[:, 1] + t), from_anndata(data, ROLES)
    once = annotate(data, field, shots, ROLES)
    expected = data.obsm["X_pca"][:, 1] + data.obs["day"]
    np.testing.assert_allclose(once.obs["growth_rate"], expected, rtol=1e-5)
    again = annotate(once, field, shots, ROLES)
    assert list(again.obs) == list(once.obs)
    data.obs["growth_rate"] = 1.0
    beside = annotate(data, field, shots, ROLES)
    assert (beside.obs["growth_rate"] == 1).all()
    np.testing.assert_allclose(beside.obs["driftscope_growth_rate"], expected, rtol=1e-5)


def test_predicted_cells_carry_their_weight(data):
    field, shots = Drift(lambda t, x: torch.tensor(0.7)), from_anndata(data, ROLES)
    result = simulate(data, field, shots, roles=ROLES, times=[0.0, 0.5, 1.0])
    np.testing.assert_allclose(result.obs["weight"], np.exp(0.7 * result.obs["time"]), rtol=1e-5)
    field.has_growth = False
    assert "weight" not in simulate(data, field, shots, roles=ROLES).obs
