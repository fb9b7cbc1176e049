"""Continuous normalising flow: make the measured cells likely at every time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.field import Progress, no_progress
from models.config import knob
from models.density import BASE, base_features, normal_log_density
from models.networks import FieldNet
from models.objectives.base import Batches, Method, Objective, Problem, TrainingSettings
from models.objectives.rollout import (
    check_finite,
    energy_knob,
    mean_velocity,
    measured_clock,
    sample_cells,
    solver_steps_knob,
)
from models.objectives.unbalanced import (
    GrowthFlowMatching,
    GrowthSettings,
    ScaledField,
    numbers_knob,
    population,
)

FEWEST_CELLS = 16
UNDONE = 4
"""Rounds in which a step backward is undone."""
DRAWN = 128
"""Cells that are drawn from the model in each step to find how its population has grown."""
MAX_DIM = 100


@dataclass(frozen=True)
class LikelihoodSettings(TrainingSettings):
    """Settings of continuous normalising flows."""

    batch: int = knob(
        96,
        label="Cells per step",
        help="Cells whose likelihood is computed in one step, shared equally by the times.",
        min=16,
        max=4096,
        advanced=True,
    )
    depth: int | None = knob(
        2,
        label="Network depth",
        help="Hidden layers; each adds to the time of a step.",
        min=1,
        max=8,
        advanced=True,
    )
    energy: float = energy_knob(0.05, unit="nats per squared spread")
    smoothness: float = knob(
        0.03,
        label="Weight of smoothness",
        help="How much neighbouring cells are held to move alike.",
        min=0.0,
        max=10.0,
        unit="nats",
    )
    solver_steps: int = solver_steps_knob(2)
    growth: bool = knob(
        False,
        label="Population grows or dies",
        help="Cells may multiply and die, so that groups can gain or lose share without moving. How fast "
        "is read from the pairing of cells, as in growth-cfm.",
        advanced=True,
    )
    numbers: str = numbers_knob(advanced=True)


class Likelihood(Objective):
    """Maximise the likelihood of all cells under a flow that begins in N(0, I) before the first time.

    A cell of time k is followed back through all earlier times to the first, by dz/dt = c(t) net(t, z), and
    from there through one more interval, by the head "base" (scaled states per interval), to N(0, I):

        log p(z) = log N(z_base; 0, I) − ∫ tr ∂f/∂z ds,

    where the integral is taken as the exact log-determinant of the solver's steps: with a sum over the traces
    at these steps, training would make the flow stiff and gain likelihood that is not there. The loss, per
    dimension, is the mean of

        −log p + λ_e ∫ |f|² ds + λ_J ∫ ‖∂f/∂z‖²_F ds,

    where s counts intervals and the integrals are means over the intervals, so that no term depends on the
    unit of time.

    With `growth` the population ρ, which is 1 at the first time, obeys ∂ρ/∂s + ∇·(ρf) = gρ, so that

        log ρ(z) = log N(z_base; 0, I) − ∫ tr ∂f/∂z ds + ∫ g ds,

    and the likelihood is that of the cells' shares ρ/M, where M is the mean of exp ∫ g ds over cells drawn
    from the model at the first time and simulated forward. Likelihood alone cannot tell growth from movement,
    so the growth g is not learned from it: the head "growth" (unit and table as in growth-cfm) is regressed
    on the numbers of descendants in a semi-relaxed plan, and enters the likelihood as given.

    References
    ----------
    Chen et al., Neural ODE, NeurIPS 2018; Grathwohl et al., FFJORD, ICLR 2019; Tong et al., TrajectoryNet,
    ICML 2020, eq. 5–7, and its growth, likewise from unbalanced transport and then held; Finlay et al., How
    to train your neural ODE, ICML 2020, eq. 11, for the two weights.
    """

    evaluations = 30.0

    def __init__(
        self, problem: Problem, settings: LikelihoodSettings, *, progress: Progress = no_progress
    ) -> None:
        self.problem, self.settings, self.couplings = problem, settings, ()
        self.clock = measured_clock(problem, progress)
        self.share = max(settings.batch // len(problem.times), FEWEST_CELLS)
        self._seen: dict[tuple[int, float], tuple[torch.Tensor, float, float]] = {}
        self.grown: GrowthFlowMatching | None = None
        if settings.growth:
            paths = GrowthSettings(numbers=settings.numbers)
            self.grown = GrowthFlowMatching(problem, paths, progress=progress)
            self.couplings = self.grown.couplings

    def rebuilt(self, problem: Problem) -> "Likelihood":
        """Make the objective anew on other cells, whose growth is measured alike."""
        other = Likelihood(problem, replace(self.settings, growth=False))
        other.settings = self.settings
        if self.grown:
            other.grown = self.grown.again(problem)
            other.couplings = other.grown.couplings
        return other

    @staticmethod
    def heads(dim: int, settings: LikelihoodSettings) -> dict[str, int]:
        return {"velocity": dim, BASE: dim} | ({"growth": 1} if settings.growth else {})

    def tables(self) -> dict[str, np.ndarray]:
        return self.grown.tables() if self.grown else {}

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        return dict(shapes) in ({}, {"growth_unit": (n_times - 1,)})

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample cells of all times, (steps, n_times, share, dim), and points of paths that grow."""
        drawn = [
            [sample_cells(states, self.share, rng) for states in self.problem.states] for _ in range(steps)
        ]
        found = {"cells": torch.from_numpy(np.array(drawn))}
        if self.grown:
            found |= self.grown.draw(rng, steps=steps, batch=len(self.problem.times) * self.share)
            found["drawn"] = torch.from_numpy(
                rng.standard_normal((steps, DRAWN, self.problem.dim), np.float32)
            )
        return found

    def loss(self, net: FieldNet, batch: Batches) -> torch.Tensor:
        """Mean over all cells of −log p, and of what the path costs, per dimension."""
        y = functional.pad(batch["cells"], (0, 2))
        cost, going = 0.0, y[-1]
        for k in range(self.problem.n_intervals - 1, -1, -1):
            going = self._back(net, going, k)
            cost = cost + going[:, -1].mean()
            going = torch.cat([functional.pad(going[:, :-1], (0, 1)), y[k]])
        end = self._back(net, going, -1)
        cost = (cost + end[:, -1].mean()) / len(self.problem.times)
        dim = self.problem.dim
        if self.grown:
            out = net(batch["time"], batch["z"])
            cost = cost + self._size(net, batch["drawn"]) / dim + self.grown.growth_loss(out, batch)
        return (end[:, dim] - normal_log_density(end[:, :dim])).mean() / dim + cost

    def _back(self, net: FieldNet, y: torch.Tensor, k: int) -> torch.Tensor:
        """Go back through interval `k`, or through the base where it is −1, by the midpoint rule.

        The columns of `y` are the state, the logarithm of the growth of a volume from here to the measured
        time less that of the cells in it, and the cost.
        """
        dim, h = self.problem.dim, 1 / self.settings.solver_steps
        z, (grown, cost), one = y[:, :dim], y[:, dim:].unbind(dim=1), torch.eye(self.problem.dim)
        for step in range(self.settings.solver_steps):
            s = 1 - step * h
            v, slope = self._velocity(net, z, k, s)
            middle = z - h / 2 * v
            v, half = self._velocity(net, middle, k, s - h / 2)
            z, change = z - h * v, one - h * half @ (one - h / 2 * slope)
            grown = grown - torch.linalg.slogdet(change).logabsdet
            if self.grown and k >= 0:
                grown = grown - h * self._growth(net, middle, k, s - h / 2)
            cost = cost + h * self._cost(v, half)
        after = torch.cat([z, torch.stack([grown, cost], dim=1)], dim=1)
        check_finite(after, self.settings)
        return after

    def _size(self, net: FieldNet, z: torch.Tensor) -> torch.Tensor:
        """Simulate cells from N(0, I), (n, dim), over all times: mean over these of log M."""
        h, log_weight, sizes = 1 / self.settings.solver_steps, torch.zeros(len(z)), []
        for k in range(-1, self.problem.n_intervals):
            for step in range(self.settings.solver_steps):
                z, middle = self._forth(net, z, k, step * h)
                if k >= 0:
                    log_weight = log_weight + h * self._growth(net, middle, k, (step + 0.5) * h)
            sizes.append(log_weight.logsumexp(dim=0) - np.log(len(z)))
        return torch.stack(sizes).mean()

    def _forth(self, net: FieldNet, z: torch.Tensor, k: int, s: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Undo the step of `_back` that ends at `s`: the states from which it started, and those half-way.

        Undone roughly only, training would bring cells that are drawn to other places than measured ones.
        """
        h = 1 / self.settings.solver_steps
        after, middle = z, z
        for left in range(UNDONE, -1, -1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not left):
                middle = after - h / 2 * self._speed(net, after, k, s + h)
                after = z + h * self._speed(net, middle, k, s + h / 2)
        return after, middle

    def _growth(self, net: FieldNet, z: torch.Tensor, k: int, s: float) -> torch.Tensor:
        """Growth per interval, (n,), with the network held: it depends on where the cells are only."""
        features, _, unit = self._clocked(k, s)
        hidden = torch.cat([z, features.expand(len(z), -1)], dim=-1)
        for layer in net.trunk[::2]:
            hidden = functional.silu(functional.linear(hidden, layer.weight.detach(), layer.bias.detach()))
        head = net.heads["growth"]
        return unit * functional.linear(hidden, head.weight.detach(), head.bias.detach()).squeeze(-1)

    def _speed(self, net: FieldNet, z: torch.Tensor, k: int, s: float) -> torch.Tensor:
        features, reach, _ = self._clocked(k, s)
        return reach * net(features.expand(len(z), -1), z)["velocity" if k >= 0 else BASE]

    def _velocity(
        self, net: FieldNet, z: torch.Tensor, k: int, s: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        features, reach, _ = self._clocked(k, s)
        v, slope = value_and_jacobian(net, net.heads["velocity" if k >= 0 else BASE], features, z)
        return reach * v, reach * slope

    def _cost(self, v: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Energy and roughness of the flow at each cell, weighted, per dimension."""
        rough = slope.square().sum(dim=(-2, -1))
        weighted = self.settings.energy * v.square().sum(dim=-1) + self.settings.smoothness * rough
        return weighted / self.problem.dim

    def _clocked(self, k: int, s: float) -> tuple[torch.Tensor, float, float]:
        """Time features, and the factors of velocity and growth, at `s` in interval `k`."""
        if (k, s) not in self._seen:
            self._seen[k, s] = self._at(k, s)
        return self._seen[k, s]

    def _at(self, k: int, s: float) -> tuple[torch.Tensor, float, float]:
        if k < 0:
            return base_features(self.clock, s), 1.0, 0.0
        gap = float(self.problem.times[k + 1] - self.problem.times[k])
        t = torch.tensor(float(self.problem.times[k]) + gap * s, dtype=torch.float64)
        unit = gap * float(self.grown.growth_clock.speed(t)) if self.grown else 0.0
        return self.clock.features(t), gap * float(self.clock.speed(t)), unit

    def reference(self, batches: Batches) -> float:
        """Loss of one mean velocity, relative to the typical speed, and a base that is moved only."""
        velocity, reach = mean_velocity(self.problem, self.clock)
        moved = np.concatenate([[0.0], np.cumsum(reach)])[:, None] * velocity
        z = batches["cells"].double() - torch.from_numpy(moved)[:, None]
        dim = self.problem.dim
        told = float(-normal_log_density(z - z.mean(dim=(0, 1, 2))).mean())
        return told / dim + (self.grown.growth_reference(batches) if self.grown else 0.0)

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """How growth was found, where it was, and the total mass at each time."""
        if not self.grown:
            return {}
        field = ScaledField(net, (self.clock, self.grown.growth_clock), dim=self.problem.dim)
        return self.grown.chosen() | population(field, self.problem, counted=self.grown.counted)


def value_and_jacobian(
    net: FieldNet, head: nn.Linear, features: torch.Tensor, z: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate one head and its derivative by the states, in closed form, going through the layers once.

    Parameters
    ----------
    features : (N_FEATURES,)
    z : (n, dim)

    Returns
    -------
    (n, width), (n, width, dim)
    """
    hidden, slope = torch.cat([z, features.expand(len(z), -1)], dim=-1), None
    for layer in net.trunk[::2]:
        before = layer(hidden)
        gate = torch.sigmoid(before)
        hidden = before * gate
        after = layer.weight.T[: z.shape[1]] if slope is None else slope @ layer.weight.T
        slope = after * torch.lerp(gate, torch.ones(()), hidden)[:, None]
    return head(hidden), (slope @ head.weight.T).mT


METHODS = (
    Method(
        name="cnf",
        title="Continuous normalising flow",
        purpose="classic",
        summary="Cells are followed back from each time through all earlier ones to a simple cloud; the "
        "network is changed until the measured cells are as likely as possible.",
        reference="Tong et al., TrajectoryNet, ICML 2020; Grathwohl et al., FFJORD, ICLR 2019; Finlay et "
        "al., How to train your neural ODE, ICML 2020.",
        use_when="You need the density of cells at any time and state, or want to compare with a classic.",
        cannot=f"Slow, above all with many times or dimensions (at most {MAX_DIM}); cells on a thin sheet "
        "have no finite likelihood; growth and death of cells count as movement unless allowed for.",
        settings=LikelihoodSettings,
        objective=Likelihood,
        max_dim=MAX_DIM,
    ),
)
