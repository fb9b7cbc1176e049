"""Learning by simulation: push cells from time to time and compare them with those measured there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn
from torch.nn import functional

from dynamics.coupling import couple
from dynamics.errors import Stopped, TrainingError
from dynamics.field import Progress, no_progress
from dynamics.roll_out import roll_out
from models.clock import Clock, typical_speeds
from models.config import knob
from models.objectives.base import Batches, Method, Objective, Problem, TrainingSettings

CLOCK_CELLS = 1_000
"""Cells of each time that are paired to find how fast cells typically move."""
FEWEST_CELLS = 48
"""Cells of a time in one step, at least; where there are many intervals, a step looks at some of them."""
MOST_CELLS = 128
DENSITY_CELLS, NEIGHBOURS = 4_000, 5


def energy_knob(default: float, *, unit: str | None = None) -> Any:
    """Declare the weight of the energy of paths."""
    return knob(
        default,
        label="Weight of the energy",
        help="How much short and straight paths are preferred. 0 leaves the paths between the times open.",
        min=0.0,
        max=10.0,
        unit=unit,
    )


def solver_steps_knob(default: int) -> Any:
    """Declare how finely intervals are simulated."""
    return knob(
        default,
        label="Solver steps",
        help="Steps of the simulation in each interval. More are slower, and can follow faster changes.",
        min=1,
        max=100,
        unit="per interval",
        advanced=True,
    )


@dataclass(frozen=True)
class RollOutSettings(TrainingSettings):
    """Settings of learning by simulation."""

    batch: int = knob(
        512,
        label="Cells per step",
        help="Cells that are simulated in one step, shared by the intervals between times.",
        min=16,
        max=4096,
        advanced=True,
    )
    learning_rate: float = knob(
        1e-2,
        label="Learning rate",
        help="Size of the largest step; it rises over the first steps and then falls along a cosine to zero.",
        min=1e-6,
        max=1.0,
        advanced=True,
    )
    energy: float = energy_knob(0.01)
    density: float = knob(
        0.0,
        label="Weight of staying near cells",
        help="How much simulated cells are kept from places where no cells were measured.",
        min=0.0,
        max=100.0,
    )
    horizon: int = knob(
        1,
        label="Intervals simulated in one go",
        help="Cells are pushed over this many intervals, and compared at the end of each.",
        min=1,
        max=50,
        advanced=True,
    )
    solver_steps: int = solver_steps_knob(3)
    solver: str = knob(
        "midpoint",
        label="Solver",
        help="How a step is made.",
        choices={"midpoint": "midpoint rule (2 evaluations a step)", "rk4": "Runge-Kutta (4 evaluations)"},
        advanced=True,
    )
    gradient: str = knob(
        "steps",
        label="Gradient",
        help="How the simulation is traced back to the network. Both give nearly the same result.",
        choices={"steps": "through the solver's steps", "adjoint": "adjoint equation (less memory)"},
        advanced=True,
    )


class RollOut(Objective):
    """Push cells along dz/dt = c(t) net(t, z) and bring them onto the cells measured at the next times.

    Of some cells of time k, simulated to the next time or, with a `horizon` of h, to the next h times, the
    loss is the mean over these times of

        W²(pushed, measured) + λ_e ∫ |dz/ds|² ds + λ_d mean over the steps of max(0, d − d₀),

    per dimension, in squared scaled units. W² is exact between as many pushed as measured cells, and its plan
    is held while gradients are taken. (The debiased W², less the distances within each cloud, gave worse
    one-step fits at equal time on real and simulated data: its gradients are noisier.) d is the mean distance
    to the 5 nearest measured cells and d₀ its median over the measured cells. s runs from 0 to 1 in each
    interval, so that no term depends on the unit of time.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018; Huguet et al., Manifold interpolating
    optimal-transport flows (MIOFlow), NeurIPS 2022; Tong et al., TrajectoryNet, ICML 2020, for the
    density.
    """

    evaluations = 12.0

    def __init__(
        self,
        problem: Problem,
        settings: RollOutSettings,
        *,
        progress: Progress = no_progress,
        clock: Clock | None = None,
        from_start: bool = False,
    ) -> None:
        self.problem, self.settings, self.couplings = problem, settings, ()
        self.clock = clock or measured_clock(problem, progress)
        self.firsts = 1 if from_start else problem.n_intervals
        self.horizon = problem.n_intervals if from_start else min(settings.horizon, problem.n_intervals)
        self.groups = max(1, min(self.firsts, settings.batch // FEWEST_CELLS))
        self.share = int(np.clip(settings.batch // self.groups, 2, MOST_CELLS)) // 2 * 2
        self.crowd = _Crowd(problem) if settings.density else None
        self._seen: dict[float, tuple[torch.Tensor, torch.Tensor]] = {}

    def rebuilt(self, problem: Problem) -> "RollOut":
        """Make the objective anew on other cells; how fast cells typically move is known."""
        return RollOut(problem, self.settings, clock=self.clock)

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"velocity": dim}

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample the cells of each step.

        "first" : (steps, groups) the time from which a group of cells is pushed; "cells" : (steps, groups,
        horizon + 1, share, dim) cells of that time and of those that follow it (the last repeated).
        """
        first = np.argsort(rng.random((steps, self.firsts)), axis=1)[:, : self.groups]
        cells = np.empty((steps, self.groups, self.horizon + 1, self.share, self.problem.dim), np.float32)
        last = self.problem.n_intervals
        for (step, group), k in np.ndenumerate(first):
            for h in range(min(self.horizon, last - k) + 1):
                cells[step, group, h] = sample_cells(self.problem.states[k + h], self.share, rng)
        return {"first": torch.from_numpy(first), "cells": torch.from_numpy(cells)}

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        first, cells = batch["first"], batch["cells"]
        state, total, count = cells[:, 0], 0.0, 0
        for h in range(self.horizon):
            going = first + h < self.problem.n_intervals
            if not going.all():
                state, first, cells = state[going], first[going], cells[going]
            passed, energy = self._pushed(net, state, first + h)
            state = passed[-1]
            far = self.settings.energy * energy
            if self.crowd is not None:
                far = far + self.settings.density * self.crowd.away(passed[1:])
            total = total + sum(transported(x, y) for x, y in zip(state, cells[:, h + 1], strict=True))
            total, count = total + len(state) * far, count + len(state)
        return total / count

    def _pushed(
        self, net: nn.Module, state: torch.Tensor, interval: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Move groups of cells, (groups, n, dim), over their intervals.

        Returns the states after each step, (steps + 1, groups, n, dim), and the mean energy per dimension.
        """
        dim = self.problem.dim

        def velocity(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            features, reach = (table[interval, None] for table in self._clocked(float(s)))
            v = reach * net(features.expand(-1, y.shape[1], -1), y[..., :dim])["velocity"]
            return torch.cat([v, v.square().mean(dim=-1, keepdim=True)], dim=-1)

        passed = roll_out(
            velocity,
            functional.pad(state, (0, 1)),
            steps=self.settings.solver_steps,
            scheme=self.settings.solver,
            adjoint=net.parameters() if self.settings.gradient == "adjoint" else None,
        )
        check_finite(passed, self.settings)
        return passed[..., :dim], passed[-1, ..., dim].mean()

    def reference(self, batches: Batches) -> float:
        """Loss of one mean velocity, relative to the typical speed, for all cells and times."""
        net = _Constant(torch.from_numpy(mean_velocity(self.problem, self.clock)[0]).float())
        n = len(batches["first"])
        with torch.no_grad():
            drawn = ({name: value[k] for name, value in batches.items()} for k in range(n))
            return float(np.mean([float(self.loss(net, batch)) for batch in drawn]))

    def _clocked(self, s: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Time features, (n_intervals, N_FEATURES), and reach Δ c, (n_intervals, 1), at `s` in each."""
        if s not in self._seen:
            gaps = np.diff(self.problem.times)
            t = torch.from_numpy(self.problem.times[:-1] + gaps * s)
            reach = torch.from_numpy(gaps) * self.clock.speed(t)
            self._seen[s] = self.clock.features(t), reach.float()[:, None]
        return self._seen[s]


def check_finite(passed: torch.Tensor, settings: TrainingSettings) -> None:
    """Stop where a simulation blew up.

    Raises
    ------
    TrainingError
        A state is not finite; the message says what to change.
    """
    if not torch.isfinite(passed).all():
        raise TrainingError(
            "The simulated cells ran away: their states are no longer finite numbers. Train again with a "
            f"smaller learning rate than {settings.learning_rate:g}, or with more solver steps than "
            f"{settings.solver_steps}."
        )


def mean_velocity(problem: Problem, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """Return the one velocity, (dim,), relative to the typical speed, that fits the means of all times best.

    And the reach ∫ c dt of each interval, (n_intervals,), by which it moves them.
    """
    means = np.stack([states.mean(axis=0, dtype=np.float64) for states in problem.states])
    nodes, weights = np.polynomial.legendre.leggauss(16)
    start, gap = problem.times[:-1, None], np.diff(problem.times)[:, None]
    speeds = clock.speed(torch.from_numpy(start + gap * (1 + nodes) / 2)).numpy()
    reach = (gap * speeds * weights / 2).sum(axis=1)
    return reach @ np.diff(means, axis=0) / np.square(reach).sum(), reach


class _Constant(nn.Module):
    """One velocity everywhere."""

    def __init__(self, velocity: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("velocity", velocity)

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"velocity": self.velocity.expand_as(z)}


def transported(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Least mean squared distance per dimension of equally many cells; its plan is held for gradients."""
    cost = cdist(x.detach().numpy(), y.detach().numpy(), "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)
    return (x[rows] - y[columns]).square().mean()


class _Crowd:
    """Where cells were measured."""

    def __init__(self, problem: Problem) -> None:
        states = np.concatenate(problem.states)
        rows = np.random.default_rng(problem.seed).permutation(len(states))[:DENSITY_CELLS]
        self.states = torch.from_numpy(states[rows])
        self.free = float(self._distances(self.states[:1000], 1).median())

    def _distances(self, z: torch.Tensor, skip: int = 0) -> torch.Tensor:
        """Mean distance to the nearest cells, (n,)."""
        count = min(NEIGHBOURS + skip, len(self.states))
        with torch.no_grad():
            near = torch.cdist(z, self.states).topk(count, largest=False).indices[:, skip:]
        return (z[:, None] - self.states[near]).square().sum(dim=-1).add(1e-12).sqrt().mean(dim=1)

    def away(self, passed: torch.Tensor) -> torch.Tensor:
        return (self._distances(passed.reshape(-1, passed.shape[-1])) - self.free).clamp(min=0).mean()


def sample_cells(states: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` cells, each at most once more often than any other."""
    rows = np.concatenate(
        [
            *[np.arange(len(states))] * (n // len(states)),
            rng.choice(len(states), n % len(states), replace=False),
        ]
    )
    return states[rng.permutation(rows)]


def measured_clock(problem: Problem, progress: Progress) -> Clock:
    """Typical speeds from pairs of some cells."""
    rng = np.random.default_rng(problem.seed)
    some = [states[rng.permutation(len(states))[:CLOCK_CELLS]] for states in problem.states]
    moved = []
    for k in range(problem.n_intervals):
        if not progress(k / problem.n_intervals, f"Measuring how far cells move after time {k + 1}"):
            raise Stopped
        moved.append(np.sqrt(couple(some[k], some[k + 1], name="exact").cost / problem.dim))
    return Clock(problem.times, typical_speeds(problem.times, np.array(moved)))


METHODS = (
    Method(
        name="neural-ode",
        title="Neural ODE trained by simulation",
        purpose="classic",
        summary="Cells are simulated from each time to the next, and the network is changed until the "
        "simulated cells lie where cells were measured.",
        reference="Chen et al., Neural ordinary differential equations, NeurIPS 2018; Huguet et al., "
        "Manifold interpolating optimal-transport flows (MIOFlow), NeurIPS 2022.",
        use_when="You want to compare with a classic, or the end points of long simulations must fit best.",
        cannot="Slower than flow matching, and many courses between the times fit equally well; growth and "
        "death of cells count as movement.",
        settings=RollOutSettings,
        objective=RollOut,
    ),
)
