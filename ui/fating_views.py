"""What is read off fates: by type, over time, ancestors of a selection, and clones."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import fate_results, fate_tables
from dynamics.ancestry import Kin, ancestors, descendants
from dynamics.clones import CEILING, CHANCE, MODEL, CloneScores, clone_codes, score_clones
from dynamics.errors import DataError
from dynamics.fate_tables import TypeFlows
from dynamics.fates import Fates
from dynamics.figures import fates as figures
from ui import cache, fating, following, maps, saving, state, theme, trust
from ui.cellmap import Levels, cell_map
from ui.text import count, escape

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates

MOST_ROWS = 60
MOST_BARS = 10
FROM, INTO = "Where they come from", "What they become"
MEASURES = {
    "auroc": "AUROC: most of the clone has the fate",
    "pearson": "Correlation with the share (Pearson)",
    "spearman": "Rank correlation with the share (Spearman)",
}


def circle(work: state.Workspace, found: Fates) -> None:
    """Draw the cells inside the polygon of fates, coloured by type, or by time without types."""
    shots, kinds = fating.cells_of(work), fating.labels(work)
    if kinds is None:
        order = [shots.axis.name(k) for k in range(shots.n_times)]
        groups, paint = np.array(order)[shots.time_index], None
    else:
        groups, order = kinds, list(map(str, kinds.cat.categories))
        paint = following.type_colours(work)
    drawn = cache.cached(_circle, found, groups, order, paint)
    saving.figure(drawn, name="fate-circle", alt="Every cell inside the polygon of fates")
    what = "cell types" if kinds is not None else "times"
    st.caption(
        "Every cell at the mean of the corners, weighted by its fates: at a corner its fate is certain, in "
        f"the middle all are equally likely. Colours: {what}. With four fates or more, others can lie "
        "on the same place."
    )


def by_type(work: state.Workspace, found: Fates, grown: Fates) -> None:
    """Draw the mean fates of the starting types at the first time, with growth and without it."""
    table = _table(work, grown)
    first = table[table["time"] == table["time"].iloc[0]]
    names = list(found.names)
    both = grown.without_growth is not None
    rows = [
        (
            str(row["type"]),
            row[names].to_numpy(float),
            row[[f"{name} without growth" for name in names]].to_numpy(float) if both else None,
        )
        for _, row in first.sort_values("cells", ascending=False).head(MOST_BARS).iterrows()
        if row["cells"]
    ]
    if not rows:
        theme.hint("No cell of the first time reaches a terminal state.")
        return
    paint = fating.colours(work, found.names)
    drawn = cache.cached(figures.by_type, rows, names, colours=paint)
    saving.figure(drawn, name="fates-by-type", alt="Mean fates of each cell type at the first time")
    side = " With growth above, without it below." if both else ""
    st.caption(f"Mean fates of the cells of {escape(str(table['time'].iloc[0]))}, by type.{side}")


def over_time(work: state.Workspace, *, growth: str) -> None:
    """Draw the mass that goes from type to type over time."""
    if work.roles.cell_type_key is None:
        theme.hint("No column holds cell types; choose one on the Data page to see what becomes what.")
        return
    built = fating.chain(work, growth=growth)
    flows = cache.cached(_flows, built, fating.cells_of(work), fating.labels(work))
    drawn = cache.cached(figures.over_time, flows, colours=following.type_colours(work))
    saving.figure(drawn, name="types-over-time", alt="Mass that goes from type to type over time")
    counted = "descendants, so a type that multiplies is wider" if growth != "none" else "every cell once"
    band = "; ranges: 80 %, from the ensemble" if flows.low is not None else ""
    st.caption(
        f"Mass between cell types from one time to the next, by the chain of “{escape(work.entry.name)}”: "
        f"counted are {counted}; each interval sums to 100 %{band}. Types are those of the measured cells at "
        f"both ends. {trust.sentence(work.entry)}"
    )


def kin(work: state.Workspace, chosen: np.ndarray, *, growth: str) -> None:
    """Draw where chosen cells come from, or what they become, at another time: map and types."""
    shots, cells = fating.cells_of(work), fating.selected_cells(work, chosen)
    if not len(cells):
        theme.hint(
            "Choose cells on the map above, with the lasso, the box or the legend, to see their ancestors."
        )
        return
    present = np.unique(shots.time_index)
    counts = np.bincount(shots.time_index[cells], minlength=shots.n_times)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.segmented_control("Show", [FROM, INTO], default=FROM, required=True, key="kin-way")
        from_times = [k for k in np.flatnonzero(counts) if k != present[0 if way == FROM else -1]]
        if not from_times:
            theme.hint("The chosen cells are all of the first or the last time; choose the other direction.")
            return
        now = st.selectbox(
            "Cells of",
            from_times,
            index=int(np.argmax(counts[from_times])),
            format_func=lambda k: f"{shots.axis.name(k)} · {count(int(counts[k]), 'cell')}",
            key=f"kin-now-{way}-{len(from_times)}",
            width=240,
        )
        others = [k for k in present if (k < now if way == FROM else k > now)]
        at = st.selectbox(
            "At",
            others,
            index=len(others) - 1 if way == FROM else 0,
            format_func=shots.axis.name,
            key=f"kin-at-{way}-{now}",
            width=200,
        )
    here = cells[shots.time_index[cells] == now]
    number = int(np.searchsorted(present, at))
    built = fating.chain(work, growth=growth)
    found = cache.cached(_kin, built, here, at=number, back=way == FROM)
    _kin_map(work, found, way=way)
    times = escape(shots.axis.name(at)), escape(shots.axis.name(now))
    _kin_types(work, found, words=(way, *times, count(len(here), "cell")))


def table(work: state.Workspace, found: Fates) -> None:
    """Draw the table by starting type and time, and the ways to take it along."""
    whole = _table(work, found)
    shown = pd.DataFrame({"Time": whole["time"], "Type": whole["type"], "Cells": whole["cells"]})
    for name in found.names:
        shown[name] = [_cell(row, name) for _, row in whole.iterrows()]
        if found.without_growth is not None:
            shown[f"{name}, without growth"] = [_percent(value) for value in whole[f"{name} without growth"]]
    if whole["without_fate"].any():
        shown["Without a fate"] = whole["without_fate"]
    st.dataframe(shown, hide_index=True, height=min(420, 38 + 35 * min(len(shown), MOST_ROWS)))
    cells = cache.cached(_by_cell, found, fating.cells_of(work), work.adata, labels=fating.labels(work))
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", fate_results.csv(whole), "fates-by-type.csv", "text/csv")
        st.download_button(
            "All cells (CSV)",
            lambda: fate_results.csv(cells).encode(),
            "fates.csv",
            "text/csv",
        )
    band = (
        "In brackets: 80 % interval from the ensemble."
        if found.by_member is not None
        else "No intervals: one training only."
    )
    st.caption(f"Mean over the cells of a type at a time. {band}")


def clones(work: state.Workspace, found: Fates, states: "TerminalStates") -> None:
    """Draw how fates compare with what clones became, beside the clones' own ceiling; or why not."""
    key, shots = work.roles.clone_key, fating.cells_of(work)
    present = np.unique(shots.time_index)[:-1]
    at = st.segmented_control(
        "Predicted from",
        list(present),
        default=present[-1],
        required=True,
        format_func=lambda k: escape(shots.axis.name(k)),
        key=state.key("clone-time", per="dataset"),
    )
    known = cache.cached(_clones_of, work.adata, key, shots.cells)
    scores, refusal = cache.cached(_scored, found, shots, states, known, at=int(at))
    if scores is None:
        st.info(escape(refusal, limit=500), icon=":material/info:")
        return
    measure = st.selectbox(
        "Measure", list(MEASURES), format_func=MEASURES.get, key="clone-measure", width=360
    )
    chance = 0.5 if measure == "auroc" else 0.0
    values = getattr(scores, measure)
    noun = MEASURES[measure].split(":")[0]
    drawn = figures.clone_scores(values, scores.names, measure=noun, chance=chance)
    saving.figure(drawn, name="clone-scores", alt=f"{noun} of the model and of what clones allow, by fate")
    distance = scores.distance
    st.caption(
        f"{count(scores.n_clones, 'clone')} with {count(scores.n_early, 'cell')} at {escape(scores.time)} "
        f"and {count(scores.n_late, 'cell')} in terminal states at the last time. Mean distance of a clone's "
        f"predicted to its real fates (total variation, 0 to 1): {distance[MODEL]:.2f} by the model, "
        f"{distance[CEILING]:.2f} by the other half of the clone (sister cells do not all become the same, "
        f"so no prediction from a state is expected to do better), {distance[CHANCE]:.2f} by another clone. "
        "All are compared with the same random halves of the late cells. Training did not use the clones."
    )
    with st.expander("Clone by clone"):
        st.dataframe(scores.table.round(3), hide_index=True)
        st.download_button("Clones (CSV)", fate_results.csv(scores.table), "clones.csv", "text/csv")


