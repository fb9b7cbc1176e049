"""Candidate regulators against true networks, beside correlation and a tree-based ranking.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.regulation [--seeds 3] [--write]

Two simulated files whose signed networks are known (BoolODE gonadal sex determination; dyngen branching) and
the built-in example. Times are those of the files' snapshot column at their mean simulation time, and as
fine as the app takes them (dyngen as it is, BoolODE rounded to a tenth). Turnover and penalty of the score
were chosen on other simulated networks (docs/regulation.md).

Given are the area under the ROC curve and under precision and recall for directed edges between different
genes, the mean of the latter for activation and for repression (a candidate of the wrong sign counts last),
and the share of true edges with the right sign; means over seeds of the training, with the range of the
second. "tfs" restricts the regulators to the file's list of transcription factors, for all rankings alike.
"""

import argparse
import sys
import time
from pathlib import Path

import anndata
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import results
from dynamics import basis as bases
from dynamics import blood, regulation
from dynamics.jacobian import mean_jacobian
from dynamics.roles import Roles
from dynamics.snapshots import Snapshots, default_dims, from_arrays
from models.config import TrainConfig
from models.train import fit

TREES, MOST_CELLS = 100, 1_000
MOST_TIMES = 200
"""Times that a data set of the app may have."""
COUNTED = ("AUROC", "AUPRC", "signed AUPRC", "right sign")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="the case of this name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = [
        "| data | cells, genes, times | ranking | " + " | ".join(COUNTED) + " | AUPRC range | s |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in cases(options.data):
        if options.only not in ("", case[0]):
            continue
        for line in rows(*case, seeds=options.seeds):
            lines.append(line)
            print(line, flush=True)
    took = jacobian_seconds()
    lines += ["", f"Mean Jacobian of 17,000 cells in 50 dimensions, one member: {took:.1f} s."]
    print(lines[-1])
    if options.write:
        results.write("Regulation", "python -m benchmarks.regulation --write", lines)


def cases(data: Path):
    """Give name, levels (n, genes), times (n,), names of genes, names of regulators and true edges."""
    for name, file, finest in (
        ("BoolODE", "sim_boolode_gsd", False),
        ("BoolODE, fine times", "sim_boolode_gsd", True),
        ("dyngen", "sim_dyngen_branching", False),
        ("dyngen, fine times", "sim_dyngen_branching", True),
    ):
        adata = anndata.read_h5ad(data / f"{file}.h5ad")
        times = adata.obs["sim_time"].to_numpy(float)
        if finest and len(np.unique(times)) > MOST_TIMES:
            times = np.round(times, 1)
        if not finest:
            bins = adata.obs["snapshot"].to_numpy()
            times = np.array([times[bins == one].mean() for one in bins])
        true = adata.uns["true_grn"]
        genes = list(map(str, adata.var_names))
        levels = _levels(adata)
        yield name, levels, times, genes, genes, true
        if "is_tf" in adata.var and not finest:
            yield f"{name}, tfs", levels, times, genes, list(adata.var_names[adata.var["is_tf"]]), true
    demo = blood.simulate(seed=0)
    true, genes = demo.uns["true_network"], list(map(str, demo.var_names))
    factors = list(demo.var_names[demo.var["is_regulator"]])
    yield "demo, tfs", _levels(demo), demo.obs["day"].to_numpy(float), genes, factors, true


def rows(name, levels, times, genes, regulators, true, *, seeds: int):
    """Give a line of the table for each ranking."""
    panel = regulation.panel(levels, genes, regulators, genes)
    truth = _truth(true, panel)
    about = f"{len(levels):,}, {len(genes)}, {len(np.unique(times))}"
    for ranking, found in rankings(levels, times, genes, panel, seeds=seeds).items():
        scored = np.array([_judged(score, truth, panel) for score, _ in found])
        spread = f"{scored[:, 1].min():.3f}–{scored[:, 1].max():.3f}" if len(found) > 1 else ""
        told = " | ".join(f"{value:.3f}" for value in scored.mean(axis=0))
        took = np.mean([seconds for _, seconds in found])
        yield f"| {name} | {about} | {ranking} | {told} | {spread} | {took:.0f} |"
    density = (truth != 0)[regulation.different(*panel.names)].mean()
    yield f"| {name} | {about} | by chance | 0.500 | {density:.3f} | | 0.500 | | |"


