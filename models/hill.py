"""A network that can be read: every gene is made by the genes that regulate it, and decays."""

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from models.tables import register_tables

if TYPE_CHECKING:
    from models.networks import Architecture


class HillNet(nn.Module):
    """Velocity of gene i: rate_i (b_i + Σ_j W_ij f(u_j) − d_i u_i), u the standardised level of each gene.

    f(u) = 4/(1 + e^−u) − 2, a Hill function: in the logarithm of a level x, xⁿ/(Kⁿ + xⁿ) is the logistic
    function of n (log x − log K). W is zero where "support" is, but for the diagonal; d_i > 0. Time plays no
    part.

    Tables: "centre" and "spread" (dim,), by which levels are standardised; "rate" (dim,), spread of each
    gene's velocity; "support" (dim, dim), signed strength of gene j (column) on gene i (row), zero where j is
    not among the regulators of i.

    References
    ----------
    Bellot, Branson and van der Schaar, Neural graphical modelling in continuous-time, ICLR 2022 (zeros of the
    first layer are the network); Hossain et al., Biologically informed NeuralODEs for genome-wide regulatory
    dynamics, Genome Biology 2024 (PHOENIX: Hill-like units and decay).
    """

    def __init__(self, architecture: "Architecture") -> None:
        super().__init__()
        self.architecture = architecture
        self.production = nn.Linear(architecture.dim, architecture.dim)
        self.decay = nn.Linear(1, architecture.dim)
        register_tables(self)

    @staticmethod
    def layers(architecture: "Architecture") -> dict[str, tuple[int, int]]:
        """Name of every linear layer, with the widths of its input and output."""
        return {"production": (architecture.dim, architecture.dim), "decay": (1, architecture.dim)}

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Evaluate the velocity at scaled states, (..., dim); the time features are not looked at."""
        level = (z - self.centre) / self.spread
        made = (4 * torch.sigmoid(level) - 2) @ self.weights().mT + self.production.bias
        lost = functional.softplus(self.decay(torch.ones_like(z[..., :1])))
        return {"velocity": self.rate * (made - lost * level)}

    def weights(self) -> torch.Tensor:
        """W, (..., dim, dim): effect of gene j (column) on the production of gene i (row)."""
        own = torch.eye(self.architecture.dim, dtype=torch.bool)
        return self.production.weight * ((self.support != 0) | own)
