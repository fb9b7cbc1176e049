"""The form of paths is chosen from the training times alone, and the choice is told."""

import json
import math

import numpy as np
import pytest
from clouds import drifting

from dynamics.snapshots import from_arrays
from models.chains import Shape
from models.config import TrainConfig
from models.objectives import auto
from models.objectives.auto import PRIOR, scored
from models.train import fit

QUICK = {"steps": 20}


def chosen(shots) -> dict:
    return fit(shots, TrainConfig("auto", QUICK)).summary["figures"]["selection"]


def turning(n: int = 80, n_times: int = 6):
    """A cloud on its way round a circle."""
    rng = np.random.default_rng(0)
    times = np.repeat(np.arange(float(n_times)), n)
    angle = 0.9 * times + 0.1 * rng.standard_normal(len(times))
    states = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((len(times), 2))
    return from_arrays(states, times)


def zigzag(n: int = 80):
    """A cloud that turns sharply at every time: what smooth paths get wrong."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [2, 0], [2, 2], [4, 2], [4, 4], [6, 4], [6, 6]], float)
    times = np.repeat(np.arange(7.0), n)
    return from_arrays(np.repeat(corners, n, axis=0) + 0.4 * rng.standard_normal((len(times), 2)), times)


@pytest.fixture(scope="module")
def on_turns() -> dict:
    return chosen(turning())


def test_steady_turns_get_smooth_paths(on_turns):
    told = on_turns
    assert "natural" in told["chosen"]
    assert "closer to the real cells than straight paths" in told["why"]


def test_straight_motion_keeps_paths_simple():
    scores = chosen(drifting(80, times=(0.0, 1.0, 2.0, 3.0, 4.0), dim=2))["scores"]
    assert min(scores.values()) > -0.1


def test_smooth_paths_score_worse_where_motion_is_jagged(on_turns):
    smooth = chosen(zigzag())["scores"], on_turns["scores"]
    assert smooth[0]["natural cubic paths"] > smooth[1]["natural cubic paths"] + 0.2


def test_two_times_leave_the_prior_to_decide():
    told = chosen(drifting(60, times=(0.0, 1.0)))
    best = min(PRIOR, key=PRIOR.get)
    assert told["left_out"] == []
    assert told["chosen"] == str(best if PRIOR[best] < -auto.CLEAR else Shape())
    assert "with two times none can be left out" in told["why"]


def test_losses_weigh_more_than_gains():
    pulled, half = Shape(pull=auto.PULL), Shape("natural", 0.5)
    ratios = [
        dict.fromkeys(PRIOR, 0.0) | {pulled: math.log(0.8), half: change}
        for change in (math.log(0.6), math.log(1.5))
    ]
    scores = scored(ratios)
    prior = PRIOR[pulled]
    assert scores[Shape()] == 0.0
    assert scores[pulled] == pytest.approx((2 * math.log(0.8) + 2 * prior) / 4)
    assert scores[pulled] < -auto.CLEAR < scores[half]


def test_many_times_are_not_all_left_out():
    shots = drifting(12, times=tuple(float(t) for t in range(12)), dim=2)
    told = chosen(shots)
    assert len(told["left_out"]) == auto.MOST_FOLDS
    assert {1, 10} <= set(told["left_out"])
    assert json.loads(json.dumps(told)) == told
