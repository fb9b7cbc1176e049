"""Genes as they are shown: expression as read, trends on the way to fates, and the heat map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dynamics.basis import log_expression
from dynamics.expression import as_float32
from dynamics.fates import Fates
from dynamics.figures import genes as figures
from dynamics.gene_sets import shown_names
from dynamics.gene_trends import ALL, TIMES_SMOOTHED, Matrix, Trends, peaks, trends
from dynamics.read import read_h5ad
from dynamics.values import kind_of_values
from ui import cache, fating, fating_states, pickers, saving, state, theme, trust
from ui.text import escape

if TYPE_CHECKING:
    from pathlib import Path

    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

MOST_GENES = 12
"""Genes whose trends are drawn at once."""

COLUMNS = 3
LOG_SCALED = ("log", "normalised")
"""Kinds of values of X that are taken, so that counts are not needed."""

HEAT_ROWS = (10, 150, 40)
"""Least, most and usual number of genes in the heat map."""

GRID = 41
"""Times of the heat map."""

CHANGING, CHOSEN = "Most changing", "Chosen"
TRENDS, HEAT, DRIVERS = "Trends", "Heat map", "Drivers"
MAP, SETS, PHASE = "On the map", "Gene sets", "Phase portrait"
VIEWS = (TRENDS, HEAT, DRIVERS, MAP, SETS, PHASE)


@dataclass(frozen=True, eq=False)
class Expression:
    """Expression of the cells that fates are worked out for, on the log scale, and what genes are called."""

    values: Matrix = field(repr=False)
    genes: tuple[str, ...] = field(repr=False)
    names: np.ndarray = field(repr=False)

    @cached_property
    def place(self) -> dict[str, int]:
        """Column of each gene."""
        return {gene: k for k, gene in enumerate(self.genes)}

    def name(self, gene: str) -> str:
        """Return what a gene is called."""
        return str(self.names[self.place[gene]])

    def some(self, columns: Sequence[int]) -> np.ndarray:
        """Return a few genes of all cells, (n, m)."""
        part = self.values[:, list(columns)]
        return np.asarray(part.toarray() if hasattr(part, "toarray") else part)


def expression(work: state.Workspace) -> Expression | None:
    """Return the expression of the open data set; None where it has no genes."""
    if not work.adata.n_vars:
        return None
    return cache.cached(_read, work.dataset.file, work.roles, fating.cells_of(work))


def view(*, phase: bool) -> str:
    """Draw the choice of what to look at and return it; phase portraits only where they are possible."""
    offered = [name for name in VIEWS if name != PHASE or phase]
    return pickers.one_of("Look at", offered, key="genes-view")


def none() -> None:
    """Say that there are no genes."""
    theme.empty(
        "No genes in this data set",
        "It holds states of cells, but no expression matrix, so there is nothing to show of genes. All that "
        "needs no genes is on the other pages.",
        "fates",
        "See the fates",
    )


def only_time() -> None:
    """Say that there are no fates, so that all cells count alike."""
    theme.hint(
        "There are fewer than two terminal states, so there are no fates to weight cells by: all count "
        "alike, and drivers cannot be told. Pick terminal states on the Fates page."
    )


def over_time(work: state.Workspace, known: Expression, found: Fates | None) -> None:
    """Draw the trends of chosen genes on the way to chosen fates."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        picked = pickers.genes(work, limit=MOST_GENES, default=telling(work, known, found))
    with right:
        fates = _fates(found)
    picked = [gene for gene in picked if gene in known.place]
    if not picked or not fates:
        theme.hint("Choose one or more genes and fates.")
        return
    columns = tuple(known.place[gene] for gene in picked)
    along = cache.cached(_trends, known, fating.cells_of(work), found, columns=columns)
    names = [known.name(gene) for gene in picked]
    panels(work, cache.cached(only, along, fates), names, key="trend")
    st.caption(said(work, along, found, what="Mean expression of the measured cells"))


def panels(
    work: state.Workspace,
    along: Trends,
    names: Sequence[str],
    *,
    key: str,
    label: str = "expression (log scale)",
    fewest: int = 2,
) -> None:
    """Draw one small figure for each gene, side by side, with room for `fewest`."""
    paint = _colours(work, along.fates)
    places = st.columns(min(COLUMNS, max(len(names), fewest)), gap="medium")
    for k, name in enumerate(names):
        with places[k % len(places)]:
            unit = work.snapshots.unit
            drawn = cache.cached(figures.trend, along, k, name=name, colours=paint, unit=unit, label=label)
            saving.figure(drawn, name=f"{key}-{k + 1}", alt=f"{name} over time on the way to each fate")


