"""Action matching: learn a landscape that cells roll down, where they also may multiply or be jostled."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics.errors import SettingsError
from dynamics.field import Progress, no_progress
from dynamics.transport_plans import mean_square
from models.clock import Clock
from models.config import knob
from models.objectives.base import Batches, Method, Objective, Problem, TrainingSettings
from models.objectives.bridges import ScoreFlowMatching, ScoreSettings
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings
from models.objectives.unbalanced import GrowthFlowMatching, GrowthSettings, numbers_knob
from models.paths import PathPoint

HIGHEST = 3.0
"""Where cells grow, heights stay within about so many typical distances, in scaled units."""
SMALLEST = 1e-6
"""Least relaxation of rows that counts, in squared scaled units."""


@dataclass(frozen=True)
class ActionMatchingSettings(TransportSettings):
    """Settings of action matching."""

    growth: bool = knob(
        False,
        label="Population grows or dies",
        help="Cells high up in the landscape die, cells low down multiply: one landscape for both, so growth "
        "is that which fits the movement.",
        advanced=True,
    )
    numbers: str = numbers_knob(advanced=True)
    diffusion: float = knob(
        0.0,
        label="Noise of cells",
        help="How far chance alone would carry a cell from one measured time to the next, in every "
        "dimension. The landscape is then that in which cells roll while chance pushes them.",
        min=0.0,
        max=5.0,
        unit="× the spread of the states",
        advanced=True,
    )


class ActionMatching(TransportFlowMatching):
    """Learn the landscape U whose steepest descent −∇U carries the cells from time to time.

    With S = −U, action matching minimises over all S

        E S(τ₀, x₀) − E S(τ₁, x₁) + ∫ E[∂ₜS + ½‖∇S‖²] dt,

    the means being over the cells at each time; it needs samples x at the times in between, which are taken
    from the straight lines between cells paired by optimal transport (blurred as in flow matching). On such
    lines the ends can be paired: ∂ₜS + ∇S·ẋ is the derivative of S along a line, its integral is
    S(τ₁, x₁) − S(τ₀, x₀), and what is left of the loss is

        ∫ E[½‖∇S‖² − ∇S·ẋ] dt = ½ ∫ E‖∇S − ẋ‖² dt − ½ ∫ E‖ẋ‖² dt,

    the same number with far less chance in it, and without a derivative in time. The last part does not
    depend on S. So the loss is that of flow matching, for a velocity that is a gradient; intervals count
    alike, relative to their typical speed.

    References
    ----------
    Neklyudov et al., Action matching, ICML 2023, eq. 6–8; Neklyudov et al., A computational framework for
    solving Wasserstein Lagrangian flows, ICML 2024.
    """

    kind = "potential"
    evaluations = 2.0

    def __new__(cls, problem: Problem, settings: ActionMatchingSettings, **options: Any) -> Objective:
        """Choose what is learned from the settings."""
        if settings.growth or settings.diffusion:
            _check_alone(settings)
        if settings.growth:
            return GrowingAction(problem, settings, **options)
        if settings.diffusion:
            return NoisyAction(problem, settings, **options)
        return super().__new__(cls)

    @staticmethod
    def heads(dim: int, settings: ActionMatchingSettings) -> dict[str, int]:
        return {"potential": 1} | ({"score": dim} if settings.diffusion else {})

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        each = (n_times - 1,)
        return dict(shapes) in ({}, {"growth_unit": each}, {"sigma": each, "score_unit": (1,)})


class GrowingAction(GrowthFlowMatching):
    """Learn a landscape U = −S that moves cells by ∇S and lets them multiply at the rate g = λS.

    With weights ω along the paths (numbers of descendants, as in growth-cfm: d log ω/dt = ĝ) unbalanced
    action matching minimises

        E S(τ₀, x₀) − E ωS(τ₁, x₁) + ∫ E ω[∂ₜS + ½‖∇S‖² + ½λS²] dt.

    Since d(ωS)/dt = ω(∂ₜS + ∇S·ẋ + ĝS) along a path, what is left is, but for a number,

        ½ ∫ E ω[‖∇S − ẋ‖² + λ(S − ĝ/λ)²] dt.

    Where its slope by S vanishes, E ω[∇φ·∇S + φλS] = E ω[∇φ·ẋ + φĝ] for every φ: the landscape carries the
    population along whatever λ is, with the least ½ ∫ E ω[‖v‖² + g²/λ] dt. λ, per squared scaled unit, is
    that of the pairing: its dual potential f has ẋ = −½∇f and ĝ = −f/ρ at the start of an interval, ρ being
    the weight with which rows are relaxed, so that λ = 2/ρ; it is raised where heights would exceed three
    typical distances. The network's height is −S over the typical speed c, and "growth_unit" is λc.

    References
    ----------
    Neklyudov et al., Action matching, ICML 2023 (unbalanced action matching); Neklyudov et al., A
    computational framework for solving Wasserstein Lagrangian flows, ICML 2024 (Wasserstein–Fisher–Rao).
    """

    kind = "potential"
    evaluations = 2.0

    shared: ClassVar[tuple[str, ...]] = (*GrowthFlowMatching.shared, "ties")

    def __init__(
        self,
        problem: Problem,
        settings: ActionMatchingSettings | GrowthSettings,
        *,
        progress: Progress = no_progress,
    ) -> None:
        paths = settings
        if isinstance(settings, ActionMatchingSettings):
            paths = GrowthSettings(numbers=settings.numbers, noise=settings.noise)
        super().__init__(problem, paths, progress=progress)
        states = [one.astype(np.float64) for one in problem.states]
        relaxed = [self.reg_m * mean_square(*pair) for pair in pairwise(states)]
        typical, reach = self.unit * np.diff(problem.times), self.clock.speeds * np.diff(problem.times)
        self.ties = np.maximum(2 / np.maximum(relaxed, SMALLEST), typical / (HIGHEST * reach))
        self.unit = (self.ties * self.clock.speeds).astype(np.float32)
        self.growth_clock = Clock(problem.times, self.unit.astype(np.float64))

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"potential": 1}

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample paths with growth, and λ at each point."""
        point = super().points(k, pairs, s, rng)
        t = self.problem.times[k] + (self.problem.times[k + 1] - self.problem.times[k]) * s.double()
        tie = self.growth_clock.speed(t) / self.clock.speed(t)
        return PathPoint(point.xs, point.us, {**point.extra, "tie": tie.float()})

    def growth_loss(self, out: Batches, batch: Batches) -> torch.Tensor:
        """λ (S − ĝ/λ)², weighted, per dimension, in squared typical speeds."""
        growing = batch["tie"] * functional.mse_loss(out["growth"], batch["growth"], reduction="none")
        return (batch["weight"] * growing).mean() / self.problem.dim

    def growth_reference(self, batches: Batches) -> float:
        """Loss of the one height that fits the mean growth best."""
        weight, height = (batches["weight"] * batches["tie"]).double(), batches["growth"].double()
        mean = (weight * height).sum() / weight.sum()
        return float((weight * (height - mean).square()).mean()) / self.problem.dim

    def chosen(self) -> dict[str, Any]:
        """How growth was found, and λ of each interval, per squared spread of the states."""
        return super().chosen() | {"growth_per_height": self.ties.tolist()}


