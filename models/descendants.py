"""What one cell may become: samples of its descendants at the next measured time."""

import numpy as np
import torch

from dynamics.errors import ModelError
from dynamics.following import checked
from dynamics.stochastic import simulate
from models.cell_model import CellModel
from models.objectives.genot import movement

STEPS = 24
"""Steps of Heun's scheme from noise to a descendant."""
CHUNK = 65_536


def descendants(model: CellModel, x: np.ndarray, *, time: float, n: int, seed: int) -> np.ndarray:
    """Sample descendants of cells at the next measured time, (n_cells, n, dim) float32, in state units.

    A model with a distribution of descendants (genot) gives that of cells measured at `time`; a model with
    noise (sf2m) is followed from `time`, which may lie between measured times.

    Parameters
    ----------
    x : (n_cells, dim)
        States at `time`, in the data's coordinates.
    n
        Descendants of each cell.

    Raises
    ------
    ModelError
        The model gives one path per cell, other states than `x` fit it, or there is no next measured time.
    """
    times = model.clock.times
    later = times[times > time + 1e-9 * (times[-1] - times[0])]
    if not len(later) or time < times[0]:
        shown = ", ".join(f"{value:g}" for value in times[:-1][:12])
        raise ModelError(f"There is no measured time next after {time:g}. Choose one of {shown}.")
    x, _ = checked(model, x, [time])
    many = np.repeat(x, n, axis=0)
    if model.is_stochastic:
        found = simulate(model, many, [time, float(later[0])], seed=seed).states[-1]
    elif model.architecture.kind == "conditional":
        k = len(times) - len(later) - 1
        _check_measured(model, time, k)
        found = _from_noise(model, many, k, np.random.default_rng(seed))
    else:
        raise ModelError(
            f'The model "{model.name}" ({model.method}) gives each cell one path, not a distribution of '
            "descendants. Train one with genot or sf2m."
        )
    return found.reshape(len(x), n, model.dim)


def _check_measured(model: CellModel, time: float, k: int) -> None:
    """Refuse a time at which no cells were measured."""
    times = model.clock.times
    if time - times[k] > 1e-6 * (times[k + 1] - times[k]):
        raise ModelError(
            f"Descendants are known of cells measured at {times[k]:g}; {time:g} lies after it. "
            f"Take the cells at {times[k]:g}."
        )


def _from_noise(model: CellModel, x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Carry noise along the conditional flow of interval `k`, one sample for each row of `x`."""
    times = model.clock.times
    start = model.clock.features(torch.tensor(times[k], dtype=torch.float64))
    z = torch.from_numpy(((x - model.shift) / model.scale).astype(np.float32))
    y = torch.from_numpy(rng.standard_normal(z.shape, np.float32))
    with torch.no_grad():
        parts = zip(y.split(CHUNK), z.split(CHUNK), strict=True)
        y = torch.cat([_carried(model, start, *part) for part in parts])
    moved = movement(times, model.clock.speeds, k) * y.numpy().astype(np.float64)
    return (x + moved * model.scale).astype(np.float32)


def _carried(model: CellModel, start: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    features, h = start.expand(len(y), -1), 1 / STEPS

    def velocity(s: float, at: torch.Tensor) -> torch.Tensor:
        return model.net.conditional(features, torch.full((len(y), 1), s), at, z)

    for step in range(STEPS):
        first = velocity(step * h, y)
        y = y + h / 2 * (first + velocity((step + 1) * h, y + h * first))
    return y
