"""What an ensemble costs, and how far its members part: beside the model alone, and beside independent data.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.ensemble [--rounds 3] [--members 5] [--write]

Cost: whole fits with one member (A) and with several (B), A B A B, in processor seconds, since other work on
the machine distorts the clock on the wall. Spread: root mean square over the cells of the distance of the
members' velocities from their mean, over that of the speed; once of the further members of an ensemble, once
of models that are each trained in full on measurements of their own from the same population. The second is
what the first estimates from one measurement.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np

from benchmarks import results
from benchmarks.training import SIZES
from dynamics.ensemble import consensus, spread
from dynamics.snapshots import Snapshots, from_arrays
from dynamics.velocity import evaluate
from models.config import TrainConfig
from models.train import fit, one_thread

COURSES = {"16,800 × 5-d": (5, 1), "3,360 × 5-d": (5, 5), "1,120 × 5-d": (5, 15), "3,360 × 30-d": (30, 5)}
"""Dimensions, and by how much fewer cells there are than in benchmarks/training.py."""


class Several:
    """Models as members of one ensemble."""

    def __init__(self, members: list) -> None:
        self.dim, self.members = members[0].dim, tuple(members)

    def __call__(self, t: object, x: object) -> object:
        return self.members[0](t, x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=["ot-cfm", "auto"])
    parser.add_argument("--courses", nargs="*", default=list(COURSES))
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    lines = [
        f"Processor seconds of a training alone and with {options.members} members, median (all rounds); the "
        "ratio is the median of those of the rounds.",
        f"Relative spread and mean consensus of the {options.members - 1} further members, and of as many "
        "models trained in full on independent measurements.",
        "",
        "| cells × dimensions | method | alone, s | ensemble, s | ratio | spread | independent | consensus | "
        "independent |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in options.courses:
        for method in options.methods:
            lines.append(_row(name, TrainConfig(method), options))
            print(lines[-1], flush=True)
    print("\n".join(lines))
    if options.write:
        given = f"--rounds {options.rounds} --members {options.members} --methods {' '.join(options.methods)}"
        command = f"python -m benchmarks.ensemble {given}"
        results.write("Cost and spread of ensembles", command, lines)


def branching(dim: int, *, fewer: int, seed: int) -> Snapshots:
    """The population of benchmarks/training.py, measured in `fewer` times fewer cells, from a seed."""
    rng = np.random.default_rng([9, seed])
    sizes, scale, states = [n // fewer for n in SIZES], 1 / np.arange(1, dim + 1) ** 0.5, []
    for k, n in enumerate(sizes):
        side = rng.choice([-0.5, 0.5], (n, 1))
        states.append((rng.standard_normal((n, dim)) * (1 + 0.2 * k) + k * (side + 0.5)) * scale)
    return from_arrays(np.concatenate(states), np.repeat(np.arange(5.0), sizes), unit="day")


def _row(name: str, config: TrainConfig, options: argparse.Namespace) -> str:
    dim, fewer = COURSES[name]
    shots, n = branching(dim, fewer=fewer, seed=0), options.members
    alone, several = [], []
    for _ in range(options.rounds):
        for members, spent in ((1, alone), (n, several)):
            with one_thread():
                began = time.process_time()
                model = fit(shots, replace(config, members=members))
                spent.append(time.process_time() - began)
    apart = [
        fit(branching(dim, fewer=fewer, seed=k), replace(config, seed=k, members=1)) for k in range(1, n)
    ]
    found = [*_parted(list(model.members[1:]), shots), *_parted(apart, shots)]
    costs = [
        f"{statistics.median(one):.2f} ({', '.join(f'{s:.2f}' for s in one)})" for one in (alone, several)
    ]
    ratio = statistics.median(b / a for a, b in zip(alone, several, strict=True))
    figures = " | ".join(f"{found[k]:.2f}" for k in (0, 2, 1, 3))
    return f"| {name} | {config.method} | {' | '.join(costs)} | {ratio:.2f} | {figures} |"


def _parted(members: list, shots: Snapshots) -> tuple[float, float]:
    """Relative spread of the members, and their mean consensus, at all cells."""
    field, states, times = Several(members), shots.states, shots.times
    unbiased = len(members) / (len(members) - 1)
    mean = np.mean([evaluate(one, times, states) for one in members], axis=0, dtype=np.float64)
    off = np.square(spread(field, states, times=times)).mean() * unbiased
    relative = np.sqrt(off / np.square(mean).sum(axis=1).mean())
    return float(relative), float(np.nanmean(consensus(field, states, times=times)))


if __name__ == "__main__":
    main()
