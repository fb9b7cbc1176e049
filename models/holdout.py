"""Leave one time out: how well a method predicts cells that it has not seen, beside naive baselines."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dynamics import metrics
from dynamics.coupling import couple
from dynamics.errors import DataError, SettingsError
from dynamics.field import Progress, VelocityField, no_progress
from dynamics.growth import has_growth
from dynamics.snapshots import Snapshots
from models.cell_model import CellModel
from models.config import TrainConfig, canonical_json
from models.train import fit, one_thread

EULER_STEPS = 100
MOST_CELLS = 5_000
"""Cells a side that are compared; above, a fixed random choice of so many (the exact distance is cubic)."""
FLOOR_SPLITS = 5
DISTANCE = (
    "W1: exact earth mover's distance, Euclidean, equal weights, up to 5,000 cells a side; MMD: Gaussian"
)
ORIGINS = {"previous": "the real cells of the time before", "first": "the real cells of the first time"}
SUBSAMPLE, SPLIT = 11, 12
"""Streams of random numbers that do not depend on the seed of the training: every method sees one choice."""


@dataclass(frozen=True)
class Task:
    """One fit: a recipe, without one time."""

    config: TrainConfig
    held_out: int
    """Position of the time that is left out."""
    origin: str = "previous"
    """From which cells it is predicted; one of `ORIGINS`."""


@dataclass(frozen=True)
class Score:
    """Distance between predicted and real cells of a held-out time, in the units of the states."""

    method: str
    held_out: str
    seed: int
    origin: str
    w1: float
    mmd: float
    train_seconds: float
    chosen: str = ""
    """What an automatic method chose."""


@dataclass(frozen=True)
class Baseline:
    """The same distance for a prediction that needs no learning."""

    name: str
    """"copy": the cells of the time before. "ot-midpoint": the point at that time on straight lines between
    cells paired by optimal transport. "noise-floor": one half of the real cells against the other."""
    held_out: str
    w1: float
    mmd: float


Run = Callable[[Callable[..., Any], Sequence[tuple]], Iterable[Any]]
"""Calls a function on every tuple of arguments and gives the results in order; here or on other machines."""


def here(function: Callable[..., Any], calls: Sequence[tuple]) -> Iterable[Any]:
    """Call one after the other, in this process."""
    return (function(*call) for call in calls)


def inner_times(snapshots: Snapshots) -> list[int]:
    """Positions of the times that lie between two others, and so can be held out."""
    return list(range(1, snapshots.n_times - 1))


def times_to_hold_out(snapshots: Snapshots, asked: Sequence[str] | None = None) -> list[int]:
    """Return the positions of the times named by label or by number; by default of all inner ones, if any.

    Raises
    ------
    DataError
        Times are named, but there are only two: none can be held out.
    SettingsError
        There is no such time, or it is the first or the last.
    """
    inner = inner_times(snapshots)
    if asked is None:
        return inner
    if not inner:
        raise DataError(
            f"The data set has {snapshots.n_times} times; to hold one out and predict it from its "
            "neighbours, three are needed. What the model predicts between two times cannot be tested here."
        )
    names = {snapshots.axis.labels[k]: k for k in inner} | {f"{snapshots.axis.values[k]:g}": k for k in inner}
    unknown = [name for name in asked if name not in names]
    if unknown:
        known = ", ".join(snapshots.axis.labels[k] for k in inner)
        raise SettingsError(f"{unknown[0]!r} cannot be held out; times between two others are: {known}.")
    return sorted({names[name] for name in asked})


def without(snapshots: Snapshots, held_out: int) -> Snapshots:
    """Return the snapshots without one time."""
    kept = snapshots.take(np.flatnonzero(snapshots.time_index != held_out))
    index, axis = kept.time_index, snapshots.axis
    others = [k for k in range(snapshots.n_times) if k != held_out]
    return replace(
        kept,
        time_index=(index - (index > held_out)).astype(np.int32),
        axis=replace(
            axis,
            labels=tuple(axis.labels[k] for k in others),
            values=axis.values[others],
            n_cells=tuple(axis.n_cells[k] for k in others),
        ),
    )


def push(field: VelocityField, x0: np.ndarray, t0: float, t1: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Carry states, (n, dim), from `t0` to `t1` by 100 Euler steps.

    Returns
    -------
    The states there, and the weight that each cell has grown to, (n,), where the field knows growth.
    """
    x = torch.from_numpy(np.ascontiguousarray(x0, np.float32))
    step = (t1 - t0) / EULER_STEPS
    grows, grown = has_growth(field), torch.zeros(len(x), dtype=torch.float64)
    with torch.no_grad(), one_thread():
        for t in t0 + step * np.arange(EULER_STEPS):
            grown += step * field.growth(t, x) if grows else 0.0
            x = x + step * field(t, x)
    return x.numpy(), grown.exp().numpy() if grows else None


