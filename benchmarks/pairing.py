"""Pairing: the near-exact bisection against the exact plan, in cost and in time.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/pairing.py [--largest 4000]

Processor seconds are given, since other work on the machine distorts the clock on the wall.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dynamics.coupling import Coupling, couple


def branching(n0: int, n1: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """One anisotropic cloud, and a later one that split in two and moved on."""
    rng = np.random.default_rng(0)
    spread = 1 / np.arange(1, dim + 1) ** 0.7
    side = rng.choice([-0.8, 0.8], (n1, 1))
    x0 = rng.standard_normal((n0, dim)) * spread
    return x0, rng.standard_normal((n1, dim)) * spread + (side + 0.5) * spread


def timed(clouds: tuple[np.ndarray, np.ndarray], name: str) -> tuple[Coupling, float]:
    began = time.process_time()
    return couple(*clouds, name=name), time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=4000, help="largest snapshot that is paired exactly")
    largest = parser.parse_args().largest
    timed(branching(100, 100, 2), "bisection")
    print("  cells            dim   exact s   bisection s   faster   excess cost   marginal error")
    for n0, n1, dim in (
        (2000, 2000, 2),
        (2000, 2000, 5),
        (1300, 2100, 5),
        (2000, 2000, 15),
        (2000, 2000, 50),
        (4000, 4000, 5),
        (20_000, 20_000, 5),
    ):
        clouds = branching(n0, n1, dim)
        fast, seconds = timed(clouds, "bisection")
        line = f"{n0:7,} × {n1:<7,} {dim:4d}"
        if max(n0, n1) > largest:
            print(f"{line}         –   {seconds:11.2f}        –             –   {fast.marginal_error:.0e}")
            continue
        best, exact_seconds = timed(clouds, "exact")
        print(
            f"{line} {exact_seconds:9.2f}   {seconds:11.2f}   {exact_seconds / seconds:5.1f}×   "
            f"{fast.cost / best.cost - 1:10.2%}   {fast.marginal_error:.0e}"
        )


if __name__ == "__main__":
    main()
