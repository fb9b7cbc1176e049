"""What the training loop asks of an objective, and the settings that all objectives share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from dynamics.coupling import Coupling
from dynamics.field import Progress
from models.clock import Clock
from models.config import knob
from models.networks import FieldNet

Batches = Mapping[str, torch.Tensor]
"""Named tensors; those that `draw` returns have a leading axis of training steps."""


@dataclass(frozen=True)
class TrainingSettings:
    """How any network is trained."""

    steps: int | None = knob(
        None,
        label="Training steps",
        help="How long to train. Left empty, it is chosen from the data; more steps than that rarely help.",
        min=10,
        max=200_000,
    )
    batch: int = knob(
        512,
        label="Pairs per step",
        help="Pairs of cells looked at in one step, shared equally by the intervals between times.",
        min=16,
        max=16_384,
        advanced=True,
    )
    learning_rate: float = knob(
        5e-3,
        label="Learning rate",
        help="Size of the largest step; it rises over the first steps and then falls along a cosine to zero.",
        min=1e-6,
        max=1.0,
        advanced=True,
    )
    width: int | None = knob(
        None,
        label="Network width",
        help="Units per layer. Left empty: 64 up to 12 dimensions or 2,000 cells, 128 up to 60, 256 above.",
        min=8,
        max=1024,
        advanced=True,
    )
    depth: int | None = knob(
        None, label="Network depth", help="Hidden layers. Left empty: 3.", min=1, max=8, advanced=True
    )
    weight_decay: float = knob(
        1e-5, label="Weight decay", help="Pull of all weights towards zero.", min=0.0, max=1.0, advanced=True
    )
    clip: float = knob(
        5.0,
        label="Gradient clipping",
        help="Longest gradient that is followed in full; longer ones are shortened to this.",
        min=1e-3,
        max=1e3,
        advanced=True,
    )
    average: float = knob(
        0.0,
        label="Weight averaging",
        help="Decay of a running average of the weights, used as the result; 0 keeps the last weights.",
        min=0.0,
        max=0.9999,
        advanced=True,
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """Snapshots in the units in which they are learned."""

    states: tuple[np.ndarray, ...]
    """Scaled states at each time, (n_k, dim) float32."""
    times: np.ndarray
    """(n_times,) float64, rising, in the data's unit."""
    seed: int

    @property
    def dim(self) -> int:
        return self.states[0].shape[1]

    @property
    def n_intervals(self) -> int:
        return len(self.times) - 1


class Objective(ABC):
    """What a network is asked to learn from a problem.

    The constructor does what is done once (pairing), the loop then asks for the draws of many steps at a time
    and for the loss of each.
    """

    clock: Clock
    couplings: tuple[Coupling, ...]

    @abstractmethod
    def __init__(self, problem: Problem, settings: TrainingSettings, *, progress: Progress) -> None: ...

    @staticmethod
    @abstractmethod
    def heads(dim: int) -> dict[str, int]:
        """Name and width of the network's outputs."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample everything that is random in `steps` steps at once; each tensor is (steps, batch, ...)."""

    @abstractmethod
    def loss(self, net: FieldNet, batch: Batches) -> torch.Tensor:
        """Loss of one step."""

    @abstractmethod
    def reference(self, batches: Batches) -> float:
        """Loss of the best answer that ignores state and time; a trained network must be below it."""
