"""Paths: how a pair of cells is joined between two times.

`s` in [0, 1] is the position along a path; it never leaves `models/`.
"""

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class PathPoint:
    """A point on a path with the velocity to learn there, both (n, dim); the velocity is per unit of `s`."""

    xs: torch.Tensor
    us: torch.Tensor


class Path(Protocol):
    """Joins `x0` and `x1`; `eps` is standard normal noise of their shape, `s` is (..., 1)."""

    def __call__(
        self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, eps: torch.Tensor | None
    ) -> PathPoint: ...


@dataclass(frozen=True)
class Straight:
    """A straight line at constant speed, blurred by noise of constant width `sigma` (in scaled state units).

    x_s = (1 − s) x0 + s x1 + σ ε,   u_s = x1 − x0.

    References
    ----------
    Tong et al., Improving and generalizing flow-based generative models with minibatch optimal transport,
    TMLR 2024, eq. 14–15.
    """

    sigma: float = 0.0

    def __call__(
        self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, eps: torch.Tensor | None
    ) -> PathPoint:
        xs = torch.lerp(x0, x1, s)
        return PathPoint(xs if eps is None else xs + self.sigma * eps, x1 - x0)


PATHS: dict[str, type[Path]] = {"straight": Straight}
