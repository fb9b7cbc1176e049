"""Metrics that are cheap near the data, and curves between cells that are short in them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.optimize import nnls
from scipy.spatial import cKDTree
from torch import nn

from dynamics.coupling import Coupling
from dynamics.field import Progress, no_progress
from models.loop import Phase, start, train
from models.networks import perceptron
from models.objectives.base import Batches, Objective, Problem, TrainingSettings

LANDMARKS = 500
LOW_DIM = 10
"""Up to so many dimensions the metric is LAND, above it is RBF."""
NEIGHBOURS = 10
CENTRES, CELLS_PER_CENTRE, KAPPA = 150, 10, 1.5
FLOOR = 1e-2
"""Density, relative to that at the cells, below which being even further off costs no more."""
STEPS, BATCH, RATE, WIDTH = 300, 256, 2e-3, 64
STEP = 1e-2
"""Step in `s` by which the velocity of a curve is computed."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A diagonal metric on scaled states: G_d(x) = 1 / (h_d(x) + 0.01), with h about 1 at the cells."""

    name: str
    points: torch.Tensor
    """Landmark cells (LAND) or centres (RBF), (m, dim)."""
    rate: torch.Tensor
    """½ / width², (m,)."""
    weight: torch.Tensor
    """(m,)"""
    level: torch.Tensor
    """h of a typical cell in each dimension, (dim,), by which h is divided."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the diagonal of the metric at states, (n, dim)."""
        return 1 / (self.density(x) + FLOOR)

    def density(self, x: torch.Tensor) -> torch.Tensor:
        """Return h, (n, dim): about 1 among cells, 0 far from them."""
        square = x.square().sum(dim=1, keepdim=True) + self.points.square().sum(dim=1) - 2 * x @ self.points.T
        kernel = torch.exp(-self.rate * square.clamp(min=0)) * self.weight
        total = kernel.sum(dim=1, keepdim=True)
        if self.name == "rbf":
            return total / self.level
        spread = kernel @ self.points.square() - 2 * x * (kernel @ self.points) + x.square() * total
        return spread.clamp(min=0) / self.level


def suited_metric(states: np.ndarray, *, seed: int, name: str = "auto") -> Metric:
    """Build a metric from all training cells, (n, dim); its widths follow from their distances.

    LAND: h_d(x) = Σ_i exp(−|x − x_i|² / 2γ²) (x_i − x)_d², with γ the median distance of a landmark cell to
    its tenth nearest. RBF: h(x) = Σ_c ω_c exp(−λ_c |x − c|²) over k-means centres, λ_c = ½ (κ σ_c)⁻² with σ_c
    the mean distance in the cluster and κ = 1.5; ω ≥ 0 makes h as close to 1 at the cells as can be.

    References
    ----------
    Arvanitidis et al., A locally adaptive normal distribution, NeurIPS 2016 (LAND); Kapuśniak et al., Metric
    flow matching for smooth interpolations on the data manifold, NeurIPS 2024, section 4.
    """
    rng = np.random.default_rng([seed, states.shape[1]])
    some = states[np.sort(rng.permutation(len(states))[:LANDMARKS])].astype(np.float64)
    if name == "auto":
        name = "land" if states.shape[1] <= LOW_DIM else "rbf"
    points, rate, weight = (_land if name == "land" else _rbf)(some, rng)
    plain = Metric(name, *(torch.from_numpy(part).float() for part in (points, rate, weight)), torch.ones(()))
    level = plain.density(torch.from_numpy(some).float()).median(dim=0).values
    return replace(plain, level=level.clamp(min=torch.finfo().tiny))


