"""Ways to choose: a colouring, a time, a model, cells of a kind."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import read
from dynamics.errors import DataError
from dynamics.roles import Roles
from jobs.workspace import ModelEntry
from ui import cache, state
from ui.text import escape, plural

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.times import TimeAxis

MOST_GENES_LISTED = 4000  # beyond this the list is slow to send; any other gene can still be typed
ALL_TIMES = "all times"
ENSEMBLE, SHOWN = "Agreement of the ensemble", "What the map can show"
COMPUTED = (ENSEMBLE, SHOWN)  # colourings that pages with a model may offer


def colour_by(
    work: state.Workspace,
    *,
    label: str = "Colour by",
    key: str = "colour",
    default: str | None = None,
    computed: Sequence[str] = (),
) -> str:
    """Draw the list of columns and genes to colour cells by and return the chosen name.

    The name stands in the address, so that a link reproduces it; `cache.colour_values(work.dataset, name)`
    gives the values. The default is the cell type, else the time, else the first column.

    Parameters
    ----------
    computed
        Those of `COMPUTED` that the page can colour by besides; they come after the columns.
    """
    options = colourings(work)
    start = default or _default_colouring(work, options)
    columns = set(work.adata.obs.columns)
    place = sum(name in columns for name in options)
    options = [*options[:place], *(name for name in computed if name not in options), *options[place:]]
    picked = st.selectbox(
        label,
        options,
        index=options.index(start) if start in options else 0,
        key=key,
        bind="query-params",
        accept_new_options=True,
        filter_mode="contains",
        help="A column of the table of cells, or a gene. Type to search; any gene can be typed.",
    )
    return _known_colouring(work, picked, options, start)


def colourings(work: state.Workspace) -> list[str]:
    """Return the names that cells can be coloured by: roles first, then columns, then genes."""
    return cache.cached(_colourings, work.adata, work.roles)


def genes(
    work: state.Workspace,
    *,
    label: str = "Genes",
    key: str = "genes",
    limit: int = 6,
    default: Sequence[str] = (),
) -> list[str]:
    """Draw a list of genes to choose some of and return their names as they are in the data set."""
    listed = cache.cached(_gene_names, work.adata)
    picked = st.multiselect(
        label,
        listed,
        default=[gene for gene in default if gene in listed],
        key=state.key(key, per="dataset"),
        max_selections=limit,
        accept_new_options=True,
        persist_state="session",
        placeholder="Type a gene",
    )
    found = {name: cache.cached(_resolve, work.adata, name) for name in picked}
    unknown = [name for name, gene in found.items() if gene is None]
    if unknown:
        st.caption(f"Not in this data set: {escape(', '.join(unknown))}.{_close(unknown[0], listed)}")
    return list(dict.fromkeys(gene for gene in found.values() if gene))


def time(axis: "TimeAxis", *, label: str = "Time", key: str = "time", all_times: bool = True) -> float | None:
    """Draw the times to choose one of and return it in the axis' unit; None stands for all times.

    Parameters
    ----------
    axis
        A `TimeAxis`, or snapshots, whose axis is taken.
    all_times
        Whether "all times" is offered; it is then the default.
    """
    axis = getattr(axis, "axis", axis)
    names = ([ALL_TIMES] if all_times else []) + [axis.name(k) for k in range(len(axis.values))]
    place = {name: k for k, name in enumerate(names)}
    own_key = state.key(key, per="dataset")
    if len(names) <= 8:
        picked = st.segmented_control(
            label,
            names,
            default=names[0],
            required=True,
            key=own_key,
            format_func=escape,
            persist_state="session",
        )
    else:
        picked = st.select_slider(label, names, key=own_key, format_func=escape, persist_state="session")
    chosen = place.get(picked, 0) - (1 if all_times else 0)
    return None if chosen < 0 else float(axis.values[chosen])


def one_of(label: str, options: Sequence[str], *, key: str) -> str:
    """Draw a few choices of which one holds, the first where nothing was chosen; it stands in the address.

    An address may hold nothing (`?direction=`), which Streamlit takes for none of them.
    """
    options = list(options)
    picked = st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params"
    )
    return picked or options[0]


def model(work: state.Workspace, *, label: str = "Model") -> ModelEntry | None:
    """Draw the models trained on the open data set and return the open one; choosing another opens it."""
    entries = state.store().models(work.dataset.id) if work.dataset else []
    if work.entry and work.entry.id not in {entry.id for entry in entries}:
        entries = [work.entry, *entries]
    if not entries:
        return None
    ids = [entry.id for entry in entries]
    names = dict(zip(ids, unique_names([entry.name for entry in entries]), strict=True))
    key = f"model-{work.entry.id if work.entry else 'none'}-{len(ids)}"
    start = ids.index(work.entry.id) if work.entry else None
    picked = st.selectbox(label, ids, index=start, format_func=names.get, key=key)
    if picked and (work.entry is None or picked != work.entry.id):
        state.open_model(picked)
        st.rerun()
    return work.entry


def cells_of_type(
    work: state.Workspace, *, label: str = "Cell type", key: str = "cells-of-type"
) -> np.ndarray | None:
    """Draw the cell types to choose some of and return the rows of their cells; None where none is chosen.

    Returns
    -------
    (n,) int64
        Rows of the data set's table of cells.
    """
    column = work.roles.cell_type_key
    if column is None:
        st.caption("This data set has no cell types; choose their column on the Data page.")
        return None
    kinds = work.adata.obs[column].astype(str)
    counts = kinds.value_counts(sort=False)
    picked = st.multiselect(
        label,
        sorted(counts.index, key=str),
        key=state.key(key, per="dataset"),
        format_func=lambda kind: f"{kind} ({counts[kind]:,})",
        persist_state="session",
        placeholder=f"Choose one or more {plural('cell type')}",
    )
    return np.flatnonzero(kinds.isin(picked).to_numpy()) if picked else None


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names with "(2)", "(3)" behind those that came before."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    left = dict.fromkeys(names, 0)
    numbered = []
    for name in names:
        left[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({left[name]})")
    return numbered


def _colourings(cells: "AnnData", roles: Roles) -> list[str]:
    first = [roles.cell_type_key, roles.time_key, roles.condition_key, roles.batch_key]
    columns = [name for name in first if name in cells.obs]
    columns += [name for name in cells.obs if name not in columns and _is_drawable(cells.obs[name])]
    taken = set(columns)
    listed = [name if name not in taken else f"{name} (gene)" for name in _gene_names(cells)]
    return [*dict.fromkeys(columns), *listed] or ["nothing"]


def _is_drawable(column: pd.Series) -> bool:
    """Tell whether a column says something by colour: numbers, or names that repeat."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return len(column.cat.categories) < max(len(column), 2)
    return pd.api.types.is_numeric_dtype(column) or column.nunique() <= max(len(column) // 2, 1)


def _gene_names(cells: "AnnData") -> list[str]:
    """Return the genes to list, by the names people use; the variable ones where there are too many."""
    var = cells.var
    for column in read.SYMBOL_COLUMNS:
        if column in var:
            names = var[column].astype(str)
            break
    else:
        names = pd.Series(var.index.astype(str), index=var.index)
    if len(names) > MOST_GENES_LISTED and "highly_variable" in var:
        names = names[var["highly_variable"].to_numpy(dtype=bool)]
    return list(dict.fromkeys(names[:MOST_GENES_LISTED]))


def _resolve(cells: "AnnData", name: str) -> str | None:
    return read.find_gene(cells.var, name)


def _default_colouring(work: state.Workspace, options: Sequence[str]) -> str:
    roles = work.roles
    return next((name for name in (roles.cell_type_key, roles.time_key) if name in options), options[0])


def _known_colouring(work: state.Workspace, picked: str | None, options: Sequence[str], start: str) -> str:
    """Return what was typed if the data set has it, else the default, saying so."""
    if picked in options or picked is None:
        return picked or start
    if picked in COMPUTED:  # chosen on another page, or for another model
        st.caption(f"{picked} is not known here; coloured by {escape(start)}.")
        return start
    try:
        cache.colour_values(work.dataset, picked)
    except DataError:
        st.caption(f"No column or gene is called {escape(picked)}.{_close(picked, options)}")
        return start
    return picked


def _close(name: str, options: Sequence[str]) -> str:
    lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), lower, n=3)
    return f" Did you mean {escape(' or '.join(lower[key] for key in near))}?" if near else ""
