"""Flow matching where cells multiply, die, or have no counterpart."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynamics import growth
from dynamics.coupling import Coupling, couple
from dynamics.errors import DataError
from dynamics.field import Progress, no_progress
from dynamics.relaxation import Knee, knee
from models.clock import Clock
from models.config import knob
from models.objectives.base import Batches, Method, Problem, TrainingSettings
from models.objectives.flow_matching import FlowMatching, FlowMatchingSettings
from models.paths import PathPoint

CURVE = 129
"""Positions at which the total mass along an interval is tabulated."""
LEAST_GROWTH, PART_OF_MOST = 0.02, 0.1
"""Typical growth of an interval is at least 2 %, and a tenth of that of the interval with the most."""
PART_OF_MEAN = 0.1
"""Errors of growth count in units of its spread, which is at least a tenth of its mean."""


def numbers_knob(*, advanced: bool = False) -> Any:
    """Declare the question whether growth of the whole population can be read from the numbers of cells."""
    return knob(
        "ignore",
        label="Does the number of cells at each time mean anything?",
        help="If it depends on how many cells were captured, only differences in growth between cells of one "
        "time can be learned, not the growth of the whole population.",
        choices={
            "ignore": "No: it depends on how many were captured",
            "counts": "Yes: it follows the size of the population",
        },
        advanced=advanced,
    )


@dataclass(frozen=True)
class UnbalancedSettings(FlowMatchingSettings):
    """Settings of flow matching between cells that need not all have a counterpart."""

    strictness: float | None = knob(
        None,
        label="How strictly all cells are paired",
        help="Small: cells without a likely counterpart count less. Large: every cell counts the same. Left "
        "empty, it is chosen where the movement hardly depends on it.",
        min=1e-3,
        max=1e6,
        unit="× the mean squared distance between times",
    )
    blur: float = knob(
        0.02,
        label="Blur of the pairing",
        help="Each cell is paired with several of its likely counterparts; the larger, the more.",
        min=1e-4,
        max=10.0,
        unit="× the mean squared distance between times",
        advanced=True,
    )


@dataclass(frozen=True)
class GrowthSettings(FlowMatchingSettings):
    """Settings of flow matching with growth."""

    numbers: str = numbers_knob()
    growth_from: str = knob(
        "pairing",
        label="Where growth is read from",
        help="From cells that have more or fewer counterparts at the next time, or from the cell-cycle and "
        "apoptosis genes of each cell.",
        choices={"pairing": "how cells pair up", "genes": "proliferation and apoptosis genes"},
    )
    reg_m: float | None = knob(
        None,
        label="How equal growth is between cells",
        help="Small: neighbouring cells may differ in growth. Large: all cells grow alike. Left empty, it is "
        "chosen where the movement hardly depends on it. Used where growth is read from the pairing.",
        min=1e-3,
        max=1e6,
        unit="× the mean squared distance between times",
        advanced=True,
    )


class UnbalancedFlowMatching(FlowMatching):
    """Regress the velocity of straight paths between pairs of an unbalanced plan (UOT-FM).

    References
    ----------
    Eyring et al., Unbalancedness in neural Monge maps improves unpaired domain translation, ICLR 2024.
    """

    def __init__(
        self, problem: Problem, settings: UnbalancedSettings, *, progress: Progress = no_progress
    ) -> None:
        self.knee, self.reg_m = _strictness(problem, settings.strictness)
        super().__init__(problem, settings, progress=progress)

    def paired(self, x0: np.ndarray, x1: np.ndarray, settings: UnbalancedSettings) -> Coupling:
        seed = self.problem.seed
        return couple(x0, x1, name="unbalanced", seed=seed, reg=settings.blur, reg_m=self.reg_m)

    def rebuilt(self, problem: Problem) -> "UnbalancedFlowMatching":
        """Make the objective anew on other cells, paired as strictly."""
        return type(self)(problem, replace(self.settings, strictness=self.reg_m))

    def spoiled(self) -> str:
        return "this method leaves out cells without a counterpart"

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """How strictly cells were paired, and the share of the mass that found a counterpart."""
        return {
            "strictness": self.reg_m,
            "knee": _curve(self.knee),
            "paired_mass": [coupling.mass for coupling in self.couplings],
        }


class GrowthFlowMatching(FlowMatching):
    """Regress velocity and growth together along straight paths of cells that multiply (VGFM).

    Row i of an interval's plan has mass r_i: how many cells of the next time descend from it. On its path the
    cell stands for r_i^s cells at position s, so its growth is log r_i per interval, constant along the path;
    points of the path are weighted by r_i^s, which makes velocity v and growth g satisfy
    ∂ρ/∂t + ∇·(ρv) = gρ with the population at both ends. Where numbers are ignored, the weights are divided
    by their mean at each position: then the mean growth of the population is zero at all times.

    The head "growth" is d log(weight)/dt over the typical rate of its interval, kept in the table
    "growth_unit" (n_intervals,), per unit of time; between intervals it changes as the typical speed does.

    References
    ----------
    Wang et al., Joint velocity-growth flow matching for single-cell dynamics modeling, 2025 (VGFM). Klein et
    al., moscot, Nature 2025 (growth from genes as row marginals).
    """

    shared: ClassVar[tuple[str, ...]] = ("clock", "unit", "growth_clock", "spread")

    def __init__(
        self, problem: Problem, settings: GrowthSettings, *, progress: Progress = no_progress
    ) -> None:
        self.counted, self.knee, self.reg_m = settings.numbers == "counts", None, None
        if settings.growth_from == "genes":
            self._expected = iter(expected_masses(problem, counted=self.counted))
        else:
            self.knee, self.reg_m = _strictness(problem, settings.reg_m)
        super().__init__(problem, settings, progress=progress)
        self.masses = tuple(_RowMasses(c.row_mass, centred=not self.counted) for c in self.couplings)
        typical = np.array([masses.typical for masses in self.masses])
        typical = np.maximum(typical, max(LEAST_GROWTH, PART_OF_MOST * typical.max()))
        self.unit = (typical / np.diff(problem.times)).astype(np.float32)
        self.growth_clock = Clock(problem.times, self.unit.astype(np.float64))
        scaled = [masses.log / unit for masses, unit in zip(self.masses, typical, strict=True)]
        values = np.concatenate(scaled)
        self.spread = max(float(values.std()), PART_OF_MEAN * abs(float(values.mean())), PART_OF_MEAN)

    def rebuilt(self, problem: Problem) -> "GrowthFlowMatching":
        """Make the objective anew on other cells, whose growth is held as equal."""
        return type(self)(problem, replace(self.settings, reg_m=self.reg_m))

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"velocity": dim, "growth": 1}

    def tables(self) -> dict[str, np.ndarray]:
        return {"growth_unit": self.unit}

    @staticmethod
    def tables_fit(shapes: Mapping[str, tuple[int, ...]], *, dim: int, n_times: int) -> bool:
        return dict(shapes) == {"growth_unit": (n_times - 1,)}

    def paired(self, x0: np.ndarray, x1: np.ndarray, settings: GrowthSettings) -> Coupling:
        if settings.growth_from == "genes":
            return couple(x0, x1, seed=self.problem.seed, row_mass=next(self._expected))
        total = len(x1) if self.counted else len(x0)
        seed = self.problem.seed
        return couple(x0, x1, name="semi-relaxed", seed=seed, reg_m=self.reg_m, total=total)

    def points(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], s: torch.Tensor, rng: np.random.Generator
    ) -> PathPoint:
        """Sample paths, half from all earlier cells alike and half by mass, with the weight of each point."""
        i, j = pairs[0].copy(), pairs[1].copy()
        alike = np.flatnonzero(rng.random(len(i)) < 0.5)
        i[alike] = rng.integers(len(self.problem.states[k]), size=len(alike))
        j[alike] = self.couplings[k].partners(i[alike], rng)
        point = super().points(k, (i, j), s, rng)
        growth, weight = self.masses[k](i, s.numpy().ravel())
        gap = self.problem.times[k + 1] - self.problem.times[k]
        unit = self.growth_clock.speed(self.problem.times[k] + gap * s.double())
        target = torch.from_numpy(growth)[:, None] / (gap * unit)
        extra = {"growth": target.float(), "weight": torch.from_numpy(weight)[:, None].float()}
        return PathPoint(point.xs, point.us, extra)

    def loss(self, net: nn.Module, batch: Batches) -> torch.Tensor:
        """Weighted squared error of velocity, in squared typical speeds, and of growth, in its spread."""
        out = net(batch["time"], batch["z"])
        velocity = functional.mse_loss(out["velocity"], batch["velocity"], reduction="none")
        return (batch["weight"] * velocity).mean() + self.growth_loss(out, batch)

    def growth_loss(self, out: Batches, batch: Batches) -> torch.Tensor:
        """Weighted squared error of the head "growth", in its spread."""
        growing = functional.mse_loss(out["growth"], batch["growth"], reduction="none")
        return (batch["weight"] * growing).mean() / self.spread**2

    def reference(self, batches: Batches) -> float:
        """Loss of predicting the mean velocity and the mean growth everywhere."""
        return _spread_about_mean(batches, "velocity") + self.growth_reference(batches)

    def growth_reference(self, batches: Batches) -> float:
        """Loss of predicting the mean growth everywhere."""
        return _spread_about_mean(batches, "growth") / self.spread**2

    def figures(self, net: nn.Module) -> dict[str, Any]:
        """How growth was found, and the total mass at each time."""
        field = ScaledField(net, (self.clock, self.growth_clock), dim=self.problem.dim)
        return self.chosen() | population(field, self.problem, counted=self.counted)

    def chosen(self) -> dict[str, Any]:
        """How equal the growth of all cells was held, and the curve that this was chosen from."""
        return {"reg_m": self.reg_m, "knee": _curve(self.knee)}


def population(field: "ScaledField", problem: Problem, *, counted: bool) -> dict[str, Any]:
    """Follow all cells of the first time: total mass at each time, and its error where numbers count."""
    sizes = [len(states) for states in problem.states]
    weights = growth.follow(field, problem.states[0], problem.times).weights.astype(np.float64) / sizes[0]
    found = {
        "numbers": "counts" if counted else "ignore",
        "total_mass": [float(row.sum()) for row in weights],
        "growth_means": GROWTH_MEANS[counted],
    }
    if counted:
        errors = [growth.relative_mass_error(row, n, sizes[0]) for row, n in zip(weights, sizes, strict=True)]
        found["relative_mass_error"] = errors
    return found


GROWTH_MEANS = {
    True: "Growth is that of the population: its sum follows the number of cells at each time.",
    False: "Growth is relative: the numbers of cells were ignored, so its mean over the population is zero "
    "at each time.",
}


class _RowMasses:
    """Growth and weight of the cells of one interval along their paths, from their numbers of descendants."""

    def __init__(self, mass: np.ndarray, *, centred: bool) -> None:
        self.log = np.log(mass)
        self.typical = float(np.sqrt(np.square(self.log).mean()))
        self.drawn = 0.5 / len(mass) + 0.5 * mass / mass.sum()
        self.at = np.linspace(0, 1, CURVE)
        powers = np.exp(np.outer(self.at, self.log))
        self.log_total = np.log(powers.sum(axis=1))
        self.mean = powers @ self.log / powers.sum(axis=1) if centred else np.zeros(CURVE)

    def __call__(self, rows: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Growth per interval, and share of the population over the chance of being drawn, each (n,)."""
        log, total = self.log[rows], np.interp(s, self.at, self.log_total)
        weight = np.exp(s * log - total) / self.drawn[rows]
        return log - np.interp(s, self.at, self.mean), weight


