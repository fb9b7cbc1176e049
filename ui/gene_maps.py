"""Values of cells on the map: a gene beside its velocity, a score, a residual."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dynamics.ensemble import members_of
from dynamics.fates import Fates
from dynamics.velocity import evaluate
from ui import cache, expressing, fating, maps, state, theme, trust
from ui.cellmap import Levels, cell_map
from ui.expressing import Expression
from ui.text import escape

if TYPE_CHECKING:
    from dynamics.snapshots import Snapshots
    from models.cell_model import CellModel

HEIGHT = 420
KNOWN = 0.1
"""Genes of which the states hold a smaller share of the variance are said to be poorly known to the model."""


def on_map(work: state.Workspace, known: Expression, found: Fates | None) -> None:
    """Draw one gene on the map: its expression, and how the model says that it changes."""
    if work.roles.embedding is None:
        theme.hint("This data set has no map to draw on; preparing it on the Data page computes one.")
        return
    gene = expressing.one_gene(work, known, found, key="map-gene")
    if gene is None:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        values = known.some([known.place[gene]])[:, 0]
        st.markdown(f"**{escape(known.name(gene))}, expression**")
        draw_levels(work, values, label=known.name(gene), key="gene-map")
        st.caption("Measured expression of each cell (log scale).")
    with right:
        st.markdown(f"**{escape(known.name(gene))}, velocity**")
        _velocity(work, known, gene)


def draw_levels(
    work: state.Workspace,
    values: np.ndarray,
    *,
    label: str,
    key: str,
    centre: float | None = None,
    unit: str = "",
) -> None:
    """Draw one value of each cell that fates are worked out for on the map."""
    everywhere = np.full(work.adata.n_obs, np.nan, np.float32)
    everywhere[fating.cells_of(work).cells] = values
    cell_map(
        state.key(key, per="dataset"),
        xy=maps.places(work),
        colour=Levels(everywhere, label=label, centre=centre, unit=unit),
        hover=maps.hover(work, besides=""),
        axes=maps.axes(work),
        height=HEIGHT,
        filename=key,
        alt=f"Map of the cells coloured by {label}",
    )


def _velocity(work: state.Workspace, known: Expression, gene: str) -> None:
    found = work.model.basis
    if found is None or gene not in found.genes:
        theme.hint("The model was trained without this gene, so it does not say how it changes.")
        return
    speed, agreed, r2 = cache.cached(_gene_velocity, work.model, fating.cells_of(work), gene)
    unit = work.snapshots.unit if work.snapshots.unit not in ("", "index") else "unit of time"
    label = f"change of {known.name(gene)}"
    draw_levels(work, speed, label=label, key="gene-velocity-map", centre=0.0, unit=f"per {unit}")
    poor = " The states hold too little of this gene for its velocity to mean much." if r2 < KNOWN else ""
    sure = (
        "No ensemble was trained, so how far this depends on the training is not known."
        if not np.isfinite(agreed)
        else f"All members of the ensemble agree on the direction in {agreed:.0%} of the cells."
    )
    st.caption(
        f"How “{escape(work.entry.name)}” says that each cell changes the gene: its velocity, mapped from "
        f"states to the gene (red up, blue down). The states hold {r2:.0%} of the gene’s variance.{poor} "
        f"{sure} {trust.time_note(work.snapshots)} {trust.sentence(work.entry)}"
    )


def _gene_velocity(model: "CellModel", shots: "Snapshots", gene: str) -> tuple[np.ndarray, float, float]:
    """Return a gene's mean velocity over the members, (n,), the share of cells where they agree, and R²."""
    basis = model.basis
    members = members_of(model)
    each = np.stack(
        [basis.velocity_to_genes(evaluate(one, shots.times, shots.states), [gene])[:, 0] for one in members]
    )
    agreed = float((np.abs(np.sign(each).sum(axis=0)) == len(members)).mean()) if len(members) > 1 else np.nan
    return each.mean(axis=0), agreed, float(basis.r2[basis.columns([gene])[0]])
