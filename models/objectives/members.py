"""One objective on several draws of the cells, learned by as many networks at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from models.objectives.base import Batches, Objective, TrainingSettings

ROWS, MOST_STEPS = 51_200, 200
"""Draws of small batches take long for the number of their calls, so that those of more steps are made at
once: up to so many rows, and for so many steps."""


class Members(Objective):
    """Ask several stacked networks for the same on cells of their own.

    Parameters
    ----------
    parts
        The objective of each network; of one class, that is `stackable`, and measured alike
        (`Objective.again`).
    batch
        Of each network in a step.
    """

    def __init__(self, parts: Sequence[Objective], *, batch: int) -> None:
        self.at_once = int(np.clip(ROWS // (len(parts) * batch), 1, MOST_STEPS))
        self.parts, first = tuple(parts), parts[0]
        self.problem, self.settings, self.clock = first.problem, first.settings, first.clock
        self.couplings = ()

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        raise NotImplementedError("the networks are made by those of the objectives")

    def draw(self, rng: np.random.Generator, *, steps: int, batch: int) -> Batches:
        """Sample for each network from a stream of its own; each tensor is (steps, k, batch, ...)."""
        streams = zip(self.parts, rng.spawn(len(self.parts)), strict=True)
        drawn = [part.draw(own, steps=steps, batch=batch) for part, own in streams]
        return {name: torch.stack([one[name] for one in drawn], dim=1) for name in drawn[0]}

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Sum of the losses, so that each network gets the gradient that it would get alone."""
        return len(self.parts) * self.parts[0].loss(net, batch)

    def reference(self, batches: Batches) -> float:
        raise NotImplementedError("each objective has a reference of its own")