def rankings(levels, times, genes, panel, *, seeds: int):
    """Return signed scores (r, t) and seconds of every way to rank, for every seed."""
    plain, took = _timed(lambda: regulation.correlations(levels, panel))
    trees, long = _timed(lambda: forests(levels, panel) * np.sign(np.nan_to_num(plain[0])))
    found = {
        "Spearman correlation": [(plain[0], took)],
        "partial correlation": [(plain[1], took)],
        "random forests (as GENIE3)": [(trees, long)],
    }
    for space, method in (("pca", "ot-cfm"), ("genes", "grn-ode")):
        shots, basis = states(levels, times, genes, space)
        for seed in range(seeds):
            for way, one in from_model(shots, basis, panel, method, seed).items():
                found.setdefault(way, []).append(one)
    return found


def states(levels, times, genes, space: str) -> tuple[Snapshots, bases.StateBasis]:
    """Return snapshots of principal components or of the genes, and their map to genes."""
    values = levels - levels.mean(axis=0)
    if space == "pca":
        _, _, axes = np.linalg.svd(values, full_matrices=False)
        values = values @ axes[:50].T
        values = values[:, : default_dims(values)]
    shots = from_arrays(values.astype(np.float32), times, rep="X_pca" if space == "pca" else "X_genes")
    return shots, bases.fit_basis(levels, shots.states, genes)


def from_model(shots, basis, panel, method: str, seed: int):
    """Return what one trained model gives: the production score, the Jacobian, a network of its own."""
    members = 5 if method == "ot-cfm" else 1
    config = TrainConfig(method, {}, seed=seed, members=members, whiten=method == "grn-ode")
    model, took = _timed(lambda: fit(shots, config, basis=basis))
    (net,), more = _timed(lambda: regulation.regulate(model, shots, panel, basis=basis))
    found = {f"{method}: score": (net.score, took + more)}
    if model.has_network:
        place = {gene: k for k, gene in enumerate(basis.genes)}
        chosen = np.ix_(*([place[name] for name in names] for names in panel.names))
        found[f"{method}: its own network"] = (model.network()[chosen], took)
    else:
        found[f"{method}: Jacobian"] = (net.effect, took + more)
    return found


def forests(levels: np.ndarray, panel: regulation.Panel) -> np.ndarray:
    """Importance of every regulator in a random forest that tells each target's level, (r, t)."""
    found = np.zeros((len(panel.regulators), len(panel.targets)))
    for t, target in enumerate(panel.targets):
        own = levels[:, target] / max(levels[:, target].std(), 1e-12)
        rows = np.flatnonzero(panel.regulators != target)
        forest = RandomForestRegressor(
            TREES,
            max_features="sqrt",
            min_samples_leaf=3,
            max_samples=min(MOST_CELLS, len(own)),
            random_state=0,
        )
        forest.fit(levels[:, panel.regulators[rows]], own)
        found[rows, t] = forest.feature_importances_
    return found


def jacobian_seconds() -> float:
    """Seconds for the mean Jacobian of 17,000 cells of 50 dimensions at five times."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((17_000, 50)).astype(np.float32)
    shots = from_arrays(states, np.repeat(np.arange(5.0), 3_400))
    model = fit(shots.take(np.arange(0, 17_000, 20)), TrainConfig("ot-cfm", {"steps": 10, "width": 128}))
    return _timed(lambda: mean_jacobian(model, shots.times, shots.states))[1]


def _levels(adata) -> np.ndarray:
    layer = "counts" if "counts" in adata.layers else "X"
    found = bases.log_expression(adata, Roles(counts_layer=layer))
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, np.float64)


def _truth(true, panel: regulation.Panel) -> np.ndarray:
    names, targets = panel.names
    row, column = ({name: k for k, name in enumerate(some)} for some in (names, targets))
    table = np.zeros((len(names), len(targets)))
    for regulator, target, sign in zip(true["regulator"], true["target"], true["sign"], strict=True):
        if regulator in row and target in column:
            table[row[regulator], column[target]] = sign
    return table


def _judged(score: np.ndarray, truth: np.ndarray, panel: regulation.Panel) -> list[float]:
    apart = regulation.different(*panel.names)
    score, truth = np.nan_to_num(score)[apart], truth[apart]
    signed = [
        average_precision_score(truth == sign, sign * score) for sign in (1, -1) if (truth == sign).any()
    ]
    return [
        roc_auc_score(truth != 0, np.abs(score)),
        average_precision_score(truth != 0, np.abs(score)),
        float(np.mean(signed)),
        float((np.sign(score) == truth)[truth != 0].mean()),
    ]


def _timed(work):
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
