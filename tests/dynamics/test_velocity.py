"""Asking a field for many velocities."""

import numpy as np
import pytest
import torch
from fields import Function, Linear

from dynamics import velocity
from dynamics.errors import ModelError


def test_chunks_and_times_do_not_change_the_answer(rng, monkeypatch):
    field = Function(2, lambda t, x: t * x)
    x, t = rng.normal(size=(50, 2)), rng.choice([0.0, 1.5, 4.0], 50)
    monkeypatch.setattr(velocity, "CHUNK", 7)
    np.testing.assert_allclose(velocity.evaluate(field, t, x), t[:, None] * x, rtol=1e-6)
    np.testing.assert_allclose(velocity.evaluate(field, 2.0, x), 2 * x, rtol=1e-6)


def test_each_distinct_time_is_asked_once(rng):
    field = Linear(np.eye(2))
    velocity.evaluate(field, rng.choice([0.0, 1.0, 2.0], 100), rng.normal(size=(100, 2)))
    assert field.evaluations == 3


def test_read_only_and_empty_states_work():
    x = np.ones((3, 2), np.float32)
    x.flags.writeable = False
    assert velocity.evaluate(Linear(np.eye(2)), 0.0, x).dtype == np.float32
    assert velocity.evaluate(Linear(np.eye(2)), 0.0, np.empty((0, 2))).shape == (0, 2)


def test_no_gradient_is_kept():
    weight = torch.ones(2, requires_grad=True)
    field = Function(2, lambda t, x: x * weight)
    np.testing.assert_array_equal(velocity.evaluate(field, 0.0, np.ones((1, 2))), 1)


def test_states_of_another_width_are_refused():
    with pytest.raises(ModelError, match=r"2 dimensions.*\(4, 5\)"):
        velocity.evaluate(Linear(np.eye(2)), 0.0, np.ones((4, 5)))
