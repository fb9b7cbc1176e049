"""Move states along a velocity with fixed steps, so that gradients flow back to the velocity's parameters."""

from collections.abc import Callable, Iterable

import torch
from torchdiffeq import odeint, odeint_adjoint

SCHEMES = {"midpoint": 2, "rk4": 4}
"""Evaluations of the velocity in one step."""

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def roll_out(
    velocity: Velocity,
    state: torch.Tensor,
    *,
    steps: int,
    scheme: str = "midpoint",
    backwards: bool = False,
    adjoint: Iterable[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Solve dy/ds = velocity(s, y) from s = 0 to 1, or from 1 to 0, in equal steps.

    Parameters
    ----------
    state : (..., m)
        Where y begins.
    scheme
        One of `SCHEMES`: the midpoint rule (second order), or the 3/8 rule (fourth order).
    adjoint
        Parameters for which gradients are wanted. Where given, gradients are found by solving the adjoint
        equation backwards, which holds one step in memory; else by going back through all of the steps.

    Returns
    -------
    (steps + 1, ..., m)
        y at the beginning and after each step.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018 (the adjoint equation).
    """
    ends = (1.0, 0.0) if backwards else (0.0, 1.0)
    grid = torch.linspace(*ends, steps + 1, dtype=state.dtype)
    if adjoint is None:
        return odeint(velocity, state, grid, method=scheme)
    return odeint_adjoint(velocity, state, grid, method=scheme, adjoint_params=tuple(adjoint))
