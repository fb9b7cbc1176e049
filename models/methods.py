"""The registered methods: named ways to learn dynamics, each an objective with its settings."""

from dynamics.errors import SettingsError
from models.config import TrainConfig, from_mapping
from models.objectives import (
    action_matching,
    auto,
    bridges,
    cnf,
    flow_matching,
    genot,
    grn_ode,
    metric,
    rollout,
    spline,
    transport,
    unbalanced,
)
from models.objectives.base import Method, TrainingSettings

FAMILIES = (
    auto,
    flow_matching,
    bridges,
    genot,
    action_matching,
    spline,
    metric,
    unbalanced,
    rollout,
    cnf,
    grn_ode,
    transport,
)
"""In the order in which their methods are offered."""
METHODS: dict[str, Method] = {method.name: method for family in FAMILIES for method in family.METHODS}
USUAL_MEMBERS = 5


def find(name: str) -> Method:
    """Return a registered method.

    Raises
    ------
    SettingsError
        Unknown name; the known ones are listed.
    """
    if name not in METHODS:
        raise SettingsError(f"Unknown method {name!r}. Known: {', '.join(METHODS)}.")
    return METHODS[name]


def stacks(config: TrainConfig) -> bool:
    """Whether the further members of an ensemble are trained in one pass, at about the cost of one."""
    return find(config.method).objective.stacks(settings_of(config))


def usual_members(config: TrainConfig) -> int:
    """Members that an ensemble has unless told otherwise: five where that is cheap, else the model alone."""
    return USUAL_MEMBERS if stacks(config) else 1


def settings_of(config: TrainConfig) -> TrainingSettings:
    """Return the checked settings of a recipe, defaults filled in."""
    return from_mapping(find(config.method).settings, config.settings)
