"""Optimal transport without a network: exact on the pairs, at once, and along chains of pairs."""

import dataclasses

import numpy as np
import pytest
import torch
from clouds import drifting

from dynamics.coupling import Coupling, couple
from dynamics.errors import DataError, ModelError
from dynamics.integrate import integrate
from dynamics.snapshots import from_arrays
from models import checkpoint, pairs
from models.ancestry import plans, pull, push
from models.config import TrainConfig, knobs
from models.objectives import transport
from models.pairs import GROUP, NEIGHBOURS, _Interval
from models.train import fit


@pytest.fixture(scope="module")
def shots():
    """As many cells at each of three times, so that each has one partner."""
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((150, 2)) + np.array([2.0 * k, k * k]) for k in range(3)]
    return from_arrays(np.concatenate(states), np.repeat([0.0, 1.0, 5.0], 150), unit="day")


@pytest.fixture(scope="module")
def model(shots):
    return fit(shots, TrainConfig("ot"))


def test_nothing_is_trained_and_progress_ends(shots):
    told = []
    model = fit(shots, TrainConfig("ot"), progress=lambda *said, **__: told.append(said) or True)
    assert told[-1][0] == 1.0
    assert model.summary["steps"] == 0
    assert model.summary["loss"] == []
    assert list(model.net.parameters()) == []
    assert model.summary["final_loss"] < 0.2 * model.summary["reference_loss"]
    assert [knob.name for knob in knobs(transport.PlanSettings)] == ["pairing"]


def test_cells_land_on_their_partners(model, shots):
    start, middle, end = (shots.states[shots.rows(k)] for k in range(3))
    first, second = plans(model, shots)
    for x0, x1, plan, times in ((start, middle, first, [0.0, 1.0]), (middle, end, second, [1.0, 5.0])):
        landed = integrate(model, x0, times).states[-1][plan.i]
        moved = np.linalg.norm(x1[plan.j] - x0[plan.i], axis=1)
        apart = np.linalg.norm(landed - x1[plan.j], axis=1)
        assert np.quantile(apart, 0.9) < 0.05 * moved.mean()


def test_between_the_times_cells_are_on_the_straight_line(model, shots):
    plan = plans(model, shots)[0]
    x0, x1 = shots.states[shots.rows(0)][plan.i], shots.states[shots.rows(1)][plan.j]
    path = integrate(model, x0, [0.0, 0.25, 0.5]).states
    assert np.quantile(np.linalg.norm(path[2] - (x0 + x1) / 2, axis=1), 0.9) < 0.05
    v = model(0.25, torch.from_numpy(0.75 * x0 + 0.25 * x1))
    torch.testing.assert_close(v, torch.from_numpy(x1 - x0), atol=0.05, rtol=0.05)


def test_at_a_measured_time_the_interval_that_begins_counts(model, shots):
    first, second = plans(model, shots)
    x = shots.states[shots.rows(1)][second.i]
    forward = (shots.states[shots.rows(2)][second.j] - x) / 4
    torch.testing.assert_close(model(1.0, torch.from_numpy(x)), torch.from_numpy(forward), atol=0.1, rtol=0.1)
    ends = shots.states[shots.rows(2)][second.j]
    torch.testing.assert_close(
        model(9.0, torch.from_numpy(ends)), torch.from_numpy(forward), atol=0.1, rtol=0.1
    )
    assert len(first.i) == 150


@pytest.mark.parametrize("dim", [2, 20])
def test_the_search_among_many_pairs_finds_the_near_ones(rng, dim, monkeypatch):
    monkeypatch.setattr(pairs, "COMPARED", 1000)
    m = 4096
    z0 = torch.from_numpy(rng.standard_normal((m, dim)).astype(np.float32)) / torch.arange(1, dim + 1)
    ends = (z0, z0.roll(1, dims=1) + 1)
    interval = _Interval(ends)
    assert len(interval.groups[0].around) == m // GROUP
    s = torch.from_numpy(rng.random((500, 1)).astype(np.float32))
    for place in (s, torch.full((500, 1), 0.3)):
        z = torch.lerp(*(side[:500] for side in ends), place)
        apart = torch.cdist(z[:, None], torch.lerp(*(side[None] for side in ends), place[:, None]))[:, 0]
        truth = apart.topk(NEIGHBOURS + 1, largest=False).indices
        near = interval.nearest(z, place)
        assert (near == torch.arange(500)[:, None]).any(dim=1).float().mean() > 0.97
        shared = (near[:, :, None] == truth[:, None]).any(dim=2).float().mean()
        assert shared > (0.9 if dim == 2 else 0.5)