def heat_map(work: state.Workspace, known: Expression, found: Fates | None) -> None:
    """Draw the genes that change most, or chosen ones, on the way to one fate, ordered by their peaks."""
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    with left:
        fate = one_fate(found, key="heat-fate")
    with middle:
        which = st.segmented_control(
            "Genes", [CHANGING, CHOSEN], default=CHANGING, required=True, key="heat-genes"
        )
    along = cache.cached(_all_trends, known, fating.cells_of(work), found)
    if fate not in along.drawn:
        theme.hint(along.message)
        return
    with right:
        if which == CHANGING:
            least, most, usual = HEAT_ROWS
            top = min(most, len(known.genes))
            n = top if top <= least else st.slider("Number of genes", least, top, min(usual, top))
            order = cache.cached(peaks, along, fate, most=n)
        else:
            usual = telling(work, known, found)
            names = pickers.genes(work, key="heat-list", limit=HEAT_ROWS[1], default=usual)
            columns = [known.place[gene] for gene in names if gene in known.place]
            order = cache.cached(peaks, _part(along, columns), fate) if columns else None
    if order is None or not len(order.order):
        theme.hint("Choose genes that change.")
        return
    places = order.order if which == CHANGING else np.array(columns)[order.order]
    shown = [str(known.names[k]) for k in places]
    measured = along.measured
    unit = work.snapshots.unit
    drawn = cache.cached(figures.heat, order, along.times, shown, measured=measured, unit=unit)
    saving.figure(drawn, name="gene-heat-map", alt=f"Genes by the time of their peak on the way to {fate}")
    how = "The genes with the widest range" if which == CHANGING else "The chosen genes that change"
    st.caption(
        f"{how} on the way to {escape(fate)}, each from its lowest (0) to its highest (1), ordered by the "
        "time of the peak. Dotted: measured times between the first and the last. Peaks can only lie at "
        "measured times where these are few. "
        + said(work, along, found, what="Mean expression of the measured cells", bands=False)
    )


def one_gene(work: state.Workspace, known: Expression, found: Fates | None, *, key: str) -> str | None:
    """Draw the choice of one gene and return it; None while none is chosen."""
    picked = pickers.genes(work, label="Gene", key=key, limit=1, default=telling(work, known, found)[:1])
    picked = [gene for gene in picked if gene in known.place]
    if not picked:
        theme.hint("Choose a gene.")
        return None
    return picked[0]


def one_fate(found: Fates | None, *, key: str) -> str:
    """Draw the choice of one fate and return its name; all cells where there are no fates."""
    if found is None:
        return ALL
    return st.selectbox(
        "On the way to", found.names, key=state.key(key, per="model") + f"-{'-'.join(found.names)}"
    )


def of_values(work: state.Workspace, values: np.ndarray, found: Fates | None) -> Trends:
    """Return the trend of one value of each cell on the way to each fate."""
    return cache.cached(_trends_of, values, fating.cells_of(work), found)


def said(work: state.Workspace, along: Trends, found: Fates | None, *, what: str, bands: bool = True) -> str:
    """Say what trends are drawn from, and how far to trust them."""
    weighted = "" if found is None else f", weighted by the fate probabilities of “{escape(work.entry.name)}”"
    few = (
        "straight lines between the measured times, as nothing is known between them"
        if len(along.measured) <= TIMES_SMOOTHED
        else "smoothed over neighbouring times"
    )
    lost = f" {escape(along.message, limit=400)}" if along.message else ""
    trusted = "" if found is None else f" {trust.sentence(work.entry)}"
    return (
        f"{what} over real time{weighted}; {few}.{_bands_said(along, found) if bands else ''}"
        f"{lost} {trust.time_note(work.snapshots)}{trusted}"
    )


def _bands_said(along: Trends, found: Fates | None) -> str:
    if along.n_members > 1:
        members = f"; the {along.n_members} members of the ensemble are counted in"
    else:
        members = "" if found is None else "; no ensemble was trained, so they are too narrow"
    return f" Bands: where the mean lies in 8 of 10 cases{members}. Points: measured times."


