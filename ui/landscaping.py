"""The landscape page: where heights come from, what lies on the surface, and paths between two states."""

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import landscape as scape
from dynamics.action import Transition
from dynamics.figures import landscape as drawing
from dynamics.landscape import DENSITY, FLOW, MODEL, Heights, Landscape
from ui import cache, following, landscape_ways, maps, pickers, saving, state, trust
from ui.cellmap import Categories
from ui.text import escape

SOURCES = {MODEL: "Learned by the model", FLOW: "Fitted to the flow", DENSITY: "Density of cells"}
SPACE, FLAT = "3-D", "From above"
CELLS, PATHS, WAYS = "Cells", "Paths of cells", "Least-action paths"
MOST_DRAWN = 4_000
"""Cells drawn on the surface; of more, some at random with a fixed seed."""
MOST_PATHS = 40


def source(work: state.Workspace) -> str:
    """Draw the choice of where heights come from."""
    offered = scape.sources(work.model)
    return st.selectbox(
        "Height from",
        offered,
        format_func=SOURCES.get,
        key=state.key("landscape-source", per="model"),
        persist_state="session",
        help="Learned: the potential that action matching trains. Fitted: the heights whose differences come "
        "closest to the flow between neighbouring cells. Density: minus the logarithm of how densely cells "
        "lie; it knows nothing of the flow.",
    )


def heights(work: state.Workspace, *, source: str, time: float | None) -> Heights:
    """Return the heights of the cells."""
    return cache.cached(scape.heights, work.model, work.snapshots, source=source, time=time)


def surface(work: state.Workspace, found: Heights) -> Landscape:
    """Return the heights laid over the map."""
    places = maps.places(work)[work.snapshots.cells[found.rows]]
    return cache.cached(scape.surface, found, places, widened=trust.widening(work.entry) or 1.0)


def refused(found: Heights) -> str:
    """Say why there is no surface to draw."""
    return (
        f"No landscape is drawn: it would explain {found.explained:.0%} of this flow, and "
        f"{scape.LEAST_EXPLAINED:.0%} are needed. The rest goes round, and what goes round has no height. "
        "The Flow page shows it as it is; the density of the cells can still be drawn, and least-action "
        "paths need no landscape."
    )


def shown() -> list[str]:
    """Draw the choice of what lies on the surface."""
    return st.pills(
        "On the surface",
        [CELLS, PATHS, WAYS],
        selection_mode="multi",
        default=[CELLS, WAYS],
        key="landscape-shown",
        persist_state="session",
        help="Cells; the paths that the model predicts for some of them; the least-action paths between the "
        "two states chosen above. All lie on the surface at their places on the map.",
    )


def draw(
    work: state.Workspace,
    ground: Landscape,
    *,
    name: str,
    view: str,
    shown: list[str],
    ways: Transition | None,
    names: tuple[str, str] | None,
) -> None:
    """Draw the surface with what was chosen to lie on it."""
    some = _drawn(ground)
    groups, colours = _groups(work, name, some.cells.rows) if CELLS in shown else (None, None)
    make = drawing.relief if view == SPACE else drawing.contours
    figure = make(
        replace(ground, xy=some.xy),
        groups=groups,
        colours=colours,
        label=name,
        paths=_lines(work, ground.cells.time) if PATHS in shown else (),
        ways=_ways(ways, names) if ways is not None and WAYS in shown else None,
        axes=maps.axes(work),
    )
    source = SOURCES[ground.cells.source].lower()
    alt = f"Landscape of the model {work.entry.name} over the map: {source}"
    saving.figure(figure, name="landscape" if view == SPACE else "landscape-from-above", alt=alt)


def caption(work: state.Workspace, ground: Landscape) -> str:
    """Say what the surface is, from which model, and how far to trust it."""
    found = ground.cells
    when = "all times" if found.time is None else trust.moment(work.snapshots, found.time)
    thin = (
        f" ({len(found.rows):,} of {found.n_cells:,} cells, at random)"
        if len(found.rows) < found.n_cells
        else ""
    )
    return (
        f"{_what(work, found)} {when[:1].upper()}{when[1:]}{thin}. The surface is the mean height of the "
        f"cells on the same spot of the map: it shows {ground.shown:.0%} of their differences in height, the "
        "rest is between cells that the map lays together. **A surface over a map is an illustration**: "
        "distances and slopes on it are those of the map, heights alone are worked out in "
        f"{work.snapshots.dim} dimensions. {_first_axes(work)}{_apart(found)}{_members_said(found)} "
        f"{trust.time_note(work.snapshots)} {trust.sentence(work.entry)}"
    )


