"""Flow matching along smooth curves through chains of cells of all times."""

from dataclasses import dataclass

import numpy as np
import torch

from dynamics.field import Progress, no_progress
from models.chains import Chains, cubic, monotone_slopes, natural_slopes
from models.config import knob
from models.objectives.base import Method, Problem
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings
from models.paths import PathPoint

SLOPES = {"natural": natural_slopes, "monotone": monotone_slopes}


@dataclass(frozen=True)
class SplineSettings(TransportSettings):
    """Settings of flow matching along smooth curves."""

    curve: str = knob(
        "natural",
        label="Curve",
        help="How a path goes on from one time to the next. Natural: as smooth as can be, it may swing "
        "beyond the cells. Monotone: smooth, but never beyond the cells that it joins.",
        choices={"natural": "natural cubic", "monotone": "monotone cubic"},
    )
    smoothness: float = knob(
        1.0,
        label="Smoothness",
        help="0: straight from time to time, with kinks. 1: the full curve. Between: a mixture of both.",
        min=0.0,
        max=1.0,
    )


class SplineFlowMatching(TransportFlowMatching):
    """Regress the velocity along curves through one cell of every time (multi-marginal flow matching).

    Pairs of neighbouring times are chained through all times; the path is x_s = (1 − λ) straight + λ cubic,
    where the cubic goes through the whole chain. All times are then used to learn each interval.

    References
    ----------
    Rohbeck et al., ICLR 2025 (multi-marginal flow matching); Lipman et al., ICLR 2023.
    """

    def __init__(
        self, problem: Problem, settings: SplineSettings, *, progress: Progress = no_progress
    ) -> None:
        super().__init__(problem, settings, progress=progress)
        self.chains = Chains(self.couplings)
        self.slopes, self.smoothness = SLOPES[settings.curve], settings.smoothness

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the curves through chains that go through the given pairs."""
        times = self.problem.times
        chain = zip(self.problem.states, self.chains.draw(k, pairs, rng), strict=True)
        knots = np.stack([states[rows] for states, rows in chain])
        slopes = self.slopes(times, knots)
        gap = times[k + 1] - times[k]
        straight = (knots[k + 1] - knots[k]) / gap
        bent = tuple(straight + self.smoothness * (slope - straight) for slope in slopes[k : k + 2])
        x, u = cubic((knots[k], knots[k + 1]), bent, gap=gap, s=s.numpy().astype(np.float64))
        x += self.path.sigma * rng.standard_normal(x.shape)
        return PathPoint(torch.from_numpy(x).float(), torch.from_numpy(gap * u).float())


METHODS = (
    Method(
        name="spline-cfm",
        title="Flow matching along smooth curves",
        purpose="where",
        summary="Paired cells are chained through all times, and each chain is joined by a smooth curve; the "
        "network learns the velocity along the curves, so that motion does not change abruptly at the "
        "measured times.",
        reference="Rohbeck et al., Modeling complex system dynamics with flow matching across time and "
        "conditions, ICLR 2025; Lipman et al., ICLR 2023.",
        use_when="You have four times or more, many cells, and motion that turns steadily.",
        cannot="With few or noisy cells a curve may swing to where no cells are. With two times it is "
        "the same as ot-cfm.",
        settings=SplineSettings,
        objective=SplineFlowMatching,
    ),
)
