"""How long a training will take and how much memory, told before it starts.

Time is counted in passes: one forward and backward pass of the very network on one batch, with the step of
the optimiser, measured on this machine. What is done once, above all the pairing of cells, comes from the
sizes of the snapshots by rules fitted to measurements (benchmarks/estimate.py prints both side by side).
"""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from dynamics.coupling import EXACT_ENTRIES, EXACT_MEMORY
from dynamics.errors import SettingsError
from dynamics.field import no_progress
from dynamics.relaxation import KNEE_INTERVALS
from dynamics.transport_plans import DENSE_ENTRIES, DENSE_PAIRS, SAMPLED_PAIRS
from models import metric, networks
from models.adam import AdamW
from models.clock import N_FEATURES
from models.config import TrainConfig
from models.ensemble import lighter
from models.loop import DRAW, WINDOW
from models.methods import find, settings_of, stacks
from models.objectives.action_matching import ActionMatching
from models.objectives.auto import CELLS, MOST_FOLDS, PRIOR, QUICK, AutoFlowMatching
from models.objectives.base import Objective, Problem, TrainingSettings
from models.objectives.bridges import SHARPEST, USUAL, BridgeFlowMatching
from models.objectives.cnf import Likelihood
from models.objectives.flow_matching import LEAST_MOVEMENT, FlowMatching
from models.objectives.genot import Descendants
from models.objectives.metric import MetricFlowMatching
from models.objectives.rollout import CLOCK_CELLS, RollOut
from models.objectives.spline import SplineFlowMatching
from models.objectives.unbalanced import GrowthFlowMatching, UnbalancedFlowMatching
from models.train import one_thread, suited_steps

MEASURED_S, WARM_UP = 0.04, 3
"""Seconds spent on measuring a pass, and passes before that which do not count."""
JUDGE_PASSES = 30
"""Passes that judging the result costs."""
OVERHEAD_S, READ_BYTES_S = 0.3, 1.5e8
"""Of a job: seconds for anything, and bytes of the data set read in a second."""
OVERHEAD = 1.2e7
"""Of a pass: products of weights and cells that take as long as all that does not depend on their number."""
KNEE_S = 0.15
"""Seconds an interval for choosing how strictly growth must be equal."""
FLOAT = 4


