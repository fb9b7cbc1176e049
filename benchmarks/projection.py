"""How quickly, and how well, velocities reach an embedding: against scVelo's graph and its projection.

Run `python -m benchmarks.projection --scvelo PYTHON` with an interpreter that has scVelo (it need not be this
one). Cells lie on a curved sheet, turned into 50 dimensions with noise; the embedding is a known nonlinear
map, so that the true velocity on it is known. CPU seconds on one thread; the cosine is over the faster three
quarters of the cells.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dynamics.projection import Placement, embedded_velocity
from dynamics.snapshots import from_arrays

SWIRL = np.zeros((5, 5))
SWIRL[0, 1], SWIRL[1, 0], SWIRL[2, 2], SWIRL[3, 0] = -1, 1, 0.2, 0.1
SHIFT = np.array([0, 0, 0.4, 0, 0])
SCVELO = """
import sys, time, json, warnings
warnings.simplefilter("ignore")
import numpy as np, anndata, scvelo, scanpy
scvelo.settings.verbosity = 0
given = np.load(sys.argv[1])
data = anndata.AnnData(given["x"].astype("f4"), obsm={"X_pca": given["x"], "X_umap": given["xy"]})
data.layers["Ms"], data.layers["velocity"] = data.X.copy(), given["v"].astype("f4")
data.layers["spliced"] = data.X.copy()
began = time.process_time()
scanpy.pp.neighbors(data, use_rep="X_pca", n_neighbors=30, transformer="sklearn")
neighbours = time.process_time() - began
began = time.process_time()
scvelo.tl.velocity_graph(data, n_jobs=1, show_progress_bar=False)
scvelo.tl.velocity_embedding(data, basis="umap")
print(json.dumps({"neighbours": neighbours, "seconds": time.process_time() - began}))
np.save(sys.argv[1] + ".npy", data.obsm["velocity_umap"])
"""


class Field:
    """The known velocity, turned into the wide space."""

    def __init__(self, turn: np.ndarray) -> None:
        self.dim = len(turn)
        self._matrix = torch.from_numpy((turn @ SWIRL @ turn.T).astype(np.float32))
        self._shift = torch.from_numpy((turn @ SHIFT).astype(np.float32))

    def __call__(self, t, x):
        return x @ self._matrix.T + self._shift


def curved(x: np.ndarray) -> np.ndarray:
    """The known map from five dimensions to two."""
    return np.stack(
        [x[:, 0] + 0.3 * np.sin(1.3 * x[:, 1]), x[:, 1] * np.exp(0.2 * x[:, 2]) + 0.2 * x[:, 3]], axis=1
    )


def sheet(n: int, rng: np.random.Generator) -> np.ndarray:
    """A curved, noisy two-dimensional sheet in five dimensions."""
    s, w = rng.uniform(0, 3, n), rng.normal(0, 0.4, n)
    columns = [np.cos(s) * (2 + w), np.sin(s) * (2 + w), 0.5 * s, 0.3 * w * s, 0.2 * np.sin(2 * s)]
    return np.stack(columns, axis=1) + 0.02 * rng.normal(size=(n, 5))


def score(v: np.ndarray, truth: np.ndarray) -> str:
    length = np.linalg.norm(truth, axis=1)
    kept = length > np.quantile(length, 0.25)
    cosine = np.sum(v * truth, axis=1) / np.maximum(np.linalg.norm(v, axis=1) * length, 1e-12)
    cosine = np.nan_to_num(cosine)[kept]
    share = np.mean(cosine > 0.5)
    return f"cosine median {np.median(cosine):.3f}, mean {cosine.mean():.3f}, above 0.5 {share:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=16_819)
    parser.add_argument("--dims", type=int, default=50)
    parser.add_argument("--scvelo", help="an interpreter that has scVelo")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    latent = sheet(options.cells, rng)
    turn = np.linalg.qr(rng.normal(size=(options.dims, options.dims)))[0][:, :5]
    x = latent @ turn.T + 0.05 * rng.normal(size=(options.cells, options.dims))
    xy, v = curved(latent), latent @ SWIRL.T + SHIFT
    truth = (curved(latent + 1e-3 * v) - curved(latent - 1e-3 * v)) / 2e-3
    snapshots = from_arrays(x, np.arange(options.cells) % 5)
    began = time.process_time()
    placement = Placement(snapshots.states, xy)
    built = time.process_time() - began
    moving = embedded_velocity(Field(turn), snapshots, placement)
    ours = time.process_time() - began
    print(f"{options.cells:,} cells, {options.dims} dimensions")
    print(f"ours    {ours:7.2f} CPU s (of it {built:.2f} once for the embedding); {score(moving.v, truth)}")
    if options.scvelo is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.npz"
        np.savez(path, x=x, xy=xy, v=v @ turn.T)
        result = subprocess.run(
            [options.scvelo, "-c", SCVELO, str(path)], check=True, capture_output=True, text=True
        )
        theirs = json.loads(result.stdout.splitlines()[-1])
        found = np.load(f"{path}.npy")
    print(f"scVelo  {theirs['seconds']:7.2f} CPU s (neighbours not counted); {score(found, truth)}")
    print(f"{theirs['seconds'] / ours:.1f} times less time")


if __name__ == "__main__":
    main()
