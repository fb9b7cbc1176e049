"""A job as the user sees it: how far it is, how long it takes, its loss, its log, and a way to stop it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from jobs import quotas
from jobs.client import Job
from ui import state
from ui.text import count, duration, escape

EVERY = 1.0  # seconds between two looks at a running job
WORDS = {
    "queued": "Waiting for a free worker",
    "running": "Running",
    "stopping": "Stopping",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
}


def show(id: str, *, plot: bool = True, compact: bool = False) -> Job:
    """Draw a job and return it as it is now; while it runs, the panel keeps itself up to date.

    When the job ends the page is run once more, so the page decides what to do from `job.state`: "done",
    "failed", "stopped" or "interrupted".

    Parameters
    ----------
    id
        The job.
    plot
        Whether to draw the loss, where the job reports one.
    compact
        One row, for several jobs side by side: the loss is a number, and the log is left away.
    """
    job = state.jobs().get(id)
    fragment = st.fragment(_panel, run_every=EVERY if not job.over else None)
    fragment(id, was_active=not job.over, plot=plot and not compact, compact=compact)
    return job


def active(*tasks: str, dataset: str | None = None) -> list[Job]:
    """Return the jobs still going on, newest first: of these tasks, and of one data set where given."""
    return [job for job in state.jobs().active(dataset) if not tasks or job.task in tasks]


def _panel(id: str, *, was_active: bool, plot: bool, compact: bool) -> None:
    job = state.jobs().get(id)
    if was_active == job.over:
        st.rerun()
    with st.container(border=True, key=f"job-{id}"):
        _head(job, compact=compact)
        if job.state == "failed":
            said = job.error or "The job failed without saying why; its log may tell more."
            st.error(escape(said, limit=600))
        elif job.state == "interrupted" and job.error:
            st.info(escape(job.error, limit=600))
        if not compact:
            _figures(job, plot=plot)
            _log(job)


def _head(job: Job, *, compact: bool) -> None:
    left, right = st.columns([4, 1.1], vertical_alignment="center")
    with left:
        more = _in_short(job) if compact else ""
        st.markdown(f"**{escape(job.title)}** · {WORDS.get(job.state, job.state)}{more}")
        if not job.over:
            st.progress(min(max(job.fraction or 0.0, 0.0), 1.0), text=_progress_text(job))
    with right:
        _buttons(job)


def _in_short(job: Job) -> str:
    """Say how long a job took and its last loss."""
    losses = _losses(state.jobs().history(job.id))
    told = [f"in {duration(job.seconds)}"] if job.state == "done" else []
    told += [f"loss {losses[-1]['loss']:.3g}"] if losses else []
    return "".join(f" · {part}" for part in told)


def _progress_text(job: Job) -> str:
    parts = [escape(job.message)] if job.message else []
    if job.state == "queued":
        parts.append(_queue_text(job))
    elif job.seconds_left is not None:
        parts.append(f"about {duration(job.seconds_left)} left")
    return " · ".join(part for part in parts if part) or "Starting"


def _queue_text(job: Job) -> str:
    service = state.jobs().service()
    if not service.alive:
        return "the job service is starting"
    if not service.warm:
        return "the workers are warming up; this happens once"
    own = sum(other.state in ("running", "stopping") for other in state.jobs().active())
    if state.jobs().owner and own >= quotas.from_environment().running:
        return "starts when your running job is done"
    return f"{count(job.ahead, 'job')} before yours" if job.ahead else "next in line"


def _buttons(job: Job) -> None:
    if job.state in ("queued", "running"):
        st.button("Stop", key=f"stop-{job.id}", on_click=state.jobs().stop, args=(job.id,), width="stretch")
    elif job.resumable and not _was_refused(job):
        word = "Try again" if job.state == "failed" else "Resume"
        st.button(word, key=f"resume-{job.id}", on_click=state.jobs().resume, args=(job.id,), width="stretch")


def _was_refused(job: Job) -> bool:
    """Say whether a file was refused and put away: trying the same again is of no use."""
    return job.state == "failed" and "source" in job.params and not Path(job.params["source"]).exists()


def _figures(job: Job, *, plot: bool) -> None:
    """Draw the loss: while the job runs by a chart that can be redrawn every second, then as a figure."""
    losses = _losses(state.jobs().history(job.id)) if plot else []
    if len(losses) < 2:
        return
    if not job.over:
        st.line_chart(losses, x="step", y="loss", height=220, x_label="step", y_label="loss")
        return
    from dynamics.figures import training  # not at the top: the first page is to open without plotly

    st.plotly_chart(training.loss(losses), key=f"loss-{job.id}", width="stretch")


def _losses(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return at most 300 points of the loss, evenly taken, the last one included."""
    known = [
        {"step": place if point.get("step") is None else point["step"], "loss": point["loss"]}
        for place, point in enumerate(history)
        if point.get("loss") is not None
    ]
    stride = max(1, len(known) // 300)
    return known[::-1][::stride][::-1]


def _log(job: Job) -> None:
    with st.expander("Log", key=f"log-{job.id}", type="compact"):
        st.code(state.jobs().log(job.id) or "Nothing yet.", language=None, wrap_lines=True, height=220)
