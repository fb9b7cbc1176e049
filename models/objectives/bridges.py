"""Flow matching along paths that bend or wander: quarter turns, Brownian bridges, and their score."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.coupling import Coupling, couple
from dynamics.field import Progress, no_progress
from dynamics.transport_plans import mean_square
from models.clock import Clock, typical_speeds
from models.config import knob
from models.objectives.base import Batches, Method, Problem, TrainingSettings
from models.objectives.flow_matching import FlowMatching, FlowMatchingSettings
from models.paths import Bridge, PathPoint, Trigonometric

USUAL = 0.3
"""Noise that is taken by itself, in units of the spread of the cells of one time."""
LEAST = 0.02
"""But never less than this share of the spread of all states, where the cells of a time are alike."""
MARGIN = 5e-3
"""Share of an interval, at either end, in which the velocity of a bridge is not learned: it has no bound."""
SHARPEST = 5e-3
"""Smallest weight of the entropy, in units of the mean squared distance once the centres of the two times
coincide, with which cells are paired."""


@dataclass(frozen=True)
class BridgeSettings(FlowMatchingSettings):
    """Settings of flow matching along Brownian bridges."""

    noise: float | None = knob(
        None,
        label="Noise of cells",
        help="How far chance alone would carry a cell from one measured time to the next, in every "
        "dimension, whatever the time between them. Left empty: 0.3 × the spread of the cells of one time.",
        min=1e-3,
        max=5.0,
        unit="× the spread of the states",
    )


@dataclass(frozen=True)
class ScoreSettings(BridgeSettings):
    """Settings of score and flow matching; the score would not follow a fine-tuned velocity."""

    fine_tune: ClassVar[int] = 0
    fine_tune_rate: ClassVar[float] = 0.0

    pairing: str = knob(
        "auto",
        label="Pairing of cells",
        help="How cells of neighbouring times are matched: so that they move least, or as the noise itself "
        "would match them, which is blurred where there is much noise.",
        choices={
            "auto": "least movement",
            "entropic": "by the noise (Schrödinger bridge)",
        },
    )


class VariancePreserving(FlowMatching):
    """Regress the velocity of quarter turns between independently drawn cells (VP-CFM).

    The turn keeps the variance of states of mean zero. So it is made by the deviations of the cells from the
    mean of their time, and the mean itself goes straight from time to time.

    References
    ----------
    Albergo and Vanden-Eijnden, ICLR 2023; Tong et al., TMLR 2024 (VP-CFM).
    """

    def __init__(
        self, problem: Problem, settings: FlowMatchingSettings, *, progress: Progress = no_progress
    ) -> None:
        super().__init__(problem, settings, progress=progress)
        means = (states.mean(axis=0, dtype=np.float64) for states in problem.states)
        self.means = [torch.from_numpy(mean).float() for mean in means]

    def path_for(self, settings: FlowMatchingSettings) -> Trigonometric:
        return Trigonometric(settings.noise)

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample points on the turns of the given pairs."""
        x0, x1 = (
            torch.from_numpy(self.problem.states[at][rows]) - self.means[at]
            for at, rows in zip((k, k + 1), pairs, strict=True)
        )
        eps = torch.from_numpy(rng.standard_normal(x0.shape, np.float32)) if self.path.sigma else None
        point = self.path(x0, x1, s, eps)
        m0, m1 = self.means[k], self.means[k + 1]
        return PathPoint(point.xs + torch.lerp(m0, m1, s), point.us + (m1 - m0))


class BridgeFlowMatching(FlowMatching):
    """Regress the velocity of Brownian bridges between cells paired as their noise would (SB-CFM).

    The noise σ is that of one interval: between two measured times a bridge has the variance σ² s (1 − s) in
    every dimension, whatever the time between them, since times are chosen so that about as much happens
    from each to the next. In real time that is a diffusion of σ/√Δ per square root of the unit of time.
    Pairs come from the plan that minimises ⟨‖x0 − x1‖², π⟩ + 2σ² KL(π | q0 ⊗ q1): the Schrödinger bridge of
    Brownian motion with variance σ².

    References
    ----------
    Tong et al., TMLR 2024, Proposition 3.4 (SB-CFM): entropic plan with regularisation 2σ².
    """

    margin: ClassVar[float] = MARGIN

    def __init__(
        self, problem: Problem, settings: BridgeSettings, *, progress: Progress = no_progress
    ) -> None:
        self.sigma = chosen_noise(settings, problem.states)
        super().__init__(problem, settings, progress=progress)
        moved = np.sqrt([coupling.cost / problem.dim + self.sigma**2 for coupling in self.couplings])
        self.clock = Clock(problem.times, typical_speeds(problem.times, moved))

    def path_for(self, settings: BridgeSettings) -> Bridge:
        return Bridge(self.sigma)

    @staticmethod
    def pairing(settings: BridgeSettings) -> str:
        return "entropic"

    def paired(self, x0: np.ndarray, x1: np.ndarray, settings: BridgeSettings) -> Coupling:
        """Pair the cells of one interval as Brownian motion would, or by least movement."""
        if self.pairing(settings) != "entropic":
            return super().paired(x0, x1, settings)
        reg = 2 * self.sigma**2 / mean_square(x0, x1, centred=True)
        if reg >= SHARPEST:
            return couple(x0, x1, name="entropic", seed=self.problem.seed, reg=reg)
        note = (
            f"With noise of {self.sigma:.2g} × the spread of the states the plan of the bridge is sharper "
            f"(entropy below {SHARPEST:g} × the mean squared distance) than can be computed, so that cells "
            "were paired by least movement, to which it comes close."
        )
        if note not in self.problem.notes:
            self.problem.notes.append(note)
        return self.coupled(x0, x1, "auto")

    def rebuilt(self, problem: Problem) -> "BridgeFlowMatching":
        """Make the objective anew on other cells, with the noise that was chosen."""
        return type(self)(problem, replace(self.settings, noise=self.sigma), progress=no_progress)


