"""The flow as it is drawn: layers for the map and its caption."""

import numpy as np

from dynamics.flow import FlowGrid
from dynamics.projection import flow_grid
from dynamics.streamlines import grid_arrows, streamlines
from ui import cache, maps, state, trust
from ui.cellmap import Arrows, FlowField, Layers
from ui.text import escape

STREAMLINES, ARROWS, NOTHING = "Streamlines", "Arrows", "Nothing"
ARROW_REACH = 1.6  # length of the longest arrow, in boxes of the grid


def flow(work: state.Workspace, time: float | None) -> FlowGrid:
    """Return the flow over the map at a time, or averaged over all times."""
    return cache.cached(flow_grid, work.model, work.snapshots, maps.placement(work), time=time)


def layers(grid: FlowGrid, *, drawn: str) -> Layers:
    """Return what the map draws of a flow: streamlines or arrows, and particles where the map is flat."""
    flat = len(grid.axes) == 2
    return Layers(
        streamlines=cache.cached(streamlines, grid) if drawn == STREAMLINES else None,
        arrows=_arrows(grid) if drawn == ARROWS else None,
        particles=FlowField(grid.x, grid.y, grid.u.T, grid.v.T, grid.mask.T) if flat else None,
    )


def caption(work: state.Workspace, grid: FlowGrid, time: float | None) -> str:
    """Say what is drawn, from which model, and how far to trust it."""
    when = "averaged over all times" if time is None else f"at {trust.moment(work.snapshots, time)}"
    share = float((grid.mask & (grid.agreement < 0.5)).sum() / max(grid.mask.sum(), 1))
    return (
        f"Where the model “{escape(work.entry.name)}” moves cells, {when}: each cell is pushed a little with "
        "the flow and placed among its nearest measured neighbours. Wider is faster, fainter where "
        f"neighbouring cells disagree (by more than half on {share:.0%} of the area); nothing is drawn where "
        f"no cells were measured. {trust.time_note(work.snapshots)} {trust.sentence(work.entry)}"
    )


def _arrows(grid: FlowGrid) -> Arrows:
    xy, uv, agreement = grid_arrows(grid)
    longest = np.linalg.norm(uv, axis=1).max(initial=0)
    scale = ARROW_REACH * grid.step / longest if longest > 0 else 1.0
    return Arrows(xy, uv * scale, agreement)
