"""What the training loop asks of an objective, the settings that all share, and what makes a method."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from dynamics.coupling import Coupling
from dynamics.field import Progress, no_progress
from models.clock import Clock
from models.config import knob

Batches = Mapping[str, torch.Tensor]
"""Named tensors; those that `draw` returns have a leading axis of training steps."""

PURPOSES = {
    "where": "Where do cells go?",
    "sure": "How sure is one cell's path?",
    "growth": "Does the population grow or die?",
    "landscape": "Is there a landscape that cells roll down?",
    "classic": "Compare with a classic neural ODE",
    "genes": "Which genes may act on which?",
    "instant": "An answer at once, without a network",
}
"""What methods are for, in the biologist's words and in the order in which they are offered."""


@dataclass(frozen=True)
class TrainingSettings:
    """How any network is trained."""

    steps: int | None = knob(
        None,
        label="Training steps",
        help="The longest that training may take; it ends earlier where the loss no longer falls. "
        "Left empty, it is chosen from the data; more steps than that rarely help.",
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
    prior_growth: tuple[np.ndarray, ...] | None = None
    """Growth rate expected of each cell from its genes, per unit of time, (n_k,) at each time."""
    halved: bool = False
    """These are a random half of the cells measured, for a further member of an ensemble."""
    notes: list[str] = field(default_factory=list)
    """What an objective wants said with the model, one sentence each."""

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

    kind: ClassVar[str] = "field"
    """Kind of network, one of `models.networks.KINDS`."""
    evaluations: ClassVar[float] = 1.0
    """Cost of one step, in forward and backward passes of one batch through the network."""
    stackable: ClassVar[bool] = False
    """`loss` also takes several networks at once (`models.stacked`), with a batch of each, (k, batch, ...);
    it is then the mean of their losses."""
    shared: ClassVar[tuple[str, ...]] = ("clock",)
    """What the outputs of the network are measured in: the same for all members of an ensemble."""
    at_once: int = 50
    """Steps whose random draws are made at once."""
    clock: Clock
    couplings: tuple[Coupling, ...]
    problem: Problem
    settings: TrainingSettings

    @abstractmethod
    def __init__(self, problem: Problem, settings: TrainingSettings, *, progress: Progress) -> None: ...

    @staticmethod
    @abstractmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        """Name and width of the network's outputs."""

    def tables(self) -> Mapping[str, np.ndarray]:
        """Arrays that are kept with the weights, float32, by name; fixed once the objective is made."""
        return {}

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        """Whether tables of these shapes, as a file lists them, are such as `tables` gives."""
        return not shapes

    @abstractmethod
    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample everything that is random in `steps` steps at once; each tensor is (steps, batch, ...)."""

    @abstractmethod
    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Loss of one step."""

    @abstractmethod
    def reference(self, batches: Batches) -> float:
        """Loss of the best answer that ignores state and time; a trained network must be below it."""

    @classmethod
    def stacks(cls, settings: TrainingSettings) -> bool:
        """Whether all of the training with these settings can be done with several networks at once."""
        return cls.stackable and not getattr(settings, "fine_tune", 0)

    def refinements(self) -> tuple[tuple["Objective", int, float], ...]:
        """What follows on the same network: objective, steps and learning rate of each further phase."""
        return ()

    def again(self, problem: Problem) -> "Objective":
        """Return the same objective on other cells of the same course.

        What took long to choose from the data stays as it was chosen, and so does what the outputs of the
        network are measured in.
        """
        other = self.rebuilt(problem)
        for name in self.shared:
            setattr(other, name, getattr(self, name))
        return other

    def rebuilt(self, problem: Problem) -> "Objective":
        """Make the objective anew on other cells, with the choices that were made for these."""
        return type(self)(problem, self.settings, progress=no_progress)

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """Further figures of the trained network, for the model's summary; what JSON can hold."""
        return {}


@dataclass(frozen=True)
class Method:
    """A way to learn dynamics, with what a user must know to choose it."""

    name: str
    title: str
    purpose: str
    """One of `PURPOSES`."""
    summary: str
    reference: str
    use_when: str
    cannot: str
    settings: type[TrainingSettings]
    objective: type[Objective]
    min_times: int = 2
    max_dim: int | None = None

    def why_not(self, *, n_times: int, dim: int) -> str:
        """Say why the method cannot learn from data of this size; empty where it can."""
        if n_times < self.min_times:
            return f"This method needs {self.min_times} times or more; there are {n_times}."
        if self.max_dim is not None and dim > self.max_dim:
            return (
                f"This method can handle up to {self.max_dim} dimensions; there are {dim}. "
                "Choose fewer leading dimensions, or another method."
            )
        return ""

    def why_no_ensemble(self, members: int) -> str:
        """Say why the method cannot have an ensemble of so many members; empty where it can."""
        if members == 1 or self.objective.evaluations:
            return ""
        return (
            f"members = {members}: {self.name} trains no network, so that there is nothing in which members "
            "could differ but the cells. Set members to 1, or choose ot-cfm for an ensemble."
        )
