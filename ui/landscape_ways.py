"""Least-action paths on the landscape page: the two states, what the ways cost, and what changes on them."""

import numpy as np
import pandas as pd
import streamlit as st

from dynamics.action import GeneChanges, Transition, changing_genes, least_action, middle_cell
from dynamics.figures import landscape as drawing
from dynamics.landscape import Heights, height_of
from dynamics.projection import Placement
from dynamics.snapshots import Snapshots
from models.cell_model import CellModel
from ui import cache, maps, saving, state, theme, trust
from ui.cellmap import Categories, Layers, MapEvent, Paths
from ui.text import count, escape

FROM_MAP = "Chosen on the map"


def ends(work: state.Workspace) -> tuple[tuple[int, int], tuple[str, str]] | None:
    """Draw the choice of two states and return the cells in their middles, and their names; or None."""
    options = _states(work)
    columns = st.columns(2)
    picked = []
    for column, label in zip(columns, ("Path from", "to"), strict=True):
        with column:
            picked.append(
                st.selectbox(
                    label,
                    list(options),
                    index=None,
                    placeholder="Choose a state",
                    key=state.key(f"landscape-{label}", per="dataset"),
                    help="A cell type, a time, or cells chosen on the map below: the path begins and ends at "
                    "the cell in the middle of them.",
                )
            )
    if None in picked:
        return None
    rows = tuple(middle_cell(work.snapshots.states, options[one]) for one in picked)
    if rows[0] == rows[1]:
        st.info("Both ends are the same cells: choose two different states.", icon=":material/touch_app:")
        return None
    return rows, (picked[0], picked[1])


def transition(work: state.Workspace, rows: tuple[int, int], *, time: float | None) -> Transition:
    """Return the least-action paths between two cells."""
    return cache.cached(_transition, work.model, work.snapshots, maps.placement(work), rows=rows, time=time)


def ways_table(work: state.Workspace, ways: Transition, names: tuple[str, str]) -> None:
    """Draw what the ways there and back cost, and say how to read it."""
    bands = ways.intervals(widened=trust.widening(work.entry) or 1.0)
    rows = []
    for k, one in enumerate((ways.there, ways.back)):
        row = {"Action": f"{one.action:.3g}"}
        if bands is not None:
            row["80 % range"] = f"{bands[0][k]:.3g} to {bands[1][k]:.3g}"
        rows.append(row | {"Off the measured cells": f"{one.off_support:.0%}"})
    st.table(pd.DataFrame(rows, index=[escape(label) for label in labels(names)]))
    st.caption(_ways_said(work, ways, names, bands))


def height_along(work: state.Workspace, found: Heights, ways: Transition, *, names: tuple[str, str]) -> None:
    """Draw the height along both ways."""
    if not found.can_be_drawn:
        theme.hint("This flow has no landscape, so there is no height along the paths.")
        return
    along = {}
    for label, one in zip(labels(names), (ways.there, ways.back), strict=True):
        height = cache.cached(height_of, found, work.snapshots, one.states)
        along[label] = (one.progress, height, one.inside)
    drawn = drawing.profile(along, y="height")
    saving.figure(drawn, name="height-along-paths", alt="Height along the paths there and back")
    st.caption(
        "Mean height of the 15 measured cells nearest to each state of the path, in all dimensions; dotted "
        "where no cells were measured."
    )


def genes_along(work: state.Workspace, ways: Transition, names: tuple[str, str]) -> None:
    """Draw the genes that change most on the way there."""
    if work.model.basis is None:
        st.caption("This model was trained without genes, so its states cannot be mapped back to them.")
        return
    found: GeneChanges = cache.cached(changing_genes, ways.there, work.model.basis)
    drawn = drawing.genes(ways.there.progress, found.values, found.genes)
    saving.figure(drawn, name="genes-along-path", alt=f"Genes that change most {labels(names)[0]}")
    poor = [gene for gene, r2 in zip(found.genes, found.r2, strict=True) if r2 < 0.1]
    little = f" Little is known of {escape(', '.join(poor))}." if poor else ""
    st.caption(
        f"Genes that change most on the way {escape(labels(names)[0])}, mapped back from the states: "
        f"what such a change would look like, not what causes it.{little}"
    )


