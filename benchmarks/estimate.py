"""Estimated beside measured time of every method, on two sizes.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.estimate [--methods auto,ot-cfm] [--large]

Processor seconds of `fit` in this process, so that other work on the machine counts little; the estimate is
what the app shows before the start, without the reading of a file. The last column is measured over
estimated; where the estimate is a range that does not hold it, over the nearer end.
"""

import argparse
import time

import numpy as np

from dynamics.snapshots import Snapshots, from_arrays
from models import estimate
from models.config import TrainConfig
from models.methods import METHODS
from models.train import fit

SIZES = {"300 × 3 × 3-d": (300, 3, 3), "1,500 × 5 × 30-d": (1_500, 5, 30)}
LARGE = {"5,000 × 5 × 10-d": (5_000, 5, 10)}


def moving(n: int, n_times: int, dim: int) -> Snapshots:
    """A cloud that moves and widens."""
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((n, dim)) * (1 + 0.1 * k) + k / np.sqrt(dim) for k in range(n_times)]
    return from_arrays(np.concatenate(states), np.repeat(np.arange(float(n_times)), n), unit="day")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    print(f"{'cells a time, times':18} {'method':16} {'estimated s':>16} {'measured s':>11} {'ratio':>6}")
    for label, (n, n_times, dim) in (SIZES | (LARGE if options.large else {})).items():
        snapshots = moving(n, n_times, dim)
        sizes = estimate.Sizes((n,) * n_times, dim)
        for method in options.methods.split(","):
            config = TrainConfig(method)
            network, batch = estimate.network(sizes, config)
            seconds = estimate.pass_seconds(network, batch) if network else 0.0
            told = estimate.estimate(sizes, config, pass_s=seconds)
            began = time.process_time()
            fit(snapshots, config)
            spent = time.process_time() - began
            low, high = (end - told.parts["reading"] for end in (told.least_seconds, told.seconds))
            ratio = spent / min(max(spent, low), high)
            print(f"{label:18} {method:16} {low:7.2f} – {high:6.2f} {spent:11.2f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
