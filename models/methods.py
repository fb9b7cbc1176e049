"""The registered methods: named ways to learn dynamics, each an objective with its settings."""

from dataclasses import dataclass

from dynamics.errors import SettingsError
from models.config import TrainConfig, from_mapping
from models.objectives.base import Objective, TrainingSettings
from models.objectives.flow_matching import (
    FlowMatching,
    FlowMatchingSettings,
    TransportFlowMatching,
    TransportSettings,
)


@dataclass(frozen=True)
class Method:
    """A way to learn dynamics, with what a user must know to choose it."""

    name: str
    title: str
    summary: str
    reference: str
    use_when: str
    cannot: str
    settings: type[TrainingSettings]
    objective: type[Objective]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="ot-cfm",
            title="Flow matching with optimal transport",
            summary="Cells of neighbouring times are paired so that the total movement is least; a network "
            "then learns the velocity that carries each cell along its straight path.",
            reference="Tong et al., Improving and generalizing flow-based generative models with minibatch "
            "optimal transport, TMLR 2024; Lipman et al., ICLR 2023.",
            use_when="You want to know where cells go between measured times. The best first choice.",
            cannot="It gives one path per cell, without chance; growth and death of cells count as movement.",
            settings=TransportSettings,
            objective=TransportFlowMatching,
        ),
        Method(
            name="i-cfm",
            title="Flow matching with random pairs",
            summary="Cells are paired at random; the network learns the average velocity over all pairs.",
            reference="Tong et al., TMLR 2024; Liu et al., Rectified flow, ICLR 2023.",
            use_when="You want a baseline that assumes nothing about which cell becomes which.",
            cannot="Paths bend towards the mean of all cells; one cell's path means less than with ot-cfm.",
            settings=FlowMatchingSettings,
            objective=FlowMatching,
        ),
    )
}


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


def settings_of(config: TrainConfig) -> TrainingSettings:
    """Return the checked settings of a recipe, defaults filled in."""
    return from_mapping(find(config.method).settings, config.settings)