def test_derivatives_are_those_of_the_weights(model):
    x = torch.randn((6, 2), generator=torch.Generator().manual_seed(0)).double() + torch.tensor([1.0, 0.3])
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(0.4, row)))(x)
    assert jacobian.shape == (6, 2, 2)
    step = torch.tensor([1e-3, 0.0]).double()
    slope = (model(0.4, x + step) - model(0.4, x - step)) / 2e-3
    torch.testing.assert_close(jacobian[:, :, 0], slope, atol=2e-2, rtol=2e-2)


def test_of_many_pairs_some_are_kept_by_weight(monkeypatch):
    monkeypatch.setattr(transport, "MOST_PAIRS", 100)
    weight = np.repeat([3.0, 1.0], 150)
    one = Coupling(*[np.arange(300)] * 2, weight / weight.sum(), (300, 300), 1.0, 0.0, False, "x", "")
    rows, counts = transport._kept(one)
    assert counts.sum() == 100
    assert counts[rows < 150].sum() == 75
    model = fit(drifting(150), TrainConfig("ot"))
    assert model.net.weight.sum() == 200
    assert "100 are kept" in model.summary["warnings"][0]
    assert float(model(0.5, torch.tensor([[1.0, 0.0, 0.0]]))[0, 0]) == pytest.approx(2.0, abs=0.5)


def test_a_file_with_other_tables_is_refused(model, tmp_path):
    for name, value in (("pairs", 1e9), ("first", 7.0), ("weight", -1.0)):
        broken = dataclasses.replace(model)
        before = getattr(model.net, name).clone()
        getattr(model.net, name)[:] = value
        checkpoint.save(broken, tmp_path / "m")
        getattr(model.net, name)[:] = before
        with pytest.raises(ModelError, match="not pairs of its cells"):
            checkpoint.load(tmp_path / "m")(0.5, torch.zeros(1, 2))
    again = checkpoint.load(saved(model, tmp_path / "n"))
    assert torch.equal(again(0.5, torch.ones(3, 2)), model(0.5, torch.ones(3, 2)))


def saved(model, path):
    checkpoint.save(model, path)
    return path


@pytest.fixture
def fork():
    """Two cells, of which the second has two descendants; these have one each."""
    x0, x1, x2 = np.array([[0.0], [10.0]]), np.array([[0.0], [9.0], [11.0]]), np.array([[0.0], [8.0], [12.0]])
    return couple(x0, x1, name="exact"), couple(x1, x2, name="exact")


def test_push_and_pull_follow_the_pairs(fork):
    """Two cells of weight ½ onto three of ⅓: the second keeps ⅔ of its mass beyond the fork on each side."""
    down = push(fork, np.array([1.0, 0.0]), start=0, stop=1)
    np.testing.assert_allclose(down, [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(push(fork, np.array([1.0, 0.0]), start=0, stop=2), [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(push(fork, np.ones(2), start=0, stop=2), np.full(3, 2 / 3))
    np.testing.assert_allclose(pull(fork, np.array([0.0, 1.0, 1.0]), start=2, stop=0), [0.5, 1.5])
    np.testing.assert_allclose(pull(fork, np.array([1.0, 0.0, 0.0]), start=1, stop=0), [1, 0])


def test_requests_that_make_no_sense_are_refused(fork, shots):
    with pytest.raises(DataError, match="asked for was number 1"):
        push(fork, np.ones(3), start=1, stop=1)
    with pytest.raises(DataError, match="3 cells at this time"):
        push(fork, np.ones(2), start=1, stop=2)
    with pytest.raises(DataError, match="at least 0"):
        pull(fork, np.array([-1.0, 0.0, 1.0]), start=2, stop=0)
    with pytest.raises(ModelError, match="does not rest on a pairing"):
        plans(fit(shots, TrainConfig("i-cfm", {"steps": 10})), shots)
