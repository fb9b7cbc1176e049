"""torchcfm's own classes, as its single-cell example uses them, in the same harness.

`./test` installs it, without what is not needed here.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher
from torchcfm.models import MLP

from dynamics.snapshots import Snapshots
from models import holdout
from models.holdout import Score
from models.train import one_thread, standardisation

SIGMA, WIDTH, BATCH = 0.1, 64, 128
STEPS, RATE, DECAY = 1_000, 1e-3, 1e-5
"""Its runner trains for epochs; longer training did not lower the held-out distance where it was tried."""


class Recipe:
    """OT-CFM by torchcfm on all intervals at once, a minibatch of each per step.

    Per step and interval: a random minibatch of both snapshots, exact transport between them, a point on a
    straight path blurred by σ = 0.1, and the regression of (x1 − x0)/Δ by an MLP of 3 × 64 SELU units. States
    are standardised by one number and times by the mean gap, as in Driftscope.
    """

    def __init__(self, snapshots: Snapshots, *, seed: int, batch: int = BATCH, rate: float = RATE) -> None:
        self.shift, self.scale = standardisation(snapshots, whiten=False)
        states = ((snapshots.states - self.shift) / self.scale).astype(np.float32)
        self.states = [torch.from_numpy(states[snapshots.rows(k)]) for k in range(snapshots.n_times)]
        values = np.asarray(snapshots.axis.values, float)
        self.first, self.unit = values[0], np.diff(values).mean()
        self.times = (values - self.first) / self.unit
        self.batch = batch
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.net = MLP(dim=snapshots.dim, w=WIDTH, time_varying=True)
        self.matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=SIGMA)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate, weight_decay=DECAY)

    def step(self) -> float:
        """Make one training step; return its loss."""
        xs, ts, us = [], [], []
        for k in range(len(self.states) - 1):
            x0, x1 = (one[torch.randint(len(one), (self.batch,))] for one in self.states[k : k + 2])
            gap = self.times[k + 1] - self.times[k]
            t, xt, ut = self.matcher.sample_location_and_conditional_flow(x0, x1)
            xs.append(xt)
            us.append(ut / gap)
            ts.append(self.times[k] + gap * t)
        x, t, u = torch.cat(xs), torch.cat(ts).float(), torch.cat(us)
        self.optimizer.zero_grad()
        loss = torch.mean((self.net(torch.cat([x, t[:, None]], dim=-1)) - u) ** 2)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def __call__(self, t: float, x: torch.Tensor) -> torch.Tensor:
        """Velocity in the data's own units."""
        z = (x - torch.from_numpy(self.shift)) / torch.from_numpy(self.scale)
        time_ = torch.full((len(x), 1), (t - self.first) / self.unit)
        v = self.net(torch.cat([z.float(), time_.float()], dim=-1))
        return (v * torch.from_numpy(self.scale) / self.unit).to(x.dtype)


def score(snapshots: Snapshots, held_out: int, seed: int, steps: int = STEPS) -> Score:
    """Train without one time and score the prediction, exactly as `models.holdout.score` does."""
    with one_thread():
        began = time.process_time()
        recipe = Recipe(holdout.without(snapshots, held_out), seed=seed)
        for _ in range(steps):
            recipe.step()
        seconds = time.process_time() - began
    w1, mmd = predicted(snapshots, recipe, held_out)
    name = snapshots.axis.labels[held_out]
    return Score("torchcfm ot-cfm", name, seed, "previous", w1, mmd, seconds)


def predicted(snapshots: Snapshots, field: Callable, held_out: int) -> tuple[float, float]:
    """Distance of the cells that a field carries from the time before to the held-out time."""
    times = snapshots.axis.values
    there, _ = holdout.push(field, snapshots.at(held_out - 1), times[held_out - 1], times[held_out])
    return holdout.compare(there, snapshots.at(held_out))
