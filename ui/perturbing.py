"""What-if as it is asked: which cells, which genes, what is done to them; and what the model answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dynamics import fate_readout, perturb, perturb_null, perturbation
from dynamics.integrate import integrate
from dynamics.perturbation import LOADING, PLAUSIBLE, GeneChange, Perturbation
from dynamics.perturbed_field import PerturbedField
from ui import cache, fating, fating_states, following, maps, pickers, state, theme
from ui.cellmap import Categories, Layers, Paths, cell_map, selected
from ui.text import count

if TYPE_CHECKING:
    import pandas as pd

    from dynamics.fate_readout import Readout
    from dynamics.perturb import Effect
    from dynamics.perturbation import Surroundings
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates
    from models.cell_model import CellModel

GENES, CELLS = "Change genes", "Start from other cells"
ALL, KINDS, CHOSEN = "All cells", "By cell type", "Chosen on the map"
WAYS = {perturbation.KNOCKOUT: "Knock out", perturbation.UP: "Over-express", perturbation.SHIFT: "Shift"}
MOST = 150
"""Cells that the page follows; of more, a fixed random choice."""

DRAWN, N_TIMES = 40, 31
DOSES = (0.0, 0.25, 0.5, 1.0)
SHADES = ("#8a8a8a", "#D55E00")


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says: the effect, and that of random genes where there are enough."""

    effect: "Effect"
    random: perturb_null.Null | None


def asked_for(work: state.Workspace) -> str:
    """Draw the choice between genes and other starting cells; without genes say why there is none."""
    if work.model.basis is None:
        theme.hint(
            "This model was trained without genes, so no gene can be changed: only starting from other cells "
            "can be compared."
        )
        return CELLS
    return st.segmented_control(
        "What if", [GENES, CELLS], default=GENES, required=True, key="what-if", label_visibility="collapsed"
    )


def cells(work: state.Workspace, *, label: str, key: str) -> tuple[np.ndarray, str]:
    """Draw a choice of cells; return their rows in the snapshots worked with, and words for them."""
    shots = fating.cells_of(work)
    kinds = [ALL, *([KINDS] if work.roles.cell_type_key else []), *([CHOSEN] if work.roles.embedding else [])]
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        which = st.segmented_control(label, kinds, default=ALL, required=True, key=f"{key}-from-{len(kinds)}")
    times = [k for k in range(shots.n_times) if len(shots.rows(k))]
    early = times[:-1]
    with right:
        at = st.selectbox(
            "Time",
            [None, *times],
            format_func=lambda k: "All but the last" if k is None else shots.axis.name(k),
            key=state.key(f"{key}-time", per="dataset"),
        )
    rows = np.flatnonzero(np.isin(shots.time_index, early if at is None else [at]))
    if which == KINDS:
        picked = pickers.cells_of_type(work, key=f"{key}-types")
        some = np.empty(0, np.int64) if picked is None else fating.selected_cells(work, picked)
        return rows[np.isin(rows, some)], "cells of the chosen types"
    if which == CHOSEN:
        return rows[np.isin(rows, fating.selected_cells(work, chosen_on_map(work)))], "chosen cells"
    return rows, "cells"


def changes(work: state.Workspace) -> Perturbation | None:
    """Draw the choice of genes and of what is done to them; None while no gene is chosen."""
    left, middle, right = st.columns([3, 2, 2], vertical_alignment="bottom")
    with left:
        genes = pickers.genes(work, key="perturb-genes", limit=4)
    with middle:
        kind = st.segmented_control(
            "Done to them",
            list(WAYS),
            default=perturbation.KNOCKOUT,
            required=True,
            format_func=WAYS.get,
            key="perturb-kind",
            help="Knock out: to zero. Over-express: to the 99th percentile of all cells. Shift: by standard "
            "deviations among cells of one time.",
        )
    with right:
        dose = st.slider(
            "Dose",
            0.1,
            1.0,
            1.0,
            0.1,
            key="perturb-dose",
            help="How much of the change is made, and how firmly the gene is held there afterwards.",
        )
    sd = 0.0
    if kind == perturbation.SHIFT:
        sd = st.slider("Shift by (standard deviations)", -4.0, 4.0, -2.0, 0.5, key="perturb-sd")
    with st.expander("How a change is read"):
        plain = st.toggle(
            "Move along the gene alone",
            key="perturb-loading",
            help="Otherwise a cell is moved to the likeliest state of its time with that expression, "
            "with the genes that go along.",
        )
        held = st.toggle("Hold the gene while cells move on", value=True, key="perturb-held")
        st.caption(
            "Both are readings of the correlation between genes among measured cells, not an experiment. In "
            "simulated data with a known network, moving to the likeliest state and holding the gene told "
            "the direction of knock-outs of switch genes best."
        )
    if not genes:
        return None
    one_by_one = tuple(GeneChange(gene, kind, sd) for gene in genes)
    return Perturbation(one_by_one, dose=dose, move=LOADING if plain else PLAUSIBLE, held=held)


def readout(work: state.Workspace) -> "Readout":
    """Return what tells the fates of unmeasured states, with the terminal states of the Fates page."""
    return cache.cached(
        _readout,
        work.model,
        fating.cells_of(work),
        fating_states.current(work),
        built=fating.chain(work, growth="none"),
        labels=fating.labels(work),
    )


