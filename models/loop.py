"""The one training loop: any objective, any network, resumed exactly where it was interrupted."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from dynamics import faults
from dynamics.errors import Stopped, TrainingError
from dynamics.field import Progress, no_progress
from models.adam import AdamW
from models.resume import Keeper, Progression

if TYPE_CHECKING:
    from torch import nn

    from models.objectives.base import Batches, Objective, TrainingSettings

DRAW = 50
"""Steps over which the loss is told; the chosen number of steps is a multiple of it."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""
WINDOW, MOVES = 100, 0.01
"""The loss has settled where its mean over 100 steps is not 1 % below that over the 100 before."""
PAIRING_SHARE = 0.2
"""Share of the progress bar given to pairing."""
REPORT_SECONDS = 0.12
TRAIN = 1
"""Stream of random numbers drawn from the seed."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one objective: the main one, or a refinement after it.

    The learning rate rises, stays level until the loss has settled or half of the steps are made, and then
    falls along a cosine to zero over as many steps as there were until then.
    """

    objective: "Objective"
    steps: int
    """At most; fewer where the loss settles earlier and `settles`."""
    rate: float
    settles: bool = True


@dataclass
class Reporter:
    """Passes progress on a few times a second and stops the work when asked to."""

    progress: Progress
    steps: int
    keeper: Keeper
    last: float = -math.inf

    def __call__(self, state: Progression, *, over: bool) -> None:
        now = time.monotonic()
        if now - self.last < REPORT_SECONDS and not over:
            return
        self.last = now
        if not self.steps:
            if not self.progress(1.0, "Ready: nothing is trained"):
                raise Stopped
            return
        loss = float(state.losses[max(state.step - DRAW, 0) : state.step].mean())
        done = 1.0 if over else state.step / self.steps
        share = PAIRING_SHARE + (1 - PAIRING_SHARE) * done
        message = f"Training: step {state.step:,} of at most {self.steps:,}"
        steps = state.step if over else self.steps
        told = {"loss": loss, "step": state.step, "steps": steps, **self.keeper.told}
        if not self.progress(share, message, **told):
            raise Stopped


def start(
    net: "nn.Module",
    settings: "TrainingSettings",
    *,
    phases: Sequence[Phase],
    optimizer: type[AdamW] = AdamW,
) -> Progression:
    """Return the state before the first step."""
    optimizer = optimizer(net.parameters(), weight_decay=settings.weight_decay)
    average = {name: value.clone() for name, value in net.state_dict().items()} if settings.average else {}
    return Progression(net, optimizer, average, np.zeros(sum(phase.steps for phase in phases), np.float32))


def train(
    phases: Sequence[Phase],
    state: Progression,
    settings: "TrainingSettings",
    *,
    seed: int,
    progress: Progress = no_progress,
    keeper: Keeper | None = None,
) -> None:
    """Run the steps that are left, in place; `state.net` then holds the result.

    What a step draws depends on the seed, the phase and the step's number only, so a resumed run repeats an
    undisturbed one.
    """
    keeper = keeper or Keeper(None, key="")
    if (message := keeper.restore(state)) and not progress(PAIRING_SHARE, message):
        raise Stopped
    report = Reporter(progress, len(state.losses), keeper)
    try:
        for number, phase in enumerate(phases):
            if number > state.phase:
                state.enter(number)
            if number == state.phase:
                _run(phase, state, settings, seed=seed, report=report, keeper=keeper)
    except (Stopped, TrainingError):  # the step that failed changed nothing
        keeper.keep(state, now=True)
        raise
    keeper.keep(state, now=True)
    report(state, over=True)
    state.losses = state.losses[: state.step]
    if state.average:
        state.net.load_state_dict(state.average)


def _run(
    phase: Phase,
    state: Progression,
    settings: "TrainingSettings",
    *,
    seed: int,
    report: Reporter,
    keeper: Keeper,
) -> None:
    """Run one phase to its end."""
    while (step := state.step - state.began) < _length(phase, state):
        at_once = phase.objective.at_once
        block, first = divmod(step, at_once)
        rng = np.random.default_rng([seed, TRAIN, state.phase, block])
        batches = phase.objective.draw(rng, steps=at_once, batch=settings.batch)
        for k in range(first, min(at_once, _length(phase, state) - block * at_once)):
            _advance(phase, state, {name: drawn[k] for name, drawn in batches.items()}, settings)
            report(state, over=False)
            keeper.keep(state)
        if phase.settles and not state.level and _settled(phase, state):
            state.level = state.step - state.began


def _length(phase: Phase, state: Progression) -> int:
    """Steps of the phase: twice the level part, so that the learning rate falls as long as it stayed."""
    return min(2 * state.level, phase.steps) if state.level else phase.steps


def _settled(phase: Phase, state: Progression) -> bool:
    losses = state.losses[state.began : state.step].astype(np.float64)
    if not 2 * WINDOW <= len(losses) <= phase.steps / 2:
        return False
    return losses[-WINDOW:].mean() > (1 - MOVES) * losses[-2 * WINDOW : -WINDOW].mean()


def _advance(phase: Phase, state: Progression, batch: "Batches", settings: "TrainingSettings") -> None:
    """Make one step."""
    faults.at("step")
    loss = phase.objective.loss(state.net, batch)
    state.losses[state.step] = value = float(loss.detach())
    if not math.isfinite(value):
        raise _diverged(state, settings, f"the loss is no longer a number ({value})")
    gradients = list(torch.autograd.grad(loss, state.optimizer.parameters, materialize_grads=True))
    if not state.optimizer.step(gradients, rate=_learning_rate(phase, state), clip=settings.clip):
        raise _diverged(state, settings, "the slope of the loss is no longer a number")
    state.step += 1
    for name, value in state.net.state_dict().items() if state.average else ():
        state.average[name].lerp_(value, 1 - settings.average)


def _diverged(state: Progression, settings: "TrainingSettings", found: str) -> TrainingError:
    """Return the error for a step that cannot be made; the weights are those of the step before."""
    return TrainingError(
        f"Training stopped at step {state.step + 1:,} of {len(state.losses):,}: {found}. "
        f"Train again with a smaller learning rate than {settings.learning_rate:g}."
    )


def _learning_rate(phase: Phase, state: Progression) -> float:
    """Rise in a straight line, stay, and fall along a cosine to zero."""
    step, length = state.step - state.began, _length(phase, state)
    rise = min((step + 1) / max(WARM_UP * phase.steps, 1), 1.0)
    fallen = max(2 * step / length - 1, 0.0)
    return phase.rate * rise * 0.5 * (1 + math.cos(math.pi * fallen))
