"""Draws of cells: what they compare, and that their standard errors are those of chance."""

import numpy as np
import pytest

from dynamics import metrics
from dynamics.errors import DataError
from models import resampling
from models.resampling import Estimate, apart, draw, estimate, pooled, ratio


def test_draws_hold_other_cells_on_either_side():
    draws = draw(90, 70, stream=(1,))
    assert draws.m == 35
    assert draws.start.shape == draws.target.shape == draws.rest.shape == (resampling.DRAWS, 35)
    assert draws.start.max() < 90
    assert draws.target.max() < 70
    for target, rest in zip(draws.target, draws.rest, strict=True):
        assert len({*target, *rest}) == 70
    again = draw(90, 70, stream=(1,))
    np.testing.assert_array_equal(draws.start, again.start)
    with pytest.raises(DataError, match="Only 19 cells on one side of the comparison; 20 are needed"):
        draw(19, 500, stream=(1,))


def test_a_shift_is_its_own_distance():
    rng = np.random.default_rng(0)
    target = rng.standard_normal((200, 3)) * 0.01
    draws = draw(200, 200, stream=(2,))
    found = apart(target + np.array([2.0, 0.0, 0.0]), target, draws)
    np.testing.assert_allclose(found.w1, 2.0, atol=0.01)
    floor = apart(target, target, draws)
    assert floor.w1.max() < 0.05
    told = ratio(found.w1, floor.w1, draws)
    assert told.above(0)
    assert not told.below(0)


def test_groups_share_out_the_distance():
    rng = np.random.default_rng(0)
    target = np.concatenate([rng.normal(0, 0.1, (100, 2)), rng.normal(20, 0.1, (100, 2))])
    groups = np.repeat([0, 1], 100)
    points = target + np.where(groups[:, None] == 1, 1.0, 0.0)
    draws = draw(200, 200, stream=(3,))
    found = apart(points, target, draws, groups=groups)
    counts = np.stack([np.bincount(groups[rows], minlength=2) for rows in draws.target])
    shared = (found.by_group * counts).sum(axis=1) / counts.sum(axis=1)
    np.testing.assert_allclose(shared, found.w1)
    one = metrics.transport_costs(points, target)
    assert one[groups == 0].mean() == pytest.approx(0.0, abs=1e-9)
    assert one[groups == 1].mean() == pytest.approx(np.sqrt(2))


def test_the_standard_error_of_a_mean_is_that_of_all_cells():
    """Draws of half the cells: their means vary as the mean of all cells does over samples."""
    rng = np.random.default_rng(0)
    told, means = [], []
    for _ in range(200):
        values = rng.standard_normal(100)
        draws = draw(100, 100, stream=(4,))
        told.append(estimate(np.array([values[rows].mean() for rows in draws.start]), draws).se)
        means.append(values.mean())
    assert np.mean(told) == pytest.approx(np.std(means), rel=0.15)


def test_figures_that_cannot_be_told_are_left_out():
    draws = draw(100, 100, stream=(5,))
    unknown = estimate(np.full(resampling.DRAWS, np.nan), draws)
    assert np.isnan(unknown.mean)
    assert not unknown.above(0)
    assert not unknown.below(0)
    both = pooled([Estimate(1.0, 0.3), Estimate(3.0, 0.4), unknown])
    assert both.mean == pytest.approx(2.0)
    assert both.se == pytest.approx(0.25)