def _clones_of(adata, key: str, cells: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    return clone_codes(adata, key, cells)


def _scored(
    found: Fates, shots: "Snapshots", states: "TerminalStates", known: tuple, *, at: int
) -> tuple[CloneScores | None, str]:
    try:
        return score_clones(found, shots, states, known, at=at), ""
    except DataError as refusal:  # too few clones is an answer here, not a failure
        return None, str(refusal)


def _circle(
    found: Fates, groups: pd.Series | np.ndarray, order: list[str], paint: dict[str, str] | None
) -> Any:
    names = np.asarray(groups.astype(str), dtype=object)
    return figures.circle(found.probabilities, found.names, groups=names, order=order, colours=paint)


def _by_cell(found: Fates, shots: "Snapshots", adata: "AnnData", *, labels: pd.Series | None) -> pd.DataFrame:
    return fate_results.by_cell(found, shots, adata.obs_names, labels=labels)


def _table(work: state.Workspace, found: Fates) -> pd.DataFrame:
    return cache.cached(fate_tables.table_by_type, found, fating.cells_of(work), fating.labels(work))


def _flows(built: fating.Built, shots: "Snapshots", kinds: pd.Series) -> TypeFlows:
    return fate_tables.flows_by_type(built.chains, shots, kinds)


def _kin(built: fating.Built, cells: np.ndarray, *, at: int, back: bool) -> Kin:
    return (ancestors if back else descendants)(built.chains, cells, at=at)


def _kin_map(work: state.Workspace, found: Kin, *, way: str) -> None:
    values = np.full(work.adata.n_obs, np.nan, np.float32)
    values[fating.cells_of(work).cells[found.rows]] = found.weights / found.weights.max()
    cell_map(
        state.key("kin-map", per="dataset"),
        xy=maps.places(work),
        colour=Levels(values, label="likeliest = 1", vmin=0, vmax=1),
        hover=maps.hover(work, besides=""),
        axes=maps.axes(work),
        height=420,
        filename="ancestors" if way == FROM else "descendants",
        alt="Map of the cells of another time by how likely they are kin of the chosen ones",
    )


def _kin_types(work: state.Workspace, found: Kin, *, words: tuple[str, str, str, str]) -> None:
    way, at, now, chosen = words
    kind = "ancestor" if way == FROM else "descendant"
    lost = f" {found.missing:.0%} of them have none there." if found.missing > 0.005 else ""
    said = (
        f"Cells of {at} by how likely each is {'an' if kind == 'ancestor' else 'a'} {kind} of the {chosen} "
        f"chosen at {now}, the likeliest 1; grey: other times.{lost} {trust.sentence(work.entry)}"
    )
    kinds = fating.labels(work)
    if kinds is not None:
        codes = kinds.cat.codes.to_numpy()[found.rows]
        names = list(map(str, kinds.cat.categories))
        known = codes >= 0
        share = np.bincount(codes[known], found.weights[known], minlength=len(names))
        usual = np.bincount(codes[known], minlength=len(names)) / max(known.sum(), 1)
        order = [k for k in np.argsort(-share, kind="stable") if share[k] >= 0.005]
        st.table(
            pd.DataFrame(
                {
                    f"Of the {kind}s": [f"{share[k]:.0%}" for k in order],
                    "Of all cells then": [f"{usual[k]:.0%}" for k in order],
                },
                index=[escape(names[k]) for k in order],
            )
        )
    st.caption(said)


def _cell(row: pd.Series, name: str) -> str:
    low = row.get(f"{name} low")
    if low is None or not np.isfinite(low):
        return _percent(row[name])
    return f"{_percent(row[name])} ({low:.0%}–{row[f'{name} high']:.0%})"


def _percent(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "–"
