"""What this browser tab has open: one typed `Workspace`, read and written only here.

The open data set and model stand in the address (`?dataset=…&model=…`), so a link or a reload brings them
back; everything else that a tab remembers goes through `recall` and `remember`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from dynamics.errors import DynamicsError
from dynamics.roles import Roles
from jobs import client, expiry, people, workspace
from ui import identity, theme

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.snapshots import Snapshots
    from models.cell_model import CellModel

OPEN = "open"  # one key of the session: what the tab has open
NOTICES = "notices"
MEMORY = "memory"


@dataclass(frozen=True)
class Open:
    """The names of what is open in this tab."""

    dataset: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Workspace:
    """What this tab has open; the big things are read when they are first asked for, and shared between tabs.

    Attributes
    ----------
    dataset
        The open data set, or None.
    entry
        The open model's place in the library, or None; `model` is the model itself.
    """

    dataset: workspace.Dataset | None = None
    entry: workspace.ModelEntry | None = field(default=None)

    @cached_property
    def roles(self) -> Roles:
        """Which column is what, as the user set it."""
        return Roles.from_json(self.dataset.roles)

    @property
    def report(self) -> Mapping[str, Any]:
        """What was found in the data set, in the shape of `inspect --json`."""
        return self.dataset.report

    @cached_property
    def adata(self) -> "AnnData":
        """Cells, genes, embeddings; without the matrices. Shared: never change it."""
        return _cache().adata(self.dataset)

    @cached_property
    def snapshots(self) -> "Snapshots":
        """The states grouped by time: in the open model's coordinates where one is open."""
        if self.entry is not None:
            return _cache().fitted(self.entry, self.dataset)
        return _cache().snapshots(self.dataset)

    @cached_property
    def model(self) -> "CellModel":
        """The trained velocity field, checked against the open data set."""
        return _cache().model(self.entry, self.dataset)


def store() -> workspace.Workspace:
    """Return the folder with all data sets, models and jobs of the person behind this tab."""
    owner = identity.owner()
    folder = people.folder(workspace.default_home(), owner)
    if owner and not expiry.note_use(folder):
        _store.cache_clear()  # it was empty for long, and swept away: it is made anew
    return _store(folder)


def jobs() -> client.Jobs:
    """Return the way to the job service, and to this person's jobs."""
    return _jobs(workspace.default_home(), identity.owner())


def restore() -> Workspace:
    """Bring the address and this tab's memory together; called by the router before every page."""
    known = current_ids()
    params = st.query_params
    dataset = _first_existing("dataset", params.get("dataset"), known.dataset)
    model = _first_existing("model", params.get("model"), known.model if dataset == known.dataset else None)
    if dataset is None and model is not None:
        dataset = _first_existing("dataset", store().model(model).dataset)
    _keep(Open(dataset, model))
    return current()


def current() -> Workspace:
    """Return what this tab has open."""
    known = current_ids()
    dataset = store().dataset(known.dataset) if known.dataset else None
    return Workspace(dataset, store().model(known.model) if known.model else None)


def current_ids() -> Open:
    """Return the names of what this tab has open."""
    return st.session_state.get(OPEN, Open())


def open_dataset(id: str) -> None:
    """Open a data set in this tab; a model of another data set is closed."""
    store().dataset(id)
    known = current_ids()
    keeps = known.model if known.dataset == id else None
    _keep(Open(id, keeps))


def open_model(id: str) -> None:
    """Open a model in this tab, and the data set it was trained on where none is open."""
    entry = store().model(id)
    known = current_ids()
    _keep(Open(known.dataset or _first_existing("dataset", entry.dataset), id))


def close(what: str) -> None:
    """Close the "dataset" (and with it the model) or the "model" of this tab."""
    known = current_ids()
    _keep(Open(known.dataset, None) if what == "model" else Open())


def require(*needs: str) -> Workspace:
    """Return what is open, or stop the page with a message that says what is missing and where to get it.

    Parameters
    ----------
    needs
        Any of "dataset"; "times" (a time column with two times or more); "snapshots" (times and a state
        representation); "embedding" (a map to draw on); "model" (a trained model, with its data set).
    """
    work = current()
    for need in _with_what_they_need(needs):
        missing = MISSING[need](work)
        if missing:
            theme.empty(*missing)
            st.stop()
    return work


