"""Starting trainings, one or several side by side, and following them until the models are there."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from dynamics.roles import Roles
from dynamics.snapshots import Snapshots, is_ordered
from jobs.client import Job
from models.config import TrainConfig
from models.methods import METHODS, usual_members
from ui import cache, comparing, estimating, jobs_panel, nav, state, theme, trust
from ui.text import count, duration, escape

STARTED = "trainings"  # those started last in this tab; a single one is opened when it is there
MOST_SEEDS = 5


@dataclass(frozen=True)
class Plan:
    """A training that is to be started: its recipe, and what the model will be called."""

    config: TrainConfig
    name: str


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
    words += ["--members", str(config.members)]
    for setting, value in config.settings.items():
        words += ["--set", f"{setting}={'auto' if value is None else value}"]
    return ".venv/bin/python " + shlex.join(words)


def start(work: state.Workspace, config: TrainConfig) -> None:
    """Draw the name, what the training will cost, and the buttons that start it or several."""
    usual = f"{_data_name(work)} · {config.method}"
    name = st.text_input(
        "Name of the model", value=usual, key=state.key(f"name-{config.method}", per="dataset"), max_chars=120
    )
    name = name.strip() or usual
    left, right = st.columns(2, vertical_alignment="bottom")
    estimate, line = st.container(), st.container()
    with estimate:
        ready = estimating.draw(work, config)
    with left:
        if st.button("Train", type="primary", width="stretch", key="train", disabled=not ready):
            submit(work, [Plan(config, name)])
    last = state.recall(STARTED, [""])[0]  # a new key closes the popover once trainings have started
    with right, st.popover("Compare several", width="stretch", key=f"several-{last}"):
        _several(work, config)
    with line, st.expander("The same without a browser"):
        st.code(cli_line(work, config, name), language="bash", wrap_lines=True)
        st.caption("The same file, byte for byte, on the same machine. FILE: the data set as it is now.")


def submit(work: state.Workspace, plans: Sequence[Plan]) -> None:
    """Start one job for each plan, and run the page again to show them."""
    ids = []
    for plan in plans:
        line = cli_line(work, plan.config, plan.name)
        params = {"dataset": work.dataset.id, "config": plan.config.to_json(), "name": plan.name, "cli": line}
        ids.append(state.jobs().submit("train", params, title=f"Train {plan.name}", dataset=work.dataset.id))
    state.remember(STARTED, ids)
    st.rerun()


def _several(work: state.Workspace, config: TrainConfig) -> None:
    """Draw the choice of methods and seeds to be trained side by side."""
    sizes = estimating.sizes(work, config.dims)
    fit = [name for name in METHODS if not METHODS[name].why_not(n_times=sizes.n_times, dim=sizes.dim)]
    picked = st.multiselect(
        "Methods",
        fit,
        default=[config.method] if config.method in fit else [],
        format_func=lambda name: METHODS[name].title,
        key=state.key(f"several-{config.method}", per="dataset"),
        placeholder="Choose methods",
        help="The method of the form keeps the settings of the form; the others take their usual ones.",
    )
    seeds = st.number_input(
        "Trainings of each",
        1,
        MOST_SEEDS,
        1,
        key="several-seeds",
        help="With other seeds. How far their results differ tells how far to trust one of them.",
    )
    plans = planned(work, config, methods=picked, seeds=int(seeds))
    ready = [plan for plan in plans if not estimating.obstacle(work, plan.config)]
    for plan in plans:
        if plan not in ready:
            st.caption(
                f"Left out: {escape(plan.name)}. {escape(estimating.obstacle(work, plan.config), limit=600)}"
            )
    if ready:
        st.caption(_together(work, ready))
    if st.button(
        f"Start {count(len(ready), 'training')}",
        type="primary",
        disabled=not ready,
        width="stretch",
        key="start-several",
    ):
        submit(work, ready)


def planned(work: state.Workspace, config: TrainConfig, *, methods: Sequence[str], seeds: int) -> list[Plan]:
    """List the trainings of several methods, each with one seed or more."""
    plans = []
    for method in methods:
        recipe = config if method == config.method else _usual(config, method)
        for seed in range(config.seed, config.seed + seeds):
            more = f", seed {seed}" if seeds > 1 else ""
            plans.append(Plan(replace(recipe, seed=seed), f"{_data_name(work)} · {method}{more}"))
    return plans


def _usual(config: TrainConfig, method: str) -> TrainConfig:
    """Return the recipe of another method with its usual settings, and an ensemble where that is cheap."""
    recipe = replace(config, method=method, settings={}, members=1)
    return replace(recipe, members=min(config.members, usual_members(recipe)))


def _together(work: state.Workspace, plans: Sequence[Plan]) -> str:
    """Say how long several trainings take, and how many run at a time."""
    workers = state.jobs().service().workers or 1
    total = sum(estimating.of(work, plan.config).seconds for plan in plans)
    rounds = max(total / workers, max(estimating.of(work, plan.config).seconds for plan in plans))
    waits = f"{workers} run at a time, the others wait. " if len(plans) > workers else ""
    return f"{waits}All together up to {duration(float(f'{rounds:.2g}'))} when nothing else runs."


def follow(work: state.Workspace) -> None:
    """Draw the trainings of this data set that go on, those started last here, and what came of them."""
    listed = [job for job in state.jobs().list(dataset=work.dataset.id, limit=40) if job.task == "train"]
    started = state.recall(STARTED, [])
    own = [job for job in listed if job.id in started]
    going = [job for job in listed if not job.over and job.id not in started]
    shown = [*going, *own] or listed[:1]
    for job in shown:
        seen = jobs_panel.show(job.id, compact=len(shown) > 1)
        if seen.state == "done" and seen.result["model"] in {entry.id for entry in state.store().models()}:
            _trained(seen, alone=len(shown) == 1)
    done = [job.result["model"] for job in own if job.state == "done"]
    if len(done) > 1 and len(done) == len(own):
        comparing.button(done, label="Compare them", key="compare-trained")


def _trained(job: Job, *, alone: bool) -> None:
    """Open the one model that this tab has trained, once, and offer what to do with it."""
    model = job.result["model"]
    if state.recall(STARTED) == [job.id]:
        state.remember(STARTED, None)
        state.open_model(model)
        st.rerun()
    if alone:
        st.success(f"Trained in {duration(job.seconds)} and saved in the library.", icon=":material/check:")
    if trust.learned_nothing(state.store().model(model)):
        st.warning(trust.NOTHING, icon=":material/warning:")
    with st.container(horizontal=True):
        for page, label in (("flow", "See the flow"), ("trajectories", "Follow cells")):
            kind = "primary" if alone and page == "flow" else "secondary"
            if st.button(label, key=f"{page}-{job.id}", type=kind):
                state.open_model(model)
                nav.go(page)


def _data_name(work: state.Workspace) -> str:
    return work.dataset.name.removesuffix(".h5ad")


def _why(shots: Snapshots, config: TrainConfig) -> str:
    if config.dims is not None:
        return f"of {shots.rep}, as you chose"
    kept = "leading components with 90 % of the variance" if is_ordered(shots.rep) else "all"
    return f"of {shots.rep}: {kept}"
