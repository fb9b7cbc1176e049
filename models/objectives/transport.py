"""Optimal transport alone: no network, nothing is trained; the pairs are the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.coupling import Coupling
from dynamics.field import Progress, no_progress
from models.clock import Clock
from models.objectives.base import Batches, Method, Problem
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings

MOST_PAIRS = 20_000
"""Pairs of an interval that are kept."""


@dataclass(frozen=True)
class PlanSettings(TransportSettings):
    """Settings of optimal transport alone: nothing that trains a network can be set."""

    noise: ClassVar[float] = 0.1
    """How far beside the paths the field is judged, × the spread of the states."""
    steps: ClassVar[int | None] = 0
    batch: ClassVar[int] = 512
    learning_rate: ClassVar[float] = 1.0
    width: ClassVar[int | None] = 1
    depth: ClassVar[int | None] = 1
    weight_decay: ClassVar[float] = 0.0
    clip: ClassVar[float] = 1.0
    average: ClassVar[float] = 0.0
    fine_tune: ClassVar[int] = 0
    fine_tune_rate: ClassVar[float] = 0.0


class TransportPlans(TransportFlowMatching):
    """Pair the cells of neighbouring times, and keep the pairs in place of a network.

    The typical speed is the same throughout, so that the field can be made from the pairs and the lengths of
    the intervals alone. At most 20,000 pairs an interval are kept, taken evenly over the pairs by weight. The
    field is judged as a trained one would be: by its error on the pairs, a little beside their paths.
    """

    kind: ClassVar[str] = "pairs"
    stackable: ClassVar[bool] = False
    evaluations: ClassVar[float] = 0.0

    def __init__(self, problem: Problem, settings: PlanSettings, *, progress: Progress = no_progress) -> None:
        super().__init__(problem, settings, progress=progress)
        speeds, gaps = self.clock.speeds, np.diff(problem.times)
        typical = float(speeds @ gaps / gaps.sum())
        self.clock = Clock(problem.times, np.full(problem.n_intervals, typical))
        if max(len(one.i) for one in self.couplings) > MOST_PAIRS:
            problem.notes.append(f"Of the pairs between two times {MOST_PAIRS:,} are kept, taken evenly.")

    def tables(self) -> Mapping[str, np.ndarray]:
        states = self.problem.states
        starts = np.cumsum([0, *[len(one) for one in states]])
        kept = [_kept(one) for one in self.couplings]
        pairs = [
            np.stack([one.i[rows] + starts[k], one.j[rows] + starts[k + 1]], axis=1)
            for k, (one, (rows, _)) in enumerate(zip(self.couplings, kept, strict=True))
        ]
        used, numbers = np.unique(np.concatenate(pairs), return_inverse=True)
        return {
            "cells": np.concatenate(states)[used],
            "pairs": numbers.reshape(-1, 2).astype(np.float32),
            "weight": np.concatenate([weight for _, weight in kept]).astype(np.float32),
            "first": np.cumsum([0, *[len(one) for one in pairs]]).astype(np.float32),
            "rate": (1 / (np.diff(self.problem.times) * self.clock.speeds)).astype(np.float32),
        }

    def _draw_interval(
        self, k: int, rng: np.random.Generator, shape: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        gap = self.problem.times[k + 1] - self.problem.times[k]
        rate = torch.full((*shape, 1), 1 / (gap * self.clock.speeds[k]), dtype=torch.float32)
        return super()._draw_interval(k, rng, shape) | {"rate": rate}

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Mean squared error of the movement in an interval, in squared scaled states."""
        moved = net(batch["time"], batch["z"])["velocity"] / batch["rate"]
        return functional.mse_loss(moved, batch["velocity"] / batch["rate"])

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean movement everywhere."""
        moved = (batches["velocity"] / batches["rate"]).double()
        return float((moved - moved.mean(dim=(0, 1))).square().mean())

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        n, m = (shapes.get(name, (0,))[0] if shapes.get(name) else 0 for name in ("cells", "weight"))
        return n > 0 and dict(shapes) == {
            "cells": (n, dim),
            "pairs": (m, 2),
            "weight": (m,),
            "first": (n_times,),
            "rate": (n_times - 1,),
        }


def _kept(coupling: Coupling) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs are kept, and their weights times the number of pairs.

    Where there are too many, pairs are taken in steps of equal weight, beginning half a step in.
    """
    m = len(coupling.weight)
    if m <= MOST_PAIRS:
        return np.arange(m), coupling.weight * m
    ends = np.cumsum(coupling.weight)
    steps = (np.arange(MOST_PAIRS) + 0.5) / MOST_PAIRS * ends[-1]
    rows, counts = np.unique(np.minimum(np.searchsorted(ends, steps), m - 1), return_counts=True)
    return rows, counts.astype(np.float64)


METHODS = (
    Method(
        name="ot",
        title="Optimal transport alone",
        purpose="instant",
        summary="Cells of neighbouring times are paired so that the total movement is least, and move in "
        "straight lines from one to the other. There is no network: the velocity is that of the paired cells "
        "which pass nearby.",
        reference="Schiebinger et al., Optimal-transport analysis of single-cell gene expression, Cell 2019; "
        "Klein et al., Mapping cells through time and space with moscot, Nature 2025.",
        use_when="You want an answer in seconds, or a baseline that a network has to beat.",
        cannot="The field is as ragged as the pairs are and jumps at the measured times, so that effects of "
        "single genes on the motion mean little; growth and death count as movement. The model file holds "
        "the states of the cells.",
        settings=PlanSettings,
        objective=TransportPlans,
    ),
)
