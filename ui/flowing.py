"""The flow as it is drawn: layers for the map, computed colourings, and its caption."""

import numpy as np
import streamlit as st

from dynamics.ensemble import consensus, members_of
from dynamics.flow import FlowGrid, faded, flow_on_grid
from dynamics.projection import DRAWN, EmbeddedVelocity, Placement, embedded_velocity
from dynamics.reliability import TRUSTED, pairwise
from dynamics.snapshots import Snapshots
from dynamics.streamlines import grid_arrows, streamlines
from dynamics.visibility import Visibility, visibility
from models.cell_model import CellModel
from ui import cache, maps, pickers, state, trust
from ui.cellmap import Arrows, Colour, FlowField, Layers, Levels
from ui.text import escape

STREAMLINES, ARROWS, NOTHING = "Streamlines", "Arrows", "Nothing"
ARROW_REACH = 1.6  # length of the longest arrow, in boxes of the grid
FADE = "Fade what the map cannot show"


def flow(work: state.Workspace, time: float | None) -> FlowGrid:
    """Return the flow over the map at a time, or averaged over all times."""
    moving, n_members = _moving(work, time), len(members_of(work.model))
    return cache.cached(
        flow_on_grid,
        moving.xy,
        moving.v,
        weight=moving.weight,
        members=pairwise(_consensus(work, time), n_members) if n_members > 1 else None,
        shown=None if _is_whole(work) else _visibility(work, time).cosine,
    )


def fade_switch(work: state.Workspace) -> bool:
    """Draw the switch that fades what the map cannot show; none where the map shows everything."""
    if _is_whole(work):
        return False
    return st.toggle(
        FADE,
        value=True,
        key="fade-hidden",
        persist_state="session",
        help="A map of two or three axes shows only part of a step in many dimensions. Lines are faint "
        "where the arrow stands for little of the step of the cells around. They always fade where "
        "neighbouring cells disagree, and where the members of an ensemble do.",
    )


def layers(grid: FlowGrid, *, drawn: str, fade: bool) -> Layers:
    """Return what the map draws of a flow: streamlines or arrows, and particles where the map is flat."""
    flat = len(grid.axes) == 2
    shown = cache.cached(faded, grid, by_shown=fade)
    return Layers(
        streamlines=cache.cached(streamlines, shown) if drawn == STREAMLINES else None,
        arrows=_arrows(shown) if drawn == ARROWS else None,
        particles=FlowField(grid.x, grid.y, grid.u.T, grid.v.T, grid.mask.T) if flat else None,
    )


def computed(work: state.Workspace) -> tuple[str, ...]:
    """Return the names of the colourings that are computed from the model."""
    ensemble = (pickers.ENSEMBLE,) if len(members_of(work.model)) > 1 else ()
    return ensemble if _is_whole(work) else (*ensemble, pickers.SHOWN)


def colour(work: state.Workspace, name: str) -> Colour:
    """Return how cells are coloured by a column, a gene, or a computed value, each cell at its own time."""
    if name not in computed(work):
        return maps.colour(work, name)
    values = _consensus(work, None) if name == pickers.ENSEMBLE else _visibility(work, None).cosine
    return cache.cached(_levels, values, work.snapshots, _moving(work, None), name, work.adata.n_obs)


def caption(work: state.Workspace, grid: FlowGrid, *, time: float | None, name: str) -> str:
    """Say what is drawn, in which colours, from which model, and how far to trust it."""
    when = "averaged over all times" if time is None else f"at {trust.moment(work.snapshots, time)}"
    share = grid.share(grid.agreement < 0.5)
    return (
        f"Where the model “{escape(work.entry.name)}” moves cells, {when}: each cell is pushed a little with "
        "the flow and placed among its nearest measured neighbours. Wider is faster, fainter where "
        f"neighbouring cells disagree (by more than half on {share:.0%} of the area); nothing is drawn where "
        f"no cells were measured. {colour_said(work, name)}\n\n"
        f"{_members_said(work, grid)} {_map_said(work, time)} "
        f"{trust.time_note(work.snapshots)} {trust.sentence(work.entry)}"
    )


def colour_said(work: state.Workspace, name: str) -> str:
    """Say what a computed colouring means; empty for columns and genes."""
    if name not in computed(work):
        return ""
    said = {
        pickers.ENSEMBLE: "length of the members' mean velocity over their mean length: 1 where all move "
        f"a cell alike, about {len(members_of(work.model)) ** -0.5:.2f} where they have nothing in common",
        pickers.SHOWN: "cosine between the step of a cell and what its arrow shows of it",
    }[name]
    some = work.snapshots.n_cells > DRAWN
    return f"Colours: {said}, each cell at its own time{f' ({DRAWN:,} cells)' if some else ''}."


def _members_said(work: state.Workspace, grid: FlowGrid) -> str:
    if grid.members is None:
        return "No ensemble was trained, so how far repeated trainings would disagree is not known."
    return (
        f"Lines also fade where the {len(members_of(work.model))} members of the ensemble disagree: they "
        f"point over 60° apart on average on {grid.share(grid.members < TRUSTED):.0%} of the area."
    )


def _map_said(work: state.Workspace, time: float | None) -> str:
    if _is_whole(work):
        return "The map is the whole state space, so an arrow shows all of a step."
    found, placement = _visibility(work, time), maps.placement(work)
    return (
        f"The map has {placement.n_axes} axes, the states have {placement.dim} dimensions: the arrows of "
        f"{found.hidden:.0%} of the cells show less than a quarter of the (squared) step. The median cosine "
        f"between step and arrow is {found.median:.2f}; a direction at random would have {found.chance:.2f}."
    )


def _is_whole(work: state.Workspace) -> bool:
    """Tell whether the map is the state space itself, so that nothing of a step is lost."""
    placement = maps.placement(work)
    return placement.linear and placement.dim == placement.n_axes


def _moving(work: state.Workspace, time: float | None) -> EmbeddedVelocity:
    return cache.cached(
        embedded_velocity, work.model, work.snapshots, maps.placement(work), time=time, most=DRAWN
    )


def _consensus(work: state.Workspace, time: float | None) -> np.ndarray:
    return cache.cached(_agreed, work.model, work.snapshots, _moving(work, time))


def _agreed(model: CellModel, shots: Snapshots, moving: EmbeddedVelocity) -> np.ndarray:
    times = shots.times[moving.rows] if moving.time is None else moving.time
    return consensus(model, shots.states[moving.rows], times=times)


def _levels(values: np.ndarray, shots: Snapshots, moving: EmbeddedVelocity, name: str, n: int) -> Levels:
    all_cells = np.full(n, np.nan, np.float32)
    all_cells[shots.cells[moving.rows]] = values
    return Levels(all_cells, label=name, vmin=0, vmax=1)


def _visibility(work: state.Workspace, time: float | None) -> Visibility:
    return cache.cached(_shown, work.snapshots, _moving(work, time), maps.placement(work))


def _shown(shots: Snapshots, moving: EmbeddedVelocity, placement: Placement) -> Visibility:
    return visibility(shots.states[moving.rows], moving.state_v, moving.v, placement=placement)


def _arrows(grid: FlowGrid) -> Arrows:
    xy, uv, agreement = grid_arrows(grid)
    longest = np.linalg.norm(uv, axis=1).max(initial=0)
    scale = ARROW_REACH * grid.step / longest if longest > 0 else 1.0
    return Arrows(xy, uv * scale, agreement)
