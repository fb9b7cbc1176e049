"""What the columns of a data set mean: one choice for each role, and the table of times."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import inspect, read, times
from dynamics import roles as detection
from dynamics.errors import TimeError
from dynamics.roles import Roles
from ui import cache, state
from ui.text import escape

if TYPE_CHECKING:
    from anndata import AnnData

NONE = "—"
MOST_GROUPS = 300  # a column with more different values is not offered as a grouping of cells
VISIBLE = ("time_key", "cell_type_key", "rep", "embedding")
LABELS = {
    "time_key": "Time of sampling",
    "cell_type_key": "Cell type",
    "rep": "State of a cell",
    "embedding": "Map",
    "condition_key": "Condition",
    "batch_key": "Batch",
    "clone_key": "Clone (lineage barcode)",
    "counts_layer": "Raw counts",
    "spliced_layer": "Spliced counts",
    "unspliced_layer": "Unspliced counts",
}
HELP = {
    "time_key": "The column that says when each cell was taken.",
    "cell_type_key": "The column that says what each cell is; it names the fates.",
    "rep": "The numbers that stand for a cell's state, in which motion is learned.",
    "embedding": "The two- or three-dimensional picture that everything is drawn on.",
    "condition_key": "Treatment, genotype and the like.",
    "batch_key": "Sample, donor or sequencing run.",
    "clone_key": "Cells that share a barcode come from one mother cell.",
    "counts_layer": "Where the raw counts are, for preparing.",
    "spliced_layer": "For RNA velocity as a comparison.",
    "unspliced_layer": "For RNA velocity as a comparison.",
}


def editor(work: state.Workspace) -> None:
    """Draw one choice for each role; a change is kept at once."""
    options = cache.cached(choices, work.adata, work.dataset.file)
    picked = {name: _choice(work, name, options[name]) for name in VISIBLE}
    with st.expander("More columns"):
        picked |= {name: _choice(work, name, options[name]) for name in LABELS if name not in VISIBLE}
    changed = {name: value for name, value in picked.items() if value != getattr(work.roles, name)}
    if changed:
        reasons = {**work.roles.reasons, **dict.fromkeys(changed, "chosen by you")}
        if "time_key" in changed:
            changed |= {"time_values": {}, "time_unit": None}
        changed["reasons"] = reasons
        save(work, replace(work.roles, **changed))


def choices(adata: "AnnData", file: Any) -> dict[str, list[str]]:
    """Return what each role can be: names of columns, representations, embeddings and matrices."""
    groups = [name for name in adata.obs if _is_grouping(adata.obs[name])]
    matrices = read.matrix_names(file)
    layers = [name for name in matrices if name not in ("X", "raw")]
    return {
        "time_key": [str(name) for name in adata.obs],
        "cell_type_key": groups,
        "condition_key": groups,
        "batch_key": groups,
        "clone_key": [str(name) for name in adata.obs] + list(adata.obsm),
        "rep": detection.representations(adata),
        "embedding": detection.embeddings(adata),
        "counts_layer": matrices,
        "spliced_layer": layers,
        "unspliced_layer": layers,
    }


def times_table(work: state.Workspace) -> None:
    """Draw the times as they were read, with their values open to change, and how they are counted."""
    if work.roles.time_key is None:
        return
    reading = _reading(work)
    if reading is None:
        return
    table = pd.DataFrame(
        {"label": reading.labels, "value": np.asarray(reading.values, float), "cells": reading.n_cells}
    )
    edited = st.data_editor(
        table,
        hide_index=True,
        disabled=["label", "cells"],
        key=state.key(f"times-{cache.fingerprint(table)[:12]}", per="dataset"),
        column_config={
            "label": st.column_config.TextColumn("In the file"),
            "value": st.column_config.NumberColumn(
                "Time", format="%.6g", help="Click to change; empty leaves out"
            ),
            "cells": st.column_config.NumberColumn("Cells", format="localized"),
        },
    )
    for note in reading.notes:
        st.caption(escape(note))
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    unit = left.text_input(
        "Unit",
        value=work.roles.time_unit or reading.unit,
        key=state.key("time-unit", per="dataset"),
        max_chars=20,
    )
    as_index = right.toggle(
        "Count times 0, 1, 2, …",
        value=work.roles.time_as == "index",
        key=state.key("time-as", per="dataset"),
        help="Off: the real time between samples is used, so speeds are per unit of time. "
        "On: every step between two samples counts the same.",
    )
    _save_times(work, reading, edited, unit=unit.strip(), as_index=as_index)


def _reading(work: state.Workspace) -> times.TimeReading | None:
    """Return how every label of the time column was read; None, saying why, where it holds no times."""
    column = work.adata.obs[work.roles.time_key]
    try:
        return cache.cached(times.read_labels, column, values=dict(work.roles.time_values))
    except TimeError as error:
        st.caption(escape(error, limit=500))
        return None


def save(work: state.Workspace, roles: Roles) -> None:
    """Keep changed roles, look at the data set again with them, and draw the page anew."""
    state.store().update_dataset(work.dataset.id, roles=roles.to_json(), report=_look_again(work, roles))
    st.rerun()


def _look_again(work: state.Workspace, roles: Roles) -> dict[str, Any]:
    """Return the report for other roles; what was said of the matrix stays, as the roles do not touch it."""
    return inspect.inspect(work.adata, roles=roles, earlier=work.report).to_json()


def _choice(work: state.Workspace, name: str, options: Sequence[str]) -> str | None:
    now = getattr(work.roles, name)
    listed = [NONE, *options] + ([now] if now and now not in options else [])
    reason = work.roles.reasons.get(name)
    help = HELP[name] + (f"\n\nDetected: {escape(reason, limit=400)}" if reason else "")
    picked = st.selectbox(
        LABELS[name],
        listed,
        index=listed.index(now) if now in listed else 0,
        help=help,
        key=state.key(f"role-{name}-{now or NONE}", per="dataset"),
    )
    return None if picked == NONE else picked


def _save_times(
    work: state.Workspace, reading: times.TimeReading, edited: pd.DataFrame, *, unit: str, as_index: bool
) -> None:
    """Keep what was changed in the table, the unit or the way of counting."""
    values = _changed_values(reading, edited, work.roles.time_values)
    new = replace(
        work.roles,
        time_values=values,
        time_unit=unit if unit != reading.unit else work.roles.time_unit and unit,
        time_as="index" if as_index else "value",
    )
    if new != work.roles:
        save(work, new)


def _changed_values(
    reading: times.TimeReading, edited: pd.DataFrame, known: Mapping[str, float]
) -> dict[str, float | None]:
    """Return the user's own values: those from before, and what was typed now."""
    values = dict(known)
    for label, old, new in zip(reading.labels, reading.values, edited["value"], strict=True):
        if not (old == new or (np.isnan(old) and pd.isna(new))):
            values[label] = None if pd.isna(new) else float(new)
    return values


def _is_grouping(column: pd.Series) -> bool:
    return column.nunique() <= min(MOST_GROUPS, max(2, len(column) // 2))