def only(along: Trends, fates: Sequence[str]) -> Trends:
    """Return the trends of some of the fates."""
    rows = [along.fates.index(fate) for fate in fates]
    parts = {name: getattr(along, name)[rows] for name in ("mean", "low", "high", "at", "effective")}
    return Trends(
        along.genes, tuple(fates), along.times, measured=along.measured, n_members=along.n_members, **parts
    )


def _part(along: Trends, columns: Sequence[int]) -> Trends:
    parts = {name: getattr(along, name)[:, :, columns] for name in ("mean", "low", "high", "at")}
    genes = tuple(along.genes[k] for k in columns)
    return Trends(
        genes, along.fates, along.times, measured=along.measured, effective=along.effective, **parts
    )


def _fates(found: Fates | None) -> tuple[str, ...]:
    """Draw the choice of fates and return those chosen; all cells where there are none."""
    if found is None:
        return (ALL,)
    key = state.key("trend-fates", per="model") + f"-{'-'.join(found.names)}"
    picked = st.multiselect("On the way to", found.names, default=list(found.names), key=key)
    return tuple(picked)


def telling(work: state.Workspace, known: Expression, found: Fates | None) -> list[str]:
    """Return the gene that leads most at the end of the way to each fate; else those that change most."""
    along = cache.cached(_all_trends, known, fating.cells_of(work), found)
    var = work.adata.var
    some = np.ones(len(known.genes), bool)
    if "highly_variable" in var and len(var) == len(some):  # of many genes the picker lists these
        some = var["highly_variable"].to_numpy(dtype=bool)
    return [known.name(known.genes[k]) for k in cache.cached(_most_telling, along, some)]


def _most_telling(along: Trends, some: np.ndarray) -> list[int]:
    drawn = [along.fates.index(name) for name in along.drawn]
    if not drawn:
        return [0]
    if len(drawn) == 1:
        change = np.where(some, np.ptp(along.mean[drawn[0]][_known(along, drawn[0])], axis=0), -np.inf)
        return [int(k) for k in np.argsort(-change, kind="stable")[:COLUMNS]]
    last = np.stack([along.mean[f][_known(along, f)][-1] for f in drawn])
    lead = [last[k] - np.delete(last, k, axis=0).max(axis=0) for k in range(len(drawn))]
    first = [int(np.where(some, one, -np.inf).argmax()) for one in lead]
    return list(dict.fromkeys(first))[: 2 * COLUMNS]


def _known(along: Trends, f: int) -> np.ndarray:
    """Return the times at which the trends of a fate are known."""
    return np.isfinite(along.mean[f]).all(axis=1)


def _colours(work: state.Workspace, names: Sequence[str]) -> Mapping[str, str]:
    """Return the colours of fates as on the Fates page."""
    return {} if tuple(names) == (ALL,) else fating.colours(work, fating_states.current(work).names)


def _read(path: "Path", roles: "Roles", shots: "Snapshots") -> Expression | None:
    # Matrices are most of a file: no more of them are read than are needed, and of many cells some are kept.
    adata = read_h5ad(path, layers=())
    if roles.counts_layer and kind_of_values(adata.X)[0] not in LOG_SCALED:
        adata = read_h5ad(path, layers=(roles.counts_layer,))
    found = log_expression(adata, roles)
    if found is None:
        return None
    some = found[shots.cells] if len(shots.cells) < adata.n_obs else found
    values = as_float32(some, "The expression matrix")
    return Expression(values, tuple(map(str, adata.var_names)), shown_names(adata.var))


def _trends(
    known: Expression, shots: "Snapshots", found: Fates | None, *, columns: tuple[int, ...]
) -> Trends:
    genes = [known.genes[k] for k in columns]
    return trends(known.some(columns), shots.times, genes=genes, **_weights(found))


def _trends_of(values: np.ndarray, shots: "Snapshots", found: Fates | None) -> Trends:
    return trends(values[:, None], shots.times, genes=["score"], **_weights(found))


def _all_trends(known: Expression, shots: "Snapshots", found: Fates | None) -> Trends:
    """Return the trends of all genes by the mean of the members, as many times as a heat map shows."""
    first, last = shots.times.min(), shots.times.max()
    at = np.unique(np.concatenate([np.unique(shots.times), np.linspace(first, last, GRID)]))
    options = {key: value for key, value in _weights(found).items() if key != "by_member"}
    return trends(known.values, shots.times, genes=known.genes, at=at, **options)


def _weights(found: Fates | None) -> dict:
    if found is None:
        return {}
    return {"weights": found.probabilities, "fates": found.names, "by_member": found.by_member}
