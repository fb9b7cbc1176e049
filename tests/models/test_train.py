"""The training loop: resumes exactly, stops when asked, says when it fails; and closed forms."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from clouds import drifting

from dynamics.errors import DataError, SettingsError, Stopped, TrainingError
from dynamics.snapshots import Snapshots, from_arrays
from models import checkpoint, container, loop, resume
from models.config import TrainConfig
from models.train import fit

QUICK = {"steps": 120}


@pytest.fixture(scope="module")
def snapshots():
    return drifting(200)


def stop_at(step: int):
    def progress(fraction, message="", **figures):
        return figures.get("step", 0) < step

    return progress


def nothing_is_trained(fraction, message="", **figures):
    return figures.get("step", 120) == 120


@pytest.fixture
def every_step(monkeypatch):
    """Report and keep at every step instead of a few times a second."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(resume, "CHECKPOINT_SECONDS", 0.0)


@pytest.mark.parametrize("average", [0.0, 0.99])
@pytest.mark.parametrize("stopped", [1, 50, 77])
def test_a_resumed_run_gives_the_same_file(snapshots, tmp_path, every_step, stopped, average):
    config = TrainConfig("ot-cfm", settings=QUICK | {"average": average})
    checkpoint.save(fit(snapshots, config), tmp_path / "whole")
    kept = tmp_path / "kept.safetensors"
    with pytest.raises(Stopped):
        fit(snapshots, config, checkpoint=kept, progress=stop_at(stopped))
    assert kept.exists()
    first = []
    model = fit(
        snapshots,
        config,
        checkpoint=kept,
        progress=lambda *_, **said: first.append(said.get("step", 0)) or True,
    )
    assert min(step for step in first if step) == stopped + 1
    checkpoint.save(model, tmp_path / "resumed")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    again = fit(snapshots, config, checkpoint=kept, progress=nothing_is_trained)
    checkpoint.save(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_checkpoint_of_another_run_is_not_resumed(snapshots, tmp_path, every_step):
    kept, messages = tmp_path / "kept.safetensors", []
    with pytest.raises(Stopped):
        fit(snapshots, TrainConfig("ot-cfm", settings=QUICK), checkpoint=kept, progress=stop_at(60))
    other = TrainConfig("ot-cfm", settings=QUICK, seed=1)
    model = fit(
        snapshots, other, checkpoint=kept, progress=lambda _, said="", **__: messages.append(said) or True
    )
    assert any("belongs to other data" in message for message in messages)
    y = torch.zeros(2, 3)
    assert torch.equal(model(1.0, y), fit(snapshots, other)(1.0, y))


def test_a_damaged_checkpoint_is_said_and_not_used(snapshots, tmp_path):
    kept, messages = tmp_path / "kept.safetensors", []
    kept.write_bytes(b"\x10" * 100)
    fit(
        snapshots,
        TrainConfig("ot-cfm", settings=QUICK),
        checkpoint=kept,
        progress=lambda _, said="", **__: messages.append(said) or True,
    )
    assert any(message.startswith("Starting from the first step") for message in messages)


def test_it_stops_while_pairing(snapshots):
    with pytest.raises(Stopped):
        fit(snapshots, TrainConfig("ot-cfm"), progress=lambda *_, **__: False)


def test_progress_rises_and_is_told_at_most_ten_times_a_second(snapshots):
    told, began = [], time.monotonic()
    fit(
        snapshots,
        TrainConfig("ot-cfm", settings={"steps": 200}),
        progress=lambda fraction, message="", **said: told.append((fraction, message, said)) or True,
    )
    seconds = time.monotonic() - began
    training = [said for _, _, said in told if said]
    assert [fraction for fraction, _, _ in told] == sorted(fraction for fraction, _, _ in told)
    assert told[-1][0] == 1.0
    assert training[-1].keys() == {"loss", "step", "steps"}
    assert training[-1]["step"] == training[-1]["steps"] == 200
    assert len(training) <= 10 * seconds + 2


def test_the_thread_count_is_put_back(snapshots):
    before = torch.get_num_threads()
    with pytest.raises(Stopped):
        fit(snapshots, TrainConfig("ot-cfm", settings=QUICK), progress=stop_at(1))
    assert torch.get_num_threads() == before


def test_missing_values_are_counted_before_training(snapshots):
    states = snapshots.states.copy()
    states[:3, 1] = np.nan
    states[7, 0] = np.inf
    broken = dataclasses.replace(snapshots, states=states)
    with pytest.raises(DataError, match=r"4 of 660 cells have missing or infinite values in X"):
        fit(broken, TrainConfig("ot-cfm"))


def test_a_loss_that_is_no_number_stops_at_its_step(snapshots, monkeypatch, tmp_path, every_step):
    from models.objectives.flow_matching import FlowMatching

    plain, calls = FlowMatching.loss, []

    def broken(self, net, batch):
        calls.append(1)
        return plain(self, net, batch) * (float("nan") if len(calls) == 31 else 1.0)

    monkeypatch.setattr(FlowMatching, "loss", broken)
    kept = tmp_path / "kept.safetensors"
    with pytest.raises(TrainingError, match=r"step 31 of 120.*no longer a number.*smaller learning rate"):
        fit(snapshots, TrainConfig("ot-cfm", settings=QUICK), checkpoint=kept)
    assert kept.exists()


def without_slope(value, times):
    """Return a value whose slope stops being a number at one call, while the value itself stays one."""
    times.append(1)
    return value + (0 * (value - value.detach())).sqrt().sum() if len(times) == 31 else value


@pytest.mark.parametrize("members", [1, 3])
def test_a_slope_that_is_no_number_stops_at_its_step_and_the_last_good_weights_stay(
    snapshots, monkeypatch, tmp_path, every_step, members
):
    from models.objectives.flow_matching import FlowMatching

    plain, calls = FlowMatching.loss, []
    monkeypatch.setattr(FlowMatching, "loss", lambda *given: without_slope(plain(*given), calls))
    kept = tmp_path / "kept.safetensors"
    recipe = TrainConfig("ot-cfm", settings=QUICK, members=members)
    with pytest.raises(TrainingError, match=r"step 31 of 120.*slope of the loss"):
        fit(snapshots, recipe, checkpoint=kept)
    header, table = container.read(kept, container.STATE_KIND)
    state = container.checked_tensors(kept, table, header)
    assert int(state["step"]) == 30
    assert all(np.isfinite(one).all() for one in state.values())
    monkeypatch.undo()
    again = fit(snapshots, recipe, checkpoint=kept)
    undisturbed = fit(snapshots, recipe)
    checkpoint.save(again, tmp_path / "again")
    checkpoint.save(undisturbed, tmp_path / "undisturbed")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "undisturbed").read_bytes()


