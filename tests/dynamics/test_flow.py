"""The flow on a grid, against fields that are known everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dynamics.errors import DataError
from dynamics.flow import faded, flow_on_grid, interpolate


def disc(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    radius, angle = np.sqrt(rng.uniform(0, 1, n)), rng.uniform(0, 2 * np.pi, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def turning(xy: np.ndarray) -> np.ndarray:
    return np.stack([-xy[:, 1], xy[:, 0]], axis=1)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_a_smooth_field_is_found_on_the_grid(scale):
    xy = scale * disc(20_000)
    grid = flow_on_grid(xy, turning(xy))
    centres = np.stack(np.meshgrid(grid.x, grid.y, indexing="ij"), axis=-1)[grid.mask]
    found = grid.velocity[:, grid.mask].T
    inner = np.linalg.norm(centres, axis=1) < 0.85 * scale
    np.testing.assert_allclose(found[inner], turning(centres)[inner], atol=0.04 * scale)
    assert np.median(grid.agreement[grid.mask]) > 0.98


def test_the_flow_does_not_depend_on_scale_or_order():
    xy = disc(3000)
    grid = flow_on_grid(xy, turning(xy))
    order = np.random.default_rng(1).permutation(3000)
    moved = flow_on_grid(4 * xy[order] + 7, 4 * turning(xy)[order])
    np.testing.assert_array_equal(moved.mask, grid.mask)
    np.testing.assert_allclose(
        moved.velocity[:, grid.mask], 4 * grid.velocity[:, grid.mask], rtol=1e-6, atol=1e-9
    )


@given(weight=st.floats(1e-3, 1e3))
@settings(max_examples=6, deadline=None)
def test_equal_weights_change_nothing(weight):
    xy = disc(1000)
    plain, weighted = (
        flow_on_grid(xy, turning(xy)),
        flow_on_grid(xy, turning(xy), weight=np.full(1000, weight)),
    )
    np.testing.assert_array_equal(plain.mask, weighted.mask)
    np.testing.assert_allclose(plain.velocity, weighted.velocity, rtol=1e-6, atol=1e-9)


def test_weights_decide_between_cells_that_disagree():
    xy = np.repeat(disc(4000), 2, axis=0)
    v = np.tile([[1.0, 0.0], [-1.0, 0.0]], (4000, 1))
    weight = np.tile([3.0, 1.0], 4000)
    grid = flow_on_grid(xy, v, weight=weight)
    np.testing.assert_allclose(grid.u[grid.mask], 0.5, atol=1e-6)
    np.testing.assert_allclose(grid.agreement[grid.mask], 0.5, atol=1e-6)


def test_opposing_cells_do_not_agree():
    xy = disc(20_000)
    v = np.random.default_rng(0).normal(size=xy.shape)
    assert np.median(flow_on_grid(xy, v).agreement[flow_on_grid(xy, v).mask]) < 0.4


def test_every_box_of_the_mask_holds_cells():
    rng = np.random.default_rng(0)
    xy = np.concatenate([disc(4000), disc(4000) + np.array([3, 0]), rng.uniform(-4, 6, size=(30, 2))])
    grid = flow_on_grid(xy, turning(xy))
    edges = [np.append(axis - grid.step / 2, axis[-1] + grid.step / 2) for axis in grid.axes]
    count = np.histogramdd(xy, bins=edges)[0]
    assert count.sum() == len(xy)
    assert count[grid.mask].min() >= 1
    assert grid.mass[grid.mask].min() >= 1


def test_two_clusters_stay_apart_and_stray_cells_are_no_island():
    rng = np.random.default_rng(0)
    xy = np.concatenate([disc(4000), disc(4000) + np.array([3, 0]), [[1.5, 3.0], [1.52, 3.0], [1.5, 3.02]]])
    grid = flow_on_grid(xy, rng.normal(size=xy.shape))
    assert ndimage.label(grid.mask)[1] == 2


def test_a_small_but_dense_cluster_is_kept():
    xy = np.concatenate([disc(10_000), 0.1 * disc(300) + np.array([3, 0])])
    grid = flow_on_grid(xy, turning(xy))
    assert ndimage.label(grid.mask)[1] == 2


def test_boxes_are_square_and_fewer_when_cells_are_few():
    wide = disc(10_000) * [4, 1]
    grid = flow_on_grid(wide, turning(wide))
    assert grid.mask.shape[0] == 50
    assert 12 <= grid.mask.shape[1] <= 15
    np.testing.assert_allclose(np.diff(grid.x), grid.step)
    np.testing.assert_allclose(np.diff(grid.y), grid.step)
    few = flow_on_grid(wide[:150], turning(wide)[:150])
    assert max(few.mask.shape) < 30
    assert few.mask.sum() > 10


def test_three_axes_work():
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(5000, 3))
    grid = flow_on_grid(xyz, np.tile([1.0, 2.0, 3.0], (5000, 1)))
    assert grid.mask.ndim == 3
    np.testing.assert_allclose(
        grid.velocity[:, grid.mask].T, np.tile([1, 2, 3], (grid.mask.sum(), 1)), rtol=1e-6
    )


def test_reading_between_boxes_is_linear():
    xy = disc(5000)
    grid = flow_on_grid(xy, turning(xy))
    values = 2 * grid.x[:, None] - 3 * grid.y[None, :]
    points = 0.5 * disc(50, seed=1)
    np.testing.assert_allclose(interpolate(grid, values, points), points @ [2, -3], atol=1e-9)


@pytest.mark.parametrize("shape", ["line", "point", "one"])
def test_degenerate_maps_do_not_fail(shape):
    xy = {
        "line": np.stack([np.linspace(0, 1, 50), np.zeros(50)], 1),
        "point": np.ones((9, 2)),
        "one": np.ones((1, 2)),
    }
    grid = flow_on_grid(xy[shape], np.ones_like(xy[shape]))
    assert grid.mask.any()
    np.testing.assert_allclose(grid.u[grid.mask], 1)


def test_cells_without_place_or_velocity_do_not_count():
    xy = disc(2000)
    v = turning(xy)
    spoiled_xy, spoiled_v = (
        np.append(xy, [[np.nan, 0], [0, 0]], axis=0),
        np.append(v, [[1, 1], [np.inf, 0]], axis=0),
    )
    np.testing.assert_array_equal(flow_on_grid(spoiled_xy, spoiled_v).velocity, flow_on_grid(xy, v).velocity)


def test_nothing_to_draw_is_said():
    with pytest.raises(DataError, match="None of the 3 cells"):
        flow_on_grid(np.zeros((3, 2)), np.full((3, 2), np.nan))
    with pytest.raises(DataError, match="two or three axes"):
        flow_on_grid(np.zeros((3, 5)), np.zeros((3, 5)))


def test_what_speaks_against_an_arrow_is_averaged_where_it_is_known():
    xy = disc(4000)
    left = xy[:, 0] < 0
    members = np.where(left, 0.2, 0.8)
    members[::3] = np.nan
    shown = np.where(left, -0.5, 1.0)
    grid = flow_on_grid(xy, turning(xy), members=members, shown=shown)
    x = np.broadcast_to(grid.x[:, None], grid.mask.shape)
    near, far = grid.mask & (x < -3 * grid.step), grid.mask & (x > 3 * grid.step)
    for values, low, high in ((grid.members, 0.2, 0.8), (grid.shown, 0, 1)):
        np.testing.assert_allclose(values[near], low, atol=1e-6)
        np.testing.assert_allclose(values[far], high, atol=1e-6)
    assert grid.share(grid.members < 0.5) == pytest.approx(0.5, abs=0.05)


def test_a_flow_fades_by_the_worst_that_is_known_of_it():
    xy = disc(2000)
    plain = flow_on_grid(xy, turning(xy))
    np.testing.assert_array_equal(faded(plain, by_shown=True).agreement, plain.agreement)
    grid = flow_on_grid(xy, turning(xy), members=np.full(2000, 0.7), shown=np.full(2000, 0.3))
    drawn = grid.mask & (grid.agreement > 0.7)
    np.testing.assert_allclose(faded(grid, by_shown=False).agreement[drawn], 0.7)
    np.testing.assert_allclose(faded(grid, by_shown=True).agreement[drawn], 0.3)
    np.testing.assert_array_equal(faded(grid, by_shown=True).velocity, plain.velocity)
    missing = flow_on_grid(xy, turning(xy), members=np.full(2000, np.nan))
    np.testing.assert_array_equal(missing.members, 0)
