"""Testing a model on times that it has not seen: the button, the job, and what came of it in words."""

import streamlit as st

from jobs.client import Job
from jobs.workspace import ModelEntry
from ui import jobs_panel, state, theme
from ui.text import count, duration
from ui.trust import Scores, scores, sentence

HOW = (
    "Learns again without one of the times between the first and the last, each in turn, and compares the "
    "prediction for it with its real cells."
)
TWO_TIMES = "Cannot be tested: only two time points."


def facts(found: Scores) -> dict[str, tuple[str, str]]:
    """Return the figures of a card: distance to the real cells, beside what needs no learning."""
    room = "" if found.headroom is None else f"{found.headroom:.0%} of what could be gained over a copy"
    return {
        "Distance to held-out cells": (f"{found.w1:.3g}", room),
        "Copy of the time before": (f"{found.copy:.3g}", "no learning"),
        "Straight lines between pairs": (f"{found.midpoint:.3g}", "no learning"),
    }


def draw(entry: ModelEntry, *, n_times: int) -> None:
    """Draw how a model did on held-out times, the job that finds it out, or the button that starts that."""
    found, job = scores(entry), _job(entry)
    if job is not None and not job.over:
        jobs_panel.show(job.id, compact=True)
        return
    if found is not None:
        theme.facts(facts(found))
        st.caption(f"{sentence(entry)} Distance: W1, in units of the states; less is better.")
        return
    if n_times < 3:
        st.caption(TWO_TIMES)
        return
    if job is not None and job.state in ("failed", "interrupted"):
        jobs_panel.show(job.id, compact=True)
    _offer(entry, n_times - 2)


def _offer(entry: ModelEntry, n_folds: int) -> None:
    datasets = {dataset.id for dataset in state.store().datasets()}
    if entry.dataset not in datasets:
        st.caption("Not validated, and its data set is not here to test it on.")
        return
    took = entry.about.get("seconds")
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Test on held-out times", key=f"validate-{entry.id}", help=HOW)
        cost = f": about {duration(took * n_folds)}, at the pace of this one" if took else ""
        st.caption(f"Not validated. The test trains {count(n_folds, 'more model')}{cost}.")
    if pressed:
        params = {"dataset": entry.dataset, "model": entry.id}
        state.jobs().submit("validate", params, title=f"Test {entry.name}", dataset=entry.dataset)
        st.rerun()


def _job(entry: ModelEntry) -> Job | None:
    """Return the latest test of a model, if there was one lately."""
    listed = state.jobs().list(dataset=entry.dataset, limit=100) if entry.dataset else []
    return next((job for job in listed if job.task == "validate" and job.params["model"] == entry.id), None)
