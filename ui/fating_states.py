"""Terminal states on the page: the list with reasons, and how they are edited."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import terminal
from dynamics.errors import DynamicsError
from dynamics.proposals import from_ends, from_flow, from_types
from jobs import work_fates
from jobs.workspace import ModelEntry
from ui import cache, fating, state, theme
from ui.text import count, escape

if TYPE_CHECKING:
    from pathlib import Path

    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates

PICK, MERGE, SPLIT, RENAME, REMOVE, PROPOSE = "Pick", "Merge", "Split", "Rename", "Remove", "Propose anew"
NEW = "a new state"
SOURCES = {
    "types": "cell type",
    "flow": "where the flow gathers",
    "ends": "ends of paths",
    terminal.BY_HAND: "by hand",
}
WAYS = {"types": "Cell types that stay", "flow": "Where the flow gathers", "ends": "Ends of paths"}
NAMED_LEFT_OUT = 6


def current(work: state.Workspace) -> "TerminalStates":
    """Return the terminal states as they were last edited, else those proposed."""
    kept = _kept(work)
    return fating.proposal(work) if kept is None else kept


def listed(work: state.Workspace, states: "TerminalStates") -> None:
    """Draw the list of states, each with the reason for it, and what was left out."""
    if not len(states):
        theme.hint(
            "There is no terminal state yet. Draw around cells of the last time on the map and pick them."
        )
    else:
        table = pd.DataFrame(
            {
                "Cells": [f"{n:,}" for n in states.n_cells],
                "From": [SOURCES.get(source, source) for source in states.sources],
                "Why": [escape(reason) for reason in states.reasons],
            },
            index=[escape(name) for name in states.names],
        )
        st.table(table)
    out = states.left_out[:NAMED_LEFT_OUT]
    if out:
        told = "; ".join(f"{escape(name)} ({escape(reason)})" for name, reason in out)
        more = len(states.left_out) - len(out)
        st.caption(f"Not terminal: {told}{f'; and {more} more' if more else ''}.")


def editor(work: state.Workspace, states: "TerminalStates", chosen: np.ndarray) -> None:
    """Draw the ways to edit the states; `chosen` are rows of the data set chosen on the map."""
    cells = fating.selected_cells(work, chosen)
    ways = [PICK, *([MERGE] if len(states) > 1 else []), *([SPLIT, RENAME, REMOVE] if len(states) else [])]
    way = st.segmented_control(
        "Edit",
        [*ways, PROPOSE],
        default=PICK,
        required=True,
        key=state.key("edit-states", per="model") + f"-{len(ways)}",
    )
    FORMS[way](work, states, cells)
    problem = state.recall("states-problem")
    if problem:
        st.warning(escape(problem, limit=400), icon=":material/error:")
        state.remember("states-problem", None)


def _pick(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        into = st.selectbox("Put them into", [NEW, *states.names], key=_key("pick-into"), width=220)
        name = into
        if into == NEW:
            name = st.text_input(
                "Its name", value=_next_name(states), max_chars=80, key=_key("pick-name"), width=220
            )
        fixed = st.checkbox(
            "For good",
            key=_key("pick-force"),
            help="Cells that are forced into a state stay there when states are proposed anew.",
        )
        pressed = st.button(
            "Pick the chosen cells", key=_key("pick"), disabled=not len(cells), type="primary"
        )
    last = work.snapshots.time_index.max()
    late = int((fating.cells_of(work).time_index[cells] == last).sum())
    if len(cells):
        early = "" if late == len(cells) else f", {late:,} of them of the last time"
        st.caption(f"{count(len(cells), 'cell')} chosen on the map{early}.")
    else:
        st.caption(
            "Draw around cells with the lasso or the box above the map, or click groups in its legend."
        )
    if pressed:
        change = terminal.force if fixed else terminal.pick
        _apply(work, lambda: change(states, name, cells))


def _merge(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = st.multiselect("States", states.names, key=_key("merge"), width=360)
        into = st.text_input(
            "Name of both",
            placeholder=names[0] if names else "",
            max_chars=80,
            key=_key("merge-name"),
            width=220,
        )
        pressed = st.button("Merge", key=_key("merge-do"), disabled=len(names) < 2, type="primary")
    if pressed:
        _apply(work, lambda: terminal.merge(states, names, into=into or None))


def _split(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("State", states.names, key=_key("split"), width=220)
        by_hand = st.checkbox("Along the chosen cells", disabled=not len(cells), key=_key("split-by"))
        pressed = st.button("Split in two", key=_key("split-do"), type="primary")
    st.caption(
        "Along its two clusters in the space of states; or the cells chosen on the map apart from the rest."
    )
    if pressed:
        where = {"cells": cells} if by_hand else {"states_of_cells": fating.cells_of(work).states}
        _apply(work, lambda: terminal.split(states, name, **where))


def _rename(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("State", states.names, key=_key("rename"), width=220)
        to = st.text_input("New name", max_chars=80, key=_key("rename-to"), width=220)
        pressed = st.button("Rename", key=_key("rename-do"), type="primary")
    if pressed:
        _apply(work, lambda: terminal.rename(states, name, to))


def _remove(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("State", states.names, key=_key("remove"), width=220)
        pressed = st.button("Remove", key=_key("remove-do"), type="primary")
    if pressed:
        _apply(work, lambda: terminal.remove(states, name))


def _propose(work: state.Workspace, states: "TerminalStates", cells: np.ndarray) -> None:
    ways = [way for way in WAYS if way != "types" or fating.labels(work) is not None]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.selectbox("From", ways, format_func=WAYS.get, key=_key("propose"), width=260)
        pressed = st.button("Propose", key=_key("propose-do"), type="primary")
        back = st.button("Back to the first proposal", key=_key("propose-back"))
    st.caption("Cells that were put into a state for good stay there.")
    if pressed:
        _apply(work, lambda: terminal.renewed(states, proposed(work, way)))
    if back:
        _apply(work, lambda: terminal.renewed(states, fating.proposal(work)))


def proposed(work: state.Workspace, way: str) -> "TerminalStates":
    """Return the terminal states that one way proposes."""
    shots, built, kinds = fating.cells_of(work), fating.chain(work, growth="none"), fating.labels(work)
    if way == "types":
        return cache.cached(_from_chain, built, shots, kinds)
    if way == "flow":
        return cache.cached(_from_chain, built, shots, kinds, flow=True)
    return cache.cached(from_ends, work.model, shots, labels=kinds)


def _from_chain(
    built: fating.Built, shots: "Snapshots", kinds: pd.Series | None, *, flow: bool = False
) -> "TerminalStates":
    own = built.chains[0]
    return from_flow(own, shots, labels=kinds) if flow else from_types(own, shots, kinds)


FORMS: dict[str, Callable] = {
    PICK: _pick,
    MERGE: _merge,
    SPLIT: _split,
    RENAME: _rename,
    REMOVE: _remove,
    PROPOSE: _propose,
}


def _apply(work: state.Workspace, change: Callable[[], "TerminalStates"]) -> None:
    """Make a change and keep it with the model; say what speaks against it beside the form."""
    try:
        work_fates.keep_states(work.entry, change(), fating.cells_of(work))
    except DynamicsError as problem:
        state.remember("states-problem", str(problem))
    st.rerun()


def _kept(work: state.Workspace) -> "TerminalStates | None":
    path = work.entry.path.with_suffix(work_fates.STATES)
    return cache.cached(_read, path, work.entry, fating.cells_of(work))


def _read(path: "Path", entry: ModelEntry, shots: "Snapshots") -> "TerminalStates | None":
    return work_fates.kept_states(entry, shots)


def _next_name(states: "TerminalStates") -> str:
    numbers = (k for k in range(1, len(states) + 2))
    return next(f"State {k}" for k in numbers if f"State {k}" not in states.names)


def _key(name: str) -> str:
    return state.key(f"states-{name}", per="model")
