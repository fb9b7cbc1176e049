"""How quickly cells are followed: fixed fourth-order steps with dense output against torchdiffeq's dopri5.

Run `python -m benchmarks.integration`. A model is trained on simulated snapshots (5 times, 5 dimensions); all
cells are followed from the first time to the last with 100 outputs, one thread. Errors are against 400 fixed
steps, as the distance between states in units of the data's spread. Times are CPU seconds, median of
interleaved rounds.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torchdiffeq import odeint

from benchmarks import results
from dynamics.integrate import integrate
from dynamics.snapshots import Snapshots, from_arrays
from models.config import TrainConfig
from models.train import fit

TIMES = np.linspace(0.0, 4.0, 100)
STEPS = (8, 12, 16, 20, 24, 40)


def branching(n_cells: int, seed: int = 0) -> Snapshots:
    """Cells on a branching course in five dimensions, seen at five times."""
    rng = np.random.default_rng(seed)
    time_of = rng.integers(0, 5, n_cells).astype(float)
    s = np.clip(time_of + 0.35 * rng.normal(size=n_cells), 0, None)
    branch = rng.integers(0, 3, n_cells) * 2 * np.pi / 3
    out = np.clip(s - 1.2, 0, None)
    course = [
        1.5 * s,
        out * np.cos(branch) * 1.3,
        out * np.sin(branch) * 1.3,
        np.sin(1.5 * s),
        0.6 * np.cos(2 * s),
    ]
    return from_arrays(np.stack(course, axis=1) + 0.25 * rng.normal(size=(n_cells, 5)), time_of)


def dopri5(model, x0: np.ndarray, tolerance: float) -> np.ndarray:
    """torchdiffeq as it is usually called."""
    with torch.no_grad():
        times = torch.from_numpy(TIMES)
        return odeint(
            model, torch.from_numpy(x0), times, rtol=tolerance, atol=tolerance, method="dopri5"
        ).numpy()


def rk4(model, x0: np.ndarray, steps: int) -> np.ndarray:
    return integrate(model, x0, TIMES, step=4.0 / steps).states


def errors(states: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Mean and largest error at the end, and the largest at any output, relative to the data's spread."""
    distance = np.linalg.norm(states - truth, axis=2) / truth.std(axis=(0, 1)).mean()
    return float(distance[-1].mean()), float(distance[-1].max()), float(distance.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=17_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--methods", nargs="*", default=["ot-cfm", "spline-cfm"])
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"{options.cells:,} cells, 5 dimensions, {len(TIMES)} outputs; errors in spreads of the data.",
        "",
        "| field | solver | CPU s | error at the end, mean | largest | largest at any output |",
        "|---|---|---|---|---|---|",
    ]
    told = [_compare(method, options, lines) for method in options.methods]
    lines += ["", *told]
    print("\n".join(lines))
    if options.write:
        results.write("Integration", f"python -m benchmarks.integration --rounds {options.rounds}", lines)


def _compare(method: str, options: argparse.Namespace, lines: list[str]) -> str:
    """Follow cells by the field of one method with every solver; add the rows and say what came out."""
    snapshots = branching(options.cells)
    model = fit(snapshots, TrainConfig(method=method))
    x0 = snapshots.states[np.random.default_rng(0).integers(0, snapshots.n_cells, options.cells)].copy()
    truth = rk4(model, x0, 400)
    rows = {f"dopri5, {tol:g}": lambda tol=tol: dopri5(model, x0, tol) for tol in (1e-3, 1e-5)}
    rows |= {f"ours, {steps} steps": lambda steps=steps: rk4(model, x0, steps) for steps in STEPS}
    taken: dict[str, list[float]] = {name: [] for name in rows}
    found = {}
    for _ in range(options.rounds):
        for name, run in rows.items():
            began = time.process_time()
            states = run()
            taken[name].append(time.process_time() - began)
            found[name] = errors(states, truth)
    measured = {name: (statistics.median(taken[name]), *found[name]) for name in rows}
    for name, (seconds, *off) in measured.items():
        lines.append(
            f"| {method} | {name} | {seconds:.2f} | " + " | ".join(f"{one:.1e}" for one in off) + " |"
        )
    reference = measured["dopri5, 1e-05"]
    said = []
    for k, which in ((1, "mean"), (2, "largest")):
        equal = [name for name in rows if name.startswith("ours") and measured[name][k] <= reference[k]]
        ratio = f"{reference[0] / measured[equal[0]][0]:.1f} times less time at" if equal else "did not reach"
        said.append(f"{ratio} the {which} end error of dopri5 1e-5")
    return f"- {method}: {'; '.join(said)}"


if __name__ == "__main__":
    main()
