"""A gene network as the model: sparse regulators of every gene, found and trained by flow matching."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from dynamics.field import Progress, no_progress
from dynamics.regulation import Panel, production_scores
from models.clock import Clock
from models.config import knob
from models.objectives.base import Batches, Method, Problem
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings

MOST_GENES = 200
SIZES = (1, 2, 3, 5, 8, 12, 20)
"""Numbers of regulators a gene that are tried."""
NEARLY = 1.01
"""The fewest regulators are taken whose error on held-out pairs is below this multiple of the least."""
PAIRS = 20_000
SMALLEST = 1e-3
"""No gene's spread or rate is taken below this share of the largest."""


@dataclass(frozen=True)
class GrnSettings(TransportSettings):
    """Settings of the gene network."""

    learning_rate: float = knob(
        3e-2,
        label="Learning rate",
        help="Size of the largest step; it rises over the first steps and then falls along a cosine to zero.",
        min=1e-6,
        max=1.0,
        advanced=True,
    )
    regulators: int | None = knob(
        None,
        label="Regulators of a gene",
        help="Genes that may act on each gene, besides itself. Left empty: the fewest with which held-out "
        "pairs of cells are told as well as with more.",
        min=1,
        max=MOST_GENES,
    )
    width: ClassVar[int | None] = 1
    depth: ClassVar[int | None] = 1


class GeneNetwork(TransportFlowMatching):
    """Fit dx/dt = production(x) − decay x to the straight paths between paired cells, with few regulators.

    Regulators are found first: the production of every gene, its velocity and turnover on the paths at half
    time, is regressed on all genes (`dynamics.regulation.production_scores`), and the strongest are kept; how
    many, is told by half of the pairs that the other half did not see. Their effects and the decays are then
    trained by flow matching without a penalty. A penalty of the lasso kind on all genes at once ranks
    regulators worse than this (docs/regulation.md), since it picks one of several correlated genes.
    """

    kind: ClassVar[str] = "hill"
    shared: ClassVar[tuple[str, ...]] = ("clock", "centre", "spread", "rate", "support")

    def __init__(self, problem: Problem, settings: GrnSettings, *, progress: Progress = no_progress) -> None:
        super().__init__(problem, settings, progress=progress)
        speeds, gaps = self.clock.speeds, np.diff(problem.times)
        typical = float(speeds @ gaps / gaps.sum())
        self.clock = Clock(problem.times, np.full(problem.n_intervals, typical))
        level, motion = self._middles(typical)
        self.centre = level.mean(axis=0)
        self.spread = _not_too_small(np.concatenate(problem.states).std(axis=0, dtype=np.float64))
        self.rate = _not_too_small(np.sqrt(np.square(motion).mean(axis=0)))
        self.support = self._supported(level, motion, settings)

    def tables(self) -> Mapping[str, np.ndarray]:
        return {name: getattr(self, name) for name in ("centre", "spread", "rate", "support")}

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        single = dict.fromkeys(("centre", "spread", "rate"), (dim,))
        return dict(shapes) == single | {"support": (dim, dim)}

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Mean squared error of the velocity, every gene in units of its own spread of velocities."""
        wrong = (net(batch["time"], batch["z"])["velocity"] - batch["velocity"]) / self._unit
        return wrong.square().mean()

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean velocity everywhere."""
        velocity = batches["velocity"].double() / self._unit
        return float((velocity - velocity.mean(dim=(0, 1))).square().mean())

    def figures(self, net: nn.Module) -> dict[str, float]:
        """Say how many regulators a gene has on average."""
        return {"regulators_per_gene": float((self.support != 0).sum(axis=1).mean())}

    @property
    def _unit(self) -> torch.Tensor:
        return torch.from_numpy(self.rate.astype(np.float32))

    def _middles(self, speed: float) -> tuple[np.ndarray, np.ndarray]:
        """States half way between paired cells, and their velocity in the network's unit, (n, dim) each.

        Half way, since noise of the two cells then blurs state and velocity independently of each other.
        """
        rng = np.random.default_rng([self.problem.seed, 11])
        level, motion = [], []
        for k, coupling in enumerate(self.couplings):
            i, j = coupling.sample(max(PAIRS // self.problem.n_intervals, 20), rng)
            x0, x1 = (self.problem.states[k + end][rows].astype(np.float64) for end, rows in ((0, i), (1, j)))
            level.append((x0 + x1) / 2)
            motion.append((x1 - x0) / ((self.problem.times[k + 1] - self.problem.times[k]) * speed))
        return np.concatenate(level), np.concatenate(motion)

    def _supported(self, level: np.ndarray, motion: np.ndarray, settings: GrnSettings) -> np.ndarray:
        """Return the strength of the regulators that are kept, (dim, dim), rows are targets."""
        every = np.arange(level.shape[1])
        genes = Panel(tuple(str(k) for k in every), level, every, every)
        strength = np.nan_to_num(production_scores(level, motion, genes)).T
        offered = [n for n in SIZES if n < len(every)] or [max(len(every) - 1, 1)]
        n = settings.regulators or self._enough(level, motion, strength, offered)
        return np.where(_strongest(strength, n), strength, 0.0)

    def _enough(self, level: np.ndarray, motion: np.ndarray, strength: np.ndarray, offered: list[int]) -> int:
        """Return the fewest regulators that tell the pairs that were not fitted about as well as can be."""
        held = np.random.default_rng([self.problem.seed, 12]).random(len(level)) < 0.5
        features = 4 / (1 + np.exp(-(level - self.centre) / self.spread)) - 2
        wrong = [_error(features, motion / self.rate, _strongest(strength, n), held) for n in offered]
        return next(n for n, error in zip(offered, wrong, strict=True) if error <= NEARLY * min(wrong))


def _strongest(strength: np.ndarray, n: int) -> np.ndarray:
    """Tell which are the `n` strongest regulators of each target, (dim, dim) bool, rows are targets."""
    size = np.abs(strength)
    nth = np.sort(size, axis=1)[:, -min(n, size.shape[1])]
    return (size >= nth[:, None]) & (size > 0)


def _error(features: np.ndarray, motion: np.ndarray, support: np.ndarray, held: np.ndarray) -> float:
    """Mean squared error on held-out pairs of velocities told by each gene's regulators and by itself."""
    total = 0.0
    for gene, chosen in enumerate(support):
        some = np.flatnonzero(chosen | (np.arange(len(chosen)) == gene))
        x = np.column_stack([np.ones(len(features)), features[:, some]])
        weight = np.linalg.lstsq(x[~held], motion[~held, gene], rcond=None)[0]
        total += float(np.square(motion[held, gene] - x[held] @ weight).mean())
    return total / len(support)


def _not_too_small(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, max(SMALLEST * float(values.max(initial=0)), 1e-12))


METHODS = (
    Method(
        name="grn-ode",
        title="Gene network (candidate regulators)",
        purpose="genes",
        summary="Every gene is made at a rate that its few regulators set, and decays. The candidates for "
        "regulators are found from pairs of cells of neighbouring times; their effects are then learned.",
        reference="Bellot, Branson and van der Schaar, Neural graphical modelling in continuous-time, ICLR "
        "2022; Huynh-Thu and Geurts, dynGENIE3, Scientific Reports 2018; Tong et al., TMLR 2024.",
        use_when="You have up to 200 genes, take them as states, and want the network itself.",
        cannot="It sees regulators among these genes only, and their effects add up. Time plays no part, so "
        "motion that genes do not tell is missed. All edges are candidates.",
        settings=GrnSettings,
        objective=GeneNetwork,
        max_dim=MOST_GENES,
    ),
)
