"""The network: a state and a time in, one output per head."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from dynamics.errors import ModelError
from models.clock import N_FEATURES
from models.hill import HillNet
from models.pairs import PairsNet
from models.tables import register_tables

SMALL_DATA = 2_000
LAST_LAYER = 0.1
"""The last layer starts at this share of the usual size, so that the first field is nearly still."""
LIMITS = {"dim": 4096, "width": 1024, "depth": 8}
MAX_HEADS = 8
MAX_TABLES, MAX_ENTRIES = 64, 200_000_000


@dataclass(frozen=True)
class Architecture:
    """The shape of a network; enough to rebuild it."""

    dim: int
    width: int
    depth: int
    heads: Mapping[str, int]
    """Name and width of each output: velocity (dim), score (dim), growth (1), ..."""
    kind: str = "field"
    """One of `KINDS`."""
    tables: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Name and shape of arrays that are kept with the weights and not trained."""

    def __post_init__(self) -> None:
        """Check the ranges; raises ModelError, since only a file can bring in others."""
        sizes = {"dim": self.dim, "width": self.width, "depth": self.depth}
        whole = all(type(value) is int and 1 <= value <= LIMITS[key] for key, value in sizes.items())
        if not (whole and self._heads_are_sound() and self._tables_are_sound() and self._kind_is_known()):
            raise ModelError(
                f"A network of this shape is not one that Driftscope builds ({sizes}). "
                "The model file is damaged or was not written by Driftscope; train the model again."
            )

    def _heads_are_sound(self) -> bool:
        return 0 < len(self.heads) <= MAX_HEADS and all(
            isinstance(name, str)
            and name.isidentifier()
            and type(width) is int
            and 1 <= width <= LIMITS["dim"]
            for name, width in self.heads.items()
        )

    def _kind_is_known(self) -> bool:
        return isinstance(self.kind, str) and self.kind in KINDS

    def _tables_are_sound(self) -> bool:
        shapes = list(self.tables.values())
        whole = all(type(n) is int and n >= 0 for shape in shapes for n in shape)
        return (
            len(shapes) <= MAX_TABLES
            and whole
            and sum(math.prod(shape) for shape in shapes) <= MAX_ENTRIES
            and all(isinstance(name, str) and name.isidentifier() for name in self.tables)
        )

    def to_json(self) -> dict[str, object]:
        """Return the shape in a form that JSON can hold."""
        return {
            "dim": self.dim,
            "width": self.width,
            "depth": self.depth,
            "heads": dict(self.heads),
            "kind": self.kind,
            "tables": {name: list(shape) for name, shape in self.tables.items()},
        }


def suited(
    dim: int,
    n_cells: int,
    *,
    heads: Mapping[str, int],
    width: int | None = None,
    depth: int | None = None,
    kind: str = "field",
    tables: Mapping[str, tuple[int, ...]] | None = None,
) -> Architecture:
    """Choose a network for data of `n_cells` cells in `dim` dimensions; `width` and `depth` overrule."""
    wide = 64 if dim <= 12 or n_cells < SMALL_DATA else 128 if dim <= 60 else 256
    return Architecture(dim, width or wide, depth or 3, dict(heads), kind, dict(tables or {}))


class FieldNet(nn.Module):
    """A multilayer perceptron of SiLU units with one linear output per head.

    Other kinds of network in `KINDS` have the same form: `forward(features, z)` gives named outputs, among
    them "velocity", and `layers` names every linear layer, so that a file's tensors can be checked unbuilt.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.trunk = perceptron(trunk_sizes(architecture))
        self.heads = nn.ModuleDict(
            {name: nn.Linear(architecture.width, size) for name, size in architecture.heads.items()}
        )
        register_tables(self)

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Evaluate all heads at scaled states, (..., dim), and time features, (..., N_FEATURES)."""
        hidden = self.trunk(torch.cat([z, features], dim=-1))
        return {name: head(hidden) for name, head in self.heads.items()}

    @staticmethod
    def layers(architecture: Architecture) -> dict[str, tuple[int, int]]:
        """Name of every linear layer, with the widths of its input and output."""
        heads = {f"heads.{name}": (architecture.width, size) for name, size in architecture.heads.items()}
        return perceptron_layers("trunk", trunk_sizes(architecture)) | heads


