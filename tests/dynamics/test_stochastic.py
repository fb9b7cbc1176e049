"""Following cells with chance: processes whose moments are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fields import Linear
from scipy.stats import kstest

from dynamics.errors import IntegrationError, ModelError, Stopped
from dynamics.projection import Placement
from dynamics.stochastic import simulate


class Settled:
    """Cells at rest in N(0, 1): v = 0 and s = −½ g² x, an Ornstein–Uhlenbeck process."""

    dim = 2

    def __init__(self, g=lambda t: 1.0) -> None:
        self.g = g
        self.asked = []

    def __call__(self, t, x):
        return torch.zeros_like(x)

    def noise(self, t):
        return np.full(2, self.g(t))

    def drifts(self, t, x):
        self.asked.append(t)
        return torch.zeros_like(x), -0.5 * self.g(t) ** 2 * x


class Drifting(Settled):
    """The same, carried along at velocity 3."""

    def __call__(self, t, x):
        return torch.full_like(x, 3.0)

    def drifts(self, t, x):
        return self(t, x), -0.5 * self.g(t) ** 2 * (x - 3 * t)


@pytest.mark.parametrize("times", [[0.0, 0.5, 2.0], [2.0, 1.5, 0.0]])
def test_an_ornstein_uhlenbeck_process_has_its_moments(times):
    found = simulate(Settled(), np.full((20_000, 2), 2.0), times, seed=0).states
    for k, t in enumerate(np.abs(np.subtract(times, times[0]))):
        np.testing.assert_allclose(found[k].mean(axis=0), 2 * np.exp(-t / 2), atol=0.03)
        np.testing.assert_allclose(found[k].var(axis=0), 1 - np.exp(-t), atol=0.03)


@pytest.mark.parametrize("times", [[0.0, 2.0], [2.0, 0.0]])
def test_cells_stay_distributed_as_without_chance(rng, times):
    x0 = rng.standard_normal((4_000, 2)) + 3 * times[0]
    end = simulate(Drifting(), x0, times, seed=0).states[-1]
    assert kstest(end[:, 0] - 3 * times[-1], "norm").pvalue > 1e-3
    assert np.corrcoef(end[:, 0], x0[:, 0])[0, 1] == pytest.approx(np.exp(-1), abs=0.06)


def test_noise_that_jumps_at_a_measured_time_is_taken_on_the_right_side():
    field = Settled(lambda t: 1.0 if t < 1.0 else 0.0)
    field.axis = SimpleNamespace(values=np.array([0.0, 1.0, 5.0]))
    for times in ([0.0, 1.0, 5.0], [5.0, 1.0, 0.0]):
        found = simulate(field, np.zeros((5_000, 2)), times, seed=0, substeps=4).states
        still = (found[2] - found[1]) if times[0] == 0 else (found[1] - found[0])
        assert np.abs(still).max() == 0
        moved = found[1] if times[0] == 0 else found[2]
        np.testing.assert_allclose(moved.var(axis=0), 1 - np.exp(-1), atol=0.05)
    assert not set(field.asked) & {0.0, 1.0, 5.0}


def test_the_seed_decides_and_cells_differ():
    x0 = np.zeros((50, 2))
    first, again, other = (simulate(Settled(), x0, [0, 1], seed=seed).states[-1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0
    assert len(np.unique(first)) == 100


def test_outputs_are_among_the_steps():
    result = simulate(Settled(), np.zeros((3, 2)), [0.0, 0.1234, 1.0], seed=0)
    assert result.times.tolist() == [0.0, 0.1234, 1.0]
    assert (result.states[0] == 0).all()
    assert np.isfinite(result.states).all()
    assert result.method == "stochastic"


def test_cells_far_out_and_unknown_ones_are_given_up(rng):
    data = rng.normal(size=(300, 2)).astype(np.float32)
    field = Settled(lambda t: 1.0)
    field.drifts = lambda t, x: (torch.where(x > 1.5, torch.full_like(x, 1e6), torch.zeros_like(x)), 0 * x)
    x0 = data[:40].copy()
    x0[0], x0[1] = np.nan, 2.0
    result = simulate(field, x0, [0.0, 0.2], seed=0, support=Placement(data, data))
    assert result.failed[:2].all()
    assert not result.failed.all()
    assert not result.inside[-1][result.failed].any()
    assert np.isfinite(result.xy[-1][~result.failed]).all()


def test_what_cannot_be_followed_is_said():
    with pytest.raises(ModelError, match=r"“?Linear.*has no noise"):
        simulate(Linear(np.eye(2)), np.zeros((1, 2)), [0, 1], seed=0)
    with pytest.raises(IntegrationError, match="strictly rising"):
        simulate(Settled(), np.zeros((1, 2)), [0, 0], seed=0)
    with pytest.raises(IntegrationError, match="at least 1"):
        simulate(Settled(), np.zeros((1, 2)), [0, 1], seed=0, substeps=0)
    with pytest.raises(Stopped):
        simulate(Settled(), np.zeros((1, 2)), [0, 1], seed=0, progress=lambda *_, **__: False)
    alone = simulate(Settled(), np.ones((2, 2)), [1.0], seed=0)
    np.testing.assert_array_equal(alone.states, np.ones((1, 2, 2)))