def answer(work: state.Workspace, rows: np.ndarray, asked: Perturbation) -> Answer:
    """Return the effect of a perturbation, and of random genes."""
    return cache.cached(_answer, work.model, readout(work), _around(work), **_start(work, rows), asked=asked)


def doses(work: state.Workspace, rows: np.ndarray, asked: Perturbation) -> "tuple[Effect, ...]":
    """Return the effect at several doses."""
    given = {**_start(work, rows), "perturbation": asked, "doses": DOSES}
    return cache.cached(perturb.dose_response, work.model, readout(work), _around(work), **given)


def other(work: state.Workspace, first: np.ndarray, second: np.ndarray) -> Answer:
    """Return how the fates of two starting populations differ."""
    pair = [tuple(_start(work, rows).values()) for rows in (first, second)]
    what = "starting from the other cells instead"
    found = cache.cached(
        perturb.start_population, work.model, readout(work), first=pair[0], second=pair[1], what=what
    )
    return Answer(found, None)


def chosen_on_map(work: state.Workspace) -> np.ndarray:
    """Return the rows of the data set that are chosen on the map."""
    event = selected(_map_key(), maps.places(work))
    return np.empty(0, np.int64) if event is None else event.rows


def draw_map(work: state.Workspace, rows: np.ndarray, asked: Perturbation | None) -> str:
    """Draw the map with paths of some cells without and with the perturbation; return what is drawn."""
    if work.roles.embedding is None:
        return ""
    layers, said = Layers(), "Choose cells with the lasso to change only these."
    if asked is not None and len(rows):
        layers, said = _paths(work, rows, asked)
    name = work.roles.cell_type_key or work.roles.time_key
    cell_map(
        _map_key(),
        xy=maps.places(work),
        colour=maps.colour(work, name),
        layers=layers,
        selection="lasso",
        hover=maps.hover(work, besides=name),
        axes=maps.axes(work),
        height=maps.HEIGHT,
        faint=layers.paths is not None,
        filename="what-if",
        alt=f"Map of the cells coloured by {name}, with paths without and with the perturbation",
    )
    return said


def _paths(work: state.Workspace, rows: np.ndarray, asked: Perturbation) -> tuple[Layers, str]:
    shots = fating.cells_of(work)
    k = int(np.bincount(shots.time_index[rows]).argmax())
    if shots.times[rows].min() >= shots.axis.values[-1]:
        return Layers(), "Cells of the last time do not move on."
    mine = rows[shots.time_index[rows] == k]
    some = mine[np.linspace(0, len(mine) - 1, min(len(mine), DRAWN)).round().astype(int)]
    given = {"states": shots.states[some], "begin": k, "asked": asked}
    times, xy, inside = cache.cached(
        _followed, work.model, maps.placement(work), _around(work), shots, **given
    )
    codes = np.repeat([0, 1], len(some))
    groups = Categories(codes, ("without", "with"), SHADES, "perturbation")
    unit = "" if shots.unit == "index" else shots.unit
    said = (
        f"{count(len(some), 'cell')} from {shots.axis.name(k)}: grey as they are, orange perturbed; dashed "
        "from where a path has left the measured cells."
    )
    return Layers(paths=Paths(times, xy, inside, groups=groups, unit=unit)), said


def _followed(
    model: "CellModel",
    placement: object,
    around: "Surroundings",
    shots: "Snapshots",
    *,
    states: np.ndarray,
    begin: int,
    asked: Perturbation,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times = np.linspace(shots.axis.values[begin], shots.axis.values[-1], N_TIMES)
    moved = perturbation.perturbed_states(around, states, asked, time_index=np.full(len(states), begin))
    field = model
    if asked.held:
        field = PerturbedField(model, perturbation.held_axes(around, asked), dose=asked.dose)
    options = {"breaks": shots.axis.values, "support": placement, "seconds": following.PATIENCE}
    pair = [integrate(one, at, times, **options) for one, at in ((model, states), (field, moved))]
    return times, *(np.concatenate([getattr(one, name) for one in pair], axis=1) for name in ("xy", "inside"))


def _start(work: state.Workspace, rows: np.ndarray) -> dict[str, np.ndarray]:
    states, times = perturb.chosen(fating.cells_of(work), rows, most=MOST)
    return {"states": states, "times": times}


def _around(work: state.Workspace) -> "Surroundings":
    return cache.cached(perturbation.surroundings, fating.cells_of(work), work.model.basis)


def _readout(
    model: "CellModel",
    shots: "Snapshots",
    states: "TerminalStates",
    *,
    built: fating.Built,
    labels: "pd.Series | None",
) -> "Readout":
    return fate_readout.readout(model, shots, states, chains_of=built.chains, labels=labels)


def _answer(
    model: "CellModel",
    told: "Readout",
    around: "Surroundings",
    *,
    states: np.ndarray,
    times: np.ndarray,
    asked: Perturbation,
) -> Answer:
    given = {"states": states, "times": times, "perturbation": asked}
    found = perturb.effect(model, told, around, **given)
    return Answer(found, None if found.refused else perturb_null.null(model, told, around, **given))


def _map_key() -> str:
    return state.key("perturb-map", per="dataset")