def _what(work: state.Workspace, found: Heights) -> str:
    """Say what the height is."""
    model = f"“{escape(work.entry.name)}”"
    if found.source == MODEL:
        noisy = " (of the drift, which chance is added to)" if work.model.is_stochastic else ""
        return f"Height is the potential that {model} has learned: cells roll straight downhill{noisy}."
    if found.source == DENSITY:
        return (
            "Height is minus the logarithm of the density of cells, the quasi-potential of a population at "
            "rest. These cells are not at rest: the density also tells how often a state was sampled, and "
            "cells need not roll downhill."
        )
    return (
        f"Height is the potential closest to the flow of {model} between neighbouring cells. It explains "
        f"{found.explained:.0%} of that flow; the rest goes round, and no landscape can show it."
    )


def _apart(found: Heights) -> str:
    if found.n_pieces == 1:
        return ""
    return (
        f" The cells fall into {found.n_pieces} groups without neighbours in another: heights between groups "
        "rest on a few long steps."
    )


def _members_said(found: Heights) -> str:
    if found.source == DENSITY:
        return ""
    if found.by_member is None:
        return " No ensemble was trained, so how far another training would change the heights is not known."
    alike = "" if found.consistency is None else f" correlate by {found.consistency:.2f} on average"
    said = f" The heights of the {len(found.by_member)} members of the ensemble{alike}"
    if found.explained_by_member is not None:
        low, high = found.explained_by_member.min(), found.explained_by_member.max()
        said += f", and explain {low:.0%} to {high:.0%} of their flows"
    return f"{said}; pointing at the surface shows its 80 % range."


def _first_axes(work: state.Workspace) -> str:
    return "Only the first two axes of the map are used. " if maps.places(work).shape[1] > 2 else ""


def _drawn(ground: Landscape) -> Landscape:
    """Return a landscape with no more cells than are drawn."""
    n = len(ground.xy)
    if n <= MOST_DRAWN:
        return ground
    some = np.sort(np.random.default_rng(0).choice(n, MOST_DRAWN, replace=False))
    cells = replace(ground.cells, rows=ground.cells.rows[some])
    return replace(ground, xy=ground.xy[some], cells=cells)


def _groups(work: state.Workspace, name: str, rows: np.ndarray) -> tuple[pd.Series, dict[str, str]]:
    """Return the colouring of some cells as groups or values, and the colour of each group."""
    colour = maps.colour(work, name)
    cells = work.snapshots.cells[rows]
    if not isinstance(colour, Categories):
        return pd.Series(np.asarray(colour.values)[cells]), {}
    coded = pd.Categorical.from_codes(
        np.asarray(colour.codes)[cells].astype(int), list(pickers.unique_names(colour.names))
    )
    return pd.Series(coded), dict(zip(colour.names, colour.colours, strict=True))


def _lines(work: state.Workspace, time: float | None) -> list[drawing.Line]:
    """Return predicted paths of some cells of a time up to the last one; from there, back to the first."""
    shots = work.snapshots
    first, last = (float(shots.axis.values[k]) for k in (0, -1))
    begin = first if time is None else time
    k = int(np.argmin(np.abs(shots.axis.values - begin)))
    rows = shots.rows(k)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_PATHS).astype(int))]
    until = last if begin < last else first
    paths = following.follow(work, following.Start(rows, begin, until, ""))
    return [drawing.Line(paths.xy[:, n, :2], paths.inside[:, n]) for n in range(paths.n_cells)]


def _ways(ways: Transition, names: tuple[str, str]) -> dict[str, drawing.Line]:
    pair = zip(landscape_ways.labels(names), (ways.there, ways.back), strict=True)
    return {label: drawing.Line(one.xy[:, :2], one.inside) for label, one in pair}
