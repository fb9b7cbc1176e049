"""Descendants by chance: from each cell, a distribution of where its descendants are at the next time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.coupling import Coupling, couple
from models.config import knob
from models.objectives.base import Batches, Method
from models.objectives.flow_matching import FlowMatching, FlowMatchingSettings
from models.paths import PathPoint


@dataclass(frozen=True)
class DescendantSettings(FlowMatchingSettings):
    """Settings of entropic transport to a distribution of descendants, which fine-tuning would not reach."""

    fine_tune: ClassVar[int] = 0
    fine_tune_rate: ClassVar[float] = 0.0

    blur: float = knob(
        0.05,
        label="Choice of descendants",
        help="How freely a cell's descendants may lie apart: near 0 the nearest possible ones, at 1 nearly "
        "any cell of the next time.",
        min=5e-3,
        max=10.0,
        unit="× the mean squared distance of cells",
    )
    noise: float = knob(
        0.1,
        label="Noise around paths",
        help="Paths of the velocity field are blurred by this much, so that it is also learned beside them.",
        min=0.0,
        max=2.0,
        unit="× the spread of the states",
        advanced=True,
    )


class Descendants(FlowMatching):
    """Regress a flow from noise to the descendants of each cell (GENOT), beside an ordinary velocity field.

    Pairs (x, y) are drawn from the entropic plan of each interval. With ε standard normal noise and
    d = (y − x) / m, where m is the typical movement in the interval, the conditional flow learns d − ε at
    (1 − s) ε + s d, given x and its time: the published y − z of a flow to y, for what is left after the cell
    itself is taken away, so that small movements are learned as well as large ones. The velocity field is
    that of flow matching along straight lines on the same pairs.

    References
    ----------
    Klein, Uscidda, Theis and Cuturi, GENOT: entropic (Gromov) Wasserstein flow matching with applications to
    single-cell genomics, NeurIPS 2024.
    """

    kind: ClassVar[str] = "conditional"
    evaluations: ClassVar[float] = 2.0

    def paired(self, x0: np.ndarray, x1: np.ndarray, settings: DescendantSettings) -> Coupling:
        """Pair the cells of one interval with entropy."""
        return couple(x0, x1, name="entropic", seed=self.problem.seed, reg=settings.blur)

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the straight paths of the pairs, and between noise and the ends of the pairs."""
        point = super().points(k, pairs, s, rng)
        x = torch.from_numpy(self.problem.states[k][pairs[0]])
        y = torch.from_numpy(self.problem.states[k + 1][pairs[1]])
        n = len(x)
        gone = (y - x) / movement(self.clock.times, self.clock.speeds, k)
        noise = torch.from_numpy(rng.standard_normal(gone.shape, np.float32))
        position = torch.from_numpy(rng.permutation((np.arange(n) + rng.random(n)) / n)).float()[:, None]
        start = self.clock.features(torch.full((n,), self.problem.times[k], dtype=torch.float64))
        extra = {
            "cell": x,
            "start": start,
            "position": position,
            "between": torch.lerp(noise, gone, position),
            "flow": gone - noise,
        }
        return PathPoint(point.xs, point.us, extra)

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Mean squared errors of the velocity, relative to the typical speed, and of the conditional flow."""
        flow = net.conditional(batch["start"], batch["position"], batch["between"], batch["cell"])
        return super().loss(net, batch) + functional.mse_loss(flow, batch["flow"])

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean velocity and the mean flow everywhere."""
        flow = batches["flow"].double()
        return super().reference(batches) + float((flow - flow.mean(dim=(0, 1))).square().mean())


def movement(times: np.ndarray, speeds: np.ndarray, k: int) -> float:
    """Typical movement in interval `k`, in scaled states: the unit of the conditional flow."""
    return float(speeds[k] * (times[k + 1] - times[k]))


METHODS = (
    Method(
        name="genot",
        title="A distribution of descendants",
        purpose="sure",
        summary="Cells are paired softly: each with several of the next time. The network learns, for each "
        "cell, how its descendants are distributed at the next time, and besides the mean velocity.",
        reference="Klein et al., GENOT: entropic (Gromov) Wasserstein flow matching with applications to "
        "single-cell genomics, NeurIPS 2024.",
        use_when="You ask what one cell may become: where a cell has to choose between branches.",
        cannot="Descendants are known at the next measured time only, not in between; how far they lie apart "
        "follows from the choice of the blur as well as from the data.",
        settings=DescendantSettings,
        objective=Descendants,
    ),
)
