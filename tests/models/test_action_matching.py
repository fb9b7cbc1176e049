"""The landscape: its slope is the velocity, its loss that of action matching; a known one is found."""

import numpy as np
import pytest
import torch
from clouds import drifting

from dynamics.errors import ModelError
from dynamics.snapshots import from_arrays
from models import networks
from models.config import TrainConfig
from models.networks import Architecture
from models.train import fit


def test_the_velocity_of_a_potential_network_is_its_steepest_descent():
    net = networks.fresh(Architecture(3, 16, 2, {"potential": 1}, "potential"), seed=0)
    z = torch.linspace(-2, 2, 15).reshape(5, 3).requires_grad_()
    out = net(torch.linspace(-1, 1, 30).reshape(5, 6), z)
    (slope,) = torch.autograd.grad(out["potential"].sum(), z)
    assert slope.abs().max() > 1e-3
    torch.testing.assert_close(out["velocity"], -slope, atol=1e-7, rtol=1e-5)


@pytest.fixture(scope="module", params=[False, True], ids=["one scale", "whitened"])
def model(request):
    snapshots = drifting(times=(2.0, 2.5, 4.0))
    stretched = from_arrays(snapshots.states * [30.0, 1.0, 5.0], snapshots.times)
    return fit(stretched, TrainConfig("action-matching", {"steps": 20}, whiten=request.param))


def test_the_potential_falls_along_the_velocity(model):
    x = torch.linspace(-20, 20, 30, dtype=torch.float64).reshape(10, 3).requires_grad_()
    for t in (2.0, 2.2, 3.9):
        (slope,) = torch.autograd.grad(model.potential(t, x).sum(), x)
        stretch = torch.from_numpy(model.scale**2 / np.mean(model.scale**2))
        torch.testing.assert_close(model(t, x.detach()), -stretch * slope, rtol=1e-4, atol=1e-4)
    each = torch.linspace(2.0, 4.0, 10, dtype=torch.float64)
    one = torch.stack([model.potential(float(t), row[None])[0] for t, row in zip(each, x, strict=True)])
    torch.testing.assert_close(model.potential(each, x), one, rtol=1e-5, atol=1e-5)


def test_the_loss_is_that_of_action_matching():
    """E S(τ₀,x₀) − E S(τ₁,x₁) + ∫ E[∂ₜS + ½‖∇S‖²] dt = ½ ∫ E‖∇S − ẋ‖² dt − ½ ∫ E‖ẋ‖² dt along lines."""
    model = fit(drifting(times=(0.0, 2.0)), TrainConfig("action-matching", {"steps": 20}))
    rng = np.random.default_rng(0)
    x0, x1 = (torch.from_numpy(rng.standard_normal((20, 3))) for _ in range(2))
    apart = (x1 - x0) / 2.0
    nodes, weights = np.polynomial.legendre.leggauss(24)
    action, gap = (-model.potential(0.0, x0) + model.potential(2.0, x1)).mean(), 0.0
    for t, share in zip(1 + nodes, weights, strict=True):
        x = torch.lerp(x0, x1, t / 2)
        time = torch.full((20,), t, dtype=torch.float64, requires_grad=True)
        (rate,) = torch.autograd.grad(-model.potential(time, x).sum(), time)
        v = model(t, x)
        action += share * (rate + 0.5 * v.square().sum(dim=1)).mean()
        gap += share * 0.5 * ((v - apart).square().sum(dim=1) - apart.square().sum(dim=1)).mean()
    assert abs(float(gap)) > 0.01
    torch.testing.assert_close(action, gap, rtol=1e-4, atol=1e-5)


def test_a_quadratic_landscape_is_found(rng):
    """A cloud that moves and narrows to half: the drift of its optimal map is linear in the state."""
    x0 = rng.standard_normal((500, 2))
    shift = np.array([1.0, -0.5])
    states = np.concatenate([x0, rng.permutation(0.5 * x0 + shift)])
    model = fit(
        from_arrays(states, np.repeat([0.0, 2.0], 500)), TrainConfig("action-matching", {"steps": 500})
    )
    for t in (0.5, 1.0, 1.5):
        s = t / 2
        x = (1 - 0.5 * s) * x0[:50] + s * shift
        known = (shift - 0.5 * x0[:50]) / 2
        error = np.abs(model(t, torch.from_numpy(x)).numpy() - known).mean()
        assert error < 0.06, f"{error:.3f} at {t}"


def test_a_model_without_a_landscape_says_so():
    model = fit(drifting(), TrainConfig("ot-cfm", {"steps": 10}))
    with pytest.raises(ModelError, match="Train one with action-matching"):
        model.potential(0.5, torch.zeros(1, 3))