def _land(some: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ranks = min(NEIGHBOURS, len(some) - 1)
    width = np.median(cKDTree(some).query(some, k=ranks + 1)[0][:, -1])
    rate = np.full(len(some), 0.5 / max(width, 1e-3) ** 2)
    return some, rate, np.ones(len(some))


def _rbf(some: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = int(np.clip(len(some) // CELLS_PER_CENTRE, 1, CENTRES))
    first = some[rng.permutation(len(some))[:n]]
    centres, label = kmeans2(some, first, minit="matrix", missing="warn", iter=20)
    sizes = np.bincount(label, minlength=n)
    centres, sizes = centres[sizes > 0], sizes[sizes > 0]
    apart = np.sqrt(np.square(some[:, None] - centres).sum(axis=2))
    label = apart.argmin(axis=1)
    within = np.array(
        [apart[label == c, c].mean() if (label == c).any() else 0.0 for c in range(len(centres))]
    )
    usual = np.median(within[within > 0]) if (within > 0).any() else 1e-3
    rate = 0.5 / (KAPPA * np.where(within > 0, within, usual)) ** 2
    weight, _ = nnls(np.exp(-rate * np.square(apart)), np.ones(len(some)))
    return centres, rate, weight


class Bend(nn.Module):
    """How far a curve leaves the straight line between two cells, by position: a small network."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.trunk = perceptron([2 * dim + 3, WIDTH, WIDTH])
        self.out = nn.Linear(WIDTH, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Point on the curve, (n, dim), at `s`, (n, 1), for the interval at share `t`, (n, 1), of all."""
        wave = torch.sin(torch.pi * s)
        bend = self.out(self.trunk(torch.cat([x0, x1, s, wave, t], dim=-1)))
        return torch.lerp(x0, x1, s) + 2 * s * (1 - s) * bend

    def curve(
        self, x0: torch.Tensor, x1: torch.Tensor, s: torch.Tensor, t: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Point and velocity per unit of `s`."""
        before, after = (s - STEP).clamp(min=0), (s + STEP).clamp(max=1)
        velocity = (self(x0, x1, after, t) - self(x0, x1, before, t)) / (after - before)
        return self(x0, x1, s, t), velocity


class Geodesics:
    """What the bends learn: curves of least energy E[ẋᵀ G(x) ẋ] between paired cells."""

    at_once = Objective.at_once

    def __init__(self, problem: Problem, couplings: tuple[Coupling, ...], metric: Metric) -> None:
        self.problem, self.couplings, self.metric = problem, couplings, metric

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample pairs and positions of every interval."""
        n = max(batch // self.problem.n_intervals, 1)
        drawn = [self._interval(k, rng, (steps, n)) for k in range(self.problem.n_intervals)]
        return {name: torch.cat([one[name] for one in drawn], dim=1) for name in drawn[0]}

    def _interval(self, k: int, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, torch.Tensor]:
        i, j = (rows.reshape(shape) for rows in self.couplings[k].sample(shape[0] * shape[1], rng))
        s = torch.from_numpy((np.arange(shape[1]) + rng.random(shape)) / shape[1]).float()[..., None]
        x0, x1 = self.problem.states[k][i], self.problem.states[k + 1][j]
        share = torch.full_like(s, k / max(self.problem.n_intervals - 1, 1))
        return {"x0": torch.from_numpy(x0), "x1": torch.from_numpy(x1), "s": s, "t": share}

    def loss(self, net: Bend, batch: Batches) -> torch.Tensor:
        """Mean energy of the curves, relative to that of the straight lines in the plain metric."""
        x, u = net.curve(batch["x0"], batch["x1"], batch["s"], batch["t"])
        scale = (batch["x1"] - batch["x0"]).square().mean().clamp(min=1e-12)
        return (self.metric(x) * u.square()).mean() / scale


def geodesics(
    problem: Problem, couplings: tuple[Coupling, ...], metric: Metric, *, progress: Progress = no_progress
) -> Bend:
    """Learn the curves between paired cells that are shortest in the metric.

    References
    ----------
    Kapuśniak et al., NeurIPS 2024, eq. 6 (curves) and algorithm 1, first stage.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(problem.seed)
        bend = Bend(problem.dim)
    settings = TrainingSettings(batch=BATCH)
    phases = (Phase(Geodesics(problem, couplings, metric), STEPS, RATE),)
    state = start(bend, settings, phases=phases)
    train(phases, state, settings, seed=problem.seed, progress=progress)
    return bend.requires_grad_(False)
