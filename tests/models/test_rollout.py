"""Learning by simulation: the roll-out against closed forms, what it brings to flow matching, refusals."""

import numpy as np
import pytest
import torch
from clouds import drifting
from scipy.linalg import expm

from dynamics.errors import SettingsError, TrainingError
from dynamics.integrate import integrate
from dynamics.metrics import w1
from dynamics.roll_out import SCHEMES, roll_out
from dynamics.snapshots import from_arrays
from models.config import TrainConfig
from models.objectives import rollout
from models.objectives.base import Problem
from models.objectives.rollout import RollOut, RollOutSettings, sample_cells, transported
from models.train import fit


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("scheme", "order"), [("midpoint", 2), ("rk4", 4)])
def test_a_linear_field_is_followed_to_the_order_of_the_scheme(rng, scheme, order, backwards):
    a, x = 0.7 * rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    known = x @ expm(-a if backwards else a).T
    slope, start = torch.from_numpy(a), torch.from_numpy(x)
    errors = []
    for steps in (8, 16):
        passed = roll_out(lambda s, y: y @ slope.T, start, steps=steps, scheme=scheme, backwards=backwards)
        assert passed.shape == (steps + 1, 4, 3)
        errors.append(np.abs(passed[-1].numpy() - known).max())
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.4)
    assert set(SCHEMES) == {"midpoint", "rk4"}


def test_the_adjoint_equation_gives_the_gradient_of_the_steps(rng):
    slope = torch.from_numpy(0.5 * rng.standard_normal((2, 2))).requires_grad_()
    start = torch.from_numpy(rng.standard_normal((5, 2)))
    found = []
    for adjoint in (None, [slope]):
        end = roll_out(lambda s, y: y @ slope.T, start, steps=40, scheme="rk4", adjoint=adjoint)[-1]
        found.append(torch.autograd.grad(end.square().sum(), slope)[0])
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def problem(*states, times=None):
    arrays = tuple(np.asarray(one, np.float32) for one in states)
    return Problem(arrays, np.arange(len(arrays), dtype=float) if times is None else np.array(times), 0)


class Still(torch.nn.Module):
    """A network that answers one velocity."""

    def __init__(self, velocity):
        super().__init__()
        self.register_buffer("velocity", torch.tensor(velocity))

    def forward(self, features, z):
        return {"velocity": self.velocity.expand_as(z)}


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_loss_of_known_moves_is_their_squared_distance(rng, horizon):
    """Cells that stay while those measured move by 2, 1 and 3 along one of two dimensions."""
    x = rng.standard_normal((50, 2))
    shift = np.array([1.0, 0.0])
    states = [x + far * shift for far in (0, 2, 3, 6)]
    objective = RollOut(
        problem(*states, times=[0, 1, 1.5, 9]), RollOutSettings(batch=150, energy=5.0, horizon=horizon)
    )
    batch = {name: value[0] for name, value in objective.draw(rng, steps=1, batch=0).items()}
    apart = {1: [4, 1, 9], 3: [4, 9, 36, 1, 16, 9]}[horizon]
    assert float(objective.loss(Still([0.0, 0.0]), batch)) == pytest.approx(np.mean(apart) / 2, rel=1e-4)


def test_the_energy_is_that_of_the_move(rng):
    x = rng.standard_normal((40, 2))
    objective = RollOut(problem(x, x + np.array([3.0, 0.0])), RollOutSettings(batch=40, energy=2.0))
    batch = {name: value[0] for name, value in objective.draw(rng, steps=1, batch=0).items()}
    right = [3.0 / float(objective.clock.speed(torch.tensor(0.5))), 0.0]
    assert float(objective.loss(Still(right), batch)) == pytest.approx(2 * 9 / 2, rel=1e-3)
    assert objective.reference({name: value[None] for name, value in batch.items()}) == pytest.approx(
        9, rel=1e-3
    )