@dataclass(frozen=True)
class Sizes:
    """How large the snapshots are."""

    counts: tuple[int, ...]
    """Cells at each time."""
    dim: int
    """Dimensions in which is learned."""
    data_bytes: int = 0
    """Memory that the data set itself takes while it is read."""

    @property
    def n_cells(self) -> int:
        return sum(self.counts)

    @property
    def n_times(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class Estimate:
    """What a training costs on this machine when nothing else runs."""

    seconds: float
    """If all steps are made."""
    least_seconds: float
    """If the loss settles as early as it may."""
    bytes: int
    """Memory on top of what an idle worker holds."""
    parts: Mapping[str, float]
    """Seconds by what they are spent on; they add up to `seconds`."""


def estimate(sizes: Sizes, config: TrainConfig, *, pass_s: float) -> Estimate:
    """Estimate time and memory of `models.train.fit` and of what a job does around it.

    Parameters
    ----------
    pass_s
        Seconds of one pass of the network on one batch, as `pass_seconds` measures it.
    """
    method, settings = find(config.method), settings_of(config)
    objective, steps = method.objective, settings.steps
    steps = suited_steps(sizes) if steps is None else steps
    each = passes(objective, settings, sizes) * pass_s + _drawing(objective, settings, sizes)
    tuned = getattr(settings, "fine_tune", 0)
    parts = {
        "reading": OVERHEAD_S + sizes.data_bytes / READ_BYTES_S,
        "pairing": sum(_pairing(objective, settings, sizes, n0, n1) for n0, n1 in pairwise(sizes.counts)),
        "preparing": _preparing(objective, settings, sizes, pass_s=pass_s),
        "training": steps * each,
        "fine-tuning": tuned * pass_s * _rolled(sizes),
        "judging": JUDGE_PASSES * each,
    }
    early = max(steps - 4 * WINDOW, 0)
    parts["ensemble"], saved = 0.0, early * each
    if config.members > 1:
        once, every = _members(config, sizes, parts, each=each, pass_s=pass_s)
        parts["ensemble"] = once + steps * every
        saved += early * every
    total = sum(parts.values())
    return Estimate(total, total - saved, _bytes(config, sizes), parts)


def _members(
    config: TrainConfig, sizes: Sizes, parts: Mapping[str, float], *, each: float, pass_s: float
) -> tuple[float, float]:
    """Seconds that the other members of an ensemble take once, and in every step.

    Parameters
    ----------
    parts, each
        Seconds that the model itself takes, by what they are spent on, and in every step.
    """
    objective, settings = find(config.method).objective, settings_of(config)
    n = config.members - 1
    if not stacks(config):
        return n * (parts["pairing"] / 2 + parts["preparing"] + parts["fine-tuning"]), n * each
    light = lighter(settings)
    name = coupling(objective, settings, sizes)
    near = "assignment" if name in LEAST_MOVEMENT else name
    halves = pairwise((n + 1) // 2 for n in sizes.counts)
    paired = sum(pairing_seconds(near, n0, n1, dim=sizes.dim) for n0, n1 in halves)
    pulled = issubclass(objective, AutoFlowMatching) or getattr(settings, "pull", 0)
    bent = 4 * (sizes.n_times - 1) * _pulling(sizes) if pulled else 0.0
    weight = _n_weights(_shape(settings, sizes))
    share = (OVERHEAD + n * light.batch * weight) / (OVERHEAD + settings.batch * weight)
    drawn = n * _drawing(objective, light, sizes) / 2
    return n * (paired + bent), passes(objective, settings, sizes) * pass_s * share + drawn


def network(sizes: Sizes, config: TrainConfig) -> tuple[networks.Architecture | None, int]:
    """Return the plain network of the width and depth that a recipe gets, and its batch.

    None where nothing is trained.
    """
    settings = settings_of(config)
    return _shape(settings, sizes) if find(config.method).objective.evaluations else None, settings.batch


def _shape(settings: TrainingSettings, sizes: Sizes) -> networks.Architecture:
    heads = {"velocity": sizes.dim}
    width, depth = settings.width, settings.depth
    return networks.suited(sizes.dim, sizes.n_cells, heads=heads, width=width, depth=depth)


def pass_seconds(shape: networks.Architecture, batch: int) -> float:
    """Measure one forward and backward pass with the optimiser's step, in processor seconds on one thread."""
    with one_thread():
        net = networks.fresh(shape, seed=0)
        optimizer = AdamW(net.parameters(), weight_decay=0.0)
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(batch, shape.dim, generator=generator)
        features = torch.randn(batch, N_FEATURES, generator=generator)
        taken: list[float] = []
        while len(taken) < WARM_UP + 3 or sum(taken[WARM_UP:]) < MEASURED_S:
            began = time.thread_time()
            loss = functional.mse_loss(net(features, z)["velocity"], z)
            gradients = list(torch.autograd.grad(loss, optimizer.parameters))
            optimizer.step(gradients, rate=1e-3, clip=1.0)
            float(loss.detach())
            taken.append(time.thread_time() - began)
    return statistics.median(taken[WARM_UP:])


def passes(objective: type[Objective], settings: TrainingSettings, sizes: Sizes) -> float:
    """Cost of one step in passes of one batch."""
    if issubclass(objective, RollOut):
        evaluations = settings.solver_steps * {"midpoint": 2, "rk4": 4}.get(settings.solver, 2)
        again = 1.7 if settings.gradient == "adjoint" else 1.0
        near = 1.5 if settings.density else 1.0
        horizon = min(settings.horizon, sizes.n_times - 1)
        return objective.evaluations * evaluations / 6 * again * near * horizon
    if issubclass(objective, Likelihood):
        slopes = 5.0 + 0.6 * sizes.dim
        return sizes.n_times * settings.solver_steps / 2 * slopes
    return objective.evaluations


def machine_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _rolled(sizes: Sizes) -> float:
    """Passes of one step of fine-tuning, which simulates all intervals one after the other."""
    return 6.0 * (sizes.n_times - 1)


def _drawing(objective: type[Objective], settings: TrainingSettings, sizes: Sizes) -> float:
    """Seconds a step for drawing pairs and points on their paths."""
    curved = issubclass(objective, SplineFlowMatching | MetricFlowMatching)
    plain = 1.5e-4 + 2.5e-8 * settings.batch * sizes.dim
    return plain * (4 if curved else 1)


def coupling(objective: type[Objective], settings: TrainingSettings, sizes: Sizes) -> str:
    """Name of the rule by which the cost of pairing goes: a coupling, or "clock" for a few cells only."""
    if issubclass(objective, GrowthFlowMatching):
        return "auto" if settings.growth_from == "genes" else "semi-relaxed"
    if issubclass(objective, ActionMatching) and settings.growth:
        return "semi-relaxed"
    if issubclass(objective, UnbalancedFlowMatching):
        return "unbalanced"
    if issubclass(objective, Descendants):
        return "entropic"
    if issubclass(objective, RollOut | Likelihood):
        return "clock"
    if not issubclass(objective, FlowMatching):
        return "auto"
    name = objective.pairing(settings)
    if issubclass(objective, BridgeFlowMatching) and name == "entropic":
        noise = USUAL if settings.noise is None else settings.noise
        return name if noise**2 / sizes.dim >= SHARPEST else "auto"
    return name


def _pairing(objective: type[Objective], settings: TrainingSettings, sizes: Sizes, n0: int, n1: int) -> float:
    """Seconds for pairing the cells of two neighbouring times."""
    return pairing_seconds(coupling(objective, settings, sizes), n0, n1, dim=sizes.dim)


def pairing_seconds(name: str, n0: int, n1: int, *, dim: int) -> float:
    """Seconds for one pairing, from measurements at 300 to 8,000 cells a time."""
    most, entries = max(n0, n1), n0 * n1
    if name == "assignment":
        return 3e-5 * (1 + dim / 100) * most
    if name == "clock":
        return pairing_seconds("exact", min(n0, CLOCK_CELLS), min(n1, CLOCK_CELLS), dim=dim)
    if name == "independent":
        return 1e-3 + 2e-6 * most
    if name == "exact" or (name == "auto" and entries <= EXACT_ENTRIES):
        return 2e-3 + 3.5e-7 * entries * max(1.0, entries / EXACT_ENTRIES) ** 0.25
    if name in ("auto", "bisection"):
        return 0.02 + (1e-4 + 3e-6 * min(dim, 30)) * most
    dense = 2e-7 * min(entries, DENSE_ENTRIES)
    if name == "semi-relaxed":
        return dense + 2e-4 * most + pairing_seconds("auto", n0, n1, dim=dim)
    return dense + 6e-4 * most


def _preparing(
    objective: type[Objective], settings: TrainingSettings, sizes: Sizes, *, pass_s: float
) -> float:
    """Seconds for what a method does once besides pairing."""
    n = sizes.n_times - 1
    if issubclass(objective, AutoFlowMatching):
        quick = pass_s * _lightness(settings, sizes)
        return sum(_fold(sizes, k, pass_s=quick) for k in _folds(sizes)) + n * 4 * _pulling(sizes)
    if issubclass(objective, SplineFlowMatching):
        return n * 4 * _pulling(sizes) if settings.pull else 0.0
    if issubclass(objective, MetricFlowMatching):
        return metric.STEPS * (2e-3 + 4e-8 * metric.BATCH * (metric.LANDMARKS + 4 * sizes.dim))
    if issubclass(objective, ActionMatching) and settings.growth:
        return KNEE_S * min(n, KNEE_INTERVALS)
    given = {GrowthFlowMatching: "reg_m", UnbalancedFlowMatching: "strictness"}
    for kind, name in given.items():
        if issubclass(objective, kind) and getattr(settings, name) is None:
            read = getattr(settings, "growth_from", "pairing") == "pairing"
            return KNEE_S * min(n, KNEE_INTERVALS) if read else 0.0
    return 0.0


def _folds(sizes: Sizes) -> Sequence[int]:
    n = sizes.n_times - 2
    return np.unique(np.linspace(1, n, min(n, MOST_FOLDS)).round().astype(int)).tolist() if n > 0 else []


def _fold(sizes: Sizes, k: int, *, pass_s: float) -> float:
    """Seconds for trying all forms of path without time `k`, each with a small network."""
    few = min(CELLS, *sizes.counts[k - 1 : k + 2])
    learned = QUICK.steps * (pass_s + _drawing(SplineFlowMatching, QUICK, sizes))
    apart = 4e-7 * few**2 + 0.003
    pulled = sum(shape.pull > 0 for shape in PRIOR)
    bridge = pairing_seconds("auto", sizes.counts[k - 1], sizes.counts[k + 1], dim=sizes.dim)
    return bridge + len(PRIOR) * (learned + apart) + pulled * _pulling(sizes)


def _lightness(settings: TrainingSettings, sizes: Sizes) -> float:
    """Cost of a pass of the small network of `auto` over that of the network itself: mostly overhead."""

    def cost(chosen: TrainingSettings) -> float:
        return OVERHEAD + chosen.batch * _n_weights(_shape(chosen, sizes))

    return cost(QUICK) / cost(settings)


def _pulling(sizes: Sizes) -> float:
    """Seconds for moving points of 600 paths towards the ten nearest cells."""
    return 0.02 + 1.2e-6 * CELLS * sizes.dim * min(sizes.n_cells, 5_000) / 5_000 * 12


def _bytes(config: TrainConfig, sizes: Sizes) -> int:
    """Largest arrays that are held at once, added up."""
    objective, settings = find(config.method).objective, settings_of(config)
    name = coupling(objective, settings, sizes)
    pairing = max(_pairing_bytes(name, n0, n1, dim=sizes.dim) for n0, n1 in pairwise(sizes.counts))
    kept = sum(24 * _n_pairs(name, n0, n1) for n0, n1 in pairwise(sizes.counts))
    states = sizes.n_cells * sizes.dim * (4 * FLOAT + 8)
    shape = _shape(settings, sizes)
    weights = _n_weights(shape)
    batch = max(settings.batch, 16)
    drawn = 3 * DRAW * batch * (4 * sizes.dim + N_FEATURES + 4) * FLOAT
    at_once = 6 * batch * shape.width * (shape.depth + 1) * FLOAT * max(1.0, objective.evaluations / 2)
    if issubclass(objective, Likelihood):
        at_once *= sizes.dim
    own = kept + sizes.n_cells * sizes.dim * FLOAT + 5 * weights * FLOAT
    several = (config.members - 1) * own + (drawn + at_once if config.members > 1 else 0)
    return int(sizes.data_bytes + pairing + kept + states + 5 * weights * FLOAT + drawn + at_once + several)


def _n_weights(shape: networks.Architecture) -> int:
    return sum(int(np.prod(one)) for one in networks.shapes(shape).values())


def _pairing_bytes(name: str, n0: int, n1: int, *, dim: int) -> int:
    if name == "clock":
        return 24 * min(n0, CLOCK_CELLS) * min(n1, CLOCK_CELLS)
    if name == "exact" or (name == "auto" and n0 * n1 <= EXACT_ENTRIES):
        return 24 * n0 * n1
    light = 40 * (n0 + n1) * (min(dim, 15) + 10)
    return light if name in ("auto", "bisection", "independent") else light + 32 * min(n0 * n1, DENSE_ENTRIES)


def _n_pairs(name: str, n0: int, n1: int) -> int:
    if name in ("entropic", "unbalanced"):
        return n0 * n1 if n0 * n1 <= DENSE_PAIRS else SAMPLED_PAIRS * (n0 + n1)
    return 4 * max(n0, n1) if name == "independent" else n0 + n1


def obstacle(sizes: Sizes, config: TrainConfig, *, room: int | None = None) -> str:
    """Say why a training would fail, before it starts; empty if nothing speaks against it.

    Parameters
    ----------
    room
        Bytes that a worker may use; by default the memory of this machine.
    """
    method, settings = find(config.method), settings_of(config)
    if why := method.why_not(n_times=sizes.n_times, dim=sizes.dim):
        return why
    if why := method.why_no_ensemble(config.members) or _refused(config):
        return why
    entries = max(n0 * n1 for n0, n1 in pairwise(sizes.counts))
    if coupling(method.objective, settings, sizes) == "exact" and 24 * entries > EXACT_MEMORY:
        return (
            f"An exact pairing needs {24e-9 * entries:.0f} GB here; {EXACT_MEMORY / 1e9:.0f} GB are allowed. "
            "Choose another pairing of cells, under Advanced."
        )
    needed, room = _bytes(config, sizes), room or machine_bytes()
    if needed > room:
        return (
            f"This training needs about {needed / 1e9:.1f} GB of memory; a worker here has "
            f"{room / 1e9:.1f} GB. Choose fewer dimensions or pairs per step, or a machine with more memory."
        )
    return ""


def _refused(config: TrainConfig) -> str:
    """Try special settings on a handful of cells: what does not go together, the objective itself refuses."""
    if not set(config.settings) - {item.name for item in fields(TrainingSettings)}:
        return ""
    rng = np.random.default_rng(0)
    states = tuple(rng.standard_normal((8, 2), np.float32) for _ in range(2))
    problem = Problem(states, np.array([0.0, 1.0]), seed=0, prior_growth=(np.zeros(8), np.zeros(8)))
    try:
        with one_thread():
            find(config.method).objective(problem, settings_of(config), progress=no_progress).refinements()
    except SettingsError as why:
        return str(why)
    return ""
