"""How near the learned velocity and fates of the built-in demo are to the simulator's truth.

    .venv/bin/python -m benchmarks.demo_truth [SEED …]

The demo was built to be learnable, so this checks the whole pipeline; it does not compare methods.
"""

import sys

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from dynamics import basis, demo, preprocess, roles, snapshots, velocity
from dynamics.integrate import integrate
from models.config import TrainConfig
from models.train import fit

COMMITTED = 0.9  # least share of a cell's simulated futures that end in one fate


def main(seeds: list[int]) -> None:
    print(f"{'seed':>4}  {'mean cosine':>11}  {'median':>6}  {'fates right':>11}  {'committed cells':>15}")
    for seed in seeds:
        cosine, right = truth(seed)
        found = f"{cosine.mean():11.3f}  {np.median(cosine):6.3f}  {right.mean():11.1%}  {len(right):15,}"
        print(f"{seed:4}  {found}", flush=True)


def truth(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of learned and true velocity of each cell, and whether committed fates match."""
    adata = preprocess.prepare(demo.make_demo("branching", seed=seed))
    picked = roles.detect(adata)
    shots = snapshots.from_anndata(adata, picked)
    model = fit(shots, TrainConfig(seed=seed), basis=basis.from_anndata(adata, picked, shots))
    learned = velocity.evaluate(model, shots.times, shots.states)
    true = np.asarray(adata.layers["true_velocity"]) @ adata.varm["PCs"][:, : shots.dim]
    cosine = (learned * true).sum(axis=1) / np.linalg.norm(learned, axis=1) / np.linalg.norm(true, axis=1)
    return cosine, fates(model, shots, np.asarray(adata.obsm["true_fate"])[shots.cells])


def fates(model, shots: snapshots.Snapshots, chances: np.ndarray) -> np.ndarray:
    """Follow committed cells to the last time; tell for each whether it ends among cells of its true fate."""
    fate, last = chances.argmax(axis=1), shots.rows(shots.n_times - 1)
    nearest = KNeighborsClassifier(15).fit(shots.states[last], fate[last])
    right = []
    for k in range(shots.n_times - 1):
        rows = shots.rows(k)
        rows = rows[chances[rows].max(axis=1) >= COMMITTED]
        if len(rows):
            ends = shots.axis.values[[k, -1]]
            paths = integrate(model, shots.states[rows], ends, breaks=shots.axis.values)
            right.append(nearest.predict(paths.states[-1]) == fate[rows])
    return np.concatenate(right)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0, 1, 2])
