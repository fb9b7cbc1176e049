"""Where members of an ensemble part, in closed form."""

import numpy as np
import pandas as pd
import pytest
import torch
from fields import Function

from dynamics.integrate import integrate
from dynamics.path_spread import APART, end_types, path_spread
from dynamics.projection import Placement
from dynamics.snapshots import from_arrays


def constant(*velocity):
    return Function(len(velocity), lambda t, x: torch.tensor([velocity], dtype=x.dtype).expand_as(x))


class Several(Function):
    def __init__(self, *members):
        super().__init__(members[0].dim, members[0])
        self.members = members


TIMES = np.linspace(0, 1, 21)


@pytest.fixture
def cells(rng):
    """Left, middle and right at two times, each group as wide as 0.3 in both directions."""
    centres = np.repeat([[-4.0, 0], [0, 0], [4, 0]], 200, axis=0)
    return from_arrays(rng.normal(scale=0.3, size=(600, 2)) + centres, np.tile([0.0, 1.0], 300))


@pytest.fixture
def labels():
    return pd.Categorical(np.repeat(["left", "middle", "right"], 200))


def middle(cells):
    return cells.states[200:400][np.abs(cells.states[200:400]).max(axis=1) < 0.3][:40]


def followed(field, cells, *, times=TIMES, support=None):
    paths = integrate(field, middle(cells), times, support=support)
    return paths, path_spread(field, paths, snapshots=cells, support=support)


def test_members_apart_at_constant_speed(cells):
    paths, found = followed(Several(constant(4.0, 0.0), constant(-4.0, 0.0)), cells)
    np.testing.assert_allclose(found.spread, np.repeat(4 * TIMES[:, None], paths.n_cells, axis=1), atol=1e-4)
    width = np.median([np.sqrt(cells.at(k).var(axis=0).sum()) for k in (0, 1)])
    assert found.width == pytest.approx(width, rel=1e-5)
    np.testing.assert_array_equal(found.apart[:, 0], APART * width < 4 * TIMES)
    assert found.share_apart == 1


def test_paths_that_met_again_stay_marked(cells):
    there_and_back = Function(2, lambda t, x: torch.ones_like(x) * (8 if t < 0.5 else -8))
    _, found = followed(Several(constant(0.0, 0.0), there_and_back), cells)
    assert found.spread[-1].max() < 0.5
    assert found.apart[-1].all()
    assert not found.apart[0].any()


def test_members_that_agree_are_never_apart(cells):
    _, found = followed(Several(constant(1.0, 0.0), constant(1.0, 0.0), constant(1.0, 0.0)), cells)
    np.testing.assert_allclose(found.spread, 0, atol=1e-6)
    assert not found.apart.any()


def test_no_ensemble_no_spread(cells):
    assert followed(constant(1.0, 0.0), cells)[1] is None


def test_a_member_that_runs_away_disagrees(cells):
    explode = Function(2, lambda t, x: torch.exp(200 * t) * torch.ones_like(x))
    _, found = followed(Several(constant(0.0, 0.0), explode), cells)
    assert found.apart[-1].all()
    assert np.isnan(found.spread[-1]).all()


def test_ends_depend_on_the_training_where_members_end_elsewhere(cells, labels):
    place = Placement(cells.states, cells.states)
    right, left, still = constant(4.0, 0.0), constant(-4.0, 0.0), constant(0.0, 0.0)
    jump = np.array([0.0, 1.0])
    paths, found = followed(Several(still, still), cells, times=jump, support=place)
    agreed = end_types(found, cells, labels)
    assert agreed.names == ("left", "middle", "right")
    assert agreed.depends == 0
    np.testing.assert_allclose([agreed.share, agreed.low, agreed.high], [[0, 1, 0]] * 3)
    crossing = Several(still, right, left)
    paths = integrate(still, middle(cells), jump, support=place)
    found = path_spread(crossing, paths, snapshots=cells)
    torn = end_types(found, cells, labels)
    assert torn.depends == 1
    np.testing.assert_allclose(torn.share, [0, 1, 0])
    np.testing.assert_allclose([torn.low, torn.high], [[0, 0, 0], [1, 1, 1]])
    wide, narrow = (end_types(found, cells, labels, widened=by) for by in (0.2, 0.1))
    third = 1 / 3  # of the members end at each type
    np.testing.assert_allclose(wide.high - third, 2 * (narrow.high - third))
    np.testing.assert_allclose(third - wide.low, wide.high - third)


def test_members_off_the_data_are_left_out_of_the_ends(cells, labels):
    place = Placement(cells.states, cells.states)
    field = Several(constant(0.0, 0.0), constant(0.0, 9.0), constant(0.0, 0.0))
    _, found = followed(field, cells, support=place)
    ends = end_types(found, cells, labels)
    assert ends.depends == 0
    np.testing.assert_allclose(ends.high, [0, 1, 0])
    _, lonely = followed(Several(constant(0.0, 0.0), constant(0.0, 9.0)), cells, support=place)
    assert np.isnan(end_types(lonely, cells, labels).depends)
    _, nowhere = followed(Several(constant(0.0, 9.0), constant(0.0, 9.0)), cells, support=place)
    gone = end_types(nowhere, cells, labels)
    assert np.isnan([gone.share, gone.low, gone.high]).all()


def test_a_member_that_left_the_data_on_the_way_is_not_counted_at_its_end(cells, labels):
    place = Placement(cells.states, cells.states)
    detour = Function(2, lambda t, x: torch.tensor([[0.0, 18.0 if t < 0.5 else -18.0]]).expand_as(x))
    _, found = followed(Several(constant(0.0, 0.0), detour), cells, support=place)
    assert found.ends[0].inside.all()
    assert not found.ends[1].inside.any()


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_unit_of_states_does_not_matter(cells, scale):
    def marked(unit):
        field = Several(constant(unit, 0.0), constant(0.0, unit))
        shots = from_arrays(unit * cells.states, cells.times)
        paths = integrate(field, unit * middle(cells), TIMES)
        return path_spread(field, paths, snapshots=shots).apart

    np.testing.assert_array_equal(marked(scale), marked(1.0))


def test_identical_cells_are_no_error():
    shots = from_arrays(np.ones((6, 2)), np.repeat([0.0, 1.0], 3))
    paths = integrate(constant(0.0, 0.0), shots.states[:2], TIMES)
    still = path_spread(Several(constant(0.0, 0.0), constant(0.0, 0.0)), paths, snapshots=shots)
    assert not still.apart.any()
