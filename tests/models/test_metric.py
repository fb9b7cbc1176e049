"""The metric is low where cells are; curves that are short in it go round an empty middle."""

import itertools

import numpy as np
import pytest
import torch

from dynamics.coupling import couple
from dynamics.snapshots import from_arrays
from models.config import TrainConfig
from models.metric import geodesics, suited_metric
from models.objectives.base import Problem
from models.train import fit


def arc(rng, low: float, high: float, n: int = 200, *, dim: int = 2, noise: float = 0.05) -> np.ndarray:
    angle = rng.uniform(low, high, n)
    flat = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.pad(flat, ((0, 0), (0, dim - 2))).astype(np.float32) + rng.normal(0, noise, (n, dim)).astype(
        "f4"
    )


@pytest.mark.parametrize(("name", "dim"), [("land", 2), ("rbf", 2), ("rbf", 20)])
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_the_metric_is_low_among_cells_at_any_scale(rng, name, dim, scale):
    cells = scale * arc(rng, 0, np.pi, 600, dim=dim)
    metric = suited_metric(cells, seed=0, name=name)
    among = metric(torch.from_numpy(cells[:50])).mean()
    empty = metric(torch.zeros(1, dim)).mean()
    assert among < 3
    assert empty > 10 * among


def test_low_dimensions_get_land_and_high_ones_rbf(rng):
    names = [suited_metric(rng.standard_normal((60, dim)), seed=0).name for dim in (2, 10, 11)]
    assert names == ["land", "land", "rbf"]


def test_curves_go_round_the_empty_middle(rng):
    """Cells on a half circle, measured at its two ends; those of a third time show where the way leads."""
    states = (arc(rng, 0, 0.5), arc(rng, np.pi - 0.5, np.pi), arc(rng, 0, np.pi, 600))
    problem = Problem(states, np.array([0.0, 1.0, 2.0]), 0)
    couplings = tuple(couple(*pair) for pair in itertools.pairwise(states))
    metric = suited_metric(np.concatenate(states), seed=0)
    bend = geodesics(problem, couplings, metric)
    i, j = couplings[0].i[:100], couplings[0].j[:100]
    x0, x1 = torch.from_numpy(states[0][i]), torch.from_numpy(states[1][j])
    middle = bend(x0, x1, torch.full((100, 1), 0.5), torch.zeros(100, 1))
    straight = (x0 + x1) / 2
    assert middle.norm(dim=1).mean() > straight.norm(dim=1).mean() + 0.3
    ends = bend(x0, x1, torch.zeros(100, 1), torch.zeros(100, 1))
    torch.testing.assert_close(ends, x0)


def test_the_velocity_is_that_of_the_curve(rng):
    states = (arc(rng, 0, 0.5), arc(rng, 2.5, 3))
    problem = Problem(states, np.array([0.0, 1.0]), 0)
    coupling = couple(*states)
    bend = geodesics(problem, (coupling,), suited_metric(np.concatenate(states), seed=0))
    x0, x1 = torch.from_numpy(states[0][:5]), torch.from_numpy(states[1][:5])
    s = torch.full((5, 1), 0.3)
    _, u = bend.curve(x0, x1, s, torch.zeros(5, 1))
    apart = (bend(x0, x1, s + 0.05, torch.zeros(5, 1)) - bend(x0, x1, s - 0.05, torch.zeros(5, 1))) / 0.1
    torch.testing.assert_close(u, apart, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("n", [1, 2, 12])
def test_a_few_cells_are_enough(n):
    states = np.random.default_rng(0).standard_normal((3 * n, 12))
    shots = from_arrays(states, np.repeat([0.0, 1.0, 2.0], n))
    model = fit(shots, TrainConfig("metric-cfm", {"steps": 20}))
    assert torch.isfinite(model(0.5, torch.zeros(1, 12))).all()
