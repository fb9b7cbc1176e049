"""Training: 17,000 cells at five times, from the arrays to the model.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training.py [--repeats 3]

Wall seconds are what a user waits; processor seconds are what the work costs on a machine that does other
things too. The first line includes what a fresh process must load.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dynamics.snapshots import Snapshots, from_arrays
from models.config import TrainConfig
from models.train import fit

SIZES = (2381, 4163, 3278, 3665, 3332)


def branching(dim: int) -> Snapshots:
    """A population that moves on, widens and splits in two."""
    rng = np.random.default_rng(0)
    spread = 1 / np.arange(1, dim + 1) ** 0.5
    states = []
    for k, n in enumerate(SIZES):
        side = rng.choice([-0.5, 0.5], (n, 1))
        states.append((rng.standard_normal((n, dim)) * (1 + 0.2 * k) + k * (side + 0.5)) * spread)
    return from_arrays(np.concatenate(states), np.repeat(np.arange(5.0), SIZES), unit="day")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}")
    print("dim   method   pairing s   wall s   processor s   steps   loss / mean velocity's")
    for dim, method in ((5, "ot-cfm"), (5, "i-cfm"), (50, "ot-cfm")):
        snapshots = branching(dim)
        for _ in range(repeats):
            began = time.process_time()
            model = fit(snapshots, TrainConfig(method))
            spent = time.process_time() - began
            told, seconds = model.summary, model.summary["seconds"]
            print(
                f"{dim:3d}   {method:7}  {seconds['pairing']:9.2f}   {seconds['total']:6.2f}   {spent:11.2f}"
                f"   {told['steps']:5d}   {told['final_loss']:.3f} / {told['reference_loss']:.3f}"
            )


if __name__ == "__main__":
    main()
