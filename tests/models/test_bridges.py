"""Paths that bend and wander: moments in closed form; velocity and score against those of Gaussians."""

import numpy as np
import pytest
import torch
from clouds import changed, drifting
from scipy.stats import kstest

from dynamics.errors import ModelError
from dynamics.integrate import integrate
from dynamics.snapshots import from_arrays
from dynamics.stochastic import simulate
from models import checkpoint
from models.config import TrainConfig
from models.noise_preview import preview
from models.objectives.base import Problem
from models.objectives.bridges import BridgeFlowMatching, BridgeSettings, ScoreSettings
from models.paths import Bridge, Trigonometric
from models.train import fit

SPAN = 4.0
MEAN, WIDTH0, WIDTH1 = np.array([3.0, -2.0]), np.array([1.0, 0.5]), np.array([0.5, 1.5])
NOISE = 0.4


def normal(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape))


@pytest.mark.parametrize("s", [0.01, 0.3, 0.5, 0.9])
def test_a_bridge_has_the_moments_of_brownian_motion_held_at_both_ends(rng, s):
    x0, x1, eps = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 5.0]]), normal(rng, 50_000, 2)
    point = Bridge(0.7)(x0, x1, torch.tensor([[s]]), eps)
    sd = 0.7 * np.sqrt(s * (1 - s))
    middle = (1 - s) * x0[0].double() + s * x1[0].double()
    for d in range(2):
        assert kstest(point.xs[:5000, d].numpy(), "norm", (float(middle[d]), sd)).pvalue > 1e-3
    torch.testing.assert_close(point.xs.var(dim=0), torch.full((2,), sd**2).double(), rtol=0.02, atol=0)
    torch.testing.assert_close(
        point.us.mean(dim=0), (x1 - x0)[0].double(), atol=0.02 + 0.02 / np.sqrt(s), rtol=0
    )


@pytest.mark.parametrize("path", [Bridge(0.7), Trigonometric()])
def test_the_velocity_is_the_slope_of_the_path(rng, path):
    """With the noise held, a path's velocity is its derivative in s."""
    x0, x1, eps = (normal(rng, 20, 3) for _ in range(3))
    s = torch.from_numpy(rng.uniform(0.05, 0.95, (20, 1)))
    ahead, behind = (path(x0, x1, s + h, eps).xs for h in (1e-6, -1e-6))
    torch.testing.assert_close(path(x0, x1, s, eps).us, (ahead - behind) / 2e-6, atol=1e-6, rtol=1e-6)


def test_a_quarter_turn_keeps_the_variance_of_random_pairs(rng):
    x0, x1 = normal(rng, 100_000, 2), normal(rng, 100_000, 2)
    for s in (0.0, 0.2, 0.5, 1.0):
        spread = Trigonometric()(x0, x1, torch.full((1, 1), s, dtype=torch.float64), None).xs.var(dim=0)
        torch.testing.assert_close(spread, torch.ones(2).double(), rtol=0.02, atol=0)


def test_quarter_turns_of_equal_gaussians_give_their_drift():
    """Random pairs of two equal Gaussians: the mean velocity is the shift of the mean at every state."""
    model = fit(drifting(600, times=(0.0, 2.0)), TrainConfig("vp-cfm", {"steps": 300, "noise": 0.0}))
    x = torch.tensor([[2.0, 0.0, 0.0], [3.0, 1.0, 0.0], [1.0, 0.0, -1.0]])
    torch.testing.assert_close(model(1.0, x), torch.tensor([[2.0, 0.0, 0.0]]).expand(3, 3), atol=0.35, rtol=0)


def test_pairs_come_from_the_plan_of_brownian_motion(rng):
    """π ∝ exp(−‖x0 − x1‖² / 2σ²) between its marginals: the rest of its log is one row plus one column."""
    x0, x1 = rng.standard_normal((40, 2)).astype(np.float32), rng.standard_normal((50, 2)).astype(np.float32)
    objective = BridgeFlowMatching(Problem((x0, x1), np.array([0.0, 7.0]), 0), BridgeSettings(noise=0.8))
    plan, (one,) = np.zeros((40, 50)), objective.couplings
    np.add.at(plan, (one.i, one.j), one.weight)
    rest = np.log(plan) + ((x0[:, None] - x1) ** 2).sum(axis=2) / (2 * 0.8**2)
    left = rest - rest.mean(axis=0) - rest.mean(axis=1, keepdims=True) + rest.mean()
    assert plan.ravel() @ np.abs(left).ravel() < 1e-3  # masses are rounded, which the smallest ones feel


def test_where_the_plan_is_too_sharp_it_is_said(rng):
    states = tuple(rng.standard_normal((30, 2)).astype(np.float32) for _ in range(3))
    problem = Problem(states, np.arange(3.0), 0)
    objective = BridgeFlowMatching(problem, BridgeSettings(noise=0.01))
    assert [one.exact for one in objective.couplings] == [True, True]
    assert len(problem.notes) == 1
    assert "least movement" in problem.notes[0]


@pytest.fixture(scope="module")
def ends():
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((800, 2)) * WIDTH0
    return x0, rng.standard_normal((800, 2)) * WIDTH1 + MEAN


@pytest.fixture(scope="module")
def walk(ends):
    shots = from_arrays(np.concatenate(ends), np.repeat([0.0, SPAN], 800), unit="day")
    return fit(shots, TrainConfig("sf2m", {"steps": 500, "noise": NOISE}))


