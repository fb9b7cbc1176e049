"""Action matching: learn a landscape that cells roll down."""

from dataclasses import dataclass

from models.objectives.base import Method, TrainingSettings
from models.objectives.flow_matching import TransportFlowMatching, TransportSettings


@dataclass(frozen=True)
class ActionMatchingSettings(TransportSettings):
    """Settings of action matching."""


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

    @staticmethod
    def heads(dim: int, settings: TrainingSettings) -> dict[str, int]:
        return {"potential": 1}


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
        "compared within one time, not between times; growth and death count as movement.",
        settings=ActionMatchingSettings,
        objective=ActionMatching,
    ),
)
