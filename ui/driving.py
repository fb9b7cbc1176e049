"""Driver genes as they are shown: what is compared with what, the strongest, and the table."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from scipy import sparse

from dynamics import gene_sets
from dynamics.driver_contrasts import ALL, EACH, drivers_of
from dynamics.drivers import Drivers, ranked, table
from dynamics.errors import DataError
from dynamics.fate_results import csv
from dynamics.fates import Fates
from dynamics.figures import genes as figures
from ui import cache, expressing, fating, saving, state, theme, trust
from ui.expressing import Expression
from ui.text import count, escape

if TYPE_CHECKING:
    from dynamics.gene_trends import Matrix
    from dynamics.snapshots import Snapshots

DRAWN = 15
TABLE_ROWS = 500
MOST_VALUES = 15_000_000
"""Values other than zero that drivers are worked out from while one waits; of more, a choice of the cells."""

STREAM = 23
EVERY, OPEN = "All cells", "Undecided cells"
METHODS = {"spearman": "Ranks (Spearman)", "pearson": "Values (Pearson)"}


def draw(work: state.Workspace, known: Expression, found: Fates | None) -> None:
    """Draw the driver genes of one fate."""
    if found is None:
        return
    fate, against, undecided, method = _asked(found)
    some = cache.cached(_some, known, fating.cells_of(work))
    options = {"fate": fate, "against": against, "undecided": undecided, "method": method}
    drivers, refusal = cache.cached(_found, known, fating.cells_of(work), found, rows=some, **options)
    if drivers is None:
        st.info(escape(refusal, limit=600), icon=":material/info:")
        return
    whole = cache.cached(table, drivers, fate, list(known.names))
    rows = _only(known, whole)
    colour = fating.colours(work, found.names)[fate]
    _figures(rows, colour, fate=fate)
    st.caption(_caption(work, drivers, fate, against=against, undecided=undecided, n_all=len(known.genes)))
    _table(rows, whole, fate=fate)


def _asked(found: Fates) -> tuple[str, str, bool, str]:
    """Draw what is asked: fate, what it is compared with, cells, and method."""
    first, second, third, fourth = st.columns([2, 2, 2, 2], vertical_alignment="bottom")
    with first:
        fate = expressing.one_fate(found, key="driver-fate")
    with second:
        others = [name for name in found.names if name != fate]
        ways = [EACH, ALL, *others] if len(others) > 1 else [ALL]
        against = st.selectbox(
            "Compared with",
            ways,
            key=f"driver-against-{fate}-{len(ways)}",
            help="“All others together” also finds genes of a whole branch, which sister fates share. “Each "
            "other fate” asks for genes that set this fate apart from every other: a gene stands for the "
            "weakest of these comparisons.",
        )
    with third:
        which = st.segmented_control(
            "Cells",
            [EVERY, OPEN],
            default=EVERY,
            required=True,
            key="driver-cells",
            help="Undecided: none of the fates that are compared has 80 % yet, so that genes come before the "
            "decision, not after it.",
        )
    with fourth:
        method = st.segmented_control(
            "Correlation of",
            list(METHODS),
            default="spearman",
            required=True,
            format_func=METHODS.get,
            key="driver-method",
        )
    return fate, against, which == OPEN, method


def _figures(rows: pd.DataFrame, colour: str, *, fate: str) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Strongest for this fate", anchor=False)
        drawn = figures.effects(rows.head(DRAWN), colour=colour)
        saving.figure(drawn, name="drivers", alt=f"Effects of the strongest driver genes of {fate}")
    with right:
        st.subheader("All genes", anchor=False)
        drawn = figures.overview(rows, colour=colour)
        saving.figure(drawn, name="drivers-all", alt=f"Effect on {fate} against mean expression")


def _table(rows: pd.DataFrame, whole: pd.DataFrame, *, fate: str) -> None:
    st.dataframe(
        rows.head(TABLE_ROWS),
        hide_index=True,
        height=360,
        column_config={
            "gene": st.column_config.TextColumn("Gene", pinned=True),
            "effect": st.column_config.NumberColumn("Effect", format="%.3f"),
            "low": st.column_config.NumberColumn("Low", format="%.3f"),
            "high": st.column_config.NumberColumn("High", format="%.3f"),
            "p": st.column_config.NumberColumn("p", format="%.2g"),
            "q": st.column_config.NumberColumn("q", format="%.2g"),
            "matched_null_p": st.column_config.NumberColumn("Matched null p", format="%.2g"),
            "holds_up": st.column_config.CheckboxColumn("Holds up"),
            "mean_expression": st.column_config.NumberColumn("Mean", format="%.2f"),
            "share_of_cells": st.column_config.NumberColumn("Share of cells", format="percent"),
        },
    )
    st.download_button(
        "All genes (CSV)",
        lambda: csv(whole.assign(fate=fate)).encode(),
        "drivers.csv",
        "text/csv",
        on_click="ignore",
        key="drivers-csv",
    )


def _only(known: Expression, whole: pd.DataFrame) -> pd.DataFrame:
    """Draw the field for a list of genes and return the rows of these; all where it is empty."""
    with st.expander("Only some genes, such as transcription factors"):
        text = st.text_area(
            "Genes",
            key=state.key("driver-only", per="dataset"),
            placeholder="Gata1, Spi1, Cebpa …",
            label_visibility="collapsed",
        )
    names = gene_sets.parse_list(text)
    if not names:
        return whole
    found = gene_sets.find(names, [known.names, np.array(known.genes)])
    wanted = {str(known.names[k]) for k in found.columns}
    if found.missing:
        st.caption(f"Not in this data set: {escape(', '.join(found.missing[:8]))}.")
    rows = whole[whole["gene"].isin(wanted)]
    if rows.empty:
        theme.hint("None of these genes varies here; all are shown.")
        return whole
    return rows


def _caption(
    work: state.Workspace, drivers: Drivers, fate: str, *, against: str, undecided: bool, n_all: int
) -> str:
    held = int((drivers.called[0] & (np.nan_to_num(drivers.effect[0]) > 0)).sum())
    members = (
        f"from the error of a correlation and {count(drivers.n_members, 'member')} of the ensemble"
        if drivers.n_members > 1
        else "from the error of a correlation alone; no ensemble was trained, so they are too narrow"
    )
    early = (
        " Among undecided cells fates differ little, and partly by the noise of the very genes: take what "
        "holds up there as a hint only."
        if undecided
        else ""
    )
    cells = fating.cells_of(work).n_cells
    some = "" if drivers.n_cells == cells else f" of {cells:,}"
    return (
        f"{held:,} of {n_all:,} genes go with {escape(fate)} and hold up. Effect: correlation of expression "
        f"with the probability of {escape(fate)}, against {escape(against)}, over {drivers.n_cells:,}{some} "
        "cells, each compared with cells of its own time only, so that change with time alone counts for "
        f"nothing. Lines: 80 % intervals, {members}. Holds up (filled): false discovery rate q below 5 %, "
        "beyond 95 % of matched genes (like mean and share of cells) with fates shuffled within each time, "
        "and an interval without zero. A gene that goes with a fate need not cause it, and the fates of "
        f"“{escape(work.entry.name)}” were told from states made of these genes.{early} "
        f"{trust.sentence(work.entry)}"
    )


def _some(known: Expression, shots: "Snapshots") -> np.ndarray:
    """Return the cells to use: all, or a fixed random choice where the matrix is very large."""
    n = shots.n_cells
    size = known.values.nnz if sparse.issparse(known.values) else known.values.size
    if size <= MOST_VALUES:
        return np.arange(n)
    rng = np.random.default_rng(STREAM)
    return np.sort(rng.choice(n, max(int(n * MOST_VALUES / size), min(n, 1000)), replace=False))


def _found(
    known: Expression, shots: "Snapshots", found: Fates, *, rows: np.ndarray, method: str, **options
) -> tuple[Drivers | None, str]:
    whole = len(rows) == shots.n_cells
    values = known.values if whole else known.values[rows]
    ranks = cache.cached(_ranks, known, rows) if method == "spearman" else None
    try:
        drivers = drivers_of(
            values,
            found.probabilities[rows],
            shots.times[rows],
            genes=known.genes,
            fates=found.names,
            by_member=None if found.by_member is None else found.by_member[:, rows],
            method=method,
            ranks=ranks,
            **options,
        )
    except DataError as refusal:  # too few cells is an answer here, not a failure
        return None, str(refusal)
    return drivers, ""


def _ranks(known: Expression, rows: np.ndarray) -> "Matrix":
    values = known.values if len(rows) == known.values.shape[0] else known.values[rows]
    found = ranked(values)
    return found.tocsr() if sparse.issparse(found) else found