class NoisyAction(ScoreFlowMatching):
    """Learn the landscape U = −S in which cells roll while chance pushes them: dx = ∇S dt + g dW.

    With ∂q/∂t = −∇·(q∇S) + ½g²Δq, entropic action matching minimises

        E S(τ₀, x₀) − E S(τ₁, x₁) + ∫ E[∂ₜS + ½‖∇S‖² + ½g²ΔS] dt,

    the means being over Brownian bridges of noise g between cells paired as that noise would pair them. A
    bridge has a velocity ẋ, so that the ends can be paired as without noise; and E ΔS = −E ∇S·∇log q by
    parts. What is left is, but for a number,

        ½ ∫ E‖∇S − ½g²∇log q − ẋ‖² dt:

    no second derivative is needed, and no limit of dimension. The head "score" learns σ_θ = ½g²∇log q, as in
    sf2m, from the noise of the bridges (over the typical speed, in units of the table "score_unit"), and is
    held while S is learned. The velocity of the model is the flow with the same cells at every time,
    v = ∇S − σ_θ. Where the loss is least, E ∇φ·v = E ∇φ·ẋ for every φ, so that v carries the cells along
    even where the score is not exact. Only the diffusion dx = (v + σ_θ) dt + g dW needs the score; its drift
    is ∇S.

    References
    ----------
    Neklyudov et al., Action matching, ICML 2023 (entropic action matching); Tong et al., Simulation-free
    Schrödinger bridges via score and flow matching, AISTATS 2024, eq. 8–12.
    """

    kind = "potential"
    evaluations = 2.0

    shared: ClassVar[tuple[str, ...]] = (*ScoreFlowMatching.shared, "score_unit")

    def __init__(
        self,
        problem: Problem,
        settings: ActionMatchingSettings | ScoreSettings,
        *,
        progress: Progress = no_progress,
    ) -> None:
        paths = settings
        if isinstance(settings, ActionMatchingSettings):
            paths = ScoreSettings(noise=settings.diffusion, pairing="entropic")
        super().__init__(problem, paths, progress=progress)
        self.score_unit = float(np.mean(self.sigma / (self.clock.speeds * np.diff(problem.times))))

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"potential": 1, "score": dim}

    def tables(self) -> Mapping[str, np.ndarray]:
        return {**super().tables(), "score_unit": np.array([self.score_unit], np.float32)}

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample bridges, with what turns the score into their noise."""
        point = super().points(k, pairs, s, rng)
        gap = self.problem.times[k + 1] - self.problem.times[k]
        reach = gap * self.clock.speed(self.problem.times[k] + gap * s.double())
        sharp = 2 * point.extra["width"] * (self.score_unit * reach / self.sigma).float()
        return PathPoint(point.xs, point.us, {**point.extra, "sharp": sharp})

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Squared error of the velocity, with the score held, and of the score as the noise of a bridge."""
        out = net(batch["time"], batch["z"])
        score = out["score"]
        velocity = out["velocity"] + self.score_unit * (score - score.detach())
        return functional.mse_loss(velocity, batch["velocity"]) + functional.mse_loss(
            batch["sharp"] * score, -batch["eps"]
        )