def ways_layers(ways: Transition | None, names: tuple[str, str] | None) -> Layers:
    """Return the least-action paths as the flat map draws them."""
    if ways is None or names is None:
        return Layers()
    both = (ways.there, ways.back)
    xy, inside = np.stack([one.xy for one in both], axis=1), np.stack([one.inside for one in both], axis=1)
    groups = Categories(np.arange(2), labels(names), drawing.WAYS, "path")
    return Layers(paths=Paths(100 * ways.there.progress, xy, inside, None, groups, unit="% of the way"))


def keep_chosen(work: state.Workspace, event: MapEvent | None) -> None:
    """Draw the button that keeps cells chosen on the map as a state to begin or end at."""
    if event is None or not event.n:
        st.caption("Draw around cells with the lasso or the box above the map to use them as a state.")
        return
    rows = np.flatnonzero(np.isin(work.snapshots.cells, event.rows))
    kept = state.recall(_kept_key(), {})
    label = f"{FROM_MAP} {len(kept) + 1}"
    if st.button(
        f"Use these {count(len(rows), 'cell')} as “{label}”", key="landscape-keep", disabled=not len(rows)
    ):
        state.remember(_kept_key(), {**kept, label: rows})
        st.rerun()


def labels(names: tuple[str, str]) -> tuple[str, str]:
    """Return what the way there and the way back are called."""
    return f"{names[0]} → {names[1]}", f"{names[1]} → {names[0]}"


def _ways_said(
    work: state.Workspace,
    ways: Transition,
    names: tuple[str, str],
    bands: tuple[np.ndarray, np.ndarray] | None,
) -> str:
    there, back = ways.there.action, ways.back.action
    easier = labels(names)[0 if there < back else 1]
    clear = bands is not None and (bands[0][2] > 0 or bands[1][2] < 0)
    sure = "" if bands is None else " (clear in the ensemble)" if clear else " (not clear in the ensemble)"
    when = (
        "at each step the flow of the time of the cells around"
        if ways.time is None
        else (f"the flow at {trust.moment(work.snapshots, ways.time)}")
    )
    off = max(ways.there.off_support, ways.back.off_support)
    marked = (
        f" Up to {off:.0%} of a path lies where no cell was measured: do not trust it there." if off else ""
    )
    alone = "" if bands is not None else " No ensemble was trained, so there is no range."
    early = "" if ways.there.settled and ways.back.settled else " The search ended at its limit of steps."
    return (
        "Action is how hard chance would have to push against the flow along the cheapest path; 0 where the "
        f"flow goes there by itself. By **{escape(easier)}** it takes less{sure}. Read with {when}; the "
        "paths are the best around the shortest way through measured cells, with chance alike in all "
        f"dimensions of the states: candidates for how a change could go, not observed ones."
        f"{marked}{alone}{early} {trust.sentence(work.entry)}"
    )


def _states(work: state.Workspace) -> dict[str, np.ndarray]:
    """Return the states that a path may begin or end at: rows of the snapshots by name."""
    shots, found = work.snapshots, {}
    column = work.roles.cell_type_key
    if column:
        kinds = work.adata.obs[column].astype("category").iloc[shots.cells]
        for k, kind in enumerate(kinds.cat.categories):
            found[str(kind)] = np.flatnonzero(kinds.cat.codes.to_numpy() == k)
    for k in range(shots.n_times):
        name = shots.axis.name(k)
        found[f"all of {name}" if name not in found else f"all of time {name}"] = shots.rows(k)
    return {name: rows for name, rows in {**found, **state.recall(_kept_key(), {})}.items() if len(rows)}


def _kept_key() -> str:
    return state.key("landscape-states", per="dataset")


def _transition(
    model: CellModel,
    shots: Snapshots,
    placement: Placement,
    *,
    rows: tuple[int, int],
    time: float | None,
) -> Transition:
    return least_action(model, shots, rows, time=time, support=placement)
