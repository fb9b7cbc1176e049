"""Paths: how a pair of cells is joined between two times.

`s` in [0, 1] is the position along a path; it never leaves `models/`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch


@dataclass(frozen=True)
class PathPoint:
    """A point on a path with the velocity to learn there, both (n, dim); the velocity is per unit of `s`."""

    xs: torch.Tensor
    us: torch.Tensor
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What an objective learns besides the velocity, by name, (n, ...)."""


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


@dataclass(frozen=True)
class Bridge:
    """A Brownian bridge: a walk at random that is held at both ends.

    x_s = (1 − s) x0 + s x1 + σ √(s (1 − s)) ε,   u_s = (1 − 2s) / (2 √(s (1 − s))) σ ε + x1 − x0.

    `sigma` is the noise of one whole interval, in scaled state units per square root of `s`. Since u_s grows
    without bound towards the ends, whoever draws `s` keeps away from 0 and 1.

    References
    ----------
    Tong et al., TMLR 2024, Proposition 3.4 (SB-CFM), with eq. 4 for the velocity of a Gaussian path.
    """

    sigma: float

    def __call__(
        self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, eps: torch.Tensor | None
    ) -> PathPoint:
        if eps is None:
            raise ValueError("a bridge needs noise")
        width = (s * (1 - s)).sqrt()
        xs = torch.lerp(x0, x1, s) + self.sigma * width * eps
        us = x1 - x0 + (1 - 2 * s) / (2 * width) * self.sigma * eps
        return PathPoint(xs, us, {"eps": eps, "width": width})


@dataclass(frozen=True)
class Trigonometric:
    """A quarter of a turn from `x0` to `x1`: keeps the variance of independent states of mean zero.

    x_s = cos(πs/2) x0 + sin(πs/2) x1,   u_s = π/2 (cos(πs/2) x1 − sin(πs/2) x0), both blurred by `sigma`.

    References
    ----------
    Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR 2023; Tong et
    al., TMLR 2024 (VP-CFM).
    """

    sigma: float = 0.0

    def __call__(
        self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, eps: torch.Tensor | None
    ) -> PathPoint:
        cos, sin = torch.cos(math.pi / 2 * s), torch.sin(math.pi / 2 * s)
        xs, us = cos * x0 + sin * x1, math.pi / 2 * (cos * x1 - sin * x0)
        return PathPoint(xs if eps is None else xs + self.sigma * eps, us)


PATHS: dict[str, type[Path]] = {"straight": Straight, "bridge": Bridge, "trigonometric": Trigonometric}
