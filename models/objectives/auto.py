"""Flow matching along the form of path that best predicts times left out of the training data."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dynamics import metrics
from dynamics.coupling import Coupling, couple
from dynamics.errors import Stopped
from dynamics.field import Progress
from models import networks
from models.chains import Bundle, Shape
from models.loop import Phase, train
from models.loop import start as begin
from models.networks import Architecture
from models.objectives.base import Method, Problem
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings
from models.objectives.spline import SplineFlowMatching, SplineSettings, sampled
from models.paths import PathPoint

PULL = 0.6
PRIOR: dict[Shape, float] = {
    Shape(): 0.0,
    Shape("monotone", 1.0): 0.005,
    Shape("natural", 0.5): 0.007,
    Shape("natural", 1.0): 0.020,
    Shape(pull=PULL): -0.003,
    Shape("natural", 0.5, PULL): 0.006,
    Shape("natural", 1.0, PULL): 0.019,
}
"""Forms that are tried, each with the logarithm of its held-out W1 over that of straight paths: the upper
quartile over simulated courses (benchmarks/path_prior.py), so what it reaches on three courses of four."""
PRIOR_FOLDS = 2
"""The prior counts as much as so many left-out times."""
CLEAR = 0.005
"""Another form than straight must promise to be half a per cent better."""
MOST_FOLDS = 3
CELLS = 600
"""Cells a side that are compared."""
QUICK = SplineSettings(steps=150, batch=256, width=64, depth=3)
PULLED_PATHS, EULER_STEPS = 1_024, 20
STREAM = 31


@dataclass(frozen=True)
class AutoSettings(TransportSettings):
    """Settings of flow matching with the form of path chosen from the data."""


class AutoFlowMatching(SplineFlowMatching):
    """Regress the velocity along paths whose form is chosen by an inner leave-one-time-out.

    Up to three inner times of the training data are left out in turn. The others are paired and joined by
    paths of every form; a small network learns the velocity along those that cross the left-out time, real
    cells of the time before are carried to it, and W1 to its real cells is taken. The form with the least
    score (`scored`) is used.
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
        bridge = couple(states[k - 1], states[k], name="quick", seed=problem.seed)
        couplings = [*self.couplings[: k - 1], bridge, *self.couplings[k + 1 :]]
        bundle = Bundle(states, np.delete(problem.times, k), couplings)
        start, target = (_some(problem.states[at], rng) for at in (k - 1, k))
        apart = {}
        for shape in PRIOR:
            there = Crossing(bundle, k - 1, shape, seed=problem.seed).carried(start, problem.times[k])
            apart[shape] = max(metrics.w1(there, target), np.finfo(float).tiny)
        return {shape: math.log(w1 / apart[Shape()]) for shape, w1 in apart.items()}

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """What was chosen, why, and the scores of all forms."""
        return {"selection": self.selection}


class Crossing(TransportFlowMatching):
    """One interval of a bundle of paths, learned quickly and by itself."""

    def __init__(self, bundle: Bundle, k: int, shape: Shape, *, seed: int) -> None:
        self.bundle, self.k, self.shape = bundle, k, shape
        super().__init__(Problem(tuple(bundle.states[k : k + 2]), bundle.times[k : k + 2], seed), QUICK)
        rng = np.random.default_rng([seed, STREAM, k])
        pairs = self.couplings[0].sample(PULLED_PATHS, rng)
        self.pulled = bundle.pulled(k, pairs, shape=shape, rng=rng) if shape.pull else None

    def _couplings(self, settings: TransportSettings, progress: Progress) -> Iterator[Coupling]:
        yield self.bundle.chains.couplings[self.k]

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the bundle's paths."""
        where = s.numpy().astype(np.float64)
        paths = (self.bundle, self.k, self.pulled)
        return sampled(paths, pairs, where, shape=self.shape, noise=self.path.sigma, rng=rng)

    def carried(self, start: np.ndarray, time: float) -> np.ndarray:
        """Train, and carry cells from the interval's begin to a time within it."""
        problem = self.problem
        net = networks.fresh(
            Architecture(problem.dim, QUICK.width, QUICK.depth, self.heads(problem.dim, QUICK)),
            seed=problem.seed,
        )
        phases = (Phase(self, QUICK.steps, QUICK.learning_rate),)
        train(phases, begin(net, QUICK, phases=phases), QUICK, seed=problem.seed)
        x, step = torch.from_numpy(start), (time - problem.times[0]) / EULER_STEPS
        with torch.no_grad():
            for at in torch.from_numpy(problem.times[0] + step * np.arange(EULER_STEPS)):
                features = self.clock.features(at).expand(len(x), -1)
                x = x + float(step * self.clock.speed(at)) * net(features, x)["velocity"]
        return x.numpy()


def scored(ratios: Sequence[dict[Shape, float]]) -> dict[Shape, float]:
    """Score every form from its log ratios at the left-out times; less is better, straight paths have 0.

    Mean over the left-out times and the prior, which counts as two of them, plus the root mean square of the
    losses among them: a form that is now and then much worse than straight paths is not taken for its gains
    elsewhere.
    """
    scores = {}
    for shape, prior in PRIOR.items():
        values = np.array([*(one[shape] for one in ratios), *[prior] * PRIOR_FOLDS])
        scores[shape] = float(values.mean() + np.sqrt(np.square(values.clip(min=0)).mean()))
    return scores


def _some(states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return states if len(states) <= CELLS else states[rng.choice(len(states), CELLS, replace=False)]


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
            why = f"leaving out {n}, they {better} straight paths"
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
