"""Flow matching along the form of path that best predicts times left out of the training data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from dynamics import metrics
from dynamics.coupling import couple
from dynamics.errors import Stopped
from dynamics.field import Progress
from models.chains import Bundle, Shape
from models.objectives.base import Method
from models.objectives.flow_matching import TransportSettings
from models.objectives.spline import SplineFlowMatching

PULL = 0.6
PRIOR: dict[Shape, float] = {
    Shape(): 0.0,
    Shape("monotone", 1.0): -0.011,
    Shape("natural", 0.5): -0.011,
    Shape("natural", 1.0): -0.011,
    Shape(pull=PULL): -0.046,
    Shape("monotone", 1.0, PULL): -0.046,
    Shape("natural", 0.5, PULL): -0.06,
    Shape("natural", 1.0, PULL): -0.073,
}
"""Forms that are tried, each with the logarithm of its held-out W1 over that of straight paths, the median over
simulated courses (benchmarks/path_prior.py)."""
WORTH = 2.0
"""The prior counts as much as two left-out times."""
CLEAR = 0.005
"""Another form than straight must promise to be half a per cent better."""
MOST_FOLDS = 8
CELLS = 600
"""Cells a side that are compared."""
STREAM = 31


@dataclass(frozen=True)
class AutoSettings(TransportSettings):
    """Settings of flow matching with the form of path chosen from the data."""


class AutoFlowMatching(SplineFlowMatching):
    """Regress the velocity along paths whose form is chosen by an inner leave-one-time-out.

    Each inner time of the training data is left out in turn; the others are paired and joined by paths of
    every form, and the points of these paths at the left-out time are compared with its real cells by W1. No
    network is needed for that. The form with the least score (Σ log(W1 / W1 straight) + 2 prior) / (n + 2)
    is used, n being the number of left-out times.
    """

    def suited_shape(self, settings: AutoSettings, progress: Progress) -> Shape:
        """Choose the form of the paths and keep the reasons."""
        n = self.problem.n_intervals - 1
        folds = np.unique(np.linspace(1, n, min(n, MOST_FOLDS)).round().astype(int)) if n else []
        ratios = []
        for done, k in enumerate(folds):
            if not progress(done / len(folds), f"Choosing the form of the paths without time {k + 1}"):
                raise Stopped
            ratios.append(self._ratios(int(k)))
        scores = scored(ratios)
        best = min(scores, key=scores.get)
        shape = best if scores[best] < -CLEAR else Shape()
        self.selection = _told(shape, scores, ratios, times=[int(k) for k in folds])
        return shape

    def _ratios(self, k: int) -> dict[Shape, float]:
        """Log ratio of W1 of every form to that of straight paths, where time `k` is left out."""
        problem, rng = self.problem, np.random.default_rng([self.problem.seed, STREAM, k])
        states = [one for other, one in enumerate(problem.states) if other != k]
        times = np.delete(problem.times, k)
        bridge = couple(states[k - 1], states[k], name="quick", seed=problem.seed)
        bundle = Bundle(states, times, [*self.couplings[: k - 1], bridge, *self.couplings[k + 1 :]])
        pairs = bridge.sample(CELLS, rng)
        s = np.full((CELLS, 1), (problem.times[k] - times[k - 1]) / (times[k] - times[k - 1]))
        target = problem.states[k]
        if len(target) > CELLS:
            target = target[rng.choice(len(target), CELLS, replace=False)]
        apart = {}
        for shape in PRIOR:
            same = np.random.default_rng([problem.seed, STREAM, k, 1])
            x, _ = bundle.points(k - 1, pairs, s, shape=shape, rng=same)
            apart[shape] = max(metrics.w1(x, target), np.finfo(float).tiny)
        return {shape: math.log(w1 / apart[Shape()]) for shape, w1 in apart.items()}

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """What was chosen, why, and the scores of all forms."""
        return {"selection": self.selection}


def scored(ratios: Sequence[dict[Shape, float]]) -> dict[Shape, float]:
    """Score every form from its log ratios in the left-out times and from its prior; less is better."""
    return {
        shape: (sum(one[shape] for one in ratios) + WORTH * prior) / (len(ratios) + WORTH)
        for shape, prior in PRIOR.items()
    }


def _told(
    shape: Shape, scores: dict[Shape, float], ratios: Sequence[dict[Shape, float]], *, times: list[int]
) -> dict[str, Any]:
    """Put the choice in words and figures."""
    if not ratios:
        why = "with two times none can be left out, so this is what did best on simulated courses"
    else:
        n = f"{len(ratios)} training times" if len(ratios) > 1 else "one training time"
        gain = -math.expm1(float(np.mean([one[shape] for one in ratios])))
        better = f"came {abs(gain):.0%} {'closer to' if gain >= 0 else 'less close to'} the real cells than"
        why = f"leaving out {n}, no other form was clearly better"
        if shape != Shape():
            why = f"leaving out {n}, they {better} straight paths; simulated courses count as {WORTH:g} more"
    return {
        "chosen": str(shape),
        "why": why,
        "left_out": times,
        "scores": {str(one): round(score, 4) for one, score in scores.items()},
    }


METHODS = (
    Method(
        name="auto",
        title="Flow matching, chosen from your data",
        purpose="where",
        summary="Cells of neighbouring times are paired so that the total movement is least. How a path runs "
        "between them, straight, smooth over several times, or drawn to where cells are, is chosen by "
        "leaving out each of your times in turn and looking which form comes closest to it.",
        reference="Tong et al., TMLR 2024 (OT-CFM); Rohbeck et al., ICLR 2025 (splines); Kapuśniak et al., "
        "NeurIPS 2024 (paths near the data); the choice: benchmarks/RESULTS.md.",
        use_when="You want to know where cells go between measured times. The best first choice.",
        cannot="It gives one path per cell, without chance; growth and death of cells count as movement.",
        settings=AutoSettings,
        objective=AutoFlowMatching,
    ),
)
