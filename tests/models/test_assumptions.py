"""Other assumptions: where all models must agree, and where they cannot."""

import numpy as np
import pytest
from clouds import drifting

from models import assumptions
from models.assumptions import Assumed, agreement, assumed, to_json
from models.config import TrainConfig

STILL = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def course():
    return drifting(60, times=(0.0, 1.0, 3.0), dim=2)


def answer(course, v, end) -> Assumed:
    n = course.n_cells
    return Assumed("ot-cfm", np.tile(v, (n, 1)).astype(np.float32), np.tile(end, (n, 1)).astype(np.float32))


def test_directions_are_compared_in_pairs(course):
    same = [answer(course, [1.0, 0.0], [0, 0]), answer(course, [3.0, 0.0], [0, 0])]
    np.testing.assert_allclose(agreement(course, same, groups=STILL, names=()).direction, 1.0)
    right = [answer(course, [1.0, 0.0], [0, 0]), answer(course, [0.0, 1.0], [0, 0])]
    np.testing.assert_allclose(agreement(course, right, groups=STILL, names=()).direction, 0.0, atol=1e-6)
    still = [answer(course, [1.0, 0.0], [0, 0]), answer(course, [0.0, 0.0], [0, 0])]
    assert np.isnan(agreement(course, still, groups=STILL, names=()).direction).all()


def test_fates_are_those_of_the_nearest_cells(course):
    groups = (course.time_index == 2).astype(np.int64)
    late, early = course.at(2).mean(axis=0), course.at(0).mean(axis=0)
    found = [answer(course, [1, 0], late), answer(course, [1, 0], late), answer(course, [1, 0], early)]
    told = agreement(course, found, groups=groups, names=("early", "late"))
    before = course.time_index < 2
    np.testing.assert_allclose(told.fate[before], 2 / 3)
    assert np.isnan(told.fate[~before]).all()
    said = to_json(told, groups=groups, names=("early", "late"))
    assert said["fate_depends"] == 1.0
    assert said["types"][0] == {
        "type": "early",
        "n_cells": int((groups == 0).sum()),
        "median_cosine": 1.0,
        "direction_depends": 0.0,
        "fate_depends": 1.0,
    }


def test_models_of_a_drift_agree(course):
    quick = {"steps": 150}
    found = [assumed(course, TrainConfig(name, quick)) for name in ("ot-cfm", "spline-cfm")]
    told = agreement(course, found, groups=STILL, names=())
    assert np.nanmedian(told.direction) > 0.9
    np.testing.assert_allclose(found[0].ends.mean(axis=0), course.at(2).mean(axis=0), atol=0.4)


def test_methods_that_need_more_times_are_left_out():
    two = drifting(30, times=(0.0, 1.0))
    assert "spline-cfm" not in assumptions.methods_for(two)
    assert "ot-cfm" in assumptions.methods_for(two)