class ScaledField:
    """A network being trained as a field with growth, in scaled states and the data's unit of time."""

    has_growth = True

    def __init__(self, net: nn.Module, clocks: tuple[Clock, Clock], *, dim: int) -> None:
        self.net, self.dim = net, dim
        self.clock, self.growth_clock = clocks
        self.axis = SimpleNamespace(values=self.clock.times)

    def __call__(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        time = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
        velocity = self.net(self.clock.features(time), x)["velocity"]
        return velocity * self.clock.speed(time)[:, None].float()

    def growth(self, t: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        time = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
        rate = self.net(self.clock.features(time), x)["growth"].squeeze(-1)
        return rate * self.growth_clock.speed(time).float()


def _spread_about_mean(batches: Batches, name: str) -> float:
    """Weighted mean squared deviation of a target from its weighted mean."""
    weight, value = batches["weight"].double(), batches[name].double()
    mean = (weight * value).sum(dim=(0, 1)) / weight.sum()
    return float((weight * (value - mean).square()).mean())


def expected_masses(problem: Problem, *, counted: bool) -> list[np.ndarray]:
    """Numbers of descendants of the cells of each interval that their genes speak for, (n_k,) each.

    r_i ∝ exp(g_i Δ); they sum to the cells of the next time where these are counted, else to those there are.

    Raises
    ------
    DataError
        No growth rates were given with the snapshots.
    """
    if problem.prior_growth is None:
        raise DataError(
            'Growth from genes (growth_from = "genes") needs the growth rate that the genes of each cell '
            "speak for. Train on a data set with cell-cycle and apoptosis genes (such as MKI67, TOP2A and "
            "CASP3, by symbol), give the snapshots their prior_growth, or learn growth from the pairing."
        )
    masses = []
    for k, gap in enumerate(np.diff(problem.times)):
        log = problem.prior_growth[k] * gap
        mass = np.exp(log - log.max())
        total = len(problem.states[k + 1]) if counted else len(problem.states[k])
        masses.append(mass * (total / mass.sum()))
    return masses


def _strictness(problem: Problem, given: float | None) -> tuple[Knee | None, float]:
    """The relaxation that was given, or that at the knee of the cost."""
    if given is not None:
        return None, given
    states = [np.asarray(x, np.float64) for x in problem.states]
    found = knee(list(pairwise(states)), seed=problem.seed)
    return found, found.reg_m


def _curve(found: Knee | None) -> dict[str, list[float]] | None:
    return None if found is None else {"reg_m": found.grid.tolist(), "cost": found.cost.tolist()}


METHODS = (
    Method(
        name="growth-cfm",
        title="Flow matching with growth",
        purpose="growth",
        summary="Cells of neighbouring times are paired such that some may have more descendants than "
        "others; a network learns where cells go and how fast they multiply or die.",
        reference="Wang et al., Joint velocity-growth flow matching for single-cell dynamics modeling, 2025; "
        "Chizat et al., Math. Comp. 2018; Klein et al., moscot, Nature 2025 (growth from genes).",
        use_when="Populations grow or shrink, and you want to tell growth from movement.",
        cannot="Where neighbouring cells grow differently while they move, growth and movement cannot be "
        "told apart; without meaningful numbers of cells growth is relative.",
        settings=GrowthSettings,
        objective=GrowthFlowMatching,
    ),
    Method(
        name="uot-cfm",
        title="Flow matching between cells that need no counterpart",
        purpose="growth",
        summary="As flow matching with optimal transport, but cells without a likely counterpart count less "
        "instead of being forced into a pair.",
        reference="Eyring et al., Unbalancedness in neural Monge maps improves unpaired domain translation, "
        "ICLR 2024; Chizat et al., Math. Comp. 2018.",
        use_when="Some cells appear or vanish between times, by sampling, growth or death, and would be "
        "paired across the map.",
        cannot="It gives no growth rate, only movement that is less disturbed by growth.",
        settings=UnbalancedSettings,
        objective=UnbalancedFlowMatching,
    ),
)
