"""Choosing how to learn, starting the job, and following it until the model is there."""

import shlex

import streamlit as st

from dynamics.roles import Roles
from dynamics.snapshots import Snapshots, is_ordered
from jobs.client import Job
from models.config import MAX_SEED, TrainConfig
from models.methods import METHODS
from ui import cache, forms, jobs_panel, nav, state, theme
from ui.text import count, duration, escape

JOB = "training"  # the training of this tab whose model is opened when it is there


def choose(work: state.Workspace) -> TrainConfig:
    """Draw the methods and their settings, and return the recipe."""
    name = st.radio(
        "Method",
        list(METHODS),
        format_func=lambda name: METHODS[name].title,
        captions=[method.use_when for method in METHODS.values()],
        key="method",
        bind="query-params",
    )
    method = METHODS[name]
    settings = forms.draw(method.settings, key=f"training-{name}")
    with st.expander("States and seed"):
        dims = _dims(work)
        whiten = st.toggle(
            "Give every dimension the same weight",
            key="whiten",
            help="Scales each dimension to unit variance. Off: leading components keep their greater weight.",
        )
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=MAX_SEED,
            value=0,
            step=1,
            key="seed",
            help="The same seed gives the same model.",
        )
    with st.expander("About this method"):
        st.markdown(f"{escape(method.summary, limit=600)}\n\nIt cannot: {escape(method.cannot, limit=600)}")
        st.caption(escape(method.reference, limit=400))
    changed = forms.changed(method.settings, settings)
    return TrainConfig(method=name, settings=changed, seed=int(seed), dims=dims, whiten=whiten)


def summary(work: state.Workspace, config: TrainConfig) -> None:
    """Draw what will be learned from."""
    shots = cache.snapshots(work.dataset, dims=config.dims)
    theme.facts(
        {
            "Cells": f"{shots.n_cells:,}",
            "Times": (
                str(shots.n_times),
                f"{shots.axis.name(0)} to {shots.axis.name(shots.n_times - 1)}",
            ),
            "States": (f"{shots.dim} dimensions", _why(shots, config)),
        }
    )
    missing = work.dataset.report.get("n_cells", shots.n_cells) - shots.n_cells
    if missing > 0:
        theme.hint(f"{count(missing, 'cell')} without a time are left out.")


def cli_line(work: state.Workspace, config: TrainConfig, name: str) -> str:
    """Return the command that trains the same model."""
    roles: Roles = work.roles
    words = ["cli.py", "train", "FILE.h5ad", "-o", "MODEL.safetensors", "--name", name]
    words += ["--method", config.method]
    words += ["--time-key", roles.time_key, "--rep", roles.rep, "--seed", str(config.seed)]
    if roles.time_as == "index":
        words += ["--time-as", "index"]
    if roles.time_unit:
        words += ["--time-unit", roles.time_unit]
    if roles.time_values:
        given = {
            label: "nan" if value is None else f"{value:.12g}" for label, value in roles.time_values.items()
        }
        words += ["--time-values", ",".join(f"{label}={value}" for label, value in given.items())]
    if config.dims is not None:
        words += ["--dims", str(config.dims)]
    if config.whiten:
        words.append("--whiten")
    for setting, value in config.settings.items():
        words += ["--set", f"{setting}={'auto' if value is None else value}"]
    return ".venv/bin/python " + shlex.join(words)


def start(work: state.Workspace, config: TrainConfig) -> None:
    """Draw the name and the button that starts the training."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    usual = f"{work.dataset.name.removesuffix('.h5ad')} · {config.method}"
    name = left.text_input(
        "Name of the model", value=usual, key=state.key(f"name-{config.method}", per="dataset"), max_chars=120
    )
    name = name.strip() or usual
    line = cli_line(work, config, name)
    with st.expander("The same without a browser"):
        st.code(line, language="bash", wrap_lines=True)
        st.caption("The same file, byte for byte, on the same machine. FILE: the data set as it is now.")
    if right.button("Train", type="primary", width="stretch", key="train"):
        params = {"dataset": work.dataset.id, "config": config.to_json(), "name": name, "cli": line}
        id = state.jobs().submit("train", params, title=f"Train {name}", dataset=work.dataset.id)
        state.remember(JOB, id)
        st.rerun()


def follow(work: state.Workspace) -> None:
    """Draw the trainings of this data set that go on, and the newest one with what came of it."""
    jobs = state.jobs().list(dataset=work.dataset.id, limit=20)
    trainings = [job for job in jobs if job.task == "train"]
    for job in trainings[:1] + [job for job in trainings[1:] if not job.over]:
        seen = jobs_panel.show(job.id)
        if seen.state == "done" and seen.result["model"] in {entry.id for entry in state.store().models()}:
            _trained(seen)


def _trained(job: Job) -> None:
    """Open a model that this tab has trained, once, and offer what to do with it."""
    model = job.result["model"]
    if state.recall(JOB) == job.id:
        state.remember(JOB, None)
        state.open_model(model)
        st.rerun()
    st.success(f"Trained in {duration(job.seconds)} and saved in the library.", icon=":material/check:")
    with st.container(horizontal=True):
        for page, label in (("flow", "See the flow"), ("trajectories", "Follow cells")):
            if st.button(label, key=f"{page}-{job.id}", type="primary" if page == "flow" else "secondary"):
                state.open_model(model)
                nav.go(page)


def _dims(work: state.Workspace) -> int | None:
    available = int(work.adata.obsm[work.roles.rep].shape[1])
    usual = cache.snapshots(work.dataset).dim
    if available <= 2:
        return None
    picked = st.slider(
        "Leading dimensions",
        1,
        available,
        usual,
        key=state.key("dims", per="dataset"),
        help="How many components of the state to learn in. By default, principal components are kept up to "
        "90 % of the variance, at least 5 and at most 30; any other representation is used whole.",
    )
    return None if picked == usual else int(picked)


def _why(shots: Snapshots, config: TrainConfig) -> str:
    if config.dims is not None:
        return f"of {shots.rep}, as you chose"
    kept = "leading components with 90 % of the variance" if is_ordered(shots.rep) else "all"
    return f"of {shots.rep}: {kept}"