def test_cells_far_from_all_measured_ones_cost(rng):
    x = rng.standard_normal((300, 2))
    losses = []
    for density in (0.0, 1.0):
        objective = RollOut(problem(x, x), RollOutSettings(batch=300, density=density, energy=0.0))
        batch = {"first": torch.tensor([0]), "cells": torch.full((1, 2, 2, 2), 50.0)}
        losses.append(float(objective.loss(Still([0.0, 0.0]), batch)))
    assert losses[0] == pytest.approx(0.0, abs=1e-9)
    assert 60 < losses[1] < 72  # 50 √2 less the radius of the cloud


def test_the_plan_is_the_cheapest(rng):
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 3))
    near, far = torch.from_numpy(x), torch.from_numpy(x + np.array([0.0, 4.0, 0.0]))
    assert float(transported(near, far[torch.randperm(30, generator=torch.manual_seed(0))])) == pytest.approx(
        16 / 3
    )
    moved = torch.from_numpy(x).requires_grad_()
    transported(moved, torch.from_numpy(y)).backward()
    torch.testing.assert_close(moved.grad.sum(dim=0), (2 / 90) * torch.from_numpy((x - y).sum(axis=0)))


def test_every_cell_is_drawn_nearly_equally_often(rng):
    assert np.array_equal(np.bincount(sample_cells(np.arange(5), 10, rng)), [2] * 5)
    assert sorted(np.bincount(sample_cells(np.arange(4), 6, rng))) == [1, 1, 2, 2]
    assert len(set(sample_cells(np.arange(100), 20, rng))) == 20


@pytest.mark.parametrize(
    ("sizes", "times"),
    [((1, 1), (0, 1)), ((1, 60, 2), (0, 0.01, 30)), ((9,) * 40, tuple(range(40)))],
)
def test_few_cells_and_many_times_can_be_learned(rng, sizes, times):
    states = [rng.standard_normal((n, 2)) + 0.3 * k for k, n in enumerate(sizes)]
    model = fit(
        from_arrays(np.concatenate(states), np.repeat(times, sizes)), TrainConfig("neural-ode", {"steps": 10})
    )
    assert np.isfinite(model.summary["final_loss"])


def test_a_simulation_that_blows_up_says_what_to_change(rng):
    objective = RollOut(problem(*rng.standard_normal((2, 20, 2))), RollOutSettings())
    batch = {name: value[0] for name, value in objective.draw(rng, steps=1, batch=0).items()}
    with pytest.raises(TrainingError, match=r"smaller learning rate than 0\.01, or with more solver steps"):
        objective.loss(Still([np.inf, 0.0]), batch)


def test_fine_tuning_brings_long_simulations_back():
    """A cloud that splits unevenly on the way: flow matching alone arrives beside it."""
    rng = np.random.default_rng(0)
    times, states = np.arange(4.0), []
    for t in times:
        side = np.where(rng.random(300) < 0.5, 1.0, -1.0)
        cloud = 0.25 * rng.standard_normal((300, 2))
        states.append(cloud + np.stack([np.full(300, t), side * max(t - 1, 0)], axis=1))
    snapshots = from_arrays(np.concatenate(states), np.repeat(times, 300))
    far = []
    for settings in ({"steps": 150}, {"steps": 150, "fine_tune": 60}):
        model = fit(snapshots, TrainConfig("ot-cfm", settings))
        followed = integrate(model, states[0], times).states
        far.append(np.mean([w1(end, known) for end, known in zip(followed[1:], states[1:], strict=True)]))
    assert far[1] < 0.8 * far[0]


def test_fine_tuning_is_refused_where_it_would_spoil_another_head():
    with pytest.raises(SettingsError, match="also learns growth"):
        fit(drifting(), TrainConfig("growth-cfm", {"fine_tune": 10}))


def test_most_cells_of_a_step_are_bounded():
    """The exact plan of a step grows with the cube of its cells."""
    objective = RollOut(problem(np.zeros((9, 1)), np.ones((9, 1))), RollOutSettings(batch=4096))
    assert objective.share == rollout.MOST_CELLS
