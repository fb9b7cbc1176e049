"""Tables: arrays that are kept with a network's weights and not trained."""

import torch
from torch import nn

from dynamics.errors import ModelError


def register_tables(net: nn.Module) -> None:
    """Make room, in a network whose layers are built, for the tables of its architecture."""
    for name, shape in net.architecture.tables.items():
        if hasattr(net, name):
            raise ModelError(
                f'A table cannot be named "{name:.40}". The model file is damaged or was not written by '
                "Driftscope; train the model again."
            )
        net.register_buffer(name, torch.zeros(shape))
