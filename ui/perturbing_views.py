"""What-if as it is shown: the result in a sentence, its figures, and the screen over all genes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dynamics import perturb_told
from dynamics.fate_results import csv
from dynamics.figures import perturb as figures
from dynamics.perturb_null import verdict
from dynamics.perturbation import KNOCKOUT, UP, GeneChange, Perturbation
from jobs import work_fates, work_perturb
from ui import cache, fating, fating_states, perturbing, saving, state, theme, trust, validating
from ui.text import escape

if TYPE_CHECKING:
    from dynamics.screen import Screen
    from ui.perturbing import Answer

TAGS = {"good": "Candidate effect", "warning": "No conclusion", "info": "Nothing in particular"}
OTHER_FATES = "Other fates"
TABLE_ROWS = 200
DONE = {KNOCKOUT: "knocked out", UP: "over-expressed"}


def result(work: state.Workspace, found: "Answer", *, cells: str) -> None:
    """Draw the result: first the sentence, then the change beside random genes and where cells end."""
    effect, random = found.effect, found.random
    level, _ = verdict(effect, random)
    tag = OTHER_FATES if level == "good" and effect.by_cell is None else TAGS[level]
    said = perturb_told.sentence(effect, random, cells=cells)
    theme.finding(level, tag, said, perturb_told.READING)
    if not effect.names and not effect.types:
        return
    paint = fating.colours(work, effect.names or effect.types)
    left, right = st.columns(2, gap="large")
    with left:
        if effect.names:
            st.subheader("Change of fates", anchor=False)
            drawn = figures.change(effect, random, colours=paint)
            saving.figure(drawn, name="what-if-change", alt="Change of each fate, with random genes")
    with right:
        st.subheader("Where they end", anchor=False)
        drawn = figures.before_after(effect, colours=paint)
        saving.figure(drawn, name="what-if-ends", alt="Where cells end without and with")
    st.caption(_caption(work, found))


def dose(work: state.Workspace, rows: np.ndarray, asked: Perturbation) -> None:
    """Draw the effect over the dose."""
    effects = perturbing.doses(work, rows, asked)
    names = effects[0].names
    if not names:
        return
    st.subheader("Over the dose", anchor=False)
    drawn = figures.dose_curve(perturbing.DOSES, effects, colours=fating.colours(work, names))
    saving.figure(drawn, name="what-if-dose", alt="Change of each fate over the dose")
    st.caption("Bands: 80 % intervals. Hollow where more than half of the cells are off the measured ones.")


def screening(work: state.Workspace, rows: np.ndarray, *, words: str) -> None:
    """Draw the screen over all genes: what it asks, the job, and the ranking that is kept."""
    names = perturbing.readout(work).names
    st.subheader("All genes", anchor=False)
    if not names:
        theme.hint("A screen ranks genes by one fate, and there are fewer than two terminal states.")
        return
    if not validating.going_on(work.entry, "screen"):
        _ask(work, rows, names=names, words=words)
    kept = cache.cached(_kept, work.entry.path, key=work.snapshots.fingerprint, mark=_mark(work))
    if kept is not None:
        _ranking(work, *kept)


def _ask(work: state.Workspace, rows: np.ndarray, *, names: tuple[str, ...], words: str) -> None:
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    with left:
        fate = st.selectbox("Effect on", names, key=state.key("screen-fate", per="model") + f"-{len(names)}")
    with middle:
        kind = st.segmented_control(
            "Every gene",
            list(DONE),
            default=KNOCKOUT,
            required=True,
            format_func=DONE.get,
            key="screen-kind",
        )
    with right:
        pressed = st.button("Screen genes", key=f"screen-{work.entry.id}", disabled=not len(rows))
    if not pressed:
        return
    work_fates.keep_states(work.entry, fating_states.current(work), fating.cells_of(work))
    chosen = fating.cells_of(work).cells[rows]
    some = np.sort(np.random.default_rng(0).choice(chosen, min(len(chosen), 2000), replace=False))
    params = {
        "dataset": work.entry.dataset,
        "model": work.entry.id,
        "rows": some.tolist(),
        "words": words,
        "fate": fate,
        "perturbation": Perturbation((GeneChange("every gene", kind),)).to_json(),
    }
    state.jobs().submit("screen", params, title=f"Screen for {fate}", dataset=work.entry.dataset)
    st.rerun()


def _ranking(work: state.Workspace, found: "Screen", words: str) -> None:
    saving.figure(figures.ranking(found), name="screen", alt=f"Genes by their effect on {found.fate}")
    done = DONE.get(found.kind, "shifted")
    st.caption(
        f"Each gene {done} in {escape(words)}; effect on {escape(found.fate)}, with standard errors over "
        f"cells; pale: does not stand out. {escape(found.message, limit=600)} One training only (the first "
        f"member). {perturb_told.READING} {trust.sentence(work.entry)}"
    )
    table = found.table()
    st.dataframe(table.head(TABLE_ROWS), hide_index=True, height=300)
    st.download_button(
        "All genes (CSV)",
        data=lambda: csv(table).encode(),
        file_name="screen.csv",
        mime="text/csv",
        on_click="ignore",
        key=f"screen-csv-{work.entry.id}",
    )


def _caption(work: state.Workspace, found: "Answer") -> str:
    effect, random = found.effect, found.random
    members = (
        f"Intervals (80 %) from {effect.n_members} members of the ensemble and a bootstrap over cells."
        if effect.n_members > 1
        else "No ensemble was trained: intervals tell the choice of cells, not another training."
    )
    null = ""
    if random is not None:
        null = f"Grey: {len(random.genes)} random genes of about equal variance and level, changed as far."
    off = (
        f"{effect.off_start:.0%} of the cells are off the measured ones once moved, {effect.off:.0%} then or "
        "on the way."
    )
    return (
        f"{effect.n_cells:,} cells, by the model “{escape(work.entry.name)}”; every cell counts once, and a "
        f"model with noise follows its mean flow. {members} {null} {off} {trust.time_note(work.snapshots)} "
        f"{trust.sentence(work.entry)}"
    )


def _mark(work: state.Workspace) -> str:
    """Return a name for the screen kept beside the model, which changes with it."""
    file = work.entry.path.with_suffix(work_perturb.SCREEN)
    return f"{file.stat().st_mtime_ns}" if file.exists() else ""


def _kept(path: Path, *, key: str, mark: str) -> "tuple[Screen, str] | None":
    return work_perturb.kept(path, key=key) if mark else None
