"""Models of one data set beside each other: their settings, their scores, and where they disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dynamics.disagreement import Disagreement, by_group, disagreement
from dynamics.errors import DataError, ModelError
from dynamics.figures import comparison
from dynamics.snapshots import Snapshots
from jobs.workspace import ModelEntry
from models import checkpoint
from models.config import Knob, knobs
from models.methods import METHODS
from ui import cache, maps, nav, saving, state, theme, trust
from ui.cellmap import Levels, cell_map
from ui.text import duration, escape

ADDRESS = "compare"  # in the address: the models that are compared
MOST = 6
LEFT_TO_DATA = "from the data"
COLOURED = {"angle": "Angle between directions", "longer": "Difference in speed"}
NAMED = 3


@dataclass(frozen=True)
class Pair:
    """Two models at the cells of their data set."""

    names: tuple[str, str]
    found: Disagreement
    shots: Snapshots


def ticked() -> list[str]:
    """Return the ids of the models whose boxes are ticked in the library."""
    here = [entry.id for entry in state.store().models()]
    return [id for id in here if st.session_state.get(f"tick-{id}")]


def tick(entry: ModelEntry) -> None:
    """Draw the box that puts a model into a comparison."""
    st.checkbox("Compare", key=f"tick-{entry.id}", help="Tick two models or more of one data set.")


def bar() -> None:
    """Draw the way to the comparison of what is ticked, or what is missing for one."""
    ids = ticked()
    if not ids:
        return
    entries = [state.store().model(id) for id in ids]
    with st.container(horizontal=True, vertical_alignment="center", key="compare-bar"):
        if len(ids) < 2:
            st.caption("One model is ticked; tick another one of the same data set.")
        elif len({entry.dataset for entry in entries}) > 1 or entries[0].dataset is None:
            st.caption("Only models of one data set can be compared; the ticked ones are of several.")
        elif len(ids) > MOST:
            st.caption(f"{len(ids)} models are ticked; up to {MOST} can be compared.")
        else:
            button(ids, label=f"Compare {len(ids)} models", key="compare-ticked")


def button(ids: Sequence[str], *, label: str, key: str) -> None:
    """Draw the button that opens the comparison of some models."""
    if st.button(label, key=key, type="primary", icon=":material/compare_arrows:"):
        dataset = state.store().model(ids[0]).dataset
        nav.go("library", query={"dataset": dataset, ADDRESS: ",".join(ids)})


def asked() -> list[ModelEntry]:
    """Return the models that the address asks to compare; those of another data set are left out."""
    ids = [id for id in st.query_params.get(ADDRESS, "").split(",") if id]
    if not ids:
        return []
    known = {entry.id: entry for entry in state.store().models()}
    found = [known[id] for id in dict.fromkeys(ids) if id in known][:MOST]
    open_ones = {dataset.id for dataset in state.store().datasets()}
    of = next((entry.dataset for entry in found if entry.dataset in open_ones), None)
    alike = [entry for entry in found if of is not None and entry.dataset == of]
    if len(alike) < max(len(found), 2):
        st.caption(
            "Two or more models of one data set can be compared; what else the address asks for is not."
        )
    return alike


def view(entries: Sequence[ModelEntry]) -> None:
    """Draw the comparison."""
    if st.button("Back to the library", key="compare-back", icon=":material/arrow_back:"):
        del st.query_params[ADDRESS]
        st.rerun()
    names = unique([entry.name for entry in entries])
    cards = [cache.cached(checkpoint.read_card, entry.path) for entry in entries]
    st.table(_escaped(table(entries, cards, names)))
    st.caption(
        "Settings are shown where they differ. Distance to held-out cells: W1 in units of the states, the "
        "mean over times that were left out of training; less is better."
    )
    for name, card in zip(names, cards, strict=True):
        for warning in card["summary"]["warnings"]:
            st.warning(f"**{escape(name)}:** {escape(warning, limit=500)}")
    dataset = state.store().dataset(entries[0].dataset)
    _where(state.Workspace(dataset, entries[0]), entries, names)


def unique(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where they are the same."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: k + 1].count(name)})"
        for k, name in enumerate(names)
    ]


def table(
    entries: Sequence[ModelEntry], cards: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> pd.DataFrame:
    """Return what is to be compared, one row each, one column for each model; all of it text."""
    rows = {
        "Method": [_title(card["method"]) for card in cards],
        "Seed": [str(card["seed"]) for card in cards],
        "Dimensions": [str(card["dim"]) for card in cards],
        "Same weight for every dimension": ["yes" if card["whiten"] else "no" for card in cards],
        **_settings(cards),
    }
    rows = {name: values for name, values in rows.items() if name == "Method" or len(set(values)) > 1}
    found = [trust.scores(entry) for entry in entries]
    rows["Distance to held-out cells"] = [
        "not validated" if one is None else f"{one.w1:.3g}" for one in found
    ]
    if any(found):
        rows["Copy of the time before"] = ["–" if one is None else f"{one.copy:.3g}" for one in found]
        rows["Straight lines between pairs"] = [
            "–" if one is None else f"{one.midpoint:.3g}" for one in found
        ]
        rows["Verdict"] = ["–" if one is None else one.verdict for one in found]
    seconds = [entry.about.get("seconds") for entry in entries]
    rows["Training time"] = ["unknown" if one is None else duration(one) for one in seconds]
    return pd.DataFrame(rows, index=list(names)).T


def _settings(cards: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the settings of all models by their labels; a dash where a method has no such setting."""
    known = [{one.name: one for one in knobs(METHODS[card["method"]].settings)} for card in cards]
    names = dict.fromkeys(name for one in known for name in one)
    rows = {}
    for name in names:
        label = next(one[name].label for one in known if name in one)
        rows[label] = [
            _value(one[name], card["settings"].get(name)) if name in one else "–"
            for one, card in zip(known, cards, strict=True)
        ]
    return rows


