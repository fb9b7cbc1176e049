"""Fates as they are shown: what they are worked out from, their colours on the map, and their caption."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from dynamics.ensemble import members_of
from dynamics.fates import DRAWS, FEWEST_DRAWS, Fates, fate_probabilities, growth_warning
from dynamics.growth import has_growth
from dynamics.prior_growth import deaths_unknown, missing_genes, with_prior_growth
from dynamics.proposals import propose
from dynamics.read import read_h5ad
from dynamics.transitions import Transitions, chains
from jobs import work_fates
from ui import cache, maps, state, theme, trust, validating
from ui.cellmap import Categories, Colour, Levels, cell_map, selected
from ui.cellmap.palettes import for_groups
from ui.text import count, duration, escape

if TYPE_CHECKING:
    from pathlib import Path

    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates
    from models.cell_model import CellModel

MOST = 15_000
"""Cells that fates are worked out for at once on the page; of more, a fixed random choice."""

STREAM = 19
SURE = 0.8
MOST_LIKELY, CERTAINTY, GROWTH_MATTERS = "Most likely fate", "How certain", "What growth changes"
TERMINAL = "Terminal states"
WITH, WITHOUT = "With growth", "Without growth"
PATHS_PER_SECOND = 5_000
"""Paths over all times that one processor draws in a second, about."""

GREY = "#8a8a8a"


@dataclass(frozen=True, eq=False)
class Built:
    """The chains of all members, as one thing that the cache knows by name."""

    chains: tuple[Transitions, ...]


def cells_of(work: state.Workspace) -> "Snapshots":
    """Return the cells that fates are worked out for: all, or a fixed random choice of very many."""
    return cache.cached(_thinned, work.snapshots)


def labels(work: state.Workspace) -> pd.Series | None:
    """Return the cell type of each of these cells, as categories; None without cell types."""
    if work.roles.cell_type_key is None:
        return None
    return cache.groups(work.dataset, work.roles.cell_type_key, cells_of(work).cells)


def growth_source(work: state.Workspace) -> str:
    """Return where growth can be taken from: "model", "genes" or "none"."""
    if has_growth(work.model):
        return "model"
    return "genes" if work.adata.n_vars and not missing_genes(work.adata) else "none"


def chain(work: state.Workspace, *, growth: str) -> Built:
    """Return the chain of each member of the model."""
    file = work.dataset.file if growth == "genes" else None
    return cache.cached(_built, work.model, cells_of(work), work.roles, growth=growth, file=file)


def proposal(work: state.Workspace) -> "TerminalStates":
    """Return the terminal states that the model speaks for."""
    built = chain(work, growth="none")
    return cache.cached(_proposed, work.model, cells_of(work), built, labels=labels(work))


def fates(work: state.Workspace, states: "TerminalStates", *, growth: str) -> Fates:
    """Return fates as a job kept them, else worked out here: of stochastic models by the mean flow."""
    found = kept_fates(work, states, growth=growth)
    if found is None:
        built = chain(work, growth=growth)
        found = cache.cached(_told, work.model, cells_of(work), states, built=built)
    return cache.cached(_widened, found, trust.widening(work.entry) or 1.0)


def kept_fates(work: state.Workspace, states: "TerminalStates", *, growth: str) -> Fates | None:
    """Return what a job kept of exactly this question; None where there is nothing."""
    if len(cells_of(work).cells) < work.snapshots.n_cells:
        return None
    key = work_fates.name_of(work.snapshots, states, growth)
    path = work.entry.path.with_suffix(work_fates.FATES)
    return cache.cached(work_fates.kept_fates, path, key=key)


def with_or_without(work: state.Workspace, source: str) -> str:
    """Draw the choice of growth and return what fates are to be taken with: the source, or "none"."""
    if source == "none":
        return "none"
    words = {"model": "the growth that the model learned", "genes": "growth rates that genes speak for"}
    picked = st.segmented_control(
        "Descendants counted",
        [WITH, WITHOUT],
        default=WITH if source == "model" else WITHOUT,
        required=True,
        key=state.key("fate-growth", per="model"),
        help=f"With growth ({words[source]}) a cell counts as often as it has descendants. Without, "
        "every cell counts once. Growth is what fates depend on most and what is known least, so the two "
        "stand side by side below.",
    )
    return source if picked == WITH else "none"


def colour_by(names: tuple[str, ...], *, growth: bool) -> str:
    """Draw what to colour the map by and return it: one of the words above, or a fate."""
    options = [MOST_LIKELY, *names, CERTAINTY, *([GROWTH_MATTERS] if growth else []), TERMINAL]
    return st.selectbox(
        "Colour by",
        options,
        key=state.key("fate-colour", per="model") + f"-{len(options)}",
        help="A fate: its probability in each cell. “Most likely fate” is pale where it is below 80 %.",
    )


def colours(work: state.Workspace, names: tuple[str, ...]) -> dict[str, str]:
    """Return a colour for each terminal state: that of the cell type of its name, else one of the palette."""
    key = work.roles.cell_type_key
    known = {}
    if key:
        found = maps.colour(work, key)
        known = dict(zip(found.names, found.colours or for_groups(len(found.names)), strict=True))
    return {name: known.get(name, other) for name, other in zip(names, for_groups(len(names)), strict=True)}


def colour(
    work: state.Workspace, name: str, found: Fates | None, states: "TerminalStates", *, other: Fates | None
) -> Colour:
    """Return how the map is coloured."""
    shots, paint = cells_of(work), colours(work, states.names)
    if found is None or name == TERMINAL:
        codes = _everywhere(work, shots, states.codes, missing=-1)
        return Categories(
            codes, states.names or ("none",), tuple(paint.values()) or (GREY,), "terminal state"
        )
    if name == MOST_LIKELY:
        return _likely(work, shots, found, paint)
    if name == CERTAINTY:
        return Levels(_everywhere(work, shots, found.certainty), label="certainty", vmin=0, vmax=1)
    if name == GROWTH_MATTERS:
        apart = (
            0.5 * np.abs(found.probabilities - other.probabilities).sum(axis=1)
            if other
            else found.disagreement
        )
        return Levels(_everywhere(work, shots, apart), label="moved by growth", vmin=0, vmax=1)
    values = found.probabilities[:, found.names.index(name)]
    return Levels(_everywhere(work, shots, values), label=f"probability of {name}", vmin=0, vmax=1)


def chosen(work: state.Workspace) -> np.ndarray:
    """Return the rows of the data set that are chosen on the map; none where there is no map."""
    if work.roles.embedding is None:
        return np.empty(0, np.int64)
    event = selected(_map_key(), maps.places(work))
    return np.empty(0, np.int64) if event is None else event.rows


def draw(
    work: state.Workspace, name: str, found: Fates | None, states: "TerminalStates", *, other: Fates | None
) -> None:
    """Draw the map, or say that there is none."""
    if work.roles.embedding is None:
        theme.hint(
            "This data set has no map to draw on, so cells cannot be chosen by hand; preparing it on the "
            "Data page computes one. All else below does without."
        )
        return
    cell_map(
        _map_key(),
        xy=maps.places(work),
        colour=colour(work, name, found, states, other=other),
        selection="lasso",
        hover=maps.hover(work, besides=name),
        axes=maps.axes(work),
        height=maps.HEIGHT,
        filename="fates",
        alt=f"Map of the cells coloured by {name}, from the model {work.entry.name}",
    )


def caption(work: state.Workspace, found: Fates, *, name: str) -> str:
    """Say what is drawn, from which model, how it was found, and how far to trust it."""
    shots, n = cells_of(work), len(members_of(work.model))
    how = (
        f"by drawing {found.n_draws * found.n_members} paths of each cell"
        if found.method == "draws"
        else "by a Markov chain over the measured cells that the flow was made into"
    )
    band = (
        f"Intervals (80 %) are from {count(found.n_members, 'member')} of the ensemble"
        f"{' and the draws' if found.n_draws else ''}: how far another training would differ, not whether "
        f"the method's assumption holds. {trust.bands_note(work.entry)}"
        if found.low is not None and n > 1
        else ""
    )
    some = f" Of {work.snapshots.n_cells:,} cells {shots.n_cells:,} are worked out." if _is_thin(work) else ""
    return (
        f"{_drawn(name)} Told from the model “{escape(work.entry.name)}”, {how}.{some} Cells go on after the "
        "last time along the flow there until they are in a terminal state.\n\n"
        f"{escape(found.message, limit=900)} {band} {trust.time_note(work.snapshots)} "
        f"{trust.sentence(work.entry)}"
    )


def growth_said(work: state.Workspace, grown: Fates) -> None:
    """Draw the warning where growth decides, or the word that it does not or is not known."""
    if grown.without_growth is None:
        theme.hint(
            "No growth known: the model has not learned how cells divide and die, and too few cell-cycle "
            "genes are here. All fates count every cell once."
        )
        return
    if growth_source(work) == "genes" and (unknown := deaths_unknown(work.adata)):
        theme.hint(unknown)
    text = growth_warning(grown, labels(work))
    if text:
        theme.finding(
            "warning",
            "Growth decides",
            text,
            "Which is right, these data do not say: clones, or counted cells, would.",
        )
    else:
        theme.finding("good", "Growth changes little", "No cell's fates move by over 20 % with growth.", "")


def full(work: state.Workspace, states: "TerminalStates", *, growth: str) -> None:
    """Draw the job that draws paths, or the button that starts it, where the page follows the mean flow."""
    stochastic = bool(work.model.is_stochastic)
    if not stochastic or _is_thin(work) or kept_fates(work, states, growth=growth) is not None:
        return
    if validating.going_on(work.entry, "fates"):
        return
    n_members = len(members_of(work.model))
    paths = work.snapshots.n_cells * max(FEWEST_DRAWS, -(-DRAWS // n_members)) * n_members
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Draw paths of all cells", key=f"draw-fates-{work.entry.id}")
        st.caption(
            "This model has noise, so a cell has many possible paths. What is shown follows its mean flow. "
            f"Drawing them takes about {duration(max(paths / PATHS_PER_SECOND, 10))}."
        )
    if pressed:
        work_fates.keep_states(work.entry, states, work.snapshots)
        params = {"dataset": work.entry.dataset, "model": work.entry.id, "growth": growth}
        state.jobs().submit("fates", params, title=f"Fates by {work.entry.name}", dataset=work.entry.dataset)
        st.rerun()


def selected_cells(work: state.Workspace, rows: np.ndarray) -> np.ndarray:
    """Return which of the cells that fates are worked out for are among rows of the data set."""
    return np.flatnonzero(np.isin(cells_of(work).cells, rows))


def _map_key() -> str:
    return state.key("fate-map", per="dataset")


def _is_thin(work: state.Workspace) -> bool:
    return cells_of(work).n_cells < work.snapshots.n_cells


def _thinned(shots: "Snapshots") -> "Snapshots":
    if shots.n_cells <= MOST:
        return shots
    rng = np.random.default_rng(STREAM)
    return shots.take(np.sort(rng.choice(shots.n_cells, MOST, replace=False)))


def _built(
    model: "CellModel", shots: "Snapshots", roles: "Roles", *, growth: str, file: "Path | None"
) -> Built:
    if file is not None:
        shots = with_prior_growth(shots, read_h5ad(file), roles)
    return Built(chains(model, shots, growth=growth))


def _proposed(
    model: "CellModel", shots: "Snapshots", built: Built, *, labels: pd.Series | None
) -> "TerminalStates":
    return propose(model, shots, built.chains[0], labels=labels)


def _told(model: "CellModel", shots: "Snapshots", states: "TerminalStates", *, built: Built) -> Fates:
    return fate_probabilities(shots, model, states, chains_of=built.chains, draws=None)


def _widened(found: Fates, factor: float) -> Fates:
    return found.widened(factor)


def _likely(work: state.Workspace, shots: "Snapshots", found: Fates, paint: dict[str, str]) -> Categories:
    """Colour by the most likely fate, pale where it is below 80 %."""
    top = np.nan_to_num(found.probabilities, nan=0.0).max(axis=1)
    codes = np.where(found.most_likely < 0, -1, 2 * found.most_likely + (top < SURE))
    names = tuple(word for name in found.names for word in (name, f"{name} < 80 %"))
    shades = tuple(shade for name in found.names for shade in (paint[name], _pale(paint[name])))
    return Categories(_everywhere(work, shots, codes, missing=-1), names, shades, "most likely fate")


def _pale(colour: str) -> str:
    """Return a colour "#rrggbb" mixed with a light grey, by more than half."""
    digits = colour.lstrip("#")
    parts = [int(digits[k : k + 2], 16) for k in (0, 2, 4)]
    return "#" + "".join(f"{round(0.4 * part + 0.6 * 215):02x}" for part in parts)


def _everywhere(
    work: state.Workspace, shots: "Snapshots", values: np.ndarray, *, missing: float = np.nan
) -> np.ndarray:
    """Return values of the cells of the snapshots among all cells of the data set."""
    kind = np.int64 if missing == -1 else np.float32
    all_cells = np.full(work.adata.n_obs, missing, kind)
    all_cells[shots.cells] = values
    return all_cells


def _drawn(name: str) -> str:
    said = {
        MOST_LIKELY: "The most likely fate of each cell, pale where it has less than 80 %.",
        CERTAINTY: "1 where one fate is certain, 0 where all are equally likely (1 less scaled entropy).",
        GROWTH_MATTERS: "Probability that lies on other fates with growth than without it.",
        TERMINAL: "Cells of the terminal states, in which fates end.",
    }
    return said.get(name, f"Share of each cell’s descendants that end as {escape(name)}.")
