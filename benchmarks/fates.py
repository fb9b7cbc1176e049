"""Fates of the built-in demo against the simulator's truth, their cost, and real data, some with clones.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.fates ../shared/data [--seeds 0] [--write]

Truth: the share of 24 futures of each cell that end in each fate, simulated with the true network. Scored are
the cells of all times but the last. AUROC, committed: among the cells with 90 % of their futures in one fate,
that fate against the others. AUROC, all: more than half of the futures. Ceiling: the mean truth of the 30
nearest other cells, which no method has. ECE: expected calibration error of all probabilities. Inside: true
shares in the nominal 80 % interval. Constants were chosen on seeds 1 to 3 of the simulator, with 4,000 cells.
"""

import argparse
import time
from pathlib import Path

import anndata
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks import results
from dynamics import basis, blood, clones, fates, preprocess, proposals, roles, snapshots, transitions
from dynamics.errors import DataError
from dynamics.fate_calibration import reliability_table
from dynamics.neighbours import nearest
from models.config import TrainConfig
from models.train import fit

METHODS = {"ot-cfm": 5, "sf2m": 1, "growth-cfm": 1}
"""Methods, each with the members of its ensemble."""
REAL = ("larry_clones_small", "reprogramming_3day", "celegans_embryo_counts")
COMMITTED = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    lines = [line for seed in options.seeds for line in demo(seed)]
    lines += ["", *cost()]
    for name in REAL:
        lines += ["", *real(options.folder, name)]
    if options.write:
        command = "OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.fates ../shared/data --write"
        results.write("Fates", command, lines)


def prepared(adata: anndata.AnnData) -> tuple:
    """Prepare a data set as the app does; return it with its roles, snapshots and cell types."""
    adata = preprocess.prepare(adata)
    picked = roles.detect(adata)
    shots = snapshots.from_anndata(adata, picked)
    kinds = adata.obs[picked.cell_type_key].astype("category").iloc[shots.cells]
    return adata, picked, shots, kinds


def demo(seed: int) -> list[str]:
    """Score the fates of the demo by every method."""
    adata, picked, shots, kinds = prepared(blood.simulate(seed=seed))
    truth = np.asarray(adata.obsm["true_fate"])[shots.cells]
    names = list(adata.uns["true_fate_names"])
    near = truth[nearest(shots.states, 31).indices[:, 1:]].mean(axis=1)
    lines = said(
        f"Demo, seed {seed}, {shots.n_cells:,} cells, {shots.dim} dimensions. AUROC in the order "
        f"{', '.join(names)}.",
        "",
        "| method | AUROC, committed | AUROC, all | ECE | inside | processor time |",
        "|---|---|---|---|---|---|",
        scored("ceiling: truth of the neighbours", near, truth, shots, seconds=None),
    )
    tables = []
    for method, members in METHODS.items():
        model = fit(
            shots,
            TrainConfig(method, seed=seed, members=members),
            basis=basis.from_anndata(adata, picked, shots),
        )
        began = time.process_time()
        found, states = told(model, shots, kinds)
        seconds = time.process_time() - began
        place = [found.names.index(name) for name in names]
        band = None if found.low is None else (found.low[:, place], found.high[:, place])
        label = f"{method}, {members} members" if members > 1 else method
        lines += said(scored(label, found.probabilities[:, place], truth, shots, seconds=seconds, band=band))
        tables.append((label, found.probabilities[:, place]))
    early = shots.time_index < shots.n_times - 1
    lines += said("", *(reliability(label, p[early], truth[early]) for label, p in tables))
    lines += said(f"Terminal states: {', '.join(states.names)}. Left out: {left_out(states)}.")
    return lines


def told(model, shots, kinds) -> tuple:
    """Return fates and the terminal states proposed for them."""
    built = transitions.chains(model, shots)
    states = proposals.propose(model, shots, built[0], labels=kinds)
    return fates.fate_probabilities(shots, model, states, chains_of=built), states


