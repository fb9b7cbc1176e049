"""Velocity fields in which genes are held: the model as it would move cells that cannot change a gene."""

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from dynamics.field import VelocityField


class PerturbedField:
    """A field without the part of its velocity that would change some genes: v − dose · Q Qᵀ v.

    At dose 1 the linear expression of these genes stays exactly what it is along every path; at dose 0 it is
    the field itself.

    Parameters
    ----------
    field
        Any field, also with members: those of this one are the perturbed members.
    axes : (m, dim)
        Orthonormal directions along which the genes change (`dynamics.perturbation.held_axes`).
    """

    def __init__(self, field: "VelocityField", axes: np.ndarray, *, dose: float = 1.0) -> None:
        self.dim = field.dim
        self.axis = getattr(field, "axis", None)
        self.dose = dose
        self._field = field
        self._axes = torch.as_tensor(np.array(axes, np.float32))

    @property
    def members(self) -> "tuple[PerturbedField, ...]":
        if not hasattr(self._field, "members"):
            return (self,)
        return tuple(PerturbedField(one, self._axes.numpy(), dose=self.dose) for one in self._field.members)

    def __call__(self, t: "float | torch.Tensor", x: torch.Tensor) -> torch.Tensor:
        v = self._field(t, x)
        return v - self.dose * (v @ self._axes.T) @ self._axes


class ManyPerturbed:
    """The same for many single genes at once: the last coordinate of a state is the number of its gene.

    Parameters
    ----------
    loadings : (n_genes, dim)
        Direction along which each gene changes; any length.
    """

    def __init__(self, field: "VelocityField", loadings: np.ndarray, *, dose: float = 1.0) -> None:
        self.dim = field.dim + 1
        self.dose = dose
        self._field = field
        length = np.linalg.norm(loadings, axis=1, keepdims=True)
        self._axes = torch.as_tensor((loadings / np.where(length > 0, length, 1)).astype(np.float32))

    def __call__(self, t: "float | torch.Tensor", x: torch.Tensor) -> torch.Tensor:
        v = self._field(t, x[:, :-1])
        axes = self._axes[x[:, -1].round().long()]
        v = v - self.dose * (v * axes).sum(dim=1, keepdim=True) * axes
        return torch.cat([v, torch.zeros_like(x[:, -1:])], dim=1)


class OneMember:
    """One member of an ensemble without the others."""

    def __init__(self, field: "VelocityField") -> None:
        self.dim = field.dim
        self._field = field

    def __call__(self, t: "float | torch.Tensor", x: torch.Tensor) -> torch.Tensor:
        return self._field(t, x)
