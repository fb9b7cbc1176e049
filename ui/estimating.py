"""What a training will cost, in words, and what speaks against starting it."""

import os

import streamlit as st

from dynamics.prior_growth import deaths_unknown, missing_genes
from jobs import costs
from models import estimate, inputs
from models.config import TrainConfig
from models.estimate import Estimate, Sizes
from ui import cache, costing, state, theme
from ui.text import duration, escape, size

MATRIX = 2.0  # memory of a data set while it is read, over the size of its file
BUSY = 1.0  # processes that want to run, for each processor, above which a training takes longer
WIDE = 1.3  # a range is told where its ends are this far apart
WORDS = {
    "pairing": "pairing cells",
    "preparing": "choosing the paths",
    "training": "training",
    "fine-tuning": "fine-tuning",
}


def sizes(work: state.Workspace, dims: int | None) -> Sizes:
    """Return how large the snapshots are in so many dimensions."""
    shots = cache.snapshots(work.dataset, dims=dims)
    read = int(MATRIX * work.dataset.file.stat().st_size)
    return Sizes(tuple(int(n) for n in shots.axis.n_cells), shots.dim, read)


def of(work: state.Workspace, config: TrainConfig) -> Estimate:
    """Return what a training will cost on this machine; a pass of its network is measured once."""
    known = sizes(work, config.dims)
    network, batch = estimate.network(known, config)
    seconds = cache.cached(estimate.pass_seconds, network, batch) if network else 0.0
    return estimate.estimate(known, config, pass_s=seconds)


def obstacle(work: state.Workspace, config: TrainConfig) -> str:
    """Say why a training cannot succeed; empty if nothing speaks against it."""
    limit = state.jobs().service().memory_gb
    room = int(limit * 1e9) if limit else None
    if why := cache.cached(estimate.obstacle, sizes(work, config.dims), config, room=room):
        return why
    return missing_genes(work.adata) if inputs.needs_genes(config) else ""


def draw(work: state.Workspace, config: TrainConfig) -> bool:
    """Draw the estimate, or what speaks against the training; return whether it may start."""
    if why := obstacle(work, config):
        st.error(escape(why, limit=600), icon=":material/block:")
        return False
    found = of(work, config)
    most = max((part for part in found.parts if part != "ensemble"), key=found.parts.get)
    chief = f", mostly for {WORDS[most]}" if most in WORDS and found.seconds >= 10 else ""
    busy = " Much else runs now, so expect longer." if os.getloadavg()[0] > BUSY * os.cpu_count() else ""
    several = ""
    if config.members > 1:
        part = found.parts["ensemble"] / found.seconds
        several = f" {part:.0%} of it is for the other {config.members - 1} members of the ensemble."
    theme.hint(
        f"Takes {words(found)} and {memory(found)} of memory on this machine when nothing else runs{chief}, "
        f"and less than {size(costs.MODEL)} of disk.{several}{busy}{costing.queue()}"
    )
    if inputs.needs_genes(config) and (unknown := deaths_unknown(work.adata)):
        theme.hint(unknown)
    return True


def words(found: Estimate) -> str:
    """Say how long: "about 8 s", "about 5 to 8 s"."""
    least, most = _round(found.least_seconds), _round(found.seconds)
    if most < 2:
        return "about a second"
    if most < WIDE * least:
        return f"about {duration(most)}"
    first, last = duration(max(least, 1)), duration(most)
    unit = f" {last.split(' ')[-1]}"
    short = first.removesuffix(unit) if first.endswith(unit) and first.count(" ") == 1 else first
    return f"about {short} to {last}"


def memory(found: Estimate) -> str:
    """Say how much memory: "0.3 GB", "40 MB"."""
    return size(int(float(f"{found.bytes:.1g}")) if found.bytes < 1e9 else int(float(f"{found.bytes:.2g}")))


def _round(seconds: float) -> float:
    """Two digits: more would promise too much."""
    return float(f"{seconds:.2g}")
