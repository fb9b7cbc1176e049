"""Flow matching along curves that stay near the data: geodesics of a metric learned from all cells."""

from dataclasses import dataclass

import numpy as np
import torch

from dynamics.field import Progress, no_progress, share
from models.config import knob
from models.metric import Bend, geodesics, suited_metric
from models.objectives.base import Method, Problem
from models.objectives.flow_matching import PAIRING_PART, TransportFlowMatching, TransportSettings
from models.paths import PathPoint


@dataclass(frozen=True)
class MetricSettings(TransportSettings):
    """Settings of metric flow matching."""

    metric: str = knob(
        "auto",
        label="Where paths are cheap",
        help="Near single cells (LAND) suits few dimensions, near groups of cells (RBF) suits many. Widths "
        "follow from the distances between the cells.",
        choices={"auto": "automatic", "land": "near cells (LAND)", "rbf": "near groups of cells (RBF)"},
    )


class MetricFlowMatching(TransportFlowMatching):
    """Regress the velocity along geodesic curves between paired cells (OT-MFM).

    x_s = (1 − s) x0 + s x1 + 2 s (1 − s) φ(x0, x1, s), where φ is trained first so that the curves are short
    in a metric that is cheap near the cells of all training times.

    References
    ----------
    Kapuśniak et al., Metric flow matching for smooth interpolations on the data manifold, NeurIPS 2024.
    """

    def __init__(
        self,
        problem: Problem,
        settings: MetricSettings,
        *,
        progress: Progress = no_progress,
        bend: Bend | None = None,
    ) -> None:
        later = share(progress, PAIRING_PART, 1.0)

        def bending(fraction: float, *_: str, **__: float) -> bool:
            return later(fraction, "Bending the paths towards the cells")

        super().__init__(problem, settings, progress=share(progress, 0.0, PAIRING_PART))
        if bend is None:
            metric = suited_metric(np.concatenate(problem.states), seed=problem.seed, name=settings.metric)
            bend = geodesics(problem, self.couplings, metric, progress=bending)
        self.bend = bend

    def rebuilt(self, problem: Problem) -> "MetricFlowMatching":
        """Make the objective anew on other cells, whose paths are bent as was learned."""
        return MetricFlowMatching(problem, self.settings, bend=self.bend)

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the geodesic curves between given pairs."""
        x0 = torch.from_numpy(self.problem.states[k][pairs[0]])
        x1 = torch.from_numpy(self.problem.states[k + 1][pairs[1]])
        share = torch.full_like(s, k / max(self.problem.n_intervals - 1, 1))
        with torch.no_grad():
            x, u = self.bend.curve(x0, x1, s, share)
        x += self.path.sigma * torch.from_numpy(rng.standard_normal(x.shape, np.float32))
        return PathPoint(x, u)


METHODS = (
    Method(
        name="metric-cfm",
        title="Flow matching along paths through the cells",
        purpose="where",
        summary="Before the velocity is learned, the path between each pair of cells is bent so that it runs "
        "where cells were seen, instead of straight through empty space.",
        reference="Kapuśniak et al., Metric flow matching for smooth interpolations on the data manifold, "
        "NeurIPS 2024; Arvanitidis et al., NeurIPS 2016 (LAND).",
        use_when="Cells move along bent or branching bands, and straight lines between times leave them.",
        cannot="It cannot know of states that were never sampled: paths avoid them even if cells pass there.",
        settings=MetricSettings,
        objective=MetricFlowMatching,
    ),
)
