"""Candidate regulation as it is shown: what is asked for, the networks side by side, and their captions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dynamics import regulators
from dynamics.figures import regulation as figures
from dynamics.fixed_points import NAMES
from dynamics.regulation import Regulation
from jobs import work_regulation
from jobs.work_regulation import Kept
from ui import cache, maps, saving, state, theme, trust, validating
from ui.cellmap import Arrows, Layers, Levels, cell_map
from ui.text import count, escape

SCORE, PLAIN = "score", "correlation"
EDGES_SHOWN = (10, 150, 40)
"""Least, most and usual number of edges drawn."""
TABLE_ROWS = 200
KINDS = {"all": "All cells", "type": "A cell type", "time": "A time", "towards": "On the way to"}
COLOURED = {
    "divergence": "Gathering or spreading",
    "fastest": "Fastest growing direction",
}
CANDIDATE = (
    "All edges are candidates: a model of snapshots can suggest who acts on whom; "
    "only an experiment can tell."
)
GLYPH = 0.045
"""Length of the arrows that mark a fixed point, over the width of the map."""


def kept(work: state.Workspace) -> Kept | None:
    """Return what is known of the open model; None while nothing is."""
    path = work.entry.path
    if not path.with_suffix(work_regulation.REGULATION).exists():
        return None
    mark = cache.cached(work_regulation.signature, path.with_suffix(work_regulation.REGULATION))
    return cache.cached(_kept, path, key=work.snapshots.fingerprint, mark=mark)


def ask(work: state.Workspace, known: Kept | None) -> None:
    """Draw what can be given (regulators, a prior network) and the button that starts the work."""
    if validating.going_on(work.entry, "regulation"):
        return
    has_genes = work.model.basis is not None
    with st.expander("Regulators and prior network", expanded=False) if has_genes else st.container():
        names, prior = _given(work) if has_genes else ((), ())
    label = "Look for candidate regulators" if has_genes else "Work out stability"
    if known is not None:
        label = "Work it out again"
    if st.button(label, key=f"regulation-{work.entry.id}", type="secondary" if known else "primary"):
        params = {"dataset": work.dataset.id, "model": work.entry.id, "regulators": names, "prior": prior}
        state.jobs().submit("regulation", params, title="Candidate regulators", dataset=work.dataset.id)
        st.rerun()


def region(known: Kept) -> int:
    """Draw the choice of cells and return the number of their network."""
    kinds = [kind for kind in KINDS if kind in known.kinds]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        kind = st.segmented_control(
            "Cells",
            kinds,
            default="all",
            required=True,
            format_func=KINDS.get,
            key="regulation-cells",
            help="“On the way to”: the cells that the model carries to a type by the last time.",
        )
    some = [k for k, one in enumerate(known.kinds) if one == kind]
    if len(some) == 1:
        return some[0]
    with right:
        return st.selectbox(
            KINDS[kind], some, format_func=lambda k: known.names[k], key=f"regulation-region-{kind}"
        )


def networks(work: state.Workspace, known: Kept, which: int) -> None:
    """Draw the network of the model with that of correlation beside it, and what they rest on."""
    found = known.networks[which]
    rows = regulators.edges(found)
    least, most, usual = EDGES_SHOWN
    n = least
    if len(rows) > least:
        top = min(most, len(rows))
        n = st.slider("Strongest edges drawn", least, top, min(usual, top), key="regulation-edges")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Candidates of the model", anchor=False)
        drawn = figures.network(found, rows[:n])
        saving.figure(drawn, name="candidate-network", alt="Network of candidate regulators by the model")
        st.caption(_caption(work, known, which, drawn=min(n, len(rows))))
    with right:
        st.subheader("Correlation alone", anchor=False)
        plain = sorted(rows, key=lambda row: -abs(row[PLAIN]))[:n]
        saving.figure(
            figures.network(found, plain, title=PLAIN), name="correlation-network", alt="Correlated genes"
        )
        st.caption(
            f"The {min(n, len(plain))} strongest rank correlations over the same cells; no model. "
            "Correlation has no direction: both are drawn, unless only one of the genes may regulate."
        )


def tables(known: Kept, which: int) -> None:
    """Draw the matrix, strength against correlation, and the list of edges."""
    found = known.networks[which]
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Who may act on whom", anchor=False)
        table = st.segmented_control(
            "Table",
            ["score", "effect", "correlation", "partial"],
            default="score",
            required=True,
            format_func={
                "score": "Score",
                "effect": "Jacobian",
                "correlation": "Correlation",
                "partial": "Partial correlation",
            }.get,
            key="regulation-table",
            help="Score: what a regulator tells of the production of a target that no other gene tells. "
            "Jacobian: the derivative of the learned velocity, mapped to genes, in spreads per unit of time.",
        )
        drawn = figures.matrix(found, getattr(found, table), label=table if table != "effect" else "Jacobian")
        saving.figure(drawn, name="candidate-matrix", alt="Regulators by targets")
        st.caption("Blue: candidate activation, or positive. Orange: candidate repression, or negative.")
    with right:
        st.subheader("Is it more than correlation?", anchor=False)
        if known.added is not None:
            _added(known.added)
        drawn = figures.against_correlation(found)
        saving.figure(drawn, name="score-correlation", alt="Score of each edge against its correlation")
        st.caption(
            "Every pair of genes. Grey: no stronger than edges of regulators shuffled within each time."
        )


def edge_table(work: state.Workspace, known: Kept, which: int) -> None:
    """Draw the strongest edges as a table, with all of them as CSV."""
    rows = regulators.edges(known.networks[which])
    st.subheader("Candidate edges", anchor=False)
    st.dataframe(pd.DataFrame(rows[:TABLE_ROWS]), hide_index=True, height=320)
    name = f"candidate-edges-{known.kinds[which]}"
    st.download_button(
        "All edges (CSV)",
        data=lambda: regulators.to_csv(rows).encode(),
        file_name=f"{name}.csv",
        mime="text/csv",
        on_click="ignore",
        key=f"edges-csv-{which}",
    )
    st.caption(f"{CANDIDATE} {trust.time_note(work.snapshots)} {trust.sentence(work.entry)}")


def stability(work: state.Workspace, known: Kept) -> None:
    """Draw where cells gather and part, with fixed points, and the eigenvalues."""
    st.subheader("Where cells gather, and where they part", anchor=False)
    times = sorted({one["time"] for one in known.about})
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        what = st.segmented_control(
            "Colour by",
            list(COLOURED),
            default="divergence",
            required=True,
            format_func=COLOURED.get,
            key="stability-colour",
        )
    with right:
        time = None
        if times:
            time = (
                st.select_slider(
                    "Fixed points at",
                    times,
                    value=times[-1],
                    format_func=lambda one: trust.moment(work.snapshots, one),
                    key=f"stability-time-{len(times)}",
                )
                if len(times) > 1
                else times[0]
            )
    _map(work, known, what=what, time=time)
    drawn = figures.eigenvalues(known.fastest, known.turning, unit=work.snapshots.unit)
    saving.figure(drawn, name="eigenvalues", alt="Eigenvalues of the Jacobian at measured cells")
    st.caption("Each point is a measured cell. Right of the line neighbouring cells part in some direction.")


def _map(work: state.Workspace, known: Kept, *, what: str, time: float | None) -> None:
    values = np.full(work.adata.n_obs, np.nan, np.float32)
    values[work.snapshots.cells[known.rows.astype(int)]] = getattr(known, what)
    reach = float(np.nanquantile(np.abs(values), 0.98)) or 1.0
    some = [k for k, one in enumerate(known.about) if one["time"] == time]
    unit = work.snapshots.unit if work.snapshots.unit not in ("", "index") else "unit of time"
    cell_map(
        state.key("stability-map", per="dataset"),
        xy=maps.places(work),
        colour=Levels(values, label=f"{COLOURED[what].lower()} (per {unit})", vmin=-reach, vmax=reach),
        layers=Layers(arrows=_glyphs(work, known, some)) if some else Layers(),
        hover=maps.hover(work, besides=what),
        axes=maps.axes(work),
        height=maps.HEIGHT,
        filename="stability",
        alt=f"Map of the cells coloured by {COLOURED[what].lower()}",
    )
    drawn = "Divergence of the velocity" if what == "divergence" else "Largest eigenvalue of the Jacobian"
    told = known.agree[np.isfinite(known.agree)]
    sure = (
        f"The members of the ensemble give {told.mean():.0%} of the cells the same sign."
        if len(told)
        else "No ensemble was trained, so how far this depends on the training is not known."
    )
    st.caption(
        f"{drawn} at {len(known.rows):,} measured cells, each at its own time (others grey): below "
        f"zero cells are drawn together, above they part. {_points_said(work, known, some)} {sure} "
        f"From the model “{escape(work.entry.name)}”. {trust.sentence(work.entry)}"
    )


def _points_said(work: state.Workspace, known: Kept, some: Sequence[int]) -> str:
    if not some:
        return "No fixed point lies among measured cells."
    kinds = [NAMES[known.about[k]["kind"]] for k in some]
    said = ", ".join(f"{kinds.count(kind)} {kind}" for kind in NAMES if kind in kinds)
    agreed = [known.about[k]["agreed"] for k in some if known.about[k]["agreed"] is not None]
    more = f", found again by {np.mean(agreed):.0%} of the other members" if agreed else ""
    return (
        f"Fixed points at {trust.moment(work.snapshots, known.about[some[0]]['time'])}: {said}{more}; "
        "arrows point in where cells would gather and out where they would leave. They hold for the moment "
        "only: the motion changes with time."
    )


def _glyphs(work: state.Workspace, known: Kept, some: Sequence[int]) -> Arrows:
    """Four short arrows for each fixed point: inward if stable, outward if unstable, two and two else."""
    places = maps.placement(work).place(known.points[list(some)].astype(np.float32))
    width = float(np.nanmax(np.ptp(maps.places(work)[:, :2], axis=0)))
    ways = np.zeros((4, places.shape[1]))
    ways[:, :2] = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) * GLYPH * width
    xy, uv = [], []
    for place, k in zip(places, some, strict=True):
        for number, way in enumerate(ways):
            inward = known.about[k]["kind"] == 0 or (known.about[k]["kind"] == 1 and number % 2)
            xy.append(place + 1.3 * way if inward else place + 0.3 * way)
            uv.append(-way if inward else way)
    return Arrows(np.array(xy, np.float32), np.array(uv, np.float32))


def _added(told: Mapping[str, float | str | None]) -> None:
    level = "good" if str(told["sentence"]).startswith("The model adds to") else "warning"
    again = ""
    if told["repeat"] is not None:
        again = (
            f"Of the strongest tenth of the edges another training finds {told['repeat']:.0%} again; of "
            f"those of shuffled regulators {told['repeat_shuffled']:.0%}."
        )
    agreement = f"Rank agreement with correlation: {told['rank_agreement']:.2f} (1: the same order)."
    theme.finding(level, "Candidates against correlation", str(told["sentence"]), f"{agreement} {again}")


def _caption(work: state.Workspace, known: Kept, which: int, *, drawn: int) -> str:
    found: Regulation = known.networks[which]
    members = (
        f"Ranges are between the {found.n_members} members of the ensemble."
        if found.n_members > 1
        else "No ensemble was trained, so there are no ranges."
    )
    who = f"{count(len(found.regulators), 'named regulator')}" if known.named else "all genes"
    n = int((found.prior != 0).sum())
    prior = f" {count(n, 'edge')} of the prior network among these genes." if known.prior_edges else ""
    return (
        f"The {drawn} strongest candidates over {count(found.n_cells, 'cell')} "
        f"({_region_said(known, which)}), from {who}, by the "
        f"model “{escape(work.entry.name)}”. Blue with an arrow: candidate activator; orange, dashed: "
        f"candidate repressor; width: score. {members}{prior} {CANDIDATE}"
    )


def _region_said(known: Kept, which: int) -> str:
    kind = known.kinds[which]
    return "all" if kind == "all" else f"{KINDS[kind].lower()}: {escape(known.names[which])}"


def _given(work: state.Workspace) -> tuple[list[str], list[tuple[str, str, int]]]:
    left, right = st.columns(2, gap="large")
    with left:
        text = st.text_area(
            "Transcription factors",
            placeholder="Gata1, Spi1, Klf1 …",
            key=state.key("regulators", per="dataset"),
            help="Only these may regulate. Left empty, every gene may.",
        )
        file = st.file_uploader("… or a list as a file", type=["txt", "csv", "tsv"], key="regulators-file")
    with right:
        given = st.file_uploader(
            "Prior network (CSV)",
            type=["csv", "tsv", "txt"],
            key="prior-file",
            help="Lines of regulator, target and, where known, sign (1 or -1). Edges in it are marked.",
        )
    names = regulators.read_names(text + " " + (_text(file) if file else ""))
    known = set(work.model.basis.genes)
    missing = [name for name in names if name not in known]
    if missing:
        st.caption(f"Not among the genes and left out: {escape(', '.join(missing[:8]))}.")
    prior = regulators.read_prior(_text(given)) if given else []
    return [name for name in names if name in known], [edge for edge in prior if {*edge[:2]} <= known]


def _text(file) -> str:
    return file.getvalue().decode("utf-8-sig", errors="replace")


def _kept(path, *, key: str, mark: str) -> Kept | None:
    found = work_regulation.kept(path, key=key)
    return None if found is None else replace(found)
