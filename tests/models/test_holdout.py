"""Leaving a time out: nothing of it is seen, and where the work runs does not matter."""

import numpy as np
import pytest
from clouds import drifting

from dynamics import metrics
from dynamics.errors import DataError, SettingsError
from models import holdout
from models.config import TrainConfig

QUICK = {"steps": 60}


@pytest.fixture(scope="module")
def course():
    return drifting(120, times=(0.0, 1.0, 3.0, 4.0), dim=2)


def test_the_held_out_time_is_not_there(course):
    rest = holdout.without(course, 2)
    assert rest.axis.labels == ("0", "1", "4")
    assert list(rest.axis.values) == [0.0, 1.0, 4.0]
    assert rest.axis.n_cells == tuple(np.bincount(rest.time_index))
    assert rest.n_cells == course.n_cells - course.axis.n_cells[2]
    for k, other in enumerate((0, 1, 3)):
        np.testing.assert_array_equal(rest.at(k), course.at(other))


def test_the_score_does_not_depend_on_what_the_model_must_not_see(course):
    """Other cells at the held-out time: the prediction is the same, only its distance differs."""
    states = course.states.copy()
    rows = course.rows(1)
    states[rows] += [50.0, 0.0]
    moved = type(course)(states, course.time_index, course.axis, course.cells, course.rep)
    task = holdout.Task(TrainConfig("ot-cfm", QUICK), 1)
    near, far = holdout.score(course, task), holdout.score(moved, task)
    assert far.w1 == pytest.approx(50.0, abs=2 * near.w1)


def test_a_drift_is_predicted_and_baselines_are_in_order(course):
    task = holdout.Task(TrainConfig("ot-cfm", {"steps": 300}), 2)
    found = holdout.score(course, task)
    naive = {one.name: one.w1 for one in holdout.baselines(course, 2)}
    assert max(found.w1, naive["noise-floor"]) < 0.4 * naive["copy"]
    assert naive["copy"] == pytest.approx(4.0, abs=0.3)  # two days at velocity 2
    assert naive["ot-midpoint"] < 1.0


def test_the_midpoint_is_weighted_by_time():
    """One cell a time on a line: at 1 of 0, 1, 4 a quarter of the way."""
    shots = drifting(1, times=(0.0, 1.0, 4.0), dim=1)
    at = {k: shots.at(k)[:1].astype(float) for k in range(3)}
    kept = np.sort(np.concatenate([shots.rows(k)[:1] for k in range(3)]))
    single = type(shots)(
        shots.states[kept].copy(), shots.time_index[kept].copy(), shots.axis, shots.cells[kept].copy()
    )
    naive = {one.name: one.w1 for one in holdout.baselines(single, 1)}
    assert naive["ot-midpoint"] == pytest.approx(abs(0.75 * at[0] + 0.25 * at[2] - at[1])[0, 0], rel=1e-5)
    assert naive["copy"] == pytest.approx(abs(at[0] - at[1])[0, 0], rel=1e-5)


@pytest.mark.parametrize("origin", holdout.ORIGINS)
def test_cells_come_from_the_named_time(course, origin):
    task = holdout.Task(TrainConfig("ot-cfm", QUICK), 2, origin)
    assert holdout.score(course, task).origin == origin
    if origin == "previous":
        first = holdout.score(course, holdout.Task(TrainConfig("ot-cfm", QUICK), 2, "first"))
        assert first.w1 != holdout.score(course, task).w1


def test_names_and_numbers_of_times(course):
    assert holdout.times_to_hold_out(course) == [1, 2]
    assert holdout.times_to_hold_out(course, ["3", "1"]) == [1, 2]
    with pytest.raises(SettingsError, match=r"'4' cannot be held out; times between two others are: 1, 3"):
        holdout.times_to_hold_out(course, ["4"])
    two = drifting(5, times=(0.0, 1.0))
    assert holdout.times_to_hold_out(two) == []
    with pytest.raises(DataError, match="three are needed"):
        holdout.times_to_hold_out(two, ["1"])
    with pytest.raises(SettingsError, match="one seed or more"):
        holdout.tasks([TrainConfig()], [1], seeds=0)
    assert [one.config.seed for one in holdout.tasks([TrainConfig(seed=4)], [1], seeds=2)] == [4, 5]


def test_many_cells_are_compared_by_a_fixed_choice(course, monkeypatch):
    monkeypatch.setattr(holdout, "MOST_CELLS", 30)
    a, b = holdout.baselines(course, 1), holdout.baselines(course, 1)
    assert a == b
    full = metrics.w1(course.at(0), course.at(1))
    assert a[0].w1 != full
    assert a[0].w1 == pytest.approx(full, rel=0.5)
