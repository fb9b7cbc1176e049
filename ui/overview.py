"""What was found in a data set: the card of figures, the findings, and the list of data sets."""

from collections.abc import Mapping, Sequence

import streamlit as st

from jobs.workspace import Dataset
from ui import nav, shell, state, theme
from ui.text import ago, count, escape

LEVELS = {"error": "Must be mended", "warning": "Worth a look", "note": "Good to know"}
VALUES = {
    "counts": "Raw counts",
    "log": "Log-normalised",
    "normalised": "Normalised, not log",
    "scaled": "Scaled (z-scores)",
    "other": "Other numbers",
    "none": "No expression values",
}
LONGEST = 120  # letters of a name that can be typed
SHOWN = 4  # findings shown before the rest is folded away


def found(work: state.Workspace) -> None:
    """Draw the card "What we found"."""
    report, roles = work.report, work.report.get("roles", {})
    genes = report.get("n_genes", 0)
    theme.facts(
        {
            "Cells": f"{report.get('n_cells', 0):,}",
            "Genes": f"{genes:,}" if genes else ("None", "states only; this works all the way"),
            "Times": _times(work, roles),
            "Values": (VALUES.get(report.get("values"), "Unknown"), report.get("values_reason", "")),
            "Map": _key(roles.get("embedding"), "none yet; preparing computes a UMAP"),
            "State": _key(roles.get("rep"), "none yet; preparing computes principal components"),
            "Cell types": _key(roles.get("cell_type_key"), "no column chosen", prefix="column "),
        }
    )


def findings(rows: Sequence[Mapping[str, str]]) -> None:
    """Draw the findings, the most serious first, each with what to do about it."""
    order = list(LEVELS)
    ranked = sorted(rows, key=lambda row: order.index(row["level"]) if row["level"] in order else len(order))
    serious = [row for row in ranked if row["level"] != "note"]
    shown = max(SHOWN, len(serious))
    for row in ranked[:shown]:
        theme.finding(row["level"], LEVELS.get(row["level"], ""), row["message"], row.get("fix") or "")
    if ranked[shown:]:
        with st.expander(f"{len(ranked) - shown} more"):
            for row in ranked[shown:]:
                theme.finding(
                    row["level"], LEVELS.get(row["level"], ""), row["message"], row.get("fix") or ""
                )


def name_and_actions(work: state.Workspace) -> None:
    """Draw the page's title, the way on, and a menu to rename or delete the data set or open another one."""
    left, middle, right = st.columns([6, 2, 1.4], vertical_alignment="center")
    left.title("What we found", anchor=False)
    with middle:
        if is_ready(work):
            nav.button("train", "Train a model", key="next-train", primary=True, wide=True)
    with right.popover("Data set", width="stretch"):
        _menu(work)


def is_ready(work: state.Workspace) -> bool:
    """Tell whether a model can be trained on the data set as it is."""
    times = work.report.get("roles", {}).get("times") or []
    return len(times) > 1 and work.roles.rep is not None


def delete(dataset: Dataset) -> None:
    """Move a data set to the trash, offering to bring it back."""
    state.store().delete_dataset(dataset.id)
    state.remember("deleted", (dataset.id, dataset.name))
    if state.current_ids().dataset == dataset.id:
        state.close("dataset")
    st.rerun()


def undo() -> None:
    """Draw the offer to bring back the data set that was just deleted."""
    gone = state.recall("deleted")
    if gone is None:
        return
    id, name = gone
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(f"{escape(name)} was deleted.")
    if right.button("Undo", key="undo-delete", width="stretch"):
        state.store().restore_dataset(id)
        state.remember("deleted", None)
        state.open_dataset(id)
        st.rerun()


def every() -> None:
    """Draw the list of all data sets: open, delete."""
    for dataset in state.store().datasets():
        left, middle, right = st.columns([6, 1, 1], vertical_alignment="center")
        about = f"{count(dataset.report.get('n_cells', 0), 'cell')} · {ago(dataset.created)}"
        left.markdown(f"**{escape(dataset.name)}**  \n:gray[{escape(about)}]")
        if middle.button("Open", key=f"list-open-{dataset.id}", width="stretch"):
            state.open_dataset(dataset.id)
            st.rerun()
        if right.button("Delete", key=f"list-delete-{dataset.id}", width="stretch"):
            delete(dataset)


def next_step(work: state.Workspace) -> None:
    """Draw what is still missing before a model can be trained, or where to go now."""
    times = work.report.get("roles", {}).get("times") or []
    if work.roles.rep is None:
        theme.hint("Next: prepare this data set.")
    elif work.roles.time_key is None:
        theme.hint("Next: choose the column that holds the time of sampling.")
    elif len(times) < 2:
        theme.hint("All cells have the same time, so there is no motion to learn between times.")
    else:
        nav.link("train", "Next: train a model", icon=":material/arrow_forward:")


def _menu(work: state.Workspace) -> None:
    st.caption(f"{escape(work.dataset.origin)} · opened {ago(work.dataset.created)}")
    shown = work.dataset.name[:LONGEST]
    name = st.text_input("Name", value=shown, key=state.key("name", per="dataset"), max_chars=LONGEST)
    if name.strip() not in ("", shown.strip()):
        state.store().rename_dataset(work.dataset.id, name.strip())
        st.rerun()
    if st.button("Open another", key="open-another", width="stretch"):
        state.close("dataset")
        st.rerun()
    if st.button("Delete", key="delete-dataset", width="stretch"):
        delete(work.dataset)


def _times(work: state.Workspace, roles: Mapping) -> str | tuple[str, str]:
    times = roles.get("times") or []
    if not times:
        return "None", "no time column chosen"
    return shell.times_text(work), f"column {roles.get('time_key')}"


def _key(name: str | None, missing: str, *, prefix: str = "") -> str | tuple[str, str]:
    return f"{prefix}{name}" if name else ("—", missing)
