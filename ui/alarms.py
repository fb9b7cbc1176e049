"""What may look like motion and is something else, said before a training and with its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dynamics import read
from dynamics.findings import CONFOUNDERS, Finding
from dynamics.roles import Roles
from dynamics.snapshots import Snapshots
from jobs.workspace import ModelEntry
from models.config import TrainConfig
from ui import cache, overview, state
from ui.text import count

QUICK = 30e6
"""Bytes of a file up to which its genes are looked at before a training; else the training does it."""


def before(work: state.Workspace, config: TrainConfig) -> None:
    """Draw what is to be known before a training; nothing where nothing speaks against the data."""
    rows = [row for row in work.report.get("findings", []) if row["code"] in CONFOUNDERS]
    shots = cache.snapshots(work.dataset, dims=config.dims)
    if work.adata.n_vars and work.dataset.file.stat().st_size <= QUICK:
        found = cache.cached(_of_motion, work.dataset.file, work.roles, shots)
        rows += [{"level": one.level, "message": one.message, "fix": one.fix} for one in found]
    _fold("Before you train", rows, key="before-training")


def of_model(entry: ModelEntry) -> None:
    """Draw what was noticed when a model was trained; nothing where nothing was."""
    _fold("What else the motion may be", entry.about.get("alarms", ()), key=f"alarms-{entry.id}")


def _of_motion(path: Path, roles: Roles, shots: Snapshots) -> tuple[Finding, ...]:
    from dynamics import confounding  # not at the top: it loads torch, and the library opens without

    return confounding.motion_alarms(read.read_h5ad(path), roles, shots)


def _fold(title: str, rows: Sequence[Mapping[str, Any]], *, key: str) -> None:
    serious = [row for row in rows if row["level"] != "note"]
    if serious:
        with st.expander(f"{title}: {count(len(serious), 'warning')}", icon=":material/warning:", key=key):
            overview.findings(serious)
