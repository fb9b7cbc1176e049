"""Several networks of one shape, evaluated and trained as one."""

from collections.abc import Sequence

import torch
from torch import nn

from models import networks
from models.networks import Architecture


class StackedLinear(nn.Module):
    """The linear layers of k networks: (k, n, in) to (k, n, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        weights = torch.stack([layer.weight.detach().T for layer in layers])
        self.across = nn.Parameter(weights.contiguous())  # (k, in, out): as the product reads it
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers])[:, None])

    @property
    def weight(self) -> torch.Tensor:
        """Weights, (k, out, in)."""
        return self.across.mT

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias, x, self.across)


def stack(nets: Sequence[nn.Module]) -> nn.Module:
    """Build one network of k: the same class, with all inputs and outputs (k, n, ...); tables are shared."""
    whole = networks.blank(nets[0].architecture)
    _stack_into(whole, nets)
    for name in nets[0].architecture.tables:
        getattr(whole, name).copy_(getattr(nets[0], name))
    return whole


def _stack_into(whole: nn.Module, parts: Sequence[nn.Module]) -> None:
    """Put the stacked layers of `parts` in place of the layers of `whole`."""
    for name, child in whole.named_children():
        inner = [part.get_submodule(name) for part in parts]
        if isinstance(child, nn.Linear):
            setattr(whole, name, StackedLinear(inner))
        else:
            _stack_into(child, inner)


def unstack(whole: nn.Module, n: int) -> list[nn.Module]:
    """Return the `n` networks of a stacked one, each an ordinary network of its own."""
    architecture: Architecture = whole.architecture
    nets = [networks.blank(architecture) for _ in range(n)]
    with torch.no_grad():
        for name in networks.KINDS[architecture.kind].layers(architecture):
            layer = whole.get_submodule(name)
            for net, weight, bias in zip(nets, layer.weight, layer.bias, strict=True):
                net.get_submodule(name).weight.copy_(weight)
                net.get_submodule(name).bias.copy_(bias[0])
        for name in architecture.tables:
            for net in nets:
                getattr(net, name).copy_(getattr(whole, name))
    return nets
