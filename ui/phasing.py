"""Phase portraits as they are shown: one gene's unspliced against its spliced molecules."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dynamics.fates import Fates
from dynamics.figures import genes as figures
from dynamics.phase import Portrait, around, portrait
from dynamics.read import gene_values, read_h5ad
from dynamics.values import kind_of_values
from ui import cache, expressing, fating, following, gene_maps, saving, state, theme
from ui.expressing import Expression
from ui.text import escape

if TYPE_CHECKING:
    from pathlib import Path

    from scipy import sparse

    from dynamics.snapshots import Snapshots

RARE = 0.05
"""Genes whose unspliced molecules fewer cells show are said to be told from little."""


def possible(work: state.Workspace) -> bool:
    """Tell whether the data set has spliced and unspliced molecules."""
    return bool(work.roles.spliced_layer and work.roles.unspliced_layer)


def draw(work: state.Workspace, known: Expression, weighted: Fates | None) -> None:
    """Draw the phase portrait of one gene, and its residual on the map."""
    gene = expressing.one_gene(work, known, weighted, key="phase-gene")
    if gene is None:
        return
    found = cache.cached(
        _portrait,
        work.dataset.file,
        fating.cells_of(work),
        gene,
        layers=(work.roles.spliced_layer, work.roles.unspliced_layer),
    )
    kinds = fating.labels(work)
    groups = None if kinds is None else np.asarray(kinds.astype(str), dtype=object)
    order = () if kinds is None else tuple(map(str, kinds.cat.categories))
    paint = None if kinds is None else following.type_colours(work)
    name = known.name(gene)
    left, right = st.columns(2, gap="large")
    with left:
        drawn = figures.portrait(found, name=name, groups=groups, order=order, colours=paint)
        saving.figure(drawn, name="phase-portrait", alt=f"Unspliced against spliced {name}")
    with right:
        if work.roles.embedding is not None and np.isfinite(found.gamma):
            label = f"{name}, unspliced beyond the line"
            gene_maps.draw_levels(work, found.residual, label=label, key="phase-map", centre=0.0)
    _said(found, name)


def _said(found: Portrait, name: str) -> None:
    if not np.isfinite(found.gamma):
        theme.hint("Spliced or unspliced molecules of this gene are hardly seen, so no line can be drawn.")
        return
    rare = (
        f" Only {found.seen[1]:.0%} of the cells show unspliced molecules of it: told from little."
        if found.seen[1] < RARE
        else ""
    )
    st.caption(
        f"Molecules of {escape(name)}, in cells of median size and averaged over 30 neighbours. Dashed: no "
        f"change, fitted to the outermost 5 % of the cells (R² {found.r2:.2f}). Above it, more is made than "
        "lost, and the gene rises; below, it falls. Read from splicing alone: the model has no part in it, "
        f"and where the gene’s rates differ between cell types one line does not fit all.{rare}"
    )


def _portrait(path: "Path", shots: "Snapshots", gene: str, *, layers: tuple[str, str]) -> Portrait:
    average, totals = cache.cached(_averages, path, shots, layers=layers)
    values = [cache.cached(_values, path, gene, layer=layer)[shots.cells] for layer in layers]
    return portrait(*values, average, totals=totals)


def _values(path: "Path", gene: str, *, layer: str) -> np.ndarray:
    return gene_values(path, gene, layer=layer)


def _averages(
    path: "Path", shots: "Snapshots", *, layers: tuple[str, str]
) -> "tuple[sparse.csr_matrix, tuple[np.ndarray, np.ndarray] | None]":
    """Return the average over neighbours, and molecules of each cell where the layers hold counts."""
    adata = read_h5ad(path)
    whole = {"X": adata.X, "raw": None if adata.raw is None else adata.raw.X}
    matrices = [whole[name] if name in whole else adata.layers[name] for name in layers]
    average = around(shots.states)
    if any(kind_of_values(matrix)[0] != "counts" for matrix in matrices):
        return average, None
    totals = (np.asarray(one.sum(axis=1), np.float64).ravel()[shots.cells] for one in matrices)
    return average, tuple(totals)