def _check_alone(settings: ActionMatchingSettings) -> None:
    """Refuse what does not go together with growth or noise."""
    if settings.growth and settings.diffusion:
        raise SettingsError(
            f"growth = true and diffusion = {settings.diffusion:g}: a landscape with both cannot be learned. "
            "Set diffusion to 0, or growth to false."
        )
    if settings.fine_tune:
        what = "growth" if settings.growth else "score"
        raise SettingsError(
            f"fine_tune = {settings.fine_tune}: this method also learns {what}, which fine-tuning of the "
            "velocity would spoil. Set fine_tune to 0, or choose ot-cfm."
        )


METHODS = (
    Method(
        name="action-matching",
        title="A landscape that cells roll down",
        purpose="landscape",
        summary="Cells are paired so that the total movement is least; a network then learns the height of a "
        "landscape, changing in time, whose steepest descent carries the cells along.",
        reference="Neklyudov et al., Action matching, ICML 2023; Neklyudov et al., A computational framework "
        "for solving Wasserstein Lagrangian flows, ICML 2024.",
        use_when="You want valleys and ridges: a height for each state and time, not only a direction.",
        cannot="Cells that turn in circles do not roll downhill: such motion is left out. Heights can be "
        "compared within one time, not between times; growth and death count as movement unless allowed for.",
        settings=ActionMatchingSettings,
        objective=ActionMatching,
    ),
)
