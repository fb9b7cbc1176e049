"""Continuous normalising flow: make the measured cells likely at every time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.field import Progress, no_progress
from models.config import knob
from models.density import BASE, base_features, normal_log_density
from models.networks import FieldNet
from models.objectives.base import Batches, Method, Objective, Problem, TrainingSettings
from models.objectives.rollout import check_finite, mean_velocity, measured_clock, sample_cells

FEWEST_CELLS = 16
MAX_DIM = 100


@dataclass(frozen=True)
class LikelihoodSettings(TrainingSettings):
    """Settings of continuous normalising flows."""

    batch: int = knob(
        128,
        label="Cells per step",
        help="Cells whose likelihood is computed in one step, shared equally by the times.",
        min=16,
        max=4096,
        advanced=True,
    )
    energy: float = knob(
        0.05,
        label="Weight of the energy",
        help="How much short and straight paths are preferred. 0 leaves the paths between the times open.",
        min=0.0,
        max=10.0,
        unit="nats per squared spread",
    )
    smoothness: float = knob(
        0.03,
        label="Weight of smoothness",
        help="How much neighbouring cells are held to move alike.",
        min=0.0,
        max=10.0,
        unit="nats",
    )
    solver_steps: int = knob(
        2,
        label="Solver steps",
        help="Steps of the simulation in each interval. More are slower, and can follow faster changes.",
        min=1,
        max=100,
        unit="per interval",
        advanced=True,
    )


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

    References
    ----------
    Chen et al., Neural ODE, NeurIPS 2018; Grathwohl et al., FFJORD, ICLR 2019; Tong et al., TrajectoryNet,
    ICML 2020, eq. 5–7; Finlay et al., How to train your neural ODE, ICML 2020, eq. 11, for the two weights.
    """

    evaluations = 30.0

    def __init__(
        self, problem: Problem, settings: LikelihoodSettings, *, progress: Progress = no_progress
    ) -> None:
        self.problem, self.settings, self.couplings = problem, settings, ()
        self.clock = measured_clock(problem, progress)
        self.share = max(settings.batch // len(problem.times), FEWEST_CELLS)
        self._seen: dict[tuple[int, float], tuple[torch.Tensor, float]] = {}

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"velocity": dim, BASE: dim}

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample cells of all times, (steps, n_times, share, dim)."""
        drawn = [
            [sample_cells(states, self.share, rng) for states in self.problem.states] for _ in range(steps)
        ]
        return {"cells": torch.from_numpy(np.array(drawn))}

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
        return (end[:, dim] - normal_log_density(end[:, :dim])).mean() / dim + cost

    def _back(self, net: FieldNet, y: torch.Tensor, k: int) -> torch.Tensor:
        """Go back through interval `k`, or through the base where it is −1, by the midpoint rule.

        The columns of `y` are the state, the logarithm of the growth of a volume from here to the measured
        time, and the cost.
        """
        dim, h = self.problem.dim, 1 / self.settings.solver_steps
        z, (grown, cost), one = y[:, :dim], y[:, dim:].unbind(dim=1), torch.eye(self.problem.dim)
        for step in range(self.settings.solver_steps):
            s = 1 - step * h
            v, slope = self._velocity(net, z, k, s)
            v, half = self._velocity(net, z - h / 2 * v, k, s - h / 2)
            z, change = z - h * v, one - h * half @ (one - h / 2 * slope)
            grown = grown - torch.linalg.slogdet(change).logabsdet
            cost = cost + h * self._cost(v, half)
        after = torch.cat([z, torch.stack([grown, cost], dim=1)], dim=1)
        check_finite(after, self.settings)
        return after

    def _velocity(
        self, net: FieldNet, z: torch.Tensor, k: int, s: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        features, reach = self._clocked(k, s)
        v, slope = value_and_jacobian(net, net.heads["velocity" if k >= 0 else BASE], features, z)
        return reach * v, reach * slope

    def _cost(self, v: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Energy and roughness of the flow at each cell, weighted, per dimension."""
        rough = slope.square().sum(dim=(-2, -1))
        weighted = self.settings.energy * v.square().sum(dim=-1) + self.settings.smoothness * rough
        return weighted / self.problem.dim

    def _clocked(self, k: int, s: float) -> tuple[torch.Tensor, float]:
        """Time features, and the factor of the velocity, at `s` in interval `k`."""
        if (k, s) not in self._seen:
            self._seen[k, s] = self._at(k, s)
        return self._seen[k, s]

    def _at(self, k: int, s: float) -> tuple[torch.Tensor, float]:
        if k < 0:
            return base_features(self.clock, s), 1.0
        gap = float(self.problem.times[k + 1] - self.problem.times[k])
        t = torch.tensor(float(self.problem.times[k]) + gap * s, dtype=torch.float64)
        return self.clock.features(t), gap * float(self.clock.speed(t))

    def reference(self, batches: Batches) -> float:
        """Loss of one mean velocity, relative to the typical speed, and a base that is moved only."""
        velocity, reach = mean_velocity(self.problem, self.clock)
        moved = np.concatenate([[0.0], np.cumsum(reach)])[:, None] * velocity
        z = batches["cells"].double() - torch.from_numpy(moved)[:, None]
        return float(-normal_log_density(z - z.mean(dim=(0, 1, 2))).mean()) / self.problem.dim


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
    hidden = torch.cat([z, features.expand(len(z), -1)], dim=-1)
    slope = torch.eye(z.shape[1], hidden.shape[1])
    for layer in net.trunk[::2]:
        before = layer(hidden)
        gate = torch.sigmoid(before)
        hidden = before * gate
        slope = (slope @ layer.weight.T) * (gate * (1 + before - hidden))[..., None, :]
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
        "have no finite likelihood; growth and death of cells count as movement.",
        settings=LikelihoodSettings,
        objective=Likelihood,
        max_dim=MAX_DIM,
    ),
)
