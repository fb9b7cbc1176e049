"""What the snapshots leave open: models with different assumptions, and where they agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from jobs.work_models import ASSUMPTIONS, UNKNOWN
from models import container
from models.assumptions import ASSUMED, FEWEST, SAME_WAY
from models.methods import METHODS
from ui import cache, maps, state, theme, validating
from ui.cellmap import Levels, cell_map
from ui.text import escape

COLOURED = {"direction": "Direction", "fate": "Fate"}
WHY = (
    "Cells are destroyed when they are measured, so snapshots do not fix one way of moving: several fit them "
    "equally well. Here models that take different things for granted are trained on the same cells. Where "
    "they agree, the answer comes from the data; where they do not, it comes from the assumption."
)
NAMED = 4
MUCH = 0.1
"""Share of the cells from which an answer counts as one of the assumption."""


def panel(work: state.Workspace) -> None:
    """Draw the comparison, the job that makes it, or the button that starts that."""
    st.caption(WHY)
    if validating.going_on(work.entry, "assume"):
        return
    known = work.entry.about.get("assumptions")
    if known is None:
        if st.button("Train models with other assumptions", key=f"assume-{work.entry.id}"):
            params = {"dataset": work.entry.dataset, "model": work.entry.id}
            state.jobs().submit("assume", params, title="Other assumptions", dataset=work.entry.dataset)
            st.rerun()
        listed = "; ".join(f"{METHODS[name].title}: {what}" for name, what in ASSUMED.items())
        st.caption(f"{listed}. Each is trained once on all cells.")
        return
    _say(known)
    if work.roles.embedding is None:
        theme.hint("This data set has no map to draw on; preparing computes one.")
        return
    _map(work, known)


def _say(known: Mapping[str, Any]) -> None:
    """Put the shares into words, with the cell types that depend most."""
    assumed = ", ".join(known["assumptions"].values())
    st.markdown(escape(f"Trained: {len(known['assumptions'])} models ({assumed}).", limit=400))
    if known["direction_depends"] is None:
        st.markdown("Hardly any cell is moved by all of them, so their directions are not compared.")
        return
    share = known["direction_depends"]
    theme.finding(
        "warning" if share > MUCH else "good",
        f"Direction: depends on the assumption for {share:.0%} of the cells",
        f"Median cosine between the directions of two models: {known['median_cosine']:.2f}. A direction "
        "depends on the assumption where that is below one half: 60° apart.",
        _most(known, "direction_depends"),
    )
    fate = known["fate_depends"]
    if fate is not None:
        theme.finding(
            "warning" if fate > MUCH else "good",
            f"Fate: depends on the assumption for {fate:.0%} of the cells",
            "For these cells not all models end among the same cell type at the last time.",
            _most(known, "fate_depends"),
        )


def _most(known: Mapping[str, Any], what: str) -> str:
    """Name the cell types with the largest shares."""
    rows = sorted((one for one in known["types"] if one[what]), key=lambda one: -one[what])[:NAMED]
    if not rows:
        return ""
    return "Most of all " + ", ".join(f"{one['type']} ({one[what]:.0%})" for one in rows) + "."


def _map(work: state.Workspace, known: Mapping[str, Any]) -> None:
    offered = [what for what in COLOURED if what == "direction" or known["fate_depends"] is not None]
    what = st.segmented_control(
        "Colour by agreement on",
        offered,
        default="direction",
        required=True,
        format_func=COLOURED.get,
        key="assumed-colour",
    )
    path = work.entry.path.with_suffix(ASSUMPTIONS)
    found = cache.cached(container.read_state, path, key=work.model.fingerprint)
    values = np.full(work.adata.n_obs, np.nan, np.float32)
    values[found["cells"]] = np.where(found[what] == UNKNOWN, np.nan, found[what])
    label = "cosine between models" if what == "direction" else "models that agree"
    low = -0.5 if what == "direction" else 1 / len(known["assumptions"])
    cell_map(
        f"assumed-map-{work.entry.id}",
        xy=maps.places(work),
        colour=Levels(values, label=label, vmin=low, vmax=1.0),
        hover=maps.hover(work, besides=what),
        axes=maps.axes(work),
        height=maps.HEIGHT,
        filename="assumptions",
        alt="Map of the cells coloured by how far models with different assumptions agree",
    )
    if what == "direction":
        drawn = (
            "Mean cosine between the velocities that the models give each measured cell at its own time: 1 "
            f"the same way, below {SAME_WAY:g} over 60° apart. Grey: cells that one of them hardly moves."
        )
    else:
        drawn = (
            "Share of the models that bring the cell to the cell type that most of them do. Grey: cells of "
            "the last time."
        )
    more = f" Cell types with fewer than {FEWEST} cells are not named above."
    st.caption(f"{drawn} Compared at {known['n_cells']:,} cells.{more}")
