"""Flow matching along smooth curves through chains of cells of all times."""

from dataclasses import dataclass, fields

import numpy as np
import torch

from dynamics.field import Progress, no_progress, share
from models.chains import Bundle, Pulled, Shape
from models.config import knob
from models.objectives.base import Method, Problem
from models.objectives.flow_matching import PAIRING_PART, TransportFlowMatching, TransportSettings
from models.paths import PathPoint

PATHS = 4_096
"""Paths of an interval that are pulled to the cells beforehand."""
STREAM = 21
"""Of random numbers."""


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
    pull: float = knob(
        0.0,
        label="Pull towards cells",
        help="Moves the middle of each path towards the cells around it, so that paths do not cut through "
        "empty space: 0 not at all, 1 all the way to the mean of the ten nearest cells of any time.",
        min=0.0,
        max=1.0,
        advanced=True,
    )


def sampled(
    paths: tuple[Bundle, int, Pulled | None],
    pairs: tuple[np.ndarray, np.ndarray],
    s: np.ndarray,
    *,
    shape: Shape,
    noise: float,
    rng: np.random.Generator,
) -> PathPoint:
    """Sample points of one interval of a bundle, at positions (n, 1), blurred by noise.

    Where the interval's pulled paths are given, random ones of them are used in place of the pairs.
    """
    bundle, k, pulled = paths
    if pulled is not None:
        x, u = pulled.points(rng.integers(pulled.knots.shape[1], size=len(s)), s)
    else:
        x, u = bundle.points(k, pairs, s, shape=shape, rng=rng)
        u = (bundle.times[k + 1] - bundle.times[k]) * u
    x = x + noise * rng.standard_normal(x.shape)
    return PathPoint(torch.from_numpy(x).float(), torch.from_numpy(u).float())


class SplineFlowMatching(TransportFlowMatching):
    """Regress the velocity along curves through one cell of every time (multi-marginal flow matching).

    Pairs of neighbouring times are chained through all times and the chains joined by curves (`Bundle`), so
    that all times are used to learn each interval.

    References
    ----------
    Rohbeck et al., ICLR 2025 (multi-marginal flow matching); Lipman et al., ICLR 2023.
    """

    def __init__(
        self, problem: Problem, settings: SplineSettings, *, progress: Progress = no_progress
    ) -> None:
        super().__init__(problem, settings, progress=share(progress, 0.0, PAIRING_PART))
        self.bundle = Bundle(problem.states, problem.times, self.couplings)
        self.shape = self.suited_shape(settings, share(progress, PAIRING_PART, 1.0))
        self.pulled = [self._pulled(k) for k in range(problem.n_intervals)] if self.shape.pull else []

    def suited_shape(self, settings: SplineSettings, progress: Progress) -> Shape:
        """Return the form of the paths; here that of the settings."""
        return Shape(settings.curve, settings.smoothness, settings.pull)

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the curves through chains that go through the given pairs.

        With a pull they lie on other paths of the same pairing, which were pulled beforehand.
        """
        paths = (self.bundle, k, self.pulled[k] if self.pulled else None)
        where = s.numpy().astype(np.float64)
        return sampled(paths, pairs, where, shape=self.shape, noise=self.path.sigma, rng=rng)

    def rebuilt(self, problem: Problem) -> "SplineFlowMatching":
        """Make the objective anew on other cells, with paths of the form that was chosen."""
        common = {item.name: getattr(self.settings, item.name) for item in fields(TransportSettings)}
        shape = {name: getattr(self.shape, name) for name in ("curve", "smoothness", "pull")}
        return SplineFlowMatching(problem, SplineSettings(**common, **shape))

    def _pulled(self, k: int) -> Pulled:
        rng = np.random.default_rng([self.problem.seed, STREAM, k])
        return self.bundle.pulled(k, self.couplings[k].sample(PATHS, rng), shape=self.shape, rng=rng)


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