def scored(label: str, p, truth, shots, *, seconds: float | None, band=None) -> str:
    """Return the row of one method."""
    early = (shots.time_index < shots.n_times - 1) & np.isfinite(p).all(axis=1)
    firm = early & (truth.max(axis=1) >= COMMITTED)
    fate = truth.argmax(axis=1)
    committed = [roc_auc_score(fate[firm] == f, p[firm, f]) for f in range(truth.shape[1])]
    everyone = [roc_auc_score(truth[early, f] > 0.5, p[early, f]) for f in range(truth.shape[1])]
    error = reliability_table(p[early], truth[early]).error
    inside = "–" if band is None else f"{((band[0] <= truth) & (truth <= band[1]))[early].mean():.0%}"
    took = "–" if seconds is None else f"{seconds:.1f} s"
    first, second = (" ".join(f"{value:.3f}" for value in values) for values in (committed, everyone))
    return f"| {label} | {first} | {second} | {error:.3f} | {inside} | {took} |"


def reliability(label: str, p: np.ndarray, truth: np.ndarray) -> str:
    table = reliability_table(p, truth)
    told_of = ", ".join(f"{a:.2f} → {b:.2f}" for a, b in zip(table.predicted, table.real, strict=True))
    return f"Said → came true, {label}: {told_of}."


def left_out(states) -> str:
    return "; ".join(f"{name} ({reason})" for name, reason in states.left_out) or "none"


def cost() -> list[str]:
    """Time the fates of 17,000 cells at five times in 30 dimensions."""
    _, _, shots, kinds = prepared(blood.simulate(seed=1, n_cells=17_000))
    lines = said(
        f"Cost: {shots.n_cells:,} cells, {shots.n_times} times, {shots.dim} dimensions, processor time of "
        "the chains, the proposal and the fates together."
    )
    for method, members in METHODS.items():
        model = fit(shots, TrainConfig(method, seed=1, members=members))
        began = time.process_time()
        told(model, shots, kinds)
        lines += said(f"{method}, {members} member(s): {time.process_time() - began:.1f} s.")
    return lines


def real(folder: Path, name: str) -> list[str]:
    """Tell the fates of a real data set: terminal states, means, what has left the data, clones."""
    adata, picked, shots, kinds = prepared(anndata.read_h5ad(folder / f"{name}.h5ad"))
    model = fit(shots, TrainConfig("ot-cfm", members=5))
    found, states = told(model, shots, kinds)
    means = ", ".join(
        f"{fate} {value:.0%}"
        for fate, value in zip(found.names, np.nanmean(found.probabilities, axis=0), strict=True)
    )
    sizes = ", ".join(f"{shots.axis.name(k)} {n}" for k, n in enumerate(shots.axis.n_cells))
    lines = said(
        f"{name}: {sizes} cells. Terminal: "
        + "; ".join(f"{one} ({why})" for one, why in zip(states.names, states.reasons, strict=True))
        + f". Left out: {left_out(states)}. Mean fates: {means}. Mean width of the intervals "
        f"{np.nanmean(found.high - found.low):.2f}, mean certainty {np.nanmean(found.certainty):.2f}. "
        f"{found.message}"
    )
    if picked.clone_key:
        codes = clones.clone_codes(adata, picked.clone_key, shots.cells)
        for at in range(shots.n_times - 1):
            lines += said(f"{name}, clones: {by_clones(found, shots, states, codes, at=at)}")
    return lines


def by_clones(found, shots, states, codes, *, at: int) -> str:
    try:
        scores = clones.score_clones(found, shots, states, codes, at=at)
    except DataError as refusal:
        return str(refusal)
    kinds = ("model", "ceiling", "chance")
    auroc = ", ".join(f"{kind} {np.nanmean(scores.auroc[kind]):.2f}" for kind in kinds)
    rank = ", ".join(f"{kind} {np.nanmean(scores.spearman[kind]):.2f}" for kind in kinds)
    far = ", ".join(f"{kind} {scores.distance[kind]:.2f}" for kind in kinds)
    return (
        f"from {scores.time}, {scores.n_clones} clones, {scores.n_early} cells early, {scores.n_late} late. "
        f"Mean AUROC: {auroc}. Mean Spearman: {rank}. Distance: {far}."
    )


def said(*lines: str) -> list[str]:
    """Print lines and return them."""
    print(*lines, sep="\n", flush=True)
    return list(lines)


if __name__ == "__main__":
    main()