def test_one_cell_that_is_no_number_among_two_thousand_is_named_before_training(rng):
    states = rng.standard_normal((2_000, 2))
    states[1_234, 1] = np.nan
    shots = from_arrays(np.nan_to_num(states), np.repeat([0.0, 1.0], 1_000))
    broken = dataclasses.replace(shots, states=states.astype(np.float32))
    with pytest.raises(DataError, match=r"1 of 2,000 cells has|1 of 2,000 cells have"):
        fit(broken, TrainConfig("ot-cfm"))


def test_learning_nothing_is_said(snapshots):
    model = fit(
        snapshots,
        TrainConfig("ot-cfm", settings={"steps": 30, "learning_rate": 1.0, "clip": 1000.0, "noise": 0.0}),
    )
    assert "nothing was learned" in model.summary["warnings"][0]


def test_what_cannot_be_learned_is_refused_in_words(snapshots):
    still = from_arrays(np.ones((40, 2)), np.repeat([0.0, 1.0], 20))
    with pytest.raises(DataError, match="All 40 cells have the same state"):
        fit(still, TrainConfig("ot-cfm"))
    with pytest.raises(DataError, match="two or more"):
        fit(from_arrays(np.eye(3), [1, 1, 1]), TrainConfig("ot-cfm"))
    with pytest.raises(DataError, match="9 dimensions were asked for; X has 3"):
        fit(snapshots, TrainConfig("ot-cfm", dims=9))
    with pytest.raises(SettingsError, match="Unknown setting sigma"):
        fit(snapshots, TrainConfig("ot-cfm", settings={"sigma": 1}))


