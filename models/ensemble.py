"""The other members of an ensemble: networks like a trained one, from other cells, weights and draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from dynamics.errors import Stopped
from dynamics.field import Progress, no_progress, share
from models.adam import AdamW, StackedAdamW
from models.halves import halved, member_seed
from models.loop import PAIRING_SHARE, Phase, start, train
from models.objectives.base import Objective, TrainingSettings
from models.objectives.members import Members
from models.resume import Keeper
from models.stacked import stack, unstack

PART_OF_BATCH = 3 / 16
"""Pairs that each further member looks at in a step, over those of the model itself."""
LEAST_BATCH = 16


@dataclass(frozen=True)
class Trained:
    """A model that others are to be trained beside."""

    objective: Objective
    settings: TrainingSettings
    steps: int
    """That it took, without refinements."""
    fresh: Callable[..., nn.Module]
    """Builds its network with first weights from a `seed`."""
    keeper: Keeper

    @property
    def stacks(self) -> bool:
        """Whether the further members are trained in one pass, or else one after the other."""
        return self.objective.stacks(self.settings)


def keepers(keeper: Keeper, members: int) -> list[Keeper]:
    """Where the states of training of the further members are kept, beside that of the model itself."""
    path = keeper.path
    paths = (path and path.with_name(f"{path.name}.{member}") for member in range(1, members))
    return [Keeper(path, keeper.key) for path in paths]


def others(model: Trained, members: int, *, progress: Progress = no_progress) -> tuple[nn.Module, ...]:
    """Train the further members of an ensemble: each from other cells, weights and draws.

    Each is trained on a random half of the cells, paired anew (`halved`). Standardisation, clock,
    architecture, settings and number of steps are those of the model itself, which is left as it is: it is
    the same, bit for bit, with an ensemble and without. Where the objective allows it the members are stacked
    and trained as one, each with 3/16 of the pairs per step and, where cells are paired so that they move
    least, by a quicker pairing: so they part about as far as models of independent measurements do
    (benchmarks/ensemble.py).

    Parameters
    ----------
    members
        Of the whole ensemble, the model itself included.

    References
    ----------
    Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep
    ensembles, NeurIPS 2017.
    """
    further, step = range(1, members), max(members - 1 if model.stacks else 1, 1)
    groups = [further[first : first + step] for first in range(0, len(further), step)]
    kept = keepers(model.keeper, members)
    nets: list[nn.Module] = []
    for done, group in enumerate(groups):
        part = share(progress, done / len(groups), (done + 1) / len(groups))
        nets += _trained(model, group, keeper=kept[done], progress=_quiet(part, group))
    return tuple(nets)


def _trained(model: Trained, group: range, *, keeper: Keeper, progress: Progress) -> list[nn.Module]:
    """Train the members of a group, in one pass where they can be stacked."""
    seeds = [member_seed(model.objective.problem.seed, member) for member in group]
    parts = _objectives(model.objective, seeds, progress)
    nets, stacked = [model.fresh(seed=seed) for seed in seeds], model.stacks
    net = stack(nets) if stacked else nets[0]
    settings = lighter(model.settings) if stacked else model.settings
    objective = Members(parts, batch=settings.batch) if stacked else parts[0]
    phases = [Phase(objective, model.steps, settings.learning_rate, settles=False)]
    phases += [Phase(later, n, rate, settles=False) for later, n, rate in objective.refinements()]
    state = start(net, settings, phases=phases, optimizer=StackedAdamW if stacked else AdamW)
    train(phases, state, settings, seed=seeds[0], progress=progress, keeper=keeper)
    return unstack(net, len(nets)) if stacked else nets


def _objectives(objective: Objective, seeds: Sequence[int], progress: Progress) -> list[Objective]:
    """Ask for the same on a half of the cells for each seed."""
    parts = []
    for done, seed in enumerate(seeds):
        if not progress(PAIRING_SHARE * done / len(seeds), f"pairing cells ({done + 1} of {len(seeds)})"):
            raise Stopped
        parts.append(objective.again(halved(objective.problem, seed=seed)))
    return parts


def lighter(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings of stacked members: the same, with fewer pairs per step."""
    return replace(settings, batch=max(round(PART_OF_BATCH * settings.batch), LEAST_BATCH))


def _quiet(progress: Progress, group: range) -> Progress:
    """Say which members are trained, and leave their figures away: those of the model itself stay."""
    which = f"Member {group[0] + 1}" if len(group) == 1 else f"Members {group[0] + 1} to {group[-1] + 1}"
    return lambda fraction, message="", **_: progress(fraction, f"{which} of the ensemble: {message}")