def _value(knob: Knob, value: Any) -> str:
    if value is None:
        return LEFT_TO_DATA
    if knob.choices:
        return str(knob.choices.get(value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _title(method: str) -> str:
    return METHODS[method].title if method in METHODS else method


def _escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Show names and values as they are: a table reads Markdown."""
    return frame.map(escape).rename(index=escape, columns=escape)


def _where(work: state.Workspace, entries: Sequence[ModelEntry], names: Sequence[str]) -> None:
    """Draw where two of the models disagree most."""
    st.subheader("Where they disagree", anchor=False)
    first, second = _two(names)
    pair = between(work, (entries[first], entries[second]), names=(names[first], names[second]))
    if work.roles.embedding is None:
        theme.hint("This data set has no map to draw on; preparing computes one.")
    else:
        _map(work, pair)
    _by_type(work, pair)


def _two(names: Sequence[str]) -> tuple[int, int]:
    """Return which two are drawn; of more than two, draw the choice."""
    if len(names) == 2:
        return 0, 1
    left, right = st.columns(2)
    everyone = range(len(names))
    first = left.selectbox("One model", everyone, format_func=lambda k: names[k], key="compare-first")
    others = [k for k in everyone if k != first]
    second = right.selectbox("Another", others, format_func=lambda k: names[k], key=f"compare-second-{first}")
    return first, second


def between(work: state.Workspace, entries: tuple[ModelEntry, ModelEntry], *, names: tuple[str, str]) -> Pair:
    """Compare two models at the cells of their data set, each at its own time.

    Raises
    ------
    ModelError
        They describe the cells by different representations.
    DataError
        They were learned from different cells.
    """
    models = [cache.model(entry) for entry in entries]
    if models[0].rep != models[1].rep:
        raise ModelError(
            f"“{names[0]}” describes cells by {models[0].rep}, “{names[1]}” by {models[1].rep}: their "
            "directions cannot be compared. Compare models of the same representation."
        )
    shots = [cache.fitted(entry, work.dataset) for entry in entries]
    if not np.array_equal(shots[0].cells, shots[1].cells):
        raise DataError(f"“{names[0]}” and “{names[1]}” do not know the same cells of this data set.")
    wide = shots[int(np.argmax([one.dim for one in shots]))]
    found = cache.cached(disagreement, *models, wide.states, times=wide.times)
    return Pair(names, found, wide)


def _map(work: state.Workspace, pair: Pair) -> None:
    what = st.segmented_control(
        "Colour",
        list(COLOURED),
        default="angle",
        required=True,
        format_func=COLOURED.get,
        key="compare-colour",
    )
    values = np.full(work.adata.n_obs, np.nan, np.float32)
    values[pair.shots.cells] = getattr(pair.found, what)
    colour = (
        Levels(values, label="angle", vmin=0.0, vmax=_top(pair.found), unit="°")
        if what == "angle"
        else Levels(100 * values, label=f"speed of {pair.names[0]}", centre=0.0, unit="%")
    )
    cell_map(
        f"compare-map-{work.dataset.id}",
        xy=maps.places(work),
        colour=colour,
        hover=maps.hover(work, besides=what),
        axes=maps.axes(work),
        height=maps.HEIGHT,
        filename="disagreement",
        alt=f"Map of the cells coloured by how much {pair.names[0]} and {pair.names[1]} disagree",
    )
    st.caption(caption(pair, what))


def _top(found: Disagreement) -> float:
    """Upper end of the scale of angles: a round number above nearly all of them."""
    told = found.angle[~found.slow]
    high = float(np.quantile(told, 0.99)) if len(told) else 180.0
    return next(float(end) for end in comparison.ENDS if high <= end)


def caption(pair: Pair, what: str) -> str:
    """Say what is drawn, from which models, and how far to trust it."""
    first, second = (f"“{escape(name)}”" for name in pair.names)
    share = f"{pair.found.slow_share:.0%}"
    if what == "angle":
        drawn = (
            f"Angle between the directions in which {first} and {second} move each measured cell at its own "
            f"time, in the states: 0° the same way, 180° opposite. Median {pair.found.median:.0f}°. Grey: "
            f"cells that one of them hardly moves ({share}), whose direction means little."
        )
    else:
        drawn = (
            f"How much faster (red) or slower (blue) {first} moves each measured cell than {second}, in per "
            f"cent of their mean speed. {share} of the cells are hardly moved by one of them."
        )
    note = trust.time_note(pair.shots)
    return f"{drawn} Where they agree, both may still be wrong; held-out times tell more. {note}".strip()


def _by_type(work: state.Workspace, pair: Pair) -> None:
    """Say and draw in which cell types, or at which times, the two disagree most."""
    key = work.roles.cell_type_key
    noun = "cell types" if key else "times"
    groups = _types(work, pair.shots) if key else _times(pair.shots)
    rows = by_group(pair.found, groups)
    if not rows:
        st.caption("Hardly any cell is moved by both models, so their directions are not compared.")
        return
    most = ", ".join(f"{escape(name)} ({angle:.0f}°)" for name, angle, _ in rows[:NAMED])
    st.markdown(f"They disagree most in {most}.")
    colours = None
    if key:
        colour = maps.colour(work, key)
        colours = dict(zip(colour.names, colour.colours, strict=True))
    order = [name for name, _, _ in rows]
    figure = comparison.angles(pair.found.angle, groups, order=order, colours=colours)
    saving.figure(figure, name="disagreement-by-type", alt=f"Angle between the two models by {noun}")
    st.caption(
        f"The {noun} in order of their median angle; box: the middle half of the cells, line: the middle "
        "90 %. Cells that one model hardly moves are left out."
    )


def _types(work: state.Workspace, shots: Snapshots) -> np.ndarray:
    return work.adata.obs[work.roles.cell_type_key].astype(str).to_numpy()[shots.cells]


def _times(shots: Snapshots) -> np.ndarray:
    return np.array([shots.axis.name(k) for k in range(shots.n_times)])[shots.time_index]
