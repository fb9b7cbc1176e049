"""Gene sets as they are shown: pasted or from a GMT file, and their score along the way and on the map."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import gene_sets
from dynamics.errors import DataError
from dynamics.fate_results import csv
from dynamics.fates import Fates
from ui import cache, expressing, fating, gene_maps, state, theme
from ui.expressing import Expression
from ui.text import count, escape

PASTE, FILE = "Paste a list", "Upload GMT"
PROBLEMS = 3


def draw(work: state.Workspace, known: Expression, found: Fates | None) -> None:
    """Draw the choice of a gene set, and its score."""
    name, genes = _asked()
    if not genes:
        return
    places = gene_sets.find(genes, [known.names, np.array(known.genes), *_names(work, known)])
    _missing(places, n=len(genes))
    if not places.columns:
        return
    values, refusal = cache.cached(_score, known, places.columns)
    if values is None:
        st.info(escape(refusal, limit=400), icon=":material/info:")
        return
    along = expressing.of_values(work, values, found)
    left, right = st.columns([3, 4], gap="large")
    with left:
        expressing.panels(work, along, [name], key="set-score", label="score", fewest=1)
    with right:
        if work.roles.embedding is not None:
            gene_maps.draw_levels(work, values, label=name, key="score-map", centre=0.0)
    st.caption(
        f"Score of {count(len(places.columns), 'gene')}: their mean z-score less that of control genes of "
        "like mean expression (up to 50 for each), so that what all genes do in a cell is taken off; 0: no "
        "more than those. " + expressing.said(work, along, found, what="Mean score of the measured cells")
    )
    _download(work, values, name)


def _asked() -> tuple[str, Sequence[str]]:
    """Draw the ways to give a set and return its name and genes; nothing while none is given."""
    way = st.segmented_control("Gene set", [PASTE, FILE], default=PASTE, required=True, key="set-way")
    if way == PASTE:
        text = st.text_area(
            "Genes",
            key=state.key("set-genes", per="dataset"),
            placeholder="Names apart by commas, blanks or lines",
        )
        genes, refusal = _parsed(text)
        if refusal:
            st.warning(escape(refusal, limit=400), icon=":material/error:")
        elif not genes:
            theme.hint("Paste names of genes, such as markers of a cell type or of a process.")
        return "pasted set", genes
    file = st.file_uploader(
        "GMT file",
        type=["gmt", "txt"],
        key="set-file",
        help="One set a line: name, description, genes, apart by tabs, as MSigDB and Enrichr give them.",
    )
    if file is None:
        theme.hint("A GMT file holds one set a line: name, description and genes, with tabs between.")
        return "", []
    library, refusal = _library(file.getvalue())
    if library is None:
        st.warning(escape(refusal, limit=400), icon=":material/error:")
        return "", []
    if library.problems:
        more = len(library.problems) - PROBLEMS
        told = "; ".join(library.problems[:PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        st.caption(f"Left out: {escape(told, limit=400)}.")
    name = st.selectbox(f"Set ({len(library.sets):,} in the file)", list(library.sets), key="set-name")
    return name, library.sets[name]


def _missing(places: gene_sets.Found, *, n: int) -> None:
    """Say how many genes were found, which were not, and what they may have meant."""
    text = f"{len(places.columns)} of {count(n, 'gene')} found."
    if places.missing:
        more = len(places.missing) - 8
        listed = ", ".join(places.missing[:8]) + (f" and {more} more" if more > 0 else "")
        text += f" Not in this data set: {escape(listed, limit=300)}."
    close = "; ".join(f"{name}: {' or '.join(near)}" for name, near in places.close.items())
    if close:
        text += f" Did you mean {escape(close, limit=300)}?"
    st.caption(text)


def _download(work: state.Workspace, values: np.ndarray, name: str) -> None:
    shots = fating.cells_of(work)

    def content() -> bytes:
        cells = np.asarray(work.adata.obs_names, dtype=object)[shots.cells]
        times = [shots.axis.name(int(k)) for k in shots.time_index]
        return csv(pd.DataFrame({"cell": cells, "time": times, "score": values})).encode()

    st.download_button(
        "Score of all cells (CSV)",
        content,
        "gene-set-score.csv",
        "text/csv",
        on_click="ignore",
        key="set-csv",
    )


def _names(work: state.Workspace, known: Expression) -> list[np.ndarray]:
    """Return the other names of genes, where the table of genes is that of the matrix."""
    names = gene_sets.names_of(work.adata.var)
    return names if len(names[0]) == len(known.genes) else []


def _parsed(text: str) -> tuple[list[str], str]:
    try:
        return gene_sets.parse_list(text), ""
    except DataError as refusal:  # what was pasted is the user's to mend, here and now
        return [], str(refusal)


def _library(content: bytes) -> tuple[gene_sets.Library | None, str]:
    try:
        return gene_sets.parse_gmt(content), ""
    except DataError as refusal:  # as above
        return None, str(refusal)


def _score(known: Expression, columns: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    try:
        return gene_sets.score(known.values, columns), ""
    except DataError as refusal:  # a set without genes that vary is an answer
        return None, str(refusal)