def test_fewer_dimensions_are_the_leading_ones(snapshots):
    model = fit(snapshots, TrainConfig("ot-cfm", settings=QUICK, dims=2))
    cut = dataclasses.replace(snapshots, states=snapshots.states[:, :2].copy())
    assert model.dim == 2
    assert model.fingerprint == cut.fingerprint
    assert torch.equal(
        model(1.0, torch.ones(1, 2)), fit(cut, TrainConfig("ot-cfm", settings=QUICK))(1.0, torch.ones(1, 2))
    )


@pytest.mark.parametrize("counts", [(1, 1), (1, 30), (2, 1, 3)])
def test_a_handful_of_cells_is_enough_to_run(counts):
    rng = np.random.default_rng(0)
    states = rng.standard_normal((sum(counts), 2))
    model = fit(
        from_arrays(states, np.repeat(np.arange(len(counts)), counts)),
        TrainConfig("ot-cfm", settings={"steps": 10}),
    )
    assert torch.isfinite(model(0.5, torch.zeros(1, 2))).all()


def test_one_cell_goes_where_it_was_seen():
    model = fit(
        from_arrays(np.array([[0.0, 0.0], [3.0, -1.0]]), [0.0, 2.0]),
        TrainConfig("ot-cfm", settings={"steps": 300, "noise": 0.0}),
    )
    torch.testing.assert_close(
        model(1.0, torch.tensor([[1.5, -0.5]])), torch.tensor([[1.5, -0.5]]), atol=0.05, rtol=0
    )


def pushed(model, x: np.ndarray, t0: float, t1: float, steps: int = 40) -> np.ndarray:
    """Follow the field by the classical Runge–Kutta scheme."""
    y, h = torch.from_numpy(x), (t1 - t0) / steps
    for k in range(steps):
        t = t0 + k * h
        k1 = model(t, y)
        k2 = model(t + h / 2, y + h / 2 * k1)
        k3 = model(t + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + model(t + h, y + h * k3))
    return y.numpy()


def test_gaussian_to_gaussian_has_the_displacement_interpolation():
    """Between N(m0, S0) and N(m1, S1) with common axes, mean and spread are straight lines in time."""
    rng = np.random.default_rng(0)
    m1, s0, s1 = np.array([3.0, -2.0]), np.array([1.0, 0.5]), np.array([0.5, 1.5])
    x0 = rng.standard_normal((1000, 2)) * s0
    x1 = rng.standard_normal((1000, 2)) * s1 + m1
    shots = from_arrays(np.concatenate([x0, x1]), np.repeat([0.0, 4.0], 1000))
    model = fit(shots, TrainConfig("ot-cfm", settings={"steps": 500, "noise": 0.0}))
    for share in (0.5, 1.0):
        there = pushed(model, x0.astype(np.float32), 0.0, 4.0 * share)
        np.testing.assert_allclose(there.mean(axis=0), share * m1, atol=0.12)
        spread = (1 - share) * s0 + share * s1
        np.testing.assert_allclose(np.cov(there.T), np.diag(spread**2), atol=0.2)


def test_uneven_gaps_are_each_learned():
    """An hour and a month: the velocities differ seven-hundredfold, and both are found."""
    times = (0.0, 1.0, 721.0)
    rng = np.random.default_rng(0)
    states = np.concatenate([rng.standard_normal((300, 2)) + np.array([2.0 * k, 0]) for k in range(3)])
    shots: Snapshots = from_arrays(states, np.repeat(times, 300))
    model = fit(shots, TrainConfig("ot-cfm", settings={"steps": 400}))
    early = model(0.5, torch.tensor([[1.0, 0.0]]))[0, 0]
    late = model(361.0, torch.tensor([[3.0, 0.0]]))[0, 0]
    assert float(early) == pytest.approx(2.0, rel=0.15)
    assert float(late) == pytest.approx(2.0 / 720, rel=0.15)
