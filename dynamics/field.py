"""The one thing that everything downstream asks for: a velocity at a time and a state."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

Progress = Callable[..., bool]
"""`progress(fraction, message, **figures) -> go_on`; work stops with `Stopped` where it returns False."""


@runtime_checkable
class VelocityField(Protocol):
    """Anything with a width and `v(t, x) -> dx/dt`: a trained model, an ensemble, a perturbed model.

    `t` is a time in the data's unit (a float or a scalar tensor), `x` a tensor of states, (n, dim), in the
    data's own coordinates; the answer, (n, dim), is in those coordinates per unit of time.
    """

    dim: int

    def __call__(self, t: "float | torch.Tensor", x: "torch.Tensor") -> "torch.Tensor": ...


def share(progress: Progress, low: float, high: float) -> Progress:
    """Return a `progress` for one part of the work, from `low` to `high` of the whole."""

    def report(fraction: float, message: str = "", **figures: float) -> bool:
        return progress(low + (high - low) * fraction, message, **figures)

    return report


def no_progress(fraction: float, message: str = "", **figures: float) -> bool:
    """Report nothing and go on."""
    return True
