"""Trajectories as they are drawn: the cells to start from, layers for the map, what is read off them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dynamics.basis import StateBasis
from dynamics.ensemble import members_of
from dynamics.integrate import integrate
from dynamics.path_spread import EndTypes, PathSpread, end_types, path_spread
from dynamics.projection import Placement
from dynamics.snapshots import Snapshots
from dynamics.trajectories import (
    Composition,
    GeneTrends,
    Trajectories,
    composition,
    gene_trends,
    last,
    nearest_type,
)
from models.cell_model import CellModel
from ui import cache, maps, pickers, state, theme, trust
from ui.cellmap import Categories, Layers, MapEvent, Paths
from ui.text import count, escape

ALL, KINDS, CHOSEN = "All cells", "By cell type", "Chosen on the map"
FORWARD, BACKWARD = "Forward", "Backward"
MOST_FOLLOWED = 400
N_TIMES = 41
MANY_GENES = 6
PATIENCE = 60.0  # seconds that a page follows cells for; jobs take longer
RARE = 0.005  # types that no member gives a larger share are left out of the table
BEYOND = 0.5  # cells are followed at most so many measured spans beyond the measured times
SOLVER = "solver"
SOLVERS = {"rk4": "Fixed steps (Runge–Kutta)", "dopri5": "Adaptive steps (Dormand–Prince)"}


@dataclass(frozen=True)
class Start:
    """Cells to follow: rows of the snapshots, all at one time, and where to follow them to."""

    rows: np.ndarray
    time: float
    until: float
    words: str

    @property
    def forward(self) -> bool:
        return self.until > self.time


def start(
    work: state.Workspace, event: MapEvent | None, *, columns: Sequence[DeltaGenerator]
) -> Start | None:
    """Draw the choice of cells and return them; None, with a word of what to do, while there are none.

    Parameters
    ----------
    columns
        Places for the kind of choice, the direction and the time.
    """
    left, middle, right = columns
    with left:
        which = st.segmented_control(
            "Start from",
            [ALL, *([KINDS] if work.roles.cell_type_key else []), CHOSEN],
            default=ALL,
            required=True,
            key=state.key("start-from", per="dataset"),
            persist_state="session",
        )
    with middle:
        direction = pickers.one_of("Direction", [FORWARD, BACKWARD], key="direction")
    cells = _cells(work, event, which)
    if isinstance(cells, str):
        st.info(cells, icon=":material/touch_app:")
        return None
    with right:
        return _at_a_time(work.snapshots, cells, which=which, direction=direction)


def advanced(work: state.Workspace) -> None:
    """Draw the choice of solver, which `follow` reads, and how far to go beyond what was measured."""
    with st.expander("Advanced"):
        span = float(np.ptp(work.snapshots.axis.values))
        unit = "" if work.snapshots.unit == "index" else " " + escape(work.snapshots.unit).replace("%", "%%")
        st.slider(
            "Follow beyond the measured times",
            0.0,
            BEYOND * span,
            value=0.0,
            step=BEYOND * span / 20,
            format=f"%.3g{unit}",
            key=_beyond_key(),
            help="How far to go on after the last measured time (backward: before the first). Nothing "
            "measured supports what is predicted there: it is drawn dashed and marked as extrapolated.",
        )
        st.selectbox(
            "Solver",
            list(SOLVERS),
            format_func=SOLVERS.get,
            key=SOLVER,
            help="Fixed steps suit nearly all models. Adaptive steps take longer; compare where in doubt.",
        )


def follow(work: state.Workspace, begin: Start) -> Trajectories:
    """Follow at most 400 of the cells, evenly drawn."""
    some = np.linspace(0, len(begin.rows) - 1, min(len(begin.rows), MOST_FOLLOWED)).round().astype(int)
    return cache.cached(
        _follow,
        work.model,
        work.snapshots,
        maps.placement(work),
        rows=begin.rows[some],
        times=(begin.time, begin.until),
        method=st.session_state.get(SOLVER, "rk4"),
    )


def spread(work: state.Workspace, paths: Trajectories) -> PathSpread | None:
    """Return how far the other members of an ensemble agree on the paths; None where there is none."""
    if len(members_of(work.model)) < 2:
        return None
    return cache.cached(
        path_spread,
        work.model,
        paths,
        snapshots=work.snapshots,
        support=maps.placement(work),
        method=st.session_state.get(SOLVER, "rk4"),
        breaks=work.snapshots.axis.values,
        seconds=PATIENCE,
    )


def layers(work: state.Workspace, paths: Trajectories | None) -> Layers:
    """Return what the map draws of trajectories."""
    if paths is None:
        return Layers()
    unit = "" if work.snapshots.unit == "index" else work.snapshots.unit
    found = spread(work, paths)
    return Layers(
        paths=Paths(
            paths.times,
            paths.xy,
            paths.inside & ~paths.beyond[:, None],
            None if found is None else found.apart,
            _end_types(work, paths),
            unit=unit,
        )
    )


def caption(work: state.Workspace, begin: Start, paths: Trajectories) -> str:
    """Say what is drawn, from which model, and how far to trust it."""
    beyond = " or the measured times" if paths.beyond.any() else ""
    some = f" ({paths.n_cells:,} of them drawn)" if paths.n_cells < len(begin.rows) else ""
    return (
        f"Paths predicted by the model “{escape(work.entry.name)}” for {begin.words}{some}, from "
        f"{trust.moment(work.snapshots, begin.time)} to {trust.moment(work.snapshots, begin.until)}. "
        f"{escape(paths.message or 'All paths stay among measured cells.', limit=600)} "
        "A path has the colour of the type it ends among. It is dashed from where it has left the measured "
        f"cells{beyond}; cells that have left the measured ones do not count below. "
        f"{_members_said(work, paths)} "
        f"{trust.time_note(work.snapshots)} {trust.sentence(work.entry)}"
    )


def types_over_time(work: state.Workspace, paths: Trajectories) -> Composition:
    """Return the cell types that the predicted cells resemble over time."""
    return cache.cached(composition, paths, work.snapshots, _types(work))


def types_caption(shares: Composition, paths: Trajectories) -> str:
    """Say how the types were had, and how many cells they rest on at the end."""
    last = " (extrapolated in time)" if paths.beyond[-1] else ""
    return (
        "Type of the nearest measured cells (15 votes), over the predicted cells still among them: at the "
        f"end{last} {shares.n_inside[-1]:,} of {paths.n_cells:,} ({shares.n_inside[-1] / paths.n_cells:.0%})."
    )


def types_between_members(work: state.Workspace, paths: Trajectories) -> pd.DataFrame | None:
    """Return the shares at the end and the ranges that an ensemble gives them, as text; None without one."""
    ends = _ends(work, paths)
    if ends is None or not np.isfinite(ends.high).all():
        return None
    told = [k for k in np.argsort(-ends.high, kind="stable") if ends.high[k] >= RARE]
    return pd.DataFrame(
        {
            "At the end": [f"{ends.share[k]:.0%}" if np.isfinite(ends.share[k]) else "–" for k in told],
            "80 % range": [f"{ends.low[k]:.0%} to {ends.high[k]:.0%}" for k in told],
        },
        index=[escape(ends.names[k]) for k in told],
    )


def type_colours(work: state.Workspace) -> dict[str, str]:
    """Return the colour of each cell type, as on the map."""
    colour = maps.colour(work, work.roles.cell_type_key)
    return dict(zip(colour.names, colour.colours, strict=True))


def genes_over_time(work: state.Workspace, paths: Trajectories, genes: Sequence[str]) -> GeneTrends:
    """Return chosen genes along the predicted paths."""
    return cache.cached(gene_trends, paths, work.model.basis, tuple(genes))


def telling_genes(work: state.Workspace, paths: Trajectories) -> list[str]:
    """Return the genes that change most along the paths, among those the states know well."""
    return cache.cached(_telling_genes, paths, work.model.basis)


def genes_caption(along: GeneTrends) -> str:
    """Say how the genes were had, and which of them the states hardly know."""
    poor = [gene for gene, r2 in zip(along.genes, along.r2, strict=True) if r2 < 0.1]
    said = (
        "Mean and middle 80 % of the predicted cells still among measured ones, mapped back from the states "
        "to genes."
    )
    if not poor:
        return said
    return (
        f"{said} Little is known of {escape(', '.join(poor))}: the states hold under 10 % of their variance."
    )


def _types(work: state.Workspace) -> pd.Series:
    """Return the cell type of each cell of the snapshots, as categories."""
    return cache.groups(work.dataset, work.roles.cell_type_key, work.snapshots.cells)


def _ends(work: state.Workspace, paths: Trajectories) -> EndTypes | None:
    found = spread(work, paths)
    if found is None or work.roles.cell_type_key is None:
        return None
    widened = trust.widening(work.entry) or 1.0
    return cache.cached(end_types, found, work.snapshots, _types(work), widened=widened)


def _members_said(work: state.Workspace, paths: Trajectories) -> str:
    found, ends = spread(work, paths), _ends(work, paths)
    if found is None:
        return "No ensemble was trained, so how far the paths depend on the training is not known."
    said = (
        f"It is dotted from where the {len(found.ends)} members of the ensemble part: they are spread by "
        "over a quarter of the spread of the cells of one time. By the end this is so for "
        f"{found.share_apart:.0%} of the paths."
    )
    if ends is None or not np.isfinite(ends.depends):
        return said
    return f"{said} What {ends.depends:.0%} of them end as depends on the training."


def _beyond_key() -> str:
    return state.key("beyond", per="dataset")


def _end_types(work: state.Workspace, paths: Trajectories) -> Categories | None:
    """Return the cell type that each path ends among, in the colours of the map; None without cell types."""
    if work.roles.cell_type_key is None:
        return None
    colour = maps.colour(work, work.roles.cell_type_key)
    ends = cache.cached(nearest_type, cache.cached(last, paths), work.snapshots, _types(work))
    return Categories(ends[0], colour.names, colour.colours, "ends as")


def _cells(work: state.Workspace, event: MapEvent | None, which: str) -> tuple[np.ndarray, str] | str:
    """Return (rows of the snapshots, words), or what is still to be chosen."""
    shots = work.snapshots
    if which == CHOSEN:
        if event is None or not event.n:
            return "Draw around cells with the lasso or the box above the map, or click groups in its legend."
        return np.flatnonzero(np.isin(shots.cells, event.rows)), "chosen on the map"
    if which == KINDS:
        rows = pickers.cells_of_type(work)
        if rows is None:
            return "Choose one or more cell types to start from."
        return np.flatnonzero(np.isin(shots.cells, rows)), "of the chosen types"
    return np.arange(shots.n_cells), ""


def _at_a_time(
    shots: Snapshots, cells: tuple[np.ndarray, str], *, which: str, direction: str
) -> Start | None:
    """Draw the times at which there are such cells, and return those of the picked one."""
    rows, words = cells
    counts = np.bincount(shots.time_index[rows], minlength=shots.n_times)
    end = shots.n_times - 1 if direction == FORWARD else 0
    further = float(st.session_state.get(_beyond_key(), 0.0))
    offered = [k for k in np.flatnonzero(counts) if k != end or further]
    if not offered:
        other = BACKWARD.lower() if direction == FORWARD else FORWARD.lower()
        theme.hint(f"No such cell was measured before the end; follow them {other}, or choose other cells.")
        return None
    usual = offered[0 if direction == FORWARD else -1]
    if which == CHOSEN:
        usual = max(offered, key=lambda k: counts[k])
    picked = st.selectbox(
        "Start time",
        offered,
        index=offered.index(usual),
        format_func=lambda k: f"{shots.axis.name(k)} · {count(int(counts[k]), 'cell')}",
        key=f"start-time-{which}-{direction}-{len(rows)}-{rows[:1]}",
    )
    at_time = rows[shots.time_index[rows] == picked]
    said = f"{count(len(at_time), 'cell')} {words}".strip()
    until = float(shots.axis.values[end]) + (further if direction == FORWARD else -further)
    return Start(at_time, float(shots.axis.values[picked]), until, said)


def _follow(
    model: CellModel,
    shots: Snapshots,
    placement: Placement,
    *,
    rows: np.ndarray,
    times: tuple[float, float],
    method: str,
) -> Trajectories:
    return integrate(
        model,
        shots.states[rows],
        np.linspace(*times, N_TIMES),
        method=method,
        seconds=PATIENCE,
        breaks=shots.axis.values,
        support=placement,
        unit=shots.unit,
    )


def _telling_genes(paths: Trajectories, basis: StateBasis) -> list[str]:
    first, last = (paths.states[k][paths.inside[k]] for k in (0, -1))
    if not len(first) or not len(last):
        return []
    change = np.abs((np.median(last, axis=0) - np.median(first, axis=0)) @ basis.loadings)
    telling = np.argsort(-change * np.sqrt(np.clip(basis.r2, 0, 1)), kind="stable")
    return [basis.genes[k] for k in telling[: MANY_GENES - 2]]
