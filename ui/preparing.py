"""Preparing a data set: what will be done and why, quality control with its histograms, and the job."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dynamics import prepare_plan, quality, read
from dynamics.errors import DataError
from dynamics.figures import thresholds
from dynamics.prepare_config import PrepareConfig
from dynamics.prepare_plan import Found, Step
from dynamics.quality import QualityMetrics, Thresholds
from dynamics.roles import Roles
from ui import cache, costing, forms, jobs_panel, state, theme
from ui.text import count, escape

JOB = "preparing"
LARGEST = 1.5e9  # bytes of a file up to which the histograms are drawn before preparing
LIMITS = ("min_genes", "max_mitochondrial", "min_counts", "max_counts", "min_cells")
WORDS = {"do": "Do", "reuse": "Reuse", "skip": "Skip"}


def section(work: state.Workspace) -> None:
    """Draw the job while it runs; else the plan, the histograms and the button that starts it."""
    if _job(work):
        return
    is_ready = work.roles.rep is not None and work.roles.embedding is not None
    if not is_ready:
        _choose(work)
        return
    theme.hint("This data set has states and a map; nothing needs to be done.")
    again = st.expander(
        "Prepare again, or differently", on_change="rerun", key=state.key("again", per="dataset")
    )
    if again.open:
        with again:
            _choose(work)


def _job(work: state.Workspace) -> bool:
    """Draw the job that prepares this data set, if there is one; True while it runs."""
    running = [job.id for job in jobs_panel.active("prepare", dataset=work.dataset.id)]
    own = state.recall(f"{JOB}-{work.dataset.id}")
    if not running and own is None:
        return False
    job = jobs_panel.show(running[0] if running else own)
    if job.state == "done":
        state.remember(f"{JOB}-{work.dataset.id}", None)
        state.notice("The data set is prepared.")
        st.rerun()
    return not job.over


def _choose(work: state.Workspace) -> None:
    path = work.dataset.opened
    if path.stat().st_size > LARGEST:
        theme.hint(
            "The file is large: what there is to do is decided, from its values, when preparing starts."
        )
        chosen = forms.draw(PrepareConfig, key=state.key("prepare", per="dataset"), columns=2)
        _start(work, chosen, seconds=None)
        return
    found = cache.cached(_look, path, _what_counts(work.roles))
    plan_place = st.container()
    chosen = _form(work, found)
    config = PrepareConfig.from_mapping(chosen)
    steps = prepare_plan.steps_for(found, config)
    with plan_place:
        theme.steps([(WORDS[step.action], step.title, step.reason) for step in steps])
    if any(step.name == "quality" and step.action == "do" for step in steps):
        _histograms(path, found.source, config)
    _start(work, chosen, seconds=_seconds(found, steps))


def _form(work: state.Workspace, found: Found) -> dict[str, Any]:
    """Draw the settings, without those that do not apply to these values."""
    names = [field.name for field in dataclasses.fields(PrepareConfig)]
    shown = [
        name for name in names if found.kind == "counts" or name not in (*LIMITS, "quality", "target_sum")
    ]
    return forms.draw(PrepareConfig, key=state.key("prepare", per="dataset"), columns=2, only=tuple(shown))


def _histograms(path: Path, source: str | None, config: PrepareConfig) -> None:
    try:
        found = cache.cached(_metrics, path, source)
    except DataError as error:
        st.caption(escape(error, limit=500))
        return
    limits = _limits(quality.suggest(found), config)
    kept = quality.kept_cells(found, limits)
    st.plotly_chart(
        thresholds.histograms(found, limits, kept=kept),
        key=state.key("quality", per="dataset"),
        config={"displayModeBar": False},
        width="stretch",
    )
    n_kept, n_genes = int(kept.sum()), int(quality.kept_genes(found, limits).sum())
    st.caption(
        f"{count(n_kept, 'cell')} of {found.n_cells:,} and {count(n_genes, 'gene')} of "
        f"{len(found.cells_per_gene):,} are kept. Dashed lines are the limits; grey cells are removed."
    )


def _limits(suggested: Thresholds, config: PrepareConfig) -> Thresholds:
    """Return the limits that preparing will use: the chosen ones, else what the data suggest."""
    chosen = {name: getattr(config, name) for name in LIMITS if getattr(config, name) is not None}
    return dataclasses.replace(suggested, **chosen)


def _start(work: state.Workspace, chosen: Mapping[str, Any], *, seconds: float | None) -> None:
    left, right = st.columns([1, 4], vertical_alignment="center")
    is_ready = work.roles.rep is not None and work.roles.embedding is not None
    kind = "secondary" if is_ready else "primary"
    asked = {"dataset": work.dataset.id}
    if why := costing.too_large("prepare", asked):
        st.warning(escape(why, limit=600))
    if left.button("Prepare", key="prepare-now", type=kind, width="stretch"):
        config = forms.changed(PrepareConfig, chosen)
        id = state.jobs().submit(
            "prepare",
            {"dataset": work.dataset.id, "config": config},
            title=f"Prepare {work.dataset.name}",
            dataset=work.dataset.id,
        )
        state.remember(f"{JOB}-{work.dataset.id}", id)
        st.rerun()
    told = costing.job("prepare", asked, seconds=seconds)
    right.caption(f"{told} The file as opened is kept; you can always start over.")


def _seconds(found: Found, steps: Sequence[Step]) -> float:
    """Estimate the time that preparing takes, from the cells and what there is to do."""
    done = {step.name for step in steps if step.action == "do"}
    per_cell = 1e-4 * len(done) + (7e-4 if "umap" in done else 0)
    return 3 + per_cell * found.n_cells


def _what_counts(roles: Roles) -> Roles:
    """Return the roles that matter to the plan alone, so that another change does not read the file again."""
    return Roles(rep=roles.rep, embedding=roles.embedding, counts_layer=roles.counts_layer)


def _look(path: Path, roles: Roles) -> Found:
    adata = read.read_h5ad(path)
    here = {
        name: key if key in adata.obsm else None
        for name, key in (("rep", roles.rep), ("embedding", roles.embedding))
    }
    return prepare_plan.look(adata, dataclasses.replace(roles, **here))


def _metrics(path: Path, source: str | None) -> QualityMetrics:
    return quality.metrics(read.read_h5ad(path), layer=source)
