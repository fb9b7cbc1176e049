"""Following cells along fields: closed forms, reversibility, and fields that misbehave."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fields import Function, Linear
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from dynamics import integrate as integration
from dynamics.errors import IntegrationError, ModelError, Stopped
from dynamics.integrate import METHODS, integrate
from dynamics.projection import Placement

TURN = np.array([[0.1, -1.0, 0.0], [1.0, 0.1, 0.0], [0.2, 0.0, -0.5]])


@pytest.fixture
def cloud(rng):
    return rng.normal(size=(200, 3)).astype(np.float32)


def exact(matrix, x0, times):
    return np.stack([x0.astype(np.float64) @ expm(matrix * (t - times[0])).T for t in times])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("times", [np.linspace(0, 4, 41), [4.0, 3.1, 1.234, 0.0], [2.0, 2.001, 7.77]])
def test_linear_systems_agree_with_the_matrix_exponential(cloud, method, times):
    result = integrate(Linear(TURN), cloud, times, method=method)
    np.testing.assert_allclose(result.states, exact(TURN, cloud, times), atol=1e-4 * np.abs(cloud).max())
    assert not result.failed.any()
    assert result.inside.all()
    assert result.message == ""


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_the_error_does_not_depend_on_the_scale_of_the_data(cloud, scale):
    times = np.linspace(0, 4, 9)
    for method in METHODS:
        result = integrate(Linear(TURN), scale * cloud, times, method=method)
        np.testing.assert_allclose(result.states / scale, exact(TURN, cloud, times), atol=5e-4)


@given(
    entries=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    inner=st.lists(st.floats(0.01, 2.99), min_size=1, max_size=5, unique=True),
)
@settings(max_examples=8, deadline=None)
def test_going_back_returns_to_the_start(entries, inner):
    field = Linear(np.reshape(entries, (2, 2)))
    x0 = np.random.default_rng(1).normal(size=(20, 2))
    there = integrate(field, x0, [0.0, *sorted(inner), 3.0])
    back = integrate(field, there.states[-1], [3.0, *sorted(inner, reverse=True), 0.0])
    np.testing.assert_allclose(back.states[::-1], there.states, atol=2e-3)


def test_time_dependent_fields_are_asked_at_the_right_times():
    field = Function(1, lambda t, x: torch.zeros_like(x) + 3 * t**2)
    for times in ([0.0, 1.0, 2.0], [2.0, 0.5, 0.0]):
        states = integrate(field, [[times[0] ** 3]], times).states[:, 0, 0]
        np.testing.assert_allclose(states, np.array(times) ** 3, atol=1e-5)


def test_outputs_between_steps_are_as_good_as_the_steps(cloud):
    on_grid = integrate(Linear(TURN), cloud, [0.0, 4.0], step=0.1)
    between = integrate(Linear(TURN), cloud, np.linspace(0, 4, 173), step=0.1)
    error = np.abs(between.states - exact(TURN, cloud, np.linspace(0, 4, 173))).max()
    assert error < 3e-5
    np.testing.assert_array_equal(on_grid.states[-1], between.states[-1])


def test_outputs_cost_no_evaluation():
    few, many = Linear(TURN), Linear(TURN)
    integrate(few, np.ones((2, 3)), [0, 4], step=0.2)
    integrate(many, np.ones((2, 3)), np.linspace(0, 4, 101), step=0.2)
    assert few.evaluations == many.evaluations == 4 * 20 + 1


def test_the_scheme_is_of_fourth_order(cloud):
    truth = exact(TURN, cloud, [0.0, 4.0])[-1]
    coarse, fine = (integrate(Linear(TURN), cloud, [0.0, 4.0], step=h).states[-1] for h in (0.8, 0.4))
    assert np.abs(coarse - truth).max() / np.abs(fine - truth).max() > 10


def test_steps_follow_uneven_snapshot_times():
    field = Linear(TURN)
    field.axis = SimpleNamespace(values=np.array([0.0, 1.0, 10.0]))
    integrate(field, np.ones((2, 3)), [0.0, 10.0])
    assert field.evaluations == 4 * 20 + 1
    field.evaluations = 0
    assert integrate(field, np.ones((2, 3)), [0.5, 12.0]).step <= 0.9 + 1e-9
    assert field.evaluations == 4 * (5 + 10 + 3) + 1


def test_cells_do_not_influence_each_other(cloud):
    together = integrate(Linear(TURN), cloud, [0, 1, 2]).states
    alone = integrate(Linear(TURN), cloud[7:8], [0, 1, 2]).states
    np.testing.assert_allclose(together[:, 7], alone[:, 0], atol=1e-6)


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_is_not_a_number_harms_only_itself(cloud, method, placed):
    support = Placement(cloud.copy(), cloud[:, :2].copy()) if placed else None
    cloud[5, 1] = np.nan
    result = integrate(Linear(TURN), cloud, [0.0, 1.0, 2.0], method=method, support=support)
    assert np.flatnonzero(result.failed).tolist() == [5]
    assert np.isfinite(np.delete(result.states, 5, axis=1)).all()
    assert "1 of 200 trajectories ran far out" in result.message


MOST = 100
SIGN = Function(2, lambda t, x: -torch.sign(x) + 0.3)
BAD_FIELDS = {
    "blow-up": Function(2, lambda t, x: x**2),
    "huge": Function(2, lambda t, x: 1e6 * torch.sin(1e3 * x)),
    "jumps": SIGN,
    "not a number": Function(2, lambda t, x: torch.where(x > 0.5, torch.nan, x)),
    "infinite": Function(2, lambda t, x: x / 0.0),
    "stiff": Linear(-1e4 * np.eye(2)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_fields_end_soon_and_say_how_many_cells_failed(rng, name, method):
    x0 = rng.normal(size=(300, 2)).astype(np.float32)
    field = BAD_FIELDS[name]
    field.evaluations = 0
    result = integrate(field, x0, [0.0, 1.0, 5.0], method=method, support=Placement(x0, x0), max_steps=MOST)
    assert field.evaluations <= 7 * MOST + 4 * 80 + 5
    assert np.isfinite(result.states[-1][~result.failed]).all()
    assert not result.inside[-1][result.failed].any()
    if result.n_failed:
        assert f"{result.n_failed} of 300 trajectories ran far out" in result.message


def test_a_blow_up_keeps_the_cells_that_stay(rng):
    x0 = rng.uniform(-2, -0.5, size=(50, 2)).astype(np.float32)
    x0[:10] = 1.0
    result = integrate(BAD_FIELDS["blow-up"], x0, [0.0, 0.5, 3.0], support=Placement(x0, x0))
    assert np.flatnonzero(result.failed).tolist() == list(range(10))
    np.testing.assert_allclose(result.states[-1, 10:], x0[10:] / (1 - 3 * x0[10:]), rtol=1e-3)


def test_too_many_adaptive_steps_are_said():
    result = integrate(SIGN, np.full((4, 2), 0.25), [0.0, 3.0], method="dopri5", max_steps=50)
    assert result.notes == (
        "4 cells could not be followed with adaptive steps (more than 50 were needed, or they became too "
        "small); fixed steps were used for them.",
    )


def test_cells_that_leave_the_data_stay_marked(rng):
    data = rng.normal(size=(400, 2)).astype(np.float32)
    there_and_back = Function(2, lambda t, x: torch.cos(t) * torch.tensor([[8.0, 0.0]]).expand_as(x))
    result = integrate(there_and_back, data[:20], np.linspace(0, np.pi, 21), support=Placement(data, data))
    assert result.inside[0].all()
    assert not result.inside[10].any()
    assert not result.inside[-1].any()
    assert not result.failed.any()
    assert result.message.startswith(
        "20 of 20 trajectories (100.0%) have left the measured cells by t = 3.142"
    )
    np.testing.assert_allclose(result.xy, result.states)


def test_dopri5_guards_the_worst_cell(rng):
    """A few fast cells among many slow ones are followed as well as if they were alone."""
    field = Function(2, lambda t, x: torch.stack([-x[:, 1], x[:, 0]], 1) * x.norm(dim=1, keepdim=True) ** 2)
    x0 = np.full((2000, 2), 0.01, np.float32)
    x0[0] = [3.0, 0.0]
    end = integrate(field, x0, [0.0, 2.0], method="dopri5").states[-1, 0]
    np.testing.assert_allclose(end, 3 * np.array([np.cos(18), np.sin(18)]), atol=2e-2)


@pytest.mark.parametrize("times", [[0, 1, 1], [0, 2, 1], [], [0, np.nan]])
def test_times_out_of_order_are_refused(times):
    with pytest.raises(IntegrationError, match="strictly rising"):
        integrate(Linear(TURN), np.ones((1, 3)), times)


def test_requests_that_cannot_work_are_refused():
    field = Linear(TURN)
    with pytest.raises(IntegrationError, match="No starting cell"):
        integrate(field, np.empty((0, 3)), [0, 1])
    with pytest.raises(IntegrationError, match=r"“euler”; choose one of rk4, dopri5"):
        integrate(field, np.ones((1, 3)), [0, 1], method="euler")
    with pytest.raises(IntegrationError, match="at most 20,000"):
        integrate(field, np.ones((1, 3)), [0, 1], step=1e-9)
    with pytest.raises(IntegrationError, match="larger than 0"):
        integrate(field, np.ones((1, 3)), [0, 1], step=0.0)
    with pytest.raises(ModelError, match="3 dimensions"):
        integrate(field, np.ones((1, 2)), [0, 1])
    with pytest.raises(Stopped):
        integrate(field, np.ones((1, 3)), [0, 1], progress=lambda *_, **__: False)


def test_a_single_time_returns_the_start(cloud):
    result = integrate(Linear(TURN), cloud, [3.0])
    np.testing.assert_array_equal(result.states[0], cloud)
    assert not result.states.flags.writeable


def test_the_same_request_gives_the_same_bits(cloud):
    first, second = (integrate(Linear(TURN), cloud, [0, 1, 5]).states for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_adaptive_steps_are_not_tried_again_and_again(monkeypatch):
    monkeypatch.setattr(integration, "CHUNK", 64)
    result = integrate(SIGN, np.full((640, 2), 0.25), [0.0, 3.0], method="dopri5", max_steps=20)
    assert result.notes[0].startswith("640 cells")
    assert not result.failed.any()


def test_a_cell_in_the_grid_of_steps_keeps_its_state_when_the_next_step_fails():
    field = Function(1, lambda t, x: torch.where(t > 1.0, torch.inf, 1.0) * torch.ones_like(x))
    result = integrate(field, [[0.0]], [0.0, 1.0, 2.0], step=0.25)
    assert result.states[1, 0, 0] == pytest.approx(1.0)
    assert result.failed.tolist() == [True]
