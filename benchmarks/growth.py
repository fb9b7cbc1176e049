"""Growth on simulated cells whose division rate is known to rise with one gene, beside balanced methods.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.growth [--seeds 3] [--data ../shared/data] [--write]

Three genes, two or three of them seen; cells divide at a rate that is a Hill function of gene X2, so the
number of cells at each time follows from growth. Every method has its default settings, and growth-cfm is
told that numbers mean something. Given are the rank correlation of the growth rate of all cells, each at its
own time, with X2; the linear correlation with X2²/(1 + X2²); and the relative mass error at each later time
of all cells of the first time followed from there, with the W1 distance at the last time to the cells
measured then, in units of the genes. A method without growth keeps its number of cells.

On the built-in demo numbers of cells mean nothing and deaths are the same everywhere; there the growth of
all cells, read from genes or from the pairing, is held against the simulator's, and so are the means of the
cell types.
"""

import argparse
import time
from pathlib import Path

import anndata
import numpy as np
from scipy.stats import pearsonr, spearmanr

from benchmarks import results
from benchmarks.fates import prepared
from dynamics import blood, growth
from dynamics.integrate import integrate
from dynamics.metrics import w1
from dynamics.prior_growth import with_prior_growth
from dynamics.snapshots import Snapshots, from_arrays
from models.cell_model import CellModel
from models.config import TrainConfig
from models.train import fit

METHODS = {
    "growth-cfm": {"numbers": "counts"},
    "uot-cfm": {},
    "ot-cfm": {},
    "i-cfm": {},
}


def simulated(file: Path) -> tuple[Snapshots, np.ndarray]:
    """Snapshots of one file, and gene X2 of each cell."""
    adata = anndata.read_h5ad(file)
    values = np.asarray(adata.X, dtype=np.float64)
    return from_arrays(values, adata.obs["time"].to_numpy(float)), values[:, adata.var_names.get_loc("X2")]


def scores(model: CellModel, snapshots: Snapshots) -> tuple[list[float], float]:
    """Relative mass error at each later time, from all cells of the first, and W1 at the last time."""
    sizes, times = snapshots.axis.n_cells, snapshots.axis.values
    if model.has_growth:
        path = growth.follow(model, snapshots.at(0), times)
        weights = path.weights / sizes[0]
    else:
        path = integrate(model, snapshots.at(0), times)
        weights = np.full((len(sizes), sizes[0]), 1 / sizes[0])
    errors = [growth.relative_mass_error(weights[k], n, sizes[0]) for k, n in enumerate(sizes) if k]
    return errors, w1(path.states[-1], snapshots.at(len(sizes) - 1), a=weights[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    here = Path(__file__).resolve()
    parser.add_argument("--data", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    lines = [*counted(options.data, options.seeds), "", *demo(options.seeds)]
    if options.write:
        command = f"OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.growth --seeds {options.seeds} --write"
        results.write("Growth", command, lines)


def counted(folder: Path, n_seeds: int) -> list[str]:
    """Score every method on the files in which the number of cells follows from growth."""
    lines = [
        "| cells | method | seed | Spearman | Pearson | mass error at t = 1 to 4 | W1 | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print(*lines, sep="\n", flush=True)
    for dims in ("2d", "3d"):
        snapshots, x2 = simulated(folder / f"sim_threegene_growth_{dims}.h5ad")
        truth = np.square(x2) / (1 + np.square(x2))
        for method, settings in METHODS.items():
            for seed in range(n_seeds):
                began = time.process_time()
                model = fit(snapshots, TrainConfig(method, settings, seed=seed))
                seconds = time.process_time() - began
                errors, distance = scores(model, snapshots)
                found = "– | –"
                if model.has_growth:
                    rate = growth.growth_rate(model, snapshots.times, snapshots.states)
                    found = f"{spearmanr(rate, x2)[0]:.3f} | {pearsonr(rate, truth)[0]:.3f}"
                shown = ", ".join(f"{error:.1%}" for error in errors)
                lines.append(
                    f"| {dims} | {method} | {seed} | {found} | {shown} | {distance:.3f} | {seconds:.1f} |"
                )
                print(lines[-1], flush=True)
    return lines


def demo(n_seeds: int) -> list[str]:
    """Hold growth of the demo against the simulator's; a seed is that of the simulator."""
    lines = [
        "| demo | growth from | Spearman, cells | Pearson, types | types, true: found, per day |",
        "|---|---|---|---|---|",
    ]
    print(*lines, sep="\n", flush=True)
    for seed in range(n_seeds):
        adata, picked, shots, kinds = prepared(blood.simulate(seed=seed))
        truth = adata.obs["true_growth"].to_numpy()[shots.cells]
        shots = with_prior_growth(shots, adata, picked)
        rates = {"genes, cell by cell": shots.prior_growth}
        for source in ("genes", "pairing"):
            model = fit(shots, TrainConfig("growth-cfm", {"growth_from": source}, seed=seed))
            rates[f"growth-cfm, {source}"] = growth.growth_rate(model, shots.times, shots.states)
        for name, rate in rates.items():
            means = np.array(
                [(truth[kinds == kind].mean(), rate[kinds == kind].mean()) for kind in set(kinds)]
            )
            pairs = ", ".join(f"{one:.2f}: {other:+.2f}" for one, other in means[np.argsort(means[:, 0])])
            agreed = f"{spearmanr(rate, truth)[0]:.2f} | {pearsonr(*means.T)[0]:.2f}"
            lines.append(f"| {seed} | {name} | {agreed} | {pairs} |")
            print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
