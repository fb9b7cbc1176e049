"""Streamlines: along the flow, among cells only, evenly spaced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from test_flow import disc, turning

from dynamics.flow import flow_on_grid
from dynamics.streamlines import grid_arrows, streamlines


def clusters(seed: int = 0) -> np.ndarray:
    """Three clusters of unlike density with empty space and a few stray cells between them."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(size=(3000, 2)),
        0.4 * rng.normal(size=(3000, 2)) + [5, 0],
        disc(500) + np.array([0, 6]),
    ]
    return np.concatenate([*parts, rng.uniform(-4, 8, size=(20, 2))])


def empty_share(points: np.ndarray, cells: np.ndarray, grid) -> float:
    """Share of points in boxes of the grid without a cell."""
    edges = [np.append(axis - grid.step / 2, axis[-1] + grid.step / 2) for axis in grid.axes]
    count = np.histogramdd(cells, bins=edges)[0]
    empty = np.ones(len(points), dtype=bool)
    for nudge in (-1e-6, 1e-6):  # a point on an edge belongs to both boxes
        nudged = points + nudge * grid.step
        box = tuple(np.searchsorted(edge, nudged[:, k]) - 1 for k, edge in enumerate(edges))
        empty &= count[box] < 1
    return float(np.mean(empty))


@given(seed=st.integers(0, 1000), slope=st.floats(-2, 2))
@settings(max_examples=6, deadline=None)
def test_no_line_crosses_empty_space(seed, slope):
    cells = clusters(seed)
    v = np.stack([np.ones(len(cells)), slope * np.sin(cells[:, 0])], axis=1)
    grid = flow_on_grid(cells, v)
    lines = streamlines(grid, density=2)
    assert lines.n_lines > 10
    assert empty_share(np.concatenate(lines.lines), cells, grid) == 0


def test_no_line_jumps_between_clusters():
    cells = np.concatenate([disc(3000), disc(3000) + np.array([2.4, 0])])
    lines = streamlines(flow_on_grid(cells, np.tile([1.0, 0.0], (6000, 1))))
    assert all((line[:, 0].max() < 1.2) or (line[:, 0].min() > 1.2) for line in lines.lines)
    assert {line[:, 0].max() < 1.2 for line in lines.lines} == {True, False}


def test_lines_follow_the_flow():
    xy = disc(30_000)
    lines = streamlines(flow_on_grid(xy, turning(xy)))
    for line in lines.lines:
        radius = np.linalg.norm(line, axis=1)
        assert radius.max() - radius.min() < 0.06
        middle, step = (line[1:] + line[:-1]) / 2, np.diff(line, axis=0)
        assert (np.sum(turning(middle) * step, axis=1) > 0).all()


def test_a_closed_orbit_is_drawn_once():
    xy = disc(30_000)
    lines = streamlines(flow_on_grid(xy, turning(xy)))
    for line in lines.lines:
        angle = np.unwrap(np.arctan2(line[:, 1], line[:, 0]))
        if np.linalg.norm(line, axis=1).min() > 0.15:
            assert abs(angle[-1] - angle[0]) < 2.2 * np.pi


@pytest.mark.parametrize("density", [0.7, 1.0, 2.0])
def test_lines_are_evenly_spaced(density):
    xy = disc(30_000)
    grid = flow_on_grid(xy, np.tile([1.0, 0.3], (30_000, 1)))
    lines = streamlines(grid, density=density)
    spacing = max(grid.mask.shape) * grid.step / (30 * density)
    points = np.concatenate(lines.lines)
    owner = np.repeat(np.arange(lines.n_lines), [len(line) for line in lines.lines])
    d, near = cKDTree(points).query(points, k=30)
    other = owner[near] != owner[:, None]
    closest = np.where(other, d, np.inf).min(axis=1)
    assert np.quantile(closest, 0.1) > 0.35 * spacing
    covered, _ = cKDTree(points).query(0.9 * disc(2000, seed=3))
    assert np.quantile(covered, 0.95) < 1.2 * spacing


def test_more_density_gives_more_lines():
    xy = disc(10_000)
    grid = flow_on_grid(xy, turning(xy))
    counts = [streamlines(grid, density=density).n_lines for density in (0.5, 1, 2)]
    assert counts[0] < counts[1] < counts[2]


def test_speed_agreement_and_arrows_belong_to_the_lines():
    xy = disc(20_000)
    lines = streamlines(flow_on_grid(xy, turning(xy)))
    for line, speed, agreement, arrow in zip(
        lines.lines, lines.speed, lines.agreement, lines.arrows, strict=True
    ):
        assert len(line) == len(speed) == len(agreement)
        np.testing.assert_allclose(speed, np.linalg.norm(line, axis=1), atol=0.06)
        assert agreement.min() >= 0
        assert agreement.max() <= 1
        assert np.abs(line - arrow[:2]).sum(axis=1).min() == 0
        assert np.linalg.norm(arrow[2:]) == pytest.approx(1)
        assert turning(arrow[None, :2])[0] @ arrow[2:] > 0
    assert not lines.lines[0].flags.writeable


def test_lines_in_three_dimensions():
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(8000, 3))
    grid = flow_on_grid(xyz, np.stack([-xyz[:, 1], xyz[:, 0], np.full(8000, 0.3)], axis=1))
    lines = streamlines(grid)
    assert lines.n_lines > 20
    assert lines.arrows.shape == (lines.n_lines, 6)
    assert all((np.diff(line[:, 2]) > 0).all() for line in lines.lines)
    assert empty_share(np.concatenate(lines.lines), xyz, grid) == 0


def test_a_field_at_rest_has_no_lines():
    xy = disc(1000)
    lines = streamlines(flow_on_grid(xy, np.zeros_like(xy)))
    assert lines.n_lines == 0
    assert lines.arrows.shape == (0, 4)


def test_the_same_grid_gives_the_same_lines():
    xy = disc(2000)
    grid = flow_on_grid(xy, turning(xy))
    first, second = streamlines(grid), streamlines(grid)
    np.testing.assert_array_equal(np.concatenate(first.lines), np.concatenate(second.lines))


def test_arrows_on_the_grid_stand_in_the_mask_and_fit_their_boxes():
    xy = disc(20_000)
    grid = flow_on_grid(xy, turning(xy))
    points, vectors, agreement = grid_arrows(grid, every=2)
    assert len(points) == len(vectors) == len(agreement)
    assert np.linalg.norm(vectors, axis=1).max() <= 2 * grid.step * (1 + 1e-9)
    assert np.mean(np.sum(turning(points) * vectors, axis=1) > 0) > 0.95
    assert len(grid_arrows(grid)[0]) == grid.mask.sum()
    assert len(points) < 0.35 * grid.mask.sum()