def key(name: str, *, per: str = "tab") -> str:
    """Return the key of a widget: one value for the "tab", or one for each "dataset" or "model"."""
    if per == "tab":
        return name
    return f"{name}-{getattr(current_ids(), per) or 'none'}"


def recall(name: str, default: Any = None) -> Any:
    """Return what this tab remembers under a name."""
    return st.session_state.get(MEMORY, {}).get(name, default)


def remember(name: str, value: Any) -> None:
    """Remember something small in this tab until it is closed; None forgets it."""
    memory = {**st.session_state.get(MEMORY, {}), name: value}
    st.session_state[MEMORY] = {name: value for name, value in memory.items() if value is not None}


def notice(text: str) -> None:
    """Say something in passing when the page is next drawn; text from files must be escaped."""
    st.session_state[NOTICES] = [*st.session_state.get(NOTICES, []), text]


def show_notices() -> None:
    """Say what is waiting to be said; called by the router."""
    for text in st.session_state.pop(NOTICES, []):
        st.toast(text)


def _no_dataset(work: Workspace) -> tuple[str, ...] | None:
    if work.dataset is None:
        return (
            "No data set is open",
            "Open an h5ad file or take one of the demos; it takes a few seconds.",
            "start",
            "Open data",
        )
    return None


def _no_times(work: Workspace) -> tuple[str, ...] | None:
    times = work.report.get("roles", {}).get("times") or []
    if work.roles.time_key is None:
        return (
            "No time column is chosen",
            "Motion is learned between times of sampling. Choose the column that holds them.",
            "data",
            "Choose the time column",
        )
    if len(times) == 1:
        return (
            "Only one time point",
            "Motion is learned between times of sampling, and all cells of this data set have the same one. "
            "You can look at the map and its colours; for motion, open a data set with two times or more.",
            "data",
            "See what was found",
        )
    return None


def _no_states(work: Workspace) -> tuple[str, ...] | None:
    if work.roles.rep is None:
        return (
            "This data set is not prepared yet",
            "Motion is learned in a compact state of each cell, such as its principal components, "
            "which this data set does not have yet. Preparing computes them.",
            "data",
            "Prepare the data set",
        )
    return None


def _no_embedding(work: Workspace) -> tuple[str, ...] | None:
    if work.roles.embedding is None:
        return (
            "There is no map of the cells yet",
            "This page draws on a UMAP or a similar map, which this data set does not have. "
            "Preparing computes one.",
            "data",
            "Prepare the data set",
        )
    return None


def _no_model(work: Workspace) -> tuple[str, ...] | None:
    if work.entry is None:
        return (
            "No model is open",
            "Train one on this data set (it takes seconds), or open one from the library.",
            "train",
            "Train a model",
        )
    return None


MISSING = {
    "dataset": _no_dataset,
    "times": _no_times,
    "snapshots": _no_states,
    "embedding": _no_embedding,
    "model": _no_model,
}
BEFORE = {
    "dataset": (),
    "times": ("dataset",),
    "snapshots": ("dataset", "times"),
    "embedding": ("dataset",),
    "model": ("dataset",),
}


def _with_what_they_need(needs: tuple[str, ...]) -> list[str]:
    wanted = {part for need in needs for part in (*BEFORE[need], need)}
    return [need for need in MISSING if need in wanted]


def _first_existing(what: str, *ids: str | None) -> str | None:
    """Return the first of the names that is still there; say so where a name is not."""
    for id in filter(None, ids):
        try:
            return getattr(store(), what)(id).id
        except DynamicsError as gone:
            notice(str(gone))
    return None


def _keep(now: Open) -> None:
    st.session_state[OPEN] = now
    for name, value in (("dataset", now.dataset), ("model", now.model)):
        if value is None:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value


@lru_cache(maxsize=256)
def _store(home: Path) -> workspace.Workspace:
    return workspace.Workspace(home)


@lru_cache(maxsize=256)
def _jobs(home: Path, owner: str) -> client.Jobs:
    return client.Jobs(home, owner)


def _cache() -> Any:
    from ui import cache  # not at the top: it loads anndata, and the first page is to open without

    return cache
