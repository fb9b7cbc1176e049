"""The landscape: its slope is the velocity, its loss that of action matching; a known one is found."""

import numpy as np
import pytest
import torch
from clouds import drifting

from dynamics import growth
from dynamics.errors import ModelError, SettingsError
from dynamics.integrate import integrate
from dynamics.snapshots import from_arrays
from dynamics.stochastic import simulate
from models import checkpoint, networks
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


def cloud(sizes, times, *, apart: float, seed: int = 0):
    """Cells at rest, `sizes[k]` at time k; those of the second half of the first time stand apart."""
    rng = np.random.default_rng(seed)
    states = [rng.standard_normal((n, 2)) for n in sizes]
    for one in states:
        one[sizes[0] // 2 :, 0] += apart
    return from_arrays(np.concatenate(states), np.repeat(times, sizes), unit="day")


def growing(snapshots, **settings):
    values = {"growth": True, "steps": 300} | settings
    return fit(snapshots, TrainConfig("action-matching", values))


def test_exponential_growth_of_a_cloud_at_rest_is_found():
    """Every cell divides once a day; measured after one day and after two more."""
    first = np.random.default_rng(0).standard_normal((60, 2))
    copies, times = [1, 2, 8], [0.0, 1.0, 3.0]
    states = np.concatenate([np.repeat(first, n, axis=0) for n in copies])
    model = growing(from_arrays(states, np.repeat(times, [60 * n for n in copies])), numbers="counts")
    for t in (0.3, 0.9, 1.1, 2.0):
        rate = growth.growth_rate(model, t, first)
        assert np.abs(rate - np.log(2)).mean() < 0.01
        assert model(t, torch.from_numpy(first)).square().mean().sqrt() < 0.01
    assert max(model.summary["figures"]["relative_mass_error"]) < 0.01


@pytest.fixture(scope="module", params=["ignore", "counts"])
def grown(request):
    return growing(cloud((200, 300), (0.0, 1.0), apart=6.0), numbers=request.param)


def test_growth_of_two_groups_at_rest_is_found(grown):
    """The second group doubles; the first rests. One landscape: its slope between them moves few cells."""
    x = np.array([[0.0, 0.0], [6.0, 0.0]])
    rest, double = growth.growth_rate(grown, 0.5, x)
    counted = grown.settings["numbers"] == "counts"
    assert double - rest == pytest.approx(np.log(2), abs=0.15)
    assert rest == pytest.approx(0 if counted else -np.log(1.5), abs=0.12)
    total = 1.5 if counted else 1.0
    np.testing.assert_allclose(grown.summary["figures"]["total_mass"], [1, total], rtol=0.05)
    assert grown(0.5, torch.from_numpy(x)).abs().max() < 0.6
    assert grown.summary["final_loss"] < grown.summary["reference_loss"]


def test_growth_falls_with_the_height(grown):
    x = torch.linspace(-2, 8, 20, dtype=torch.float64).reshape(10, 2)
    ratio = grown.growth(0.4, x) / -grown.potential(0.4, x)
    torch.testing.assert_close(ratio, ratio[:1].expand(10), rtol=1e-5, atol=0)
    (tie,) = grown.summary["figures"]["growth_per_height"]
    assert float(ratio[0]) * grown.scale[0] ** 2 == pytest.approx(tie, rel=1e-5)


def test_a_landscape_with_growth_keeps_units_and_file(grown, tmp_path):
    checkpoint.save(grown, tmp_path / "m")
    again, x = checkpoint.load(tmp_path / "m"), torch.linspace(-2, 8, 12).reshape(6, 2)
    assert again.has_growth
    assert torch.equal(again.growth(0.3, x), grown.growth(0.3, x))
    hours = growing(cloud((200, 300), (0.0, 32.0), apart=6.0), numbers=grown.settings["numbers"])
    torch.testing.assert_close(32 * hours.growth(16.0, x), grown.growth(0.5, x), atol=1e-3, rtol=1e-3)


STIFF, TIMES = 1.0, np.array([0.0, 0.25, 0.5, 0.75])


@pytest.fixture(scope="module")
def process():
    """dx = −θx dt + √(2θ) dW: variance 1 about a mean that decays from (2, 0); exact in each sample."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((len(TIMES), 500, 2))
    states -= states.mean(axis=1, keepdims=True)
    for k, one in enumerate(states):
        states[k] = one @ np.linalg.inv(np.linalg.cholesky(np.cov(one.T))).T
    states[:, :, 0] += 2 * np.exp(-STIFF * TIMES)[:, None]
    return from_arrays(states.reshape(-1, 2), np.repeat(TIMES, 500), unit="day")


@pytest.fixture(scope="module")
def noisy(process):
    sigma = np.sqrt(2 * STIFF * 0.25) / np.sqrt(process.states.astype(float).var(axis=0).mean())
    return fit(process, TrainConfig("action-matching", {"diffusion": float(sigma), "steps": 600}))


def test_the_landscape_of_an_ornstein_uhlenbeck_process_is_found(noisy):
    """½θ‖x‖²: its slope is θx within a tenth, though all cells move alike and keep their spread."""
    rng = np.random.default_rng(1)
    slopes, middles = [], []
    for t in (0.15, 0.35, 0.6):
        x = rng.standard_normal((800, 2)) + np.array([2 * np.exp(-STIFF * t), 0])
        rows = torch.from_numpy(x).requires_grad_()
        (slope,) = torch.autograd.grad(noisy.potential(t, rows).sum(), rows)
        velocity, score = noisy.drifts(t, rows.detach())
        torch.testing.assert_close(velocity + score, -slope, atol=1e-4, rtol=1e-4)
        for d in range(2):
            stiff, offset = np.polyfit(x[:, d], slope[:, d].numpy(), 1)
            slopes.append(stiff)
            middles.append(-offset / stiff)
        assert np.polyfit(x[:, 1], velocity[:, 1].numpy(), 1)[0] == pytest.approx(0, abs=0.2)
    assert np.mean(slopes) == pytest.approx(STIFF, abs=STIFF / 10)
    np.testing.assert_allclose(middles, 0, atol=0.2)


def test_flow_and_diffusion_carry_the_same_cells(noisy, process):
    assert noisy.is_stochastic
    np.testing.assert_allclose(noisy.noise(0.3), np.sqrt(2 * STIFF), rtol=1e-5)
    x0 = process.at(0)
    flow = integrate(noisy, x0, TIMES[[0, 2, 3]]).states
    walks = simulate(noisy, x0, TIMES[[0, 2, 3]], seed=0).states
    for k, t in ((1, TIMES[2]), (2, TIMES[3])):
        for found in (flow[k], walks[k]):
            np.testing.assert_allclose(found.mean(axis=0), [2 * np.exp(-STIFF * t), 0], atol=0.15)
            np.testing.assert_allclose(np.cov(found.T), np.eye(2), atol=0.2)


def test_noise_is_kept_in_the_file_and_follows_units(process, noisy, tmp_path):
    checkpoint.save(noisy, tmp_path / "m")
    again, x = checkpoint.load(tmp_path / "m"), torch.linspace(-2, 2, 12).reshape(6, 2)
    for found, known in zip(again.drifts(0.3, x), noisy.drifts(0.3, x), strict=True):
        assert torch.equal(found, known)
    values = {"diffusion": 0.3, "steps": 20}
    days = fit(process, TrainConfig("action-matching", values))
    slow = from_arrays(1024 * process.states.astype(float), 32 * process.times)
    wide = fit(slow, TrainConfig("action-matching", values))
    for found, known in zip(wide.drifts(9.6, 1024 * x), days.drifts(0.3, x), strict=True):
        torch.testing.assert_close(found * 32 / 1024, known, atol=1e-4, rtol=1e-3)


def test_without_options_nothing_is_added():
    model = fit(drifting(), TrainConfig("action-matching", {"steps": 10}))
    assert (dict(model.architecture.heads), dict(model.architecture.tables)) == ({"potential": 1}, {})
    assert not model.has_growth
    assert not model.is_stochastic


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"growth": True, "diffusion": 0.3}, "Set diffusion to 0, or growth to false"),
        ({"growth": True, "fine_tune": 10}, "also learns growth"),
        ({"diffusion": 0.3, "fine_tune": 10}, "also learns score"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, said):
    with pytest.raises(SettingsError, match=said):
        fit(drifting(), TrainConfig("action-matching", {"steps": 10} | settings))