def score(snapshots: Snapshots, task: Task, progress: Progress = no_progress) -> Score:
    """Train without one time and compare the prediction for it with its real cells.

    Parameters
    ----------
    task
        The model is trained on all other times, from the cells of `origin` it is carried to the held-out
        time; all cells count, up to 5,000 a side.

    References
    ----------
    The protocol of Tong et al., TMLR 2024, section 6 (single-cell interpolation).
    """
    return judge(snapshots, task, fit(without(snapshots, task.held_out), task.config, progress=progress))


def judge(snapshots: Snapshots, task: Task, model: CellModel) -> Score:
    """Compare what a model trained without a time predicts for it with the real cells."""
    k = task.held_out
    origin = k - 1 if task.origin == "previous" else 0
    start, target = _some(snapshots, origin), _some(snapshots, k)
    t0, t1 = (float(snapshots.axis.values[at]) for at in (origin, k))
    there, weights = carried(model, start, t0, t1, where=snapshots.axis.name(k))
    return scored(snapshots, task, model, compare(there, target[:, : model.dim], weights=weights))


def carried(
    model: CellModel, start: np.ndarray, t0: float, t1: float, *, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Carry states to another time (`push`), in the model's dimensions.

    Raises
    ------
    DataError
        Some come to no finite state.
    """
    there, weights = push(model, start[:, : model.dim], t0, t1)
    if not np.isfinite(there).all():
        raise DataError(
            f"{model.method} carried {np.mean(~np.isfinite(there).all(axis=1)):.0%} of the cells to no "
            f"finite state at {where}. Train with a smaller learning rate."
        )
    return there, weights


def scored(snapshots: Snapshots, task: Task, model: CellModel, found: tuple[float, float]) -> Score:
    """Put W1 and MMD of a prediction down as a score."""
    return Score(
        method=name_of(task.config),
        held_out=snapshots.axis.labels[task.held_out],
        seed=task.config.seed,
        origin=task.origin,
        w1=found[0],
        mmd=found[1],
        train_seconds=model.summary["seconds"]["total"],
        chosen=model.summary["figures"].get("selection", {}).get("chosen", ""),
    )


def compare(
    there: np.ndarray, target: np.ndarray, *, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Return W1 (exact, Euclidean) and MMD between predicted and real cells."""
    return metrics.w1(there, target, a=weights), metrics.mmd(there, target, a=weights)


def baselines(snapshots: Snapshots, held_out: int, dims: int | None = None) -> list[Baseline]:
    """Score the predictions that need no learning, for one held-out time."""
    k, times, name = held_out, snapshots.axis.values, snapshots.axis.labels[held_out]
    before, target, after = (_some(snapshots, at)[:, :dims] for at in (k - 1, k, k + 1))
    pairs = couple(before, after, name="exact")
    share = (times[k] - times[k - 1]) / (times[k + 1] - times[k - 1])
    middle = (1 - share) * before[pairs.i] + share * after[pairs.j]
    return [
        Baseline("copy", name, *compare(before, target)),
        Baseline("ot-midpoint", name, *compare(middle, target, weights=pairs.weight)),
        Baseline("noise-floor", name, *_floor(target, k)),
    ]


def tasks(
    configs: Iterable[TrainConfig], held_out: Iterable[int], *, seeds: int, origin: str = "previous"
) -> list[Task]:
    """List the fits of every recipe without every time, for its seed and those that follow.

    Raises
    ------
    SettingsError
        Unknown origin, or fewer than one seed.
    """
    if origin not in ORIGINS or seeds < 1:
        raise SettingsError(
            f"Expected one seed or more and a start of {' or '.join(ORIGINS)}; found {seeds} and {origin!r}."
        )
    held_out = list(held_out)
    return [
        Task(replace(config, seed=config.seed + more), k, origin)
        for config in configs
        for k in held_out
        for more in range(seeds)
    ]


def headroom(w1: float, *, copy: float, floor: float) -> float | None:
    """Share of the reachable improvement over copying that was reached: 1 is the noise floor, 0 copying."""
    return (copy - w1) / (copy - floor) if copy > floor else None


def name_of(config: TrainConfig) -> str:
    """The method, with its settings where they are not the usual ones."""
    if not config.settings:
        return config.method
    return f"{config.method} {canonical_json(dict(config.settings))}"


def some_rows(snapshots: Snapshots, k: int, most: int | None = None) -> np.ndarray:
    """Positions of the cells at one time; of more than `most` (5,000), a fixed random choice."""
    rows, most = snapshots.rows(k), most or MOST_CELLS
    if len(rows) <= most:
        return rows
    rng = np.random.default_rng([SUBSAMPLE, k])
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _some(snapshots: Snapshots, k: int) -> np.ndarray:
    return snapshots.states[some_rows(snapshots, k)]


def _floor(target: np.ndarray, k: int) -> tuple[float, float]:
    """Distance between random halves: what a perfect model of so few cells could reach, or a little more."""
    if len(target) < 2:
        return 0.0, 0.0
    rng = np.random.default_rng([SPLIT, k])
    found = []
    for _ in range(FLOOR_SPLITS):
        order = rng.permutation(len(target))
        half = len(target) // 2
        found.append(compare(target[order[:half]], target[order[half:]]))
    w1, mmd = np.mean(found, axis=0)
    return float(w1), float(mmd)
