"""Flow matching: learn the velocity along given paths between paired cells; nothing is simulated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.coupling import Coupling, couple
from dynamics.errors import SettingsError, Stopped
from dynamics.field import Progress, no_progress
from models import halves
from models.clock import Clock, typical_speeds
from models.config import knob
from models.objectives.base import Batches, Method, Objective, Problem, TrainingSettings
from models.objectives.rollout import RollOut, RollOutSettings
from models.paths import Path, PathPoint, Straight

LEAST_MOVEMENT = ("auto", "exact", "bisection", "quick")
"""Couplings that differ only in how nearly they reach the least movement."""
PAIRING_PART = 0.3
"""Share of the work before training that is pairing, where the form of the paths is found after it."""


@dataclass(frozen=True)
class FlowMatchingSettings(TrainingSettings):
    """Settings of flow matching along straight lines."""

    noise: float = knob(
        0.1,
        label="Noise around paths",
        help="Paths are blurred by this much, so that the field is also learned a little beside them.",
        min=0.0,
        max=2.0,
        unit="× the spread of the states",
        advanced=True,
    )
    fine_tune: int = knob(
        0,
        label="Fine-tuning steps",
        help="Steps made at the end in which cells are simulated from the first time over all others, and "
        "brought onto the cells measured there. For long simulations, which drift otherwise.",
        min=0,
        max=20_000,
        advanced=True,
    )
    fine_tune_rate: float = knob(
        1e-3,
        label="Learning rate of fine-tuning",
        help="Size of the largest step of the fine-tuning.",
        min=1e-6,
        max=1.0,
        advanced=True,
    )


@dataclass(frozen=True)
class TransportSettings(FlowMatchingSettings):
    """Settings of flow matching with cells paired by optimal transport."""

    pairing: str = knob(
        "auto",
        label="Pairing of cells",
        help="How cells of neighbouring times are matched: exactly, or nearly so where there are many cells.",
        choices={
            "auto": "automatic",
            "exact": "exact (slow above 2,000 cells a time)",
            "bisection": "near-exact, fast",
            "quick": "roughly, fastest",
        },
        advanced=True,
    )


class FlowMatching(Objective):
    """Regress the velocity of straight paths between independently drawn cells (I-CFM).

    The network learns u / (Δ c(t)): the path's velocity over the length Δ of the interval, in units of the
    typical speed c(t) (`Clock`). Every interval gets the same number of draws, so a short one counts as much
    as a long one, and errors count relative to the speed of the interval. Positions along the paths are
    stratified.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023; Tong et al., TMLR 2024 (I-CFM, OT-CFM).
    """

    stackable: ClassVar[bool] = True
    margin: ClassVar[float] = 0.0
    """Share of each interval, at either end, in which nothing is drawn."""

    def __init__(
        self, problem: Problem, settings: FlowMatchingSettings, *, progress: Progress = no_progress
    ) -> None:
        self.problem, self.settings = problem, settings
        self.path = self.path_for(settings)
        self.couplings = tuple(self._couplings(settings, progress))
        moved = np.sqrt([coupling.cost / problem.dim for coupling in self.couplings])
        self.clock = Clock(problem.times, typical_speeds(problem.times, moved))

    @staticmethod
    def pairing(settings: FlowMatchingSettings) -> str:
        """Name of the coupling."""
        return "independent"

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"velocity": dim}

    def path_for(self, settings: FlowMatchingSettings) -> Path:
        """How paired cells are joined."""
        return Straight(settings.noise)

    def _couplings(self, settings: FlowMatchingSettings, progress: Progress) -> Iterator[Coupling]:
        n = self.problem.n_intervals
        for k, (x0, x1) in enumerate(zip(self.problem.states[:-1], self.problem.states[1:], strict=True)):
            if not progress(k / n, f"Pairing cells of time {k + 1} of {n + 1} with those of time {k + 2}"):
                raise Stopped
            yield self.paired(x0, x1, settings)

    def paired(self, x0: np.ndarray, x1: np.ndarray, settings: FlowMatchingSettings) -> Coupling:
        """Pair the cells of one interval, given by their scaled states."""
        return self.coupled(x0, x1, self.pairing(settings))

    def coupled(self, x0: np.ndarray, x1: np.ndarray, name: str) -> Coupling:
        """Pair cells by a coupling; of a further member quickly, where they are to move least."""
        if self.problem.halved and name in LEAST_MOVEMENT:
            return halves.paired(x0, x1, seed=self.problem.seed)
        return couple(x0, x1, name=name, seed=self.problem.seed)

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample paths for `steps` steps: states, time features and velocities to learn."""
        share = max(batch // self.problem.n_intervals, 1)
        drawn = [self._draw_interval(k, rng, (steps, share)) for k in range(self.problem.n_intervals)]
        return {name: torch.cat([one[name] for one in drawn], dim=1) for name in drawn[0]}

    def _draw_interval(
        self, k: int, rng: np.random.Generator, shape: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        start, gap = self.problem.times[k], self.problem.times[k + 1] - self.problem.times[k]
        pairs = self.couplings[k].sample(shape[0] * shape[1], rng)
        s = torch.from_numpy((np.arange(shape[1]) + rng.random(shape)) / shape[1])
        s = self.margin + (1 - 2 * self.margin) * s
        point = self.points(k, pairs, s.reshape(-1, 1).float(), rng)
        t = start + gap * s
        rate = (1 / (gap * self.clock.speed(t))).float()
        velocity = rate[..., None] * point.us.reshape(*shape, -1)
        extra = {name: value.reshape(*shape, -1) for name, value in point.extra.items()}
        z = point.xs.reshape(*shape, -1)
        return {"z": z, "time": self.clock.features(t), "velocity": velocity, **extra}

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample a point on the path of each pair of interval `k`.

        Parameters
        ----------
        pairs : (n,), (n,)
            Rows of the cells at the two ends.
        s : (n, 1)
            Position along each path.
        """
        x0 = torch.from_numpy(self.problem.states[k][pairs[0]])
        x1 = torch.from_numpy(self.problem.states[k + 1][pairs[1]])
        eps = torch.from_numpy(rng.standard_normal(x0.shape, np.float32)) if self.path.sigma else None
        return self.path(x0, x1, s, eps)

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Mean squared error of the velocity, in units of the squared typical speed."""
        return functional.mse_loss(net(batch["time"], batch["z"])["velocity"], batch["velocity"])

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean velocity everywhere."""
        velocity = batches["velocity"].double()
        return float((velocity - velocity.mean(dim=(0, 1))).square().mean())

    def spoiled(self) -> str:
        """What simulating all cells onto all cells would spoil, as a half-sentence; empty if nothing."""
        others = set(self.heads(self.problem.dim, self.settings)) - {"velocity", "potential"}
        return f"this method also learns {', '.join(sorted(others))}" if others else ""

    def refinements(self) -> tuple[tuple[Objective, int, float], ...]:
        """Simulate from the first time over all others, where asked for.

        Raises
        ------
        SettingsError
            Something else that the method learns would no longer belong to the velocity.
        """
        settings = self.settings
        if not settings.fine_tune:
            return ()
        if spoiled := self.spoiled():
            raise SettingsError(
                f"fine_tune = {settings.fine_tune}: {spoiled}, which fine-tuning of the velocity would "
                "spoil. Set fine_tune to 0, or choose ot-cfm."
            )
        simulated = RollOutSettings(learning_rate=settings.fine_tune_rate)
        rolled = RollOut(self.problem, simulated, clock=self.clock, from_start=True)
        return ((rolled, settings.fine_tune, settings.fine_tune_rate),)


class TransportFlowMatching(FlowMatching):
    """Regress the velocity of straight paths between cells paired by optimal transport (OT-CFM)."""

    @staticmethod
    def pairing(settings: TransportSettings) -> str:
        return settings.pairing


METHODS = (
    Method(
        name="ot-cfm",
        title="Flow matching with optimal transport",
        purpose="where",
        summary="Cells of neighbouring times are paired so that the total movement is least; a network "
        "then learns the velocity that carries each cell along its straight path.",
        reference="Tong et al., Improving and generalizing flow-based generative models with minibatch "
        "optimal transport, TMLR 2024; Lipman et al., ICLR 2023.",
        use_when="You want the plain standard method: straight paths between paired cells.",
        cannot="It gives one path per cell, without chance; growth and death of cells count as movement.",
        settings=TransportSettings,
        objective=TransportFlowMatching,
    ),
    Method(
        name="i-cfm",
        title="Flow matching with random pairs",
        purpose="where",
        summary="Cells are paired at random; the network learns the average velocity over all pairs.",
        reference="Tong et al., TMLR 2024; Liu et al., Rectified flow, ICLR 2023.",
        use_when="You want a baseline that assumes nothing about which cell becomes which.",
        cannot="Paths bend towards the mean of all cells; one cell's path means less than with ot-cfm.",
        settings=FlowMatchingSettings,
        objective=FlowMatching,
    ),
)
