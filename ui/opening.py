"""Opening data: the drop zone, the server's folder, the demos, and following a file until it is open."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dynamics.demo import DEMOS, Demo
from jobs import shipped
from ui import costing, dropzone, files, jobs_panel, nav, state
from ui.text import ago, count, escape

JOB = "opening"  # the job of this tab that opens a file or a demo
TASKS = ("ingest", "demo")
READ_BYTES_S = 3e7  # bytes of a file that are checked, read and written again in a second


def own_data() -> None:
    """Draw the drop zone and, where the server's owner allows a folder, the choice of a file in it."""
    dropped = dropzone.show()
    if dropped is not None:
        start("ingest", {"source": str(dropped.path), "name": dropped.name}, title=f"Open {dropped.name}")
    listed = files.server_files()
    if not listed:
        return
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    picked = left.selectbox(
        "Or a file on the server",
        listed,
        index=None,
        placeholder=f"{count(len(listed), 'file')}: type to search",
        filter_mode="contains",
        key="server-file",
    )
    if right.button("Open", key="open-server-file", disabled=picked is None, width="stretch"):
        name = picked.rsplit("/", 1)[-1]
        start("ingest", {"source": str(files.server_path(picked)), "name": name}, title=f"Open {name}")
    if picked:
        asked = {"source": str(files.server_path(picked))}
        st.caption(costing.job("ingest", asked, seconds=reading_seconds(files.server_path(picked))))


def reading_seconds(path: Path) -> float:
    """Estimate how long a file takes to be opened: at least what checking and looking at it take."""
    return 3 + path.stat().st_size / READ_BYTES_S


def demos(*, primary: bool = True) -> None:
    """Draw one card for each demo, with a button that opens it."""
    for place, (name, demo) in enumerate(DEMOS.items()):
        with st.container(border=True, key=f"demo-{name}"):
            _demo(name, demo, primary=primary and place == 0)


def follow() -> None:
    """Draw the files that are being opened, and open this tab's own one as soon as it is there."""
    own = state.recall(JOB)
    others = [job.id for job in jobs_panel.active(*TASKS) if job.id != own]
    for id in [own, *others] if own else others:
        job = jobs_panel.show(id)
        if id == own and job.over:
            _arrived(job)


def start(task: str, params: dict, *, title: str) -> None:
    """Give the job that opens a file or a demo, and follow it in this tab."""
    id = state.jobs().submit(task, params, title=title)
    state.remember(JOB, id)
    st.rerun()


def recent(limit: int = 6) -> None:
    """Draw the latest data sets and models, each with a button that opens it."""
    datasets, models = state.store().datasets()[:limit], state.store().models()[:limit]
    if not datasets and not models:
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Data sets", anchor=False)
        for dataset in datasets:
            about = f"{count(dataset.report.get('n_cells', 0), 'cell')} · {ago(dataset.created)}"
            if _row(dataset.name, about, key=f"open-{dataset.id}"):
                state.open_dataset(dataset.id)
                nav.go("data")
    with right:
        if models:
            st.subheader("Models", anchor=False)
        for entry in models:
            if _row(entry.name, ago(entry.created), key=f"open-{entry.id}"):
                state.open_model(entry.id)
                nav.go("flow" if nav.exists("flow") else "library")


def _demo(name: str, demo: Demo, *, primary: bool) -> None:
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.markdown(f"**{escape(demo.title)}**  \n{escape(demo.sentence, limit=400)}")
    kind = "primary" if primary else "secondary"
    if right.button("Open", key=f"open-demo-{name}", type=kind, width="stretch"):
        ready = shipped.open_demo(state.store(), name, title=demo.title)
        if ready is None:
            start("demo", {"name": name}, title=f"Open {demo.title}")
        state.open_dataset(ready.id)
        nav.go("data")


def _arrived(job: jobs_panel.Job) -> None:
    if job.state == "done":
        state.remember(JOB, None)
        state.open_dataset(job.result["dataset"])
        nav.go("data")
    elif st.button("Put away", key="put-away"):
        state.remember(JOB, None)
        st.rerun()


def _row(name: str, about: str, *, key: str) -> bool:
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.markdown(f"**{escape(name)}**  \n:gray[{escape(about)}]")
    return right.button("Open", key=key, width="stretch")


def needed() -> Sequence[tuple[str, str]]:
    """Return what a file should hold, as (tag, sentence) rows."""
    return (
        (
            "Required",
            "An h5ad file (AnnData) with cells from two or more times, and a column that says which.",
        ),
        ("Helpful", "Counts, or a PCA; a UMAP; cell types. What is missing can be computed here."),
        ("Not needed", "The same cells twice: the motion is learned between snapshots of different cells."),
    )
