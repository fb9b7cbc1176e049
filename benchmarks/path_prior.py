"""Which form of paths predicts left-out times best on simulated courses: the prior of the method `auto`.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.path_prior [--write]

The courses are drawn from formulas below and are unlike each other on purpose; no measured data are used. For
each form of path, the log ratio of held-out W1 to that of straight paths; the prior is the upper quartile
over the courses: what a form reaches on three of four.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks import results
from dynamics.snapshots import Snapshots, from_arrays
from models import holdout
from models.config import TrainConfig
from models.objectives.auto import PRIOR

Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def tree(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """A stem that parts in two bent arms."""
    past = np.maximum(age - 1.5, 0)
    return np.stack([age, np.where(arm == 0, 0.5, -0.5) * past**1.3, 0.4 * np.sin(1.2 * age)], axis=1)


def spiral(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """A steady turn that widens."""
    return ((1 + 0.15 * age) * np.stack([np.cos(0.8 * age), np.sin(0.8 * age)])).T


def line(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Straight motion at one speed."""
    return np.stack([age, 0 * age], axis=1)


def kinked(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Straight stretches with sharp turns at the times of measurement: what smooth paths get wrong."""
    knots = [[-2, -1], [0, 0], [1, 0.2], [1.3, 1.6], [2.6, 1.4], [2.5, 2.8], [4, 3], [6, 4]]
    return np.stack([np.interp(age, np.arange(-1, 7), part) for part in np.transpose(knots)], axis=1)


def saturating(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Quick at first, then slow, towards three fates."""
    gone = 2 * (1 - np.exp(-0.6 * np.maximum(age, -0.5)))
    angle = (arm - 1) * np.maximum(age - 1, 0) / 3
    return np.stack([gone * np.cos(angle), gone * np.sin(angle), 0.15 * age], axis=1)


def switching(age: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """Rest in one state and hop to the next, on one of two ways."""
    ways = ([[0, 0], [1.5, 0.6], [3, 0.2], [4.2, 1.5]], [[0, 0], [1.5, 0.6], [2.4, -1.2], [3.6, -2.2]])
    hops = np.floor(age) + np.clip(3 * (age - np.floor(age)) - 1, 0, 1)
    on = [np.stack([np.interp(hops, range(4), part) for part in np.transpose(way)], axis=1) for way in ways]
    return np.where(arm[:, None] == 0, *on)


COURSES: dict[str, tuple[Curve, int, list[int], float, float, int]] = {
    "tree": (tree, 2, [500] * 5, 0.25, 0.12, 5),
    "tree, 20-D": (tree, 2, [400] * 5, 0.25, 0.35, 20),
    "spiral": (spiral, 1, [400] * 6, 0.2, 0.08, 4),
    "spiral, noisy": (spiral, 1, [300] * 5, 0.4, 0.35, 10),
    "line, 20-D": (line, 1, [400] * 5, 0.4, 0.5, 20),
    "kinked": (kinked, 1, [200, 150, 90, 210, 120, 250, 400], 0.25, 0.25, 4),
    "saturating": (saturating, 3, [300, 80, 500, 120, 600], 0.3, 0.15, 8),
    "switching": (switching, 2, [400] * 5, 0.5, 0.15, 3),
    "switching, 10-D": (switching, 2, [300, 350, 400, 450, 500], 0.7, 0.25, 10),
}
"""Curve, arms, cells a time, spread of the cells' ages, noise in every dimension, dimensions."""


def course(name: str, seed: int) -> Snapshots:
    """Draw the cells of a course at times 0, 1, 2, …"""
    curve, arms, sizes, spread, noise, dim = COURSES[name]
    rng = np.random.default_rng([seed, list(COURSES).index(name)])
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    states = []
    for time, n in enumerate(sizes):
        flat = curve(time + spread * rng.standard_normal(n), rng.integers(arms, size=n))
        wide = np.pad(flat, ((0, 0), (0, dim - flat.shape[1])))
        states.append(wide @ turn + noise * rng.standard_normal((n, dim)))
    return from_arrays(np.concatenate(states), np.repeat(np.arange(len(sizes)), sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    logs = {name: np.zeros(len(PRIOR)) for name in COURSES}
    for name in COURSES:
        rows = [_logs(course(name, seed), seed) for seed in range(options.seeds)]
        logs[name] = np.mean(rows, axis=0)
        print(
            name,
            *(f"{shape}: {np.exp(one):.3f}" for shape, one in zip(PRIOR, logs[name], strict=True)),
            sep="; ",
        )
    quartile = np.quantile(list(logs.values()), 0.75, axis=0)
    lines = [
        "Held-out W1 over that of straight paths.",
        "",
        "| course | " + " | ".join(map(str, PRIOR)) + " |",
    ]
    lines.append("|" + "---|" * (len(PRIOR) + 1))
    for name, row in [*logs.items(), ("upper quartile", quartile), ("its logarithm: the prior", None)]:
        shown = [f"{one:.3f}" for one in (quartile if row is None else np.exp(row))]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    print("\n".join(lines))
    if options.write:
        results.write("Prior of the form of paths", "python -m benchmarks.path_prior", lines)


def _logs(shots: Snapshots, seed: int) -> np.ndarray:
    """Mean over the inner times of the log ratio of every form's W1 to that of straight paths."""
    rows = []
    for k in holdout.inner_times(shots):
        w1 = []
        for shape in PRIOR:
            settings = {"curve": shape.curve, "smoothness": shape.smoothness, "pull": shape.pull}
            config = TrainConfig("spline-cfm", settings, seed=seed)
            w1.append(holdout.score(shots, holdout.Task(config, k)).w1)
        rows.append(np.log(np.array(w1) / w1[0]))
    return np.mean(rows, axis=0)


if __name__ == "__main__":
    main()
