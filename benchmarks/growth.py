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
import sys
import time
from pathlib import Path

import anndata
import numpy as np
from scipy.stats import pearsonr, spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dynamics import growth
from dynamics.integrate import integrate
from dynamics.metrics import w1
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
    options = parser.parse_args()
    mass = "relative mass error at t = 1 to 4"
    print(f"data  method       seed  Spearman  Pearson   {mass}        W1      s   reg_m")
    for dims in ("2d", "3d"):
        snapshots, x2 = simulated(options.data / f"sim_threegene_growth_{dims}.h5ad")
        truth = np.square(x2) / (1 + np.square(x2))
        for method, settings in METHODS.items():
            for seed in range(options.seeds):
                began = time.perf_counter()
                model = fit(snapshots, TrainConfig(method, settings, seed=seed))
                seconds = time.perf_counter() - began
                errors, distance = scores(model, snapshots)
                shown = "  ".join(f"{error:8.1%}" for error in errors)
                found = "       –        –"
                if model.has_growth:
                    rate = growth.growth_rate(model, snapshots.times, snapshots.states)
                    found = f"{spearmanr(rate, x2)[0]:8.3f} {pearsonr(rate, truth)[0]:8.3f}"
                reg_m = model.summary["figures"].get("reg_m")
                last = "" if reg_m is None else f"{reg_m:7.2f}"
                line = f"{dims:4}  {method:12} {seed:4}  {found}   {shown}  {distance:5.3f}  {seconds:5.1f}"
                print(f"{line} {last}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