@pytest.mark.parametrize("s", [0.2, 0.5, 0.8])
def test_velocity_and_score_are_those_of_gaussians(walk, rng, s):
    """Displacement of Gaussians with common axes plus bridge noise: everything stays Gaussian."""
    sigma = NOISE * walk.scale[0]
    width = (1 - s) * WIDTH0 + s * WIDTH1
    variance = width**2 + sigma**2 * s * (1 - s)
    slope = 2 * width * (WIDTH1 - WIDTH0) + sigma**2 * (1 - 2 * s)
    x = s * MEAN + rng.standard_normal((1000, 2)) * np.sqrt(variance)
    velocity, score = (value.numpy() for value in walk.drifts(SPAN * s, torch.from_numpy(x)))
    expected = (MEAN + slope / 2 / variance * (x - s * MEAN)) / SPAN
    assert np.square(velocity - expected).mean() < 0.08**2 * np.square(expected).mean()
    expected = -0.5 * sigma**2 / SPAN * (x - s * MEAN) / variance
    assert np.square(score - expected).mean() < 0.25**2 * np.square(expected).mean()
    np.testing.assert_allclose(walk.noise(SPAN * s), np.full(2, sigma / np.sqrt(SPAN)), rtol=1e-6)


def test_walks_arrive_where_cells_were_seen_forward_and_backward(walk, ends):
    x0 = ends[0]
    there = simulate(walk, x0, [0.0, SPAN / 2, SPAN], seed=0).states
    back = simulate(walk, there[-1], [SPAN, 0.0], seed=1).states[-1]
    still = integrate(walk, x0, [0.0, SPAN / 2, SPAN]).states
    for found, width, mean in ((there[-1], WIDTH1, MEAN), (back, WIDTH0, 0 * MEAN)):
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.15)
        np.testing.assert_allclose(np.cov(found.T), np.diag(width**2), atol=0.25)
    np.testing.assert_allclose(there[1].mean(axis=0), still[1].mean(axis=0), atol=0.1)
    np.testing.assert_allclose(there[1].std(axis=0), still[1].std(axis=0), rtol=0.1)


def test_one_cell_has_many_futures_that_spread_with_the_noise(walk):
    """A bundle from one cell spreads, and by no more than all cells that end there."""
    ends = simulate(walk, np.zeros((500, 2)), [0.0, SPAN], seed=0).states[-1]
    sigma = NOISE * walk.scale[0]
    spread = ends.std(axis=0)
    assert (spread > 0.3 * sigma).all()
    assert (spread < WIDTH1 + sigma).all()


def test_noise_of_uneven_gaps_is_that_of_each_interval():
    """The same noise gathers over an hour as over a month; per root of time it is higher in the hour."""
    model = fit(drifting(60, times=(0.0, 1.0, 101.0)), TrainConfig("sf2m", {"steps": 10, "noise": 0.5}))
    short, long, late = (model.noise(t)[0] for t in (0.5, 50.0, 101.0))
    assert short == pytest.approx(0.5 * model.scale[0], rel=1e-6)
    assert short / long == pytest.approx(10, rel=1e-6)
    assert model.noise(1.0)[0] == long == late


def test_noise_and_score_keep_their_units():
    shots = drifting(100)
    settings = {"steps": 60}
    model = fit(shots, TrainConfig("sf2m", settings))
    wide = fit(changed(shots, scale=1024.0), TrainConfig("sf2m", settings))
    slow = fit(changed(shots, slower=32.0), TrainConfig("sf2m", settings))
    x = torch.from_numpy(shots.states[:5].copy())
    torch.testing.assert_close(wide.score_drift(0.5, 1024 * x) / 1024, model.score_drift(0.5, x))
    torch.testing.assert_close(32 * slow.score_drift(16.0, x), model.score_drift(0.5, x))
    np.testing.assert_allclose(wide.noise(0.5) / 1024, model.noise(0.5))
    np.testing.assert_allclose(slow.noise(16.0) * np.sqrt(32), model.noise(0.5))


def test_a_saved_model_keeps_its_noise(walk, tmp_path):
    checkpoint.save(walk, tmp_path / "m")
    again = checkpoint.load(tmp_path / "m")
    assert again.is_stochastic
    np.testing.assert_array_equal(again.noise(1.0), walk.noise(1.0))


def test_a_model_without_noise_says_so():
    model = fit(drifting(40), TrainConfig("ot-cfm", {"steps": 10}))
    assert not model.is_stochastic
    with pytest.raises(ModelError, match=r"has no noise.*sf2m"):
        model.noise(0.5)


def test_the_preview_tells_lengths_of_the_data(rng):
    """Cells on a grid of step 1, in two dimensions: neighbours at 1, spread known."""
    grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)
    shots = from_arrays(np.concatenate([grid, grid]), np.repeat([0.0, 1.0], 400))
    told = preview(ScoreSettings(noise=0.5), shots)
    spread = np.sqrt(2 * (20**2 - 1) / 12)
    assert told.neighbour == pytest.approx(1.0, rel=1e-4)
    assert told.spread == pytest.approx(spread, rel=1e-4)
    assert told.wander == pytest.approx(0.25 * spread, rel=1e-4)
    assert "2 × the distance to its nearest neighbour and 0.25 ×" in told.sentence
    assert preview(ScoreSettings(), shots).noise == pytest.approx(0.3, rel=1e-4)
    alone = from_arrays(np.array([[0.0, 0.0], [3.0, -1.0]]), [0.0, 2.0])
    assert "all alike" in preview(ScoreSettings(), alone).sentence
