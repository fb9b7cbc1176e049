"""Testing a model on times that it has not seen: the button, the job, and what came of it in words."""

from collections.abc import Sequence

import streamlit as st

from jobs.client import Job
from jobs.workspace import ModelEntry
from ui import jobs_panel, nav, state, theme
from ui.text import count, duration
from ui.trust import Scores, scores, sentence

HOW = (
    "Learns again without one of the times between the first and the last, each in turn, and compares the "
    "prediction for it with its real cells."
)
TWO_TIMES = "Cannot be tested: only two time points."
COMPARING_S = 8.0
"""Seconds that comparing one held-out time takes, beside training."""
NULL_FOLDS = (2, 1)
"""As `models.report.MOST_NULL_FOLDS`, which loads torch."""


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
    found, job = scores(entry), latest(entry)
    if job is not None and not job.over:
        jobs_panel.show(job.id, compact=True)
        return
    if found is not None or entry.about.get("validation"):
        if found is not None:
            theme.facts(facts(found))
        st.caption(sentence(entry))
        if st.button("See the report", key=f"see-report-{entry.id}"):
            state.open_model(entry.id)
            nav.go("validate")
        return
    if n_times < 3:
        st.caption(TWO_TIMES)
        return
    if job is not None and job.state in ("failed", "interrupted"):
        jobs_panel.show(job.id, compact=True)
    _offer(entry, n_times)


def cost(entry: ModelEntry, *, n_times: int, n_methods: int, checks: bool) -> str:
    """Say what a test trains and about how long that takes."""
    folds = max(n_times - 2, 0)
    in_checks = sum(min(folds, most) for most in NULL_FOLDS) if checks else 0
    n_models = folds * n_methods + in_checks + (1 if checks else 0)
    took = entry.about.get("seconds")
    if not took:
        return f"Trains {count(n_models, 'more model')}."
    workers = max(state.jobs().service().workers, 1)
    seconds = (took * n_models + COMPARING_S * (folds * n_methods + in_checks)) / workers
    return f"Trains {count(n_models, 'more model')}: about {duration(seconds)} when nothing else runs."


def submit(entry: ModelEntry, *, methods: Sequence[str] = ()) -> None:
    """Start the test."""
    params = {"dataset": entry.dataset, "model": entry.id, "methods": list(methods)}
    state.jobs().submit("validate", params, title=f"Test {entry.name}", dataset=entry.dataset)


def going_on(entry: ModelEntry, task: str = "validate") -> bool:
    """Draw the latest job of a kind on a model if it goes on or failed; return whether it goes on."""
    job = latest(entry, task)
    if job is not None and (not job.over or job.state in ("failed", "interrupted")):
        jobs_panel.show(job.id, plot=False)
    return job is not None and not job.over


def latest(entry: ModelEntry, task: str = "validate") -> Job | None:
    """Return the latest job of a kind on a model, if there was one lately."""
    listed = state.jobs().list(dataset=entry.dataset, limit=100) if entry.dataset else []
    return next((job for job in listed if job.task == task and job.params["model"] == entry.id), None)


def _offer(entry: ModelEntry, n_times: int) -> None:
    datasets = {dataset.id for dataset in state.store().datasets()}
    if entry.dataset not in datasets:
        st.caption("Not validated, and its data set is not here to test it on.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Test on held-out times", key=f"validate-{entry.id}", help=HOW)
        st.caption(f"Not validated. {cost(entry, n_times=n_times, n_methods=1, checks=True)}")
    if pressed:
        submit(entry)
        st.rerun()
