"""What every registered method must keep."""

import numpy as np
import pytest
import torch
from clouds import changed, drifting

from dynamics.field import VelocityField
from dynamics.snapshots import from_arrays
from models import checkpoint
from models.config import TrainConfig
from models.holdout import push
from models.methods import METHODS
from models.train import fit

STEPS, STEPS_BY_SIMULATION = 150, 60


def trains(method):
    """Whether a method takes steps; one that only looks cells up has none to set."""
    return METHODS[method].objective.evaluations > 0


def trained(snapshots, method, *, steps=None, seed=0, **config):
    usual = STEPS if METHODS[method].objective.evaluations < 10 else STEPS_BY_SIMULATION
    settings = {"steps": steps or usual} if trains(method) else {}
    return fit(snapshots, TrainConfig(method, settings, seed=seed, **config), name="test")


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def snapshots():
    return drifting()


@pytest.fixture(scope="module")
def model(method, snapshots):
    return trained(snapshots, method)


@pytest.fixture(scope="module")
def x(snapshots):
    return torch.from_numpy(snapshots.states[::50].copy())


def test_it_is_a_velocity_field(model, x):
    assert isinstance(model, VelocityField)
    assert model(0.5, x).shape == x.shape
    assert model(0.5, x).dtype == x.dtype
    assert model(0.5, x.double()).dtype == torch.float64


def test_a_time_for_each_cell(model, x):
    times = torch.linspace(0, 3, len(x))
    each = torch.cat([model(float(t), row[None]) for t, row in zip(times, x, strict=True)])
    for given in (times, times[:, None]):
        torch.testing.assert_close(model(given, x), each)
    torch.testing.assert_close(model(torch.tensor([1.5]), x), model(1.5, x))
    with pytest.raises(ValueError, match="give one, or one each"):
        model(times[:3], x)


def test_derivatives_flow_through(model, x):
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(1.0, row)))(x)
    step = torch.zeros_like(x[0]).double()
    step[1] = 1e-4
    wide = x.double()
    slope = (model(1.0, wide + step) - model(1.0, wide - step)) / 2e-4
    torch.testing.assert_close(jacobian[:, :, 1].double(), slope, atol=1e-2, rtol=1e-2)


def test_loss_falls_below_that_of_a_mean_velocity(snapshots, method):
    two_ways = np.where(np.arange(snapshots.n_cells)[:, None] % 2, snapshots.times[:, None], 0)
    model = trained(changed(from_arrays(snapshots.states + 3 * two_ways, snapshots.times)), method)
    losses = [loss for _, loss in model.summary["loss"]]
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) if trains(method) else losses == []
    assert model.summary["final_loss"] < model.summary["reference_loss"]
    assert model.summary["warnings"] == []


def test_the_same_seed_gives_the_same_file(model, snapshots, method, tmp_path):
    for name, one in (
        ("a", model),
        ("b", trained(snapshots, method)),
        ("c", trained(snapshots, method, seed=1)),
    ):
        checkpoint.save(one, tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_training_leaves_the_global_random_state_alone(snapshots, method):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    trained(snapshots, method, steps=10)
    assert (torch.rand(1), np.random.rand()) == before


def test_a_saved_model_answers_the_same(model, x, tmp_path):
    checkpoint.save(model, tmp_path / "m.safetensors")
    again = checkpoint.load(tmp_path / "m.safetensors")
    for t in (0.0, 0.7, 3.0):
        assert torch.equal(again(t, x), model(t, x))
    assert again.times == model.times == (0.0, 3.0)
    assert again.settings == model.settings
    checkpoint.save(again, tmp_path / "n.safetensors")
    assert (tmp_path / "n.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


@pytest.mark.parametrize(("scale", "shift"), [(2.0**-7, 0.0), (2.0**10, 0.0), (1000.0, 300.0)])
def test_velocity_follows_the_units_of_the_states(model, x, snapshots, method, scale, shift):
    other = trained(changed(snapshots, scale=scale, shift=shift), method)
    torch.testing.assert_close(other(0.5, x * scale + shift) / scale, model(0.5, x), atol=0.05, rtol=0.05)


def test_velocity_follows_the_unit_of_time(model, x, snapshots, method):
    hours = trained(changed(snapshots, slower=32.0), method)
    torch.testing.assert_close(32 * hours(32 * 0.5, x), model(0.5, x), atol=1e-3, rtol=1e-3)


def test_the_order_of_cells_does_not_matter(model, x, snapshots, method):
    order = np.random.default_rng(0).permutation(snapshots.n_cells)
    shuffled = trained(from_arrays(snapshots.states[order], snapshots.times[order], unit="day"), method)
    apart = (shuffled(1.5, x) - model(1.5, x)).square().mean().sqrt()
    assert apart < 0.35 * model(1.5, x).square().mean().sqrt()


def test_a_constant_drift_is_found_in_real_time(model, snapshots, method):
    """Gaps of one and of two days, one velocity: each displacement is divided by its own gap."""
    if model.settings.get("steps") == STEPS_BY_SIMULATION:
        model = trained(snapshots, method, steps=STEPS)
    for k, (t0, t1) in enumerate(((0.0, 1.0), (1.0, 3.0))):
        start = snapshots.at(k)
        moved = (push(model, start, t0, t1)[0] - start).mean(axis=0)
        assert moved[0] == pytest.approx(2.0 * (t1 - t0), abs=0.25 * (t1 - t0))
        assert np.abs(moved[1:]).max() < 0.25 * (t1 - t0)


def test_whitening_learns_a_narrow_dimension_too(method):
    rng = np.random.default_rng(0)
    times = np.repeat([0.0, 1.0], 400)
    states = rng.standard_normal((800, 2)) * [100.0, 0.01]
    states[:, 1] += 0.05 * times
    model = trained(from_arrays(states, times), method, steps=STEPS, whiten=True)
    v = model(0.5, torch.tensor([[0.0, 0.025]]))
    assert float(v[0, 1]) == pytest.approx(0.05, rel=0.2)
