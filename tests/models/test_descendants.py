"""A distribution of descendants for each cell: closed forms and a fork."""

import numpy as np
import pytest
from clouds import drifting

from dynamics.errors import ModelError
from dynamics.snapshots import from_arrays
from models import checkpoint
from models.config import TrainConfig
from models.descendants import descendants
from models.train import fit


def entropic_plan(x0, x1, eps):
    """The plan of ⟨‖x − y‖², π⟩ + ε KL(π | q0 ⊗ q1) between equal weights, by plain Sinkhorn steps."""
    kernel = np.exp(-((x0[:, None] - x1) ** 2).sum(axis=2) / eps)
    b = np.ones(len(x1))
    for _ in range(500):
        a = 1 / (kernel @ b)
        b = len(x0) / len(x1) / (kernel.T @ a)
    return a[:, None] * kernel * b


@pytest.fixture(scope="module")
def spread():
    """One dimension, standard normal to N(4, 1.5²), paired with much entropy."""
    rng = np.random.default_rng(0)
    x0, x1 = rng.standard_normal((600, 1)), 4 + 1.5 * rng.standard_normal((600, 1))
    shots = from_arrays(np.concatenate([x0, x1]), np.repeat([0.0, 5.0], 600), unit="day")
    return x0, x1, fit(shots, TrainConfig("genot", {"blur": 0.3, "steps": 500}))


def test_descendants_of_gaussians_have_the_plan_s_mean_and_spread(spread):
    """The entropic plan of two Gaussians is Gaussian: mean of y given x is a line, its variance a number.

    With variances 1 and b² and cost (x − y)², cov(x, y) = c solves c² + (ε/2) c = b² (Janati et al., 2020).
    """
    x0, x1, model = spread
    eps = 0.3 * (x0.var() + x1.var())
    a, b = x0.var(), x1.var()
    c = -eps / 4 + np.sqrt(eps**2 / 16 + a * b)
    plan = entropic_plan(x0, x1, eps)
    at = np.array([[-1.0], [0.0], [1.0]])
    drawn = descendants(model, at, time=0.0, n=2000, seed=0)[:, :, 0]
    expected = x1.mean() + c / a * (at[:, 0] - x0.mean())
    plain = [plan[np.abs(x0[:, 0] - x).argmin()] @ x1[:, 0] for x in at[:, 0]]
    np.testing.assert_allclose(expected, plain, atol=0.25)
    np.testing.assert_allclose(drawn.mean(axis=1), expected, atol=0.2)
    np.testing.assert_allclose(drawn.std(axis=1), np.sqrt(b - c**2 / a), rtol=0.15)


@pytest.fixture(scope="module")
def fork():
    """Cells along a line that go up or down, one third and two thirds."""
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((600, 2)) * [0.5, 0.1]
    up = rng.random(600) < 1 / 3
    x1 = rng.standard_normal((600, 2)) * [0.5, 0.1] + np.where(up, 2.0, -2.0)[:, None] * [0, 1] + [1, 0]
    shots = from_arrays(np.concatenate([x0, x1]), np.repeat([0.0, 1.0], 600))
    return fit(shots, TrainConfig("genot", {"blur": 0.3, "steps": 500}))


def test_a_cell_before_a_fork_has_descendants_on_both_branches(fork):
    y = descendants(fork, np.array([[0.0, 0.0]]), time=0.0, n=3000, seed=0)[0, :, 1]
    assert (np.abs(np.abs(y) - 2) < 0.6).mean() > 0.9
    assert (y > 0).mean() == pytest.approx(1 / 3, abs=0.08)


def test_the_seed_decides_and_a_file_keeps_it_all(fork, tmp_path):
    x = np.zeros((2, 2))
    first = descendants(fork, x, time=0.0, n=5, seed=0)
    assert first.shape == (2, 5, 2)
    assert np.abs(first - descendants(fork, x, time=0.0, n=5, seed=1)).max() > 0
    checkpoint.save(fork, tmp_path / "m")
    np.testing.assert_array_equal(
        first, descendants(checkpoint.load(tmp_path / "m"), x, time=0.0, n=5, seed=0)
    )


def test_small_movements_are_learned_as_well_as_large_ones():
    """An hour in which cells hardly move, then a month: descendants of the first lie close."""
    shots = drifting(200, times=(0.0, 0.05, 30.0), velocity=0.2)
    model = fit(shots, TrainConfig("genot", {"blur": 0.02, "steps": 300}))
    x = shots.states[shots.times == 0][:50]
    near = descendants(model, x, time=0.0, n=20, seed=0) - x[:, None]
    assert np.sqrt(np.square(near).mean()) < 0.6
    far = descendants(model, shots.states[shots.times == 0.05][:50], time=0.05, n=20, seed=0)
    assert far[:, :, 0].mean() == pytest.approx(6.0, abs=0.3)


def test_a_model_with_noise_has_descendants_too():
    model = fit(drifting(100), TrainConfig("sf2m", {"steps": 60}))
    found = descendants(model, np.zeros((3, 3)), time=0.5, n=7, seed=0)
    assert found.shape == (3, 7, 3)
    assert found.std(axis=1).min() > 0


def test_what_has_no_descendants_says_so(fork):
    plain = fit(drifting(40), TrainConfig("ot-cfm", {"steps": 10}))
    with pytest.raises(ModelError, match=r"one path.*genot or sf2m"):
        descendants(plain, np.zeros((1, 3)), time=0.0, n=2, seed=0)
    with pytest.raises(ModelError, match="no measured time next after 1"):
        descendants(fork, np.zeros((1, 2)), time=1.0, n=2, seed=0)
    with pytest.raises(ModelError, match=r"measured at 0; 0\.5 lies after it"):
        descendants(fork, np.zeros((1, 2)), time=0.5, n=2, seed=0)
    with pytest.raises(ModelError, match="2 dimensions"):
        descendants(fork, np.zeros((1, 5)), time=0.0, n=2, seed=0)