class ScoreFlowMatching(BridgeFlowMatching):
    """Regress velocity and score of Brownian bridges: a stochastic process, learned without simulation.

    The head "score" is s_θ/σ, where s_θ = ½σ² ∇log p is in scaled states per interval. It is regressed by
    ‖λ s_θ + ε‖² with λ = 2 √(s (1 − s)) / σ, so that nothing is divided by zero near the ends, and added to
    the loss of the velocity. Table "sigma": the noise of each interval, in scaled states.

    References
    ----------
    Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024, eq. 9–12 and
    appendix F.1 (weight λ; exact plans in place of entropic ones).
    """

    @staticmethod
    def pairing(settings: ScoreSettings) -> str:
        return settings.pairing

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"velocity": dim, "score": dim}

    def tables(self) -> Mapping[str, np.ndarray]:
        return {"sigma": np.full(self.problem.n_intervals, self.sigma, np.float32)}

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        return dict(shapes) == {"sigma": (n_times - 1,)}

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Mean squared error of the velocity, relative to the typical speed, and of λ s_θ as −ε."""
        out = net(batch["time"], batch["z"])
        noise = 2 * batch["width"] * out["score"]
        return functional.mse_loss(out["velocity"], batch["velocity"]) + functional.mse_loss(
            noise, -batch["eps"]
        )

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean velocity and no score everywhere."""
        return super().reference(batches) + float(batches["eps"].double().square().mean())

    def figures(self, net: nn.Module) -> dict[str, Any]:
        return {"noise": self.sigma}


def chosen_noise(settings: BridgeSettings, states: tuple[np.ndarray, ...]) -> float:
    """Noise of one interval, in scaled states: as set, or 0.3 × the spread of the cells of one time."""
    return max(USUAL * spread_within(states), LEAST) if settings.noise is None else settings.noise


def spread_within(states: tuple[np.ndarray, ...]) -> float:
    """Root mean square distance of cells from the mean of their time, per dimension, times weighing alike."""
    return float(np.sqrt(np.mean([one.var(axis=0, dtype=np.float64).mean() for one in states])))


METHODS = (
    Method(
        name="vp-cfm",
        title="Flow matching along quarter turns",
        purpose="where",
        summary="Cells are paired at random and mixed along a quarter of a turn, so that the spread of the "
        "cells stays in between what it is at the two times.",
        reference="Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, ICLR "
        "2023; Tong et al., TMLR 2024.",
        use_when="You want a baseline with random pairs whose cells do not bunch up between the times.",
        cannot="Pairs are random, so one cell's path means less than with ot-cfm.",
        settings=FlowMatchingSettings,
        objective=VariancePreserving,
    ),
    Method(
        name="sb-cfm",
        title="Flow matching along noisy bridges",
        purpose="where",
        summary="Cells are paired as they would be if they wandered at random, and joined by random walks "
        "held at both ends; the network learns the mean velocity of these walks.",
        reference="Tong et al., Improving and generalizing flow-based generative models with minibatch "
        "optimal transport, TMLR 2024.",
        use_when="You believe that chance plays a part in where cells go, and want the mean course only.",
        cannot="It still gives one path per cell; for the chance itself take sf2m. In many dimensions the "
        "noise blurs the smaller ones.",
        settings=BridgeSettings,
        objective=BridgeFlowMatching,
    ),
    Method(
        name="sf2m",
        title="Flow with chance (score and flow matching)",
        purpose="sure",
        summary="Besides the velocity the network learns where cells are dense. Together with noise of a "
        "strength that you choose, one cell then has many possible futures, which can be drawn one by one.",
        reference="Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS "
        "2024.",
        use_when="You want the spread of a cell's fate: the chance of each end state.",
        cannot="The data do not tell how strong the noise is: twice the noise, about twice the spread. Look "
        "at the preview, and compare two strengths before you trust a share.",
        settings=ScoreSettings,
        objective=ScoreFlowMatching,
    ),
)
