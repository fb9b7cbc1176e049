"""How many cells a model expects at a state: the density, followed back to where it is known."""

from collections.abc import Callable

import numpy as np
import torch

from dynamics.errors import ModelError
from dynamics.field import VelocityField
from dynamics.roll_out import roll_out
from models.cell_model import CellModel
from models.clock import Clock

BASE = "base"
"""Head of a network that knows the density at the first time: the velocity from N(0, I) to there."""
STEPS = 10
"""Steps of fourth order between two times."""
CHUNK = 2_048
LogDensity = Callable[[torch.Tensor], torch.Tensor]


def log_density(
    model: CellModel, t: float, x: np.ndarray, *, base: LogDensity | None = None, steps: int = STEPS
) -> np.ndarray:
    """Natural logarithm of the density of cells at time `t`, in cells' share per unit of state volume.

    log p(t, x) = log p(τ₀, x(τ₀)) − ∫ tr ∂v/∂x dt along the path that ends in x; the trace is exact.

    Parameters
    ----------
    x : (n, dim)
        States.
    base
        Logarithm of the density of states, (n, dim) → (n,), at the first measured time τ₀. A model of the
        method cnf brings its own.
    steps
        Steps of the Runge-Kutta method in each interval.

    Raises
    ------
    ModelError
        The density at the first time is not known, or `t` lies outside the measured times.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018, theorem 1.
    """
    first, last = model.times
    if not first <= t <= last:
        raise ModelError(f"The density is known from {first:g} to {last:g} {model.unit}; asked for {t:g}.")
    if base is None and BASE not in model.architecture.heads:
        raise ModelError(
            f'The model "{model.name}" ({model.method}) does not know how dense cells are at its first time. '
            "Train one with cnf, or give the density at the first time."
        )
    start = base or _own_base(model, steps)
    found = []
    for rows in torch.from_numpy(np.array(x, np.float64, ndmin=2)).split(CHUNK):
        x0, grown = carried_back(model, rows, t=t, times=model.axis.values, steps=steps)
        found.append(start(x0) - grown)
    return torch.cat(found).numpy()


def carried_back(
    field: VelocityField, x: torch.Tensor, *, t: float, times: np.ndarray, steps: int = STEPS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Follow states back from `t` to the first of `times`.

    Returns
    -------
    (n, dim), (n,)
        Where they were, and ∫ tr ∂v/∂x dt on the way: the logarithm of the growth of a volume.
    """
    knots = [float(times[0]), *(float(one) for one in times[1:] if one < t), float(t)]
    grown = torch.zeros(len(x), dtype=x.dtype)
    for start, stop in zip(knots[-2::-1], knots[:0:-1], strict=True):
        if start < stop:
            x, more = _back(lambda s, row, a=start, b=stop: (b - a) * field(a + (b - a) * s, row), x, steps)
            grown = grown + more
    return x, grown


def _back(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Go back from s = 1 to 0; returns the states and the integral of the divergence from 0 to 1."""
    dim = x.shape[1]

    def both(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        def one(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            v = velocity(s, row)
            return v, v

        jacobian, v = torch.func.vmap(torch.func.jacrev(one, has_aux=True))(y[:, :dim])
        return torch.cat([v, jacobian.diagonal(dim1=1, dim2=2).sum(dim=1, keepdim=True)], dim=1)

    with torch.no_grad():
        y = torch.nn.functional.pad(x, (0, 1))
        y = roll_out(both, y, steps=steps, scheme="rk4", backwards=True)[-1]
    return y[:, :dim], -y[:, dim]


def base_features(clock: Clock, s: float) -> torch.Tensor:
    """Time features, (N_FEATURES,), at `s` in the flow from N(0, I), one interval before the first time."""
    gap = float(clock.times[1] - clock.times[0])
    return clock.features(torch.tensor(float(clock.times[0]) - gap * (1 - s), dtype=torch.float64))


def _own_base(model: CellModel, steps: int) -> LogDensity:
    """Log-density at the first time of a model that has learned the flow from N(0, I) to there."""
    shift, scale = torch.from_numpy(model.shift.copy()), torch.from_numpy(model.scale.copy())

    def velocity(s: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return model.net(base_features(model.clock, float(s)), row.float())[BASE].to(row.dtype)

    def density(x: torch.Tensor) -> torch.Tensor:
        z, grown = _back(velocity, (x - shift) / scale, steps)
        return normal_log_density(z) - grown - scale.log().sum()

    return density


def normal_log_density(z: torch.Tensor) -> torch.Tensor:
    """Logarithm of the density of N(0, I) at (..., dim)."""
    return -0.5 * (z.square() + np.log(2 * np.pi)).sum(dim=-1)