class PotentialNet(FieldNet):
    """A perceptron whose head "potential" is a landscape; the velocity is its steepest descent.

    velocity = −∂potential/∂z, in closed form by going back through the layers once. So it needs no
    differentiation by torch, is itself differentiable, and costs about two evaluations of the landscape.

    With a head "score", −∂potential/∂z is the drift of cells that are also pushed by chance, and the velocity
    that of the flow with the same density: the score, times the table "score_unit", is taken away. With a
    table "growth_unit" cells multiply by −potential in its units.
    """

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Evaluate all heads and the velocity at scaled states, (..., dim), and time features."""
        hidden, slopes = torch.cat([z, features], dim=-1), []
        for layer in self.trunk[::2]:
            before = layer(hidden)
            gate = torch.sigmoid(before)
            hidden = before * gate
            slopes.append(gate * (1 + before - hidden))
        gradient = self.heads["potential"].weight[..., 0, :]
        gradient = gradient if gradient.ndim == 1 else gradient.unsqueeze(-2)  # of several networks at once
        for layer, slope in zip(reversed(self.trunk[::2]), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ layer.weight
        heads = {name: head(hidden) for name, head in self.heads.items()}
        velocity = -gradient[..., : z.shape[-1]]
        if "score" in heads:
            velocity = velocity - self.score_unit * heads["score"]
        if "growth_unit" in self.architecture.tables:
            heads["growth"] = -heads["potential"]
        return {"velocity": velocity, **heads}


class ConditionalNet(FieldNet):
    """A velocity field, and a second perceptron that turns noise into the descendants of a given cell."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.flow = perceptron(flow_sizes(architecture))
        self.flow_out = nn.Linear(architecture.width, architecture.dim)

    def conditional(
        self, features: torch.Tensor, s: torch.Tensor, y: torch.Tensor, z: torch.Tensor
    ) -> torch.Tensor:
        """Velocity of noise on its way to a descendant, (..., dim), per unit of `s`.

        Parameters
        ----------
        features : (..., N_FEATURES)
            Time of the cell.
        s : (..., 1)
            Position between noise (0) and descendant (1).
        y, z : (..., dim)
            Where the noise has come to, and the cell's scaled state.
        """
        waves = [2 * s - 1, torch.sin(torch.pi * s), torch.cos(torch.pi * s)]
        return self.flow_out(self.flow(torch.cat([y, z, *waves, features], dim=-1)))

    @staticmethod
    def layers(architecture: Architecture) -> dict[str, tuple[int, int]]:
        """Name of every linear layer, with the widths of its input and output."""
        flow = perceptron_layers("flow", flow_sizes(architecture))
        out = {"flow_out": (architecture.width, architecture.dim)}
        return FieldNet.layers(architecture) | flow | out


KINDS: dict[str, type[nn.Module]] = {
    "field": FieldNet,
    "potential": PotentialNet,
    "conditional": ConditionalNet,
    "pairs": PairsNet,
    "hill": HillNet,
}


def trunk_sizes(architecture: Architecture) -> list[int]:
    """Widths of the trunk's input and of its hidden layers."""
    return [architecture.dim + N_FEATURES, *[architecture.width] * architecture.depth]


def flow_sizes(architecture: Architecture) -> list[int]:
    """Widths of the input and of the hidden layers of a conditional network's second perceptron."""
    return [2 * architecture.dim + 3 + N_FEATURES, *[architecture.width] * architecture.depth]


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths, each followed by SiLU."""
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.SiLU())])


def perceptron_layers(name: str, sizes: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Names and widths of the linear layers of `perceptron(sizes)`."""
    return {f"{name}.{2 * k}": pair for k, pair in enumerate(itertools.pairwise(sizes))}


def blank(architecture: Architecture) -> nn.Module:
    """Build a network whose values are yet to be set; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        return KINDS[architecture.kind](architecture)


def fresh(architecture: Architecture, *, seed: int) -> nn.Module:
    """Build a network with initial values from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    net = blank(architecture)
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    with torch.no_grad():
        for head in getattr(net, "heads", nn.ModuleDict()).values():
            head.weight.mul_(LAST_LAYER)
            head.bias.zero_()
    return net


def shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight and table of a network, without building it."""
    layers = KINDS[architecture.kind].layers(architecture)
    found = {f"{name}.weight": (after, before) for name, (before, after) in layers.items()}
    found |= {f"{name}.bias": (after,) for name, (_, after) in layers.items()}
    return found | {name: tuple(shape) for name, shape in architecture.tables.items()}
