"""How many cells a model expects at a state: the density, followed back to where it is known."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

from dynamics.errors import ModelError
from dynamics.field import VelocityField
from dynamics.growth import has_growth
from dynamics.roll_out import roll_out
from models.cell_model import CellModel
from models.clock import Clock

BASE = "base"
"""Head of a network that knows the density at the first time: the velocity from N(0, I) to there."""
STEPS = 10
"""Steps of fourth order between two times."""
CHUNK = 2_048
DRAWN = 4_096
"""Cells that are followed to find how a population has grown."""
LogDensity = Callable[[torch.Tensor], torch.Tensor]
Rate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What happens at `s` from 0 to 1 to states, (n, dim) or (dim,)."""
Moved = tuple[torch.Tensor, torch.Tensor]


def log_density(
    model: CellModel, t: float, x: np.ndarray, *, base: LogDensity | None = None, steps: int = STEPS
) -> np.ndarray:
    """Natural logarithm of the density of cells at time `t`, in cells' share per unit of state volume.

    log p(t, x) = log p(τ₀, x(τ₀)) − ∫ tr ∂v/∂x dt along the path that ends in x; the trace is exact. Where
    the model knows growth g, ∫ g dt is added, and the logarithm of the whole population at `t` is taken away,
    found by following 4,096 cells drawn from the density at the first time. Of a density that is given none
    can be drawn: it is then that of a population of 1 at the first time, which sums to its size at `t`.

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
    start, size = base or _own_base(model, steps), 0.0
    if base is None and model.has_growth:
        size = _log_size(model, t, steps)
    found = []
    for rows in torch.from_numpy(np.array(x, np.float64, ndmin=2)).split(CHUNK):
        x0, grown = carried_back(model, rows, t=t, times=model.axis.values, steps=steps)
        found.append(start(x0) - grown - size)
    return torch.cat(found).numpy()


def carried_back(
    field: VelocityField, x: torch.Tensor, *, t: float, times: np.ndarray, steps: int = STEPS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Follow states back from `t` to the first of `times`.

    Returns
    -------
    (n, dim), (n,)
        Where they were, and ∫ (tr ∂v/∂x − g) dt on the way: the logarithm of the growth of a volume, less
        that of the cells in it where the field knows growth g.
    """
    grown = torch.zeros(len(x), dtype=x.dtype)
    for start, stop in reversed(_spans(times, t)):
        x, more = _back(_within(field, start, stop), x, steps, rate=_rate(field, start, stop))
        grown = grown + more
    return x, grown


def _spans(times: np.ndarray, t: float) -> list[tuple[float, float]]:
    """Stretches between measured times on the way from the first to `t`."""
    knots = [float(times[0]), *(float(one) for one in times[1:] if one < t), float(t)]
    return [(start, stop) for start, stop in pairwise(knots) if start < stop]


def _within(field: VelocityField, start: float, stop: float) -> Rate:
    """Velocity where a stretch of time counts from 0 to 1."""
    gap = stop - start
    return lambda s, rows: gap * field(start + gap * s, rows)


def _rate(field: VelocityField, start: float, stop: float) -> Rate | None:
    """Growth where a stretch of time counts from 0 to 1, for a field that knows it."""
    gap = stop - start
    return (lambda s, rows: gap * field.growth(start + gap * s, rows)) if has_growth(field) else None


def _back(velocity: Rate, x: torch.Tensor, steps: int, *, rate: Rate | None = None) -> Moved:
    """Go back from s = 1 to 0; returns the states and the integral of divergence less growth from 0 to 1."""
    dim = x.shape[1]

    def both(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        def one(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            v = velocity(s, row)
            return v, v

        jacobian, v = torch.func.vmap(torch.func.jacrev(one, has_aux=True))(y[:, :dim])
        spread = jacobian.diagonal(dim1=1, dim2=2).sum(dim=1)
        return torch.cat([v, (spread - (rate(s, y[:, :dim]) if rate else 0.0))[:, None]], dim=1)

    with torch.no_grad():
        y = torch.nn.functional.pad(x, (0, 1))
        y = roll_out(both, y, steps=steps, scheme="rk4", backwards=True)[-1]
    return y[:, :dim], -y[:, dim]


def _log_size(model: CellModel, t: float, steps: int) -> float:
    """Logarithm of how many cells there are at `t` for each at the first time, in the model's own view."""
    generator = torch.Generator().manual_seed(model.seed)
    z = torch.randn(DRAWN, model.dim, generator=generator, dtype=torch.float64)
    velocity = _base_velocity(model)
    with torch.no_grad():
        x = roll_out(velocity, z, steps=steps, scheme="rk4")[-1]
        y = torch.nn.functional.pad(x * torch.from_numpy(model.scale.copy()), (0, 1))
        y[:, :-1] += torch.from_numpy(model.shift.copy())
        for start, stop in _spans(model.axis.values, t):
            move, grow = _within(model, start, stop), _rate(model, start, stop)

            def both(s: torch.Tensor, y: torch.Tensor, move: Rate = move, grow: Rate = grow) -> torch.Tensor:
                return torch.cat([move(s, y[:, :-1]), grow(s, y[:, :-1])[:, None]], dim=1)

            y = roll_out(both, y, steps=steps, scheme="rk4")[-1]
    return float(y[:, -1].logsumexp(dim=0)) - np.log(DRAWN)


def base_features(clock: Clock, s: float) -> torch.Tensor:
    """Time features, (N_FEATURES,), at `s` in the flow from N(0, I), one interval before the first time."""
    gap = float(clock.times[1] - clock.times[0])
    return clock.features(torch.tensor(float(clock.times[0]) - gap * (1 - s), dtype=torch.float64))


def _own_base(model: CellModel, steps: int) -> LogDensity:
    """Log-density at the first time of a model that has learned the flow from N(0, I) to there."""
    shift, scale = torch.from_numpy(model.shift.copy()), torch.from_numpy(model.scale.copy())

    def density(x: torch.Tensor) -> torch.Tensor:
        z, grown = _back(_base_velocity(model), (x - shift) / scale, steps)
        return normal_log_density(z) - grown - scale.log().sum()

    return density


def _base_velocity(model: CellModel) -> Rate:
    """Velocity, in scaled states, of the flow from N(0, I) to the first time."""

    def velocity(s: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        features = base_features(model.clock, float(s)).expand(*rows.shape[:-1], -1)
        return model.net(features, rows.float())[BASE].to(rows.dtype)

    return velocity


def normal_log_density(z: torch.Tensor) -> torch.Tensor:
    """Logarithm of the density of N(0, I) at (..., dim)."""
    return -0.5 * (z.square() + np.log(2 * np.pi)).sum(dim=-1)
