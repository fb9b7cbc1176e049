"""The state of training, and the file from which an interrupted training resumes."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dynamics.errors import ModelError
from models import container
from models.adam import AdamW

CHECKPOINT_SECONDS = 5.0
COUNTERS = ("step", "phase", "began", "level")


@dataclass
class Progression:
    """Where training stands; all of it goes into a checkpoint."""

    net: nn.Module
    optimizer: AdamW
    average: dict[str, torch.Tensor]
    losses: np.ndarray
    step: int = 0
    phase: int = 0
    """Number of the phase that is being run."""
    began: int = 0
    """Step at which it began."""
    level: int = 0
    """Steps of the phase after which the learning rate began to fall; 0 as long as it has not."""

    def enter(self, phase: int) -> None:
        """Begin a phase: the network is kept, the optimiser begins anew."""
        self.phase, self.began, self.level = phase, self.step, 0
        for value in self.optimizer.state().values():
            value.zero_()


@dataclass(frozen=True)
class Keeper:
    """Keeps the state of training in a file, written whole, every few seconds."""

    path: Path | None
    key: str
    """Of the data and the recipe; a file with another key is not resumed from."""
    written: list[float] = field(default_factory=lambda: [time.monotonic()])
    steps: list[int] = field(default_factory=list)
    """Steps at which the state is known to be on the disk; the last one counts."""

    @property
    def told(self) -> dict[str, int]:
        """What is kept, as a figure of the progress: training never falls behind this step again."""
        return {"kept": self.steps[-1]} if self.steps else {}

    def restore(self, state: Progression) -> str:
        """Take up a kept state where there is one for this run; return what was found, in words."""
        if self.path is None or not self.path.exists():
            return ""
        try:
            kept = container.read_state(self.path, key=self.key)
        except container.UnreadError:  # a disk that fails now may answer later: what is kept there stays
            raise
        except ModelError as error:
            return f"Starting from the first step: {error}"
        _unpack(state, kept)
        self.steps[:] = [state.step]
        return f"Resuming at step {state.step:,}"

    def keep(self, state: Progression, *, now: bool = False) -> None:
        """Write the state if the last time is long enough ago."""
        if self.path is None or not (now or time.monotonic() - self.written[-1] >= CHECKPOINT_SECONDS):
            return
        container.write_state(_pack(state), self.path, key=self.key)
        self.written[-1] = time.monotonic()
        self.steps[:] = [state.step]


def _pack(state: Progression) -> dict[str, np.ndarray]:
    """Everything that the next step depends on, by name."""
    tensors = {f"net.{name}": value for name, value in state.net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.items()}
    tensors |= {f"optimizer.{name}": value for name, value in state.optimizer.state().items()}
    arrays = {name: value.detach().numpy() for name, value in tensors.items()}
    counters = {name: np.array(getattr(state, name)) for name in COUNTERS}
    return arrays | {"losses": state.losses} | counters


def _unpack(state: Progression, kept: dict[str, np.ndarray]) -> None:
    """Put a packed state in place of the present one."""
    tensors = {name: torch.from_numpy(value.copy()) for name, value in kept.items()}
    for name in COUNTERS:
        setattr(state, name, int(tensors.pop(name)))
    state.losses[:] = tensors.pop("losses").numpy()
    present = {"net": state.net.state_dict(), "average": state.average, "optimizer": state.optimizer.state()}
    for name, value in tensors.items():
        group, entry = name.split(".", 1)
        present[group][entry].copy_(value)
