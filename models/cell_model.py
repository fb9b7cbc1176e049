"""A trained model: the velocity of any state at any time, with what is needed to use it elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from dynamics.basis import StateBasis
from dynamics.errors import ModelError
from dynamics.times import TimeAxis
from models.clock import Clock
from models.networks import Architecture


@dataclass(frozen=True, eq=False)
class CellModel:
    """A velocity field learned from snapshots; a `VelocityField`.

    It is defined for every state and time, but known only where cells were seen: at times within `times` and
    states near the data. Beyond the measured times it is an extrapolation that nothing supports, so callers
    say so or refuse; beyond the data likewise (`low`, `high` bound the box of the training states).

    Attributes
    ----------
    method, settings, seed, whiten
        The recipe; `settings` holds every setting, defaults filled in.
    axis
        The times that it was trained on.
    rep
        The representation that its states are in, such as "X_pca".
    shift, scale : (dim,) float64
        States are learned as (x − shift) / scale.
    low, high : (dim,) float64
        Smallest and largest training state in every dimension.
    basis
        How states map to genes, where known.
    fingerprint
        Of the training snapshots.
    summary
        Training in figures: "steps", "final_loss", "reference_loss", "loss" (history), "n_cells",
        "couplings", "warnings", "versions", and, until the model is saved, "seconds".
    """

    name: str
    method: str
    settings: Mapping[str, Any]
    seed: int
    whiten: bool
    axis: TimeAxis
    rep: str
    architecture: Architecture
    net: nn.Module = field(repr=False)
    clock: Clock = field(repr=False)
    shift: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fingerprint: str
    summary: Mapping[str, Any] = field(repr=False)
    basis: StateBasis | None = field(default=None, repr=False)
    others: tuple[nn.Module, ...] = field(default=(), repr=False)
    """Networks of the other members of its ensemble, each trained on other draws of the same cells."""

    def __post_init__(self) -> None:
        for net in (self.net, *self.others):
            net.requires_grad_(False).eval()
        for array in (self.shift, self.scale, self.low, self.high):
            array.flags.writeable = False

    @property
    def members(self) -> tuple["CellModel", ...]:
        """The model itself, then the other members of its ensemble, each a model of its own."""
        return (self, *self._others)

    @property
    def dim(self) -> int:
        return self.architecture.dim

    @property
    def unit(self) -> str:
        """Unit of time."""
        return self.axis.unit

    @property
    def times(self) -> tuple[float, float]:
        """First and last measured time; the field is known between them."""
        return float(self.axis.values[0]), float(self.axis.values[-1])

    def __call__(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Velocity at time `t` and states `x`, (n, dim), in state units per unit of time.

        `t` is one time, or one per cell: a float, or a tensor of shape (), (1,), (n,) or (n, 1).
        """
        time = self._time(t, x)
        output = self._outputs(time, x)["velocity"].double()
        speed = self.clock.speed(time)
        return (output * self._scale * (speed[..., None] if speed.ndim else speed)).to(x.dtype)

    def head(self, name: str, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Raw output of one head of the network, (n, width); what its unit is, the method says."""
        return self._outputs(self._time(t, x), x)[name]

    @property
    def has_landscape(self) -> bool:
        """Whether the model has learned a landscape that cells roll down (`potential`)."""
        return "potential" in self.architecture.heads

    def potential(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Height of the landscape at states `x`, (n,), in squared state units per unit of time.

        The velocity is its steepest descent: −∂potential/∂x, where one number scales all dimensions. In a
        whitened model downhill is meant in the whitened states: the velocity in dimension d is
        −(scale_d²/mean scale²) ∂potential/∂x_d. In a model with noise the steepest descent is the drift of
        cells that chance pushes: velocity + score drift. Heights can be compared within one time only: a
        number that changes in time could be added to all of them. Not so in a landscape with growth, which
        falls in proportion to the height.

        Raises
        ------
        ModelError
            The model has no landscape.
        """
        if not self.has_landscape:
            raise ModelError(
                f'The model "{self.name}" ({self.method}) has learned no landscape. '
                "Train one with action-matching."
            )
        time = self._time(t, x)
        height = self._outputs(time, x)["potential"].squeeze(-1).double()
        return (height * self._scale.square().mean() * self.clock.speed(time)).to(x.dtype)

    @property
    def has_growth(self) -> bool:
        """Whether the model knows how cells multiply and die (`dynamics.growth`)."""
        return "growth_unit" in self.architecture.tables

    def growth(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Growth rate at time `t` and states `x`, (n,), per unit of time: d log(number of cells)/dt.

        Raises
        ------
        ModelError
            The model knows no growth.
        """
        if not self.has_growth:
            raise ModelError(
                f'The model "{self.name}" ({self.method}) knows no growth: cells neither divide nor die. '
                "Train one with growth-cfm, or with the setting growth of cnf or action-matching."
            )
        time = self._time(t, x)
        rate = self._outputs(time, x)["growth"].squeeze(-1).double() * self._growth_clock.speed(time)
        return rate.to(x.dtype)

    @property
    def has_network(self) -> bool:
        """Whether the model is a gene network that can be read off (`network`)."""
        return "support" in self.architecture.tables

    def network(self) -> np.ndarray:
        """Candidate edges, (dim, dim): signed strength of the regulator (row) on the target (column).

        Zero where there is none. Regulators and targets are the dimensions of the states, which are genes
        where the model was trained on genes.

        Raises
        ------
        ModelError
            The model is not a gene network.
        """
        if not self.has_network:
            raise ModelError(
                f'The model "{self.name}" ({self.method}) is no gene network. Train one with grn-ode.'
            )
        return self.net.support.numpy().T.astype(np.float64)

    @property
    def is_stochastic(self) -> bool:
        """Whether the model has noise: its cells can be followed with chance (`dynamics.stochastic`)."""
        return "sigma" in self.architecture.tables and "score" in self.architecture.heads

    def noise(self, t: float) -> np.ndarray:
        """Noise at time `t`, (dim,), in state units per square root of the unit of time.

        It is that of the interval that `t` lies in; at a measured time that of the interval which begins.
        """
        k, gap = self._interval(t)
        return float(self.net.sigma[k]) / np.sqrt(gap) * self.scale

    def score_drift(self, t: float, x: torch.Tensor) -> torch.Tensor:
        """½ g² ∇log p at time `t` and states `x`, (n, dim), in state units per unit of time, g the noise."""
        return self.drifts(t, x)[1]

    def drifts(self, t: float, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocity and score drift at one time and states `x`, each (n, dim), from one evaluation."""
        k, gap = self._interval(t)
        time = self._time(t, x)
        outputs = self._outputs(time, x)
        velocity = outputs["velocity"].double() * self._scale * self.clock.speed(time)
        unit = float(self.net.sigma[k]) / gap
        if "score_unit" in self.architecture.tables:
            unit = float(self.net.score_unit) * self.clock.speed(time)
        score = outputs["score"].double() * self._scale * unit
        return velocity.to(x.dtype), score.to(x.dtype)

    def _interval(self, t: float) -> tuple[int, float]:
        """Number and length of the interval between measured times that `t` lies in."""
        if not self.is_stochastic:
            raise ModelError(
                f'The model "{self.name}" ({self.method}) has no noise: each cell has one path. '
                "Train one with sf2m, or with the setting diffusion of action-matching."
            )
        times = self.clock.times
        k = int(np.clip(np.searchsorted(times, float(t), side="right") - 1, 0, len(times) - 2))
        return k, float(times[k + 1] - times[k])

    def renamed(self, name: str) -> "CellModel":
        """Return the same model under another name."""
        return replace(self, name=name)

    def _time(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        time = torch.as_tensor(t, dtype=torch.float64)
        if time.numel() == 1:
            return time.reshape(())
        if x.ndim < 2 or time.numel() != x.shape[0]:
            raise ValueError(
                f"{time.numel()} times for states of shape {tuple(x.shape)}: give one, or one each"
            )
        return time.reshape(-1)

    def _outputs(self, time: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
        z = ((x - self._shift) / self._scale).float()
        features = self.clock.features(time)
        return self.net(features.expand(*z.shape[:-1], -1), z)

    @cached_property
    def _others(self) -> tuple["CellModel", ...]:
        return tuple(replace(self, net=net, others=()) for net in self.others)

    @cached_property
    def _growth_clock(self) -> Clock:
        return Clock(self.clock.times, self.net.growth_unit.numpy().astype(np.float64))

    @cached_property
    def _shift(self) -> torch.Tensor:
        return torch.from_numpy(self.shift.copy())

    @cached_property
    def _scale(self) -> torch.Tensor:
        return torch.from_numpy(self.scale.copy())
